//! Rounds of the same load over the same accounts, and the filling before them. Each round has fresh workers and connections and a warm-up of its own, so that none stands on the
//! one before but for what the book holds.

use std::sync::Arc;
use std::time::Duration;

use prost_types::Timestamp;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinSet;

use super::book::Accounts;
use super::counts::{Counts, ReadCounts};
use super::numbers::Numbers;
use super::pace::Schedule;
use super::read::{Reader, Reading};
use super::work::{Load, Worker};
use super::{BenchArgs, Mode, ReadKind, connect, leader, progress};
use crate::cli::args::Connection;
use crate::cli::{CliError, CliResult};
use crate::client::Client;

/// Transfers of a batch of the filling, and batches of it in flight.
const FILL_BATCH: u16 = 8_190;
const FILL_IN_FLIGHT: u16 = 2;

/// What a round found.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) counts: Counts,
    /// Units of an open loop that were due and not begun before the end.
    pub(super) never_begun: u64,
    /// Of a load that reads.
    pub(super) reads: Option<Reads>,
}

/// What the readers of a round found.
#[derive(Debug)]
pub(super) struct Reads {
    pub(super) counts: ReadCounts,
    pub(super) never_begun: u64,
}

/// How many write and how many read, with how many calls in flight each, and at what rate.
struct Crew {
    writers: u16,
    readers: u16,
    in_flight: u16,
    reader_in_flight: u16,
    units_per_second: Option<f64>,
    reads_per_second: Option<f64>,
}

impl Crew {
    fn of(args: &BenchArgs) -> Crew {
        match args.mode {
            Mode::Transfer | Mode::Tcc | Mode::Mixed => Crew {
                writers: args.clients,
                readers: args.readers,
                in_flight: args.in_flight,
                reader_in_flight: 1,
                units_per_second: args.rate.map(|rate| f64::from(rate) / f64::from(args.batch)),
                reads_per_second: args.read_rate.map(f64::from),
            },
            Mode::Read => Crew {
                writers: 0,
                readers: args.clients,
                in_flight: args.in_flight,
                reader_in_flight: args.in_flight,
                units_per_second: None,
                reads_per_second: args.rate.map(f64::from),
            },
        }
    }
}

/// Where readers run: beside writers on a thread of their own. A batch takes milliseconds to write, which a reader of its thread would wait for and take for the cluster's.
struct Aside(Option<Runtime>);

impl Aside {
    fn of(crew: &Crew) -> CliResult<Aside> {
        let is_wanted = crew.writers > 0 && crew.readers > 0;
        let runtime = || Builder::new_multi_thread().worker_threads(1).enable_all().thread_name("readers").build();
        Ok(Aside(is_wanted.then(runtime).transpose()?))
    }

