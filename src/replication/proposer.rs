//! The proposer: folds everything that waits into one shared entry while earlier entries are in flight. Nothing is delayed when idle.
//!
//! Work whose deadline has passed is dropped before it is proposed, and only then is it certain that it was not. After that, only an answer or
//! "unknown" is ever given. Repeats are recognised in `apply`, never here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ledger::{Answer, EntryWriter};
use openraft::ServerState;
use openraft::error::{ClientWriteError, RaftError};
use openraft::metrics::RaftServerMetrics;
use openraft::raft::ClientWriteResponse;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::clock::Stamps;
use super::gathering::{self, Bell, Gathered, Gathering};
use super::leader_sync::LARGE_BYTES;
use super::{Payload, Raft, TypeConfig};

/// The proposer's bounds.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The most commands folded into one entry; a larger single request gets an entry of its own.
    pub fold_commands: u32,
    /// The most bytes folded into one entry; a larger single request gets an entry of its own.
    pub fold_bytes: usize,
    /// Entries in flight at once. Among several replicas only one of them is small: what waits meanwhile is better in one entry than in many.
    pub entries_in_flight: usize,
    /// Requests that may wait; more are refused as overload.
    pub waiting_requests: usize,
    /// Bytes that may wait or be in flight; more are refused as overload.
    pub waiting_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            fold_commands: 2_000,
            fold_bytes: 256 * 1024,
            entries_in_flight: 2,
            waiting_requests: 8_192,
            waiting_bytes: 64 * 1024 * 1024,
        }
    }
}

/// Why there is no answer. Nothing of this is ever kept; repeating the same request id is always safe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum SubmitError {
    /// Another replica leads, or none is known to. The request may or may not have been proposed before leadership was lost.
    #[error("this replica does not lead")]
    NotLeader {
        /// The leader's number, if one is known.
        leader_id: Option<u64>,
    },
    /// No leader is known.
    #[error("no leader is known: there may be no quorum")]
    NoLeader,
    /// Too much work waits; it was not proposed.
    #[error("too much work waits")]
    Overloaded,
    /// The deadline passed before it was proposed: nothing happened.
    #[error("the deadline passed before the request was proposed")]
    NotProposed,
    /// The deadline passed while it was in flight, or contact was lost: it may take effect yet.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
    /// The replica is stopping.
    #[error("this replica is stopping")]
    Stopping,
    /// The leader's clock is not to be believed, so it was not proposed.
    #[error("the clock of replica {replica_id}, which leads, is wrong: {detail}")]
    ClockSkew {
        /// The leader's number.
        replica_id: u64,
        /// What the clock shows, and what it may show.
        detail: String,
    },
}

/// What Raft says of an entry that was written.
type WriteResult = Result<ClientWriteResponse<TypeConfig>, ClientWriteError<u64, openraft::BasicNode>>;

struct Proposal {
    commands: EntryWriter,
    waiting: Waiting,
}

/// Who waits for the answers to his commands.
struct Waiting {
    count: u32,
    deadline: Instant,
    reply: oneshot::Sender<Result<Vec<Answer>, SubmitError>>,
    _reserved: Reserved,
}

/// Hands requests to the proposing task.
#[derive(Clone)]
pub(super) struct Proposer {
    sender: mpsc::Sender<Proposal>,
    bell: Arc<Bell>,
    waiting_bytes: Arc<AtomicUsize>,
    bounds: Bounds,
}

/// Answers an entry's bytes without waiting for them to be committed.
pub(super) type Early = Arc<dyn Fn(&[u8]) -> Option<Vec<Answer>> + Send + Sync>;

