//! An index against a plain list, with tails so short that it writes and merges runs all the time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::store::memory::MemoryEngine;
use crate::store::{Engine, KeyRange};

const KIND: IndexKind = IndexKind { kind: Kind::Ids, has_filters: true, tail_entries: 8 };

fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed ^ (mixed >> 27)
}

/// An index, everything that was ever added to it, and views of earlier moments.
struct Pair {
    engine: MemoryEngine,
    spaces: Spaces,
    index: Index<16>,
    all: Vec<Entry<16>>,
    views: Vec<(Arc<dyn View>, IndexView<16>, usize)>,
}

impl Pair {
    fn new() -> Pair {
        let engine = MemoryEngine::new();
        let spaces = Spaces::open(&engine, 0).unwrap();
        let index = Index::open(KIND, engine.view().unwrap().as_ref(), &spaces).unwrap();
        Pair { engine, spaces, index, all: Vec::new(), views: Vec::new() }
    }

    fn add(&mut self, keys: &[u64]) {
        let first = self.all.len() as u64 + 1;
        let entries: Vec<Entry<16>> =
            (first..).zip(keys).map(|(pointer, key)| Entry { key: u128::from(*key).to_be_bytes(), pointer }).collect();
        self.all.extend(&entries);
        self.index.extend(entries.into_iter());
        self.upkeep(keys.len());
    }

    fn upkeep(&mut self, added: usize) {
        let covers = Covered { sequence: self.all.len() as u64, kept: 0 };
        let mut batch = Batch::new();
        let view = self.engine.view().unwrap();
        self.index.maintain(view.as_ref(), &self.spaces, added, covers, &mut batch).unwrap();
        self.engine.write(&batch).unwrap();
    }

    /// Opens the index anew from what is stored; the tail comes from elsewhere.
    fn reopen(&mut self) {
        self.index = Index::open(KIND, self.engine.view().unwrap().as_ref(), &self.spaces).unwrap();
        let covered = self.index.covered().sequence;
        self.index.extend(self.all.iter().filter(|entry| entry.pointer > covered).copied());
    }

    fn keep_view(&mut self) {
        self.views.push((self.engine.view().unwrap(), self.index.view(&self.spaces), self.all.len()));
    }

    fn check_views(&self, keys: u64) {
        for (view, index, seen) in &self.views {
            let mut expected: BTreeMap<[u8; 16], Vec<u64>> = BTreeMap::new();
            for entry in &self.all[..*seen] {
                expected.entry(entry.key).or_default().push(entry.pointer);
            }
            for key in (0..keys).map(|key| u128::from(key).to_be_bytes()) {
                let wanted = expected.remove(&key).unwrap_or_default();
                let ask = |range| -> Vec<u64> {
                    index.pointers(view.as_ref(), key, range).collect::<BookResult<_>>().unwrap()
                };
                assert!(wanted.is_empty() || index.may_contain(&key));
                assert_eq!(ask(0..=u64::MAX), wanted);
                let seen = *seen as u64;
                // In the runs, across runs and tail, and in the tail.
                let ranges =
                    [(seen / 4, seen / 2), (seen / 2, seen), (seen.saturating_sub(60), seen.saturating_sub(9))];
                for (low, high) in ranges {
                    let within: Vec<u64> = wanted.iter().copied().filter(|at| (low..=high).contains(at)).collect();
                    assert_eq!(ask(low..=high), within);
                    let newest = index.newest(view.as_ref(), key, low..=high).unwrap();
                    assert_eq!(newest.as_ref(), within.last());
                }
            }
        }
    }

    fn stored_values(&self) -> usize {
        let view = self.engine.view().unwrap();
        view.scan(self.spaces.of(Kind::Ids), &KeyRange::all(), Direction::Forward).unwrap().count()
    }
}

