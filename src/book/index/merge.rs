//! Merging runs into one, a little with every entry of the log, so that no entry waits for all of it.
//!
//! Entries stay in their stored bytes: a tournament among the runs' first entries tells which comes next, and where a whole block comes before all that the other runs
//! still have (the ids of one hour, the history of one busy account) it is copied at once.

use std::sync::Arc;

use super::run::{Run, RunWriter, first_entry, last_entry};
use super::{Entry, FAN_IN, IndexKind};
use crate::book::BookResult;
use crate::store::{Batch, Space, StoredBytes, View};

/// Reads a run from its beginning to its end.
#[derive(Debug)]
struct Input<const K: usize> {
    run: Arc<Run<K>>,
    next_block: u32,
    /// The block in hand, and how much of it is used.
    block: Option<StoredBytes>,
    used: usize,
}

impl<const K: usize> Input<K> {
    /// What is left of the block in hand.
    #[inline]
    fn rest(&self) -> &[u8] {
        self.block.as_deref().and_then(|block| block.get(self.used..)).unwrap_or_default()
    }

    /// The entry that is `entries` after the present one; the block after the last is read with `view`, any that is not older than the run.
    #[inline]
    fn advance(&mut self, entries: usize, view: &dyn View, space: Space) -> BookResult<Option<Entry<K>>> {
        self.used += entries * (K + 8);
        if let Some(entry) = first_entry(self.rest()) {
            return Ok(Some(entry));
        }
        self.used = 0;
        self.block = None;
        if self.next_block < self.run.record.blocks {
            self.block = Some(self.run.stored_block(view, space, self.next_block)?);
            self.next_block += 1;
        }
        Ok(first_entry(self.rest()))
    }
}

/// Whether one head comes before another; one that has ended comes last, and of two equal ones that of the older run first.
#[inline]
fn is_before<const K: usize>(heads: &[Option<Entry<K>>; FAN_IN], one: usize, other: usize) -> bool {
    let rank = |place: usize| heads.get(place).and_then(Option::as_ref).map(Entry::rank);
    match (rank(one), rank(other)) {
        (Some(first), Some(second)) => first < second || (first == second && one < other),
        (first, second) => first.is_some() || (second.is_none() && one < other),
    }
}

/// Runs being merged into one.
#[derive(Debug)]
pub(super) struct Merge<const K: usize> {
    inputs: Vec<Input<K>>,
    /// The next entry of each input.
    heads: [Option<Entry<K>>; FAN_IN],
    /// Who lost at each node of the tournament; the first is who won it all.
    losers: [usize; FAN_IN],
    has_begun: bool,
    /// Their numbers.
    pub(super) replaces: Vec<u64>,
    writer: RunWriter<K>,
    is_written: bool,
}

impl<const K: usize> Merge<K> {
    /// Begins to merge runs of one level into one of the next, [`FAN_IN`] at most.
    pub(super) fn new(kind: &IndexKind, space: Space, number: u64, runs: &[Arc<Run<K>>]) -> Merge<K> {
        let entries = runs.iter().map(|run| run.record.entries).sum();
        let level = runs.iter().map(|run| run.record.level).max().unwrap_or(0).saturating_add(1);
        let input = |run: &Arc<Run<K>>| Input { run: Arc::clone(run), next_block: 0, block: None, used: 0 };
        Merge {
            inputs: runs.iter().map(input).collect(),
            heads: [None; FAN_IN],
            losers: [0; FAN_IN],
            has_begun: false,
            replaces: runs.iter().map(|run| run.record.number).collect(),
            writer: RunWriter::new(kind, space, number, level, entries),
            is_written: false,
        }
    }

