//! HTTP/2 connections of clients and of peers, and what bounds what each may take.
//!
//! gRPC's own server takes what callers send and hold without a bound of time, and leaves small
//! frames where they came in; why this one was made, and what each bound is for, is told in
//! `docs/decisions/0028-why-connections-are-served-by-our-own-room.md`. It knows bytes, messages
//! and times. What is in a message, and what is answered, is the services' alone.
//!
//! | what | bound |
//! |---|---|
//! | what a call sends ahead of what was read | its window |
//! | what all calls of a connection send ahead | the connection's window |
//! | messages that are not whole, and unread ones, of all connections | [`Server::receiving`] |
//! | answers that callers do not take, of all connections | [`Server::unsent`]: above it calls are refused |
//! | the time that a message takes to come | [`Bounds::receiving`], [`Bounds::most_receiving`] |
//! | the time that an answer is not taken | [`Bounds::stalled`] |
//! | the time to the first bytes of a connection, without calls, without an answer to a ping | [`Bounds`] |
//! | calls at once, headers, resets | `connection.rs` |

mod call;
mod connection;
mod framing;
mod inbox;
#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tonic::service::Routes;

use crate::api::Held;

/// What bounds connections and their calls.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// How many bytes a call may send ahead of what was read.
    pub stream_window: u32,
    /// How many bytes all calls of a connection may.
    pub connection_window: u32,
    /// Calls at once of a connection.
    pub streams: u32,
    /// The longest message that is received.
    pub message_bytes: usize,
    /// In what time a call's message must be there as a whole, where the caller names no deadline.
    pub receiving: Duration,
    /// The longest such time, and that of each message of a stream.
    pub most_receiving: Duration,
    /// How long an answer may wait for its caller to take any of it.
    pub stalled: Duration,
    /// How long a connection may take to begin.
    pub handshake: Duration,
    /// Between two pings. A connection is closed when the next is due and the last was not
    /// answered.
    pub ping_interval: Duration,
    /// How long a connection may stay without a call; counted in pings.
    pub idle: Duration,
}

impl Bounds {
    /// For the connections of clients.
    pub fn of_clients() -> Bounds {
        Bounds {
            stream_window: 1024 * 1024,
            connection_window: 4 * 1024 * 1024,
            streams: 4_096,
            message_bytes: 2 * ledger::limits::MAX_REQUEST_BYTES,
            receiving: Duration::from_secs(10),
            most_receiving: Duration::from_secs(60),
            stalled: Duration::from_secs(120),
            handshake: Duration::from_secs(5),
            ping_interval: Duration::from_secs(20),
            idle: Duration::from_secs(300),
        }
    }

    /// For the connections of peers, which are few, and send long messages.
    pub fn of_peers(message_bytes: usize) -> Bounds {
        Bounds {
            stream_window: 4 * 1024 * 1024,
            connection_window: 16 * 1024 * 1024,
            message_bytes,
            ..Bounds::of_clients()
        }
    }
}

/// Services, and what bounds their calls.
pub struct Server {
    services: Routes,
    bounds: Bounds,
    /// The paths of methods whose callers send more than one message.
    streaming: Vec<String>,
    /// What was received of messages that are not whole or not read.
    receiving: Arc<Held>,
    /// Answers that wait for their callers.
    unsent: Arc<Held>,
}

impl Server {
    /// Services whose calls share the bounds of what all of them hold. `streaming`: the paths of
    /// methods whose callers send more than one message.
    pub fn new(
        services: Routes,
        bounds: Bounds,
        streaming: Vec<String>,
        receiving: &Arc<Held>,
        unsent: &Arc<Held>,
    ) -> Arc<Server> {
        let (receiving, unsent) = (Arc::clone(receiving), Arc::clone(unsent));
        Arc::new(Server { services: services.prepare(), bounds, streaming, receiving, unsent })
    }

    fn is_streaming(&self, path: &str) -> bool {
        self.streaming.iter().any(|streaming| streaming == path)
    }
}

/// Serves connections that somebody else accepts, until `stopped` is true or no more come, and then
/// until the last one has ended.
pub async fn serve<IO, E>(
    server: Arc<Server>,
    incoming: impl Stream<Item = Result<IO, E>>,
    stopped: watch::Receiver<bool>,
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    E: std::fmt::Display,
{
    let (open, mut all_closed) = mpsc::channel::<()>(1);
    {
        let mut incoming = pin!(incoming);
        let mut stopping = pin!(is_true(stopped.clone()));
        loop {
            let next = tokio::select! {
                () = &mut stopping => break,
                next = incoming.next() => next,
            };
            match next {
                Some(Ok(io)) => {
                    let serving = connection::serve(io, Arc::clone(&server), stopped.clone());
                    let open = open.clone();
                    tokio::spawn(async move {
                        let _open = open;
                        serving.await;
                    });
                }
                Some(Err(error)) => tracing::debug!(%error, "a connection was not accepted"),
                None => break,
            }
        }
    }
    drop(open);
    // Nothing is ever sent: this ends with the last connection.
    let _ = all_closed.recv().await;
}

/// Resolves once the value is true, or its sender gone.
pub(crate) async fn is_true(mut value: watch::Receiver<bool>) {
    // An error means that the sender is gone.
    let _ = value.wait_for(|value| *value).await;
}
