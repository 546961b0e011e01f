//! A cluster is founded once, by an explicit act; a folder without data never votes. Seen from outside: processes, exit codes, messages.

use std::fs;
use std::path::Path;

use crate::kill::{Process, free_addresses};

/// Starts a replica that must refuse to serve, and gives what it says.
#[track_caller]
fn refused(folder: &Path, members: &str, found: &[&str]) -> String {
    let mut process = Process::spawn(folder, members, found);
    let status = process.wait();
    let said = process.said();
    assert_eq!(status.code(), Some(1), "{said}");
    said
}

/// Starts a replica and stops it when it serves.
#[track_caller]
fn serves(folder: &Path, members: &str, found: &[&str]) {
    Process::spawn(folder, members, found).wait_until_serving();
}

#[test]
fn an_empty_folder_never_votes_and_a_cluster_is_founded_once() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("one");
    let [peer, client, other] = free_addresses();
    let members = format!("1={peer}/{client}");
    let said = refused(&folder, &members, &[]);
    assert!(said.contains("was never founded") && said.contains("--found"), "{said}");
    assert!(!folder.exists(), "a refusal leaves nothing behind");

    serves(&folder, &members, &["--found"]);
    serves(&folder, &members, &[]);
    // The same founding again is none.
    serves(&folder, &members, &["--found"]);

    let others = format!("{members},2={other}/127.0.0.1:1");
    for found in [&["--found"][..], &[]] {
        let said = refused(&folder, &others, found);
        assert!(said.contains("belongs to replica 1 of cluster \"folio\"") && said.contains("members"), "{said}");
        let said = refused(&folder, &members, &[found, &["--cluster", "another"]].concat());
        assert!(said.contains("a cluster is founded once"), "{said}");
    }
}

#[test]
fn a_founded_folder_that_lost_its_data_is_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let [peer, client] = free_addresses();
    let members = format!("1={peer}/{client}");
    for (number, lost) in [&["log"][..], &["book"], &["log", "book"]].into_iter().enumerate() {
        let folder = temporary.path().join(number.to_string());
        serves(&folder, &members, &["--found"]);
        for part in lost {
            fs::remove_dir_all(folder.join(part)).unwrap();
        }
        for found in [&["--found"][..], &[]] {
            let said = refused(&folder, &members, found);
            assert!(said.contains("is missing, but replica 1 was founded here"), "{said}");
        }
    }
}

#[test]
fn data_without_its_identity_is_not_founded_anew() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("one");
    let [peer, client] = free_addresses();
    let members = format!("1={peer}/{client}");
    serves(&folder, &members, &["--found"]);
    fs::remove_file(folder.join("IDENTITY")).unwrap();
    let said = refused(&folder, &members, &["--found"]);
    assert!(said.contains("holds data, but not whose it is"), "{said}");
    assert!(!folder.join("IDENTITY").exists());
}
