//! The default engine: fjall, a log-structured store with snapshots over all its keyspaces.
//!
//! One keyspace per space. Reads go through a fjall snapshot only, since its plain reads see half-written
//! batches; a bulk load fills a fresh keyspace only, since fjall forgets what was ingested after a clear;
//! every bound that fjall has is set, since its defaults are made for a machine of its own. fjall
//! cuts its journal off at the first thing that it cannot decode and says nothing, which leaves spaces that
//! had been written out newer than the others. So every batch leaves its number in each space that it
//! touches and in one list of them all, and an open where they disagree, or where the list is behind
//! what was synced, is refused (see [`marks`](super::marks)).

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use ::fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, LsmError, OwnedWriteBatch, PersistMode, Readable,
    Slice, Snapshot,
    compaction::Leveled,
    config::{
        BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry, PartitioningPolicy, PinningPolicy,
    },
};

use super::{
    Batch, BatchOperation, Direction, Engine, EngineKind, KeyRange, Pairs, RESERVED_KEY, Scan, Space, SpaceId,
    StoreError, StoredBytes, View,
    batch::check_pair,
    checksum::SealKey,
    folder::{Contents, Folder, FolderState},
    marks::{Found, Marks, decode_mark, encode_mark},
    note::WriteNote,
    spaces::SpaceTable,
};

/// What fjall may use. All sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FjallBounds {
    /// Cache of blocks read back from tables.
    pub cache_bytes: u64,
    /// Size at which the memtable of a space is written out to a table.
    pub memtable_bytes: u64,
    /// All journals together; fjall's least is 64 MiB.
    pub journal_bytes: u64,
    /// Threads that flush and compact.
    pub worker_threads: usize,
    /// Table files held open.
    pub open_files: usize,
    /// Names of spaces whose values hardly get smaller: to compress them costs more than it spares.
    pub uncompressed: &'static [&'static str],
}

/// Table files of a book that are held open.
pub const BOOK_OPEN_FILES: usize = 256;
/// Table files of a log that are held open.
pub const LOG_OPEN_FILES: usize = 64;

impl Default for FjallBounds {
    /// Made for three replicas on two cores, each within 400 MiB in all.
    fn default() -> Self {
        Self {
            cache_bytes: 32 << 20,
            memtable_bytes: 10 << 20,
            journal_bytes: 128 << 20,
            // Of two, fjall keeps one free for flushing: as long as the other compacts, it hands the next compaction round and round, at the cost of a core.
            worker_threads: 1,
            open_files: BOOK_OPEN_FILES,
            // Sorted ids, hashes and pointers.
            uncompressed: &["ids", "postings", "references"],
        }
    }
}

impl FjallBounds {
    /// For a log: appended, read back from memory, purged in ranges; it needs little cache.
    pub fn for_log() -> Self {
        Self {
            cache_bytes: 4 << 20,
            memtable_bytes: 10 << 20,
            journal_bytes: 128 << 20,
            worker_threads: 1,
            open_files: LOG_OPEN_FILES,
            uncompressed: &[],
        }
    }
}

/// About the size of a table. Who reads or writes a space waits while the engine installs what it merged, and deletes what that replaces; with larger tables it merges, syncs and deletes more at a time.
const TABLE_BYTES: u64 = 16 << 20;
/// How many tables of a space are written out before they are merged with what is there. With fewer, what is there is written anew more often.
const NEW_TABLES: u8 = 8;

/// The keyspace that lists the marks of all spaces; no space can have this name.
const LIST: &str = "-marks";
const LIST_KEY: &[u8] = b"list";

/// What the writer alone keeps.
struct Writer {
    marks: Marks,
    note: WriteNote,
}

/// A book in a fjall database.
pub struct FjallEngine {
    // Declared in this order because fields are dropped in it: the lock of the folder goes last.
    spaces: RwLock<SpaceTable<Keyspace>>,
    writer: Mutex<Writer>,
    list: Keyspace,
    database: Database,
    bounds: FjallBounds,
    folder: Folder,
}

impl FjallEngine {
    /// Opens the book in `path`, or creates it where the folder is empty.
    ///
    /// # Errors
    /// See [`Folder::open`]; also [`StoreError::Damaged`] where fjall cannot read its own files back.
    pub fn open(path: &Path, bounds: &FjallBounds) -> Result<Self, StoreError> {
        Self::open_folder(Folder::open(path, Contents::Book, EngineKind::Fjall.name())?, bounds)
    }

