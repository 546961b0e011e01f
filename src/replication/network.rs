//! The sending side of Raft's calls. Each has a deadline; an append is cut at a number of bytes, because openraft counts entries only.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use openraft::error::{
    Fatal, NetworkError, RPCError, RaftError, RemoteError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::network::RPCOption;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::storage::Snapshot;
use openraft::{AnyError, BasicNode, OptionalSend, RaftNetwork, RaftNetworkFactory};
use serde::{Deserialize, Serialize};
use tonic::{Code, Request, Status};

use super::codec::{self, Malformed};
use super::commits::Commits;
use super::peers::Peers;
use super::state_machine::SnapshotData;
use super::worker::Threads;
use super::{Entry, LogId, TypeConfig, Vote};
use crate::book::records::meta::Meta;
use crate::book::transfer::Source;
use crate::proto::internal as wire;

/// About the most bytes of entries in one append; at least one entry goes.
pub(super) const MAX_APPEND_BYTES: usize = 4 * 1024 * 1024;
/// Chunks of a snapshot that wait for the network.
const SNAPSHOT_WINDOW: usize = 4;

/// Everything of an append but its entries.
#[derive(Serialize, Deserialize)]
pub(super) struct AppendHeader {
    pub(super) vote: Vote,
    pub(super) previous: Option<LogId>,
    pub(super) leader_commit: Option<LogId>,
}

/// What goes before a snapshot's chunks.
#[derive(Serialize, Deserialize)]
pub(super) struct SnapshotHeader {
    pub(super) vote: Vote,
    pub(super) meta: openraft::SnapshotMeta<u64, BasicNode>,
    pub(super) book: Meta,
}

/// The peers, as openraft makes clients for them.
#[derive(Debug, Clone)]
pub(super) struct Network {
    pub(super) peers: Peers,
    pub(super) threads: Threads,
    pub(super) commits: Commits,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, _node: &BasicNode) -> Peer {
        let (peers, commits) = (self.peers.clone(), self.commits.clone());
        Peer { target, peers, threads: self.threads, commits, appends: Appends::default() }
    }
}

/// The way to one peer.
#[derive(Debug)]
pub(super) struct Peer {
    target: u64,
    peers: Peers,
    threads: Threads,
    commits: Commits,
    appends: Appends,
}

/// What became of the appends to a peer so far, which says what may be done with the next one.
#[derive(Debug, Default)]
struct Appends {
    has_begun: bool,
    /// Whether the last one was sent, and answered with success.
    has_answered: bool,
}

/// What may be done with an append.
#[derive(Debug, PartialEq, Eq)]
enum Haste {
    /// It goes out at once.
    AtOnce,
    /// It may wait for entries that make it needless.
    Waits {
        /// Whether it may then be left out.
        is_optional: bool,
    },
}

impl Appends {
    /// Begins another append. Only one without entries may wait, and not a peer's first: that may be to confirm that this replica leads, which openraft does by way of a peer of its own each
    /// time. It may be left out if the peer has just said that it has the log up to there; never twice in a row, so that a peer that is gone is noticed.
    fn begin(&mut self, has_entries: bool) -> Haste {
        let is_optional = std::mem::replace(&mut self.has_answered, false);
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        if is_first || has_entries { Haste::AtOnce } else { Haste::Waits { is_optional } }
    }

    /// Notes the answer to the append that was begun last.
    fn end(&mut self, is_success: bool) {
        self.has_answered = is_success;
    }
}

type Call<T, E = RaftError<u64>> = Result<T, RPCError<u64, BasicNode, E>>;

fn network_error(error: impl std::error::Error + 'static) -> NetworkError {
    NetworkError::from(AnyError::new(&error))
}

/// A call that never reached the peer lets openraft pause before it tries again.
fn call_error<E: std::error::Error>(status: &Status) -> RPCError<u64, BasicNode, E> {
    if status.code() == Code::Unavailable {
        RPCError::Unreachable(Unreachable::from(AnyError::new(status)))
    } else {
        RPCError::Network(NetworkError::from(AnyError::new(status)))
    }
}

