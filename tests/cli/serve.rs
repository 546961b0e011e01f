//! `folio serve`: what it refuses to start with, and how it stops.

use std::fs::{self, File};
use std::net::TcpListener;

use super::harness::{ALICE, BANK, Place, Ran, Replica, Served, free_addresses, program, text};

/// `serve` with settings alone, which must end before it touches a folder.
fn serve(file: Option<&str>, variables: &[(&str, &str)], flags: &[&str]) -> Ran {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = program();
    command.current_dir(temporary.path()).arg("serve").args(flags).envs(variables.iter().copied());
    if let Some(content) = file {
        fs::write(temporary.path().join("folio.toml"), content).unwrap();
        command.args(["--config", "folio.toml"]);
    }
    let mut served = Served::spawn(command, temporary.path().join("log"));
    let code = served.wait();
    let left: Vec<_> = fs::read_dir(temporary.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name == "data"), "a start with bad settings touches nothing: {left:?}");
    Ran { code, stdout: String::new(), stderr: served.said() }
}

#[test]
fn a_bad_setting_ends_the_start_with_code_2_and_is_named() {
    for (file, says) in [
        ("colour = 'red'", "colour"),
        ("data_dir = 'data'\nreplica_id = 'one'", "replica_id"),
        ("data_dir = 'data'\nfound = 'perhaps'", "found"),
        ("data_dir = 'data'\nsnapshot_entries = -1", "snapshot_entries"),
        ("data_dir = 'data'\nsnapshot_entries = 15", "snapshot-entries is \"15\""),
        ("data_dir = 'data'\nengine = 'postgres'", "engine is \"postgres\""),
        ("data_dir = 'data'\nengine = 'memory'", "engine is \"memory\""),
        ("data_dir = 'data'\nmembers = '1=127.0.0.1:7101'", "members is \"1=127.0.0.1:7101\""),
        ("data_dir = 'data'\nmembers = '1=localhost:1/localhost:2'", "an address is IP:PORT"),
        ("data_dir = 'data'\nmembers = '1=127.0.0.1:0/127.0.0.1:7001'", "a port is 1 to 65535"),
        ("data_dir = 'data'\nmembers = '1=127.0.0.1:7101/127.0.0.1:0'", "a port is 1 to 65535"),
        ("data_dir = 'data'\nmembers = '1=127.0.0.1:7001/127.0.0.1:7001'", "127.0.0.1:7001 stands twice"),
        (
            "data_dir = 'data'\nmembers = '1=127.0.0.1:7101/127.0.0.1:7001,2=127.0.0.1:7102/127.0.0.1:7001'",
            "127.0.0.1:7001 stands twice",
        ),
        (
            "data_dir = 'data'\nmembers = '1=[::1]:7101/[::1]:7001,2=[0:0::1]:7101/[::1]:7002'",
            "[::1]:7101 stands twice",
        ),
        ("data_dir = 'data'\nreplica_id = 2", "replica-id is \"2\": it is not among the members"),
        ("data_dir = 'data'\nreplica_id = 1\nreplica_id = 1", "replica_id"),
        ("data_dir = ", "folio.toml"),
        ("found = true", "data-dir is missing"),
    ] {
        serve(Some(file), &[], &[]).expect(2).says(&[says]);
    }
    serve(None, &[], &[]).expect(2).says(&["data-dir is missing"]);
    serve(None, &[], &["--config", "none.toml"]).expect(2).says(&["none.toml cannot be read"]);
    serve(None, &[("FOLIO_SNAPSHOT_ENTRIES", "many")], &["--data-dir", "data"]).expect(2).says(&["--snapshot-entries"]);
    serve(None, &[("FOLIO_FOUND", "perhaps")], &["--data-dir", "data"]).expect(2).says(&["--found"]);
    serve(None, &[], &["--data-dir", "data", "--colour", "red"]).expect(2).says(&["--colour"]);
    serve(None, &[("FOLIO_CLUSTER", "")], &["--data-dir", "data"]).expect(2).says(&["cluster"]);
}

