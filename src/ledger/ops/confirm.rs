//! Confirm: books a reservation, whole or in part, once.
//!
//! Precedence: `TRANSACTION_NOT_FOUND`; by state `ALREADY_CANCELLED`, `TRANSACTION_EXPIRED`, and for a CONFIRMED one a repetition
//! or `CONFIRM_DIFFERS`; then for a TRIED one the number of amounts, per posting in order the scale and `EXCEEDS_RESERVED`, then
//! `UNBALANCED`. Never balance, floor, ceiling, freeze or range: the try has seen to those.

use alloc::format;
use alloc::vec::Vec;
use core::fmt::Debug;

use super::holds::{Ending, created, end, mark, reserved};
use super::lines::{at_scale, check_balanced};
use crate::amount::Amount;
use crate::apply::Decision;
use crate::command::Confirm;
use crate::journal::{Event, JournalPosting};
use crate::outcome::{Accepted, Rejection};
use crate::records::{Records, Stop};
use crate::transaction::{TransactionRecord, TransactionState};
use crate::working::{Context, Halt, Step, Working, broken};

pub(crate) fn apply<E: Debug>(
    working: &mut Working<'_, E>,
    context: &Context<'_>,
    confirm: &Confirm,
) -> Step<Decision, E> {
    let transaction = confirm.transaction;
    let Some(record) = working.transaction(&transaction).map_err(Stop::Records)? else {
        return Err(Rejection::TransactionNotFound(transaction).into());
    };
    match record.state {
        TransactionState::Cancelled => return Err(Rejection::AlreadyCancelled(transaction).into()),
        TransactionState::Expired => {
            let deadline = record
                .deadline
                .ok_or_else(|| broken("I6", format!("transaction {transaction} expired without a deadline")))?;
            return Err(Rejection::TransactionExpired { transaction, deadline }.into());
        }
        TransactionState::Confirmed => return again(working, &record, confirm),
        TransactionState::Tried => {}
    }
    let reserved = reserved(working, transaction, &record)?;
    let postings = match &confirm.amounts {
        Some(amounts) => {
            let amounts = part(working, &reserved, amounts)?;
            end(working, transaction, reserved, Ending::ConfirmedInPart(&amounts))?
        }
        None => end(working, transaction, reserved, Ending::Confirmed)?,
    };
    #[cfg(feature = "seeded-bugs")]
    let postings = booked_twice(working, postings);
    let event = Event::Confirmed { transaction, amounts_named: confirm.amounts.is_some(), postings };
    let sequence = working.record(context, event);
    mark(working, transaction, record, TransactionState::Confirmed, sequence);
    Ok(Decision::booked(Accepted::Confirmed(transaction), sequence).with_state(TransactionState::Confirmed))
}

/// Checks the amounts of a partial confirm and brings them to their assets' scales.
fn part<E: Debug>(working: &Working<'_, E>, reserved: &[JournalPosting], amounts: &[Amount]) -> Step<Vec<Amount>, E> {
    check_count(reserved.len(), amounts.len())?;
    let mut scaled = Vec::with_capacity(amounts.len());
    let mut lines = Vec::with_capacity(amounts.len());
    for ((position, posting), amount) in (0u32..).zip(reserved).zip(amounts) {
        let asset = working.known_account(posting.account)?.asset;
        let asked = at_scale(working, *amount, asset)?;
        if asked > posting.amount {
            return Err(Rejection::ExceedsReserved { posting: position, reserved: posting.amount, asked }.into());
        }
        scaled.push(asked);
        lines.push((asset, posting.side, asked));
    }
    check_balanced(working, lines.into_iter())?;
    Ok(scaled)
}

/// Refuses another number of amounts than there are postings.
pub(super) fn check_count<E>(expected: usize, given: usize) -> Step<(), E> {
    if expected == given {
        return Ok(());
    }
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    Err(Halt::Rejected(Rejection::AmountCount { expected: count(expected), given: count(given) }))
}

/// A confirm of a CONFIRMED transaction: the first answer again if it books the same, else `CONFIRM_DIFFERS`.
fn again<E: Debug>(working: &Working<'_, E>, record: &TransactionRecord, confirm: &Confirm) -> Step<Decision, E> {
    let transaction = confirm.transaction;
    let creation = created(working, transaction, record)?;
    let resolution = match record.resolved {
        Some(sequence) => working.known_record(sequence)?,
        None => creation.clone(),
    };
    let booked = resolution.event.postings();
    let same = match &confirm.amounts {
        Some(amounts) => {
            amounts.len() == booked.len()
                && amounts.iter().zip(booked).all(|(asked, posting)| asked.same_value(posting.amount))
        }
        None => {
            let asked = creation.event.postings();
            asked.len() == booked.len() && asked.iter().zip(booked).all(|(all, part)| all.amount == part.amount)
        }
    };
    if !same {
        return Err(Rejection::ConfirmDiffers(transaction).into());
    }
    let accepted = Accepted::Confirmed(transaction);
    Ok(Decision::repeated(accepted, Some(resolution.sequence), resolution.point)
        .with_state(TransactionState::Confirmed))
}

/// The seeded bug `confirm-booked-twice`: what was confirmed is added to the posted totals once more.
#[cfg(feature = "seeded-bugs")]
fn booked_twice<E: Debug>(working: &mut Working<'_, E>, postings: Vec<JournalPosting>) -> Vec<JournalPosting> {
    if !crate::seeded::is(crate::seeded::CoreBug::ConfirmBookedTwice) {
        return postings;
    }
    for posting in &postings {
        if let Ok(mut account) = working.known_account(posting.account)
            && let Some(totals) = account.totals.post(posting.side, posting.amount)
        {
            account.totals = totals;
            working.put_account(posting.account, account);
        }
    }
    postings
}