fn with_deadline<T>(message: T, ttl: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(ttl);
    request
}

/// The first entries whose bytes fit an append: at least one.
fn fitting(entries: &[Entry]) -> usize {
    let mut bytes = 0;
    for (count, entry) in entries.iter().enumerate() {
        bytes += codec::entry_bytes(entry);
        if bytes > MAX_APPEND_BYTES && count > 0 {
            return count;
        }
    }
    entries.len()
}

impl Peer {
    fn client(&self) -> Result<wire::raft_service_client::RaftServiceClient<tonic::transport::Channel>, NetworkError> {
        self.peers.client(self.target).ok_or_else(|| network_error(Malformed("a peer's address")))
    }

    fn decode<T: serde::de::DeserializeOwned>(&self, payload: &[u8]) -> Call<T> {
        let reply: Result<T, RaftError<u64>> =
            codec::decode("a peer's reply", payload).map_err(|error| RPCError::Network(network_error(error)))?;
        reply.map_err(|error| RPCError::RemoteError(RemoteError::new(self.target, error)))
    }
}

impl RaftNetwork<TypeConfig> for Peer {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Call<AppendEntriesResponse<u64>> {
        if let Haste::Waits { is_optional } = self.appends.begin(!rpc.entries.is_empty()) {
            let patience = option.hard_ttl() / 2;
            let is_worth_telling = self.commits.is_worth_telling(rpc.leader_commit, rpc.prev_log_id, patience).await;
            if is_optional && !is_worth_telling {
                return Ok(AppendEntriesResponse::Success);
            }
        }
        let leader_commit =
            self.commits.told(rpc.leader_commit).map_err(|error| RPCError::Network(network_error(error)))?;
        let header = AppendHeader { vote: rpc.vote, previous: rpc.prev_log_id, leader_commit };
        let count = fitting(&rpc.entries);
        let mut entries = Vec::with_capacity(count);
        for entry in &rpc.entries[..count] {
            let (header, payload) = codec::entry_parts(entry).map_err(network_error)?;
            entries.push(wire::Entry { header: header.into(), payload });
        }
        let message = wire::AppendEntriesRequest {
            cluster_id: self.peers.cluster_id().to_owned(),
            header: codec::encode(&header).map_err(network_error)?.into(),
            entries,
            only_asks: false,
        };
        // The future of a call is dropped at its deadline, whatever the transport does.
        let call = self.peers.append(self.target, message);
        let reply = match tokio::time::timeout(option.hard_ttl(), call).await {
            Ok(reply) => reply.map_err(|status| call_error(&status))?,
            Err(elapsed) => return Err(RPCError::Network(network_error(elapsed))),
        };
        let reply: AppendEntriesResponse<u64> = self.decode(&reply)?;
        self.appends.end(matches!(reply, AppendEntriesResponse::Success));
        if count < rpc.entries.len() && matches!(reply, AppendEntriesResponse::Success) {
            return Ok(AppendEntriesResponse::PartialSuccess(rpc.entries.get(count - 1).map(|entry| entry.log_id)));
        }
        Ok(reply)
    }

