//! The book: what the core decides, kept on a storage engine.
//!
//! [`Book`] is the applier's side: it decodes committed entries, has the core apply them to its cache of hot records, writes all changes in one atomic
//! batch together with `last_applied`, and returns the answers. [`view::BookView`] is the readers' side: one consistent moment, whose index is read
//! from the same view. [`transfer`] moves a whole book between replicas. [`records`] has one file per stored record.
//!
//! This module never decides anything about money; it must never show a reader what the cache knows and the view does not.

mod accounts;
mod applier;
mod blocks;
pub mod directory;
#[cfg(test)]
mod format;
mod holds;
mod index;
pub mod records;
mod replay;
#[cfg(test)]
mod tests;
pub mod transfer;
pub mod view;
mod writer;

pub use applier::{Committed, Payload};

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use ledger::{Changes, JournalRecord};

use crate::store::{Batch, Engine, SpaceId, StoreError, View};
use accounts::{Accounts, Pages};
use directory::Directory;
use holds::Holds;
use index::{Covered, Index, IndexKind};
use records::kept::KeptRecord;
use records::{Kind, Spaces, meta::Meta};
use view::{BookView, Inner};

/// Why the book cannot go on. The process must stop and serve nothing.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The engine failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored record does not decode.
    #[error("a stored {what} does not decode; the book is damaged or was written by another release")]
    Malformed {
        /// Which record.
        what: &'static str,
    },
    /// A committed entry does not decode, or follows rules unknown here.
    #[error("log entry {index} cannot be applied: {detail}")]
    Entry {
        /// Its index.
        index: u64,
        /// Why.
        detail: String,
    },
    /// An invariant is broken: a bug in us.
    #[error("at log entry {index}: {detail}")]
    Broken {
        /// The entry's index.
        index: u64,
        /// Which invariant, where and with which values.
        detail: String,
    },
    /// A snapshot that is being installed is not what its sender announced.
    #[error("the snapshot is not usable: {0}")]
    Snapshot(String),
}

/// The result of an operation on the book.
pub type BookResult<T> = Result<T, BookError>;

/// How much is kept in memory or put off.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// How many bytes may be written before the book is synced, which bounds what the log must replay after a crash.
    unsynced_bytes: usize,
    /// The largest batch whose buffers are kept for the next.
    batch_bytes: usize,
    /// Entries that an index of ids or references keeps in memory.
    tail_ids: usize,
    /// Entries that the index of postings keeps in memory.
    tail_postings: usize,
    /// The fewest journal records in which all pages of accounts come up once.
    cycle_records: u64,
}

const BOUNDS: Bounds = Bounds {
    unsynced_bytes: 32 * 1024 * 1024,
    batch_bytes: 8 * 1024 * 1024,
    tail_ids: 65_536,
    tail_postings: 131_072,
    cycle_records: 65_536,
};
/// More than an entry that is applied at once can write.
const QUICK_BYTES: usize = 4 * 1024 * 1024;

/// The indexes into the history.
#[derive(Debug)]
struct Indexes {
    ids: Index<16>,
    references: Index<16>,
    postings: Index<4>,
}

impl Indexes {
    fn open(view: &dyn View, spaces: &Spaces, bounds: &Bounds) -> BookResult<Indexes> {
        let kind = |kind, has_filters, tail_entries| IndexKind { kind, has_filters, tail_entries };
        Ok(Indexes {
            // A new request's id is asked for and not there; references and accounts are asked for when they are.
            ids: Index::open(kind(Kind::Ids, true, bounds.tail_ids), view, spaces)?,
            references: Index::open(kind(Kind::References, false, bounds.tail_ids), view, spaces)?,
            postings: Index::open(kind(Kind::Postings, false, bounds.tail_postings), view, spaces)?,
        })
    }

