//! Standard output and standard error that are full, closed, or not read.

use std::fs::File;
use std::io::PipeWriter;
use std::os::fd::AsRawFd as _;
use std::process::Stdio;

use super::harness::{
    ALICE, BANK, Place, Ran, Replica, SHOP, Served, await_that, folio, places_of_three, program, text,
};

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

/// A pipe whose reader has gone away.
fn closed() -> PipeWriter {
    std::io::pipe().unwrap().1
}

/// How many lines of its log a replica has dropped, as it tells itself.
fn dropped(place: &Place) -> u64 {
    place.folio(&["status", "--output", "json"]).expect(0).json()["replicas"][0]["dropped_log_lines"].as_u64().unwrap()
}

#[test]
fn a_replica_whose_log_cannot_be_written_counts_that_and_serves_on() {
    for (name, stderr) in [("full", Stdio::from(full())), ("closed", Stdio::from(closed()))] {
        let temporary = tempfile::tempdir().unwrap();
        let place = Place::new(&temporary.path().join("data"));
        let mut served = Served::spawn_with(place.command(&["--found"]), stderr, temporary.path().join("none"));
        place.await_leader(&mut served).unwrap_or_else(|_| panic!("{name}: it ended: {:?}", served.has_ended()));
        place.folio(&["asset", "register", "USD", "--scale", "2"]).expect(0);
        let lost = dropped(&place);
        assert!(lost > 0, "{name}: that it serves could not be logged");
        let table = place.folio(&["status"]).expect(0).stdout;
        assert!(table.contains("log lines lost"), "{table}");
        let header: Vec<&str> =
            table.lines().find(|line| line.contains("log lines lost")).unwrap().split("  ").collect();
        let row = table.lines().find(|line| line.contains(&place.address)).unwrap();
        let cell = |words: &[&str]| {
            words.iter().map(|word| word.trim()).filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        let column = cell(&header).iter().position(|name| name == "log lines lost").unwrap();
        assert_eq!(cell(&row.split("  ").collect::<Vec<_>>())[column], lost.to_string(), "{table}");
        assert_eq!(served.stop(), 0, "{name}");
    }
    let replica = Replica::start();
    assert_eq!(dropped(&replica.place), 0, "where the log is written, nothing is dropped");
}

#[test]
fn replicas_whose_logs_nobody_reads_any_more_survive_the_loss_of_their_leader() {
    let temporary = tempfile::tempdir().unwrap();
    let mut cluster: Vec<(Place, Served)> = places_of_three(temporary.path())
        .into_iter()
        .map(|(place, more)| {
            let command = place.command(&more.each_ref().map(String::as_str));
            let served = Served::spawn_with(command, closed(), place.folder.with_extension("none"));
            (place, served)
        })
        .collect();
    let endpoints = cluster.iter().map(|(place, _)| place.address.clone()).collect::<Vec<_>>().join(",");
    let ask = |args: &[&str]| folio(&[args, &["--endpoints", &endpoints, "--timeout", "60s"]].concat());
    ask(&["asset", "register", "USD", "--scale", "2"]).expect(0);
    let status = ask(&["status", "--output", "json"]).expect(0).json();
    let leader = status["replicas"].as_array().unwrap().iter().position(|replica| replica["role"] == "leader").unwrap();
    let (_, served) = cluster.remove(leader);
    served.signal(libc::SIGKILL);
    drop(served);
    ask(&["account", "open", BANK, "--asset", "USD", "--class", "asset"]).expect(0);
    for (place, mut served) in cluster {
        assert!(served.has_ended().is_none(), "{} ended: {:?}", place.address, served.has_ended());
        assert!(dropped(&place) > 0, "{} had to log the election", place.address);
        assert_eq!(served.stop(), 0);
    }
}

#[test]
fn a_full_pipe_that_nobody_reads_does_not_hold_up_a_replica() {
    let temporary = tempfile::tempdir().unwrap();
    let place = Place::new(&temporary.path().join("data"));
    let (reader, writer) = std::io::pipe().unwrap();
    // SAFETY: the pipe is open. It gets as small as a pipe can be.
    assert!(unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, 4096) } >= 4096);
    let mut command = place.command(&["--found"]);
    // Much more than the pipe and the queue hold.
    command.env("FOLIO_LOG", "trace");
    let mut served = Served::spawn_with(command, writer, temporary.path().join("none"));
    place.await_leader(&mut served).unwrap_or_else(|_| panic!("it ended: {:?}", served.has_ended()));
    await_that("lines are dropped", || dropped(&place) > 0);
    place.folio(&["asset", "register", "USD", "--scale", "2"]).expect(0);
    place.folio(&["account", "open", BANK, "--asset", "USD", "--class", "asset"]).expect(0);
    // It also stops, though what it has to say of that is read by nobody.
    assert_eq!(served.stop(), 0);
    drop(reader);
}

