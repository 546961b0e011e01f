//! Replicas among themselves: elections, restarts, snapshots, proposals, reads and founding, over real TCP with the real log and book.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    unreachable_pub
)]

mod ahead;
mod clocks;
mod commands;
mod elections;
mod founding;
mod harness;
mod installs;
mod kill;
mod network;
mod peers;
mod proposals;
mod reads;
mod relays;
mod snapshots;
mod votes;
mod wrapped;
