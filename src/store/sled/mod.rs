//! The second engine: sled 0.34, kept as the engine that the project was first sketched with.
//!
//! One tree holds all: each key begins with the number of its space, so that one `apply_batch` is
//! atomic over spaces; number zero is the catalogue. sled's own flush does not reach the disk, so the
//! adapter syncs sled's file itself, and then notes outside sled how many writes must be there: an
//! open that finds fewer is refused, never served. sled has no snapshots, so views remember what was
//! overwritten while they are open, within a bound (see [`views`]). The adapter must never
//! acknowledge a sync before sled's file and the note are both on the disk.

mod catalogue;
mod views;

use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, PoisonError, RwLockWriteGuard},
};

use ::sled::IVec;

use self::{
    catalogue::{Catalogue, Dropping},
    views::{Shared, SledView, State, stored_key},
};
use super::{
    Batch, BatchOperation, Engine, EngineKind, Pairs, Space, SpaceId, StoreError, View,
    batch::check_pair,
    checksum::SealKey,
    folder::{Contents, Folder, FolderState, sync_folder},
    note::WriteNote,
    spaces::SpaceTable,
};

pub use views::MAX_REMEMBERED_BYTES;

/// Memory that sled may use for its cache of pages, in bytes.
const CACHE_BYTES: u64 = 64 << 20;
/// Pairs of a bulk load that go into one batch.
const LOAD_CHUNK: usize = 4096;
/// Keys of dropped spaces that are removed along with one write.
const RECLAIM_CHUNK: usize = 4096;

/// A book in a sled tree.
pub struct SledEngine {
    // Declared in this order because fields are dropped in it: the lock of the folder goes last.
    shared: Arc<Shared>,
    file: File,
    folder: Folder,
}

/// Whether a change must stay invisible to the views that are open.
#[derive(Clone, Copy)]
enum Remember {
    Before,
    Nothing,
}

