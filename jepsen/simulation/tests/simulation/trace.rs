//! What happened, line by line, each with its simulated time. Two runs are the same if their traces are: every answer with its place in the log, every change
//! of role, every fault, the final state of every replica.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use folio::client::{Failure, FailureKind};
use folio::proto::v1;
use sha2::{Digest, Sha256};

use crate::interpose;

#[derive(Default)]
struct Notes {
    lines: Vec<String>,
    counts: BTreeMap<&'static str, u64>,
}

/// A trace in the making; clones write to the same one.
#[derive(Clone, Default)]
pub struct Trace(Arc<Mutex<Notes>>);

impl Trace {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap()
    }

    /// Adds a line of a kind that can be counted later.
    pub fn note(&self, kind: &'static str, what: &str) {
        let at = interpose::elapsed();
        let mut notes = self.notes();
        notes.lines.push(format!("{:>4}.{:03} {kind:<8} {what}", at.as_secs(), at.subsec_millis()));
        *notes.counts.entry(kind).or_default() += 1;
    }

    /// Notes an answer, or why there is none.
    pub fn answer(&self, what: &str, answer: &Result<v1::Decision, Failure>) {
        match answer {
            Ok(decision) => {
                let kind = if decision.replayed { "replayed" } else { "accepted" };
                let sequence = decision.journal_sequence.map_or("-".to_owned(), |sequence| sequence.to_string());
                let first = point(decision.first.as_ref());
                let at = point(decision.at.as_ref());
                let state = decision.transaction_state().as_str_name();
                self.note(kind, &format!("{what}: at {at}, first {first}, sequence {sequence}, {state}"));
            }
            Err(failure) if failure.kind == FailureKind::Rejected => {
                let values: BTreeMap<_, _> = failure.metadata.iter().collect();
                self.note("refused", &format!("{what}: {} {values:?}", failure.reason));
            }
            Err(failure) => self.note("lost", &format!("{what}: {:?} {}", failure.kind, failure.message)),
        }
    }

    /// How many lines of a kind there are.
    pub fn count(&self, kind: &str) -> u64 {
        self.notes().counts.get(kind).copied().unwrap_or(0)
    }

    /// How many answers there are, refusals and replays included.
    pub fn answers(&self) -> u64 {
        ["accepted", "replayed", "refused"].into_iter().map(|kind| self.count(kind)).sum()
    }

    /// The whole text, and its hash as its last line.
    pub fn text(&self) -> String {
        let mut text = self.notes().lines.join("\n");
        let hash = Sha256::digest(text.as_bytes());
        text.push_str(&format!("\ntrace hash {hash:x}\n"));
        text
    }
}

fn point(point: Option<&v1::LogPoint>) -> String {
    let Some(point) = point else { return "-".to_owned() };
    let time = point.log_time.unwrap_or_default();
    format!("{}/{} {}.{:09}", point.log_index, point.position, time.seconds, time.nanos)
}
