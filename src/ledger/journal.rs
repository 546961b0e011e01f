//! The journal: the book's memory. Gapless, one record per state change; nothing else is history.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::account::{AccountNumber, Class, Floor, Side, Totals};
use crate::amount::Amount;
use crate::asset::AssetNumber;
use crate::command::{CeilingChange, Details, Metadata};
use crate::id::{RequestId, TransactionId};
use crate::name::{AccountName, AssetCode, Scale};
use crate::outcome::Point;
use crate::time::{Interval, LogTime};

/// The number of a journal record, from 1, without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct JournalSequence(pub u64);

impl JournalSequence {
    /// The sequence that follows.
    #[must_use]
    pub fn next(self) -> JournalSequence {
        JournalSequence(self.0 + 1)
    }
}

/// One state change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalRecord {
    /// Its number.
    pub sequence: JournalSequence,
    /// Where in the log it was decided and its time of record. An expiry has the position of the command before which it happened.
    pub point: Point,
    /// The request that caused it; `None` for an expiry. For an item of an atomic batch, the item's own.
    pub request: Option<RequestId>,
    /// Who asked; empty while there is no authentication.
    pub principal: String,
    /// What happened.
    pub event: Event,
}

/// One posting of a record, with the totals that it left on its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalPosting {
    /// The account.
    pub account: AccountNumber,
    /// The side.
    pub side: Side,
    /// The amount at the asset's scale: reserved by a try, booked by a post, confirm or reversal (zero: left out), released by a cancel or
    /// an expiry.
    pub amount: Amount,
    /// Whether the client stated the asset.
    pub asset_stated: bool,
    /// The account's totals after this posting.
    pub totals: Totals,
}

/// What happened, with everything needed to tell what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// An asset was registered.
    AssetRegistered {
        /// Its number.
        asset: AssetNumber,
        /// Its code.
        code: AssetCode,
        /// Its scale.
        scale: Scale,
    },
    /// An account was opened.
    AccountOpened(Box<AccountOpened>),
    /// Limits were changed.
    LimitsSet {
        /// The account.
        account: AccountNumber,
        /// The floor asked for, if one was.
        floor: Option<Floor>,
        /// The change of ceiling asked for.
        ceiling: CeilingChange,
    },
    /// An account was frozen.
    AccountFrozen(AccountNumber),
    /// An account was unfrozen.
    AccountUnfrozen(AccountNumber),
    /// An account was closed.
    AccountClosed(AccountNumber),
    /// A transaction was booked in one step.
    Posted {
        /// Its id.
        transaction: TransactionId,
        /// Its postings.
        postings: Vec<JournalPosting>,
        /// What the client told.
        details: Details,
    },
    /// A transaction was reserved.
    Tried {
        /// Its id.
        transaction: TransactionId,
        /// Its postings.
        postings: Vec<JournalPosting>,
        /// What the client told.
        details: Details,
        /// The timeout asked for.
        timeout: Option<Interval>,
        /// When it expires.
        deadline: Option<LogTime>,
    },
    /// A reservation was booked. The postings stand in the try's order.
    Confirmed {
        /// The transaction.
        transaction: TransactionId,
        /// Whether the request named amounts.
        amounts_named: bool,
        /// Its postings.
        postings: Vec<JournalPosting>,
    },
    /// A reservation was released.
    Cancelled {
        /// The transaction.
        transaction: TransactionId,
        /// Its postings.
        postings: Vec<JournalPosting>,
    },
    /// A transaction that never was got its tombstone.
    CancelledEmpty(TransactionId),
    /// A reservation was released by its deadline.
    Expired {
        /// The transaction.
        transaction: TransactionId,
        /// Its deadline.
        deadline: LogTime,
        /// Its postings.
        postings: Vec<JournalPosting>,
    },
    /// The opposite of a transaction was booked. The postings stand in the original's order, on the opposite sides.
    Reversed {
        /// The reversal's id.
        transaction: TransactionId,
        /// The original's id.
        original: TransactionId,
        /// Whether the request named amounts.
        amounts_named: bool,
        /// Its postings.
        postings: Vec<JournalPosting>,
        /// What the client told.
        details: Details,
    },
}

/// The opening of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountOpened {
    /// Its number.
    pub account: AccountNumber,
    /// Its name.
    pub name: AccountName,
    /// Its asset's code.
    pub asset: AssetCode,
    /// Its class.
    pub class: Class,
    /// Its first floor, at the asset's scale.
    pub floor: Floor,
    /// Its first ceiling, at the asset's scale.
    pub ceiling: Option<Amount>,
    /// Free pairs.
    pub metadata: Metadata,
}

impl Event {
    /// The postings of the event; empty where no money was concerned.
    pub fn postings(&self) -> &[JournalPosting] {
        match self {
            Event::Posted { postings, .. }
            | Event::Tried { postings, .. }
            | Event::Confirmed { postings, .. }
            | Event::Cancelled { postings, .. }
            | Event::Expired { postings, .. }
            | Event::Reversed { postings, .. } => postings,
            Event::AssetRegistered { .. }
            | Event::AccountOpened(_)
            | Event::LimitsSet { .. }
            | Event::AccountFrozen(_)
            | Event::AccountUnfrozen(_)
            | Event::AccountClosed(_)
            | Event::CancelledEmpty(_) => &[],
        }
    }

    /// The transaction that the event concerns, if any.
    pub fn transaction(&self) -> Option<TransactionId> {
        match self {
            Event::Posted { transaction, .. }
            | Event::Tried { transaction, .. }
            | Event::Confirmed { transaction, .. }
            | Event::Cancelled { transaction, .. }
            | Event::CancelledEmpty(transaction)
            | Event::Expired { transaction, .. }
            | Event::Reversed { transaction, .. } => Some(*transaction),
            Event::AssetRegistered { .. }
            | Event::AccountOpened(_)
            | Event::LimitsSet { .. }
            | Event::AccountFrozen(_)
            | Event::AccountUnfrozen(_)
            | Event::AccountClosed(_) => None,
        }
    }

    /// What the client told besides the postings, where the event created a transaction.
    pub fn details(&self) -> Option<&Details> {
        match self {
            Event::Posted { details, .. } | Event::Tried { details, .. } | Event::Reversed { details, .. } => {
                Some(details)
            }
            Event::AssetRegistered { .. }
            | Event::AccountOpened(_)
            | Event::LimitsSet { .. }
            | Event::AccountFrozen(_)
            | Event::AccountUnfrozen(_)
            | Event::AccountClosed(_)
            | Event::Confirmed { .. }
            | Event::Cancelled { .. }
            | Event::CancelledEmpty(_)
            | Event::Expired { .. } => None,
        }
    }
}