impl SledEngine {
    /// Opens the book in `path`, or creates it where the folder is empty.
    ///
    /// # Errors
    /// See [`Folder::open`]; also [`StoreError::Damaged`] where sled cannot read its own file back, or
    /// lacks writes that had been synced.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut folder = Folder::open(path, Contents::Book, EngineKind::Sled.name())?;
        let data = folder.data();
        match folder.state() {
            FolderState::Ready if !data.join("db").is_file() => {
                return Err(folder.damaged("the engine's file db is missing".to_owned()));
            }
            FolderState::Ready | FolderState::Creating => {}
        }
        remove_unfinished_snapshots(&data)?;
        let tree = open_tree(&folder)?;
        let failed = |error| StoreError::from_io("open the file", &data, error);
        let file = File::open(data.join("db")).map_err(failed)?;
        let catalogue = Catalogue::read(&tree, &folder)?;
        let note = match folder.state() {
            FolderState::Creating => WriteNote::create(folder.path())?,
            FolderState::Ready => WriteNote::open(folder.path())?,
        };
        if catalogue.writes < note.writes() {
            let (synced, found) = (note.writes(), catalogue.writes);
            return Err(folder.damaged(format!("{synced} writes were synced, the engine brought back only {found}")));
        }
        let mut table = SpaceTable::new();
        for (id, number) in &catalogue.live {
            table.insert(id.clone(), *number);
        }
        let state = State::new(table, catalogue, note);
        let shared = Arc::new(Shared::new(tree, data.clone(), state));
        // What this open brought back may still be in the operating system's cache alone.
        sync_state(&shared, &file, &mut shared.write())?;
        sync_folder(&data)?;
        folder.mark_ready()?;
        Ok(Self { shared, file, folder })
    }

    fn writing(&self) -> Result<RwLockWriteGuard<'_, State>, StoreError> {
        let state = self.shared.state.write().unwrap_or_else(PoisonError::into_inner);
        match &state.failure {
            None => Ok(state),
            Some(detail) => Err(StoreError::Stopped { path: self.folder.data(), detail: detail.clone() }),
        }
    }

    /// Applies changes as one write, numbered in the same batch, and remembers for open views what
    /// they replace.
    fn apply(
        &self,
        state: &mut State,
        changes: Vec<(IVec, Option<IVec>)>,
        remember: Remember,
    ) -> Result<(), StoreError> {
        let version = state.version + 1;
        let writes = state.catalogue.writes + 1;
        let mut batch = ::sled::Batch::default();
        for (key, value) in changes {
            match remember {
                Remember::Before => state.remember(&self.shared, &key, version)?,
                Remember::Nothing => {}
            }
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        let (key, value) = catalogue::writes_record(writes);
        batch.insert(key, value);
        self.shared.tree.apply_batch(batch).map_err(|error| {
            state.failure = Some(format!("a write failed: {error}"));
            self.shared.failed("write a batch", error)
        })?;
        state.version = version;
        state.catalogue.writes = writes;
        Ok(())
    }

    /// Removes some of what dropped spaces have left, once no view can still read it.
    fn reclaim(&self, state: &mut State) -> Result<(), StoreError> {
        let Some(dropping) = state.catalogue.dropping.first() else { return Ok(()) };
        if state.oldest_view().is_some_and(|oldest| oldest <= dropping.version) {
            return Ok(());
        }
        let number = dropping.number;
        let mut changes = Vec::new();
        for pair in self.shared.tree.scan_prefix(number.to_be_bytes()).keys().take(RECLAIM_CHUNK) {
            changes.push((pair.map_err(|error| self.shared.failed("list a dropped space", error))?, None));
        }
        let last = changes.len() < RECLAIM_CHUNK;
        if last {
            changes.push((catalogue::space_key(number), None));
        }
        self.apply(state, changes, Remember::Nothing)?;
        if last {
            state.catalogue.dropping.remove(0);
        }
        Ok(())
    }

    fn enter_space(&self, state: &mut State, id: &SpaceId) -> Result<u32, StoreError> {
        id.check_name()?;
        if state.table.find(id).is_some() {
            return Err(StoreError::SpaceExists { space: id.to_string() });
        }
        let number = state.catalogue.next_number;
        let record = catalogue::space_record(id, number, catalogue::Condition::Live);
        self.apply(state, vec![(catalogue::space_key(number), Some(record))], Remember::Nothing)?;
        state.catalogue.next_number = number.saturating_add(1);
        Ok(number)
    }

    fn leave_space(&self, state: &mut State, id: &SpaceId, number: u32) -> Result<(), StoreError> {
        let record = catalogue::space_record(id, number, catalogue::Condition::Dropping);
        self.apply(state, vec![(catalogue::space_key(number), Some(record))], Remember::Nothing)?;
        let version = state.version;
        state.catalogue.dropping.push(Dropping { number, version });
        Ok(())
    }

    fn fill(&self, id: &SpaceId, number: u32, pairs: Pairs<'_>) -> Result<(), StoreError> {
        let seal = SealKey::of(id);
        let mut last: Option<Vec<u8>> = None;
        let mut changes = Vec::with_capacity(LOAD_CHUNK);
        for pair in pairs {
            let (key, mut value) = pair?;
            check_pair(&key, &value)?;
            if last.as_ref().is_some_and(|last| *last >= key) {
                return Err(StoreError::IngestOrder { space: id.to_string(), key });
            }
            value.extend_from_slice(&seal.seal(&key, &value));
            changes.push((stored_key(number, &key), Some(IVec::from(value))));
            last = Some(key);
            if changes.len() == LOAD_CHUNK {
                let full = std::mem::replace(&mut changes, Vec::with_capacity(LOAD_CHUNK));
                self.apply(&mut *self.writing()?, full, Remember::Nothing)?;
            }
        }
        self.apply(&mut *self.writing()?, changes, Remember::Nothing)?;
        self.sync()
    }
}

/// sled writes a snapshot of its page table whenever it opens: under a name that ends so, and
/// renames it when it is whole and synced.
const UNFINISHED: &str = ".generating";

