//! One call: its service is asked, and the answer sent as far as the caller takes it.

use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http_body::Body as _;
use tokio::time::{Sleep, sleep_until, timeout};
use tonic::body::Body;
use tonic::codegen::Service as _;
use tonic::codegen::http::{HeaderMap, Request, Response};

use super::Server;
use super::inbox::{Inbox, Received};
use crate::api::{Held, errors};
use crate::replication::{TIMEOUT_HEADER, timeout_of};

/// Counts a call for as long as it lasts.
pub(super) struct Counted(Arc<AtomicUsize>);

impl Counted {
    pub(super) fn new(calls: &Arc<AtomicUsize>) -> Counted {
        calls.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(calls))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why an answer is not sent to its end; nobody is left to tell.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("the call or its connection broke: {0}")]
    Broken(h2::Error),
    #[error("the caller wants it no more: {0}")]
    Reset(Reason),
    #[error("its service gave it up: {0}")]
    Service(tonic::Status),
    #[error("the caller took nothing of it for too long")]
    Stalled,
}

impl From<h2::Error> for Unanswered {
    fn from(error: h2::Error) -> Unanswered {
        Unanswered::Broken(error)
    }
}

/// How long a call's present message may take, with a timer once one is needed: most calls are
/// there as a whole when they are first looked at.
struct Due {
    within: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Due {
    /// Whether the time is up. If not, the task is woken when it is.
    fn is_over(&mut self, inbox: &Inbox, context: &mut Context<'_>) -> bool {
        let Some(due) = inbox.due(self.within) else {
            self.timer = None;
            return false;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(context).is_ready()
    }
}

/// Serves a call to its end.
pub(super) async fn serve(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    server: Arc<Server>,
    _counted: Counted,
) {
    let (parts, receiver) = request.into_parts();
    let bounds = &server.bounds;
    let is_unary = !server.is_streaming(parts.uri.path());
    let within = if is_unary {
        asked(&parts.headers).unwrap_or(bounds.receiving).min(bounds.most_receiving)
    } else {
        // A stream lasts as long as both sides want; it is each of its messages that has a time.
        bounds.most_receiving
    };
    let held = Arc::clone(&server.receiving);
    let inbox = Arc::new(Inbox::new(receiver, held, bounds.message_bytes, is_unary));
    let request = Request::from_parts(parts, Body::new(Received(Arc::clone(&inbox))));
    let mut due = Due { within, timer: None };
    let mut answered = pin!(answer(request, &mut respond, &server));
    let result = poll_fn(|context| {
        loop {
            inbox.take(context);
            if let Poll::Ready(result) = answered.as_mut().poll(context) {
                return Poll::Ready(result);
            }
            if !due.is_over(&inbox, context) {
                return Poll::Pending;
            }
            inbox.give_up(within);
        }
    })
    .await;
    if let Err(unanswered) = result {
        tracing::debug!(%unanswered, "an answer was not taken to its end");
    }
}

/// How long the caller waits.
fn asked(headers: &HeaderMap) -> Option<Duration> {
    timeout_of(headers.get(TIMEOUT_HEADER)?.to_str().ok()?)
}

async fn answer(request: Request<Body>, respond: &mut SendResponse<Bytes>, server: &Server) -> Result<(), Unanswered> {
    let response = if server.unsent.is_full() {
        drop(request);
        errors::too_much_unsent().into_http()
    } else {
        let mut service = server.services.clone();
        let mut called = pin!(service.call(request));
        let called = poll_fn(|context| {
            if let Poll::Ready(response) = called.as_mut().poll(context) {
                return Poll::Ready(Ok(response));
            }
            respond.poll_reset(context).map(|reset| match reset {
                Ok(reason) => Err(Unanswered::Reset(reason)),
                Err(error) => Err(Unanswered::Broken(error)),
            })
        });
        match called.await? {
            Ok(response) => response,
            Err(never) => match never {},
        }
    };
    let (parts, mut body) = response.into_parts();
    let head = Response::from_parts(parts, ());
    if body.is_end_stream() {
        respond.send_response(head, true)?;
        return Ok(());
    }
    let mut stream = respond.send_response(head, false)?;
    while let Some(frame) = next_frame(&mut body, &mut stream).await? {
        match frame.into_data() {
            Ok(data) => send(&mut stream, data, server).await?,
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    stream.send_trailers(trailers)?;
                    return Ok(());
                }
            }
        }
    }
    stream.send_data(Bytes::new(), true)?;
    Ok(())
}

/// The next frame of an answer, unless the caller wants no more.
async fn next_frame(
    body: &mut Body,
    stream: &mut SendStream<Bytes>,
) -> Result<Option<http_body::Frame<Bytes>>, Unanswered> {
    let frame = poll_fn(|context| {
        if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(context) {
            return Poll::Ready(frame.transpose().map_err(Unanswered::Service));
        }
        stream.poll_reset(context).map(|reset| Err(reset.map_or_else(Unanswered::Broken, Unanswered::Reset)))
    })
    .await;
    if let Err(Unanswered::Service(_)) = &frame {
        stream.send_reset(Reason::INTERNAL_ERROR);
    }
    frame
}

/// Sends data as far as the caller's windows are open, and waits until they open further.
async fn send(stream: &mut SendStream<Bytes>, mut data: Bytes, server: &Server) -> Result<(), Unanswered> {
    if data.is_empty() {
        return Ok(());
    }
    stream.reserve_capacity(data.len());
    if stream.capacity() >= data.len() {
        stream.send_data(data, false)?;
        return Ok(());
    }
    let mut unsent = Unsent::new(&server.unsent, data.len());
    while !data.is_empty() {
        let mut capacity = stream.capacity();
        if capacity == 0 {
            let opened = poll_fn(|context| stream.poll_capacity(context));
            capacity = match timeout(server.bounds.stalled, opened).await {
                Ok(Some(capacity)) => capacity?,
                // The stream is not open any more.
                Ok(None) => return Err(Unanswered::Reset(Reason::CANCEL)),
                Err(_) => {
                    stream.send_reset(Reason::CANCEL);
                    return Err(Unanswered::Stalled);
                }
            };
        }
        let piece = data.split_to(capacity.min(data.len()));
        unsent.sent(piece.len());
        if !piece.is_empty() {
            stream.send_data(piece, false)?;
            stream.reserve_capacity(data.len());
        }
    }
    Ok(())
}

/// Bytes of an answer that wait for the caller to take them.
struct Unsent<'h> {
    held: &'h Held,
    bytes: usize,
}

impl<'h> Unsent<'h> {
    fn new(held: &'h Held, bytes: usize) -> Unsent<'h> {
        // What is there is there. While it is too much, calls are refused as they come.
        let _ = held.take(bytes);
        Unsent { held, bytes }
    }

    fn sent(&mut self, bytes: usize) {
        self.held.give_back(bytes);
        self.bytes -= bytes;
    }
}

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        self.held.give_back(self.bytes);
    }
}
