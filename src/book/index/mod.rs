//! Indexes into the history: from a key of fixed length to the journal sequences (or numbers of kept answers) that concern it.
//!
//! New entries stay in memory, in the *tail*. When the tail is full it is sorted and written as a *run*, and eight runs of a level are merged into one of the next, a little with every entry of
//! the log: so an entry costs a fraction of a random insert, and is written once per level. Runs cover the history one after another, so a walk by time reads them in order. What the
//! tail holds is not stored: it follows from the journal, and is read from there at the next open. The scheme is that of the log-structured merge-tree (O'Neil et al. 1996) with tiers.
//!
//! This module never looks into the journal and decides nothing; it must never show a view an entry that came after it.

mod filter;
mod merge;
mod run;
mod tail;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::ops::RangeInclusive;
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::BookResult;
use super::records::{self, Kind, Spaces};
use crate::store::{Batch, Direction, Space, View};
use merge::Merge;
use run::{Run, RunRecord, RunWriter};
use tail::Tail;

/// How many runs of a level are merged into one of the next.
const FAN_IN: usize = 8;
/// A tail reaches back over at most so many journal records for each entry that it takes.
const TAIL_REACH: usize = 4;
/// For every entry that is added, each merge moves on by one, which is enough for it to end before its level has the next due, and they share so many more, which keeps runs few. So what all do for an entry grows with the levels alone: merges that
/// hurry are no cheaper, and those after them wait.
const MERGE_SPARE: usize = 1;
/// The most bytes of filters in memory, newest runs first: as much as 66 million keys need. An absent key in an older run costs the read of a block.
const MAX_FILTER_BYTES: u64 = 192 * 1024 * 1024;

/// A key and what it points to. Runs are in the order of these: by key, then by pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<const K: usize> {
    pub(super) key: [u8; K],
    pub(super) pointer: u64,
}

impl<const K: usize> Entry<K> {
    /// The place of an entry among others: numbers compare sooner than bytes do.
    #[inline]
    fn rank(&self) -> (u128, u64) {
        (number(&self.key), self.pointer)
    }
}

impl<const K: usize> PartialOrd for Entry<K> {
    #[inline]
    fn partial_cmp(&self, other: &Entry<K>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const K: usize> Ord for Entry<K> {
    #[inline]
    fn cmp(&self, other: &Entry<K>) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

/// A key as a number, in the order of its bytes. No key is longer than 16 bytes.
#[inline]
fn number<const K: usize>(key: &[u8; K]) -> u128 {
    const { assert!(K <= 16) };
    let mut bytes = [0; 16];
    bytes[16 - K..].copy_from_slice(key);
    u128::from_be_bytes(bytes)
}

/// What kind of index it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct IndexKind {
    /// The space of its runs.
    pub(super) kind: Kind,
    /// Whether it is mostly asked for keys that it does not have.
    pub(super) has_filters: bool,
    /// How many entries the tail takes before it is written out.
    pub(super) tail_entries: usize,
}

impl IndexKind {
    fn is_filtered(&self, keys: u64) -> bool {
        self.has_filters && filter::bytes_for(keys) <= MAX_FILTER_BYTES
    }
}

/// Up to where something covers the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Covered {
    /// The last journal sequence.
    pub(super) sequence: u64,
    /// The last number of a kept answer.
    pub(super) kept: u64,
}

/// A run that is no longer listed and whose values are being deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Dropped {
    run: RunRecord,
    /// How many of its values are gone.
    deleted: u32,
}

/// The list of an index's runs, stored under the index's name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Listed {
    next_number: u64,
    covered: Covered,
    /// Oldest first.
    runs: Vec<RunRecord>,
    /// Numbers of runs whose writing has begun.
    begun: Vec<u64>,
    dropped: Vec<Dropped>,
}

/// An index, as the applier keeps it.
#[derive(Debug)]
pub(super) struct Index<const K: usize> {
    kind: IndexKind,
    listed: Listed,
    runs: Arc<Vec<Arc<Run<K>>>>,
    tail: Arc<RwLock<Tail<K>>>,
    merges: Vec<Merge<K>>,
    /// Whether the list must be written.
    is_changed: bool,
}

