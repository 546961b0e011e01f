//! The newest entries of an index, in memory until they are written out as a run. Only appended to: a view remembers how many entries it may see.

use std::hash::BuildHasher as _;
use std::ops::RangeInclusive;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::{Entry, number};

/// Into how many buckets entries are sorted first: with the longest tails some tens of entries come into each.
const BUCKETS: usize = 4096;

/// No entry before this one.
const NONE: u32 = u32::MAX;

/// An entry and the one before it under the same key.
#[derive(Debug, Clone, Copy)]
struct Link<const K: usize> {
    entry: Entry<K>,
    previous: u32,
}

/// Where the newest entry of a key stands, and the last four bytes of the key: of short keys they tell all, so that the entry need not be looked at, which lies in no cache.
#[derive(Debug, Clone, Copy)]
struct Newest {
    low: u32,
    position: u32,
}

/// Entries in the order in which they came, chained by key.
#[derive(Debug)]
pub(super) struct Tail<const K: usize> {
    links: Vec<Link<K>>,
    /// The newest entry of each key. Long keys are not repeated here, so that this stays small enough for the processor's cache.
    newest: HashTable<Newest>,
    hasher: DefaultHashBuilder,
}

fn widen(position: u32) -> usize {
    // A u32 always fits a usize on the platforms that a server runs on.
    usize::try_from(position).unwrap_or(usize::MAX)
}

/// The last four bytes of a key, as a number.
fn low<const K: usize>(key: &[u8; K]) -> u32 {
    number(key) as u32
}

/// Whether what is known is the newest entry of a key.
fn is_of<const K: usize>(known: &Newest, key: &[u8; K], links: &[Link<K>]) -> bool {
    known.low == low(key) && (K <= 4 || links.get(widen(known.position)).is_some_and(|link| link.entry.key == *key))
}

impl<const K: usize> Default for Tail<K> {
    fn default() -> Self {
        Tail::with_capacity(0)
    }
}

impl<const K: usize> Tail<K> {
    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    /// An empty tail with room for so many entries.
    pub(super) fn with_capacity(entries: usize) -> Tail<K> {
        Tail {
            links: Vec::with_capacity(entries),
            newest: HashTable::with_capacity(entries),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// Adds an entry.
    pub(super) fn push(&mut self, entry: Entry<K>) {
        let Tail { links, newest, hasher } = self;
        // A tail is written out long before it has as many entries as a u32 can count.
        let position = u32::try_from(links.len()).unwrap_or(NONE);
        let hash = hasher.hash_one(number(&entry.key));
        let previous = match newest.find_mut(hash, |known| is_of(known, &entry.key, links)) {
            Some(known) => std::mem::replace(&mut known.position, position),
            None => {
                let hash_of = |known: &Newest| {
                    links.get(widen(known.position)).map_or(0, |link| hasher.hash_one(number(&link.entry.key)))
                };
                newest.insert_unique(hash, Newest { low: low(&entry.key), position }, hash_of);
                NONE
            }
        };
        links.push(Link { entry, previous });
    }

    /// The pointers under a key among the first `visible` entries, newest first.
    pub(super) fn pointers<'t>(&'t self, key: &[u8; K], visible: usize) -> impl Iterator<Item = u64> + use<'t, K> {
        let link = |position: u32| self.links.get(widen(position));
        let is_same = |known: &Newest| is_of(known, key, &self.links);
        let mut next = self.newest.find(self.hasher.hash_one(number(key)), is_same).map(|known| known.position);
        std::iter::from_fn(move || {
            loop {
                let position = next.filter(|position| *position != NONE)?;
                let found = link(position)?;
                next = Some(found.previous);
                if widen(position) < visible {
                    return Some(found.entry.pointer);
                }
            }
        })
    }

    /// Those of the pointers under a key that lie within a range, newest first, where pointers came in ascending order: what is older than the range is not walked, and nothing where all
    /// is newer.
    pub(super) fn pointers_within<'t>(
        &'t self,
        key: &[u8; K],
        visible: usize,
        range: &RangeInclusive<u64>,
    ) -> impl Iterator<Item = u64> + use<'t, K> {
        let (start, end) = range.clone().into_inner();
        let is_reached = self.links.first().is_some_and(|oldest| oldest.entry.pointer <= end);
        let pointers = is_reached.then(|| self.pointers(key, visible)).into_iter().flatten();
        pointers.take_while(move |pointer| *pointer >= start).filter(move |pointer| *pointer <= end)
    }

    /// All entries in the order of runs.
    pub(super) fn sorted(&self) -> Vec<Entry<K>> {
        let mut entries: Vec<Entry<K>> = self.links.iter().map(|link| link.entry).collect();
        sort(&mut entries);
        entries
    }
}

