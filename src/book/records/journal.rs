//! `journal`: [`ledger::JournalRecord`]s by sequence, in blocks under the sequence of their first (u64).

/// What the records are called in errors.
pub(crate) const WHAT: &str = "journal record";

/// Appends a record's encoding: the same bytes as postcard's, mostly without it.
pub(crate) fn append(record: &ledger::JournalRecord, buffer: &mut Vec<u8>) {
    match ledger::append_record(record, buffer) {
        Ok(()) => {}
        // Extending a vector cannot fail, and none of the core's types refuses to serialize.
        Err(error) => unreachable!("a journal record does not encode: {error}"),
    }
}
