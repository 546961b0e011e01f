//! What a leader appends is synced beside its followers: when it counts as synced, and what a power cut leaves.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::storage::{RaftLogStorage, RaftLogStorageExt};

use super::*;
use crate::replication::Vote;
use crate::store::{Batch, Pairs, Space, SpaceId, View};

const OWN: u64 = 1;
const OTHER: u64 = 2;

/// A memory engine that counts its syncs, refuses them when it is told to, and knows which thread wrote last.
struct Counted {
    engine: Arc<MemoryEngine>,
    syncs: AtomicU64,
    refuses: Mutex<bool>,
    writer: Mutex<Option<String>>,
}

impl Counted {
    fn over(engine: &Arc<MemoryEngine>) -> Arc<Counted> {
        Arc::new(Counted {
            engine: Arc::clone(engine),
            syncs: AtomicU64::new(0),
            refuses: Mutex::new(false),
            writer: Mutex::default(),
        })
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
        *self.writer.lock().unwrap() = std::thread::current().name().map(str::to_owned);
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

/// The log of replica [`OWN`], which has followers, and the reasons for which it had to stop.
fn open(engine: Arc<dyn Engine>) -> (LogStore, Arc<Mutex<Vec<String>>>) {
    open_as(engine, true, Threads::Inline)
}

/// The thread that syncs, where there are threads.
const SYNCS: &str = "syncs";

fn open_as(engine: Arc<dyn Engine>, has_followers: bool, threads: Threads) -> (LogStore, Arc<Mutex<Vec<String>>>) {
    let reasons: Arc<Mutex<Vec<String>>> = Arc::default();
    let told = Arc::clone(&reasons);
    let beside = Beside {
        own_id: OWN,
        has_followers,
        threads,
        worker: Worker::start(threads, SYNCS, Slice::Short).unwrap(),
        on_fatal: Arc::new(move |reason| told.lock().unwrap().push(reason)),
    };
    let point = BookPoint { applied_index: 0, installed_index: 0 };
    let applied = watch::channel(u64::MAX).1;
    (LogStore::open(engine, Worker::inline(), point, applied, beside).unwrap(), reasons)
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

#[tokio::test]
async fn a_leader_that_is_alone_syncs_small_entries_before_they_are_done_and_large_ones_beside() {
    let engine = Arc::new(MemoryEngine::new());
    let (mut log, _) = open_as(Arc::<MemoryEngine>::clone(&engine), false, Threads::Inline);
    log.save_vote(&Vote::new_committed(1, OWN)).await.unwrap();
    log.blocking_append([commands(1, 0, 1_000), commands(1, 1, 1_000)]).await.unwrap();
    assert_eq!((*log.synced().borrow(), engine.unsynced()), (1, 0));

    log.blocking_append([commands(1, 2, 1_000_000)]).await.unwrap();
    assert_eq!(*log.synced().borrow(), 1);
    // What comes after it shares its sync.
    log.blocking_append([commands(1, 3, 1_000)]).await.unwrap();
    assert_eq!(*log.synced().borrow(), 1);
    assert!(engine.unsynced() > 0, "nothing was left to sync, so this showed nothing");
    log.synced().wait_for(|synced| *synced == 3).await.unwrap();
    assert_eq!(engine.unsynced(), 0);

    log.blocking_append([commands(1, 4, 1_000)]).await.unwrap();
    assert_eq!((*log.synced().borrow(), engine.unsynced()), (4, 0));
}

#[tokio::test]
async fn a_leader_that_is_alone_loses_only_what_did_not_count_as_synced_and_goes_on_leading() {
    let engine = Arc::new(MemoryEngine::new());
    let (mut log, _) = open_as(Arc::<MemoryEngine>::clone(&engine), false, Threads::Inline);
    log.save_vote(&Vote::new_committed(1, OWN)).await.unwrap();
    log.blocking_append([commands(1, 0, 1_000)]).await.unwrap();
    log.blocking_append([commands(1, 1, 1_000_000)]).await.unwrap();
    let synced = *log.synced().borrow();
    let (mut log, _) = open_as(Arc::new(engine.crash(0)), false, Threads::Inline);
    assert_eq!((synced, last(&mut log).await), (0, Some(commands(1, 0, 1_000).log_id)));
    // Nobody else has seen what is gone, so its place may be given away in the same term.
    assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new_committed(1, OWN)));
    log.blocking_append([commands(1, 1, 2_000)]).await.unwrap();
    assert_eq!(*log.synced().borrow(), 1);
}

#[tokio::test]
async fn what_is_large_is_written_on_the_thread_that_syncs_and_a_followers_is_synced_before_it_is_done() {
    for (vote, node, is_synced) in
        [(Vote::new_committed(1, OTHER), OTHER, true), (Vote::new_committed(1, OWN), OWN, false)]
    {
        let memory = Arc::new(MemoryEngine::new());
        let engine = Counted::over(&memory);
        let (mut log, _) = open_as(Arc::<Counted>::clone(&engine), true, Threads::Own);
        log.save_vote(&vote).await.unwrap();
        for (index, bytes, is_apart) in [(0, 1_000, false), (1, 1_000_000, true), (2, 1_000, false)] {
            let payload = EntryPayload::Normal(Payload(vec![7; bytes].into()));
            let log_id = LogId::new(CommittedLeaderId::new(1, node), index);
            log.blocking_append([Entry { log_id, payload }]).await.unwrap();
            if is_synced {
                assert_eq!((*log.synced().borrow(), memory.unsynced()), (index, 0));
            }
            log.synced().wait_for(|synced| *synced == index).await.unwrap();
            let writer = engine.writer.lock().unwrap().clone();
            assert_eq!(writer.as_deref() == Some(SYNCS), is_apart, "{bytes} bytes were written on {writer:?}");
        }
    }
}

#[tokio::test]
async fn what_comes_while_a_sync_is_under_way_waits_for_it_on_the_thread_that_syncs() {
    let (engine, gate) = (Arc::new(MemoryEngine::new()), Arc::new(std::sync::Barrier::new(2)));
    let counted = Counted::over(&engine);
    let (mut log, _) = open_as(Arc::<Counted>::clone(&counted), true, Threads::Own);
    log.save_vote(&Vote::new_committed(1, OWN)).await.unwrap();
    // The thread is kept busy before it gets to the first entry's sync.
    let held = Arc::clone(&gate);
    log.give_to_sync_thread(move || {
        held.wait();
    });
    log.blocking_append([entry(1, OWN, 0), entry(1, OWN, 1)]).await.unwrap();
    let mut second = log.clone();
    let mut append = Box::pin(async move { second.blocking_append([entry(1, OWN, 2)]).await });
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut append).await.is_err(), "it waited on its own thread");
    gate.wait();
    append.await.unwrap();
    log.synced().wait_for(|synced| *synced == 2).await.unwrap();
    assert_eq!((counted.writer.lock().unwrap().as_deref(), engine.unsynced()), (Some(SYNCS), 0));
}

