//! What was answered: counted by its kind, timed, and added up over workers and rounds. It never takes the absence of an answer for a refusal.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::cli::{CliError, CliResult};
use crate::client::{self, Failure, FailureKind};
use crate::proto::v1;

/// The longest latency that is told apart: ten minutes, in microseconds.
const MAX_LATENCY_US: u64 = 600_000_000;

/// How a command was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Accepted,
    Refused,
    /// It may have happened.
    Unknown,
    /// It cannot have happened.
    Unavailable,
}

/// How long units took.
#[derive(Debug, Clone)]
pub(super) struct Latency(Histogram<u64>);

impl Latency {
    /// Of nothing yet: microseconds, three digits precise.
    pub(super) fn new() -> CliResult<Latency> {
        let histogram = Histogram::new_with_bounds(1, MAX_LATENCY_US, 3);
        histogram.map(Latency).map_err(|error| CliError::General(format!("no histogram can be made: {error}")))
    }

    pub(super) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(MAX_LATENCY_US));
    }

    pub(super) fn add(&mut self, other: &Latency) {
        // Both have the same bounds, so it cannot fail.
        let _ = self.0.add(&other.0);
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that this part of the units, 0 to 1, did not exceed, in milliseconds.
    pub(super) fn at(&self, quantile: f64) -> f64 {
        milliseconds(self.0.value_at_quantile(quantile))
    }

    pub(super) fn most(&self) -> f64 {
        milliseconds(self.0.max())
    }

    pub(super) fn mean(&self) -> f64 {
        self.0.mean() / 1_000.0
    }
}

fn milliseconds(microseconds: u64) -> f64 {
    // Latencies are below ten minutes, far within what a float holds exactly.
    microseconds as f64 / 1_000.0
}

/// What workers counted.
#[derive(Debug)]
pub(super) struct Counts {
    /// Transfers booked, warm-up included, and their amount in minor units.
    pub(super) booked: u64,
    pub(super) booked_minor: u128,
    /// Those of them that were tried and confirmed.
    pub(super) confirmed: u64,
    /// Transfers whose last answer came while it was measured.
    pub(super) measured: u64,
    pub(super) measured_pairs: u64,
    pub(super) cancelled: u64,
    pub(super) refused: BTreeMap<String, u64>,
    pub(super) unknown: u64,
    /// What may be on the book besides.
    pub(super) unknown_minor: u128,
    pub(super) unavailable: u64,
    pub(super) replayed: u64,
    pub(super) latency: Latency,
}

impl Counts {
    pub(super) fn new() -> CliResult<Counts> {
        Ok(Counts {
            booked: 0,
            booked_minor: 0,
            confirmed: 0,
            measured: 0,
            measured_pairs: 0,
            cancelled: 0,
            refused: BTreeMap::new(),
            unknown: 0,
            unknown_minor: 0,
            unavailable: 0,
            replayed: 0,
            latency: Latency::new()?,
        })
    }

    /// Adds what others counted.
    pub(super) fn add(&mut self, other: &Counts) {
        self.booked += other.booked;
        self.booked_minor += other.booked_minor;
        self.confirmed += other.confirmed;
        self.measured += other.measured;
        self.measured_pairs += other.measured_pairs;
        self.cancelled += other.cancelled;
        self.unknown += other.unknown;
        self.unknown_minor += other.unknown_minor;
        self.unavailable += other.unavailable;
        self.replayed += other.replayed;
        for (reason, count) in &other.refused {
            *self.refused.entry(reason.clone()).or_default() += count;
        }
        self.latency.add(&other.latency);
    }

    /// Adds what moved money, without what was measured: for transfers that only prepare.
    pub(super) fn add_unmeasured(&mut self, other: &Counts) -> CliResult {
        let unmeasured = Counts {
            measured: 0,
            measured_pairs: 0,
            latency: Latency::new()?,
            refused: other.refused.clone(),
            ..*other
        };
        self.add(&unmeasured);
        Ok(())
    }

    /// How many were refused, for whatever reason.
    pub(super) fn refusals(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Counts the answer to a single call.
    pub(super) fn of_single(&mut self, reply: Result<v1::Decision, Failure>) -> CliResult<Answer> {
        match reply {
            Ok(decision) => {
                self.replayed += u64::from(decision.replayed);
                Ok(Answer::Accepted)
            }
            Err(failure) => self.without_answer(failure),
        }
    }

    /// Counts what a batch's answer says of one command.
    pub(super) fn of_batch(&mut self, verdict: &client::Verdict) -> Answer {
        self.replayed += u64::from(verdict.is_replayed);
        match &verdict.refusal {
            Some(refusal) => self.refusal(&refusal.reason),
            None => Answer::Accepted,
        }
    }

    fn refusal(&mut self, reason: &str) -> Answer {
        match self.refused.get_mut(reason) {
            Some(count) => *count += 1,
            None => {
                self.refused.insert(reason.to_owned(), 1);
            }
        }
        Answer::Refused
    }

    /// Counts a refusal of a single call, and tells what the absence of an answer means.
    pub(super) fn without_answer(&mut self, failure: Failure) -> CliResult<Answer> {
        match failure.kind {
            FailureKind::Rejected | FailureKind::NotFound => Ok(self.refusal(&failure.reason)),
            FailureKind::Unknown => Ok(Answer::Unknown),
            FailureKind::Unavailable => Ok(Answer::Unavailable),
            FailureKind::Malformed | FailureKind::NotFolio | FailureKind::Other => Err(failure.into()),
        }
    }
}

/// What readers counted.
#[derive(Debug)]
pub(super) struct ReadCounts {
    /// Reads that were answered while it was measured.
    pub(super) measured: u64,
    /// The lines of the statement pages among them.
    pub(super) lines: u64,
    /// Reads without an answer in time, warm-up included.
    pub(super) unavailable: u64,
    pub(super) latency: Latency,
}

impl ReadCounts {
    pub(super) fn new() -> CliResult<ReadCounts> {
        Ok(ReadCounts { measured: 0, lines: 0, unavailable: 0, latency: Latency::new()? })
    }

    /// Adds what others counted.
    pub(super) fn add(&mut self, other: &ReadCounts) {
        self.measured += other.measured;
        self.lines += other.lines;
        self.unavailable += other.unavailable;
        self.latency.add(&other.latency);
    }
}
