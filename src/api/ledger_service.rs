//! The ledger service: one command a call, many a call, or a stream of them.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use ledger::{Answer, Command, RequestBody};
use prost::Message as _;
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};

use super::batch::{self, Batch, Half, Halves};
use super::command_stream::Answers;
use super::relay::Source;
use super::{Api, answers, convert, errors, render, written};
use crate::proto::v1::{self, command::Operation as Message, ledger_service_server::LedgerService};

/// Bytes of a batch from which on it is parsed away from the async workers: some hundred commands.
const LONG_BATCH_BYTES: usize = 64 * 1024;

/// Answers from which on they are written away from the async workers: some dozens of microseconds' work.
const LONG_ANSWER: usize = 512;

type Reply<T> = Result<Response<T>, Status>;

impl Api {
    /// A command that a single call asks for, checked.
    pub(super) fn parse(&self, operation: Message) -> Result<Command, Status> {
        let directory = self.node.book().directory();
        let names = directory.read().unwrap_or_else(PoisonError::into_inner);
        let command = convert::command(&names, operation)?;
        convert::check_scales(&names, std::slice::from_ref(&command)).map_err(|(_, refusal)| refusal)?;
        Ok(command)
    }

    /// What a batch asks for, checked; if it is long, on two threads that may be busy for some milliseconds.
    async fn parse_batch(&self, bytes: Bytes) -> Result<Batch, Status> {
        let directory = self.node.book().directory();
        if bytes.len() <= LONG_BATCH_BYTES {
            return batch::read(&directory, &bytes);
        }
        let threads = self.node.threads();
        if let Some(halves) = Halves::of(&bytes).map(Arc::new) {
            let read = |half| {
                let (directory, halves) = (Arc::clone(&directory), Arc::clone(&halves));
                threads.run_blocking(move || halves.read(&directory, half))
            };
            let both = tokio::try_join!(read(Half::First), read(Half::Second));
            let (first, second) = both.map_err(|error| errors::storage(&error))?;
            if let Some(commands) = first.or(second) {
                return Ok(Batch::Encoded(commands));
            }
        }
        let read = threads.run_blocking(move || batch::read_any(&directory, &bytes)).await;
        read.map_err(|error| errors::storage(&error))?
    }

    /// Decides a batch: the bytes of an `ExecuteBatchRequest` to those of an `ExecuteBatchResponse`.
    pub(super) async fn batch(&self, bytes: Bytes, deadline: Instant) -> Result<Bytes, Status> {
        self.decide_batch(bytes, deadline).await.map_err(errors::of_command)
    }

    async fn decide_batch(&self, bytes: Bytes, deadline: Instant) -> Result<Bytes, Status> {
        let _admitted = self.admission.admit()?;
        let response = match self.parse_batch(bytes).await? {
            Batch::Encoded(commands) => {
                let decided = self.node.submit_encoded(commands, deadline).await;
                return self.written(decided.map_err(|error| self.submit_status(&error))?).await;
            }
            Batch::Independent(commands) => {
                return self.written(self.decide(commands, deadline).await?).await;
            }
            Batch::Atomic(batch) => {
                let answers = self.decide(vec![*batch], deadline).await?;
                let Some(answer) = answers.first() else { return Err(errors::storage(&"the batch has no answer")) };
                if let Some(rejection) = errors::rejection_of(answer) {
                    return Err(errors::rejected(answer, rejection));
                }
                let applied = matches!(answer.outcome, ledger::Outcome::Accepted(_));
                let decision = Some(answers::decided(answer));
                v1::ExecuteBatchResponse { results: answers::items(answer), decision, applied }
            }
        };
        Ok(response.encode_to_vec().into())
    }

    /// The answers to an independent batch; if they are many, written away from the async workers.
    async fn written(&self, answers: Vec<Answer>) -> Result<Bytes, Status> {
        if answers.len() <= LONG_ANSWER {
            return Ok(written::response(&answers));
        }
        let written = self.node.threads().run_blocking(move || written::response(&answers)).await;
        written.map_err(|error| errors::storage(&error))
    }

    /// An account.
    pub(super) async fn account(
        &self,
        message: v1::GetAccountRequest,
        deadline: Instant,
    ) -> Result<v1::GetAccountResponse, Status> {
        let name = convert::account_name("name", &message.name)?;
        let view = match self.source(&message, message.read.as_ref(), deadline).await? {
            Source::Here(view) => view,
            Source::Leader(answer) => return Ok(answer),
        };
        let account = self
            .ask(&view, move |view| {
                let missing = || crate::audit::AuditError::AccountNotFound(name.clone());
                let number = view.account_number(&name).ok_or_else(missing)?;
                let account = view.account(number)?.ok_or_else(missing)?;
                Ok(render::account(view, name.as_str(), &account)?)
            })
            .await?;
        let read_point = Some(render::read_point(&view));
        Ok(v1::GetAccountResponse { read_point, account: Some(account) })
    }

