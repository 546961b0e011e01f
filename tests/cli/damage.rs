//! A stopped replica's files, damaged one at a time: `serve` refuses and says where, or everything that was acknowledged is there.
//!
//! Every kind of file in the data folder has its turn: bits are flipped, its end is cut off, it is taken away. What each led to is printed.
//! `FOLIO_FLIPS` sets how many bits are flipped in each kind of file, `FOLIO_TEST_SEED` replays a run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use super::harness::{Place, Ran};

/// Replicas damaged side by side. They share nothing.
const WORKERS: u64 = 3;
/// Small, so that the log is purged and the book's tables are written.
const SNAPSHOTS: [&str; 2] = ["--snapshot-entries", "16"];
const TRANSFERS: usize = 400;

fn flips_per_kind() -> usize {
    std::env::var("FOLIO_FLIPS").map_or(3, |flips| flips.parse().expect("FOLIO_FLIPS is a number"))
}

/// All files below a folder, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found.sort();
    found
}

/// The kind of a file: its path with every number made `N`.
fn kind_of(path: &Path) -> String {
    let mut kind = String::new();
    for letter in path.to_string_lossy().chars() {
        match letter {
            '0'..='9' if kind.ends_with('N') => {}
            '0'..='9' => kind.push('N'),
            _ => kind.push(letter),
        }
    }
    kind
}

/// What was acknowledged before the damage.
#[derive(Debug, PartialEq)]
struct Acknowledged {
    journal: String,
    balances: String,
    accounts: String,
}

/// A replica that stopped cleanly: its files in memory, and what it had acknowledged.
struct Stopped {
    engine: &'static str,
    place: Place,
    files: Vec<(PathBuf, Vec<u8>)>,
    acknowledged: Acknowledged,
}

/// The part of an answer that does not depend on when it was asked.
fn timeless(ran: &Ran, part: &str) -> String {
    ran.json()[part].to_string()
}

/// Asks for everything. A question that is not answered ends it.
fn ask(place: &Place) -> Result<Acknowledged, Ran> {
    let question = |args: &[&str]| {
        let ran = place.folio(&[args, &["--output", "json", "--timeout", "10s"]].concat());
        if ran.code == 0 { Ok(ran) } else { Err(ran) }
    };
    Ok(Acknowledged {
        journal: question(&["journal"])?.stdout,
        balances: timeless(&question(&["trial-balance"])?, "lines"),
        accounts: timeless(&question(&["account", "list"])?, "accounts"),
    })
}

