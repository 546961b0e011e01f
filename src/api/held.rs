//! How many bytes all calls together hold of something.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts bytes against a bound.
#[derive(Debug)]
pub struct Held {
    bytes: AtomicUsize,
    most: usize,
}

impl Held {
    /// Nothing is held yet.
    pub fn new(most: usize) -> Arc<Held> {
        Arc::new(Held { bytes: AtomicUsize::new(0), most })
    }

    /// Counts more bytes. False if that is more than the bound; they are counted all the same.
    #[must_use]
    pub fn take(&self, bytes: usize) -> bool {
        self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= self.most
    }

    /// Counts bytes no more that were counted.
    pub fn give_back(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// How many bytes are counted.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether the bound is reached.
    pub fn is_full(&self) -> bool {
        self.bytes() >= self.most
    }
}

/// Bytes that are held until this is dropped.
#[derive(Debug)]
pub(super) struct Hold {
    held: Arc<Held>,
    bytes: usize,
}

impl Hold {
    /// Holds bytes, within the bound or beyond.
    pub(super) fn new(held: &Arc<Held>, bytes: usize) -> Hold {
        // What is there is there; whoever asks for more looks whether the bound is reached.
        let _ = held.take(bytes);
        Hold { held: Arc::clone(held), bytes }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.held.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_the_last_that_is_within() {
        let held = Held::new(10);
        assert!(held.take(9) && !held.is_full());
        assert!(held.take(1) && held.is_full());
        assert!(!held.take(1));
        held.give_back(2);
        assert!(!held.is_full());
        let hold = Hold::new(&held, 5);
        assert!(held.is_full());
        drop(hold);
        assert!(!held.is_full());
    }
}
