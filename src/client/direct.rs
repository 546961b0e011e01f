//! Single calls over HTTP/2 with the least between a caller and the socket.
//!
//! A general stack sends a call's header in one packet, and its message in another once it has asked for the room to send it; every packet wakes the other side. Here both are handed over before
//! the connection is polled, so that a small call is one packet there and one back. Calls share one connection to each endpoint, made when first used and made anew when it broke.
//! It never repeats a call: whether that is safe is decided by who asked for it.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use tonic::codegen::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, TE};
use tonic::codegen::http::uri::{Authority, PathAndQuery, Scheme, Uri};
use tonic::codegen::http::{HeaderMap, Method, Request, StatusCode, Version};
use tonic::{Code, Status};

use crate::tcp;

/// Between a message's frame and its bytes: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;
/// A message up to this long is copied behind its prefix, so that it is one frame.
const COPIED_BYTES: usize = 4 * 1024;
/// How far a server may send ahead of what was read: more than an answer has.
const WINDOW_BYTES: u32 = 8 * 1024 * 1024;
/// The largest frame that a server may send.
const FRAME_BYTES: u32 = 1024 * 1024;
/// How much of the requests may wait for the network; a batch is at most half of it.
const SEND_BUFFER_BYTES: usize = 2 * ledger::limits::MAX_REQUEST_BYTES;

/// There is no connection, so nothing can have been sent.
#[derive(Debug)]
pub(super) struct NoConnection(std::io::Error);

impl fmt::Display for NoConnection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "no connection: {}", self.0)
    }
}

impl Error for NoConnection {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

fn no_connection(error: std::io::Error) -> Status {
    let problem = NoConnection(error);
    let mut status = Status::unavailable(problem.to_string());
    status.set_source(Arc::new(problem));
    status
}

/// The connection broke while a call was on its way; what became of the call is not known.
fn broken(error: &h2::Error) -> Status {
    Status::unavailable(format!("the connection broke: {error}"))
}

/// An endpoint and the connection to it.
pub(super) struct Direct {
    address: String,
    authority: Authority,
    connect_timeout: Duration,
    /// The latest connection, with its number: whoever finds it broken throws away that one and not the next.
    current: Mutex<Option<(u64, SendRequest<Bytes>)>>,
    /// Held while a connection is made, so that one is made at a time.
    connecting: tokio::sync::Mutex<u64>,
}

impl fmt::Debug for Direct {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Direct").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Direct {
    /// The endpoint at `host:port`; nothing is connected yet. None if that is no authority of a URI.
    pub(super) fn new(address: &str, connect_timeout: Duration) -> Option<Direct> {
        let authority = address.parse().ok()?;
        let (current, connecting) = (Mutex::new(None), tokio::sync::Mutex::new(0));
        Some(Direct { address: address.to_owned(), authority, connect_timeout, current, connecting })
    }

    fn current(&self) -> Option<(u64, SendRequest<Bytes>)> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn forget(&self, number: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|(other, _)| *other == number) {
            *current = None;
        }
    }

    /// A connection that takes another call.
    async fn connection(&self) -> Result<(u64, SendRequest<Bytes>), Status> {
        loop {
            let (number, sender) = match self.current() {
                Some(current) => current,
                None => self.connect().await?,
            };
            // Waits while the server takes no more calls; fails only if the connection is gone, before anything of this call was sent.
            match sender.ready().await {
                Ok(sender) => return Ok((number, sender)),
                Err(_) => self.forget(number),
            }
        }
    }

    async fn connect(&self) -> Result<(u64, SendRequest<Bytes>), Status> {
        let mut made = self.connecting.lock().await;
        if let Some(current) = self.current() {
            return Ok(current);
        }
        let connected = tokio::time::timeout(self.connect_timeout, tcp::connect(&self.address)).await;
        let stream = connected.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())).map_err(no_connection)?;
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(WINDOW_BYTES).initial_connection_window_size(2 * WINDOW_BYTES);
        builder.max_frame_size(FRAME_BYTES).max_send_buffer_size(SEND_BUFFER_BYTES).enable_push(false);
        let made_h2 = tokio::time::timeout(self.connect_timeout, builder.handshake(stream)).await;
        let made_h2 = made_h2.map_err(|_| no_connection(std::io::ErrorKind::TimedOut.into()))?;
        let (sender, connection) = made_h2.map_err(|error| no_connection(std::io::Error::other(error)))?;
        // It ends when the peer closes it, or once nobody can send over it any more. Its error reaches every call that is under way.
        tokio::spawn(connection);
        *made += 1;
        let current = (*made, sender);
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(current.clone());
        Ok(current)
    }

    fn request(&self, path: &'static str, timeout: Duration) -> Result<Request<()>, Status> {
        let uri = Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(self.authority.clone())
            .path_and_query(PathAndQuery::from_static(path))
            .build()
            .map_err(|error| Status::internal(format!("no URI: {error}")))?;
        // In whole milliseconds, of which eight digits are allowed: more than a day.
        let milliseconds = timeout.as_millis().clamp(1, 99_999_999);
        let timeout = HeaderValue::try_from(format!("{milliseconds}m"))
            .map_err(|error| Status::internal(format!("no deadline: {error}")))?;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_2;
        let headers = request.headers_mut();
        headers.reserve(3);
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(HeaderName::from_static("grpc-timeout"), timeout);
        Ok(request)
    }

    /// Sends a message to a method and returns the bytes of the reply. The timeout is what the server is told; whoever calls stops waiting by itself.
    ///
    /// # Errors
    /// The status that the server gave, or [`Code::Unavailable`]: with [`NoConnection`] as its source if nothing was sent.
    pub(super) async fn call(
        &self,
        path: &'static str,
        message: Bytes,
        timeout: Duration,
        max_response_bytes: usize,
    ) -> Result<Bytes, Status> {
        let request = self.request(path, timeout)?;
        let (number, mut sender) = self.connection().await?;
        let result = exchange(&mut sender, request, message, max_response_bytes).await;
        if let Err(Problem::Broken(_)) = &result {
            self.forget(number);
        }
        result.map_err(|problem| match problem {
            Problem::Broken(error) => broken(&error),
            Problem::Answered(status) => status,
        })
    }
}

