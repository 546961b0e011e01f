//! Marks: proof that all spaces of an engine stand at the same batch.
//!
//! Every batch has a number. It leaves the number under [`RESERVED_KEY`] in each space that it touches, and
//! in one list of the marks of all spaces, in a place of its own. An engine that recovers some spaces further
//! than others, because it cut its journal off after some had been written out, then shows a mark that
//! does not fit the list. The list must never name a mark that was not written in the same batch.

use std::collections::BTreeMap;

use super::{
    RESERVED_KEY, SpaceId, StoreError,
    checksum::{SEAL_BYTES, SealKey},
};

/// The marks of all spaces that were ever written to, and the number of the last batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    writes: u64,
    spaces: BTreeMap<String, u64>,
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

    pub(super) fn set(&mut self, id: &SpaceId, number: u64) {
        self.spaces.insert(id.to_string(), number);
    }

    pub(super) fn remove(&mut self, id: &SpaceId) {
        self.spaces.remove(&id.to_string());
    }

    /// The list as stored: the number of the last batch, then each space as its mark, the length of its name and its
    /// name; numbers are big-endian, the seal stands at the end.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + self.spaces.len() * 40 + SEAL_BYTES);
        bytes.extend_from_slice(&self.writes.to_be_bytes());
        for (name, mark) in &self.spaces {
            bytes.extend_from_slice(&mark.to_be_bytes());
            // Names are bounded far below 256 bytes.
            bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            bytes.extend_from_slice(name.as_bytes());
        }
        let seal = list_seal().seal(RESERVED_KEY, &bytes);
        bytes.extend_from_slice(&seal);
        bytes
    }

    /// Reads a list back; the error says what is wrong with it.
    pub(super) fn decode(sealed: &[u8]) -> Result<Self, String> {
        let end = list_seal().check(String::new, RESERVED_KEY, sealed);
        let end = end.map_err(|error| format!("the list of marks is unreadable: {error}"))?;
        let cut_off = || "the list of marks is cut off".to_owned();
        let (writes, mut rest) = sealed.get(..end).and_then(<[u8]>::split_first_chunk::<8>).ok_or_else(cut_off)?;
        let mut spaces = BTreeMap::new();
        while !rest.is_empty() {
            let (mark, named) = rest.split_first_chunk::<8>().ok_or_else(cut_off)?;
            let (length, named) = named.split_first().ok_or_else(cut_off)?;
            let (name, next) = named.split_at_checked(usize::from(*length)).ok_or_else(cut_off)?;
            let name = std::str::from_utf8(name).map_err(|_| "the list of marks has an unreadable name".to_owned())?;
            spaces.insert(name.to_owned(), u64::from_be_bytes(*mark));
            rest = next;
        }
        Ok(Self { writes: u64::from_be_bytes(*writes), spaces })
    }

    /// Compares the list with the marks found in the spaces. Gives the spaces that had been taken off the list to be
    /// removed but are still there; the error says what does not fit.
    pub(super) fn check(&self, found: &[(SpaceId, Option<u64>)]) -> Result<Vec<SpaceId>, String> {
        let mut left_over = Vec::new();
        for (id, mark) in found {
            match (self.spaces.get(&id.to_string()), mark) {
                (Some(listed), Some(mark)) if listed == mark => {}
                // Created, or loaded in bulk, and not written to since.
                (None, None) => {}
                (None, Some(mark)) if *mark <= self.writes => left_over.push(id.clone()),
                (listed, mark) => {
                    let (listed, mark) = (listed.copied().unwrap_or(0), mark.unwrap_or(0));
                    return Err(format!("the space {id} stands at write {mark}, the list of marks says {listed}"));
                }
            }
        }
        match self.spaces.keys().find(|name| !found.iter().any(|(id, _)| id.to_string() == **name)) {
            Some(name) => Err(format!("the space {name} is missing")),
            None => Ok(left_over),
        }
    }
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
    use super::*;

    fn id(generation: u64) -> SpaceId {
        SpaceId::new("rows", generation)
    }

    #[test]
    fn the_list_is_read_back_and_any_flip_is_seen() {
        let mut marks = Marks::default();
        (1..=3).for_each(|generation| {
            let number = marks.advance();
            marks.set(&id(generation), number);
        });
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
        let mut marks = Marks { writes: 9, spaces: BTreeMap::new() };
        marks.set(&id(1), 7);
        let check = |found: &[(SpaceId, Option<u64>)]| marks.check(found);
        assert_eq!(check(&[(id(1), Some(7))]), Ok(vec![]));
        assert_eq!(check(&[(id(1), Some(7)), (id(2), None)]), Ok(vec![]));
        assert_eq!(check(&[(id(1), Some(7)), (id(2), Some(9))]), Ok(vec![id(2)]));
        assert!(check(&[(id(1), Some(6))]).is_err());
        assert!(check(&[(id(1), Some(8))]).is_err());
        assert!(check(&[(id(1), None)]).is_err());
        assert!(check(&[(id(1), Some(7)), (id(2), Some(10))]).is_err());
        assert!(check(&[]).is_err());
    }
}
