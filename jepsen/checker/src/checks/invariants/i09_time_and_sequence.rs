//! I9: log time and journal sequence strictly increase along the log, and a journal has no gaps.

use crate::checks::{Evidence, broken};
use crate::history::{AtomicOutcome, ReplicaDump};
use crate::timeline::Subject;
use crate::verdict::Finding;

pub(crate) const NAME: &str = "I9-time-and-sequence";

pub(crate) fn check(evidence: &Evidence<'_>) -> Finding {
    let times = check_times(evidence);
    if times != Finding::Holds {
        return times;
    }
    let mut last: Option<(u64, usize)> = None;
    for booked in &evidence.facts.booked {
        let Some(sequence) = booked.sequence else {
            continue;
        };
        if let Some((before, earlier)) = last.filter(|(before, _)| *before >= sequence) {
            let explanation = format!(
                "operation {earlier} got journal sequence {before}, operation {} after it in the log got {sequence}",
                booked.operation
            );
            return broken(NAME, explanation, vec![earlier, booked.operation]);
        }
        last = Some((sequence, booked.operation));
    }
    match evidence.history.dumps.iter().find_map(gap) {
        Some(explanation) => broken(NAME, explanation, Vec::new()),
        None => Finding::Holds,
    }
}

fn check_times(evidence: &Evidence<'_>) -> Finding {
    let mut last: Option<(u64, usize)> = None;
    for event in &evidence.timeline.events {
        let Some(number) = event.operation else {
            continue;
        };
        let time_ns = event.at.time_ns;
        // A read shares the time of the last command that it reflects.
        let (least, end_ns) = match event.subject {
            Subject::Write(..) => (1, time_ns),
            Subject::Atomic(_, answer) => {
                let items = match answer.map(|answer| &answer.outcome) {
                    Some(AtomicOutcome::Applied(items)) if answer.is_some_and(|answer| answer.replay_of.is_none()) => {
                        items.as_slice()
                    }
                    _ => &[],
                };
                (1, items.iter().filter_map(|item| item.time_ns).max().unwrap_or(time_ns))
            }
            Subject::Read(..) => (0, time_ns),
            Subject::Dump(_) => continue,
        };
        if let Some((before, earlier)) = last.filter(|(before, _)| time_ns < before.saturating_add(least)) {
            let explanation = format!(
                "operation {earlier} has log time {before}, operation {number} after it in the log (index {}) has {time_ns}",
                event.at.place.index
            );
            return broken(NAME, explanation, vec![earlier, number]);
        }
        last = Some((end_ns, number));
    }
    Finding::Holds
}

fn gap(dump: &ReplicaDump) -> Option<String> {
    let mut last = (0, 0);
    for record in &dump.journal {
        let now = (record.sequence, record.at.time_ns);
        if now.0 != last.0 + 1 || (now.0 > 1 && now.1 <= last.1) {
            return Some(format!(
                "replica {}: journal record {} at time {} follows record {} at time {}",
                dump.replica, now.0, now.1, last.0, last.1
            ));
        }
        last = now;
    }
    let ends_wrong = !dump.journal.is_empty() && last.0 != dump.journal_sequence;
    ends_wrong.then(|| {
        format!("replica {}: the journal ends at {}, the book says {}", dump.replica, last.0, dump.journal_sequence)
    })
}
