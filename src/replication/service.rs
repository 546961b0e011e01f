//! The receiving side of the peers' calls. Another cluster's replicas are refused; everything received has a bound.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, TryReadyChunksError};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use ledger::LogTime;
use openraft::raft::AppendEntriesRequest;
use openraft::storage::Snapshot;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};

use super::codec::{self, Malformed};
use super::network::{AppendHeader, SnapshotHeader};
use super::node::Node;
use super::peers::MAX_MESSAGE_BYTES;
use super::read::ReadPoint;
use super::read_index::LeaderPoint;
use super::relay::{Question, Relayed};
use super::state_machine::{Received, SnapshotData, StateMachine, log_id_of, membership_of};
use crate::book::BookError;
use crate::book::transfer::Sink;
use crate::proto::internal as wire;
use crate::proto::internal::raft_service_server::RaftService;

/// The largest chunk of a snapshot that is accepted.
const MAX_CHUNK_BYTES: usize = 32 * 1024 * 1024;
/// Questions of one follower that are being answered at once.
const MAX_RELAYED: usize = 1_024;
/// Answers of one message, and about the most bytes of those that go together: the largest, a page, is well below what is
/// left to the bound of a message.
const MAX_READY: usize = 32;
const TOGETHER_BYTES: usize = MAX_MESSAGE_BYTES / 4;
/// The longest that a question may take.
const MAX_RELAY_TIMEOUT: Duration = Duration::from_secs(60);

/// Answers the peers.
#[derive(Clone)]
pub struct PeerService {
    pub(super) node: Arc<Node>,
    /// True once the replica is to stop: streams, which end by themselves only when the peer is gone, then end.
    pub(super) stopped: watch::Receiver<bool>,
    /// Answers what followers were asked.
    pub(super) relayed: Relayed,
}

fn malformed(error: Malformed) -> Status {
    Status::invalid_argument(error.to_string())
}

fn reply<T: serde::Serialize>(value: &T) -> Result<bytes::Bytes, Status> {
    codec::encode(value).map(Into::into).map_err(|error| Status::internal(error.to_string()))
}

/// Answers in messages: as many in each as go together.
fn together(ready: Vec<wire::RelayedAnswer>) -> Vec<wire::RelayResponse> {
    let (mut responses, mut answers, mut bytes) = (Vec::new(), Vec::new(), 0);
    for answer in ready {
        bytes += answer.message.as_ref().map_or(0, bytes::Bytes::len);
        if bytes > TOGETHER_BYTES && !answers.is_empty() {
            responses.push(wire::RelayResponse { answers: std::mem::take(&mut answers) });
            bytes = answer.message.as_ref().map_or(0, bytes::Bytes::len);
        }
        answers.push(answer);
    }
    responses.push(wire::RelayResponse { answers });
    responses
}

impl PeerService {
    fn check_cluster(&self, cluster_id: &str) -> Result<(), Status> {
        let own = &self.node.identity().cluster_id;
        if cluster_id == own {
            return Ok(());
        }
        Err(Status::permission_denied(format!(
            "this replica belongs to cluster {own:?}, the caller to {cluster_id:?}; mend the addresses"
        )))
    }

    /// Resolves once the replica is to stop.
    fn stopping(&self) -> BoxFuture<'static, ()> {
        let mut stopped = self.stopped.clone();
        let stopping = async move {
            // An error means that the sender is gone, which is a stop as well.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        stopping.boxed()
    }

    /// Answers what a follower was asked. Why there is no answer is of no use to it: it then goes on as if it had not asked.
    async fn answer(&self, asked: wire::RelayedQuestion) -> wire::RelayedAnswer {
        let wire::RelayedQuestion { number, method, message, timeout_ms, index, time } = asked;
        let deadline = Instant::now() + Duration::from_millis(timeout_ms).min(MAX_RELAY_TIMEOUT);
        let point = LeaderPoint { index, time: LogTime(time) };
        let answer = (self.relayed)(Question { point, method, message }, deadline).await;
        wire::RelayedAnswer { number, message: answer.ok() }
    }

