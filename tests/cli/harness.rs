//! Spawned replicas and commands. Whatever is spawned ends with the test that spawned it.

use std::{
    fs,
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// The longest that anything is waited for.
pub const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// What a command left behind.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(output: Output) -> Ran {
        let code = output.status.code().unwrap_or_else(|| panic!("ended by a signal: {output:?}"));
        let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
        Ran { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Standard output as the one JSON object that it must be.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "one object on one line: {self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Standard output as one JSON object a line.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        self.stdout.lines().map(parse).collect()
    }

    #[track_caller]
    pub fn expect(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "exit code of {self:?}");
        self
    }

    /// The request id that was told before anything was sent: the first line of standard error.
    #[track_caller]
    pub fn told_id(&self) -> &str {
        let first = self.stderr.lines().next().and_then(|line| line.strip_prefix("request id: "));
        first.unwrap_or_else(|| panic!("no request id is told first: {self:?}"))
    }

    /// Standard error must hold all of these.
    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Ran {
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not said: {self:?}");
        }
        self
    }
}

/// The program with nothing of this process's environment but the path, tied to the life of the test that spawns it.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_folio"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).stdin(Stdio::null());
    // SAFETY: prctl is safe to call between fork and exec.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    command
}

/// Runs the program to its end.
pub fn folio(args: &[&str]) -> Ran {
    Ran::of(program().args(args).output().expect("the program starts"))
}

/// Two addresses on loopback that were free a moment ago: for peers and for clients.
pub fn free_addresses() -> (String, String) {
    let bound = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
    let [peers, clients] = bound.map(|listener| listener.local_addr().unwrap().to_string());
    (peers, clients)
}

/// A spawned `serve`. It is killed when dropped.
#[derive(Debug)]
pub struct Served {
    child: Child,
    log: PathBuf,
}

impl Served {
    /// Spawns it; standard error goes to a file.
    pub fn spawn(command: Command, log: PathBuf) -> Served {
        let file = fs::File::create(&log).unwrap();
        Served::spawn_with(command, file, log)
    }

    /// Spawns it with another standard error; then the file is whatever it is.
    pub fn spawn_with(mut command: Command, stderr: impl Into<Stdio>, log: PathBuf) -> Served {
        let child = command.stdout(Stdio::null()).stderr(stderr).spawn().expect("the program starts");
        Served { child, log }
    }

    /// What it said so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    pub fn signal(&self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.child.id()).unwrap();
        // SAFETY: the child is not waited for yet, so the id is its own.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// Waits until it ends, and gives its exit code.
    #[track_caller]
    pub fn wait(&mut self) -> i32 {
        let began = Instant::now();
        loop {
            if let Some(status) = self.has_ended() {
                return status.code().unwrap_or_else(|| panic!("ended by a signal: {status}: {}", self.said()));
            }
            assert!(began.elapsed() < PATIENCE, "it does not end: {}", self.said());
            std::thread::sleep(PAUSE);
        }
    }

    /// Asks it to stop as an operator does, and gives its exit code.
    #[track_caller]
    pub fn stop(&mut self) -> i32 {
        self.signal(libc::SIGTERM);
        self.wait()
    }
}

/// The memory that a replica has, in bytes.
pub fn memory(served: &Served) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", served.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    1024 * line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a replica is founded and started again: its folder and addresses.
#[derive(Debug, Clone)]
pub struct Place {
    pub folder: PathBuf,
    pub members: String,
    pub address: String,
}

impl Place {
    /// A place for a single replica in `folder`, on ports that are free.
    pub fn new(folder: &Path) -> Place {
        let (peers, address) = free_addresses();
        Place { folder: folder.to_path_buf(), members: format!("1={peers}/{address}"), address }
    }

    /// `serve` for this place; `--found` stands among `more` where it is meant.
    pub fn command(&self, more: &[&str]) -> Command {
        let mut command = program();
        command.args(["serve", "--members", &self.members, "--data-dir"]).arg(&self.folder).args(more);
        command
    }

    /// Starts it. The log lies beside the folder.
    pub fn start(&self, more: &[&str]) -> Served {
        Served::spawn(self.command(more), self.folder.with_extension("log"))
    }

    /// `serve` to its end: for starts that must fail.
    pub fn refusal(&self, more: &[&str]) -> Ran {
        let mut served = self.start(more);
        let code = served.wait();
        Ran { code, stdout: String::new(), stderr: served.said() }
    }

    /// Waits until the replica leads; gives what it said if it ends instead.
    pub fn await_leader(&self, served: &mut Served) -> Result<(), String> {
        let began = Instant::now();
        loop {
            if served.has_ended().is_some() {
                return Err(served.said());
            }
            let ran = self.folio(&["status", "--output", "json", "--timeout", "1s"]);
            if ran.code == 0 && ran.json()["replicas"][0]["role"] == "leader" {
                return Ok(());
            }
            assert!(began.elapsed() < PATIENCE, "no leader: {ran:?} {}", served.said());
            std::thread::sleep(PAUSE);
        }
    }