/// Why there is no reply.
enum Problem {
    Broken(h2::Error),
    Answered(Status),
}

impl From<h2::Error> for Problem {
    fn from(error: h2::Error) -> Problem {
        Problem::Broken(error)
    }
}

impl From<Status> for Problem {
    fn from(status: Status) -> Problem {
        Problem::Answered(status)
    }
}

async fn exchange(
    sender: &mut SendRequest<Bytes>,
    request: Request<()>,
    message: Bytes,
    max_response_bytes: usize,
) -> Result<Bytes, Problem> {
    let (response, mut stream) = sender.send_request(request, false)?;
    // All of it at once, whatever the window: what does not fit waits inside the connection.
    let mut head =
        BytesMut::with_capacity(PREFIX_BYTES + if message.len() <= COPIED_BYTES { message.len() } else { 0 });
    head.put_u8(0);
    let len = u32::try_from(message.len()).map_err(|_| Status::out_of_range("the message is longer than 4 GiB"))?;
    head.put_u32(len);
    if message.len() <= COPIED_BYTES {
        head.put_slice(&message);
        stream.send_data(head.freeze(), true)?;
    } else {
        stream.send_data(head.freeze(), false)?;
        stream.send_data(message, true)?;
    }
    let (parts, mut body) = response.await?.into_parts();
    let mut reply = Reply::new(max_response_bytes);
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        reply.push(chunk)?;
    }
    match body.trailers().await? {
        Some(trailers) => check(&trailers, parts.status)?,
        // Without a message the status stands in the header.
        None => check(&parts.headers, parts.status)?,
    }
    Ok(reply.message()?)
}

/// Finds out whether the server says that it is done.
fn check(headers: &HeaderMap, http: StatusCode) -> Result<(), Status> {
    match Status::from_header_map(headers) {
        Some(status) if status.code() == Code::Ok => Ok(()),
        Some(status) => Err(status),
        // Whatever stands between may speak HTTP alone.
        None if http == StatusCode::OK => Err(Status::unavailable("the answer ends without a status")),
        None => Err(Status::unavailable(format!("the answer is HTTP {http} without a status"))),
    }
}

/// A reply as it comes in: its prefix and then its message.
struct Reply {
    first: Bytes,
    rest: BytesMut,
    most: usize,
}

impl Reply {
    fn new(most: usize) -> Reply {
        Reply { first: Bytes::new(), rest: BytesMut::new(), most }
    }

    fn push(&mut self, chunk: Bytes) -> Result<(), Status> {
        let len = self.first.len() + self.rest.len() + chunk.len();
        if len > PREFIX_BYTES + self.most {
            return Err(Status::internal(format!("the answer has more than {} bytes", self.most)));
        }
        if self.first.is_empty() && self.rest.is_empty() {
            self.first = chunk;
            return Ok(());
        }
        if self.rest.is_empty() {
            // Its whole length is known once the prefix is there, so the memory is taken once.
            let whole = prefix(&self.first).map_or(len, |(_, len)| len.min(self.most)) + PREFIX_BYTES;
            self.rest.reserve(whole.max(len));
            self.rest.put_slice(&std::mem::take(&mut self.first));
        }
        self.rest.put_slice(&chunk);
        Ok(())
    }

    fn message(self) -> Result<Bytes, Status> {
        let mut bytes = if self.rest.is_empty() { self.first } else { self.rest.freeze() };
        match prefix(&bytes) {
            Some((0, len)) if bytes.len() == PREFIX_BYTES + len => {
                bytes.advance(PREFIX_BYTES);
                Ok(bytes)
            }
            Some((0, len)) => {
                let found = bytes.len().saturating_sub(PREFIX_BYTES);
                Err(Status::internal(format!("the answer should have {len} bytes and has {found}")))
            }
            Some(_) => Err(Status::internal("the answer is compressed, which was not asked for")),
            None => Err(Status::internal("the answer has no message")),
        }
    }
}

