//! `requests`: key the request's id (16 bytes); value [`ledger::RequestRecord`]: a pointer into the journal where the request booked
//! something, otherwise command and answer whole.

use ledger::{RequestId, RequestRecord};

use crate::book::BookResult;

pub(crate) fn key(id: &RequestId) -> &[u8] {
    id.as_bytes()
}

pub(crate) fn decode(bytes: &[u8]) -> BookResult<RequestRecord> {
    super::decode("request", bytes)
}
