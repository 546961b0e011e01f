//! Quality checks that a text search can make: walls between layers, lengths of files, numbered invariants, a script per operation. They only look;
//! they never edit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of the project") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn sources() -> Vec<(String, String)> {
    rust_files(&root().join("src"))
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect()
}

/// Lines of code that name something, comments left out.
fn naming(text: &str, word: &str) -> usize {
    text.lines().filter(|line| !line.trim_start().starts_with("//") && line.contains(word)).count()
}

fn assert_only_in(word: &str, allowed: &[&str]) {
    for (name, text) in sources() {
        let is_allowed = allowed.iter().any(|prefix| name.starts_with(prefix));
        assert!(is_allowed || naming(&text, word) == 0, "{name} names {word}, which only {allowed:?} may");
    }
}

#[test]
fn storage_engines_are_named_in_the_store_alone() {
    assert_only_in("fjall::", &["src/store/"]);
    assert_only_in("sled::", &["src/store/"]);
}

#[test]
fn openraft_is_named_in_replication_alone() {
    assert_only_in("openraft::", &["src/replication/"]);
}

#[test]
fn decimals_are_named_in_the_amount_alone() {
    assert_only_in("rust_decimal", &["src/ledger/amount.rs"]);
}

#[test]
fn what_the_compiler_does_not_check_is_in_one_place() {
    assert_only_in("unsafe {", &["src/replication/slice.rs"]);
}

#[test]
fn standard_streams_are_written_to_in_one_place() {
    // A lint denies println! and eprintln!. These are the other ways.
    for word in ["io::stdout", "io::stderr", " stdout()", " stderr()", "(stdout()", "(stderr()"] {
        assert_only_in(word, &["src/console/"]);
    }
}

#[test]
fn generated_types_stay_at_the_edges() {
    assert_only_in("proto::v1", &["src/api/", "src/client/", "src/cli/", "src/proto.rs"]);
    assert_only_in("proto::internal", &["src/replication/"]);
}

#[test]
fn the_core_has_no_clock_no_randomness_no_input_and_no_output() {
    for (name, text) in sources().into_iter().filter(|(name, _)| name.starts_with("src/ledger/")) {
        if name.starts_with("src/ledger/tests") {
            continue;
        }
        for word in ["SystemTime", "Instant::", "rand::", "std::fs", "std::net", "println!", "async fn", "f64", "f32"] {
            assert_eq!(naming(&text, word), 0, "{name} names {word}");
        }
    }
    let library = fs::read_to_string(root().join("src/ledger/lib.rs")).unwrap();
    assert!(library.contains("#![no_std]"));
}

#[test]
fn threads_clocks_sockets_and_randomness_stay_behind_their_seams() {
    let layers = ["src/api/", "src/audit/", "src/book/", "src/replication/", "src/store/memory.rs"];
    for (name, text) in sources() {
        let is_inside = layers.iter().any(|layer| name.starts_with(layer)) && !name.contains("/tests/");
        if !is_inside || ["src/replication/worker.rs", "src/replication/home.rs"].contains(&name.as_str()) {
            continue;
        }
        for word in ["spawn_blocking", "thread::", "SystemTime", "TcpListener", "TcpStream", "rand::", "Uuid::new"] {
            assert_eq!(naming(&text, word), 0, "{name} names {word}");
        }
        let real_clock = text.lines().any(|line| line.contains("std::time") && line.contains("Instant"));
        assert!(!real_clock, "{name} names the clock of std; tokio's can be simulated");
    }
}

#[test]
fn audit_never_applies() {
    // Its tests need a book in which something happened.
    let is_audit = |name: &str| name.starts_with("src/audit/") && name != "src/audit/tests.rs";
    for (name, text) in sources().into_iter().filter(|(name, _)| is_audit(name)) {
        assert_eq!(naming(&text, "apply"), 0, "{name} names apply");
    }
}

