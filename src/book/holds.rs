//! The open reservations in memory, with the records of their tries. Bounded by open reservations, never by history.
//!
//! Most end soon after they began and are never written as holds: the journal has them. Those that are still open when the journal's replay moves on past them are stored.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use ledger::journal::JournalSequence;
use ledger::{JournalRecord, LogTime, TransactionId, TransactionRecord, TransactionState};

use super::records::hold::Hold;
use super::records::{self, Kind, Spaces};
use super::{BookError, BookResult};
use crate::store::Batch;

/// How many holds may be stored with every journal record.
const STORED_PER_RECORD: usize = 2;

/// All open reservations.
#[derive(Debug, Default)]
pub(super) struct Holds {
    /// Those with a deadline, in the order in which they expire.
    deadlines: BTreeSet<(LogTime, TransactionId)>,
    open: HashMap<TransactionId, TransactionRecord>,
    tries: HashMap<JournalSequence, JournalRecord>,
    /// Those that are not stored.
    unstored: BTreeMap<JournalSequence, TransactionId>,
}

impl Holds {
    /// When the first of them expires.
    pub(super) fn earliest_deadline(&self) -> Option<LogTime> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// The first deadline strictly after a cursor.
    pub(super) fn deadline_after(&self, cursor: Option<(LogTime, TransactionId)>) -> Option<(LogTime, TransactionId)> {
        use std::ops::Bound::{Excluded, Unbounded};
        match cursor {
            Some(cursor) => self.deadlines.range((Excluded(cursor), Unbounded)).next().copied(),
            None => self.deadlines.first().copied(),
        }
    }

    /// An open reservation.
    pub(super) fn transaction(&self, id: &TransactionId) -> Option<&TransactionRecord> {
        self.open.get(id)
    }

    /// The record of an open reservation's try.
    pub(super) fn attempt(&self, sequence: JournalSequence) -> Option<&JournalRecord> {
        self.tries.get(&sequence)
    }

    /// Adds the reservation that a record began.
    pub(super) fn begin(&mut self, record: JournalRecord, is_stored: bool) -> BookResult<()> {
        let hold = Hold::of(&record).ok_or(BookError::Malformed { what: "hold: it is no try" })?;
        if let Some(deadline) = hold.deadline {
            self.deadlines.insert((deadline, hold.transaction));
        }
        let state = TransactionState::Tried;
        let (created, deadline) = (Some(record.sequence), hold.deadline);
        let transaction = TransactionRecord { state, created, resolved: None, deadline, reversed: Vec::new() };
        self.open.insert(hold.transaction, transaction);
        if !is_stored {
            self.unstored.insert(record.sequence, hold.transaction);
        }
        self.tries.insert(record.sequence, record);
        Ok(())
    }

    /// Removes a reservation; its sequence if it was open and stored.
    pub(super) fn end(&mut self, transaction: &TransactionId) -> Option<JournalSequence> {
        let record = self.open.remove(transaction)?;
        if let Some(deadline) = record.deadline {
            self.deadlines.remove(&(deadline, *transaction));
        }
        let created = record.created?;
        self.tries.remove(&created);
        match self.unstored.remove(&created) {
            Some(_) => None,
            None => Some(created),
        }
    }

    /// Stores reservations that began at or before a sequence, the oldest first: all of them, or as many as fall due with so many journal records.
    pub(super) fn store(&mut self, batch: &mut Batch, spaces: &Spaces, up_to: JournalSequence, records: Option<usize>) {
        let most = records.map_or(usize::MAX, |records| records.saturating_mul(STORED_PER_RECORD).saturating_add(8));
        for _ in 0..most {
            let Some(first) = self.unstored.first_entry().filter(|first| *first.key() <= up_to) else { return };
            let (sequence, _) = first.remove_entry();
            if let Some(record) = self.tries.get(&sequence) {
                batch.put_with(spaces.of(Kind::Holds), &records::hold::key(sequence), |buffer| {
                    records::journal::append(record, buffer);
                });
            }
        }
    }
}
