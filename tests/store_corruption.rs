//! What a book does with flipped bits, in every kind of file that it keeps.
//!
//! A closed book is copied, one bit in one file is flipped, and the copy is opened and read whole. It must
//! refuse with an error or give everything intact. fjall itself cuts its journal off at what it cannot decode
//! and says nothing; the marks and the note beside the engine must turn every such cut of synced
//! writes into a refusal. What each kind of file led to is counted and printed.
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
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use folio::store::{
    Batch, Direction, Engine, EngineKind, KeyRange, SpaceId, StoreError,
    fjall::{FjallBounds, FjallEngine},
    sled::SledEngine,
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

const SPACES: u64 = 3;
const BATCHES: u64 = 400;
/// Written after the last reopen, so that they lie in the journal alone.
const YOUNG_BATCHES: u64 = 30;

/// How many bits are flipped in each kind of file; `FOLIO_FLIPS` sets another number.
fn flips_per_kind() -> usize {
    std::env::var("FOLIO_FLIPS").map_or(30, |flips| flips.parse().expect("FOLIO_FLIPS is a number"))
}

fn space_id(index: u64) -> SpaceId {
    SpaceId::new(format!("space_{index}"), 1)
}

/// The keys of the last space ascend, as those of history do; those of the others come in no order.
fn key(space: u64, number: u64) -> [u8; 8] {
    if space == SPACES - 1 { number.to_be_bytes() } else { scattered(number).to_be_bytes() }
}

fn scattered(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn value(number: u64) -> Vec<u8> {
    scattered(number).to_be_bytes().repeat(8)
}

fn small_bounds() -> FjallBounds {
    FjallBounds { memtable_bytes: 32 << 10, worker_threads: 1, ..FjallBounds::default() }
}

fn open(kind: EngineKind, folder: &Path) -> Result<Box<dyn Engine>, StoreError> {
    Ok(match kind {
        EngineKind::Fjall => Box::new(FjallEngine::open(folder, &small_bounds())?),
        EngineKind::Sled => Box::new(SledEngine::open(folder)?),
        EngineKind::Memory => panic!("the memory engine has no files"),
    })
}

fn write(engine: &dyn Engine, numbers: std::ops::RangeInclusive<u64>) {
    let spaces: Vec<_> = (0..SPACES).map(|index| engine.space(&space_id(index)).unwrap()).collect();
    for number in numbers {
        let mut batch = Batch::new();
        for (index, space) in (0..).zip(&spaces) {
            batch.put(*space, &key(index, number), &value(number));
        }
        batch.put(spaces[0], b"last", &number.to_be_bytes());
        engine.write(&batch).unwrap();
    }
    engine.sync().unwrap();
}

/// Waits until the engine's own threads have written out what they want to.
fn settle(folder: &Path) {
    let sizes = || files(folder).iter().map(|path| path.metadata().map_or(0, |data| data.len())).sum::<u64>();
    let mut before = (0, 0);
    for _ in 0..50 {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let now = (files(folder).len(), usize::try_from(sizes()).unwrap());
        if now == before {
            return;
        }
        before = now;
    }
}

fn build(kind: EngineKind, folder: &Path) {
    let engine = open(kind, folder).unwrap();
    for index in 0..SPACES {
        engine.create_space(&space_id(index)).unwrap();
    }
    write(&*engine, 1..=BATCHES / 2);
    write(&*engine, BATCHES / 2 + 1..=BATCHES);
    settle(folder);
    drop(engine);
    let engine = open(kind, folder).unwrap();
    settle(folder);
    write(&*engine, BATCHES + 1..=BATCHES + YOUNG_BATCHES);
    drop(engine);
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries.flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            Ok(_) => found.push(entry.path()),
            Err(_) => {}
        }
    }
    found.sort();
    found
}

