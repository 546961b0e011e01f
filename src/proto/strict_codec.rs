//! The codec of all generated services: it tells callers whose bytes are no message that it is they
//! who must mend them.
//!
//! gRPC's own codec calls that an internal error, which a caller takes for a fault of the server
//! and repeats. A reply that is no message stays one: there the fault is the server's.

use std::collections::HashMap;
use std::marker::PhantomData;

use prost::{DecodeError, Message, Name};
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic::{Code, Status};
use tonic_prost::{ProstDecoder, ProstEncoder};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Writes `T` and reads `U`.
pub(crate) struct StrictCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for StrictCodec<T, U> {
    fn default() -> Self {
        StrictCodec(PhantomData)
    }
}

pub(crate) struct StrictDecoder<U>(PhantomData<U>);

/// The status of a request whose bytes are no message. Reason, domain and remedy are those of the
/// table of errors, which a test of the services holds it to.
pub(crate) fn malformed(error: &DecodeError) -> Status {
    let remedy = "Mend the field that is named; the request id is still free.";
    let problem = format!("request is no message of its kind: {error}");
    let mut details = ErrorDetails::new();
    details.set_error_info("INVALID_ARGUMENT", "folio", HashMap::new());
    details.add_bad_request_violation("request", problem.clone());
    details.set_localized_message("en", remedy);
    Status::with_error_details(Code::InvalidArgument, format!("{problem}; {remedy}"), details)
}

impl<U: Message + Default + Name> Decoder for StrictDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // A method's message says by its name which way it goes.
        U::decode(source).map(Some).map_err(|error| match U::NAME.ends_with("Request") {
            true => malformed(&error),
            false => Status::internal(error.to_string()),
        })
    }

    fn buffer_settings(&self) -> BufferSettings {
        ProstDecoder::<U>::default().buffer_settings()
    }
}

impl<T, U> Codec for StrictCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Name + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = StrictDecoder<U>;

    fn encoder(&mut self) -> ProstEncoder<T> {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> StrictDecoder<U> {
        StrictDecoder(PhantomData)
    }
}

#[cfg(test)]
mod tests {
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn every_method_takes_a_request_and_gives_a_response() {
        let files = FileDescriptorSet::decode(crate::proto::DESCRIPTORS).map(|set| set.file).unwrap_or_default();
        let methods = files.iter().flat_map(|file| &file.service).flat_map(|service| &service.method);
        let mut count = 0;
        for method in methods {
            assert!(method.input_type().ends_with("Request"), "{method:?}");
            assert!(method.output_type().ends_with("Response"), "{method:?}");
            count += 1;
        }
        assert!(count > 20, "only {count} methods are described");
    }
}
