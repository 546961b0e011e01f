//! Answers into the published results.

use ledger::{Accepted, Answer, ItemAnswer, LogTime, Outcome, Point, Rejection, TransactionId, TransactionState};
use tonic::Status;

use super::{errors, render};
use crate::proto::v1;

fn decision(
    at: &Point,
    sequence: Option<ledger::journal::JournalSequence>,
    replay_of: Option<&Point>,
    state: Option<TransactionState>,
) -> v1::Decision {
    v1::Decision {
        at: Some(render::point(at)),
        journal_sequence: sequence.map(|sequence| sequence.0),
        replayed: replay_of.is_some(),
        first: replay_of.map(render::point),
        transaction_state: state.map_or(v1::TransactionState::Unspecified, render::state).into(),
    }
}

/// Where and how an answer was decided.
pub(super) fn decided(answer: &Answer) -> v1::Decision {
    decision(&answer.point, answer.sequence, answer.replay_of.as_ref(), answer.state)
}

/// A refusal among several.
pub(super) fn refusal(rejection: &Rejection) -> v1::Refusal {
    let explained = errors::explain(rejection);
    v1::Refusal {
        reason: explained.reason.text().to_owned(),
        code: explained.reason.code() as i32,
        message: explained.message,
        remedy: explained.reason.remedy().to_owned(),
        metadata: explained.metadata,
    }
}

/// What an acceptance tells about its transaction: id, deadline, whether the cancel was empty.
pub(super) fn told(accepted: &Accepted) -> (Option<TransactionId>, Option<LogTime>, bool) {
    match accepted {
        Accepted::Posted(id) | Accepted::Confirmed(id) | Accepted::Cancelled(id) | Accepted::Reversed(id) => {
            (Some(*id), None, false)
        }
        Accepted::CancelledExpired(id) => (Some(*id), None, false),
        Accepted::CancelledEmpty(id) => (Some(*id), None, true),
        Accepted::Tried(id, deadline) => (Some(*id), *deadline, false),
        Accepted::AssetRegistered(_)
        | Accepted::AccountOpened(_)
        | Accepted::LimitsSet
        | Accepted::Frozen
        | Accepted::Unfrozen
        | Accepted::Closed
        | Accepted::Batch(_) => (None, None, false),
    }
}

fn result(decision: v1::Decision, outcome: Result<&Accepted, &Rejection>) -> v1::CommandResult {
    let (transaction, deadline, empty) = outcome.map(told).unwrap_or_default();
    v1::CommandResult {
        decision: Some(decision),
        refusal: outcome.err().map(refusal),
        transaction_id: transaction.map(|id| id.to_string()).unwrap_or_default(),
        deadline: deadline.map(render::timestamp),
        empty,
    }
}

/// An answer as a result among several.
pub(super) fn command_result(answer: &Answer) -> v1::CommandResult {
    let outcome = match &answer.outcome {
        Outcome::Accepted(accepted) => Ok(accepted),
        Outcome::Rejected(rejection) => Err(rejection),
        Outcome::BatchRejected { culprit, .. } => {
            return result(decided(answer), Err(&Rejection::NotApplied { culprit: *culprit }));
        }
    };
    result(decided(answer), outcome)
}

/// An answer that is no rejection, or the rejection's status.
pub(super) fn accepted(answer: &Answer) -> Result<v1::CommandResult, Status> {
    match errors::rejection_of(answer) {
        Some(rejection) => Err(errors::rejected(answer, rejection)),
        None => Ok(command_result(answer)),
    }
}

/// The items of an atomic batch's answer; their places are the batch's.
pub(super) fn items(answer: &Answer) -> Vec<v1::CommandResult> {
    let items: &[ItemAnswer] = match &answer.outcome {
        Outcome::Accepted(Accepted::Batch(items)) | Outcome::BatchRejected { items, .. } => items,
        Outcome::Accepted(_) | Outcome::Rejected(_) => &[],
    };
    items
        .iter()
        .map(|item| {
            let point = Point { time: item.time, ..answer.point };
            let decision = decision(&point, item.sequence, item.replay_of.as_ref(), item.state);
            result(decision, item.outcome.as_ref())
        })
        .collect()
}