#[test]
fn every_invariant_is_numbered_in_the_core_and_in_the_promises() {
    let library = fs::read_to_string(root().join("src/ledger/lib.rs")).unwrap();
    let promises = fs::read_to_string(root().join("docs/semantics.md")).unwrap();
    for number in 1..=13 {
        assert!(library.contains(&format!("I{number} ")), "src/ledger/lib.rs lacks I{number}");
        assert!(promises.contains(&format!("I{number} ")), "docs/semantics.md lacks I{number}");
    }
}

#[test]
fn files_hold_one_idea_and_say_which() {
    for (name, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 650, "{name} has {lines} lines: two ideas in one?");
        assert!(text.starts_with("//!"), "{name} does not open with what it is");
    }
}

#[test]
fn nothing_is_left_unfinished() {
    for (name, text) in sources() {
        for word in ["todo!(", "unimplemented!(", "dbg!(", "FIXME", "XXX"] {
            assert!(!text.contains(word), "{name} holds {word}");
        }
    }
}

/// What stands between backticks in a text.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_test_that_the_promises_name_is_there() {
    let promises = fs::read_to_string(root().join("docs/semantics.md")).unwrap();
    let tests = root().join("src/ledger/tests");
    let mut named = 0;
    for name in quoted(&promises) {
        if let Some(script) = name.split_once('/').filter(|(folder, _)| ["tcc", "refusals", "book"].contains(folder)) {
            let file = tests.join("scripts").join(script.0).join(format!("{}.txt", script.1));
            assert!(file.is_file(), "docs/semantics.md names the script {name}, which is not there");
            named += 1;
        } else if let Some((module, test)) = name.rsplit_once("::").filter(|(module, _)| !module.is_empty()) {
            let folders = [
                tests.join("book"),
                root().join("tests/replication"),
                root().join("tests/cli"),
                root().join("src/replication/tests"),
                root().join("src"),
            ];
            let file = format!("{}.rs", module.replace("::", "/"));
            let texts = folders.map(|folder| fs::read_to_string(folder.join(&file)).unwrap_or_default());
            let text = texts.concat();
            let begin = format!("fn {}", test.trim_end_matches('…'));
            assert!(text.contains(&begin), "docs/semantics.md names the test {name}, which is not there");
            named += 1;
        }
    }
    assert!(named > 40, "only {named} tests are named");
}

#[test]
fn every_operation_has_a_script_of_its_refusals_or_its_repetitions() {
    let operations = [
        ("atomic", "book/batches"),
        ("cancel", "refusals/cancel"),
        ("close", "refusals/close"),
        ("confirm", "refusals/confirm"),
        ("expire", "book/expiry"),
        ("freeze", "refusals/freeze_unfreeze"),
        ("open_account", "refusals/open_account"),
        ("post", "refusals/post"),
        ("register_asset", "refusals/register_asset"),
        ("repeat", "book/requests"),
        ("reverse", "refusals/reverse"),
        ("set_limits", "refusals/set_limits"),
        ("try_hold", "refusals/try_hold"),
        ("unfreeze", "refusals/freeze_unfreeze"),
    ];
    // What operations share is no operation.
    let shared = ["mod", "content", "holds", "lines", "status"];
    for path in rust_files(&root().join("src/ledger/ops")) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        if shared.contains(&name) {
            continue;
        }
        let (_, script) = operations
            .iter()
            .find(|(operation, _)| *operation == name)
            .unwrap_or_else(|| panic!("{name} has no script"));
        assert!(root().join(format!("src/ledger/tests/scripts/{script}.txt")).is_file(), "{script} is not there");
    }
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let mut pages = vec![root().join("README.md")];
    for folder in ["docs", "docs/decisions"] {
        let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target) {
            if target.starts_with("http") || target.starts_with('#') {
                continue;
            }
            let file = page.parent().unwrap().join(target.split('#').next().unwrap());
            assert!(file.exists(), "{} links to {target}, which is not there", page.display());
        }
    }
}
