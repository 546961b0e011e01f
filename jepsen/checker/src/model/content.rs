//! When two requests say the same: the command after parsing, with defaults filled in and nothing in it that the book knows.

use super::amount::same_text;
use crate::history::{AtomicBatch, CeilingChange, Command, FloorText, Id, Posting};

fn same_floor(left: &FloorText, right: &FloorText) -> bool {
    match (left, right) {
        (FloorText::AtLeast(left), FloorText::AtLeast(right)) => same_text(left, right),
        (FloorText::Unlimited, FloorText::Unlimited) => true,
        (FloorText::AtLeast(_), FloorText::Unlimited) | (FloorText::Unlimited, FloorText::AtLeast(_)) => false,
    }
}

fn same_optional<T: ?Sized>(left: Option<&T>, right: Option<&T>, same: impl Fn(&T, &T) -> bool) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => same(left, right),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn same_ceiling(left: &CeilingChange, right: &CeilingChange) -> bool {
    match (left, right) {
        (CeilingChange::Set(left), CeilingChange::Set(right)) => same_text(left, right),
        _ => left == right,
    }
}

fn same_postings(left: &[Posting], right: &[Posting]) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).all(|(left, right)| {
            left.account == right.account
                && left.side == right.side
                && left.asset == right.asset
                && same_text(&left.amount, &right.amount)
        })
}

fn same_amounts(left: &[String], right: &[String]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same_text(left, right))
}

/// Whether two commands say the same, apart from their request ids and the transaction that they make.
pub(crate) fn same_body(left: &Command, right: &Command) -> bool {
    let default_floor = FloorText::AtLeast("0".to_owned());
    match (left, right) {
        (
            Command::OpenAccount { name, asset, class, floor, ceiling, metadata },
            Command::OpenAccount {
                name: other_name,
                asset: other_asset,
                class: other_class,
                floor: other_floor,
                ceiling: other_ceiling,
                metadata: other_metadata,
            },
        ) => {
            let floors = (floor.as_ref().unwrap_or(&default_floor), other_floor.as_ref().unwrap_or(&default_floor));
            name == other_name
                && asset == other_asset
                && class == other_class
                && metadata == other_metadata
                && same_floor(floors.0, floors.1)
                && same_optional(ceiling.as_deref(), other_ceiling.as_deref(), same_text)
        }
        (
            Command::SetLimits { account, floor, ceiling },
            Command::SetLimits { account: other_account, floor: other_floor, ceiling: other_ceiling },
        ) => {
            account == other_account
                && same_optional(floor.as_ref(), other_floor.as_ref(), same_floor)
                && same_ceiling(ceiling, other_ceiling)
        }
        (
            Command::Post { transaction: _, postings, details },
            Command::Post { transaction: _, postings: other_postings, details: other_details },
        ) => details == other_details && same_postings(postings, other_postings),
        (
            Command::Try { transaction: _, postings, details, timeout_ns },
            Command::Try {
                transaction: _,
                postings: other_postings,
                details: other_details,
                timeout_ns: other_timeout_ns,
            },
        ) => details == other_details && timeout_ns == other_timeout_ns && same_postings(postings, other_postings),
        (
            Command::Confirm { transaction, amounts },
            Command::Confirm { transaction: other_transaction, amounts: other_amounts },
        ) => {
            transaction == other_transaction
                && same_optional(amounts.as_deref(), other_amounts.as_deref(), same_amounts)
        }
        (
            Command::Reverse { transaction: _, original, amounts, details },
            Command::Reverse {
                transaction: _,
                original: other_original,
                amounts: other_amounts,
                details: other_details,
            },
        ) => {
            original == other_original
                && details == other_details
                && same_optional(amounts.as_deref(), other_amounts.as_deref(), same_amounts)
        }
        // The others hold nothing that could be written in two ways; commands of two kinds never say the same.
        _ => left == right,
    }
}

/// The transaction that a command under an id makes; none if it makes none.
fn made(id: Id, command: &Command) -> Option<Id> {
    match command {
        Command::Post { transaction, .. } | Command::Try { transaction, .. } | Command::Reverse { transaction, .. } => {
            Some(transaction.unwrap_or(id))
        }
        Command::RegisterAsset { .. }
        | Command::OpenAccount { .. }
        | Command::SetLimits { .. }
        | Command::Freeze { .. }
        | Command::Unfreeze { .. }
        | Command::Close { .. }
        | Command::Confirm { .. }
        | Command::Cancel { .. } => None,
    }
}

/// Whether two requests under one id say the same.
pub(crate) fn same_request(id: Id, left: &Command, right: &Command) -> bool {
    same_body(left, right) && made(id, left) == made(id, right)
}

/// Whether two atomic batches under one id say the same: all items, each under its id.
pub(crate) fn same_batch(left: &AtomicBatch, right: &AtomicBatch) -> bool {
    left.items.len() == right.items.len()
        && left.items.iter().zip(&right.items).all(|(left, right)| {
            left.request_id == right.request_id && same_request(left.request_id, &left.command, &right.command)
        })
}
