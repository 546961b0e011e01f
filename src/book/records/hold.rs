//! `holds`: key the sequence of a try (u64); value the record of the try, [`ledger::JournalRecord`]. Holds that were still open when the journal's replay moved on past them; younger ones
//! are found by replaying it.

use ledger::journal::JournalSequence;
use ledger::{Event, JournalRecord, LogTime, TransactionId};

use crate::book::{BookError, BookResult};

/// An open reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// The transaction.
    pub transaction: TransactionId,
    /// When it expires, if ever.
    pub deadline: Option<LogTime>,
}

impl Hold {
    /// The hold that a record began; `None` for any other record.
    pub fn of(record: &JournalRecord) -> Option<Hold> {
        match &record.event {
            Event::Tried { transaction, deadline, .. } => Some(Hold { transaction: *transaction, deadline: *deadline }),
            Event::AssetRegistered { .. }
            | Event::AccountOpened(_)
            | Event::LimitsSet { .. }
            | Event::AccountFrozen(_)
            | Event::AccountUnfrozen(_)
            | Event::AccountClosed(_)
            | Event::Posted { .. }
            | Event::Confirmed { .. }
            | Event::Cancelled { .. }
            | Event::CancelledEmpty(_)
            | Event::Expired { .. }
            | Event::Reversed { .. } => None,
        }
    }

    /// The transaction whose hold a record ended; `None` for any other record.
    pub fn ended_by(record: &JournalRecord) -> Option<TransactionId> {
        match &record.event {
            Event::Confirmed { transaction, .. }
            | Event::Cancelled { transaction, .. }
            | Event::Expired { transaction, .. } => Some(*transaction),
            Event::AssetRegistered { .. }
            | Event::AccountOpened(_)
            | Event::LimitsSet { .. }
            | Event::AccountFrozen(_)
            | Event::AccountUnfrozen(_)
            | Event::AccountClosed(_)
            | Event::Posted { .. }
            | Event::Tried { .. }
            | Event::CancelledEmpty(_)
            | Event::Reversed { .. } => None,
        }
    }
}

pub(crate) fn key(created: JournalSequence) -> [u8; 8] {
    created.0.to_be_bytes()
}

pub(crate) fn decode(bytes: &[u8]) -> BookResult<JournalRecord> {
    super::decode("hold", bytes)
}

/// The hold of a stored try.
pub(crate) fn known(record: &JournalRecord) -> BookResult<Hold> {
    Hold::of(record).ok_or(BookError::Malformed { what: "hold: it is no try" })
}
