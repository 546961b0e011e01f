//! One replica, assembled: log, book, peers, proposer and reads around openraft.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use ledger::{Answer, Command, EntryWriter, LogTime};
use openraft::BasicNode;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tokio::time::Instant;
use tonic::metadata::MetadataMap;

use super::clock::{self, Clock, ClockStatus, Stamps, Watched};
use super::commits::Commits;
use super::config::NodeConfig;
use super::home::Home;
use super::identity::{Identity, Member};
use super::leadership::Leadership;
use super::log::{BookPoint, LogOpenError, LogStore};
use super::network::Network;
use super::peers::{MAX_MESSAGE_BYTES, Peers};
use super::proposer::{Proposer, SubmitError};
use super::read::{ReadPoint, Reads, Rounds, is_due, wait_applied};
use super::read_index::{LeaderPoint, ReadIndexes};
use super::relay::{Behind, Relayed, Relays};
use super::service::PeerService;
use super::slice::Slice;
use super::state_machine::StateMachine;
use super::worker::{Threads, Worker};
use super::{Raft, Vote, codec, log_bound};
use crate::book::view::BookView;
use crate::book::{Book, BookError};
use crate::proto::internal as wire;
use crate::proto::internal::raft_service_server::RaftServiceServer;

/// How long a forwarded call may take where the caller gave no deadline.
const DEFAULT_FORWARD_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the leader looks for deadlines that passed while idle.
const IDLE_TICK: Duration = Duration::from_millis(50);

