//! `meta@0`: key `book`; where the book stands. Written in the same batch as the changes that it speaks of.

use ledger::Head;
use serde::{Deserialize, Serialize};

use crate::book::BookResult;

/// The only key.
pub const KEY: &[u8] = b"book";

/// Where the book stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Meta {
    /// The generation of the spaces in use.
    pub generation: u64,
    /// The index of the last log entry applied; 0 for none.
    pub index: u64,
    /// The log id of that entry, as the replication layer encodes it.
    pub applied: Option<Vec<u8>>,
    /// The last membership applied, as the replication layer encodes it.
    pub membership: Option<Vec<u8>>,
    /// Log time, journal sequence and counters.
    pub head: Head,
    /// SHA-256 chain over everything decided (I11).
    pub state_hash: [u8; 32],
    /// The index of the snapshot that was installed here last; 0 for none. The log may begin after it.
    pub installed_index: u64,
    /// The number of the last answer that was kept whole.
    pub kept: u64,
    /// The totals of all pages of accounts, and the list of stored holds, are not older than this sequence: what the journal says after it brings them up to date.
    pub replay_from: u64,
}

pub(crate) fn encode(meta: &Meta) -> Vec<u8> {
    super::encode(meta)
}

pub(crate) fn decode(bytes: &[u8]) -> BookResult<Meta> {
    super::decode("meta record", bytes)
}
