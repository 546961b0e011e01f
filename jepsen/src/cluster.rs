//! Replicas as processes on loopback, in a temporary folder. They end with the run, also when it fails.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use folio::proto::v1::cluster_service_client::ClusterServiceClient;
use folio::proto::v1::{GetStatusRequest, GetStatusResponse};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

/// Why a run cannot go on.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Chooses a bug in a build that has some.
pub(crate) const BUG_VARIABLE: &str = "FOLIO_SEEDED_BUG";

const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// One replica's place.
struct Replica {
    peer: String,
    client: String,
    child: Option<Child>,
}

/// The cluster.
pub(crate) struct Cluster {
    folder: TempDir,
    binary: PathBuf,
    seeded_bug: Option<&'static str>,
    replicas: Mutex<Vec<Replica>>,
    channels: Vec<Channel>,
}

impl Cluster {
    /// Founds and starts replicas, with a bug on purpose if one is named.
    pub(crate) fn start(binary: &Path, count: u64, seeded_bug: Option<&'static str>) -> Result<Cluster, Failure> {
        let folder = tempfile::Builder::new().prefix("folio-jepsen-").tempdir()?;
        let mut listeners = Vec::new();
        let mut replicas = Vec::new();
        let mut channels = Vec::new();
        for _ in 0..count {
            let (peer, client) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
            let (peer_address, client_address) = (peer.local_addr()?.to_string(), client.local_addr()?.to_string());
            let endpoint = Endpoint::from_shared(format!("http://{client_address}"))?;
            channels.push(endpoint.connect_timeout(Duration::from_millis(500)).tcp_nodelay(true).connect_lazy());
            replicas.push(Replica { peer: peer_address, client: client_address, child: None });
            listeners.push((peer, client));
        }
        drop(listeners);
        let replicas = Mutex::new(replicas);
        let cluster = Cluster { folder, binary: binary.to_owned(), seeded_bug, replicas, channels };
        for number in 0..cluster.channels.len() {
            cluster.spawn(number)?;
        }
        Ok(cluster)
    }

    fn replicas(&self) -> std::sync::MutexGuard<'_, Vec<Replica>> {
        self.replicas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many replicas there are.
    pub(crate) fn count(&self) -> usize {
        self.channels.len()
    }

    /// The connection to a replica, by its position from 0.
    pub(crate) fn channel(&self, position: usize) -> Channel {
        self.channels[position % self.channels.len()].clone()
    }

    /// The folder with data and logs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves the folder behind, to look at.
    pub(crate) fn keep(mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }

    /// Starts a replica that does not run.
    pub(crate) fn spawn(&self, position: usize) -> Result<(), Failure> {
        let mut replicas = self.replicas();
        let members: Vec<String> = replicas
            .iter()
            .enumerate()
            .map(|(at, replica)| format!("{}={}/{}", at + 1, replica.peer, replica.client))
            .collect();
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join(format!("replica-{}.log", position + 1)))?;
        let mut command = Command::new(&self.binary);
        if let Some(bug) = self.seeded_bug {
            command.env(BUG_VARIABLE, bug);
        }
        let child = command
            .arg("serve")
            .arg("--data-dir")
            .arg(self.folder.path().join(format!("replica-{}", position + 1)))
            .args(["--cluster", "jepsen", "--found", "--snapshot-entries", "2000"])
            .args(["--replica-id", &(position + 1).to_string(), "--members", &members.join(",")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        replicas[position].child = Some(child);
        Ok(())
    }

    /// Kills a replica as `kill -9` does and waits until it is gone.
    pub(crate) fn kill(&self, position: usize) -> Result<(), Failure> {
        if let Some(mut child) = self.replicas()[position].child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Sends a signal by its name, such as STOP or CONT.
    pub(crate) fn signal(&self, position: usize, signal: &str) -> Result<(), Failure> {
        let Some(id) = self.replicas()[position].child.as_ref().map(Child::id) else { return Ok(()) };
        let status = Command::new("sh").args(["-c", &format!("kill -{signal} {id}")]).status()?;
        if status.success() { Ok(()) } else { Err(format!("kill -{signal} {id} failed").into()) }
    }

    /// What is to be said of replicas that ended although nobody killed them.
    pub(crate) fn ended(&self) -> Vec<String> {
        let mut replicas = self.replicas();
        let running = replicas.iter_mut().enumerate();
        let ended = running.filter_map(|(position, replica)| match replica.child.as_mut().map(Child::try_wait) {
            Some(Ok(Some(_))) => Some(position + 1),
            Some(Ok(None) | Err(_)) | None => None,
        });
        ended.map(|replica| format!("replica {replica} ended by itself: {}", self.last_words(replica))).collect()
    }

    /// The last line that a replica logged.
    fn last_words(&self, replica: usize) -> String {
        let log = std::fs::read_to_string(self.folder.path().join(format!("replica-{replica}.log")));
        log.ok().and_then(|log| log.lines().last().map(str::to_owned)).unwrap_or_default()
    }

    /// A replica's own status, if it answers.
    pub(crate) async fn status(&self, position: usize) -> Option<GetStatusResponse> {
        let mut client = ClusterServiceClient::new(self.channel(position));
        let call = client.get_status(GetStatusRequest {});
        tokio::time::timeout(CALL_TIMEOUT, call).await.ok()?.ok().map(tonic::Response::into_inner)
    }

    /// The position of a replica that says it leads.
    pub(crate) async fn leader(&self) -> Option<usize> {
        for position in 0..self.count() {
            if self.status(position).await.is_some_and(|status| status.role == "leader") {
                return Some(position);
            }
        }
        None
    }

    /// Waits until one leads.
    pub(crate) async fn wait_for_leader(&self, bound: Duration) -> Result<usize, Failure> {
        let begun = Instant::now();
        while begun.elapsed() < bound {
            if let Some(leader) = self.leader().await {
                return Ok(leader);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(format!("no replica leads after {} s", bound.as_secs()).into())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for replica in self.replicas().iter_mut() {
            if let Some(mut child) = replica.child.take() {
                // What cannot be killed has ended already.
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}