    /// Decides commands that were checked.
    pub(super) async fn decide(&self, commands: Vec<Command>, deadline: Instant) -> Result<Vec<Answer>, Status> {
        self.node.submit(commands, deadline).await.map_err(|error| self.submit_status(&error))
    }

    /// Decides one command: its result, or its refusal as a status.
    async fn one<M: prost::Message>(
        &self,
        request: Request<M>,
        wrap: fn(M) -> Message,
    ) -> Result<v1::CommandResult, Status> {
        self.decide_one(request, wrap).await.map_err(errors::of_command)
    }

    async fn decide_one<M: prost::Message>(
        &self,
        request: Request<M>,
        wrap: fn(M) -> Message,
    ) -> Result<v1::CommandResult, Status> {
        check_size(request.get_ref())?;
        let _admitted = self.admission.admit()?;
        let deadline = self.limits.deadline(request.metadata());
        let command = self.parse(wrap(request.into_inner()))?;
        let answers = self.decide(vec![command], deadline).await?;
        match answers.first() {
            Some(answer) => answers::accepted(answer),
            None => Err(errors::storage(&"the command has no answer")),
        }
    }
}

/// Refuses a request that is larger than the contract allows, naming its size.
pub(super) fn check_size(message: &impl prost::Message) -> Result<(), Status> {
    let (bytes, bound) = (message.encoded_len(), ledger::limits::MAX_REQUEST_BYTES);
    if bytes > bound {
        return Err(errors::invalid("request", format!("has {bytes} bytes; at most {bound} are allowed")));
    }
    Ok(())
}

#[tonic::async_trait]
impl LedgerService for Api {
    async fn register_asset(&self, request: Request<v1::RegisterAssetRequest>) -> Reply<v1::RegisterAssetResponse> {
        let result = self.one(request, Message::RegisterAsset).await?;
        Ok(Response::new(v1::RegisterAssetResponse { decision: result.decision }))
    }

    async fn list_assets(&self, request: Request<v1::ListAssetsRequest>) -> Reply<v1::ListAssetsResponse> {
        let deadline = self.limits.deadline(request.metadata());
        Ok(Response::new(self.assets(request.into_inner(), deadline).await?))
    }

    async fn open_account(&self, request: Request<v1::OpenAccountRequest>) -> Reply<v1::OpenAccountResponse> {
        let result = self.one(request, Message::OpenAccount).await?;
        Ok(Response::new(v1::OpenAccountResponse { decision: result.decision }))
    }

    async fn get_account(&self, request: Request<v1::GetAccountRequest>) -> Reply<v1::GetAccountResponse> {
        let deadline = self.limits.deadline(request.metadata());
        Ok(Response::new(self.account(request.into_inner(), deadline).await?))
    }

    async fn list_accounts(&self, request: Request<v1::ListAccountsRequest>) -> Reply<v1::ListAccountsResponse> {
        let deadline = self.limits.deadline(request.metadata());
        Ok(Response::new(self.accounts(request.into_inner(), deadline).await?))
    }

    async fn set_account_limits(
        &self,
        request: Request<v1::SetAccountLimitsRequest>,
    ) -> Reply<v1::SetAccountLimitsResponse> {
        let result = self.one(request, Message::SetAccountLimits).await?;
        Ok(Response::new(v1::SetAccountLimitsResponse { decision: result.decision }))
    }

    async fn freeze_account(&self, request: Request<v1::FreezeAccountRequest>) -> Reply<v1::FreezeAccountResponse> {
        let result = self.one(request, Message::FreezeAccount).await?;
        Ok(Response::new(v1::FreezeAccountResponse { decision: result.decision }))
    }

    async fn unfreeze_account(
        &self,
        request: Request<v1::UnfreezeAccountRequest>,
    ) -> Reply<v1::UnfreezeAccountResponse> {
        let result = self.one(request, Message::UnfreezeAccount).await?;
        Ok(Response::new(v1::UnfreezeAccountResponse { decision: result.decision }))
    }

    async fn close_account(&self, request: Request<v1::CloseAccountRequest>) -> Reply<v1::CloseAccountResponse> {
        let result = self.one(request, Message::CloseAccount).await?;
        Ok(Response::new(v1::CloseAccountResponse { decision: result.decision }))
    }

    async fn transfer(&self, request: Request<v1::TransferRequest>) -> Reply<v1::TransferResponse> {
        let result = self.one(request, Message::Transfer).await?;
        let v1::CommandResult { decision, transaction_id, .. } = result;
        Ok(Response::new(v1::TransferResponse { decision, transaction_id }))
    }

