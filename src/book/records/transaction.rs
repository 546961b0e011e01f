//! `transactions`: key the transaction's id (16 bytes); value [`ledger::TransactionRecord`], which points into the journal.

use ledger::{TransactionId, TransactionRecord};

use crate::book::BookResult;

pub(crate) fn key(id: &TransactionId) -> &[u8] {
    id.as_bytes()
}

pub(crate) fn decode(bytes: &[u8]) -> BookResult<TransactionRecord> {
    super::decode("transaction", bytes)
}
