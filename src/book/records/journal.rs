//! `journal`: [`ledger::JournalRecord`]s by sequence, in blocks under the sequence of their first (u64).

/// What the records are called in errors.
pub(crate) const WHAT: &str = "journal record";
