//! The client library: one call over several endpoints, with the same request id until there is an answer or the time is up.
//!
//! It never invents a request id: whoever asks chose and stored it before. What it returns is one of three: an answer, a refusal that was decided, or
//! no answer, and then whether anything can have happened.

mod connection;
mod direct;
mod encoded;
mod failure;
mod plain;
mod verdicts;

pub use connection::{Client, ClientConfig};
pub use failure::{Failure, FailureKind};
pub use plain::{BatchWriter, EncodedBatch, PlainCommand};
pub use verdicts::{MalformedAnswer, Verdict, read_verdicts};
