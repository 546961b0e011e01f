//! The audit service: thin over `audit`.

use std::sync::Arc;

use ledger::account::{available_balance, posted_balance};
use ledger::journal::JournalSequence;
use ledger::{AccountName, Asset, LogTime};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::journal_stream::{self, Records};
use super::pages::Room;
use super::relay::Source;
use super::{Api, convert, errors, render};
use crate::audit::{self, AsOf, BalanceAt};
use crate::book::BookError;
use crate::book::view::BookView;
use crate::proto::v1::{self, audit_service_server::AuditService};

type Reply<T> = Result<Response<T>, Status>;

/// Records of the journal in one message of its stream.
const JOURNAL_CHUNK: u64 = 256;

pub(super) fn log_time(field: &str, time: &prost_types::Timestamp) -> Result<LogTime, Status> {
    let nanoseconds = convert::nanoseconds(field, time)?;
    Ok(LogTime(u64::try_from(nanoseconds).unwrap_or(0)))
}

pub(super) fn as_of(message: Option<&v1::AsOf>) -> Result<AsOf, Status> {
    Ok(match message.and_then(|message| message.kind.as_ref()) {
        None => AsOf::Now,
        Some(v1::as_of::Kind::Time(time)) => AsOf::Time(log_time("as_of.time", time)?),
        Some(v1::as_of::Kind::Sequence(sequence)) => AsOf::Sequence(JournalSequence(*sequence)),
        Some(v1::as_of::Kind::Effective(time)) => AsOf::Effective(convert::nanoseconds("as_of.effective", time)?),
    })
}

/// A balance as published.
fn balance(
    view: &BookView,
    name: &AccountName,
    asset: &Asset,
    found: &BalanceAt,
) -> Result<v1::GetBalanceResponse, BookError> {
    let (class, totals) = (found.account.class, found.account.totals);
    Ok(v1::GetBalanceResponse {
        read_point: Some(render::read_point(view)),
        account: name.to_string(),
        asset: asset.code.to_string(),
        totals: Some(render::totals(&totals)),
        posted: render::derived(posted_balance(class, &totals))?,
        available: render::derived(available_balance(class, &totals))?,
        as_of_sequence: found.sequence.0,
    })
}

impl Api {
    /// The balance of an account.
    pub(super) async fn balance(
        &self,
        message: v1::GetBalanceRequest,
        deadline: Instant,
    ) -> Result<v1::GetBalanceResponse, Status> {
        let name = convert::account_name("account", &message.account)?;
        let as_of = as_of(message.as_of.as_ref())?;
        let view = match self.source(&message, message.read.as_ref(), deadline).await? {
            Source::Here(view) => view,
            Source::Leader(answer) => return Ok(answer),
        };
        // Handing a question to another thread takes longer than answering this one.
        let in_memory = (as_of == AsOf::Now).then(|| audit::balance_in_memory(&view, &name)).flatten();
        if let Some(found) = in_memory
            && let Some(asset) = view.asset_in_memory(found.number)
        {
            let response = balance(&view, &name, &asset, &found).map_err(|error| errors::storage(&error))?;
            return Ok(response);
        }
        let question = move |view: &BookView| {
            let found = audit::balance_at(view, &name, as_of)?;
            Ok(balance(view, &name, &view.asset(found.account.asset)?, &found)?)
        };
        self.ask(&view, question).await
    }
}

#[tonic::async_trait]
impl AuditService for Api {
    async fn get_balance(&self, request: Request<v1::GetBalanceRequest>) -> Reply<v1::GetBalanceResponse> {
        let deadline = self.limits.deadline(request.metadata());
        Ok(Response::new(self.balance(request.into_inner(), deadline).await?))
    }

    async fn get_statement(&self, request: Request<v1::GetStatementRequest>) -> Reply<v1::GetStatementResponse> {
        let deadline = self.limits.deadline(request.metadata());
        Ok(Response::new(self.statement(request.into_inner(), deadline).await?))
    }

    async fn get_transaction(&self, request: Request<v1::GetTransactionRequest>) -> Reply<v1::GetTransactionResponse> {
        let deadline = self.limits.deadline(request.metadata());
        Ok(Response::new(self.transaction(request.into_inner(), deadline).await?))
    }

    async fn list_transactions(
        &self,
        request: Request<v1::ListTransactionsRequest>,
    ) -> Reply<v1::ListTransactionsResponse> {
        let deadline = self.limits.deadline(request.metadata());
        Ok(Response::new(self.transactions(request.into_inner(), deadline).await?))
    }

    async fn get_trial_balance(
        &self,
        request: Request<v1::GetTrialBalanceRequest>,
    ) -> Reply<v1::GetTrialBalanceResponse> {
        let deadline = self.limits.deadline(request.metadata());
        Ok(Response::new(self.trial_balance(request.into_inner(), deadline).await?))
    }

    type StreamJournalStream = Records;

    async fn stream_journal(&self, request: Request<v1::StreamJournalRequest>) -> Reply<Self::StreamJournalStream> {
        let admitted = self.admission.admit()?;
        let deadline = self.limits.deadline(request.metadata());
        let message = request.into_inner();
        let mut view = self.view(message.read.as_ref(), deadline).await?;
        let (giver, records) = journal_stream::open(self)?;
        let api = self.clone();
        tokio::spawn(async move {
            let _admitted = admitted;
            let mut next = message.from_sequence.max(1);
            let mut left = if message.limit == 0 { u64::MAX } else { message.limit };
            let mut applied = api.node.applied();
            loop {
                while left > 0 && next <= view.last_sequence().0 {
                    let end = next.saturating_add(JOURNAL_CHUNK.min(left) - 1).min(view.last_sequence().0);
                    let chunk = api.ask(&view, move |view| Ok(journal_chunk(view, next, end)?)).await;
                    // A message may end before that, but has a record at least.
                    let records = chunk.as_ref().map_or(0, |records| records.len() as u64);
                    let failed = records == 0;
                    let response = chunk.map(|records| v1::StreamJournalResponse {
                        read_point: Some(render::read_point(&view)),
                        records,
                    });
                    if !giver.give(response).await || failed {
                        return;
                    }
                    left -= records;
                    next += records;
                }
                if !message.follow || left == 0 {
                    return;
                }
                let changed = tokio::select! {
                    changed = applied.changed() => changed,
                    () = giver.closed() => return,
                };
                if changed.is_err() {
                    return;
                }
                view = Arc::new(api.node.stale_view());
            }
        });
        Ok(Response::new(records))
    }
}

/// Records from `first` on, as many as a message takes.
fn journal_chunk(view: &BookView, first: u64, last: u64) -> Result<Vec<v1::JournalRecord>, BookError> {
    let (mut chunk, mut room) = (Vec::new(), Room::new(usize::MAX));
    for record in view.journal_range(first..=last)? {
        let record = render::journal_record(view, &record?)?;
        if !room.takes(&record) {
            break;
        }
        chunk.push(record);
    }
    match chunk.is_empty() {
        true => Err(BookError::Malformed { what: "journal: a sequence is missing" }),
        false => Ok(chunk),
    }
}
