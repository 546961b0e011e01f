//! Assembling and running a replica: identity, engines, node, services, and an orderly stop.

use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::Stream;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::config::Config;
use super::http2::{self, Server};
use super::seats::seat;
use super::{descriptors, door};
use crate::api::{Api, Held, Limits};
use crate::book::{Book, BookError};
use crate::console;
use crate::proto;
use crate::replication::founding::{Founding, Unfounded, forget};
use crate::replication::identity::{Identity, IdentityError, Member};
use crate::replication::{
    Clock, Connector, MAX_PEER_MESSAGE_BYTES, Node, NodeConfig, NodeError, ProposerBounds, Role, Slice, Threads,
};
use crate::store::folder::{FORMAT_FILE, is_in_use};
use crate::store::{self, Engine, StoreError};

/// Why a replica does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The identity cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The storage cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The book cannot be used.
    #[error("the book in {}: {source}", folder.display())]
    Book {
        /// Its folder.
        folder: PathBuf,
        /// Why.
        source: BookError,
    },
    /// The replica does not start.
    #[error("the replica in {}: {source}", folder.display())]
    Node {
        /// The data folder.
        folder: PathBuf,
        /// Why.
        source: NodeError,
    },
    /// The system's clock stands before 1970. The storage engine panics then whenever it writes a
    /// table.
    #[error(
        "the system's clock shows a time before 1970, with which the storage engine cannot work: set the clock, then start again"
    )]
    ClockBefore1970,
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}; {}", listen_remedy(source.kind()))]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A service could not be made.
    #[error("{0}")]
    Service(String),
}

/// HTTP/2 streams at once of a connection that is served where replication lives: so few that heartbeats wait no more than some tens of milliseconds, even if all of them have a call at the
/// same moment, and more than it takes to keep that thread busy.
const SEATED_STREAMS: u32 = 1_024;
/// Between heartbeats, in milliseconds.
pub const HEARTBEAT_MS: u64 = 100;
/// The least and greatest election time-out, in milliseconds.
pub const ELECTION_MS: (u64, u64) = (400, 800);
/// How many bytes of entries the log may hold: some seconds of the greatest load, so that a replica that is started again needs no snapshot, and little enough to read at a start.
const LOG_BYTES: u64 = 512 * 1024 * 1024;
/// How long calls that are on their way may take to end, once the replica was asked to stop. Streams that follow the journal never end by themselves.
const DRAIN: Duration = Duration::from_secs(2);
/// How many connections of clients are served where replication lives, among other replicas. One would do for the least latency, a few more for services that put many calls on each of a few
/// connections; with 64 connections of one call each, any number up to 32 was as good as none.
const SEATS: usize = 4;
/// The methods of reflection, of both versions that clients know.
const REFLECTION: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];
/// What peers may have sent that is not whole, or leave waiting of what is sent to them: some of their longest messages.
const PEER_BYTES: usize = 256 * 1024 * 1024;
/// How long a replica that must not serve on waits until its reason is told. It is written at once unless nobody reads.
const LAST_WORDS: Duration = Duration::from_millis(500);
const ROLE_CHECK: Duration = Duration::from_millis(50);

fn now_ns() -> u64 {
    // What does not fit becomes the next that does, and is not believed.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// What to do about an address that cannot be listened on.
fn listen_remedy(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::AddrInUse => {
            "another process, or this replica's other address, uses the port: end it, or choose another"
        }
        ErrorKind::AddrNotAvailable => "the address is not this machine's: choose one that is",
        ErrorKind::PermissionDenied => "this user may not listen there: choose a port from 1024 on",
        ErrorKind::InvalidInput => "an address is IP:PORT",
        // The kinds are the standard library's and may grow.
        _ => "choose another address",
    }
}

/// Whose the folder is.
enum Owner {
    /// It was founded before.
    Founded(Identity),
    /// It is founded as soon as log and book have been created.
    ToFound(Founding),
}

/// What a data folder holds.
struct Opened {
    identity: Identity,
    book: Arc<Book>,
    log_engine: Arc<dyn Engine>,
}

fn log_folder(config: &Config) -> PathBuf {
    config.data_dir.join("log")
}

fn book_folder(config: &Config) -> PathBuf {
    config.data_dir.join("book")
}

/// Whose the folder is, without touching anything but a mark that is out of place.
fn owner(config: &Config) -> Result<Owner, ServeError> {
    let founding = Founding {
        folder: config.data_dir.clone(),
        parts: vec![log_folder(config), book_folder(config)],
        cluster_id: config.cluster.clone(),
        replica_id: config.replica_id,
        engine: config.engine.name().to_owned(),
        members: config.members.clone(),
    };
    let Some(present) = Identity::read(&config.data_dir)? else {
        return match (founding.look()?, config.found) {
            (Unfounded::Empty | Unfounded::Begun, true) => Ok(Owner::ToFound(founding)),
            (Unfounded::Empty, false) => Err(IdentityError::NotFounded(config.data_dir.clone()).into()),
            (Unfounded::Begun, false) => Err(IdentityError::Interrupted(config.data_dir.clone()).into()),
        };
    };
    let wanted = founding.identity();
    if present != wanted {
        return Err(present.foreign(&config.data_dir, &wanted).into());
    }
    for path in founding.parts {
        if !path.join(FORMAT_FILE).is_file() {
            return Err(IdentityError::DataMissing { path, replica_id: present.replica_id }.into());
        }
    }
    forget(&config.data_dir)?;
    Ok(Owner::Founded(present))
}

