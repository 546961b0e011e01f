//! Connections to the other replicas: one per peer, kept open, made again when lost. How a connection is made is a seam.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use super::append_stream::AppendStream;
use super::identity::Identity;
use crate::proto::internal as wire;
use crate::proto::internal::raft_service_client::RaftServiceClient;
use crate::tcp;

/// The largest message between replicas: an append of up to [`super::network::MAX_APPEND_BYTES`] and one entry more.
pub(crate) const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// How often a peer is asked whether it is still there, and how long it may take to say so.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(1);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Idle streams of appends that are kept for a peer: replication uses one, and reads ask over another whether this replica still leads.
const MAX_IDLE_STREAMS: usize = 4;

/// Makes a channel to an address that connects when it is first used; `None` for an address that is none.
type Connect = dyn Fn(&str) -> Option<Channel> + Send + Sync;

/// How connections are made.
#[derive(Clone)]
pub struct Connector(Arc<Connect>);

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector")
    }
}

impl Connector {
    /// Real TCP.
    pub fn tcp() -> Connector {
        Connector::new(|address| Some(tcp::channel(&Connector::endpoint(address)?)))
    }

    /// What every connection to a peer has, whatever carries it; `None` for an address that is none.
    ///
    /// A link that swallows what is sent over it, as after a partition or the loss of a peer's power, would otherwise be used for as many minutes as TCP
    /// takes to give it up. So it is given up within seconds, and made again.
    pub fn endpoint(address: &str) -> Option<Endpoint> {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).ok()?;
        Some(
            tcp::with_windows(endpoint)
                .connect_timeout(CONNECT_TIMEOUT)
                .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
                .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
                .keep_alive_while_idle(true),
        )
    }

    /// Some other way, such as a simulated network: gives a channel that connects when it is first used.
    pub fn new(connect: impl Fn(&str) -> Option<Channel> + Send + Sync + 'static) -> Connector {
        Connector(Arc::new(connect))
    }
}

/// The peers of a replica.
#[derive(Debug, Clone)]
pub(super) struct Peers {
    cluster_id: String,
    addresses: Arc<BTreeMap<u64, String>>,
    connector: Connector,
    channels: Arc<Mutex<BTreeMap<u64, Channel>>>,
    idle_streams: Arc<Mutex<BTreeMap<u64, Vec<AppendStream>>>>,
}

impl Peers {
    pub(super) fn new(identity: &Identity, connector: Connector) -> Peers {
        let addresses =
            identity.members.iter().map(|member| (member.replica_id, member.peer_address.clone())).collect();
        Peers {
            cluster_id: identity.cluster_id.clone(),
            addresses: Arc::new(addresses),
            connector,
            channels: Arc::default(),
            idle_streams: Arc::default(),
        }
    }

    pub(super) fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// A client for a peer; `None` if there is no such peer.
    pub(super) fn client(&self, replica_id: u64) -> Option<RaftServiceClient<Channel>> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = match channels.get(&replica_id) {
            Some(channel) => channel.clone(),
            None => {
                let channel = (self.connector.0)(self.addresses.get(&replica_id)?)?;
                channels.insert(replica_id, channel.clone());
                channel
            }
        };
        Some(
            RaftServiceClient::new(channel)
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES),
        )
    }

    /// Sends an append to a peer and returns the reply's payload. Whether a stream that was kept still leads to the peer shows when it is used; an append may arrive twice, so it is
    /// then sent again over a new one.
    pub(super) async fn append(&self, replica_id: u64, message: wire::AppendEntriesRequest) -> Result<Bytes, Status> {
        if let Some(mut stream) = self.change_idle(replica_id, Vec::pop) {
            if let Ok(reply) = stream.exchange(message.clone()).await {
                self.keep(replica_id, stream);
                return Ok(reply);
            }
            // The others go over the same connection.
            self.change_idle(replica_id, Vec::clear);
        }
        let client = self.client(replica_id).ok_or_else(|| Status::internal("a peer has no usable address"))?;
        let (stream, reply) = AppendStream::open(client, message).await?;
        self.keep(replica_id, stream);
        Ok(reply)
    }

    fn keep(&self, replica_id: u64, stream: AppendStream) {
        self.change_idle(replica_id, |streams| {
            if streams.len() < MAX_IDLE_STREAMS {
                streams.push(stream);
            }
        });
    }

    fn change_idle<T>(&self, replica_id: u64, change: impl FnOnce(&mut Vec<AppendStream>) -> T) -> T {
        let mut streams = self.idle_streams.lock().unwrap_or_else(PoisonError::into_inner);
        change(streams.entry(replica_id).or_default())
    }
}
