//! The journal on its way to a caller: what waits for the caller counts against what all callers
//! leave waiting.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::Stream;
use tonic::Status;

use super::Api;
use super::held::{Held, Hold};
use crate::proto::v1;

type Chunk = Result<v1::StreamJournalResponse, Status>;

/// Gives chunks of records to a caller, one ahead of what he took.
pub(super) struct Giver {
    chunks: mpsc::Sender<(Chunk, Hold)>,
    unsent: Arc<Held>,
}

/// The chunks, as the connection takes them.
pub struct Records {
    chunks: mpsc::Receiver<(Chunk, Hold)>,
    _open: OwnedSemaphorePermit,
}

/// The journal's way to a caller; refused if there are too many streams.
pub(super) fn open(api: &Api) -> Result<(Giver, Records), Status> {
    let open = api.stream_room.open()?;
    let (sender, chunks) = mpsc::channel(1);
    Ok((Giver { chunks: sender, unsent: Arc::clone(&api.unsent) }, Records { chunks, _open: open }))
}

impl Giver {
    /// Gives a chunk once there is room for it. False if nobody takes it any more.
    pub(super) async fn give(&self, chunk: Chunk) -> bool {
        let bytes = chunk.as_ref().map_or(0, prost::Message::encoded_len);
        self.chunks.send((chunk, Hold::new(&self.unsent, bytes))).await.is_ok()
    }

    /// Resolves once nobody takes anything any more.
    pub(super) async fn closed(&self) {
        self.chunks.closed().await;
    }
}

impl Stream for Records {
    type Item = Chunk;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Chunk>> {
        self.chunks.poll_recv(context).map(|chunk| chunk.map(|(chunk, _taken)| chunk))
    }
}