/// Opens book and log, and founds the replica where it is to be founded: they are created before it
/// is, so that a founded folder without them has lost them.
fn open(owner: Owner, config: &Config) -> Result<Opened, ServeError> {
    let begun = match owner {
        Owner::Founded(identity) => Ok(identity),
        Owner::ToFound(founding) => Err(founding.begin()?),
    };
    let book = Arc::new(open_book(config)?);
    let log_engine = store::open_log(config.engine, &log_folder(config))?;
    let identity = match begun {
        Ok(identity) => identity,
        Err(begun) => begun.finish()?,
    };
    Ok(Opened { identity, book, log_engine })
}

/// Listens for peers and for clients. Where a port is taken by a process that uses the same folder, it is the folder that is named.
async fn listen_both(config: &Config, own: &Member) -> Result<(TcpListener, TcpListener), ServeError> {
    let both = async { Ok((listen(&own.peer_address).await?, listen(&own.client_address).await?)) };
    both.await.map_err(|error| {
        let used = [book_folder(config), log_folder(config)].into_iter().find(|folder| is_in_use(folder));
        used.map_or(error, |folder| StoreError::InUse { folder }.into())
    })
}

async fn listen(address: &str) -> Result<TcpListener, ServeError> {
    let failed = |source| ServeError::Listen { address: address.to_owned(), source };
    let parsed =
        SocketAddr::from_str(address).map_err(|error| failed(std::io::Error::new(ErrorKind::InvalidInput, error)))?;
    TcpListener::bind(parsed).await.map_err(failed)
}

fn open_book(config: &Config) -> Result<Book, ServeError> {
    let engine = store::open(config.engine, &book_folder(config))?;
    #[allow(unused_mut)]
    let mut book = Book::open(engine).map_err(|source| ServeError::Book { folder: book_folder(config), source })?;
    #[cfg(feature = "seeded-bugs")]
    if crate::seeded::is(crate::seeded::Bug::ExpiryByLocalClock) {
        book.expire_by_local_clock(now_ns);
    }
    Ok(book)
}

/// Runs a replica until `stop` resolves or it must stop.
///
/// # Errors
/// [`ServeError`]: why it does not serve.
pub async fn serve(config: Config, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), ServeError> {
    if SystemTime::now() < UNIX_EPOCH {
        return Err(ServeError::ClockBefore1970);
    }
    let owner = owner(&config)?;
    let own = config
        .members
        .iter()
        .find(|member| member.replica_id == config.replica_id)
        .cloned()
        .ok_or_else(|| ServeError::Service("this replica is not among its own members".to_owned()))?;
    let most_clients = descriptors::connections_of_clients();
    // The ports first: a second process on the same ports must not touch the data.
    let (peers, clients) = listen_both(&config, &own).await?;
    // The engines' threads flush and compact.
    let Opened { identity, book, log_engine } = Slice::Long.during(|| open(owner, &config))?;
    let is_alone = identity.is_alone();
    let clock: Clock = Arc::new(now_ns);
    let folder = config.data_dir.clone();
    let starting = Node::start(NodeConfig {
        identity,
        log_engine,
        book,
        threads: Threads::Own,
        connector: Connector::tcp(),
        clock,
        on_fatal: Arc::new(move |reason| stop_process(&folder, &reason)),
        bounds: ProposerBounds::default(),
        heartbeat_ms: HEARTBEAT_MS,
        election_ms: ELECTION_MS,
        snapshot_entries: config.snapshot_entries,
        log_bytes: LOG_BYTES,
    });
    let node = starting.await.map_err(|source| ServeError::Node { folder: config.data_dir.clone(), source })?;
    tracing::info!(replica = own.replica_id, clients = %own.client_address, peers = %own.peer_address, "serving");
    // A replica that is alone waits for the disk where replication lives, and connections that are served there would wait too.
    let seats = if is_alone { 0 } else { SEATS };
    let (seated, others) = seat(door::accepted(clients, "clients", most_clients), seats);
    let peers = door::accepted(peers, "peers", descriptors::PEER_CONNECTIONS);
    let result = serve_on(&node, seated, others, peers, stop).await;
    node.stop().await;
    result
}

