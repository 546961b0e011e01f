//! `folio-jepsen` whose output is full, closed, or not wanted: its exit code is the verdict's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::fs::File;
use std::process::{Command, Stdio};

/// The exit code of a check of a history.
fn check(history: &str, stdout: Stdio, stderr: Stdio) -> Option<i32> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_folio-jepsen"));
    command.args(["check", history]).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    command.status().unwrap().code()
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

fn closed() -> Stdio {
    std::io::pipe().unwrap().1.into()
}

#[test]
fn no_stream_changes_the_verdict_of_a_check() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("history.edn");
    std::fs::write(&empty, "").unwrap();
    let empty = empty.to_str().unwrap();
    let verdict = check(empty, Stdio::null(), Stdio::null());
    assert!([Some(0), Some(1), Some(7)].contains(&verdict), "{verdict:?}");
    assert_eq!(check(empty, closed(), Stdio::null()), verdict);
    assert_eq!(check(empty, Stdio::null(), closed()), verdict);
    // A verdict that nobody can be told is a failure where it is not one already.
    assert_eq!(check(empty, full(), full()), if verdict == Some(0) { Some(1) } else { verdict });
    let absent = folder.path().join("absent.edn");
    for stderr in [closed(), full(), Stdio::null()] {
        assert_eq!(check(absent.to_str().unwrap(), Stdio::null(), stderr), Some(1));
    }
}