    async fn append(&self, message: wire::AppendEntriesRequest) -> Result<wire::AppendEntriesResponse, Status> {
        self.check_cluster(&message.cluster_id)?;
        let header: AppendHeader = codec::decode("an append's header", &message.header).map_err(malformed)?;
        if message.only_asks {
            return Ok(wire::AppendEntriesResponse { payload: reply(&self.node.holds(&header.vote))? });
        }
        let mut entries = Vec::with_capacity(message.entries.len());
        for entry in message.entries {
            entries.push(codec::entry_from_parts(&entry.header, entry.payload).map_err(malformed)?);
        }
        let rpc = AppendEntriesRequest {
            vote: header.vote,
            prev_log_id: header.previous,
            entries,
            leader_commit: header.leader_commit,
        };
        let payload = reply(&self.node.raft().append_entries(rpc).await)?;
        Ok(wire::AppendEntriesResponse { payload })
    }

    async fn receive_chunks(&self, stream: &mut Streaming<wire::InstallSnapshotRequest>) -> Result<Sink, Status> {
        let machine = self.node.state_machine();
        let book = Arc::clone(&machine.book);
        let mut sink = on_worker(machine, move || book.install()).await?;
        let mut received = 0u64;
        loop {
            let message = stream
                .message()
                .await?
                .ok_or_else(|| Status::data_loss("the snapshot ended before its last message"))?;
            if let Some(chunks) = message.chunks {
                if chunks != received {
                    return Err(Status::data_loss(format!("{received} of {chunks} chunks arrived")));
                }
                return Ok(sink);
            }
            if message.chunk.len() > MAX_CHUNK_BYTES || crc32fast::hash(&message.chunk) != message.checksum {
                return Err(Status::data_loss(format!("chunk {received} is too large or its checksum differs")));
            }
            received += 1;
            sink = on_worker(machine, move || sink.push(&message.chunk).map(|()| sink)).await?;
        }
    }
}

/// What the header says twice must agree; later it would be too late to refuse.
fn check_header(header: &SnapshotHeader) -> Result<(), Status> {
    let differ =
        |what: &str| Status::invalid_argument(format!("the snapshot's header and its book name another {what}"));
    let internal = |error: super::StorageError| Status::invalid_argument(error.to_string());
    let applied = log_id_of(&header.book).map_err(internal)?;
    if applied != header.meta.last_log_id || applied.map_or(0, |log_id| log_id.index) != header.book.index {
        return Err(differ("index"));
    }
    if membership_of(&header.book).map_err(internal)? != header.meta.last_membership {
        return Err(differ("membership"));
    }
    Ok(())
}

async fn on_worker<T: Send + 'static>(
    machine: &StateMachine,
    job: impl FnOnce() -> Result<T, BookError> + Send + 'static,
) -> Result<T, Status> {
    match machine.worker.run(job).await {
        Ok(result) => result.map_err(|error| Status::internal(error.to_string())),
        Err(ended) => Err(Status::unavailable(ended.to_string())),
    }
}

#[tonic::async_trait]
impl RaftService for PeerService {
    type AppendEntriesStream = BoxStream<'static, Result<wire::AppendEntriesResponse, Status>>;
    type RelayStream = BoxStream<'static, Result<wire::RelayResponse, Status>>;

    async fn append_entries(
        &self,
        request: Request<Streaming<wire::AppendEntriesRequest>>,
    ) -> Result<Response<Self::AppendEntriesStream>, Status> {
        let service = self.clone();
        let replies = request.into_inner().then(move |message| {
            let service = service.clone();
            async move { service.append(message?).await }
        });
        Ok(Response::new(replies.take_until(self.stopping()).boxed()))
    }

    async fn vote(&self, request: Request<wire::VoteRequest>) -> Result<Response<wire::VoteResponse>, Status> {
        let message = request.into_inner();
        self.check_cluster(&message.cluster_id)?;
        let rpc = codec::decode("a vote", &message.payload).map_err(malformed)?;
        let payload = reply(&self.node.raft().vote(rpc).await)?;
        Ok(Response::new(wire::VoteResponse { payload }))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<wire::InstallSnapshotRequest>>,
    ) -> Result<Response<wire::InstallSnapshotResponse>, Status> {
        let mut stream = request.into_inner();
        let first = stream.message().await?.ok_or_else(|| Status::invalid_argument("the snapshot is empty"))?;
        self.check_cluster(&first.cluster_id)?;
        let header: SnapshotHeader = codec::decode("a snapshot's header", &first.header).map_err(malformed)?;
        check_header(&header)?;
        let turn = self.node.installing().await;
        let sink = self.receive_chunks(&mut stream).await?;
        let received = Received { sink, book: header.book, turn };
        let data = SnapshotData::Incoming(Box::new(Some(received)));
        let snapshot = Snapshot { meta: header.meta, snapshot: Box::new(data) };
        let payload = reply(&self.node.raft().install_full_snapshot(header.vote, snapshot).await)?;
        Ok(Response::new(wire::InstallSnapshotResponse { payload }))
    }

