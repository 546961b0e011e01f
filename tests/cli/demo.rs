//! `folio demo`, with a short day.

use std::net::TcpStream;

use super::harness::{folio, text};

#[test]
fn the_demo_survives_the_loss_of_its_leader_and_leaves_nothing_running() {
    let ran = folio(&["demo", "--clients", "8", "--payments", "50", "--output", "json"]).expect(0);
    let last = ran.json_lines().pop().unwrap_or_else(|| panic!("no object: {ran:?}"));
    for counted in
        ["transactions", "confirmed", "cancelled", "expired", "reversed", "rejected", "replayed", "failover_ms"]
    {
        assert!(last[counted].as_u64().is_some_and(|count| count > 0), "{counted}: {last}");
    }
    assert_eq!(last["replicas"], 3);
    assert!(last["unknown"].is_u64(), "{last}");
    for proof in ["trial_balance_zero", "replicas_agree"] {
        assert_eq!(last[proof], true, "{proof}: {last}");
    }
    for asset in last["trial_balance"]["lines"].as_array().unwrap() {
        assert_eq!(asset["is_balanced"], true, "{asset}");
        assert_eq!(text(asset, "/totals/debits_posted"), text(asset, "/totals/credits_posted"));
    }
    for replica in last["cluster"].as_array().unwrap() {
        let address = text(replica, "/address");
        assert!(TcpStream::connect(address).is_err(), "a replica of the demo still listens on {address}");
    }
}
