//! A sorted run: entries in blocks of fixed size, written once, never changed, and dropped when a merge has replaced it.
//!
//! In memory a run has its fences, the first entry of each block, and for an index with filters its filter, as far as the bound on filters allows. Keys in its space: the run's number (8 bytes),
//! then 4 bytes: a block's number, or with the first bit set a piece of the filter, or with the first two bits set a piece of the fences. All numbers are big-endian.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::filter::{Filter, hash};
use super::{Entry, IndexKind};
use crate::book::{BookError, BookResult};
use crate::store::{Batch, Space, StoredBytes, View};

/// What a value's seal and the engine add to it. With that, blocks and pieces fit sizes that an allocator has; a few bytes more would cost the next, a quarter larger, in every memtable and cache.
const ROOM: usize = 256;
/// About the bytes of a block.
const BLOCK_BYTES: usize = 8 * 1024 - ROOM;
/// The most bytes of a piece of filter or fences.
const PIECE_BYTES: usize = 256 * 1024 - ROOM;
/// Blocks of the filter in a piece.
const PIECE_FILTER_BLOCKS: usize = PIECE_BYTES / 64;
/// How many keys go into a filter together: their cache lines fit well into the smallest cache.
const FILTERED_TOGETHER: usize = 128;
const FILTER_PIECES: u32 = 0x8000_0000;
const FENCE_PIECES: u32 = 0xC000_0000;

/// What the list of runs says of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunRecord {
    /// Its number, never used twice in a generation.
    pub(super) number: u64,
    /// How many merges it has behind it.
    pub(super) level: u8,
    /// How many entries it has.
    pub(super) entries: u64,
    pub(super) blocks: u32,
    pub(super) filter_pieces: u32,
    pub(super) fence_pieces: u32,
}

/// A run that can be searched.
#[derive(Debug)]
pub(super) struct Run<const K: usize> {
    pub(super) record: RunRecord,
    fences: Arc<Vec<Entry<K>>>,
    pub(super) filter: Option<Arc<Filter>>,
}

fn malformed() -> BookError {
    BookError::Malformed { what: "run of an index" }
}

fn key(number: u64, part: u32) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&number.to_be_bytes());
    key[8..].copy_from_slice(&part.to_be_bytes());
    key
}

/// Entries of a block.
pub(super) const fn block_entries<const K: usize>() -> usize {
    BLOCK_BYTES / (K + 8)
}

fn decode_entries<const K: usize>(stored: &[u8]) -> BookResult<Vec<Entry<K>>> {
    let mut entries = Vec::with_capacity(stored.len() / (K + 8));
    let mut rest = stored;
    while !rest.is_empty() {
        let (key, after) = rest.split_first_chunk::<K>().ok_or_else(malformed)?;
        let (pointer, after) = after.split_first_chunk::<8>().ok_or_else(malformed)?;
        entries.push(Entry { key: *key, pointer: u64::from_be_bytes(*pointer) });
        rest = after;
    }
    Ok(entries)
}

fn encode_entry<const K: usize>(entry: &Entry<K>, buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(&entry.key);
    buffer.extend_from_slice(&entry.pointer.to_be_bytes());
}

/// The entry at the beginning of stored ones.
#[inline]
pub(super) fn first_entry<const K: usize>(stored: &[u8]) -> Option<Entry<K>> {
    let (key, after) = stored.split_first_chunk::<K>()?;
    let (pointer, _) = after.split_first_chunk::<8>()?;
    Some(Entry { key: *key, pointer: u64::from_be_bytes(*pointer) })
}

/// The entry at the end of stored ones.
pub(super) fn last_entry<const K: usize>(stored: &[u8]) -> Option<Entry<K>> {
    first_entry(stored.get(stored.len().checked_sub(K + 8)?..)?)
}

