//! Replication: the Raft log, the state machine over the book, peers, proposals and read indexes. The only module that names openraft.
//!
//! Wire types (`proto::internal`), log types (openraft's, in postcard) and domain types (the core's) are three types, converted here and nowhere else.
//! An entry's commands are opaque bytes, encoded once by whoever received them.

// openraft chose the size of its errors; they are not on a hot path.
#![allow(clippy::result_large_err)]

mod append_stream;
mod clock;
mod codec;
mod commits;
mod config;
pub mod founding;
mod gathering;
mod home;
pub mod identity;
mod leader_sync;
mod leadership;
mod log;
mod log_bound;
mod log_size;
mod network;
mod node;
mod peers;
mod proposer;
mod read;
mod read_index;
mod relay;
pub mod service;
mod slice;
mod state_machine;
mod tail;
#[cfg(test)]
mod tests;
mod worker;

use bytes::Bytes;
use openraft::BasicNode;
use serde::{Deserialize, Serialize};

pub use clock::{Clock, ClockJump, ClockStatus};
pub use config::NodeConfig;
pub use log::LogOpenError;
pub use node::{Node, NodeError, NodeStatus, Role};
pub use peers::Connector;
pub(crate) use peers::MAX_MESSAGE_BYTES as MAX_PEER_MESSAGE_BYTES;
pub use proposer::{Bounds as ProposerBounds, SubmitError};
pub use read_index::LeaderPoint;
pub use relay::{Behind, Question, Relayed};
pub use slice::Slice;
pub use worker::Threads;

/// The commands of an entry, as [`ledger::EntryWriter`] encoded them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Payload(pub Bytes);

// openraft wants its data to be serializable; folio's own codec writes entries, so that the bytes are never copied item by item.
impl Serialize for Payload {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Payload, D::Error> {
        Vec::<u8>::deserialize(deserializer).map(|bytes| Payload(bytes.into()))
    }
}

impl std::fmt::Display for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes of commands", self.0.len())
    }
}

/// The answers of an entry, one per command. Only the proposer on this replica reads them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Answers(pub Vec<ledger::Answer>);

openraft::declare_raft_types!(
    /// The types of folio's Raft.
    pub TypeConfig:
        D = Payload,
        R = Answers,
        NodeId = u64,
        Node = BasicNode,
        Entry = openraft::Entry<TypeConfig>,
        SnapshotData = state_machine::SnapshotData,
);

type LogId = openraft::LogId<u64>;
type Vote = openraft::Vote<u64>;
type Entry = openraft::Entry<TypeConfig>;
type StorageError = openraft::StorageError<u64>;
type Raft = openraft::Raft<TypeConfig>;
type StoredMembership = openraft::StoredMembership<u64, BasicNode>;

/// The time that a call still has, from its `grpc-timeout` header; `None` without one.
pub fn deadline_in(metadata: &tonic::metadata::MetadataMap) -> Option<std::time::Duration> {
    timeout_of(metadata.get(TIMEOUT_HEADER)?.to_str().ok()?)
}

/// The header in which a caller says how long it waits.
pub(crate) const TIMEOUT_HEADER: &str = "grpc-timeout";

/// What such a header says; `None` if that is no time.
pub(crate) fn timeout_of(text: &str) -> Option<std::time::Duration> {
    use std::time::Duration;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}