    /// Reads the first entries and plays the whole tournament.
    fn begin(&mut self, view: &dyn View, space: Space) -> BookResult<()> {
        for (head, input) in self.heads.iter_mut().zip(&mut self.inputs) {
            *head = input.advance(0, view, space)?;
        }
        // Winners of the nodes: the leaves are the inputs, node n has the children 2n and 2n + 1.
        let mut winners = [0; 2 * FAN_IN];
        for node in (1..2 * FAN_IN).rev() {
            winners[node] = match node.checked_sub(FAN_IN) {
                Some(input) => input,
                None => {
                    let (left, right) = (winners[2 * node], winners[2 * node + 1]);
                    let is_left = is_before(&self.heads, left, right);
                    self.losers[node] = if is_left { right } else { left };
                    if is_left { left } else { right }
                }
            };
        }
        self.losers[0] = winners[1];
        self.has_begun = true;
        Ok(())
    }

    /// Moves the winner's input on and lets its new head play against those that lost to the old one.
    #[inline]
    fn advance(&mut self, winner: usize, entries: usize, view: &dyn View, space: Space) -> BookResult<()> {
        if let (Some(input), Some(head)) = (self.inputs.get_mut(winner), self.heads.get_mut(winner)) {
            *head = input.advance(entries, view, space)?;
        }
        let mut best = winner;
        let mut node = (FAN_IN + winner) / 2;
        while node > 0 {
            let loser = self.losers[node];
            let is_loser_better = is_before(&self.heads, loser, best);
            self.losers[node] = if is_loser_better { best } else { loser };
            best = if is_loser_better { loser } else { best };
            node /= 2;
        }
        self.losers[0] = best;
        Ok(())
    }

    /// Copies what is left of the winner's block, if all of it comes before all other heads and is no more than `most` entries. Returns how many were copied.
    fn copy_block(&mut self, winner: usize, batch: &mut Batch, most: usize) -> usize {
        let Some(input) = self.inputs.get(winner) else { return 0 };
        let rest = input.rest();
        let entries = rest.len() / (K + 8);
        let Some(last) = last_entry::<K>(rest).filter(|_| entries <= most) else { return 0 };
        let is_first =
            |(place, head): (usize, &Option<Entry<K>>)| place == winner || head.is_none_or(|head| last < head);
        if !self.heads.iter().enumerate().all(is_first) {
            return 0;
        }
        self.writer.push_stored(batch, rest);
        entries
    }

    /// Merges about `budget` entries more; `true` when all is written.
    pub(super) fn step(&mut self, view: &dyn View, space: Space, batch: &mut Batch, budget: usize) -> BookResult<bool> {
        if self.is_written {
            // Pieces of filter and fences are large: one a step.
            return Ok(!self.writer.write_piece(batch));
        }
        if !self.has_begun {
            self.begin(view, space)?;
        }
        let mut left = budget;
        while left > 0 {
            let winner = self.losers[0];
            let Some(entry) = self.heads.get(winner).copied().flatten() else {
                self.writer.end_block(batch);
                self.is_written = true;
                return Ok(!self.writer.write_piece(batch));
            };
            let is_fresh = self.inputs.get(winner).is_some_and(|input| input.used == 0);
            let copied = if is_fresh { self.copy_block(winner, batch, left) } else { 0 };
            if copied == 0 {
                self.writer.push(batch, &entry);
            }
            self.advance(winner, copied.max(1), view, space)?;
            left -= copied.max(1);
        }
        Ok(false)
    }

    /// The merged run.
    pub(super) fn finish(self) -> Run<K> {
        self.writer.finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::book::records::{Kind, Spaces};
    use crate::store::Engine;
    use crate::store::memory::MemoryEngine;

    const KIND: IndexKind = IndexKind { kind: Kind::Ids, has_filters: true, tail_entries: 8 };

    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^ (mixed >> 27)
    }