impl<const K: usize> Index<K> {
    /// Opens an index. Its tail is empty: what comes after [`covered`](Self::covered) is added from the journal.
    pub(super) fn open(kind: IndexKind, view: &dyn View, spaces: &Spaces) -> BookResult<Index<K>> {
        let space = spaces.of(kind.kind);
        let mut listed = match view.get(spaces.of(Kind::Runs), kind.kind.name().as_bytes())? {
            Some(stored) => records::decode::<Listed>("list of runs", &stored)?,
            None => Listed::default(),
        };
        let mut runs = Vec::with_capacity(listed.runs.len());
        let mut filters = FilterBudget::default();
        for record in listed.runs.iter().rev() {
            let with_filter = kind.has_filters && filters.takes(record);
            runs.push(Arc::new(Run::open(view, space, *record, with_filter)?));
        }
        runs.reverse();
        // Merges that were under way begin anew; what they had written goes.
        for number in std::mem::take(&mut listed.begun) {
            listed.dropped.push(Dropped { run: run::unfinished(view, space, number)?, deleted: 0 });
        }
        Ok(Index { kind, listed, runs: Arc::new(runs), tail: Arc::default(), merges: Vec::new(), is_changed: true })
    }

    /// Up to where the runs cover the history.
    pub(super) fn covered(&self) -> Covered {
        self.listed.covered
    }

    /// Adds entries, to be seen by views that are opened after this.
    pub(super) fn extend(&self, entries: impl Iterator<Item = Entry<K>>) {
        let mut tail = self.tail.write().unwrap_or_else(PoisonError::into_inner);
        entries.for_each(|entry| tail.push(entry));
    }

    /// What a reader may see from now on.
    pub(super) fn view(&self, spaces: &Spaces) -> IndexView<K> {
        let visible = self.tail.read().unwrap_or_else(PoisonError::into_inner).len();
        IndexView {
            space: spaces.of(self.kind.kind),
            runs: Arc::clone(&self.runs),
            tail: Arc::clone(&self.tail),
            visible,
        }
    }

    /// The upkeep that falls due with `added` new entries, into the batch that carries what they point to. `view` is of after the batch before.
    pub(super) fn maintain(
        &mut self,
        view: &dyn View,
        spaces: &Spaces,
        added: usize,
        covers: Covered,
        batch: &mut Batch,
    ) -> BookResult<()> {
        let space = spaces.of(self.kind.kind);
        self.delete_dropped(space, added, batch);
        self.begin_merges(space);
        self.step_merges(view, space, added, batch)?;
        self.cover(space, covers, batch);
        if std::mem::take(&mut self.is_changed) {
            batch.put(spaces.of(Kind::Runs), self.kind.kind.name().as_bytes(), &records::encode(&self.listed));
        }
        Ok(())
    }

    fn delete_dropped(&mut self, space: Space, added: usize, batch: &mut Batch) {
        let most = u32::try_from(added / 32 + 4).unwrap_or(u32::MAX);
        let Some(dropped) = self.listed.dropped.first_mut() else { return };
        match run::delete(batch, space, &dropped.run, dropped.deleted, most) {
            // Where it stands is written with the next change of the list; deleting twice does no harm.
            Some(deleted) => dropped.deleted = deleted,
            None => {
                self.listed.dropped.remove(0);
                self.is_changed = true;
            }
        }
    }

    /// Begins a merge on each level that has enough runs and none under way.
    fn begin_merges(&mut self, space: Space) {
        let mut from = 0;
        while let Some(first) = self.runs.get(from) {
            let level = first.record.level;
            let same: Vec<Arc<Run<K>>> =
                self.runs.iter().skip(from).take_while(|run| run.record.level == level).cloned().collect();
            from += same.len();
            let is_merging = self.merges.iter().any(|merge| merge.replaces.contains(&first.record.number));
            if let Some(oldest) = same.get(..FAN_IN).filter(|_| !is_merging) {
                let number = self.next_number();
                self.listed.begun.push(number);
                self.is_changed = true;
                self.merges.push(Merge::new(&self.kind, space, number, oldest));
            }
        }
    }

    fn next_number(&mut self) -> u64 {
        let number = self.listed.next_number;
        self.listed.next_number += 1;
        number
    }

    fn step_merges(&mut self, view: &dyn View, space: Space, added: usize, batch: &mut Batch) -> BookResult<()> {
        let budget = added + added * MERGE_SPARE / self.merges.len().max(1) + 16;
        let mut position = 0;
        while let Some(merge) = self.merges.get_mut(position) {
            if merge.step(view, space, batch, budget)? {
                let merge = self.merges.remove(position);
                self.replace(merge);
            } else {
                position += 1;
            }
        }
        Ok(())
    }

    /// Puts a merged run in the place of those that it was merged from.
    fn replace(&mut self, merge: Merge<K>) {
        let replaced = merge.replaces.clone();
        let merged = Arc::new(merge.finish());
        self.listed.begun.retain(|number| *number != merged.record.number);
        let mut runs: Vec<Arc<Run<K>>> = Vec::with_capacity(self.runs.len());
        for run in self.runs.iter() {
            if !replaced.contains(&run.record.number) {
                runs.push(Arc::clone(run));
                continue;
            }
            if replaced.first() == Some(&run.record.number) {
                runs.push(Arc::clone(&merged));
            }
            self.listed.dropped.push(Dropped { run: run.record, deleted: 0 });
        }
        self.set_runs(runs);
    }

