//! `folio bench`: load on a running cluster, measured, and the proof that what was accepted is on the book.
//!
//! It moves an asset of its own among accounts of its own, in a run that no other run shares, so that their turnover must be exactly what was accepted. It never reads a figure
//! from the cluster that it can measure itself.

mod book;
mod counts;
mod numbers;
mod pace;
mod progress;
mod read;
mod report;
mod round;
mod work;

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::args::{Connection, Output, parse_wait};
use super::{CliError, CliResult};
use crate::client::{Client, ClientConfig};
use book::{Accounts, Turnover, amount_text};
use counts::Counts;
use round::Rounds;

/// What counts the whole book may take longer than a transfer may.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is done to each transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Mode {
    /// Booked in one step.
    Transfer,
    /// Tried and confirmed; some are cancelled instead, see --cancel-percent.
    Tcc,
    /// Half of them booked in one step, half tried.
    Mixed,
    /// Nothing is written: the clients read.
    Read,
}

/// What readers read, linearizable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ReadKind {
    /// The balance of an account, any of them.
    Balance,
    /// A page of 100 lines of the statement of an account, any of the hot ones if there are any, from any moment of its life on.
    Statement,
}

/// `folio bench`.
#[derive(Debug, Args)]
#[command(
    after_help = "A unit of work is one batch of transfers: one call, or with holds two (try, then confirm). A batch of 1 is sent as a
single unary call. Latencies are those of units, from when each began, or with --rate from when it was due. With holds,
pairs/s are transfers tried and confirmed; what was cancelled is not among them. The calls of writers go to the leader,
those of readers to all replicas in turn.

Examples:
  folio bench --clients 4 --batch 1000                       throughput
  folio bench --clients 1 --batch 8190 --rounds 5            the same at its most, five times: median and spread
  folio bench --clients 64 --batch 1                         single calls from 64 clients
  folio bench --clients 64 --batch 1 --hot-accounts 2        two accounts take part in everything
  folio bench --clients 64 --batch 1 --rate 4000 --mode tcc  an open loop: 4000 transfers a second, whatever the cluster does
  folio bench --clients 1 --batch 8190 --readers 16          balances read while writes run at full speed
  folio bench --mode read --clients 64 --rate 10000          10000 linearizable balances a second
  folio bench --mode read --read statement --hot-accounts 1 --fill 1000000
                                                             pages of the statement of an account with a million postings"
)]
pub(crate) struct BenchArgs {
    /// Concurrent clients, each with connections of its own.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub(super) clients: u16,
    /// Transfers of a batch.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=8_192))]
    pub(super) batch: u16,
    /// Units of work that each client has in flight.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) in_flight: u16,
    /// How long each round is measured.
    #[arg(long, default_value = "10s", value_parser = parse_wait)]
    pub(super) duration: Duration,
    /// How long the same load runs before each round is measured.
    #[arg(long, default_value = "2s", value_parser = parse_wait)]
    pub(super) warm_up: Duration,
    /// Rounds over the same accounts; of several, the median and the spread are told.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(super) rounds: u16,
    /// Accounts that the money moves among.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    pub(super) accounts: u32,
    /// One side of every transfer is on one of so many hot accounts, the other on any of the rest [default: both on any].
    #[arg(long, value_name = "ACCOUNTS", default_value_t = 0, hide_default_value = true)]
    pub(super) hot_accounts: u32,
    /// Transfers booked in batches of 8190 before the first round, rounded up to whole batches.
    #[arg(long, value_name = "TRANSFERS", default_value_t = 0, hide_default_value = true)]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=1_000_000_000))]
    pub(super) fill: u64,
    /// Goes on with the accounts of an earlier run, named as its report did, with the same --accounts.
    #[arg(long, value_name = "RUN")]
    pub(super) reuse: Option<String>,
    /// What is done to each transfer.
    #[arg(long, value_enum, default_value_t = Mode::Transfer)]
    pub(super) mode: Mode,
    /// How many of a hundred holds are cancelled instead of confirmed.
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(super) cancel_percent: u8,
    /// Transfers a second of an open loop, shared by all clients; in mode read, reads [default: a closed loop, as fast as it goes].
    #[arg(long, value_name = "TRANSFERS", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) rate: Option<u32>,
    /// Readers beside the writers, each with connections of its own.
    #[arg(long, default_value_t = 0, hide_default_value = true, value_parser = clap::value_parser!(u16).range(0..=1_024))]
    pub(super) readers: u16,
    /// What readers read.
    #[arg(long, value_enum, default_value_t = ReadKind::Balance)]
    pub(super) read: ReadKind,
    /// Reads a second of an open loop, shared by all readers [default: a closed loop].
    #[arg(long, value_name = "READS", requires = "readers")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) read_rate: Option<u32>,
    /// Threads of this program. One is enough for two cores: handing over between threads costs more than it gains. Readers beside writers have one more to themselves.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) threads: u16,
}

