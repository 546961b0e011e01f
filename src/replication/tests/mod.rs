//! Tests of what openraft asks of a store: the log over each of its engines, and openraft's own suite for log and state machine. And of parts of replication that need no cluster.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod deadlines;
mod gathering;
mod leader_sync;
mod leadership;
mod log;
mod log_edges;
#[cfg(target_os = "linux")]
mod slice;
mod suite;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openraft::{CommittedLeaderId, EntryPayload};
use tokio::sync::watch;

use super::leader_sync::Beside;
use super::log::{BookPoint, LogOpenError, LogStore};
use super::slice::Slice;
use super::worker::{Threads, Worker};
use super::{Entry, LogId, Payload};
use crate::store::memory::MemoryEngine;
use crate::store::{self, Engine, EngineKind, StoreError};

/// The engines that may hold a log.
const LOG_ENGINES: [EngineKind; 2] = [EngineKind::Fjall, EngineKind::Memory];

fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term, 1), index)
}

fn blank(term: u64, index: u64) -> Entry {
    Entry { log_id: log_id(term, index), payload: EntryPayload::Blank }
}

/// An entry whose bytes tell its term and index.
fn commands(term: u64, index: u64, bytes: usize) -> Entry {
    let mut payload = vec![0; bytes.max(16)];
    payload[..8].copy_from_slice(&term.to_be_bytes());
    payload[8..16].copy_from_slice(&index.to_be_bytes());
    Entry { log_id: log_id(term, index), payload: EntryPayload::Normal(Payload(payload.into())) }
}

/// What a replica that is alone syncs beside.
fn alone() -> Beside {
    let on_fatal = Arc::new(|reason| panic!("{reason}"));
    Beside { own_id: 1, has_followers: false, threads: Threads::Inline, worker: Worker::inline(), on_fatal }
}

/// A log under test, with the engine and the folder that it lies in.
struct Subject {
    kind: EngineKind,
    folder: tempfile::TempDir,
    engine: Option<Opened>,
    book: BookPoint,
    applied: watch::Sender<u64>,
}

enum Opened {
    OnDisk(Arc<dyn Engine>),
    InMemory(Arc<MemoryEngine>),
}

impl Subject {
    fn new(kind: EngineKind) -> Subject {
        let book = BookPoint { applied_index: 0, installed_index: 0 };
        let mut subject = Subject {
            kind,
            folder: tempfile::tempdir().unwrap(),
            engine: None,
            book,
            applied: watch::channel(u64::MAX).0,
        };
        subject.engine = Some(subject.create());
        subject
    }

    fn create(&self) -> Opened {
        match self.kind {
            EngineKind::Memory => Opened::InMemory(Arc::new(MemoryEngine::new())),
            EngineKind::Fjall | EngineKind::Sled => {
                Opened::OnDisk(open_log(self.kind, &self.folder.path().join("log")))
            }
        }
    }

    fn engine(&self) -> Arc<dyn Engine> {
        match self.engine.as_ref().unwrap() {
            Opened::OnDisk(engine) => Arc::clone(engine),
            Opened::InMemory(engine) => Arc::<MemoryEngine>::clone(engine),
        }
    }

    fn open(&self) -> Result<LogStore, LogOpenError> {
        let worker = Worker::start(Threads::Own, "log-test", Slice::Short).unwrap();
        LogStore::open(self.engine(), worker, self.book, self.applied.subscribe(), alone())
    }

    /// Closes log and engine and opens them again, as a restart of the process does.
    fn reopen(&mut self, log: LogStore) -> LogStore {
        self.close(log);
        self.open().unwrap()
    }

    fn close(&mut self, log: LogStore) {
        drop(log);
        self.engine = Some(match self.engine.take().unwrap() {
            Opened::InMemory(engine) => Opened::InMemory(Arc::new(engine.reopen())),
            Opened::OnDisk(engine) => {
                drop(engine);
                self.create()
            }
        });
    }
}

/// Opens a log's engine, when whoever had it open has let go of it: the log's thread does so a moment after its last answer.
fn open_log(kind: EngineKind, folder: &Path) -> Arc<dyn Engine> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        match store::open_log(kind, folder) {
            Ok(engine) => return engine,
            Err(StoreError::InUse { .. }) if Instant::now() < end => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => panic!("the log's engine does not open: {error}"),
        }
    }
}

/// The seed of a random test, printed so that `FOLIO_TEST_SEED` can replay it.
fn seed() -> u64 {
    let seed = std::env::var("FOLIO_TEST_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("replay with FOLIO_TEST_SEED={seed}");
    seed
}
