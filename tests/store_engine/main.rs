//! The conformance suite of the storage port: every check runs against every adapter.
//!
//! A check gets an engine of its own and may close and reopen it. What holds for one adapter holds for all;
//! what one adapter alone promises (the memory engine's crash, sled's note and its expiring views, the
//! folder's FORMAT file) stands in the files beside this one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    unreachable_pub
)]

mod random;
mod subject;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use folio::store::{Batch, Direction, EngineKind, KeyRange, MAX_KEY_BYTES, Pair, RESERVED_KEY, SpaceId, StoreError};

use subject::{Subject, all, get, id, pairs, put, scan};

fn what_was_put_is_read_back(subject: &mut Subject) {
    let engine = subject.engine();
    let space = engine.create_space(&id("accounts", 1)).unwrap();
    let large = vec![7; 300_000];
    put(&*engine, space, &[(b"a", b"1"), (b"b", b""), (b"c", &large), (&[0xff; 9], &[0xff])]);
    let view = engine.view().unwrap();
    assert_eq!(get(&*view, space, b"a"), Some(b"1".to_vec()));
    assert_eq!(get(&*view, space, b"b"), Some(Vec::new()));
    assert_eq!(get(&*view, space, b"c"), Some(large));
    assert_eq!(get(&*view, space, &[0xff; 9]), Some(vec![0xff]));
    assert_eq!(get(&*view, space, b"d"), None);
    assert_eq!(get(&*view, space, b""), None);
}

fn spaces_do_not_see_each_other(subject: &mut Subject) {
    let engine = subject.engine();
    let first = engine.create_space(&id("names", 1)).unwrap();
    let second = engine.create_space(&id("names", 2)).unwrap();
    let third = engine.create_space(&id("zeta", 1)).unwrap();
    put(&*engine, first, &[(b"k", b"first")]);
    put(&*engine, third, &[(b"k", b"third")]);
    let view = engine.view().unwrap();
    assert_eq!(all(&*view, first), pairs(&[(b"k", b"first")]));
    assert_eq!(all(&*view, second), vec![]);
    assert_eq!(scan(&*view, second, &KeyRange::all(), Direction::Backward), vec![]);
    assert_eq!(all(&*view, third), pairs(&[(b"k", b"third")]));
    assert_eq!(engine.spaces(), vec![id("names", 1), id("names", 2), id("zeta", 1)]);
}

fn the_last_write_to_a_key_in_a_batch_counts(subject: &mut Subject) {
    let engine = subject.engine();
    let space = engine.create_space(&id("meta", 1)).unwrap();
    let mut batch = Batch::new();
    batch.put(space, b"put-put", b"1");
    batch.put(space, b"put-put", b"2");
    batch.put(space, b"put-delete", b"1");
    batch.delete(space, b"put-delete");
    batch.delete(space, b"delete-put");
    batch.put(space, b"delete-put", b"2");
    engine.write(&batch).unwrap();
    let expected = pairs(&[(b"delete-put", b"2"), (b"put-put", b"2")]);
    assert_eq!(all(&*engine.view().unwrap(), space), expected);
    drop(engine);
    subject.reopen();
    let engine = subject.engine();
    let space = engine.space(&id("meta", 1)).unwrap();
    assert_eq!(all(&*engine.view().unwrap(), space), expected);
}

fn deletes_take_effect_and_of_nothing_do_nothing(subject: &mut Subject) {
    let engine = subject.engine();
    let space = engine.create_space(&id("holds", 1)).unwrap();
    put(&*engine, space, &[(b"a", b"1"), (b"b", b"2"), (b"c", b"3")]);
    let mut batch = Batch::new();
    batch.delete(space, b"b");
    batch.delete(space, b"never");
    engine.write(&batch).unwrap();
    let view = engine.view().unwrap();
    assert_eq!(all(&*view, space), pairs(&[(b"a", b"1"), (b"c", b"3")]));
    assert_eq!(get(&*view, space, b"b"), None);
}