/// Gives its bytes back when the proposal is let go of, which may be later than when whoever asked went away.
struct Reserved {
    waiting_bytes: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.waiting_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Proposer {
    /// Starts the proposing task, which ends when all handles are dropped.
    ///
    /// `early` is the seeded bug `answer-before-commit`: it answers an entry before it is committed. Always `None` but in builds with bugs.
    pub(super) fn start(raft: Raft, stamps: Stamps, bounds: Bounds, is_alone: bool, early: Option<Early>) -> Proposer {
        let (sender, receiver) = mpsc::channel(bounds.waiting_requests);
        let (bell, waiting_bytes) = (Bell::new(), Arc::default());
        let entries = Entries {
            all: Arc::new(Semaphore::new(bounds.entries_in_flight)),
            small: (!is_alone).then(|| Arc::new(Semaphore::new(1))),
            gathering: Gathering::new(Arc::clone(&bell)),
            waiting_bytes: Arc::clone(&waiting_bytes),
        };
        tokio::spawn(propose(raft, stamps, bounds, receiver, entries, early));
        Proposer { sender, bell, waiting_bytes, bounds }
    }

    /// Proposes commands and waits for their answers.
    pub(super) async fn submit(&self, commands: EntryWriter, deadline: Instant) -> Result<Vec<Answer>, SubmitError> {
        let bytes = commands.commands().len();
        let waiting_bytes = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let reserved = Reserved { waiting_bytes: Arc::clone(&self.waiting_bytes), bytes };
        if waiting_bytes > self.bounds.waiting_bytes {
            return Err(SubmitError::Overloaded);
        }
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting { count: commands.count(), deadline, reply, _reserved: reserved };
        self.sender.try_send(Proposal { commands, waiting }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SubmitError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => SubmitError::Stopping,
        })?;
        self.bell.queued(|| self.sender.max_capacity() - self.sender.capacity(), waiting_bytes >= LARGE_BYTES);
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(answers)) => answers,
            Ok(Err(_)) => Err(SubmitError::Unknown("the replica is stopping".to_owned())),
            Err(_) => Err(SubmitError::Unknown("the deadline passed".to_owned())),
        }
    }
}

/// When the next entry is closed, and with what.
struct Entries {
    /// A permit for each entry in flight.
    all: Arc<Semaphore>,
    /// A permit for the small one among them; none where there is only one replica, for which entries are cheap.
    small: Option<Arc<Semaphore>>,
    gathering: Gathering,
    waiting_bytes: Arc<AtomicUsize>,
}

/// An entry that may be in flight until this is dropped.
struct InFlight {
    _all: OwnedSemaphorePermit,
    small: Option<SmallInFlight>,
}

/// What the small one in flight has besides.
struct SmallInFlight {
    _permit: OwnedSemaphorePermit,
    gathered: Gathered,
}

impl InFlight {
    /// With an entry for so many callers.
    fn proposed(&mut self, callers: usize) {
        if let Some(small) = &mut self.small {
            small.gathered.proposed(callers);
        }
    }

    /// The callers are answered now.
    fn answered(self) {
        if let Some(small) = self.small {
            small.gathered.answered();
        }
    }
}

impl Entries {
    /// Waits until an entry that begins with `first` may be in flight, and its other calls are in the queue. None when nothing is to be proposed any more.
    async fn next(&mut self, first: &Proposal, receiver: &mpsc::Receiver<Proposal>, enough: u32) -> Option<InFlight> {
        let is_small = first.commands.commands().len() < LARGE_BYTES;
        let Some(small) = self.small.as_ref().filter(|_| is_small) else {
            // While this waits, more gather.
            let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
            gathering::turns(receiver, enough).await;
            return Some(InFlight { _all: all, small: None });
        };
        let (permit, waited) = match Arc::clone(small).try_acquire_owned() {
            Ok(permit) => (permit, 0),
            Err(_) => (Arc::clone(small).acquire_owned().await.ok()?, receiver.len() + 1),
        };
        let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        gathering::turns(receiver, enough).await;
        let (waiting_bytes, enough) = (&self.waiting_bytes, usize::try_from(enough).unwrap_or(usize::MAX));
        let is_full = || waiting_bytes.load(Ordering::Relaxed) >= LARGE_BYTES || receiver.len() >= enough;
        let gathered = self.gathering.gather(receiver, waited, is_full).await;
        Some(InFlight { _all: all, small: Some(SmallInFlight { _permit: permit, gathered }) })
    }
}

