//! A table that keeps its keys in the order in which they first came, and finds them by hash.
//!
//! Iteration follows the order of the keys' coming, which is the same everywhere; the order of the hash table never shows.

use alloc::vec::Vec;
use core::hash::Hash;

use hashbrown::HashMap;

/// Values by key, each key once, in the order in which the keys first came.
#[derive(Debug, Clone)]
pub struct Table<K, V> {
    entries: Vec<(K, V)>,
    places: HashMap<K, u32>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Table<K, V> {
        Table { entries: Vec::new(), places: HashMap::new() }
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for Table<K, V> {
    fn eq(&self, other: &Table<K, V>) -> bool {
        self.entries == other.entries
    }
}

impl<K: Eq, V: Eq> Eq for Table<K, V> {}

impl<K: Copy + Eq + Hash, V> Table<K, V> {
    /// An empty table with room for so many keys.
    pub fn with_capacity(keys: usize) -> Table<K, V> {
        Table { entries: Vec::with_capacity(keys), places: HashMap::with_capacity(keys) }
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        let place = usize::try_from(*self.places.get(key)?).ok()?;
        self.entries.get(place).map(|(_, value)| value)
    }

    /// Sets the value of a key. A key that was there keeps its place.
    pub fn insert(&mut self, key: K, value: V) {
        // An entry of the log changes far fewer keys than a u32 can count.
        let next = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let place = *self.places.entry(key).or_insert(next);
        match usize::try_from(place).ok().and_then(|place| self.entries.get_mut(place)) {
            Some((_, known)) => *known = value,
            None => self.entries.push((key, value)),
        }
    }

    /// Sets the values of several keys.
    pub fn extend(&mut self, pairs: impl IntoIterator<Item = (K, V)>) {
        pairs.into_iter().for_each(|(key, value)| self.insert(key, value));
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
