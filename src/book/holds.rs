//! The open reservations in memory, with the records of their tries. Bounded by open reservations and a cycle of the journal's replay, never by history.
//!
//! Most end soon after they began and are never written as holds: the journal has them. Those that are still open when the journal's replay moves on past them are stored.

mod deadlines;

use std::collections::VecDeque;

use hashbrown::HashMap;
use ledger::journal::JournalSequence;
use ledger::{JournalRecord, LogTime, TransactionId, TransactionRecord, TransactionState};

use super::records::hold::Hold;
use super::records::{self, Kind, Spaces};
use super::{BookError, BookResult};
use crate::store::Batch;
use deadlines::Deadlines;

/// How many holds may be stored with every journal record.
const STORED_PER_RECORD: usize = 2;

/// An open reservation.
#[derive(Debug, Clone, Copy)]
struct Open {
    created: JournalSequence,
    deadline: Option<LogTime>,
}

/// The try of an open reservation.
#[derive(Debug)]
struct Attempt {
    record: JournalRecord,
    is_stored: bool,
}

/// All open reservations.
#[derive(Debug, Default)]
pub(super) struct Holds {
    /// Those with a deadline, in the order in which they expire.
    deadlines: Deadlines,
    open: HashMap<TransactionId, Open>,
    tries: HashMap<JournalSequence, Attempt>,
    /// Those that were not stored when they began, in that order. Some have ended since: they go when their turn to be stored comes.
    unstored: VecDeque<JournalSequence>,
}

impl Holds {
    /// When the first of them expires.
    pub(super) fn earliest_deadline(&self) -> Option<LogTime> {
        self.deadlines.after(None).map(|(deadline, _)| deadline)
    }

    /// The first deadline strictly after a cursor.
    pub(super) fn deadline_after(&self, cursor: Option<(LogTime, TransactionId)>) -> Option<(LogTime, TransactionId)> {
        self.deadlines.after(cursor)
    }

    /// An open reservation.
    pub(super) fn transaction(&self, id: &TransactionId) -> Option<TransactionRecord> {
        let Open { created, deadline } = *self.open.get(id)?;
        let (state, created) = (TransactionState::Tried, Some(created));
        Some(TransactionRecord { state, created, resolved: None, deadline, reversed: Vec::new() })
    }

    /// The record of an open reservation's try.
    pub(super) fn attempt(&self, sequence: JournalSequence) -> Option<&JournalRecord> {
        self.tries.get(&sequence).map(|attempt| &attempt.record)
    }

    /// Adds the reservation that a record began. Those that are not stored come in the order of their sequences.
    pub(super) fn begin(&mut self, record: JournalRecord, is_stored: bool) -> BookResult<()> {
        let hold = Hold::of(&record).ok_or(BookError::Malformed { what: "hold: it is no try" })?;
        if let Some(deadline) = hold.deadline {
            self.deadlines.insert((deadline, hold.transaction));
        }
        self.open.insert(hold.transaction, Open { created: record.sequence, deadline: hold.deadline });
        if !is_stored {
            self.unstored.push_back(record.sequence);
        }
        self.tries.insert(record.sequence, Attempt { record, is_stored });
        Ok(())
    }

    /// Removes a reservation; its sequence if it was open and stored.
    pub(super) fn end(&mut self, transaction: &TransactionId) -> Option<JournalSequence> {
        if self.open.is_empty() {
            return None;
        }
        let Open { created, deadline } = self.open.remove(transaction)?;
        if let Some(deadline) = deadline {
            self.deadlines.remove((deadline, *transaction));
        }
        let attempt = self.tries.remove(&created)?;
        attempt.is_stored.then_some(created)
    }

    /// Stores reservations that began at or before a sequence, the oldest first: all of them, or as many as fall due with so many journal records.
    pub(super) fn store(&mut self, batch: &mut Batch, spaces: &Spaces, up_to: JournalSequence, records: Option<usize>) {
        let most = records.map_or(usize::MAX, |records| records.saturating_mul(STORED_PER_RECORD).saturating_add(8));
        let mut stored = 0;
        while let Some(sequence) = self.unstored.front().copied().filter(|first| *first <= up_to && stored < most) {
            self.unstored.pop_front();
            // One that has ended needs no place.
            let Some(attempt) = self.tries.get_mut(&sequence) else { continue };
            batch.put_with(spaces.of(Kind::Holds), &records::hold::key(sequence), |buffer| {
                records::journal::append(&attempt.record, buffer);
            });
            attempt.is_stored = true;
            stored += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ledger::command::Details;
    use ledger::{Event, Point};

    use super::*;
    use crate::store::Engine as _;
    use crate::store::memory::MemoryEngine;

    fn try_record(sequence: u64) -> JournalRecord {
        let transaction = TransactionId::from_bytes([u8::try_from(sequence).unwrap(); 16]).unwrap();
        let (details, timeout, deadline) = (Details::default(), None, None);
        JournalRecord {
            sequence: JournalSequence(sequence),
            point: Point { index: sequence, position: 0, time: LogTime(sequence) },
            request: None,
            principal: String::new(),
            event: Event::Tried { transaction, postings: Vec::new(), details, timeout, deadline },
        }
    }

    /// What begins after a sequence is replayed from the journal at the next start; what began at it
    /// is not, and must be stored.
    #[test]
    fn a_hold_that_began_at_the_last_sequence_that_is_not_replayed_is_stored() {
        let engine = MemoryEngine::new();
        let spaces = Spaces::open(&engine, 1).unwrap();
        let mut holds = Holds::default();
        for sequence in 4..=6 {
            holds.begin(try_record(sequence), false).unwrap();
        }
        let mut batch = Batch::new();
        holds.store(&mut batch, &spaces, JournalSequence(5), None);
        engine.write(&batch).unwrap();
        let view = engine.view().unwrap();
        let is_stored = |sequence| {
            let key = records::hold::key(JournalSequence(sequence));
            view.get(spaces.of(Kind::Holds), &key).unwrap().is_some()
        };
        assert_eq!([4, 5, 6].map(is_stored), [true, true, false]);
        let ended = [4, 5, 6].map(|sequence| {
            let transaction = TransactionId::from_bytes([sequence; 16]).unwrap();
            holds.end(&transaction).map(|sequence| sequence.0)
        });
        assert_eq!(ended, [Some(4), Some(5), None], "what is stored must be deleted when it ends");
    }
}
