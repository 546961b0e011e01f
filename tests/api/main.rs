//! The published API, called as a client calls it: over TCP, on one replica with the memory engine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    unreachable_pub
)]

mod bounds;
mod errors_page;
mod harness;
mod lists;
mod other_language;
mod payments;
mod questions;
mod raw;
mod received;
mod times;
mod tokens;
