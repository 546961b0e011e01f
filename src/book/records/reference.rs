//! `references`: key the reference, a zero byte, the sequence of the record that created the transaction (u64); value empty.

use ledger::journal::JournalSequence;

pub(crate) fn key(reference: &str, created: JournalSequence) -> Vec<u8> {
    let mut key = prefix(reference);
    key.extend_from_slice(&created.0.to_be_bytes());
    key
}

/// What all keys of a reference begin with. A reference that contains a zero byte may share it with a longer one, so readers compare the
/// record's own reference.
pub(crate) fn prefix(reference: &str) -> Vec<u8> {
    let mut key = reference.as_bytes().to_vec();
    key.push(0);
    key
}
