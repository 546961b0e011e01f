//! Numbered records in blocks: those of one entry of the log lie one after another in values of some kilobytes, each under the number of its first record.
//!
//! A block costs the engine about as much as a single record would, so history costs a fraction of a random insert, and reading one record decodes those before it in its block.

use std::ops::RangeInclusive;

use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::records;
use super::{BookError, BookResult};
use crate::store::{Batch, Direction, KeyRange, Scan, Space, StoredBytes, View};

/// About the bytes of a block: one ends with the first record that reaches this. With that record, its seal and what the engine adds it mostly fits 16 KiB, a size that an allocator has; a few
/// bytes more would cost the next, a quarter larger, in every memtable and cache.
const BLOCK_BYTES: usize = 15 * 1024;

fn key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// Writes records numbered from `first` on, each by `append`, and adds their bytes to a hash.
pub(super) fn write<T>(
    batch: &mut Batch,
    space: Space,
    first: u64,
    records: &[T],
    append: impl Fn(&T, &mut Vec<u8>),
    hasher: &mut Sha256,
) {
    let mut number = first;
    let mut rest = records.iter().peekable();
    while rest.peek().is_some() {
        let mut written = 0;
        batch.put_with(space, &key(number), |buffer| {
            let start = buffer.len();
            while buffer.len() - start < BLOCK_BYTES {
                let Some(record) = rest.next() else { break };
                append(record, buffer);
                written += 1;
            }
            hasher.update(buffer.get(start..).unwrap_or_default());
        });
        number += written;
    }
}

fn decode_next<T: DeserializeOwned>(what: &'static str, rest: &mut &[u8]) -> BookResult<T> {
    let (record, left) = postcard::take_from_bytes(rest).map_err(|_| BookError::Malformed { what })?;
    *rest = left;
    Ok(record)
}

/// The block that would have a number, with the number of its first record.
fn block_of(view: &dyn View, space: Space, what: &'static str, number: u64) -> BookResult<Option<(u64, StoredBytes)>> {
    let Some(after) = number.checked_add(1) else { return Ok(None) };
    let up_to = KeyRange::between(key(0), key(after));
    let Some(pair) = view.scan(space, &up_to, Direction::Backward)?.next() else { return Ok(None) };
    let (stored_key, block) = pair?;
    Ok(Some((records::sequence_at_end(what, &stored_key)?, block)))
}

/// The record of a number.
pub(super) fn get<T: DeserializeOwned>(
    view: &dyn View,
    space: Space,
    what: &'static str,
    number: u64,
) -> BookResult<Option<T>> {
    let Some((first, block)) = block_of(view, space, what, number)? else { return Ok(None) };
    let mut rest: &[u8] = &block;
    for _ in first..number {
        if rest.is_empty() {
            return Ok(None);
        }
        decode_next::<T>(what, &mut rest)?;
    }
    if rest.is_empty() { Ok(None) } else { decode_next(what, &mut rest).map(Some) }
}

/// A record as far on as this is looked for in the next block: blocks seldom hold more.
const FAR_AHEAD: u64 = 256;

/// Reads single records, best in ascending order: those of a block are then decoded once. The last one is kept, for who asks for it again.
#[derive(Debug)]
pub(super) struct Cursor<T> {
    in_hand: Option<InHand>,
    last: Option<(u64, T)>,
}

/// A block: its bytes, how many are used, and the number of the next record in it.
#[derive(Debug)]
struct InHand {
    block: StoredBytes,
    used: usize,
    next: u64,
}

impl InHand {
    /// Decodes on to a record; none if the block ends before it.
    fn walk_to<T: DeserializeOwned>(&mut self, what: &'static str, number: u64) -> BookResult<Option<T>> {
        loop {
            let mut rest = self.block.get(self.used..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(None);
            }
            let record = decode_next(what, &mut rest)?;
            self.used = self.block.len() - rest.len();
            self.next += 1;
            if self.next > number {
                return Ok(Some(record));
            }
        }
    }
}

impl<T> Default for Cursor<T> {
    fn default() -> Self {
        Cursor { in_hand: None, last: None }
    }
}