#[test]
fn an_index_answers_like_a_list_through_merges_restarts_and_old_views() {
    let seed = std::env::var("FOLIO_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    println!("FOLIO_SEED={seed}");
    let mut state = seed;
    let mut pair = Pair::new();
    const KEYS: u64 = 40;
    while pair.all.len() < 9_000 {
        let count = random(&mut state) % 12;
        // Some keys have many entries, which then reach over several blocks; some are never added.
        let keys: Vec<u64> =
            (0..count).map(|_| (random(&mut state) % KEYS).min(random(&mut state) % 3 * KEYS)).collect();
        pair.add(&keys);
        match random(&mut state) % 200 {
            0 => pair.reopen(),
            1..=2 => pair.keep_view(),
            _ => {}
        }
        if pair.views.len() > 3 {
            pair.check_views(KEYS + 2);
            pair.views.clear();
        }
    }
    pair.keep_view();
    pair.check_views(KEYS + 2);
    let levels = pair.index.view(&pair.spaces).run_levels();
    assert!(levels.iter().any(|level| *level >= 3), "runs were merged several times over: {levels:?}");
    assert!(levels.is_sorted_by(|earlier, later| earlier >= later), "older runs are further on: {levels:?}");
}

#[test]
fn what_merges_replace_or_leave_unfinished_is_deleted_in_the_end() {
    let mut pair = Pair::new();
    for key in 0..5_000 {
        pair.add(&[key]);
        if key % 700 == 699 {
            pair.reopen();
        }
    }
    // Until nothing is left to do.
    (0..5_000).for_each(|_| pair.upkeep(0));
    let listed = &pair.index.listed;
    assert!(listed.dropped.is_empty() && listed.begun.is_empty(), "{listed:?}");
    let parts: u32 = listed.runs.iter().map(|run| run.blocks + run.filter_pieces + run.fence_pieces).sum();
    assert_eq!(pair.stored_values(), usize::try_from(parts).unwrap());
    pair.keep_view();
    pair.check_views(100);
}

#[test]
fn an_index_to_which_little_is_added_covers_the_history_all_the_same() {
    let mut pair = Pair::new();
    let reach = (KIND.tail_entries * TAIL_REACH) as u64;
    let step = |pair: &mut Pair, sequence| {
        let covers = Covered { sequence, kept: 0 };
        let (view, mut batch) = (pair.engine.view().unwrap(), Batch::new());
        pair.index.maintain(view.as_ref(), &pair.spaces, 0, covers, &mut batch).unwrap();
        pair.engine.write(&batch).unwrap();
        pair.index = Index::open(KIND, pair.engine.view().unwrap().as_ref(), &pair.spaces).unwrap();
        (pair.index.covered().sequence, pair.index.view(&pair.spaces).run_levels().len())
    };
    // Nothing at all.
    for sequence in 1..reach {
        assert_eq!(step(&mut pair, sequence), (0, 0));
    }
    assert_eq!(step(&mut pair, reach), (reach, 0));
    // A single entry.
    let entry = Entry { key: [7; 16], pointer: reach + 1 };
    pair.index.extend(std::iter::once(entry));
    assert_eq!(step(&mut pair, 2 * reach), (2 * reach, 1));
    let (engine, index) = (pair.engine.view().unwrap(), pair.index.view(&pair.spaces));
    let found = index.pointers(engine.as_ref(), entry.key, 0..=u64::MAX);
    assert_eq!(found.collect::<BookResult<Vec<u64>>>().unwrap(), [reach + 1]);
}

#[test]
fn a_run_that_is_cut_short_is_refused() {
    let mut pair = Pair::new();
    (0..1_000).for_each(|key| pair.add(&[key]));
    let run = pair.index.listed.runs[0];
    let mut batch = Batch::new();
    // The last of its values: a piece of its fences.
    let parts = run.blocks + run.filter_pieces + run.fence_pieces;
    super::run::delete(&mut batch, pair.spaces.of(Kind::Ids), &run, parts - 1, 1);
    pair.engine.write(&batch).unwrap();
    let opened = Index::<16>::open(KIND, pair.engine.view().unwrap().as_ref(), &pair.spaces);
    assert!(matches!(opened, Err(crate::book::BookError::Malformed { .. })));
}