/// A replica that finds itself wrong serves nothing more, not even an answer that is on its way.
fn stop_process(folder: &Path, reason: &str) {
    tracing::error!(%reason, "this replica stops: it must not serve on");
    let last_words = format!("folio: the replica in {} stops and serves nothing more: {reason}", folder.display());
    console::say_within(&last_words, LAST_WORDS);
    std::process::exit(1);
}

/// Serves clients and peers over connections that somebody else accepts, until `stop` resolves. The network is a seam: these are the services of production,
/// over whatever network. The `seated` clients are served where replication lives, the others here.
///
/// # Errors
/// [`ServeError`]: why it does not serve.
pub async fn serve_on<S, IO, P, E>(
    node: &Arc<Node>,
    seated: impl Stream<Item = Result<S, E>> + Send + 'static,
    others: impl Stream<Item = Result<IO, E>>,
    peers: impl Stream<Item = Result<P, E>> + Send + 'static,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError>
where
    S: Connection,
    IO: Connection,
    P: Connection,
    E: std::fmt::Display + Send + 'static,
{
    let (stopping, stopped) = watch::channel(false);
    tokio::spawn(async move {
        stop.await;
        stopping.send_replace(true);
        // Kept open, so that whoever waits sees the value rather than an end.
        stopping.closed().await;
    });
    let limits = Limits::default();
    let api = Api::new(Arc::clone(node), limits);
    let for_peers = http2::serve(peer_server(node, &api, stopped.clone()), peers, stopped.clone());
    let for_peers = node.run_at_home(for_peers);
    let [seats, all_others] = client_servers(&api, &limits, services(node, &api)?);
    let for_seated = node.run_at_home(http2::serve(seats, seated, stopped.clone()));
    let for_others = http2::serve(all_others, others, stopped.clone());
    let for_others = async {
        for_others.await;
        Ok::<_, ServeError>(())
    };
    let drained = async move {
        http2::is_true(stopped).await;
        tokio::time::sleep(DRAIN).await;
    };
    let result = tokio::select! {
        result = async { tokio::try_join!(at_home(for_peers), at_home(for_seated), for_others) } => result.map(|_| ()),
        () = drained => Ok(()),
    };
    tracing::info!(replica = node.identity().replica_id, "stopped");
    result
}

/// A connection that somebody made.
pub trait Connection: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static> Connection for IO {}

/// How serving where replication lives ended.
async fn at_home(serving: impl Future<Output = std::io::Result<()>>) -> Result<(), ServeError> {
    serving.await.map_err(|error| ServeError::Service(error.to_string()))
}

/// The server of the connections of peers. What they leave waiting is bounded apart from what clients do.
fn peer_server(node: &Arc<Node>, api: &Api, stopped: watch::Receiver<bool>) -> Arc<Server> {
    let services = Routes::new(node.peer_service(stopped, api.relayed()));
    let bounds = http2::Bounds::of_peers(MAX_PEER_MESSAGE_BYTES);
    let (receiving, unsent) = (Held::new(PEER_BYTES), Held::new(PEER_BYTES));
    Server::new(services, bounds, proto::streaming_methods(), &receiving, &unsent)
}

/// The servers of the connections of clients: of those that have seats, and of all others.
fn client_servers(api: &Api, limits: &Limits, services: Routes) -> [Arc<Server>; 2] {
    let receiving = Held::new(limits.receiving_bytes);
    let mut streaming = proto::streaming_methods();
    streaming.extend(REFLECTION.map(str::to_owned));
    let most_streams = [SEATED_STREAMS, http2::Bounds::of_clients().streams];
    most_streams.map(|streams| {
        let bounds = http2::Bounds { streams, ..http2::Bounds::of_clients() };
        Server::new(services.clone(), bounds, streaming.clone(), &receiving, api.unsent())
    })
}

/// Tells clients what all services look like.
fn described() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// All services for clients.
fn services(node: &Arc<Node>, api: &Api) -> Result<Routes, ServeError> {
    let (reporter, health) = tonic_health::server::health_reporter();
    tokio::spawn(report_role(Arc::clone(node), reporter));
    // Many clients know nothing but the older version.
    let (reflection, older) = (described().build_v1(), described().build_v1alpha());
    let failed = |error| ServeError::Service(format!("reflection: {error}"));
    Ok(Routes::new(health)
        .add_service(reflection.map_err(failed)?)
        .add_service(older.map_err(failed)?)
        .add_service(api.ledger())
        .add_service(api.audit())
        .add_service(api.cluster()))
}

/// Keeps the health services true: `""` while serving, `leader` while leading.
async fn report_role(node: Arc<Node>, reporter: HealthReporter) {
    reporter.set_service_status("", ServingStatus::Serving).await;
    let mut known = None;
    loop {
        let role = node.role();
        if known != Some(role) {
            let leading = if role == Role::Leader { ServingStatus::Serving } else { ServingStatus::NotServing };
            reporter.set_service_status("leader", leading).await;
            known = Some(role);
        }
        tokio::time::sleep(ROLE_CHECK).await;
    }
}
