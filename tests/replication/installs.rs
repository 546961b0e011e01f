//! Installing a snapshot is all or nothing, wherever the process ends.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use folio::book::records::meta::Meta;
use folio::book::transfer::Source;
use folio::book::{Book, BookError, Committed, Payload};
use folio::store::memory::MemoryEngine;
use folio::store::{self, Engine, EngineKind};
use ledger::{Command, EntryWriter, LogTime};

use crate::commands::{cent, cents, opening, request};
use crate::harness::opened;
use crate::wrapped::{Before, Change, Wrapped};

/// How many cents the books hold that are installed, and installed over.
const NEW_CENTS: u64 = 60;
const OLD_CENTS: u64 = 20;

fn apply(book: &Book, index: u64, commands: &[Command]) {
    let mut writer = EntryWriter::new(0);
    for command in commands {
        writer.push(&ledger::entry::encode_command(command).unwrap(), 1);
    }
    let bytes = writer.finish(LogTime(index * 1_000));
    book.apply(Committed { index, log_id: index.to_be_bytes().to_vec(), payload: Payload::Commands(&bytes) }).unwrap();
}

/// A book with so many cents, one an entry.
fn fill(book: &Book, from: u64, to: u64) {
    if from == 1 {
        apply(book, 1, &opening());
    }
    for number in from..=to {
        apply(book, number + 1, &[cent(number)]);
    }
}

fn source() -> Book {
    let source = Book::open(Arc::new(MemoryEngine::new())).unwrap();
    fill(&source, 1, NEW_CENTS);
    source
}

fn install(target: &Arc<Book>, source: &Book) -> Result<(), BookError> {
    let view = Arc::new(source.view());
    let meta = view.meta().clone();
    let mut chunks = Source::new(view);
    let mut sink = target.install()?;
    while let Some(chunk) = chunks.next_chunk()? {
        sink.push(&chunk)?;
    }
    sink.finish(meta)
}

fn same_book(meta: &Meta, other: &Meta) -> bool {
    (meta.index, &meta.applied, meta.head, meta.state_hash)
        == (other.index, &other.applied, other.head, other.state_hash)
}

/// An engine on disk or in memory that can be opened again and again.
enum Place<'p> {
    Folder(EngineKind, &'p Path),
    Memory(Arc<MemoryEngine>),
}

impl Place<'_> {
    fn engine(&self) -> Arc<dyn Engine> {
        match self {
            Place::Folder(kind, path) => opened(|| store::open(*kind, path)).unwrap(),
            Place::Memory(engine) => Arc::<MemoryEngine>::clone(engine),
        }
    }

    /// What is left when the process, or the power, ends.
    fn end(&mut self, is_power_cut: bool) {
        match self {
            Place::Folder(_, _) => {}
            Place::Memory(engine) => *engine = Arc::new(if is_power_cut { engine.crash(0) } else { engine.reopen() }),
        }
    }
}

/// A book that is about to be installed over, on an engine that fails after a number of changes.
fn failing(place: &Place<'_>, after: u64) -> (Arc<Book>, Arc<Wrapped>) {
    let before = Before::Fail { after: AtomicU64::new(u64::MAX), made: Mutex::default() };
    let engine = Arc::new(Wrapped { inner: place.engine(), before });
    let book = Arc::new(Book::open(Arc::<Wrapped>::clone(&engine)).unwrap());
    let Before::Fail { after: left, made } = &engine.before else { unreachable!() };
    made.lock().unwrap().clear();
    left.store(after, Ordering::Relaxed);
    (book, engine)
}

/// The changes that an installation makes, in order.
fn changes_of_an_installation(source: &Book) -> Vec<Change> {
    let place = Place::Memory(Arc::default());
    fill(&Book::open(place.engine()).unwrap(), 1, OLD_CENTS);
    let (book, engine) = failing(&place, u64::MAX);
    install(&book, source).unwrap();
    let Before::Fail { made, .. } = &engine.before else { unreachable!() };
    made.lock().unwrap().clone()
}

/// Where to end an installation: at the beginning, at the end, and before and after the first of each run of like changes.
fn boundaries(changes: &[Change]) -> BTreeSet<u64> {
    let mut ends = BTreeSet::from([0, changes.len()]);
    for (number, pair) in changes.windows(2).enumerate() {
        if pair[0] != pair[1] {
            ends.extend([number + 1, number + 2]);
        }
    }
    ends.into_iter().map(|end| end as u64).collect()
}

/// Ends installations after some of their changes, and gives how often the old book was found and how often the new one.
fn interrupt(mut place: Place<'_>, source: &Book, ends: &BTreeSet<u64>, is_power_cut: bool) -> (u64, u64) {
    let new = source.meta();
    let old = {
        let book = Book::open(place.engine()).unwrap();
        fill(&book, 1, OLD_CENTS);
        book.sync().unwrap();
        book.meta()
    };
    let (mut found_old, mut found_new) = (0, 0);
    for after in ends {
        let (book, engine) = failing(&place, *after);
        let result = install(&book, source);
        drop((book, engine));
        place.end(is_power_cut);

        let book = Book::open(place.engine()).unwrap();
        let view = book.view();
        if same_book(view.meta(), &old) {
            found_old += 1;
            assert_eq!(cents(&view), u128::from(OLD_CENTS));
            assert!(view.request(&request(OLD_CENTS + 1)).unwrap().is_none());
            assert!(result.is_err(), "the old book is found after a whole installation");
        } else {
            found_new += 1;
            assert!(same_book(view.meta(), &new), "neither the old nor the new book, after {after} changes");
            assert_eq!(view.meta().installed_index, new.index);
            assert_eq!(cents(&view), u128::from(NEW_CENTS));
            assert!((1..=NEW_CENTS).all(|number| view.request(&request(number)).unwrap().is_some()));
        }
    }
    // And it goes on from there as the source does.
    let book = Book::open(place.engine()).unwrap();
    fill(&book, NEW_CENTS + 1, NEW_CENTS + 10);
    fill(source, NEW_CENTS + 1, NEW_CENTS + 10);
    assert!(same_book(&book.meta(), &source.meta()));
    (found_old, found_new)
}

#[test]
fn an_installation_cut_off_anywhere_leaves_the_old_book_or_the_new_in_memory() {
    for is_power_cut in [false, true] {
        let source = source();
        let everywhere = (0..=changes_of_an_installation(&source).len() as u64).collect();
        let (old, new) = interrupt(Place::Memory(Arc::default()), &source, &everywhere, is_power_cut);
        assert!(old > 10 && new > 1, "{old} old, {new} new: the interruptions missed");
    }
}

fn on_disk(kind: EngineKind) {
    let folder = tempfile::tempdir().unwrap();
    let source = source();
    let ends = boundaries(&changes_of_an_installation(&source));
    let (old, new) = interrupt(Place::Folder(kind, folder.path()), &source, &ends, false);
    assert!(old > 3 && new > 1, "{old} old, {new} new: the interruptions missed");
}

#[test]
fn an_installation_cut_off_anywhere_leaves_the_old_book_or_the_new_on_fjall() {
    on_disk(EngineKind::Fjall);
}

#[test]
fn an_installation_cut_off_anywhere_leaves_the_old_book_or_the_new_on_sled() {
    on_disk(EngineKind::Sled);
}
