//! What a call sends, between the connection and whoever reads it.
//!
//! Flow control counts bytes, but memory is also taken by each frame that waits, which for commands
//! of some dozens of bytes is many times as much. HTTP/2's implementation therefore ends a
//! connection with too many small frames that nobody has read. So frames are taken from the
//! connection as soon as they are there, whether or not somebody reads the call, and small ones are
//! put together. The room that they take in the windows is given back only once they are read: that
//! is what stops a caller who is ahead.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use http_body::{Body, Frame};
use tokio::time::Instant;
use tonic::Status;
use tonic::codegen::http::HeaderMap;

use super::framing::{Framing, Malformed};
use crate::api::{Held, errors};

/// Frames up to this long are copied together: a longer one takes hardly more memory than it has
/// bytes.
const COPIED_BYTES: usize = 4 * 1024;
/// The most that is read at once of frames that were put together.
const READ_BYTES: usize = 16 * 1024;
/// What any call may hold, even where all calls together hold too much: small calls then still come
/// through.
const OWN_BYTES: usize = 4 * 1024;

/// How a call's messages end.
#[derive(Debug)]
enum End {
    /// As the caller wanted; the trailers were not read yet.
    Done(Option<HeaderMap>),
    /// Nothing more of it is taken.
    Failed(Option<Status>),
}

#[derive(Debug)]
struct State {
    /// None once nothing of the call is of use any more.
    receiver: Option<RecvStream>,
    /// All data was received; trailers may follow.
    is_data_done: bool,
    chunks: VecDeque<Bytes>,
    /// Small frames that came after the chunks.
    small: BytesMut,
    /// Bytes in both.
    unread: usize,
    /// Bytes that are counted as held: the unread ones, and all of a message that is not whole,
    /// those to come included: whoever reads it makes room for all of it at its beginning.
    charged: usize,
    received: Framing,
    read: Framing,
    /// Since when a message is awaited that is not whole, and of which all that is there was read.
    awaited_since: Option<Instant>,
    end: Option<End>,
    reader: Option<Waker>,
    /// The call's task, which looks after the time.
    task: Option<Waker>,
}

/// What a call sends.
#[derive(Debug)]
pub(super) struct Inbox {
    state: Mutex<State>,
    held: Arc<Held>,
    most_message_bytes: usize,
    /// Of a call with one message: it must be received as a whole within a time from its beginning.
    is_unary: bool,
    began: Instant,
}

