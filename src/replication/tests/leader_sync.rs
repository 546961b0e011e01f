//! What a leader appends is synced beside its followers: when it counts as synced, and what a power cut leaves.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::storage::{RaftLogStorage, RaftLogStorageExt};

use super::*;
use crate::replication::Vote;
use crate::replication::leader_sync::Beside;
use crate::store::{Batch, Pairs, Space, SpaceId, View};

const OWN: u64 = 1;
const OTHER: u64 = 2;

/// A memory engine that counts its syncs and refuses them when it is told to.
struct Counted {
    engine: Arc<MemoryEngine>,
    syncs: AtomicU64,
    refuses: Mutex<bool>,
}

impl Counted {
    fn over(engine: &Arc<MemoryEngine>) -> Arc<Counted> {
        Arc::new(Counted { engine: Arc::clone(engine), syncs: AtomicU64::new(0), refuses: Mutex::new(false) })
    }
}

impl Engine for Counted {
    fn kind(&self) -> EngineKind {
        self.engine.kind()
    }
    fn create_space(&self, id: &SpaceId) -> Result<Space, StoreError> {
        self.engine.create_space(id)
    }
    fn space(&self, id: &SpaceId) -> Option<Space> {
        self.engine.space(id)
    }
    fn spaces(&self) -> Vec<SpaceId> {
        self.engine.spaces()
    }
    fn drop_space(&self, id: &SpaceId) -> Result<(), StoreError> {
        self.engine.drop_space(id)
    }
    fn ingest(&self, id: &SpaceId, pairs: Pairs<'_>) -> Result<Space, StoreError> {
        self.engine.ingest(id, pairs)
    }
    fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        self.engine.write(batch)
    }
    fn sync(&self) -> Result<(), StoreError> {
        if *self.refuses.lock().unwrap() {
            return Err(StoreError::from_io("sync", Path::new("log"), std::io::Error::other("refused")));
        }
        self.syncs.fetch_add(1, Ordering::SeqCst);
        self.engine.sync()
    }
    fn view(&self) -> Result<Arc<dyn View>, StoreError> {
        self.engine.view()
    }
}

/// The log of replica [`OWN`], and the reasons for which it had to stop.
fn open(engine: Arc<dyn Engine>) -> (LogStore, Arc<Mutex<Vec<String>>>) {
    let reasons: Arc<Mutex<Vec<String>>> = Arc::default();
    let told = Arc::clone(&reasons);
    let threads = Threads::Inline;
    let beside = Beside {
        own_id: OWN,
        threads,
        worker: Worker::inline(),
        on_fatal: Arc::new(move |reason| told.lock().unwrap().push(reason)),
    };
    let point = BookPoint { applied_index: 0, installed_index: 0 };
    let applied = watch::channel(u64::MAX).1;
    (LogStore::open(engine, Worker::inline(), point, applied, Some(beside)).unwrap(), reasons)
}

fn entry(term: u64, node: u64, index: u64) -> Entry {
    Entry { log_id: LogId::new(CommittedLeaderId::new(term, node), index), payload: EntryPayload::Blank }
}

async fn last(log: &mut LogStore) -> Option<LogId> {
    log.get_log_state().await.unwrap().last_log_id
}

#[tokio::test]
async fn a_leaders_entries_count_as_synced_only_after_their_sync() {
    let engine = Counted::over(&Arc::new(MemoryEngine::new()));
    let (mut log, _) = open(Arc::<Counted>::clone(&engine));
    log.save_vote(&Vote::new_committed(1, OWN)).await.unwrap();
    let (mut synced, before) = (log.synced(), engine.syncs.load(Ordering::SeqCst));
    log.blocking_append([entry(1, OWN, 0), entry(1, OWN, 1)]).await.unwrap();
    log.blocking_append([entry(1, OWN, 2)]).await.unwrap();
    assert_eq!((*synced.borrow(), engine.syncs.load(Ordering::SeqCst)), (0, before));
    synced.wait_for(|synced| *synced == 2).await.unwrap();
    // One sync for all that was written by then.
    assert_eq!(engine.syncs.load(Ordering::SeqCst), before + 1);
}

