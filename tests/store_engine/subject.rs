//! An adapter under test, and how checks look at it.

use std::path::PathBuf;
use std::sync::Arc;

use folio::store::memory::MemoryEngine;
use folio::store::{Batch, Direction, Engine, EngineKind, KeyRange, Pair, Space, SpaceId, View};

/// One adapter under test, with the folder it lives in.
pub struct Subject {
    pub kind: EngineKind,
    folder: PathBuf,
    engine: Option<Opened>,
    _temporary: tempfile::TempDir,
}

enum Opened {
    OnDisk(Arc<dyn Engine>),
    InMemory(Arc<MemoryEngine>),
}

impl Subject {
    pub fn new(kind: EngineKind) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("book");
        let engine = match kind {
            EngineKind::Fjall | EngineKind::Sled => Opened::OnDisk(folio::store::open(kind, &folder).unwrap()),
            EngineKind::Memory => Opened::InMemory(Arc::new(MemoryEngine::new())),
        };
        Self { kind, folder, engine: Some(engine), _temporary: temporary }
    }

    pub fn engine(&self) -> Arc<dyn Engine> {
        match self.engine.as_ref().unwrap() {
            Opened::OnDisk(engine) => Arc::clone(engine),
            Opened::InMemory(engine) => Arc::<MemoryEngine>::clone(engine),
        }
    }

    /// Closes the engine and opens it again, as a restart of the process does.
    pub fn reopen(&mut self) {
        let next = match self.engine.take().unwrap() {
            Opened::OnDisk(engine) => {
                assert_eq!(Arc::strong_count(&engine), 1, "a check must let go of the engine before it reopens");
                drop(engine);
                Opened::OnDisk(folio::store::open(self.kind, &self.folder).unwrap())
            }
            Opened::InMemory(engine) => Opened::InMemory(Arc::new(engine.reopen())),
        };
        self.engine = Some(next);
    }
}

pub fn id(name: &'static str, generation: u64) -> SpaceId {
    SpaceId::new(name, generation)
}

pub fn put(engine: &dyn Engine, space: Space, pairs: &[(&[u8], &[u8])]) {
    let mut batch = Batch::new();
    for (key, value) in pairs {
        batch.put(space, key, value);
    }
    engine.write(&batch).unwrap();
}

pub fn get(view: &dyn View, space: Space, key: &[u8]) -> Option<Vec<u8>> {
    view.get(space, key).unwrap().map(|value| value.to_vec())
}

pub fn scan(view: &dyn View, space: Space, range: &KeyRange, direction: Direction) -> Vec<Pair> {
    view.scan(space, range, direction)
        .unwrap()
        .map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap())
        .collect()
}

pub fn all(view: &dyn View, space: Space) -> Vec<Pair> {
    scan(view, space, &KeyRange::all(), Direction::Forward)
}

pub fn pairs(list: &[(&[u8], &[u8])]) -> Vec<Pair> {
    list.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
}