async fn propose(
    raft: Raft,
    stamps: Stamps,
    bounds: Bounds,
    mut receiver: mpsc::Receiver<Proposal>,
    mut entries: Entries,
    early: Option<Early>,
) {
    let mut carried = None;
    loop {
        let first = match carried.take() {
            Some(proposal) => proposal,
            None => match receiver.recv().await {
                Some(proposal) => proposal,
                None => return,
            },
        };
        let Some(mut in_flight) = entries.next(&first, &receiver, bounds.fold_commands).await else { return };
        let (folded, next) = fold(first, &mut receiver, bounds);
        carried = next;
        let Some((commands, group)) = folded else { continue };
        let stamp = match stamps.next() {
            Ok(stamp) => stamp,
            Err(error) => {
                distribute(group, Err(error));
                continue;
            }
        };
        in_flight.proposed(group.len());
        let payload = Payload(commands.finish(stamp).into());
        let early_answers = early.as_ref().and_then(|early| early(&payload.0));
        let written = raft.client_write_ff(payload).await;
        if let Some(answers) = early_answers {
            distribute(group, Ok(answers));
            continue;
        }
        let term = raft.server_metrics().borrow().vote.leader_id().term;
        let raft = raft.clone();
        tokio::spawn(async move {
            let result = match written {
                Ok(receiver) => answers_of(receiver, &raft, term, in_flight, &group).await,
                Err(fatal) => Err(refusal(RaftError::Fatal(fatal))),
            };
            distribute(group, result);
        });
    }
}

/// Waits for the answers of an entry that was given to Raft.
///
/// An entry that another leader replaced may never get any: where a snapshot covers its index, Raft forgets who waits. So the way is free for
/// other entries as soon as leadership ends, and then the answers are waited for no longer than somebody wants them.
async fn answers_of<E>(
    mut receiver: impl Future<Output = Result<WriteResult, E>> + Unpin,
    raft: &Raft,
    term: u64,
    in_flight: InFlight,
    group: &[Waiting],
) -> Result<Vec<Answer>, SubmitError> {
    // Told when leadership changes, not with every entry.
    let mut metrics = raft.server_metrics();
    // An error means that Raft has stopped.
    let ended = async {
        let is_over = |metrics: &RaftServerMetrics<u64, openraft::BasicNode>| {
            metrics.state != ServerState::Leader || metrics.vote.leader_id().term != term
        };
        let _ = metrics.wait_for(is_over).await;
    };
    let written = tokio::select! {
        biased;
        written = &mut receiver => {
            if matches!(written, Ok(Ok(_))) {
                in_flight.answered();
            }
            written
        }
        () = ended => {
            drop(in_flight);
            let Some(last) = group.iter().map(|waiting| waiting.deadline).max() else { return Ok(Vec::new()) };
            match tokio::time::timeout_at(last, receiver).await {
                Ok(written) => written,
                Err(_) => return Err(SubmitError::Unknown("leadership was lost".to_owned())),
            }
        }
    };
    match written {
        Ok(Ok(response)) => Ok(response.data.0),
        Ok(Err(error)) => Err(refusal(RaftError::APIError(error))),
        Err(_) => Err(SubmitError::Unknown("leadership was lost".to_owned())),
    }
}

/// Takes what waits and fits beside `first`, if anybody still waits for it; what does not fit is carried to the next entry.
fn fold(
    first: Proposal,
    receiver: &mut mpsc::Receiver<Proposal>,
    bounds: Bounds,
) -> (Option<(EntryWriter, Vec<Waiting>)>, Option<Proposal>) {
    let mut folded: Option<(EntryWriter, Vec<Waiting>)> = None;
    let mut next = Some(first);
    while let Some(Proposal { commands, waiting }) = next {
        // Read for each: some arrive while the others are taken.
        if waiting.deadline <= Instant::now() || waiting.reply.is_closed() {
            // Nobody may be waiting any more; if somebody is, this is certain.
            let _ = waiting.reply.send(Err(SubmitError::NotProposed));
        } else if let Some((entry, group)) = &mut folded {
            let all_commands = entry.count().saturating_add(waiting.count);
            let all_bytes = entry.commands().len().saturating_add(commands.commands().len());
            if all_commands > bounds.fold_commands || all_bytes > bounds.fold_bytes {
                return (folded, Some(Proposal { commands, waiting }));
            }
            entry.push(commands.commands(), waiting.count);
            group.push(waiting);
        } else {
            folded = Some((commands, vec![waiting]));
        }
        next = receiver.try_recv().ok();
    }
    (folded, None)
}