#[tokio::test]
async fn a_power_cut_before_the_sync_takes_the_leaders_entries_and_its_leadership() {
    let engine = Arc::new(MemoryEngine::new());
    let (mut log, _) = open(Arc::<MemoryEngine>::clone(&engine));
    log.save_vote(&Vote::new_committed(1, OWN)).await.unwrap();
    log.blocking_append([entry(1, OWN, 0)]).await.unwrap();
    log.synced().wait_for(|synced| *synced == 0).await.unwrap();
    log.truncate(entry(1, OWN, 0).log_id).await.unwrap();
    log.blocking_append([entry(1, OWN, 0)]).await.unwrap();
    log.blocking_append([entry(1, OWN, 1)]).await.unwrap();
    log.synced().wait_for(|synced| *synced == 1).await.unwrap();
    log.blocking_append([entry(1, OWN, 2)]).await.unwrap();
    let (mut log, _) = open(Arc::new(engine.crash(0)));
    assert_eq!(last(&mut log).await, Some(entry(1, OWN, 1).log_id));
    assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new(1, OWN)), "it would lead again in the same term");
}

#[tokio::test]
async fn a_follower_syncs_before_it_says_that_it_has_an_entry() {
    let engine = Arc::new(MemoryEngine::new());
    let (mut log, _) = open(Arc::<MemoryEngine>::clone(&engine));
    for (vote, entry) in [
        (Vote::new_committed(1, OTHER), entry(1, OTHER, 0)),
        // It led before, and gets back an entry of then from the next leader.
        (Vote::new_committed(3, OTHER), entry(2, OWN, 1)),
        // It asks to lead, and does not lead yet.
        (Vote::new(4, OWN), entry(4, OWN, 2)),
        // It leads now, but the entry is of its earlier term.
        (Vote::new_committed(5, OWN), entry(4, OWN, 3)),
    ] {
        log.save_vote(&vote).await.unwrap();
        let id = entry.log_id;
        log.blocking_append([entry]).await.unwrap();
        assert_eq!(*log.synced().borrow(), id.index, "{vote}");
        assert_eq!(engine.unsynced(), 0, "{vote}: a power cut would take an acknowledged entry");
    }
}

#[tokio::test]
async fn what_is_cut_off_is_synced_first_and_then_counts_no_more() {
    let (mut log, _) = open(Arc::new(MemoryEngine::new()));
    log.save_vote(&Vote::new_committed(1, OWN)).await.unwrap();
    log.blocking_append((0..5).map(|index| entry(1, OWN, index))).await.unwrap();
    log.save_vote(&Vote::new_committed(2, OTHER)).await.unwrap();
    log.truncate(entry(1, OWN, 3).log_id).await.unwrap();
    assert_eq!(*log.synced().borrow(), 2);
    log.blocking_append([entry(2, OTHER, 3)]).await.unwrap();
    assert_eq!(*log.synced().borrow(), 3);
}

#[tokio::test]
async fn a_snapshot_beyond_the_log_counts_as_synced() {
    let (mut log, _) = open(Arc::new(MemoryEngine::new()));
    log.blocking_append((0..5).map(|index| entry(1, OTHER, index))).await.unwrap();
    log.purge(entry(1, OTHER, 40).log_id).await.unwrap();
    assert_eq!(*log.synced().borrow(), 40);
}

#[tokio::test]
async fn after_a_failed_sync_nothing_counts_as_synced_any_more() {
    let engine = Counted::over(&Arc::new(MemoryEngine::new()));
    let (mut log, reasons) = open(Arc::<Counted>::clone(&engine));
    log.save_vote(&Vote::new_committed(1, OWN)).await.unwrap();
    *engine.refuses.lock().unwrap() = true;
    log.blocking_append([entry(1, OWN, 0), entry(1, OWN, 1)]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    *engine.refuses.lock().unwrap() = false;
    log.blocking_append([entry(1, OWN, 2)]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(*log.synced().borrow(), 0);
    let reasons = reasons.lock().unwrap();
    assert!(reasons.len() == 1 && reasons[0].contains("the log was not synced"), "{reasons:?}");
}
