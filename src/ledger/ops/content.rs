//! A command's content: recovered from the journal, and compared field by field.
//!
//! Accounts compare by name and amounts by value, so that neither the leader's resolving of names nor a changed book turns a
//! repetition into a conflict.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Debug;

use super::holds::created;
use crate::account::Floor;
use crate::amount::Amount;
use crate::apply::Decision;
use crate::command::{
    AccountRef, CeilingChange, Confirm, Details, OpenAccount, Operation, Post, Posting, RegisterAsset, Reverse,
    SetLimits, Try,
};
use crate::id::TransactionId;
use crate::journal::{Event, JournalPosting, JournalRecord};
use crate::outcome::Rejection;
use crate::records::{Records, Stop, accepted_by};
use crate::working::{Step, Working, broken};

/// What to answer where the transaction of a Post, Try or Reverse exists: `None` if it does not.
pub(super) fn existing<E: Debug>(
    working: &Working<'_, E>,
    transaction: TransactionId,
    asked: impl FnOnce() -> Operation,
) -> Step<Option<Decision>, E> {
    let Some(record) = working.transaction(&transaction).map_err(Stop::Records)? else { return Ok(None) };
    if record.is_tombstone() {
        return Err(Rejection::CancelledBeforeTry(transaction).into());
    }
    let first = created(working, transaction, &record)?;
    let fields = differences(working, &operation_of(working, &first)?, &asked())?;
    if !fields.is_empty() {
        return Err(Rejection::TransactionExistsDifferent(fields).into());
    }
    let accepted = accepted_by(&first)
        .ok_or_else(|| broken("I6", format!("transaction {transaction} was created by an expiry")))?;
    Ok(Some(Decision::repeated(accepted, Some(first.sequence), first.point).with_state(record.state)))
}

fn asked_postings<E: Debug>(working: &Working<'_, E>, postings: &[JournalPosting]) -> Result<Vec<Posting>, Stop<E>> {
    let mut asked = Vec::with_capacity(postings.len());
    for posting in postings {
        let asset = if posting.asset_stated {
            Some(working.known_asset(working.known_account(posting.account)?.asset)?.code)
        } else {
            None
        };
        let account = AccountRef::Number(posting.account);
        asked.push(Posting { account, side: posting.side, amount: posting.amount, asset });
    }
    Ok(asked)
}

fn asked_amounts(named: bool, postings: &[JournalPosting]) -> Option<Vec<Amount>> {
    named.then(|| postings.iter().map(|posting| posting.amount).collect())
}

/// The operation that made a journal record.
pub(super) fn operation_of<E: Debug>(working: &Working<'_, E>, record: &JournalRecord) -> Result<Operation, Stop<E>> {
    Ok(match &record.event {
        Event::AssetRegistered { code, scale, .. } => {
            Operation::RegisterAsset(RegisterAsset { code: *code, scale: *scale })
        }
        Event::AccountOpened(opened) => Operation::OpenAccount(Box::new(OpenAccount {
            name: opened.name.clone(),
            asset: opened.asset,
            class: opened.class,
            floor: opened.floor,
            ceiling: opened.ceiling,
            metadata: opened.metadata.clone(),
        })),
        Event::LimitsSet { account, floor, ceiling } => {
            Operation::SetLimits(SetLimits { account: AccountRef::Number(*account), floor: *floor, ceiling: *ceiling })
        }
        Event::AccountFrozen(account) => Operation::Freeze(AccountRef::Number(*account)),
        Event::AccountUnfrozen(account) => Operation::Unfreeze(AccountRef::Number(*account)),
        Event::AccountClosed(account) => Operation::Close(AccountRef::Number(*account)),
        Event::Posted { transaction, postings, details } => Operation::Post(Post {
            transaction: *transaction,
            postings: asked_postings(working, postings)?,
            details: details.clone(),
        }),
        Event::Tried { transaction, postings, details, timeout, .. } => Operation::Try(Try {
            transaction: *transaction,
            postings: asked_postings(working, postings)?,
            details: details.clone(),
            timeout: *timeout,
        }),
        Event::Confirmed { transaction, amounts_named, postings } => {
            Operation::Confirm(Confirm { transaction: *transaction, amounts: asked_amounts(*amounts_named, postings) })
        }
        Event::Cancelled { transaction, .. } | Event::CancelledEmpty(transaction) => Operation::Cancel(*transaction),
        Event::Reversed { transaction, original, amounts_named, postings, details } => Operation::Reverse(Reverse {
            transaction: *transaction,
            original: *original,
            amounts: asked_amounts(*amounts_named, postings),
            details: details.clone(),
        }),
        Event::Expired { transaction, .. } => {
            return Err(broken("I6", format!("the expiry of {transaction} is taken for a request")));
        }
    })
}

/// Collects the names of the fields that differ.
struct Comparison<'w, 'a, E> {
    working: &'w Working<'a, E>,
    fields: Vec<String>,
}

impl<E: Debug> Comparison<'_, '_, E> {
    fn field(&mut self, name: impl ToString, same: bool) {
        if !same {
            self.fields.push(name.to_string());
        }
    }

    fn account(&mut self, name: impl ToString, left: &AccountRef, right: &AccountRef) -> Result<(), Stop<E>> {
        let same = match (left, right) {
            (AccountRef::Number(left), AccountRef::Number(right)) => left == right,
            (AccountRef::Name(left), AccountRef::Name(right)) => left == right,
            (AccountRef::Number(number), AccountRef::Name(name))
            | (AccountRef::Name(name), AccountRef::Number(number)) => self.working.known_name(*number)? == *name,
        };
        self.field(name, same);
        Ok(())
    }