/// Why a replica does not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The log cannot be used.
    #[error(transparent)]
    Log(#[from] LogOpenError),
    /// The book cannot be used.
    #[error(transparent)]
    Book(#[from] BookError),
    /// A thread could not be started.
    #[error("a thread could not be started, or ended while the replica did: {0}")]
    Thread(#[from] std::io::Error),
    /// Raft does not start.
    #[error("replication does not start: {0}")]
    Raft(String),
}

/// What a replica is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Leads.
    Leader,
    /// Follows.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Receives, without a vote.
    Learner,
    /// Stops.
    Stopping,
}

/// What a replica knows of itself and the others.
#[derive(Debug, Clone)]
pub struct NodeStatus {
    /// Its role.
    pub role: Role,
    /// Who leads, if known.
    pub leader_id: Option<u64>,
    /// Raft's term.
    pub term: u64,
    /// The last index of its log.
    pub last_log_index: u64,
    /// Up to which index the log is purged.
    pub purged_index: u64,
    /// The index of its last snapshot.
    pub snapshot_index: u64,
    /// Known to the leader: up to which index each member has the log.
    pub matched: BTreeMap<u64, u64>,
    /// How its clock stands.
    pub clock: ClockStatus,
}

/// One replica.
pub struct Node {
    identity: Identity,
    raft: Raft,
    machine: StateMachine,
    proposer: Proposer,
    leadership: Leadership,
    reads: Reads,
    read_indexes: ReadIndexes,
    relays: Relays,
    peers: Peers,
    threads: Threads,
    clock: Clock,
    watched: Arc<Watched>,
    applied: watch::Receiver<u64>,
    installing: Arc<Mutex<()>>,
    home: Home,
    stale_reads: bool,
}

impl Node {
    /// Starts a replica on its own data.
    ///
    /// # Errors
    /// [`NodeError`]: the data cannot be used, or replication does not start.
    pub async fn start(config: NodeConfig) -> Result<Arc<Node>, NodeError> {
        let raft_config = config.raft()?;
        let meta = config.book.meta();
        let point = BookPoint { applied_index: meta.index, installed_index: meta.installed_index };
        let (applied_sender, applied) = watch::channel(meta.index);
        let home = Home::start(config.threads)?;
        let beside = config.leader_sync()?;
        let log = LogStore::open(Arc::clone(&config.log_engine), Worker::inline(), point, applied.clone(), beside)?;
        let machine = StateMachine {
            own_id: config.identity.replica_id,
            book: Arc::clone(&config.book),
            worker: Worker::start(config.threads, "folio-apply", Slice::Long)?,
            applied: applied_sender,
            synced: log.synced(),
            on_fatal: Arc::clone(&config.on_fatal),
        };
        let peers = Peers::new(&config.identity, config.connector.clone());
        // Connections of their own, for they live where they are first used.
        let to_peers = Peers::new(&config.identity, config.connector.clone());
        let commits = Commits { book: Arc::clone(&config.book), applied: applied.clone(), written: log.written() };
        let leadership = Leadership::new(&config.identity, log.clone(), to_peers.clone());
        let network = Network { peers: to_peers, threads: config.threads, commits };
        let starting = Raft::new(config.identity.replica_id, raft_config, network, log.clone(), machine.clone());
        let raft = home.run(starting).await?.map_err(|error| NodeError::Raft(error.to_string()))?;
        let early = early_answers(&config.book);
        let is_alone = config.identity.is_alone();
        let entered = home.enter();
        let stamps = Stamps { clock: Arc::clone(&config.clock), replica_id: config.identity.replica_id };
        let proposer = Proposer::start(raft.clone(), stamps, config.bounds, is_alone, early);
        let reads = Reads::start(Rounds {
            raft: raft.clone(),
            leadership: leadership.clone(),
            book: Arc::clone(&config.book),
            proposer: proposer.clone(),
            clock: Arc::clone(&config.clock),
            applied: applied.clone(),
        });
        // Raft tells of every entry: on another thread each would be a wake-up.
        watch_fatal(&raft, config.on_fatal);
        tokio::spawn(log_bound::keep_bounded(raft.clone(), log, config.log_bytes));
        drop(entered);
        let read_indexes = ReadIndexes::start(asking(raft.clone(), peers.clone()));
        let book = Arc::clone(&config.book);
        let watched = Watched::start(Arc::clone(&config.clock), move || book.view().time());
        let node = Arc::new(Node {
            identity: config.identity,
            raft,
            machine,
            proposer,
            leadership,
            reads,
            read_indexes,
            relays: Relays::new(peers.clone()),
            peers,
            threads: config.threads,
            clock: config.clock,
            watched,
            applied,
            installing: Arc::default(),
            home,
            stale_reads: crate::seeded::is(crate::seeded::Bug::StaleRead),
        });
        node.initialize().await?;
        node.expire_when_idle();
        Ok(node)
    }

    /// The founder, the member with the least number, proposes the membership; the others wait to hear from it.
    async fn initialize(&self) -> Result<(), NodeError> {
        let failed = |error: String| NodeError::Raft(error);
        let is_founder =
            self.identity.members.first().is_some_and(|first| first.replica_id == self.identity.replica_id);
        let is_initialized = self.raft.is_initialized().await.map_err(|error| failed(error.to_string()))?;
        if !is_founder || is_initialized {
            return Ok(());
        }
        let members: BTreeMap<u64, BasicNode> = self
            .identity
            .members
            .iter()
            .map(|member| (member.replica_id, BasicNode::new(member.peer_address.clone())))
            .collect();
        match self.raft.initialize(members).await {
            Ok(()) => Ok(()),
            // Another's vote or entries came first: the cluster is founded.
            Err(openraft::error::RaftError::APIError(openraft::error::InitializeError::NotAllowed(_))) => Ok(()),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// Lets the leader carry the log's time past deadlines that no command carries it past.
    fn expire_when_idle(self: &Arc<Node>) {
        let node = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(IDLE_TICK).await;
                let Some(node) = node.upgrade() else { return };
                let now = clock::now(&node.clock);
                if node.role() == Role::Leader && is_due(&node.machine.book.view(), now) {
                    let deadline = Instant::now() + DEFAULT_FORWARD_TIMEOUT;
                    if let Err(error) = node.proposer.submit(EntryWriter::new(0), deadline).await {
                        tracing::debug!(%error, "carrying the time forward failed; the next tick tries again");
                    }
                }
            }
        });
    }

    /// Whose data it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The book.
    pub fn book(&self) -> &Arc<Book> {
        &self.machine.book
    }

    /// Where jobs that block run.
    pub fn threads(&self) -> Threads {
        self.threads
    }

    pub(super) fn relays(&self) -> &Relays {
        &self.relays
    }

    pub(super) fn raft(&self) -> &Raft {
        &self.raft
    }

    pub(super) fn state_machine(&self) -> &StateMachine {
        &self.machine
    }

    /// The turn to install a snapshot: one at a time.
    pub(super) async fn installing(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.installing).lock_owned().await
    }

    /// Does something where replication lives, such as serving the peers: what they ask then needs no hand-over to another thread.
    ///
    /// # Errors
    /// The work panicked, or the replica is stopping.
    pub async fn run_at_home<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> std::io::Result<T> {
        self.home.run(work).await
    }

    /// The service for peers, bounded. Their streams end once `stopped` is true, or its sender gone. What their clients asked them is answered by `relayed`.
    pub fn peer_service(
        self: &Arc<Node>,
        stopped: watch::Receiver<bool>,
        relayed: Relayed,
    ) -> RaftServiceServer<PeerService> {
        RaftServiceServer::new(PeerService { node: Arc::clone(self), stopped, relayed })
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// The present role.
    pub fn role(&self) -> Role {
        use openraft::ServerState;
        match self.raft.metrics().borrow().state {
            ServerState::Leader => Role::Leader,
            ServerState::Follower => Role::Follower,
            ServerState::Candidate => Role::Candidate,
            ServerState::Learner => Role::Learner,
            ServerState::Shutdown => Role::Stopping,
        }
    }

    /// Who leads, as far as this replica knows.
    pub fn leader(&self) -> Option<&Member> {
        let leader = self.raft.metrics().borrow().current_leader?;
        self.identity.member(leader)
    }

    /// What this replica knows of itself and the others.
    pub fn status(&self) -> NodeStatus {
        let metrics = self.raft.metrics().borrow().clone();
        let index = |log_id: &Option<super::LogId>| log_id.map_or(0, |log_id| log_id.index);
        let matched = metrics.replication.iter().flatten().map(|(id, log_id)| (*id, index(log_id))).collect();
        NodeStatus {
            role: self.role(),
            leader_id: metrics.current_leader,
            term: metrics.current_term,
            last_log_index: metrics.last_log_index.unwrap_or(0),
            purged_index: index(&metrics.purged),
            snapshot_index: index(&metrics.snapshot),
            matched,
            clock: self.watched.status(),
        }
    }

    /// Decides commands: here if this replica leads, otherwise by one hop to the leader.
    ///
    /// # Errors
    /// [`SubmitError`]: there is no answer; repeating the same request ids is safe.
    pub async fn submit(&self, mut commands: Vec<Command>, deadline: Instant) -> Result<Vec<Answer>, SubmitError> {
        let directory = self.machine.book.directory();
        let mut encoded = EntryWriter::new(commands.len() * 96);
        {
            let directory = directory.read().unwrap_or_else(std::sync::PoisonError::into_inner);
            commands.iter_mut().for_each(|command| directory.resolve(command));
        }
        for command in &commands {
            let added = encoded.add(command);
            added.map_err(|error| SubmitError::Unknown(format!("a command does not encode: {error}")))?;
        }
        drop(commands);
        self.submit_encoded(encoded, deadline).await
    }

    /// Decides commands that are encoded for an entry, as [`Node::submit`] does.
    ///
    /// # Errors
    /// As [`Node::submit`].
    pub async fn submit_encoded(&self, commands: EntryWriter, deadline: Instant) -> Result<Vec<Answer>, SubmitError> {
        if self.role() == Role::Leader {
            return self.proposer.submit(commands, deadline).await;
        }
        let Some(leader) = self.leader().map(|leader| leader.replica_id) else { return Err(SubmitError::NoLeader) };
        if leader == self.identity.replica_id {
            return self.proposer.submit(commands, deadline).await;
        }
        self.forward(leader, commands, deadline).await
    }

    async fn forward(&self, leader: u64, commands: EntryWriter, deadline: Instant) -> Result<Vec<Answer>, SubmitError> {
        let mut client = self.peers.client(leader).ok_or(SubmitError::NoLeader)?;
        let cluster_id = self.peers.cluster_id().to_owned();
        let count = commands.count();
        let (bytes, begin) = commands.into_bytes();
        let commands = Bytes::from(bytes).slice(begin..);
        let mut request = tonic::Request::new(wire::ForwardRequest { cluster_id, commands, count });
        request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        match tokio::time::timeout_at(deadline, client.forward(request)).await {
            Ok(Ok(response)) => codec::decode("the leader's answer", &response.into_inner().payload)
                .map_err(|error| SubmitError::Unknown(error.to_string()))?,
            Ok(Err(status)) => Err(SubmitError::Unknown(format!("the leader did not answer: {}", status.message()))),
            Err(_) => Err(SubmitError::Unknown("the deadline passed".to_owned())),
        }
    }

    /// Proposes what a follower forwarded; it is never forwarded on.
    pub(super) async fn propose_here(
        &self,
        commands: &[u8],
        count: u32,
        deadline: Instant,
    ) -> Result<Vec<Answer>, SubmitError> {
        let mut entry = EntryWriter::new(commands.len());
        entry.push(commands, count);
        self.proposer.submit(entry, deadline).await
    }

    /// Whether this replica has helped nobody to the lead of a later term than that of a vote.
    pub(super) fn holds(&self, vote: &Vote) -> bool {
        self.leadership.holds(vote)
    }

    /// What the leader may show.
    pub(super) async fn leader_read_point(&self, deadline: Instant) -> Result<ReadPoint, SubmitError> {
        self.reads.get(deadline).await
    }

    /// A view that reflects everything answered before this call.
    ///
    /// # Errors
    /// [`SubmitError`] when no leader confirms in time.
    pub async fn linearizable_view(&self, deadline: Instant) -> Result<BookView, SubmitError> {
        self.linearizable_view_telling(deadline, &Behind::default()).await
    }

    /// As [`Node::linearizable_view`]; tells if it waits because this replica is behind its leader.
    ///
    /// # Errors
    /// As [`Node::linearizable_view`].
    pub async fn linearizable_view_telling(&self, deadline: Instant, behind: &Behind) -> Result<BookView, SubmitError> {
        if self.stale_reads {
            return Ok(self.stale_view());
        }
        if self.role() == Role::Leader {
            return Ok(self.reads.get(deadline).await?.view);
        }
        loop {
            let point = self.read_indexes.get(deadline).await?;
            // More may be applied by now than the leader looked at, and a hold in that may have ended meanwhile.
            if let Some(view) = self.view_of(point, deadline, behind).await? {
                return Ok(view);
            }
        }
    }

    /// A view that shows what the leader's point asks for; none if a hold had ended by its time that the view still shows.
    ///
    /// # Errors
    /// As [`Node::view_at_least`].
    pub async fn view_of(
        &self,
        point: LeaderPoint,
        deadline: Instant,
        behind: &Behind,
    ) -> Result<Option<BookView>, SubmitError> {
        if *self.applied.borrow() < point.index {
            behind.tell(point);
        }
        wait_applied(self.applied.clone(), point.index, deadline).await?;
        let view = self.stale_view();
        Ok((!is_due(&view, point.time)).then_some(view))
    }

    /// A view that reflects at least `index`.
    ///
    /// # Errors
    /// [`SubmitError`] when this replica does not get there in time.
    pub async fn view_at_least(&self, index: u64, deadline: Instant) -> Result<BookView, SubmitError> {
        self.view_at_least_telling(index, deadline, &Behind::default()).await
    }

    /// As [`Node::view_at_least`]; tells if it waits.
    ///
    /// # Errors
    /// As [`Node::view_at_least`].
    pub async fn view_at_least_telling(
        &self,
        index: u64,
        deadline: Instant,
        behind: &Behind,
    ) -> Result<BookView, SubmitError> {
        let point = LeaderPoint { index, time: LogTime(0) };
        let view = self.view_of(point, deadline, behind).await?;
        // Nothing was due before all time.
        view.ok_or(SubmitError::NoLeader)
    }

    /// A view of whatever this replica has.
    pub fn stale_view(&self) -> BookView {
        self.machine.book.view()
    }

    /// Watches the index up to which this replica has applied.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.applied.clone()
    }

    /// The deadline that a peer's call carries.
    pub(super) fn deadline_of(&self, metadata: &MetadataMap) -> Instant {
        Instant::now() + crate::replication::deadline_in(metadata).unwrap_or(DEFAULT_FORWARD_TIMEOUT)
    }

    /// Stops, and syncs the book.
    pub async fn stop(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "replication ended uncleanly");
        }
        if let Err(error) = self.machine.run(openraft::ErrorVerb::Write, Book::sync).await {
            tracing::warn!(%error, "the book was not synced at the end; the log replays the rest");
        }
    }
}

