//! What form alone decides is decided before anything is sent, the same each time, and never kept.

use serde_json::Value;

use super::file;
use crate::harness::{ALICE, BANK, Replica, SHOP, folio, free_addresses, text};

const LATE: [&str; 5] = [
    r#"{"command":"register_asset","id":"jpy","code":"JPY","scale":0}"#,
    r#"{"command":"open_account","id":"c","name":"assets:c","asset":"JPY","class":"asset","floor":"unlimited"}"#,
    r#"{"command":"open_account","id":"d","name":"liabilities:d","asset":"JPY","class":"liability"}"#,
    r#"{"command":"transfer","id":"t-1","debit":"assets:c","credit":"liabilities:d","amount":"1.00"}"#,
    r#"{"command":"transfer","id":"t-2","debit":"assets:c","credit":"liabilities:d","amount":"2"}"#,
];

/// What an import of lines tells.
#[track_caller]
fn import(replica: &Replica, lines: &[String], more: &[&str], code: i32) -> Value {
    let path = file(replica.temporary.path(), "lines.jsonl", &lines.join("\n"));
    let args = [&["import", path.to_str().unwrap(), "--output", "json"], more].concat();
    replica.folio(&args).expect(code).json()
}

/// The lines that are bad, each with words of its reason, are found by a dry run and by two
/// imports, which send nothing.
#[track_caller]
fn is_bad(replica: &Replica, lines: &[String], wanted: &[(usize, &[&str])]) {
    let journal = replica.folio(&["journal", "--output", "json"]).expect(0).stdout;
    for more in [&["--dry-run"][..], &[], &[]] {
        let told = import(replica, lines, more, 1);
        let bad = told["bad_lines"].as_array().unwrap();
        let found: Vec<_> = bad.iter().map(|bad| usize::try_from(bad["line"].as_u64().unwrap()).unwrap()).collect();
        assert_eq!(found, wanted.iter().map(|(line, _)| *line).collect::<Vec<_>>(), "{told}");
        for (bad, (_, words)) in bad.iter().zip(wanted) {
            let reason = text(bad, "/reason");
            assert!(words.iter().all(|word| reason.contains(word)), "{words:?}: {reason}");
            assert!(!reason.contains("commands["), "{reason}");
        }
        assert_eq!((&told["accepted"], &told["refused"]), (&0.into(), &0.into()), "{told}");
    }
    assert_eq!(replica.folio(&["journal", "--output", "json"]).expect(0).stdout, journal, "nothing was sent");
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

#[test]
fn a_scale_that_the_file_registers_decides_before_anything_is_sent() {
    let replica = Replica::start();
    let words: &[&str] = &["amount is \"1.00\"", "JPY", "scale 0"];
    is_bad(&replica, &owned(&LATE), &[(4, words)]);
    // Without a cluster a dry run goes as far as the file does, and says so.
    let (nobody, _) = free_addresses();
    let path = replica.temporary.path().join("lines.jsonl");
    let dry = ["import", path.to_str().unwrap(), "--dry-run", "--timeout", "300ms", "--endpoints", &nobody];
    let ran = folio(&[&dry[..], &["--output", "json"]].concat()).expect(1).json();
    assert_eq!((&ran["bad"], &ran["book"]), (&1.into(), &"not asked".into()), "{ran}");
    folio(&dry).expect(1).says(&["lines.jsonl:4: amount is", "the book was not asked"]);
    // With the bad line skipped, the rest is booked, and the line's id stays free.
    let told = import(&replica, &owned(&LATE), &["--skip-bad-lines"], 1);
    assert_eq!((&told["accepted"], &told["bad"], &told["refused"]), (&4.into(), &1.into(), &0.into()), "{told}");
    let told = import(&replica, &owned(&LATE), &["--skip-bad-lines"], 1);
    assert_eq!((&told["replayed"], &told["bad"], &told["refused"]), (&4.into(), &1.into(), &0.into()), "{told}");
    let mut mended = owned(&LATE);
    mended[3] = mended[3].replace("1.00", "1");
    let told = import(&replica, &mended, &[], 0);
    assert_eq!((&told["accepted"], &told["replayed"]), (&1.into(), &4.into()), "{told}");
}

#[test]
fn a_scale_that_the_book_knows_decides_before_anything_is_sent() {
    let replica = Replica::start();
    replica.open_usd();
    let transfer = |amount: &str| {
        format!(r#"{{"command":"transfer","id":"t-1","debit":"{BANK}","credit":"{SHOP}","amount":"{amount}"}}"#)
    };
    let post = |amount: &str| {
        format!(
            r#"{{"command":"post","id":"p-1","postings":[{{"account":"{BANK}","side":"debit","amount":"1.25"}},{{"account":"{SHOP}","side":"credit","amount":"{amount}"}}]}}"#
        )
    };
    let open = |floor: &str, ceiling: &str| {
        format!(
            r#"{{"command":"open_account","id":"o-1","name":"liabilities:new","asset":"USD","class":"liability","floor":"{floor}","ceiling":"{ceiling}"}}"#
        )
    };
    let limits = |floor: &str, ceiling: &str| {
        format!(r#"{{"command":"set_limits","id":"l-1","account":"{ALICE}","floor":"{floor}","ceiling":"{ceiling}"}}"#)
    };
    let usd = "USD has scale 2";
    is_bad(&replica, &[transfer("1.251")], &[(1, &["amount is \"1.251\"", usd])]);
    is_bad(&replica, &[transfer("1234567890123456789012345678")], &[(1, &["amount is", "96 bits", usd])]);
    is_bad(&replica, &[post("1.250")], &[(1, &["postings[1].amount is \"1.250\"", usd])]);
    is_bad(&replica, &[open("-1.001", "5")], &[(1, &["floor is \"-1.001\"", usd])]);
    is_bad(&replica, &[open("-1.00", "5.000")], &[(1, &["ceiling is \"5.000\"", usd])]);
    is_bad(&replica, &[limits("-0.001", "none")], &[(1, &["floor is \"-0.001\"", usd])]);
    is_bad(&replica, &[limits("-1", "5.000")], &[(1, &["ceiling is \"5.000\"", usd])]);
    let mended = [transfer("1.25"), post("1.25"), open("-1.00", "5.00"), limits("-1", "5")];
    assert_eq!(import(&replica, &mended, &[], 0)["accepted"], 4, "the ids of bad lines are free");
}

#[test]
fn amounts_of_a_confirm_or_a_reversal_are_held_against_the_postings() {
    let replica = Replica::start();
    replica.open_usd();
    let postings = format!(
        r#"[{{"account":"{BANK}","side":"debit","amount":"1.00"}},{{"account":"{SHOP}","side":"credit","amount":"1.00"}}]"#
    );
    let own = "0192d3c4-7b1f-7c3e-9a55-2f6f0d1c8e42";
    let earlier = [
        format!(r#"{{"command":"try","id":"h-1","transaction_id":"{own}","postings":{postings}}}"#),
        format!(r#"{{"command":"post","id":"p-1","postings":{postings}}}"#),
    ];
    let asked = |confirm: &str, reverse: &str| {
        [
            format!(r#"{{"command":"confirm","id":"c-1","transaction":"h-1","amounts":{confirm}}}"#),
            format!(r#"{{"command":"reverse","id":"r-1","original":"p-1","amounts":{reverse}}}"#),
        ]
    };
    let by_id =
        |amounts: &str| format!(r#"{{"command":"confirm","id":"c-1","transaction_id":"{own}","amounts":{amounts}}}"#);
    let count: &[&str] = &["amounts", "1 is given", "2 postings"];
    let scale: &[&str] = &["amounts[1] is \"0.500\"", "USD has scale 2"];
    let both = |confirm: &str, reverse: &str| [earlier.to_vec(), asked(confirm, reverse).to_vec()].concat();
    // All in one file.
    is_bad(&replica, &both(r#"["0.50"]"#, r#"["0.50"]"#), &[(3, count), (4, count)]);
    is_bad(&replica, &both(r#"["0.50","0.500"]"#, r#"["0.50","0.500"]"#), &[(3, scale), (4, scale)]);
    is_bad(&replica, &[earlier[0].clone(), by_id(r#"["0.50"]"#)], &[(2, count)]);
    // The transactions in an earlier file.
    assert_eq!(import(&replica, &earlier, &[], 0)["accepted"], 2);
    is_bad(&replica, &asked(r#"["0.50"]"#, r#"["0.50"]"#), &[(1, count), (2, count)]);
    is_bad(&replica, &asked(r#"["0.50","0.500"]"#, r#"["0.50","0.500"]"#), &[(1, scale), (2, scale)]);
    is_bad(&replica, &[by_id(r#"["0.50"]"#)], &[(1, count)]);
    let nobody = by_id(r#"["0.50","0.50"]"#).replace(own, "0192d3c4-7b1f-7c3e-9a55-2f6f0d1c8e43");
    is_bad(&replica, &[nobody], &[(1, &["transaction_id", "8e43", "neither"])]);
    let told = import(&replica, &asked(r#"["0.50","0.50"]"#, r#"["0.50","0.50"]"#), &[], 0);
    assert_eq!(told["accepted"], 2, "{told}");
}

#[test]
fn what_nobody_knows_is_bad_and_its_id_stays_free() {
    let replica = Replica::start();
    replica.open_usd();
    let all = owned(&[
        &format!(
            r#"{{"command":"transfer","id":"t-1","debit":"{BANK}","credit":"liabilities:later","amount":"1.00"}}"#
        ),
        r#"{"command":"freeze","id":"f-1","account":"liabilities:later"}"#,
        r#"{"command":"set_limits","id":"l-1","account":"liabilities:later","floor":"-1.00"}"#,
        r#"{"command":"open_account","id":"o-1","name":"liabilities:euro","asset":"EUR","class":"liability"}"#,
        r#"{"command":"freeze","id":"f-2","account":"liabilities:euro"}"#,
    ]);
    let later: &[&str] = &["account", "\"liabilities:later\"", "nor an earlier line"];
    let credit: &[&str] = &["credit", "\"liabilities:later\"", "nor an earlier line"];
    let euro: &[&str] = &["\"liabilities:euro\""];
    is_bad(&replica, &all, &[(1, credit), (2, later), (3, later), (4, &["asset is \"EUR\""]), (5, euro)]);
    replica.json(&["asset", "register", "EUR", "--scale", "2"]);
    replica.json(&["account", "open", "liabilities:later", "--asset", "USD", "--class", "liability"]);
    assert_eq!(import(&replica, &[all[2].clone(), all[0].clone(), all[1].clone()], &[], 0)["accepted"], 3);
    // An earlier line opens an account, a later one does not.
    let turned = [all[4].clone(), all[3].clone()];
    is_bad(&replica, &turned, &[(1, euro)]);
    assert_eq!(import(&replica, &[all[3].clone(), all[4].clone()], &[], 0)["accepted"], 2);
    // Without a cluster nobody can tell.
    let (nobody, _) = free_addresses();
    let path = file(replica.temporary.path(), "lines.jsonl", &all.join("\n"));
    let dry = ["import", path.to_str().unwrap(), "--dry-run", "--timeout", "300ms", "--endpoints", &nobody];
    let ran = folio(&dry).expect(0).says(&["the book was not asked"]);
    assert!(ran.stdout.contains("not asked"), "{ran:?}");
}

#[test]
fn what_the_book_knows_goes_before_what_the_file_says() {
    let replica = Replica::start();
    replica.open_usd();
    replica.json(&["asset", "register", "JPY", "--scale", "0"]);
    replica.json(&["account", "open", "liabilities:yen", "--asset", "JPY", "--class", "liability"]);
    let all = owned(&[
        r#"{"command":"register_asset","id":"jpy","code":"JPY","scale":2}"#,
        r#"{"command":"open_account","id":"yen","name":"liabilities:yen","asset":"USD","class":"liability"}"#,
        &format!(r#"{{"command":"transfer","id":"t-1","debit":"{BANK}","credit":"liabilities:yen","amount":"1.00"}}"#),
    ]);
    is_bad(&replica, &all, &[(3, &["amount is \"1.00\"", "JPY has scale 0"])]);
    // What the lines say that differs from the book is the book's to refuse.
    let told = import(&replica, &all, &["--skip-bad-lines"], 1);
    let reasons: Vec<_> = (0..2).map(|index| text(&told["refusals"][index], "/reason")).collect();
    assert_eq!(reasons, ["ASSET_EXISTS_DIFFERENT", "ACCOUNT_EXISTS_DIFFERENT"], "{told}");
}

#[test]
fn many_accounts_are_asked_for_whether_the_book_has_few_or_more() {
    let replica = Replica::start();
    let name = |number: usize| format!("liabilities:customers:{number:05}");
    let open = |number: usize| {
        format!(
            r#"{{"command":"open_account","id":"a-{number}","name":"{}","asset":"USD","class":"liability"}}"#,
            name(number)
        )
    };
    let usd = r#"{"command":"register_asset","id":"usd","code":"USD","scale":2}"#.to_owned();
    let accounts = 300;
    let all: Vec<String> = [usd].into_iter().chain((0..accounts).map(open)).collect();
    assert_eq!(import(&replica, &all, &[], 0)["accepted"], accounts + 1);
    let freezes = |first: usize| -> Vec<String> {
        let freeze = |number| format!(r#"{{"command":"freeze","id":"f-{number}","account":"{}"}}"#, name(number));
        (first..=accounts).map(freeze).collect()
    };
    // The last one is not there, whether a few are asked for or as many as a page of the list has.
    for first in [accounts - 3, accounts - 98, accounts - 99, 0] {
        let told = import(&replica, &freezes(first), &["--dry-run"], 1);
        assert_eq!((&told["book"], &told["bad"]), (&"asked".into(), &1.into()), "{told}");
        assert!(text(&told, "/bad_lines/0/reason").contains("00300"), "{told}");
    }
    assert_eq!(import(&replica, &freezes(0)[..accounts], &[], 0)["accepted"], accounts);
    assert_eq!(import(&replica, &all, &[], 0)["replayed"], accounts + 1);
}

#[test]
fn messages_name_the_fields_of_the_file() {
    let temporary = tempfile::tempdir().unwrap();
    let lines = [
        (r#"{"command":"transfer","id":"1","debit":"a b","credit":"b","amount":"1"}"#, "debit is \"a b\""),
        (r#"{"command":"transfer","id":"2","debit":"a","credit":"b c","amount":"1"}"#, "credit is \"b c\""),
        (r#"{"command":"transfer","id":"3","debit":"a","credit":"a","amount":"1"}"#, "credit stands on both sides"),
        (
            r#"{"command":"transfer","id":"4","debit":"a","credit":"b","amount":"0"}"#,
            "amount must be greater than zero",
        ),
        (r#"{"command":"transfer","id":"5","debit":"a","credit":"b","amount":1}"#, "amount is 1; write it as a string"),
        (
            r#"{"command":"transfer","id":"6","debit":"a","credit":"b","amount":"1","effective_at":"soon"}"#,
            "effective_at: ",
        ),
        (r#"{"command":"register_asset","id":"7","code":"USD","scale":"2"}"#, "scale is \"2\"; write it as a number"),
        (r#"{"command":"register_asset","id":"8","code":"USD","scale":19}"#, "scale is 19"),
        (r#"{"command":"open_account","id":"9","name":"a","asset":"USD","class":"money"}"#, "class is \"money\""),
        (
            r#"{"command":"open_account","id":"10","name":"a","asset":"USD","class":"asset","floor":"1e3"}"#,
            "floor is \"1e3\"",
        ),
        (
            r#"{"command":"open_account","id":"11","name":"a","asset":"USD","class":"asset","metadata":{"k":1}}"#,
            "metadata.k is 1",
        ),
        (
            r#"{"command":"try","id":"12","hold":"0s","postings":[{"account":"a","side":"debit","amount":"1"},{"account":"b","side":"credit","amount":"1"}]}"#,
            "hold must be longer than zero",
        ),
        (r#"{"command":"try","id":"13","hold":15,"postings":[]}"#, "hold is 15; write it as a string"),
        (
            r#"{"command":"post","id":"14","postings":[{"account":"a","side":"left","amount":"1"}]}"#,
            "postings[0].side is \"left\"",
        ),
        (
            r#"{"command":"post","id":"15","postings":[{"account":"a","side":"debit","amount":"1"},{"account":"b","side":"credit"}]}"#,
            "postings[1].amount is missing",
        ),
        (
            r#"{"command":"post","id":"16","postings":[{"account":"a","side":"debit","amount":"1","colour":"red"}]}"#,
            "unknown field postings[0].colour",
        ),
        (r#"{"command":"post","id":"17","postings":{"account":"a"}}"#, "postings is {"),
        (
            r#"{"command":"confirm","id":"18","transaction":"18a","amounts":[1]}"#,
            "amounts[0] is 1; write it as a string",
        ),
        (r#"{"command":"set_limits","id":"19","account":"a"}"#, "neither floor nor ceiling is given"),
    ];
    let content: Vec<&str> = lines.iter().map(|(line, _)| *line).collect();
    let path = file(temporary.path(), "fields.jsonl", &content.join("\n"));
    let (nobody, _) = free_addresses();
    let dry = [
        "import",
        path.to_str().unwrap(),
        "--dry-run",
        "--timeout",
        "300ms",
        "--endpoints",
        &nobody,
        "--output",
        "json",
    ];
    let told = folio(&dry).expect(1).json();
    let bad = told["bad_lines"].as_array().unwrap();
    assert_eq!(bad.len(), lines.len(), "{told}");
    for ((line, word), bad) in lines.iter().zip(bad) {
        assert!(text(bad, "/reason").contains(word), "{line}\n{word}\n{bad}");
    }
}
