//! Founding, cut off anywhere, and folders that lost what says whose they are.
//!
//! `FOLIO_CRASH_ROUNDS` sets the rounds (5 unless told); `FOLIO_CRASH_SEED` replays the random
//! moments.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::harness::{ALICE, BANK, Place, Replica, text};

const ENGINES: [&str; 2] = ["fjall", "sled"];

/// A founding that is killed after a while, and where that is found out by looking at the folder,
/// as soon as `until` says so.
fn cut_off(place: &Place, engine: &str, until: impl Fn() -> bool) {
    let mut served = place.start(&["--found", "--engine", engine]);
    let began = Instant::now();
    while !until() && served.has_ended().is_none() && began.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_micros(200));
    }
    served.signal(libc::SIGKILL);
}

/// Starts it for good, moves money and stops it; the second start needs no flag.
#[track_caller]
fn founds(place: &Place, engine: &str) {
    for (number, more) in [&["--found"][..], &[]].into_iter().enumerate() {
        let mut served = place.start(&[&["--engine", engine], more].concat());
        place.await_leader(&mut served).unwrap();
        let code = (b'A' + u8::try_from(number).unwrap()) as char;
        place.folio(&["asset", "register", &format!("USD{code}"), "--scale", "2"]).expect(0);
        assert_eq!(served.stop(), 0, "{}", served.said());
    }
    assert!(place.folder.join("IDENTITY").is_file() && !place.folder.join("FOUNDING").exists());
}

#[test]
fn a_founding_that_was_killed_twice_is_repeated_with_the_same_command() {
    let rounds: u64 = std::env::var("FOLIO_CRASH_ROUNDS").map_or(5, |rounds| rounds.parse().unwrap());
    let seed: u64 =
        std::env::var("FOLIO_CRASH_SEED").map_or_else(|_| rand::rng().random(), |seed| seed.parse().unwrap());
    println!("replay the random moments with FOLIO_CRASH_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..rounds {
        let temporary = tempfile::tempdir().unwrap();
        let place = Place::new(&temporary.path().join("data"));
        let engine = ENGINES[usize::try_from(round).unwrap() % ENGINES.len()];
        for kill in 0..2 {
            // From the moment on at which something of it is there.
            let (marker, identity) = (place.folder.join("FOUNDING"), place.folder.join("IDENTITY"));
            let after = Duration::from_micros(random.random_range(0..40_000));
            let began = std::cell::Cell::new(None);
            cut_off(&place, engine, || {
                if began.get().is_none() && (marker.exists() || identity.exists()) {
                    began.set(Some(Instant::now()));
                }
                began.get().is_some_and(|began: Instant| began.elapsed() >= after)
            });
            println!(
                "round {round}, {engine}: kill {kill} {after:?} after its beginning, founded {}",
                identity.exists()
            );
        }
        founds(&place, engine);
    }
}

/// A founding that is whole but for its last step.
fn all_but_founded(place: &Place, engine: &str) {
    let mut served = place.start(&["--found", "--engine", engine]);
    place.await_leader(&mut served).unwrap();
    assert_eq!(served.stop(), 0);
    fs::rename(place.folder.join("IDENTITY"), place.folder.join("FOUNDING")).unwrap();
}

/// What two kills left in 2 of 330 foundings: a keyspace that is on no list, and that the next
/// start had begun to clear away.
fn leave_a_keyspace_without_manifest(data: &Path) {
    let keyspaces = data.join("keyspaces");
    let left = keyspaces.join("99");
    fs::create_dir(&left).unwrap();
    fs::copy(keyspaces.join("1").join("current"), left.join("current")).unwrap();
}

#[test]
fn whatever_an_unfinished_founding_left_is_cleared_away_by_the_next() {
    for engine in ENGINES {
        let temporary = tempfile::tempdir().unwrap();
        let place = Place::new(&temporary.path().join("data"));
        all_but_founded(&place, engine);
        leave_a_keyspace_without_manifest(&place.folder.join("log/data"));
        fs::write(place.folder.join("book/FORMAT"), "torn").unwrap();
        fs::write(place.folder.join("FOUNDING"), "").unwrap();
        let said = place.refusal(&["--engine", engine]).expect(1).says(&["was cut off", "--found"]).stderr;
        assert!(!said.contains("damaged"), "{said}");
        founds(&place, engine);
    }
}

