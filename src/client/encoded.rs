//! Commands and batches that are encoded once and sent as bytes, however often they must be sent again.
//!
//! A batch is some hundred kilobytes of small strings: copying it as messages for every attempt would cost more than the call. It never looks into a message
//! and never changes one.

use std::future::Future;

use bytes::{BufMut as _, Bytes};
use prost::Message;
use tonic::Status;
use tonic::client::Grpc;
use tonic::codec::{BufferSettings, Codec, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic_prost::{ProstCodec, ProstDecoder};

use super::connection::{Client, Intent, MAX_RESPONSE_BYTES};
use super::failure::{Failure, FailureKind};
use super::plain::{EncodedBatch, PlainCommand};
use super::verdicts::{BytesDecoder, Verdict, read_verdicts};
use crate::proto::v1;
use crate::proto::v1::command::Operation;

/// Sends bytes as they are and reads the reply by a decoder.
struct EncodedCodec<D>(fn() -> D);

struct BytesEncoder;

impl Encoder for BytesEncoder {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(item.len());
        buffer.put(item);
        Ok(())
    }
}

impl<R: Send + 'static, D: Decoder<Item = R, Error = Status> + Send + 'static> Codec for EncodedCodec<D> {
    type Encode = Bytes;
    type Decode = R;
    type Encoder = BytesEncoder;
    type Decoder = D;

    fn encoder(&mut self) -> BytesEncoder {
        BytesEncoder
    }

    fn decoder(&mut self) -> D {
        (self.0)()
    }
}

/// Reads a reply as the generated types do.
fn generated<R: Message + Default + 'static>() -> ProstDecoder<R> {
    ProstCodec::<R, R>::raw_decoder(BufferSettings::default())
}

/// The method that takes an operation by itself, and the operation's bytes.
pub(super) fn single(operation: &Operation) -> (&'static str, Vec<u8>) {
    match operation {
        Operation::RegisterAsset(message) => ("/folio.v1.LedgerService/RegisterAsset", message.encode_to_vec()),
        Operation::OpenAccount(message) => ("/folio.v1.LedgerService/OpenAccount", message.encode_to_vec()),
        Operation::SetAccountLimits(message) => ("/folio.v1.LedgerService/SetAccountLimits", message.encode_to_vec()),
        Operation::FreezeAccount(message) => ("/folio.v1.LedgerService/FreezeAccount", message.encode_to_vec()),
        Operation::UnfreezeAccount(message) => ("/folio.v1.LedgerService/UnfreezeAccount", message.encode_to_vec()),
        Operation::CloseAccount(message) => ("/folio.v1.LedgerService/CloseAccount", message.encode_to_vec()),
        Operation::Transfer(message) => ("/folio.v1.LedgerService/Transfer", message.encode_to_vec()),
        Operation::PostTransaction(message) => ("/folio.v1.LedgerService/PostTransaction", message.encode_to_vec()),
        Operation::TryTransaction(message) => ("/folio.v1.LedgerService/TryTransaction", message.encode_to_vec()),
        Operation::ConfirmTransaction(message) => {
            ("/folio.v1.LedgerService/ConfirmTransaction", message.encode_to_vec())
        }
        Operation::CancelTransaction(message) => ("/folio.v1.LedgerService/CancelTransaction", message.encode_to_vec()),
        Operation::ReverseTransaction(message) => {
            ("/folio.v1.LedgerService/ReverseTransaction", message.encode_to_vec())
        }
    }
}

impl Client {
    /// Executes a batch; the same bytes are sent until there is an answer or the time is up, so every command must carry its request id.
    ///
    /// # Errors
    /// [`Failure`]: the batch as a whole has no answer. A refused command of an independent batch is no failure: it stands in its result.
    pub async fn batch(&self, batch: &v1::ExecuteBatchRequest) -> Result<v1::ExecuteBatchResponse, Failure> {
        self.encoded("/folio.v1.LedgerService/ExecuteBatch", Bytes::from(batch.encode_to_vec()), generated).await
    }

    /// Executes one command by its own method and tells where it was decided.
    ///
    /// # Errors
    /// [`Failure`]; a refusal is one. [`FailureKind::Malformed`] if the command is empty.
    pub async fn command(&self, command: &v1::Command) -> Result<v1::Decision, Failure> {
        let Some(operation) = &command.operation else {
            return Err(Failure::local(FailureKind::Malformed, "the command is empty: it names no operation"));
        };
        let (path, bytes) = single(operation);
        // Every reply's first field is its decision; the others are left out by decoding the one that has no others.
        let reply: v1::ConfirmTransactionResponse = self.encoded(path, Bytes::from(bytes), generated).await?;
        Ok(reply.decision.unwrap_or_default())
    }

    /// Executes one plain command by its own method and tells where it was decided.
    ///
    /// # Errors
    /// As [`Client::command`].
    pub fn plain<'a>(
        &'a self,
        command: &PlainCommand<'_>,
    ) -> impl Future<Output = Result<v1::Decision, Failure>> + Send + use<'a> {
        // Written before the first wait, so that what is awaited borrows none of the caller's texts.
        let (path, bytes) = (command.path(), command.encode());
        async move {
            let reply: v1::ConfirmTransactionResponse = self.encoded(path, bytes, generated).await?;
            Ok(reply.decision.unwrap_or_default())
        }
    }

    /// Executes a written batch and tells what became of each command; see [`Client::batch`].
    ///
    /// # Errors
    /// As [`Client::batch`]. [`FailureKind::Other`] if the answer cannot be read or is not of as many commands.
    pub async fn plain_batch(&self, batch: EncodedBatch) -> Result<Vec<Verdict>, Failure> {
        let asked = batch.commands();
        let answer = self.encoded("/folio.v1.LedgerService/ExecuteBatch", batch.into_bytes(), || BytesDecoder).await?;
        let verdicts = read_verdicts(&answer, asked)
            .map_err(|malformed| Failure::local(FailureKind::Other, malformed.to_string()))?;
        if verdicts.len() != asked {
            let message = format!("a batch of {asked} commands has {} answers", verdicts.len());
            return Err(Failure::local(FailureKind::Other, message));
        }
        Ok(verdicts)
    }

    async fn encoded<R: Send + Sync + 'static, D: Decoder<Item = R, Error = Status> + Send + 'static>(
        &self,
        path: &'static str,
        bytes: Bytes,
        decoder: fn() -> D,
    ) -> Result<R, Failure> {
        self.attempt(Intent::Change, bytes, |channel, request| async move {
            let mut service = Grpc::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES);
            service.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
            service.unary(request, PathAndQuery::from_static(path), EncodedCodec(decoder)).await
        })
        .await
    }
}