/// The kind of a file: its path with every number made `N`.
fn kind_of(path: &Path) -> String {
    let mut kind = String::new();
    for character in path.to_string_lossy().chars() {
        match character {
            '0'..='9' if kind.ends_with('N') => {}
            '0'..='9' => kind.push('N'),
            _ => kind.push(character),
        }
    }
    kind
}

/// A closed book in memory. Trailing zeros of preallocated files are left out of the flips.
struct Closed {
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Closed {
    fn read(folder: &Path) -> Self {
        let relative = |path: &PathBuf| path.strip_prefix(folder).unwrap().to_path_buf();
        Self { files: files(folder).iter().map(|path| (relative(path), fs::read(path).unwrap())).collect() }
    }

    fn write_to(&self, folder: &Path) {
        for (path, content) in &self.files {
            let place = folder.join(path);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            let used = used(content);
            fs::write(&place, &content[..used]).unwrap();
            fs::OpenOptions::new().write(true).open(&place).unwrap().set_len(content.len() as u64).unwrap();
        }
    }
}

fn used(content: &[u8]) -> usize {
    content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    Intact,
    RefusedToOpen,
    RefusedToRead,
    PanickedWhileReading,
    EarlierBatch(u64),
    Wrong(String),
}

/// Opens a book and reads all of it.
fn examine(kind: EngineKind, folder: &Path) -> Found {
    let engine = match open(kind, folder) {
        Ok(engine) => engine,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return Found::RefusedToOpen;
        }
    };
    match catch_unwind(AssertUnwindSafe(|| read_whole(&*engine))) {
        Ok(Ok(last)) if last == BATCHES + YOUNG_BATCHES => Found::Intact,
        Ok(Ok(last)) => Found::EarlierBatch(last),
        Ok(Err(ReadError::Store(error))) => {
            assert!(!error.to_string().is_empty());
            Found::RefusedToRead
        }
        Ok(Err(ReadError::Wrong(what))) => Found::Wrong(what),
        Err(_) => Found::PanickedWhileReading,
    }
}

