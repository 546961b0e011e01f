//! One connection: its handshake, its calls, and when it is closed.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use h2::server::Builder;
use h2::{Ping, PingPong};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use super::{Bounds, Server, call, is_true};

/// Most bytes of the names and values of one call's headers.
const HEADER_BYTES: u32 = 16 * 1024;
/// Bytes of one call's answer that are handed to the connection ahead of what the network takes.
const SEND_BUFFER_BYTES: usize = 256 * 1024;
/// Calls that the caller reset while they were waiting to be looked at; with more the connection is
/// closed.
const PENDING_RESETS: usize = 64;
/// Calls that were ended here because of what their caller sent; with more the connection is
/// closed.
const ERROR_RESETS: usize = 1_024;
/// A frame with fewer bytes takes what is missing to them from the budget of frames that nobody has
/// taken.
const SMALL_FRAME_BYTES: usize = 256;
/// The frames of a stream of the smallest commands have more bytes than this.
const LEAST_FRAME_BYTES: usize = 16;

fn builder(bounds: &Bounds) -> Builder {
    let mut builder = Builder::new();
    builder
        .initial_window_size(bounds.stream_window)
        .initial_connection_window_size(bounds.connection_window)
        .max_concurrent_streams(bounds.streams)
        .max_header_list_size(HEADER_BYTES)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(Some(ERROR_RESETS))
        .data_frame_budget(frame_budget(bounds.connection_window));
    builder
}

/// What frames may cost beyond their bytes until calls take them, which they do as soon as they
/// run. A whole window of the smallest commands stays within it, so it ends only a connection that
/// sends what no client sends.
fn frame_budget(connection_window: u32) -> usize {
    let frames = usize::try_from(connection_window).unwrap_or(usize::MAX) / LEAST_FRAME_BYTES;
    frames * (SMALL_FRAME_BYTES - LEAST_FRAME_BYTES)
}

/// Serves a connection until either side closes it.
pub(super) async fn serve<IO>(io: IO, server: Arc<Server>, stopped: watch::Receiver<bool>)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = builder(&server.bounds).handshake(io);
    let mut connection = match timeout(server.bounds.handshake, handshake).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return tracing::debug!(%error, "a connection does not begin as HTTP/2"),
        Err(_) => return tracing::debug!("a connection did not begin in time"),
    };
    let mut watch = Watch::new(connection.ping_pong(), &server.bounds);
    let calls = Arc::default();
    let mut stopping = pin!(is_true(stopped));
    let mut is_closing = false;
    let ended = poll_fn(|context| {
        loop {
            match connection.poll_accept(context) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    watch.is_used = true;
                    let counted = call::Counted::new(&calls);
                    tokio::spawn(call::serve(request, respond, Arc::clone(&server), counted));
                    continue;
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(error)),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {}
            }
            let found = watch.look(context, calls.load(Ordering::Relaxed));
            if found == Found::Dead {
                return Poll::Ready(None);
            }
            if is_closing || (found != Found::Idle && stopping.as_mut().poll(context).is_pending()) {
                return Poll::Pending;
            }
            // The caller is told to make another connection for its next call; those under way end
            // here.
            is_closing = true;
            connection.graceful_shutdown();
        }
    });
    if let Some(error) = ended.await {
        tracing::debug!(%error, "a connection broke");
    }
}

/// What a look at a connection shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Nothing to do.
    Fine,
    /// There was no call for long.
    Idle,
    /// The other side does not answer a ping: it is gone, or reads nothing.
    Dead,
}

/// Looks after a connection, once in a while.
struct Watch {
    pings: Option<PingPong>,
    is_answered: bool,
    next: Interval,
    /// Whether a call came since the last look.
    is_used: bool,
    unused_looks: u32,
    most_unused_looks: u32,
}

impl Watch {
    fn new(pings: Option<PingPong>, bounds: &Bounds) -> Watch {
        let mut next = interval_at(Instant::now() + bounds.ping_interval, bounds.ping_interval);
        next.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let most_unused_looks = bounds.idle.as_millis().div_ceil(bounds.ping_interval.as_millis().max(1));
        let most_unused_looks = u32::try_from(most_unused_looks).unwrap_or(u32::MAX);
        Watch { pings, is_answered: true, next, is_used: false, unused_looks: 0, most_unused_looks }
    }

    fn look(&mut self, context: &mut Context<'_>, calls: usize) -> Found {
        if let Some(pings) = self.pings.as_mut().filter(|_| !self.is_answered)
            && let Poll::Ready(pong) = pings.poll_pong(context)
        {
            self.is_answered = pong.is_ok();
        }
        let mut found = Found::Fine;
        while self.next.poll_tick(context).is_ready() {
            if !self.is_answered {
                return Found::Dead;
            }
            self.is_answered = self.pings.as_mut().is_none_or(|pings| pings.send_ping(Ping::opaque()).is_err());
            let was_used = std::mem::take(&mut self.is_used) || calls > 0;
            self.unused_looks = if was_used { 0 } else { self.unused_looks + 1 };
            if self.unused_looks >= self.most_unused_looks {
                found = Found::Idle;
            }
            if let Some(pings) = self.pings.as_mut().filter(|_| !self.is_answered) {
                // So that the answer wakes this task.
                self.is_answered = pings.poll_pong(context).is_ready();
            }
        }
        found
    }
}
