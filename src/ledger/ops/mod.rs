//! One file an operation; what several share stands in `content` (comparing requests), `lines` (postings against the book) and
//! `holds` (ending a reservation).

pub(crate) mod atomic;
pub(crate) mod cancel;
pub(crate) mod close;
pub(crate) mod confirm;
mod content;
pub(crate) mod expire;
pub(crate) mod freeze;
mod holds;
pub(crate) mod lines;
pub(crate) mod open_account;
pub(crate) mod post;
pub(crate) mod register_asset;
pub(crate) mod repeat;
pub(crate) mod reverse;
pub(crate) mod set_limits;
mod status;
pub(crate) mod try_hold;
pub(crate) mod unfreeze;