/// Sorts entries: first into buckets by the bits in which their keys begin to differ, then each bucket.
fn sort<const K: usize>(entries: &mut Vec<Entry<K>>) {
    let numbers = || entries.iter().map(|entry| number(&entry.key));
    let (least, most) = (numbers().min().unwrap_or(0), numbers().max().unwrap_or(0));
    if entries.len() < BUCKETS || least == most {
        entries.sort_unstable();
        return;
    }
    // What all keys have in common stands before these bits.
    let shift = (least ^ most).ilog2().saturating_sub(BUCKETS.ilog2() - 1);
    let bucket = |entry: &Entry<K>| {
        let place = (number(&entry.key) >> shift) - (least >> shift);
        usize::try_from(place).unwrap_or(BUCKETS).min(BUCKETS - 1)
    };
    // Where each bucket begins, and after the distribution where it ends.
    let mut places = [0; BUCKETS];
    entries.iter().for_each(|entry| places[bucket(entry)] += 1);
    let mut next = 0;
    for place in &mut places {
        next += std::mem::replace(place, next);
    }
    let mut distributed = entries.clone();
    for entry in entries.iter() {
        let place = &mut places[bucket(entry)];
        distributed[*place] = *entry;
        *place += 1;
    }
    let mut begin = 0;
    for end in places {
        if let Some(own) = distributed.get_mut(begin..end) {
            own.sort_unstable();
        }
        begin = end;
    }
    *entries = distributed;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^ (mixed >> 27)
    }

    fn assert_sorted<const K: usize>(key: impl Fn(u64, usize) -> [u8; K], seed: u64) {
        for entries in [0, 1, BUCKETS - 1, BUCKETS, 3 * BUCKETS] {
            let mut state = seed;
            let entries: Vec<Entry<K>> = (0..entries)
                .map(|place| Entry { key: key(random(&mut state), place), pointer: random(&mut state) % 9 })
                .collect();
            let (mut sorted, mut expected) = (entries.clone(), entries);
            sort(&mut sorted);
            expected.sort_by_key(|entry| (entry.key, entry.pointer));
            assert!(sorted == expected, "seed {seed}: {} entries are not sorted", expected.len());
        }
    }

    #[test]
    fn entries_are_sorted_whatever_their_keys() {
        for seed in 0..10 {
            let wide = |number: u64| (u128::from(number) << 64 | u128::from(number)).to_be_bytes();
            assert_sorted(|number, _| wide(number), seed);
            // As of one hour, of one account, of few, and of ones that stand far from all others.
            assert_sorted(
                |number, place| (0xAB << 120 | (place as u128) << 80 | u128::from(number)).to_be_bytes(),
                seed,
            );
            assert_sorted(|_, _| [7; 4], seed);
            assert_sorted(|number, _| (1_000_000 + number as u32 % 3).to_be_bytes(), seed);
            assert_sorted(|number, _| (number as u32 % 100_000).to_be_bytes(), seed);
            assert_sorted(|number, _| if number % 100 == 0 { [255; 16] } else { wide(number >> 60) }, seed);
        }
    }

    #[test]
    fn a_view_sees_only_what_was_there_when_it_was_opened() {
        let mut tail = Tail::<1>::default();
        for (key, pointer) in [(1, 10), (2, 11), (1, 12), (1, 13)] {
            tail.push(Entry { key: [key], pointer });
        }
        let seen = |key: u8, visible| tail.pointers(&[key], visible).collect::<Vec<u64>>();
        assert_eq!(seen(1, 4), [13, 12, 10]);
        assert_eq!(seen(1, 3), [12, 10]);
        assert_eq!(seen(1, 1), [10]);
        assert_eq!(seen(2, 1), [0u64; 0]);
        assert_eq!(seen(3, 4), [0u64; 0]);
    }
}
