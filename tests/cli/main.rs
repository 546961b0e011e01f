//! The program as people and scripts use it: the real binary in processes of its own, on loopback, with real folders.
//!
//! Nothing in here calls the library to change the book; what is asserted is what a shell sees: exit codes, standard output, standard error.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    unreachable_pub
)]

mod bench;
mod clock;
mod commands;
mod damage;
mod demo;
mod disks;
mod founding;
mod harness;
mod help;
mod import;
mod lists;
mod reasons;
mod serve;
mod services;
mod shown;
mod signals;
mod stock_clients;
mod streams;
mod transport;
mod trouble;
