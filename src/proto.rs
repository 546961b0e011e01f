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

/// Messages of the generated types.
pub(crate) mod strict_codec;

/// The paths of all methods whose callers send more than one message.
pub fn streaming_methods() -> Vec<String> {
    use prost::Message as _;
    // What the build wrote decodes; a test would find nothing otherwise.
    let described = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap_or_default();
    let mut paths = Vec::new();
    for file in &described.file {
        for service in &file.service {
            let streaming = service.method.iter().filter(|method| method.client_streaming());
            let path = |method: &prost_types::MethodDescriptorProto| {
                format!("/{}.{}/{}", file.package(), service.name(), method.name())
            };
            paths.extend(streaming.map(path));
        }
    }
    paths
}

/// The descriptors of all protos, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
