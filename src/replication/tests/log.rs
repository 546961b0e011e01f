//! The conformance suite of the log: every check runs over every engine that may hold it.

use std::collections::BTreeMap;

use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use openraft::{BasicNode, EntryPayload, Membership, RaftLogReader};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::network::MAX_APPEND_BYTES;
use super::super::tail::MAX_TAIL_BYTES;
use super::*;
use crate::replication::Vote;
use crate::store::{Batch, SpaceId};

/// Everything that the log holds.
async fn all(log: &mut LogStore) -> Vec<Entry> {
    log.try_get_log_entries(..).await.unwrap()
}

async fn ends(log: &mut LogStore) -> (Option<LogId>, Option<LogId>) {
    let state = log.get_log_state().await.unwrap();
    (state.last_purged_log_id, state.last_log_id)
}

/// A log that holds entries 0 to 9 of term 1.
async fn ten_entries(subject: &Subject) -> LogStore {
    let mut log = subject.open().unwrap();
    log.blocking_append((0..10).map(|index| commands(1, index, 64))).await.unwrap();
    log
}

/// Deletes or replaces entries behind the log's back, as damage does.
fn damage(subject: &Subject, change: impl FnOnce(&mut Batch, crate::store::Space)) {
    let engine = subject.engine();
    let space = engine.space(&SpaceId::new("entries", 0)).unwrap();
    let mut batch = Batch::new();
    change(&mut batch, space);
    engine.write(&batch).unwrap();
}

#[track_caller]
fn refused(subject: &Subject, words: &str) {
    let error = subject.open().err().unwrap_or_else(|| panic!("{}: opened, but {words:?} was expected", subject.kind));
    assert!(error.to_string().contains(words), "{}: {error}", subject.kind);
}

#[tokio::test]
async fn what_is_appended_is_read_back_before_and_after_a_restart() {
    for kind in LOG_ENGINES {
        let mut subject = Subject::new(kind);
        let mut log = subject.open().unwrap();
        assert_eq!(ends(&mut log).await, (None, None));
        let members = BTreeMap::from([(1, BasicNode::new("127.0.0.1:1")), (2, BasicNode::new("127.0.0.1:2"))]);
        let membership = Membership::new(vec![members.keys().copied().collect()], members);
        let first = Entry { log_id: log_id(0, 0), payload: EntryPayload::Membership(membership) };
        let entries = vec![first, blank(1, 1), commands(1, 2, 300_000), commands(2, 3, 16)];
        log.blocking_append(entries.clone()).await.unwrap();
        for _ in 0..2 {
            assert_eq!(all(&mut log).await, entries, "{kind}");
            assert_eq!(log.try_get_log_entries(1..3).await.unwrap(), entries[1..3], "{kind}");
            assert_eq!(log.try_get_log_entries(2..=3).await.unwrap(), entries[2..=3], "{kind}");
            assert_eq!(log.try_get_log_entries(3..100).await.unwrap(), entries[3..], "{kind}");
            assert_eq!(log.try_get_log_entries(4..100).await.unwrap(), [], "{kind}");
            #[allow(clippy::reversed_empty_ranges)]
            let backwards = 3..1;
            assert_eq!(log.try_get_log_entries(backwards).await.unwrap(), [], "{kind}");
            assert_eq!(ends(&mut log).await, (None, Some(log_id(2, 3))), "{kind}");
            log = subject.reopen(log);
        }
    }
}

#[tokio::test]
async fn truncated_entries_are_gone_for_good() {
    for kind in LOG_ENGINES {
        let mut subject = Subject::new(kind);
        let mut log = ten_entries(&subject).await;
        log.truncate(log_id(1, 6)).await.unwrap();
        assert_eq!(ends(&mut log).await, (None, Some(log_id(1, 5))), "{kind}");
        log.blocking_append([commands(2, 6, 64)]).await.unwrap();
        let expected: Vec<Entry> = (0..6).map(|index| commands(1, index, 64)).chain([commands(2, 6, 64)]).collect();
        assert_eq!(all(&mut log).await, expected, "{kind}");
        log = subject.reopen(log);
        assert_eq!(all(&mut log).await, expected, "{kind}");
        log.truncate(log_id(1, 0)).await.unwrap();
        assert_eq!(ends(&mut log).await, (None, None), "{kind}");
        log = subject.reopen(log);
        assert_eq!((all(&mut log).await, ends(&mut log).await), (vec![], (None, None)), "{kind}");
    }
}

