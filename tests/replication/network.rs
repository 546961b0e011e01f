//! Real TCP between replicas, with links that a test can cut: a cut link fails as soon as somebody uses it.

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use folio::replication::Connector;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tonic::transport::Endpoint;

/// Which replicas are cut off from all others.
#[derive(Clone, Default)]
pub struct Links {
    cut: Arc<Mutex<BTreeSet<String>>>,
}

impl Links {
    /// Cuts a replica, known by its address, off from all others.
    pub fn cut(&self, address: &str) {
        self.cut.lock().unwrap().insert(address.to_owned());
    }

    /// Joins what was cut.
    pub fn heal(&self) {
        self.cut.lock().unwrap().clear();
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
                    let stream = TcpStream::connect(&ends[1]).await?;
                    stream.set_nodelay(true)?;
                    Ok::<_, io::Error>(TokioIo::new(Link { stream, links, ends }))
                }
            });
            Some(Endpoint::from_shared(format!("http://{address}")).ok()?.connect_with_connector_lazy(connect))
        })
    }
}

struct Link {
    stream: TcpStream,
    links: Links,
    ends: [String; 2],
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.links.check(&self.ends)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Link {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.links.check(&self.ends)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
