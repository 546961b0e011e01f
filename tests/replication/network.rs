//! Real TCP between replicas, with links that a test can cut or make swallow what is sent: a cut link fails as soon as somebody uses it; one that has
//! swallowed something stays lost, as the link to a machine that lost its power does.

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use folio::replication::Connector;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Which replicas are cut off from all others.
#[derive(Clone, Default)]
pub struct Links {
    cut: Arc<Mutex<BTreeSet<String>>>,
    swallowing: Arc<Mutex<BTreeSet<String>>>,
}

impl Links {
    /// Cuts a replica, known by its address, off from all others.
    pub fn cut(&self, address: &str) {
        self.cut.lock().unwrap().insert(address.to_owned());
    }

    /// Swallows all that a replica and the others send each other.
    pub fn swallow(&self, address: &str) {
        self.swallowing.lock().unwrap().insert(address.to_owned());
    }

    /// Lets new links be made again.
    pub fn heal(&self) {
        self.cut.lock().unwrap().clear();
        self.swallowing.lock().unwrap().clear();
    }

    fn swallows(&self, ends: &[String; 2]) -> bool {
        let swallowing = self.swallowing.lock().unwrap();
        ends.iter().any(|end| swallowing.contains(end))
    }

    fn check(&self, ends: &[String; 2]) -> io::Result<()> {
        let cut = self.cut.lock().unwrap();
        if ends.iter().any(|end| cut.contains(end)) {
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, "the link is cut"));
        }
        Ok(())
    }

    /// How the replica at `own` reaches the others.
    pub fn connector(&self, own: &str) -> Connector {
        let (links, own) = (self.clone(), own.to_owned());
        Connector::new(move |address| {
            let link = (links.clone(), [own.clone(), address.to_owned()]);
            let connect = tower::service_fn(move |_| {
                let (links, ends) = link.clone();
                async move {
                    links.check(&ends)?;
                    if links.swallows(&ends) {
                        std::future::pending::<()>().await;
                    }
                    let stream = TcpStream::connect(&ends[1]).await?;
                    stream.set_nodelay(true)?;
                    Ok::<_, io::Error>(TokioIo::new(Link { stream, links, ends, is_lost: false }))
                }
            });
            Some(Connector::endpoint(address)?.connect_with_connector_lazy(connect))
        })
    }
}

struct Link {
    stream: TcpStream,
    links: Links,
    ends: [String; 2],
    is_lost: bool,
}

impl Link {
    fn is_lost(&mut self) -> bool {
        self.is_lost |= self.links.swallows(&self.ends);
        self.is_lost
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.links.check(&self.ends)?;
        if self.is_lost() {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Link {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.links.check(&self.ends)?;
        if self.is_lost() {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