#[test]
fn a_keyspace_that_was_being_cleared_away_does_not_make_a_book_damaged() {
    let mut replica = Replica::start();
    replica.open_usd();
    replica.json(&["transfer", "--debit", BANK, "--credit", ALICE, "--amount", "3.00"]);
    assert_eq!(replica.served.stop(), 0);
    let parts = ["book", "log"].map(|part| replica.place.folder.join(part).join("data"));
    for part in &parts {
        leave_a_keyspace_without_manifest(part);
    }
    replica.served = replica.place.start(&[]);
    replica.place.await_leader(&mut replica.served).unwrap();
    assert_eq!(text(&replica.json(&["balance", ALICE]), "/posted"), "3.00");
    assert_eq!(replica.served.stop(), 0);
    for part in &parts {
        assert!(!part.join("keyspaces/99").exists(), "it is cleared away");
    }
    // One that is in use is missed.
    let manifests: Vec<PathBuf> = fs::read_dir(parts[0].join("keyspaces/1"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with('v'))
        .collect();
    for manifest in &manifests {
        fs::rename(manifest, replica.temporary.path().join(manifest.file_name().unwrap())).unwrap();
    }
    replica.place.refusal(&[]).expect(1).says(&["is damaged", "keyspaces/1/v", "is missing"]);
    for manifest in &manifests {
        fs::rename(replica.temporary.path().join(manifest.file_name().unwrap()), manifest).unwrap();
    }
    replica.served = replica.place.start(&[]);
    replica.place.await_leader(&mut replica.served).unwrap();
    assert_eq!(text(&replica.json(&["balance", ALICE]), "/posted"), "3.00");
}

#[test]
fn a_folder_that_lost_its_identity_is_never_told_to_be_founded() {
    for lost in [&["book"][..], &["log"], &[]] {
        let mut replica = Replica::start();
        replica.open_usd();
        assert_eq!(replica.served.stop(), 0);
        let folder = &replica.place.folder;
        fs::rename(folder.join("IDENTITY"), replica.temporary.path().join("IDENTITY")).unwrap();
        for part in lost {
            fs::remove_dir_all(folder.join(part)).unwrap();
        }
        let before = files(folder);
        for more in [&[][..], &["--found"]] {
            let ran = replica.place.refusal(more).expect(1).says(&["holds data, but not whose it is", "IDENTITY"]);
            assert!(!ran.stderr.contains("--found") && !ran.stderr.contains("never founded"), "{ran:?}");
            assert_eq!(files(folder), before, "a refusal changes nothing");
        }
    }
    // With its identity it is what it was, also if the mark of a founding was copied to it.
    let mut replica = Replica::start();
    replica.open_usd();
    assert_eq!(replica.served.stop(), 0);
    let folder = replica.place.folder.clone();
    fs::copy(folder.join("IDENTITY"), folder.join("FOUNDING")).unwrap();
    replica.served = replica.place.start(&["--found"]);
    replica.place.await_leader(&mut replica.served).unwrap();
    assert_eq!(text(&replica.json(&["account", "show", ALICE]), "/account/name"), ALICE);
    assert!(!folder.join("FOUNDING").exists(), "it could lead to losing the book, were the identity lost");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

#[test]
fn two_processes_do_not_found_in_one_folder() {
    let temporary = tempfile::tempdir().unwrap();
    let place = Place::new(&temporary.path().join("data"));
    fs::create_dir(&place.folder).unwrap();
    let marker = fs::File::create(place.folder.join("FOUNDING")).unwrap();
    marker.lock().unwrap();
    place.refusal(&["--found"]).expect(1).says(&["another process is founding"]);
    drop(marker);
    founds(&place, "fjall");
}