impl BenchArgs {
    /// The runtime that a run is to have: with one thread nothing is ever handed to another.
    pub(super) fn runtime(&self) -> std::io::Result<tokio::runtime::Runtime> {
        match self.threads {
            1 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
            threads => tokio::runtime::Builder::new_multi_thread().worker_threads(threads.into()).enable_all().build(),
        }
    }

    fn check(&self) -> CliResult {
        let problem = if self.duration.is_zero() {
            "--duration is zero; measure for a second at least".to_owned()
        } else if self.hot_accounts >= self.accounts {
            format!("--hot-accounts {} leaves none of {} for the other side", self.hot_accounts, self.accounts)
        } else if self.mode == Mode::Read && self.readers > 0 {
            "in --mode read all clients are readers; leave --readers out".to_owned()
        } else {
            return Ok(());
        };
        Err(CliError::Usage(problem))
    }
}

/// What was found on the book.
struct Proof {
    turnover: Turnover,
    is_on_book: bool,
    is_balanced: bool,
}

fn connect(connection: &Connection, timeout: Duration) -> CliResult<Client> {
    Ok(Client::new(&ClientConfig { endpoints: connection.endpoints.clone(), timeout })?)
}

/// The endpoint whose replica says that it leads; the first if none does.
async fn leader(client: &Client) -> usize {
    for endpoint in 0..client.endpoints() {
        if client.status(endpoint).await.is_ok_and(|status| status.role == "leader") {
            return endpoint;
        }
    }
    0
}

/// Runs the load and checks the book.
pub(super) async fn run(connection: &Connection, args: BenchArgs, shape: Output) -> CliResult {
    args.check()?;
    let client = connect(connection, connection.timeout.max(PATIENCE))?;
    client.prefer(leader(&client).await);
    // A run's name and the ids of its requests come from here; what the workers do with the numbers after that repeats.
    let id = uuid::Uuid::new_v4();
    let fresh = id.simple().to_string().chars().take(12).collect::<String>();
    let (name, accounts) = match args.reuse.clone() {
        Some(earlier) => {
            let accounts = Accounts::reuse(&client, &earlier, args.accounts).await?;
            (earlier, accounts)
        }
        None => {
            let accounts = Accounts::open(&client, &fresh, args.accounts).await?;
            (fresh, accounts)
        }
    };
    let (seed, _) = id.as_u64_pair();
    let mut rounds = Rounds::new(connection, &args, &accounts, seed);
    let mut total = Counts::new()?;
    if args.fill > 0 {
        let filled = rounds.fill(&client).await?;
        total.add_unmeasured(&filled)?;
    }
    let since = accounts.opened_at(&client).await?;
    let mut done = Vec::with_capacity(args.rounds.into());
    for number in 1..=args.rounds {
        let round = rounds.run(&client, number, since).await?;
        total.add(&round.counts);
        done.push(round);
    }
    let proof = prove(&client, &accounts, &total).await?;
    let printed = report::report(&args, shape, &name, &total, &done, &proof);
    if proof.is_on_book && proof.is_balanced {
        return printed;
    }
    Err(CliError::Verification(format!(
        "the accepted amount is {} and the book says {}, or the trial balance is not zero",
        amount_text(total.booked_minor),
        amount_text(proof.turnover.debits)
    )))
}

async fn prove(client: &Client, accounts: &Accounts, counts: &Counts) -> CliResult<Proof> {
    let turnover = accounts.turnover(client).await?;
    // What is unknown may be on the book or not; without it the figures must be the same to the last unit, and nothing may be pending.
    let least = counts.booked_minor;
    let most = counts.booked_minor + counts.unknown_minor;
    let is_settled = turnover.pending == 0 || counts.unknown + counts.unavailable > 0;
    let is_on_book = (least..=most).contains(&turnover.debits) && turnover.debits == turnover.credits && is_settled;
    Ok(Proof { turnover, is_on_book, is_balanced: book::is_balanced(client).await? })
}
