//! The book as openraft's state machine. A snapshot is a meta record and a view that is opened when it is sent; an installation fills fresh spaces and
//! switches to them at its end.

use std::sync::Arc;

use openraft::storage::{RaftStateMachine, Snapshot, SnapshotMeta};
use openraft::{AnyError, EntryPayload, ErrorSubject, ErrorVerb, OptionalSend, RaftSnapshotBuilder, StorageIOError};
use tokio::sync::{OwnedMutexGuard, watch};

use super::codec;
use super::leader_sync::LeaderSync;
use super::worker::Worker;
use openraft::BasicNode;

use super::{Answers, Entry, LogId, StorageError, StoredMembership, TypeConfig};
use crate::book::records::meta::Meta;
use crate::book::transfer::Sink;
use crate::book::view::BookView;
use crate::book::{Book, BookError, Committed};

/// The most bytes of entries that are applied on the thread of replication: some hundred commands, a fraction of a millisecond.
const MAX_BYTES_HERE: usize = 16 * 1024;
/// The tasks that a follower's answer to an append passes, after Raft has it: the call, the stream, the connection.
const TURNS_OF_AN_ANSWER: usize = 3;

/// What travels as a snapshot.
pub enum SnapshotData {
    /// A view to send.
    Outgoing(Arc<BookView>),
    /// Spaces that were filled; `None` until then.
    Incoming(Box<Option<Received>>),
}

/// A snapshot that arrived whole, to be put in force.
pub struct Received {
    pub(super) sink: Sink,
    pub(super) book: Meta,
    /// Held until the snapshot is in force or given up, also when the call that brought it has ended: a second snapshot must not begin by dropping
    /// the spaces of this one.
    pub(super) turn: OwnedMutexGuard<()>,
}

/// Called when the replica must stop: with the reason. It does not return to serving.
pub(super) type OnFatal = Arc<dyn Fn(String) + Send + Sync>;

/// The book behind its worker.
#[derive(Clone)]
pub(super) struct StateMachine {
    /// This replica.
    pub(super) own_id: u64,
    pub(super) book: Arc<Book>,
    pub(super) worker: Worker,
    pub(super) applied: watch::Sender<u64>,
    /// Up to which index the log of this replica is synced: nothing else is applied, or answered.
    pub(super) synced: watch::Receiver<u64>,
    pub(super) on_fatal: OnFatal,
}

/// Lets the tasks have their turns through which a follower tells its leader what it has appended: the leader waits for that, and nobody for what a follower applies.
async fn let_answers_go() {
    for _ in 0..TURNS_OF_AN_ANSWER {
        tokio::task::yield_now().await;
    }
}

fn failed(verb: ErrorVerb, error: impl std::error::Error + 'static) -> StorageError {
    StorageIOError::new(ErrorSubject::StateMachine, verb, AnyError::new(&error)).into()
}

impl StateMachine {
    pub(super) async fn run<T: Send + 'static>(
        &self,
        verb: ErrorVerb,
        job: impl FnOnce(&Book) -> Result<T, BookError> + Send + 'static,
    ) -> Result<T, StorageError> {
        self.run_on(&self.worker, verb, job).await
    }

    async fn run_on<T: Send + 'static>(
        &self,
        worker: &Worker,
        verb: ErrorVerb,
        job: impl FnOnce(&Book) -> Result<T, BookError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let book = Arc::clone(&self.book);
        let on_fatal = Arc::clone(&self.on_fatal);
        let guarded = move || {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job(&book)));
            match result {
                Ok(Ok(value)) => Ok(value),
                // A snapshot that is not usable is the sender's fault and leaves the book as it was.
                Ok(Err(error @ BookError::Snapshot(_))) => Err(error),
                Ok(Err(error)) => {
                    on_fatal(error.to_string());
                    Err(error)
                }
                Err(_) => {
                    on_fatal("the applier panicked".to_owned());
                    Err(BookError::Broken { index: 0, detail: "the applier panicked".to_owned() })
                }
            }
        };
        match worker.run(guarded).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(failed(verb, error)),
            Err(ended) => Err(failed(verb, ended)),
        }
    }
}

pub(super) fn log_id_of(meta: &Meta) -> Result<Option<LogId>, StorageError> {
    match &meta.applied {
        Some(bytes) => {
            codec::decode("the applied log id", bytes).map(Some).map_err(|error| failed(ErrorVerb::Read, error))
        }
        None => Ok(None),
    }
}