impl Inbox {
    pub(super) fn new(receiver: RecvStream, held: Arc<Held>, most_message_bytes: usize, is_unary: bool) -> Inbox {
        let state = State {
            receiver: Some(receiver),
            is_data_done: false,
            chunks: VecDeque::new(),
            small: BytesMut::new(),
            unread: 0,
            charged: 0,
            received: Framing::default(),
            read: Framing::default(),
            awaited_since: None,
            end: None,
            reader: None,
            task: None,
        };
        Inbox { state: Mutex::new(state), held, most_message_bytes, is_unary, began: Instant::now() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what the connection has for this call. To be called whenever the call's task is woken,
    /// which the connection does when there is more; before anything reads the call in that task.
    pub(super) fn take(&self, context: &mut Context<'_>) {
        let mut state = self.state();
        if !state.task.as_ref().is_some_and(|task| task.will_wake(context.waker())) {
            state.task = Some(context.waker().clone());
        }
        if self.take_frames(&mut state, context)
            && let Some(reader) = state.reader.take_if(|reader| !reader.will_wake(context.waker()))
        {
            drop(state);
            reader.wake();
        }
    }

    /// Tells whether there is anything new.
    fn take_frames(&self, state: &mut State, context: &mut Context<'_>) -> bool {
        let mut is_new = false;
        while state.end.is_none() {
            let Some(receiver) = &mut state.receiver else { break };
            if state.is_data_done {
                let Poll::Ready(trailers) = receiver.poll_trailers(context) else { break };
                match trailers {
                    Ok(trailers) => self.finish(state, trailers),
                    Err(error) => self.fail(state, Status::from_error(Box::new(error))),
                }
                return true;
            }
            match receiver.poll_data(context) {
                Poll::Ready(Some(Ok(data))) => self.receive(state, data),
                Poll::Ready(Some(Err(error))) => self.fail(state, Status::from_error(Box::new(error))),
                Poll::Ready(None) => {
                    state.is_data_done = true;
                    continue;
                }
                Poll::Pending => break,
            }
            is_new = true;
        }
        is_new
    }

    fn receive(&self, state: &mut State, data: Bytes) {
        state.unread += data.len();
        let framed = state.received.advance(&data, self.most_message_bytes);
        let is_first = state.chunks.is_empty() && state.small.is_empty();
        if !is_first && data.len() <= COPIED_BYTES {
            state.small.extend_from_slice(&data);
        } else {
            state.put_small_to_chunks();
            state.chunks.push_back(data);
        }
        let problem = match framed {
            Ok(_) => None,
            Err(Malformed::Flag(1)) => Some("is compressed; send it as it is".to_owned()),
            Err(Malformed::Flag(flag)) => Some(format!("begins with {flag}, which is no message of gRPC")),
            Err(Malformed::TooLong(bytes)) => {
                Some(format!("has {bytes} bytes; at most {} are allowed", ledger::limits::MAX_REQUEST_BYTES))
            }
        };
        if let Some(problem) = problem {
            self.fail(state, errors::invalid("request", problem));
        } else if !self.charge(state) && state.charged > OWN_BYTES {
            self.fail(state, errors::too_much_received());
        }
    }

    /// Counts what is held now. False if all calls together hold too much.
    fn charge(&self, state: &mut State) -> bool {
        let now = state.unread + state.read.begun() + state.received.missing();
        let before = std::mem::replace(&mut state.charged, now);
        match now.checked_sub(before) {
            Some(0) => true,
            Some(more) => self.held.take(more),
            None => {
                self.held.give_back(before - now);
                true
            }
        }
    }

    fn finish(&self, state: &mut State, trailers: Option<HeaderMap>) {
        let (begun, expected) = (state.received.begun(), state.received.expected());
        if begun > 0 {
            let problem = format!("ends after {begun} of its {expected} bytes");
            self.fail(state, errors::invalid("request", problem));
        } else if self.is_unary && !state.received.has_ended() {
            self.fail(state, errors::invalid("request", "is missing: the call ended without a message"));
        } else {
            state.end = Some(End::Done(trailers));
        }
    }

    /// Takes no more, and lets go of what is there.
    fn fail(&self, state: &mut State, status: Status) {
        state.release(state.unread);
        state.receiver = None;
        (state.chunks, state.small, state.unread, state.received, state.read) = Default::default();
        state.awaited_since = None;
        state.end = Some(End::Failed(Some(status)));
        // It holds less than before.
        let _ = self.charge(state);
    }

    /// When the present message must be whole at the latest; none while nothing is awaited of the
    /// caller.
    pub(super) fn due(&self, within: std::time::Duration) -> Option<Instant> {
        let state = self.state();
        if state.end.is_some() || state.unread > 0 {
            return None;
        }
        let since = if self.is_unary { Some(self.began) } else { state.awaited_since };
        since.map(|since| since + within)
    }

    /// The message was not whole in time.
    pub(super) fn give_up(&self, within: std::time::Duration) {
        let mut state = self.state();
        if state.end.is_none() {
            let bytes = state.read.begun();
            self.fail(&mut state, errors::not_received_in_time(bytes, within));
            if let Some(reader) = state.reader.take() {
                drop(state);
                reader.wake();
            }
        }
    }

    fn poll_read(&self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut state = self.state();
        if let Some(data) = state.next_chunk() {
            state.unread -= data.len();
            state.release(data.len());
            // Its form was checked when it came.
            let ended = state.read.advance(&data, usize::MAX).unwrap_or(true);
            match state.read.begun() {
                0 => state.awaited_since = None,
                _ if ended || state.awaited_since.is_none() => state.awaited_since = Some(Instant::now()),
                _ => {}
            }
            // It holds less than before, or as much.
            let _ = self.charge(&mut state);
            if state.unread == 0
                && state.awaited_since.is_some()
                && let Some(task) = state.task.take_if(|task| !task.will_wake(context.waker()))
            {
                // The rest is awaited from now on.
                task.wake();
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match &mut state.end {
            Some(End::Done(trailers)) => Poll::Ready(trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))),
            Some(End::Failed(status)) => Poll::Ready(status.take().map(Err)),
            None => {
                let is_known = state.reader.as_ref().is_some_and(|reader| reader.will_wake(context.waker()));
                if !is_known {
                    state.reader = Some(context.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    fn is_at_end(&self) -> bool {
        let state = self.state();
        state.unread == 0 && matches!(state.end, Some(End::Done(None) | End::Failed(None)))
    }

    /// Nobody reads it any more.
    fn close(&self) {
        let mut state = self.state();
        let unread = state.unread;
        state.release(unread);
        (state.chunks, state.small, state.unread, state.received, state.read) = Default::default();
        state.awaited_since = None;
        // What still comes is not kept.
        state.receiver = None;
        state.end = Some(End::Failed(None));
        let _ = self.charge(&mut state);
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.held.give_back(self.state().charged);
    }
}

impl State {
    fn put_small_to_chunks(&mut self) {
        if !self.small.is_empty() {
            self.chunks.push_back(self.small.split().freeze());
        }
    }

    fn next_chunk(&mut self) -> Option<Bytes> {
        if let Some(chunk) = self.chunks.front_mut() {
            // What was put together is read piece by piece, or a reader would hold a window's worth
            // of commands.
            if chunk.len() > READ_BYTES {
                return Some(chunk.split_to(READ_BYTES));
            }
            return self.chunks.pop_front();
        }
        let len = self.small.len().min(READ_BYTES);
        (len > 0).then(|| self.small.split_to(len).freeze())
    }

    /// Gives room in the windows back.
    fn release(&mut self, bytes: usize) {
        if bytes > 0
            && let Some(receiver) = &mut self.receiver
        {
            // Fails only where the stream has ended, and its windows with it.
            let _ = receiver.flow_control().release_capacity(bytes);
        }
    }
}

/// What a call sends, as its service reads it.
#[derive(Debug)]
pub(super) struct Received(pub(super) Arc<Inbox>);

impl Drop for Received {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.0.poll_read(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_at_end()
    }
}
