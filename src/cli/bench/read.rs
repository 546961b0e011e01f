//! One reader of the load: balances by key or pages of statements, linearizable, one at a time.
//!
//! Every read says which point of the log it reflects; a reader's points never go back, or its reads were not linearizable and the run fails.

use std::sync::Arc;

use prost_types::Timestamp;
use tokio::time::Instant;

use super::ReadKind;
use super::book::Accounts;
use super::counts::ReadCounts;
use super::numbers::{NumberedName, Numbers};
use super::pace::Schedule;
use crate::cli::{CliError, CliResult};
use crate::client::{Client, Failure, FailureKind};
use crate::proto::v1;

/// Lines of a page.
const PAGE_LINES: u32 = 100;
const NANOSECONDS: u64 = 1_000_000_000;

/// What readers ask for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) kind: ReadKind,
    /// Of the first so many accounts; at least one.
    pub(super) accounts: u32,
    /// Pages of statements begin at any moment since this time of the log.
    pub(super) since: Timestamp,
}

/// A reader.
pub(super) struct Reader {
    client: Arc<Client>,
    schedule: Arc<Schedule>,
    reading: Reading,
    name: NumberedName,
    numbers: Numbers,
    counts: ReadCounts,
    /// The log's time that the latest read reflected, in nanoseconds since 1970.
    latest_ns: u64,
    latest_index: u64,
}

/// What one read found.
#[derive(Debug)]
struct Found {
    point: Option<v1::ReadPoint>,
    lines: u64,
}

fn nanoseconds(time: &Timestamp) -> u64 {
    let seconds = u64::try_from(time.seconds).unwrap_or(0);
    seconds.saturating_mul(NANOSECONDS).saturating_add(u64::try_from(time.nanos).unwrap_or(0))
}

fn timestamp(ns: u64) -> Timestamp {
    // Both are in range: a remainder below a billion, and seconds of a number that had nanoseconds.
    Timestamp { seconds: (ns / NANOSECONDS) as i64, nanos: (ns % NANOSECONDS) as i32 }
}

impl Reader {
    /// A reader of a run's accounts.
    pub(super) fn new(
        reading: Reading,
        client: Arc<Client>,
        accounts: &Accounts,
        schedule: Arc<Schedule>,
        seed: u64,
    ) -> CliResult<Reader> {
        Ok(Reader {
            client,
            schedule,
            reading,
            name: accounts.name(),
            numbers: Numbers::new(seed),
            counts: ReadCounts::new()?,
            latest_ns: nanoseconds(&reading.since),
            latest_index: 0,
        })
    }

    /// Reads until the time is over.
    pub(super) async fn run(mut self) -> CliResult<ReadCounts> {
        while let Some(due) = self.schedule.next().await {
            let found = match self.read().await {
                Ok(found) => found,
                Err(failure) if failure.kind == FailureKind::Unavailable => {
                    self.counts.unavailable += 1;
                    continue;
                }
                Err(failure) => return Err(failure.into()),
            };
            let ended = Instant::now();
            self.follow(found.point)?;
            if due.is_measured {
                self.counts.latency.record(ended - due.at);
            }
            if self.schedule.measures(ended) {
                self.counts.measured += 1;
                self.counts.lines += found.lines;
            }
        }
        Ok(self.counts)
    }

    /// Takes note of the point that an answer reflects.
    fn follow(&mut self, point: Option<v1::ReadPoint>) -> CliResult {
        let point = point.unwrap_or_default();
        if point.log_index < self.latest_index {
            return Err(CliError::Verification(format!(
                "a linearizable read reflects log index {} and the read before it {}",
                point.log_index, self.latest_index
            )));
        }
        self.latest_index = point.log_index;
        let time = point.log_time.as_ref().map_or(0, nanoseconds);
        self.latest_ns = self.latest_ns.max(time);
        Ok(())
    }

    async fn read(&mut self) -> Result<Found, Failure> {
        let number = self.numbers.below(u64::from(self.reading.accounts));
        let account = self.name.numbered(number).to_owned();
        let read = Some(v1::ReadOptions { consistency: Some(v1::read_options::Consistency::Linearizable(true)) });
        match self.reading.kind {
            ReadKind::Balance => {
                let message = v1::GetBalanceRequest { account, as_of: None, read };
                let reply = self.client.balance(&message).await?;
                Ok(Found { point: reply.read_point, lines: 0 })
            }
            ReadKind::Statement => {
                let since = nanoseconds(&self.reading.since);
                let from = since + self.numbers.below(self.latest_ns.saturating_sub(since));
                let message = v1::GetStatementRequest {
                    account,
                    from: Some(timestamp(from)),
                    page_size: PAGE_LINES,
                    read,
                    ..Default::default()
                };
                let reply = self.client.statement(&message).await?;
                Ok(Found { point: reply.read_point, lines: reply.lines.len() as u64 })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn times_go_there_and_back() {
        for ns in [0, 1, 999_999_999, 1_000_000_000, 1_763_880_000_123_456_789] {
            assert_eq!(nanoseconds(&timestamp(ns)), ns);
        }
    }
}
