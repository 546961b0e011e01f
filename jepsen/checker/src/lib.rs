//! The independent second opinion: it reads what clients of a ledger saw, and says whether a correct ledger could have answered so.
//!
//! It shares no code with the ledger, or it would repeat its mistakes: its amounts are plain integers, its model is its own reading of the
//! published promises. It must never depend on the ledger, nor trust a server's word where the clients' words suffice.
//!
//! - [`history`]: what a run leaves behind, and its Jepsen EDN form.
//! - [`precedence`]: the order in which a command is checked, in tables that the model walks.
//! - [`model`]: the whole ledger once more, as simply as it can be said.
//! - [`timeline`]: the history in the order of the log, with what nobody heard of put at its place.
//! - [`checks`]: one file per promise; [`checks::check`] runs them all.
//! - [`verdict`]: valid, invalid with the smallest piece of history that shows it, unknown, or incomplete.

pub mod checks;
pub mod history;
pub mod model;
pub mod precedence;
pub mod timeline;
pub mod verdict;

pub use checks::{Demands, check, check_run};
pub use verdict::{Finding, Verdict, Violation};
