//! One worker of the load: it has one unit of work in flight at a time, writes every command into the same messages again and counts the answers.
//!
//! A unit is a batch of transfers. Those that go by try and confirm take a second call, which resolves what the first reserved; one in ten is cancelled instead.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;
use uuid::Builder;

use super::book::Accounts;
use super::pace::Schedule;
use super::{BenchArgs, Mode};
use crate::cli::{CliError, CliResult};
use crate::client::{Client, Failure, FailureKind};
use crate::proto::v1::command::Operation;
use crate::proto::v1::{self, Side};

/// How long a hold of the run lasts if nobody resolves it, in seconds.
const HOLD_SECONDS: i64 = 600;
/// The largest amount, in minor units.
const MAX_MINOR: u64 = 9_999;
/// The longest latency that is told apart: ten minutes, in microseconds.
const MAX_LATENCY_US: u64 = 600_000_000;

/// An empty histogram of microseconds, three digits precise.
pub(super) fn histogram() -> CliResult<Histogram<u64>> {
    Histogram::new_with_bounds(1, MAX_LATENCY_US, 3)
        .map_err(|error| CliError::General(format!("no histogram can be made: {error}")))
}

/// Numbers that need not be secret, only spread (SplitMix64).
struct Spread(u64);

impl Spread {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Below a bound that is small against 2⁶⁴, so that no value is noticeably likelier.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn write_id(&mut self, target: &mut String) {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.next().to_be_bytes());
        bytes[8..].copy_from_slice(&self.next().to_be_bytes());
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        write(target, Builder::from_random_bytes(bytes).into_uuid().hyphenated().encode_lower(&mut text));
    }
}

/// Replaces a text without a new allocation where it fits.
fn write(target: &mut String, text: &str) {
    target.clear();
    target.push_str(text);
}

/// What becomes of one transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    /// Booked in one step.
    Transfer,
    /// Tried, then confirmed.
    Confirm,
    /// Tried, then cancelled.
    Cancel,
}

impl Course {
    fn of(mode: Mode, number: u64) -> Course {
        let is_tried = match mode {
            Mode::Transfer => false,
            Mode::Tcc => true,
            Mode::Mixed => number % 2 == 1,
        };
        // Divided by two, so that mixed runs cancel as well: their tries have odd numbers.
        match (is_tried, number / 2 % 10) {
            (false, _) => Course::Transfer,
            (true, 9) => Course::Cancel,
            (true, _) => Course::Confirm,
        }
    }
}

/// How a command was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Refused,
    /// It may have happened.
    Unknown,
    /// It cannot have happened.
    Unavailable,
}

/// What a worker counted.
#[derive(Debug)]
pub(super) struct Counts {
    /// Transfers booked, warm-up included, and their amount in minor units.
    pub(super) booked: u64,
    pub(super) booked_minor: u128,
    /// Transfers whose last answer came while it was measured.
    pub(super) measured: u64,
    pub(super) cancelled: u64,
    pub(super) refused: BTreeMap<String, u64>,
    pub(super) unknown: u64,
    /// What may be on the book besides.
    pub(super) unknown_minor: u128,
    pub(super) unavailable: u64,
    pub(super) replayed: u64,
    pub(super) latency_us: Histogram<u64>,
}

impl Counts {
    pub(super) fn new() -> CliResult<Counts> {
        Ok(Counts {
            booked: 0,
            booked_minor: 0,
            measured: 0,
            cancelled: 0,
            refused: BTreeMap::new(),
            unknown: 0,
            unknown_minor: 0,
            unavailable: 0,
            replayed: 0,
            latency_us: histogram()?,
        })
    }

    /// Adds another worker's counts.
    pub(super) fn add(&mut self, other: &Counts) {
        self.booked += other.booked;
        self.booked_minor += other.booked_minor;
        self.measured += other.measured;
        self.cancelled += other.cancelled;
        self.unknown += other.unknown;
        self.unknown_minor += other.unknown_minor;
        self.unavailable += other.unavailable;
        self.replayed += other.replayed;
        for (reason, count) in &other.refused {
            *self.refused.entry(reason.clone()).or_default() += count;
        }
        // Both have the same bounds, so it cannot fail.
        let _ = self.latency_us.add(&other.latency_us);
    }