fn refusal(error: RaftError<u64, ClientWriteError<u64, openraft::BasicNode>>) -> SubmitError {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
            SubmitError::NotLeader { leader_id: forward.leader_id }
        }
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => SubmitError::Unknown(error.to_string()),
        RaftError::Fatal(_) => SubmitError::Stopping,
    }
}

/// Gives each request its own answers, in order.
fn distribute(group: Vec<Waiting>, result: Result<Vec<Answer>, SubmitError>) {
    match result {
        Err(error) => {
            for waiting in group {
                let _ = waiting.reply.send(Err(error.clone()));
            }
        }
        Ok(answers) => {
            let mut answers = answers.into_iter();
            for waiting in group {
                let count = usize::try_from(waiting.count).unwrap_or(usize::MAX);
                let own: Vec<Answer> = answers.by_ref().take(count).collect();
                let reply = if own.len() == count {
                    Ok(own)
                } else {
                    Err(SubmitError::Unknown("the entry gave fewer answers than it has commands".to_owned()))
                };
                let _ = waiting.reply.send(reply);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::time::Duration;

    use ledger::{Accepted, Outcome, Point};

    use super::*;

    type Reply = oneshot::Receiver<Result<Vec<Answer>, SubmitError>>;

    fn bounds() -> Bounds {
        Bounds { fold_commands: 4, fold_bytes: 40, ..Bounds::default() }
    }

    /// A request of so many commands in so many bytes, all of them `mark`.
    fn proposal(count: u32, bytes: usize, mark: u8, deadline: Instant) -> (Proposal, Reply) {
        let mut commands = EntryWriter::new(bytes);
        commands.push(&vec![mark; bytes], count);
        let (reply, answer) = oneshot::channel();
        let _reserved = Reserved { waiting_bytes: Arc::new(AtomicUsize::new(bytes)), bytes };
        (Proposal { commands, waiting: Waiting { count, deadline, reply, _reserved } }, answer)
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    /// What the entries are that requests are folded into: of each the commands' bytes and the callers' counts.
    fn entries(requests: Vec<Proposal>) -> Vec<(Vec<u8>, Vec<u32>)> {
        let (sender, mut receiver) = mpsc::channel(64);
        let mut requests = requests.into_iter();
        let mut carried = requests.next();
        requests.for_each(|request| sender.try_send(request).map_err(|_| "full").unwrap());
        let mut entries = Vec::new();
        while let Some(first) = carried.take().or_else(|| receiver.try_recv().ok()) {
            let (folded, next) = fold(first, &mut receiver, bounds());
            carried = next;
            entries.extend(folded.map(|(entry, group)| {
                assert_eq!(entry.count(), group.iter().map(|waiting| waiting.count).sum::<u32>());
                (entry.commands().to_vec(), group.iter().map(|waiting| waiting.count).collect())
            }));
        }
        entries
    }

    fn counts(requests: &[(u32, usize)]) -> Vec<Vec<u32>> {
        let proposals = (1u8..).zip(requests).map(|(mark, (count, bytes))| proposal(*count, *bytes, mark, later()));
        let (proposals, _replies): (Vec<_>, Vec<_>) = proposals.unzip();
        let entries = entries(proposals);
        // Nothing is lost, and nothing overtakes anything.
        let found: Vec<u8> = entries.iter().flat_map(|(bytes, _)| bytes.iter().copied()).collect();
        let wanted: Vec<u8> =
            (1u8..).zip(requests).flat_map(|(mark, (_, bytes))| std::iter::repeat_n(mark, *bytes)).collect();
        assert_eq!(found, wanted, "{requests:?}");
        entries.into_iter().map(|(_, group)| group).collect()
    }

    #[tokio::test]
    async fn an_entry_is_filled_to_the_last_command_and_byte_and_no_further() {
        assert_eq!(counts(&[(2, 4), (1, 4)]), [vec![2, 1]]);
        assert_eq!(counts(&[(2, 4), (2, 4)]), [vec![2, 2]]);
        assert_eq!(counts(&[(2, 4), (3, 4)]), [vec![2], vec![3]]);
        assert_eq!(counts(&[(1, 20), (1, 19)]), [vec![1, 1]]);
        assert_eq!(counts(&[(1, 20), (1, 20)]), [vec![1, 1]]);
        assert_eq!(counts(&[(1, 20), (1, 21)]), [vec![1], vec![1]]);
        // What is too much for any entry has one of its own; what follows it goes on.
        assert_eq!(counts(&[(9, 4), (1, 4), (1, 4)]), [vec![9], vec![1, 1]]);
        assert_eq!(counts(&[(1, 4), (1, 99), (1, 4)]), [vec![1], vec![1], vec![1]]);
        // What does not fit keeps its place: nothing smaller goes before it.
        assert_eq!(counts(&[(3, 4), (2, 4), (1, 4)]), [vec![3], vec![2, 1]]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_waits_for_any_more_is_not_proposed_and_takes_no_room() {
        let now = Instant::now();
        let (alive, _alive) = proposal(2, 4, 1, now + Duration::from_nanos(1));
        let (late, late_reply) = proposal(3, 4, 2, now);
        let (gone, gone_reply) = proposal(3, 4, 3, later());
        drop(gone_reply);
        let (last, _last) = proposal(2, 4, 4, later());
        assert_eq!(entries(vec![late, gone, alive, last]), [(vec![1, 1, 1, 1, 4, 4, 4, 4], vec![2, 2])]);
        // Only of this is it certain, so only this says so.
        assert_eq!(late_reply.await.unwrap(), Err(SubmitError::NotProposed));
        let (late, _late) = proposal(1, 4, 1, now);
        assert_eq!(entries(vec![late]), []);
    }

    fn answer(position: u32) -> Answer {
        let point = Point { index: 7, position, time: ledger::LogTime(u64::from(position)) };
        let outcome = Outcome::Accepted(Accepted::Frozen);
        Answer { point, sequence: None, replay_of: None, state: None, outcome }
    }

    fn group(counts: &[u32]) -> (Vec<Waiting>, Vec<Reply>) {
        counts.iter().map(|count| proposal(*count, 4, 0, later())).map(|(one, reply)| (one.waiting, reply)).unzip()
    }

    #[tokio::test]
    async fn each_request_gets_its_own_answers_and_too_few_are_none() {
        let (waiting, replies) = group(&[2, 0, 1, 3]);
        distribute(waiting, Ok((0..6).map(answer).collect()));
        let mut found: Vec<Vec<u32>> = Vec::new();
        for reply in replies {
            found.push(reply.await.unwrap().unwrap().iter().map(|answer| answer.point.position).collect());
        }
        assert_eq!(found, [vec![0, 1], vec![], vec![2], vec![3, 4, 5]]);

        // An answer is never made up: whoever has not all of his own hears that the outcome is unknown.
        let (waiting, mut replies) = group(&[2, 3]);
        distribute(waiting, Ok((0..4).map(answer).collect()));
        assert!(matches!(replies.pop().unwrap().await.unwrap(), Err(SubmitError::Unknown(_))));
        assert_eq!(replies.pop().unwrap().await.unwrap().unwrap().len(), 2);

        let (waiting, replies) = group(&[1, 1]);
        distribute(waiting, Err(SubmitError::Stopping));
        for reply in replies {
            assert_eq!(reply.await.unwrap(), Err(SubmitError::Stopping));
        }
    }
}
