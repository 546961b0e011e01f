//! Bugs on purpose, to show that the checkers bite. Compiled only with the feature `seeded-bugs`, never into a release.

use crate::id::RequestId;
use core::sync::atomic::{AtomicU8, Ordering};

/// A bug of the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CoreBug {
    /// None.
    None = 0,
    /// One request id in eight is not remembered.
    ForgottenRequestId = 1,
    /// A confirm adds its amounts to the posted totals twice.
    ConfirmBookedTwice = 2,
    /// An empty cancel leaves no tombstone.
    LostTombstone = 3,
}

static CHOSEN: AtomicU8 = AtomicU8::new(0);

/// Chooses a bug for the life of the process.
pub fn choose(bug: CoreBug) {
    CHOSEN.store(bug as u8, Ordering::Relaxed);
}

/// Whether a bug is chosen.
pub fn is(bug: CoreBug) -> bool {
    CHOSEN.load(Ordering::Relaxed) == bug as u8
}

/// Whether a request id is one of the eighth that [`CoreBug::ForgottenRequestId`] does not remember.
pub fn forgets(request: &RequestId) -> bool {
    is(CoreBug::ForgottenRequestId) && request.as_bytes()[15].is_multiple_of(8)
}
