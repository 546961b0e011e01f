//! `docs/errors.md` against a running replica: every reason that a command can meet has the remedy of the page and the exit code of its class.

use std::collections::{BTreeMap, BTreeSet};

use super::harness::{ALICE, BANK, Place, Replica, SHOP, free_addresses, text};

/// A row of the page.
#[derive(Debug)]
struct Row {
    class: String,
    code: String,
    remedy: String,
    /// Of a question, where it differs.
    of_question: String,
}

fn page() -> BTreeMap<String, Row> {
    let mut class = String::new();
    let mut rows = BTreeMap::new();
    for line in include_str!("../../docs/errors.md").lines() {
        if let Some(title) = line.strip_prefix("## ") {
            class = title.to_owned();
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let [_, reason, code, _, remedy, of_question, _] = cells[..]
            && let Some(reason) = reason.strip_prefix('`').and_then(|reason| reason.strip_suffix('`'))
        {
            let (code, remedy, of_question) = (code.to_owned(), remedy.to_owned(), of_question.to_owned());
            let row = Row { class: class.clone(), code, remedy, of_question };
            rows.insert(reason.to_owned(), row);
        }
    }
    rows
}

/// What only a batch, a broken cluster or a broken disk meets.
const ELSEWHERE: [&str; 9] = [
    "NOT_APPLIED",
    "NOT_LEADER",
    "NO_QUORUM",
    "OVERLOADED",
    "DEADLINE_EXCEEDED",
    "OUTCOME_UNKNOWN",
    "CLOCK_SKEW",
    "PAGE_EXPIRED",
    "STORAGE_FAILED",
];

fn id(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// The state in which every refusal is one command away.
fn prepare(replica: &Replica) {
    let ok = |command: &[&str]| {
        replica.json(command);
    };
    replica.open_usd();
    ok(&["asset", "register", "JPY", "--scale", "0"]);
    ok(&["account", "open", "assets:bank:jpy", "--asset", "JPY", "--class", "asset", "--floor", "unlimited"]);
    ok(&["account", "open", "equity:jpy", "--asset", "JPY", "--class", "equity"]);
    for name in ["frozen", "closed"] {
        ok(&["account", "open", name, "--asset", "USD", "--class", "liability"]);
    }
    ok(&["account", "freeze", "frozen"]);
    ok(&["account", "close", "closed"]);
    ok(&["account", "open", "small", "--asset", "USD", "--class", "liability", "--ceiling", "1.00"]);
    ok(&["transfer", "--debit", BANK, "--credit", ALICE, "--amount", "100.00", "--request-id", &id(1)]);
    let (debit, credit) = (format!("{ALICE}=5.00"), format!("{SHOP}=5.00"));
    for (number, hold) in [(2, "1h"), (3, "1h"), (4, "1h"), (5, "1ms")] {
        let id = id(number);
        ok(&["tx", "try", "--debit", &debit, "--credit", &credit, "--request-id", &id, "--hold", hold]);
    }
    ok(&["tx", "confirm", &id(2)]);
    ok(&["tx", "cancel", &id(3)]);
    ok(&["tx", "cancel", &id(6)]);
    ok(&["tx", "reverse", &id(2), "--request-id", &id(7)]);
    let most = "79228162514264337593543950335";
    ok(&["transfer", "--debit", "assets:bank:jpy", "--credit", "equity:jpy", "--amount", most]);
}

#[test]
fn every_reason_of_the_page_that_a_command_can_meet_is_as_the_page_says() {
    let replica = Replica::start();
    prepare(&replica);
    let page = page();
    let mut met = BTreeSet::new();
    let mut meet = |reason: &str, command: &str| {
        let words: Vec<String> = command
            .split(' ')
            .map(|word| match word.strip_prefix('#') {
                Some(number) => id(number.parse().unwrap()),
                None => word.replace("BANK", BANK).replace("ALICE", ALICE).replace("SHOP", SHOP),
            })
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let row = page.get(reason).unwrap_or_else(|| panic!("{reason} is not on the page"));
        let ran = replica.folio(&[&words[..], &["--output", "json"]].concat());
        // What only the book can tell of a shape is decided and kept, and so counts as refused.
        let is_decided = ran.stdout.contains("\"log_index\"");
        let expected = match (row.class.as_str(), row.code.as_str()) {
            ("Shape", "INVALID_ARGUMENT") if is_decided => 4,
            ("Shape", "INVALID_ARGUMENT") => 2,
            ("Absent", "NOT_FOUND") => 3,
            ("Identity", "ALREADY_EXISTS") | ("Book" | "Transaction state", "FAILED_PRECONDITION") => 4,
            other => panic!("{reason}: the page has {other:?}"),
        };
        assert_eq!(ran.code, expected, "{command}: {ran:?}");
        let (told, said) = ran.stderr.split_once('\n').unwrap_or_default();
        assert!(told.starts_with("request id: ") || told.starts_with("folio: "), "{command}: {ran:?}");
        let said = if told.starts_with("folio: ") { ran.stderr.as_str() } else { said };
        assert!(said.starts_with(&format!("folio: {reason}: ")), "{command}: {ran:?}");
        assert!(ran.stderr.ends_with(&format!("What to do: {}\n", row.remedy)), "{command}: {ran:?}");
        assert_eq!(ran.stderr.matches(&row.remedy).count(), 1, "said once: {ran:?}");
        if !ran.stdout.is_empty() {
            let error = &ran.json()["error"];
            assert_eq!((text(error, "/reason"), text(error, "/remedy")), (reason, row.remedy.as_str()), "{command}");
        }
        met.insert(reason.to_owned());
    };
    meet("INVALID_ARGUMENT", "account freeze no-colon:");
    meet("INVALID_ARGUMENT", "tx cancel #2 --request-id 00000000-0000-0000-0000-000000000000");
    meet("AMOUNT_MALFORMED", "transfer --debit ALICE --credit SHOP --amount +1");
    meet("AMOUNT_SCALE_EXCEEDED", "transfer --debit ALICE --credit SHOP --amount 0.001");
    meet("AMOUNT_OUT_OF_RANGE", "transfer --debit ALICE --credit SHOP --amount 79228162514264337593543950336");
    meet("AMOUNT_COUNT", "tx confirm #4 --amounts 1.00");
    meet("REQUEST_ID_REUSED", "transfer --debit BANK --credit ALICE --amount 100.01 --request-id #1");
    meet("TRANSACTION_EXISTS_DIFFERENT", "transfer --debit BANK --credit ALICE --amount 100.01 --transaction-id #1");
    meet("ACCOUNT_EXISTS_DIFFERENT", "account open ALICE --asset USD --class equity");
    meet("ASSET_EXISTS_DIFFERENT", "asset register USD --scale 4");
    meet("ACCOUNT_NOT_FOUND", "transfer --debit BANK --credit nobody --amount 1.00");
    meet("ASSET_NOT_FOUND", "account open nobody --asset EUR --class equity");
    meet("TRANSACTION_NOT_FOUND", "tx confirm #99");
    meet("NOT_FOUND", "request show #99");
    meet("UNBALANCED", "tx post --debit ALICE=1.00 --credit SHOP=1.01");
    meet("ASSET_MISMATCH", "transfer --debit ALICE --credit equity:jpy --amount 1");
    meet("INSUFFICIENT_FUNDS", "transfer --debit ALICE --credit SHOP --amount 100.01");
    meet("CEILING_EXCEEDED", "transfer --debit BANK --credit small --amount 1.01");
    meet("ACCOUNT_FROZEN", "transfer --debit BANK --credit frozen --amount 1.00");
    meet("ACCOUNT_CLOSED", "transfer --debit BANK --credit closed --amount 1.00");
    meet("ACCOUNT_NOT_EMPTY", "account close ALICE");
    meet("BALANCE_OVERFLOW", "transfer --debit assets:bank:jpy --credit equity:jpy --amount 1");
    meet("ALREADY_CONFIRMED", "tx cancel #2");
    meet("ALREADY_CANCELLED", "tx confirm #3");
    meet("CANCELLED_BEFORE_TRY", "tx try --debit ALICE=1.00 --credit SHOP=1.00 --request-id #6 --transaction-id #6");
    meet("TRANSACTION_EXPIRED", "tx confirm #5");
    meet("NOT_CONFIRMED", "tx reverse #4");
    meet("EXCEEDS_RESERVED", "tx confirm #4 --amounts 5.01,5.01");
    meet("CONFIRM_DIFFERS", "tx confirm #2 --amounts 1.00,1.00");
    meet("ALREADY_REVERSED", "tx reverse #2");
    meet("REVERSAL_OF_REVERSAL", "tx reverse #7");
    let missing: Vec<&String> =
        page.keys().filter(|reason| !met.contains(*reason) && !ELSEWHERE.contains(&reason.as_str())).collect();
    assert!(missing.is_empty(), "reasons of the page that were not met: {missing:?}");
    for reason in ELSEWHERE {
        assert!(page.contains_key(reason), "{reason} is not on the page");
    }
}

#[test]
fn a_refused_question_is_not_told_what_to_do_about_a_request_id() {
    let replica = Replica::start();
    replica.open_usd();
    let page = page();
    for (reason, question) in [
        ("INVALID_ARGUMENT", &["balance", "no-colon:"][..]),
        ("INVALID_ARGUMENT", &["account", "show", "no-colon:"]),
        ("INVALID_ARGUMENT", &["statement", "no-colon:"]),
        ("INVALID_ARGUMENT", &["tx", "show", "1"]),
        ("ACCOUNT_NOT_FOUND", &["balance", "nobody"]),
        ("ACCOUNT_NOT_FOUND", &["account", "show", "nobody"]),
        ("ACCOUNT_NOT_FOUND", &["statement", "nobody"]),
        ("TRANSACTION_NOT_FOUND", &["tx", "show", &id(99)]),
    ] {
        let ran = replica.folio(question);
        let row = &page[reason];
        assert!(!row.of_question.is_empty() && !row.of_question.contains("request id"), "{row:?}");
        assert!(ran.stderr.starts_with(&format!("folio: {reason}: ")), "{question:?}: {ran:?}");
        assert!(ran.stderr.ends_with(&format!("What to do: {}\n", row.of_question)), "{question:?}: {ran:?}");
        assert!(!ran.stderr.contains("request id"), "{question:?}: {ran:?}");
    }
    // No quorum: of a cluster whose other members never came.
    let temporary = tempfile::tempdir().unwrap();
    let others = [free_addresses(), free_addresses()];
    let mut place = Place::new(&temporary.path().join("data"));
    for (number, (peers, clients)) in (2..).zip(others) {
        place.members += &format!(",{number}={peers}/{clients}");
    }
    let _alone = place.start(&["--found"]);
    let asked = |args: &[&str]| {
        // An election may be under way, or the time may end between two attempts.
        for _ in 0..20 {
            let ran = place.folio(&[args, &["--timeout", "1s"]].concat());
            if ran.stderr.contains("NO_QUORUM") {
                return ran.stderr;
            }
        }
        panic!("{args:?} was never refused for want of a quorum");
    };
    let said = asked(&["balance", ALICE]);
    assert!(said.contains(&page["NO_QUORUM"].of_question) && !said.contains("request id"), "{said}");
    let said = asked(&["asset", "register", "EUR", "--scale", "2"]);
    assert!(said.contains(&page["NO_QUORUM"].remedy), "{said}");
}
