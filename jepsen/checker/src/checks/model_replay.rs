//! The independent model, replayed in log order, gives every answer: outcomes, reasons, replays, sequences, states.

use super::{Evidence, broken, related};
use crate::history::{Completion, Reason};
use crate::model::shape;
use crate::verdict::Finding;

pub(super) const NAME: &str = "model-replay";

pub(super) fn check(evidence: &Evidence<'_>) -> Finding {
    if let Some(difference) = &evidence.replay.answer {
        if !evidence.timeline.unresolved.is_empty() {
            return Finding::Unclear(format!(
                "{NAME}: an answer differs from the model, but {} operations with unknown outcome were never resolved: {}",
                evidence.timeline.unresolved.len(),
                difference.explanation
            ));
        }
        let number = difference.operation.unwrap_or_default();
        let operations = related(evidence.history, &evidence.timeline, number);
        return broken(NAME, format!("operation {number}: {}", difference.explanation), operations);
    }
    // What was called malformed must be malformed.
    for (number, operation) in evidence.history.operations.iter().enumerate() {
        if let Completion::NotProposed { reason } = &operation.completion
            && Reason::parse(reason).is_some_and(Reason::is_shape)
            && !operation.call.writes().is_empty()
            && operation.call.writes().iter().all(|write| shape::check(write).is_ok())
        {
            return broken(
                NAME,
                format!("operation {number} is well formed, but was refused as {reason}"),
                vec![number],
            );
        }
    }
    Finding::Holds
}
