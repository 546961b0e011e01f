//! Reverse: books the opposite of what a transaction confirmed, whole or in part.
//!
//! Precedence: the reversal's own id (as Post); `TRANSACTION_NOT_FOUND` of the original; by its state `NOT_CONFIRMED`, `ALREADY_CANCELLED`,
//! `TRANSACTION_EXPIRED`; `REVERSAL_OF_REVERSAL`; the number of amounts; per posting in order the scale, then `ALREADY_REVERSED`;
//! `UNBALANCED`; then status, range, floor and ceiling as `lines` says.

use alloc::format;
use alloc::vec::Vec;
use core::fmt::Debug;

use super::confirm::check_count;
use super::content::existing;
use super::holds::created;
use super::lines::{Booking, Line, Lines, at_scale, book, check_balanced};
use crate::amount::Amount;
use crate::apply::Decision;
use crate::command::{Operation, Reverse};
use crate::journal::{Event, JournalPosting};
use crate::outcome::{Accepted, Rejection};
use crate::records::{Records, Stop};
use crate::transaction::{TransactionRecord, TransactionState};
use crate::working::{Context, Step, Working, broken};

pub(crate) fn apply<E: Debug>(
    working: &mut Working<'_, E>,
    context: &Context<'_>,
    reverse: &Reverse,
) -> Step<Decision, E> {
    let transaction = reverse.transaction;
    if let Some(decision) = existing(working, transaction, || Operation::Reverse(reverse.clone()))? {
        return Ok(decision);
    }
    let (mut record, confirmed) = original(working, reverse)?;
    let lines = opposite(working, &confirmed, reverse.amounts.as_deref())?;
    let reversed = add_up(&record, &confirmed, lines.all())?;
    check_balanced(working, lines.all().iter().map(|line| (line.asset, line.side, line.amount)))?;
    let postings = book(working, lines, Booking::Post)?;
    record.reversed = reversed;
    working.put_transaction(reverse.original, record);
    let event = Event::Reversed {
        transaction,
        original: reverse.original,
        amounts_named: reverse.amounts.is_some(),
        postings,
        details: reverse.details.clone(),
    };
    let sequence = working.record(context, event);
    working.put_transaction(
        transaction,
        TransactionRecord {
            state: TransactionState::Confirmed,
            created: Some(sequence),
            resolved: None,
            deadline: None,
            reversed: Vec::new(),
        },
    );
    Ok(Decision::booked(Accepted::Reversed(transaction), sequence).with_state(TransactionState::Confirmed))
}

/// The original's record and what it confirmed.
fn original<E: Debug>(
    working: &Working<'_, E>,
    reverse: &Reverse,
) -> Step<(TransactionRecord, Vec<JournalPosting>), E> {
    let original = reverse.original;
    let Some(record) = working.transaction(&original).map_err(Stop::Records)? else {
        return Err(Rejection::TransactionNotFound(original).into());
    };
    match record.state {
        TransactionState::Tried => return Err(Rejection::NotConfirmed(original).into()),
        TransactionState::Cancelled => return Err(Rejection::AlreadyCancelled(original).into()),
        TransactionState::Expired => {
            let deadline = record
                .deadline
                .ok_or_else(|| broken("I6", format!("transaction {original} expired without a deadline")))?;
            return Err(Rejection::TransactionExpired { transaction: original, deadline }.into());
        }
        TransactionState::Confirmed => {}
    }
    let booked = match record.resolved {
        Some(sequence) => working.known_record(sequence)?,
        None => created(working, original, &record)?,
    };
    match booked.event {
        Event::Posted { postings, .. } | Event::Confirmed { postings, .. } => Ok((record, postings)),
        Event::Reversed { .. } => Err(Rejection::ReversalOfReversal(original).into()),
        other => Err(broken("I6", format!("transaction {original} is CONFIRMED by {other:?}")).into()),
    }
}

/// The lines of the reversal: the asked amounts, or all, on the opposite sides.
fn opposite<E: Debug>(
    working: &mut Working<'_, E>,
    confirmed: &[JournalPosting],
    amounts: Option<&[Amount]>,
) -> Step<Lines, E> {
    if let Some(amounts) = amounts {
        check_count(confirmed.len(), amounts.len())?;
    }
    let mut lines = Lines::begin(working);
    for (position, posting) in confirmed.iter().enumerate() {
        let asset = lines.account(working, posting.account)?.asset;
        let amount = match amounts.and_then(|amounts| amounts.get(position)) {
            Some(amount) => at_scale(working, *amount, asset)?,
            None => posting.amount,
        };
        lines.push(Line {
            account: posting.account,
            asset,
            side: posting.side.opposite(),
            amount,
            asset_stated: false,
        });
    }
    Ok(lines)
}

/// The sums of reversals after this one, per posting (I13).
fn add_up<E>(record: &TransactionRecord, confirmed: &[JournalPosting], lines: &[Line]) -> Step<Vec<Amount>, E> {
    let mut sums = Vec::with_capacity(lines.len());
    for ((position, posting), line) in (0u32..).zip(confirmed).zip(lines) {
        let before = record.reversed.get(sums.len()).copied();
        let remaining = match before {
            Some(before) => posting.amount.checked_sub(before),
            None => Some(posting.amount),
        }
        .ok_or_else(|| {
            broken("I13", format!("posting {position} of a transaction is reversed beyond {}", posting.amount))
        })?;
        let left = remaining.checked_sub(line.amount).ok_or(Rejection::AlreadyReversed {
            posting: position,
            remaining,
            asked: line.amount,
        })?;
        let sum = posting
            .amount
            .checked_sub(left)
            .ok_or_else(|| broken("I13", format!("posting {position} has {left} left of {}", posting.amount)))?;
        sums.push(sum);
    }
    Ok(sums)
}
