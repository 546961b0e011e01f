//! Try: reserves a transaction, in such a way that no later confirm can fail on balance, limit or range.
//!
//! Precedence: as Post.

use alloc::vec::Vec;
use core::fmt::Debug;

use super::content::existing;
use super::lines::{Booking, book, resolve};
use crate::apply::Decision;
use crate::command::{Operation, Try};
use crate::journal::Event;
use crate::outcome::Accepted;
use crate::transaction::{TransactionRecord, TransactionState};
use crate::working::{Context, Step, Working};

pub(crate) fn apply<E: Debug>(working: &mut Working<'_, E>, context: &Context<'_>, attempt: &Try) -> Step<Decision, E> {
    let transaction = attempt.transaction;
    if let Some(decision) = existing(working, transaction, || Operation::Try(attempt.clone()))? {
        return Ok(decision);
    }
    let lines = resolve(working, &attempt.postings)?;
    let postings = book(working, lines, Booking::Reserve)?;
    let timeout = attempt.timeout;
    let deadline = timeout.map(|timeout| context.point.time.after(timeout));
    let event = Event::Tried { transaction, postings, details: attempt.details.clone(), timeout, deadline };
    let sequence = working.record(context, event);
    working.put_transaction(
        transaction,
        TransactionRecord {
            state: TransactionState::Tried,
            created: Some(sequence),
            resolved: None,
            deadline,
            reversed: Vec::new(),
        },
    );
    Ok(Decision::booked(Accepted::Tried(transaction, deadline), sequence).with_state(TransactionState::Tried))
}