impl<T: DeserializeOwned + Clone> Cursor<T> {
    /// The record of a number.
    pub(super) fn get(
        &mut self,
        view: &dyn View,
        space: Space,
        what: &'static str,
        number: u64,
    ) -> BookResult<Option<T>> {
        if let Some((_, record)) = self.last.as_ref().filter(|(last, _)| *last == number) {
            return Ok(Some(record.clone()));
        }
        let is_near = |hand: &InHand| number.checked_sub(hand.next).is_some_and(|ahead| ahead < FAR_AHEAD);
        let mut found = None;
        if let Some(hand) = self.in_hand.as_mut().filter(|hand| is_near(hand)) {
            found = hand.walk_to(what, number)?;
        }
        if found.is_none() {
            let Some((first, block)) = block_of(view, space, what, number)? else { return Ok(None) };
            found = self.in_hand.insert(InHand { block, used: 0, next: first }).walk_to(what, number)?;
        }
        self.last = found.clone().map(|record| (number, record));
        Ok(found)
    }
}
/// The last number up to `last` whose record is early, 0 if none is, where all records up to some number are early and none after it: halves by blocks, and decodes one of them.
pub(super) fn last_early<T: DeserializeOwned>(
    view: &dyn View,
    space: Space,
    what: &'static str,
    last: u64,
    is_early: impl Fn(&T) -> bool,
) -> BookResult<u64> {
    let missing = || BookError::Malformed { what };
    let (mut low, mut high) = (0, last);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        let (first, block) = block_of(view, space, what, middle)?.ok_or_else(missing)?;
        let mut rest: &[u8] = &block;
        if first > low {
            match is_early(&decode_next(what, &mut rest)?) {
                true => low = first,
                false => high = first - 1,
            }
            continue;
        }
        // The block begins with what is known to be early.
        let mut number = first;
        while number <= high && !rest.is_empty() {
            if !is_early(&decode_next(what, &mut rest)?) {
                return number.checked_sub(1).ok_or_else(missing);
            }
            number += 1;
        }
        if number <= middle {
            return Err(missing());
        }
        low = number - 1;
    }
    Ok(low)
}

/// The records of a range of numbers, in order.
pub(super) fn range<'v, T: DeserializeOwned>(
    view: &'v dyn View,
    space: Space,
    what: &'static str,
    numbers: RangeInclusive<u64>,
) -> BookResult<Range<'v, T>> {
    let before = block_of(view, space, what, *numbers.start())?;
    let first_block = before.map_or(*numbers.start(), |(first, _)| first);
    let blocks = match numbers.end().checked_add(1) {
        Some(end) => KeyRange::between(key(first_block), key(end)),
        None => KeyRange::from(key(first_block)),
    };
    let blocks = view.scan(space, &blocks, Direction::Forward)?;
    Ok(Range { blocks, what, numbers, block: None, records: std::marker::PhantomData })
}

/// A walk over records.
pub(super) struct Range<'v, T> {
    blocks: Scan<'v>,
    what: &'static str,
    /// What is still wanted.
    numbers: RangeInclusive<u64>,
    /// The block in hand: its bytes, how many are used, and the number of the next record in it.
    block: Option<(StoredBytes, usize, u64)>,
    records: std::marker::PhantomData<T>,
}

impl<T: DeserializeOwned> Range<'_, T> {
    fn step(&mut self) -> BookResult<Option<T>> {
        loop {
            if self.block.is_none() {
                let Some(pair) = self.blocks.next() else { return Ok(None) };
                let (stored_key, block) = pair?;
                self.block = Some((block, 0, records::sequence_at_end(self.what, &stored_key)?));
            }
            let Some((block, used, number)) = &mut self.block else { return Ok(None) };
            let mut rest = block.get(*used..).unwrap_or_default();
            if rest.is_empty() {
                self.block = None;
                continue;
            }
            let record = decode_next::<T>(self.what, &mut rest)?;
            *used = block.len() - rest.len();
            let here = *number;
            *number += 1;
            if here > *self.numbers.end() {
                return Ok(None);
            }
            if here >= *self.numbers.start() {
                return Ok(Some(record));
            }
        }
    }
}

impl<T: DeserializeOwned> Iterator for Range<'_, T> {
    type Item = BookResult<T>;

    fn next(&mut self) -> Option<BookResult<T>> {
        self.step().transpose()
    }
}