#[test]
fn what_was_booked_is_booked_though_its_answer_cannot_be_written() {
    let replica = Replica::start();
    replica.open_usd();
    for shape in ["table", "json"] {
        let mut command = program();
        command.args(["transfer", "--debit", BANK, "--credit", ALICE, "--amount", "5.00", "--output", shape]);
        command.args(["--endpoints", &replica.place.address]).stdout(full()).stderr(Stdio::piped());
        let ran = Ran::of(command.spawn().unwrap().wait_with_output().unwrap()).expect(1);
        let id = ran.told_id().to_owned();
        ran.says(&["was decided", "cannot be written to standard output", &format!("folio request show {id}")]);
        replica.json(&["request", "show", &id]);
    }
    assert_eq!(text(&replica.json(&["balance", ALICE]), "/posted"), "10.00");
}

#[test]
fn an_id_that_cannot_be_told_is_not_sent_unless_the_caller_has_it() {
    let replica = Replica::start();
    replica.open_usd();
    let transfer = ["transfer", "--debit", BANK, "--credit", ALICE, "--amount", "5.00"];
    let run = |more: &[&str], stderr: Stdio| {
        let mut command = program();
        command.args(transfer).args(more).args(["--endpoints", &replica.place.address]);
        Ran::of(command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap().wait_with_output().unwrap())
    };
    for stderr in [Stdio::from(full()), Stdio::from(closed())] {
        assert_eq!(run(&[], stderr).expect(1).stdout, "");
    }
    assert_eq!(text(&replica.json(&["balance", ALICE]), "/posted"), "0.00", "nothing was sent");
    let given = ["--request-id", "00000000-0000-4000-8000-000000000001"];
    for stderr in [Stdio::from(full()), Stdio::from(closed())] {
        assert!(run(&given, stderr).expect(0).stdout.contains("CONFIRMED"));
    }
    assert_eq!(text(&replica.json(&["balance", ALICE]), "/posted"), "5.00");
}

/// Streams that a command may have: both as it needs them but for one.
#[derive(Debug, Clone, Copy)]
enum Streams {
    OutputClosed,
    OutputFull,
    ErrorsClosed,
    ErrorsFull,
    BothClosed,
}

#[test]
fn no_stream_makes_a_command_end_with_a_code_that_is_not_documented() {
    use Streams::{BothClosed, ErrorsClosed, ErrorsFull, OutputClosed, OutputFull};
    let replica = Replica::start();
    replica.open_usd();
    let bad = replica.temporary.path().join("bad.jsonl");
    // Far more than a pipe holds.
    std::fs::write(&bad, "{\"command\":\"teleport\",\"id\":\"x\"}\n".repeat(2_000)).unwrap();
    let bad = bad.to_str().unwrap();
    let poor = ["transfer", "--debit", ALICE, "--credit", SHOP, "--amount", "5.00", "--output", "json"];
    let refused = [&poor[..], &["--request-id", "00000000-0000-4000-8000-000000000002"]].concat();
    // What each ends with: if its output is closed, if it is full, if errors are closed or full.
    let commands: [(&[&str], [i32; 3]); 15] = [
        (&["status"], [0, 1, 0]),
        (&["balance", ALICE], [0, 1, 0]),
        (&["balance", ALICE, "--output", "json"], [0, 1, 0]),
        (&["account", "list"], [0, 1, 0]),
        (&["tx", "list"], [0, 1, 0]),
        (&["statement", ALICE], [0, 1, 0]),
        (&["trial-balance"], [0, 1, 0]),
        (&["journal"], [0, 1, 0]),
        (&["completions", "bash"], [0, 1, 0]),
        (&["--help"], [0, 1, 0]),
        (&["--version"], [0, 1, 0]),
        (&["no-such-command"], [2, 2, 2]),
        (&["balance", "liabilities:nobody"], [3, 3, 3]),
        (&refused, [4, 4, 4]),
        (&["import", bad], [1, 1, 1]),
    ];
    for (args, [closed_code, full_code, errors_code]) in commands {
        for (streams, code) in [
            (OutputClosed, closed_code),
            (OutputFull, full_code),
            (ErrorsClosed, errors_code),
            (ErrorsFull, errors_code),
            (BothClosed, closed_code),
        ] {
            let mut command = program();
            command.args(args).env("FOLIO_ENDPOINTS", &replica.place.address);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            match streams {
                OutputClosed => command.stdout(closed()),
                OutputFull => command.stdout(full()),
                ErrorsClosed => command.stderr(closed()),
                ErrorsFull => command.stderr(full()),
                BothClosed => command.stdout(closed()).stderr(closed()),
            };
            let status = command.status().unwrap();
            assert_eq!(status.code(), Some(code), "{streams:?}: {args:?} ended with {status}");
        }
    }
}

#[test]
fn a_reader_of_a_few_lines_gets_them_and_the_code_is_the_commands() {
    let replica = Replica::start();
    let bad = replica.temporary.path().join("bad.jsonl");
    std::fs::write(&bad, "{\"command\":\"teleport\",\"id\":\"x\"}\n".repeat(2_000)).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = program();
    command.args(["import", bad.to_str().unwrap(), "--endpoints", &replica.place.address]);
    let mut child = command.stdout(writer.try_clone().unwrap()).stderr(writer).spawn().unwrap();
    drop(command);
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(reader));
    for number in 1..=10 {
        let line = lines.next().unwrap().unwrap();
        assert!(line.contains(&format!("bad.jsonl:{number}: ")), "{line}");
    }
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(1));
}