    fn set_runs(&mut self, mut runs: Vec<Arc<Run<K>>>) {
        let mut filters = FilterBudget::default();
        for run in runs.iter_mut().rev() {
            if run.filter.is_some() && !filters.takes(&run.record) {
                *run = Arc::new(run.without_filter());
            }
        }
        self.listed.runs = runs.iter().map(|run| run.record).collect();
        self.runs = Arc::new(runs);
        self.is_changed = true;
    }

    /// Writes the tail out when it is full, or when it reaches far back: all of the journal that it reaches over is read at the next open.
    fn cover(&mut self, space: Space, covers: Covered, batch: &mut Batch) {
        let tail = self.tail.read().unwrap_or_else(PoisonError::into_inner).len();
        let reach = covers.sequence.saturating_sub(self.listed.covered.sequence);
        let is_far = reach >= self.kind.tail_entries.saturating_mul(TAIL_REACH) as u64;
        if tail >= self.kind.tail_entries || (is_far && tail > 0) {
            self.write_tail(space, covers, batch);
        } else if is_far {
            self.listed.covered = covers;
            self.is_changed = true;
        }
    }

    fn write_tail(&mut self, space: Space, covers: Covered, batch: &mut Batch) {
        let entries = self.tail.read().unwrap_or_else(PoisonError::into_inner).sorted();
        // Views that were opened before keep the old tail.
        self.tail = Arc::new(RwLock::new(Tail::with_capacity(entries.len())));
        let number = self.next_number();
        let mut writer = RunWriter::new(&self.kind, space, number, 0, entries.len() as u64);
        for entry in &entries {
            writer.push(batch, entry);
        }
        writer.end_block(batch);
        while writer.write_piece(batch) {}
        let mut runs = self.runs.as_ref().clone();
        runs.push(Arc::new(writer.finish()));
        self.set_runs(runs);
        self.listed.covered = covers;
    }
}

/// Which filters are kept in memory, asked for the newest run first.
#[derive(Debug, Default)]
struct FilterBudget {
    bytes: u64,
}

impl FilterBudget {
    fn takes(&mut self, run: &RunRecord) -> bool {
        self.bytes = self.bytes.saturating_add(filter::bytes_for(run.entries));
        self.bytes <= MAX_FILTER_BYTES
    }
}

/// What a reader sees of an index: that of one moment.
#[derive(Debug, Clone)]
pub(super) struct IndexView<const K: usize> {
    space: Space,
    runs: Arc<Vec<Arc<Run<K>>>>,
    tail: Arc<RwLock<Tail<K>>>,
    visible: usize,
}

impl<const K: usize> IndexView<K> {
    /// The pointers under a key that lie within a range, in the order in which they came; within a run ascending. Whoever asks for less than all pointers must have added them in
    /// ascending order.
    pub(super) fn pointers<'v>(
        &'v self,
        view: &'v dyn View,
        key: [u8; K],
        range: RangeInclusive<u64>,
    ) -> impl Iterator<Item = BookResult<u64>> + use<'v, K> {
        let in_runs = InRuns::new(self, view, key, range.clone(), Direction::Forward);
        // The newest come last, and are looked for only by who gets so far.
        let in_tail = std::iter::once(range).flat_map(move |range| {
            let tail = self.tail.read().unwrap_or_else(PoisonError::into_inner);
            let mut found: Vec<u64> = tail.pointers_within(&key, self.visible, &range).collect();
            found.reverse();
            found.into_iter().map(Ok)
        });
        in_runs.chain(in_tail)
    }

    /// The newest pointer under a key that lies within a range, as [`pointers`](Self::pointers) gives it last.
    pub(super) fn newest(&self, view: &dyn View, key: [u8; K], range: RangeInclusive<u64>) -> BookResult<Option<u64>> {
        let in_tail = {
            let tail = self.tail.read().unwrap_or_else(PoisonError::into_inner);
            tail.pointers_within(&key, self.visible, &range).next()
        };
        match in_tail {
            Some(found) => Ok(Some(found)),
            None => InRuns::new(self, view, key, range, Direction::Backward).next().transpose(),
        }
    }

    /// Whether a key may be here: `false` costs no look at the disk, and is certain.
    pub(super) fn may_contain(&self, key: &[u8; K]) -> bool {
        let hash = filter::hash(key);
        self.runs.iter().any(|run| run.may_contain(hash))
            || self.tail.read().unwrap_or_else(PoisonError::into_inner).pointers(key, self.visible).next().is_some()
    }

    /// Keeps of some keys those that are certainly not here. All are looked for at once, so that waiting for memory overlaps.
    pub(super) fn retain_absent(&self, keys: &mut Vec<[u8; K]>) {
        let hashes: Vec<u64> = keys.iter().map(|key| filter::hash(key)).collect();
        let mut found = vec![false; keys.len()];
        for run in self.runs.iter() {
            run.fetch(&hashes);
            for (hash, found) in hashes.iter().zip(&mut found) {
                *found |= run.may_contain(*hash);
            }
        }
        let tail = self.tail.read().unwrap_or_else(PoisonError::into_inner);
        let mut places = found.into_iter();
        keys.retain(|key| {
            let in_runs = places.next().unwrap_or(true);
            !in_runs && tail.pointers(key, self.visible).next().is_none()
        });
    }

    /// The runs that there are: for tests.
    #[cfg(test)]
    pub(super) fn run_levels(&self) -> Vec<u8> {
        self.runs.iter().map(|run| run.record.level).collect()
    }
}