fn a_batch_can_be_used_again(subject: &mut Subject) {
    let engine = subject.engine();
    let space = engine.create_space(&id("meta", 1)).unwrap();
    let mut batch = Batch::with_capacity(1, 16);
    batch.put_with(space, b"a", |buffer| buffer.extend_from_slice(b"one"));
    engine.write(&batch).unwrap();
    batch.clear();
    assert!(batch.is_empty());
    engine.write(&batch).unwrap();
    batch.put(space, b"b", b"two");
    assert_eq!((batch.len(), batch.bytes()), (1, 1 + 3 + 4));
    engine.write(&batch).unwrap();
    assert_eq!(all(&*engine.view().unwrap(), space), pairs(&[(b"a", b"one"), (b"b", b"two")]));
}

fn keys_outside_the_bounds_are_refused_and_nothing_of_the_batch_is_applied(subject: &mut Subject) {
    let engine = subject.engine();
    let space = engine.create_space(&id("meta", 1)).unwrap();
    for key in [&[][..], &[1; MAX_KEY_BYTES + 1]] {
        let mut batch = Batch::new();
        batch.put(space, b"fine", b"1");
        batch.put(space, key, b"1");
        let refused = engine.write(&batch).unwrap_err();
        assert!(matches!(refused, StoreError::OutOfBounds { what: "key", bytes, .. } if bytes == key.len()));
        batch.clear();
        batch.delete(space, key);
        assert!(matches!(engine.write(&batch), Err(StoreError::OutOfBounds { .. })));
    }
    let mut reserved = Batch::new();
    reserved.put(space, RESERVED_KEY, b"1");
    assert!(matches!(engine.write(&reserved), Err(StoreError::ReservedKey)));
    put(&*engine, space, &[(&[9; MAX_KEY_BYTES], b"longest")]);
    assert_eq!(get(&*engine.view().unwrap(), space, RESERVED_KEY), None);
    assert_eq!(all(&*engine.view().unwrap(), space), pairs(&[(&[9; MAX_KEY_BYTES], b"longest")]));
}

fn names_outside_the_grammar_are_refused(subject: &mut Subject) {
    let engine = subject.engine();
    let long = "x".repeat(SpaceId::MAX_NAME_BYTES + 1);
    for name in ["", "Upper", "a@b", "a/b", "a b", "ä", &long] {
        let refused = engine.create_space(&SpaceId::new(name.to_owned(), 1)).unwrap_err();
        assert!(matches!(refused, StoreError::SpaceName { .. }), "{name:?}: {refused}");
    }
    engine.create_space(&SpaceId::new("x".repeat(SpaceId::MAX_NAME_BYTES), u64::MAX)).unwrap();
}

fn a_space_is_created_once(subject: &mut Subject) {
    let engine = subject.engine();
    engine.create_space(&id("meta", 1)).unwrap();
    assert!(matches!(engine.create_space(&id("meta", 1)), Err(StoreError::SpaceExists { .. })));
    let mut nothing = std::iter::empty();
    assert!(matches!(engine.ingest(&id("meta", 1), &mut nothing), Err(StoreError::SpaceExists { .. })));
    assert!(engine.space(&id("meta", 2)).is_none());
    assert!(matches!(engine.drop_space(&id("meta", 2)), Err(StoreError::UnknownSpace { .. })));
}

