//! Answers: what was decided, where in the log, and why not.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::account::AccountNumber;
use crate::amount::{Amount, AmountError, Balance};
use crate::asset::AssetNumber;
use crate::id::{RequestId, TransactionId};
use crate::journal::JournalSequence;
use crate::name::{AccountName, AssetCode};
use crate::shape::Violation;
use crate::time::LogTime;
use crate::transaction::TransactionState;

/// A place in the log: where something was decided, and the log's time there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// The index of the log entry.
    pub index: u64,
    /// The position of the command within it, from 0.
    pub position: u32,
    /// The time of record.
    pub time: LogTime,
}

/// The answer to one command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Where this answer was decided; each answer has a place of its own, replays included.
    pub point: Point,
    /// The journal record that the command (or, for a replay, the command it repeats) made, if any.
    pub sequence: Option<JournalSequence>,
    /// For a replay, where the answer that it repeats was decided.
    pub replay_of: Option<Point>,
    /// The state of the transaction concerned, as this answer left or found it.
    pub state: Option<TransactionState>,
    /// What was decided.
    pub outcome: Outcome,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Done.
    Accepted(Accepted),
    /// Refused; nothing moved.
    Rejected(Rejection),
    /// An atomic batch was refused because of one of its items; nothing moved.
    BatchRejected {
        /// The culprit, counted from 0.
        culprit: u32,
        /// One answer per item: the culprit's rejection, and for every other [`Rejection::NotApplied`].
        items: Vec<ItemAnswer>,
    },
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Accepted {
    /// The asset is registered.
    AssetRegistered(AssetNumber),
    /// The account is open.
    AccountOpened(AccountNumber),
    /// The limits hold.
    LimitsSet,
    /// The account is frozen.
    Frozen,
    /// The account is open again.
    Unfrozen,
    /// The account is closed.
    Closed,
    /// The transaction is booked.
    Posted(TransactionId),
    /// The transaction is reserved, until the deadline if there is one.
    Tried(TransactionId, Option<LogTime>),
    /// The reservation is booked.
    Confirmed(TransactionId),
    /// The reservation is released.
    Cancelled(TransactionId),
    /// There was no reservation; the transaction is fenced.
    CancelledEmpty(TransactionId),
    /// The deadline had released the reservation before; the state stays EXPIRED.
    CancelledExpired(TransactionId),
    /// The opposite is booked; the reversal's id.
    Reversed(TransactionId),
    /// All items of an atomic batch are done.
    Batch(Vec<ItemAnswer>),
}

/// The answer to one item of an atomic batch. Its place in the log is the batch's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemAnswer {
    /// The item's request id.
    pub request: RequestId,
    /// The item's time of record.
    pub time: LogTime,
    /// The journal record, if any.
    pub sequence: Option<JournalSequence>,
    /// For a replay, where the answer that it repeats was decided.
    pub replay_of: Option<Point>,
    /// The state of the transaction concerned.
    pub state: Option<TransactionState>,
    /// What was decided: never a batch.
    pub outcome: Result<Accepted, Rejection>,
}

