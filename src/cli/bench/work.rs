//! One worker of the load: it has one unit of work in flight at a time, writes every batch into the same memory again and counts the answers.
//!
//! A unit is a batch of transfers. Those that go by try and confirm take a second call, which resolves what the first reserved; some are cancelled instead, if that is asked for.
//! It shares two cores with what it measures, so it does nothing for a transfer that it could do for a batch.

use std::sync::Arc;

use tokio::time::Instant;
use uuid::Uuid;

use super::book::Accounts;
use super::counts::{Answer, Counts};
use super::numbers::{Digits, NumberedName, Numbers};
use super::pace::Schedule;
use super::{BenchArgs, Mode};
use crate::cli::CliResult;
use crate::client::{BatchWriter, Client, PlainCommand};

/// How long a hold of the run lasts if nobody resolves it.
const HOLD_SECONDS: u32 = 600;
/// The largest amount, in minor units.
const MAX_MINOR: u64 = 9_999;

/// What a load does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) mode: Mode,
    pub(super) batch: u16,
    /// One side of every transfer is on one of the first so many accounts; 0: on any.
    pub(super) hot_accounts: u32,
    /// How many of a hundred holds are cancelled instead of confirmed.
    pub(super) cancel_percent: u8,
}

impl Load {
    /// What the arguments ask for.
    pub(super) fn of(args: &BenchArgs) -> Load {
        Load {
            mode: args.mode,
            batch: args.batch,
            hot_accounts: args.hot_accounts,
            cancel_percent: args.cancel_percent,
        }
    }

    /// What becomes of a transfer.
    fn course(&self, number: u64) -> Course {
        let (is_tried, holds_before) = match self.mode {
            Mode::Transfer | Mode::Read => (false, 0),
            Mode::Tcc => (true, number),
            Mode::Mixed => (number % 2 == 1, number / 2),
        };
        if !is_tried {
            return Course::Transfer;
        }
        // Spread evenly: so many of any hundred holds in a row.
        let due = |holds: u64| holds * u64::from(self.cancel_percent) / 100;
        match due(holds_before + 1) > due(holds_before) {
            true => Course::Cancel,
            false => Course::Confirm,
        }
    }

    /// The accounts of a transfer: which is debited and which is credited. They differ.
    fn sides(&self, numbers: &mut Numbers, accounts: u64) -> (u64, u64) {
        let hot = u64::from(self.hot_accounts);
        if hot == 0 {
            let debit = numbers.below(accounts);
            // Another one than the first: a step of at least one around the circle.
            return (debit, (debit + 1 + numbers.below(accounts - 1)) % accounts);
        }
        let busy = numbers.below(hot);
        let other = hot + numbers.below(accounts - hot);
        match numbers.below(2) {
            0 => (busy, other),
            _ => (other, busy),
        }
    }
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

/// One transfer of the unit in work.
#[derive(Debug, Clone, Copy)]
struct Item {
    /// Of its first request, and so of the transaction.
    id: Uuid,
    course: Course,
    minor: u64,
    debit: u64,
    credit: u64,
}

impl Item {
    /// Shows its first command, written into the texts given.
    fn with_first<T>(&self, texts: &mut Texts, show: impl FnOnce(&PlainCommand<'_>) -> T) -> T {
        let amount = Digits::of_minor(self.minor);
        let (debit, credit) = (texts.debit.numbered(self.debit), texts.credit.numbered(self.credit));
        let (request_id, amount) = (self.id, amount.as_str());
        show(&match self.course {
            Course::Transfer => PlainCommand::Transfer { request_id, debit, credit, amount },
            Course::Confirm | Course::Cancel => {
                PlainCommand::Try { request_id, debit, credit, amount, timeout_seconds: HOLD_SECONDS }
            }
        })
    }

    /// The command that resolves what it reserved.
    fn second(&self, request_id: Uuid) -> PlainCommand<'static> {
        match self.course {
            Course::Cancel => PlainCommand::Cancel { request_id, transaction_id: self.id },
            Course::Transfer | Course::Confirm => PlainCommand::Confirm { request_id, transaction_id: self.id },
        }
    }
}

/// The texts of the command in work.
#[derive(Debug)]
struct Texts {
    debit: NumberedName,
    credit: NumberedName,
}

/// A worker.
pub(super) struct Worker {
    client: Arc<Client>,
    schedule: Arc<Schedule>,
    load: Load,
    accounts: u64,
    numbers: Numbers,
    counts: Counts,
    /// How many transfers were begun.
    begun: u64,
    texts: Texts,
    items: Vec<Item>,
    writer: BatchWriter,
    /// Which items the second call resolves.
    resolved: Vec<usize>,
    answers: Vec<Answer>,
}

impl Worker {
    pub(super) fn new(
        load: Load,
        client: Arc<Client>,
        accounts: &Accounts,
        schedule: Arc<Schedule>,
        seed: u64,
    ) -> CliResult<Worker> {
        let batch = usize::from(load.batch);
        let texts = Texts { debit: accounts.name(), credit: accounts.name() };
        Ok(Worker {
            client,
            schedule,
            load,
            accounts: u64::from(accounts.count()),
            numbers: Numbers::new(seed),
            counts: Counts::new()?,
            begun: 0,
            texts,
            items: Vec::with_capacity(batch),
            writer: BatchWriter::new(),
            resolved: Vec::with_capacity(batch),
            answers: Vec::with_capacity(batch),
        })
    }