#[test]
fn flags_are_stronger_than_variables_and_variables_than_the_file() {
    // Settings that are refused tell which of them was heard.
    for (key, variable, flag, values) in [
        ("engine", "FOLIO_ENGINE", "--engine", ["'file'", "variable", "flag"]),
        ("replica_id", "FOLIO_REPLICA_ID", "--replica-id", ["71", "72", "73"]),
        ("snapshot_entries", "FOLIO_SNAPSHOT_ENTRIES", "--snapshot-entries", ["1", "2", "3"]),
        ("members", "FOLIO_MEMBERS", "--members", ["'file'", "variable", "flag"]),
    ] {
        let [in_file, in_variable, in_flag] = values;
        let file = format!("data_dir = 'data'\n{key} = {in_file}");
        let heard = |value: &str| format!("is {:?}", value.trim_matches('\''));
        serve(Some(&file), &[], &[]).expect(2).says(&[&heard(in_file)]);
        let variables = [(variable, in_variable)];
        serve(Some(&file), &variables, &[]).expect(2).says(&[&heard(in_variable)]);
        serve(Some(&file), &variables, &[flag, in_flag]).expect(2).says(&[&heard(in_flag)]);
    }
    // And one that serves.
    let temporary = tempfile::tempdir().unwrap();
    let place = Place::new(&temporary.path().join("data"));
    let file = temporary.path().join("folio.toml");
    let members = &place.members;
    let data_dir = place.folder.display();
    let content =
        format!("data_dir = '{data_dir}'\nmembers = '{members}'\ncluster = 'from-file'\nengine = 'postgres'\n");
    fs::write(&file, content).unwrap();
    let mut command = program();
    command.env("FOLIO_CONFIG", &file).env("FOLIO_ENGINE", "sled").env("FOLIO_FOUND", "false");
    command.args(["serve", "--found"]);
    let mut served = Served::spawn(command, temporary.path().join("log"));
    place.await_leader(&mut served).unwrap();
    let status = place.folio(&["status", "--output", "json"]).expect(0).json();
    assert_eq!(text(&status, "/replicas/0/cluster_id"), "from-file");
    assert_eq!(text(&status, "/replicas/0/engine"), "sled");
    assert_eq!(served.stop(), 0, "{}", served.said());
}

#[test]
fn a_setting_that_is_true_or_false_may_be_written_as_people_write_it() {
    for yes in ["1", "true", "yes", "on", "Y"] {
        let temporary = tempfile::tempdir().unwrap();
        let place = Place::new(&temporary.path().join("data"));
        let mut command = place.command(&[]);
        command.env("FOLIO_FOUND", yes).env("FOLIO_ALLOW_UNENCRYPTED_UNAUTHENTICATED_NETWORK", "0");
        let mut served = Served::spawn(command, temporary.path().join("log"));
        place.await_leader(&mut served).unwrap_or_else(|said| panic!("{yes}: {said}"));
        assert_eq!(served.stop(), 0, "{yes}: {}", served.said());
    }
    for no in ["0", "false", "no", "off", "N"] {
        let temporary = tempfile::tempdir().unwrap();
        let place = Place::new(&temporary.path().join("data"));
        let mut command = place.command(&[]);
        command.env("FOLIO_FOUND", no);
        let mut served = Served::spawn(command, temporary.path().join("log"));
        assert_eq!(served.wait(), 1, "{no}: {}", served.said());
        assert!(served.said().contains("was never founded"), "{no}: {}", served.said());
    }
}

#[test]
fn a_variable_that_is_no_setting_is_named_in_the_log() {
    let temporary = tempfile::tempdir().unwrap();
    let place = Place::new(&temporary.path().join("data"));
    let mut command = place.command(&["--found"]);
    command.env("FOLIO_SNAPSHOT_ENTRY", "100");
    let mut served = Served::spawn(command, temporary.path().join("log"));
    place.await_leader(&mut served).unwrap();
    assert!(served.said().contains("FOLIO_SNAPSHOT_ENTRY"), "{}", served.said());
}

