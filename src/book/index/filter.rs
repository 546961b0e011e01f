//! A filter over the keys of a run: it tells at the cost of one memory access that a key is not there.
//!
//! A split block Bloom filter (Putze, Sanders, Singler 2007, "Cache-, Hash- and Space-Efficient Bloom Filters"): a key's hash chooses one block of eight words, one cache line, and one bit in
//! each of them. With 24 bits a key about one absent key in ten thousand is taken for present, which costs the read of a block; with 16 bits it would be one in a thousand, and the reads a tenth of the applier's time once there are
//! a dozen runs. It must never say that a key is absent which is there.

use xxhash_rust::xxh3::xxh3_64;

/// Words of a block: 64 bytes, a cache line.
const BLOCK_WORDS: usize = 8;
/// Keys of a block: 512 bits, 24 a key.
const BLOCK_KEYS: u64 = 21;

/// How many bytes the filter of so many keys has.
pub(super) const fn bytes_for(keys: u64) -> u64 {
    keys.div_ceil(BLOCK_KEYS).saturating_mul(64)
}

/// One odd multiplier a word, so that the eight bits of a key are chosen differently. Part of the stored format.
const MULTIPLIERS: [u32; BLOCK_WORDS] =
    [0x9E37_79B1, 0x85EB_CA77, 0xC2B2_AE3D, 0x27D4_EB2F, 0x1656_67B1, 0xD6E8_FEB9, 0xA3B1_9535, 0x5C3D_0E4B];

/// A block, where the processor fetches it at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(align(64))]
struct Block([u64; BLOCK_WORDS]);

/// The filter of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter {
    blocks: Vec<Block>,
}

/// The bit of a word that a hash chooses: the upper six bits of a product choose one of 64.
fn bit(low: u32, multiplier: u32) -> u64 {
    1 << (low.wrapping_mul(multiplier) >> 26)
}

impl Filter {
    /// An empty filter for so many keys.
    pub(super) fn with_room_for(keys: u64) -> Filter {
        let blocks = usize::try_from(keys.div_ceil(BLOCK_KEYS).max(1)).unwrap_or(usize::MAX);
        Filter { blocks: vec![Block::default(); blocks] }
    }

    /// The block of a hash: its upper half, scaled to the number of blocks.
    fn place(&self, hash: u64) -> usize {
        let blocks = self.blocks.len() as u64;
        usize::try_from(((hash >> 32) * blocks) >> 32).unwrap_or(0)
    }

    /// Adds the keys of some hashes. Their blocks are fetched first, [many at a time](Self::fetch): a large filter is in no cache, and to wait for each block in turn took a seventh of the applier's time.
    pub(super) fn insert(&mut self, hashes: &[u64]) {
        self.fetch(hashes);
        for hash in hashes {
            let place = self.place(*hash);
            let Some(Block(words)) = self.blocks.get_mut(place) else { continue };
            for (word, multiplier) in words.iter_mut().zip(MULTIPLIERS) {
                *word |= bit(*hash as u32, multiplier);
            }
        }
    }

    /// Whether the key of a hash may be there.
    pub(super) fn may_contain(&self, hash: u64) -> bool {
        let Some(Block(words)) = self.blocks.get(self.place(hash)) else { return true };
        let low = hash as u32;
        let missing = |first: usize, end: usize| {
            let words = words.iter().zip(MULTIPLIERS).skip(first).take(end - first);
            words.fold(0, |missing, (word, multiplier)| missing | (!word & bit(low, multiplier)))
        };
        // Several bits at once: to stop at the first that is missing would be a guess each time. Three tell for all but a fortieth of the keys that are not there.
        missing(0, 3) == 0 && missing(3, BLOCK_WORDS) == 0
    }

    /// Has the memory fetched that [`may_contain`](Self::may_contain) and [`insert`](Self::insert) will look at for some hashes: many at a time, where looking at each in turn would wait for a few.
    pub(super) fn fetch(&self, hashes: &[u64]) {
        let words = hashes.iter().filter_map(|hash| self.blocks.get(self.place(*hash))?.0.first());
        std::hint::black_box(words.fold(0, |sum, word| sum ^ word));
    }

    /// Some of its blocks as they are stored: words one after another, little-endian.
    pub(super) fn encode(&self, first: usize, blocks: usize, buffer: &mut Vec<u8>) {
        for word in self.blocks.iter().skip(first).take(blocks).flat_map(|block| &block.0) {
            buffer.extend_from_slice(&word.to_le_bytes());
        }
    }

    /// How many blocks there are.
    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Appends stored blocks; `false` when they are cut off.
    pub(super) fn decode_more(&mut self, stored: &[u8]) -> bool {
        let (blocks, []) = stored.as_chunks::<{ BLOCK_WORDS * 8 }>() else { return false };
        self.blocks.extend(blocks.iter().map(|block| {
            let mut words = [0; BLOCK_WORDS];
            for (word, bytes) in words.iter_mut().zip(block.as_chunks::<8>().0) {
                *word = u64::from_le_bytes(*bytes);
            }
            Block(words)
        }));
        true
    }

    /// A filter without blocks, to be decoded into.
    pub(super) fn empty() -> Filter {
        Filter { blocks: Vec::new() }
    }
}

/// The hash by which filters know a key.
pub(super) fn hash(key: &[u8]) -> u64 {
    xxh3_64(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> [u8; 16] {
        let mut key = [0; 16];
        key[8..].copy_from_slice(&number.to_be_bytes());
        key
    }

    #[test]
    fn every_key_is_found_and_few_others_are() {
        let mut filter = Filter::with_room_for(10_000);
        filter.insert(&(0..10_000).map(|number| hash(&key(number))).collect::<Vec<u64>>());
        assert!((0..10_000).all(|number| filter.may_contain(hash(&key(number)))));
        let wrong = (10_000..210_000).filter(|number| filter.may_contain(hash(&key(*number)))).count();
        assert!(wrong < 80, "{wrong} of 200 000 absent keys are taken for present; 0.01% would be 20");
    }

    #[test]
    fn what_is_stored_is_read_back() {
        let mut filter = Filter::with_room_for(1_000);
        (0..1_000).for_each(|number| filter.insert(&[hash(&key(number))]));
        let mut read = Filter::empty();
        for first in (0..filter.len()).step_by(7) {
            let mut stored = Vec::new();
            filter.encode(first, 7, &mut stored);
            assert!(read.decode_more(&stored));
        }
        assert_eq!(read, filter);
        assert!(!read.decode_more(&[0; 65]));
    }
}
