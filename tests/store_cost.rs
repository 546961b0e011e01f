//! What a batch costs in fjall, measured on request: `cargo test --profile quick -p folio --test store_cost -- --ignored --nocapture`.
//!
//! Nothing here is asserted but that the figures were taken from a book that holds what was written:
//! speed is for people to read. `FOLIO_COST_TRANSFERS` sets the transfers (1 000 000 unless told).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs
)]

use std::time::Instant;

use folio::store::{Batch, Direction, EngineKind, KeyRange, SpaceId};
use rand::{Rng, SeedableRng, rngs::StdRng};

const ACCOUNTS: u64 = 100_000;
const TRANSFERS_PER_BATCH: u64 = 1_000;

fn resident_kib(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Six small writes a transfer: two account totals, the transaction, the request id, the journal record, and an
/// index entry, some under random keys and some under ascending ones.
fn measure(kind: EngineKind, transfers: u64) {
    let folder = tempfile::tempdir().unwrap();
    let engine = folio::store::open(kind, &folder.path().join("book")).unwrap();
    let names = ["accounts", "transactions", "requests", "journal", "postings"];
    let [accounts, transactions, requests, journal, postings] =
        names.map(|name| engine.create_space(&SpaceId::new(name, 1)).unwrap());
    let mut random = StdRng::seed_from_u64(1);
    let mut batch = Batch::new();
    let (mut slowest_ms, mut keys) = (0_u128, 0_usize);
    let began = Instant::now();
    for first in (0..transfers).step_by(usize::try_from(TRANSFERS_PER_BATCH).unwrap()) {
        batch.clear();
        for number in first..first + TRANSFERS_PER_BATCH {
            for _ in 0..2 {
                batch.put(accounts, &random.random_range(0..ACCOUNTS).to_be_bytes(), &[1; 60]);
            }
            let identity: [u8; 16] = random.random();
            batch.put(transactions, &identity, &[2; 70]);
            batch.put(requests, &identity, &[3; 40]);
            batch.put(journal, &number.to_be_bytes(), &[4; 110]);
            batch.put(
                postings,
                &[&random.random_range(0..ACCOUNTS).to_be_bytes()[..], &number.to_be_bytes()].concat(),
                &[5; 8],
            );
        }
        keys += batch.len();
        let before = Instant::now();
        engine.write(&batch).unwrap();
        slowest_ms = slowest_ms.max(before.elapsed().as_millis());
    }
    let seconds = began.elapsed().as_secs_f64();
    engine.sync().unwrap();
    let (rss, peak) = (resident_kib("VmRSS") >> 10, resident_kib("VmHWM") >> 10);
    println!(
        "{kind}: {transfers} transfers, {keys} keys in {seconds:.1} s: {:.2} us a key, slowest batch {slowest_ms} ms, resident {rss} MiB, peak {peak} MiB",
        seconds * 1e6 / keys as f64
    );
    let view = engine.view().unwrap();
    let before = Instant::now();
    let gets = 100_000_u32;
    for _ in 0..gets {
        let key = random.random_range(0..transfers).to_be_bytes();
        assert_eq!(view.get(journal, &key).unwrap().unwrap().len(), 110);
    }
    println!("{kind}: {:.2} us a random get", before.elapsed().as_secs_f64() * 1e6 / f64::from(gets));
    let before = Instant::now();
    let count = view.scan(journal, &KeyRange::all(), Direction::Forward).unwrap().map(Result::unwrap).count();
    assert_eq!(count as u64, transfers);
    println!("{kind}: {:.2} us a scanned pair", before.elapsed().as_secs_f64() * 1e6 / transfers as f64);
    let small = Instant::now();
    for number in 0..2_000_u64 {
        batch.clear();
        for space in [accounts, transactions, requests, journal, postings] {
            batch.put(space, &number.to_be_bytes(), &[6; 60]);
        }
        engine.write(&batch).unwrap();
    }
    println!("{kind}: {:.1} us a batch of 5 keys over 5 spaces", small.elapsed().as_secs_f64() * 1e6 / 2_000.0);
    let syncs = Instant::now();
    for number in 0..200_u64 {
        batch.clear();
        batch.put(accounts, &number.to_be_bytes(), &[7; 60]);
        engine.write(&batch).unwrap();
        engine.sync().unwrap();
    }
    println!("{kind}: {:.0} us a write and sync", syncs.elapsed().as_secs_f64() * 1e6 / 200.0);
}

#[test]
#[ignore = "a measurement, run on request"]
fn cost_of_a_million_transfers() {
    let transfers = std::env::var("FOLIO_COST_TRANSFERS").map_or(1_000_000, |number| number.parse().unwrap());
    let kind = std::env::var("FOLIO_COST_ENGINE").map_or(EngineKind::Fjall, |name| name.parse().unwrap());
    measure(kind, transfers);
}

/// The processor time of this process so far, its kernel part included, in microseconds (in steps of 10 ms).
fn processor_us() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) * 10_000.0
}

/// Runs a step some times and tells what one took.
fn tell(what: &str, bytes: usize, count: usize, mut step: impl FnMut(u64)) {
    let (mut times, began) = (Vec::with_capacity(count), processor_us());
    for number in 0..count {
        let before = Instant::now();
        step(number as u64);
        times.push(before.elapsed().as_secs_f64() * 1e6);
    }
    // What the engine does afterwards belongs to it.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let processor = (processor_us() - began) / count as f64;
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times[(count - 1) * percent / 100];
    println!(
        "{what}: {bytes} bytes written and synced: p50 {:.0} us, p99 {:.0} us, {processor:.0} us of processor",
        at(50),
        at(99)
    );
}

/// What appending an entry to the Raft log costs in fjall, and in a file whose space is written beforehand.
#[test]
#[ignore = "a measurement, run on request"]
fn cost_of_a_log() {
    use std::os::unix::fs::FileExt;
    for (bytes, count) in [(200, 2_000), (1_500, 2_000), (16_000, 1_000), (500_000, 400)] {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let value: Vec<u8> = (0..bytes).map(|at| (at * 31 % 251) as u8).collect();
        let engine = folio::store::open_log(EngineKind::Fjall, &folder.path().join("log")).unwrap();
        let entries = engine.create_space(&SpaceId::new("entries", 0)).unwrap();
        let mut batch = Batch::new();
        tell("fjall", bytes, count, |number| {
            batch.clear();
            batch.put(entries, &number.to_be_bytes(), &value);
            engine.write(&batch).unwrap();
            engine.sync().unwrap();
        });
        drop(engine);
        let file = std::fs::File::create(folder.path().join("segment")).unwrap();
        let segment = 32 << 20;
        file.write_all_at(&vec![0; segment], 0).unwrap();
        file.sync_all().unwrap();
        let places = (segment / bytes) as u64;
        tell("file", bytes, count, |number| {
            file.write_all_at(&value, number % places * bytes as u64).unwrap();
            file.sync_data().unwrap();
        });
    }
}