impl<const K: usize> Run<K> {
    /// Reads what is kept in memory of a stored run; its filter only if asked for.
    pub(super) fn open(view: &dyn View, space: Space, record: RunRecord, with_filter: bool) -> BookResult<Run<K>> {
        let mut fences = Vec::new();
        for piece in 0..record.fence_pieces {
            let stored = view.get(space, &key(record.number, FENCE_PIECES | piece))?.ok_or_else(malformed)?;
            fences.extend(decode_entries(&stored)?);
        }
        if fences.len() != usize::try_from(record.blocks).unwrap_or(usize::MAX) {
            return Err(malformed());
        }
        let filter = if with_filter && record.filter_pieces > 0 {
            let mut filter = Filter::empty();
            for piece in 0..record.filter_pieces {
                let stored = view.get(space, &key(record.number, FILTER_PIECES | piece))?.ok_or_else(malformed)?;
                if !filter.decode_more(&stored) {
                    return Err(malformed());
                }
            }
            Some(Arc::new(filter))
        } else {
            None
        };
        Ok(Run { record, fences: Arc::new(fences), filter })
    }

    /// The same run without its filter in memory.
    pub(super) fn without_filter(&self) -> Run<K> {
        Run { record: self.record, fences: Arc::clone(&self.fences), filter: None }
    }

