//! How far followers are told that the log is committed: no further than this replica, which leads them, has applied it.
//!
//! So no follower ever shows what its leader does not show yet, and a linearizable read need not wait for what is committed and not applied. And as a leader applies nothing that it
//! has not synced (`leader_sync.rs`), no follower applies an entry that the leader could lose.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::state_machine::log_id_of;
use super::{LogId, StorageError};
use crate::book::Book;

/// What the leader knows of its log and its book.
#[derive(Debug, Clone)]
pub(super) struct Commits {
    pub(super) book: Arc<Book>,
    /// Up to which index the book shows the log.
    pub(super) applied: watch::Receiver<u64>,
    /// Up to which index the log is written.
    pub(super) written: watch::Receiver<u64>,
}

impl Commits {
    /// What a follower is told where the log is committed up to `commit`.
    pub(super) fn told(&self, commit: Option<LogId>) -> Result<Option<LogId>, StorageError> {
        match commit {
            Some(commit) if *self.applied.borrow() < commit.index => log_id_of(self.book.view().meta()),
            commit => Ok(commit),
        }
    }

    /// Waits until a follower that has the log up to `matching` can be told of `commit`, or there is more to send, but no longer than `patience`: without entries, an append of which the
    /// follower learns nothing would only have to be followed by another.
    pub(super) async fn worth_telling(&self, commit: Option<LogId>, matching: Option<LogId>, patience: Duration) {
        let index = |log_id: Option<LogId>| log_id.map_or(0, |log_id| log_id.index);
        let (commit, matching) = (index(commit), index(matching));
        if *self.applied.borrow() >= commit {
            return;
        }
        let (mut applied, mut written) = (self.applied.clone(), self.written.clone());
        // An error means that the replica stops.
        tokio::select! {
            _ = applied.wait_for(|applied| *applied >= commit) => {}
            _ = written.wait_for(|written| *written > matching) => {}
            () = tokio::time::sleep(patience) => {}
        }
    }
}
