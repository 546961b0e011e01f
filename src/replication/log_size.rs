//! How many bytes the log holds, and how much of its beginning can go: entries differ so much in size that their number tells little.

use std::collections::VecDeque;

/// Entries are counted together up to so many bytes.
const STRETCH_BYTES: u64 = 64 * 1024;

/// Consecutive entries.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    first_index: u64,
    last_index: u64,
    bytes: u64,
}

/// The log's bytes, by stretches of entries from its beginning to its end.
#[derive(Debug, Default)]
pub(super) struct LogSize {
    stretches: VecDeque<Stretch>,
    bytes: u64,
}

impl LogSize {
    /// Counts the entry at the log's end.
    pub(super) fn add(&mut self, index: u64, bytes: usize) {
        let bytes = bytes as u64;
        self.bytes += bytes;
        match self.stretches.back_mut() {
            Some(last) if last.bytes < STRETCH_BYTES => {
                last.last_index = index;
                last.bytes += bytes;
            }
            _ => self.stretches.push_back(Stretch { first_index: index, last_index: index, bytes }),
        }
    }

    /// Forgets `index` and all after it; a stretch that it lies within counts whole until it is purged.
    pub(super) fn truncate_from(&mut self, index: u64) {
        while let Some(last) = self.stretches.pop_back() {
            if last.first_index < index {
                let last_index = last.last_index.min(index - 1);
                self.stretches.push_back(Stretch { last_index, ..last });
                return;
            }
            self.bytes -= last.bytes;
        }
    }

    /// Forgets `index` and all before it; a stretch that it lies within counts whole until all of it is purged.
    pub(super) fn purge_to(&mut self, index: u64) {
        while let Some(first) = self.stretches.front().copied().filter(|first| first.last_index <= index) {
            self.stretches.pop_front();
            self.bytes -= first.bytes;
        }
    }

    /// About how many bytes the log holds.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Up to which index the log can be purged so that `kept` bytes are left at least; `None` if it holds no more.
    pub(super) fn beyond(&self, kept: u64) -> Option<u64> {
        let mut left = self.bytes;
        let too_many = self.stretches.iter().take_while(|stretch| {
            left = left.saturating_sub(stretch.bytes);
            left >= kept
        });
        too_many.last().map(|stretch| stretch.last_index)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const KIB: usize = 1024;

    fn ten_stretches() -> LogSize {
        let mut size = LogSize::default();
        // Stretches of four entries.
        (1..=40).for_each(|index| size.add(index, 16 * KIB));
        size
    }

    #[test]
    fn what_lies_beyond_the_kept_bytes_can_go() {
        let mut size = ten_stretches();
        assert_eq!(size.bytes(), 640 * KIB as u64);
        assert_eq!(size.beyond(256 * KIB as u64), Some(24));
        assert_eq!(size.beyond(256 * KIB as u64 + 1), Some(20));
        assert_eq!(size.beyond(640 * KIB as u64), None);
        size.purge_to(24);
        assert_eq!((size.bytes(), size.beyond(256 * KIB as u64)), (256 * KIB as u64, None));
        size.purge_to(25);
        assert_eq!(size.bytes(), 256 * KIB as u64);
        size.purge_to(40);
        assert_eq!((size.bytes(), size.beyond(0)), (0, None));
    }

    #[test]
    fn a_truncated_end_counts_no_more_and_the_log_goes_on() {
        let mut size = ten_stretches();
        size.truncate_from(31);
        assert_eq!(size.bytes(), 512 * KIB as u64);
        size.add(31, 64 * KIB);
        assert_eq!((size.bytes(), size.beyond(64 * KIB as u64)), (576 * KIB as u64, Some(30)));
        size.truncate_from(1);
        assert_eq!((size.bytes(), size.beyond(0)), (0, None));
    }

    #[test]
    fn an_entry_larger_than_a_stretch_has_one_of_its_own() {
        let mut size = LogSize::default();
        size.add(1, 200 * KIB);
        size.add(2, 200 * KIB);
        assert_eq!(size.beyond(64 * KIB as u64), Some(1));
    }
}
