//! Linearizable reads by read index, shared: a read joins only a round that starts after it arrived, so that many reads cost the leader one heartbeat.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::Raft;
use super::proposer::SubmitError;

/// Reads that may wait for a round; more are refused as overload.
const MAX_WAITING_READS: usize = 65_536;

type Reply = oneshot::Sender<Result<u64, SubmitError>>;

/// Hands reads to the task that runs rounds.
#[derive(Clone)]
pub(super) struct ReadIndexes {
    sender: mpsc::Sender<Reply>,
}

/// Called in each round with the read index, after leadership was confirmed: waits until that is applied, because holds of entries that are not
/// cannot be seen to be due, then carries the log's time forward where a deadline has passed, and returns the index that a read must wait for.
pub(super) type CarryTime =
    Arc<dyn Fn(u64) -> futures::future::BoxFuture<'static, Result<u64, SubmitError>> + Send + Sync>;

impl ReadIndexes {
    pub(super) fn start(raft: Raft, carry_time: CarryTime) -> ReadIndexes {
        let (sender, mut receiver) = mpsc::channel::<Reply>(MAX_WAITING_READS);
        tokio::spawn(async move {
            while let Some(first) = receiver.recv().await {
                let mut group = vec![first];
                while let Ok(reply) = receiver.try_recv() {
                    group.push(reply);
                }
                let index = round(&raft, &carry_time).await;
                for reply in group {
                    // Whoever asked may have gone.
                    let _ = reply.send(index.clone());
                }
            }
        });
        ReadIndexes { sender }
    }

    /// The index that a linearizable read must wait for; only the leader can tell.
    pub(super) async fn get(&self, deadline: Instant) -> Result<u64, SubmitError> {
        let (reply, index) = oneshot::channel();
        self.sender.try_send(reply).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SubmitError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => SubmitError::Stopping,
        })?;
        match tokio::time::timeout_at(deadline, index).await {
            Ok(Ok(index)) => index,
            Ok(Err(_)) => Err(SubmitError::Stopping),
            Err(_) => Err(SubmitError::NoLeader),
        }
    }
}

async fn round(raft: &Raft, carry_time: &CarryTime) -> Result<u64, SubmitError> {
    use openraft::error::{CheckIsLeaderError, RaftError};
    match raft.get_read_log_id().await {
        Ok((read, _)) => {
            let read = read.map_or(0, |log_id| log_id.index);
            carry_time(read).await
        }
        Err(RaftError::APIError(CheckIsLeaderError::ForwardToLeader(forward))) => {
            Err(SubmitError::NotLeader { leader_id: forward.leader_id })
        }
        Err(RaftError::APIError(CheckIsLeaderError::QuorumNotEnough(_))) => Err(SubmitError::NoLeader),
        Err(RaftError::Fatal(_)) => Err(SubmitError::Stopping),
    }
}

/// Waits until this replica has applied `index`.
pub(super) async fn wait_applied(
    mut applied: watch::Receiver<u64>,
    index: u64,
    deadline: Instant,
) -> Result<(), SubmitError> {
    // Most have nothing to wait for.
    if *applied.borrow() >= index {
        return Ok(());
    }
    match tokio::time::timeout_at(deadline, applied.wait_for(|applied| *applied >= index)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(SubmitError::Stopping),
        Err(_) => Err(SubmitError::NoLeader),
    }
}
