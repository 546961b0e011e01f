//! The simulation seam, shown to hold: three replicas and their clients in one process, on one thread, over a simulated network and clock, with the memory
//! engine under them. One seed decides everything, so two runs of a seed are the same, line by line, and a failure can be run again.
//!
//! Every run is a process of its own, because some counters of the libraries (the seeds of tokio's runtimes) last as long as a process. To see one run:
//! `FOLIO_SIMULATION_SEED=7 cargo test -p folio-simulation -- --ignored --nocapture`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    unreachable_pub
)]
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

mod cluster;
mod interpose;
mod network;
mod payments;
mod trace;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use cluster::Cluster;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use trace::Trace;
use turmoil::Sim;

const SEED_VARIABLE: &str = "FOLIO_SIMULATION_SEED";
const FILE_VARIABLE: &str = "FOLIO_SIMULATION_FILE";
/// Simulated time after which a run that has not ended has failed.
const LONGEST_RUN: Duration = Duration::from_secs(180);
/// How long a fault lasts at least, and at most: an election, and two attempts of a client at replicas that do not answer.
const SHORTEST_FAULT: Duration = Duration::from_secs(3);
const LONGEST_FAULT: Duration = Duration::from_secs(20);
/// How many payments are answered while a fault lasts, at least: so many that the log is mostly purged beyond
/// what the replica has that was away.
const ANSWERS_THROUGH_FAULT: u64 = 20;

/// A run in a process of its own.
struct Run {
    seed: u64,
    file: PathBuf,
    child: Child,
}

impl Run {
    fn start(seed: u64, name: &str) -> Run {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("trace-{seed}-{name}.txt"));
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "one_run", "--ignored", "--nocapture"])
            .env(SEED_VARIABLE, seed.to_string())
            .env(FILE_VARIABLE, &file)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Run { seed, file, child }
    }

    /// Its trace, once it has ended.
    fn trace(self) -> String {
        let output = self.child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "seed {0} failed; run it with {SEED_VARIABLE}={0}:\n{said}", self.seed);
        std::fs::read_to_string(self.file).unwrap()
    }
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let runs = [Run::start(1, "first"), Run::start(1, "second"), Run::start(2, "only")];
    let [first, second, other] = runs.map(Run::trace);
    if let Some((line, (left, right))) = first.lines().zip(second.lines()).enumerate().find(|(_, (a, b))| a != b) {
        panic!("two runs of seed 1 part at line {}:\n{left}\n{right}", line + 1);
    }
    assert_eq!(first, second, "two runs of seed 1 end differently");
    assert_ne!(first.lines().last(), other.lines().last(), "seeds 1 and 2 give the same trace hash");
}

#[test]
#[ignore = "one run of the seed in FOLIO_SIMULATION_SEED; the other test runs it, each time in a new process"]
fn one_run() {
    let seed = std::env::var(SEED_VARIABLE).map_or(1, |seed| seed.parse().expect("a seed is a whole number"));
    // A new thread has no random keys yet, so all that it ever has come from the seed.
    let text = std::thread::spawn(move || simulate(seed)).join().unwrap();
    match std::env::var_os(FILE_VARIABLE) {
        Some(file) => std::fs::write(file, text).unwrap(),
        None => println!("{text}"),
    }
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

fn simulate(seed: u64) -> String {
    interpose::simulate_this_thread(seed);
    let threads_before = threads();
    let trace = Trace::default();
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .epoch(UNIX_EPOCH + Duration::from_secs(interpose::EPOCH_SECONDS))
        .simulation_duration(LONGEST_RUN)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(12))
        .tcp_capacity(4096)
        .build();
    let cluster = Cluster::start(&mut sim, &trace);
    sim.client("payers", payments::run(seed, trace.clone()));
    let mut faults = Faults::new(seed, cluster.clone(), trace.clone());
    loop {
        interpose::set_elapsed(sim.elapsed());
        if sim.step().unwrap_or_else(|error| panic!("seed {seed}: {error}\n{}", trace.text())) {
            break;
        }
        assert_eq!(cluster.fatal(), None, "seed {seed}");
        faults.step(&mut sim);
    }
    assert_eq!(threads(), threads_before, "something started a thread, and with it left the simulation");
    check_that_something_happened(&trace, &cluster);
    trace.text()
}

/// A run in which nothing happens is always the same.
fn check_that_something_happened(trace: &Trace, cluster: &Cluster) {
    for (kind, least) in [("accepted", 30), ("replayed", 3), ("refused", 6), ("read", 3), ("snapshot", 1), ("agree", 1)]
    {
        assert!(trace.count(kind) >= least, "fewer than {least} lines {kind:?}:\n{}", trace.text());
    }
    assert_eq!(trace.count("lost"), 0, "a payment has no answer:\n{}", trace.text());
    assert_eq!((trace.count("fault"), trace.count("heal")), (2, 2), "a fault is missing:\n{}", trace.text());
    assert_eq!(trace.count("start"), 4, "three replicas start, one of them twice");
    assert!(cluster.term() >= 3, "no leader was elected anew:\n{}", trace.text());
}

/// What befalls the replicas: a cut through the network around the leader, then a power cut of the leader, each when so many payments have been answered.
struct Faults {
    cluster: Cluster,
    trace: Trace,
    random: StdRng,
    next: Next,
}

#[derive(Clone, Copy)]
enum Next {
    CutOff { after_answers: u64 },
    Reconnect(Ongoing),
    CutPower { after_answers: u64 },
    Restart(Ongoing),
    Nothing,
}

/// A fault that has begun.
#[derive(Clone, Copy)]
struct Ongoing {
    replica: u64,
    since: Duration,
    answers_before: u64,
}

impl Faults {
    fn new(seed: u64, cluster: Cluster, trace: Trace) -> Faults {
        let mut random = StdRng::seed_from_u64(!seed);
        let next = Next::CutOff { after_answers: random.random_range(10..25) };
        Faults { cluster, trace, random, next }
    }

    fn step(&mut self, sim: &mut Sim<'_>) {
        let answers = self.trace.answers();
        let begin = |replica| Ongoing { replica, since: sim.elapsed(), answers_before: answers };
        self.next = match self.next {
            Next::CutOff { after_answers } if answers >= after_answers => {
                let Some(replica) = self.cluster.leader() else { return };
                self.cluster.cut_off(sim, replica);
                Next::Reconnect(begin(replica))
            }
            Next::Reconnect(fault) if self.is_over(fault, sim.elapsed()) => {
                self.cluster.reconnect(sim, fault.replica);
                Next::CutPower { after_answers: answers + self.random.random_range(5..15) }
            }
            Next::CutPower { after_answers } if answers >= after_answers => {
                let Some(replica) = self.cluster.leader() else { return };
                let ongoing = begin(replica);
                self.cluster.cut_power(sim, replica, &mut self.random);
                Next::Restart(ongoing)
            }
            Next::Restart(fault) if self.is_over(fault, sim.elapsed()) => {
                self.cluster.restart(sim, fault.replica);
                Next::Nothing
            }
            waiting => waiting,
        };
    }

    /// A fault ends when it has lasted a while and the other two replicas have answered through it.
    fn is_over(&self, fault: Ongoing, now: Duration) -> bool {
        let have_answered = self.trace.answers() >= fault.answers_before + ANSWERS_THROUGH_FAULT;
        let has_lasted = now - fault.since;
        assert!(have_answered || has_lasted < LONGEST_FAULT, "the other two stand still:\n{}", self.trace.text());
        have_answered && has_lasted >= SHORTEST_FAULT
    }
}