    async fn read_index(
        &self,
        request: Request<wire::ReadIndexRequest>,
    ) -> Result<Response<wire::ReadIndexResponse>, Status> {
        let deadline = self.node.deadline_of(request.metadata());
        self.check_cluster(&request.get_ref().cluster_id)?;
        match self.node.leader_read_point(deadline).await {
            Ok(ReadPoint { view, time }) => {
                Ok(Response::new(wire::ReadIndexResponse { index: view.index(), time: time.0 }))
            }
            Err(error) => Err(Status::unavailable(error.to_string())),
        }
    }

    async fn forward(&self, request: Request<wire::ForwardRequest>) -> Result<Response<wire::ForwardResponse>, Status> {
        let deadline = self.node.deadline_of(request.metadata());
        let message = request.into_inner();
        self.check_cluster(&message.cluster_id)?;
        if ledger::entry::check_commands(&message.commands, message.count).is_err() {
            return Err(malformed(Malformed("a forwarded command")));
        }
        let mut result = self.node.propose_here(&message.commands, message.count, deadline).await;
        // The reply must fit a message between replicas, whatever was refused.
        result.iter_mut().flatten().for_each(ledger::Answer::shorten);
        Ok(Response::new(wire::ForwardResponse { payload: reply(&result)? }))
    }

    async fn relay(
        &self,
        request: Request<Streaming<wire::RelayRequest>>,
    ) -> Result<Response<Self::RelayStream>, Status> {
        let (service, answering) = (self.clone(), self.clone());
        let questions = request.into_inner().map(move |message| {
            let message = message?;
            service.check_cluster(&message.cluster_id)?;
            Ok::<_, Status>(stream::iter(message.questions.into_iter().map(Ok)))
        });
        let answers = questions.try_flatten().map_ok(move |question| {
            let service = answering.clone();
            async move { Ok(service.answer(question).await) }
        });
        let responses = answers.try_buffer_unordered(MAX_RELAYED).try_ready_chunks(MAX_READY);
        let responses = responses.flat_map(|ready| {
            stream::iter(match ready {
                Ok(answers) => together(answers).into_iter().map(Ok).collect(),
                Err(TryReadyChunksError(_, status)) => vec![Err(status)],
            })
        });
        Ok(Response::new(responses.take_until(self.stopping()).boxed()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use prost::Message as _;

    use super::*;

    #[test]
    fn answers_go_together_as_long_as_a_peer_can_read_the_message() {
        let answer = |number: u64, bytes: usize| wire::RelayedAnswer { number, message: Some(vec![7; bytes].into()) };
        let sizes = |responses: &[wire::RelayResponse]| -> Vec<usize> {
            responses.iter().map(|response| response.answers.len()).collect()
        };
        // Each as large as a page, with a transaction beside it.
        let pages = together((0..MAX_READY as u64).map(|number| answer(number, 1200 * 1024)).collect());
        assert!(pages.iter().all(|response| response.encoded_len() < MAX_MESSAGE_BYTES));
        let numbers = pages.iter().flat_map(|response| &response.answers).map(|answer| answer.number);
        assert!(numbers.eq(0..MAX_READY as u64), "all of them, in their order");
        let small = together((0..MAX_READY as u64).map(|number| answer(number, 200)).collect());
        assert_eq!(sizes(&small), [MAX_READY]);
        let mixed = together(vec![answer(0, TOGETHER_BYTES + 1), answer(1, 1), answer(2, TOGETHER_BYTES)]);
        assert_eq!(sizes(&mixed), [1, 1, 1]);
        let none = wire::RelayedAnswer { number: 3, message: None };
        assert_eq!(sizes(&together(vec![none])), [1]);
    }
}