#[test]
fn addresses_that_others_can_reach_need_a_flag_that_says_what_it_gives_up() {
    let temporary = tempfile::tempdir().unwrap();
    let (peers, clients) = free_addresses();
    let open = clients.replace("127.0.0.1", "0.0.0.0");
    let place =
        Place { folder: temporary.path().join("data"), members: format!("1={peers}/{open}"), address: clients.clone() };
    let flag = "--allow-unencrypted-unauthenticated-network";
    place.refusal(&["--found"]).expect(2).says(&[&open, flag, "TLS"]);
    assert!(!place.folder.exists(), "nothing was founded");
    let mut served = place.start(&["--found", flag]);
    place.await_leader(&mut served).unwrap();
    assert_eq!(served.stop(), 0);
}

#[test]
fn a_port_in_use_is_named_and_nothing_is_founded() {
    let temporary = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|address| (taken, address.to_string())).unwrap();
    let (free, _) = free_addresses();
    let folder = temporary.path().join("data");
    for members in [format!("1={free}/{}", taken.1), format!("1={}/{free}", taken.1)] {
        let place = Place { folder: folder.clone(), members, address: String::new() };
        place.refusal(&["--found"]).expect(1).says(&["cannot listen on", &taken.1, "in use"]);
        assert!(!folder.join("IDENTITY").exists(), "nothing was founded");
    }
}

#[test]
fn an_address_that_cannot_be_listened_on_is_told_for_what_it_is() {
    let temporary = tempfile::tempdir().unwrap();
    let (free, _) = free_addresses();
    // Addresses for documentation are no machine's.
    let flag = "--allow-unencrypted-unauthenticated-network";
    let place = Place {
        folder: temporary.path().join("data"),
        members: format!("1={free}/192.0.2.1:7001"),
        address: String::new(),
    };
    let said = place.refusal(&["--found", flag]).expect(1).says(&["192.0.2.1:7001", "not this machine's"]).stderr;
    assert!(!said.contains("another process"), "{said}");
    assert!(!place.folder.exists(), "nothing was founded");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place { members: format!("1={free}/{}", taken.local_addr().unwrap()), ..place };
    place.refusal(&["--found"]).expect(1).says(&["in use", "another process"]);
}

#[test]
fn a_folder_in_use_is_named() {
    let mut replica = Replica::start();
    let folder = replica.place.folder.display().to_string();
    // A second process with the same settings, as somebody starts it twice.
    let second = Place { folder: replica.place.folder.clone(), ..replica.place.clone() };
    let mut command = second.command(&[]);
    command.env("FOLIO_LOG", "off");
    let mut twice = Served::spawn(command, replica.temporary.path().join("second.log"));
    assert_eq!(twice.wait(), 1);
    assert!(twice.said().contains("in use by another process") && twice.said().contains(&folder), "{}", twice.said());
    replica.open_usd();
    assert_eq!(replica.served.stop(), 0);
    // And where only the lock tells it.
    for part in ["book", "log"] {
        let lock = File::options().write(true).open(replica.place.folder.join(part).join("LOCK")).unwrap();
        lock.lock().unwrap();
        let said = replica.place.refusal(&[]).expect(1).says(&["is in use by another process"]).stderr;
        assert!(said.contains(&format!("{folder}/{part}")), "{said}");
    }
}

/// The FORMAT file of a part of the folder, with other words under a right checksum.
fn rewrite_format(place: &Place, part: &str, from: &str, to: &str) {
    let path = place.folder.join(part).join("FORMAT");
    let content = fs::read_to_string(&path).unwrap();
    let body = content.split_once("checksum").unwrap().0;
    assert!(body.contains(from), "{body}");
    let body = body.replace(from, to);
    let checksum = crc32fast::hash(body.as_bytes());
    fs::write(&path, format!("{body}checksum {checksum:08x}\n")).unwrap();
}

