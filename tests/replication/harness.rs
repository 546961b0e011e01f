//! A cluster in one process. Each replica has a runtime of its own, so that killing it drops everything that it was doing, as the end of a process
//! does; only its folder (or its engine in memory) outlives it.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use folio::api::{Api, Limits};
use folio::book::Book;
use folio::book::view::BookView;
use folio::replication::identity::{Identity, Member};
use folio::replication::{Node, NodeConfig, NodeError, ProposerBounds, Role, SubmitError, Threads};
use folio::store::memory::MemoryEngine;
use folio::store::{self, Engine, EngineKind, StoreError};
use ledger::{Answer, Command};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

use crate::commands::{cents, is_accepted, opening};
use crate::network::Links;

/// How long a test waits for what must happen soon.
pub const PATIENCE: Duration = Duration::from_secs(20);
pub const CLUSTER: &str = "test";

/// What a cluster is made of.
#[derive(Clone, Copy)]
pub struct Settings {
    pub engine: EngineKind,
    pub replicas: u64,
    pub snapshot_entries: u64,
    pub log_bytes: u64,
    pub bounds: ProposerBounds,
    pub threads: Threads,
}

impl Settings {
    pub fn of(engine: EngineKind, replicas: u64) -> Settings {
        Settings {
            engine,
            replicas,
            snapshot_entries: 100_000,
            log_bytes: u64::MAX,
            bounds: ProposerBounds::default(),
            threads: Threads::Own,
        }
    }
}

/// A replica's data in memory, which a test keeps for it.
#[derive(Clone)]
struct InMemory {
    log: Arc<MemoryEngine>,
    book: Arc<MemoryEngine>,
}

struct Running {
    node: Arc<Node>,
    runtime: Runtime,
    /// Dropped with it, which ends the streams from peers.
    _serving: watch::Sender<bool>,
    /// False once the replica was ended: what its threads still find out does not count.
    is_alive: Arc<AtomicBool>,
}

/// Makes an engine of the one that a replica would use for its log or its book.
pub type Wrap = Arc<dyn Fn(u64, Part, Arc<dyn Engine>) -> Arc<dyn Engine> + Send + Sync>;

pub struct Cluster {
    settings: Settings,
    members: Vec<Member>,
    folder: tempfile::TempDir,
    memory: BTreeMap<u64, InMemory>,
    running: BTreeMap<u64, Running>,
    links: Links,
    wrap: Wrap,
    clock: Arc<Mutex<Clock>>,
    /// Why replicas stopped by themselves.
    pub fatal: Arc<Mutex<Vec<String>>>,
}

/// What the clocks of all replicas of a cluster show.
#[derive(Clone, Copy)]
pub enum Clock {
    System,
    /// The system's, so many nanoseconds ahead, or back if that is negative.
    Ahead(i64),
    /// Always the same nanosecond since 1970.
    At(u64),
}

impl Clock {
    fn read(self) -> u64 {
        match self {
            Clock::System => now_ns(),
            Clock::Ahead(by_ns) => now_ns().saturating_add_signed(by_ns),
            Clock::At(ns) => ns,
        }
    }
}

fn now_ns() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

/// Waits until something is there, and fails with `what` if it does not come.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn in_a_moment(timeout_ms: u64) -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_millis(timeout_ms)
}

impl Cluster {
    /// Starts a cluster and opens the accounts.
    pub fn start(settings: Settings) -> Cluster {
        Cluster::start_wrapped(settings, Arc::new(|_, _, engine| engine))
    }

    /// Starts a cluster whose engines are wrapped, and opens the accounts.
    pub fn start_wrapped(settings: Settings, wrap: Wrap) -> Cluster {
        let mut cluster = Cluster::found(settings, wrap);
        for id in cluster.ids() {
            cluster.start_replica(id);
        }
        cluster.decide(opening());
        cluster
    }

    fn found(settings: Settings, wrap: Wrap) -> Cluster {
        // All ports are taken before one is let go, so that they differ.
        let listeners: Vec<TcpListener> =
            (0..settings.replicas).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let members: Vec<Member> = (1..)
            .zip(&listeners)
            .map(|(replica_id, listener)| {
                let peer_address = listener.local_addr().unwrap().to_string();
                Member { replica_id, peer_address, client_address: format!("127.0.0.1:{replica_id}") }
            })
            .collect();
        Cluster {
            settings,
            members,
            folder: tempfile::tempdir().unwrap(),
            memory: BTreeMap::new(),
            running: BTreeMap::new(),
            links: Links::default(),
            wrap,
            clock: Arc::new(Mutex::new(Clock::System)),
            fatal: Arc::default(),
        }
    }