enum ReadError {
    Store(StoreError),
    Wrong(String),
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The last batch on the book, once all spaces hold exactly the batches up to it.
fn read_whole(engine: &dyn Engine) -> Result<u64, ReadError> {
    let view = engine.view()?;
    let wrong = |what: String| Err(ReadError::Wrong(what));
    let mut last = 0;
    for index in 0..SPACES {
        let Some(space) = engine.space(&space_id(index)) else {
            return wrong(format!("{} is missing", space_id(index)));
        };
        let mut found = BTreeMap::new();
        for pair in view.scan(space, &KeyRange::all(), Direction::Forward)? {
            let (key, value) = pair?;
            found.insert(key.to_vec(), value.to_vec());
        }
        if index == 0 {
            let Some(bytes) = found.remove(&b"last"[..]) else { return wrong("no last batch".to_owned()) };
            last = u64::from_be_bytes(bytes[..].try_into().unwrap());
        }
        let expected: BTreeMap<_, _> = (1..=last).map(|number| (key(index, number).to_vec(), value(number))).collect();
        if found != expected {
            let (have, want) = (found.len(), expected.len());
            return wrong(format!("{} has {have} pairs where batch {last} has {want}", space_id(index)));
        }
    }
    Ok(last)
}

/// What the flips of each kind of file led to, counted.
fn flip_bits(kind: EngineKind) -> BTreeMap<String, BTreeMap<String, usize>> {
    let seed: u64 =
        std::env::var("FOLIO_TEST_SEED").map_or_else(|_| rand::rng().random(), |seed| seed.parse().unwrap());
    println!("{kind}: replay the flips with FOLIO_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let temporary = tempfile::tempdir().unwrap();
    let original = temporary.path().join("original");
    build(kind, &original);
    let closed = Closed::read(&original);
    let mut kinds: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, (path, content)) in closed.files.iter().enumerate() {
        if used(content) > 0 {
            kinds.entry(kind_of(path)).or_default().push(index);
        }
    }
    let mut counts: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for (name, indexes) in kinds {
        for flip in 0..flips_per_kind() {
            let index = *indexes.choose(&mut random).unwrap();
            let (path, content) = &closed.files[index];
            let byte = random.random_range(0..used(content));
            let bit = random.random_range(0..8_u8);
            let folder = temporary.path().join("flipped");
            closed.write_to(&folder);
            let mut flipped = content.clone();
            flipped[byte] ^= 1 << bit;
            fs::write(folder.join(path), &flipped).unwrap();
            let found = examine(kind, &folder);
            fs::remove_dir_all(&folder).unwrap();
            let label = match &found {
                Found::EarlierBatch(_) => "EarlierBatch".to_owned(),
                Found::Wrong(what) => {
                    println!("{name}: flip {flip}, byte {byte}, bit {bit}: {what}");
                    "Wrong".to_owned()
                }
                other => format!("{other:?}"),
            };
            *counts.entry(name.clone()).or_default().entry(label).or_default() += 1;
        }
    }
    for (name, found) in &counts {
        println!("{kind} {name}: {found:?}");
    }
    counts
}

#[test]
fn an_undamaged_copy_is_intact() {
    for kind in [EngineKind::Fjall, EngineKind::Sled] {
        let temporary = tempfile::tempdir().unwrap();
        let (original, copy) = (temporary.path().join("original"), temporary.path().join("copy"));
        build(kind, &original);
        let closed = Closed::read(&original);
        closed.write_to(&copy);
        assert_eq!(examine(kind, &copy), Found::Intact, "{kind}");
        let kinds: Vec<String> = closed.files.iter().map(|(path, _)| kind_of(path)).collect();
        println!("{kind} keeps {kinds:?}");
        if kind == EngineKind::Fjall {
            assert!(kinds.iter().any(|name| name.contains("tables/")), "the flips must reach tables: {kinds:?}");
            assert!(kinds.iter().any(|name| name.ends_with(".jnl")), "the flips must reach a journal: {kinds:?}");
        }
    }
}

#[test]
fn fjall_gives_everything_or_refuses() {
    for (name, found) in flip_bits(EngineKind::Fjall) {
        for (label, count) in found {
            let allowed = matches!(label.as_str(), "Intact" | "RefusedToOpen" | "RefusedToRead");
            assert!(allowed, "{count} flips in {name} ended in {label}");
        }
    }
}

/// fjall cuts its journal off at the first thing that it cannot decode and says nothing. The note knows nothing of what was not synced; the space that was written out meanwhile stands further than the list, and its greatest key alone tells.
#[test]
fn a_space_that_only_grows_is_not_taken_for_one_with_the_others_where_the_journal_is_cut_off() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("book");
    let engine = open(EngineKind::Fjall, &folder).unwrap();
    let (grows, other) = (engine.create_space(&space_id(0)).unwrap(), engine.create_space(&space_id(1)).unwrap());
    let write = |number: u64, bytes: usize| {
        let mut batch = Batch::new();
        batch.put(grows, &number.to_be_bytes(), &vec![7; bytes]);
        batch.put(other, b"last", &number.to_be_bytes());
        engine.write(&batch).unwrap();
    };
    write(1, 1);
    engine.sync().unwrap();
    (2..100).for_each(|number| write(number, 1024));
    settle(&folder);
    drop(engine);
    let is_journal = |path: &&PathBuf| path.extension().is_some_and(|kind| kind == "jnl");
    let oldest = files(&folder).iter().find(is_journal).unwrap().clone();
    let mut journal = fs::read(&oldest).unwrap();
    // Within the first batch after the sync.
    journal.truncate(journal.windows(512).position(|bytes| bytes.iter().all(|byte| *byte == 7)).unwrap());
    fs::write(&oldest, &journal).unwrap();
    let refusal = open(EngineKind::Fjall, &folder).err().expect("the book must be refused").to_string();
    assert!(refusal.contains("space_0@1 ends with the key 00"), "{refusal}");
}
