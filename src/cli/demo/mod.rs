//! `folio demo`: three real replicas, a day of payments, the leader killed in the middle, and the proof at the end.

mod day;
mod processes;
mod tally;
mod verify;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::args::{DemoArgs, Output};
use super::{CliError, CliResult, output};
use crate::client::{Client, ClientConfig};
use day::{Day, Teller};
use processes::Cluster;
use tally::Tally;

const CALL_TIMEOUT: Duration = Duration::from_secs(30);
const RESTART_AFTER: Duration = Duration::from_millis(1_500);
const FAILOVER_BOUND: Duration = Duration::from_secs(60);

/// Holds of the demo that are left to expire do so within this time.
pub(super) const HOLD_MS: u64 = 400;

fn client(cluster: &Cluster) -> Result<Client, CliError> {
    let config = ClientConfig { endpoints: cluster.endpoints(), timeout: CALL_TIMEOUT };
    Ok(Client::new(&config)?)
}

/// Says something to people, in one line or none.
fn say(shape: Output, text: &str) -> CliResult {
    if shape == Output::Table { output::line(text) } else { Ok(()) }
}

fn progress(total: u64) -> ProgressBar {
    // Drawn on standard error, and only on a terminal.
    let bar = ProgressBar::new(total);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} payments  {per_sec}  {msg}") {
        bar.set_style(style);
    }
    bar
}

/// Runs the demo. Told to stop, it takes its replicas with it: they end when the cluster is dropped.
pub(super) async fn run(args: DemoArgs, shape: Output) -> CliResult {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = run_day(args, shape) => result,
        _ = terminate.recv() => Err(CliError::General("stopped by a signal; the replicas were stopped too".to_owned())),
        result = tokio::signal::ctrl_c() => {
            result?;
            Err(CliError::General("stopped by ctrl-c; the replicas were stopped too".to_owned()))
        }
    }
}

async fn run_day(args: DemoArgs, shape: Output) -> CliResult {
    let mut cluster = Cluster::start().await?;
    say(shape, &format!("Three replicas in {}", cluster.folder().display()))?;
    let day = Arc::new(Day::open(&client(&cluster)?).await?);
    let tally = Arc::new(Tally::default());
    let total = u64::from(args.clients) * u64::from(args.payments);
    let bar = progress(total);
    let mut tellers = tokio::task::JoinSet::new();
    for number in 0..args.clients {
        let teller = Teller::new(number, client(&cluster)?, Arc::clone(&day), Arc::clone(&tally));
        let (payments, bar) = (args.payments, bar.clone());
        tellers.spawn(async move { teller.work(payments, &bar).await });
    }
    while bar.position() < total / 2 && !tellers.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (killed, failover) = kill_leader(&mut cluster, &day, &tally).await?;
    bar.println(format!(
        "Replica {killed}, the leader, was killed; {} ms later the next one took payments",
        failover.as_millis()
    ));
    tokio::time::sleep(RESTART_AFTER).await;
    cluster.start_replica(killed)?;
    while let Some(result) = tellers.join_next().await {
        result.map_err(|error| CliError::General(format!("a client failed: {error}")))??;
    }
    bar.finish_and_clear();
    tally.count_expired(&client(&cluster)?, Duration::from_millis(HOLD_MS)).await?;
    let proof = verify::verify(&cluster, &client(&cluster)?).await?;
    let mut printed = report(shape, &tally, &proof, killed, failover);
    if args.keep {
        printed = printed.and_then(|()| say_how_to_go_on(shape, &cluster));
        cluster.keep();
    } else {
        cluster.stop().await;
    }
    if proof.trial_balance_zero && proof.replicas_agree {
        printed
    } else {
        Err(CliError::Verification("the trial balance is not zero, or the replicas do not agree".to_owned()))
    }
}

fn say_how_to_go_on(shape: Output, cluster: &Cluster) -> CliResult {
    for line in [
        "",
        "The cluster stays up. Talk to it:",
        &format!("  export FOLIO_ENDPOINTS={}", cluster.endpoints().join(",")),
        "  folio status",
        "  folio trial-balance",
        "  folio account list",
        &format!("Stop it with: kill {}", cluster.process_ids().join(" ")),
    ] {
        say(shape, line)?;
    }
    Ok(())
}

/// Kills the leader, and measures how long it takes until a payment that was sent afterwards is booked.
async fn kill_leader(cluster: &mut Cluster, day: &Arc<Day>, tally: &Arc<Tally>) -> CliResult<(usize, Duration)> {
    let leader = cluster.leader().await?;
    let survivors = client(cluster)?;
    survivors.prefer((leader + 1) % survivors.endpoints());
    cluster.kill(leader).await?;
    let killed_at = Instant::now();
    let teller = Teller::new(u32::MAX, survivors, Arc::clone(day), Arc::clone(tally));
    while killed_at.elapsed() < FAILOVER_BOUND {
        if teller.small_transfer().await? {
            return Ok((leader + 1, killed_at.elapsed()));
        }
    }
    Err(CliError::General("no replica took payments within a minute after the leader was killed".to_owned()))
}

fn report(shape: Output, tally: &Tally, proof: &verify::Proof, killed: usize, failover: Duration) -> CliResult {
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let value = json!({
        "replicas": proof.statuses.len(),
        "transactions": count(&tally.transactions),
        "confirmed": count(&tally.confirmed),
        "cancelled": count(&tally.cancelled),
        "expired": count(&tally.expired),
        "reversed": count(&tally.reversed),
        "rejected": count(&tally.rejected),
        "replayed": count(&tally.replayed),
        "unknown": count(&tally.unknown),
        "failover_ms": u64::try_from(failover.as_millis()).unwrap_or(u64::MAX),
        "killed_replica": killed,
        "trial_balance_zero": proof.trial_balance_zero,
        "replicas_agree": proof.replicas_agree,
        "trial_balance": super::audit::trial_balance_value(&proof.trial_balance),
        "cluster": proof.statuses.iter().map(super::status::value).collect::<Vec<_>>(),
    });
    if shape == Output::Json {
        return output::json_value(&value);
    }
    say(shape, "")?;
    say(shape, "The trial balance")?;
    let rows = super::audit::trial_balance_rows(&proof.trial_balance);
    output::rows(shape, &super::audit::TRIAL_BALANCE_HEADERS, rows, &value)?;
    say(shape, "")?;
    say(shape, "The cluster")?;
    let rows = proof.statuses.iter().map(super::status::row).collect();
    output::rows(shape, &super::status::HEADERS, rows, &value)?;
    say(shape, "")?;
    say(shape, "What happened")?;
    let names = [
        "transactions",
        "confirmed",
        "cancelled",
        "expired",
        "reversed",
        "rejected",
        "replayed",
        "unknown",
        "failover_ms",
        "trial_balance_zero",
        "replicas_agree",
    ];
    let pairs: Vec<(&str, String)> =
        names.iter().map(|name| (*name, value.get(*name).map(ToString::to_string).unwrap_or_default())).collect();
    output::pairs(shape, &pairs, &value)
}
