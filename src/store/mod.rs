//! The book's storage port and its adapters.
//!
//! Everything above this module sees spaces of sorted keys, atomic batches, consistent views and a
//! sync, through the trait [`Engine`]; no other module may name a storage engine. Three adapters
//! implement it: [`fjall::FjallEngine`] (the default), [`sled::SledEngine`], and
//! [`memory::MemoryEngine`], which draws an explicit line between synced and unsynced writes for
//! crash tests and simulation.
//!
//! What this module must never do: read outside a view, interpret what it stores, look at a clock,
//! or return a value whose checksum does not fit its space and key.

mod batch;
mod bytes;
pub mod checksum;
mod engine;
mod error;
pub mod fjall;
pub mod folder;
mod marks;
pub mod memory;
mod note;
mod range;
pub mod sled;
mod spaces;

use std::{path::Path, sync::Arc};

pub use batch::{Batch, BatchOperation, MAX_BATCH_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES, RESERVED_KEY};
pub use bytes::StoredBytes;
pub use engine::{Direction, Engine, EngineKind, Pair, Pairs, Scan, View};
pub use error::StoreError;
pub use range::KeyRange;
pub use spaces::{Space, SpaceId};

/// Descriptors that the engines of a replica may have open at once: the tables that they keep open, and journals, marks,
/// and what a merge or a flush reads and writes besides.
pub const MOST_OPEN_FILES: usize = fjall::BOOK_OPEN_FILES + fjall::LOG_OPEN_FILES + 128;

/// Opens the book's engine of the given kind in `folder`, creating both where there is nothing yet.
///
/// The memory engine keeps nothing in the folder and starts empty every time.
///
/// # Errors
/// Whatever stands in the way of opening: the folder is in use, holds something else, another
/// format version or another engine, is damaged, or the disk fails.
pub fn open(kind: EngineKind, folder: &Path) -> Result<Arc<dyn Engine>, StoreError> {
    Ok(match kind {
        EngineKind::Fjall => Arc::new(fjall::FjallEngine::open(folder, &fjall::FjallBounds::default())?),
        EngineKind::Sled => Arc::new(sled::SledEngine::open(folder)?),
        EngineKind::Memory => Arc::new(memory::MemoryEngine::new()),
    })
}

/// Opens the engine of the Raft log in `folder`, apart from the book's: fjall, or memory where the book is in memory too. sled is never asked to
/// hold a log.
///
/// # Errors
/// As [`open`].
pub fn open_log(kind: EngineKind, folder: &Path) -> Result<Arc<dyn Engine>, StoreError> {
    Ok(match kind {
        EngineKind::Fjall | EngineKind::Sled => {
            Arc::new(fjall::FjallEngine::open_log(folder, &fjall::FjallBounds::for_log())?)
        }
        EngineKind::Memory => Arc::new(memory::MemoryEngine::new()),
    })
}
