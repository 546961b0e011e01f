//! Views over sled, which has none of its own.
//!
//! While views are open, the writer notes for every key it changes the value before, under the version
//! of the write. A view opened at version v reads the oldest note above v, or the tree itself where
//! there is none. The notes are bounded: past [`MAX_REMEMBERED_BYTES`] all open views expire. A read holds
//! the lock that a write takes whole, so it never sees half a batch.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use ::sled::IVec;

use super::catalogue::Catalogue;
use crate::store::{
    Direction, KeyRange, Scan, Space, StoreError, StoredBytes, View, note::WriteNote, spaces::SpaceTable,
};

/// The most that the values before may take for all open views together, in bytes.
pub const MAX_REMEMBERED_BYTES: usize = 64 << 20;

/// Pairs that a scan reads at first: often one is all that is asked for. Each stretch is twice as long as the one before.
const FIRST_STRETCH: usize = 2;
/// The most pairs that a scan reads at once.
const LONGEST_STRETCH: usize = 256;
const PREFIX_BYTES: usize = 4;
/// What a remembered value costs beside its bytes.
const NOTE_BYTES: usize = 128;

pub(super) struct Shared {
    pub(super) tree: ::sled::Db,
    pub(super) data: PathBuf,
    pub(super) state: RwLock<State>,
}

pub(super) struct State {
    pub(super) table: SpaceTable<u32>,
    pub(super) catalogue: Catalogue,
    pub(super) note: WriteNote,
    pub(super) version: u64,
    pub(super) failure: Option<String>,
    open_views: BTreeMap<u64, usize>,
    /// Views opened at this version or before have expired.
    expired: Option<u64>,
    before: BTreeMap<IVec, Vec<(u64, Option<IVec>)>>,
    order: VecDeque<(u64, IVec)>,
    remembered_bytes: usize,
}

/// The key in the tree of a key in a space.
pub(super) fn stored_key(number: u32, key: &[u8]) -> IVec {
    let mut stored = Vec::with_capacity(PREFIX_BYTES + key.len());
    stored.extend_from_slice(&number.to_be_bytes());
    stored.extend_from_slice(key);
    IVec::from(stored)
}

impl Shared {
    pub(super) fn new(tree: ::sled::Db, data: PathBuf, state: State) -> Self {
        Self { tree, data, state: RwLock::new(state) }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn failed(&self, operation: &'static str, error: ::sled::Error) -> StoreError {
        match error {
            ::sled::Error::Io(error) => StoreError::from_io(operation, &self.data, error),
            other => {
                let detail = format!("{operation}: {other}");
                StoreError::Corrupt { space: "(any)".to_owned(), key: Vec::new(), detail }
            }
        }
    }
}

impl State {
    pub(super) fn new(table: SpaceTable<u32>, catalogue: Catalogue, note: WriteNote) -> Self {
        Self {
            table,
            catalogue,
            note,
            version: 1,
            failure: None,
            open_views: BTreeMap::new(),
            expired: None,
            before: BTreeMap::new(),
            order: VecDeque::new(),
            remembered_bytes: 0,
        }
    }

    pub(super) fn oldest_view(&self) -> Option<u64> {
        self.open_views.keys().next().copied()
    }

    /// Notes the value of a key before the write of this version, where a view could ask for it.
    pub(super) fn remember(&mut self, shared: &Shared, key: &IVec, version: u64) -> Result<(), StoreError> {
        let expired = self.expired.unwrap_or(0);
        if self.open_views.keys().next_back().is_none_or(|newest| *newest <= expired) {
            return Ok(());
        }
        let notes = self.before.entry(key.clone()).or_default();
        if notes.last().is_some_and(|(written, _)| *written == version) {
            return Ok(());
        }
        let value = shared.tree.get(key).map_err(|error| shared.failed("read", error))?;
        self.remembered_bytes += cost(key, value.as_ref());
        notes.push((version, value));
        self.order.push_back((version, key.clone()));
        if self.remembered_bytes > MAX_REMEMBERED_BYTES {
            self.expired = Some(version - 1);
            self.forget_all();
        }
        Ok(())
    }

    fn close_view(&mut self, version: u64) {
        if let Some(count) = self.open_views.get_mut(&version) {
            *count -= 1;
            if *count == 0 {
                self.open_views.remove(&version);
            }
        }
        let Some(oldest) = self.oldest_view() else { return self.forget_all() };
        while self.order.front().is_some_and(|(written, _)| *written <= oldest) {
            let Some((written, key)) = self.order.pop_front() else { break };
            let Some(notes) = self.before.get_mut(&key) else { continue };
            if let Some(index) = notes.iter().position(|(noted, _)| *noted == written) {
                let (_, value) = notes.remove(index);
                self.remembered_bytes -= cost(&key, value.as_ref());
            }
            if notes.is_empty() {
                self.before.remove(&key);
            }
        }
    }

    fn forget_all(&mut self) {
        self.before.clear();
        self.order.clear();
        self.remembered_bytes = 0;
    }

    fn readable(&self, version: u64) -> Result<(), StoreError> {
        match self.expired {
            Some(expired) if version <= expired => Err(StoreError::ViewExpired),
            Some(_) | None => Ok(()),
        }
    }
}

fn cost(key: &IVec, value: Option<&IVec>) -> usize {
    NOTE_BYTES + 2 * key.len() + value.map_or(0, |value| value.len())
}

fn noted_at(notes: &[(u64, Option<IVec>)], version: u64) -> Option<&Option<IVec>> {
    notes.iter().find(|(written, _)| *written > version).map(|(_, value)| value)
}

pub(super) struct SledView {
    shared: Arc<Shared>,
    table: SpaceTable<u32>,
    version: u64,
}

impl SledView {
    pub(super) fn open(shared: &Arc<Shared>, state: &mut State) -> Self {
        *state.open_views.entry(state.version).or_default() += 1;
        Self { shared: Arc::clone(shared), table: state.table.clone(), version: state.version }
    }

