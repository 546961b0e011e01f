//! I10: a refusal books nothing: it names no journal record, and no journal holds a record at its place.

use std::collections::HashMap;

use crate::checks::{Evidence, broken};
use crate::history::{AtomicOutcome, JournalEvent, Place};
use crate::timeline::Subject;
use crate::verdict::Finding;

pub(crate) const NAME: &str = "I10-refusals-change-nothing";

pub(crate) fn check(evidence: &Evidence<'_>) -> Finding {
    let mut refused: HashMap<Place, usize> = HashMap::new();
    for event in &evidence.timeline.events {
        let Some(number) = event.operation.filter(|_| !event.hidden) else {
            continue;
        };
        let (changes_nothing, names_record) = match event.subject {
            Subject::Write(_, answer) => {
                let refused = answer.result.is_err();
                (refused || answer.replay_of.is_some(), refused && answer.journal_sequence.is_some())
            }
            Subject::Atomic(_, Some(answer)) => match &answer.outcome {
                AtomicOutcome::NotApplied(items) => {
                    (true, items.iter().any(|item| item.journal_sequence.is_some() || item.result.is_ok()))
                }
                AtomicOutcome::Refused(_) => (true, false),
                AtomicOutcome::Applied(_) => (answer.replay_of.is_some(), false),
            },
            Subject::Atomic(_, None) | Subject::Read(..) | Subject::Dump(_) => (false, false),
        };
        if names_record {
            return broken(NAME, format!("operation {number} was refused and names a journal record"), vec![number]);
        }
        if changes_nothing {
            refused.insert(event.at.place, number);
        }
    }
    for dump in &evidence.history.dumps {
        for record in dump.journal.iter().filter(|record| record.event != JournalEvent::Expired) {
            if let Some(number) = refused.get(&record.at.place) {
                let explanation = format!(
                    "operation {number} was refused or repeated, but replica {} booked {record:?} at its place",
                    dump.replica
                );
                return broken(NAME, explanation, vec![*number]);
            }
        }
    }
    Finding::Holds
}
