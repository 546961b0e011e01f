//! Commands that are told to stop while they change something.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::harness::{ALICE, BANK, Ran, Replica, await_that, long_details, program, text, unread};

#[test]
fn a_signal_leaves_the_id_of_the_request_and_says_that_the_outcome_is_unknown() {
    let replica = Replica::start();
    replica.open_usd();
    let address = &replica.place.address;
    let details = long_details();
    let details: Vec<&str> = details.iter().map(String::as_str).collect();
    let transfer = [&["transfer", "--debit", BANK, "--credit", ALICE, "--amount", "5.00"], &details[..]].concat();
    let mut ids = Vec::new();
    for (signal, name, shape) in [(libc::SIGINT, "SIGINT", "table"), (libc::SIGTERM, "SIGTERM", "json")] {
        replica.served.signal(libc::SIGSTOP);
        let before = unread(address);
        let mut command = program();
        command.args(&transfer).args(["--output", shape, "--timeout", "60s", "--endpoints", address]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The id is told before anything is answered, and while nothing can be.
        let mut told = String::new();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        errors.read_line(&mut told).unwrap();
        await_that("the call is sent", || unread(address) > before + 1_000);
        let began = Instant::now();
        let pid = libc::pid_t::try_from(child.id()).unwrap();
        // SAFETY: the child is not waited for yet, so the id is its own.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
        let mut ran = Ran::of(child.wait_with_output().unwrap());
        assert!(began.elapsed() < Duration::from_secs(10), "it ends at once: {ran:?}");
        ran.stderr = told;
        std::io::Read::read_to_string(&mut errors, &mut ran.stderr).unwrap();
        let ran = ran.expect(6);
        let id = ran.told_id().to_owned();
        let ran = ran.says(&[
            name,
            "outcome is not known",
            &format!("folio request show {id}"),
            &format!("--request-id {id}"),
        ]);
        match shape {
            "json" => assert_eq!(text(&ran.json(), "/request_id"), id),
            _ => assert_eq!(ran.stdout, "", "nothing was decided as far as it knows"),
        }
        replica.served.signal(libc::SIGCONT);
        replica.folio(&[&transfer[..], &["--request-id", &id]].concat()).expect(0);
        ids.push(id);
    }
    assert_eq!(text(&replica.json(&["balance", ALICE]), "/posted"), "10.00", "each once");
    for id in ids {
        replica.json(&["request", "show", &id]);
    }
}

#[test]
fn an_import_that_is_stopped_says_how_to_go_on() {
    let replica = Replica::start();
    replica.open_usd();
    let address = &replica.place.address;
    let line = |number: u32| {
        format!(r#"{{"command":"transfer","id":"order-{number}","debit":"{BANK}","credit":"{ALICE}","amount":"1.25"}}"#)
    };
    // Some thousand batches, each with a sync of its own: it is under way for a second at least.
    let lines: Vec<String> = (0..40_000).map(line).collect();
    let file = replica.temporary.path().join("payments.jsonl");
    std::fs::write(&file, lines.join("\n")).unwrap();
    let mut command = program();
    command.args(["import", file.to_str().unwrap(), "--batch", "10", "--output", "json", "--timeout", "60s"]);
    command.args(["--endpoints", address]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    await_that("the import begins", || text(&replica.json(&["balance", ALICE]), "/posted") != "0.00");
    replica.served.signal(libc::SIGSTOP);
    await_that("a batch is sent", || unread(address) > 1_000);
    let pid = libc::pid_t::try_from(child.id()).unwrap();
    // SAFETY: the child is not waited for yet, so the id is its own.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGINT) }, 0);
    let ran = Ran::of(child.wait_with_output().unwrap()).expect(6).says(&["SIGINT", "not known", "same file again"]);
    let before = ran.json()["accepted"].as_u64().unwrap();
    replica.served.signal(libc::SIGCONT);
    let again = replica.folio(&["import", file.to_str().unwrap(), "--output", "json"]).expect(0).json();
    assert_eq!(again["accepted"].as_u64().unwrap() + again["replayed"].as_u64().unwrap(), 40_000, "{again}");
    assert!(again["replayed"].as_u64().unwrap() >= before, "{again}");
    assert_eq!(text(&replica.json(&["balance", ALICE]), "/posted"), "50000.00", "each once");
}
