//! `folio bench`: every mode runs, says what it measured, and proves it on the book.

use serde_json::Value;

use super::harness::{Ran, Replica, folio, has_keys, text};

/// What is told of all rounds together and of each.
const FIGURES: [&str; 14] = [
    "transfers",
    "transfers_per_second",
    "pairs",
    "pairs_per_second",
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
];
const KEYS: [&str; 20] = [
    "run",
    "mode",
    "loop",
    "rate",
    "clients",
    "in_flight",
    "batch",
    "accounts",
    "hot_accounts",
    "cancel_percent",
    "filled",
    "threads",
    "warm_up_seconds",
    "duration_seconds",
    "accepted_amount",
    "amount_on_book",
    "asset",
    "spread",
    "reads",
    "rounds",
];
const PROOF: [&str; 2] = ["accepted_is_on_book", "trial_balance_zero"];
const READS: [&str; 6] =
    ["reads", "reads_per_second", "lines_per_read", "units_never_begun", "latency_ms", "unavailable"];

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
    has_keys(&report, &[&FIGURES[..], &KEYS, &PROOF].concat());
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
        assert!(report["pairs"].is_null() && report["pairs_per_second"].is_null(), "{report}");
    } else {
        assert!(count("pairs") > 0 && count("pairs") <= count("transfers"), "{report}");
        assert!(report["pairs_per_second"].as_f64().unwrap() > 0.0, "{report}");
    }
    if mode != "transfer" && batch > 1 {
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

/// A bench of JSON on accounts of its own, which must succeed.
#[track_caller]
fn bench(replica: &Replica, args: &[&str]) -> Value {
    let common = ["bench", "--output", "json", "--timeout", "60s", "--warm-up", "100ms"];
    let report = replica.folio(&[&common[..], args].concat()).expect(0).json();
    for key in PROOF {
        assert_eq!(report[key], true, "{key}: {report}");
    }
    report
}

#[track_caller]
fn minor(amount: &str) -> u128 {
    let (whole, fraction) = amount.split_once('.').unwrap();
    assert_eq!(fraction.len(), 2, "{amount}");
    format!("{whole}{fraction}").parse().unwrap()
}

#[test]
fn several_rounds_are_told_each_with_their_median_and_spread() {
    let replica = Replica::start();
    let report = bench(&replica, &["--rounds", "3", "--duration", "400ms", "--batch", "20", "--accounts", "100"]);
    let rounds = report["rounds"].as_array().unwrap();
    assert_eq!(rounds.len(), 3, "{report}");
    let mut sum = 0;
    let mut rates = Vec::new();
    for round in rounds {
        has_keys(round, &[&FIGURES[..], &["reads"]].concat());
        assert!(round["reads"].is_null() && round["units"].as_u64().unwrap() > 0, "{round}");
        sum += round["booked"].as_u64().unwrap();
        rates.push(round["transfers_per_second"].as_f64().unwrap());
    }
    assert_eq!(report["booked"], sum, "{report}");
    rates.sort_by(f64::total_cmp);
    let spread = &report["spread"];
    has_keys(spread, &["transfers_per_second", "pairs_per_second", "p50_ms", "p99_ms"]);
    for (name, rate) in [("least", rates[0]), ("median", rates[1]), ("most", rates[2])] {
        assert_eq!(spread["transfers_per_second"][name], rate, "{name}: {report}");
    }
    for quantile in ["p50_ms", "p99_ms"] {
        let at = |name: &str| spread[quantile][name].as_f64().unwrap();
        assert!(0.0 < at("least") && at("least") <= at("median") && at("median") <= at("most"), "{report}");
    }
}

#[test]
fn one_side_of_every_transfer_is_on_a_hot_account() {
    let replica = Replica::start();
    let report = bench(&replica, &["--hot-accounts", "2", "--accounts", "20", "--duration", "500ms"]);
    let (run, mut turnover, mut funding) = (text(&report, "/run").to_owned(), 0, 0);
    for number in 0..20 {
        let balance = replica.json(&["balance", &format!("liabilities:bench:{run}:{number}")]);
        let [debits, credits] =
            ["debits", "credits"].map(|side| minor(text(&balance, &format!("/totals/{side}_posted"))));
        if number < 2 {
            assert!(debits > 0, "a hot account pays as well: {balance}");
            turnover += debits + credits;
            funding += 100_000_000_000;
        }
    }
    assert_eq!(turnover - funding, minor(text(&report, "/accepted_amount")), "{report}");
}

#[test]
fn readers_read_beside_the_writers_and_alone() {
    let replica = Replica::start();
    let beside = ["--readers", "2", "--read-rate", "200", "--duration", "500ms", "--accounts", "50"];
    let report = bench(&replica, &beside);
    assert!(report["transfers"].as_u64().unwrap() > 0, "{report}");
    let more = ["kind", "loop", "rate", "readers", "spread"];
    has_keys(&report["reads"], &[&READS[..], &more].concat());
    has_keys(&report["rounds"][0]["reads"], &READS);
    let reads = &report["reads"];
    assert_eq!((text(reads, "/kind"), text(reads, "/loop"), &reads["rate"]), ("balance", "open", &200.into()));
    assert!(reads["reads"].as_u64().unwrap() > 0 && reads["unavailable"] == 0, "{report}");
    let at = |name: &str| reads["latency_ms"][name].as_f64().unwrap();
    assert!(0.0 < at("p50") && at("p50") <= at("p99") && at("p99") <= at("max"), "{report}");

    let pages = ["--mode", "read", "--read", "statement", "--hot-accounts", "1", "--fill", "9000", "--clients", "2"];
    let report = bench(&replica, &[&pages[..], &["--duration", "500ms", "--accounts", "50"]].concat());
    assert_eq!((&report["transfers"], &report["filled"]), (&0.into(), &9_000.into()), "{report}");
    // In whole batches of 8190.
    assert_eq!(report["booked"], 16_380, "{report}");
    let reads = &report["reads"];
    assert_eq!((text(reads, "/kind"), text(reads, "/loop"), &reads["readers"]), ("statement", "closed", &2.into()));
    let lines = reads["lines_per_read"].as_f64().unwrap();
    assert!((50.0..=100.0).contains(&lines), "pages of 100 lines, shorter only at the end: {report}");
}

#[test]
fn a_run_goes_on_with_the_accounts_of_another() {
    let replica = Replica::start();
    let first = bench(&replica, &["--accounts", "30", "--duration", "300ms"]);
    let run = text(&first, "/run").to_owned();
    let again = ["--reuse", &run, "--accounts", "30", "--mode", "tcc", "--cancel-percent", "0", "--duration", "300ms"];
    let second = bench(&replica, &[&again[..], &["--threads", "2"]].concat());
    assert_eq!(text(&second, "/run"), run);
    assert_eq!((&second["cancelled"], &second["pairs"]), (&0.into(), &second["transfers"]), "{second}");
    let prefix = format!("liabilities:bench:{run}");
    let line = &replica.json(&["trial-balance", &prefix])["lines"][0];
    let both = minor(text(&first, "/accepted_amount")) + minor(text(&second, "/accepted_amount"));
    assert_eq!(minor(text(line, "/totals/debits_posted")), both, "{line}");
    replica.folio(&["bench", "--reuse", &run, "--accounts", "31"]).expect(3).says(&[&format!("{prefix}:30")]);
}

#[test]
fn what_cannot_be_run_is_refused_before_anything_is_sent() {
    for (args, says) in [
        (&["--duration", "0s"][..], "--duration is zero"),
        (&["--accounts", "5", "--hot-accounts", "5"], "leaves none of 5"),
        (&["--mode", "read", "--readers", "1"], "leave --readers out"),
        (&["--read-rate", "10"], "--readers"),
        (&["--rounds", "0"], "0"),
        (&["--cancel-percent", "101"], "101"),
    ] {
        folio(&[&["bench"][..], args].concat()).expect(2).says(&[says]);
    }
}

#[test]
fn a_bench_is_for_people_too() {
    let replica = Replica::start();
    let ran = replica.folio(&["bench", "--duration", "1s", "--warm-up", "0ms", "--accounts", "2", "--batch", "10"]);
    let ran = ran.expect(0);
    for word in ["transfers/s", "latency, ms", "p99.9", "as accepted         yes", "trial balance zero  yes"] {
        assert!(ran.stdout.contains(word), "{word:?}: {ran:?}");
    }
    let args = ["--mode", "tcc", "--rounds", "2", "--readers", "1", "--duration", "300ms", "--accounts", "10"];
    let ran = replica.folio(&[&["bench", "--warm-up", "0ms"][..], &args].concat()).expect(0);
    for word in
        ["pairs/s", "in 2 rounds of 300ms", "median transfers/s", "median pairs/s", "reads/s", "median read p99"]
    {
        assert!(ran.stdout.contains(word), "{word:?}: {ran:?}");
    }
}
