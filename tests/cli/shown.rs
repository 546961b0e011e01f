//! What is shown of texts that others wrote: nothing in them acts on a terminal, and JSON has them
//! exactly.

use super::harness::{ALICE, BANK, Ran, Replica, SHOP, text};

/// What must not reach a terminal from a text of somebody else's.
fn acts(character: char) -> bool {
    let of_direction =
        matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    of_direction || matches!(character, '\u{2028}' | '\u{2029}') || (character.is_control() && character != '\n')
}

#[track_caller]
fn is_harmless(ran: &Ran) {
    for text in [&ran.stdout, &ran.stderr] {
        assert!(!text.contains(acts), "{text:?}");
    }
}

/// A newline and a row that a reader would believe, an escape sequence that clears the screen, C1,
/// DEL, and marks of direction.
const FORGED_ID: &str = "00000000-0000-4000-8000-00000000f00d";

fn forging() -> String {
    format!("order\n {FORGED_ID}  CONFIRMED  post\u{1b}[2J\u{9b}31m\u{7f}\r\u{202e}05.5\u{2066}\u{200f}\u{2028}end")
}

#[test]
fn a_reference_forges_no_row_and_json_has_it_exactly() {
    let replica = Replica::start();
    replica.open_usd();
    let (reference, note) = (forging(), format!("note={}", forging()));
    let amount = ["transfer", "--debit", BANK, "--credit", ALICE, "--amount", "5.00"];
    let booked = replica.json(&[&amount[..], &["--reference", &reference, "--metadata", &note]].concat());
    let id = text(&booked, "/transaction_id").to_owned();
    let plain = replica.json(&[&amount[..], &["--reference", "order-2"]].concat());
    let listed = replica.folio(&["tx", "list"]).expect(0);
    is_harmless(&listed);
    let rows: Vec<&str> = listed.stdout.lines().filter(|line| line.contains("CONFIRMED")).collect();
    assert!(
        !listed.stdout.lines().any(|line| line.trim_start().starts_with(FORGED_ID)),
        "a forged row:\n{}",
        listed.stdout
    );
    assert!(listed.stdout.contains("order\\n"), "what is there is shown:\n{}", listed.stdout);
    assert!(listed.stdout.contains("\\u{1b}[2J\\u{9b}31m\\u{7f}\\r\\u{202e}"), "{}", listed.stdout);
    for id in [&id, text(&plain, "/transaction_id")] {
        assert!(rows.iter().any(|row| row.trim_start().starts_with(id)), "{id}:\n{}", listed.stdout);
    }
    for command in [&["tx", "show", &id][..], &["statement", ALICE], &["journal"], &["request", "show", &id]] {
        let ran = replica.folio(command).expect(0);
        is_harmless(&ran);
        assert!(!ran.stdout.lines().any(|line| line.trim_start().starts_with(FORGED_ID)), "{command:?}: {ran:?}");
    }
    let exact = replica.json(&["tx", "show", &id]);
    assert_eq!(text(&exact, "/transaction/details/reference"), reference);
    assert_eq!(text(&exact, "/transaction/details/metadata/note"), forging());
    assert_eq!(text(&replica.json(&["tx", "list", "--reference", &reference]), "/transactions/0/transaction_id"), id);
}

#[test]
fn messages_are_one_line_each_whatever_they_speak_of() {
    let replica = Replica::start();
    replica.open_usd();
    let name = forging();
    let file = replica.temporary.path().join("lines.jsonl");
    let line = serde_json::json!({ "command": "transfer", "id": "a", "debit": name, "credit": SHOP, "amount": "1.00" });
    std::fs::write(&file, format!("{line}\n")).unwrap();
    let post = format!("{name}=1.00");
    for command in [
        &["account", "show", &name][..],
        &["balance", &name],
        &["tx", "show", &name],
        &["tx", "post", "--debit", &post, "--credit", &post],
        &["account", "freeze", SHOP, "--request-id", &name],
        &["asset", "register", &name, "--scale", "2"],
        &["balance", ALICE, "--timeout", &name],
        &["balance", ALICE, "--endpoints", &name],
        &[&name],
        &["import", file.to_str().unwrap()],
    ] {
        let ran = replica.folio(command);
        assert!([1, 2].contains(&ran.code), "{command:?}: {ran:?}");
        assert!(!ran.stderr.is_empty(), "{command:?}");
        is_harmless(&ran);
        assert!(!ran.stderr.lines().any(|line| line.trim_start().starts_with(FORGED_ID)), "{command:?}: {ran:?}");
    }
}
