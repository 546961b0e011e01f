//! Three replicas, each a simulated host with disks that outlive it, and the faults that befall them.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use folio::book::Book;
use folio::replication::identity::{Identity, Member};
use folio::replication::{Connector, Node, NodeConfig, ProposerBounds, Role, Threads};
use folio::server;
use folio::store::memory::MemoryEngine;
use futures::stream;
use rand::Rng as _;
use rand::rngs::StdRng;
use turmoil::Sim;

use crate::network::{self, Accepted};
use crate::trace::Trace;

pub const REPLICAS: [u64; 3] = [1, 2, 3];
const PEER_PORT: u16 = 7100;
const CLIENT_PORT: u16 = 7200;
/// By how much a replica's clock is ahead of that of the one before it.
const SKEW_NS: u64 = 40_000_000;
/// So few that a replica which was away finds the log purged, and is sent the book instead.
const SNAPSHOT_ENTRIES: u64 = 8;
/// How often each replica's role is looked at.
const WATCH: Duration = Duration::from_millis(10);

pub fn host(replica: u64) -> String {
    format!("replica-{replica}")
}

pub fn client_address(replica: u64) -> String {
    format!("{}:{CLIENT_PORT}", host(replica))
}

/// The engines of a replica: what is left of it while it is down.
#[derive(Clone)]
struct Disks {
    log: Arc<MemoryEngine>,
    book: Arc<MemoryEngine>,
}

/// What the driver knows of the replicas and does to them.
#[derive(Clone)]
pub struct Cluster {
    disks: Arc<Mutex<BTreeMap<u64, Disks>>>,
    roles: Arc<Mutex<BTreeMap<u64, (Role, u64)>>>,
    fatal: Arc<Mutex<Option<String>>>,
    trace: Trace,
}

impl Cluster {
    /// Adds a host per replica to the simulation.
    pub fn start(sim: &mut Sim<'_>, trace: &Trace) -> Cluster {
        let disks = REPLICAS.map(|replica| {
            (replica, Disks { log: Arc::new(MemoryEngine::new()), book: Arc::new(MemoryEngine::new()) })
        });
        let cluster = Cluster {
            disks: Arc::new(Mutex::new(disks.into())),
            roles: Arc::default(),
            fatal: Arc::default(),
            trace: trace.clone(),
        };
        for replica in REPLICAS {
            let cluster = cluster.clone();
            sim.host(host(replica), move || cluster.clone().serve(replica));
        }
        cluster
    }

    /// A replica's life, from a start to a crash.
    async fn serve(self, replica: u64) -> turmoil::Result {
        let node = Node::start(self.node_config(replica)?).await?;
        self.trace.note("start", &host(replica));
        tokio::spawn(self.clone().watch(replica, Arc::clone(&node)));
        let (clients, peers) = (network::listen(CLIENT_PORT).await?, network::listen(PEER_PORT).await?);
        // All is served on the one simulated thread, so that seats make no difference.
        let seated = stream::pending::<io::Result<Accepted>>();
        server::serve_on(&node, seated, clients, peers, std::future::pending()).await?;
        Ok(())
    }

    fn node_config(&self, replica: u64) -> Result<NodeConfig, folio::book::BookError> {
        let members = REPLICAS.map(|replica| Member {
            replica_id: replica,
            peer_address: format!("{}:{PEER_PORT}", host(replica)),
            client_address: client_address(replica),
        });
        let disks = self.disks.lock().unwrap()[&replica].clone();
        let fatal = Arc::clone(&self.fatal);
        let epoch = Duration::from_secs(crate::interpose::EPOCH_SECONDS);
        let clock = move || {
            let now = turmoil::sim_elapsed().unwrap_or_default() + epoch;
            u64::try_from(now.as_nanos()).unwrap() + replica * SKEW_NS
        };
        Ok(NodeConfig {
            identity: Identity::new("simulation".to_owned(), replica, "memory".to_owned(), members.into()),
            log_engine: disks.log,
            book: Arc::new(Book::open(disks.book)?),
            threads: Threads::Inline,
            connector: Connector::new(network::channel),
            clock: Arc::new(clock),
            on_fatal: Arc::new(move |reason| *fatal.lock().unwrap() = Some(format!("replica {replica}: {reason}"))),
            bounds: ProposerBounds::default(),
            heartbeat_ms: server::HEARTBEAT_MS,
            election_ms: server::ELECTION_MS,
            snapshot_entries: SNAPSHOT_ENTRIES,
            log_bytes: u64::MAX,
        })
    }

    async fn watch(self, replica: u64, node: Arc<Node>) {
        let mut installed = node.book().meta().installed_index;
        loop {
            let index = node.book().meta().installed_index;
            if index != installed {
                self.trace.note("snapshot", &format!("replica-{replica} has installed the book of index {index}"));
                installed = index;
            }
            let status = node.status();
            let known = self.roles.lock().unwrap().insert(replica, (status.role, status.term));
            if known != Some((status.role, status.term)) {
                self.trace.note("role", &format!("replica-{replica} {:?} in term {}", status.role, status.term));
            }
            tokio::time::sleep(WATCH).await;
        }
    }

    /// Who leads in the latest term.
    pub fn leader(&self) -> Option<u64> {
        let roles = self.roles.lock().unwrap();
        let latest = roles.values().map(|(_, term)| *term).max()?;
        roles.iter().find(|(_, state)| **state == (Role::Leader, latest)).map(|(replica, _)| *replica)
    }

    /// The latest term that any replica was seen in.
    pub fn term(&self) -> u64 {
        self.roles.lock().unwrap().values().map(|(_, term)| *term).max().unwrap_or(0)
    }

    /// Why a replica stopped by itself, if one did.
    pub fn fatal(&self) -> Option<String> {
        self.fatal.lock().unwrap().clone()
    }

    /// Cuts a replica off from the others; clients reach it still.
    pub fn cut_off(&self, sim: &Sim<'_>, replica: u64) {
        self.trace.note("fault", &format!("replica-{replica} is cut off from the others"));
        REPLICAS
            .into_iter()
            .filter(|other| *other != replica)
            .for_each(|other| sim.partition(host(replica), host(other)));
    }

    /// Ends a cut.
    pub fn reconnect(&self, sim: &Sim<'_>, replica: u64) {
        self.trace.note("heal", &format!("replica-{replica} reaches the others again"));
        REPLICAS.into_iter().filter(|other| *other != replica).for_each(|other| sim.repair(host(replica), host(other)));
    }

    /// Cuts a replica's power: its process ends, and some of what it had not synced is gone.
    pub fn cut_power(&self, sim: &mut Sim<'_>, replica: u64, random: &mut StdRng) {
        sim.crash(host(replica));
        self.roles.lock().unwrap().remove(&replica);
        let mut all = self.disks.lock().unwrap();
        let disks = all[&replica].clone();
        let mut lose = |engine: &MemoryEngine| {
            let unsynced = engine.unsynced();
            let survivors = random.random_range(0..=unsynced);
            (Arc::new(engine.crash(survivors)), unsynced - survivors)
        };
        let ((log, log_lost), (book, book_lost)) = (lose(&disks.log), lose(&disks.book));
        all.insert(replica, Disks { log, book });
        let lost = format!("{log_lost} writes of its log and {book_lost} of its book were not synced and are lost");
        self.trace.note("fault", &format!("replica-{replica} has no power; {lost}"));
    }

    /// Starts a replica that had no power.
    pub fn restart(&self, sim: &mut Sim<'_>, replica: u64) {
        self.trace.note("heal", &format!("replica-{replica} has power again"));
        sim.bounce(host(replica));
    }
}