fn a_dropped_space_is_gone_and_its_handle_finds_nothing(subject: &mut Subject) {
    let engine = subject.engine();
    let old = engine.create_space(&id("journal", 1)).unwrap();
    let kept = engine.create_space(&id("journal", 2)).unwrap();
    put(&*engine, old, &[(b"a", b"old")]);
    put(&*engine, kept, &[(b"a", b"kept")]);
    engine.drop_space(&id("journal", 1)).unwrap();
    assert_eq!(engine.spaces(), vec![id("journal", 2)]);
    assert!(matches!(engine.view().unwrap().get(old, b"a"), Err(StoreError::UnknownSpace { .. })));
    let mut batch = Batch::new();
    batch.put(kept, b"b", b"not applied");
    batch.put(old, b"b", b"1");
    assert!(matches!(engine.write(&batch), Err(StoreError::UnknownSpace { .. })));
    let again = engine.create_space(&id("journal", 1)).unwrap();
    assert_eq!(all(&*engine.view().unwrap(), again), vec![]);
    assert!(matches!(engine.view().unwrap().get(old, b"a"), Err(StoreError::UnknownSpace { .. })));
    put(&*engine, again, &[(b"c", b"new")]);
    drop(engine);
    for _ in 0..2 {
        subject.reopen();
        let engine = subject.engine();
        let view = engine.view().unwrap();
        assert_eq!(all(&*view, engine.space(&id("journal", 1)).unwrap()), pairs(&[(b"c", b"new")]));
        assert_eq!(all(&*view, engine.space(&id("journal", 2)).unwrap()), pairs(&[(b"a", b"kept")]));
    }
}

fn a_view_keeps_reading_a_space_that_was_dropped(subject: &mut Subject) {
    let engine = subject.engine();
    let old = engine.create_space(&id("journal", 1)).unwrap();
    let new = engine.create_space(&id("journal", 2)).unwrap();
    let list: Vec<Pair> = (0..1000_u32).map(|n| (n.to_be_bytes().to_vec(), vec![1; 20])).collect();
    let borrowed: Vec<(&[u8], &[u8])> = list.iter().map(|(key, value)| (&key[..], &value[..])).collect();
    put(&*engine, old, &borrowed);
    let view = engine.view().unwrap();
    let mut running = view.scan(old, &KeyRange::all(), Direction::Forward).unwrap();
    assert_eq!(&*running.next().unwrap().unwrap().0, &0_u32.to_be_bytes());
    engine.drop_space(&id("journal", 1)).unwrap();
    for n in 0..100_u32 {
        put(&*engine, new, &[(&n.to_be_bytes(), b"new")]);
    }
    assert_eq!(running.count(), 999);
    assert_eq!(all(&*view, old), list);
    assert_eq!(all(&*view, new), vec![]);
}

fn scans_keep_to_their_range_in_both_directions(subject: &mut Subject) {
    let engine = subject.engine();
    let space = engine.create_space(&id("names", 1)).unwrap();
    let keys: [&[u8]; 7] = [b"\0", b"a", b"a\0", b"ab", b"b", b"\xff", b"\xff\xff"];
    let list: Vec<(&[u8], &[u8])> = keys.iter().map(|key| (*key, &b"v"[..])).collect();
    put(&*engine, space, &list);
    let view = engine.view().unwrap();
    let cases: [(KeyRange, &[&[u8]]); 11] = [
        (KeyRange::all(), &keys),
        (KeyRange::prefix(b"a"), &[b"a", b"a\0", b"ab"]),
        (KeyRange::prefix(b"\xff"), &[b"\xff", b"\xff\xff"]),
        (KeyRange::prefix(b"c"), &[]),
        (KeyRange::prefix(b""), &keys),
        (KeyRange::from(b"b"), &[b"b", b"\xff", b"\xff\xff"]),
        (KeyRange::between(b"a", b"b"), &[b"a", b"a\0", b"ab"]),
        (KeyRange::between(b"a\0", b"a\0\0"), &[b"a\0"]),
        (KeyRange::between(b"b", b"b"), &[]),
        (KeyRange::between(b"b", b"a"), &[]),
        (KeyRange::between(b"", b""), &[]),
    ];
    for (range, expected) in cases {
        let forward: Vec<_> = scan(&*view, space, &range, Direction::Forward).into_iter().map(|pair| pair.0).collect();
        let mut backward: Vec<_> =
            scan(&*view, space, &range, Direction::Backward).into_iter().map(|pair| pair.0).collect();
        assert_eq!(forward, expected, "{range:?}");
        backward.reverse();
        assert_eq!(backward, expected, "{range:?} backward");
    }
}

