//! What an import may be read from, and that what is sent is what was checked.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use super::feed::{Proxy, bounded, fed};
use super::{file, payments};
use crate::harness::{BANK, Replica, SHOP, folio, program, text};

/// The longest line that the page allows.
const LONGEST: usize = 1024 * 1024;

fn transfer(id: &str, amount: &str) -> String {
    format!(r#"{{"command":"transfer","id":"{id}","debit":"{BANK}","credit":"{SHOP}","amount":"{amount}"}}"#)
}

fn fifo(path: &Path) {
    let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: the name is a string that ends with a zero byte and lives until the call returns.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
}

#[test]
fn pipes_and_fifos_are_imported_as_files_are() {
    let replica = Replica::start();
    let content = payments(2_200);
    let command = |name: &str| {
        let mut command = program();
        command.args(["import", name, "--output", "json", "--endpoints", &replica.place.address]);
        command
    };
    for (number, name) in ["-", "/dev/stdin", "/dev/fd/0"].into_iter().enumerate() {
        let ran = fed(command(name), content.as_bytes()).expect(0);
        let told = ran.json();
        assert_eq!(told["lines"], 2_203, "{name}: {told}");
        assert_eq!(told[if number == 0 { "accepted" } else { "replayed" }], 2_203, "{name}: {told}");
        assert_eq!(ran.stderr, "", "{name}");
    }
    let path = replica.temporary.path().join("fifo");
    fifo(&path);
    let child = command(path.to_str().unwrap()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let told = std::thread::scope(|scope| {
        scope.spawn(|| File::create(&path).unwrap().write_all(content.as_bytes()).unwrap());
        bounded(child).expect(0).json()
    });
    assert_eq!(told["replayed"], 2_203, "{told}");
    assert_eq!(text(&replica.json(&["balance", SHOP]), "/posted"), "2750.00", "each line once");
    // Bad lines of a pipe are found before anything is sent, too.
    let bad = format!("{}\n{}\nnothing\n", transfer("new-1", "1.00"), transfer("new-2", "1.00"));
    let ran = fed(command("-"), bad.as_bytes()).expect(1).says(&["nothing was sent"]);
    assert_eq!((&ran.json()["bad_lines"][0]["line"], &ran.json()["file"]), (&3.into(), &"-".into()));
    assert_eq!(text(&replica.json(&["balance", SHOP]), "/posted"), "2750.00", "nothing was sent");
    // A file that is redirected is read from where it stands, as often as it takes.
    let path =
        file(replica.temporary.path(), "rest.jsonl", &format!("{}\n{}\n", "not for us", transfer("rest", "2.00")));
    let mut redirected = File::open(&path).unwrap();
    std::io::Seek::seek(&mut redirected, std::io::SeekFrom::Start("not for us\n".len() as u64)).unwrap();
    let mut command = command("-");
    let child = command.stdin(redirected).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let told = bounded(child).expect(0).json();
    assert_eq!((&told["lines"], &told["accepted"]), (&1.into(), &1.into()), "{told}");
}

#[test]
fn an_input_without_a_line_is_told() {
    let temporary = tempfile::tempdir().unwrap();
    for content in ["", "\n  \n\r\n", "\u{feff}"] {
        let path = file(temporary.path(), "empty.jsonl", content);
        for more in [&["--dry-run"][..], &[]] {
            let ran = folio(&[&["import", path.to_str().unwrap(), "--output", "json"], more].concat());
            let ran = ran.expect(1).says(&["has no line", "empty.jsonl"]);
            assert_eq!(ran.json()["lines"], 0, "{content:?}");
        }
        let mut command = program();
        command.args(["import", "-"]);
        fed(command, content.as_bytes()).expect(1).says(&["has no line"]);
    }
    folio(&["import", "/dev/null"]).expect(1).says(&["has no line"]);
}

#[test]
fn a_byte_order_mark_is_skipped_at_the_beginning_and_named_elsewhere() {
    let replica = Replica::start();
    let content = format!("\u{feff}{}\n\u{feff}{}\n", payments(1), transfer("order-2", "1.00"));
    let path = file(replica.temporary.path(), "marked.jsonl", &content);
    let path = path.to_str().unwrap();
    let told = replica.folio(&["import", path, "--output", "json"]).expect(1).json();
    assert_eq!((&told["bad"], &told["bad_lines"][0]["line"]), (&1.into(), &6.into()), "{told}");
    assert!(text(&told, "/bad_lines/0/reason").contains("byte order mark"), "{told}");
    std::fs::write(path, format!("\u{feff}{}\n", payments(1))).unwrap();
    assert_eq!(replica.json(&["import", path])["accepted"], 4);
    for wide in [&b"\xff\xfe{\0}\0\n\0"[..], b"\xfe\xff\0{\0}\0\n"] {
        std::fs::write(path, wide).unwrap();
        let told = replica.folio(&["import", path, "--output", "json"]).expect(1).json();
        assert!(text(&told, "/bad_lines/0/reason").contains("UTF-16"), "{told}");
    }
}

#[test]
fn a_line_may_have_a_mebibyte_and_its_end() {
    let replica = Replica::start();
    replica.open_usd();
    let padded = |id: &str, length: usize| {
        let line = transfer(id, "1.00");
        format!("{}{}}}", &line[..line.len() - 1], " ".repeat(length - line.len()))
    };
    let long = padded("too-long", LONGEST + 1);
    let [unix, windows, last] = ["unix", "windows", "last"].map(|id| padded(id, LONGEST));
    assert_eq!((long.len(), unix.len()), (LONGEST + 1, LONGEST));
    let content = format!("{unix}\n{windows}\r\n{long}\n{long}\r\n{last}");
    let path = file(replica.temporary.path(), "long.jsonl", &content);
    let ran = replica.folio(&["import", path.to_str().unwrap(), "--skip-bad-lines", "--output", "json"]).expect(1);
    let told = ran.json();
    assert_eq!((&told["accepted"], &told["bad"]), (&3.into(), &2.into()), "{told}");
    for (index, line) in [3, 4].into_iter().enumerate() {
        assert_eq!(told["bad_lines"][index]["line"], line, "{told}");
        assert!(text(&told["bad_lines"][index], "/reason").contains("1048576 bytes"), "{told}");
    }
}

#[test]
fn long_lines_are_sent_in_requests_of_a_size_that_is_taken() {
    let replica = Replica::start();
    replica.open_usd();
    let pairs: Vec<String> = (0..16).map(|key| format!(r#""key-{key}":"{}""#, "v".repeat(256))).collect();
    let long = |number: usize| {
        let line = transfer(&format!("long-{number}"), "1.00");
        format!(r#"{},"metadata":{{{}}}}}"#, &line[..line.len() - 1], pairs.join(","))
    };
    // More than a request may have, and fewer than a batch has.
    let lines: Vec<String> = (0..700).map(long).collect();
    let path = file(replica.temporary.path(), "long.jsonl", &lines.join("\n"));
    assert_eq!(replica.json(&["import", path.to_str().unwrap()])["accepted"], 700);
}

#[test]
fn a_temporary_copy_that_cannot_be_written_is_told() {
    let content = payments(3_000);
    let mut nowhere = program();
    nowhere.args(["import", "-"]).env("TMPDIR", "/no/such/folder");
    fed(nowhere, content.as_bytes()).expect(1).says(&["/no/such/folder", "TMPDIR", "temporary copy"]);
    // As a full disk does, a bound on the size of files makes the write fail.
    let temporary = tempfile::tempdir().unwrap();
    let mut full = program();
    full.args(["import", "-"]).env("TMPDIR", temporary.path());
    // SAFETY: both calls are safe between fork and exec.
    unsafe {
        full.pre_exec(|| {
            let bound = libc::rlimit { rlim_cur: 65_536, rlim_max: 65_536 };
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            match libc::setrlimit(libc::RLIMIT_FSIZE, &raw const bound) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
    let folder = temporary.path().to_str().unwrap().to_owned();
    fed(full, content.as_bytes()).expect(1).says(&["cannot be written", &folder, "TMPDIR"]);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn a_file_that_changes_before_it_is_sent_is_not_sent() {
    let replica = Replica::start();
    let content = payments(5_000);
    for change in ["other", "more", "less"] {
        let path = file(replica.temporary.path(), "changing.jsonl", &content);
        let changed = path.clone();
        // The first connection comes when the file was read once.
        let proxy = Proxy::start(&replica.place.address, move |connection| {
            if connection > 0 {
                return;
            }
            let open = File::options().write(true).open(&changed).unwrap();
            let length = open.metadata().unwrap().len();
            match change {
                "other" => open.write_all_at(b"9", length - "1.25\"}".len() as u64).unwrap(),
                "more" => open.write_all_at(format!("\n{}", transfer("unseen", "9.00")).as_bytes(), length).unwrap(),
                _ => open.set_len(length - 200).unwrap(),
            }
        });
        let ran = folio(&["import", path.to_str().unwrap(), "--endpoints", &proxy.address, "--output", "json"]);
        let ran = ran.expect(1).says(&["changing.jsonl", "changed while it was imported", "nothing was sent"]);
        assert_eq!(ran.json()["accepted"], 0, "{change}");
        assert_eq!(replica.folio(&["journal"]).expect(0).stdout, "", "{change}: nothing was sent");
    }
}

#[test]
fn a_file_that_changes_while_it_is_sent_stops_the_import() {
    let replica = Replica::start();
    let transfers = 4_500;
    let path = file(replica.temporary.path(), "changing.jsonl", &payments(transfers));
    let endpoint = replica.place.address.clone();
    let name = path.to_str().unwrap();
    let command = ["import", name, "--batch", "5", "--output", "json", "--endpoints", &endpoint];
    let ran = std::thread::scope(|scope| {
        let import = scope.spawn(|| folio(&command));
        let began = std::time::Instant::now();
        loop {
            let balance = replica.folio(&["balance", SHOP, "--output", "json"]);
            if balance.code == 0 && text(&balance.json(), "/posted") != "0.00" {
                break;
            }
            assert!(began.elapsed() < std::time::Duration::from_secs(30), "the import does not begin: {balance:?}");
        }
        let open = File::options().write(true).open(&path).unwrap();
        open.write_all_at(b"9", open.metadata().unwrap().len() - "1.25\"}".len() as u64).unwrap();
        import.join().unwrap()
    });
    let ran = ran.expect(1).says(&["changed while it was imported", "stopped at line"]);
    let told = ran.json();
    let (accepted, line) = (told["accepted"].as_u64().unwrap(), told["stopped_at_line"].as_u64().unwrap());
    assert!(accepted > 0 && accepted < transfers as u64, "{told}");
    assert_eq!(line, accepted + 2, "the first line without an answer is named, one line is blank: {told}");
    let posted = text(&replica.json(&["balance", SHOP]), "/posted").to_owned();
    let cents = posted.replace('.', "").parse::<u64>().unwrap();
    assert_eq!(cents, (accepted - 3) * 125, "what was answered is booked, and only that");
}

#[test]
fn a_line_whose_form_the_book_refuses_after_all_stops_the_import() {
    let replica = Replica::start();
    replica.json(&["asset", "register", "JPY", "--scale", "0"]);
    let lines = [
        r#"{"command":"register_asset","id":"usd","code":"USD","scale":2}"#.to_owned(),
        format!(
            r#"{{"command":"open_account","id":"bank","name":"{BANK}","asset":"USD","class":"asset","floor":"unlimited"}}"#
        ),
        format!(r#"{{"command":"open_account","id":"shop","name":"{SHOP}","asset":"USD","class":"liability"}}"#),
        transfer("first", "1.00"),
        transfer("second", "2.00"),
    ];
    let path = file(replica.temporary.path(), "raced.jsonl", &lines.join("\n"));
    // Questions go over the first connection, batches over the second: in between, somebody else
    // opens the account in another asset.
    let opened = Arc::new(Mutex::new(Vec::new()));
    let (place, told) = (replica.place.clone(), Arc::clone(&opened));
    let proxy = Proxy::start(&replica.place.address, move |connection| {
        if connection == 1 {
            let args = ["account", "open", SHOP, "--asset", "JPY", "--class", "liability"];
            told.lock().unwrap().push(place.folio(&args).code);
        }
    });
    let command = ["import", path.to_str().unwrap(), "--endpoints", &proxy.address, "--output", "json"];
    let ran = folio(&command).expect(1).says(&["line 4", "stopped", "amount is \"1.00\""]);
    assert_eq!(*opened.lock().unwrap(), [0]);
    assert!(!ran.stderr.contains("commands["), "the file has no such field: {ran:?}");
    assert_eq!(ran.json()["stopped_at_line"], 1, "the batch was refused as a whole: {ran:?}");
    assert_eq!(ran.json()["bad_lines"][0]["line"], 4, "{ran:?}");
    // From now on it is decided before anything is sent, and was not kept.
    let again = replica.folio(&["import", path.to_str().unwrap(), "--output", "json"]).expect(1);
    let told = again.json();
    assert_eq!(
        (&told["bad"], &told["bad_lines"][0]["line"], &told["bad_lines"][1]["line"]),
        (&2.into(), &4.into(), &5.into()),
        "{told}"
    );
    // The request ids of "first" and of "usd": nothing of the batch was decided.
    for request in ["e3d3ee36-91c6-8219-8348-58d8d3ba9497", "20addaed-a2d4-8687-81d5-b277aa75838c"] {
        replica.folio(&["request", "show", request]).expect(3);
    }
}