#[tokio::test]
async fn a_purged_log_begins_after_what_was_purged_and_goes_on() {
    for kind in LOG_ENGINES {
        let mut subject = Subject::new(kind);
        subject.book.applied_index = 9;
        let mut log = ten_entries(&subject_at(&subject, 0)).await;
        log.purge(log_id(1, 3)).await.unwrap();
        for _ in 0..2 {
            assert_eq!(ends(&mut log).await, (Some(log_id(1, 3)), Some(log_id(1, 9))), "{kind}");
            assert_eq!(all(&mut log).await.first().unwrap().log_id, log_id(1, 4), "{kind}");
            log = subject.reopen(log);
        }
        log.purge(log_id(1, 9)).await.unwrap();
        for _ in 0..2 {
            assert_eq!(ends(&mut log).await, (Some(log_id(1, 9)), Some(log_id(1, 9))), "{kind}");
            assert_eq!(all(&mut log).await, [], "{kind}");
            log = subject.reopen(log);
        }
        log.blocking_append([commands(2, 10, 64)]).await.unwrap();
        log = subject.reopen(log);
        assert_eq!(all(&mut log).await, [commands(2, 10, 64)], "{kind}");
        assert_eq!(ends(&mut log).await, (Some(log_id(1, 9)), Some(log_id(2, 10))), "{kind}");
    }
}

#[tokio::test]
async fn an_installed_snapshot_lets_the_log_jump_ahead() {
    for kind in LOG_ENGINES {
        let mut subject = Subject::new(kind);
        let mut log = ten_entries(&subject).await;
        log.purge(log_id(3, 500)).await.unwrap();
        log.blocking_append([commands(3, 501, 64)]).await.unwrap();
        subject.book = BookPoint { applied_index: 500, installed_index: 500 };
        log = subject.reopen(log);
        assert_eq!(ends(&mut log).await, (Some(log_id(3, 500)), Some(log_id(3, 501))), "{kind}");
        assert_eq!(all(&mut log).await, [commands(3, 501, 64)], "{kind}");
    }
}

#[tokio::test]
async fn a_purge_waits_until_the_book_holds_what_is_purged() {
    for kind in LOG_ENGINES {
        let mut subject = Subject::new(kind);
        subject.applied = watch::channel(4).0;
        let mut log = ten_entries(&subject).await;
        log.purge(log_id(1, 4)).await.unwrap();
        let mut purging = log.clone();
        let purge = tokio::spawn(async move { purging.purge(log_id(1, 8)).await });
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert!(!purge.is_finished(), "{kind}: purged what the book does not hold");
        assert_eq!(ends(&mut log).await.0, Some(log_id(1, 4)), "{kind}");
        subject.applied.send_replace(8);
        purge.await.unwrap().unwrap();
        assert_eq!(ends(&mut log).await.0, Some(log_id(1, 8)), "{kind}");
    }
}

#[tokio::test]
async fn the_vote_and_the_committed_index_are_kept() {
    for kind in LOG_ENGINES {
        let mut subject = Subject::new(kind);
        let mut log = ten_entries(&subject).await;
        assert_eq!((log.read_vote().await.unwrap(), log.read_committed().await.unwrap()), (None, None), "{kind}");
        for vote in [Vote::new(3, 2), Vote::new_committed(3, 2), Vote::new(4, 1)] {
            log.save_vote(&vote).await.unwrap();
            assert_eq!(log.read_vote().await.unwrap(), Some(vote), "{kind}");
        }
        log.save_committed(Some(log_id(1, 7))).await.unwrap();
        log.save_committed(None).await.unwrap();
        assert_eq!(log.read_committed().await.unwrap(), Some(log_id(1, 7)), "{kind}");
        // It goes to the disk with the next entry; the second is not followed by one.
        log.blocking_append([blank(1, 10)]).await.unwrap();
        log.save_committed(Some(log_id(1, 8))).await.unwrap();
        log = subject.reopen(log);
        assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new(4, 1)), "{kind}");
        assert_eq!(log.read_committed().await.unwrap(), Some(log_id(1, 7)), "{kind}");
    }
}