    /// Opens the Raft log's database in `path`, or creates it where the folder is empty.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_log(path: &Path, bounds: &FjallBounds) -> Result<Self, StoreError> {
        Self::open_folder(Folder::open(path, Contents::Log, EngineKind::Fjall.name())?, bounds)
    }

    fn open_folder(mut folder: Folder, bounds: &FjallBounds) -> Result<Self, StoreError> {
        match folder.state() {
            // Without this file fjall would found an empty database over what is there.
            FolderState::Ready if !folder.data().join("version").is_file() => {
                return Err(folder.damaged("the engine's version file is missing".to_owned()));
            }
            FolderState::Ready | FolderState::Creating => {}
        }
        let headless = match folder.state() {
            FolderState::Ready => check_manifests(&folder)?,
            FolderState::Creating => Vec::new(),
        };
        let database = open_database(&folder, bounds).map_err(|error| match headless.first() {
            // Of a keyspace in use, and that is why.
            Some(manifest) => is_missing(&folder, manifest),
            None => error,
        })?;
        // Those that belonged to nothing are gone now.
        if let Some(manifest) = headless.iter().find(|manifest| manifest.parent().is_none_or(Path::exists)) {
            return Err(is_missing(&folder, manifest));
        }
        let failed = |error| translate("open a space", &folder.data(), error);
        let names: Vec<String> = database.list_keyspace_names().iter().map(|name| name.to_string()).collect();
        if folder.state() == FolderState::Ready && !names.iter().any(|name| name == LIST) {
            return Err(folder.damaged("the list of marks is missing".to_owned()));
        }
        let list = database.keyspace(LIST, || options(bounds, LIST)).map_err(failed)?;
        let mut table = SpaceTable::new();
        for name in names.iter().filter(|name| *name != LIST) {
            let id = SpaceId::parse(name)
                .ok_or_else(|| folder.damaged(format!("it holds a space of the unknown name {name:?}")))?;
            table.insert(id, database.keyspace(name, KeyspaceCreateOptions::default).map_err(failed)?);
        }
        let mut writer = open_writer(&folder, &database, &list, &mut table)?;
        database.persist(PersistMode::SyncAll).map_err(failed)?;
        writer.note.record_durably(writer.marks.writes())?;
        folder.mark_ready()?;
        let bounds = bounds.clone();
        Ok(Self { spaces: RwLock::new(table), writer: Mutex::new(writer), list, database, bounds, folder })
    }

    fn failed(&self, operation: &'static str, error: ::fjall::Error) -> StoreError {
        translate(operation, &self.folder.data(), error)
    }

    fn table(&self) -> SpaceTable<Keyspace> {
        self.spaces.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change_table<R>(&self, change: impl FnOnce(&mut SpaceTable<Keyspace>) -> R) -> R {
        change(&mut self.spaces.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn writing(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_batch(&self, writes: usize) -> OwnedWriteBatch {
        OwnedWriteBatch::with_capacity(self.database.clone(), writes + 16)
            // Handed to the operating system at once: a killed process then loses nothing.
            .durability(Some(PersistMode::Buffer))
    }

    /// The journal first, then the note that it must be there: fjall keeps what it synced through a power cut, so the note need not be synced too.
    fn sync_writer(&self, writer: &mut Writer) -> Result<(), StoreError> {
        self.database.persist(PersistMode::SyncData).map_err(|error| self.failed("sync the journal", error))?;
        writer.note.record(writer.marks.writes())
    }

    fn create_keyspace(&self, id: &SpaceId) -> Result<Keyspace, StoreError> {
        id.check_name()?;
        if self.space(id).is_some() {
            return Err(StoreError::SpaceExists { space: id.to_string() });
        }
        self.database
            .keyspace(&id.to_string(), || options(&self.bounds, id.name()))
            .map_err(|error| self.failed("create a space", error))
    }

    /// Gives the last key, where there is one.
    fn fill(&self, id: &SpaceId, keyspace: &Keyspace, pairs: Pairs<'_>) -> Result<Option<Slice>, StoreError> {
        let failed = |error| self.failed("load a space", error);
        let seal = SealKey::of(id);
        let mut ingestion = keyspace.start_ingestion().map_err(failed)?;
        let mut last: Option<Slice> = None;
        for pair in pairs {
            let (key, mut value) = pair?;
            check_pair(&key, &value)?;
            if last.as_ref().is_some_and(|last| **last >= *key) {
                return Err(StoreError::IngestOrder { space: id.to_string(), key });
            }
            value.extend_from_slice(&seal.seal(&key, &value));
            let key = Slice::from(key);
            last = Some(key.clone());
            ingestion.write(key, value).map_err(failed)?;
        }
        ingestion.finish().map_err(failed)?;
        Ok(last)
    }
}

/// What a batch does to a space: the greatest keys that it puts and deletes, empty where it does neither.
struct Touched<'b> {
    space: Space,
    put: &'b [u8],
    deleted: &'b [u8],
}

/// The place of a space among those touched. Writes come in runs over few spaces: a short list beats a map.
fn place_of<'t, 'b>(touched: &'t mut Vec<Touched<'b>>, space: Space) -> &'t mut Touched<'b> {
    let place = match touched.iter().rposition(|touched| touched.space == space) {
        Some(place) => place,
        None => {
            touched.push(Touched { space, put: &[], deleted: &[] });
            touched.len() - 1
        }
    };
    &mut touched[place]
}

/// Checks the spaces against their marks, and the marks against what was synced. Finishes the removal of
/// spaces whose removal was cut off.
fn open_writer(
    folder: &Folder,
    database: &Database,
    list: &Keyspace,
    table: &mut SpaceTable<Keyspace>,
) -> Result<Writer, StoreError> {
    let failed = |error| translate("read the marks", &folder.data(), error);
    let note = match folder.state() {
        FolderState::Creating => WriteNote::create(folder.path())?,
        FolderState::Ready => WriteNote::open(folder.path())?,
    };
    let snapshot = database.snapshot();
    let mut marks = match snapshot.get(list, LIST_KEY).map_err(failed)? {
        Some(sealed) => Marks::decode(&sealed).map_err(|detail| folder.damaged(detail))?,
        None => Marks::default(),
    };
    if marks.writes() < note.writes() {
        let (synced, found) = (note.writes(), marks.writes());
        return Err(folder.damaged(format!("{synced} writes were synced, the engine brought back only {found}")));
    }
    let mut found = Vec::new();
    for id in table.ids() {
        let Some(space) = table.find(&id) else { continue };
        let keyspace = table.get(space)?;
        let sealed = snapshot.get(keyspace, RESERVED_KEY).map_err(failed)?;
        let mark = sealed.map(|sealed| decode_mark(&id, &sealed)).transpose()?;
        let greatest = greatest_key(&snapshot, keyspace).map_err(failed)?;
        found.push(Found { id, mark, greatest });
    }
    drop(snapshot);
    for id in marks.check(&found).map_err(|detail| folder.damaged(detail))? {
        if let Some(keyspace) = table.remove(&id) {
            database.delete_keyspace(keyspace).map_err(failed)?;
        }
    }
    Ok(Writer { marks, note })
}

/// The greatest key of a keyspace, but for the reserved one.
fn greatest_key(snapshot: &Snapshot, keyspace: &Keyspace) -> ::fjall::Result<Option<Vec<u8>>> {
    for guard in snapshot.range::<&[u8], _>(keyspace, ..).rev() {
        let key = guard.key()?;
        if *key != *RESERVED_KEY {
            return Ok(Some(key.to_vec()));
        }
    }
    Ok(None)
}

fn is_missing(folder: &Folder, file: &Path) -> StoreError {
    folder.damaged(format!("{} is missing", file.display()))
}

/// Checks each keyspace's manifest against the checksum that fjall wrote beside it but does not compare when it
/// opens: a flipped bit there can hide or reorder whole tables.
///
/// Gives the manifests that are missing. fjall clears a keyspace away that its list of keyspaces
/// does not have: one whose creation was cut off. Where that is cut off too, it may be left without
/// its manifest, and fjall goes on to clear it away. Only fjall can read the list; it does not open
/// where a keyspace on it has no manifest.
fn check_manifests(folder: &Folder) -> Result<Vec<PathBuf>, StoreError> {
    let keyspaces = folder.data().join("keyspaces");
    let failed = |error| StoreError::from_io("list the folder", &keyspaces, error);
    let mut headless = Vec::new();
    for entry in std::fs::read_dir(&keyspaces).map_err(failed)? {
        let place = entry.map_err(failed)?.path();
        let current = place.join("current");
        if !current.is_file() {
            // Creation was cut off: fjall clears such a keyspace away.
            continue;
        }
        let pointer = read(&current)?;
        let fields = pointer.split_first_chunk::<8>().and_then(|(version, rest)| {
            let (checksum, kind) = rest.split_first_chunk::<16>()?;
            Some((u64::from_le_bytes(*version), u128::from_le_bytes(*checksum), kind))
        });
        let Some((version, checksum, [0])) = fields else {
            return Err(folder.damaged(format!("{} is not readable", current.display())));
        };
        let manifest = place.join(format!("v{version}"));
        match read(&manifest) {
            Ok(bytes) if xxhash_rust::xxh3::xxh3_128(&bytes) == checksum => {}
            Ok(_) => return Err(folder.damaged(format!("{} does not fit its checksum", manifest.display()))),
            Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                headless.push(manifest)
            }
            Err(error) => return Err(error),
        }
    }
    Ok(headless)
}

fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    std::fs::read(path).map_err(|error| StoreError::from_io("read the file", path, error))
}

