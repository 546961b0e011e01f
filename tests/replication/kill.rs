//! A whole replica, as a process, killed at random moments under load: what it acknowledged is there when it comes back, and nothing is there twice.
//!
//! `FOLIO_CRASH_ROUNDS` sets the rounds (3 unless told); `FOLIO_CRASH_SEED` replays the random moments.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use folio::proto::v1;
use folio::proto::v1::ledger_service_client::LedgerServiceClient;
use futures::StreamExt as _;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tonic::transport::{Channel, Endpoint};

use crate::harness::PATIENCE;

const BANK: &str = "assets:bank";
const ALICE: &str = "liabilities:alice";
/// Requests at once.
const IN_FLIGHT: usize = 16;

/// Loopback addresses that nobody listens on.
pub fn free_addresses<const N: usize>() -> [String; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().to_string())
}

/// A replica in a process of its own, killed when it is dropped.
pub struct Process {
    child: Child,
    output: PathBuf,
    client_address: String,
}

impl Process {
    pub fn spawn(folder: &Path, members: &str, more: &[&str]) -> Process {
        let output = folder.with_extension("output");
        let file = std::fs::File::create(&output).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_folio"))
            .arg("serve")
            .arg("--data-dir")
            .arg(folder)
            .args(["--members", members, "--snapshot-entries", "100"])
            .args(more)
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let (_, client_address) = members.split(',').next().unwrap().split_once('/').unwrap();
        Process { child, output, client_address: client_address.to_owned() }
    }

    /// What it has written to its output.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap()
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "it does not end: {}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it takes connections of clients, and is sure to be this process.
    #[track_caller]
    pub fn wait_until_serving(&mut self) {
        let end = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(&self.client_address).is_err() {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < end, "it does not serve: {ended:?}: {}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
        // The ports are taken before the data is opened: a refusal may still come.
        let serving = |said: &str| said.contains("serving");
        while !serving(&self.said()) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < end, "it does not serve: {ended:?}: {}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

type Client = LedgerServiceClient<Channel>;

fn client(address: &str) -> Client {
    LedgerServiceClient::new(Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy())
}

fn id(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

fn transfer(number: u64) -> tonic::Request<v1::TransferRequest> {
    let mut request = tonic::Request::new(v1::TransferRequest {
        request_id: id(number),
        debit_account: BANK.to_owned(),
        credit_account: ALICE.to_owned(),
        amount: "0.01".to_owned(),
        ..Default::default()
    });
    request.set_timeout(Duration::from_secs(5));
    request
}

/// Repeats a call until it is answered.
async fn decided<T>(mut call: impl AsyncFnMut() -> Result<tonic::Response<T>, tonic::Status>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        match call().await {
            Ok(response) => return response.into_inner(),
            Err(status) => assert!(Instant::now() < end, "no answer: {status:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn open_accounts(client: &Client) {
    let register = v1::RegisterAssetRequest { request_id: id(1 << 40), code: "USD".to_owned(), scale: 2 };
    decided(async || client.clone().register_asset(register.clone()).await).await;
    let unlimited = v1::Floor { kind: Some(v1::floor::Kind::Unlimited(true)) };
    let accounts = [(BANK, v1::AccountClass::Asset, Some(unlimited)), (ALICE, v1::AccountClass::Liability, None)];
    for (number, (name, class, floor)) in (1..).zip(accounts) {
        let open = v1::OpenAccountRequest {
            request_id: id((1 << 40) + number),
            name: name.to_owned(),
            asset: "USD".to_owned(),
            class: class.into(),
            floor,
            ..Default::default()
        };
        decided(async || client.clone().open_account(open.clone()).await).await;
    }
}

/// Where each acknowledged transfer was decided, by its number.
type Acknowledged = BTreeMap<u64, (u64, u32)>;

fn place(point: &v1::LogPoint) -> (u64, u32) {
    (point.log_index, point.position)
}

/// Sends transfers until the replica is gone.
async fn load(client: Client, next: Arc<AtomicU64>, acknowledged: Arc<Mutex<Acknowledged>>) {
    let senders = (0..IN_FLIGHT).map(|_| async {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Ok(response) = client.clone().transfer(transfer(number)).await else { return };
            let decision = response.into_inner().decision.unwrap();
            acknowledged.lock().unwrap().insert(number, place(&decision.at.unwrap()));
        }
    });
    futures::future::join_all(senders).await;
}

/// Repeats all requests, and checks that those that were acknowledged are known with their first answer. Gives where each stands.
async fn repeat_all(client: &Client, sent: u64, acknowledged: &Acknowledged) -> Acknowledged {
    futures::stream::iter(1..sent)
        .map(|number| async move {
            let response = decided(async || client.clone().transfer(transfer(number)).await).await;
            let decision = response.decision.unwrap();
            let first = place(decision.first.as_ref().unwrap_or(decision.at.as_ref().unwrap()));
            if let Some(known) = acknowledged.get(&number) {
                assert!(decision.replayed, "transfer {number} was acknowledged at {known:?} and is missing");
                assert_eq!(first, *known, "transfer {number} is remembered with another answer");
            }
            (number, first)
        })
        .buffer_unordered(64)
        .collect()
        .await
}

async fn cents(client: &Client) -> String {
    let request = v1::GetAccountRequest { name: ALICE.to_owned(), read: None };
    decided(async || client.clone().get_account(request.clone()).await).await.account.unwrap().posted
}

#[test]
fn a_killed_replica_misses_nothing_that_it_acknowledged_and_doubles_nothing() {
    let rounds: u32 = std::env::var("FOLIO_CRASH_ROUNDS").map_or(3, |rounds| rounds.parse().unwrap());
    let seed: u64 = std::env::var("FOLIO_CRASH_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("replay the random moments with FOLIO_CRASH_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("one");
    let [peer, address] = free_addresses();
    let members = format!("1={peer}/{address}");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();

    let mut process = Process::spawn(&folder, &members, &["--found"]);
    process.wait_until_serving();
    runtime.block_on(async { open_accounts(&client(&address)).await });
    let next = Arc::new(AtomicU64::new(1));
    let mut known = Acknowledged::new();
    for round in 0..rounds {
        let acknowledged = Arc::new(Mutex::new(Acknowledged::new()));
        let loading = {
            let (address, next, acknowledged) = (address.clone(), Arc::clone(&next), Arc::clone(&acknowledged));
            runtime.spawn(async move { load(client(&address), next, acknowledged).await })
        };
        std::thread::sleep(Duration::from_micros(random.random_range(100_000..900_000)));
        process.kill();
        runtime.block_on(loading).unwrap();
        let new = std::mem::take(&mut *acknowledged.lock().unwrap());
        assert!(!new.is_empty(), "nothing was acknowledged in round {round}: it showed nothing");
        let (count, sent) = (new.len(), next.load(Ordering::Relaxed));
        known.extend(new);

        process = Process::spawn(&folder, &members, &[]);
        process.wait_until_serving();
        known = runtime.block_on(async { repeat_all(&client(&address), sent, &known).await });
        println!("round {round}: {count} acknowledged, {} sent in all", sent - 1);
        assert_eq!(u64::try_from(known.len()).unwrap(), sent - 1);
        let places: std::collections::BTreeSet<_> = known.values().collect();
        assert_eq!(places.len(), known.len(), "two transfers stand in one place");
        let posted = runtime.block_on(async { cents(&client(&address)).await });
        assert_eq!(posted, format!("{}.{:02}", (sent - 1) / 100, (sent - 1) % 100), "each moved once");
    }
}