/// The same log, opened as if the book stood at another index.
fn subject_at(subject: &Subject, applied_index: u64) -> Subject {
    Subject {
        kind: subject.kind,
        folder: tempfile::tempdir().unwrap(),
        engine: Some(Opened::OnDisk(subject.engine())),
        book: BookPoint { applied_index, ..subject.book },
        applied: watch::channel(u64::MAX).0,
    }
}

#[tokio::test]
async fn a_log_with_a_hole_is_refused() {
    for kind in LOG_ENGINES {
        let mut subject = Subject::new(kind);
        let log = ten_entries(&subject).await;
        subject.close(log);
        damage(&subject, |batch, space| batch.delete(space, &5u64.to_be_bytes()));
        refused(&subject, "entry 5 is missing before entry 6");

        let mut subject = Subject::new(kind);
        let log = ten_entries(&subject).await;
        subject.close(log);
        damage(&subject, |batch, space| batch.delete(space, &0u64.to_be_bytes()));
        refused(&subject, "entry 0 is missing before entry 1");

        let mut subject = Subject::new(kind);
        let mut log = ten_entries(&subject).await;
        log.purge(log_id(1, 3)).await.unwrap();
        subject.book.applied_index = 9;
        subject.close(log);
        damage(&subject, |batch, space| batch.delete(space, &4u64.to_be_bytes()));
        refused(&subject, "entry 4 is missing before entry 5");
    }
}

#[tokio::test]
async fn a_damaged_entry_is_refused() {
    for kind in LOG_ENGINES {
        let mut subject = Subject::new(kind);
        let log = ten_entries(&subject).await;
        subject.close(log);
        damage(&subject, |batch, space| batch.put(space, &10u64.to_be_bytes(), &[0, 9, 1]));
        refused(&subject, "a stored log entry does not decode");

        let mut subject = Subject::new(kind);
        let log = ten_entries(&subject).await;
        subject.close(log);
        damage(&subject, |batch, space| {
            let engine = subject.engine();
            let other = engine.view().unwrap().get(space, &3u64.to_be_bytes()).unwrap().unwrap().to_vec();
            batch.put(space, &10u64.to_be_bytes(), &other);
        });
        refused(&subject, "entry 3 lies under another index");
    }
}

#[tokio::test]
async fn a_log_that_does_not_fit_the_book_is_refused() {
    for kind in LOG_ENGINES {
        let mut subject = Subject::new(kind);
        let mut log = ten_entries(&subject).await;
        log.save_committed(Some(log_id(1, 9))).await.unwrap();
        log.blocking_append([blank(1, 10)]).await.unwrap();
        subject.close(log);
        damage(&subject, |batch, space| batch.delete(space, &10u64.to_be_bytes()));

        // What stands at which index: the book's applied, the installed snapshot's, and whether that can be.
        for (applied_index, installed_index, fits) in [
            (0, 0, true),
            (9, 0, true),
            (10, 0, false),
            (10, 10, true),
            (9, 5, true),
            (12, 9, false),
            // A snapshot explains a short log only until something is applied after it.
            (12, 10, false),
        ] {
            subject.book = BookPoint { applied_index, installed_index };
            let opened = subject.open();
            assert_eq!(opened.is_ok(), fits, "{kind}: {:?}", subject.book);
        }
        subject.book = BookPoint { applied_index: 10, installed_index: 0 };
        refused(&subject, "ends at index 9, but the book has applied index 10");

        damage(&subject, |batch, space| batch.delete(space, &9u64.to_be_bytes()));
        subject.book = BookPoint { applied_index: 3, installed_index: 0 };
        refused(&subject, "ends at index 8, but index 9 was committed");

        let mut log = {
            subject.book = BookPoint { applied_index: 9, installed_index: 9 };
            subject.open().unwrap()
        };
        log.purge(log_id(1, 7)).await.unwrap();
        subject.close(log);
        subject.book = BookPoint { applied_index: 6, installed_index: 0 };
        refused(&subject, "begins after index 7, but the book has applied index 6 only");
    }
}

