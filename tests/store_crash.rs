//! Crash tests of the engines that keep the book on disk: kill -9 and real power cuts.
//!
//! A second process of this same test binary writes numbered batches over several spaces, syncs each and
//! acknowledges it on a pipe, until it is killed at a random moment. For a power cut the folder lies on
//! an ext4 image of its own, whose journal is shut down without a flush, as pulling the plug does. Then the
//! book is opened again: every acknowledged batch is there, no batch is there by half, none is
//! missing in between, and an installed generation is there whole.
//!
//! `FOLIO_CRASH_ROUNDS` sets the rounds (3 unless told), `FOLIO_CRASH_SEED` replays the random moments (the disk's own
//! timing cannot be replayed), `FOLIO_CRASH_SLED=1` adds sled, which may refuse to open but must
//! never open without an acknowledged write.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs
)]

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, Write},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use folio::store::{Batch, Direction, Engine, EngineKind, KeyRange, Space, SpaceId, StoreError};
use rand::{Rng, SeedableRng, rngs::StdRng};

const WRITER_FOLDER: &str = "FOLIO_CRASH_WRITER_FOLDER";
const WRITER_ENGINE: &str = "FOLIO_CRASH_WRITER_ENGINE";
/// Every so many batches a new generation is installed.
const INSTALL_EVERY: u64 = 25;
const INSTALL_KEYS: u64 = 300;
const CONTROL: &[u8] = b"never synced";
const ACKNOWLEDGED: &str = "acknowledged ";

fn meta() -> SpaceId {
    SpaceId::new("meta", 0)
}

fn rows() -> SpaceId {
    SpaceId::new("rows", 0)
}

fn scattered() -> SpaceId {
    SpaceId::new("scattered", 0)
}

fn copy(generation: u64) -> SpaceId {
    SpaceId::new("copy", generation)
}

/// A key that lies anywhere in its space but is known from its number.
fn scatter(number: u64) -> [u8; 8] {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()
}

fn value(number: u64) -> Vec<u8> {
    scatter(number).repeat(1 + (number % 40) as usize)
}

/// Some batches are large, most are small.
fn scattered_keys(number: u64) -> u64 {
    if number.is_multiple_of(7) { 400 } else { 3 }
}

/// What must be on the book after the given batch.
fn expected(last: u64) -> BTreeMap<SpaceId, BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut book: BTreeMap<SpaceId, BTreeMap<Vec<u8>, Vec<u8>>> = BTreeMap::new();
    book.insert(meta(), BTreeMap::new());
    book.insert(rows(), BTreeMap::new());
    book.insert(scattered(), BTreeMap::new());
    for number in 1..=last {
        let rows = book.get_mut(&rows()).unwrap();
        rows.insert(number.to_be_bytes().to_vec(), value(number));
        if number.is_multiple_of(3) {
            rows.remove(&(number / 3).to_be_bytes()[..]);
        }
        for index in 0..scattered_keys(number) {
            let key = scatter(number * 1000 + index);
            book.get_mut(&scattered()).unwrap().insert(key.to_vec(), number.to_be_bytes().to_vec());
        }
    }
    if last > 0 {
        book.get_mut(&meta()).unwrap().insert(b"last".to_vec(), last.to_be_bytes().to_vec());
    }
    let generation = last / INSTALL_EVERY;
    if generation > 0 {
        book.get_mut(&meta()).unwrap().insert(b"generation".to_vec(), generation.to_be_bytes().to_vec());
        let pairs = (0..INSTALL_KEYS).map(|key| (key.to_be_bytes().to_vec(), value(generation + key)));
        book.insert(copy(generation), pairs.collect());
    }
    book
}

fn open_space(engine: &dyn Engine, id: &SpaceId) -> Space {
    engine.space(id).unwrap_or_else(|| engine.create_space(id).unwrap())
}

fn number_at(engine: &dyn Engine, key: &[u8]) -> u64 {
    let Some(space) = engine.space(&meta()) else { return 0 };
    let view = engine.view().unwrap();
    view.get(space, key).unwrap().map_or(0, |value| u64::from_be_bytes(value[..].try_into().unwrap()))
}

