//! What is stored, one file a record: its key and its value.
//!
//! Keys are big-endian, so that their order is the order of numbers. Values are in postcard's encoding, pinned to one version. The state hash
//! covers the journal's records, so these bytes are the book's canonical encoding.

pub mod account;
pub mod asset;
pub mod hold;
pub mod index;
pub mod journal;
pub mod kept;
pub mod meta;
pub mod name;
pub mod reversed;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{BookError, BookResult};
use crate::store::{Engine, Space};

/// The kinds of records; each has a space of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Where the book stands; one record, not part of the state hash.
    Meta = 0,
    /// Assets by number.
    Assets = 1,
    /// Accounts by number, in pages.
    Accounts = 2,
    /// Account numbers by name.
    Names = 3,
    /// Journal records by sequence, in blocks.
    Journal = 4,
    /// Answers kept whole, in blocks.
    Kept = 5,
    /// Open reservations that the journal's replay has moved on past.
    Holds = 6,
    /// How much of a transaction was reversed.
    Reversed = 7,
    /// Where the ids of requests and transactions stand.
    Ids = 8,
    /// Where references stand.
    References = 9,
    /// Which journal records touched an account.
    Postings = 10,
    /// The lists of runs of the three indexes.
    Runs = 11,
}

/// All kinds but the meta record, in the order in which a snapshot carries them.
pub const DATA_KINDS: [Kind; 11] = [
    Kind::Assets,
    Kind::Accounts,
    Kind::Names,
    Kind::Journal,
    Kind::Kept,
    Kind::Holds,
    Kind::Reversed,
    Kind::Ids,
    Kind::References,
    Kind::Postings,
    Kind::Runs,
];

impl Kind {
    /// The space's name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Meta => "meta",
            Kind::Assets => "assets",
            Kind::Accounts => "accounts",
            Kind::Names => "names",
            Kind::Journal => "journal",
            Kind::Kept => "kept",
            Kind::Holds => "holds",
            Kind::Reversed => "reversed",
            Kind::Ids => "ids",
            Kind::References => "references",
            Kind::Postings => "postings",
            Kind::Runs => "runs",
        }
    }

    /// The kind of a tag in a snapshot.
    pub fn from_tag(tag: u8) -> Option<Kind> {
        DATA_KINDS.into_iter().find(|kind| *kind as u8 == tag)
    }
}

/// The handles of one generation's spaces.
#[derive(Debug, Clone, Copy)]
pub struct Spaces {
    handles: [Space; 12],
}

impl Spaces {
    /// The spaces of a generation, made where they are missing.
    pub(crate) fn open(engine: &dyn Engine, generation: u64) -> BookResult<Spaces> {
        let open = |kind: Kind| -> BookResult<Space> {
            let id = kind.id(if kind == Kind::Meta { 0 } else { generation });
            Ok(match engine.space(&id) {
                Some(space) => space,
                None => engine.create_space(&id)?,
            })
        };
        let meta = open(Kind::Meta)?;
        let mut handles = [meta; 12];
        for kind in DATA_KINDS {
            handles[kind as usize] = open(kind)?;
        }
        Ok(Spaces { handles })
    }

    /// The space of a kind.
    pub fn of(&self, kind: Kind) -> Space {
        self.handles[kind as usize]
    }
}

/// Appends a value's encoding.
pub(crate) fn encode_into<T: Serialize>(value: &T, buffer: &mut Vec<u8>) {
    match postcard::to_extend(value, std::mem::take(buffer)) {
        Ok(extended) => *buffer = extended,
        // Extending a vector cannot fail, and none of our types refuses to serialize.
        Err(error) => unreachable!("a record does not encode: {error}"),
    }
}

/// A value's encoding.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut buffer = Vec::new();
    encode_into(value, &mut buffer);
    buffer
}

/// Decodes a value that must fill the bytes.
pub(crate) fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> BookResult<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok(_) | Err(_) => Err(BookError::Malformed { what }),
    }
}

/// Reads a big-endian number at the end of a key.
pub(crate) fn sequence_at_end(what: &'static str, key: &[u8]) -> BookResult<u64> {
    key.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes)).ok_or(BookError::Malformed { what })
}

/// Bytes as lower-case hexadecimal text.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