#[tokio::test]
async fn an_acknowledged_append_or_vote_survives_a_power_cut() {
    let mut engine = Arc::new(MemoryEngine::new());
    let mut last = None;
    for round in 0..20u64 {
        let worker = Worker::start(Threads::Own, "log-test", Slice::Short).unwrap();
        let point = BookPoint { applied_index: 0, installed_index: 0 };
        let applied = watch::channel(0).1;
        let mut log = LogStore::open(Arc::<MemoryEngine>::clone(&engine), worker, point, applied, alone()).unwrap();
        assert_eq!(ends(&mut log).await.1, last, "an acknowledged entry is missing after round {round}");
        let vote = Vote::new(round, 1);
        if round > 0 {
            assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new(round - 1, 1)));
        }
        log.save_vote(&vote).await.unwrap();
        log.blocking_append([commands(1, 2 * round, 64), commands(1, 2 * round + 1, 64)]).await.unwrap();
        last = Some(log_id(1, 2 * round + 1));
        // It goes with the next append: it may be lost, but not in such a way that the log is then refused.
        log.save_committed(last).await.unwrap();
        engine = Arc::new(engine.crash(0));
    }
}

/// What a power cut leaves of a log in memory, right after it was changed.
async fn after_a_power_cut(
    engine: &Arc<MemoryEngine>,
    book: BookPoint,
    change: impl AsyncFnOnce(&mut LogStore),
) -> (Arc<MemoryEngine>, LogStore) {
    let open = |engine: &Arc<MemoryEngine>| {
        let worker = Worker::start(Threads::Own, "log-test", Slice::Short).unwrap();
        let applied = watch::channel(u64::MAX).1;
        LogStore::open(Arc::<MemoryEngine>::clone(engine), worker, book, applied, alone()).unwrap()
    };
    let mut log = open(engine);
    change(&mut log).await;
    let left = Arc::new(engine.crash(0));
    let log = open(&left);
    (left, log)
}

/// Each change alone, with nothing after it that would be synced and carry it along.
#[tokio::test]
async fn every_change_that_was_acknowledged_survives_a_power_cut_right_after_it() {
    let new = BookPoint { applied_index: 0, installed_index: 0 };
    let engine = Arc::new(MemoryEngine::new());
    let (engine, mut log) = after_a_power_cut(&engine, new, async |log| {
        log.save_vote(&Vote::new(3, 2)).await.unwrap();
    })
    .await;
    assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new(3, 2)), "the vote");
    let (engine, mut log) = after_a_power_cut(&engine, new, async |log| {
        log.blocking_append((0..10).map(|index| commands(1, index, 64))).await.unwrap();
    })
    .await;
    assert_eq!(ends(&mut log).await, (None, Some(log_id(1, 9))), "the append");
    let (engine, mut log) = after_a_power_cut(&engine, new, async |log| {
        log.save_vote(&Vote::new_committed(4, 2)).await.unwrap();
    })
    .await;
    assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new_committed(4, 2)), "the later vote");
    let (engine, mut log) = after_a_power_cut(&engine, new, async |log| {
        log.truncate(log_id(1, 8)).await.unwrap();
    })
    .await;
    assert_eq!(ends(&mut log).await, (None, Some(log_id(1, 7))), "the truncation");
    let applied = BookPoint { applied_index: 7, installed_index: 0 };
    let (engine, mut log) = after_a_power_cut(&engine, applied, async |log| {
        log.purge(log_id(1, 3)).await.unwrap();
    })
    .await;
    assert_eq!(ends(&mut log).await, (Some(log_id(1, 3)), Some(log_id(1, 7))), "the purge");
    let installed = BookPoint { applied_index: 500, installed_index: 500 };
    let (_, mut log) = after_a_power_cut(&engine, installed, async |log| {
        log.purge(log_id(5, 500)).await.unwrap();
    })
    .await;
    assert_eq!(ends(&mut log).await, (Some(log_id(5, 500)), Some(log_id(5, 500))), "the purge up to a snapshot");
}

