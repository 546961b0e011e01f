//! The port: what the book asks of a storage engine, and nothing more.
//!
//! Writes go in atomic batches; reads go through a view and there only, because a read outside one
//! can see half a batch. The port knows spaces, keys and bytes. It must never know what they mean.

use std::{fmt, str::FromStr, sync::Arc};

use super::{Batch, KeyRange, Space, SpaceId, StoreError, StoredBytes};

/// A storage engine that holds the book.
///
/// One thread writes (`write`, `sync`, `create_space`, `ingest`, `drop_space`); any number of
/// threads hold views. All calls may block on the disk: never call them from an async worker.
pub trait Engine: Send + Sync {
    /// Which engine this is.
    fn kind(&self) -> EngineKind;

    /// Creates an empty space. It survives power loss at the latest after the next [`sync`](Self::sync).
    ///
    /// # Errors
    /// [`StoreError::SpaceExists`], [`StoreError::SpaceName`], or a failure of the disk.
    fn create_space(&self, id: &SpaceId) -> Result<Space, StoreError>;

    /// The handle of an existing space.
    fn space(&self, id: &SpaceId) -> Option<Space>;

    /// All spaces, in order of name and generation.
    fn spaces(&self) -> Vec<SpaceId>;

    /// Removes a space with all that it holds. Everything written before is synced first, so that
    /// power loss can never leave the book without both the old space and what replaced it. Open
    /// views keep reading the dropped space.
    ///
    /// # Errors
    /// [`StoreError::UnknownSpace`], or a failure of the disk.
    fn drop_space(&self, id: &SpaceId) -> Result<(), StoreError>;

    /// Creates a space and fills it with pairs that come in strictly ascending order of keys. When
    /// this returns, the space and all of it survive power loss. If it fails, no such space is left;
    /// if the process dies, a part of it may be left under its name, which its owner drops when it
    /// next opens: only a later batch makes an installed space count.
    ///
    /// # Errors
    /// [`StoreError::SpaceExists`], [`StoreError::IngestOrder`], [`StoreError::OutOfBounds`],
    /// whatever the source of the pairs gives, or a failure of the disk.
    fn ingest(&self, id: &SpaceId, pairs: Pairs<'_>) -> Result<Space, StoreError>;

    /// Applies a batch: whole or not at all, after all earlier batches and before all later ones, in
    /// memory and after any crash. Not synced.
    ///
    /// # Errors
    /// [`StoreError::OutOfBounds`] or [`StoreError::UnknownSpace`], with nothing applied; otherwise a
    /// failure of the disk, after which the engine must be opened anew.
    fn write(&self, batch: &Batch) -> Result<(), StoreError>;

    /// Everything written so far survives power loss when this returns.
    ///
    /// # Errors
    /// A failure of the disk, after which the engine must be opened anew: what a failed sync left on
    /// the disk is unknown.
    fn sync(&self) -> Result<(), StoreError>;

    /// A view of all spaces as they are after the last whole batch.
    ///
    /// # Errors
    /// [`StoreError::Stopped`] after an earlier failure.
    fn view(&self) -> Result<Arc<dyn View>, StoreError>;
}

/// All spaces at one moment; later writes are never seen. Holding a view costs what is overwritten
/// meanwhile, so let go of it soon.
pub trait View: Send + Sync {
    /// The value under a key.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::ViewExpired`], [`StoreError::UnknownSpace`] for a space
    /// that did not exist then, or a failure of the disk.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<StoredBytes>, StoreError>;

    /// The pairs of a range, in ascending or descending order of their keys. After its first error
    /// the scan ends.
    ///
    /// # Errors
    /// As [`get`](Self::get), for the scan as a whole or at any pair.
    fn scan(&self, space: Space, range: &KeyRange, direction: Direction) -> Result<Scan<'_>, StoreError>;
}

/// A running scan.
pub type Scan<'v> = Box<dyn Iterator<Item = Result<(StoredBytes, StoredBytes), StoreError>> + Send + 'v>;

/// A key and its value on the way into a bulk load.
pub type Pair = (Vec<u8>, Vec<u8>);

/// The source of a bulk load.
pub type Pairs<'p> = &'p mut dyn Iterator<Item = Result<Pair, StoreError>>;

/// The order of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Ascending keys.
    Forward,
    /// Descending keys.
    Backward,
}

/// The engines that there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineKind {
    /// Log-structured, the default: keeps what it acknowledged through power loss.
    #[default]
    Fjall,
    /// The engine of the first sketch; see `docs/storage-format.md` for what it survives.
    Sled,
    /// Keeps nothing on disk: for tests and simulation.
    Memory,
}

impl EngineKind {
    /// The name in configuration and in the FORMAT file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fjall => "fjall",
            Self::Sled => "sled",
            Self::Memory => "memory",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for EngineKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Fjall, Self::Sled, Self::Memory]
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("unknown storage engine {text:?}: use fjall, sled or memory"))
    }
}
