//! Bytes read from an engine, without copying them out of its own buffers.
//!
//! An adapter hands over its own reference-counted slice and the part of it that is the key or the
//! value; readers see plain bytes and never learn which engine they came from.

use std::{fmt, ops::Deref};

/// A key or a value as it was stored, seal already checked and taken off.
#[derive(Clone)]
pub struct StoredBytes {
    whole: Whole,
    start: usize,
    end: usize,
}

#[derive(Clone)]
enum Whole {
    Fjall(::fjall::Slice),
    Sled(::sled::IVec),
    Shared(::bytes::Bytes),
}

impl StoredBytes {
    pub(super) fn fjall(whole: ::fjall::Slice, end: usize) -> Self {
        let end = end.min(whole.len());
        Self { whole: Whole::Fjall(whole), start: 0, end }
    }

    pub(super) fn sled(whole: ::sled::IVec, start: usize, end: usize) -> Self {
        let end = end.min(whole.len());
        Self { whole: Whole::Sled(whole), start: start.min(end), end }
    }

    pub(super) fn shared(whole: ::bytes::Bytes, end: usize) -> Self {
        let end = end.min(whole.len());
        Self { whole: Whole::Shared(whole), start: 0, end }
    }
}

impl Deref for StoredBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let whole: &[u8] = match &self.whole {
            Whole::Fjall(bytes) => bytes,
            Whole::Sled(bytes) => bytes,
            Whole::Shared(bytes) => bytes,
        };
        &whole[self.start..self.end]
    }
}

impl AsRef<[u8]> for StoredBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for StoredBytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for StoredBytes {}

impl fmt::Debug for StoredBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, formatter)
    }
}
