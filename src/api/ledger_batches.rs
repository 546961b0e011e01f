//! The ledger service as it is served: batches go by their bytes, all other calls by the generated service.

use std::convert::Infallible;
use std::task::{Context, Poll};

use bytes::Bytes;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};

use super::Api;
use crate::proto::bytes_codec::BytesCodec;
use crate::proto::v1::ledger_service_server::LedgerServiceServer;

const EXECUTE_BATCH: &str = "/folio.v1.LedgerService/ExecuteBatch";

/// The ledger service.
#[derive(Clone)]
pub struct Ledger {
    api: Api,
    service: LedgerServiceServer<Api>,
}

impl Ledger {
    pub(super) fn new(api: Api, service: LedgerServiceServer<Api>) -> Ledger {
        Ledger { api, service }
    }
}

impl NamedService for Ledger {
    const NAME: &'static str = <LedgerServiceServer<Api> as NamedService>::NAME;
}

/// One batch, from bytes to bytes.
struct Batch(Api);

impl UnaryService<Bytes> for Batch {
    type Response = Bytes;
    type Future = BoxFuture<Response<Bytes>, Status>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let api = self.0.clone();
        Box::pin(async move {
            let deadline = api.limits.deadline(request.metadata());
            api.batch(request.into_inner(), deadline).await.map(Response::new)
        })
    }
}

impl Service<http::Request<Body>> for Ledger {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() != EXECUTE_BATCH {
            return self.service.call(request);
        }
        let api = self.api.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(BytesCodec)
                .max_decoding_message_size(api.limits.request_bytes)
                .max_encoding_message_size(api.limits.response_bytes);
            Ok(grpc.unary(Batch(api), request).await)
        })
    }
}