    /// Records a latency.
    pub(super) fn record(&mut self, latency: Duration) {
        self.latency_us.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(MAX_LATENCY_US));
    }
}

/// One transfer of the unit in work.
#[derive(Debug, Clone, Copy)]
struct Item {
    course: Course,
    minor: u128,
}

/// A worker.
pub(super) struct Worker {
    client: Arc<Client>,
    accounts: Arc<Accounts>,
    schedule: Arc<Schedule>,
    mode: Mode,
    spread: Spread,
    counts: Counts,
    /// How many transfers were begun.
    begun: u64,
    items: Vec<Item>,
    first: v1::ExecuteBatchRequest,
    second: v1::ExecuteBatchRequest,
    /// Which items the second call resolves.
    resolved: Vec<usize>,
    verdicts: Vec<Verdict>,
}

impl Worker {
    pub(super) fn new(
        args: &BenchArgs,
        client: Arc<Client>,
        accounts: Arc<Accounts>,
        schedule: Arc<Schedule>,
        seed: u64,
    ) -> CliResult<Worker> {
        let batch = usize::from(args.batch);
        let first =
            v1::ExecuteBatchRequest { commands: vec![v1::Command::default(); batch], atomic_request_id: String::new() };
        let worker = Worker {
            client,
            accounts,
            schedule,
            mode: args.mode,
            spread: Spread(seed),
            counts: Counts::new()?,
            begun: 0,
            items: Vec::with_capacity(batch),
            first,
            second: v1::ExecuteBatchRequest::default(),
            resolved: Vec::with_capacity(batch),
            verdicts: Vec::with_capacity(batch),
        };
        Ok(worker)
    }

    /// Works until the time is over.
    pub(super) async fn run(mut self) -> CliResult<Counts> {
        while let Some(due) = self.schedule.next().await {
            let booked_before = self.counts.booked;
            self.unit().await?;
            let ended = Instant::now();
            if due.is_measured {
                self.counts.record(ended - due.at);
            }
            if self.schedule.measures(ended) {
                self.counts.measured += self.counts.booked - booked_before;
            }
        }
        Ok(self.counts)
    }

    async fn unit(&mut self) -> CliResult {
        self.write_first();
        self.send(false).await?;
        self.resolved.clear();
        for position in 0..self.items.len() {
            let (Some(item), Some(verdict)) = (self.items.get(position).copied(), self.verdicts.get(position).copied())
            else {
                continue;
            };
            match (item.course, verdict) {
                (Course::Transfer, verdict) => self.settle(item, verdict),
                (Course::Confirm | Course::Cancel, Verdict::Accepted) => self.resolved.push(position),
                (Course::Confirm | Course::Cancel, Verdict::Unknown) => self.counts.unknown += 1,
                (Course::Confirm | Course::Cancel, Verdict::Unavailable) => self.counts.unavailable += 1,
                // Counted with its reason where it was read.
                (Course::Confirm | Course::Cancel, Verdict::Refused) => {}
            }
        }
        if self.resolved.is_empty() {
            return Ok(());
        }
        self.write_second();
        self.send(true).await?;
        for place in 0..self.resolved.len() {
            let item = self.resolved.get(place).and_then(|position| self.items.get(*position)).copied();
            if let (Some(item), Some(verdict)) = (item, self.verdicts.get(place).copied()) {
                self.settle(item, verdict);
            }
        }
        Ok(())
    }

    /// Counts the last answer of a transfer.
    fn settle(&mut self, item: Item, verdict: Verdict) {
        match (verdict, item.course) {
            (Verdict::Accepted, Course::Cancel) => self.counts.cancelled += 1,
            (Verdict::Accepted, Course::Transfer | Course::Confirm) => {
                self.counts.booked += 1;
                self.counts.booked_minor += item.minor;
            }
            (Verdict::Unknown, Course::Cancel) => self.counts.unknown += 1,
            (Verdict::Unknown, Course::Transfer | Course::Confirm) => {
                self.counts.unknown += 1;
                self.counts.unknown_minor += item.minor;
            }
            (Verdict::Unavailable, _) => self.counts.unavailable += 1,
            (Verdict::Refused, _) => {}
        }
    }

