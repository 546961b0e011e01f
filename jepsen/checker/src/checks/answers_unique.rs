//! Each answer belongs to one place of the log, each place to one request, and what an answer repeats was asked for.

use super::{Evidence, broken};
use crate::timeline::Subject;
use crate::verdict::Finding;

pub(super) const NAME: &str = "answers-unique";

pub(super) fn check(evidence: &Evidence<'_>) -> Finding {
    let mut before: Option<(crate::history::Place, usize)> = None;
    for event in &evidence.timeline.events {
        let (Subject::Write(..) | Subject::Atomic(..), Some(operation)) = (event.subject, event.operation) else {
            continue;
        };
        let place = event.at.place;
        if let Some((_, other)) = before.filter(|(taken, _)| *taken == place) {
            let explanation = format!("index {}, position {} answers two requests", place.index, place.position);
            return broken(NAME, explanation, vec![other, operation]);
        }
        before = Some((place, operation));
    }
    for (number, operation) in evidence.history.operations.iter().enumerate() {
        if let (crate::history::Call::Batch(items), crate::history::Completion::Batch(answers)) =
            (&operation.call, &operation.completion)
            && items.len() != answers.len()
        {
            let explanation = format!("a batch of {} commands has {} answers", items.len(), answers.len());
            return broken(NAME, explanation, vec![number]);
        }
    }
    match evidence.timeline.phantoms.first() {
        Some((operation, place)) => {
            let explanation = format!(
                "an answer repeats what was decided at index {}, position {}, but nobody can have asked for that",
                place.index, place.position
            );
            broken(NAME, explanation, vec![*operation])
        }
        None => Finding::Holds,
    }
}