    async fn vote(&mut self, rpc: VoteRequest<u64>, option: RPCOption) -> Call<VoteResponse<u64>> {
        let message = wire::VoteRequest {
            cluster_id: self.peers.cluster_id().to_owned(),
            payload: codec::encode(&rpc).map_err(network_error)?.into(),
        };
        let mut client = self.client()?;
        let call = client.vote(with_deadline(message, option.hard_ttl()));
        let reply = match tokio::time::timeout(option.hard_ttl(), call).await {
            Ok(reply) => reply.map_err(|status| call_error(&status))?.into_inner(),
            Err(elapsed) => return Err(RPCError::Network(network_error(elapsed))),
        };
        self.decode(&reply.payload)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<TypeConfig>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<TypeConfig, Fatal<u64>>> {
        let SnapshotData::Outgoing(view) = *snapshot.snapshot else {
            return Err(StreamingError::Network(network_error(Malformed("a snapshot to send"))));
        };
        let header = SnapshotHeader { vote, meta: snapshot.meta, book: view.meta().clone() };
        let header = codec::encode(&header).map_err(network_error)?;
        let (sender, receiver) = tokio::sync::mpsc::channel(SNAPSHOT_WINDOW);
        let cluster_id = self.peers.cluster_id().to_owned();
        // A task of its own feeds the stream; it ends when the receiver is dropped.
        let reading = tokio::spawn(feed_snapshot(Source::new(view), self.threads, cluster_id, header, sender));
        let mut client = self.client()?;
        let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
        let call = client.install_snapshot(with_deadline(stream, option.hard_ttl()));
        let reply = tokio::select! {
            closed = cancel => return Err(StreamingError::Closed(closed)),
            reply = call => reply,
        };
        if let Ok(Err(error)) = reading.await {
            return Err(StreamingError::Network(network_error(error)));
        }
        let reply = match reply {
            Ok(reply) => reply.into_inner(),
            Err(status) if status.code() == Code::Unavailable => {
                return Err(StreamingError::Unreachable(Unreachable::from(AnyError::new(&status))));
            }
            Err(status) => return Err(StreamingError::Network(NetworkError::from(AnyError::new(&status)))),
        };
        let reply: Result<SnapshotResponse<u64>, Fatal<u64>> =
            codec::decode("a peer's reply", &reply.payload).map_err(network_error)?;
        reply.map_err(|error| StreamingError::RemoteError(RemoteError::new(self.target, error)))
    }
}

/// Sends a header, the chunks and their number. Ends early when nobody receives any more.
async fn feed_snapshot(
    mut source: Source,
    threads: Threads,
    cluster_id: String,
    header: Vec<u8>,
    sender: tokio::sync::mpsc::Sender<wire::InstallSnapshotRequest>,
) -> Result<(), crate::book::BookError> {
    let first = wire::InstallSnapshotRequest { cluster_id, header: header.into(), ..Default::default() };
    if sender.send(first).await.is_err() {
        return Ok(());
    }
    let mut chunks = 0;
    loop {
        // Reading the view blocks.
        let read = threads.run_blocking(move || {
            let chunk = source.next_chunk();
            (source, chunk)
        });
        // A job that panicked or was cut off by a shutdown: the receiver misses the last message and refuses the snapshot.
        let Ok((returned, chunk)) = read.await else { return Ok(()) };
        source = returned;
        let Some(chunk) = chunk? else { break };
        chunks += 1;
        let checksum = crc32fast::hash(&chunk);
        let message = wire::InstallSnapshotRequest { chunk: Bytes::from(chunk), checksum, ..Default::default() };
        if sender.send(message).await.is_err() {
            return Ok(());
        }
    }
    let last = wire::InstallSnapshotRequest { chunks: Some(chunks), ..Default::default() };
    // If nobody receives any more, the call's own error tells why.
    let _ = sender.send(last).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_append_is_left_out_only_behind_a_success_and_never_twice_in_a_row() {
        let mut appends = Appends::default();
        assert_eq!(appends.begin(false), Haste::AtOnce, "a peer's first");
        appends.end(true);
        assert_eq!(appends.begin(false), Haste::Waits { is_optional: true });
        // Left out: nothing was answered.
        assert_eq!(appends.begin(false), Haste::Waits { is_optional: false });
        appends.end(true);
        assert_eq!(appends.begin(true), Haste::AtOnce, "entries never wait");
        // Lost on its way.
        assert_eq!(appends.begin(false), Haste::Waits { is_optional: false });
        appends.end(false);
        assert_eq!(appends.begin(false), Haste::Waits { is_optional: false }, "behind a refusal");
    }
}
