//! The Raft log: entries, vote and committed index, in an engine and folder of their own, apart from the book: in one database they would roll
//! back together unseen.
//!
//! At open, before openraft sees it, the log is read once: no hole, every checksum right, its end not below what was committed or what the
//! book has applied (unless a snapshot installed there explains it). That is how silent truncation by an engine is noticed.

use std::fmt::Debug;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{AnyError, ErrorSubject, ErrorVerb, OptionalSend, RaftLogReader, StorageIOError};
use tokio::sync::watch;

use super::codec::{self, Malformed};
use super::network::MAX_APPEND_BYTES;
use super::tail::Tail;
use super::worker::Worker;
use super::{Entry, LogId, StorageError, TypeConfig, Vote};
use crate::store::{Batch, Direction, Engine, KeyRange, Space, SpaceId, StoreError};

const VOTE: &[u8] = b"vote";
const COMMITTED: &[u8] = b"committed";
const PURGED: &[u8] = b"purged";
/// How long a purge waits for the snapshot that it follows to be installed.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(120);

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogOpenError {
    /// The engine failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An entry or record does not decode.
    #[error("the log is damaged: {0}; restore this replica from a peer, do not serve from it")]
    Malformed(String),
    /// Entries are missing.
    #[error(
        "the log is damaged: {0}; entries that were acknowledged are missing; rebuild this replica from its peers, do not serve from it"
    )]
    Missing(String),
}

impl From<Malformed> for LogOpenError {
    fn from(error: Malformed) -> LogOpenError {
        LogOpenError::Malformed(error.to_string())
    }
}

/// What the book knows of the log, to check it against.
#[derive(Debug, Clone, Copy)]
pub(super) struct BookPoint {
    pub(super) applied_index: u64,
    pub(super) installed_index: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    purged: Option<LogId>,
    last: Option<LogId>,
}

struct Inner {
    engine: Arc<dyn Engine>,
    entries: Space,
    records: Space,
    state: Mutex<State>,
    tail: Mutex<Tail>,
    worker: Worker,
    /// Up to which index the book has applied.
    applied: watch::Receiver<u64>,
}

/// The log, as openraft uses it.
#[derive(Clone)]
pub(super) struct LogStore {
    inner: Arc<Inner>,
}