    fn handle(&self) -> Handle {
        self.0.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // A runtime must not be waited for by another's thread; the readers have ended or failed.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// The rounds of a run.
pub(super) struct Rounds<'a> {
    connection: &'a Connection,
    args: &'a BenchArgs,
    accounts: &'a Accounts,
    seed: u64,
}

impl<'a> Rounds<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        args: &'a BenchArgs,
        accounts: &'a Accounts,
        seed: u64,
    ) -> Rounds<'a> {
        Rounds { connection, args, accounts, seed }
    }

    fn next_seed(&mut self) -> u64 {
        self.seed = Numbers::next_stream(self.seed);
        self.seed
    }

    fn client(&self, endpoint: usize) -> CliResult<Arc<Client>> {
        let client = connect(self.connection, self.connection.timeout)?;
        client.prefer(endpoint);
        Ok(Arc::new(client))
    }

    /// Books what is asked for before the first round: transfers, as the rounds' own are, in large batches.
    pub(super) async fn fill(&mut self, client: &Client) -> CliResult<Counts> {
        let batches = self.args.fill.div_ceil(u64::from(FILL_BATCH));
        let schedule = Arc::new(Schedule::counted(batches));
        let load = Load { mode: Mode::Transfer, batch: FILL_BATCH, ..Load::of(self.args) };
        let client = self.client(leader(client).await)?;
        let mut workers = JoinSet::new();
        for _ in 0..FILL_IN_FLIGHT {
            let seed = self.next_seed();
            let worker = Worker::new(load, Arc::clone(&client), self.accounts, Arc::clone(&schedule), seed)?;
            workers.spawn(worker.run());
        }
        let transfers = |batches: u64| batches * u64::from(FILL_BATCH);
        let bar = progress::bar(transfers(batches), "filling the book");
        progress::while_shown(bar, || transfers(schedule.begun()), collect(&mut workers)).await
    }

    /// Runs a round. `since`: when the accounts were opened, by the log.
    pub(super) async fn run(&mut self, client: &Client, number: u16, since: Timestamp) -> CliResult<Round> {
        let crew = Crew::of(self.args);
        let (warm_up, duration) = (self.args.warm_up, self.args.duration);
        let leader = leader(client).await;
        let schedule = Arc::new(Schedule::new(warm_up, duration, crew.units_per_second)?);
        let mut writers = JoinSet::new();
        for _ in 0..crew.writers {
            let client = self.client(leader)?;
            for _ in 0..crew.in_flight {
                let (client, schedule, seed) = (Arc::clone(&client), Arc::clone(&schedule), self.next_seed());
                writers.spawn(Worker::new(Load::of(self.args), client, self.accounts, schedule, seed)?.run());
            }
        }
        let read_schedule = Arc::new(Schedule::new(warm_up, duration, crew.reads_per_second)?);
        let aside = Aside::of(&crew)?;
        let mut readers = self.begin_readers(&crew, &read_schedule, since, &aside.handle())?;
        let total = warm_up + duration;
        let begin = tokio::time::Instant::now();
        let bar = progress::bar(total.as_secs(), format!("round {number} of {}, seconds", self.args.rounds));
        let position = || begin.elapsed().min(total).as_secs();
        let work = async { tokio::try_join!(collect(&mut writers), collect_reads(&mut readers)) };
        let (mut counts, mut reads) = progress::while_shown(bar, position, work).await?;
        let never_begun = late(&schedule, |waited| counts.latency.record(waited));
        let reads_never_begun = late(&read_schedule, |waited| reads.latency.record(waited));
        let reads = (crew.readers > 0).then_some(Reads { counts: reads, never_begun: reads_never_begun });
        Ok(Round { counts, never_begun, reads })
    }

    fn begin_readers(
        &mut self,
        crew: &Crew,
        schedule: &Arc<Schedule>,
        since: Timestamp,
        runtime: &Handle,
    ) -> CliResult<JoinSet<CliResult<ReadCounts>>> {
        // Their connections are to be driven where they run.
        let _entered = runtime.enter();
        let reading = self.reading(since);
        let mut readers = JoinSet::new();
        for place in 0..crew.readers {
            let client = self.client(place.into())?;
            for _ in 0..crew.reader_in_flight {
                let (client, schedule, seed) = (Arc::clone(&client), Arc::clone(schedule), self.next_seed());
                readers.spawn_on(Reader::new(reading, client, self.accounts, schedule, seed)?.run(), runtime);
            }
        }
        Ok(readers)
    }

    fn reading(&self, since: Timestamp) -> Reading {
        let accounts = match (self.args.read, self.args.hot_accounts) {
            (ReadKind::Balance, _) | (ReadKind::Statement, 0) => self.accounts.count(),
            (ReadKind::Statement, hot) => hot,
        };
        Reading { kind: self.args.read, accounts, since }
    }
}

/// Shows how long each unit had waited that was due and never begun, and tells how many there were.
fn late(schedule: &Schedule, mut record: impl FnMut(Duration)) -> u64 {
    let mut count = 0;
    for waited in schedule.never_begun() {
        record(waited);
        count += 1;
    }
    count
}

fn failed(error: &tokio::task::JoinError) -> CliError {
    CliError::General(format!("a worker failed: {error}"))
}

async fn collect(workers: &mut JoinSet<CliResult<Counts>>) -> CliResult<Counts> {
    let mut counts = Counts::new()?;
    while let Some(result) = workers.join_next().await {
        counts.add(&result.map_err(|error| failed(&error))??);
    }
    Ok(counts)
}

async fn collect_reads(readers: &mut JoinSet<CliResult<ReadCounts>>) -> CliResult<ReadCounts> {
    let mut counts = ReadCounts::new()?;
    while let Some(result) = readers.join_next().await {
        counts.add(&result.map_err(|error| failed(&error))??);
    }
    Ok(counts)
}
