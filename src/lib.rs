//! folio: a replicated double-entry payment ledger.

pub mod api;
pub mod audit;
pub mod book;
pub mod cli;
pub mod client;
pub mod console;
pub mod proto;
pub mod replication;
pub mod seeded;
pub mod server;
pub mod store;
mod tcp;
