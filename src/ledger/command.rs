//! Commands: what a client asks for, after parsing.
//!
//! A command's *content* is what [`crate::outcome::Rejection::RequestIdReused`] compares: everything but the request id and the principal,
//! accounts by name, amounts by value. Nothing that the book knows is part of it.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Deserializer, Serialize};

use crate::account::{AccountNumber, Class, Floor, Side};
use crate::amount::Amount;
use crate::id::{RequestId, TransactionId};
use crate::name::{AccountName, AssetCode, Scale};
use crate::time::{EffectiveAt, Interval};

/// Free pairs that a client attaches to an account or a transaction, sorted by key.
pub type Metadata = BTreeMap<String, String>;

/// One command and who asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The id under which its answer is remembered for good.
    pub request: RequestId,
    /// Who asked; empty while there is no authentication. Not part of the content.
    pub principal: String,
    /// What is asked.
    pub operation: Operation,
}

/// How a command names an account: the leader resolves names that it finds in its book to numbers before it proposes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AccountRef {
    /// Resolved.
    Number(AccountNumber),
    /// By name.
    Name(AccountName),
}

/// The operations of the book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Registers an asset.
    RegisterAsset(RegisterAsset),
    /// Opens an account.
    OpenAccount(Box<OpenAccount>),
    /// Changes floor, ceiling or both.
    SetLimits(SetLimits),
    /// Stops new postings on an account.
    Freeze(AccountRef),
    /// Allows new postings again.
    Unfreeze(AccountRef),
    /// Closes an empty account for good.
    Close(AccountRef),
    /// Books a transaction in one step.
    Post(Post),
    /// Reserves a transaction.
    Try(Try),
    /// Books a reservation, whole or in part.
    Confirm(Confirm),
    /// Releases a reservation, or fences a transaction that never was.
    Cancel(TransactionId),
    /// Books the opposite of a confirmed transaction, whole or in part.
    Reverse(Reverse),
    /// Several commands, all or none. Never nested: bytes that nest them do not decode.
    Atomic(#[serde(deserialize_with = "flat_items")] Vec<Command>),
}

/// Reads the items of an atomic batch. An item is not read as a whole [`Command`], because then bytes could nest batches as deep as they are
/// long, and reading them would run off the stack.
fn flat_items<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Command>, D::Error> {
    let items = Vec::<Item>::deserialize(deserializer)?;
    Ok(items.into_iter().map(Command::from).collect())
}

/// A [`Command`] that is no batch; in the same layout.
#[derive(Deserialize)]
struct Item {
    request: RequestId,
    principal: String,
    operation: Single,
}

/// An [`Operation`] that is no batch; its variants stand in the same order.
#[derive(Deserialize)]
enum Single {
    RegisterAsset(RegisterAsset),
    OpenAccount(Box<OpenAccount>),
    SetLimits(SetLimits),
    Freeze(AccountRef),
    Unfreeze(AccountRef),
    Close(AccountRef),
    Post(Post),
    Try(Try),
    Confirm(Confirm),
    Cancel(TransactionId),
    Reverse(Reverse),
}

impl From<Item> for Command {
    fn from(item: Item) -> Command {
        let operation = match item.operation {
            Single::RegisterAsset(register) => Operation::RegisterAsset(register),
            Single::OpenAccount(open) => Operation::OpenAccount(open),
            Single::SetLimits(limits) => Operation::SetLimits(limits),
            Single::Freeze(account) => Operation::Freeze(account),
            Single::Unfreeze(account) => Operation::Unfreeze(account),
            Single::Close(account) => Operation::Close(account),
            Single::Post(post) => Operation::Post(post),
            Single::Try(attempt) => Operation::Try(attempt),
            Single::Confirm(confirm) => Operation::Confirm(confirm),
            Single::Cancel(transaction) => Operation::Cancel(transaction),
            Single::Reverse(reverse) => Operation::Reverse(reverse),
        };
        Command { request: item.request, principal: item.principal, operation }
    }
}

