//! Post: books a transaction in one step.
//!
//! Precedence: the transaction's id (`CANCELLED_BEFORE_TRY`, a repetition, `TRANSACTION_EXISTS_DIFFERENT`), then the
//! postings as `lines` says.

use alloc::vec::Vec;
use core::fmt::Debug;

use super::content::existing;
use super::lines::{Booking, book, resolve};
use crate::apply::Decision;
use crate::command::{Operation, Post};
use crate::journal::Event;
use crate::outcome::Accepted;
use crate::transaction::{TransactionRecord, TransactionState};
use crate::working::{Context, Step, Working};

pub(crate) fn apply<E: Debug>(working: &mut Working<'_, E>, context: &Context<'_>, post: &Post) -> Step<Decision, E> {
    let transaction = post.transaction;
    if let Some(decision) = existing(working, transaction, || Operation::Post(post.clone()))? {
        return Ok(decision);
    }
    let lines = resolve(working, &post.postings)?;
    let postings = book(working, lines, Booking::Post)?;
    let event = Event::Posted { transaction, postings, details: post.details.clone() };
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
    Ok(Decision::booked(Accepted::Posted(transaction), sequence).with_state(TransactionState::Confirmed))
}
