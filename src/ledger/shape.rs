//! What a well-formed command is, as far as that can be told without the book.
//!
//! The API checks every command here before it reaches the log; `apply` checks again, because it trusts nobody. The types of names,
//! identifiers and amounts carry their own rules and cannot be malformed.

use alloc::format;
use alloc::string::{String, ToString};

use serde::{Deserialize, Serialize};

use crate::account::{Floor, Side};
use crate::amount::Amount;
use crate::command::{Command, Details, Metadata, Operation, Posting};
use crate::limits::{
    MAX_BATCH_COMMANDS, MAX_METADATA_KEY_BYTES, MAX_METADATA_PAIRS, MAX_METADATA_VALUE_BYTES, MAX_POSTINGS,
    MAX_PRINCIPAL_BYTES, MAX_REFERENCE_BYTES, MAX_TIMEOUT_NS, MIN_POSTINGS,
};
use crate::time::Interval;

/// One field that is not well formed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The field's path, such as `postings[2].amount`.
    pub field: String,
    /// What is wrong with which value, and what would be right.
    pub problem: String,
}

/// The outcome of a check: the first violation found, in the order of the fields.
pub type Checked = Result<(), Violation>;

fn violation(field: impl ToString, problem: impl ToString) -> Violation {
    Violation { field: field.to_string(), problem: problem.to_string() }
}

/// Checks a command.
///
/// # Errors
/// The first [`Violation`].
pub fn check(command: &Command) -> Checked {
    check_length("principal", &command.principal, MAX_PRINCIPAL_BYTES)?;
    match &command.operation {
        Operation::RegisterAsset(_)
        | Operation::Freeze(_)
        | Operation::Unfreeze(_)
        | Operation::Close(_)
        | Operation::Cancel(_) => Ok(()),
        Operation::OpenAccount(open) => check_metadata(&open.metadata),
        Operation::SetLimits(limits) => match (&limits.floor, limits.ceiling) {
            (None, crate::command::CeilingChange::Keep) => {
                Err(violation("floor", "neither floor nor ceiling is given; give at least one"))
            }
            (Some(Floor::AtLeast(_) | Floor::Unlimited) | None, _) => Ok(()),
        },
        Operation::Post(post) => {
            check_postings(&post.postings)?;
            check_details(&post.details)
        }
        Operation::Try(attempt) => {
            check_postings(&attempt.postings)?;
            check_details(&attempt.details)?;
            check_timeout(attempt.timeout)
        }
        Operation::Confirm(confirm) => check_amounts(confirm.amounts.as_deref(), "to book nothing, cancel instead"),
        Operation::Reverse(reverse) => {
            if reverse.transaction == reverse.original {
                return Err(violation("original_id", "must differ from the reversal's own transaction id"));
            }
            check_amounts(reverse.amounts.as_deref(), "there is nothing to reverse")?;
            check_details(&reverse.details)
        }
        Operation::Atomic(items) => check_atomic(command, items),
    }
}

fn check_length(field: &str, text: &str, bound_bytes: usize) -> Checked {
    if text.len() > bound_bytes {
        return Err(violation(field, format!("has {} bytes; at most {bound_bytes} are allowed", text.len())));
    }
    Ok(())
}

fn check_metadata(metadata: &Metadata) -> Checked {
    if metadata.len() > MAX_METADATA_PAIRS {
        return Err(violation(
            "metadata",
            format!("has {} pairs; at most {MAX_METADATA_PAIRS} are allowed", metadata.len()),
        ));
    }
    for (key, value) in metadata {
        if key.is_empty() || key.len() > MAX_METADATA_KEY_BYTES {
            return Err(violation(
                "metadata",
                format!("a key has {} bytes; 1 to {MAX_METADATA_KEY_BYTES} are allowed", key.len()),
            ));
        }
        if value.len() > MAX_METADATA_VALUE_BYTES {
            return Err(violation(
                format!("metadata[{key}]"),
                format!("has {} bytes; at most {MAX_METADATA_VALUE_BYTES} are allowed", value.len()),
            ));
        }
    }
    Ok(())
}

fn check_details(details: &Details) -> Checked {
    check_length("reference", &details.reference, MAX_REFERENCE_BYTES)?;
    check_metadata(&details.metadata)
}

fn check_timeout(timeout: Option<Interval>) -> Checked {
    match timeout {
        Some(Interval(0)) => Err(violation("timeout", "must be longer than zero; leave it out for no deadline")),
        Some(Interval(length_ns)) if length_ns > MAX_TIMEOUT_NS => {
            Err(violation("timeout", format!("is {length_ns} ns; at most {MAX_TIMEOUT_NS} ns are allowed")))
        }
        Some(Interval(_)) | None => Ok(()),
    }
}

fn check_postings(postings: &[Posting]) -> Checked {
    let count = postings.len();
    if !(MIN_POSTINGS..=MAX_POSTINGS).contains(&count) {
        return Err(violation("postings", format!("there are {count}; {MIN_POSTINGS} to {MAX_POSTINGS} are allowed")));
    }
    for (position, posting) in postings.iter().enumerate() {
        if posting.amount.is_zero() {
            return Err(violation(format!("postings[{position}].amount"), "must be greater than zero"));
        }
    }
    match same_account_on_both_sides(postings.iter().map(|posting| (&posting.account, posting.side))) {
        Some(position) => Err(violation(
            format!("postings[{position}].account"),
            "stands on both sides; an account may be debited or credited by one transaction, not both",
        )),
        None => Ok(()),
    }
}

/// The position of the first posting whose account stands on the other side before it.
pub(crate) fn same_account_on_both_sides<A: Ord + Copy>(postings: impl Iterator<Item = (A, Side)>) -> Option<usize> {
    let mut postings = postings.enumerate();
    let (_, (first, first_side)) = postings.next()?;
    let (position, (second, second_side)) = postings.next()?;
    if second == first && second_side != first_side {
        return Some(position);
    }
    // Most transactions have two postings: no map is made for them.
    let mut sides = alloc::collections::BTreeMap::new();
    for (position, (account, side)) in postings {
        if sides.is_empty() {
            sides.extend([(first, first_side), (second, second_side)]);
        }
        if *sides.entry(account).or_insert(side) != side {
            return Some(position);
        }
    }
    None
}

fn check_amounts(amounts: Option<&[Amount]>, advice: &str) -> Checked {
    let Some(amounts) = amounts else { return Ok(()) };
    if amounts.len() > MAX_POSTINGS {
        return Err(violation("amounts", format!("there are {}; at most {MAX_POSTINGS} are allowed", amounts.len())));
    }
    if amounts.iter().all(|amount| amount.is_zero()) {
        return Err(violation("amounts", format!("all are zero; {advice}")));
    }
    Ok(())
}

fn check_atomic(batch: &Command, items: &[Command]) -> Checked {
    if items.is_empty() || items.len() > MAX_BATCH_COMMANDS {
        return Err(violation("commands", format!("there are {}; 1 to {MAX_BATCH_COMMANDS} are allowed", items.len())));
    }
    for (position, item) in items.iter().enumerate() {
        let within = |found: Violation| violation(format!("commands[{position}].{}", found.field), found.problem);
        if matches!(item.operation, Operation::Atomic(_)) {
            return Err(violation(format!("commands[{position}]"), "an atomic batch cannot hold another"));
        }
        if item.request == batch.request {
            return Err(violation(
                format!("commands[{position}].request_id"),
                "is the batch's own id; every command needs its own",
            ));
        }
        check(item).map_err(within)?;
    }
    Ok(())
}
