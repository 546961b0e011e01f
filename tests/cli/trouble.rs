//! Replicas that are away, that hang, and addresses where nobody listens.

use std::time::{Duration, Instant};

use super::harness::{
    ALICE, BANK, Place, Ran, Replica, SHOP, await_that, folio, free_addresses, long_details, program, text, unread,
};

#[test]
fn where_nobody_listens_it_is_unavailable_and_nothing_happened() {
    let (nobody, nor_here) = free_addresses();
    let endpoints = format!("{nobody},{nor_here}");
    for command in [
        &["status"][..],
        &["balance", ALICE],
        &["account", "list"],
        &["journal"],
        &["request", "show", "00000000-0000-4000-8000-000000000001"],
        &["trial-balance"],
    ] {
        let ran = folio(&[command, &["--endpoints", &endpoints, "--timeout", "300ms"]].concat()).expect(5);
        assert_eq!(ran.stdout, "", "{command:?}: {ran:?}");
        assert!(ran.stderr.contains("refused"), "{command:?} does not say why: {ran:?}");
        assert!(
            ran.stderr.contains(&nobody) || ran.stderr.contains(&nor_here),
            "{command:?} does not say who: {ran:?}"
        );
    }
    let transfer = ["transfer", "--debit", BANK, "--credit", ALICE, "--amount", "1.00", "--output", "json"];
    let began = Instant::now();
    let ran = folio(&[&transfer[..], &["--endpoints", &endpoints, "--timeout", "500ms"]].concat()).expect(5);
    assert!(began.elapsed() < Duration::from_secs(5), "a call ends within its time: {:?}", began.elapsed());
    assert_eq!(text(&ran.json(), "/request_id").len(), 36, "the id to repeat is told: {ran:?}");
}

#[test]
fn a_replica_that_hangs_leaves_the_outcome_unknown_until_the_request_is_repeated() {
    let replica = Replica::start();
    replica.open_usd();
    replica.served.signal(libc::SIGSTOP);
    let transfer = ["transfer", "--debit", BANK, "--credit", ALICE, "--amount", "25.00", "--output", "json"];
    let began = Instant::now();
    let ran = replica.folio(&[&transfer[..], &["--timeout", "1s"]].concat()).expect(6);
    let ran = ran.says(&[&replica.place.address, "does not answer", "Repeat the same request id"]);
    assert!(began.elapsed() < Duration::from_secs(5), "a call ends within its time: {:?}", began.elapsed());
    let request_id = text(&ran.json(), "/request_id").to_owned();
    // A question changes nothing, so there is nothing unknown about it.
    replica.folio(&["balance", ALICE, "--timeout", "1s"]).expect(5);
    replica.folio(&["status", "--timeout", "1s"]).expect(5).says(&[&replica.place.address, "does not answer"]);
    replica.served.signal(libc::SIGCONT);
    let again = replica.json(&[&transfer[..6], &["25.00", "--request-id", &request_id]].concat());
    assert_eq!(text(&again, "/transaction_id"), request_id);
    assert_eq!(text(&replica.json(&["balance", ALICE]), "/posted"), "25.00", "once, however often it was sent");
    assert_eq!(text(&replica.json(&["request", "show", &request_id]), "/result/request_id"), request_id);
}

