//! Commands as they come, each answered once.
//!
//! A command has a place in its stream from when it is read until its answer was taken: by the
//! connection, which takes answers as its caller reads them. A caller that sends and does not read
//! therefore finds its stream's places, and then its windows, full, and waits. Places are counted
//! in commands and in bytes, of each stream and of all.
//!
//! Whatever ends a stream, every command that was read is answered first. So what the last status
//! says is true of all commands without an answer, as long as the connection lasts.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ledger::Command;
use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tokio_stream::Stream;
use tonic::{Status, Streaming};

use super::ledger_service::check_size;
use super::{Api, answers, errors};
use crate::proto::v1;

/// What a command takes besides its own bytes: itself while it waits, and its answer.
const COMMAND_BYTES: u32 = 1_024;
/// What a stream may have in flight however much all others have: some dozens of commands.
const OWN_BYTES: u32 = 64 * 1024;

/// Room for the commands of all streams.
#[derive(Debug, Clone)]
pub(super) struct StreamRoom {
    streams: Arc<Semaphore>,
    /// What streams have in flight beyond [`OWN_BYTES`].
    shared: Arc<Semaphore>,
    shared_bytes: u32,
}

impl StreamRoom {
    pub(super) fn new(streams: usize, shared_bytes: u32) -> StreamRoom {
        let shared = Arc::new(Semaphore::new(usize::try_from(shared_bytes).unwrap_or(Semaphore::MAX_PERMITS)));
        StreamRoom { streams: Arc::new(Semaphore::new(streams)), shared, shared_bytes }
    }

    /// Room for one stream more; refused as overload if there are enough.
    pub(super) fn open(&self) -> Result<OwnedSemaphorePermit, Status> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| errors::too_many_streams())
    }
}

/// The places of one stream's commands.
struct Places {
    commands: Arc<Semaphore>,
    most_commands: u32,
    own: Arc<Semaphore>,
    all: StreamRoom,
}

/// A command's place, until its answer was taken.
struct Place {
    _command: OwnedSemaphorePermit,
    _bytes: Option<OwnedSemaphorePermit>,
}

impl Places {
    fn new(api: &Api) -> Places {
        let most_commands = u32::try_from(api.limits.stream_in_flight).unwrap_or(u32::MAX);
        Places {
            commands: Arc::new(Semaphore::new(api.limits.stream_in_flight)),
            most_commands,
            own: Arc::new(Semaphore::new(usize::try_from(OWN_BYTES).unwrap_or(usize::MAX))),
            all: api.stream_room.clone(),
        }
    }

    /// Waits for a place among the stream's commands.
    async fn next(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.commands).acquire_owned().await.ok()
    }

    /// Waits for room for a command's bytes: the stream's own, or that of all.
    async fn room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).saturating_add(COMMAND_BYTES);
        // What is larger than all there is has all to itself.
        let (own, shared) = (bytes.min(OWN_BYTES), bytes.min(self.all.shared_bytes));
        let try_own = || Arc::clone(&self.own).try_acquire_many_owned(own);
        let try_shared = || Arc::clone(&self.all.shared).try_acquire_many_owned(shared);
        if let Ok(room) = try_own().or_else(|_| try_shared()) {
            return Some(room);
        }
        tokio::select! {
            room = Arc::clone(&self.own).acquire_many_owned(own) => room.ok(),
            room = Arc::clone(&self.all.shared).acquire_many_owned(shared) => room.ok(),
        }
    }

    /// Waits until every answer was taken.
    async fn all_taken(&self) {
        // It is never closed.
        let _ = self.commands.acquire_many(self.most_commands).await;
    }
}

/// An answer on its way to the connection.
type Answer = (Result<v1::StreamCommandsResponse, Status>, Option<Place>);

/// The answers of a stream. A command's place is free once its answer is taken from here.
pub struct Answers {
    answers: mpsc::Receiver<Answer>,
    _open: OwnedSemaphorePermit,
}

impl Stream for Answers {
    type Item = Result<v1::StreamCommandsResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.answers.poll_recv(context).map(|answer| answer.map(|(answer, _taken)| answer))
    }
}

impl Api {
    /// Decides commands as they come.
    pub(super) fn commands(&self, commands: Streaming<v1::StreamCommandsRequest>) -> Result<Answers, Status> {
        let (admitted, open) = (self.admission.admit(), self.stream_room.open());
        let (admitted, open) = (admitted.map_err(errors::of_command)?, open.map_err(errors::of_command)?);
        // As many as there are places, and one that ends the stream: nobody waits to give an
        // answer.
        let (sender, answers) = mpsc::channel(self.limits.stream_in_flight + 1);
        let api = self.clone();
        tokio::spawn(async move {
            let _admitted = admitted;
            let places = Places::new(&api);
            let ended = api.decide_all(commands, &places, &sender).await;
            if let Some(status) = ended {
                places.all_taken().await;
                // The caller may be gone.
                let _ = sender.send((Err(status), None)).await;
            }
        });
        Ok(Answers { answers, _open: open })
    }

    /// Reads commands and has them decided. Returns when no more come: with a status if that is not
    /// as it should be.
    async fn decide_all(
        &self,
        mut commands: Streaming<v1::StreamCommandsRequest>,
        places: &Places,
        sender: &mpsc::Sender<Answer>,
    ) -> Option<Status> {
        loop {
            // Not reading on is what stops a caller that is ahead: its windows fill up.
            let place = places.next().await?;
            let message = tokio::select! {
                message = commands.message() => message,
                () = sender.closed() => return None,
            };
            let message = match message {
                Ok(message) => message?,
                Err(status) => return Some(status),
            };
            let (tag, bytes) = (message.tag, message.encoded_len());
            let command = self.streamed(message);
            let place = Place { _command: place, _bytes: places.room(bytes).await };
            let (api, sender) = (self.clone(), sender.clone());
            tokio::spawn(async move {
                let result = api.answered(command).await;
                let response = v1::StreamCommandsResponse { tag, result: Some(result) };
                // Whoever asked may have gone; the command was decided all the same.
                let _ = sender.send((Ok(response), Some(place))).await;
            });
        }
    }

    /// A command of a stream, checked.
    fn streamed(&self, message: v1::StreamCommandsRequest) -> Result<Command, Status> {
        check_size(&message)?;
        let operation = message.command.and_then(|command| command.operation);
        self.parse(operation.ok_or_else(|| errors::invalid("command", "is empty"))?)
    }

    /// What becomes of a command of a stream. A malformed one, or one without an answer, is
    /// answered in its place; the stream goes on.
    async fn answered(&self, command: Result<Command, Status>) -> v1::CommandResult {
        let decided = async {
            let deadline = Instant::now() + self.limits.default_timeout;
            let answers = self.decide(vec![command?], deadline).await?;
            answers.first().map(answers::command_result).ok_or_else(|| errors::storage(&"the command has no answer"))
        };
        decided.await.unwrap_or_else(|status| v1::CommandResult {
            refusal: Some(undecided(&errors::of_command(status))),
            ..v1::CommandResult::default()
        })
    }
}

/// A status in a stream's result; it has no decision, because nothing was decided.
fn undecided(status: &Status) -> v1::Refusal {
    use tonic_types::StatusExt as _;
    let details = status.get_error_details();
    let info = details.error_info();
    v1::Refusal {
        reason: info.map(|info| info.reason.clone()).unwrap_or_default(),
        code: status.code() as i32,
        message: status.message().to_owned(),
        remedy: details.localized_message().map(|message| message.message.clone()).unwrap_or_default(),
        metadata: info.map(|info| info.metadata.clone()).unwrap_or_default(),
    }
}
