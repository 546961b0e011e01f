//! folio: a replicated double-entry payment ledger.
