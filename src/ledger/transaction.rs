//! Transactions: their states, and what the book keeps under a transaction's id.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::amount::Amount;
use crate::journal::JournalSequence;
use crate::time::LogTime;

/// The state of a transaction. All but `Tried` are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TransactionState {
    /// Reserved; waits for its confirm, cancel or deadline.
    Tried,
    /// Booked, whole or in part.
    Confirmed,
    /// Released by a cancel, or cancelled before any try (a tombstone).
    Cancelled,
    /// Released by its deadline.
    Expired,
}

impl TransactionState {
    /// The state's name, as the contract writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            TransactionState::Tried => "TRIED",
            TransactionState::Confirmed => "CONFIRMED",
            TransactionState::Cancelled => "CANCELLED",
            TransactionState::Expired => "EXPIRED",
        }
    }
}

/// What stands under a transaction's id. Its content lies in the journal records that it points to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionRecord {
    /// Its present state.
    pub state: TransactionState,
    /// The record that tried, posted or reversed it; `None` for a tombstone.
    pub created: Option<JournalSequence>,
    /// The record that confirmed, cancelled or expired it; for a tombstone the empty cancel's. `None` while TRIED and for
    /// a Post or a reversal, which are created resolved.
    pub resolved: Option<JournalSequence>,
    /// When a TRIED one expires, if ever. Kept after the end.
    pub deadline: Option<LogTime>,
    /// Per posting, how much was reversed so far; empty while nothing was.
    pub reversed: Vec<Amount>,
}

impl TransactionRecord {
    /// Whether this is the trace of a cancel that came before any try.
    pub fn is_tombstone(&self) -> bool {
        self.created.is_none()
    }
}
