//! The Raft log: entries, vote and committed index, in an engine and folder of their own, apart from the book: in one database they would roll
//! back together unseen.
//!
//! At open, before openraft sees it, the log is read once: no hole, every checksum right, its end not below what was committed or what the
//! book has applied (unless a snapshot installed there explains it). That is how silent truncation by an engine is noticed.

use std::fmt::Debug;
use std::ops::{Bound, Range, RangeBounds, RangeInclusive};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{AnyError, ErrorSubject, ErrorVerb, OptionalSend, RaftLogReader, StorageIOError};
use tokio::sync::watch;

use super::codec::{self, Malformed};
use super::leader_sync::{Beside, LeaderSync};
use super::log_size::LogSize;
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
    vote: Option<Vote>,
    committed: Option<LogId>,
    /// Whether the log holds `committed`.
    is_committed_written: bool,
}

struct Inner {
    engine: Arc<dyn Engine>,
    entries: Space,
    records: Space,
    state: Mutex<State>,
    tail: Mutex<Tail>,
    size: Mutex<LogSize>,
    worker: Worker,
    leader_sync: LeaderSync,
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
    /// Opens the log of an engine and checks it. `applied` tells up to which index the book has applied, `beside` what is synced only after its append is done, and where.
    pub(super) fn open(
        engine: Arc<dyn Engine>,
        worker: Worker,
        book: BookPoint,
        applied: watch::Receiver<u64>,
        beside: Beside,
    ) -> Result<LogStore, LogOpenError> {
        let entries = space(engine.as_ref(), "entries")?;
        let records = space(engine.as_ref(), "records")?;
        let (state, tail, size) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (own_id, has_followers) = (beside.own_id, beside.has_followers);
        let leader_sync = LeaderSync::new(beside, Arc::clone(&engine));
        let inner = Inner { engine, entries, records, state, tail, size, worker, leader_sync, applied };
        let purged: Option<LogId> = inner.record(PURGED, "the purged log id")?;
        let last = inner.check_entries(purged)?;
        let committed: Option<LogId> = inner.record(COMMITTED, "the committed log id")?;
        check_beginning(purged, book)?;
        check_end(last.or(purged), committed, book)?;
        let mut vote: Option<Vote> = inner.record(VOTE, "the vote")?;
        if has_followers {
            forget_leadership(&mut vote, own_id);
        }
        inner.leader_sync.is_synced(last.or(purged).map_or(0, |log_id| log_id.index));
        *guard(&inner.state) = State { purged, last, vote, committed, is_committed_written: true };
        Ok(LogStore { inner: Arc::new(inner) })
    }
}

/// openraft would have a replica that led take up its term again. But entries of that term which it sent to followers may not have reached its own disk, and it must never
/// give their places to others. So it has the vote of one who asked to lead, and leads again in a later term only.
fn forget_leadership(vote: &mut Option<Vote>, own_id: u64) {
    if let Some(vote) = vote.as_mut().filter(|vote| vote.leader_id().node_id == own_id) {
        vote.committed = false;
    }
}

impl LogStore {
    /// The vote that this replica stored last.
    pub(super) fn vote(&self) -> Option<Vote> {
        guard(&self.inner.state).vote
    }

    /// About how many bytes of entries the log holds.
    pub(super) fn bytes(&self) -> u64 {
        guard(&self.inner.size).bytes()
    }

    /// Up to which index the log can be purged so that `kept` bytes are left.
    pub(super) fn beyond(&self, kept: u64) -> Option<u64> {
        guard(&self.inner.size).beyond(kept)
    }

    /// Watches the index up to which the log is written.
    pub(super) fn written(&self) -> watch::Receiver<u64> {
        self.inner.leader_sync.written()
    }

    /// Watches the index up to which the log is synced.
    pub(super) fn synced(&self) -> watch::Receiver<u64> {
        self.inner.leader_sync.synced()
    }
}

#[cfg(test)]
impl LogStore {
    /// How many entries the tail in memory holds, and about how many bytes.
    pub(super) fn tail_size(&self) -> (usize, usize) {
        guard(&self.inner.tail).size()
    }

