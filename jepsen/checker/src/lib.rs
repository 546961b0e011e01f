//! The independent second opinion: it reads what clients of a ledger saw, and says whether a correct ledger could have answered so.
//!
//! It shares no code with the ledger, or it would repeat its mistakes: its amounts are plain integers, its model is its own reading of the
//! published promises. It must never depend on the ledger, nor trust a server's word where the clients' words suffice.
//!
//! - [`history`]: what a run leaves behind, and its Jepsen EDN form.

pub mod history;
