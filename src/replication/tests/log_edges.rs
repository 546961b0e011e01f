//! What the log does at its edges: ranges of every kind, entries that lie beyond the tail in
//! memory, bytes that are cut off or purged, power cuts.

use std::ops::Bound;

use openraft::RaftLogReader;
use openraft::storage::{RaftLogStorage, RaftLogStorageExt};

use super::super::tail::MAX_TAIL_BYTES;
use super::*;
use crate::replication::Vote;
use crate::store::{Batch, SpaceId};

const MIB: usize = 1 << 20;

async fn indexes(log: &mut LogStore, range: (Bound<u64>, Bound<u64>)) -> Vec<u64> {
    let entries = log.try_get_log_entries(range).await.unwrap();
    entries.iter().map(|entry| entry.log_id.index).collect()
}

fn open_in_memory(engine: &Arc<MemoryEngine>, applied_index: u64) -> LogStore {
    let worker = Worker::start(Threads::Own, "log-test", Slice::Short).unwrap();
    let book = BookPoint { applied_index, installed_index: 0 };
    LogStore::open(Arc::<MemoryEngine>::clone(engine), worker, book, watch::channel(u64::MAX).1, alone()).unwrap()
}

/// A log of so many entries of a mebibyte: the first of them lie beyond the tail in memory.
async fn long_log(engine: &Arc<MemoryEngine>) -> (LogStore, u64) {
    let mut log = open_in_memory(engine, 0);
    let count = u64::try_from(2 * MAX_TAIL_BYTES / MIB).unwrap();
    for index in 0..count {
        log.blocking_append([commands(1, index, MIB)]).await.unwrap();
    }
    let (kept, _) = log.tail_size();
    assert!(u64::try_from(kept).unwrap() < count - 8, "{kept} of {count} entries are in memory");
    (log, count)
}

#[tokio::test]
async fn ranges_of_every_kind_mean_the_same_in_memory_and_beyond_it() {
    let engine = Arc::new(MemoryEngine::new());
    let (mut log, count) = long_log(&engine).await;
    // In the engine, across the edge of the tail, in the tail, and past the end.
    for start in [0, 1, 3, count / 2, count - 3] {
        for length in 0..4 {
            let end = start + length;
            for (first, from) in [(start, Bound::Included(start)), (start + 1, Bound::Excluded(start))] {
                for (last, to) in [(end, Bound::Excluded(end)), (end + 1, Bound::Included(end))] {
                    let expected: Vec<u64> = (first..last.min(count)).collect();
                    assert_eq!(indexes(&mut log, (from, to)).await, expected, "{from:?} {to:?}");
                }
            }
            let limited = log.limited_get_log_entries(start, end).await.unwrap();
            assert!(limited.iter().map(|entry| entry.log_id.index).eq(start..end.min(count)), "{start}..{end}");
        }
    }
    assert_eq!(indexes(&mut log, (Bound::Unbounded, Bound::Excluded(2))).await, [0, 1]);
    assert_eq!(indexes(&mut log, (Bound::Included(count - 1), Bound::Unbounded)).await, [count - 1]);
}

#[tokio::test]
async fn what_lies_beyond_the_tail_is_cut_off_and_purged_alike() {
    let engine = Arc::new(MemoryEngine::new());
    let (mut log, _) = long_log(&engine).await;
    log.truncate(log_id(1, 4)).await.unwrap();
    assert_eq!(log.get_log_state().await.unwrap().last_log_id, Some(log_id(1, 3)));
    log.blocking_append([commands(2, 4, MIB)]).await.unwrap();
    log.purge(log_id(1, 1)).await.unwrap();
    assert_eq!(
        log.try_get_log_entries(..).await.unwrap(),
        [commands(1, 2, MIB), commands(1, 3, MIB), commands(2, 4, MIB)]
    );
    drop(log);
    let mut log = open_in_memory(&Arc::new(engine.reopen()), 4);
    assert_eq!(indexes(&mut log, (Bound::Unbounded, Bound::Unbounded)).await, [2, 3, 4]);
}

/// What is cut off or purged counts no more among the bytes by which the log is bounded; so after a
/// restart.
#[tokio::test]
async fn the_bytes_of_the_log_are_those_of_its_entries() {
    const BYTES: usize = 100_000;
    let engine = Arc::new(MemoryEngine::new());
    let mut log = open_in_memory(&engine, 0);
    let of = |entries: u64| entries * u64::try_from(BYTES + 64).unwrap();
    log.blocking_append((0..20).map(|index| commands(1, index, BYTES))).await.unwrap();
    assert_eq!((log.bytes(), log.beyond(of(5))), (of(20), Some(14)));
    log.truncate(log_id(1, 12)).await.unwrap();
    assert_eq!((log.bytes(), log.beyond(of(5))), (of(12), Some(6)));
    log.purge(log_id(1, 3)).await.unwrap();
    assert_eq!((log.bytes(), log.beyond(of(5)), log.beyond(of(8))), (of(8), Some(6), None));
    drop(log);
    let log = open_in_memory(&Arc::new(engine.reopen()), 11);
    assert_eq!((log.bytes(), log.beyond(of(5))), (of(8), Some(6)));
}

/// Should what a purge deleted be there still, it counts no more, and what follows it is still held
/// to be without holes.
#[tokio::test]
async fn entries_at_and_below_what_was_purged_are_passed_over() {
    for kind in LOG_ENGINES {
        let mut subject = Subject::new(kind);
        let mut log = subject.open().unwrap();
        log.blocking_append((0..10).map(|index| commands(1, index, 64))).await.unwrap();
        let engine = subject.engine();
        let space = engine.space(&SpaceId::new("entries", 0)).unwrap();
        let keys = [2u64, 3].map(u64::to_be_bytes);
        let stored = keys.map(|key| engine.view().unwrap().get(space, &key).unwrap().unwrap().to_vec());
        log.purge(log_id(1, 3)).await.unwrap();
        let mut batch = Batch::new();
        keys.iter().zip(&stored).for_each(|(key, entry)| batch.put(space, key, entry));
        engine.write(&batch).unwrap();
        drop(engine);
        subject.book.applied_index = 9;
        log = subject.reopen(log);
        let state = log.get_log_state().await.unwrap();
        assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(log_id(1, 3)), Some(log_id(1, 9))), "{kind}");
        assert_eq!(indexes(&mut log, (Bound::Included(4), Bound::Unbounded)).await, [4, 5, 6, 7, 8, 9], "{kind}");
    }
}

#[tokio::test]
async fn what_was_cut_off_or_purged_does_not_come_back_after_a_power_cut() {
    let engine = Arc::new(MemoryEngine::new());
    let mut log = open_in_memory(&engine, 0);
    log.save_vote(&Vote::new(1, 1)).await.unwrap();
    log.blocking_append((0..10).map(|index| commands(1, index, 64))).await.unwrap();
    log.truncate(log_id(1, 6)).await.unwrap();
    let engine = Arc::new(engine.crash(0));
    let mut log = open_in_memory(&engine, 0);
    assert_eq!(indexes(&mut log, (Bound::Unbounded, Bound::Unbounded)).await, [0, 1, 2, 3, 4, 5]);
    log.purge(log_id(1, 2)).await.unwrap();
    let mut log = open_in_memory(&Arc::new(engine.crash(0)), 5);
    assert_eq!(indexes(&mut log, (Bound::Unbounded, Bound::Unbounded)).await, [3, 4, 5]);
    let state = log.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(log_id(1, 2)), Some(log_id(1, 5))));
}