    /// Adds what an entry recorded, and does the upkeep that falls due with it.
    fn add(
        &mut self,
        view: &BookView,
        spaces: &Spaces,
        journal: &[JournalRecord],
        kept: (u64, &[KeptRecord]),
        meta: &Meta,
        batch: &mut Batch,
    ) -> BookResult<()> {
        let (first_kept, kept) = kept;
        let kept_entries = (first_kept..).zip(kept).map(|(number, kept)| replay::kept_entry(kept, number));
        self.ids.extend(journal.iter().flat_map(replay::id_entries).chain(kept_entries));
        self.references.extend(journal.iter().flat_map(replay::reference_entries));
        self.postings.extend(journal.iter().flat_map(replay::posting_entries));
        let covers = Covered { sequence: meta.head.sequence.0, kept: meta.kept };
        let (view, added) = (view.engine_view(), journal.len() + kept.len());
        self.ids.maintain(view, spaces, added, covers, batch)?;
        self.references.maintain(view, spaces, added, covers, batch)?;
        self.postings.maintain(view, spaces, added * 2, covers, batch)
    }
}

/// The applier's state: one thread at a time.
struct Hot {
    accounts: Arc<Accounts>,
    pages: Pages,
    holds: Holds,
    indexes: Indexes,
    meta: Meta,
    spaces: Spaces,
    bounds: Bounds,
    unsynced_bytes: usize,
    /// What was written last. Readers do not see it before the entry is applied whole.
    view: BookView,
    /// The batch before, for its buffers.
    batch: Batch,
    /// The changes of the last large entry, emptied, for their room.
    room: Changes,
}

/// The book of one replica.
pub struct Book {
    engine: Arc<dyn Engine>,
    hot: Mutex<Hot>,
    /// The view that shows the last entry that was applied whole.
    published: RwLock<BookView>,
    directory: Arc<RwLock<Directory>>,
    #[cfg(feature = "seeded-bugs")]
    local_clock_expiry: Option<fn() -> u64>,
}

impl std::fmt::Debug for Book {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Book").field("engine", &self.engine.kind()).finish_non_exhaustive()
    }
}

impl Book {
    /// Opens the book that an engine holds, or begins an empty one, and drops what an interrupted installation left.
    ///
    /// # Errors
    /// When the engine fails or what it holds does not decode.
    pub fn open(engine: Arc<dyn Engine>) -> BookResult<Book> {
        Book::open_with(engine, BOUNDS)
    }

    fn open_with(engine: Arc<dyn Engine>, bounds: Bounds) -> BookResult<Book> {
        let meta_space = match engine.space(&Kind::Meta.id(0)) {
            Some(space) => space,
            None => engine.create_space(&Kind::Meta.id(0))?,
        };
        let stored = engine.view()?.get(meta_space, records::meta::KEY)?;
        let meta = match stored {
            Some(bytes) => records::meta::decode(&bytes)?,
            None => Meta::default(),
        };
        drop_other_generations(engine.as_ref(), meta.generation)?;
        let spaces = Spaces::open(engine.as_ref(), meta.generation)?;
        let directory = Arc::new(RwLock::new(Directory::default()));
        let hot = load(engine.as_ref(), &directory, meta, spaces, bounds)?;
        let published = RwLock::new(hot.view.clone());
        Ok(Book {
            engine,
            hot: Mutex::new(hot),
            published,
            directory,
            #[cfg(feature = "seeded-bugs")]
            local_clock_expiry: None,
        })
    }

    /// Seeds the bug `expiry-by-local-clock`: entries are stamped anew by each replica's own clock.
    #[cfg(feature = "seeded-bugs")]
    pub fn expire_by_local_clock(&mut self, clock: fn() -> u64) {
        self.local_clock_expiry = Some(clock);
    }

    fn hot(&self) -> std::sync::MutexGuard<'_, Hot> {
        // A panic in the applier ends the process, so a poisoned lock is never used on.
        self.hot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads what a newly installed snapshot holds, and shows it.
    fn reload(&self, hot: &mut Hot, meta: Meta, spaces: Spaces) -> BookResult<()> {
        *hot = load(self.engine.as_ref(), &self.directory, meta, spaces, hot.bounds)?;
        self.show(hot);
        Ok(())
    }