pub(super) fn membership_of(meta: &Meta) -> Result<StoredMembership, StorageError> {
    match &meta.membership {
        Some(bytes) => codec::decode("the stored membership", bytes).map_err(|error| failed(ErrorVerb::Read, error)),
        None => Ok(StoredMembership::default()),
    }
}

fn committed(entry: &Entry) -> Result<(Vec<u8>, Option<Vec<u8>>), codec::Malformed> {
    let log_id = codec::encode(&entry.log_id)?;
    let membership = match &entry.payload {
        EntryPayload::Membership(membership) => {
            Some(codec::encode(&StoredMembership::new(Some(entry.log_id), membership.clone()))?)
        }
        EntryPayload::Blank | EntryPayload::Normal(_) => None,
    };
    Ok((log_id, membership))
}

fn apply_all(book: &Book, entries: &[Entry], applied: &watch::Sender<u64>) -> Result<Vec<Answers>, BookError> {
    let mut replies = Vec::with_capacity(entries.len());
    for entry in entries {
        let index = entry.log_id.index;
        let (log_id, membership) =
            committed(entry).map_err(|error| BookError::Entry { index, detail: error.to_string() })?;
        let payload = match (&entry.payload, membership) {
            (EntryPayload::Normal(payload), _) => crate::book::Payload::Commands(&payload.0),
            (EntryPayload::Membership(_), Some(membership)) => crate::book::Payload::Membership(membership),
            (EntryPayload::Blank | EntryPayload::Membership(_), _) => crate::book::Payload::Blank,
        };
        replies.push(Answers(book.apply(Committed { index, log_id, payload })?));
        applied.send_replace(index);
    }
    Ok(replies)
}

fn snapshot_of(view: BookView) -> Result<Snapshot<TypeConfig>, StorageError> {
    let last_log_id = log_id_of(view.meta())?;
    let hash = crate::book::records::hex(&view.meta().state_hash[..8]);
    Ok(Snapshot {
        meta: SnapshotMeta {
            last_log_id,
            last_membership: membership_of(view.meta())?,
            snapshot_id: format!("{}-{hash}", view.meta().index),
        },
        snapshot: Box::new(SnapshotData::Outgoing(Arc::new(view))),
    })
}

impl RaftSnapshotBuilder<TypeConfig> for StateMachine {
    /// The log is purged up to what this returns, so the book is synced first.
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig>, StorageError> {
        let view = self
            .run(ErrorVerb::Write, |book| {
                let view = book.view();
                book.sync()?;
                Ok(view)
            })
            .await?;
        snapshot_of(view)
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotBuilder = StateMachine;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        let meta = self.book.meta();
        Ok((log_id_of(&meta)?, membership_of(&meta)?))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Answers>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        if let Some(last) = entries.last() {
            let synced = LeaderSync::wait(&self.synced, last.log_id.index).await;
            synced.map_err(|ended| failed(ErrorVerb::Write, ended))?;
        }
        let applied = self.applied.clone();
        let bytes: usize = entries.iter().map(codec::entry_bytes).sum();
        // Little work is done here and now: handing it over would take longer.
        let here = Worker::inline();
        let is_here = bytes <= MAX_BYTES_HERE && self.book.is_quick();
        if is_here && entries.last().is_some_and(|last| last.log_id.leader_id.node_id != self.own_id) {
            let_answers_go().await;
        }
        let worker = if is_here { &here } else { &self.worker };
        self.run_on(worker, ErrorVerb::Write, move |book| apply_all(book, &entries, &applied)).await
    }

    async fn get_snapshot_builder(&mut self) -> StateMachine {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<SnapshotData>, StorageError> {
        Ok(Box::new(SnapshotData::Incoming(Box::new(None))))
    }

    async fn install_snapshot(
        &mut self,
        _meta: &SnapshotMeta<u64, BasicNode>,
        snapshot: Box<SnapshotData>,
    ) -> Result<(), StorageError> {
        let SnapshotData::Incoming(incoming) = *snapshot else {
            return Err(failed(ErrorVerb::Write, codec::Malformed("a snapshot to install: it is one to send")));
        };
        let Some(Received { sink, book, turn }) = *incoming else {
            return Err(failed(ErrorVerb::Write, codec::Malformed("a snapshot to install: it was not received whole")));
        };
        let index = book.index;
        let install = move |_: &Book| {
            let result = sink.finish(book);
            drop(turn);
            result
        };
        self.run(ErrorVerb::Write, install).await?;
        self.applied.send_replace(index);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<TypeConfig>>, StorageError> {
        // An empty book is none.
        Ok(Some(snapshot_of(self.book.view())?).filter(|snapshot| snapshot.meta.last_log_id.is_some()))
    }
}
