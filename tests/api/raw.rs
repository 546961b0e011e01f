//! Calls made of bytes, for what no client library would send.

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use tokio::net::TcpStream;
use tonic::codegen::http::Request;
use tonic::{Code, Status};

/// A connection that sends what it is told.
pub struct Raw(SendRequest<Bytes>);

/// A call that was begun.
pub struct Call {
    response: ResponseFuture,
    pub sending: SendStream<Bytes>,
}

/// A message as gRPC frames it.
pub fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap());
    framed.put_slice(message);
    framed.freeze()
}

impl Raw {
    pub async fn connect(address: &str) -> Raw {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sending, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Raw(sending)
    }

    /// Begins a call.
    pub async fn call(&self, path: &str) -> Call {
        let request = Request::post(format!("http://folio{path}")).header("content-type", "application/grpc");
        let request = request.header("te", "trailers").body(()).unwrap();
        let mut ready = self.0.clone().ready().await.unwrap();
        let (response, sending) = ready.send_request(request, false).unwrap();
        Call { response, sending }
    }

    /// A call that sends these bytes and ends.
    pub async fn send(&self, path: &str, body: Bytes) -> (Vec<u8>, Status) {
        let mut call = self.call(path).await;
        call.sending.send_data(body, true).unwrap();
        call.answer().await
    }
}

impl Call {
    /// What was answered, and how it ended.
    pub async fn answer(self) -> (Vec<u8>, Status) {
        // Kept open: whoever drops it resets the call.
        let _sending = self.sending;
        let (parts, mut body) = self.response.await.unwrap().into_parts();
        let mut answer = Vec::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk.unwrap();
            body.flow_control().release_capacity(chunk.len()).unwrap();
            answer.extend_from_slice(&chunk);
        }
        let trailers = body.trailers().await.unwrap();
        let status = Status::from_header_map(trailers.as_ref().unwrap_or(&parts.headers));
        (answer, status.unwrap_or_else(|| Status::new(Code::Unknown, "there is no status")))
    }
}