/// Opens fjall's database. It panics on some of the damage that it finds, which must not take the
/// process down without a word: the panic becomes an error like any other.
fn open_database(folder: &Folder, bounds: &FjallBounds) -> Result<Database, StoreError> {
    let data = folder.data();
    let open = || {
        Database::builder(&data)
            .cache_size(bounds.cache_bytes)
            .max_journaling_size(bounds.journal_bytes)
            .worker_threads(bounds.worker_threads)
            .max_cached_files(Some(bounds.open_files))
            // Values are small; the journal is short-lived.
            .journal_compression(CompressionType::None)
            .open()
    };
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(error)) => Err(match translate("open the engine", &data, error) {
            StoreError::Corrupt { detail, .. } => folder.damaged(detail),
            other => other,
        }),
        Err(_) => Err(folder.damaged("the engine panicked while reading it".to_owned())),
    }
}

/// How a space is kept, which is settled when it is created.
fn options(bounds: &FjallBounds, name: &str) -> KeyspaceCreateOptions {
    let old = if bounds.uncompressed.contains(&name) { CompressionType::None } else { CompressionType::Lz4 };
    let bloom = |bits| FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(bits));
    let compaction = Leveled::default().with_l0_threshold(NEW_TABLES).with_table_target_size(TABLE_BYTES);
    KeyspaceCreateOptions::default()
        .max_memtable_size(bounds.memtable_bytes)
        .with_kv_separation(None)
        .filter_policy(FilterPolicy::new([bloom(10.0)]))
        .compaction_strategy(Arc::new(compaction))
        // Pinned index and filter blocks lie outside the cache and grow with history: pin the newest
        // level alone, and cut those of the deep levels into pieces that the cache can hold.
        .index_block_pinning_policy(PinningPolicy::new([true, false]))
        .filter_block_pinning_policy(PinningPolicy::new([true, false]))
        .index_block_partitioning_policy(PartitioningPolicy::new([false, true]))
        .filter_block_partitioning_policy(PartitioningPolicy::new([false, true]))
        .data_block_compression_policy(CompressionPolicy::new([CompressionType::None, old]))
}

