//! Marks: proof that all spaces of an engine stand at the same batch.
//!
//! Every batch has a number, and must show in each space that it touches. Where it puts a key that is greater than all before it, that key shows it; history is written so, and costs nothing more. Otherwise the batch leaves
//! its number under [`RESERVED_KEY`] in the space. One list, in a place of its own, says of all spaces what their greatest key and their number are, as of the last batch. An engine that recovers some spaces further
//! than others, because it cut its journal off after some had been written out, then has a space that does not fit the list. The list must never say of a space what the same batch did not write to it.
//!
//! Why not a number in each: it lies at the far end of the space, so that every table that the engine writes would reach over all that comes after it, and would have to be merged where it could be moved.

use std::collections::BTreeMap;

use super::{
    RESERVED_KEY, SpaceId, StoreError,
    checksum::{SEAL_BYTES, SealKey},
};

/// Where a space stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Standing {
    /// The batch that last left its number; 0 where none has, and then the space is not listed.
    mark: u64,
    /// No key is greater than this one.
    greatest: Vec<u8>,
    /// Whether that key itself is certainly there.
    is_there: bool,
}

impl Standing {
    fn of(greatest: Option<&[u8]>) -> Self {
        Self { mark: 0, greatest: greatest.unwrap_or_default().to_vec(), is_there: greatest.is_some() }
    }

    /// Compares the greatest key of the list with the one that was found.
    fn check(&self, found: Option<&[u8]>) -> Result<(), String> {
        let fits = match found {
            Some(found) if self.is_there => found == self.greatest,
            Some(found) => found <= self.greatest.as_slice(),
            None => !self.is_there,
        };
        let shown = |key: &[u8]| key.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        if fits {
            return Ok(());
        }
        let listed = if self.is_there { "" } else { "at most " };
        let listed = format!("the list of marks says {listed}{}", shown(&self.greatest));
        Err(match found {
            Some(found) => format!("ends with the key {}, {listed}", shown(found)),
            None => format!("has no keys, {listed}"),
        })
    }
}

/// Where all spaces stand, and the number of the last batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    writes: u64,
    spaces: BTreeMap<String, Standing>,
}

/// What a space was found with when it was opened.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) id: SpaceId,
    pub(super) mark: Option<u64>,
    /// Its greatest key, but for the reserved one.
    pub(super) greatest: Option<Vec<u8>>,
}

impl Marks {
    /// The number of the last batch.
    pub(super) fn writes(&self) -> u64 {
        self.writes
    }

    /// Begins the next batch.
    pub(super) fn advance(&mut self) -> u64 {
        self.writes += 1;
        self.writes
    }

    /// Notes what the batch in hand does to a space: the greatest key that it puts and the greatest that it deletes, empty where it does neither. Gives the number that it must leave there, unless its
    /// greatest key shows it. The first batch in a space always leaves its number, so that no space is there without the list knowing it.
    pub(super) fn touch(&mut self, id: &SpaceId, put: &[u8], deleted: &[u8]) -> Option<u64> {
        let standing = self.spaces.entry(id.to_string()).or_default();
        let grows = put > standing.greatest.as_slice() && put > deleted;
        if grows {
            standing.is_there = true;
        } else if put > standing.greatest.as_slice() || deleted >= standing.greatest.as_slice() {
            standing.is_there = false;
        }
        let most = put.max(deleted);
        if most > standing.greatest.as_slice() {
            most.clone_into(&mut standing.greatest);
        }
        let is_shown = grows && standing.mark > 0;
        (!is_shown).then(|| {
            standing.mark = self.writes;
            self.writes
        })
    }

    /// Notes a space that was filled in bulk, up to this key.
    pub(super) fn loaded(&mut self, id: &SpaceId, greatest: Option<&[u8]>) {
        self.spaces.insert(id.to_string(), Standing::of(greatest));
    }

    pub(super) fn remove(&mut self, id: &SpaceId) {
        self.spaces.remove(&id.to_string());
    }

