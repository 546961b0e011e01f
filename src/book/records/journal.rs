//! `journal`: key the sequence (u64); value [`ledger::JournalRecord`].

use ledger::JournalRecord;
use ledger::journal::JournalSequence;

use crate::book::BookResult;

pub(crate) fn key(sequence: JournalSequence) -> [u8; 8] {
    sequence.0.to_be_bytes()
}

pub(crate) fn decode(bytes: &[u8]) -> BookResult<JournalRecord> {
    super::decode("journal record", bytes)
}
