//! All replicas hold the same book at the same index, and it is the model's.

use super::{Evidence, broken};
use crate::verdict::Finding;

pub(super) const NAME: &str = "replicas-agree";

pub(super) fn check(evidence: &Evidence<'_>) -> Finding {
    for (position, dump) in evidence.history.dumps.iter().enumerate() {
        let others = &evidence.history.dumps[..position];
        let Some(other) = others.iter().find(|other| other.index == dump.index) else {
            continue;
        };
        let names = || dump.accounts.keys().chain(other.accounts.keys());
        if let Some(name) = names().find(|name| dump.accounts.get(*name) != other.accounts.get(*name)) {
            let explanation = format!(
                "at index {} replica {} holds {:?} of {name}, replica {} {:?}",
                dump.index,
                dump.replica,
                dump.accounts.get(name),
                other.replica,
                other.accounts.get(name)
            );
            return broken(NAME, explanation, Vec::new());
        }
        if dump.journal_sequence != other.journal_sequence || dump.time_ns != other.time_ns {
            let explanation = format!(
                "at index {} replica {} is at journal sequence {} and time {}, replica {} at {} and {}",
                dump.index,
                dump.replica,
                dump.journal_sequence,
                dump.time_ns,
                other.replica,
                other.journal_sequence,
                other.time_ns
            );
            return broken(NAME, explanation, Vec::new());
        }
    }
    match &evidence.replay.dump {
        Some(difference) if evidence.timeline.unresolved.is_empty() => {
            broken(NAME, difference.explanation.clone(), Vec::new())
        }
        Some(difference) => Finding::Unclear(format!(
            "{NAME}: a dump differs from the model, but operations with unknown outcome were never resolved: {}",
            difference.explanation
        )),
        None => Finding::Holds,
    }
}
