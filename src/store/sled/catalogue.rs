//! Space zero of the tree: which spaces there are under which number, and how many writes were made.
//!
//! Keys: four zero bytes, then `w` for the number of writes, or `s` and the number of a space, whose value
//! is its condition (0 live, 1 dropping) and its written name. Values are sealed as all others are. A space's number must never be given out twice while any of its
//! keys is left.

use ::sled::IVec;

use crate::store::{SpaceId, StoreError, checksum::SealKey, folder::Folder};

const PREFIX: [u8; 4] = [0; 4];

/// What a sled tree says of itself.
pub(super) struct Catalogue {
    pub(super) live: Vec<(SpaceId, u32)>,
    pub(super) dropping: Vec<Dropping>,
    pub(super) next_number: u32,
    pub(super) writes: u64,
}

/// A space that is gone for its users, with keys still to be removed.
pub(super) struct Dropping {
    pub(super) number: u32,
    /// The version at which it went: views up to it still read the space.
    pub(super) version: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Live,
    Dropping,
}

fn seal_key() -> SealKey {
    SealKey::of(&SpaceId::new("catalogue", 0))
}

fn seal(key: &[u8], value: &[u8]) -> IVec {
    let mut sealed = value.to_vec();
    sealed.extend_from_slice(&seal_key().seal(key, value));
    IVec::from(sealed)
}

/// The key and value that say how many writes were made.
pub(super) fn writes_record(writes: u64) -> (IVec, IVec) {
    let key = [&PREFIX[..], b"w"].concat();
    let value = seal(&key, &writes.to_be_bytes());
    (IVec::from(key), value)
}

/// The key under which a space stands in the catalogue.
pub(super) fn space_key(number: u32) -> IVec {
    IVec::from([&PREFIX[..], b"s", &number.to_be_bytes()].concat())
}

/// The value that gives a number to a space.
pub(super) fn space_record(id: &SpaceId, number: u32, condition: Condition) -> IVec {
    let condition = match condition {
        Condition::Live => 0,
        Condition::Dropping => 1,
    };
    let mut value = vec![condition];
    value.extend_from_slice(id.to_string().as_bytes());
    seal(&space_key(number), &value)
}

impl Catalogue {
    /// Reads the catalogue of a tree; that of an empty tree is empty.
    pub(super) fn read(tree: &::sled::Tree, folder: &Folder) -> Result<Self, StoreError> {
        let mut catalogue = Self { live: Vec::new(), dropping: Vec::new(), next_number: 1, writes: 0 };
        for pair in tree.scan_prefix(PREFIX) {
            let (key, sealed) =
                pair.map_err(|error| folder.damaged(format!("the engine could not list its spaces: {error}")))?;
            let end = seal_key().check(|| "catalogue@0".to_owned(), &key, &sealed)?;
            let unreadable = || folder.damaged(format!("the catalogue has an unknown record: {key:?}"));
            let value = sealed.get(..end).ok_or_else(unreadable)?;
            match key.get(PREFIX.len()..).and_then(<[u8]>::split_first) {
                Some((b'w', [])) => {
                    catalogue.writes = u64::from_be_bytes(value.try_into().map_err(|_| unreadable())?);
                }
                Some((b's', number)) => {
                    let number = u32::from_be_bytes(number.try_into().map_err(|_| unreadable())?);
                    let (condition, name) = value.split_first().ok_or_else(unreadable)?;
                    let id = std::str::from_utf8(name).ok().and_then(SpaceId::parse).ok_or_else(unreadable)?;
                    match condition {
                        0 => catalogue.live.push((id, number)),
                        1 => catalogue.dropping.push(Dropping { number, version: 0 }),
                        _ => return Err(unreadable()),
                    }
                    catalogue.next_number = catalogue.next_number.max(number.saturating_add(1));
                }
                Some(_) | None => return Err(unreadable()),
            }
        }
        Ok(catalogue)
    }
}
