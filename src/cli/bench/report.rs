//! What a run tells: a table for people, one JSON object for programs, both from the same figures.

use serde_json::{Map, Value, json};

use super::book::{self, amount_text};
use super::counts::{Counts, Latency, ReadCounts};
use super::round::Round;
use super::{BenchArgs, Mode, Proof};
use crate::cli::CliResult;
use crate::cli::args::Output;
use crate::cli::output;

/// The quantiles that are told, by name.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// The middle of several figures and the range that they lie in.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    /// Of figures; nothing but zeros if there is none.
    fn of(figures: impl Iterator<Item = f64>) -> Spread {
        let mut sorted: Vec<f64> = figures.collect();
        sorted.sort_by(f64::total_cmp);
        let at = |place: usize| sorted.get(place).copied().unwrap_or(0.0);
        let (low, high) = (sorted.len().saturating_sub(1) / 2, sorted.len() / 2);
        Spread { median: (at(low) + at(high)) / 2.0, least: at(0), most: at(sorted.len().saturating_sub(1)) }
    }

    fn json(&self) -> Value {
        json!({ "median": self.median, "least": self.least, "most": self.most })
    }

    fn text(&self, places: usize) -> String {
        let Spread { median, least, most } = self;
        format!("{median:.places$}  ({least:.places$} to {most:.places$})")
    }
}

fn latency_json(latency: &Latency) -> Value {
    let mut values: Map<String, Value> =
        QUANTILES.iter().map(|(name, quantile)| ((*name).to_owned(), json!(latency.at(*quantile)))).collect();
    values.insert("max".to_owned(), json!(latency.most()));
    values.insert("mean".to_owned(), json!(latency.mean()));
    Value::Object(values)
}

fn latency_text(latency: &Latency) -> String {
    let quantiles = QUANTILES.map(|(name, quantile)| format!("{name} {:.2}", latency.at(quantile))).join("  ");
    format!("{quantiles}  max {:.2}", latency.most())
}

/// What is told of the writes of one round, or of all.
fn writes_json(counts: &Counts, never_begun: u64, seconds: f64, has_pairs: bool) -> Map<String, Value> {
    let per_second = |count: u64| count as f64 / seconds;
    let mut values = Map::new();
    let mut put = |key: &str, value: Value| values.insert(key.to_owned(), value);
    put("transfers", json!(counts.measured));
    put("transfers_per_second", json!(per_second(counts.measured)));
    put("pairs", json!(has_pairs.then_some(counts.measured_pairs)));
    put("pairs_per_second", json!(has_pairs.then(|| per_second(counts.measured_pairs))));
    put("units", json!(counts.latency.count()));
    put("units_never_begun", json!(never_begun));
    put("latency_ms", latency_json(&counts.latency));
    put("booked", json!(counts.booked));
    put("cancelled", json!(counts.cancelled));
    put("rejected", json!(counts.refusals()));
    put("rejected_by_reason", json!(counts.refused));
    put("replayed", json!(counts.replayed));
    put("unknown", json!(counts.unknown));
    put("unavailable", json!(counts.unavailable));
    values
}

fn reads_json(counts: &ReadCounts, never_begun: u64, seconds: f64) -> Map<String, Value> {
    let mut values = Map::new();
    let mut put = |key: &str, value: Value| values.insert(key.to_owned(), value);
    put("reads", json!(counts.measured));
    put("reads_per_second", json!(counts.measured as f64 / seconds));
    put("lines_per_read", json!(lines_per_read(counts)));
    put("units_never_begun", json!(never_begun));
    put("latency_ms", latency_json(&counts.latency));
    put("unavailable", json!(counts.unavailable));
    values
}

fn lines_per_read(counts: &ReadCounts) -> f64 {
    counts.lines as f64 / (counts.measured.max(1)) as f64
}

/// The figures whose median and spread are told.
struct Spreads {
    transfers: Spread,
    pairs: Spread,
    p50: Spread,
    p99: Spread,
}

impl Spreads {
    fn of(rounds: &[Round], seconds: f64) -> Spreads {
        let over = |figure: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(figure));
        Spreads {
            transfers: over(&|round| round.counts.measured as f64 / seconds),
            pairs: over(&|round| round.counts.measured_pairs as f64 / seconds),
            p50: over(&|round| round.counts.latency.at(0.5)),
            p99: over(&|round| round.counts.latency.at(0.99)),
        }
    }
}

