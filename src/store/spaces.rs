//! Spaces: named, sorted key ranges that are created, filled and dropped as a whole.
//!
//! A space has a name and a generation, so that a snapshot can be installed beside the data in use
//! and switched to in one batch. [`Space`] is the small handle that batches and views carry; it is
//! valid only in the engine that gave it and only while that engine is open, and must never be
//! stored.

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc};

use super::{StoreError, checksum::SealKey};

/// Names a space for good: its name and its generation, written `name@generation`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpaceId {
    name: Cow<'static, str>,
    generation: u64,
}

impl SpaceId {
    /// The longest name of a space, in bytes.
    pub const MAX_NAME_BYTES: usize = 64;

    /// A space of this name and generation. The name is checked when the space is created.
    pub fn new(name: impl Into<Cow<'static, str>>, generation: u64) -> Self {
        Self { name: name.into(), generation }
    }

    /// The name: what kind of record the space holds.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The generation: which installation of the book the space belongs to.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Reads `name@generation` back, or `None` where it is not of that form.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, generation) = text.split_once('@')?;
        let id = Self::new(name.to_owned(), generation.parse().ok()?);
        (id.check_name().is_ok() && id.to_string() == text).then_some(id)
    }

    pub(super) fn check_name(&self) -> Result<(), StoreError> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let fits = !self.name.is_empty() && self.name.len() <= Self::MAX_NAME_BYTES;
        if fits && self.name.bytes().all(allowed) {
            Ok(())
        } else {
            Err(StoreError::SpaceName { name: self.name.to_string() })
        }
    }
}

impl fmt::Display for SpaceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.name, self.generation)
    }
}

/// The handle of an existing space in one open engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub(super) slot: u32,
    pub(super) seal: SealKey,
}

/// The spaces of one engine, by handle and by id. Handles are never used twice in one process, so a
/// handle of a dropped space finds nothing rather than its successor.
#[derive(Clone)]
pub(super) struct SpaceTable<T> {
    slots: Arc<Vec<Option<Slot<T>>>>,
    by_id: Arc<BTreeMap<SpaceId, Space>>,
}

#[derive(Clone)]
struct Slot<T> {
    id: SpaceId,
    seal: SealKey,
    inside: T,
}

impl<T: Clone> SpaceTable<T> {
    pub(super) fn new() -> Self {
        Self { slots: Arc::new(Vec::new()), by_id: Arc::new(BTreeMap::new()) }
    }

    pub(super) fn insert(&mut self, id: SpaceId, inside: T) -> Space {
        let seal = SealKey::of(&id);
        let slots = Arc::make_mut(&mut self.slots);
        // A process that creates four thousand million spaces is beyond what can be tested;
        // saturating would alias the last two, and the seal key would tell them apart.
        let space = Space { slot: u32::try_from(slots.len()).unwrap_or(u32::MAX), seal };
        slots.push(Some(Slot { id: id.clone(), seal, inside }));
        Arc::make_mut(&mut self.by_id).insert(id, space);
        space
    }

    pub(super) fn remove(&mut self, id: &SpaceId) -> Option<T> {
        let space = Arc::make_mut(&mut self.by_id).remove(id)?;
        let slot = Arc::make_mut(&mut self.slots).get_mut(space.slot as usize)?.take()?;
        Some(slot.inside)
    }

    pub(super) fn find(&self, id: &SpaceId) -> Option<Space> {
        self.by_id.get(id).copied()
    }

    pub(super) fn ids(&self) -> Vec<SpaceId> {
        self.by_id.keys().cloned().collect()
    }

    /// What the adapter keeps for a space.
    pub(super) fn get(&self, space: Space) -> Result<&T, StoreError> {
        match self.slots.get(space.slot as usize) {
            Some(Some(slot)) if slot.seal == space.seal => Ok(&slot.inside),
            Some(_) | None => Err(StoreError::UnknownSpace { space: format!("#{}", space.slot) }),
        }
    }

    /// The id of a space.
    pub(super) fn id(&self, space: Space) -> Result<SpaceId, StoreError> {
        self.get(space)?;
        let slot = self.slots.get(space.slot as usize).and_then(Option::as_ref);
        slot.map(|slot| slot.id.clone()).ok_or_else(|| StoreError::UnknownSpace { space: self.name(space) })
    }

    /// The space's written name, for error messages.
    pub(super) fn name(&self, space: Space) -> String {
        match self.slots.get(space.slot as usize) {
            Some(Some(slot)) => slot.id.to_string(),
            Some(None) | None => format!("#{}", space.slot),
        }
    }
}
