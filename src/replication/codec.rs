//! Bytes of the log and the peers: openraft's own types in postcard, entries with a header of their own so that the commands behind it are copied as
//! they are.
//!
//! A stored entry: length of the header (u16, big-endian), header (log id, kind, membership), commands.

use bytes::Bytes;
use openraft::{EntryPayload, Membership};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use openraft::BasicNode;

use super::{Entry, LogId, Payload};

/// Why bytes do not decode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} does not decode")]
pub(super) struct Malformed(pub(super) &'static str);

#[derive(Serialize, Deserialize)]
struct Header {
    log_id: LogId,
    kind: Kind,
}

#[derive(Serialize, Deserialize)]
enum Kind {
    Blank,
    Commands,
    Membership(Membership<u64, BasicNode>),
}

/// A value's encoding.
pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Malformed> {
    postcard::to_stdvec(value).map_err(|_| Malformed("a value to send"))
}

/// A value from its encoding, which must fill the bytes.
pub(super) fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, Malformed> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok(_) | Err(_) => Err(Malformed(what)),
    }
}

/// The header of an entry, and its commands as they are.
pub(super) fn entry_parts(entry: &Entry) -> Result<(Vec<u8>, Bytes), Malformed> {
    let (kind, payload) = match &entry.payload {
        EntryPayload::Blank => (Kind::Blank, Bytes::new()),
        EntryPayload::Normal(payload) => (Kind::Commands, payload.0.clone()),
        EntryPayload::Membership(membership) => (Kind::Membership(membership.clone()), Bytes::new()),
    };
    Ok((encode(&Header { log_id: entry.log_id, kind })?, payload))
}

/// An entry from its header and commands.
pub(super) fn entry_from_parts(header: &[u8], payload: Bytes) -> Result<Entry, Malformed> {
    let header: Header = decode("an entry's header", header)?;
    let payload = match header.kind {
        Kind::Blank => EntryPayload::Blank,
        Kind::Commands => EntryPayload::Normal(Payload(payload)),
        Kind::Membership(membership) => EntryPayload::Membership(membership),
    };
    Ok(Entry { log_id: header.log_id, payload })
}

/// Appends an entry as the log stores it.
pub(super) fn write_entry(header: &[u8], payload: &[u8], buffer: &mut Vec<u8>) {
    // A header holds a log id and at most a membership of a few members.
    buffer.extend_from_slice(&u16::try_from(header.len()).unwrap_or(u16::MAX).to_be_bytes());
    buffer.extend_from_slice(header);
    buffer.extend_from_slice(payload);
}

/// Reads an entry as the log stores it.
pub(super) fn read_entry(stored: &[u8]) -> Result<Entry, Malformed> {
    let malformed = Malformed("a stored log entry");
    let (length, rest) = stored.split_first_chunk::<2>().ok_or(malformed.clone())?;
    let (header, payload) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(malformed)?;
    entry_from_parts(header, Bytes::copy_from_slice(payload))
}

/// How large an entry is on the wire, about.
pub(super) fn entry_bytes(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Blank => 64,
        EntryPayload::Normal(payload) => 64 + payload.0.len(),
        EntryPayload::Membership(_) => 1024,
    }
}