/// All reads of a run, with how many were never begun.
struct AllReads {
    counts: ReadCounts,
    never_begun: u64,
    rate: Spread,
    p50: Spread,
    p99: Spread,
}

impl AllReads {
    fn of(rounds: &[Round], seconds: f64) -> CliResult<Option<AllReads>> {
        let of_rounds = || rounds.iter().filter_map(|round| round.reads.as_ref());
        if of_rounds().next().is_none() {
            return Ok(None);
        }
        let mut counts = ReadCounts::new()?;
        of_rounds().for_each(|reads| counts.add(&reads.counts));
        Ok(Some(AllReads {
            counts,
            never_begun: of_rounds().map(|reads| reads.never_begun).sum(),
            rate: Spread::of(of_rounds().map(|reads| reads.counts.measured as f64 / seconds)),
            p50: Spread::of(of_rounds().map(|reads| reads.counts.latency.at(0.5))),
            p99: Spread::of(of_rounds().map(|reads| reads.counts.latency.at(0.99))),
        }))
    }
}

fn name_of(value: &impl clap::ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn loop_of(rate: Option<u32>) -> &'static str {
    if rate.is_some() { "open" } else { "closed" }
}

/// Tells what a run found.
pub(super) fn report(
    args: &BenchArgs,
    shape: Output,
    run: &str,
    total: &Counts,
    rounds: &[Round],
    proof: &Proof,
) -> CliResult {
    let seconds = args.duration.as_secs_f64();
    let spreads = Spreads::of(rounds, seconds);
    let reads = AllReads::of(rounds, seconds)?;
    let value = json(args, run, (total, rounds), (&spreads, reads.as_ref()), proof);
    output::pairs(shape, &table(args, run, (total, rounds), (&spreads, reads.as_ref()), proof), &value)
}

fn json(
    args: &BenchArgs,
    run: &str,
    (total, rounds): (&Counts, &[Round]),
    (spreads, reads): (&Spreads, Option<&AllReads>),
    proof: &Proof,
) -> Value {
    let seconds = args.duration.as_secs_f64();
    let has_pairs = matches!(args.mode, Mode::Tcc | Mode::Mixed);
    let never_begun = rounds.iter().map(|round| round.never_begun).sum();
    let mut value = writes_json(total, never_begun, seconds * rounds.len() as f64, has_pairs);
    let settings = json!({
        "run": run,
        "mode": name_of(&args.mode),
        "loop": loop_of(args.rate),
        "rate": args.rate,
        "clients": args.clients,
        "in_flight": args.in_flight,
        "batch": args.batch,
        "accounts": args.accounts,
        "hot_accounts": args.hot_accounts,
        "cancel_percent": args.cancel_percent,
        "filled": args.fill,
        "threads": args.threads,
        "warm_up_seconds": args.warm_up.as_secs_f64(),
        "duration_seconds": seconds,
        "accepted_amount": amount_text(total.booked_minor),
        "amount_on_book": amount_text(proof.turnover.debits),
        "asset": book::ASSET,
        "accepted_is_on_book": proof.is_on_book,
        "trial_balance_zero": proof.is_balanced,
        "spread": {
            "transfers_per_second": spreads.transfers.json(),
            "pairs_per_second": has_pairs.then(|| spreads.pairs.json()),
            "p50_ms": spreads.p50.json(),
            "p99_ms": spreads.p99.json(),
        },
    });
    if let Value::Object(settings) = settings {
        value.extend(settings);
    }
    let told = reads.map(|reads| {
        let mut told = reads_json(&reads.counts, reads.never_begun, seconds * rounds.len() as f64);
        told.insert("kind".to_owned(), json!(name_of(&args.read)));
        told.insert("loop".to_owned(), json!(loop_of(read_rate(args))));
        told.insert("rate".to_owned(), json!(read_rate(args)));
        told.insert("readers".to_owned(), json!(if args.mode == Mode::Read { args.clients } else { args.readers }));
        let spread = json!({
            "reads_per_second": reads.rate.json(),
            "p50_ms": reads.p50.json(),
            "p99_ms": reads.p99.json(),
        });
        told.insert("spread".to_owned(), spread);
        told
    });
    value.insert("reads".to_owned(), json!(told));
    let each = rounds.iter().map(|round| {
        let mut one = writes_json(&round.counts, round.never_begun, seconds, has_pairs);
        let reads = round.reads.as_ref().map(|reads| reads_json(&reads.counts, reads.never_begun, seconds));
        one.insert("reads".to_owned(), json!(reads));
        Value::Object(one)
    });
    value.insert("rounds".to_owned(), each.collect());
    Value::Object(value)
}