fn key(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn space(engine: &dyn Engine, name: &'static str) -> Result<Space, StoreError> {
    let id = SpaceId::new(name, 0);
    match engine.space(&id) {
        Some(space) => Ok(space),
        None => engine.create_space(&id),
    }
}

fn failed(verb: ErrorVerb, error: impl std::error::Error + 'static) -> StorageError {
    StorageIOError::new(ErrorSubject::Logs, verb, AnyError::new(&error)).into()
}

impl LogStore {
    /// Opens the log of an engine and checks it. `applied` tells up to which index the book has applied.
    pub(super) fn open(
        engine: Arc<dyn Engine>,
        worker: Worker,
        book: BookPoint,
        applied: watch::Receiver<u64>,
    ) -> Result<LogStore, LogOpenError> {
        let entries = space(engine.as_ref(), "entries")?;
        let records = space(engine.as_ref(), "records")?;
        let inner =
            Inner { engine, entries, records, state: Mutex::default(), tail: Mutex::default(), worker, applied };
        let purged: Option<LogId> = inner.record(PURGED, "the purged log id")?;
        let last = inner.check_entries(purged)?;
        let committed: Option<LogId> = inner.record(COMMITTED, "the committed log id")?;
        check_beginning(purged, book)?;
        check_end(last.or(purged), committed, book)?;
        *guard(&inner.state) = State { purged, last };
        Ok(LogStore { inner: Arc::new(inner) })
    }
}

#[cfg(test)]
impl LogStore {
    /// How many entries the tail in memory holds, and about how many bytes.
    pub(super) fn tail_size(&self) -> (usize, usize) {
        guard(&self.inner.tail).size()
    }
}

/// Refuses a log that begins after what the book still needs from it.
fn check_beginning(purged: Option<LogId>, book: BookPoint) -> Result<(), LogOpenError> {
    let purged = purged.map_or(0, |log_id| log_id.index);
    if purged > book.applied_index {
        return Err(LogOpenError::Missing(format!(
            "it begins after index {purged}, but the book has applied index {} only",
            book.applied_index
        )));
    }
    Ok(())
}

/// Refuses a log that ends before what is known to have been committed.
fn check_end(last: Option<LogId>, committed: Option<LogId>, book: BookPoint) -> Result<(), LogOpenError> {
    let end = last.map_or(0, |log_id| log_id.index);
    // A process that died between the installation of a snapshot and the purge after it leaves the log short, with nothing applied since.
    if end < book.applied_index && book.installed_index != book.applied_index {
        return Err(LogOpenError::Missing(format!(
            "it ends at index {end}, but the book has applied index {}",
            book.applied_index
        )));
    }
    let committed = committed.map_or(0, |log_id| log_id.index);
    if end < committed && book.installed_index < committed {
        return Err(LogOpenError::Missing(format!("it ends at index {end}, but index {committed} was committed")));
    }
    Ok(())
}

impl Inner {
    fn record<T: serde::de::DeserializeOwned>(
        &self,
        key: &[u8],
        what: &'static str,
    ) -> Result<Option<T>, LogOpenError> {
        match self.engine.view()?.get(self.records, key)? {
            Some(bytes) => Ok(Some(codec::decode(what, &bytes)?)),
            None => Ok(None),
        }
    }

    /// Reads all entries once and returns the last's id.
    fn check_entries(&self, purged: Option<LogId>) -> Result<Option<LogId>, LogOpenError> {
        let mut expected = purged.map(|log_id| log_id.index + 1);
        let mut last = None;
        let view = self.engine.view()?;
        for pair in view.scan(self.entries, &KeyRange::all(), Direction::Forward)? {
            let (stored_key, value) = pair?;
            let entry = codec::read_entry(&value)?;
            let index = entry.log_id.index;
            if *stored_key != key(index) {
                return Err(LogOpenError::Malformed(format!("entry {index} lies under another index")));
            }
            if purged.is_some_and(|purged| index <= purged.index) {
                continue;
            }
            if index != expected.unwrap_or(index) || (purged.is_none() && last.is_none() && index > 0) {
                return Err(LogOpenError::Missing(format!(
                    "entry {} is missing before entry {index}",
                    expected.unwrap_or(0)
                )));
            }
            expected = Some(index + 1);
            last = Some(entry.log_id);
            guard(&self.tail).push(entry);
        }
        Ok(last)
    }

    fn append(&self, entries: &[Entry]) -> Result<(), LogOpenError> {
        let mut batch = Batch::new();
        for entry in entries {
            let (header, payload) = codec::entry_parts(entry)?;
            batch.put_with(self.entries, &key(entry.log_id.index), |buffer| {
                codec::write_entry(&header, &payload, buffer);
            });
        }
        self.engine.write(&batch)?;
        Ok(self.engine.sync()?)
    }

    fn put_record<T: serde::Serialize>(&self, key: &[u8], value: &T, is_synced: bool) -> Result<(), LogOpenError> {
        let mut batch = Batch::new();
        batch.put(self.records, key, &codec::encode(value)?);
        self.engine.write(&batch)?;
        if is_synced {
            self.engine.sync()?;
        }
        Ok(())
    }

    /// The entries of a range, until they reach `max_bytes`: at least one.
    fn read(&self, range: &Range<u64>, max_bytes: usize) -> Result<Vec<Entry>, LogOpenError> {
        let view = self.engine.view()?;
        let range = KeyRange::between(key(range.start), key(range.end));
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for pair in view.scan(self.entries, &range, Direction::Forward)? {
            let entry = codec::read_entry(&pair?.1)?;
            bytes += codec::entry_bytes(&entry);
            entries.push(entry);
            if bytes >= max_bytes {
                break;
            }
        }
        Ok(entries)
    }

    fn delete(&self, range: Range<u64>, purged: Option<LogId>) -> Result<(), LogOpenError> {
        let mut batch = Batch::new();
        if let Some(purged) = purged {
            batch.put(self.records, PURGED, &codec::encode(&purged)?);
        }
        let view = self.engine.view()?;
        let keys = KeyRange::between(key(range.start), key(range.end));
        for pair in view.scan(self.entries, &keys, Direction::Forward)? {
            batch.delete(self.entries, &pair?.0);
        }
        self.engine.write(&batch)?;
        Ok(self.engine.sync()?)
    }
}

impl LogStore {
    async fn run<T: Send + 'static>(
        &self,
        verb: ErrorVerb,
        job: impl FnOnce(&Inner) -> Result<T, LogOpenError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let inner = Arc::clone(&self.inner);
        match self.inner.worker.run(move || job(&inner)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(failed(verb, error)),
            Err(ended) => Err(failed(verb, ended)),
        }
    }

    async fn wait_for_book(&self, index: u64) -> Result<(), StorageError> {
        let mut applied = self.inner.applied.clone();
        let reached = applied.wait_for(|applied| *applied >= index);
        if matches!(tokio::time::timeout(INSTALL_TIMEOUT, reached).await, Ok(Ok(_))) {
            return Ok(());
        }
        let detail = format!("the book does not reach index {index}, up to which the log is to be purged");
        Err(failed(ErrorVerb::Write, LogOpenError::Missing(detail)))
    }
}

