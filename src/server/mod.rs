//! The server: configuration, assembly of a replica, listening, stopping.

pub mod config;
mod descriptors;
mod door;
pub mod http2;
mod run;
mod seats;

pub use config::{Config, ConfigError, ServeArgs, unknown_variables};
pub use run::{ELECTION_MS, HEARTBEAT_MS, ServeError, serve, serve_on};