fn translate(operation: &'static str, data: &Path, error: ::fjall::Error) -> StoreError {
    let stopped = |detail: String| StoreError::Stopped { path: data.to_path_buf(), detail };
    match error {
        ::fjall::Error::Io(error) | ::fjall::Error::Storage(LsmError::Io(error)) => {
            StoreError::from_io(operation, data, error)
        }
        ::fjall::Error::Poisoned => stopped("an earlier write, sync or flush failed".to_owned()),
        ::fjall::Error::Locked => StoreError::InUse { folder: PathBuf::from(data) },
        // Its errors may grow; all that is not the operating system's speaks of unreadable files.
        other => {
            StoreError::Corrupt { space: "(any)".to_owned(), key: Vec::new(), detail: format!("{operation}: {other}") }
        }
    }
}

impl Engine for FjallEngine {
    fn kind(&self) -> EngineKind {
        EngineKind::Fjall
    }

    fn create_space(&self, id: &SpaceId) -> Result<Space, StoreError> {
        let _writing = self.writing();
        let keyspace = self.create_keyspace(id)?;
        Ok(self.change_table(|table| table.insert(id.clone(), keyspace)))
    }

    fn space(&self, id: &SpaceId) -> Option<Space> {
        self.table().find(id)
    }

    fn spaces(&self) -> Vec<SpaceId> {
        self.table().ids()
    }

    fn drop_space(&self, id: &SpaceId) -> Result<(), StoreError> {
        let mut writer = self.writing();
        let failed = |error| self.failed("drop a space", error);
        if self.space(id).is_none() {
            return Err(StoreError::UnknownSpace { space: id.to_string() });
        }
        // First the list without the space, synced with all before it; a removal that is cut off after
        // that is finished at the next open.
        writer.marks.remove(id);
        let mut writes = self.new_batch(1);
        writer.marks.advance();
        writes.insert(&self.list, LIST_KEY, writer.marks.encode());
        writes.commit().map_err(failed)?;
        self.sync_writer(&mut writer)?;
        let Some(keyspace) = self.change_table(|table| table.remove(id)) else {
            return Err(StoreError::UnknownSpace { space: id.to_string() });
        };
        self.database.delete_keyspace(keyspace).map_err(failed)
    }