    fn postings(&mut self, left: &[Posting], right: &[Posting]) -> Result<(), Stop<E>> {
        if left.len() != right.len() {
            self.field("postings", false);
            return Ok(());
        }
        for (position, (left, right)) in left.iter().zip(right).enumerate() {
            self.account(format!("postings[{position}].account"), &left.account, &right.account)?;
            self.field(format!("postings[{position}].side"), left.side == right.side);
            self.field(format!("postings[{position}].amount"), left.amount.same_value(right.amount));
            self.field(format!("postings[{position}].asset"), left.asset == right.asset);
        }
        Ok(())
    }

    fn details(&mut self, left: &Details, right: &Details) {
        self.field("reference", left.reference == right.reference);
        self.field("metadata", left.metadata == right.metadata);
        self.field("effective_at", left.effective_at == right.effective_at);
    }

    fn operations(&mut self, first: &Operation, second: &Operation) -> Result<(), Stop<E>> {
        match (first, second) {
            (Operation::RegisterAsset(left), Operation::RegisterAsset(right)) => {
                self.field("code", left.code == right.code);
                self.field("scale", left.scale == right.scale);
            }
            (Operation::OpenAccount(left), Operation::OpenAccount(right)) => {
                self.field("name", left.name == right.name);
                self.field("asset", left.asset == right.asset);
                self.field("class", left.class == right.class);
                self.field("floor", same_floor(left.floor, right.floor));
                self.field("ceiling", same_ceiling(left.ceiling, right.ceiling));
                self.field("metadata", left.metadata == right.metadata);
            }
            (Operation::SetLimits(left), Operation::SetLimits(right)) => {
                self.account("account", &left.account, &right.account)?;
                self.field(
                    "floor",
                    match (left.floor, right.floor) {
                        (Some(left), Some(right)) => same_floor(left, right),
                        (left, right) => left.is_none() && right.is_none(),
                    },
                );
                self.field("ceiling", same_change(left.ceiling, right.ceiling));
            }
            (Operation::Freeze(left), Operation::Freeze(right))
            | (Operation::Unfreeze(left), Operation::Unfreeze(right))
            | (Operation::Close(left), Operation::Close(right)) => self.account("account", left, right)?,
            (Operation::Post(left), Operation::Post(right)) => {
                self.field("transaction_id", left.transaction == right.transaction);
                self.postings(&left.postings, &right.postings)?;
                self.details(&left.details, &right.details);
            }
            (Operation::Try(left), Operation::Try(right)) => {
                self.field("transaction_id", left.transaction == right.transaction);
                self.postings(&left.postings, &right.postings)?;
                self.details(&left.details, &right.details);
                self.field("timeout", left.timeout == right.timeout);
            }
            (Operation::Confirm(left), Operation::Confirm(right)) => {
                self.field("transaction_id", left.transaction == right.transaction);
                self.field("amounts", same_amounts(left.amounts.as_deref(), right.amounts.as_deref()));
            }
            (Operation::Cancel(left), Operation::Cancel(right)) => self.field("transaction_id", left == right),
            (Operation::Reverse(left), Operation::Reverse(right)) => {
                self.field("transaction_id", left.transaction == right.transaction);
                self.field("original_id", left.original == right.original);
                self.field("amounts", same_amounts(left.amounts.as_deref(), right.amounts.as_deref()));
                self.details(&left.details, &right.details);
            }
            (Operation::Atomic(left), Operation::Atomic(right)) => {
                if left.len() != right.len() {
                    self.field("commands", false);
                    return Ok(());
                }
                for (position, (left, right)) in left.iter().zip(right).enumerate() {
                    self.field(format!("commands[{position}].request_id"), left.request == right.request);
                    for field in differences(self.working, &left.operation, &right.operation)? {
                        self.field(format!("commands[{position}].{field}"), false);
                    }
                }
            }
            (first, second) => {
                self.field("operation", core::mem::discriminant(first) == core::mem::discriminant(second))
            }
        }
        Ok(())
    }
}

/// The fields in which two operations differ, in the order of the wire's messages; empty when the content is the same.
pub(super) fn differences<E: Debug>(
    working: &Working<'_, E>,
    first: &Operation,
    second: &Operation,
) -> Result<Vec<String>, Stop<E>> {
    let mut comparison = Comparison { working, fields: Vec::new() };
    comparison.operations(first, second)?;
    Ok(comparison.fields)
}

fn same_floor(left: Floor, right: Floor) -> bool {
    match (left, right) {
        (Floor::AtLeast(left), Floor::AtLeast(right)) => left.same_value(right),
        (Floor::Unlimited, Floor::Unlimited) => true,
        (Floor::AtLeast(_), Floor::Unlimited) | (Floor::Unlimited, Floor::AtLeast(_)) => false,
    }
}

fn same_ceiling(left: Option<Amount>, right: Option<Amount>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => left.same_value(right),
        (left, right) => left.is_none() && right.is_none(),
    }
}

fn same_change(left: CeilingChange, right: CeilingChange) -> bool {
    match (left, right) {
        (CeilingChange::Set(left), CeilingChange::Set(right)) => left.same_value(right),
        (left, right) => left == right,
    }
}

fn same_amounts(left: Option<&[Amount]>, right: Option<&[Amount]>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| left.same_value(*right))
        }
        (left, right) => left.is_none() && right.is_none(),
    }
}