    /// Shows what was written last to all readers.
    fn show(&self, hot: &Hot) {
        let view = hot.view.clone();
        let before = std::mem::replace(&mut *self.published.write().unwrap_or_else(PoisonError::into_inner), view);
        // Outside the lock, for it may be the last to hold what it shows.
        drop(before);
    }

    /// A consistent view of the book, for readers: what was last applied.
    pub fn view(&self) -> BookView {
        self.published.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The names of accounts and assets, for whoever resolves them before proposing.
    pub fn directory(&self) -> Arc<RwLock<Directory>> {
        Arc::clone(&self.directory)
    }

    /// The book's meta record: what it has applied and where it stands.
    pub fn meta(&self) -> Meta {
        self.published.read().unwrap_or_else(PoisonError::into_inner).meta().clone()
    }

    /// The engine's name.
    pub fn engine_name(&self) -> &'static str {
        self.engine.kind().name()
    }

    /// Whether an entry can be applied at once: nothing else is being done to the book, and no sync falls due.
    pub fn is_quick(&self) -> bool {
        match self.hot.try_lock() {
            Ok(hot) => hot.unsynced_bytes + QUICK_BYTES < hot.bounds.unsynced_bytes,
            Err(_) => false,
        }
    }

    /// Returns when everything applied so far survives a power cut.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&self) -> BookResult<()> {
        let mut hot = self.hot();
        self.engine.sync()?;
        hot.unsynced_bytes = 0;
        Ok(())
    }
}

/// Loads a book.
fn load(
    engine: &dyn Engine,
    directory: &Arc<RwLock<Directory>>,
    meta: Meta,
    spaces: Spaces,
    bounds: Bounds,
) -> BookResult<Hot> {
    let stored = engine.view()?;
    let indexes = Indexes::open(stored.as_ref(), &spaces, &bounds)?;
    let unread = BookView::new(Inner {
        view: stored,
        spaces,
        meta: meta.clone(),
        directory: Arc::clone(directory),
        accounts: Arc::default(),
        earliest_deadline: None,
        ids: indexes.ids.view(&spaces),
        references: indexes.references.view(&spaces),
        postings: indexes.postings.view(&spaces),
    });
    let loaded = replay::load(&unread, &indexes, &bounds)?;
    let replay::Loaded { accounts, pages, holds, directory: names } = loaded;
    *directory.write().unwrap_or_else(PoisonError::into_inner) = names;
    let mut hot = Hot {
        accounts,
        pages,
        holds,
        indexes,
        meta,
        spaces,
        bounds,
        unsynced_bytes: 0,
        view: unread,
        batch: Batch::new(),
        room: Changes::default(),
    };
    hot.view = view_of(engine, directory, &hot)?;
    Ok(hot)
}

fn view_of(engine: &dyn Engine, directory: &Arc<RwLock<Directory>>, hot: &Hot) -> BookResult<BookView> {
    Ok(BookView::new(Inner {
        view: engine.view()?,
        spaces: hot.spaces,
        meta: hot.meta.clone(),
        directory: Arc::clone(directory),
        accounts: Arc::clone(&hot.accounts),
        earliest_deadline: hot.holds.earliest_deadline(),
        ids: hot.indexes.ids.view(&hot.spaces),
        references: hot.indexes.references.view(&hot.spaces),
        postings: hot.indexes.postings.view(&hot.spaces),
    }))
}

/// Drops spaces of other generations: a snapshot that was not finished, or the book that a finished one replaced.
fn drop_other_generations(engine: &dyn Engine, generation: u64) -> BookResult<()> {
    for id in engine.spaces() {
        if id.name() != Kind::Meta.name() && id.generation() != generation {
            engine.drop_space(&id)?;
        }
    }
    Ok(())
}

impl Kind {
    /// The space of this kind in a generation.
    pub(crate) fn id(self, generation: u64) -> SpaceId {
        SpaceId::new(self.name(), generation)
    }
}
