//! Three replicas as processes of their own, on loopback, in a temporary folder. They end with the demo, also when it fails.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::cli::{CliError, CliResult};
use crate::client::{Client, ClientConfig};

const REPLICAS: usize = 3;
const START_BOUND: Duration = Duration::from_secs(30);

/// The cluster.
pub(super) struct Cluster {
    folder: Option<TempDir>,
    kept: std::path::PathBuf,
    addresses: Vec<(String, String)>,
    children: Vec<Option<Child>>,
}

/// Ports that were free a moment ago.
fn free_addresses(count: usize) -> std::io::Result<Vec<String>> {
    let listeners: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.to_string())).collect()
}

impl Cluster {
    /// Founds and starts three replicas and waits until one leads.
    pub(super) async fn start() -> CliResult<Cluster> {
        let folder = tempfile::Builder::new().prefix("folio-demo-").tempdir()?;
        let addresses = free_addresses(2 * REPLICAS)?;
        let addresses = addresses.chunks(2).filter_map(|pair| match pair {
            [peer, client] => Some((peer.clone(), client.clone())),
            _ => None,
        });
        let mut cluster = Cluster {
            kept: folder.path().to_owned(),
            folder: Some(folder),
            addresses: addresses.collect(),
            children: Vec::new(),
        };
        for number in 1..=REPLICAS {
            cluster.children.push(None);
            cluster.start_replica(number)?;
        }
        cluster.leader().await?;
        Ok(cluster)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.kept
    }

    pub(super) fn endpoints(&self) -> Vec<String> {
        self.addresses.iter().map(|(_, client)| client.clone()).collect()
    }

    pub(super) fn process_ids(&self) -> Vec<String> {
        self.children.iter().flatten().filter_map(Child::id).map(|id| id.to_string()).collect()
    }

    /// Starts a replica, by its number from 1. Its log goes to a file beside its data.
    pub(super) fn start_replica(&mut self, number: usize) -> CliResult {
        let members: Vec<String> = self
            .addresses
            .iter()
            .enumerate()
            .map(|(position, (peer, client))| format!("{}={peer}/{client}", position + 1))
            .collect();
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.kept.join(format!("replica-{number}.log")))?;
        let child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .arg("--data-dir")
            .arg(self.kept.join(format!("replica-{number}")))
            .args(["--cluster", "demo", "--found", "--replica-id", &number.to_string()])
            .args(["--members", &members.join(",")])
            .env_remove("FOLIO_CONFIG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        match self.children.get_mut(number - 1) {
            Some(slot) => *slot = Some(child),
            None => return Err(CliError::General(format!("there is no replica {number}"))),
        }
        Ok(())
    }

    /// The position of the present leader, from 0, as a majority of replicas knows it.
    pub(super) async fn leader(&self) -> CliResult<usize> {
        let config = ClientConfig { endpoints: self.endpoints(), timeout: Duration::from_millis(500) };
        let client = Client::new(&config)?;
        let begun = Instant::now();
        while begun.elapsed() < START_BOUND {
            for endpoint in 0..REPLICAS {
                if let Ok(status) = client.status(endpoint).await
                    && status.role == "leader"
                    && status.applied.is_some_and(|applied| applied.log_index > 0)
                {
                    return Ok(endpoint);
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(CliError::General(format!(
            "no replica leads after {} s; see the logs in {}",
            START_BOUND.as_secs(),
            self.kept.display()
        )))
    }

    /// Kills a replica at once, as `kill -9` does.
    pub(super) async fn kill(&mut self, position: usize) -> CliResult {
        match self.children.get_mut(position).and_then(Option::take) {
            Some(mut child) => Ok(child.kill().await?),
            None => Err(CliError::General(format!("replica {} does not run", position + 1))),
        }
    }

    /// Stops all replicas in order and removes the folder.
    pub(super) async fn stop(mut self) {
        for child in self.children.iter_mut().flatten() {
            // What cannot be killed has ended already.
            let _ = child.kill().await;
        }
    }

    /// Leaves replicas and folder behind.
    pub(super) fn keep(mut self) {
        if let Some(folder) = self.folder.take() {
            self.kept = folder.keep();
        }
        for child in self.children.drain(..).flatten() {
            // A child that is dropped would be killed.
            std::mem::forget(child);
        }
    }
}
