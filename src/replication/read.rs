//! Linearizable reads, shared: a read joins only a round that starts after it arrived, so that many reads cost the leader one question to the others.
//!
//! A round asks a majority whether this replica still leads (`leadership.rs`), and then shows what is applied here. It need not wait for what is committed and not
//! applied: nobody has been answered for that, and no follower shows it, for followers are told of no commit before the leader has applied it
//! (`network.rs`). What earlier leaders answered lies below the read index that the first round of a term finds, so that must be applied first.
//! A replica that is alone needs a round for the first read of a term only: it is the majority, and nobody else can have led meanwhile.
//! See `docs/decisions/0020-why-a-linearizable-read-waits-for-no-apply.md`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ledger::{EntryWriter, LogTime};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::Raft;
use super::clock::{self, Clock};
use super::leadership::Leadership;
use super::proposer::{Proposer, SubmitError};
use crate::book::Book;
use crate::book::view::BookView;

/// Reads that may wait for a round; more are refused as overload.
const MAX_WAITING_READS: usize = 65_536;
/// How long a round may take; whoever asked may give up before.
const ROUND_TIMEOUT: Duration = Duration::from_secs(10);

/// What a round found.
#[derive(Clone)]
pub(super) struct ReadPoint {
    /// What may be shown.
    pub(super) view: BookView,
    /// The leader's clock when the round began, or 0 if that is not to be believed: whatever was
    /// due then has expired in the view.
    pub(super) time: LogTime,
}

type Reply = oneshot::Sender<Result<ReadPoint, SubmitError>>;

/// Hands reads to the task that runs rounds.
#[derive(Clone)]
pub(super) struct Reads {
    sender: mpsc::Sender<Reply>,
    alone: Alone,
}

/// What a replica that is alone shows without a round, and on whichever thread asks.
#[derive(Clone)]
struct Alone {
    book: Arc<Book>,
    clock: Clock,
    leadership: Leadership,
    /// The last term of which a round has ended; 0 before the first.
    confirmed_term: Arc<AtomicU64>,
}

impl Alone {
    /// None where it takes a round: there are others, the term is new, or holds are due that the book shows as open.
    fn point(&self) -> Option<ReadPoint> {
        let confirmed_term = self.confirmed_term.load(Ordering::Acquire);
        if confirmed_term == 0 || !self.leadership.is_held_alone(confirmed_term) {
            return None;
        }
        let time = clock::now(&self.clock);
        let view = self.book.view();
        (!is_due(&view, time)).then_some(ReadPoint { view, time })
    }
}

/// What rounds need.
pub(super) struct Rounds {
    pub(super) raft: Raft,
    pub(super) leadership: Leadership,
    pub(super) book: Arc<Book>,
    pub(super) proposer: Proposer,
    pub(super) clock: Clock,
    pub(super) applied: watch::Receiver<u64>,
}

impl Reads {
    /// Starts the task.
    pub(super) fn start(rounds: Rounds) -> Reads {
        let (sender, receiver) = mpsc::channel::<Reply>(MAX_WAITING_READS);
        let alone = Alone {
            book: Arc::clone(&rounds.book),
            clock: Arc::clone(&rounds.clock),
            leadership: rounds.leadership.clone(),
            confirmed_term: Arc::default(),
        };
        tokio::spawn(rounds.run(receiver, Arc::clone(&alone.confirmed_term)));
        Reads { sender, alone }
    }

    /// What a linearizable read may show; only the leader can tell.
    pub(super) async fn get(&self, deadline: Instant) -> Result<ReadPoint, SubmitError> {
        if let Some(point) = self.alone.point() {
            return Ok(point);
        }
        let (reply, point) = oneshot::channel();
        self.sender.try_send(reply).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SubmitError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => SubmitError::Stopping,
        })?;
        match tokio::time::timeout_at(deadline, point).await {
            Ok(Ok(point)) => point,
            Ok(Err(_)) => Err(SubmitError::Stopping),
            Err(_) => Err(SubmitError::NoLeader),
        }
    }
}

/// The read index that the first round of a term found: not below what earlier leaders answered.
#[derive(Clone, Copy, Default)]
struct Floor {
    term: u64,
    index: u64,
}

impl Rounds {
    async fn run(self, mut receiver: mpsc::Receiver<Reply>, confirmed_term: Arc<AtomicU64>) {
        let (mut group, mut floor) = (Vec::new(), Floor::default());
        while let Some(first) = receiver.recv().await {
            group.push(first);
            while let Ok(reply) = receiver.try_recv() {
                group.push(reply);
            }
            let point = self.round(&mut floor).await;
            if point.is_ok() {
                confirmed_term.store(floor.term, Ordering::Release);
            }
            for reply in group.drain(..) {
                // Whoever asked may have gone.
                let _ = reply.send(point.clone());
            }
        }
    }

    async fn round(&self, floor: &mut Floor) -> Result<ReadPoint, SubmitError> {
        let time = clock::now(&self.clock);
        let deadline = Instant::now() + ROUND_TIMEOUT;
        self.confirm(floor).await?;
        wait_applied(self.applied.clone(), floor.index, deadline).await?;
        loop {
            let view = self.book.view();
            if !is_due(&view, time) {
                return Ok(ReadPoint { view, time });
            }
            // An entry without commands carries the log's time past the deadlines.
            self.proposer.submit(EntryWriter::new(0), deadline).await?;
        }
    }

    /// Asks a majority whether this replica leads: the first time in a term by way of Raft, which must say that it was elected.
    async fn confirm(&self, floor: &mut Floor) -> Result<(), SubmitError> {
        use openraft::error::{CheckIsLeaderError, RaftError};
        if floor.term > 0 && self.leadership.is_held(floor.term).await {
            return Ok(());
        }
        match self.raft.get_read_log_id().await {
            Ok((read, _)) => {
                // Of the present term always: it is not below the entry with which that began.
                if let Some(read) = read.filter(|read| read.leader_id.term != floor.term) {
                    *floor = Floor { term: read.leader_id.term, index: read.index };
                }
                Ok(())
            }
            Err(RaftError::APIError(CheckIsLeaderError::ForwardToLeader(forward))) => {
                Err(SubmitError::NotLeader { leader_id: forward.leader_id })
            }
            Err(RaftError::APIError(CheckIsLeaderError::QuorumNotEnough(_))) => Err(SubmitError::NoLeader),
            Err(RaftError::Fatal(_)) => Err(SubmitError::Stopping),
        }
    }
}

/// Whether a view shows a hold that has ended by `time`.
pub(super) fn is_due(view: &BookView, time: LogTime) -> bool {
    view.earliest_deadline().is_some_and(|deadline| deadline <= time)
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
