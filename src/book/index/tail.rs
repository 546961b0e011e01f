//! The newest entries of an index, in memory until they are written out as a run. Only appended to: a view remembers how many entries it may see.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::{Entry, number};

/// No entry before this one.
const NONE: u32 = u32::MAX;

/// An entry and the one before it under the same key.
#[derive(Debug, Clone, Copy)]
struct Link<const K: usize> {
    entry: Entry<K>,
    previous: u32,
}

/// Entries in the order in which they came, chained by key.
#[derive(Debug)]
pub(super) struct Tail<const K: usize> {
    links: Vec<Link<K>>,
    /// Where the newest entry of each key stands. The keys are not repeated here, so that this stays small enough for the processor's cache.
    newest: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

fn widen(position: u32) -> usize {
    // A u32 always fits a usize on the platforms that a server runs on.
    usize::try_from(position).unwrap_or(usize::MAX)
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
        let known =
            newest.find_mut(hash, |known| links.get(widen(*known)).is_some_and(|link| link.entry.key == entry.key));
        let previous = match known {
            Some(known) => std::mem::replace(known, position),
            None => {
                let hash_of =
                    |known: &u32| links.get(widen(*known)).map_or(0, |link| hasher.hash_one(number(&link.entry.key)));
                newest.insert_unique(hash, position, hash_of);
                NONE
            }
        };
        links.push(Link { entry, previous });
    }

    /// The pointers under a key among the first `visible` entries, newest first.
    pub(super) fn pointers(&self, key: &[u8; K], visible: usize) -> impl Iterator<Item = u64> + '_ {
        let link = |position: u32| self.links.get(widen(position));
        let is_same = |known: &u32| link(*known).is_some_and(|link| link.entry.key == *key);
        let mut next = self.newest.find(self.hasher.hash_one(number(key)), is_same).copied();
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

    /// All entries in the order of runs.
    pub(super) fn sorted(&self) -> Vec<Entry<K>> {
        let mut entries: Vec<Entry<K>> = self.links.iter().map(|link| link.entry).collect();
        entries.sort_unstable();
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
