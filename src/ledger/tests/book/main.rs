//! The book's tests: scripts, properties, invariants, damage. They use the crate's one door, [`ledger::apply()`], as a node does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    unreachable_pub
)]

mod amounts;
mod boundaries;
mod broken;
mod encoding;
mod entries;
mod harness;
mod invariants;
mod memory;
mod model;
mod property;
mod script;
mod script_text;
mod scripts;
mod seeded;
mod shapes;
mod vocabulary;