    /// Has the thread that syncs do something first.
    pub(super) fn give_to_sync_thread(&self, job: impl FnOnce() + Send + 'static) {
        let _ = self.inner.leader_sync.worker().give(job);
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
            guard(&self.size).add(index, codec::entry_bytes(&entry));
            guard(&self.tail).push(entry);
        }
        Ok(last)
    }

    /// Writes entries, and with them what was committed before: after a crash that only spares some replaying.
    fn write(&self, entries: &[Entry], committed: Option<LogId>) -> Result<(), LogOpenError> {
        let mut batch = Batch::new();
        if let Some(committed) = committed {
            batch.put(self.records, COMMITTED, &codec::encode(&committed)?);
        }
        for entry in entries {
            let (header, payload) = codec::entry_parts(entry)?;
            batch.put_with(self.entries, &key(entry.log_id.index), |buffer| {
                codec::write_entry(&header, &payload, buffer);
            });
        }
        Ok(self.engine.write(&batch)?)
    }

    /// Writes entries, and syncs them before it returns unless they are the leader's own and are synced beside.
    fn append(&self, entries: &[Entry], committed: Option<LogId>, vote: Option<Vote>) -> Result<(), LogOpenError> {
        self.write(entries, committed)?;
        let sync = &self.leader_sync;
        let Some(last) = entries.last().map(|entry| entry.log_id.index) else { return Ok(()) };
        // Nobody but the leader of a term makes entries of it, and nobody sends him any while he leads.
        let is_leading = |vote: Vote| {
            let is_of_term = |entry: &Entry| entry.log_id.leader_id == *vote.leader_id();
            vote.is_committed() && vote.leader_id().node_id == sync.own_id() && entries.iter().all(is_of_term)
        };
        if vote.is_some_and(is_leading) && sync.is_beside(entries.iter().map(codec::entry_bytes).sum()) {
            return sync.is_written(last).map_err(|ended| LogOpenError::Malformed(ended.to_string()));
        }
        self.engine.sync()?;
        sync.is_synced(last);
        Ok(())
    }

    fn save_vote(&self, vote: &Vote) -> Result<(), LogOpenError> {
        let mut batch = Batch::new();
        batch.put(self.records, VOTE, &codec::encode(vote)?);
        self.engine.write(&batch)?;
        self.engine.sync()?;
        guard(&self.state).vote = Some(*vote);
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

    /// Deletes entries that are there.
    fn delete(&self, indexes: RangeInclusive<u64>, purged: Option<LogId>) -> Result<(), LogOpenError> {
        let mut batch = Batch::new();
        if let Some(purged) = purged {
            batch.put(self.records, PURGED, &codec::encode(&purged)?);
        }
        for index in indexes {
            batch.delete(self.entries, &key(index));
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

    /// Waits until nothing that was appended is still to be synced.
    async fn settle(&self) -> Result<(), StorageError> {
        let last = guard(&self.inner.state).last.map_or(0, |log_id| log_id.index);
        let settled = LeaderSync::wait(&self.synced(), last).await;
        settled.map_err(|ended| failed(ErrorVerb::Write, ended))
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
        self.run(ErrorVerb::Write, move |inner| inner.save_vote(&vote)).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(guard(&self.inner.state).vote)
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        // Written with the next append, behind the entries that it speaks of.
        if committed.is_some() {
            let mut state = guard(&self.inner.state);
            (state.committed, state.is_committed_written) = (committed, false);
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        Ok(guard(&self.inner.state).committed)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<TypeConfig>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let (committed, vote);
        {
            let mut tail = guard(&self.inner.tail);
            let mut state = guard(&self.inner.state);
            let mut size = guard(&self.inner.size);
            for entry in &entries {
                size.add(entry.log_id.index, codec::entry_bytes(entry));
                state.last = Some(entry.log_id);
                tail.push(entry.clone());
            }
            committed = if state.is_committed_written { None } else { state.committed };
            state.is_committed_written = true;
            vote = state.vote;
        }
        let sync = &self.inner.leader_sync;
        let is_apart = sync.is_apart(entries.iter().map(codec::entry_bytes).sum());
        let worker = if is_apart { sync.worker() } else { &self.inner.worker };
        let inner = Arc::clone(&self.inner);
        let append = move || {
            let result = inner.append(&entries, committed, vote).map_err(std::io::Error::other);
            callback.log_io_completed(result);
        };
        worker.give(append).map_err(|ended| failed(ErrorVerb::Write, ended))
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        self.settle().await?;
        guard(&self.inner.tail).truncate_from(log_id.index);
        guard(&self.inner.size).truncate_from(log_id.index);
        let before = match log_id.index.checked_sub(1) {
            Some(index) => self.try_get_log_entries(index..log_id.index).await?.pop().map(|entry| entry.log_id),
            None => None,
        };
        let last = std::mem::replace(&mut guard(&self.inner.state).last, before).map_or(0, |last| last.index);
        let delete = move |inner: &Inner| {
            inner.delete(log_id.index..=last, None)?;
            inner.leader_sync.is_synced(log_id.index.saturating_sub(1));
            Ok(())
        };
        self.run(ErrorVerb::Write, delete).await
    }

    /// openraft asks for the purge while the snapshot that it relies on may still be in the hands of the state machine. Entries go only once the
    /// book holds what they say, so that a process that dies in between finds the one or the other.
    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        self.wait_for_book(log_id.index).await?;
        guard(&self.inner.tail).purge_to(log_id.index);
        guard(&self.inner.size).purge_to(log_id.index);
        let entries;
        {
            let mut state = guard(&self.inner.state);
            let last = state.last.map_or(0, |last| last.index.min(log_id.index));
            entries = state.purged.map_or(0, |purged| purged.index + 1)..=last;
            state.purged = Some(log_id);
            if state.last.is_some_and(|last| last.index <= log_id.index) {
                state.last = None;
            }
        }
        let delete = move |inner: &Inner| {
            inner.delete(entries, Some(log_id))?;
            // An installed snapshot may reach beyond what the log had.
            if *inner.leader_sync.synced().borrow() < log_id.index {
                inner.leader_sync.is_synced(log_id.index);
            }
            Ok(())
        };
        self.run(ErrorVerb::Write, delete).await
    }
}
