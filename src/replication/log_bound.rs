//! Keeps the log within a number of bytes. openraft counts entries, and one may hold a single command or thousands: by their number alone the log could grow to gigabytes, all of which is read when the
//! replica starts again.

use std::time::Duration;

use super::Raft;
use super::log::LogStore;

/// How often the log is looked at.
const TICK: Duration = Duration::from_secs(1);
/// How long a snapshot may take before the next attempt.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(30);

/// Purges the log down to half of `most_bytes` whenever it holds more, until Raft has stopped. The half that is kept is for followers that are a little behind.
pub(super) async fn keep_bounded(raft: Raft, log: LogStore, most_bytes: u64) {
    let mut metrics = raft.data_metrics();
    loop {
        tokio::time::sleep(TICK).await;
        if raft.metrics().borrow().running_state.is_err() {
            return;
        }
        let Some(upto) = (log.bytes() > most_bytes).then(|| log.beyond(most_bytes / 2)).flatten() else { continue };
        if raft.trigger().snapshot().await.is_err() {
            return;
        }
        let covers = metrics.wait_for(|metrics| metrics.snapshot.is_some_and(|snapshot| snapshot.index >= upto));
        match tokio::time::timeout(SNAPSHOT_TIMEOUT, covers).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return,
            // The book is behind the log; what it has not applied must stay.
            Err(_) => continue,
        }
        if raft.trigger().purge_log(upto).await.is_err() {
            return;
        }
        tracing::debug!(upto, "the log is purged: it had grown beyond its bytes");
    }
}