fn half_open(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start + 1,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end + 1,
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        let range = half_open(&range);
        if range.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(entries) = guard(&self.inner.tail).read(&range) {
            return Ok(entries);
        }
        self.run(ErrorVerb::Read, move |inner| inner.read(&range, usize::MAX)).await
    }

    /// What is read for a follower is no more than one append carries: far behind the tail, a batch of entries could hold many times that.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        let range = start..end;
        if let Some(entries) = guard(&self.inner.tail).read(&range) {
            return Ok(entries);
        }
        self.run(ErrorVerb::Read, move |inner| inner.read(&range, MAX_APPEND_BYTES)).await
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError> {
        let state = *guard(&self.inner.state);
        Ok(LogState { last_purged_log_id: state.purged, last_log_id: state.last.or(state.purged) })
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let vote = *vote;
        self.run(ErrorVerb::Write, move |inner| inner.put_record(VOTE, &vote, true)).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        self.run(ErrorVerb::Read, |inner| inner.record(VOTE, "the vote")).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        // Written in order behind what was appended and not waited for: after a crash it only spares some replaying, and a
        // failure of the disk shows in the next append.
        let Some(committed) = committed else { return Ok(()) };
        let inner = Arc::clone(&self.inner);
        let write = move || {
            if let Err(error) = inner.put_record(COMMITTED, &committed, false) {
                tracing::error!(%error, "the committed index was not written");
            }
        };
        self.inner.worker.give(write).map_err(|ended| failed(ErrorVerb::Write, ended))
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        self.run(ErrorVerb::Read, |inner| inner.record(COMMITTED, "the committed log id")).await
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<TypeConfig>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        {
            let mut tail = guard(&self.inner.tail);
            let mut state = guard(&self.inner.state);
            for entry in &entries {
                state.last = Some(entry.log_id);
                tail.push(entry.clone());
            }
        }
        let inner = Arc::clone(&self.inner);
        let append = move || {
            let result = inner.append(&entries).map_err(std::io::Error::other);
            callback.log_io_completed(result);
        };
        self.inner.worker.give(append).map_err(|ended| failed(ErrorVerb::Write, ended))
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        guard(&self.inner.tail).truncate_from(log_id.index);
        let before = match log_id.index.checked_sub(1) {
            Some(index) => self.try_get_log_entries(index..log_id.index).await?.pop().map(|entry| entry.log_id),
            None => None,
        };
        guard(&self.inner.state).last = before;
        self.run(ErrorVerb::Write, move |inner| inner.delete(log_id.index..u64::MAX, None)).await
    }

    /// openraft asks for the purge while the snapshot that it relies on may still be in the hands of the state machine. Entries go only once the
    /// book holds what they say, so that a process that dies in between finds the one or the other.
    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        self.wait_for_book(log_id.index).await?;
        guard(&self.inner.tail).purge_to(log_id.index);
        let first;
        {
            let mut state = guard(&self.inner.state);
            first = state.purged.map_or(0, |purged| purged.index + 1);
            state.purged = Some(log_id);
            if state.last.is_some_and(|last| last.index <= log_id.index) {
                state.last = None;
            }
        }
        self.run(ErrorVerb::Write, move |inner| inner.delete(first..log_id.index + 1, Some(log_id))).await
    }
}
