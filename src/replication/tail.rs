//! The recent end of the log in memory, because openraft reads every entry back once to apply it and once per follower. Bounded by bytes; entries
//! share their commands' bytes with whoever else holds them.

use std::collections::VecDeque;
use std::ops::Range;

use super::Entry;
use super::codec::entry_bytes;

/// The most bytes kept.
pub(super) const MAX_TAIL_BYTES: usize = 12 * 1024 * 1024;

/// Consecutive entries up to the log's end.
#[derive(Debug, Default)]
pub(super) struct Tail {
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl Tail {
    /// Adds the entry after the last.
    pub(super) fn push(&mut self, entry: Entry) {
        if self.entries.back().is_some_and(|last| last.log_id.index + 1 != entry.log_id.index) {
            self.clear();
        }
        self.bytes += entry_bytes(&entry);
        self.entries.push_back(entry);
        while self.bytes > MAX_TAIL_BYTES && self.entries.len() > 1 {
            self.drop_first();
        }
    }

    /// How many entries are kept, and about how many bytes they take.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.bytes)
    }

    fn drop_first(&mut self) {
        if let Some(first) = self.entries.pop_front() {
            self.bytes -= entry_bytes(&first);
        }
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    /// Forgets `index` and all after it.
    pub(super) fn truncate_from(&mut self, index: u64) {
        while self.entries.back().is_some_and(|last| last.log_id.index >= index) {
            if let Some(last) = self.entries.pop_back() {
                self.bytes -= entry_bytes(&last);
            }
        }
    }

    /// Forgets `index` and all before it.
    pub(super) fn purge_to(&mut self, index: u64) {
        while self.entries.front().is_some_and(|first| first.log_id.index <= index) {
            self.drop_first();
        }
    }

    /// The entries of a range, if all of its beginning is here; the range may reach past the end.
    pub(super) fn read(&self, range: &Range<u64>) -> Option<Vec<Entry>> {
        let first = self.entries.front()?.log_id.index;
        let skip = usize::try_from(range.start.checked_sub(first)?).ok()?;
        let end = range.end.saturating_sub(first);
        let end = usize::try_from(end).unwrap_or(usize::MAX).min(self.entries.len());
        Some(self.entries.range(skip.min(end)..end).cloned().collect())
    }
}
