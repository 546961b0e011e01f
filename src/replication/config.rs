//! What a replica is made of.

use std::sync::Arc;

use openraft::{Config, SnapshotPolicy};

use super::clock::Clock;
use super::identity::Identity;
use super::leader_sync::Beside;
use super::node::NodeError;
use super::peers::Connector;
use super::proposer::Bounds;
use super::slice::Slice;
use super::worker::{Threads, Worker};
use crate::book::Book;
use crate::store::Engine;

/// Entries kept behind a snapshot for followers that are a little behind.
const KEPT_ENTRIES: u64 = 4_096;

/// What a replica is made of.
pub struct NodeConfig {
    /// Whose data it is.
    pub identity: Identity,
    /// The engine of the log.
    pub log_engine: Arc<dyn Engine>,
    /// The book.
    pub book: Arc<Book>,
    /// Where jobs run.
    pub threads: Threads,
    /// How peers are reached.
    pub connector: Connector,
    /// The clock that stamps proposals: nanoseconds since 1970.
    pub clock: Clock,
    /// Called when the replica must stop, with the reason.
    pub on_fatal: Arc<dyn Fn(String) + Send + Sync>,
    /// The proposer's bounds.
    pub bounds: Bounds,
    /// Between heartbeats, in milliseconds.
    pub heartbeat_ms: u64,
    /// The least and greatest election time-out, in milliseconds.
    pub election_ms: (u64, u64),
    /// After how many entries a snapshot is taken and the log is purged.
    pub snapshot_entries: u64,
    /// How many bytes the log may hold before it is purged to half of that.
    pub log_bytes: u64,
}

impl NodeConfig {
    /// What Raft is told.
    pub(super) fn raft(&self) -> Result<Arc<Config>, NodeError> {
        let raft = Config {
            cluster_name: self.identity.cluster_id.clone(),
            heartbeat_interval: self.heartbeat_ms,
            election_timeout_min: self.election_ms.0,
            election_timeout_max: self.election_ms.1,
            install_snapshot_timeout: 120_000,
            max_payload_entries: 256,
            // A follower that is behind is served from the log while the log has what it needs.
            replication_lag_threshold: u64::MAX,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_entries),
            max_in_snapshot_log_to_keep: KEPT_ENTRIES.min(self.snapshot_entries),
            purge_batch_size: 256.min(self.snapshot_entries),
            ..Config::default()
        };
        raft.validate().map(Arc::new).map_err(|error| NodeError::Raft(error.to_string()))
    }

    /// What syncs the log beside the followers.
    pub(super) fn leader_sync(&self) -> Result<Beside, NodeError> {
        Ok(Beside {
            own_id: self.identity.replica_id,
            has_followers: !self.identity.is_alone(),
            threads: self.threads,
            worker: Worker::start(self.threads, "folio-log", Slice::Short)?,
            on_fatal: Arc::clone(&self.on_fatal),
        })
    }
}
