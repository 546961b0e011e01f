//! Answers into the published results.

use ledger::{Accepted, Answer, ItemAnswer, LogTime, Outcome, Point, Rejection, TransactionId, TransactionState};
use prost::Message as _;
use tonic::Status;

use super::limits::{MAX_RESULTS_BYTES, SHORT_RESULT_BYTES};
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
        message: errors::clipped(explained.message),
        remedy: explained.reason.remedy().to_owned(),
        metadata: explained.metadata.into_iter().map(|(key, value)| (key, errors::clipped(value))).collect(),
    }
}

/// The longest value of a refusal that is short of room: a name fits.
const SHORT_VALUE_BYTES: usize = ledger::limits::MAX_ACCOUNT_NAME_BYTES;
/// What a result costs beside its own bytes: its field's key and length.
const ITEM_BYTES: usize = 4;

/// The room that the results of a reply share. Each has its part for certain, and more as long as the others leave it.
#[derive(Debug)]
pub(super) struct Room {
    results: usize,
    bytes: usize,
}

impl Room {
    /// Room for so many results.
    pub(super) fn of(results: usize) -> Room {
        Room { results, bytes: MAX_RESULTS_BYTES }
    }

    /// Takes the room of the next result.
    pub(super) fn take(&mut self, bytes: usize) {
        self.results = self.results.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes + ITEM_BYTES);
    }

    /// Takes the room of the next result, and leaves out of a refusal what its reason tells as well, if there is none for it.
    pub(super) fn fit(&mut self, mut result: v1::CommandResult) -> v1::CommandResult {
        let others = self.results.saturating_sub(1) * SHORT_RESULT_BYTES;
        if let Some(refusal) = &mut result.refusal
            && self.bytes.saturating_sub(others) < refusal.encoded_len() + SHORT_RESULT_BYTES
        {
            refusal.message.clear();
            refusal.remedy.clear();
            for value in refusal.metadata.values_mut() {
                *value = errors::clipped_to(SHORT_VALUE_BYTES, std::mem::take(value));
            }
        }
        self.take(result.encoded_len());
        result
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
    let mut room = Room::of(items.len());
    items
        .iter()
        .map(|item| {
            let point = Point { time: item.time, ..answer.point };
            let decision = decision(&point, item.sequence, item.replay_of.as_ref(), item.state);
            room.fit(result(decision, item.outcome.as_ref()))
        })
        .collect()
}