fn lines(number: usize) -> String {
    let account = number % 7;
    let debit = "assets:bank";
    let transfer = |id: &str, amount: &str| {
        format!(
            r#"{{"command":"transfer","id":"{id}","debit":"{debit}","credit":"liabilities:c:{account}","amount":"{amount}"}}"#
        )
    };
    let postings = format!(
        r#"[{{"account":"{debit}","side":"debit","amount":"2.00"}},{{"account":"liabilities:c:{account}","side":"credit","amount":"2.00"}}]"#
    );
    match number % 5 {
        0 => format!(r#"{{"command":"try","id":"try-{number}","postings":{postings}}}"#),
        1 => format!(r#"{{"command":"confirm","id":"confirm-{number}","transaction":"try-{}"}}"#, number - 1),
        _ => transfer(&format!("order-{number}"), &format!("{}.{:02}", number / 7 + 1, number % 100)),
    }
}

impl Stopped {
    /// Runs a replica through enough commands that every kind of file appears, with a restart in between, and stops it.
    fn build(engine: &'static str, folder: &Path) -> Stopped {
        fs::create_dir_all(folder).unwrap();
        let place = Place::new(&folder.join("data"));
        let mut content = vec![
            r#"{"command":"register_asset","id":"usd","code":"USD","scale":2}"#.to_owned(),
            r#"{"command":"open_account","id":"bank","name":"assets:bank","asset":"USD","class":"asset","floor":"unlimited"}"#
                .to_owned(),
        ];
        content.extend((0..7).map(|number| {
            format!(r#"{{"command":"open_account","id":"c{number}","name":"liabilities:c:{number}","asset":"USD","class":"liability"}}"#)
        }));
        content.extend((0..TRANSFERS).map(lines));
        let import = |part: &[String]| {
            let file = folder.join("payments.jsonl");
            fs::write(&file, part.join("\n")).unwrap();
            place.folio(&["import", file.to_str().unwrap(), "--batch", "5"]).expect(0);
        };
        let (early, late) = content.split_at(TRANSFERS / 2);
        let mut acknowledged = None;
        for (part, first) in [(early, &["--found"][..]), (late, &[])] {
            let mut served = place.start(&[&SNAPSHOTS[..], &["--engine", engine], first].concat());
            place.await_leader(&mut served).unwrap();
            import(part);
            acknowledged = Some(ask(&place).unwrap());
            assert_eq!(served.stop(), 0, "{}", served.said());
        }
        let relative = |path: &PathBuf| path.strip_prefix(&place.folder).unwrap().to_path_buf();
        let files = files(&place.folder).iter().map(|path| (relative(path), fs::read(path).unwrap())).collect();
        Stopped { engine, place, files, acknowledged: acknowledged.unwrap() }
    }

    /// Puts every file back as it was.
    fn restore(&self) {
        fs::remove_dir_all(&self.place.folder).unwrap();
        for (path, content) in &self.files {
            let path = self.place.folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            // The zeros of space that was reserved ahead stay a hole.
            fs::write(&path, &content[..used(content)]).unwrap();
            fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(content.len() as u64).unwrap();
        }
    }

    /// Starts on what lies there, and tells how it ended.
    fn examine(&self, damage: &str) -> Found {
        let mut served = self.place.start(&[&SNAPSHOTS[..], &["--engine", self.engine]].concat());
        if let Err(said) = self.place.await_leader(&mut served) {
            return refusal(self, served.wait(), &said, damage);
        }
        match ask(&self.place) {
            Ok(found) => {
                let whole = &self.acknowledged;
                assert!(
                    found == *whole,
                    "{damage}: it serves with less or with other things: {found:?}, not {whole:?}"
                );
                assert_eq!(served.stop(), 0, "{damage}: {}", served.said());
                Found::Intact
            }
            Err(ran) => match served.has_ended() {
                Some(status) => refusal(self, status.code().unwrap_or(-1), &served.said(), damage),
                None => {
                    assert!(ran.stderr.contains("STORAGE_FAILED"), "{damage}: {ran:?} {}", served.said());
                    Found::RefusedToRead
                }
            },
        }
    }
}

fn used(content: &[u8]) -> usize {
    content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// A refusal has exit code 1 and names the file or its folder, and nobody has to read a backtrace.
fn refusal(stopped: &Stopped, code: i32, said: &str, damage: &str) -> Found {
    assert_eq!(code, 1, "{damage}: {said}");
    let folder = stopped.place.folder.display().to_string();
    let last = said.lines().rfind(|line| line.starts_with("folio: ")).unwrap_or_default();
    assert!(last.contains(&folder), "{damage}: the refusal does not say where: {said}");
    assert!(!said.contains("panicked at"), "{damage}: {said}");
    Found::Refused
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    /// Everything is there.
    Intact,
    /// It does not serve.
    Refused,
    /// It serves, but not what it cannot read.
    RefusedToRead,
}

#[derive(Debug, Clone, Copy)]
enum Damage {
    Flip,
    CutOff,
    Removed,
}

fn inflict(damage: Damage, path: &Path, content: &[u8], random: &mut StdRng) -> String {
    let used = used(content);
    match damage {
        Damage::Flip => {
            let (byte, bit) = (random.random_range(0..used), random.random_range(0..8_u8));
            let mut flipped = content.to_vec();
            flipped[byte] ^= 1 << bit;
            fs::write(path, flipped).unwrap();
            format!("bit {bit} of byte {byte} of {}", path.display())
        }
        Damage::CutOff => {
            let length = random.random_range(0..used);
            fs::write(path, &content[..length]).unwrap();
            format!("{} cut off after {length} of {used} bytes", path.display())
        }
        Damage::Removed => {
            fs::remove_file(path).unwrap();
            format!("{} removed", path.display())
        }
    }
}

type Counts = BTreeMap<(String, &'static str, Found), usize>;

/// Damages this worker's share of the kinds.
fn work(engine: &'static str, worker: u64, seed: u64, folder: &Path) -> Counts {
    let stopped = Stopped::build(engine, folder);
    let mut random = StdRng::seed_from_u64(seed.wrapping_add(worker));
    stopped.restore();
    assert_eq!(stopped.examine("an undamaged copy"), Found::Intact);
    let mut kinds: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, (path, content)) in stopped.files.iter().enumerate() {
        if used(content) > 0 {
            kinds.entry(kind_of(path)).or_default().push(index);
        }
    }
    let mut counts = Counts::new();
    let mut turn = 0;
    for (kind, indexes) in kinds {
        let flips = std::iter::repeat_n((Damage::Flip, "flipped"), flips_per_kind());
        for (damage, name) in flips.chain([(Damage::CutOff, "cut off"), (Damage::Removed, "removed")]) {
            let (path, content) = &stopped.files[*indexes.choose(&mut random).unwrap()];
            turn += 1;
            if turn % WORKERS != worker {
                continue;
            }
            stopped.restore();
            let told = inflict(damage, &stopped.place.folder.join(path), content, &mut random);
            let found = stopped.examine(&told);
            *counts.entry((kind.clone(), name, found)).or_default() += 1;
        }
    }
    counts
}

/// Damages the files of replicas with this engine, and prints what it led to.
fn damage(engine: &'static str) -> Counts {
    let seed = std::env::var("FOLIO_TEST_SEED").map_or_else(|_| rand::rng().random(), |seed| seed.parse().unwrap());
    println!("{engine}: replay the damage with FOLIO_TEST_SEED={seed}");
    let temporary = tempfile::tempdir().unwrap();
    let mut all = Counts::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let folder = temporary.path().join(worker.to_string());
                scope.spawn(move || work(engine, worker, seed, &folder))
            })
            .collect();
        for worker in workers {
            for (what, count) in worker.join().unwrap_or_else(|_| panic!("replay with FOLIO_TEST_SEED={seed}")) {
                *all.entry(what).or_default() += count;
            }
        }
    });
    for ((kind, damage, found), count) in &all {
        println!("{engine} {kind} {damage}: {found:?} {count}");
    }
    for part in ["IDENTITY", "book/FORMAT", "book/SYNCED", "log/FORMAT", "log/SYNCED"] {
        assert!(all.keys().any(|(kind, ..)| kind == part), "{part} had no turn");
    }
    let refused: usize = all.iter().filter(|((.., found), _)| *found == Found::Refused).map(|(_, count)| count).sum();
    assert!(refused > 0, "damage is seen");
    all
}

#[test]
fn damage_to_any_file_is_refused_or_harmless() {
    let all = damage("fjall");
    for part in ["book/data", "log/data"] {
        let has = |end: &str| all.keys().any(|(kind, ..)| kind.starts_with(part) && kind.contains(end));
        assert!(has(".jnl"), "{part}: no journal had its turn");
        assert!(has("keyspaces/N/v"), "{part}: no manifest had its turn");
    }
    assert!(all.keys().any(|(kind, ..)| kind.contains("tables/")), "no table had its turn");
}

#[test]
fn damage_to_any_file_of_sled_is_refused_or_harmless() {
    let all = damage("sled");
    assert!(all.keys().any(|(kind, ..)| kind == "book/data/db"), "sled's file had no turn");
}
