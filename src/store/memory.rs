//! The engine that keeps nothing on disk, for tests and simulation.
//!
//! It draws an explicit line between synced and unsynced writes: [`MemoryEngine::crash`] gives the
//! engine as a power cut would leave it, [`MemoryEngine::reopen`] as a killed process would. Versions of
//! a key hang behind it for as long as a view can see them, so views are cheap and exact. It has no
//! threads, clock or randomness, and must never keep a version that no view can read.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use bytes::Bytes;

use super::{
    Batch, BatchOperation, Direction, Engine, EngineKind, KeyRange, Pairs, Scan, Space, SpaceId, StoreError,
    StoredBytes, View, batch::check_pair, checksum::SealKey, spaces::SpaceTable,
};

/// Pairs that a scan reads at first: often one is all that is asked for. Each stretch is twice as long as the one before.
const FIRST_STRETCH: usize = 2;
/// The most pairs that a scan reads at once.
const LONGEST_STRETCH: usize = 128;

/// A book in memory. Clones are not offered: a replica owns its engine, as it owns its disk.
pub struct MemoryEngine {
    state: Arc<RwLock<State>>,
}

struct State {
    table: SpaceTable<Keys>,
    /// Batches applied so far; a view sees what is not above the version it was opened at.
    version: u64,
    /// How many views are open at each version.
    open_views: BTreeMap<u64, usize>,
    /// Keys whose older versions can go once no view is open below the version named.
    outdated: VecDeque<(u64, Keys, Bytes)>,
    /// What was not synced yet, oldest first, with what it replaced.
    unsynced: Vec<Unsynced>,
    stopped: bool,
}

type Keys = Arc<RwLock<BTreeMap<Bytes, Versions>>>;
/// The values of a key with the version that wrote each, oldest first; `None` for deleted.
type Versions = Vec<(u64, Option<Bytes>)>;

enum Unsynced {
    Created(SpaceId),
    Written(Vec<Replaced>),
}

struct Replaced {
    space: SpaceId,
    key: Bytes,
    before: Option<Bytes>,
}

impl Default for MemoryEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryEngine {
    /// An engine without any space.
    pub fn new() -> Self {
        Self::with_table(SpaceTable::new())
    }

    /// How many unsynced events (batches written, spaces created) a crash could lose.
    pub fn unsynced(&self) -> usize {
        self.read().unsynced.len()
    }

    /// The engine that is left after a power cut which the oldest `survivors` of the unsynced events
    /// survived: a disk may keep more than was synced, but never a later event without an earlier.
    /// This engine answers [`StoreError::Stopped`] from now on.
    pub fn crash(&self, survivors: usize) -> Self {
        let mut state = self.write_state();
        state.stopped = true;
        let mut spaces = latest(&state.table);
        for event in state.unsynced.iter().skip(survivors).rev() {
            match event {
                Unsynced::Created(id) => {
                    spaces.remove(id);
                }
                Unsynced::Written(replaced) => {
                    for Replaced { space, key, before } in replaced.iter().rev() {
                        let Some(keys) = spaces.get_mut(space) else { continue };
                        match before {
                            Some(value) => keys.insert(key.clone(), value.clone()),
                            None => keys.remove(key),
                        };
                    }
                }
            }
        }
        Self::from_latest(spaces)
    }

    /// The engine as a new process finds it after this one was killed: the operating system still has
    /// every write. This engine answers [`StoreError::Stopped`] from now on.
    pub fn reopen(&self) -> Self {
        self.crash(usize::MAX)
    }

    fn with_table(table: SpaceTable<Keys>) -> Self {
        let state = State {
            table,
            version: 0,
            open_views: BTreeMap::new(),
            outdated: VecDeque::new(),
            unsynced: Vec::new(),
            stopped: false,
        };
        Self { state: Arc::new(RwLock::new(state)) }
    }

    fn from_latest(spaces: BTreeMap<SpaceId, BTreeMap<Bytes, Bytes>>) -> Self {
        let mut table = SpaceTable::new();
        for (id, values) in spaces {
            let keys = values.into_iter().map(|(key, value)| (key, vec![(0, Some(value))])).collect();
            table.insert(id, Arc::new(RwLock::new(keys)));
        }
        Self::with_table(table)
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_state(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> Result<RwLockWriteGuard<'_, State>, StoreError> {
        let state = self.write_state();
        if state.stopped {
            let detail = "its process ended".to_owned();
            return Err(StoreError::Stopped { path: PathBuf::from("memory"), detail });
        }
        Ok(state)
    }
}

fn latest(table: &SpaceTable<Keys>) -> BTreeMap<SpaceId, BTreeMap<Bytes, Bytes>> {
    let mut spaces = BTreeMap::new();
    for id in table.ids() {
        let Some(Ok(keys)) = table.find(&id).map(|space| table.get(space)) else { continue };
        let values = read_keys(keys)
            .iter()
            .filter_map(|(key, versions)| Some((key.clone(), versions.last()?.1.clone()?)))
            .collect();
        spaces.insert(id, values);
    }
    spaces
}

fn read_keys(keys: &Keys) -> RwLockReadGuard<'_, BTreeMap<Bytes, Versions>> {
    keys.read().unwrap_or_else(PoisonError::into_inner)
}

