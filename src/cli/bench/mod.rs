//! `folio bench`: load on a running cluster, measured, and the proof that what was accepted is on the book.
//!
//! It moves an asset of its own among accounts of its own, in a run that no other run shares, so that their turnover must be exactly what was accepted. It never reads a figure
//! from the cluster that it can measure itself.

mod book;
mod pace;
mod work;

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::args::{Connection, Output, parse_wait};
use super::{CliError, CliResult, output};
use crate::client::{Client, ClientConfig};
use book::{Accounts, Turnover, amount_text};
use pace::Schedule;
use work::{Counts, Worker};

/// What is done to each transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Mode {
    /// Booked in one step.
    Transfer,
    /// Tried and confirmed; one in ten is cancelled instead.
    Tcc,
    /// Half of them booked in one step, half tried.
    Mixed,
}

/// `folio bench`.
#[derive(Debug, Args)]
#[command(
    after_help = "A unit of work is one batch of transfers: one call, or with holds two (try, then confirm). A batch of 1 is sent as a
single unary call. Latencies are those of units, from when each began, or with --rate from when it was due.

Examples:
  folio bench --clients 4 --batch 1000                       throughput
  folio bench --clients 64 --batch 1                         single calls from 64 clients
  folio bench --clients 64 --batch 1 --rate 4000 --mode tcc  an open loop: 4000 transfers a second, whatever the cluster does"
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
    /// How long it is measured.
    #[arg(long, default_value = "10s", value_parser = parse_wait)]
    pub(super) duration: Duration,
    /// How long the same load runs before it is measured.
    #[arg(long, default_value = "2s", value_parser = parse_wait)]
    pub(super) warm_up: Duration,
    /// Accounts that the money moves among.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    pub(super) accounts: u32,
    /// What is done to each transfer.
    #[arg(long, value_enum, default_value_t = Mode::Transfer)]
    pub(super) mode: Mode,
    /// Transfers a second of an open loop, shared by all clients [default: a closed loop, as fast as it goes].
    #[arg(long, value_name = "TRANSFERS", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) rate: Option<u32>,
}

/// What was found on the book.
struct Proof {
    turnover: Turnover,
    is_on_book: bool,
    is_balanced: bool,
}

fn connect(connection: &Connection) -> CliResult<Client> {
    Ok(Client::new(&ClientConfig { endpoints: connection.endpoints.clone(), timeout: connection.timeout })?)
}

/// Runs the load and checks the book.
pub(super) async fn run(connection: &Connection, args: BenchArgs, shape: Output) -> CliResult {
    if args.duration.is_zero() {
        return Err(CliError::Usage("--duration is zero; measure for a second at least".to_owned()));
    }
    let client = connect(connection)?;
    // A run's name and the ids of its requests come from here; what the workers do with the numbers after that repeats.
    let run = uuid::Uuid::new_v4();
    let name = run.simple().to_string().chars().take(12).collect::<String>();
    let accounts = Arc::new(Accounts::open(&client, &name, args.accounts).await?);
    let units_per_second = args.rate.map(|rate| f64::from(rate) / f64::from(args.batch));
    let schedule = Arc::new(Schedule::new(args.warm_up, args.duration, units_per_second));
    let mut workers = tokio::task::JoinSet::new();
    let (mut seed, _) = run.as_u64_pair();
    for _ in 0..args.clients {
        let client = Arc::new(connect(connection)?);
        for _ in 0..args.in_flight {
            // Streams of numbers that begin 2⁴⁰ steps apart do not meet within a run.
            seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(1 << 40));
            let worker = Worker::new(&args, Arc::clone(&client), Arc::clone(&accounts), Arc::clone(&schedule), seed)?;
            workers.spawn(worker.run());
        }
    }
    let bar = progress(args.warm_up + args.duration);
    let mut counts = Counts::new()?;
    while let Some(result) = workers.join_next().await {
        counts.add(&result.map_err(|error| CliError::General(format!("a worker failed: {error}")))??);
    }
    bar.finish_and_clear();
    let mut never_begun = 0;
    for waited in schedule.never_begun() {
        counts.record(waited);
        never_begun += 1;
    }
    let proof = prove(&client, &accounts, &counts).await?;
    report(&args, shape, &name, &counts, never_begun, &proof)?;
    if proof.is_on_book && proof.is_balanced {
        return Ok(());
    }
    Err(CliError::Verification(format!(
        "the accepted amount is {} and the book says {}, or the trial balance is not zero",
        amount_text(counts.booked_minor),
        amount_text(proof.turnover.debits)
    )))
}