    /// Whether the key of a hash may be here.
    pub(super) fn may_contain(&self, hash: u64) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.may_contain(hash))
    }

    /// Before [`may_contain`](Self::may_contain) is asked for many: see [`Filter::fetch`].
    pub(super) fn fetch(&self, hashes: &[u64]) {
        if let Some(filter) = &self.filter {
            filter.fetch(hashes);
        }
    }

    /// The block where an entry would be.
    pub(super) fn block_of(&self, entry: &Entry<K>) -> u32 {
        let after = self.fences.partition_point(|fence| fence <= entry);
        u32::try_from(after.saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// The entries of a block, as they are stored.
    pub(super) fn stored_block(&self, view: &dyn View, space: Space, block: u32) -> BookResult<StoredBytes> {
        let stored = view.get(space, &key(self.record.number, block))?.ok_or_else(malformed)?;
        if stored.is_empty() || !stored.len().is_multiple_of(K + 8) {
            return Err(malformed());
        }
        Ok(stored)
    }

    /// The entries of a block.
    pub(super) fn block(&self, view: &dyn View, space: Space, block: u32) -> BookResult<Vec<Entry<K>>> {
        decode_entries(&view.get(space, &key(self.record.number, block))?.ok_or_else(malformed)?)
    }
}

/// What an unfinished run has written so far, found by asking for its values: they were written in order.
pub(super) fn unfinished(view: &dyn View, space: Space, number: u64) -> BookResult<RunRecord> {
    let count = |first: u32| -> BookResult<u32> {
        let exists = |part: u32| -> BookResult<bool> { Ok(view.get(space, &key(number, first | part))?.is_some()) };
        let mut above = 1;
        while exists(above - 1)? {
            above *= 2;
        }
        let (mut low, mut high) = (above / 2, above - 1);
        while low < high {
            let middle = low + (high - low) / 2;
            if exists(middle)? { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    };
    let (blocks, filter_pieces, fence_pieces) = (count(0)?, count(FILTER_PIECES)?, count(FENCE_PIECES)?);
    Ok(RunRecord { number, level: 0, entries: 0, blocks, filter_pieces, fence_pieces })
}

/// Deletes up to `most` values of a run from a place on; returns the place to go on from, or `None` when all are gone.
pub(super) fn delete(batch: &mut Batch, space: Space, run: &RunRecord, from: u32, most: u32) -> Option<u32> {
    let parts = run.blocks + run.filter_pieces + run.fence_pieces;
    let end = from.saturating_add(most).min(parts);
    for part in from..end {
        let part = if part < run.blocks {
            part
        } else if part < run.blocks + run.filter_pieces {
            FILTER_PIECES | (part - run.blocks)
        } else {
            FENCE_PIECES | (part - run.blocks - run.filter_pieces)
        };
        batch.delete(space, &key(run.number, part));
    }
    (end < parts).then_some(end)
}

/// Writes a run from entries that come in ascending order.
#[derive(Debug)]
pub(super) struct RunWriter<const K: usize> {
    space: Space,
    record: RunRecord,
    /// The block in hand, as it will be stored.
    block: Vec<u8>,
    fences: Vec<Entry<K>>,
    filter: Option<Filter>,
    /// The hashes of keys that are not in the filter yet.
    unfiltered: Vec<u64>,
}

impl<const K: usize> RunWriter<K> {
    /// Begins a run of about `expected` entries.
    pub(super) fn new(kind: &IndexKind, space: Space, number: u64, level: u8, expected: u64) -> RunWriter<K> {
        let record = RunRecord { number, level, entries: 0, blocks: 0, filter_pieces: 0, fence_pieces: 0 };
        let filter = kind.is_filtered(expected).then(|| Filter::with_room_for(expected));
        RunWriter {
            space,
            record,
            block: Vec::with_capacity(block_entries::<K>() * (K + 8)),
            fences: Vec::new(),
            filter,
            unfiltered: Vec::with_capacity(FILTERED_TOGETHER),
        }
    }

    /// Has the filter know a key, by and by.
    #[inline]
    fn filter(&mut self, key: &[u8]) {
        let Some(filter) = &mut self.filter else { return };
        self.unfiltered.push(hash(key));
        if self.unfiltered.len() == FILTERED_TOGETHER {
            filter.insert(&self.unfiltered);
            self.unfiltered.clear();
        }
    }

    /// Adds the next entry.
    #[inline]
    pub(super) fn push(&mut self, batch: &mut Batch, entry: &Entry<K>) {
        self.filter(&entry.key);
        if self.block.is_empty() {
            self.fences.push(*entry);
        }
        encode_entry(entry, &mut self.block);
        self.record.entries += 1;
        if self.block.len() == block_entries::<K>() * (K + 8) {
            self.end_block(batch);
        }
    }

    /// Adds entries as they are stored, which all come next: as many of them are copied at once as the block in hand takes.
    pub(super) fn push_stored(&mut self, batch: &mut Batch, mut entries: &[u8]) {
        while let Some(first) = first_entry::<K>(entries) {
            if self.block.is_empty() {
                self.fences.push(first);
            }
            let room = block_entries::<K>() * (K + 8) - self.block.len();
            let (now, later) = entries.split_at(room.min(entries.len()));
            now.chunks_exact(K + 8).filter_map(|entry| entry.get(..K)).for_each(|key| self.filter(key));
            self.block.extend_from_slice(now);
            self.record.entries += (now.len() / (K + 8)) as u64;
            if now.len() == room {
                self.end_block(batch);
            }
            entries = later;
        }
    }

    /// Ends a block.
    pub(super) fn end_block(&mut self, batch: &mut Batch) {
        if self.block.is_empty() {
            return;
        }
        batch.put(self.space, &key(self.record.number, self.record.blocks), &self.block);
        self.record.blocks += 1;
        self.block.clear();
    }

    /// Writes the next piece of filter or fences, after the last block; `false` when all are written.
    pub(super) fn write_piece(&mut self, batch: &mut Batch) -> bool {
        if let Some(filter) = &mut self.filter {
            filter.insert(&std::mem::take(&mut self.unfiltered));
        }
        let written = usize::try_from(self.record.filter_pieces).unwrap_or(usize::MAX);
        if let Some(filter) = self.filter.as_ref().filter(|filter| written * PIECE_FILTER_BLOCKS < filter.len()) {
            batch.put_with(self.space, &key(self.record.number, FILTER_PIECES | self.record.filter_pieces), |buffer| {
                filter.encode(written * PIECE_FILTER_BLOCKS, PIECE_FILTER_BLOCKS, buffer);
            });
            self.record.filter_pieces += 1;
            return true;
        }
        let fences_a_piece = PIECE_BYTES / (K + 8);
        let written = usize::try_from(self.record.fence_pieces).unwrap_or(usize::MAX);
        let rest = self.fences.get(written * fences_a_piece..).unwrap_or_default();
        if rest.is_empty() {
            return false;
        }
        batch.put_with(self.space, &key(self.record.number, FENCE_PIECES | self.record.fence_pieces), |buffer| {
            rest.iter().take(fences_a_piece).for_each(|fence| encode_entry(fence, buffer));
        });
        self.record.fence_pieces += 1;
        true
    }

    /// The run, once all of it is written.
    pub(super) fn finish(self) -> Run<K> {
        Run { record: self.record, fences: Arc::new(self.fences), filter: self.filter.map(Arc::new) }
    }
}
