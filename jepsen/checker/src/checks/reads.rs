//! Reads are as fresh as was asked, never from the future, and find what the book holds at the index that they state.

use super::{Evidence, broken, related};
use crate::history::{Call, Completion, Consistency};
use crate::timeline::Subject;
use crate::verdict::Finding;

pub(super) const NAME: &str = "reads";

pub(super) fn check(evidence: &Evidence<'_>) -> Finding {
    let fresh = check_fresh(evidence);
    if fresh != Finding::Holds {
        return fresh;
    }
    let future = check_future(evidence);
    if future != Finding::Holds {
        return future;
    }
    match &evidence.replay.read {
        // A wrong answer before it, or an unresolved operation, may explain the value.
        Some(difference) if evidence.timeline.unresolved.is_empty() => {
            let number = difference.operation.unwrap_or_default();
            let operations = related(evidence.history, &evidence.timeline, number);
            broken(NAME, format!("operation {number}: {}", difference.explanation), operations)
        }
        Some(difference) => Finding::Unclear(format!(
            "{NAME}: a value differs from the model, but operations with unknown outcome were never resolved: {}",
            difference.explanation
        )),
        None => Finding::Holds,
    }
}

/// The index that an operation's answer shows to have been committed.
fn index_of(completion: &Completion) -> Option<u64> {
    match completion {
        Completion::Answered(answer) => Some(answer.at.place.index),
        Completion::Batch(answers) => answers.iter().map(|answer| answer.at.place.index).max(),
        Completion::Atomic(answer) => Some(answer.at.place.index),
        Completion::Read(answer) => Some(answer.index),
        Completion::Unknown(_) | Completion::NotProposed { .. } => None,
    }
}

/// Linearizable reads reflect every index answered before they were asked; reads at least at an index reflect it.
fn check_fresh(evidence: &Evidence<'_>) -> Finding {
    let operations = &evidence.history.operations;
    let mut ends: Vec<(u64, u64, usize)> = operations
        .iter()
        .enumerate()
        .filter_map(|(number, operation)| {
            index_of(&operation.completion).map(|index| (operation.completed_ns, index, number))
        })
        .collect();
    ends.sort_unstable();
    // The highest index so far.
    let mut highest: Option<(u64, usize)> = None;
    let reach: Vec<Option<(u64, usize)>> = ends
        .iter()
        .map(|(_, index, number)| {
            if highest.is_none_or(|(known, _)| *index > known) {
                highest = Some((*index, *number));
            }
            highest
        })
        .collect();
    for (number, operation) in operations.iter().enumerate() {
        let (Call::Read(read), Completion::Read(answer)) = (&operation.call, &operation.completion) else {
            continue;
        };
        match read.consistency {
            Consistency::Stale => {}
            Consistency::AtLeast(index) if answer.index < index => {
                let explanation =
                    format!("read {number} asked for index {index} at least and reflects {}", answer.index);
                return broken(NAME, explanation, vec![number]);
            }
            Consistency::AtLeast(_) => {}
            Consistency::Linearizable => {
                let before = ends.partition_point(|(completed_ns, _, _)| *completed_ns < operation.invoked_ns);
                let known = before.checked_sub(1).and_then(|last| reach[last]);
                if let Some((index, earlier)) = known.filter(|(index, _)| *index > answer.index) {
                    let explanation = format!(
                        "linearizable read {number} reflects index {}, but operation {earlier} was answered at index \
                         {index} before the read was asked",
                        answer.index
                    );
                    return broken(NAME, explanation, vec![earlier, number]);
                }
            }
        }
    }
    Finding::Holds
}

/// No read reflects a command that was asked only after the read was answered.
fn check_future(evidence: &Evidence<'_>) -> Finding {
    let mut latest: Option<(u64, usize)> = None;
    for event in &evidence.timeline.events {
        let Some(number) = event.operation else {
            continue;
        };
        let operation = &evidence.history.operations[number];
        match event.subject {
            Subject::Write(..) | Subject::Atomic(..) => {
                if latest.is_none_or(|(invoked_ns, _)| operation.invoked_ns > invoked_ns) {
                    latest = Some((operation.invoked_ns, number));
                }
            }
            Subject::Read(_, answer) => {
                if let Some((_, later)) = latest.filter(|(invoked_ns, _)| *invoked_ns > operation.completed_ns) {
                    let explanation = format!(
                        "read {number} reflects index {}, which holds operation {later} that was asked only afterwards",
                        answer.index
                    );
                    return broken(NAME, explanation, vec![number, later]);
                }
            }
            Subject::Dump(_) => {}
        }
    }
    Finding::Holds
}