    /// Merges runs of the given entries, `budget` at a time, and reads the merged run back.
    fn merged<const K: usize>(runs: &[Vec<Entry<K>>], mut budget: impl FnMut() -> usize) -> Run<K> {
        let engine = MemoryEngine::new();
        let spaces = Spaces::open(&engine, 0).unwrap();
        let space = spaces.of(Kind::Ids);
        let mut written = Vec::new();
        for (number, entries) in (0..).zip(runs) {
            let mut batch = Batch::new();
            let mut writer = RunWriter::new(&KIND, space, number, 0, entries.len() as u64);
            entries.iter().for_each(|entry| writer.push(&mut batch, entry));
            writer.end_block(&mut batch);
            while writer.write_piece(&mut batch) {}
            engine.write(&batch).unwrap();
            written.push(Arc::new(writer.finish()));
        }
        let mut merge = Merge::new(&KIND, space, runs.len() as u64, &written);
        loop {
            let mut batch = Batch::new();
            let is_done = merge.step(engine.view().unwrap().as_ref(), space, &mut batch, budget()).unwrap();
            engine.write(&batch).unwrap();
            if is_done {
                break;
            }
        }
        let merged = merge.finish();
        let view = engine.view().unwrap();
        let read: Vec<Entry<K>> =
            (0..merged.record.blocks).flat_map(|block| merged.block(view.as_ref(), space, block).unwrap()).collect();
        let mut expected: Vec<Entry<K>> = runs.concat();
        expected.sort_by_key(|entry| (entry.key, entry.pointer));
        assert_eq!(read.len() as u64, merged.record.entries);
        assert!(read == expected, "merging {} runs gives other entries than sorting them", runs.len());
        for entry in &expected {
            let block = merged.block(view.as_ref(), space, merged.block_of(entry)).unwrap();
            assert!(block.contains(entry), "{entry:?} is not where the fences say");
            assert!(merged.may_contain(super::super::filter::hash(&entry.key)));
        }
        merged
    }

    /// Runs of entries with keys below `keys`, in such an order that later runs have later pointers.
    fn random_runs<const K: usize>(seed: u64, keys: u64, most: u64) -> Vec<Vec<Entry<K>>> {
        let mut state = seed;
        let mut pointer = 0;
        let count = 1 + random(&mut state) % FAN_IN as u64;
        let run = |_| {
            let mut entries: Vec<Entry<K>> = (0..random(&mut state) % most + 1)
                .map(|_| {
                    pointer += 1;
                    let mut key = [0; K];
                    let number = (random(&mut state) % keys).to_be_bytes();
                    key[..K.min(4)].copy_from_slice(&number[8 - K.min(4)..]);
                    Entry { key, pointer }
                })
                .collect();
            entries.sort_unstable();
            entries
        };
        (0..count).map(run).collect()
    }

    #[test]
    fn merging_runs_is_sorting_their_entries() {
        for seed in 0..60 {
            println!("seed {seed}");
            let mut state = seed;
            let mut budget = move || 1 + usize::try_from(random(&mut state) % 3_000).unwrap();
            // Few keys make long stretches of one, which are copied in blocks.
            let keys = [2, 100, u64::from(u32::MAX)][usize::try_from(seed % 3).unwrap()];
            merged::<16>(&random_runs(seed, keys, 2_000), &mut budget);
            merged::<4>(&random_runs(seed, keys, 3_000), &mut budget);
        }
    }

    #[test]
    fn runs_that_follow_one_another_are_copied() {
        let run =
            |first: u64| (first..first + 1_000).map(|pointer| Entry { key: (pointer * 7).to_be_bytes(), pointer });
        let runs: Vec<Vec<Entry<8>>> = (0..8).map(|number| run(number * 1_000).collect()).collect();
        assert_eq!(merged(&runs, || 5_000).record.entries, 8_000);
        // A budget below a block's entries copies none.
        assert_eq!(merged(&runs, || 100).record.entries, 8_000);
    }

    #[test]
    fn keys_are_in_the_order_of_their_bytes() {
        let entry = |key: [u8; 3], pointer| Entry { key, pointer };
        assert!(entry([0, 1, 0], 5) > entry([0, 0, 255], 9));
        assert!(entry([255, 0, 0], 0) > entry([0, 255, 255], 9));
        assert!(entry([1, 2, 3], 4) < entry([1, 2, 3], 5));
    }
}