#[test]
fn one_endpoint_that_lives_is_enough() {
    let replica = Replica::start();
    replica.open_usd();
    let (dead, dead_too) = free_addresses();
    let endpoints = format!("{dead},{},{dead_too}", replica.place.address);
    let ask = |args: &[&str]| folio(&[args, &["--endpoints", &endpoints, "--timeout", "5s"]].concat());
    ask(&["transfer", "--debit", BANK, "--credit", SHOP, "--amount", "7.00"]).expect(0);
    ask(&["account", "show", SHOP]).expect(0);
    ask(&["trial-balance"]).expect(0);
    let records = ask(&["journal", "--output", "json"]).expect(0).json_lines();
    assert_eq!(records.len(), 5, "{records:?}");
    let table = ask(&["status"]).expect(0);
    for address in [&dead, &dead_too] {
        let row = table.stdout.lines().find(|line| line.contains(address.as_str()));
        assert!(row.is_some_and(|row| row.contains("does not answer")), "{address}: {table:?}");
    }
    let status = ask(&["status", "--output", "json"]).expect(0).json();
    assert_eq!(text(&status, "/replicas/0/address"), dead);
    assert!(!text(&status, "/replicas/0/error").is_empty(), "{status}");
    assert_eq!(text(&status, "/replicas/1/role"), "leader");
    // The variable says the same as the flag, and the flag is stronger.
    let mut with_variable = super::harness::program();
    with_variable.env("FOLIO_ENDPOINTS", &endpoints).args(["account", "show", SHOP]);
    assert!(with_variable.output().unwrap().status.success());
    with_variable.args(["--endpoints", &dead, "--timeout", "200ms"]);
    assert_eq!(with_variable.output().unwrap().status.code(), Some(5));
}

#[test]
fn a_call_that_was_sent_and_lost_stays_unknown_whatever_later_attempts_find() {
    let mut replica = Replica::start();
    replica.open_usd();
    let address = replica.place.address.clone();
    replica.served.signal(libc::SIGSTOP);
    let details = long_details();
    let details: Vec<&str> = details.iter().map(String::as_str).collect();
    let again = [&["transfer", "--debit", BANK, "--credit", ALICE, "--amount", "25.00"], &details[..]].concat();
    let mut transfer = program();
    transfer.args(&again).args(["--output", "json", "--timeout", "4s", "--endpoints", &address]);
    let child = transfer.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    await_that("the call is sent", || unread(&address) > 1_000);
    // From here on every attempt finds that nobody listens, which is certain of itself and says nothing of the first.
    replica.served.signal(libc::SIGKILL);
    let ran = Ran::of(child.wait_with_output().unwrap()).expect(6);
    let id = ran.told_id().to_owned();
    let ran =
        ran.says(&["The outcome is not known", &format!("folio request show {id}"), &format!("--request-id {id}")]);
    assert_eq!(text(&ran.json(), "/request_id"), id);
    await_that("the replica is gone", || replica.served.has_ended().is_some());
    replica.served = replica.place.start(&[]);
    replica.place.await_leader(&mut replica.served).unwrap();
    replica.json(&[&again[..], &["--request-id", &id]].concat());
    assert_eq!(text(&replica.json(&["balance", ALICE]), "/posted"), "25.00", "once, however often it was sent");
}

#[test]
fn the_port_for_peers_is_told_from_a_replica_that_does_not_answer() {
    let temporary = tempfile::tempdir().unwrap();
    let (peers, clients) = free_addresses();
    let members = format!("1={peers}/{clients}");
    let place = Place { folder: temporary.path().join("data"), members, address: clients };
    let mut served = place.start(&["--found"]);
    place.await_leader(&mut served).unwrap();
    let says = [peers.as_str(), "answers, but not as folio does for clients", "port for peers"];
    for (command, code) in [
        (&["status"][..], 5),
        (&["balance", ALICE], 1),
        (&["account", "list"], 1),
        (&["journal"], 1),
        (&["request", "show", "00000000-0000-4000-8000-000000000001"], 1),
        (&["transfer", "--debit", BANK, "--credit", ALICE, "--amount", "1.00"], 1),
    ] {
        let ran = folio(&[command, &["--endpoints", &peers, "--timeout", "5s"]].concat()).expect(code).says(&says);
        assert!(!ran.stderr.contains("does not answer: \n") && !ran.stderr.ends_with(": \n"), "{ran:?}");
    }
    // Beside one that answers it has a row that says so.
    let both = format!("{},{peers}", place.address);
    let table = folio(&["status", "--endpoints", &both]).expect(0).says(&says);
    let row = table.stdout.lines().find(|line| line.contains(&peers));
    assert!(row.is_some_and(|row| row.contains("no port for clients")), "{table:?}");
    assert_eq!(served.stop(), 0);
}
