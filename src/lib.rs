//! folio: a replicated double-entry payment ledger.

pub mod store;
