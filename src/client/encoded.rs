//! Commands and batches that are encoded once and sent as bytes, however often they must be sent again.
//!
//! A batch is some hundred kilobytes of small strings: copying it as messages for every attempt would cost more than the call. It never looks into a message
//! and never changes one.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Request, Response, Status};

use super::connection::{Client, Intent, MAX_RESPONSE_BYTES};
use super::failure::{Failure, FailureKind};
use super::plain::{EncodedBatch, PlainCommand};
use super::verdicts::{Verdict, read_verdicts};
use crate::proto::bytes_codec::BytesCodec;
use crate::proto::v1;
use crate::proto::v1::command::Operation;

const BATCH: &str = "/folio.v1.LedgerService/ExecuteBatch";

fn decoded<R: Message + Default>(reply: Bytes) -> Result<R, Failure> {
    R::decode(reply).map_err(|error| Failure::local(FailureKind::Other, format!("the answer cannot be read: {error}")))
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
        decoded(self.encoded(Intent::Change, BATCH, batch.encode_to_vec().into()).await?)
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
        decision(self.encoded(Intent::Change, path, bytes.into()).await?)
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
        async move { decision(self.encoded(Intent::Change, path, bytes).await?) }
    }

    /// Executes a written batch and tells what became of each command; see [`Client::batch`].
    ///
    /// # Errors
    /// As [`Client::batch`]. [`FailureKind::Other`] if the answer cannot be read or is not of as many commands.
    pub async fn plain_batch(&self, batch: EncodedBatch) -> Result<Vec<Verdict>, Failure> {
        let asked = batch.commands();
        let answer = self.encoded(Intent::Change, BATCH, batch.into_bytes()).await?;
        let verdicts = read_verdicts(&answer, asked)
            .map_err(|malformed| Failure::local(FailureKind::Other, malformed.to_string()))?;
        if verdicts.len() != asked {
            let message = format!("a batch of {asked} commands has {} answers", verdicts.len());
            return Err(Failure::local(FailureKind::Other, message));
        }
        Ok(verdicts)
    }

    /// The balance of an account.
    ///
    /// # Errors
    /// [`Failure`]; never [`FailureKind::Unknown`].
    pub async fn balance(&self, question: &v1::GetBalanceRequest) -> Result<v1::GetBalanceResponse, Failure> {
        let path = "/folio.v1.AuditService/GetBalance";
        decoded(self.encoded(Intent::Read, path, question.encode_to_vec().into()).await?)
    }

    /// A page of the statement of an account.
    ///
    /// # Errors
    /// [`Failure`]; never [`FailureKind::Unknown`].
    pub async fn statement(&self, question: &v1::GetStatementRequest) -> Result<v1::GetStatementResponse, Failure> {
        let path = "/folio.v1.AuditService/GetStatement";
        decoded(self.encoded(Intent::Read, path, question.encode_to_vec().into()).await?)
    }

    async fn encoded(&self, intent: Intent, path: &'static str, bytes: Bytes) -> Result<Bytes, Failure> {
        self.until_answered(intent, |endpoint, timeout| {
            let bytes = bytes.clone();
            async move {
                match self.direct(endpoint) {
                    Some(direct) => direct.call(path, bytes, timeout, MAX_RESPONSE_BYTES).await,
                    None => self.over_channel(endpoint, path, bytes, timeout).await,
                }
            }
        })
        .await
    }

    /// The same where the channels were made elsewhere.
    async fn over_channel(
        &self,
        endpoint: usize,
        path: &'static str,
        bytes: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, Status> {
        let channel = self.channel(endpoint).ok_or_else(|| Status::internal("there is no such endpoint"))?;
        let mut request = Request::new(bytes);
        request.set_timeout(timeout);
        let mut service = Grpc::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES);
        service.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
        service.unary(request, PathAndQuery::from_static(path), BytesCodec).await.map(Response::into_inner)
    }
}

/// Every reply's first field is its decision; the others are left out by decoding the one that has no others.
fn decision(reply: Bytes) -> Result<v1::Decision, Failure> {
    let reply: v1::ConfirmTransactionResponse = decoded(reply)?;
    Ok(reply.decision.unwrap_or_default())
}
