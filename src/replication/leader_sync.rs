//! The sync of what a leader appended to its own log, beside what its followers do: Raft lets a leader send its entries before it has synced them, as long as nobody counts it among
//! those that hold an entry before it has (Ongaro, "Consensus: Bridging Theory and Practice", section 10.2.1).
//!
//! The thread that syncs also writes what is large, leader's or not, and syncs it for whoever must before it is done: a disk under load takes many milliseconds for that, in which
//! neither reads nor heartbeats should wait. For small entries a hand-over would take longer than it spares.
//!
//! openraft counts a leader as soon as its log says that an append is done, which is said here before the sync. So what the leader applies, and answers, waits for the sync; and its
//! followers are told of no commit before the leader has applied it (`commits.rs`). And a replica that led never takes up the same term again after a restart, for the entries that it
//! had not synced may be gone, while a follower holds them.
//! See `docs/decisions/0019-why-the-leader-syncs-beside-its-followers.md`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::state_machine::OnFatal;
use super::worker::{Ended, Threads, Worker};
use crate::store::Engine;

/// How long a sync takes in simulation.
const SIMULATED_SYNC: Duration = Duration::from_millis(1);
/// From how many bytes on an append is large, and not written where replication lives.
pub(super) const LARGE_BYTES: usize = 64 * 1024;

/// What it takes to sync beside the followers.
pub(super) struct Beside {
    /// This replica, whose own entries are meant.
    pub(super) own_id: u64,
    /// Whether there are other replicas, to which it sends what it appends.
    pub(super) has_followers: bool,
    /// Where jobs run.
    pub(super) threads: Threads,
    /// The thread that syncs.
    pub(super) worker: Worker,
    /// Told when a sync failed.
    pub(super) on_fatal: OnFatal,
}

/// Who syncs the leader's entries, and how far that is.
#[derive(Clone)]
pub(super) struct LeaderSync {
    own_id: u64,
    has_followers: bool,
    threads: Threads,
    worker: Worker,
    engine: Arc<dyn Engine>,
    /// The last index written.
    written: Arc<watch::Sender<u64>>,
    /// The last index synced.
    synced: Arc<watch::Sender<u64>>,
    has_failed: Arc<AtomicBool>,
    on_fatal: OnFatal,
}

impl LeaderSync {
    /// For the log in `engine`, which is empty until more is said to be synced.
    pub(super) fn new(beside: Beside, engine: Arc<dyn Engine>) -> LeaderSync {
        let Beside { own_id, has_followers, threads, worker, on_fatal } = beside;
        let (written, synced, has_failed) = (Arc::default(), Arc::default(), Arc::default());
        LeaderSync { own_id, has_followers, threads, worker, engine, written, synced, has_failed, on_fatal }
    }

    /// Whose entries are synced here.
    pub(super) fn own_id(&self) -> u64 {
        self.own_id
    }

    /// Whether an append of so many bytes is written on the thread that syncs: it is large, or the engine is busy with the sync of what came before.
    pub(super) fn is_apart(&self, bytes: usize) -> bool {
        bytes >= LARGE_BYTES || *self.synced.borrow() < *self.written.borrow()
    }

    /// Whether so many bytes that the leader appended are to be synced after the append is done: always beside followers; for a leader that is alone, if another thread does it anyway.
    pub(super) fn is_beside(&self, bytes: usize) -> bool {
        self.has_followers || self.is_apart(bytes)
    }

    /// The thread that syncs.
    pub(super) fn worker(&self) -> &Worker {
        &self.worker
    }

    /// Watches the index up to which the log is synced.
    pub(super) fn synced(&self) -> watch::Receiver<u64> {
        self.synced.subscribe()
    }

    /// Watches the index up to which the log is written.
    pub(super) fn written(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    /// The log now ends at `last` and all of it is synced. If it is shorter than it was, nothing may be under way.
    pub(super) fn is_synced(&self, last: u64) {
        self.written.send_replace(last);
        self.synced.send_replace(last);
    }

    /// All up to `last` is written, and to be synced.
    pub(super) fn is_written(&self, last: u64) -> Result<(), Ended> {
        self.written.send_replace(last);
        let own = self.clone();
        match self.threads {
            Threads::Own => self.worker.give(move || own.sync(last)),
            Threads::Inline => {
                tokio::spawn(async move {
                    tokio::time::sleep(SIMULATED_SYNC).await;
                    own.sync(last);
                });
                Ok(())
            }
        }
    }

    /// Syncs what is written by now, unless what was written up to `wanted` has been synced with something else.
    fn sync(&self, wanted: u64) {
        let last = *self.written.borrow();
        if self.has_failed.load(Ordering::Acquire) || *self.synced.borrow() >= wanted {
            return;
        }
        match self.engine.sync() {
            // Whoever synced more meanwhile has said so.
            Ok(()) => {
                self.synced.send_if_modified(|synced| {
                    let is_more = *synced < last;
                    *synced = (*synced).max(last);
                    is_more
                });
            }
            Err(error) => {
                // What a failed sync left on the disk is unknown: nothing counts as synced any more.
                self.has_failed.store(true, Ordering::Release);
                (self.on_fatal)(format!("the log was not synced: {error}"));
            }
        }
    }

    /// Waits until the log is synced up to `index`.
    pub(super) async fn wait(synced: &watch::Receiver<u64>, index: u64) -> Result<(), Ended> {
        if *synced.borrow() >= index {
            return Ok(());
        }
        synced.clone().wait_for(|synced| *synced >= index).await.map(|_| ()).map_err(|_| Ended)
    }
}
