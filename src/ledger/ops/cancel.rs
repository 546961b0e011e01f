//! Cancel: releases a reservation; where there is none, it fences the transaction with a tombstone in the same step.
//!
//! By state: absent, an empty cancel (also after a refused try, which leaves nothing); TRIED, released; CANCELLED, a repetition;
//! EXPIRED, success without change; CONFIRMED, `ALREADY_CONFIRMED`.

use alloc::format;
use alloc::vec::Vec;
use core::fmt::Debug;

use super::holds::{Ending, end, mark, reserved};
use crate::apply::Decision;
use crate::id::TransactionId;
use crate::journal::Event;
use crate::outcome::{Accepted, Rejection};
use crate::records::{Records, Stop};
use crate::transaction::{TransactionRecord, TransactionState};
use crate::working::{Context, Step, Working, broken};

pub(crate) fn apply<E: Debug>(
    working: &mut Working<'_, E>,
    context: &Context<'_>,
    transaction: TransactionId,
) -> Step<Decision, E> {
    let Some(record) = working.transaction(&transaction).map_err(Stop::Records)? else {
        return Ok(empty(working, context, transaction));
    };
    match record.state {
        TransactionState::Confirmed => Err(Rejection::AlreadyConfirmed(transaction).into()),
        TransactionState::Expired => {
            Ok(Decision::unchanged(Accepted::CancelledExpired(transaction)).with_state(TransactionState::Expired))
        }
        TransactionState::Cancelled => {
            let sequence = record
                .resolved
                .ok_or_else(|| broken("I6", format!("transaction {transaction} is CANCELLED by no record")))?;
            let resolution = working.known_record(sequence)?;
            let accepted = if record.is_tombstone() {
                Accepted::CancelledEmpty(transaction)
            } else {
                Accepted::Cancelled(transaction)
            };
            Ok(Decision::repeated(accepted, Some(sequence), resolution.point).with_state(TransactionState::Cancelled))
        }
        TransactionState::Tried => {
            let reserved = reserved(working, transaction, &record)?;
            let postings = end(working, transaction, reserved, Ending::Released)?;
            let sequence = working.record(context, Event::Cancelled { transaction, postings });
            mark(working, transaction, record, TransactionState::Cancelled, sequence);
            Ok(Decision::booked(Accepted::Cancelled(transaction), sequence).with_state(TransactionState::Cancelled))
        }
    }
}

fn empty<E: Debug>(working: &mut Working<'_, E>, context: &Context<'_>, transaction: TransactionId) -> Decision {
    let sequence = working.record(context, Event::CancelledEmpty(transaction));
    #[cfg(feature = "seeded-bugs")]
    if crate::seeded::is(crate::seeded::CoreBug::LostTombstone) {
        return Decision::booked(Accepted::CancelledEmpty(transaction), sequence)
            .with_state(TransactionState::Cancelled);
    }
    working.put_transaction(
        transaction,
        TransactionRecord {
            state: TransactionState::Cancelled,
            created: None,
            resolved: Some(sequence),
            deadline: None,
            reversed: Vec::new(),
        },
    );
    Decision::booked(Accepted::CancelledEmpty(transaction), sequence).with_state(TransactionState::Cancelled)
}
