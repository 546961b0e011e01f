//! Engines that a test can hold up or break.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use folio::store::{Batch, Engine, EngineKind, Pairs, Space, SpaceId, StoreError, View};

/// Holds up changes of a kind while it is shut.
#[derive(Default)]
pub struct Gate {
    state: Mutex<GateState>,
    opened: Condvar,
}

#[derive(Default)]
struct GateState {
    is_shut: bool,
    waiting: usize,
}

impl Gate {
    pub fn shut(&self) {
        self.state.lock().unwrap().is_shut = true;
    }

    pub fn open(&self) {
        self.state.lock().unwrap().is_shut = false;
        self.opened.notify_all();
    }

    /// How many changes are held up.
    pub fn waiting(&self) -> usize {
        self.state.lock().unwrap().waiting
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        let mut state = self.opened.wait_while(state, |state| state.is_shut).unwrap();
        state.waiting -= 1;
    }
}

/// An engine that does as another does, but asks first.
pub struct Wrapped {
    pub inner: Arc<dyn Engine>,
    pub before: Before,
}

/// What is wrong with an engine.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    None,
    Fails,
    Panics,
}

/// The kinds of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    CreateSpace,
    DropSpace,
    Ingest,
    Write,
    Sync,
}

fn stopped(detail: &str) -> StoreError {
    StoreError::Stopped { path: "test".into(), detail: detail.to_owned() }
}

/// What is asked before each change.
pub enum Before {
    /// Changes of a kind wait at the gate.
    Gate(Change, Arc<Gate>),
    /// Changes do what the fault says.
    Fault(Arc<Mutex<Fault>>),
    /// After so many changes everything fails, as if the process had ended there; what was changed until then is recorded.
    Fail { after: AtomicU64, made: Mutex<Vec<Change>> },
}

impl Wrapped {
    fn change(&self, change: Change) -> Result<(), StoreError> {
        match &self.before {
            Before::Gate(held, gate) => {
                if *held == change {
                    gate.pass();
                }
                Ok(())
            }
            Before::Fault(fault) => {
                let fault = *fault.lock().unwrap();
                match fault {
                    Fault::None => Ok(()),
                    Fault::Fails => Err(stopped("the disk failed")),
                    Fault::Panics => panic!("the engine panicked"),
                }
            }
            Before::Fail { after, made } => {
                if after.load(Ordering::Relaxed) == 0 {
                    return Err(stopped("the process ended here"));
                }
                after.fetch_sub(1, Ordering::Relaxed);
                made.lock().unwrap().push(change);
                Ok(())
            }
        }
    }
}

impl Engine for Wrapped {
    fn kind(&self) -> EngineKind {
        self.inner.kind()
    }

    fn create_space(&self, id: &SpaceId) -> Result<Space, StoreError> {
        self.change(Change::CreateSpace)?;
        self.inner.create_space(id)
    }

    fn space(&self, id: &SpaceId) -> Option<Space> {
        self.inner.space(id)
    }

    fn spaces(&self) -> Vec<SpaceId> {
        self.inner.spaces()
    }

    fn drop_space(&self, id: &SpaceId) -> Result<(), StoreError> {
        self.change(Change::DropSpace)?;
        self.inner.drop_space(id)
    }

    fn ingest(&self, id: &SpaceId, pairs: Pairs<'_>) -> Result<Space, StoreError> {
        self.change(Change::Ingest)?;
        self.inner.ingest(id, pairs)
    }

    fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        self.change(Change::Write)?;
        self.inner.write(batch)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.change(Change::Sync)?;
        self.inner.sync()
    }

    fn view(&self) -> Result<Arc<dyn View>, StoreError> {
        self.inner.view()
    }
}