    /// Sets the clocks of all replicas.
    pub fn set_clock(&self, clock: Clock) {
        *self.clock.lock().unwrap() = clock;
    }

    pub fn ids(&self) -> Vec<u64> {
        self.members.iter().map(|member| member.replica_id).collect()
    }

    pub fn address(&self, id: u64) -> &str {
        &self.members.iter().find(|member| member.replica_id == id).unwrap().peer_address
    }

    pub fn folder(&self, id: u64) -> PathBuf {
        self.folder.path().join(id.to_string())
    }

    fn engines(&mut self, id: u64) -> Result<[Arc<dyn Engine>; 2], StoreError> {
        match self.settings.engine {
            EngineKind::Memory => {
                let new = || InMemory { log: Arc::default(), book: Arc::default() };
                let engines = self.memory.entry(id).or_insert_with(new).clone();
                Ok([engines.log, engines.book])
            }
            EngineKind::Fjall | EngineKind::Sled => {
                let (kind, folder) = (self.settings.engine, self.folder(id));
                let log = opened(|| store::open_log(kind, &folder.join("log")))?;
                Ok([log, opened(|| store::open(kind, &folder.join("book")))?])
            }
        }
    }

    /// Starts a replica on what it has.
    pub fn try_start(&mut self, id: u64) -> Result<(), NodeError> {
        let [log, book] = self.engines(id).unwrap();
        let address = self.address(id).to_owned();
        let is_alive = Arc::new(AtomicBool::new(true));
        let (reasons, counts) = (Arc::clone(&self.fatal), Arc::clone(&is_alive));
        let clock = Arc::clone(&self.clock);
        let config = NodeConfig {
            identity: Identity::new(
                CLUSTER.to_owned(),
                id,
                self.settings.engine.name().to_owned(),
                self.members.clone(),
            ),
            log_engine: (self.wrap)(id, Part::Log, log),
            book: Arc::new(Book::open((self.wrap)(id, Part::Book, book))?),
            threads: self.settings.threads,
            connector: self.links.connector(&address),
            clock: Arc::new(move || clock.lock().unwrap().read()),
            on_fatal: Arc::new(move |reason| {
                if counts.load(Ordering::Relaxed) {
                    reasons.lock().unwrap().push(format!("replica {id}: {reason}"));
                }
            }),
            bounds: self.settings.bounds,
            heartbeat_ms: 100,
            election_ms: (400, 800),
            snapshot_entries: self.settings.snapshot_entries,
            log_bytes: self.settings.log_bytes,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let node = runtime.block_on(Node::start(config))?;
        let (serving, stopped) = watch::channel(false);
        let api = Api::new(Arc::clone(&node), Limits::default());
        let service = node.peer_service(stopped, api.relayed());
        runtime.block_on(async {
            // The port was free a moment ago; what had it then may take a moment to let go.
            let end = Instant::now() + PATIENCE;
            let listener = loop {
                match tokio::net::TcpListener::bind(&address).await {
                    Ok(listener) => break listener,
                    Err(error) if Instant::now() > end => panic!("{address}: {error}"),
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            };
            let serving = Server::builder()
                .tcp_nodelay(true)
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener));
            tokio::spawn(serving);
        });
        self.running.insert(id, Running { node, runtime, _serving: serving, is_alive });
        Ok(())
    }

    pub fn start_replica(&mut self, id: u64) {
        self.try_start(id).unwrap();
    }

    /// Ends a replica as kill -9 ends a process: what it wrote stays, what it was doing is dropped.
    pub fn kill(&mut self, id: u64) {
        self.end(id);
        if let Some(engines) = self.memory.get_mut(&id) {
            *engines = InMemory { log: Arc::new(engines.log.reopen()), book: Arc::new(engines.book.reopen()) };
        }
    }

    /// Ends a replica in memory as a power cut does: what it did not sync is gone.
    pub fn cut_power(&mut self, id: u64) {
        self.end(id);
        let engines = self.memory.get_mut(&id).expect("a replica in memory");
        *engines = InMemory { log: Arc::new(engines.log.crash(0)), book: Arc::new(engines.book.crash(0)) };
    }

    fn end(&mut self, id: u64) {
        let Running { node, runtime, is_alive, .. } = self.running.remove(&id).expect("a replica that runs");
        is_alive.store(false, Ordering::Relaxed);
        runtime.shutdown_timeout(PATIENCE);
        drop(node);
    }

    /// Throws away what a replica has written to its log or its book.
    pub fn lose(&mut self, id: u64, part: Part) {
        if let Some(engines) = self.memory.get_mut(&id) {
            match part {
                Part::Log => engines.log = Arc::default(),
                Part::Book => engines.book = Arc::default(),
            }
            return;
        }
        let name = match part {
            Part::Log => "log",
            Part::Book => "book",
        };
        std::fs::remove_dir_all(self.folder(id).join(name)).unwrap();
    }

