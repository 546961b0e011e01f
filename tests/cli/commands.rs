//! Every command against one replica: what it prints, and how it ends.

use serde_json::Value;

use super::harness::{ALICE, BANK, Replica, SHOP, has_keys, text};

const DECIDED: [&str; 6] = ["request_id", "transaction_id", "deadline", "empty", "decision", "refusal"];

/// A request id that a test can name.
fn id(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// A mutating command given twice under one id, and then with other content: decided, replayed, refused.
#[track_caller]
fn once_and_again(replica: &Replica, request_id: &str, command: &[&str], other: &[&str]) -> Value {
    let given = ["--request-id", request_id];
    let first = replica.json(&[command, &given].concat());
    has_keys(&first, &DECIDED);
    assert_eq!(text(&first, "/request_id"), request_id);
    assert_eq!(first["decision"]["replayed"], false, "{first}");
    assert!(first["decision"]["at"]["log_index"].as_u64().unwrap() > 0, "{first}");
    let again = replica.json(&[command, &given].concat());
    assert_eq!(again["decision"]["replayed"], true, "{command:?}: {again}");
    assert_eq!(again["decision"]["first"]["log_index"], first["decision"]["at"]["log_index"], "{again}");
    let reused = replica.folio(&[other, &given].concat()).expect(4).says(&["REQUEST_ID_REUSED", "What to do:"]);
    assert_eq!(reused.stdout, "", "a table has nothing to show of what was not done");
    assert_eq!(reused.told_id(), request_id, "the request id is told first, and before anything is sent");
    assert_eq!(reused.stderr.matches(request_id).count(), 1, "and once: {reused:?}");
    first
}

#[test]
fn commands_that_change_the_book_take_a_request_id_and_repeat_it_safely() {
    let replica = Replica::start();
    let hundred = ["transfer", "--debit", BANK, "--credit", ALICE, "--amount"];
    let other = ["account", "freeze", SHOP];
    let register = ["asset", "register", "USD", "--scale", "2"];
    once_and_again(&replica, &id(1), &register, &["asset", "register", "USD", "--scale", "3"]);
    let open = ["account", "open", BANK, "--asset", "USD", "--class", "asset", "--floor", "unlimited"];
    once_and_again(&replica, &id(2), &open, &register);
    for (number, name) in [(3, ALICE), (4, SHOP)] {
        let open = ["account", "open", name, "--asset", "USD", "--class", "liability", "--metadata", "tier=gold"];
        once_and_again(&replica, &id(number), &open, &register);
    }
    let limits = ["account", "set-limits", ALICE, "--floor", "-10.00", "--ceiling", "5000.00"];
    once_and_again(&replica, &id(5), &limits, &["account", "set-limits", ALICE, "--ceiling", "none"]);
    once_and_again(&replica, &id(6), &["account", "freeze", SHOP], &register);
    once_and_again(&replica, &id(7), &["account", "unfreeze", SHOP], &other);
    let transfer = [&hundred[..], &["100.00", "--reference", "order-1", "--effective-at", "2026-01-31"]].concat();
    let booked = once_and_again(&replica, &id(8), &transfer, &[&hundred[..], &["100.01"]].concat());
    assert_eq!(text(&booked, "/transaction_id"), id(8), "a transaction is called by its request id unless told");
    let (debit, credit) = (format!("{ALICE}=12.50"), format!("{SHOP}=12.50"));
    let postings = ["--debit", debit.as_str(), "--credit", credit.as_str()];
    let id_90 = id(90);
    let post = [&["tx", "post"], &postings[..], &["--transaction-id", &id_90]].concat();
    let posted = once_and_again(&replica, &id(9), &post, &other);
    assert_eq!(text(&posted, "/transaction_id"), id(90));
    assert_eq!(text(&posted, "/decision/transaction_state"), "CONFIRMED");
    let tried = once_and_again(&replica, &id(10), &[&["tx", "try"], &postings[..], &["--hold", "15m"]].concat(), &post);
    assert_eq!(text(&tried, "/decision/transaction_state"), "TRIED");
    assert!(text(&tried, "/deadline").ends_with('Z'), "{tried}");
    let confirm = ["tx", "confirm", &id(10), "--amounts", "10.00,10.00"];
    once_and_again(&replica, &id(11), &confirm, &["tx", "confirm", &id(10)]);
    replica.json(&[&["tx", "try"], &postings[..], &["--request-id", &id(12)]].concat());
    once_and_again(&replica, &id(13), &["tx", "cancel", &id(12)], &["tx", "cancel", &id(10)]);
    let fenced = once_and_again(&replica, &id(14), &["tx", "cancel", &id(99)], &other);
    assert_eq!(fenced["empty"], true, "{fenced}");
    let reverse = ["tx", "reverse", &id(10), "--amounts", "1.50,1.50", "--reference", "refund"];
    once_and_again(&replica, &id(15), &reverse, &["tx", "reverse", &id(10)]);
    let spare = ["account", "open", "equity:spare", "--asset", "USD", "--class", "equity"];
    replica.json(&spare);
    once_and_again(&replica, &id(16), &["account", "close", "equity:spare"], &other);
    // 100.00 in; 12.50 and 10.00 out, 1.50 back.
    assert_eq!(text(&replica.json(&["balance", ALICE]), "/posted"), "79.00");
    questions(&replica);
    tables(&replica);
}

/// Every question, in JSON.
fn questions(replica: &Replica) {
    let status = replica.json(&["status"]);
    let own = &status["replicas"][0];
    assert_eq!(text(own, "/address"), replica.place.address);
    assert_eq!(text(own, "/role"), "leader");
    assert_eq!(text(own, "/engine"), "fjall");
    assert_eq!(replica.json(&["asset", "list"])["assets"][0]["code"], "USD");
    let shown = replica.json(&["account", "show", ALICE]);
    has_keys(&shown, &["read_point", "account"]);
    assert_eq!(text(&shown, "/account/floor"), "-10.00");
    assert_eq!(text(&shown, "/account/ceiling"), "5000.00");
    assert_eq!(text(&shown, "/account/metadata/tier"), "gold");
    assert_eq!(text(&shown, "/account/available"), "79.00");
    let listed = replica.json(&["account", "list", "liabilities"]);
    let names: Vec<&str> = listed["accounts"].as_array().unwrap().iter().map(|found| text(found, "/name")).collect();
    assert_eq!(names, [ALICE, SHOP]);
    let transaction = replica.json(&["tx", "show", &id(10)]);
    assert_eq!(text(&transaction, "/transaction/state"), "CONFIRMED");
    assert_eq!(text(&transaction, "/transaction/postings/0/amount"), "12.50");
    assert_eq!(text(&transaction, "/transaction/postings/0/confirmed"), "10.00");
    assert_eq!(text(&transaction, "/transaction/postings/0/reversed"), "1.50");
    assert_eq!(text(&transaction, "/timeline/1/request_id"), id(11));
    let cancelled = replica.json(&["tx", "list", "--state", "cancelled", "--account", ALICE]);
    assert_eq!(cancelled["transactions"].as_array().unwrap().len(), 1, "{cancelled}");
    assert_eq!(replica.json(&["tx", "list", "--limit", "2"])["transactions"].as_array().unwrap().len(), 2);
    let by_reference = replica.json(&["tx", "list", "--reference", "order-1"]);
    assert_eq!(text(&by_reference, "/transactions/0/transaction_id"), id(8));
    assert_eq!(text(&by_reference, "/transactions/0/details/effective_at"), "2026-01-31T00:00:00Z");
    let request = replica.json(&["request", "show", &id(8)]);
    has_keys(&request, &["read_point", "operation", "result", "items"]);
    assert_eq!(text(&request, "/result/transaction_id"), id(8));
    let booked = request["result"]["decision"]["journal_sequence"].as_u64().unwrap();
    let then = replica.json(&["balance", ALICE, "--sequence", &booked.to_string()]);
    assert_eq!(text(&then, "/posted"), "100.00");
    assert_eq!(then["as_of_sequence"], booked);
    let moment = text(&request, "/result/decision/at/log_time").to_owned();
    assert_eq!(text(&replica.json(&["balance", ALICE, "--at", &moment]), "/posted"), "100.00");
    assert_eq!(text(&replica.json(&["balance", ALICE, "--effective", "2026-01-31"]), "/posted"), "100.00");
    let statement = replica.json(&["statement", ALICE]);
    assert_eq!((text(&statement, "/opening"), text(&statement, "/closing")), ("0.00", "79.00"));
    assert_eq!(replica.json(&["trial-balance"])["lines"][0]["is_balanced"], true);
    let prefixed = replica.json(&["trial-balance", "liabilities"]);
    assert_eq!(text(&prefixed, "/lines/0/totals/credits_posted"), "124.00");
    let journal = replica.folio(&["journal", "--output", "json"]).expect(0).json_lines();
    let sequences: Vec<u64> = journal.iter().map(|record| record["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>(), "no gaps");
    let some = replica.folio(&["journal", "--from", "3", "--limit", "2", "--output", "json"]).expect(0).json_lines();
    assert_eq!(some, journal[2..4]);
    for consistency in ["stale", "at-least=1", "linearizable"] {
        replica.json(&["balance", ALICE, "--consistency", consistency]);
    }
}

/// Every question as a table: no JSON, headers over their columns, nothing on standard error.
fn tables(replica: &Replica) {
    let id_10 = id(10);
    let id_8 = id(8);
    for (command, words) in [
        (&["status"][..], &["address", "role", "leader"][..]),
        (&["asset", "list"], &["asset", "scale", "USD"]),
        (&["account", "show", ALICE], &["available  79.00", "ceiling    5000.00"]),
        (&["account", "list"], &["account", "posted", ALICE, SHOP]),
        (&["tx", "show", &id_10], &["CONFIRMED", "confirmed", "reversed", "journal"]),
        (&["tx", "list"], &["transaction", "state", "CANCELLED"]),
        (&["request", "show", &id_8], &["outcome      accepted"]),
        (&["balance", ALICE], &["posted         79.00"]),
        (&["statement", ALICE], &["opening", "closing", "100.00"]),
        (&["trial-balance"], &["debits posted", "balanced", "yes"]),
        (&["journal", "--limit", "12"], &["debit", ALICE]),
    ] {
        let ran = replica.folio(command).expect(0);
        assert_eq!(ran.stderr, "", "{command:?}");
        for word in words {
            assert!(ran.stdout.contains(word), "{command:?} does not show {word:?}:\n{}", ran.stdout);
        }
        assert!(!ran.stdout.contains(['{', '\t', '\u{1b}']), "{command:?} is for people:\n{}", ran.stdout);
    }
    columns(&replica.folio(&["account", "list"]).expect(0).stdout);
    let booked = replica.folio(&["transfer", "--debit", BANK, "--credit", ALICE, "--amount", "1"]).expect(0);
    for word in ["request id   ", "transaction  ", "state        CONFIRMED", "decided at   index ", "journal      "] {
        assert!(booked.stdout.contains(word), "{word:?}: {booked:?}");
    }
}

/// All cells of a column begin under its header.
fn columns(table: &str) {
    let rows: Vec<Vec<char>> = table.lines().map(|line| line.chars().collect()).collect();
    let header: String = rows[1].iter().collect();
    for name in ["asset", "class", "status", "posted", "available"] {
        let bytes = header.find(name).unwrap_or_else(|| panic!("no {name} in\n{table}"));
        let column = header[..bytes].chars().count();
        let data = rows.iter().filter(|row| row.iter().any(|letter| letter.is_ascii_alphanumeric()));
        for row in data {
            assert!(row[column] != ' ' && row[column - 1] == ' ', "{name} is out of line in\n{table}");
        }
    }
}

#[test]
fn a_confirm_without_amounts_books_all_and_says_so_and_an_empty_text_is_no_list() {
    let replica = Replica::start();
    replica.open_usd();
    replica.json(&["transfer", "--debit", BANK, "--credit", ALICE, "--amount", "9.00"]);
    let (debit, credit) = (format!("{ALICE}=5.00"), format!("{SHOP}=5.00"));
    replica.json(&["tx", "try", "--debit", &debit, "--credit", &credit, "--request-id", &id(1)]);
    // As a script writes it whose variable is empty.
    for amounts in ["", ","] {
        let ran = replica.folio(&["tx", "confirm", &id(1), "--amounts", amounts]);
        assert!([2, 4].contains(&ran.code), "{amounts:?}: {ran:?}");
        assert!(ran.stderr.contains("AMOUNT_"), "{amounts:?}: {ran:?}");
    }
    assert_eq!(text(&replica.json(&["tx", "show", &id(1)]), "/transaction/state"), "TRIED");
    replica.json(&["tx", "confirm", &id(1)]);
    assert_eq!(text(&replica.json(&["balance", SHOP]), "/posted"), "5.00");
    let help = replica.folio(&["tx", "confirm", "--help"]).expect(0).stdout;
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("Without it all that was reserved is booked"), "{help}");
    let proto = include_str!("../../proto/folio/v1/ledger.proto");
    assert!(proto.contains("Empty: everything that was reserved is confirmed."), "the field says so too");
}

#[test]
fn what_is_absent_refused_or_malformed_has_a_code_of_its_own() {
    let replica = Replica::start();
    replica.open_usd();
    let nobody = "liabilities:customers:nobody";
    for absent in [
        &["account", "show", nobody][..],
        &["balance", nobody],
        &["statement", nobody],
        &["tx", "show", &id(1)],
        &["request", "show", &id(1)],
        &["tx", "confirm", &id(1)],
        &["tx", "reverse", &id(1)],
        &["transfer", "--debit", BANK, "--credit", nobody, "--amount", "1.00"],
        &["account", "open", nobody, "--asset", "EUR", "--class", "liability"],
    ] {
        replica.folio(absent).expect(3).says(&["NOT_FOUND"]);
    }
    let transfer = |from, to, amount| {
        let command = ["transfer", "--debit", from, "--credit", to, "--amount", amount, "--request-id", &id(20)];
        replica.folio(&[&command[..], &["--output", "json"]].concat())
    };
    let poor = transfer(ALICE, SHOP, "5.00").expect(4).says(&["INSUFFICIENT_FUNDS", "What to do:"]).json();
    has_keys(&poor, &["request_id", "error"]);
    has_keys(&poor["error"], &["reason", "message", "remedy", "metadata"]);
    assert_eq!(text(&poor, "/request_id"), id(20));
    assert_eq!(text(&poor, "/error/reason"), "INSUFFICIENT_FUNDS");
    assert_eq!(text(&poor, "/error/metadata/account"), ALICE);
    assert_eq!(text(&poor, "/error/metadata/available"), "0.00");
    // A refusal is kept: funds that come later change nothing under that id.
    replica.json(&["transfer", "--debit", BANK, "--credit", ALICE, "--amount", "50.00"]);
    transfer(ALICE, SHOP, "5.00").expect(4).says(&["INSUFFICIENT_FUNDS"]);
    let kept = replica.json(&["request", "show", &id(20)]);
    assert_eq!(text(&kept, "/result/refusal/reason"), "INSUFFICIENT_FUNDS");
    for (malformed, says) in [
        (&["transfer", "--debit", ALICE, "--credit", SHOP, "--amount", "1e3"][..], "AMOUNT_MALFORMED"),
        (&["transfer", "--debit", ALICE, "--credit", SHOP, "--amount", "1.001"], "AMOUNT_SCALE_EXCEEDED"),
        (&["transfer", "--debit", ALICE, "--credit", ALICE, "--amount", "1.00"], "INVALID_ARGUMENT"),
        (&["account", "freeze", ALICE, "--request-id", "17"], "INVALID_ARGUMENT"),
        (&["account", "show", "no name"], "INVALID_ARGUMENT"),
        (&["tx", "show", "17"], "INVALID_ARGUMENT"),
    ] {
        replica.folio(malformed).expect(2).says(&[says]);
    }
    for (refused, says) in [
        (&["asset", "register", "USD", "--scale", "3"][..], "ASSET_EXISTS_DIFFERENT"),
        (&["account", "open", ALICE, "--asset", "USD", "--class", "equity"], "ACCOUNT_EXISTS_DIFFERENT"),
        (&["account", "close", ALICE], "ACCOUNT_NOT_EMPTY"),
        (&["account", "set-limits", ALICE, "--ceiling", "49.99"], "CEILING_EXCEEDED"),
    ] {
        replica.folio(refused).expect(4).says(&[says, "What to do:"]);
    }
    let unmoved = replica.json(&["balance", ALICE]);
    assert_eq!(text(&unmoved, "/posted"), "50.00");
}