fn read_rate(args: &BenchArgs) -> Option<u32> {
    match args.mode {
        Mode::Read => args.rate,
        Mode::Transfer | Mode::Tcc | Mode::Mixed => args.read_rate,
    }
}

fn yes_or_no(is_so: bool) -> String {
    if is_so { "yes" } else { "no" }.to_owned()
}

fn table(
    args: &BenchArgs,
    run: &str,
    (total, rounds): (&Counts, &[Round]),
    (spreads, reads): (&Spreads, Option<&AllReads>),
    proof: &Proof,
) -> Vec<(&'static str, String)> {
    let seconds = args.duration.as_secs_f64() * rounds.len() as f64;
    let times = match rounds.len() {
        1 => format!("{:?}", args.duration),
        rounds => format!("{rounds} rounds of {:?}", args.duration),
    };
    let is_spread = rounds.len() > 1;
    let mut rows = vec![("run", run.to_owned())];
    if args.mode != Mode::Read {
        let never_begun: u64 = rounds.iter().map(|round| round.never_begun).sum();
        let rate = total.measured as f64 / seconds;
        rows.push(("transfers/s", format!("{rate:.0}  ({} in {times})", total.measured)));
        if matches!(args.mode, Mode::Tcc | Mode::Mixed) {
            let pairs = total.measured_pairs as f64 / seconds;
            rows.push(("pairs/s", format!("{pairs:.0}  (tried and confirmed, {} in {times})", total.measured_pairs)));
        }
        let units = format!("  ({} units of {} transfers)", total.latency.count(), args.batch);
        rows.push(("latency, ms", latency_text(&total.latency) + &units));
        if is_spread {
            rows.push(("median transfers/s", spreads.transfers.text(0)));
            if matches!(args.mode, Mode::Tcc | Mode::Mixed) {
                rows.push(("median pairs/s", spreads.pairs.text(0)));
            }
            rows.push(("median p50, ms", spreads.p50.text(2)));
            rows.push(("median p99, ms", spreads.p99.text(2)));
        }
        rows.push(("never begun", never_begun.to_string()));
        rows.push(("booked", format!("{} with the warm-up", total.booked)));
        rows.push(("cancelled", total.cancelled.to_string()));
        rows.push(("rejected", total.refusals().to_string()));
        rows.push(("replayed", total.replayed.to_string()));
        rows.push(("unknown", total.unknown.to_string()));
        rows.push(("unavailable", total.unavailable.to_string()));
    }
    if let Some(AllReads { counts, never_begun, rate, p50, p99 }) = reads {
        let per_second = counts.measured as f64 / seconds;
        rows.push(("reads/s", format!("{per_second:.0}  ({} in {times}, {})", counts.measured, name_of(&args.read))));
        rows.push(("read latency, ms", latency_text(&counts.latency)));
        if counts.lines > 0 {
            rows.push(("lines a page", format!("{:.1}", lines_per_read(counts))));
        }
        if is_spread {
            rows.push(("median reads/s", rate.text(0)));
            rows.push(("median read p50, ms", p50.text(2)));
            rows.push(("median read p99, ms", p99.text(2)));
        }
        rows.push(("reads never begun", never_begun.to_string()));
        rows.push(("reads unavailable", counts.unavailable.to_string()));
    }
    rows.push(("accepted", format!("{} {}", amount_text(total.booked_minor), book::ASSET)));
    rows.push(("on the book", format!("{} {}", amount_text(proof.turnover.debits), book::ASSET)));
    rows.push(("as accepted", yes_or_no(proof.is_on_book)));
    rows.push(("trial balance zero", yes_or_no(proof.is_balanced)));
    rows
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        let of = |figures: &[f64]| Spread::of(figures.iter().copied());
        assert_eq!(of(&[3.0, 1.0, 2.0]), Spread { median: 2.0, least: 1.0, most: 3.0 });
        assert_eq!(of(&[4.0, 1.0, 2.0, 10.0]), Spread { median: 3.0, least: 1.0, most: 10.0 });
        assert_eq!(of(&[7.0]), Spread { median: 7.0, least: 7.0, most: 7.0 });
        assert_eq!(of(&[]), Spread { median: 0.0, least: 0.0, most: 0.0 });
        assert_eq!(of(&[5.0, 1.0]).text(0), "3  (1 to 5)");
    }
}