/// Asks the replica that leads, as far as this one knows, what it shows.
fn asking(raft: Raft, peers: Peers) -> impl Fn(Instant) -> BoxFuture<'static, Result<LeaderPoint, SubmitError>> {
    move |deadline| {
        let leader = raft.metrics().borrow().current_leader;
        let peers = peers.clone();
        let asked = async move {
            let mut client = leader.and_then(|leader| peers.client(leader)).ok_or(SubmitError::NoLeader)?;
            let cluster_id = peers.cluster_id().to_owned();
            let mut request = tonic::Request::new(wire::ReadIndexRequest { cluster_id });
            request.set_timeout(deadline.saturating_duration_since(Instant::now()));
            match tokio::time::timeout_at(deadline, client.read_index(request)).await {
                Ok(Ok(response)) => {
                    let wire::ReadIndexResponse { index, time } = response.into_inner();
                    Ok(LeaderPoint { index, time: LogTime(time) })
                }
                Ok(Err(_)) | Err(_) => Err(SubmitError::NoLeader),
            }
        };
        asked.boxed()
    }
}

#[cfg(feature = "seeded-bugs")]
fn early_answers(book: &Arc<Book>) -> Option<super::proposer::Early> {
    let book = Arc::clone(book);
    crate::seeded::is(crate::seeded::Bug::AnswerBeforeCommit)
        .then(|| Arc::new(move |bytes: &[u8]| book.preview(bytes)) as super::proposer::Early)
}

#[cfg(not(feature = "seeded-bugs"))]
fn early_answers(_book: &Arc<Book>) -> Option<super::proposer::Early> {
    None
}

/// Ends the process when openraft ends with a fatal error or a panic.
fn watch_fatal(raft: &Raft, on_fatal: Arc<dyn Fn(String) + Send + Sync>) {
    let mut metrics = raft.metrics();
    tokio::spawn(async move {
        loop {
            let state = metrics.borrow_and_update().running_state.clone();
            match state {
                Ok(()) => {}
                Err(openraft::error::Fatal::Stopped) => return,
                Err(fatal) => {
                    on_fatal(fatal.to_string());
                    return;
                }
            }
            // It ended without a word: a panic, for whoever stops it is told before.
            if metrics.changed().await.is_err() {
                on_fatal("replication panicked".to_owned());
                return;
            }
        }
    });
}