    /// The list as stored: the number of the last batch, then each space as its mark, the length of its name (1 byte) and its name, the length of its greatest key (2 bytes) and that key, and 1 where it is certainly there,
    /// 0 where it was deleted; numbers are big-endian, the seal stands at the end.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + self.spaces.len() * 64 + SEAL_BYTES);
        bytes.extend_from_slice(&self.writes.to_be_bytes());
        for (name, standing) in self.spaces.iter().filter(|(_, standing)| standing.mark > 0) {
            bytes.extend_from_slice(&standing.mark.to_be_bytes());
            // Names are bounded far below 256 bytes, keys far below 65 536.
            bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&u16::try_from(standing.greatest.len()).unwrap_or(u16::MAX).to_be_bytes());
            bytes.extend_from_slice(&standing.greatest);
            bytes.push(u8::from(standing.is_there));
        }
        let seal = list_seal().seal(RESERVED_KEY, &bytes);
        bytes.extend_from_slice(&seal);
        bytes
    }

    /// Reads a list back; the error says what is wrong with it.
    pub(super) fn decode(sealed: &[u8]) -> Result<Self, String> {
        let end = list_seal().check(String::new, RESERVED_KEY, sealed);
        let end = end.map_err(|error| format!("the list of marks is unreadable: {error}"))?;
        let (writes, mut rest) =
            sealed.get(..end).and_then(<[u8]>::split_first_chunk::<8>).ok_or("the list of marks is cut off")?;
        let mut spaces = BTreeMap::new();
        while !rest.is_empty() {
            let (name, standing, next) = decode_standing(rest).ok_or("the list of marks is cut off or unreadable")?;
            spaces.insert(name, standing);
            rest = next;
        }
        Ok(Self { writes: u64::from_be_bytes(*writes), spaces })
    }

    /// Compares the list with what the spaces were found with, and goes on from that. Gives the spaces that had been taken off the list to be
    /// removed but are still there; the error says what does not fit.
    pub(super) fn check(&mut self, found: &[Found]) -> Result<Vec<SpaceId>, String> {
        let mut left_over = Vec::new();
        for Found { id, mark, greatest } in found {
            match (self.spaces.get(&id.to_string()), mark) {
                (Some(standing), Some(mark)) if standing.mark == *mark => {
                    standing.check(greatest.as_deref()).map_err(|detail| format!("the space {id} {detail}"))?;
                }
                // Created, or loaded in bulk, and not written to since.
                (None, None) => {}
                (None, Some(mark)) if *mark <= self.writes => left_over.push(id.clone()),
                (listed, mark) => {
                    let (listed, mark) = (listed.map_or(0, |standing| standing.mark), mark.unwrap_or(0));
                    return Err(format!("the space {id} stands at write {mark}, the list of marks says {listed}"));
                }
            }
        }
        if let Some(name) = self.spaces.keys().find(|name| !found.iter().any(|found| found.id.to_string() == **name)) {
            return Err(format!("the space {name} is missing"));
        }
        for Found { id, greatest, .. } in found.iter().filter(|found| !left_over.contains(&found.id)) {
            // What is listed stays as it is, also where less is there than it says: the next batch must be told from the one that is listed.
            self.spaces.entry(id.to_string()).or_insert_with(|| Standing::of(greatest.as_deref()));
        }
        Ok(left_over)
    }
}