/// Drops the generations that are not in force, as their owner does when it opens the book.
fn drop_left_overs(engine: &dyn Engine) {
    let generation = number_at(engine, b"generation");
    for id in engine.spaces() {
        if id.name() == "copy" && id.generation() != generation {
            engine.drop_space(&id).unwrap();
        }
    }
}

/// Runs only in the process that a crash test starts: writes until it is killed.
#[test]
fn writer_role() {
    let Ok(folder) = std::env::var(WRITER_FOLDER) else { return };
    let kind: EngineKind = std::env::var(WRITER_ENGINE).unwrap().parse().unwrap();
    let engine = folio::store::open(kind, Path::new(&folder)).unwrap();
    drop_left_overs(&*engine);
    let (meta, rows, scattered) =
        (open_space(&*engine, &meta()), open_space(&*engine, &rows()), open_space(&*engine, &scattered()));
    let mut out = std::io::stdout();
    let first = number_at(&*engine, b"last") + 1;
    let mut batch = Batch::new();
    for number in first..first + 1_000_000 {
        batch.clear();
        batch.put(meta, b"last", &number.to_be_bytes());
        batch.put(rows, &number.to_be_bytes(), &value(number));
        if number.is_multiple_of(3) {
            batch.delete(rows, &(number / 3).to_be_bytes());
        }
        for index in 0..scattered_keys(number) {
            batch.put(scattered, &scatter(number * 1000 + index), &number.to_be_bytes());
        }
        let generation = number / INSTALL_EVERY;
        if number.is_multiple_of(INSTALL_EVERY) {
            let mut pairs = (0..INSTALL_KEYS).map(|key| Ok((key.to_be_bytes().to_vec(), value(generation + key))));
            engine.ingest(&copy(generation), &mut pairs).unwrap();
            batch.put(meta, b"generation", &generation.to_be_bytes());
        }
        engine.write(&batch).unwrap();
        // Some batches share a sync with the next, as the book's batches do.
        if !number.is_multiple_of(5) {
            engine.sync().unwrap();
            writeln!(out, "{ACKNOWLEDGED}{number}").unwrap();
            out.flush().unwrap();
        }
        if number.is_multiple_of(INSTALL_EVERY) && generation > 1 {
            engine.drop_space(&copy(generation - 1)).unwrap();
        }
    }
}

/// A writer process and the acknowledgements that it gives.
struct Writer {
    child: Child,
    acknowledged: std::thread::JoinHandle<u64>,
    first: std::sync::mpsc::Receiver<()>,
}

impl Writer {
    fn start(kind: EngineKind, folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writer_role", "--nocapture", "--test-threads=1"])
            .env(WRITER_FOLDER, folder)
            .env(WRITER_ENGINE, kind.name())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pipe = BufReader::new(child.stdout.take().unwrap());
        let (tell, first) = std::sync::mpsc::channel();
        let acknowledged = std::thread::spawn(move || {
            let mut last = 0;
            for line in pipe.lines() {
                let Ok(line) = line else { break };
                // The test harness may have written its own words before ours on the line.
                let Some((_, number)) = line.split_once(ACKNOWLEDGED) else { continue };
                last = number.parse().unwrap();
                let _ = tell.send(());
            }
            last
        });
        Self { child, acknowledged, first }
    }

    fn wait_for_first(&self) {
        self.first.recv_timeout(Duration::from_secs(60)).expect("the writer acknowledges its first batch");
    }

    /// Kills the process and gives the last batch that it had acknowledged.
    fn kill(mut self) -> u64 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.acknowledged.join().unwrap()
    }
}

/// What a round found.
enum Found {
    Intact { last: u64 },
    Refused { error: StoreError },
}