/// Removes snapshots that sled did not finish, because the disk was full or the process ended. sled
/// takes the newest file for its snapshot, finished or not, and would refuse the intact data under
/// it; without it, sled goes on from the snapshot before, or reads all of its file. The one before
/// goes only once the new one has its final name.
fn remove_unfinished_snapshots(data: &Path) -> Result<(), StoreError> {
    let listed = |error| StoreError::from_io("list the folder", data, error);
    for entry in std::fs::read_dir(data).map_err(listed)? {
        let entry = entry.map_err(listed)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(UNFINISHED) {
            let path = entry.path();
            std::fs::remove_file(&path).map_err(|error| StoreError::from_io("remove the file", &path, error))?;
            tracing::warn!(file = %path.display(), "removed a snapshot of sled's page table that it had not finished");
        }
    }
    Ok(())
}

fn open_tree(folder: &Folder) -> Result<::sled::Db, StoreError> {
    let data = folder.data();
    let open = || ::sled::Config::new().path(&data).cache_capacity(CACHE_BYTES).flush_every_ms(None).open();
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(Ok(tree)) => Ok(tree),
        Ok(Err(::sled::Error::Io(error))) => Err(StoreError::from_io("open the engine", &data, error)),
        Ok(Err(error)) => Err(folder.damaged(format!("the engine refused it: {error}"))),
        Err(_) => Err(folder.damaged("the engine panicked while reading it".to_owned())),
    }
}

/// sled's flush writes its buffers out, the sync makes them durable, and only then does the note say
/// that they must be there.
fn sync_state(shared: &Shared, file: &File, state: &mut State) -> Result<(), StoreError> {
    let synced = shared
        .tree
        .flush()
        .map_err(|error| shared.failed("flush the engine", error))
        .and_then(|_| file.sync_all().map_err(|error| StoreError::from_io("sync the file db", &shared.data, error)))
        .and_then(|()| state.note.record_durably(state.catalogue.writes));
    synced.inspect_err(|error| state.failure = Some(format!("a sync failed: {error}")))
}

impl Engine for SledEngine {
    fn kind(&self) -> EngineKind {
        EngineKind::Sled
    }

    fn create_space(&self, id: &SpaceId) -> Result<Space, StoreError> {
        let mut state = self.writing()?;
        let number = self.enter_space(&mut state, id)?;
        Ok(state.table.insert(id.clone(), number))
    }

    fn space(&self, id: &SpaceId) -> Option<Space> {
        self.shared.read().table.find(id)
    }

    fn spaces(&self) -> Vec<SpaceId> {
        self.shared.read().table.ids()
    }

    fn drop_space(&self, id: &SpaceId) -> Result<(), StoreError> {
        let mut state = self.writing()?;
        let unknown = || StoreError::UnknownSpace { space: id.to_string() };
        let space = state.table.find(id).ok_or_else(unknown)?;
        let number = *state.table.get(space)?;
        sync_state(&self.shared, &self.file, &mut state)?;
        self.leave_space(&mut state, id, number)?;
        state.table.remove(id);
        Ok(())
    }

    fn ingest(&self, id: &SpaceId, pairs: Pairs<'_>) -> Result<Space, StoreError> {
        let number = self.enter_space(&mut *self.writing()?, id)?;
        match self.fill(id, number, pairs) {
            Ok(()) => Ok(self.writing()?.table.insert(id.clone(), number)),
            Err(cause) => {
                let left = self.writing().and_then(|mut state| self.leave_space(&mut state, id, number));
                if let Err(error) = left {
                    tracing::warn!(space = %id, %error, "could not remove a space whose loading failed");
                }
                Err(cause)
            }
        }
    }

    fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut state = self.writing()?;
        let mut changes = Vec::with_capacity(batch.len());
        for operation in batch.operations()? {
            changes.push(match operation {
                BatchOperation::Put { space, key, sealed } => {
                    (stored_key(*state.table.get(space)?, key), Some(IVec::from(sealed)))
                }
                BatchOperation::Delete { space, key } => (stored_key(*state.table.get(space)?, key), None),
            });
        }
        self.apply(&mut state, changes, Remember::Before)?;
        self.reclaim(&mut state)
    }

    fn sync(&self) -> Result<(), StoreError> {
        sync_state(&self.shared, &self.file, &mut *self.writing()?)
    }

    fn view(&self) -> Result<Arc<dyn View>, StoreError> {
        let mut state = self.writing()?;
        Ok(Arc::new(SledView::open(&self.shared, &mut state)))
    }
}
