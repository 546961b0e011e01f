//! Times as values. The core knows no clock: the leader stamps an entry, and the log makes stamps strictly increase.

use serde::{Deserialize, Serialize};

/// The log's time of record, in nanoseconds since 1970-01-01T00:00:00Z (reaches the year 2554).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct LogTime(pub u64);

impl LogTime {
    /// The time of the next record: the leader's stamp, or one nanosecond after the previous record where the stamp is
    /// not later than that.
    pub fn next(self, stamp: LogTime) -> LogTime {
        stamp.max(LogTime(self.0.saturating_add(1)))
    }

    /// This time plus an interval, at most the end of time.
    pub fn after(self, interval: Interval) -> LogTime {
        LogTime(self.0.saturating_add(interval.0))
    }
}

/// A length of time in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Interval(pub u64);

/// A business date given by a client, in nanoseconds since 1970-01-01T00:00:00Z, possibly negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EffectiveAt(pub i64);
