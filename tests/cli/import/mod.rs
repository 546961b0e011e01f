//! `folio import`: what `docs/import.md` says of it.

mod feed;
mod form;
mod holds;
mod inputs;

use std::path::{Path, PathBuf};

use super::harness::{BANK, Replica, SHOP, folio, free_addresses, has_keys, text};

const KEYS: [&str; 13] = [
    "file",
    "dry_run",
    "book",
    "lines",
    "accepted",
    "replayed",
    "empty",
    "refused",
    "bad",
    "stopped_at_line",
    "refusals",
    "bad_lines",
    "empty_cancels",
];

fn file(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// The example lines of the page, in their order.
fn examples() -> String {
    let page = include_str!("../../../docs/import.md");
    page.lines().filter(|line| line.starts_with("{\"command\"")).map(|line| format!("{line}\n")).collect()
}

/// An asset, two accounts and many transfers.
fn payments(transfers: usize) -> String {
    let mut lines = vec![
        r#"{"command":"register_asset","id":"usd","code":"USD","scale":2}"#.to_owned(),
        format!(
            r#"{{"command":"open_account","id":"bank","name":"{BANK}","asset":"USD","class":"asset","floor":"unlimited"}}"#
        ),
        String::new(),
        format!(r#"{{"command":"open_account","id":"shop","name":"{SHOP}","asset":"USD","class":"liability"}}"#),
    ];
    lines.extend((0..transfers).map(|number| {
        format!(r#"{{"command":"transfer","id":"order-{number}","debit":"{BANK}","credit":"{SHOP}","amount":"1.25"}}"#)
    }));
    lines.join("\n")
}

#[test]
fn a_file_imported_twice_moves_nothing_twice() {
    let replica = Replica::start();
    let path = file(replica.temporary.path(), "payments.jsonl", &payments(2_500));
    let path = path.to_str().unwrap();
    let dry = replica.json(&["import", path, "--dry-run"]);
    has_keys(&dry, &KEYS);
    assert_eq!((&dry["dry_run"], &dry["lines"], &dry["bad"]), (&true.into(), &2_503.into(), &0.into()), "{dry}");
    assert_eq!(replica.folio(&["journal", "--output", "json"]).expect(0).stdout, "", "a dry run changes nothing");
    let first = replica.json(&["import", path]);
    has_keys(&first, &KEYS);
    assert_eq!(first["accepted"], 2_503, "{first}");
    let balance = replica.trial_balance();
    assert_eq!(text(&balance, "/0/totals/debits_posted"), "3125.00");
    let second = replica.json(&["import", path, "--batch", "77"]);
    assert_eq!((&second["accepted"], &second["replayed"]), (&0.into(), &2_503.into()), "{second}");
    assert_eq!(replica.trial_balance(), balance, "nothing moved");
    let table = replica.folio(&["import", path]).expect(0);
    assert!(table.stdout.contains("replayed  2503"), "{table:?}");
    // Another namespace is another set of requests.
    let transfer = payments(1).lines().last().unwrap().to_owned();
    let one = file(replica.temporary.path(), "one.jsonl", &transfer);
    let other = replica.json(&["import", one.to_str().unwrap(), "--namespace", "next-year"]);
    assert_eq!(other["accepted"], 1, "{other}");
    assert_eq!(text(&replica.trial_balance(), "/0/totals/debits_posted"), "3126.25");
}

#[test]
fn every_example_of_the_page_is_accepted() {
    let replica = Replica::start();
    let examples = examples();
    let lines = examples.lines().count();
    let commands =
        "register_asset open_account set_limits freeze unfreeze transfer post try confirm cancel reverse close";
    for command in commands.split(' ') {
        assert!(examples.contains(&format!("{{\"command\":\"{command}\"")), "the page shows no {command}");
    }
    let path = file(replica.temporary.path(), "examples.jsonl", &examples);
    let ran = replica.folio(&["import", path.to_str().unwrap(), "--output", "json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()["accepted"], lines, "{ran:?}");
    // The page names the request id that an id gives.
    let request = replica.json(&["request", "show", "853d3bc9-09ba-8e93-87f7-fe0d6188c637"]);
    assert_eq!(text(&request, "/result/transaction_id"), "853d3bc9-09ba-8e93-87f7-fe0d6188c637");
    let transaction = replica.json(&["tx", "show", "853d3bc9-09ba-8e93-87f7-fe0d6188c637"]);
    assert_eq!(text(&transaction, "/transaction/details/reference"), "order-1");
}

#[test]
fn bad_lines_are_told_by_number_and_reason_and_nothing_is_sent() {
    let replica = Replica::start();
    let good = payments(2);
    let bad = [
        (r#"{"command":"transfer","id":"x1","debit":"a","credit":"b","amount":1.25}"#, "amount"),
        (r#"{"command":"transfer","id":"x2","debit":"a","credit":"b","amount":"1.25","colour":"red"}"#, "colour"),
        (r#"{"command":"transfer","debit":"a","credit":"b","amount":"1.25"}"#, "id"),
        (r#"{"command":"teleport","id":"x4"}"#, "teleport"),
        (r#"{"command":"transfer","id":"order-1","debit":"a","credit":"b","amount":"1.25"}"#, "line 6"),
        (r#"{"command":"transfer","id":"x6","id":"x7","debit":"a","credit":"b","amount":"1.25"}"#, "id"),
        ("{", ""),
        ("payments, all of them", ""),
        (r#"{"command":"transfer","id":"x9","debit":"a b","credit":"b","amount":"1.25"}"#, "a b"),
    ];
    let mut content = good.clone();
    for (line, _) in bad {
        content = format!("{content}\n{line}");
    }
    let path = file(replica.temporary.path(), "bad.jsonl", &content);
    let path = path.to_str().unwrap();
    let first_bad = good.lines().count() + 1;
    for more in [&["--dry-run"][..], &[]] {
        let ran = replica.folio(&[&["import", path, "--output", "json"], more].concat()).expect(1);
        let report = ran.json();
        assert_eq!(report["bad"], bad.len(), "{report}");
        for (index, (line, word)) in bad.iter().enumerate() {
            let told = &report["bad_lines"][index];
            assert_eq!(told["line"], first_bad + index, "{line}: {told}");
            assert!(!text(told, "/reason").is_empty() && text(told, "/reason").contains(word), "{line}: {told}");
        }
    }
    assert_eq!(replica.folio(&["journal"]).expect(0).stdout, "", "nothing was sent");
    let table = replica.folio(&["import", path]).expect(1).says(&["nothing was sent", "--skip-bad-lines"]);
    assert!(table.stderr.contains(&format!("{path}:{first_bad}: ")), "{table:?}");
    let rest = replica.folio(&["import", path, "--skip-bad-lines", "--output", "json"]).expect(1).json();
    assert_eq!((&rest["accepted"], &rest["bad"]), (&5.into(), &bad.len().into()), "{rest}");
    folio(&["import", "/no/such/file.jsonl"]).expect(1).says(&["/no/such/file.jsonl"]);
}

#[test]
fn what_the_book_refuses_is_told_and_the_rest_goes_on() {
    let replica = Replica::start();
    let more = format!(
        "{}\n{}\n{}\n",
        format_args!(r#"{{"command":"transfer","id":"poor","debit":"{SHOP}","credit":"{BANK}","amount":"99.00"}}"#),
        format_args!(
            r#"{{"command":"transfer","id":"uneven","debit":"{BANK}","credit":"{SHOP}","amount":"1.25","asset":"EUR"}}"#
        ),
        format_args!(r#"{{"command":"transfer","id":"last","debit":"{BANK}","credit":"{SHOP}","amount":"7.00"}}"#),
    );
    let content = format!("{}\n{more}", payments(1));
    let path = file(replica.temporary.path(), "refused.jsonl", &content);
    let ran = replica.folio(&["import", path.to_str().unwrap(), "--output", "json"]).expect(4);
    let report = ran.json();
    assert_eq!(
        (&report["accepted"], &report["refused"], &report["bad"]),
        (&5.into(), &2.into(), &0.into()),
        "{report}"
    );
    has_keys(&report["refusals"][0], &["line", "id", "request_id", "reason", "message"]);
    assert_eq!((&report["refusals"][0]["line"], text(&report, "/refusals/0/id")), (&6.into(), "poor"));
    assert_eq!(text(&report, "/refusals/0/reason"), "INSUFFICIENT_FUNDS");
    assert_eq!(text(&report, "/refusals/1/reason"), "ASSET_MISMATCH");
    assert_eq!(text(&replica.json(&["balance", SHOP]), "/posted"), "8.25");
}

#[test]
fn an_import_without_a_cluster_stops_and_names_the_line() {
    let (nobody, _) = free_addresses();
    let temporary = tempfile::tempdir().unwrap();
    let path = file(temporary.path(), "payments.jsonl", &payments(3));
    let path = path.to_str().unwrap();
    let command = ["import", path, "--endpoints", &nobody, "--timeout", "300ms", "--output", "json"];
    let ran = folio(&command).expect(5).says(&["line 1"]);
    assert_eq!(ran.json()["stopped_at_line"], 1, "{ran:?}");
    folio(&["import", path, "--dry-run", "--endpoints", &nobody]).expect(0);
}

#[test]
fn an_import_cut_off_by_a_crash_is_finished_by_running_it_again() {
    let mut replica = Replica::start();
    let transfers = 8_000;
    let path = file(replica.temporary.path(), "payments.jsonl", &payments(transfers));
    let path = path.to_str().unwrap().to_owned();
    let endpoint = replica.place.address.clone();
    let command = ["import", &path, "--batch", "5", "--timeout", "1s", "--output", "json", "--endpoints", &endpoint];
    let cut_off = std::thread::scope(|scope| {
        let import = scope.spawn(|| folio(&command));
        let began = std::time::Instant::now();
        loop {
            let balance = replica.folio(&["balance", SHOP, "--output", "json"]);
            if balance.code == 0 && text(&balance.json(), "/posted") != "0.00" {
                break;
            }
            assert!(began.elapsed() < std::time::Duration::from_secs(30), "the import does not begin: {balance:?}");
        }
        replica.served.signal(libc::SIGKILL);
        import.join().unwrap()
    });
    let report = cut_off.json();
    let before = report["accepted"].as_u64().unwrap();
    let all = transfers as u64 + 3;
    assert!(before > 0 && before < all, "it was cut off in the middle: {report}");
    assert!([5, 6].contains(&cut_off.code), "{cut_off:?}");
    let line = report["stopped_at_line"].as_u64().unwrap();
    // There is one blank line before the transfers.
    assert_eq!(line, before + 2, "the first line without an answer is named: {report}");
    replica.served = replica.place.start(&[]);
    replica.place.await_leader(&mut replica.served).unwrap();
    let again = replica.json(&["import", &path]);
    let (accepted, replayed) = (again["accepted"].as_u64().unwrap(), again["replayed"].as_u64().unwrap());
    assert_eq!(accepted + replayed, all, "{again}");
    assert!(replayed >= before, "what was answered is still there: {before} of {again}");
    assert_eq!(text(&replica.json(&["balance", SHOP]), "/posted"), "10000.00", "each once");
}
