//! Installing a snapshot is all or nothing, wherever the process ends.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use folio::book::records::meta::Meta;
use folio::book::transfer::Source;
use folio::book::{Book, BookError, Committed, Payload};
use folio::store::memory::MemoryEngine;
use folio::store::{self, Engine, EngineKind};
use ledger::{Command, EntryWriter, LogTime};

use crate::commands::{cent, cents, opening, request};
use crate::harness::opened;
use crate::wrapped::{Before, Wrapped};

/// More changes than an installation makes.
const MAX_CHANGES: u64 = 200;

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

fn install(target: &Arc<Book>, source: &Book) -> Result<(), BookError> {
    let view = Arc::new(source.view()?);
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

/// Ends an installation after each of its changes in turn, and gives how often the old book was found and how often the new one.
fn interrupt_everywhere(mut place: Place<'_>, is_power_cut: bool) -> (u64, u64) {
    let source = Book::open(Arc::new(MemoryEngine::new())).unwrap();
    fill(&source, 1, 60);
    let new = source.meta();
    let old = {
        let book = Book::open(place.engine()).unwrap();
        fill(&book, 1, 20);
        book.sync().unwrap();
        book.meta()
    };
    let (mut found_old, mut found_new) = (0, 0);
    for after in 0..MAX_CHANGES {
        let failing = Wrapped { inner: place.engine(), before: Before::Fail { after: AtomicU64::new(u64::MAX) } };
        let failing = Arc::new(failing);
        let book = Arc::new(Book::open(Arc::<Wrapped>::clone(&failing)).unwrap());
        let Before::Fail { after: changes } = &failing.before else { unreachable!() };
        changes.store(after, Ordering::Relaxed);
        let result = install(&book, &source);
        drop((book, failing));
        place.end(is_power_cut);

        let book = Book::open(place.engine()).unwrap();
        let view = book.view().unwrap();
        if same_book(view.meta(), &old) {
            found_old += 1;
            assert_eq!(cents(&view), 20);
            assert!(view.request(&request(21)).unwrap().is_none());
            assert!(result.is_err(), "the old book is found after a whole installation");
        } else {
            found_new += 1;
            assert!(same_book(view.meta(), &new), "neither the old nor the new book, after {after} changes");
            assert_eq!(view.meta().installed_index, new.index);
            assert_eq!(cents(&view), 60);
            assert!((1..=60).all(|number| view.request(&request(number)).unwrap().is_some()));
            // And it goes on from there as the source does.
            drop(view);
            if result.is_ok() {
                fill(&book, 61, 70);
                fill(&source, 61, 70);
                assert!(same_book(&book.meta(), &source.meta()));
                return (found_old, found_new);
            }
        }
    }
    panic!("an installation makes more than {MAX_CHANGES} changes");
}

fn check(place: Place<'_>, is_power_cut: bool) {
    let (old, new) = interrupt_everywhere(place, is_power_cut);
    println!("{old} interruptions left the old book, {new} the new one");
    assert!(old > 5 && new > 1, "{old} old, {new} new: the interruptions missed");
}

#[test]
fn an_installation_cut_off_anywhere_leaves_the_old_book_or_the_new_in_memory() {
    for is_power_cut in [false, true] {
        check(Place::Memory(Arc::default()), is_power_cut);
    }
}

#[test]
fn an_installation_cut_off_anywhere_leaves_the_old_book_or_the_new_on_fjall() {
    let folder = tempfile::tempdir().unwrap();
    check(Place::Folder(EngineKind::Fjall, folder.path()), false);
}

#[test]
fn an_installation_cut_off_anywhere_leaves_the_old_book_or_the_new_on_sled() {
    let folder = tempfile::tempdir().unwrap();
    check(Place::Folder(EngineKind::Sled, folder.path()), false);
}