    /// Works until the time is over.
    pub(super) async fn run(mut self) -> CliResult<Counts> {
        while let Some(due) = self.schedule.next().await {
            let (booked_before, confirmed_before) = (self.counts.booked, self.counts.confirmed);
            self.unit().await?;
            let ended = Instant::now();
            if due.is_measured {
                self.counts.latency.record(ended - due.at);
            }
            if self.schedule.measures(ended) {
                self.counts.measured += self.counts.booked - booked_before;
                self.counts.measured_pairs += self.counts.confirmed - confirmed_before;
            }
        }
        Ok(self.counts)
    }

    async fn unit(&mut self) -> CliResult {
        self.draw();
        self.send_first().await?;
        self.resolved.clear();
        for (position, (item, answer)) in self.items.iter().zip(&self.answers).enumerate() {
            match (item.course, *answer) {
                (Course::Transfer, answer) => settle(&mut self.counts, item, answer),
                (Course::Confirm | Course::Cancel, Answer::Accepted) => self.resolved.push(position),
                (Course::Confirm | Course::Cancel, Answer::Unknown) => self.counts.unknown += 1,
                (Course::Confirm | Course::Cancel, Answer::Unavailable) => self.counts.unavailable += 1,
                // Counted with its reason where it was read.
                (Course::Confirm | Course::Cancel, Answer::Refused) => {}
            }
        }
        if self.resolved.is_empty() {
            return Ok(());
        }
        self.send_second().await?;
        for (position, answer) in self.resolved.iter().zip(&self.answers) {
            if let Some(item) = self.items.get(*position) {
                settle(&mut self.counts, item, *answer);
            }
        }
        Ok(())
    }

    /// Decides the transfers of the next unit.
    fn draw(&mut self) {
        self.items.clear();
        for _ in 0..self.load.batch {
            let course = self.load.course(self.begun);
            self.begun += 1;
            let minor = 1 + self.numbers.below(MAX_MINOR);
            let (debit, credit) = self.load.sides(&mut self.numbers, self.accounts);
            self.items.push(Item { id: self.numbers.id(), course, minor, debit, credit });
        }
    }

    async fn send_first(&mut self) -> CliResult {
        if let [item] = self.items.as_slice() {
            let client = &self.client;
            // The bytes are written at once; what is awaited borrows none of the texts.
            let reply = item.with_first(&mut self.texts, |command| client.plain(command)).await;
            return self.answer_single(reply);
        }
        self.writer.reserve();
        for item in &self.items {
            item.with_first(&mut self.texts, |command| self.writer.push(command));
        }
        self.send_batch().await
    }

