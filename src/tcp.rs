//! TCP connections, as every client and replica makes them.
//!
//! They send what they have at once: an answer in several frames would otherwise wait 40 ms for the other side's delayed acknowledgement. And between two processes of one machine they have
//! the congestion control that every Linux has, Reno. There is no network whose congestion could be measured then; one that does measure and sends at a pace of its own (BBR, which some
//! systems have for all connections) takes the other side's work for a slow link, and held batches back for up to a tenth of a second. Between machines the system's choice stands.

use std::io;

use futures::{Stream, StreamExt as _};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Endpoint, Uri};

/// Connects to `host:port`, the host a name or an address.
///
/// # Errors
/// Nobody could be connected to there.
pub(crate) async fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    set_up(&stream);
    Ok(stream)
}

/// A channel to an endpoint, which connects when it is first used.
pub(crate) fn channel(endpoint: &Endpoint) -> Channel {
    let connect = |uri: Uri| async move {
        let address = uri.authority().ok_or(io::ErrorKind::InvalidInput)?;
        connect(address.as_str()).await.map(TokioIo::new)
    };
    endpoint.connect_with_connector_lazy(tower::service_fn(connect))
}

/// The connections that a listener accepts.
pub(crate) fn accept(listener: TcpListener) -> impl Stream<Item = io::Result<TcpStream>> {
    TcpListenerStream::new(listener).map(|accepted| accepted.inspect(set_up))
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

    /// Both ends of a connection over an address of this machine.
    async fn ends(address: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut accepted = Box::pin(accept(listener));
        let (client, server) = tokio::join!(connect(&address), accepted.next());
        (client.unwrap(), server.unwrap().unwrap())
    }

    #[cfg(target_os = "linux")]
    fn congestion_control(stream: &TcpStream) -> String {
        let name = socket2::SockRef::from(stream).tcp_congestion().unwrap();
        String::from_utf8(name).unwrap().trim_end_matches('\0').to_owned()
    }

    #[tokio::test]
    async fn both_ends_send_at_once() {
        let (client, server) = ends("127.0.0.1").await;
        assert!(client.nodelay().unwrap());
        assert!(server.nodelay().unwrap());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn within_a_machine_no_end_paces_what_it_sends() {
        for address in ["127.0.0.1", "127.0.0.2", "::1"] {
            if address == "::1" && TcpListener::bind((address, 0)).await.is_err() {
                println!("SKIPPED: this machine has no IPv6");
                continue;
            }
            let (client, server) = ends(address).await;
            assert_eq!([congestion_control(&client), congestion_control(&server)], ["reno", "reno"], "{address}");
        }
    }
}