    /// Runs a command against it.
    pub fn folio(&self, args: &[&str]) -> Ran {
        Ran::of(program().args(args).args(["--endpoints", &self.address]).output().expect("the program starts"))
    }
}

/// Three replicas of one cluster, each at its place and with what it is started with.
pub fn places_of_three(folder: &Path) -> Vec<(Place, [String; 3])> {
    let addresses: Vec<(String, String)> = (0..3).map(|_| free_addresses()).collect();
    let member = |(index, (peers, clients)): (usize, &(String, String))| format!("{}={peers}/{clients}", index + 1);
    let members = addresses.iter().enumerate().map(member).collect::<Vec<_>>().join(",");
    let place = |(index, (_, address)): (usize, &(String, String))| {
        let folder = folder.join(format!("replica-{}", index + 1));
        fs::create_dir_all(&folder).unwrap();
        let place = Place { folder, members: members.clone(), address: address.clone() };
        (place, ["--found".to_owned(), "--replica-id".to_owned(), (index + 1).to_string()])
    };
    addresses.iter().enumerate().map(place).collect()
}

/// Bytes that lie unread on connections to an address of IPv4 loopback. If the process that listens
/// there was stopped, they are what was sent to it since.
pub fn unread(address: &str) -> u64 {
    let port: u16 = address.rsplit_once(':').unwrap().1.parse().unwrap();
    let own = format!("0100007F:{port:04X}");
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let is_own =
            cells.get(1).is_some_and(|local| *local == own) && cells.get(3).is_some_and(|state| *state == "01");
        let (_, received) = cells.get(4).filter(|_| is_own)?.split_once(':')?;
        u64::from_str_radix(received, 16).ok()
    });
    rows.sum()
}

/// Details so long that [`unread`] tells whether a request that has them was sent: more than a thousand bytes.
pub fn long_details() -> Vec<String> {
    (0..5).flat_map(|number| ["--metadata".to_owned(), format!("note-{number}={}", "x".repeat(240))]).collect()
}

/// Waits until a condition holds.
#[track_caller]
pub fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// A single replica that leads, in a temporary folder.
#[derive(Debug)]
pub struct Replica {
    pub served: Served,
    pub place: Place,
    pub temporary: TempDir,
}

impl Replica {
    pub fn start() -> Replica {
        // Another process may take a port between finding it and using it.
        for _ in 0..5 {
            let temporary = tempfile::tempdir().unwrap();
            let place = Place::new(&temporary.path().join("data"));
            let mut served = place.start(&["--found"]);
            match place.await_leader(&mut served) {
                Ok(()) => return Replica { served, place, temporary },
                Err(said) => assert!(said.contains("cannot listen on"), "it does not start: {said}"),
            }
        }
        panic!("no free ports in five attempts");
    }

    pub fn folio(&self, args: &[&str]) -> Ran {
        self.place.folio(args)
    }

    /// A command that must succeed, and its JSON object.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let ran = self.folio(&[args, &["--output", "json"]].concat()).expect(0);
        let value = ran.json();
        let told = value["request_id"].as_str().map(|id| format!("request id: {id}\n"));
        assert_eq!(ran.stderr, told.unwrap_or_default(), "the id of a change and nothing else: {ran:?}");
        value
    }

    /// USD, a bank account without a floor, and two customers with the given floors of zero.
    pub fn open_usd(&self) {
        self.json(&["asset", "register", "USD", "--scale", "2"]);
        self.json(&["account", "open", BANK, "--asset", "USD", "--class", "asset", "--floor", "unlimited"]);
        for name in [ALICE, SHOP] {
            self.json(&["account", "open", name, "--asset", "USD", "--class", "liability"]);
        }
    }

    /// The trial balance without the point at which it was read.
    pub fn trial_balance(&self) -> Value {
        self.json(&["trial-balance"])["lines"].clone()
    }
}

pub const BANK: &str = "assets:bank:usd";
pub const ALICE: &str = "liabilities:customers:alice:usd";
pub const SHOP: &str = "liabilities:merchants:shop:usd";

/// The text at a path such as `/decision/at`, or why there is none.
#[track_caller]
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no text at {pointer} of {value}"))
}

/// An object must have exactly these keys.
#[track_caller]
pub fn has_keys(value: &Value, keys: &[&str]) {
    let mut expected: Vec<&str> = keys.to_vec();
    expected.sort_unstable();
    let found = value.as_object().unwrap_or_else(|| panic!("not an object: {value}"));
    let mut found: Vec<&str> = found.keys().map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(found, expected, "keys of {value}");
}
