//! The point of the log at which all pages of a walk look. It is computed from the journal, so any replica that has come that
//! far shows the same, and what a page token claims of it is checked.

use ledger::LogTime;
use ledger::journal::JournalSequence;

use super::{AuditError, AuditResult};
use crate::book::view::BookView;

/// Records that may have come since a moment before what has no history by position is forgotten ...
const MAX_RECORDS_SINCE: u64 = 1_000_000;
/// ... if they took longer than this.
const LEAST_LIFETIME_NS: u64 = 60 * 1_000_000_000;

/// A point of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The log entry.
    pub index: u64,
    /// The log's time after it.
    pub time: LogTime,
    /// The last journal record that the log left up to it.
    pub sequence: JournalSequence,
}

impl Moment {
    /// What a view shows.
    pub fn of(view: &BookView) -> Moment {
        Moment { index: view.index(), time: view.time(), sequence: view.last_sequence() }
    }

    /// Whether a view's log had this moment: what a token claims is believed only then.
    ///
    /// # Errors
    /// When the book cannot be read.
    pub fn is_of(&self, view: &BookView) -> AuditResult<bool> {
        let now = Moment::of(view);
        if self.index >= now.index || self.sequence > now.sequence {
            return Ok(*self == now);
        }
        // It lies after one record and before the next. Refusals move the log's index and time without a record.
        if let Some(last) = view.journal(self.sequence)?
            && (last.point.index > self.index || last.point.time > self.time)
        {
            return Ok(false);
        }
        Ok(match self.sequence < now.sequence {
            true => {
                let next = view.known_journal(self.sequence.next())?;
                self.index < next.point.index && self.time < next.point.time
            }
            false => self.time <= now.time,
        })
    }

    /// Refuses to look for what came after this moment, up to a record, if that is too much: never within a minute.
    pub(super) fn check_near(&self, view: &BookView, up_to: JournalSequence) -> AuditResult<()> {
        let records = up_to.0.saturating_sub(self.sequence.0);
        let elapsed_ns = view.time().0.saturating_sub(self.time.0);
        match records > MAX_RECORDS_SINCE && elapsed_ns > LEAST_LIFETIME_NS {
            true => Err(AuditError::Expired { index: self.index }),
            false => Ok(()),
        }
    }
}