fn a_view_never_sees_what_was_written_after_it(subject: &mut Subject) {
    let engine = subject.engine();
    let space = engine.create_space(&id("accounts", 1)).unwrap();
    put(&*engine, space, &[(b"changed", b"1"), (b"deleted", b"1"), (b"kept", b"1")]);
    let before = engine.view().unwrap();
    let mut batch = Batch::new();
    batch.put(space, b"changed", b"2");
    batch.delete(space, b"deleted");
    batch.put(space, b"added", b"2");
    engine.write(&batch).unwrap();
    let after = engine.view().unwrap();
    for round in 3..20_u8 {
        put(&*engine, space, &[(b"changed", &[round]), (b"deleted", &[round]), (b"added", &[round])]);
    }
    let at_before = pairs(&[(b"changed", b"1"), (b"deleted", b"1"), (b"kept", b"1")]);
    let at_after = pairs(&[(b"added", b"2"), (b"changed", b"2"), (b"kept", b"1")]);
    assert_eq!(all(&*before, space), at_before);
    assert_eq!(all(&*after, space), at_after);
    assert_eq!(get(&*before, space, b"added"), None);
    assert_eq!(get(&*before, space, b"deleted"), Some(b"1".to_vec()));
    drop(before);
    put(&*engine, space, &[(b"changed", b"last")]);
    assert_eq!(get(&*after, space, b"changed"), Some(b"2".to_vec()));
    let backward: Vec<Pair> = at_after.into_iter().rev().collect();
    assert_eq!(scan(&*after, space, &KeyRange::all(), Direction::Backward), backward);
}

fn a_running_scan_stays_in_its_view(subject: &mut Subject) {
    let engine = subject.engine();
    let space = engine.create_space(&id("postings", 1)).unwrap();
    let count = 2_000_u32;
    let write_all = |value: &[u8]| {
        let mut batch = Batch::new();
        (0..count).for_each(|n| batch.put(space, &(2 * n).to_be_bytes(), value));
        engine.write(&batch).unwrap();
    };
    write_all(b"old");
    let view = engine.view().unwrap();
    for direction in [Direction::Forward, Direction::Backward] {
        let mut seen = 0;
        for (index, pair) in view.scan(space, &KeyRange::all(), direction).unwrap().enumerate() {
            let (_, value) = pair.unwrap();
            assert_eq!(&*value, b"old", "pair {index} {direction:?}");
            seen += 1;
            if index % 500 == 3 {
                write_all(b"new");
                let mut batch = Batch::new();
                (0..count).for_each(|n| batch.put(space, &(2 * n + 1).to_be_bytes(), b"between"));
                (0..count).filter(|n| n % 3 == 0).for_each(|n| batch.delete(space, &(2 * n).to_be_bytes()));
                engine.write(&batch).unwrap();
            }
        }
        assert_eq!(seen, count, "{direction:?}");
    }
}

