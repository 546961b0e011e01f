//! Ranges of keys to scan.
//!
//! Half-open: the first key is inside, the last is not. An empty range is allowed and gives nothing;
//! no range ever panics.

/// Keys from `first` up to but without `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    first: Vec<u8>,
    end: Option<Vec<u8>>,
}

impl KeyRange {
    /// Every key.
    pub fn all() -> Self {
        Self { first: Vec::new(), end: None }
    }

    /// Every key from `first` on, `first` included.
    pub fn from(first: impl Into<Vec<u8>>) -> Self {
        Self { first: first.into(), end: None }
    }

    /// Keys from `first` (included) to `end` (not included); empty where `end` is not above `first`.
    pub fn between(first: impl Into<Vec<u8>>, end: impl Into<Vec<u8>>) -> Self {
        Self { first: first.into(), end: Some(end.into()) }
    }

    /// Every key that begins with `prefix`.
    pub fn prefix(prefix: impl Into<Vec<u8>>) -> Self {
        let first = prefix.into();
        let end = successor_of_prefix(&first);
        Self { first, end }
    }

    /// The first key that may be inside.
    pub fn first(&self) -> &[u8] {
        &self.first
    }

    /// The first key that is outside again; `None` for no end.
    pub fn end(&self) -> Option<&[u8]> {
        self.end.as_deref()
    }

    /// Whether no key can be inside.
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.first)
    }

    pub(super) fn bounds(&self) -> (std::ops::Bound<&[u8]>, std::ops::Bound<&[u8]>) {
        use std::ops::Bound;
        (Bound::Included(self.first.as_slice()), self.end.as_deref().map_or(Bound::Unbounded, Bound::Excluded))
    }
}

/// The least key above all keys with this prefix; `None` where there is none.
fn successor_of_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut successor = prefix[..=kept].to_vec();
    successor[kept] += 1;
    Some(successor)
}