/// A space of the list: its name, where it stands, and the bytes after it.
fn decode_standing(bytes: &[u8]) -> Option<(String, Standing, &[u8])> {
    let (mark, rest) = bytes.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (greatest, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let (is_there, rest) = rest.split_first()?;
    let standing = Standing { mark: u64::from_be_bytes(*mark), greatest: greatest.to_vec(), is_there: *is_there == 1 };
    Some((std::str::from_utf8(name).ok()?.to_owned(), standing, rest))
}

fn list_seal() -> SealKey {
    SealKey::of(&SpaceId::new("marks", 0))
}

/// The sealed value of a mark.
pub(super) fn encode_mark(seal: SealKey, number: u64) -> Vec<u8> {
    let value = number.to_be_bytes();
    [&value[..], &seal.seal(RESERVED_KEY, &value)].concat()
}

/// The number of a mark found in a space.
pub(super) fn decode_mark(id: &SpaceId, sealed: &[u8]) -> Result<u64, StoreError> {
    let end = SealKey::of(id).check(|| id.to_string(), RESERVED_KEY, sealed)?;
    let value = sealed.get(..end).and_then(|value| value.try_into().ok());
    value.map(u64::from_be_bytes).ok_or_else(|| StoreError::Corrupt {
        space: id.to_string(),
        key: RESERVED_KEY.to_vec(),
        detail: format!("a mark has 8 bytes, this one {end}"),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn id(generation: u64) -> SpaceId {
        SpaceId::new("rows", generation)
    }

    fn found(generation: u64, mark: Option<u64>, greatest: Option<&[u8]>) -> Found {
        Found { id: id(generation), mark, greatest: greatest.map(<[u8]>::to_vec) }
    }

    fn copy(marks: &Marks) -> Marks {
        Marks::decode(&marks.encode()).unwrap()
    }

    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^ (mixed >> 27)
    }

    #[test]
    fn the_list_is_read_back_and_any_flip_is_seen() {
        let mut marks = Marks::default();
        for generation in 1..=3 {
            marks.advance();
            assert_eq!(marks.touch(&id(generation), b"key", b""), Some(generation));
        }
        let bytes = marks.encode();
        assert_eq!(Marks::decode(&bytes).unwrap(), marks);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Marks::decode(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn spaces_must_stand_where_the_list_says() {
        let mut marks = Marks { writes: 7, spaces: BTreeMap::new() };
        assert_eq!(marks.touch(&id(1), b"k", b""), Some(7));
        marks.writes = 9;
        let check = |found: &[Found]| copy(&marks).check(found);
        let one = found(1, Some(7), Some(b"k"));
        assert_eq!(check(std::slice::from_ref(&one)), Ok(vec![]));
        assert_eq!(check(&[one.clone(), found(2, None, None)]), Ok(vec![]));
        assert_eq!(check(&[one.clone(), found(2, None, Some(b"loaded"))]), Ok(vec![]));
        assert_eq!(check(&[one.clone(), found(2, Some(9), None)]), Ok(vec![id(2)]));
        for (mark, greatest) in [(Some(6), b"k"), (Some(8), b"k"), (None, b"k"), (Some(7), b"j"), (Some(7), b"l")] {
            assert!(check(&[found(1, mark, Some(greatest))]).is_err(), "{mark:?} {greatest:?}");
        }
        assert!(check(&[found(1, Some(7), None)]).is_err());
        assert!(check(&[one, found(2, Some(10), None)]).is_err());
        assert!(check(&[]).is_err());
    }

    #[test]
    fn what_only_grows_needs_no_mark_after_the_first() {
        let mut marks = Marks::default();
        let mut batch = |put: &[u8], deleted: &[u8]| {
            marks.advance();
            marks.touch(&id(1), put, deleted)
        };
        assert_eq!(batch(b"b", b""), Some(1));
        assert_eq!(batch(b"c", b""), None);
        // Purged from the front while it grows.
        assert_eq!(batch(b"d", b"b"), None);
        assert_eq!(batch(b"", b"c"), Some(4));
        assert_eq!(batch(b"d", b""), Some(5));
        assert_eq!(batch(b"e", b"e"), Some(6));
        assert_eq!(batch(b"f", b""), None);
        assert_eq!(batch(b"", b"f"), Some(8));
        // It was there before, so it does not show that it is there again.
        assert_eq!(batch(b"f", b""), Some(9));
        assert_eq!(batch(b"g", b""), None);
    }

    #[test]
    fn a_space_of_loaded_keys_is_marked_by_the_first_batch_and_grows_from_there() {
        let mut marks = Marks::default();
        marks.loaded(&id(1), Some(b"m"));
        marks.advance();
        assert_eq!(marks.touch(&id(1), b"z", b""), Some(1));
        marks.loaded(&id(2), Some(b"m"));
        assert_eq!(copy(&marks).check(&[found(1, Some(1), Some(b"z")), found(2, None, Some(b"m"))]), Ok(vec![]));
    }

    /// A space as it is after a batch.
    #[derive(Clone, PartialEq)]
    struct State {
        keys: BTreeSet<Vec<u8>>,
        mark: Option<u64>,
    }

    /// Random batches over one space. The list of each must fit the space as that batch left it, and as no other did that touched the space since or before.
    #[test]
    fn no_list_fits_an_earlier_or_a_later_state_of_a_space() {
        for seed in 0..400 {
            println!("seed {seed}");
            let mut random = {
                let mut state = seed;
                move |below: u64| random(&mut state) % below
            };
            let mut marks = Marks::default();
            let mut state = State { keys: BTreeSet::new(), mark: None };
            let mut history: Vec<(Vec<u8>, State)> = Vec::new();
            let mut next = 0_u8;
            for _ in 0..40 {
                let mut key = |random: &mut dyn FnMut(u64) -> u64| {
                    let ascends = random(3) > 0;
                    next += u8::from(ascends);
                    vec![if ascends { next } else { u8::try_from(random(u64::from(next) + 1)).unwrap() }]
                };
                let (mut put, mut deleted) = (Vec::new(), Vec::new());
                for _ in 0..=random(2) {
                    let key = key(&mut random);
                    if random(4) > 0 {
                        state.keys.insert(key.clone());
                        put = put.max(key);
                    } else {
                        state.keys.remove(&key);
                        deleted = deleted.max(key);
                    }
                }
                marks.advance();
                state.mark = marks.touch(&id(1), &put, &deleted).or(state.mark);
                history.push((marks.encode(), state.clone()));
                if random(10) == 0 {
                    let greatest = state.keys.last().cloned();
                    marks.check(&[Found { id: id(1), mark: state.mark, greatest }]).unwrap();
                }
            }
            for (listed, (list, _)) in history.iter().enumerate() {
                for (stands, (_, state)) in history.iter().enumerate() {
                    let found = Found { id: id(1), mark: state.mark, greatest: state.keys.last().cloned() };
                    let fits = Marks::decode(list).unwrap().check(&[found]).is_ok();
                    assert_eq!(fits, listed == stands, "the list of batch {listed}, the space at batch {stands}");
                }
            }
        }
    }
}
