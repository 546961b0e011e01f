//! Appends to a peer go over streams that stay open: one message there and one back for each, where a call of its own would send headers and trailers besides, and every packet wakes
//! the other side.
//!
//! Over a stream one append is on its way at a time. Whoever gives up waiting drops the stream with it, so that a late reply can never be taken for another's.

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::proto::internal as wire;
use crate::proto::internal::raft_service_client::RaftServiceClient;

/// An open stream with nothing on its way.
#[derive(Debug)]
pub(super) struct AppendStream {
    requests: mpsc::Sender<wire::AppendEntriesRequest>,
    replies: Streaming<wire::AppendEntriesResponse>,
}

impl AppendStream {
    /// Opens a stream with its first append, and returns the reply to that.
    pub(super) async fn open(
        mut client: RaftServiceClient<Channel>,
        first: wire::AppendEntriesRequest,
    ) -> Result<(AppendStream, Bytes), Status> {
        let (requests, receiver) = mpsc::channel(1);
        requests.try_send(first).map_err(|_| Status::internal("a new stream takes no message"))?;
        let replies = client.append_entries(ReceiverStream::new(receiver)).await?.into_inner();
        let mut stream = AppendStream { requests, replies };
        let reply = stream.reply().await?;
        Ok((stream, reply))
    }

    /// Sends an append and waits for the reply. After an error the stream is of no more use.
    pub(super) async fn exchange(&mut self, message: wire::AppendEntriesRequest) -> Result<Bytes, Status> {
        self.requests.try_send(message).map_err(|_| ended())?;
        self.reply().await
    }

    async fn reply(&mut self) -> Result<Bytes, Status> {
        Ok(self.replies.message().await?.ok_or_else(ended)?.payload)
    }
}

fn ended() -> Status {
    Status::unavailable("the peer ended the stream of appends")
}
