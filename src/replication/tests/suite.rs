//! openraft's own suite for stores, over the real log and the real book.

use openraft::storage::{RaftStateMachine, Snapshot, SnapshotMeta};
use openraft::testing::{StoreBuilder, Suite};
use openraft::{BasicNode, OptionalSend, RaftSnapshotBuilder};
use tokio::sync::Mutex;

use super::*;
use crate::book::Book;
use crate::book::transfer::Source;
use crate::replication::state_machine::{Received, SnapshotData, StateMachine};
use crate::replication::{Answers, StorageError, StoredMembership, TypeConfig};

/// The state machine, and the network in between: what one replica sends is what another receives, in chunks.
struct Connected(StateMachine);

impl RaftSnapshotBuilder<TypeConfig> for Connected {
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig>, StorageError> {
        self.0.build_snapshot().await
    }
}

impl RaftStateMachine<TypeConfig> for Connected {
    type SnapshotBuilder = StateMachine;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        self.0.applied_state().await
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Answers>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.0.apply(entries).await
    }

    async fn get_snapshot_builder(&mut self) -> StateMachine {
        self.0.get_snapshot_builder().await
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<SnapshotData>, StorageError> {
        self.0.begin_receiving_snapshot().await
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<u64, BasicNode>,
        snapshot: Box<SnapshotData>,
    ) -> Result<(), StorageError> {
        let SnapshotData::Outgoing(view) = *snapshot else { panic!("a snapshot to send was expected") };
        let book = view.meta().clone();
        let mut source = Source::new(view);
        let mut sink = self.0.book.install().unwrap();
        while let Some(chunk) = source.next_chunk().unwrap() {
            sink.push(&chunk).unwrap();
        }
        let turn = Arc::new(Mutex::new(())).lock_owned().await;
        let received = Received { sink, book, turn };
        self.0.install_snapshot(meta, Box::new(SnapshotData::Incoming(Box::new(Some(received))))).await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<TypeConfig>>, StorageError> {
        self.0.get_current_snapshot().await
    }
}

struct Builder(EngineKind);

impl StoreBuilder<TypeConfig, LogStore, Connected, Subject> for Builder {
    async fn build(&self) -> Result<(Subject, LogStore, Connected), StorageError> {
        let subject = Subject::new(self.0);
        let log = subject.open().unwrap();
        let engine = store::open(self.0, &subject.folder.path().join("book")).unwrap();
        let machine = StateMachine {
            own_id: 1,
            book: Arc::new(Book::open(engine).unwrap()),
            worker: Worker::start(Threads::Own, "apply-test", Slice::Short).unwrap(),
            applied: watch::channel(0).0,
            // The suite applies entries that it never appended.
            synced: watch::channel(u64::MAX).1,
            on_fatal: Arc::new(|reason| panic!("the replica stopped: {reason}")),
        };
        Ok((subject, log, Connected(machine)))
    }
}

#[test]
fn openraft_accepts_log_and_book_in_memory() {
    Suite::test_all(Builder(EngineKind::Memory)).unwrap();
}

#[test]
fn openraft_accepts_log_and_book_on_fjall() {
    Suite::test_all(Builder(EngineKind::Fjall)).unwrap();
}
