//! Streams of commands at full speed, by stock clients of other languages. Where Node or Python or
//! their packages cannot be had, a test says that it was skipped. `FOLIO_STREAM_SECONDS=60` has
//! each run for a minute.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::harness::{ALICE, BANK, Place, Ran, Replica, Served, folio, memory};
use super::services::cluster;

/// How much memory a replica may take more in the second half of a stream than it had at the end of
/// the first. What was sent and not answered would take more; the book's memtables and filters grow
/// a little.
const GROWTH_BYTES: u64 = 96 * 1024 * 1024;
/// How long a client may take for what was sent when its time was up.
const REST: Duration = Duration::from_secs(60);

fn seconds() -> u64 {
    std::env::var("FOLIO_STREAM_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where what a language needs is kept between runs. Each test program has its own, as they run at
/// the same time.
fn kept(language: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("streams-{language}"))
}

/// Held while packages are looked for and installed: tests run at the same time.
static INSTALLING: Mutex<()> = Mutex::new(());

/// Runs a command; what went wrong where it failed.
fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    output.status.success().then_some(()).ok_or_else(|| format!("{command:?}: {output:?}"))
}

/// A stock client's command, or why there is none.
fn node() -> Result<Command, String> {
    let _installing = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let (scripts, folder) = (root().join("tests/node"), kept("node"));
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    for file in ["package.json", "package-lock.json", "stream.js"] {
        std::fs::copy(scripts.join(file), folder.join(file)).map_err(|error| error.to_string())?;
    }
    let mut script = Command::new("node");
    script.arg(folder.join("stream.js"));
    let has_packages = || run(Command::new("node").current_dir(&folder).args(["-e", "require('@grpc/grpc-js')"]));
    if has_packages().is_err() {
        run(Command::new("npm").current_dir(&folder).args(["ci", "--silent", "--no-audit", "--no-fund"]))?;
        has_packages()?;
    }
    Ok(script)
}

/// As [`node`].
fn python() -> Result<Command, String> {
    let _installing = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let (scripts, folder) = (root().join("tests/python"), kept("python"));
    let python = folder.join("bin/python");
    let has_packages = || run(Command::new(&python).args(["-c", "import grpc, grpc_tools, grpc_reflection"]));
    if has_packages().is_err() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--timeout", "30", "-r"];
        run(Command::new(&python).args(install).arg(scripts.join("requirements.txt")))?;
    }
    let mut script = Command::new(python);
    script.env("PYTHONDONTWRITEBYTECODE", "1").arg(scripts.join("stream.py"));
    Ok(script)
}

/// Ends what it stands for when it is dropped.
struct Running(Option<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs a client to its end beside a look at memory, now and then.
fn watched(mut command: Command, mut look: impl FnMut(Duration)) -> Output {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut running, began) = (Running(Some(child)), Instant::now());
    let patience = Duration::from_secs(seconds()) + REST;
    while running.0.as_mut().unwrap().try_wait().unwrap().is_none() {
        look(began.elapsed());
        assert!(began.elapsed() < patience, "the client does not end");
        std::thread::sleep(Duration::from_millis(100));
    }
    running.0.take().unwrap().wait_with_output().unwrap()
}

/// Has a client stream to a replica; memory of all replicas is looked at. Ends with all books
/// right.
fn stream(client: Result<Command, String>, address: &str, replicas: &[&Served], ask: &dyn Fn(&[&str]) -> Ran) {
    let mut command = match client {
        Ok(command) => command,
        Err(reason) => return eprintln!("SKIPPED: no stock client here: {reason}"),
    };
    ask(&["asset", "register", "USD", "--scale", "2", "--timeout", "60s"]).expect(0);
    ask(&["account", "open", BANK, "--asset", "USD", "--class", "asset", "--floor", "unlimited"]).expect(0);
    ask(&["account", "open", ALICE, "--asset", "USD", "--class", "liability"]).expect(0);
    command.arg(address).arg(root().join("proto")).arg(seconds().to_string());
    let half = Duration::from_secs(seconds()) / 2;
    let began: Vec<u64> = replicas.iter().map(|served| memory(served)).collect();
    let (mut in_first, mut in_second) = (began.clone(), began.clone());
    let output = watched(command, |elapsed| {
        let most = if elapsed < half { &mut in_first } else { &mut in_second };
        for (most, served) in most.iter_mut().zip(replicas) {
            *most = memory(served).max(*most);
        }
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let commands = printed["commands"].as_u64().unwrap();
    let mib = |bytes: &[u64]| bytes.iter().map(|bytes| bytes >> 20).collect::<Vec<_>>();
    println!(
        "{commands} commands in {} s, {} sent again; MiB before {:?}, at most in the first half {:?}, in the second {:?}",
        seconds(),
        printed["repeated"],
        mib(&began),
        mib(&in_first),
        mib(&in_second)
    );
    for (first, second) in in_first.iter().zip(&in_second) {
        assert!(second.saturating_sub(*first) < GROWTH_BYTES, "memory grows with the stream");
    }
    // Each command moved one cent, once.
    let balance = ask(&["balance", ALICE, "--output", "json"]).expect(0).json();
    assert_eq!(balance["posted"], format!("{}.{:02}", commands / 100, commands % 100));
}

fn on_one(client: Result<Command, String>) {
    let replica = Replica::start();
    stream(client, &replica.place.address, &[&replica.served], &|args| replica.folio(args));
}

fn on_three(client: Result<Command, String>) {
    let temporary = tempfile::tempdir().unwrap();
    let cluster: Vec<(Place, Served)> = cluster(temporary.path());
    let endpoints = cluster.iter().map(|(place, _)| place.address.clone()).collect::<Vec<_>>().join(",");
    let ask = |args: &[&str]| folio(&[args, &["--endpoints", &endpoints]].concat());
    let served: Vec<&Served> = cluster.iter().map(|(_, served)| served).collect();
    // Any of them: one that does not lead hands the commands on.
    stream(client, &cluster[0].0.address, &served, &ask);
}

#[test]
fn a_node_client_streams_at_full_speed_to_one_replica() {
    on_one(node());
}

#[test]
fn a_node_client_streams_at_full_speed_to_one_of_three_replicas() {
    on_three(node());
}

#[test]
fn a_python_client_streams_at_full_speed_to_one_replica() {
    on_one(python());
}

#[test]
fn a_python_client_streams_at_full_speed_to_one_of_three_replicas() {
    on_three(python());
}

/// Python's stock reflection client knows the older version of reflection alone.
#[test]
fn a_python_client_finds_the_services_by_reflection() {
    let python = match python() {
        Ok(python) => python.get_program().to_owned(),
        Err(reason) => return eprintln!("SKIPPED: no Python with gRPC here: {reason}"),
    };
    let replica = Replica::start();
    let script = root().join("tests/python/reflection.py");
    let output = Command::new(python).arg(script).arg(&replica.place.address).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "passed", "{output:?}");
}
