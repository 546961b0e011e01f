//! Atomic batch: all items or none, under one request id and at one place in the log.
//!
//! Items take successive times after the batch's own and each sees those before it. The first refused item is the
//! culprit: its refusal is kept under its own id, everything else is as if it had never been, and the other ids stay free.

use alloc::format;
use alloc::vec::Vec;
use core::fmt::Debug;

use crate::apply::{Decision, begin, decide, remember_culprit};
use crate::command::Command;
use crate::outcome::{Accepted, ItemAnswer, Outcome, Point, Rejection};
use crate::records::{Records, Stop};
use crate::time::LogTime;
use crate::working::{Working, broken};

pub(crate) fn apply<E: Debug>(
    working: &mut Working<'_, E>,
    batch: Point,
    stamp: LogTime,
    items: &[Command],
) -> Result<Decision, Stop<E>> {
    let mut answers = Vec::with_capacity(items.len());
    let mut inner = Working::with_capacity(working as &dyn Records<Error = E>, items.len());
    let mut refused = None;
    for (position, item) in (0u32..).zip(items) {
        let point = begin(&mut inner, batch, stamp, 0)?;
        let decision = decide(&mut inner, point, stamp, item)?;
        let outcome = match decision.outcome {
            Outcome::Accepted(accepted) => accepted,
            Outcome::Rejected(rejection) => {
                refused = Some((position, item, rejection));
                break;
            }
            Outcome::BatchRejected { .. } => {
                return Err(broken("I10", format!("item {} of a batch was answered as a batch", item.request)));
            }
        };
        answers.push(ItemAnswer {
            request: item.request,
            time: point.time,
            sequence: decision.sequence,
            replay_of: decision.replay_of,
            state: decision.state,
            outcome: Ok(outcome),
        });
    }
    let Some((culprit, item, rejection)) = refused else {
        let changes = inner.into_changes();
        working.merge(changes);
        return Ok(Decision::unchanged(Accepted::Batch(answers)));
    };
    remember_culprit(working, batch, item, &rejection)?;
    let items = (0u32..)
        .zip(items)
        .map(|(position, item)| ItemAnswer {
            request: item.request,
            time: batch.time,
            sequence: None,
            replay_of: None,
            state: None,
            outcome: Err(if position == culprit { rejection.clone() } else { Rejection::NotApplied { culprit } }),
        })
        .collect();
    Ok(Decision {
        outcome: Outcome::BatchRejected { culprit, items },
        sequence: None,
        replay_of: None,
        state: None,
        is_new: true,
    })
}