    /// Cuts a replica off from the others.
    pub fn isolate(&self, id: u64) {
        self.links.cut(self.address(id));
    }

    /// Swallows all that a replica and the others send each other, and all that they would have sent over the links of that time.
    pub fn swallow(&self, id: u64) {
        self.links.swallow(self.address(id));
    }

    /// Ends all isolation.
    pub fn heal(&self) {
        self.links.heal();
    }

    pub fn node(&self, id: u64) -> &Arc<Node> {
        &self.running[&id].node
    }

    /// Runs something on a replica's own runtime.
    pub fn on<T: Send + 'static>(&self, id: u64, work: impl Future<Output = T> + Send + 'static) -> T {
        self.running[&id].runtime.block_on(work)
    }

    /// Begins something on a replica's own runtime.
    pub fn spawn<T: Send + 'static>(
        &self,
        id: u64,
        work: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.running[&id].runtime.spawn(work)
    }

    /// The replica that leads, of those that run and are not `except`, once there is one that can lead.
    #[track_caller]
    pub fn leader_except(&self, except: Option<u64>) -> u64 {
        eventually("a leader", || {
            let leads = |id: &u64| Some(*id) != except && self.node(*id).role() == Role::Leader;
            self.running.keys().copied().find(leads)
        })
    }

    #[track_caller]
    pub fn leader(&self) -> u64 {
        self.leader_except(None)
    }

    /// Some replica that runs and follows.
    pub fn follower(&self) -> u64 {
        let leader = self.leader();
        self.running.keys().copied().find(|id| *id != leader).unwrap()
    }

    /// Asks one replica, once.
    pub fn submit(&self, id: u64, commands: Vec<Command>, timeout_ms: u64) -> Result<Vec<Answer>, SubmitError> {
        let node = Arc::clone(self.node(id));
        self.on(id, async move { node.submit(commands, in_a_moment(timeout_ms)).await })
    }

    /// Repeats commands at the replicas, one after another, until they are answered, as a client does; all must be accepted.
    #[track_caller]
    pub fn decide(&self, commands: Vec<Command>) -> Vec<Answer> {
        let mut ids = self.running.keys().copied().cycle();
        let answers = eventually("an answer", || self.submit(ids.next()?, commands.clone(), 1_000).ok());
        assert!(answers.iter().all(is_accepted), "{answers:?}");
        answers
    }

    /// Repeats commands at one replica until they are answered; all must be accepted.
    #[track_caller]
    pub fn decide_at(&self, id: u64, commands: Vec<Command>) -> Vec<Answer> {
        let answers = eventually("an answer", || self.submit(id, commands.clone(), 1_000).ok());
        assert!(answers.iter().all(is_accepted), "{answers:?}");
        answers
    }

    /// What a replica shows without asking anybody.
    pub fn view(&self, id: u64) -> BookView {
        self.node(id).stale_view()
    }

    pub fn cents(&self, id: u64) -> u128 {
        cents(&self.view(id))
    }

    /// Waits until all replicas that run have the same book (I11), and gives its index.
    #[track_caller]
    pub fn agree(&self) -> u64 {
        let index = eventually("all replicas at one index", || {
            let mut indexes = self.running.keys().map(|id| self.view(*id).index());
            let first = indexes.next()?;
            indexes.all(|index| index == first).then_some(first)
        });
        let states: Vec<_> = self
            .running
            .keys()
            .map(|id| self.view(*id).meta().clone())
            .filter(|meta| meta.index == index)
            .map(|meta| (meta.state_hash, meta.head))
            .collect();
        assert!(states.windows(2).all(|pair| pair[0] == pair[1]), "replicas differ at index {index}");
        assert_eq!(*self.fatal.lock().unwrap(), Vec::<String>::new());
        index
    }
}

/// What a replica's data consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Log,
    Book,
}

/// Opens an engine, when whoever had it has let go of it; sled's own threads do so a moment after the engine was dropped.
pub fn opened(open: impl Fn() -> Result<Arc<dyn Engine>, StoreError>) -> Result<Arc<dyn Engine>, StoreError> {
    let end = Instant::now() + PATIENCE;
    loop {
        match open() {
            Err(error) if is_held(&error) && Instant::now() < end => std::thread::sleep(Duration::from_millis(2)),
            opened => return opened,
        }
    }
}

fn is_held(error: &StoreError) -> bool {
    matches!(error, StoreError::InUse { .. }) || error.to_string().contains("could not acquire lock")
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for id in self.running.keys().copied().collect::<Vec<_>>() {
            self.end(id);
        }
    }
}
