//! TCP connections, as every client and replica makes them.
//!
//! They send what they have at once: an answer in several frames would otherwise wait 40 ms for the other side's delayed acknowledgement. And between two processes of one machine they have
//! the congestion control that every Linux has, Reno. There is no network whose congestion could be measured then; one that does measure and sends at a pace of its own (BBR, which some
//! systems have for all connections) takes the other side's work for a slow link, and held batches back for up to a tenth of a second. Between machines the system's choice stands.

use std::io;
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::{Channel, Endpoint};
use tower::ServiceExt as _;
use tower::util::MapResponse;

/// Connects to `host:port`, the host a name or an address.
///
/// # Errors
/// Nobody could be connected to there.
pub(crate) async fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    set_up(&stream);
    Ok(stream)
}

/// How far a server may send ahead on one call of a channel.
const CALL_WINDOW_BYTES: u32 = 1024 * 1024;
/// How far it may on all of them. Half of that is what small frames may cost beyond their bytes until they are read;
/// above it the connection would be ended. It is enough for a whole window of a stream of answers, of 30 bytes each.
const CHANNEL_WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// What every endpoint has, whatever carries the connection to it.
pub(crate) fn with_windows(endpoint: Endpoint) -> Endpoint {
    endpoint.initial_stream_window_size(CALL_WINDOW_BYTES).initial_connection_window_size(CHANNEL_WINDOW_BYTES)
}

/// A channel to an endpoint, which connects when it is first used.
pub(crate) fn channel(endpoint: &Endpoint) -> Channel {
    endpoint.connect_with_connector_lazy(connector(endpoint.get_connect_timeout()))
}

type Connecting = MapResponse<HttpConnector, fn(TokioIo<TcpStream>) -> TokioIo<TcpStream>>;

/// Connects to all that a name stands for in turn, IPv4 soon after IPv6, all within a time-out.
fn connector(timeout: Option<Duration>) -> Connecting {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(timeout);
    connector.map_response(|connected| {
        set_up(connected.inner());
        connected
    })
}

/// Waits for the next connection to a listener.
///
/// # Errors
/// What the system said.
pub(crate) async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let (stream, _) = listener.accept().await?;
    set_up(&stream);
    Ok(stream)
}

/// A connection that takes none of this works all the same, or is broken and says so when it is used.
fn set_up(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true).and_then(|()| set_congestion_control(stream)) {
        tracing::debug!(%error, "a connection keeps the system's settings");
    }
}

#[cfg(target_os = "linux")]
fn set_congestion_control(stream: &TcpStream) -> io::Result<()> {
    if is_within_machine(stream)? { socket2::SockRef::from(stream).set_tcp_congestion(b"reno") } else { Ok(()) }
}

#[cfg(not(target_os = "linux"))]
fn set_congestion_control(_stream: &TcpStream) -> io::Result<()> {
    Ok(())
}

/// Whether both ends are on one machine.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn is_within_machine(stream: &TcpStream) -> io::Result<bool> {
    let (here, there) = (stream.local_addr()?.ip(), stream.peer_addr()?.ip());
    Ok(there.to_canonical().is_loopback() || here == there)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A connection over an address of this machine: its end that a call was made for directly, or that of a channel, and the end that was accepted.
    async fn ends(address: &str, is_channel: bool) -> [TcpStream; 2] {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let made = async {
            if !is_channel {
                return connect(&address).await.unwrap();
            }
            let address = format!("http://{address}").parse().unwrap();
            connector(Some(Duration::from_secs(5))).oneshot(address).await.unwrap().into_inner()
        };
        let (made, accepted) = tokio::join!(made, accept(&listener));
        [made, accepted.unwrap()]
    }

    #[tokio::test]
    async fn both_ends_send_at_once() {
        for is_channel in [false, true] {
            for end in ends("127.0.0.1", is_channel).await {
                assert!(end.nodelay().unwrap(), "channel: {is_channel}");
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn within_a_machine_no_end_paces_what_it_sends() {
        for address in ["127.0.0.1", "127.0.0.2", "::1"] {
            if address == "::1" && TcpListener::bind((address, 0)).await.is_err() {
                println!("SKIPPED: this machine has no IPv6");
                continue;
            }
            for is_channel in [false, true] {
                for end in ends(address, is_channel).await {
                    let name = socket2::SockRef::from(&end).tcp_congestion().unwrap();
                    assert!(name.starts_with(b"reno"), "{address}, channel: {is_channel}: {name:?}");
                }
            }
        }
    }
}
