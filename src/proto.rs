//! The generated types of the protos. Only `api` and `client` may name [`v1`]; only `replication` may name [`internal`].
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// The published API.
pub mod v1 {
    tonic::include_proto!("folio.v1");
}

/// Between replicas.
pub mod internal {
    tonic::include_proto!("folio.internal");
}

/// Messages that are read and written as the bytes that they are.
pub(crate) mod bytes_codec;

/// The descriptors of all protos, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
