//! `folio bench`: every mode runs, says what it measured, and proves it on the book.

use super::harness::{Ran, Replica, has_keys, text};

const KEYS: [&str; 24] = [
    "run",
    "mode",
    "loop",
    "rate",
    "clients",
    "in_flight",
    "batch",
    "accounts",
    "duration_seconds",
    "transfers",
    "transfers_per_second",
    "units",
    "units_never_begun",
    "latency_ms",
    "booked",
    "cancelled",
    "rejected",
    "rejected_by_reason",
    "replayed",
    "unknown",
    "unavailable",
    "accepted_amount",
    "amount_on_book",
    "asset",
];
const PROOF: [&str; 2] = ["accepted_is_on_book", "trial_balance_zero"];

fn run(replica: &Replica, mode: &str, batch: &str, rate: Option<&str>) -> Ran {
    let mut args = vec!["bench", "--mode", mode, "--batch", batch, "--clients", "2", "--in-flight", "2"];
    args.extend(["--duration", "2s", "--warm-up", "200ms", "--accounts", "50", "--output", "json"]);
    args.extend(["--timeout", "60s"]);
    if let Some(rate) = rate {
        args.extend(["--rate", rate]);
    }
    replica.folio(&args)
}

#[track_caller]
fn check(ran: Ran, mode: &str, batch: u64, rate: Option<u64>) {
    let report = ran.expect(0).json();
    has_keys(&report, &[&KEYS[..], &PROOF].concat());
    assert_eq!(text(&report, "/mode"), mode);
    assert_eq!(text(&report, "/loop"), if rate.is_some() { "open" } else { "closed" });
    assert_eq!(report["batch"], batch);
    assert_eq!(report["rate"].as_u64(), rate);
    for key in PROOF {
        assert_eq!(report[key], true, "{key}: {report}");
    }
    let count = |key: &str| report[key].as_u64().unwrap_or_else(|| panic!("{key} is no count: {report}"));
    assert!(count("transfers") > 0 && count("booked") > 0, "it did something: {report}");
    assert_eq!(count("unknown") + count("unavailable") + count("replayed"), 0, "{report}");
    assert_eq!(text(&report, "/accepted_amount"), text(&report, "/amount_on_book"));
    assert_ne!(text(&report, "/amount_on_book"), "0.00");
    has_keys(&report["latency_ms"], &["p50", "p90", "p99", "p99.9", "max", "mean"]);
    let at = |name: &str| report["latency_ms"][name].as_f64().unwrap();
    assert!(0.0 < at("p50") && at("p50") <= at("p99") && at("p99") <= at("max"), "{report}");
    if mode == "transfer" {
        assert_eq!(count("cancelled"), 0, "{report}");
    } else if batch > 1 {
        assert!(count("cancelled") > 0, "one in ten is cancelled: {report}");
    }
}

#[test]
fn every_mode_runs_unary_and_in_batches_closed_and_open_and_proves_what_it_did() {
    let replica = Replica::start();
    // All at once: each run has accounts of its own, so each must find exactly its own money on the shared book.
    std::thread::scope(|scope| {
        let mut runs = Vec::new();
        for mode in ["transfer", "tcc", "mixed"] {
            for (batch, rate) in [(1, None), (50, None), (1, Some(100)), (50, Some(1_000))] {
                let replica = &replica;
                let run = move || {
                    let rate = rate.map(|rate: u64| rate.to_string());
                    run(replica, mode, &batch.to_string(), rate.as_deref())
                };
                runs.push((mode, batch, rate, scope.spawn(run)));
            }
        }
        for (mode, batch, rate, run) in runs {
            check(run.join().unwrap(), mode, batch, rate);
        }
    });
    assert_eq!(replica.json(&["trial-balance"])["lines"][0]["is_balanced"], true);
}

#[test]
fn a_bench_is_for_people_too() {
    let replica = Replica::start();
    let ran = replica.folio(&["bench", "--duration", "1s", "--warm-up", "0ms", "--accounts", "2", "--batch", "10"]);
    let ran = ran.expect(0);
    for word in ["transfers/s", "latency, ms", "p99.9", "as accepted         yes", "trial balance zero  yes"] {
        assert!(ran.stdout.contains(word), "{word:?}: {ran:?}");
    }
    replica.folio(&["bench", "--duration", "0s"]).expect(2).says(&["--duration is zero"]);
}
