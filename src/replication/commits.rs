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

/// How long an append without entries waits for some: of a steady load the next are there by then, and no follower is the worse for it.
const MOMENT: Duration = Duration::from_millis(1);

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

    /// Whether a follower that has the log up to `matching` is worth an append without entries, to tell it of `commit`: not if there are entries to send, whose append tells as much and
    /// would only have to wait for this one. It waits until one of both is clear: that what is to be told is applied here, which takes no longer than `patience`, and that no entries come
    /// within a moment.
    pub(super) async fn is_worth_telling(
        &self,
        commit: Option<LogId>,
        matching: Option<LogId>,
        patience: Duration,
    ) -> bool {
        let index = |log_id: Option<LogId>| log_id.map_or(0, |log_id| log_id.index);
        let (commit, matching) = (index(commit), index(matching));
        let (mut applied, mut written) = (self.applied.clone(), self.written.clone());
        let is_clear = async {
            // An error means that the replica stops.
            let _ = tokio::time::timeout(patience, applied.wait_for(|applied| *applied >= commit)).await;
            tokio::time::sleep(MOMENT).await;
        };
        tokio::select! {
            biased;
            _ = written.wait_for(|written| *written > matching) => false,
            () = is_clear => true,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use openraft::CommittedLeaderId;
    use tokio::time::Instant;

    use super::*;
    use crate::store::memory::MemoryEngine;

    const PATIENCE: Duration = Duration::from_millis(50);

    fn at(index: u64) -> Option<LogId> {
        Some(LogId::new(CommittedLeaderId::new(1, 1), index))
    }

    struct Leader {
        applied: watch::Sender<u64>,
        written: watch::Sender<u64>,
        commits: Commits,
    }

    /// A leader whose log is written up to `written` and whose book shows it up to `applied`.
    fn leader(applied: u64, written: u64) -> Leader {
        let (applied, written) = (watch::Sender::new(applied), watch::Sender::new(written));
        let book = Arc::new(Book::open(Arc::new(MemoryEngine::new())).unwrap());
        let commits = Commits { book, applied: applied.subscribe(), written: written.subscribe() };
        Leader { applied, written, commits }
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_is_told_at_once_where_no_entries_follow() {
        let leader = leader(5, 5);
        let begin = Instant::now();
        assert!(leader.commits.is_worth_telling(at(5), at(5), PATIENCE).await);
        assert!(begin.elapsed() <= 2 * MOMENT, "{:?}", begin.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn entries_that_are_there_or_come_within_a_moment_tell_it() {
        let leader = leader(5, 6);
        assert!(!leader.commits.is_worth_telling(at(5), at(5), PATIENCE).await);
        let coming = async {
            tokio::time::sleep(MOMENT / 2).await;
            leader.written.send_replace(7);
        };
        let (is_worth_telling, ()) = tokio::join!(leader.commits.is_worth_telling(at(5), at(6), PATIENCE), coming);
        assert!(!is_worth_telling);
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_is_told_once_it_is_applied_here_and_patience_is_bounded() {
        let leader = leader(4, 5);
        let begin = Instant::now();
        let applying = async {
            tokio::time::sleep(PATIENCE / 2).await;
            leader.applied.send_replace(5);
        };
        let (is_worth_telling, ()) = tokio::join!(leader.commits.is_worth_telling(at(5), at(5), PATIENCE), applying);
        assert!(is_worth_telling && begin.elapsed() >= PATIENCE / 2 && begin.elapsed() < PATIENCE);
        let begin = Instant::now();
        assert!(leader.commits.is_worth_telling(at(6), at(5), PATIENCE).await);
        assert!(begin.elapsed() >= PATIENCE && begin.elapsed() <= PATIENCE + 2 * MOMENT);
    }
}
