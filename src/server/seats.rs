//! Where a client's connection is served: the first few where replication lives, the others by the threads for clients.
//!
//! A call that is served where it is proposed and answered wakes no other thread in between, which a cluster with few clients has the most of, be it one call at a time or many over one
//! connection. But that thread is one: with many connections, each with a call of its own, reading and writing them is most of the work, and is better done beside replication.

use std::io;
use std::sync::Arc;

use futures::StreamExt as _;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::Stream;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::door::{Guest, Place};

/// A connection that has a seat, until it is closed.
pub(super) type Seated = Guest<(Place, OwnedSemaphorePermit)>;

/// Gives a seat to each connection that comes while one is free. The first stream has those with a seat, and must be polled in the runtime that serves them; the second has the others, and
/// must be polled for either to go on.
pub(super) fn seat(
    accepted: impl Stream<Item = io::Result<Guest<Place>>>,
    seats: usize,
) -> (impl Stream<Item = io::Result<Seated>>, impl Stream<Item = io::Result<Guest<Place>>>) {
    let free = Arc::new(Semaphore::new(seats));
    // Holds no more than there are seats.
    let (sender, receiver) = mpsc::unbounded_channel();
    let others = accepted.filter_map(move |accepted| {
        let seat = Arc::clone(&free).try_acquire_owned();
        let other = match (accepted, seat) {
            (Ok(guest), Ok(seat)) => {
                let (stream, place) = guest.into_parts();
                match stream.into_std() {
                    Ok(stream) => {
                        // Nobody receives when nobody is served any more.
                        let _ = sender.send((stream, (place, seat)));
                        None
                    }
                    Err(error) => Some(Err(error)),
                }
            }
            (accepted, _) => Some(accepted),
        };
        std::future::ready(other)
    });
    let seated =
        UnboundedReceiverStream::new(receiver).map(|(stream, held)| Ok(Guest::new(TcpStream::from_std(stream)?, held)));
    (seated, others)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::net::SocketAddr;
    use std::pin::Pin;

    use super::super::door;
    use super::*;
    use tokio::net::TcpListener;

    type Accepted<T> = Pin<Box<dyn Stream<Item = io::Result<T>>>>;

    /// Who comes to a door with seats, in the order in which they come.
    struct Door {
        address: SocketAddr,
        seated: Accepted<Seated>,
        others: Accepted<Guest<Place>>,
    }

    /// Where a connection went.
    enum Went {
        Seat(Seated),
        Other(Guest<Place>),
    }

    impl Door {
        async fn open(seats: usize) -> io::Result<Door> {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            let (seated, others) = seat(door::accepted(listener, "tests", 100), seats);
            Ok(Door { address, seated: Box::pin(seated), others: Box::pin(others) })
        }

        /// Connects, and tells where that connection went.
        async fn come(&mut self) -> (TcpStream, Went) {
            let client = TcpStream::connect(self.address).await.expect("connects");
            let place = tokio::select! {
                Some(seated) = self.seated.next() => Went::Seat(seated.expect("seated")),
                Some(other) = self.others.next() => Went::Other(other.expect("accepted")),
            };
            let server = match &place {
                Went::Seat(seated) => seated.stream().peer_addr(),
                Went::Other(other) => other.stream().peer_addr(),
            };
            assert_eq!(server.ok(), client.local_addr().ok(), "another connection");
            (client, place)
        }
    }

    #[tokio::test]
    async fn the_first_have_the_seats_and_all_others_are_served_elsewhere() {
        let mut door = Door::open(2).await.expect("listens");
        let mut guests = Vec::new();
        for guest in 0..5 {
            let come = door.come().await;
            assert_eq!(matches!(come.1, Went::Seat(_)), guest < 2, "guest {guest}");
            guests.push(come);
        }
    }

    #[tokio::test]
    async fn a_seat_is_free_again_once_its_connection_is_closed() {
        let mut door = Door::open(1).await.expect("listens");
        let (_first, Went::Seat(seated)) = door.come().await else { panic!("the first has no seat") };
        let (_second, Went::Other(second)) = door.come().await else { panic!("two have the one seat") };
        // One of those without a seat frees none.
        drop(second);
        let (_third, Went::Other(_served)) = door.come().await else { panic!("two have the one seat") };
        drop(seated);
        let (_fourth, Went::Seat(_seated)) = door.come().await else { panic!("the seat is not free") };
    }

    #[tokio::test]
    async fn without_seats_all_are_served_elsewhere() {
        let mut door = Door::open(0).await.expect("listens");
        let (_client, Went::Other(_served)) = door.come().await else { panic!("there is no seat") };
    }

    #[tokio::test]
    async fn bytes_pass_through_a_seat_both_ways() {
        use tokio::io::{AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _};
        let mut door = Door::open(1).await.expect("listens");
        let (mut client, Went::Seat(mut seated)) = door.come().await else { panic!("the first has no seat") };
        client.write_all(b"a question").await.expect("written");
        let mut question = [0; 10];
        seated.read_exact(&mut question).await.expect("read");
        let pieces = [io::IoSlice::new(b"an "), io::IoSlice::new(b"answer")];
        assert!(seated.is_write_vectored(), "TCP takes several pieces at once");
        assert_eq!(seated.write_vectored(&pieces).await.expect("written"), 9);
        seated.shutdown().await.expect("closed");
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.expect("read");
        assert_eq!((&question, answer.as_slice()), (b"a question", b"an answer".as_slice()));
    }
}