/// A decided refusal. Its variants stand in the order of the contract's table; each operation documents its order of precedence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rejection {
    /// Not well formed; normally found before the log.
    InvalidArgument(Violation),
    /// An amount does not fit its asset, which only the book knows.
    Amount {
        /// What is wrong.
        error: AmountError,
        /// The amount as written, with sign.
        amount: String,
        /// The asset.
        asset: AssetCode,
        /// The asset's scale.
        scale: u32,
    },
    /// A confirm or reversal names another number of amounts than the transaction has postings.
    AmountCount {
        /// How many postings there are.
        expected: u32,
        /// How many amounts were given.
        given: u32,
    },
    /// The request id was used with other content.
    RequestIdReused(Vec<String>),
    /// The transaction exists with other content; the fields that differ.
    TransactionExistsDifferent(Vec<String>),
    /// The account exists with other content; the fields that differ.
    AccountExistsDifferent(Vec<String>),
    /// The asset exists with another scale; the fields that differ.
    AssetExistsDifferent(Vec<String>),
    /// No such account.
    AccountNotFound(AccountName),
    /// No such asset.
    AssetNotFound(AssetCode),
    /// No such transaction.
    TransactionNotFound(TransactionId),
    /// Debits and credits of an asset differ.
    Unbalanced {
        /// The asset.
        asset: AssetCode,
        /// The sum of debits, exact.
        debits: String,
        /// The sum of credits, exact.
        credits: String,
    },
    /// A posting's account holds another asset than stated, or the two accounts of a transfer hold different assets.
    AssetMismatch {
        /// The account.
        account: AccountName,
        /// What it holds.
        holds: AssetCode,
        /// What was stated, or what the other account holds.
        stated: AssetCode,
    },
    /// The floor would be broken.
    InsufficientFunds(Box<InsufficientFunds>),
    /// The ceiling would be broken.
    CeilingExceeded {
        /// The account.
        account: AccountName,
        /// Its ceiling.
        ceiling: Amount,
        /// What posted plus incoming pending would be.
        reached: Balance,
    },
    /// The account is frozen.
    AccountFrozen(AccountName),
    /// The account is closed.
    AccountClosed(AccountName),
    /// The account cannot be closed: its balance is not zero or something is pending.
    AccountNotEmpty {
        /// The account.
        account: AccountName,
        /// Its posted balance.
        posted: Balance,
        /// Its pending debits.
        debits_pending: Amount,
        /// Its pending credits.
        credits_pending: Amount,
    },
    /// A total, or a sum of two, would leave 96 bits.
    BalanceOverflow(AccountName),
    /// The transaction is confirmed.
    AlreadyConfirmed(TransactionId),
    /// The transaction is cancelled.
    AlreadyCancelled(TransactionId),
    /// The transaction was cancelled before it was tried.
    CancelledBeforeTry(TransactionId),
    /// The transaction's deadline has passed.
    TransactionExpired {
        /// The transaction.
        transaction: TransactionId,
        /// Its deadline.
        deadline: LogTime,
    },
    /// The transaction is reserved and not yet confirmed, so it cannot be reversed.
    NotConfirmed(TransactionId),
    /// A confirm names more than was reserved.
    ExceedsReserved {
        /// The posting, from 0.
        posting: u32,
        /// What was reserved.
        reserved: Amount,
        /// What was asked.
        asked: Amount,
    },
    /// The transaction was confirmed with other amounts.
    ConfirmDiffers(TransactionId),
    /// The sum of reversals would exceed the original.
    AlreadyReversed {
        /// The posting, from 0.
        posting: u32,
        /// What may still be reversed.
        remaining: Amount,
        /// What was asked.
        asked: Amount,
    },
    /// A reversal cannot be reversed.
    ReversalOfReversal(TransactionId),
    /// Another item of the atomic batch was refused; this one's id stays free.
    NotApplied {
        /// The culprit, counted from 0.
        culprit: u32,
    },
}

/// What [`Rejection::InsufficientFunds`] tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InsufficientFunds {
    /// The account.
    pub account: AccountName,
    /// What is available before the transaction.
    pub available: Balance,
    /// What the transaction needs of it; for a change of limits, the floor's magnitude by which it is refused.
    pub needed: Amount,
    /// The floor; `None` never occurs for an unlimited one.
    pub floor: Balance,
}

/// The most differing fields that an answer names.
const MAX_TOLD_FIELDS: usize = 16;

/// What an answer names of the fields that differ: the first of them, and how many more there are.
pub fn told_fields(fields: &[String]) -> Vec<String> {
    let mut told: Vec<String> = fields.iter().take(MAX_TOLD_FIELDS).cloned().collect();
    if fields.len() > MAX_TOLD_FIELDS + 1 {
        told.push(format!("and {} more", fields.len() - MAX_TOLD_FIELDS));
    } else {
        // One more field is as short as a word about it, and a list that was cut is not cut again.
        told.extend(fields.get(MAX_TOLD_FIELDS).cloned());
    }
    told
}

impl Rejection {
    /// Names no more fields than an answer tells: a reply of many answers is bounded, and those of one request can differ in
    /// hundreds of thousands.
    pub fn shorten(&mut self) {
        if let Rejection::RequestIdReused(fields)
        | Rejection::TransactionExistsDifferent(fields)
        | Rejection::AccountExistsDifferent(fields)
        | Rejection::AssetExistsDifferent(fields) = self
        {
            *fields = told_fields(fields);
        }
    }
}

impl Answer {
    /// Shortens what it refuses: see [`Rejection::shorten`].
    pub fn shorten(&mut self) {
        match &mut self.outcome {
            Outcome::Rejected(rejection) => rejection.shorten(),
            Outcome::Accepted(Accepted::Batch(items)) | Outcome::BatchRejected { items, .. } => {
                items.iter_mut().filter_map(|item| item.outcome.as_mut().err()).for_each(Rejection::shorten);
            }
            Outcome::Accepted(_) => {}
        }
    }
}
