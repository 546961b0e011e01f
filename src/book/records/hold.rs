//! `holds`: key the sequence of a try that is still open (u64); value its transaction's id and deadline. What the cache is filled from, and the
//! list of open reservations by age.

use ledger::journal::JournalSequence;
use ledger::{LogTime, TransactionId};
use serde::{Deserialize, Serialize};

use crate::book::BookResult;

/// An open reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The transaction.
    pub transaction: TransactionId,
    /// When it expires, if ever.
    pub deadline: Option<LogTime>,
}

pub(crate) fn key(created: JournalSequence) -> [u8; 8] {
    created.0.to_be_bytes()
}

pub(crate) fn decode(bytes: &[u8]) -> BookResult<Hold> {
    super::decode("hold", bytes)
}