    /// Writes a batch of transfers and tries over the batch before.
    fn write_first(&mut self) {
        self.items.clear();
        let names = self.accounts.names();
        for command in &mut self.first.commands {
            let course = Course::of(self.mode, self.begun);
            self.begun += 1;
            let minor = 1 + self.spread.below(MAX_MINOR);
            let debit = self.spread.below(names.len() as u64);
            // Another one than the first: a step of at least one around the circle.
            let credit = (debit + 1 + self.spread.below(names.len() as u64 - 1)) % names.len() as u64;
            let name = |number: u64| usize::try_from(number).ok().and_then(|number| names.get(number));
            let (Some(debit), Some(credit)) = (name(debit), name(credit)) else { continue };
            let amount = super::book::amount_text(u128::from(minor));
            match course {
                Course::Transfer => write_transfer(command, &mut self.spread, debit, credit, &amount),
                Course::Confirm | Course::Cancel => write_try(command, &mut self.spread, debit, credit, &amount),
            }
            self.items.push(Item { course, minor: u128::from(minor) });
        }
    }

    /// Writes the commands that resolve what was reserved.
    fn write_second(&mut self) {
        self.second.commands.clear();
        for position in &self.resolved {
            let (Some(item), Some(command)) = (self.items.get(*position), self.first.commands.get(*position)) else {
                continue;
            };
            let Some(Operation::TryTransaction(tried)) = &command.operation else { continue };
            let transaction_id = tried.request_id.clone();
            let mut request_id = String::with_capacity(uuid::fmt::Hyphenated::LENGTH);
            self.spread.write_id(&mut request_id);
            let operation = match item.course {
                Course::Cancel => {
                    Operation::CancelTransaction(v1::CancelTransactionRequest { request_id, transaction_id })
                }
                Course::Transfer | Course::Confirm => Operation::ConfirmTransaction(v1::ConfirmTransactionRequest {
                    request_id,
                    transaction_id,
                    amounts: Vec::new(),
                }),
            };
            self.second.commands.push(v1::Command { operation: Some(operation) });
        }
    }

    /// Sends the first or second call of the unit; one verdict per command.
    async fn send(&mut self, second: bool) -> CliResult {
        let message = if second { &self.second } else { &self.first };
        self.verdicts.clear();
        if let [command] = message.commands.as_slice() {
            let reply = self.client.command(command).await;
            let verdict = self.counts.single(reply)?;
            self.verdicts.push(verdict);
            return Ok(());
        }
        match self.client.batch(message).await {
            Ok(reply) if reply.results.len() == message.commands.len() => {
                self.verdicts.extend(reply.results.iter().map(|result| self.counts.of_batch(result)));
            }
            Ok(reply) => {
                let (asked, answered) = (message.commands.len(), reply.results.len());
                return Err(CliError::General(format!("a batch of {asked} commands has {answered} answers")));
            }
            Err(failure) => {
                let verdict = self.counts.without_answer(failure)?;
                self.verdicts.resize(message.commands.len(), verdict);
            }
        }
        Ok(())
    }
}

impl Counts {
    fn single(&mut self, reply: Result<v1::Decision, Failure>) -> CliResult<Verdict> {
        match reply {
            Ok(decision) => {
                self.replayed += u64::from(decision.replayed);
                Ok(Verdict::Accepted)
            }
            Err(failure) => self.without_answer(failure),
        }
    }

    fn of_batch(&mut self, result: &v1::CommandResult) -> Verdict {
        self.replayed += u64::from(result.decision.as_ref().is_some_and(|decision| decision.replayed));
        match &result.refusal {
            Some(refusal) => self.refusal(&refusal.reason),
            None => Verdict::Accepted,
        }
    }