impl Operation {
    /// The operation's name, as refusals and journals write it.
    pub fn name(&self) -> &'static str {
        match self {
            Operation::RegisterAsset(_) => "register_asset",
            Operation::OpenAccount(_) => "open_account",
            Operation::SetLimits(_) => "set_limits",
            Operation::Freeze(_) => "freeze",
            Operation::Unfreeze(_) => "unfreeze",
            Operation::Close(_) => "close",
            Operation::Post(_) => "post",
            Operation::Try(_) => "try",
            Operation::Confirm(_) => "confirm",
            Operation::Cancel(_) => "cancel",
            Operation::Reverse(_) => "reverse",
            Operation::Atomic(_) => "atomic",
        }
    }

    /// The transaction that it is about, if it is about one: of a reversal, the reversal.
    pub fn transaction(&self) -> Option<TransactionId> {
        match self {
            Operation::Post(post) => Some(post.transaction),
            Operation::Try(attempt) => Some(attempt.transaction),
            Operation::Confirm(confirm) => Some(confirm.transaction),
            Operation::Cancel(transaction) => Some(*transaction),
            Operation::Reverse(reverse) => Some(reverse.transaction),
            Operation::RegisterAsset(_)
            | Operation::OpenAccount(_)
            | Operation::SetLimits(_)
            | Operation::Freeze(_)
            | Operation::Unfreeze(_)
            | Operation::Close(_)
            | Operation::Atomic(_) => None,
        }
    }
}

/// Registers an asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterAsset {
    /// Its code.
    pub code: AssetCode,
    /// Its scale.
    pub scale: Scale,
}

/// Opens an account. Floor and ceiling have the scale they were written with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenAccount {
    /// Its name.
    pub name: AccountName,
    /// The asset it holds.
    pub asset: AssetCode,
    /// Its class.
    pub class: Class,
    /// Its floor; the default is zero.
    pub floor: Floor,
    /// Its ceiling, if any.
    pub ceiling: Option<Amount>,
    /// Free pairs.
    pub metadata: Metadata,
}

/// What a change of limits does to the ceiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CeilingChange {
    /// Leaves it.
    Keep,
    /// Removes it.
    Remove,
    /// Sets it.
    Set(Amount),
}

/// Changes an account's limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetLimits {
    /// The account.
    pub account: AccountRef,
    /// The new floor; `None` leaves it.
    pub floor: Option<Floor>,
    /// What becomes of the ceiling.
    pub ceiling: CeilingChange,
}

/// One posting as asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    /// The account.
    pub account: AccountRef,
    /// The side.
    pub side: Side,
    /// The amount, at the scale it was written with.
    pub amount: Amount,
    /// The asset the client believes the account to hold; refused if it holds another.
    pub asset: Option<AssetCode>,
}

/// What a client may tell about a transaction besides its postings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Details {
    /// The caller's own order number; may be empty, need not be unique.
    pub reference: String,
    /// Free pairs.
    pub metadata: Metadata,
    /// A business date.
    pub effective_at: Option<EffectiveAt>,
}

/// Books a transaction in one step. A transfer is the one with two postings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    /// The transaction's id; by default the request's.
    pub transaction: TransactionId,
    /// 2 to 256 postings.
    pub postings: Vec<Posting>,
    /// The rest.
    pub details: Details,
}

/// Reserves a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// The transaction's id; by default the request's.
    pub transaction: TransactionId,
    /// 2 to 256 postings.
    pub postings: Vec<Posting>,
    /// The rest.
    pub details: Details,
    /// How long the reservation holds; `None` means until it is confirmed or cancelled.
    pub timeout: Option<Interval>,
}

/// Books a reservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirm {
    /// The transaction.
    pub transaction: TransactionId,
    /// Per posting, in order, how much to book (zero leaves one out); `None` books all.
    pub amounts: Option<Vec<Amount>>,
}

/// Books the opposite of a confirmed transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reverse {
    /// The reversal's own transaction id; by default the request's.
    pub transaction: TransactionId,
    /// The transaction to reverse.
    pub original: TransactionId,
    /// Per posting of the original, in order, how much to reverse (zero leaves one out); `None` reverses all that was confirmed.
    pub amounts: Option<Vec<Amount>>,
    /// The rest.
    pub details: Details,
}
