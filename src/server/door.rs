//! Accepting connections: as many as have a place, with a pause where the system gives no more.
//!
//! A listener without descriptors is ready again at once, so that accepting without a pause would
//! do nothing else. And whoever finds all places taken is told at once, by a closed connection,
//! rather than left waiting.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::tcp;

/// How long nothing is accepted after the system refused to.
const PAUSE: Duration = Duration::from_millis(100);
/// The shortest time between two lines of the log about the same.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// A connection that has what it holds until it is closed.
#[derive(Debug)]
pub(super) struct Guest<T> {
    stream: TcpStream,
    held: T,
}

/// A connection's place among all.
pub(super) type Place = OwnedSemaphorePermit;

impl<T> Guest<T> {
    pub(super) fn new(stream: TcpStream, held: T) -> Guest<T> {
        Guest { stream, held }
    }

    /// The connection and what it holds.
    pub(super) fn into_parts(self) -> (TcpStream, T) {
        (self.stream, self.held)
    }

    #[cfg(test)]
    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

/// A line of the log that is written once in a while, however often there is reason to.
#[derive(Debug, Default)]
struct Line {
    written: Option<Instant>,
    /// What there was reason for since.
    times: u64,
}

impl Line {
    /// How often there was reason, if it is time to write that.
    fn due(&mut self) -> Option<u64> {
        self.times += 1;
        if self.written.is_some_and(|written| written.elapsed() < BETWEEN_LINES) {
            return None;
        }
        self.written = Some(Instant::now());
        Some(std::mem::take(&mut self.times))
    }
}

/// A listener with a number of places.
struct Door {
    listener: TcpListener,
    whose: &'static str,
    most: usize,
    places: Arc<Semaphore>,
    full: Line,
    failed: Line,
}

impl Door {
    async fn next(&mut self) -> Guest<Place> {
        loop {
            match tcp::accept(&self.listener).await {
                Ok(stream) => {
                    if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
                        return Guest::new(stream, place);
                    }
                    drop(stream);
                    if let Some(closed) = self.full.due() {
                        let (whose, most) = (self.whose, self.most);
                        tracing::warn!(whose, most, closed, "all places are taken: further connections are closed");
                    }
                }
                // That one connection broke before it was accepted.
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if let Some(times) = self.failed.due() {
                        let whose = self.whose;
                        tracing::warn!(whose, times, %error, "no connection can be accepted; trying again");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// The connections that a listener accepts, up to so many at once.
pub(super) fn accepted(
    listener: TcpListener,
    whose: &'static str,
    most: usize,
) -> impl Stream<Item = io::Result<Guest<Place>>> {
    let places = Arc::new(Semaphore::new(most));
    let door = Door { listener, whose, most, places, full: Line::default(), failed: Line::default() };
    stream::unfold(door, |mut door| async move {
        let guest = door.next().await;
        Some((Ok(guest), door))
    })
}

impl<T: Unpin> AsyncRead for Guest<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<T: Unpin> AsyncWrite for Guest<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use futures::StreamExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn who_finds_no_place_is_told_at_once_and_a_place_is_free_again_once_it_is_left() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut accepted = Box::pin(accepted(listener, "tests", 2));
        let come = || TcpStream::connect(address);
        let (_one, _two) = (come().await.unwrap(), come().await.unwrap());
        let (first, second) = (accepted.next().await.unwrap(), accepted.next().await.unwrap());
        let mut third = come().await.unwrap();
        let mut byte = [0; 1];
        let closed = tokio::select! {
            _ = accepted.next() => panic!("there are two places"),
            read = third.read(&mut byte) => read,
        };
        assert_eq!(closed.unwrap_or(0), 0, "it is closed");
        drop(first);
        let mut fourth = come().await.unwrap();
        let mut guest = accepted.next().await.unwrap().unwrap();
        fourth.write_all(b"a").await.unwrap();
        guest.read_exact(&mut byte).await.unwrap();
        drop(second);
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_tells_how_often_it_was_not_written() {
        let mut line = Line::default();
        assert_eq!([line.due(), line.due(), line.due()], [Some(1), None, None]);
        tokio::time::advance(BETWEEN_LINES).await;
        assert_eq!([line.due(), line.due()], [Some(3), None]);
    }
}
