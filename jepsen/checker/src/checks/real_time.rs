//! What was answered before something else was asked stands before it in the log.
//!
//! One scan in log order: the latest call so far must not have been made after the present operation was already answered.

use super::{Evidence, broken};
use crate::timeline::Subject;
use crate::verdict::Finding;

pub(super) const NAME: &str = "real-time-order";

pub(super) fn check(evidence: &Evidence<'_>) -> Finding {
    let mut latest: Option<(u64, usize)> = None;
    for event in &evidence.timeline.events {
        let (Subject::Write(..) | Subject::Atomic(..), Some(number)) = (event.subject, event.operation) else {
            continue;
        };
        let operation = &evidence.history.operations[number];
        // When an unknown one ended is not known.
        let completed_ns = if event.hidden { u64::MAX } else { operation.completed_ns };
        if let Some((_, later)) = latest.filter(|(invoked_ns, _)| *invoked_ns > completed_ns) {
            let explanation = format!(
                "operation {number} was answered before operation {later} was asked, but stands after it in the log \
                 (index {}, position {})",
                event.at.place.index, event.at.place.position
            );
            return broken(NAME, explanation, vec![number, later]);
        }
        if latest.is_none_or(|(invoked_ns, _)| operation.invoked_ns > invoked_ns) {
            latest = Some((operation.invoked_ns, number));
        }
    }
    Finding::Holds
}