/// How long a thread waits for another one before the test has failed.
const AT_MOST: Duration = Duration::from_secs(20);

/// An engine of which some syncs take effect at once and then take a while to say so.
struct Slow {
    engine: Arc<MemoryEngine>,
    /// How many of the next syncs are held up.
    held: AtomicU64,
    began: Mutex<std::sync::mpsc::Sender<()>>,
    may_end: Mutex<std::sync::mpsc::Receiver<()>>,
}

/// The other ends: a sync that is held up has taken effect, and is let go.
struct Holder {
    began: std::sync::mpsc::Receiver<()>,
    may_end: std::sync::mpsc::Sender<()>,
}

impl Holder {
    fn until_a_sync_is_held(&self) {
        self.began.recv_timeout(AT_MOST).expect("no sync began");
    }

    fn let_it_end(&self) {
        self.may_end.send(()).unwrap();
    }
}

impl Slow {
    fn over(engine: &Arc<MemoryEngine>, held: u64) -> (Arc<Slow>, Holder) {
        let ((told, began), (end, may_end)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
        let slow = Slow {
            engine: Arc::clone(engine),
            held: AtomicU64::new(held),
            began: Mutex::new(told),
            may_end: Mutex::new(may_end),
        };
        (Arc::new(slow), Holder { began, may_end: end })
    }
}

impl Engine for Slow {
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
        self.engine.sync()?;
        if self.held.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |held| held.checked_sub(1)).is_ok() {
            // Where the test has failed already, nobody listens.
            let _ = self.began.lock().unwrap().send(());
            let _ = self.may_end.lock().unwrap().recv_timeout(AT_MOST);
        }
        Ok(())
    }
    fn view(&self) -> Result<Arc<dyn View>, StoreError> {
        self.engine.view()
    }
}

/// A sync speaks for what was written before it began. What is written while it is under way needs one of its own.
#[test]
fn what_is_written_during_a_sync_does_not_count_as_synced_by_it() {
    use super::super::leader_sync::LeaderSync;

    let memory = Arc::new(MemoryEngine::new());
    let (slow, holder) = Slow::over(&memory, 2);
    let space = slow.create_space(&SpaceId::new("entries", 0)).unwrap();
    let write = |key: u8| {
        let mut batch = Batch::new();
        batch.put(space, &[key], b"entry");
        slow.write(&batch).unwrap();
    };
    let beside = Beside {
        own_id: OWN,
        has_followers: true,
        threads: Threads::Own,
        worker: Worker::start(Threads::Own, SYNCS, Slice::Short).unwrap(),
        on_fatal: Arc::new(|reason| panic!("{reason}")),
    };
    let sync = LeaderSync::new(beside, Arc::<Slow>::clone(&slow));
    write(1);
    sync.is_written(1).unwrap();
    holder.until_a_sync_is_held();
    write(2);
    sync.is_written(2).unwrap();
    holder.let_it_end();
    // The second sync has begun, so the first has said what it spoke for.
    holder.until_a_sync_is_held();
    assert_eq!((*sync.synced().borrow(), *sync.written().borrow()), (1, 2));
    holder.let_it_end();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(LeaderSync::wait(&sync.synced(), 2)).unwrap();
    assert_eq!(memory.unsynced(), 0);
}

/// A sync that is under way speaks for entries that are about to be cut off: they are not, before it has spoken.
#[tokio::test]
async fn nothing_is_cut_off_while_its_sync_is_under_way() {
    let (slow, holder) = Slow::over(&Arc::new(MemoryEngine::new()), 0);
    let (mut log, _) = open_as(Arc::<Slow>::clone(&slow), true, Threads::Own);
    log.save_vote(&Vote::new_committed(1, OWN)).await.unwrap();
    slow.held.store(1, Ordering::SeqCst);
    log.blocking_append([entry(1, OWN, 0), entry(1, OWN, 1), entry(1, OWN, 2)]).await.unwrap();
    holder.until_a_sync_is_held();
    let mut other = log.clone();
    let mut truncate = Box::pin(async move { other.truncate(entry(1, OWN, 1).log_id).await });
    let early = tokio::time::timeout(Duration::from_millis(50), &mut truncate).await;
    assert!(early.is_err(), "entries were cut off while they were being synced");
    assert_eq!(last(&mut log).await, Some(entry(1, OWN, 2).log_id));
    holder.let_it_end();
    truncate.await.unwrap();
    assert_eq!((*log.synced().borrow(), last(&mut log).await), (0, Some(entry(1, OWN, 0).log_id)));
}