#[test]
fn a_folder_that_is_not_this_replicas_own_is_refused_and_left_as_it_was() {
    let temporary = tempfile::tempdir().unwrap();
    let place = Place::new(&temporary.path().join("data"));
    place.refusal(&[]).expect(1).says(&["was never founded", "--found"]);
    let mut served = place.start(&["--found"]);
    place.await_leader(&mut served).unwrap();
    assert_eq!(served.stop(), 0);
    for (flags, says) in [
        (&["--cluster", "other"][..], &["cluster", "folio", "other"][..]),
        (&["--cluster", "other", "--found"], &["cluster", "folio", "other"]),
        (&["--engine", "sled"], &["engine", "fjall", "sled"]),
    ] {
        place.refusal(flags).expect(1).says(says).says(&["belongs to replica 1", "another folder"]);
    }
    let elsewhere = Place { members: Place::new(&place.folder).members, ..place.clone() };
    elsewhere.refusal(&[]).expect(1).says(&["belongs to replica 1", "members", &place.members, &elsewhere.members]);
    rewrite_format(&place, "book", "version 3", "version 4");
    place.refusal(&[]).expect(1).says(&["book has format version 4", "reads version 3"]);
    rewrite_format(&place, "book", "version 4", "version 3");
    rewrite_format(&place, "log", "contents log", "contents book");
    place.refusal(&[]).expect(1).says(&["log holds book, not log"]);
    rewrite_format(&place, "log", "contents book", "contents log");
    let identity = place.folder.join("IDENTITY");
    let written = fs::read_to_string(&identity).unwrap();
    fs::write(&identity, written.replace("\"format_version\": 1", "\"format_version\": 2")).unwrap();
    place.refusal(&[]).expect(1).says(&["IDENTITY has identity format 2", "reads 1"]);
    fs::write(&identity, &written).unwrap();
    let book = place.folder.join("book");
    fs::rename(&book, place.folder.join("elsewhere")).unwrap();
    place.refusal(&[]).expect(1).says(&[&book.display().to_string()]);
    place.refusal(&["--found"]).expect(1).says(&[&book.display().to_string()]);
    fs::rename(place.folder.join("elsewhere"), &book).unwrap();
    fs::rename(&identity, temporary.path().join("IDENTITY")).unwrap();
    place.refusal(&[]).expect(1).says(&["holds data, but not whose it is", "IDENTITY"]);
    place.refusal(&["--found"]).expect(1).says(&[&place.folder.display().to_string()]);
    fs::rename(temporary.path().join("IDENTITY"), &identity).unwrap();
    // None of these starts has changed anything.
    let mut served = place.start(&[]);
    place.await_leader(&mut served).unwrap();
    assert_eq!(served.stop(), 0);
}

#[test]
fn an_operators_signal_stops_it_cleanly_though_clients_are_listening() {
    let mut replica = Replica::start();
    replica.open_usd();
    replica.json(&["transfer", "--debit", BANK, "--credit", ALICE, "--amount", "3.00"]);
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mut follower = program();
        follower.args(["journal", "--follow", "--timeout", "1s", "--endpoints", &replica.place.address]);
        let output = replica.temporary.path().join("journal");
        let file = File::create(&output).unwrap();
        let mut follower = follower.stdout(file).stderr(std::process::Stdio::null()).spawn().unwrap();
        for _ in 0..500 {
            if fs::read_to_string(&output).unwrap().contains("3.00") {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert!(fs::read_to_string(&output).unwrap().contains("3.00"), "the journal is followed");
        replica.served.signal(signal);
        assert_eq!(replica.served.wait(), 0, "{}", replica.served.said());
        assert_eq!(follower.wait().unwrap().code(), Some(5), "who follows is told");
        replica.served = replica.place.start(&[]);
        replica.place.await_leader(&mut replica.served).unwrap();
        assert_eq!(text(&replica.json(&["balance", ALICE]), "/posted"), "3.00");
    }
}