#[tokio::test]
async fn the_tail_in_memory_is_bounded_and_reads_beyond_it_reach_the_engine() {
    const BYTES: usize = 1 << 20;
    let count = 2 * MAX_TAIL_BYTES / BYTES;
    let subject = Subject::new(EngineKind::Memory);
    let mut log = subject.open().unwrap();
    for index in 0..count as u64 {
        log.blocking_append([commands(1, index, BYTES)]).await.unwrap();
    }
    let (entries, bytes) = log.tail_size();
    assert!(bytes <= MAX_TAIL_BYTES && entries < count, "{entries} entries of {bytes} bytes are kept");
    assert!(bytes > MAX_TAIL_BYTES / 2, "only {bytes} bytes are kept");
    let read = all(&mut log).await;
    assert_eq!(read.len(), count);
    assert!(read.iter().enumerate().all(|(index, entry)| *entry == commands(1, index as u64, BYTES)));

    let limited = log.limited_get_log_entries(0, count as u64).await.unwrap();
    assert_eq!(limited.first().unwrap().log_id.index, 0);
    assert!(limited.len() * BYTES <= MAX_APPEND_BYTES, "{} entries for one append", limited.len());
    assert!(limited.len() * (BYTES + 64) > MAX_APPEND_BYTES / 2);

    // A single entry is larger than an append: it is read all the same, alone.
    let large = count as u64;
    log.blocking_append([commands(1, large, 2 * MAX_APPEND_BYTES), commands(1, large + 1, BYTES)]).await.unwrap();
    log.purge(log_id(1, large - 1)).await.unwrap();
    assert_eq!(all(&mut log).await.len(), 2);
}

/// What a log is, said as plainly as can be.
#[derive(Debug, Default)]
struct Model {
    purged: Option<LogId>,
    entries: Vec<Entry>,
}

impl Model {
    fn next_index(&self) -> u64 {
        self.ends().1.map_or(0, |last| last.index + 1)
    }

    fn ends(&self) -> (Option<LogId>, Option<LogId>) {
        (self.purged, self.entries.last().map(|entry| entry.log_id).or(self.purged))
    }

    fn pick(&self, random: &mut StdRng) -> Option<LogId> {
        (!self.entries.is_empty()).then(|| self.entries[random.random_range(0..self.entries.len())].log_id)
    }
}

#[tokio::test]
async fn a_random_history_reads_like_a_plain_list() {
    let seed = seed();
    for kind in LOG_ENGINES {
        let mut random = StdRng::seed_from_u64(seed);
        let mut subject = Subject::new(kind);
        let (mut log, mut model, mut term) = (subject.open().unwrap(), Model::default(), 1);
        for step in 0..400 {
            match random.random_range(0..20) {
                0..10 => {
                    let first = model.next_index();
                    let entries: Vec<Entry> = (first..first + random.random_range(1..8))
                        .map(|index| commands(term, index, random.random_range(16..2_000)))
                        .collect();
                    log.blocking_append(entries.clone()).await.unwrap();
                    model.entries.extend(entries);
                }
                10..13 => {
                    let Some(from) = model.pick(&mut random) else { continue };
                    log.truncate(from).await.unwrap();
                    model.entries.retain(|entry| entry.log_id.index < from.index);
                    term += 1;
                }
                13..15 => {
                    let Some(to) = model.pick(&mut random) else { continue };
                    log.purge(to).await.unwrap();
                    model.entries.retain(|entry| entry.log_id.index > to.index);
                    model.purged = Some(to);
                }
                15..19 => {
                    let start = model.pick(&mut random).map_or(0, |from| from.index);
                    let end = start + random.random_range(0..12);
                    let read = log.try_get_log_entries(start..end).await.unwrap();
                    let expected = model.entries.iter().filter(|entry| (start..end).contains(&entry.log_id.index));
                    assert!(read.iter().eq(expected), "{kind}: step {step}: {start}..{end}");
                }
                _ => {
                    subject.book.applied_index = model.purged.map_or(0, |purged| purged.index);
                    log = subject.reopen(log);
                }
            }
            assert_eq!(ends(&mut log).await, model.ends(), "{kind}: step {step}");
        }
        assert_eq!(all(&mut log).await, model.entries, "{kind}");
    }
}
