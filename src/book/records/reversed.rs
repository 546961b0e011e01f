//! `reversed`: key a transaction's id (16 bytes); value per posting how much of it was reversed so far. All else of a transaction follows from its journal records.

use ledger::{Amount, TransactionId};

use crate::book::BookResult;

pub(crate) fn key(id: &TransactionId) -> &[u8] {
    id.as_bytes()
}

pub(crate) fn decode(bytes: &[u8]) -> BookResult<Vec<Amount>> {
    super::decode("reversed amounts", bytes)
}