    fn unpack(&self, space: Space, key: IVec, sealed: IVec) -> Result<(StoredBytes, StoredBytes), StoreError> {
        let plain = key.get(PREFIX_BYTES..).unwrap_or_default();
        let end = space.seal.check(|| self.table.name(space), plain, &sealed)?;
        let key_end = key.len();
        Ok((StoredBytes::sled(key, PREFIX_BYTES, key_end), StoredBytes::sled(sealed, 0, end)))
    }
}

impl Drop for SledView {
    fn drop(&mut self) {
        self.shared.write().close_view(self.version);
    }
}

impl View for SledView {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<StoredBytes>, StoreError> {
        let stored = stored_key(*self.table.get(space)?, key);
        let sealed = {
            let state = self.shared.read();
            state.readable(self.version)?;
            match state.before.get(&stored).and_then(|notes| noted_at(notes, self.version)) {
                Some(before) => before.clone(),
                None => self.shared.tree.get(&stored).map_err(|error| self.shared.failed("read", error))?,
            }
        };
        let Some(sealed) = sealed else { return Ok(None) };
        Ok(Some(self.unpack(space, stored, sealed)?.1))
    }

    fn scan(&self, space: Space, range: &KeyRange, direction: Direction) -> Result<Scan<'_>, StoreError> {
        let number = *self.table.get(space)?;
        self.shared.read().readable(self.version)?;
        let end = match range.end() {
            Some(end) => stored_key(number, end),
            None => IVec::from(&number.saturating_add(1).to_be_bytes()[..]),
        };
        let mut scan = SledScan {
            view: self,
            space,
            first: Bound::Included(stored_key(number, range.first())),
            end: Bound::Excluded(end),
            direction,
            stretch_pairs: FIRST_STRETCH,
            chunk: VecDeque::new(),
            exhausted: range.is_empty(),
        };
        Ok(Box::new(std::iter::from_fn(move || scan.next())))
    }
}

struct SledScan<'v> {
    view: &'v SledView,
    space: Space,
    first: Bound<IVec>,
    end: Bound<IVec>,
    direction: Direction,
    /// How many pairs the next stretch has.
    stretch_pairs: usize,
    chunk: VecDeque<(IVec, IVec)>,
    exhausted: bool,
}

impl SledScan<'_> {
    fn next(&mut self) -> Option<Result<(StoredBytes, StoredBytes), StoreError>> {
        while self.chunk.is_empty() && !self.exhausted {
            if let Err(error) = self.fill() {
                return Some(self.end_with(error));
            }
        }
        let (key, sealed) = self.chunk.pop_front()?;
        match self.view.unpack(self.space, key, sealed) {
            Ok(pair) => Some(Ok(pair)),
            Err(error) => Some(self.end_with(error)),
        }
    }

    fn end_with<T>(&mut self, error: StoreError) -> Result<T, StoreError> {
        self.chunk.clear();
        self.exhausted = true;
        Err(error)
    }

    /// Merges the next stretch of the tree with the notes that lie in the same stretch.
    fn fill(&mut self) -> Result<(), StoreError> {
        let shared = &self.view.shared;
        let state = shared.read();
        state.readable(self.view.version)?;
        let mut stretch = BTreeMap::new();
        let pairs = shared.tree.range::<&[u8], _>((as_slice(&self.first), as_slice(&self.end)));
        let mut take = |pair: Result<(IVec, IVec), ::sled::Error>| -> Result<IVec, StoreError> {
            let (key, sealed) = pair.map_err(|error| shared.failed("scan", error))?;
            stretch.insert(key.clone(), sealed);
            Ok(key)
        };
        let mut count = 0;
        let mut last = None;
        match self.direction {
            Direction::Forward => {
                for pair in pairs.take(self.stretch_pairs) {
                    last = Some(take(pair)?);
                    count += 1;
                }
            }
            Direction::Backward => {
                for pair in pairs.rev().take(self.stretch_pairs) {
                    last = Some(take(pair)?);
                    count += 1;
                }
            }
        }
        self.exhausted = count < self.stretch_pairs;
        self.stretch_pairs = (self.stretch_pairs * 2).min(LONGEST_STRETCH);
        // The stretch ends at the last key read, or with the range where the tree had no more.
        let (first, end) = match (last.filter(|_| !self.exhausted), self.direction) {
            (None, _) => (self.first.clone(), self.end.clone()),
            (Some(last), Direction::Forward) => {
                (std::mem::replace(&mut self.first, Bound::Excluded(last.clone())), Bound::Included(last))
            }
            (Some(last), Direction::Backward) => {
                (Bound::Included(last.clone()), std::mem::replace(&mut self.end, Bound::Excluded(last)))
            }
        };
        for (key, notes) in state.before.range((first, end)) {
            match noted_at(notes, self.view.version) {
                Some(Some(before)) => stretch.insert(key.clone(), before.clone()),
                Some(None) => stretch.remove(key),
                None => None,
            };
        }
        match self.direction {
            Direction::Forward => self.chunk.extend(stretch),
            Direction::Backward => self.chunk.extend(stretch.into_iter().rev()),
        }
        Ok(())
    }
}

fn as_slice(bound: &Bound<IVec>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(key) => Bound::Included(key),
        Bound::Excluded(key) => Bound::Excluded(key),
        Bound::Unbounded => Bound::Unbounded,
    }
}