    fn ingest(&self, id: &SpaceId, pairs: Pairs<'_>) -> Result<Space, StoreError> {
        let mut writer = self.writing();
        let keyspace = self.create_keyspace(id)?;
        match self.fill(id, &keyspace, pairs) {
            Ok(last) => {
                writer.marks.loaded(id, last.as_deref());
                Ok(self.change_table(|table| table.insert(id.clone(), keyspace)))
            }
            Err(cause) => {
                // The cause counts; a space left over is dropped by its owner at the next open.
                if let Err(error) = self.database.delete_keyspace(keyspace) {
                    tracing::warn!(space = %id, %error, "could not remove a space whose loading failed");
                }
                Err(cause)
            }
        }
    }

    fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut writer = self.writing();
        let table = self.table();
        let mut touched: Vec<Touched<'_>> = Vec::new();
        let mut writes = self.new_batch(batch.len());
        for operation in batch.operations()? {
            match operation {
                BatchOperation::Put { space, key, sealed } => {
                    writes.insert(table.get(space)?, key, sealed);
                    let put = &mut place_of(&mut touched, space).put;
                    *put = key.max(put);
                }
                BatchOperation::Delete { space, key } => {
                    writes.remove(table.get(space)?, key);
                    let deleted = &mut place_of(&mut touched, space).deleted;
                    *deleted = key.max(deleted);
                }
            }
        }
        if touched.is_empty() {
            return Ok(());
        }
        writer.marks.advance();
        for Touched { space, put, deleted } in touched {
            if let Some(number) = writer.marks.touch(&table.id(space)?, put, deleted) {
                writes.insert(table.get(space)?, RESERVED_KEY, encode_mark(space.seal, number));
            }
        }
        writes.insert(&self.list, LIST_KEY, writer.marks.encode());
        writes.commit().map_err(|error| self.failed("write a batch", error))
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.sync_writer(&mut self.writing())
    }

    fn view(&self) -> Result<Arc<dyn View>, StoreError> {
        // The table first: a space created after the snapshot would only look empty in it.
        let table = self.table();
        let snapshot = self.database.snapshot();
        Ok(Arc::new(FjallView { snapshot, table, data: self.folder.data() }))
    }
}

struct FjallView {
    snapshot: Snapshot,
    table: SpaceTable<Keyspace>,
    data: PathBuf,
}

impl View for FjallView {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<StoredBytes>, StoreError> {
        let keyspace = self.table.get(space)?;
        if key == RESERVED_KEY {
            return Ok(None);
        }
        let found = self.snapshot.get(keyspace, key).map_err(|error| self.failed(space, error))?;
        let Some(sealed) = found else { return Ok(None) };
        let end = space.seal.check(|| self.table.name(space), key, &sealed)?;
        Ok(Some(StoredBytes::fjall(sealed, end)))
    }

    fn scan(&self, space: Space, range: &KeyRange, direction: Direction) -> Result<Scan<'_>, StoreError> {
        let keyspace = self.table.get(space)?;
        if range.is_empty() {
            return Ok(Box::new(std::iter::empty()));
        }
        let mut pairs = Some(self.snapshot.range::<&[u8], _>(keyspace, range.bounds()));
        let next = move || {
            loop {
                let running = pairs.as_mut()?;
                let guard = match direction {
                    Direction::Forward => running.next(),
                    Direction::Backward => running.next_back(),
                }?;
                match self.unpack(space, guard) {
                    Ok((key, _)) if *key == *RESERVED_KEY => {}
                    Ok(pair) => return Some(Ok(pair)),
                    Err(error) => {
                        pairs = None;
                        return Some(Err(error));
                    }
                }
            }
        };
        Ok(Box::new(std::iter::from_fn(next)))
    }
}

impl FjallView {
    fn unpack(&self, space: Space, guard: ::fjall::Guard) -> Result<(StoredBytes, StoredBytes), StoreError> {
        let (key, sealed) = guard.into_inner().map_err(|error| self.failed(space, error))?;
        let end = space.seal.check(|| self.table.name(space), &key, &sealed)?;
        let key_end = key.len();
        Ok((StoredBytes::fjall(key, key_end), StoredBytes::fjall(sealed, end)))
    }

    fn failed(&self, space: Space, error: ::fjall::Error) -> StoreError {
        match translate("read", &self.data, error) {
            StoreError::Corrupt { key, detail, .. } => {
                StoreError::Corrupt { space: self.table.name(space), key, detail }
            }
            other => other,
        }
    }
}
