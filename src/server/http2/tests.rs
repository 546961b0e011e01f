//! Connections that do not behave, over a pipe in memory and on a clock that is moved.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use h2::client::SendRequest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;

use super::*;

/// Answers every call with the same number of bytes.
#[derive(Clone)]
struct Filling;

impl NamedService for Filling {
    const NAME: &'static str = "test.Filling";
}

const FILL: &str = "/test.Filling/Fill";
const ANSWER_BYTES: usize = 1_000_000;

impl Service<Request<Body>> for Filling {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        Box::pin(async { Ok(Response::new(Body::new(Whole(Some(vec![7; ANSWER_BYTES].into()))))) })
    }
}

/// A body of one piece.
struct Whole(Option<Bytes>);

impl http_body::Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        std::task::Poll::Ready(self.0.take().map(|bytes| Ok(http_body::Frame::data(bytes))))
    }
}

/// A server of one connection, with the other end of that, and what counts unsent bytes.
fn serving(unsent_bytes: usize) -> (DuplexStream, Arc<Held>) {
    let (client, connection) = duplex(64 * 1024);
    let (receiving, unsent) = (Held::new(1_000_000), Held::new(unsent_bytes));
    let server = Server::new(Routes::new(Filling), Bounds::of_clients(), Vec::new(), &receiving, &unsent);
    let incoming = stream::iter([Ok::<_, Infallible>(connection)]);
    let (running, stopped) = watch::channel(false);
    tokio::spawn(async move {
        let _running = running;
        serve(server, incoming, stopped).await;
    });
    (client, unsent)
}

async fn connect(client: DuplexStream) -> (SendRequest<Bytes>, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    let (sending, connection) = h2::client::handshake(client).await.unwrap();
    (sending, tokio::spawn(connection))
}

/// Begins a call whose answer has more bytes than a client's windows take unread.
async fn fill(sending: &SendRequest<Bytes>) -> h2::client::ResponseFuture {
    let request = Request::post(format!("http://test{FILL}")).body(()).unwrap();
    let (response, mut body) = sending.clone().ready().await.unwrap().send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(&[0; 5]), true).unwrap();
    response
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_begin_is_closed() {
    let (mut client, _) = serving(1);
    let began = tokio::time::Instant::now();
    let mut said = Vec::new();
    client.read_to_end(&mut said).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), Bounds::of_clients().handshake.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_calls_is_closed_and_its_client_told() {
    let (client, _) = serving(usize::MAX);
    let began = tokio::time::Instant::now();
    let (sending, connection) = connect(client).await;
    assert!(connection.await.unwrap().is_ok(), "it ends as if the client had wanted it");
    assert_eq!(began.elapsed().as_secs(), Bounds::of_clients().idle.as_secs());
    assert!(sending.ready().await.is_err(), "for the next call another connection is made");
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_client_answers_no_ping_is_closed() {
    let (mut client, _) = serving(usize::MAX);
    // What every connection begins with, and settings.
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let began = tokio::time::Instant::now();
    let bounds = Bounds::of_clients();
    // It reads, but answers no ping.
    let mut said = Vec::new();
    client.read_to_end(&mut said).await.unwrap();
    assert_eq!(began.elapsed(), 2 * bounds.ping_interval);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_taken_ends_and_others_are_refused_meanwhile() {
    let (client, unsent) = serving(ANSWER_BYTES / 2);
    let (sending, _connection) = connect(client).await;
    let began = tokio::time::Instant::now();
    let mut first = fill(&sending).await.await.unwrap().into_body();
    while !unsent.is_full() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let refused = fill(&sending).await.await.unwrap();
    let headers = refused.headers();
    assert_eq!(headers["grpc-status"], "8", "{headers:?}");
    assert!(headers["grpc-message"].to_str().unwrap().contains("nothing%20was%20proposed"), "{headers:?}");
    // Nothing of it is taken, so that no room is made for more.
    let ended = loop {
        match first.data().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("it came to its end"),
        }
    };
    assert_eq!(ended.reason(), Some(h2::Reason::CANCEL));
    assert_eq!(began.elapsed().as_secs(), Bounds::of_clients().stalled.as_secs());
    assert_eq!(unsent.bytes(), 0, "nothing is held for it any more");
    // Room in the connection's window is only there once what came of it is let go of.
    drop(first);
    let mut whole = fill(&sending).await.await.unwrap().into_body();
    let mut bytes = 0;
    while let Some(data) = whole.data().await {
        let data = data.unwrap();
        whole.flow_control().release_capacity(data.len()).unwrap();
        bytes += data.len();
    }
    assert_eq!(bytes, ANSWER_BYTES);
}

/// The frames of a window of the smallest commands are taken without an end of the connection, on
/// many calls at once.
#[tokio::test]
async fn small_frames_never_end_a_connection_however_many_nobody_reads() {
    let (client, connection) = duplex(1024 * 1024);
    let held = Held::new(usize::MAX);
    let streaming = vec![FILL.to_owned()];
    let server = Server::new(Routes::new(Silent), Bounds::of_clients(), streaming, &held, &held);
    let (_running, stopped) = watch::channel(false);
    tokio::spawn(serve(server, stream::iter([Ok::<_, Infallible>(connection)]), stopped));
    let (sending, connection) = connect(client).await;
    let window = Bounds::of_clients().connection_window;
    let frame = Bytes::from_static(b"\0\0\0\0\x11seventeen bytes!!");
    let mut sent = 0;
    let mut calls = Vec::new();
    // Four calls have a window each, which is all of the connection's.
    for _ in 0..4 {
        let request = Request::post(format!("http://test{FILL}")).body(()).unwrap();
        let (response, mut body) = sending.clone().ready().await.unwrap().send_request(request, false).unwrap();
        while sent < window as usize - frame.len() {
            body.reserve_capacity(frame.len());
            if body.capacity() < frame.len() {
                let room = std::future::poll_fn(|context| body.poll_capacity(context));
                let Ok(room) = tokio::time::timeout(Duration::from_millis(500), room).await else { break };
                room.expect("the call is open").unwrap();
                continue;
            }
            body.send_data(frame.clone(), false).unwrap();
            sent += frame.len();
        }
        calls.push((response, body));
    }
    assert!(sent > window as usize * 9 / 10, "{sent} bytes were sent");
    // Not as frames that wait, each of which would take as much memory as ten of them have bytes.
    let all_taken = async {
        while held.bytes() < sent {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all_taken).await.expect("all is taken from the connection");
    assert_eq!(held.bytes(), sent);
    assert!(!connection.is_finished());
}

/// Reads nothing and answers nothing.
#[derive(Clone)]
struct Silent;

impl NamedService for Silent {
    const NAME: &'static str = "test.Filling";
}

impl Service<Request<Body>> for Silent {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(async move {
            let _request = request;
            std::future::pending().await
        })
    }
}
