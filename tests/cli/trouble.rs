//! Replicas that are away, that hang, and addresses where nobody listens.

use std::time::{Duration, Instant};

use super::harness::{ALICE, BANK, Replica, SHOP, folio, free_addresses, text};

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
