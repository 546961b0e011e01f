//! Questions that this replica's book is not far enough for yet: its leader is asked to answer them.
//!
//! A follower applies an entry only after its leader has applied it, so beside large batches it is tens of milliseconds behind. A question that finds it so is put to the
//! leader as well, whose answer is as good as one from here. Whichever is there first is given; if the leader has none, whatever the reason, the wait goes on as if it had not been asked.
//! See `docs/decisions/0024-why-a-follower-that-is-behind-asks-its-leader.md`.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use prost::Message;
use tokio::time::Instant;
use tonic::Status;

use super::Api;
use crate::book::view::BookView;
use crate::proto::v1;
use crate::replication::{Behind, Question, Relayed};

/// A question that any replica may answer, and of which no page is kept.
pub(super) trait Relay: Message + Default {
    /// The path of its method.
    const METHOD: &'static str;
    type Answer: Message + Default;

    /// Its answer, by a deadline.
    fn answer(self, api: &Api, deadline: Instant) -> impl Future<Output = Result<Self::Answer, Status>> + Send;
}

impl Relay for v1::GetAccountRequest {
    const METHOD: &'static str = "/folio.v1.LedgerService/GetAccount";
    type Answer = v1::GetAccountResponse;

    fn answer(self, api: &Api, deadline: Instant) -> impl Future<Output = Result<Self::Answer, Status>> + Send {
        api.account(self, deadline)
    }
}

impl Relay for v1::GetBalanceRequest {
    const METHOD: &'static str = "/folio.v1.AuditService/GetBalance";
    type Answer = v1::GetBalanceResponse;

    fn answer(self, api: &Api, deadline: Instant) -> impl Future<Output = Result<Self::Answer, Status>> + Send {
        api.balance(self, deadline)
    }
}

impl Relay for v1::GetStatementRequest {
    const METHOD: &'static str = "/folio.v1.AuditService/GetStatement";
    type Answer = v1::GetStatementResponse;

    fn answer(self, api: &Api, deadline: Instant) -> impl Future<Output = Result<Self::Answer, Status>> + Send {
        api.statement(self, deadline)
    }
}

impl Relay for v1::GetTransactionRequest {
    const METHOD: &'static str = "/folio.v1.AuditService/GetTransaction";
    type Answer = v1::GetTransactionResponse;

    fn answer(self, api: &Api, deadline: Instant) -> impl Future<Output = Result<Self::Answer, Status>> + Send {
        api.transaction(self, deadline)
    }
}

/// Where the answer to a question comes from.
pub(super) enum Source<A> {
    /// From this view.
    Here(Arc<BookView>),
    /// From the leader, which has given it.
    Leader(A),
}

impl Api {
    /// Waits for a view as fresh as asked, or for the leader's answer, if this replica is behind and that comes first.
    pub(super) async fn source<Q: Relay>(
        &self,
        question: &Q,
        options: Option<&v1::ReadOptions>,
        deadline: Instant,
    ) -> Result<Source<Q::Answer>, Status> {
        if let Some(point) = self.relayed_point {
            return self.view_of(point, deadline).await.map(Source::Here);
        }
        let behind = Behind::default();
        let mut view = pin!(self.view_telling(options, deadline, &behind));
        let point = tokio::select! {
            biased;
            view = &mut view => return view.map(Source::Here),
            point = behind.point() => point,
        };
        let asked = Question { point, method: Q::METHOD.to_owned(), message: question.encode_to_vec().into() };
        // What does not decode is no answer either.
        let relayed = async { Q::Answer::decode(self.node.ask_leader(asked, deadline).await?).ok() };
        tokio::select! {
            view = &mut view => view.map(Source::Here),
            Some(answer) = relayed => Ok(Source::Leader(answer)),
        }
    }

    /// Answers what followers are asked and are behind with. It is never relayed on.
    pub fn relayed(&self) -> Relayed {
        let api = self.clone();
        Arc::new(move |question, deadline| {
            let api = Api { relayed_point: Some(question.point), ..api.clone() };
            async move { api.answer_relayed(question, deadline).await }.boxed()
        })
    }

    async fn answer_relayed(&self, question: Question, deadline: Instant) -> Result<Bytes, Status> {
        let Question { method, message, .. } = question;
        match method.as_str() {
            v1::GetAccountRequest::METHOD => self.bytes_of::<v1::GetAccountRequest>(message, deadline).await,
            v1::GetBalanceRequest::METHOD => self.bytes_of::<v1::GetBalanceRequest>(message, deadline).await,
            v1::GetStatementRequest::METHOD => self.bytes_of::<v1::GetStatementRequest>(message, deadline).await,
            v1::GetTransactionRequest::METHOD => self.bytes_of::<v1::GetTransactionRequest>(message, deadline).await,
            other => Err(Status::unimplemented(format!("{other} is not relayed"))),
        }
    }

    async fn bytes_of<Q: Relay>(&self, message: Bytes, deadline: Instant) -> Result<Bytes, Status> {
        let question = Q::decode(message).map_err(|error| Status::invalid_argument(error.to_string()))?;
        Ok(question.answer(self, deadline).await?.encode_to_vec().into())
    }
}