/// A walk over the runs for one key.
struct InRuns<'v, const K: usize> {
    index: &'v IndexView<K>,
    view: &'v dyn View,
    key: [u8; K],
    hash: u64,
    range: RangeInclusive<u64>,
    direction: Direction,
    /// How many runs were begun.
    walked: usize,
    found: std::vec::IntoIter<u64>,
    /// The run in hand and its next block.
    at: Option<(Arc<Run<K>>, u32)>,
}

impl<'v, const K: usize> InRuns<'v, K> {
    fn new(
        index: &'v IndexView<K>,
        view: &'v dyn View,
        key: [u8; K],
        range: RangeInclusive<u64>,
        direction: Direction,
    ) -> InRuns<'v, K> {
        let (hash, found) = (filter::hash(&key), Vec::new().into_iter());
        InRuns { index, view, key, hash, range, direction, walked: 0, found, at: None }
    }

    fn entry(&self, pointer: u64) -> Entry<K> {
        Entry { key: self.key, pointer }
    }

    /// Begins the next run that may have the key; `false` after the last.
    fn begin(&mut self) -> bool {
        let runs = &self.index.runs;
        while self.walked < runs.len() {
            let position = match self.direction {
                Direction::Forward => self.walked,
                Direction::Backward => runs.len() - 1 - self.walked,
            };
            self.walked += 1;
            let Some(run) = runs.get(position).filter(|run| run.may_contain(self.hash)) else { continue };
            let first = match self.direction {
                Direction::Forward => self.entry(*self.range.start()),
                Direction::Backward => self.entry(*self.range.end()),
            };
            self.at = Some((Arc::clone(run), run.block_of(&first)));
            return true;
        }
        false
    }

    /// Reads the block in hand and goes on to the next, if the key may go on there.
    fn read(&mut self) -> BookResult<()> {
        let Some((run, block)) = self.at.take() else { return Ok(()) };
        let entries = run.block(self.view, self.index.space, block)?;
        let (first, last) = (self.entry(*self.range.start()), self.entry(*self.range.end()));
        let goes_on = match self.direction {
            Direction::Forward => entries.last().is_some_and(|entry| *entry < last),
            Direction::Backward => entries.first().is_some_and(|entry| *entry > first),
        };
        let next = match self.direction {
            Direction::Forward => block.checked_add(1).filter(|next| *next < run.record.blocks),
            Direction::Backward => block.checked_sub(1),
        };
        self.at = next.filter(|_| goes_on).map(|next| (run, next));
        let inside = entries.into_iter().filter(|entry| first <= *entry && *entry <= last);
        let mut found: Vec<u64> = inside.map(|entry| entry.pointer).collect();
        if self.direction == Direction::Backward {
            found.reverse();
        }
        self.found = found.into_iter();
        Ok(())
    }
}

impl<const K: usize> Iterator for InRuns<'_, K> {
    type Item = BookResult<u64>;

    fn next(&mut self) -> Option<BookResult<u64>> {
        loop {
            if let Some(pointer) = self.found.next() {
                return Some(Ok(pointer));
            }
            if self.at.is_none() && !self.begin() {
                return None;
            }
            if let Err(error) = self.read() {
                // After its first error the walk ends.
                self.walked = self.index.runs.len();
                self.at = None;
                return Some(Err(error));
            }
        }
    }
}

/// The key of a reference: references are longer than a key, so readers compare the record's own.
pub(super) fn reference_key(reference: &str) -> [u8; 16] {
    xxhash_rust::xxh3::xxh3_128(reference.as_bytes()).to_be_bytes()
}