/// Whether a message is compressed, and its length; none if not all of that is there.
fn prefix(bytes: &[u8]) -> Option<(u8, usize)> {
    let (prefix, _) = bytes.split_first_chunk::<PREFIX_BYTES>()?;
    let [compressed, length @ ..] = *prefix;
    Some((compressed, usize::try_from(u32::from_be_bytes(length)).ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn reply(chunks: &[&'static [u8]], most: usize) -> Result<Bytes, Status> {
        let mut reply = Reply::new(most);
        for chunk in chunks {
            reply.push(Bytes::from_static(chunk))?;
        }
        reply.message()
    }

    #[test]
    fn a_reply_is_its_message_however_it_was_cut() {
        let expected = Bytes::from_static(b"abcdef");
        for chunks in [
            &[&b"\0\0\0\0\x06abcdef"[..]][..],
            &[b"\0\0", b"\0\0\x06a", b"bc", b"def"],
            &[b"\0\0\0\0\x06", b"abcdef"],
            &[b"\0", b"\0", b"\0", b"\0", b"\x06", b"a", b"b", b"c", b"d", b"e", b"f"],
        ] {
            assert_eq!(reply(chunks, 6).unwrap(), expected, "{chunks:?}");
        }
        assert_eq!(reply(&[b"\0\0\0\0\0"], 0).unwrap(), Bytes::new());
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for (chunks, most) in [
            (&[][..], 10),
            (&[&b"\0\0\0\0"[..]][..], 10),
            (&[b"\0\0\0\0\x06abcde"], 10),
            (&[b"\0\0\0\0\x06abcdefg"], 10),
            (&[b"\x01\0\0\0\x06abcdef"], 10),
            (&[b"\0\0\0\0\x06abcdef"], 5),
            (&[b"\0\xFF\xFF\xFF\xFFa", b"b"], 10),
        ] {
            assert_eq!(reply(chunks, most).unwrap_err().code(), Code::Internal, "{chunks:?}");
        }
    }

    #[test]
    fn the_status_is_what_the_server_said() {
        let headers =
            |code: &'static str| HeaderMap::from_iter([("grpc-status".parse().unwrap(), code.parse().unwrap())]);
        assert!(check(&headers("0"), StatusCode::OK).is_ok());
        assert_eq!(check(&headers("9"), StatusCode::OK).unwrap_err().code(), Code::FailedPrecondition);
        assert_eq!(check(&HeaderMap::new(), StatusCode::OK).unwrap_err().code(), Code::Unavailable);
        assert_eq!(check(&HeaderMap::new(), StatusCode::BAD_GATEWAY).unwrap_err().code(), Code::Unavailable);
    }

    #[tokio::test]
    async fn a_refused_connection_says_that_nothing_was_sent() {
        let address = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().to_string()
        };
        let direct = Direct::new(&address, Duration::from_secs(1)).unwrap();
        let status = direct.call("/a/b", Bytes::new(), Duration::from_secs(1), 10).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.source().unwrap().is::<NoConnection>());
    }

    /// Serves connections one after the other; each answers so many calls with their own message, and is then closed in the middle of the next.
    async fn serve(listener: tokio::net::TcpListener, answered: &[usize]) {
        for answered in answered {
            let (stream, _) = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake(stream).await.unwrap();
            for _ in 0..*answered {
                let (request, mut respond) = connection.accept().await.unwrap().unwrap();
                assert_eq!(request.uri().path(), "/a/b");
                assert_eq!(request.headers()["grpc-timeout"], "1000m");
                let mut body = request.into_body();
                let work = async {
                    let mut message = BytesMut::new();
                    while let Some(chunk) = body.data().await {
                        let chunk = chunk.unwrap();
                        body.flow_control().release_capacity(chunk.len()).unwrap();
                        message.put_slice(&chunk);
                    }
                    let mut stream = respond.send_response(tonic::codegen::http::Response::new(()), false).unwrap();
                    stream.send_data(message.freeze(), false).unwrap();
                    let ok = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
                    stream.send_trailers(ok).unwrap();
                };
                tokio::select! {
                    () = work => {}
                    _ = connection.accept() => panic!("another call came"),
                }
            }
            let _ = connection.accept().await;
        }
    }

    #[tokio::test]
    async fn calls_share_a_connection_until_it_breaks_and_the_next_call_makes_another() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move { serve(listener, &[2, 1]).await });
        let direct = Direct::new(&address, Duration::from_secs(1)).unwrap();
        let call = |message: &'static [u8]| {
            direct.call("/a/b", Bytes::from_static(message), Duration::from_secs(1), 10_000_000)
        };
        assert_eq!(call(b"first").await.unwrap(), "first");
        // Longer than is copied, and than the window that a server gives at first.
        let long: &'static [u8] = vec![7; 1_000_000].leak();
        assert_eq!(call(long).await.unwrap(), long);
        let status = call(b"lost").await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.source().is_none(), "it may have been sent: {status:?}");
        assert_eq!(call(b"again").await.unwrap(), "again");
        drop(direct);
        server.await.unwrap();
    }
}
