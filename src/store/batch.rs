//! A batch of writes that takes effect whole or not at all.
//!
//! All keys and values lie one behind the other in a single buffer, each value sealed as it is
//! added, so that ten thousand small puts cost no allocation of their own and the buffer can be used
//! again. A batch never reads, and the last write to a key is the one that counts.

use super::{Space, StoreError, checksum::SEAL_BYTES};

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 1024;
/// The longest value, in bytes, without its seal.
pub const MAX_VALUE_BYTES: usize = 16 << 20;
/// The most that the keys and values of one batch may take together, in bytes.
pub const MAX_BATCH_BYTES: usize = 64 << 20;

/// The one key that no space may hold: adapters keep their own mark under it.
pub const RESERVED_KEY: &[u8] = b"\xff\xff\xff\xff\xff\xff\xff\xffmark";

/// Puts and deletes over any number of spaces, applied atomically and in order.
#[derive(Debug, Default)]
pub struct Batch {
    buffer: Vec<u8>,
    writes: Vec<Write>,
    refused: Option<Refused>,
}

#[derive(Debug, Clone, Copy)]
struct Write {
    space: Space,
    start: usize,
    key_end: usize,
    kind: WriteKind,
}

#[derive(Debug, Clone, Copy)]
enum WriteKind {
    Put { value_end: usize },
    Delete,
}

#[derive(Debug, Clone, Copy)]
enum Refused {
    Size { what: &'static str, bytes: usize, least: usize, most: usize },
    Reserved,
}

/// One write of a batch, as an adapter sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchOperation<'a> {
    /// Store the sealed value under the key.
    Put {
        /// Where.
        space: Space,
        /// The key.
        key: &'a [u8],
        /// The value with its seal behind it.
        sealed: &'a [u8],
    },
    /// Remove the key.
    Delete {
        /// Where.
        space: Space,
        /// The key.
        key: &'a [u8],
    },
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty batch with room for so many writes and bytes.
    pub fn with_capacity(writes: usize, bytes: usize) -> Self {
        Self { buffer: Vec::with_capacity(bytes), writes: Vec::with_capacity(writes), refused: None }
    }

    /// Stores `value` under `key`. A key or value outside the bounds is remembered, and the whole
    /// batch is then refused when it is written.
    pub fn put(&mut self, space: Space, key: &[u8], value: &[u8]) {
        self.put_with(space, key, |buffer| buffer.extend_from_slice(value));
    }

    /// Stores under `key` what `encode` appends to the buffer: saves the copy of an encoded record.
    /// `encode` must only append.
    pub fn put_with(&mut self, space: Space, key: &[u8], encode: impl FnOnce(&mut Vec<u8>)) {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(key);
        let key_end = self.buffer.len();
        encode(&mut self.buffer);
        let plain_end = self.buffer.len();
        self.check("key", key.len(), 1, MAX_KEY_BYTES);
        self.check_reserved(key);
        self.check("value", plain_end.saturating_sub(key_end), 0, MAX_VALUE_BYTES);
        let value = self.buffer.get(key_end..).unwrap_or_default();
        let seal = space.seal.seal(key, value);
        self.buffer.extend_from_slice(&seal);
        let kind = WriteKind::Put { value_end: plain_end + SEAL_BYTES };
        self.writes.push(Write { space, start, key_end, kind });
    }

    /// Removes `key`; does nothing where it is absent.
    pub fn delete(&mut self, space: Space, key: &[u8]) {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(key);
        self.check("key", key.len(), 1, MAX_KEY_BYTES);
        self.check_reserved(key);
        self.writes.push(Write { space, start, key_end: self.buffer.len(), kind: WriteKind::Delete });
    }

    /// Empties the batch but keeps its buffers for the next one.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.writes.clear();
        self.refused = None;
    }

    /// How many writes there are.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// How many bytes the keys and sealed values take.
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The writes in order, once every bound has been kept.
    ///
    /// # Errors
    /// [`StoreError::OutOfBounds`] for the first key, value or batch that was too short or too long.
    pub fn operations(&self) -> Result<impl ExactSizeIterator<Item = BatchOperation<'_>>, StoreError> {
        let too_large = Refused::Size { what: "batch", bytes: self.buffer.len(), least: 0, most: MAX_BATCH_BYTES };
        let refused = self.refused.or((self.buffer.len() > MAX_BATCH_BYTES).then_some(too_large));
        match refused {
            None => {}
            Some(Refused::Reserved) => return Err(StoreError::ReservedKey),
            Some(Refused::Size { what, bytes, least, most }) => {
                return Err(StoreError::OutOfBounds { what, bytes, least, most });
            }
        }
        Ok(self.writes.iter().map(|write| {
            let space = write.space;
            let key = &self.buffer[write.start..write.key_end];
            match write.kind {
                WriteKind::Put { value_end } => {
                    BatchOperation::Put { space, key, sealed: &self.buffer[write.key_end..value_end] }
                }
                WriteKind::Delete => BatchOperation::Delete { space, key },
            }
        }))
    }

    fn check(&mut self, what: &'static str, bytes: usize, least: usize, most: usize) {
        if self.refused.is_none() && (bytes < least || bytes > most) {
            self.refused = Some(Refused::Size { what, bytes, least, most });
        }
    }

    fn check_reserved(&mut self, key: &[u8]) {
        if key == RESERVED_KEY {
            self.refused.get_or_insert(Refused::Reserved);
        }
    }
}

/// Refuses a key or value of a bulk load that is outside the bounds of a batch.
pub(super) fn check_pair(key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    let refuse = |what, bytes, least, most| Err(StoreError::OutOfBounds { what, bytes, least, most });
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return refuse("key", key.len(), 1, MAX_KEY_BYTES);
    }
    if key == RESERVED_KEY {
        return Err(StoreError::ReservedKey);
    }
    if value.len() > MAX_VALUE_BYTES {
        return refuse("value", value.len(), 0, MAX_VALUE_BYTES);
    }
    Ok(())
}
