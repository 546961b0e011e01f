//! The choices that the model makes where the published promises are silent: each a constant with what it means, to be changed in one place.

/// Whether freezing a frozen account, unfreezing an open one (both under a fresh request id) books a journal record.
pub const SAME_STATUS_IS_BOOKED: bool = false;

/// Whether setting the limits that hold already books a journal record.
pub const SAME_LIMITS_ARE_BOOKED: bool = false;

/// Whether registering an asset or opening an account once more with the same content under a fresh request id repeats the first answer
/// (otherwise it is a success of its own that books nothing).
pub const SAME_OPENING_IS_REPLAYED: bool = true;

/// Whether a cancel before any try under which a fence is laid says `empty` also when it is repeated.
pub const REPEATED_EMPTY_CANCEL_IS_EMPTY: bool = true;
