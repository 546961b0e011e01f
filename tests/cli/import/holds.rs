//! Lines that name another line's transaction: they reach it, whatever its id is and whichever file
//! it stood in.

use serde_json::Value;

use super::file;
use crate::harness::{ALICE, BANK, Replica, SHOP, text};

/// A transaction's own id, by its last digit.
fn own(digit: u8) -> String {
    format!("0192d3c4-7b1f-7c3e-9a55-2f6f0d1c8e4{digit}")
}

/// A try or a post of 1.00 from the shop to Alice; `more` are further fields.
fn booking(command: &str, id: &str, more: &str) -> String {
    let postings = format!(
        r#"[{{"account":"{BANK}","side":"debit","amount":"1.00"}},{{"account":"{SHOP}","side":"credit","amount":"1.00"}}]"#
    );
    format!(r#"{{"command":"{command}",{id},"postings":{postings}{more}}}"#)
}

fn with_own(digit: u8) -> String {
    format!(r#","transaction_id":"{}""#, own(digit))
}

/// Imports lines, which must end with an exit code, and gives what is told.
#[track_caller]
fn import(replica: &Replica, lines: &[String], code: i32) -> Value {
    let path = file(replica.temporary.path(), "lines.jsonl", &lines.join("\n"));
    replica.folio(&["import", path.to_str().unwrap(), "--output", "json"]).expect(code).json()
}

#[track_caller]
fn is_in(replica: &Replica, transaction: &str, state: &str) {
    let shown = replica.json(&["tx", "show", transaction]);
    assert_eq!(text(&shown, "/transaction/state"), state, "{shown}");
}

fn lines(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

#[test]
fn a_line_reaches_the_transaction_of_a_line_that_gave_it_an_id() {
    let replica = Replica::start();
    replica.open_usd();
    let request = "0192d3c4-0000-7000-8000-000000000001";
    let other = "0192d3c4-0000-7000-8000-000000000002";
    let all = [
        booking("try", r#""id":"hold-1""#, &with_own(1)),
        r#"{"command":"cancel","id":"void-1","transaction":"hold-1"}"#.to_owned(),
        booking("try", r#""id":"hold-2""#, &with_own(2)),
        r#"{"command":"confirm","id":"take-2","transaction":"hold-2","amounts":["0.40","0.40"]}"#.to_owned(),
        r#"{"command":"reverse","id":"back-2","original":"hold-2"}"#.to_owned(),
        booking("post", r#""id":"sale-3""#, &with_own(3)),
        r#"{"command":"reverse","id":"back-3","original":"sale-3","amounts":["0.10","0.10"]}"#.to_owned(),
        // Lines that have a request id of their own are named by it.
        booking("try", &format!(r#""request_id":"{request}""#), &with_own(4)),
        format!(r#"{{"command":"cancel","id":"void-4","transaction":"{request}"}}"#),
        booking("try", &format!(r#""request_id":"{other}""#), ""),
        format!(r#"{{"command":"confirm","id":"take-5","transaction_id":"{other}"}}"#),
    ];
    let told = import(&replica, &all, 0);
    assert_eq!((&told["accepted"], &told["empty"]), (&all.len().into(), &0.into()), "{told}");
    is_in(&replica, &own(1), "CANCELLED");
    is_in(&replica, &own(2), "CONFIRMED");
    is_in(&replica, &own(4), "CANCELLED");
    is_in(&replica, other, "CONFIRMED");
    assert_eq!(text(&replica.json(&["balance", SHOP]), "/posted"), "1.90", "0.40 - 0.40 + 1.00 - 0.10 + 1.00");
    let again = import(&replica, &all, 0);
    assert_eq!((&again["accepted"], &again["replayed"]), (&0.into(), &all.len().into()), "{again}");
}

#[test]
fn a_line_reaches_the_transaction_of_a_line_of_an_earlier_file() {
    let replica = Replica::start();
    replica.open_usd();
    let request = "0192d3c4-0000-7000-8000-000000000001";
    let first = [
        booking("try", r#""id":"hold-1""#, &with_own(1)),
        booking("try", r#""id":"hold-2""#, &with_own(2)),
        booking("post", r#""id":"sale-3""#, &with_own(3)),
        booking("try", r#""id":"hold-4""#, ""),
        booking("try", &format!(r#""request_id":"{request}""#), &with_own(5)),
    ];
    assert_eq!(import(&replica, &first, 0)["accepted"], 5);
    // Refused for lack of funds under an id of its own: a cancel fences that one, so that it can
    // never be tried.
    let poor = format!(
        r#"{{"command":"try","id":"hold-6","transaction_id":"{}","postings":[{{"account":"{ALICE}","side":"debit","amount":"1.00"}},{{"account":"{SHOP}","side":"credit","amount":"1.00"}}]}}"#,
        own(6)
    );
    assert_eq!(import(&replica, &[poor], 4)["refused"], 1);
    let second = lines(&[
        r#"{"command":"cancel","id":"void-1","transaction":"hold-1"}"#,
        r#"{"command":"confirm","id":"take-2","transaction":"hold-2","amounts":["0.40","0.40"]}"#,
        r#"{"command":"reverse","id":"back-3","original":"sale-3"}"#,
        r#"{"command":"cancel","id":"void-4","transaction":"hold-4"}"#,
        &format!(r#"{{"command":"cancel","id":"void-5","transaction":"{request}"}}"#),
        r#"{"command":"cancel","id":"void-6","transaction":"hold-6"}"#,
    ]);
    let told = import(&replica, &second, 0);
    assert_eq!((&told["accepted"], &told["empty"]), (&6.into(), &1.into()), "{told}");
    let empty = &told["empty_cancels"][0];
    assert_eq!((&empty["line"], &empty["id"], text(empty, "/transaction_id")), (&6.into(), &"void-6".into(), &*own(6)));
    for (digit, state) in [(1, "CANCELLED"), (2, "CONFIRMED"), (5, "CANCELLED"), (6, "CANCELLED")] {
        is_in(&replica, &own(digit), state);
    }
    assert_eq!(text(&replica.json(&["balance", SHOP]), "/posted"), "0.40");
    assert_eq!(replica.trial_balance()[0]["totals"]["debits_pending"], "0.00", "no hold is left");
    let again = import(&replica, &second, 0);
    assert_eq!((&again["replayed"], &again["empty"]), (&6.into(), &1.into()), "{again}");
}

#[test]
fn a_cancel_that_finds_nothing_is_told_as_such_and_answered_so_again() {
    let replica = Replica::start();
    replica.open_usd();
    let cancel = lines(&[
        r#"{"command":"cancel","id":"void-1","transaction":"hold-1"}"#,
        &format!(r#"{{"command":"cancel","id":"void-2","transaction_id":"{}"}}"#, own(2)),
    ]);
    let told = import(&replica, &cancel, 0);
    assert_eq!((&told["accepted"], &told["empty"]), (&2.into(), &2.into()), "{told}");
    let derived = text(&told["empty_cancels"][0], "/transaction_id").to_owned();
    assert!(text(&told["empty_cancels"][0], "/note").contains("hold-1"), "{told}");
    assert_eq!(text(&told["empty_cancels"][1], "/transaction_id"), own(2));
    let path = replica.temporary.path().join("lines.jsonl");
    let name = path.to_str().unwrap();
    let table = replica.folio(&["import", name]).expect(0);
    assert!(table.stdout.contains("empty") && table.stdout.contains('2'), "{table:?}");
    assert!(table.stderr.contains(&format!("{name}:1: void-1")) && table.stderr.contains(&derived), "{table:?}");
    // A line that comes later under the derived id is fenced, as the ledger promises; under another
    // id it is not, and the cancel is answered as before.
    assert_eq!(import(&replica, &[booking("try", r#""id":"hold-1""#, &with_own(1))], 0)["accepted"], 1);
    let again = import(&replica, &cancel, 0);
    assert_eq!((&again["replayed"], &again["empty"]), (&2.into(), &2.into()), "{again}");
    assert_eq!(text(&again["empty_cancels"][0], "/transaction_id"), derived);
}

#[test]
fn a_line_that_names_what_cannot_be_meant_is_bad() {
    let replica = Replica::start();
    replica.open_usd();
    let twice = "0192d3c4-0000-7000-8000-000000000001";
    let all = [
        r#"{"command":"cancel","id":"void-1","transaction":"hold-1"}"#.to_owned(),
        booking("try", r#""id":"hold-1""#, ""),
        r#"{"command":"confirm","id":"take-2","transaction":"hold-2"}"#.to_owned(),
        r#"{"command":"reverse","id":"back-3","original":"sale-3"}"#.to_owned(),
        format!(r#"{{"command":"freeze","id":"ice","account":"{ALICE}"}}"#),
        r#"{"command":"cancel","id":"void-5","transaction":"ice"}"#.to_owned(),
        booking("try", r#""id":"hold-6""#, r#","colour":"red""#),
        r#"{"command":"cancel","id":"void-6","transaction":"hold-6"}"#.to_owned(),
        r#"{"command":"cancel","id":"void-7","transaction":"void-7"}"#.to_owned(),
        booking("try", &format!(r#""request_id":"{twice}""#), ""),
        booking("try", &format!(r#""id":"{twice}""#), ""),
        format!(r#"{{"command":"cancel","id":"void-8","transaction":"{twice}"}}"#),
        booking("try", r#""id":"hold-9""#, r#","reference":7"#),
        r#"{"command":"cancel","id":"void-9","transaction":"hold-9"}"#.to_owned(),
    ];
    let wanted = [
        (1, "line 2"),
        (3, "hold-2"),
        (4, "sale-3"),
        (6, "line 5"),
        (7, "colour"),
        (8, "line 7"),
        (9, "line 9"),
        (12, "lines 10 and 11"),
        (13, "reference"),
        (14, "line 13"),
    ];
    for _ in 0..2 {
        let told = import(&replica, &all, 1);
        let bad = told["bad_lines"].as_array().unwrap();
        let found: Vec<_> = bad.iter().map(|bad| bad["line"].as_u64().unwrap()).collect();
        assert_eq!(found, wanted.map(|(line, _)| line), "{told}");
        for (bad, (_, word)) in bad.iter().zip(wanted) {
            assert!(text(bad, "/reason").contains(word), "{word}: {bad}");
        }
    }
    // A cancel of a line that is left out must not fence what is mended and tried later.
    let path = replica.temporary.path().join("lines.jsonl");
    let name = path.to_str().unwrap();
    let told = replica.folio(&["import", name, "--skip-bad-lines", "--output", "json"]).expect(1).json();
    assert_eq!((&told["accepted"], &told["bad"], &told["empty"]), (&4.into(), &10.into(), &0.into()), "{told}");
    assert_eq!(import(&replica, &[booking("try", r#""id":"hold-6""#, "")], 0)["accepted"], 1);
}