/// Opens the book after a crash and checks it against what was acknowledged.
fn check(kind: EngineKind, folder: &Path, acknowledged: u64) -> Found {
    let engine = match folio::store::open(kind, folder) {
        Ok(engine) => engine,
        Err(error) => return Found::Refused { error },
    };
    let last = number_at(&*engine, b"last");
    assert!(last >= acknowledged, "{kind}: batch {acknowledged} was acknowledged, the book ends at {last}");
    let expected = expected(last);
    for id in [meta(), rows(), scattered(), copy(last / INSTALL_EVERY)] {
        check_space(&engine, &id, expected.get(&id).unwrap_or(&BTreeMap::new()), last);
    }
    Found::Intact { last }
}

fn check_space(engine: &Arc<dyn Engine>, id: &SpaceId, expected: &BTreeMap<Vec<u8>, Vec<u8>>, last: u64) {
    let Some(space) = engine.space(id) else {
        assert!(expected.is_empty(), "{id} is missing at batch {last}");
        return;
    };
    if id.name() == "copy" && expected.is_empty() {
        // A generation may be half loaded as long as no batch has put it in force.
        return;
    }
    let view = engine.view().unwrap();
    let mut found = BTreeMap::new();
    for pair in view.scan(space, &KeyRange::all(), Direction::Forward).unwrap() {
        let (key, value) = pair.unwrap();
        found.insert(key.to_vec(), value.to_vec());
    }
    let missing = expected.keys().find(|key| !found.contains_key(*key));
    let surplus = found.keys().find(|key| !expected.contains_key(*key));
    assert!(missing.is_none(), "{id} lacks the key {missing:?} at batch {last}");
    assert!(surplus.is_none(), "{id} has the key {surplus:?}, which batch {last} does not have");
    assert!(found == *expected, "{id} has another value at batch {last}");
}

fn rounds() -> usize {
    std::env::var("FOLIO_CRASH_ROUNDS").map_or(3, |rounds| rounds.parse().expect("FOLIO_CRASH_ROUNDS is a number"))
}