fn concurrent_views_never_see_half_a_batch(subject: &mut Subject) {
    let engine = subject.engine();
    let spaces = [1, 2, 3].map(|generation| engine.create_space(&id("torn", generation)).unwrap());
    let write_round = |round: u64| {
        let mut batch = Batch::new();
        for key in 0..200_u32 {
            spaces.iter().for_each(|space| batch.put(*space, &key.to_be_bytes(), &round.to_be_bytes()));
        }
        engine.write(&batch).unwrap();
    };
    write_round(0);
    let done = AtomicBool::new(false);
    let scanned = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut latest = 0;
                while !done.load(Ordering::Relaxed) {
                    let view = engine.view().unwrap();
                    let rounds: std::collections::BTreeSet<Vec<u8>> =
                        spaces.iter().flat_map(|space| all(&*view, *space)).map(|(_, value)| value).collect();
                    assert_eq!(rounds.len(), 1, "a view saw the rounds {rounds:?} at once");
                    let round = u64::from_be_bytes(rounds.first().unwrap()[..].try_into().unwrap());
                    assert!(round >= latest, "a later view saw the earlier round {round} after {latest}");
                    latest = round;
                    scanned.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut round = 0;
        while round < 300 || (scanned.load(Ordering::Relaxed) < 10 && round < 100_000) {
            round += 1;
            write_round(round);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(scanned.load(Ordering::Relaxed) >= 10, "too few scans ran beside the writes to mean anything");
}

fn everything_is_there_after_a_reopen(subject: &mut Subject) {
    let engine = subject.engine();
    let mut expected: BTreeMap<SpaceId, Vec<Pair>> = BTreeMap::new();
    for generation in 0..4 {
        let space_id = id("transactions", generation);
        let space = engine.create_space(&space_id).unwrap();
        for chunk in 0..20_u32 {
            let mut batch = Batch::new();
            for n in 0..100 {
                let key = (chunk * 100 + n).to_be_bytes();
                batch.put(space, &key, &key.repeat(10));
                expected.entry(space_id.clone()).or_default().push((key.to_vec(), key.repeat(10)));
            }
            engine.write(&batch).unwrap();
        }
    }
    engine.sync().unwrap();
    drop(engine);
    for _ in 0..2 {
        subject.reopen();
        let engine = subject.engine();
        assert_eq!(engine.spaces(), expected.keys().cloned().collect::<Vec<_>>());
        let view = engine.view().unwrap();
        for (space_id, pairs) in &expected {
            assert_eq!(&all(&*view, engine.space(space_id).unwrap()), pairs);
        }
    }
}

fn a_bulk_load_is_read_back_and_survives_reopens_and_writes(subject: &mut Subject) {
    let engine = subject.engine();
    let old = engine.create_space(&id("journal", 1)).unwrap();
    put(&*engine, old, &[(b"k", b"old")]);
    let before = engine.view().unwrap();
    let mut list: Vec<Pair> = (0..10_000_u32).map(|n| (n.to_be_bytes().to_vec(), n.to_string().into_bytes())).collect();
    let mut source = list.clone().into_iter().map(Ok);
    let new = engine.ingest(&id("journal", 2), &mut source).unwrap();
    assert!(matches!(before.get(new, b"k"), Err(StoreError::UnknownSpace { .. })));
    drop(before);
    assert_eq!(all(&*engine.view().unwrap(), new), list);
    put(&*engine, new, &[(&0_u32.to_be_bytes(), b"overwritten"), (&[0xff; 4], b"added")]);
    list[0].1 = b"overwritten".to_vec();
    list.push((vec![0xff; 4], b"added".to_vec()));
    let nothing = engine.ingest(&id("names", 2), &mut std::iter::empty()).unwrap();
    assert_eq!(all(&*engine.view().unwrap(), nothing), vec![]);
    engine.drop_space(&id("journal", 1)).unwrap();
    drop(engine);
    for _ in 0..3 {
        subject.reopen();
        let engine = subject.engine();
        assert_eq!(engine.spaces(), vec![id("journal", 2), id("names", 2)]);
        let view = engine.view().unwrap();
        assert_eq!(all(&*view, engine.space(&id("journal", 2)).unwrap()), list);
        assert_eq!(all(&*view, engine.space(&id("names", 2)).unwrap()), vec![]);
    }
}

fn a_failed_bulk_load_leaves_no_space(subject: &mut Subject) {
    let engine = subject.engine();
    let good = |n: u32| Ok((n.to_be_bytes().to_vec(), b"v".to_vec()));
    let failed = || Err(StoreError::IngestSource { detail: "the sender hung up".to_owned() });
    let mut unsorted = vec![good(1), good(3), good(2)].into_iter();
    assert!(matches!(
        engine.ingest(&id("journal", 2), &mut unsorted),
        Err(StoreError::IngestOrder { key, .. }) if key == 2_u32.to_be_bytes()
    ));
    let mut doubled = vec![good(1), good(1)].into_iter();
    assert!(matches!(engine.ingest(&id("journal", 2), &mut doubled), Err(StoreError::IngestOrder { .. })));
    let mut broken = vec![good(1), good(2), failed()].into_iter();
    assert!(matches!(engine.ingest(&id("journal", 2), &mut broken), Err(StoreError::IngestSource { .. })));
    let mut keyless = vec![Ok((Vec::new(), Vec::new()))].into_iter();
    assert!(matches!(engine.ingest(&id("journal", 2), &mut keyless), Err(StoreError::OutOfBounds { .. })));
    assert_eq!(engine.spaces(), vec![]);
    let space = engine.ingest(&id("journal", 2), &mut vec![good(5)].into_iter()).unwrap();
    assert_eq!(all(&*engine.view().unwrap(), space), pairs(&[(&5_u32.to_be_bytes(), b"v")]));
    drop(engine);
    subject.reopen();
    assert_eq!(subject.engine().spaces(), vec![id("journal", 2)]);
}

fn generations_switch_in_one_batch(subject: &mut Subject) {
    let engine = subject.engine();
    let meta = engine.create_space(&id("meta", 0)).unwrap();
    for generation in 1..=5_u64 {
        let mut source = (0..500_u64).map(|n| Ok((n.to_be_bytes().to_vec(), generation.to_be_bytes().to_vec())));
        engine.ingest(&id("book", generation), &mut source).unwrap();
        put(&*engine, meta, &[(b"generation", &generation.to_be_bytes())]);
        if generation > 1 {
            engine.drop_space(&id("book", generation - 1)).unwrap();
        }
    }
    drop(engine);
    subject.reopen();
    let engine = subject.engine();
    assert_eq!(engine.spaces(), vec![id("book", 5), id("meta", 0)]);
    let view = engine.view().unwrap();
    let meta = engine.space(&id("meta", 0)).unwrap();
    assert_eq!(get(&*view, meta, b"generation"), Some(5_u64.to_be_bytes().to_vec()));
    let book = all(&*view, engine.space(&id("book", 5)).unwrap());
    assert_eq!(book.len(), 500);
    assert!(book.iter().all(|(_, value)| *value == 5_u64.to_be_bytes()));
}

type Check = (&'static str, fn(&mut Subject));

const CHECKS: &[Check] = &[
    ("what was put is read back", what_was_put_is_read_back),
    ("spaces do not see each other", spaces_do_not_see_each_other),
    ("the last write to a key in a batch counts", the_last_write_to_a_key_in_a_batch_counts),
    ("deletes take effect, and of nothing do nothing", deletes_take_effect_and_of_nothing_do_nothing),
    ("a batch can be used again", a_batch_can_be_used_again),
    ("keys outside the bounds are refused", keys_outside_the_bounds_are_refused_and_nothing_of_the_batch_is_applied),
    ("names outside the grammar are refused", names_outside_the_grammar_are_refused),
    ("a space is created once", a_space_is_created_once),
    ("a dropped space is gone", a_dropped_space_is_gone_and_its_handle_finds_nothing),
    ("a view keeps reading a dropped space", a_view_keeps_reading_a_space_that_was_dropped),
    ("scans keep to their range in both directions", scans_keep_to_their_range_in_both_directions),
    ("a view never sees what was written after it", a_view_never_sees_what_was_written_after_it),
    ("a running scan stays in its view", a_running_scan_stays_in_its_view),
    ("concurrent views never see half a batch", concurrent_views_never_see_half_a_batch),
    ("everything is there after a reopen", everything_is_there_after_a_reopen),
    ("a bulk load is read back and survives", a_bulk_load_is_read_back_and_survives_reopens_and_writes),
    ("a failed bulk load leaves no space", a_failed_bulk_load_leaves_no_space),
    ("generations switch in one batch", generations_switch_in_one_batch),
    ("random batches and views agree with a model", random::batches_and_views_agree_with_a_model),
];

fn run_all(kind: EngineKind) {
    for (name, check) in CHECKS {
        println!("{kind}: {name}");
        check(&mut Subject::new(kind));
    }
}

#[test]
fn fjall_conforms() {
    run_all(EngineKind::Fjall);
}

#[test]
fn sled_conforms() {
    run_all(EngineKind::Sled);
}

#[test]
fn memory_conforms() {
    run_all(EngineKind::Memory);
}