    fn refusal(&mut self, reason: &str) -> Verdict {
        match self.refused.get_mut(reason) {
            Some(count) => *count += 1,
            None => {
                self.refused.insert(reason.to_owned(), 1);
            }
        }
        Verdict::Refused
    }

    fn without_answer(&mut self, failure: Failure) -> CliResult<Verdict> {
        match failure.kind {
            FailureKind::Rejected | FailureKind::NotFound => Ok(self.refusal(&failure.reason)),
            FailureKind::Unknown => Ok(Verdict::Unknown),
            FailureKind::Unavailable => Ok(Verdict::Unavailable),
            FailureKind::Malformed | FailureKind::Other => Err(failure.into()),
        }
    }
}

fn write_transfer(command: &mut v1::Command, spread: &mut Spread, debit: &str, credit: &str, amount: &str) {
    if !matches!(command.operation, Some(Operation::Transfer(_))) {
        command.operation = Some(Operation::Transfer(v1::TransferRequest::default()));
    }
    if let Some(Operation::Transfer(transfer)) = &mut command.operation {
        spread.write_id(&mut transfer.request_id);
        write(&mut transfer.debit_account, debit);
        write(&mut transfer.credit_account, credit);
        write(&mut transfer.amount, amount);
    }
}

fn write_try(command: &mut v1::Command, spread: &mut Spread, debit: &str, credit: &str, amount: &str) {
    if !matches!(command.operation, Some(Operation::TryTransaction(_))) {
        let posting = |side: Side| v1::Posting { side: side.into(), ..Default::default() };
        command.operation = Some(Operation::TryTransaction(v1::TryTransactionRequest {
            postings: vec![posting(Side::Debit), posting(Side::Credit)],
            timeout: Some(prost_types::Duration { seconds: HOLD_SECONDS, nanos: 0 }),
            ..Default::default()
        }));
    }
    if let Some(Operation::TryTransaction(tried)) = &mut command.operation {
        spread.write_id(&mut tried.request_id);
        for (posting, account) in tried.postings.iter_mut().zip([debit, credit]) {
            write(&mut posting.account, account);
            write(&mut posting.amount, amount);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn every_mode_takes_every_course_that_it_has() {
        let share =
            |mode: Mode, course: Course| (0..1_000).filter(|number| Course::of(mode, *number) == course).count();
        assert_eq!(share(Mode::Transfer, Course::Transfer), 1_000);
        assert_eq!(share(Mode::Tcc, Course::Confirm), 900);
        assert_eq!(share(Mode::Tcc, Course::Cancel), 100);
        assert_eq!(share(Mode::Mixed, Course::Transfer), 500);
        assert_eq!(share(Mode::Mixed, Course::Confirm), 450);
        assert_eq!(share(Mode::Mixed, Course::Cancel), 50);
    }

    #[test]
    fn ids_are_valid_and_do_not_repeat() {
        let mut spread = Spread(7);
        let mut seen = std::collections::HashSet::new();
        let mut text = String::new();
        for _ in 0..10_000 {
            spread.write_id(&mut text);
            assert_eq!(uuid::Uuid::parse_str(&text).unwrap().get_version_num(), 4);
            assert!(seen.insert(text.clone()));
        }
    }

    #[test]
    fn a_message_is_written_over_without_traces_of_the_one_before() {
        let mut command = v1::Command::default();
        let mut spread = Spread(1);
        write_try(&mut command, &mut spread, "first:account", "second:account", "12.34");
        write_try(&mut command, &mut spread, "a", "b", "1.00");
        let Some(Operation::TryTransaction(tried)) = &command.operation else { panic!("no try") };
        assert_eq!(tried.postings.len(), 2);
        assert_eq!((tried.postings[0].account.as_str(), tried.postings[0].side()), ("a", Side::Debit));
        assert_eq!((tried.postings[1].account.as_str(), tried.postings[1].side()), ("b", Side::Credit));
        write_transfer(&mut command, &mut spread, "c", "d", "2.00");
        let Some(Operation::Transfer(transfer)) = &command.operation else { panic!("no transfer") };
        assert_eq!(transfer.request_id.len(), 36);
    }
}
