//! The book: what the core decides, kept on a storage engine.
//!
//! [`Book`] is the applier's side: it decodes committed entries, has the core apply them to its cache of hot records, writes all changes in one atomic
//! batch together with `last_applied`, and returns the answers. [`view::BookView`] is the readers' side: one consistent moment, whose index is read
//! from the same view. [`transfer`] moves a whole book between replicas. [`records`] has one file per stored record.
//!
//! This module never decides anything about money; it must never show a reader what the cache knows and the view does not.

mod applier;
mod cache;
pub mod directory;
#[cfg(test)]
mod format;
pub mod records;
pub mod transfer;
pub mod view;
mod writer;

pub use applier::{Committed, Payload};

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::store::{Engine, SpaceId, StoreError};
use cache::Cache;
use directory::Directory;
use records::{Kind, Spaces, meta::Meta};
use view::BookView;

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

/// How much may be written before the book is synced, which bounds what the log must replay after a crash.
const SYNC_EVERY_BYTES: usize = 16 * 1024 * 1024;

/// The applier's state: one thread at a time.
struct Hot {
    cache: Cache,
    meta: Meta,
    spaces: Spaces,
    unsynced_bytes: usize,
}

/// The book of one replica.
pub struct Book {
    engine: Arc<dyn Engine>,
    hot: Mutex<Hot>,
    directory: Arc<RwLock<Directory>>,
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
        let hot = Hot { cache: Cache::default(), meta, spaces, unsynced_bytes: 0 };
        let book = Book { engine, hot: Mutex::new(hot), directory, local_clock_expiry: None };
        book.reload()?;
        Ok(book)
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

    /// Fills the cache and the directory from the engine.
    fn reload(&self) -> BookResult<()> {
        let view = self.view()?;
        let mut hot = self.hot();
        let (cache, directory) = cache::load(&view)?;
        hot.cache = cache;
        *self.directory.write().unwrap_or_else(PoisonError::into_inner) = directory;
        Ok(())
    }

    /// A consistent view of the book, for readers.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn view(&self) -> BookResult<BookView> {
        BookView::open(self.engine.as_ref(), Arc::clone(&self.directory))
    }

    /// The names of accounts and assets, for whoever resolves them before proposing.
    pub fn directory(&self) -> Arc<RwLock<Directory>> {
        Arc::clone(&self.directory)
    }

    /// The book's meta record: what it has applied and where it stands.
    pub fn meta(&self) -> Meta {
        self.hot().meta.clone()
    }

    /// When the first hold expires, if any will.
    pub fn earliest_deadline(&self) -> Option<ledger::LogTime> {
        self.hot().cache.earliest_deadline()
    }

    /// The engine's name.
    pub fn engine_name(&self) -> &'static str {
        self.engine.kind().name()
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
