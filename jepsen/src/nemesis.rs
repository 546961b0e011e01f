//! The nemesis: kills replicas with SIGKILL and pauses them with SIGSTOP, the leader more often than the others, and heals.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use folio_checker::history::NemesisEvent;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::cluster::{Cluster, Failure};

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// SIGKILL, and a start later.
    Kill,
    /// SIGSTOP, and SIGCONT later.
    Pause,
    /// Nothing.
    None,
}

impl Fault {
    /// The word that events carry; nothing for no fault.
    pub(crate) fn word(self) -> Option<&'static str> {
        match self {
            Fault::Kill => Some("kill"),
            Fault::Pause => Some("pause"),
            Fault::None => None,
        }
    }
}

/// What the nemesis needs to know of the run.
pub(crate) struct Surroundings {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) begun: Instant,
    pub(crate) is_over: Arc<AtomicBool>,
    /// Calls that clients got no answer to, so far.
    pub(crate) unanswered: Arc<AtomicU64>,
}

fn since(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Works until the run is over; every fault is healed before it returns.
pub(crate) async fn torment(
    surroundings: Surroundings,
    faults: Vec<Fault>,
    seed: u64,
) -> Result<Vec<NemesisEvent>, Failure> {
    let mut random = StdRng::seed_from_u64(seed ^ 0x6e65_6d65_7369_7300);
    let mut events = Vec::new();
    let Surroundings { cluster, begun, is_over, unanswered } = surroundings;
    while !is_over.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(random.random_range(1_500..4_000))).await;
        // Every fault once, then by chance, so that a short run meets them all.
        let fault =
            faults[if events.len() < faults.len() { events.len() } else { random.random_range(0..faults.len()) }];
        if fault == Fault::None || is_over.load(Ordering::Relaxed) {
            continue;
        }
        let leader = cluster.leader().await;
        let target = match leader {
            Some(leader) if random.random_bool(0.6) => leader,
            Some(_) | None => random.random_range(0..cluster.count()),
        };
        let name = format!("replica {}{}", target + 1, if leader == Some(target) { " (leader)" } else { "" });
        let (started_ns, before) = (since(begun), unanswered.load(Ordering::Relaxed));
        let pause = Duration::from_millis(random.random_range(1_000..3_500));
        let (word, seen) = match fault {
            Fault::Kill => {
                cluster.kill(target)?;
                tokio::time::sleep(pause).await;
                let seen = cluster.status(target).await.is_none().then(|| "the process was gone".to_owned());
                cluster.spawn(target)?;
                ("kill", seen)
            }
            Fault::Pause => {
                cluster.signal(target, "STOP")?;
                tokio::time::sleep(pause).await;
                let seen = cluster.status(target).await.is_none().then(|| "the replica did not answer".to_owned());
                cluster.signal(target, "CONT")?;
                ("pause", seen)
            }
            Fault::None => continue,
        };
        let missed = unanswered.load(Ordering::Relaxed) - before;
        let effect = seen.map(|seen| format!("{seen}; {missed} calls had no answer"));
        events.push(NemesisEvent { fault: word.to_owned(), target: name, started_ns, ended_ns: since(begun), effect });
    }
    Ok(events)
}
