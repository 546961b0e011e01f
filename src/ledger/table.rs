//! A table that keeps its keys in the order in which they first came, and finds them by hash.
//!
//! Iteration follows the order of the keys' coming, which is the same everywhere; the order of the hash table never shows.

use alloc::vec::Vec;
use core::fmt;
use core::hash::{BuildHasher as _, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};

/// Values by key, each key once, in the order in which the keys first came.
#[derive(Clone)]
pub struct Table<K, V> {
    entries: Vec<(K, V)>,
    /// Where in `entries` a key stands. The keys are not repeated here, so that this stays small enough for the processor's cache.
    places: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Table<K, V> {
        Table { entries: Vec::new(), places: HashTable::new(), hasher: DefaultHashBuilder::default() }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.entries.iter().map(|(key, value)| (key, value))).finish()
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for Table<K, V> {
    fn eq(&self, other: &Table<K, V>) -> bool {
        self.entries == other.entries
    }
}

impl<K: Eq, V: Eq> Eq for Table<K, V> {}

/// Where a key stands in a table that no key is taken out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(usize);

fn widen(place: u32) -> usize {
    // No such place where it does not fit; it always does.
    usize::try_from(place).unwrap_or(usize::MAX)
}

impl<K: Copy + Eq + Hash, V> Table<K, V> {
    /// Makes room for so many keys more.
    pub fn reserve(&mut self, keys: usize) {
        let Table { entries, places, hasher } = self;
        entries.reserve(keys);
        places.reserve(keys, |place| entries.get(widen(*place)).map_or(0, |(known, _)| hasher.hash_one(known)));
    }

    #[inline]
    fn is_at(&self, place: u32, key: &K) -> bool {
        self.entries.get(widen(place)).is_some_and(|(known, _)| known == key)
    }

    /// Where a key stands.
    #[inline]
    pub(crate) fn place(&self, key: &K) -> Option<Place> {
        let hash = self.hasher.hash_one(key);
        self.places.find(hash, |place| self.is_at(*place, key)).map(|place| Place(widen(*place)))
    }

    /// The value of a key.
    #[inline]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.at(self.place(key)?)
    }

    /// The value at a place.
    #[inline]
    pub(crate) fn at(&self, place: Place) -> Option<&V> {
        self.entries.get(place.0).map(|(_, value)| value)
    }

    /// The value at a place, to be changed.
    #[inline]
    pub(crate) fn at_mut(&mut self, place: Place) -> Option<&mut V> {
        self.entries.get_mut(place.0).map(|(_, value)| value)
    }

    /// Sets the value of a key. A key that was there keeps its place.
    #[inline]
    pub fn insert(&mut self, key: K, value: V) {
        let Table { entries, places, hasher } = self;
        let hash = hasher.hash_one(key);
        let known = places.find(hash, |place| entries.get(widen(*place)).is_some_and(|(known, _)| *known == key));
        if let Some((_, known)) = known.and_then(|place| entries.get_mut(widen(*place))) {
            *known = value;
            return;
        }
        // An entry of the log changes far fewer keys than a u32 can count.
        let next = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        entries.push((key, value));
        places.insert_unique(hash, next, |place| {
            entries.get(widen(*place)).map_or(0, |(known, _)| hasher.hash_one(known))
        });
    }

    /// Sets the values of several keys.
    pub fn extend(&mut self, pairs: impl IntoIterator<Item = (K, V)>) {
        pairs.into_iter().for_each(|(key, value)| self.insert(key, value));
    }

    /// Takes all keys out, in their order, and keeps the room.
    pub fn drain(&mut self) -> alloc::vec::Drain<'_, (K, V)> {
        self.places.clear();
        self.entries.drain(..)
    }

    /// Removes all keys, and keeps the room.
    pub fn clear(&mut self) {
        self.places.clear();
        self.entries.clear();
    }

    /// The keys, in their order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.entries.iter().map(|(key, _)| key)
    }

    /// The values, in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().map(|(_, value)| value)
    }

    /// Keys and values, in order.
    pub fn iter(&self) -> core::slice::Iter<'_, (K, V)> {
        self.entries.iter()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<K, V> IntoIterator for Table<K, V> {
    type Item = (K, V);
    type IntoIter = alloc::vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<'t, K, V> IntoIterator for &'t Table<K, V> {
    type Item = &'t (K, V);
    type IntoIter = core::slice::Iter<'t, (K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter()
    }
}