    async fn send_second(&mut self) -> CliResult {
        if let (1, [item]) = (self.load.batch, self.items.as_slice()) {
            let reply = self.client.plain(&item.second(self.numbers.id())).await;
            return self.answer_single(reply);
        }
        self.writer.reserve();
        for position in &self.resolved {
            if let Some(item) = self.items.get(*position) {
                self.writer.push(&item.second(self.numbers.id()));
            }
        }
        self.send_batch().await
    }

    fn answer_single(&mut self, reply: Result<crate::proto::v1::Decision, crate::client::Failure>) -> CliResult {
        let answer = self.counts.of_single(reply)?;
        self.answers.clear();
        self.answers.push(answer);
        Ok(())
    }

    /// Sends the batch that was written; one answer for each command.
    async fn send_batch(&mut self) -> CliResult {
        let batch = self.writer.take();
        let asked = batch.commands();
        self.answers.clear();
        match self.client.plain_batch(batch).await {
            Ok(verdicts) => self.answers.extend(verdicts.iter().map(|verdict| self.counts.of_batch(verdict))),
            Err(failure) => {
                let answer = self.counts.without_answer(failure)?;
                self.answers.resize(asked, answer);
            }
        }
        Ok(())
    }
}

/// Counts the last answer of a transfer.
fn settle(counts: &mut Counts, item: &Item, answer: Answer) {
    match (answer, item.course) {
        (Answer::Accepted, Course::Cancel) => counts.cancelled += 1,
        (Answer::Accepted, Course::Transfer | Course::Confirm) => {
            counts.booked += 1;
            counts.confirmed += u64::from(item.course == Course::Confirm);
            counts.booked_minor += u128::from(item.minor);
        }
        (Answer::Unknown, Course::Cancel) => counts.unknown += 1,
        (Answer::Unknown, Course::Transfer | Course::Confirm) => {
            counts.unknown += 1;
            counts.unknown_minor += u128::from(item.minor);
        }
        (Answer::Unavailable, _) => counts.unavailable += 1,
        (Answer::Refused, _) => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn load(mode: Mode, hot_accounts: u32, cancel_percent: u8) -> Load {
        Load { mode, batch: 1, hot_accounts, cancel_percent }
    }

    #[test]
    fn every_mode_takes_every_course_that_it_has() {
        let share = |mode: Mode, course: Course| {
            (0..1_000).filter(|number| load(mode, 0, 10).course(*number) == course).count()
        };
        assert_eq!(share(Mode::Transfer, Course::Transfer), 1_000);
        assert_eq!(share(Mode::Tcc, Course::Confirm), 900);
        assert_eq!(share(Mode::Tcc, Course::Cancel), 100);
        assert_eq!(share(Mode::Mixed, Course::Transfer), 500);
        assert_eq!(share(Mode::Mixed, Course::Confirm), 450);
        assert_eq!(share(Mode::Mixed, Course::Cancel), 50);
    }

    #[test]
    fn as_many_holds_are_cancelled_as_asked_for() {
        for percent in [0, 1, 33, 100] {
            let cancelled =
                (0..1_000).filter(|number| load(Mode::Tcc, 0, percent).course(*number) == Course::Cancel).count();
            assert_eq!(cancelled, 10 * usize::from(percent));
        }
    }

    #[test]
    fn the_sides_of_a_transfer_differ_and_one_is_hot_if_asked_for() {
        let mut numbers = Numbers::new(3);
        for (hot, accounts) in [(0, 2), (0, 1_000), (1, 2), (2, 1_000), (999, 1_000)] {
            let mut debited_hot = 0;
            for _ in 0..1_000 {
                let (debit, credit) = load(Mode::Transfer, hot, 0).sides(&mut numbers, accounts);
                assert!(debit != credit && debit < accounts && credit < accounts);
                if hot > 0 {
                    assert!((debit < u64::from(hot)) != (credit < u64::from(hot)), "{debit} {credit} of {hot}");
                    debited_hot += u32::from(debit < u64::from(hot));
                }
            }
            assert!(hot == 0 || (400..600).contains(&debited_hot), "both directions: {debited_hot}");
        }
    }
}
