//! `ids`, `references`, `postings`: runs of the indexes ([`crate::book::index`]), and `runs`: under each index's name the list of its runs.
//!
//! - `ids`: from a request's or transaction's id (16 bytes) to the journal records that carry it, and with the first bit of the pointer set to the number of a kept answer.
//! - `references`: from the XXH3-128 of a reference (big-endian) to the records that created transactions with it.
//! - `postings`: from an account's number (4 bytes) to the records that touched it.

/// The bit of a pointer that says that it is the number of a kept answer.
pub(crate) const KEPT_BIT: u64 = 1 << 63;
