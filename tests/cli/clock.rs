//! A replica whose clock is wrong, seen from outside. The clock is libfaketime's, which is
//! preloaded into the process.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::harness::{ALICE, BANK, Place, Served, text};

/// The library, or `None` and why.
fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let found = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|path| path.is_file());
    if found.is_none() {
        println!("SKIPPED: a false clock needs the package libfaketime");
    }
    found
}

/// Shows the process a clock of its own, and leaves alone by what it measures time that passes.
fn with_clock(mut command: Command, library: &PathBuf, clock: &str) -> Command {
    command.env("LD_PRELOAD", library).env("FAKETIME", clock).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    command.env("FAKETIME_NO_CACHE", "1");
    command
}

fn start(place: &Place, library: &PathBuf, clock: &str, more: &[&str]) -> Served {
    Served::spawn(with_clock(place.command(more), library, clock), place.folder.with_extension("log"))
}

fn stop(served: &mut Served) {
    assert_eq!(served.stop(), 0, "{}", served.said());
}

fn status(place: &Place) -> serde_json::Value {
    place.folio(&["status", "--output", "json"]).expect(0).json()["replicas"][0].clone()
}

#[test]
fn a_replica_with_an_unbelievable_clock_says_so_and_books_once_it_is_set() {
    let Some(library) = library() else { return };
    let temporary = tempfile::tempdir().unwrap();
    let place = Place::new(&temporary.path().join("data"));
    let transfer = ["transfer", "--debit", BANK, "--credit", ALICE, "--amount", "1.00", "--output", "json"];
    // Founded with a clock that is right, and with accounts.
    let mut served = place.start(&["--found"]);
    place.await_leader(&mut served).unwrap();
    place.folio(&["asset", "register", "USD", "--scale", "2"]).expect(0);
    place.folio(&["account", "open", BANK, "--asset", "USD", "--class", "asset", "--floor", "unlimited"]).expect(0);
    place.folio(&["account", "open", ALICE, "--asset", "USD", "--class", "liability"]).expect(0);
    stop(&mut served);
    for (clock, shows) in [
        ("@2560-01-01 00:00:00", "2554 or after"),
        ("@2201-01-01 00:00:00", "2201-01-01T"),
        ("@1999-12-31 00:00:00", "1999-12-3"),
    ] {
        let mut served = start(&place, &library, clock, &[]);
        place.await_leader(&mut served).unwrap();
        let refused = place.folio(&[&transfer[..], &["--timeout", "1s"]].concat()).expect(5);
        let refused = refused.says(&["CLOCK_SKEW", shows, "2020-01-01T00:00:00Z and 2200-01-01T00:00:00Z"]);
        assert_eq!(text(&refused.json(), "/error/reason"), "CLOCK_SKEW");
        // Questions are answered.
        place.folio(&["balance", ALICE]).expect(0);
        assert!(text(&status(&place), "/clock_refused").contains(shows), "{}", status(&place));
        assert!(place.folio(&["status"]).expect(0).stdout.contains("refused"));
        assert_eq!(served.said().matches("clock is not believed").count(), 1, "{}", served.said());
        stop(&mut served);
    }
    let mut served = place.start(&[]);
    place.await_leader(&mut served).unwrap();
    assert_eq!(text(&status(&place), "/clock_refused"), "");
    place.folio(&transfer).expect(0);
    stop(&mut served);
}

#[test]
fn a_clock_before_1970_is_refused_at_the_start_for_the_engines_cannot_live_with_it() {
    let Some(library) = library() else { return };
    let temporary = tempfile::tempdir().unwrap();
    let place = Place::new(&temporary.path().join("data"));
    let mut served = start(&place, &library, "@1969-06-01 00:00:00", &["--found"]);
    assert_eq!(served.wait(), 1);
    let said = served.said();
    assert!(said.contains("clock") && said.contains("before 1970") && !said.contains("damaged"), "{said}");
    assert!(!place.folder.exists(), "nothing was founded");
}

#[test]
fn a_log_that_is_ahead_of_the_clock_is_told_in_the_log_and_in_the_status() {
    let Some(library) = library() else { return };
    let temporary = tempfile::tempdir().unwrap();
    let place = Place::new(&temporary.path().join("data"));
    let mut served = start(&place, &library, "+1h", &["--found"]);
    place.await_leader(&mut served).unwrap();
    place.folio(&["asset", "register", "USD", "--scale", "2"]).expect(0);
    assert!(status(&place)["log_time_ahead"].is_null(), "{}", status(&place));
    stop(&mut served);
    // The clock is an hour back.
    let mut served = place.start(&[]);
    place.await_leader(&mut served).unwrap();
    assert!(served.said().contains("ahead of this replica's clock"), "{}", served.said());
    let ahead = text(&status(&place), "/log_time_ahead").to_owned();
    assert!(ahead.starts_with("359") || ahead.starts_with("3600"), "{ahead}");
    assert!(place.folio(&["status"]).expect(0).stdout.contains("log ahead by"));
    place.folio(&["asset", "register", "EUR", "--scale", "2"]).expect(0);
    stop(&mut served);
}