fn write_keys(keys: &Keys) -> RwLockWriteGuard<'_, BTreeMap<Bytes, Versions>> {
    keys.write().unwrap_or_else(PoisonError::into_inner)
}

fn seen_at(versions: &Versions, version: u64) -> Option<&Bytes> {
    versions.iter().rev().find(|(written, _)| *written <= version)?.1.as_ref()
}

impl State {
    fn oldest_view(&self, newest: u64) -> u64 {
        self.open_views.keys().next().copied().unwrap_or(newest)
    }

    /// Adds a version of a key, drops those that no view can see, and gives the value before.
    fn put(&mut self, keys: &Keys, key: Bytes, value: Option<Bytes>, version: u64) -> Option<Bytes> {
        let oldest = self.oldest_view(version);
        let mut map = write_keys(keys);
        let versions = map.entry(key.clone()).or_default();
        let before = versions.last().and_then(|(_, value)| value.clone());
        if versions.last().is_some_and(|(written, _)| *written == version) {
            versions.pop();
        }
        versions.push((version, value));
        if prune(&mut map, &key, oldest) {
            self.outdated.push_back((version, Arc::clone(keys), key));
        }
        before
    }

    fn collect_outdated(&mut self) {
        let oldest = self.oldest_view(self.version);
        while self.outdated.front().is_some_and(|(version, _, _)| *version <= oldest) {
            let Some((_, keys, key)) = self.outdated.pop_front() else { break };
            // What stays outdated was written again since, and stands later in the queue too.
            prune(&mut write_keys(&keys), &key, oldest);
        }
    }
}

/// Drops the versions of a key that no view from `oldest` on can see; tells whether some are left
/// beside the value in force.
fn prune(map: &mut BTreeMap<Bytes, Versions>, key: &Bytes, oldest: u64) -> bool {
    let Some(versions) = map.get_mut(key) else { return false };
    let unseen = versions.iter().rposition(|(written, _)| *written <= oldest).unwrap_or(0);
    versions.drain(..unseen);
    match versions.as_slice() {
        [(written, None)] if *written <= oldest => {
            map.remove(key);
            false
        }
        [] | [(_, Some(_))] => false,
        [_, ..] => true,
    }
}

impl Engine for MemoryEngine {
    fn kind(&self) -> EngineKind {
        EngineKind::Memory
    }

    fn create_space(&self, id: &SpaceId) -> Result<Space, StoreError> {
        let mut state = self.running()?;
        id.check_name()?;
        if state.table.find(id).is_some() {
            return Err(StoreError::SpaceExists { space: id.to_string() });
        }
        state.unsynced.push(Unsynced::Created(id.clone()));
        Ok(state.table.insert(id.clone(), Keys::default()))
    }

    fn space(&self, id: &SpaceId) -> Option<Space> {
        self.read().table.find(id)
    }

    fn spaces(&self) -> Vec<SpaceId> {
        self.read().table.ids()
    }

    fn drop_space(&self, id: &SpaceId) -> Result<(), StoreError> {
        let mut state = self.running()?;
        state.table.remove(id).ok_or_else(|| StoreError::UnknownSpace { space: id.to_string() })?;
        state.unsynced.clear();
        Ok(())
    }

    fn ingest(&self, id: &SpaceId, pairs: Pairs<'_>) -> Result<Space, StoreError> {
        id.check_name()?;
        if self.running()?.table.find(id).is_some() {
            return Err(StoreError::SpaceExists { space: id.to_string() });
        }
        let seal = SealKey::of(id);
        let mut keys: BTreeMap<Bytes, Versions> = BTreeMap::new();
        for pair in pairs {
            let (key, mut value) = pair?;
            check_pair(&key, &value)?;
            if keys.last_key_value().is_some_and(|(last, _)| **last >= *key) {
                return Err(StoreError::IngestOrder { space: id.to_string(), key });
            }
            value.extend_from_slice(&seal.seal(&key, &value));
            keys.insert(Bytes::from(key), vec![(0, Some(Bytes::from(value)))]);
        }
        Ok(self.running()?.table.insert(id.clone(), Arc::new(RwLock::new(keys))))
    }

    fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut state = self.running()?;
        for operation in batch.operations()? {
            match operation {
                BatchOperation::Put { space, .. } | BatchOperation::Delete { space, .. } => {
                    state.table.get(space)?;
                }
            }
        }
        state.collect_outdated();
        let version = state.version + 1;
        let mut replaced = Vec::with_capacity(batch.len());
        let mut ids: BTreeMap<u32, SpaceId> = BTreeMap::new();
        for operation in batch.operations()? {
            let (space, key, value) = match operation {
                BatchOperation::Put { space, key, sealed } => (space, key, Some(Bytes::copy_from_slice(sealed))),
                BatchOperation::Delete { space, key } => (space, key, None),
            };
            let keys = Arc::clone(state.table.get(space)?);
            let key = Bytes::copy_from_slice(key);
            let before = state.put(&keys, key.clone(), value, version);
            let id = match ids.get(&space.slot) {
                Some(id) => id.clone(),
                None => {
                    let id = state.table.id(space)?;
                    ids.insert(space.slot, id.clone());
                    id
                }
            };
            replaced.push(Replaced { space: id, key, before });
        }
        state.unsynced.push(Unsynced::Written(replaced));
        state.version = version;
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.running()?.unsynced.clear();
        Ok(())
    }

    fn view(&self) -> Result<Arc<dyn View>, StoreError> {
        let mut state = self.running()?;
        let version = state.version;
        *state.open_views.entry(version).or_default() += 1;
        Ok(Arc::new(MemoryView { state: Arc::clone(&self.state), table: state.table.clone(), version }))
    }
}

struct MemoryView {
    state: Arc<RwLock<State>>,
    table: SpaceTable<Keys>,
    version: u64,
}

impl Drop for MemoryView {
    fn drop(&mut self) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = state.open_views.get_mut(&self.version) {
            *count -= 1;
            if *count == 0 {
                state.open_views.remove(&self.version);
            }
        }
    }
}

impl View for MemoryView {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<StoredBytes>, StoreError> {
        let keys = read_keys(self.table.get(space)?);
        let Some(sealed) = keys.get(key).and_then(|versions| seen_at(versions, self.version)) else {
            return Ok(None);
        };
        let end = space.seal.check(|| self.table.name(space), key, sealed)?;
        Ok(Some(StoredBytes::shared(sealed.clone(), end)))
    }

    fn scan(&self, space: Space, range: &KeyRange, direction: Direction) -> Result<Scan<'_>, StoreError> {
        let keys = Arc::clone(self.table.get(space)?);
        let mut scan = MemoryScan {
            view: self,
            space,
            keys,
            first: Bound::Included(Bytes::copy_from_slice(range.first())),
            end: range.end().map_or(Bound::Unbounded, |end| Bound::Excluded(Bytes::copy_from_slice(end))),
            direction,
            stretch_pairs: FIRST_STRETCH,
            chunk: VecDeque::new(),
            exhausted: range.is_empty(),
        };
        Ok(Box::new(std::iter::from_fn(move || scan.next())))
    }
}

struct MemoryScan<'v> {
    view: &'v MemoryView,
    space: Space,
    keys: Keys,
    first: Bound<Bytes>,
    end: Bound<Bytes>,
    direction: Direction,
    /// How many pairs the next stretch has.
    stretch_pairs: usize,
    chunk: VecDeque<(Bytes, Bytes)>,
    exhausted: bool,
}

impl MemoryScan<'_> {
    fn next(&mut self) -> Option<Result<(StoredBytes, StoredBytes), StoreError>> {
        while self.chunk.is_empty() && !self.exhausted {
            self.fill();
        }
        let (key, sealed) = self.chunk.pop_front()?;
        let checked = self.space.seal.check(|| self.view.table.name(self.space), &key, &sealed);
        match checked {
            Ok(end) => {
                let key_end = key.len();
                Some(Ok((StoredBytes::shared(key, key_end), StoredBytes::shared(sealed, end))))
            }
            Err(error) => {
                self.chunk.clear();
                self.exhausted = true;
                Some(Err(error))
            }
        }
    }

    /// Copies the next few pairs out, so that no lock is held between two calls.
    fn fill(&mut self) {
        let map = read_keys(&self.keys);
        let longer = (self.stretch_pairs * 2).min(LONGEST_STRETCH);
        let mut range = map.range::<Bytes, _>((self.first.as_ref(), self.end.as_ref()));
        for _ in 0..std::mem::replace(&mut self.stretch_pairs, longer) {
            let next = match self.direction {
                Direction::Forward => range.next(),
                Direction::Backward => range.next_back(),
            };
            let Some((key, versions)) = next else {
                self.exhausted = true;
                break;
            };
            match self.direction {
                Direction::Forward => self.first = Bound::Excluded(key.clone()),
                Direction::Backward => self.end = Bound::Excluded(key.clone()),
            }
            if let Some(sealed) = seen_at(versions, self.view.version) {
                self.chunk.push_back((key.clone(), sealed.clone()));
            }
        }
    }
}