fn random() -> StdRng {
    let seed: u64 =
        std::env::var("FOLIO_CRASH_SEED").map_or_else(|_| rand::rng().random(), |seed| seed.parse().unwrap());
    println!("replay the random moments with FOLIO_CRASH_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// Runs a writer and stops it at a random moment with `crash`, which gives the last acknowledged batch.
/// Every fourth round begins in an empty folder and stops while the book is being created.
fn round(
    kind: EngineKind,
    folder: &Path,
    number: usize,
    random: &mut StdRng,
    crash: impl FnOnce(Writer) -> u64,
) -> Option<u64> {
    let young = number % 4 == 3;
    if young && folder.exists() {
        std::fs::remove_dir_all(folder).unwrap();
    }
    let before = Instant::now();
    let writer = Writer::start(kind, folder);
    if young {
        std::thread::sleep(Duration::from_micros(random.random_range(0..60_000)));
    } else {
        writer.wait_for_first();
        std::thread::sleep(Duration::from_micros(random.random_range(0..500_000)));
    }
    let acknowledged = crash(writer);
    let ran_ms = before.elapsed().as_millis();
    match check(kind, folder, acknowledged) {
        Found::Intact { last } => {
            println!("{kind} round {number}: {ran_ms} ms, acknowledged {acknowledged}, recovered {last}");
            Some(last)
        }
        Found::Refused { error } => {
            println!("{kind} round {number}: {ran_ms} ms, acknowledged {acknowledged}, refused to open: {error}");
            assert_eq!(kind, EngineKind::Sled, "only sled may refuse to open after a crash: {error}");
            std::fs::remove_dir_all(folder).unwrap();
            None
        }
    }
}

fn kill_rounds(kind: EngineKind) {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("book");
    let mut random = random();
    let refused = (0..rounds()).filter(|n| round(kind, &folder, *n, &mut random, Writer::kill).is_none()).count();
    println!("{kind}: {} rounds of kill -9, {refused} refused to open, none lost an acknowledged batch", rounds());
}

/// A filesystem of its own in a file, unmounted and deleted when dropped.
struct Disk {
    image: PathBuf,
    mount: PathBuf,
    _temporary: tempfile::TempDir,
}

impl Disk {
    /// `None`, with the reason printed, where this machine cannot mount one.
    fn new() -> Option<Self> {
        let temporary = tempfile::tempdir().unwrap();
        let (image, mount) = (temporary.path().join("disk.img"), temporary.path().join("mount"));
        std::fs::create_dir(&mount).unwrap();
        File::create(&image).unwrap().set_len(1 << 30).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-F", "-E", "lazy_itable_init=1"]).arg(&image).output();
        match made {
            Ok(output) if output.status.success() => {}
            Ok(output) => return skipped(&format!("mkfs.ext4: {}", String::from_utf8_lossy(&output.stderr))),
            Err(error) => return skipped(&format!("mkfs.ext4: {error}")),
        }
        let disk = Self { image, mount, _temporary: temporary };
        match disk.mount() {
            Ok(()) => Some(disk),
            Err(reason) => skipped(&reason),
        }
    }

    fn mount(&self) -> Result<(), String> {
        run(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.mount))
    }

    /// Cuts the filesystem off from its disk without writing anything out, as a loss of power does.
    fn cut_power(&self) {
        const SHUTDOWN: libc::c_ulong = 0x8004_587d;
        let without_flush: u32 = 2;
        let folder = File::open(&self.mount).unwrap();
        // SAFETY: the descriptor is open for the whole call, and the argument points to a u32 that outlives it.
        let result = unsafe { libc::ioctl(folder.as_raw_fd(), SHUTDOWN, &raw const without_flush) };
        assert_eq!(result, 0, "the filesystem can be shut down: {}", std::io::Error::last_os_error());
    }

    fn remount(&self) {
        run(Command::new("umount").arg(&self.mount)).unwrap();
        self.mount().unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Nothing to unmount where mounting was what failed.
        let _ = run(Command::new("umount").arg(&self.mount))
            .or_else(|_| run(Command::new("umount").arg("-l").arg(&self.mount)));
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

fn skipped<T>(reason: &str) -> Option<T> {
    println!("SKIPPED: power cuts need root, loop devices and mkfs.ext4 ({})", reason.trim());
    None
}

fn power_cut_rounds(kind: EngineKind) {
    let Some(disk) = Disk::new() else { return };
    let folder = disk.mount.join("book");
    let mut random = random();
    let mut refused = 0;
    for number in 0..rounds() {
        let cut_while_running = random.random_bool(0.5);
        let crash = |writer: Writer| {
            // The control: what nobody synced must be gone, or the cut was none. A new name each time, because
            // ext4 writes a file out when it is replaced.
            let control = disk.mount.join(format!("control-{number}"));
            std::fs::write(&control, CONTROL).unwrap();
            let acknowledged = if cut_while_running {
                disk.cut_power();
                writer.kill()
            } else {
                let acknowledged = writer.kill();
                disk.cut_power();
                acknowledged
            };
            disk.remount();
            let kept = std::fs::read(&control).is_ok_and(|content| content == CONTROL);
            assert!(!kept, "the power cut lost nothing: it was none");
            acknowledged
        };
        refused += usize::from(round(kind, &folder, number, &mut random, crash).is_none());
    }
    println!("{kind}: {} rounds of power cuts, {refused} refused to open, none lost an acknowledged batch", rounds());
}

fn sled_asked_for() -> bool {
    let asked = std::env::var("FOLIO_CRASH_SLED").is_ok_and(|value| value == "1");
    if !asked {
        println!("SKIPPED: sled's rounds run with FOLIO_CRASH_SLED=1");
    }
    asked
}

#[test]
fn fjall_keeps_acknowledged_batches_through_kill() {
    kill_rounds(EngineKind::Fjall);
}

#[test]
fn fjall_keeps_acknowledged_batches_through_power_cuts() {
    power_cut_rounds(EngineKind::Fjall);
}

#[test]
fn sled_never_opens_without_an_acknowledged_batch_after_kill() {
    if sled_asked_for() {
        kill_rounds(EngineKind::Sled);
    }
}

#[test]
fn sled_never_opens_without_an_acknowledged_batch_after_power_cuts() {
    if sled_asked_for() {
        power_cut_rounds(EngineKind::Sled);
    }
}