    async fn post_transaction(
        &self,
        request: Request<v1::PostTransactionRequest>,
    ) -> Reply<v1::PostTransactionResponse> {
        let result = self.one(request, Message::PostTransaction).await?;
        let v1::CommandResult { decision, transaction_id, .. } = result;
        Ok(Response::new(v1::PostTransactionResponse { decision, transaction_id }))
    }

    async fn try_transaction(&self, request: Request<v1::TryTransactionRequest>) -> Reply<v1::TryTransactionResponse> {
        let result = self.one(request, Message::TryTransaction).await?;
        let v1::CommandResult { decision, transaction_id, deadline, .. } = result;
        Ok(Response::new(v1::TryTransactionResponse { decision, transaction_id, deadline }))
    }

    async fn confirm_transaction(
        &self,
        request: Request<v1::ConfirmTransactionRequest>,
    ) -> Reply<v1::ConfirmTransactionResponse> {
        let result = self.one(request, Message::ConfirmTransaction).await?;
        Ok(Response::new(v1::ConfirmTransactionResponse { decision: result.decision }))
    }

    async fn cancel_transaction(
        &self,
        request: Request<v1::CancelTransactionRequest>,
    ) -> Reply<v1::CancelTransactionResponse> {
        let result = self.one(request, Message::CancelTransaction).await?;
        Ok(Response::new(v1::CancelTransactionResponse { decision: result.decision, empty: result.empty }))
    }

    async fn reverse_transaction(
        &self,
        request: Request<v1::ReverseTransactionRequest>,
    ) -> Reply<v1::ReverseTransactionResponse> {
        let result = self.one(request, Message::ReverseTransaction).await?;
        let v1::CommandResult { decision, transaction_id, .. } = result;
        Ok(Response::new(v1::ReverseTransactionResponse { decision, transaction_id }))
    }

    async fn execute_batch(&self, request: Request<v1::ExecuteBatchRequest>) -> Reply<v1::ExecuteBatchResponse> {
        let deadline = self.limits.deadline(request.metadata());
        let reply = self.batch(request.into_inner().encode_to_vec().into(), deadline).await?;
        v1::ExecuteBatchResponse::decode(reply).map(Response::new).map_err(|error| errors::storage(&error))
    }

    type StreamCommandsStream = Answers;

    async fn stream_commands(
        &self,
        request: Request<Streaming<v1::StreamCommandsRequest>>,
    ) -> Reply<Self::StreamCommandsStream> {
        self.commands(request.into_inner()).map(Response::new)
    }

    async fn get_request_outcome(
        &self,
        request: Request<v1::GetRequestOutcomeRequest>,
    ) -> Reply<v1::GetRequestOutcomeResponse> {
        let deadline = self.limits.deadline(request.metadata());
        let message = request.into_inner();
        let id = convert::request_id(&message.request_id)?;
        let view = self.view(message.read.as_ref(), deadline).await?;
        let found = self.ask(&view, move |view| Ok(first_answer(view, id)?)).await?;
        let Some((answer, operation, asked)) = found else {
            return Err(errors::not_found(
                errors::Reason::NotFound,
                "request",
                &message.request_id,
                (view.index(), view.time()),
            ));
        };
        let mut result = answers::command_result(&answer);
        if result.transaction_id.is_empty() {
            // Whoever chose an id for a transaction that was refused may want to cancel that id.
            result.transaction_id = asked.map(|transaction| transaction.to_string()).unwrap_or_default();
        }
        Ok(Response::new(v1::GetRequestOutcomeResponse {
            read_point: Some(render::read_point(&view)),
            result: Some(result),
            items: answers::items(&answer),
            operation,
        }))
    }
}

use ledger::{RequestId, TransactionId};

use crate::book::BookError;
use crate::book::view::BookView;

type FirstAnswer = (Answer, String, Option<TransactionId>);

/// The answer that is kept under a request id, its operation's name, and of one that booked nothing
/// the transaction that was asked for.
fn first_answer(view: &BookView, id: RequestId) -> Result<Option<FirstAnswer>, BookError> {
    let Some(record) = view.request(&id)? else { return Ok(None) };
    let (outcome, sequence, replay_of, operation, asked) = match record.body {
        RequestBody::Booked(sequence) => {
            let booked = view.known_journal(sequence)?;
            let accepted = ledger::records::accepted_by(&booked)
                .ok_or(BookError::Malformed { what: "request: it points to an expiry" })?;
            let operation = render::event_name(&booked.event).to_owned();
            (ledger::Outcome::Accepted(accepted), Some(sequence), None, operation, None)
        }
        RequestBody::Kept(kept) => {
            let operation = kept.command.operation.name().to_owned();
            let asked = kept.command.operation.transaction();
            (kept.outcome, kept.sequence, kept.replay_of, operation, asked)
        }
    };
    Ok(Some((Answer { point: record.point, sequence, replay_of, state: None, outcome }, operation, asked)))
}