/// A bar that follows the time.
fn progress(total: Duration) -> ProgressBar {
    let seconds = total.as_secs().max(1);
    let bar = ProgressBar::new(seconds).with_message("running");
    let shown = bar.clone();
    tokio::spawn(async move {
        for _ in 0..seconds {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if shown.is_finished() {
                return;
            }
            shown.inc(1);
        }
    });
    bar
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

fn milliseconds(microseconds: u64) -> f64 {
    // Latencies are below ten minutes, far within what a float holds exactly.
    microseconds as f64 / 1_000.0
}

fn latencies(counts: &Counts) -> Value {
    let at = |quantile: f64| milliseconds(counts.latency_us.value_at_quantile(quantile));
    json!({
        "p50": at(0.5),
        "p90": at(0.9),
        "p99": at(0.99),
        "p99.9": at(0.999),
        "max": milliseconds(counts.latency_us.max()),
        "mean": counts.latency_us.mean() / 1_000.0,
    })
}

fn report(args: &BenchArgs, shape: Output, run: &str, counts: &Counts, never_begun: u64, proof: &Proof) -> CliResult {
    let rate = counts.measured as f64 / args.duration.as_secs_f64();
    let latency = latencies(counts);
    let refused: u64 = counts.refused.values().sum();
    let mode = args.mode.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let value = json!({
        "run": run,
        "mode": mode,
        "loop": if args.rate.is_some() { "open" } else { "closed" },
        "rate": args.rate,
        "clients": args.clients,
        "in_flight": args.in_flight,
        "batch": args.batch,
        "accounts": args.accounts,
        "duration_seconds": args.duration.as_secs_f64(),
        "transfers": counts.measured,
        "transfers_per_second": rate,
        "units": counts.latency_us.len(),
        "units_never_begun": never_begun,
        "latency_ms": latency,
        "booked": counts.booked,
        "cancelled": counts.cancelled,
        "rejected": refused,
        "rejected_by_reason": counts.refused,
        "replayed": counts.replayed,
        "unknown": counts.unknown,
        "unavailable": counts.unavailable,
        "accepted_amount": amount_text(counts.booked_minor),
        "amount_on_book": amount_text(proof.turnover.debits),
        "asset": book::ASSET,
        "accepted_is_on_book": proof.is_on_book,
        "trial_balance_zero": proof.is_balanced,
    });
    let at = |name: &str| latency.get(name).and_then(Value::as_f64).map(|ms| format!("{ms:.2}")).unwrap_or_default();
    let quantiles = ["p50", "p90", "p99", "p99.9", "max"].map(|name| format!("{name} {}", at(name))).join("  ");
    let pairs = [
        ("transfers/s", format!("{rate:.0}  ({} in {:?})", counts.measured, args.duration)),
        ("latency, ms", format!("{quantiles}  ({} units of {} transfers)", counts.latency_us.len(), args.batch)),
        ("never begun", never_begun.to_string()),
        ("booked", format!("{} with the warm-up", counts.booked)),
        ("cancelled", counts.cancelled.to_string()),
        ("rejected", refused.to_string()),
        ("replayed", counts.replayed.to_string()),
        ("unknown", counts.unknown.to_string()),
        ("unavailable", counts.unavailable.to_string()),
        ("accepted", format!("{} {}", amount_text(counts.booked_minor), book::ASSET)),
        ("on the book", format!("{} {}", amount_text(proof.turnover.debits), book::ASSET)),
        ("as accepted", if proof.is_on_book { "yes" } else { "no" }.to_owned()),
        ("trial balance zero", if proof.is_balanced { "yes" } else { "no" }.to_owned()),
    ];
    output::pairs(shape, &pairs, &value)
}
