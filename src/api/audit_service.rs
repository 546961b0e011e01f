//! The audit service: thin over `audit`.

use std::sync::Arc;

use ledger::account::{available_balance, posted_balance};
use ledger::journal::JournalSequence;
use ledger::{AccountName, Asset, LogTime, TransactionState};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::journal_stream::{self, Records};
use super::relay::Source;
use super::{Api, convert, errors, reads, render};
use crate::api::pages::Token;
use crate::audit::{self, AsOf, BalanceAt, Dates, Filter, Found, Period};
use crate::book::BookError;
use crate::book::view::BookView;
use crate::proto::v1::{self, audit_service_server::AuditService};

type Reply<T> = Result<Response<T>, Status>;

/// Records of the journal in one message of its stream.
const JOURNAL_CHUNK: u64 = 256;

fn log_time(field: &str, time: &prost_types::Timestamp) -> Result<LogTime, Status> {
    let nanoseconds = convert::nanoseconds(field, time)?;
    Ok(LogTime(u64::try_from(nanoseconds).unwrap_or(0)))
}

fn as_of(message: Option<&v1::AsOf>) -> Result<AsOf, Status> {
    Ok(match message.and_then(|message| message.kind.as_ref()) {
        None => AsOf::Now,
        Some(v1::as_of::Kind::Time(time)) => AsOf::Time(log_time("as_of.time", time)?),
        Some(v1::as_of::Kind::Sequence(sequence)) => AsOf::Sequence(JournalSequence(*sequence)),
        Some(v1::as_of::Kind::Effective(time)) => AsOf::Effective(convert::nanoseconds("as_of.effective", time)?),
    })
}

fn state(value: i32) -> Result<Option<TransactionState>, Status> {
    match v1::TransactionState::try_from(value) {
        Ok(v1::TransactionState::Unspecified) => Ok(None),
        Ok(v1::TransactionState::Tried) => Ok(Some(TransactionState::Tried)),
        Ok(v1::TransactionState::Confirmed) => Ok(Some(TransactionState::Confirmed)),
        Ok(v1::TransactionState::Cancelled) => Ok(Some(TransactionState::Cancelled)),
        Ok(v1::TransactionState::Expired) => Ok(Some(TransactionState::Expired)),
        Err(_) => Err(errors::invalid("state", format!("is {value}, which is none"))),
    }
}

/// A transaction as published.
fn transaction(view: &BookView, found: &Found) -> Result<v1::Transaction, BookError> {
    let created = &found.created;
    let confirmed = match (found.record.state, &found.resolved) {
        (TransactionState::Confirmed, Some(resolved)) => Some(resolved.event.postings()),
        (TransactionState::Confirmed, None) => Some(created.event.postings()),
        (TransactionState::Tried | TransactionState::Cancelled | TransactionState::Expired, _) => None,
    };
    let mut postings = Vec::with_capacity(created.event.postings().len());
    for (position, posting) in created.event.postings().iter().enumerate() {
        let account = view.account(posting.account)?.ok_or(BookError::Malformed { what: "account number" })?;
        let zero = || ledger::Amount::zero(account.scale).to_string();
        let confirmed = match (confirmed, found.record.state) {
            (Some(confirmed), _) => confirmed.get(position).map_or_else(zero, |posting| posting.amount.to_string()),
            (None, TransactionState::Tried) => String::new(),
            (None, _) => zero(),
        };
        let reversed = found.record.reversed.get(position);
        postings.push(v1::TransactionPosting {
            account: view.account_name(posting.account)?.to_string(),
            asset: view.asset(account.asset)?.code.to_string(),
            side: render::side(posting.side).into(),
            amount: posting.amount.to_string(),
            confirmed,
            reversed: reversed.map_or_else(zero, |amount| amount.to_string()),
        });
    }
    let is_open = found.record.state == TransactionState::Tried;
    let resolved_at = match (&found.resolved, is_open) {
        (Some(resolved), _) => Some(resolved.point.time),
        (None, false) => Some(created.point.time),
        (None, true) => None,
    };
    Ok(v1::Transaction {
        transaction_id: found.id.to_string(),
        state: render::state(found.record.state).into(),
        kind: render::event_name(&created.event).to_owned(),
        postings,
        details: created.event.details().map(render::details),
        created_at: Some(render::timestamp(created.point.time)),
        created_sequence: created.sequence.0,
        deadline: found.record.deadline.map(render::timestamp),
        resolved_at: resolved_at.map(render::timestamp),
        age: is_open.then(|| render::duration(view.time().0.saturating_sub(created.point.time.0))),
        original_id: match &created.event {
            ledger::Event::Reversed { original, .. } => original.to_string(),
            _ => String::new(),
        },
    })
}

fn statement_line(line: &audit::Line) -> v1::StatementLine {
    let details = line.record.event.details();
    v1::StatementLine {
        sequence: line.record.sequence.0,
        time: Some(render::timestamp(line.record.point.time)),
        event: render::event_name(&line.record.event).to_owned(),
        transaction_id: line.record.event.transaction().map(|id| id.to_string()).unwrap_or_default(),
        reference: details.map(|details| details.reference.clone()).unwrap_or_default(),
        effective_at: line.effective_at.map(render::effective),
        side: render::side(line.posting.side).into(),
        amount: line.posting.amount.to_string(),
        is_posted: line.is_posted,
        posted: line.posted.to_string(),
        available: line.available.to_string(),
    }
}

/// The cursor of a statement's token: the last sequence shown, and the last of the walk.
fn statement_cursor(token: &Token) -> Result<(JournalSequence, JournalSequence), Status> {
    token
        .cursor
        .split_once('.')
        .and_then(|(after, last)| Some((after.parse().ok()?, last.parse().ok()?)))
        .map(|(after, last)| (JournalSequence(after), JournalSequence(last)))
        .ok_or_else(|| errors::invalid("page_token", "is not one that this service gave"))
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

    /// A page of an account's statement.
    pub(super) async fn statement(
        &self,
        message: v1::GetStatementRequest,
        deadline: Instant,
    ) -> Result<v1::GetStatementResponse, Status> {
        let name = convert::account_name("account", &message.account)?;
        let token = match message.page_token.as_str() {
            "" => None,
            text => Some(Token::parse(text)?),
        };
        let (after, last) = match &token {
            Some(token) => {
                let (after, last) = statement_cursor(token)?;
                (after, Some(last))
            }
            None => (JournalSequence(0), None),
        };
        let period = Period {
            dates: if message.by_effective_date { Dates::Effective } else { Dates::OfRecord },
            from_ns: message.from.as_ref().map(|time| convert::nanoseconds("from", time)).transpose()?,
            to_ns: message.to.as_ref().map(|time| convert::nanoseconds("to", time)).transpose()?,
            after,
            last,
            limit: reads::page_size(message.page_size)?,
        };
        // A statement is computed from journal positions, so any replica that has got there continues a walk.
        let read = match &token {
            Some(token) => Some(reads::at_least(token.index)),
            None => message.read,
        };
        let view = match self.source(&message, read.as_ref(), deadline).await? {
            Source::Here(view) => view,
            Source::Leader(answer) => return Ok(answer),
        };
        let index = token.as_ref().map_or(view.index(), |token| token.index);
        self.ask(&view, move |view| {
            let statement = audit::statement(view, &name, period)?;
            let shown = statement.lines.last().map_or(after, |line| line.record.sequence);
            let cursor = format!("{}.{}", shown.0, statement.last.0);
            let next = statement.has_more.then(|| Token { index, view: 0, cursor }.text());
            Ok(v1::GetStatementResponse {
                read_point: Some(v1::ReadPoint { log_index: index, ..render::read_point(view) }),
                account: name.to_string(),
                asset: view.asset(statement.account.asset)?.code.to_string(),
                opening: statement.opening.to_string(),
                lines: statement.lines.iter().map(statement_line).collect(),
                closing: statement.closing.to_string(),
                next_page_token: next.unwrap_or_default(),
            })
        })
        .await
    }

    /// A transaction and all that became of it.
    pub(super) async fn transaction(
        &self,
        message: v1::GetTransactionRequest,
        deadline: Instant,
    ) -> Result<v1::GetTransactionResponse, Status> {
        let id = convert::transaction_id("transaction_id", &message.transaction_id)?;
        let view = match self.source(&message, message.read.as_ref(), deadline).await? {
            Source::Here(view) => view,
            Source::Leader(answer) => return Ok(answer),
        };
        let found = self
            .ask(&view, move |view| {
                let Some(story) = audit::timeline(view, id)? else { return Ok(None) };
                let timeline = story.records.iter().map(|record| render::journal_record(view, record));
                Ok(Some((transaction(view, &story.found)?, timeline.collect::<Result<Vec<_>, _>>()?)))
            })
            .await?;
        let Some((transaction, timeline)) = found else {
            let reason = errors::Reason::TransactionNotFound;
            return Err(errors::not_found(reason, "transaction", &message.transaction_id, (view.index(), view.time())));
        };
        Ok(v1::GetTransactionResponse {
            read_point: Some(render::read_point(&view)),
            transaction: Some(transaction),
            timeline,
        })
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
        let message = request.into_inner();
        let filter = Filter {
            account: match message.account.as_str() {
                "" => None,
                name => Some(convert::account_name("account", name)?),
            },
            account_prefix: message.account_prefix,
            reference: message.reference,
            state: state(message.state)?,
            from: message.from.as_ref().map(|time| log_time("from", time)).transpose()?,
            to: message.to.as_ref().map(|time| log_time("to", time)).transpose()?,
        };
        let size = reads::page_size(message.page_size)?;
        let token = match message.page_token.as_str() {
            "" => None,
            text => Some(Token::parse(text)?),
        };
        let (view, first) = match &token {
            Some(token) => {
                let first =
                    token.cursor.parse().map_err(|_| errors::invalid("page_token", "has no place to go on from"))?;
                (self.pages.find(token)?, JournalSequence(first))
            }
            None => (self.view(message.read.as_ref(), deadline).await?, JournalSequence(1)),
        };
        let (transactions, next) = self
            .ask(&view, move |view| {
                let page = audit::list(view, &filter, first, size)?;
                let found = page.transactions.iter().map(|found| transaction(view, found));
                Ok((found.collect::<Result<Vec<_>, _>>()?, page.next))
            })
            .await?;
        let next_page_token = next
            .map(|next| {
                let kept = token.map_or_else(|| self.pages.keep(&view), |token| token.view);
                Token { index: view.index(), view: kept, cursor: next.0.to_string() }.text()
            })
            .unwrap_or_default();
        let read_point = Some(render::read_point(&view));
        Ok(Response::new(v1::ListTransactionsResponse { read_point, transactions, next_page_token }))
    }

    async fn get_trial_balance(
        &self,
        request: Request<v1::GetTrialBalanceRequest>,
    ) -> Reply<v1::GetTrialBalanceResponse> {
        let deadline = self.limits.deadline(request.metadata());
        let message = request.into_inner();
        let as_of = as_of(message.as_of.as_ref())?;
        let view = self.view(message.read.as_ref(), deadline).await?;
        let balance = self.ask(&view, move |view| Ok(audit::trial_balance(view, &message.prefix, as_of)?)).await?;
        let text = |minor: u128, scale: u32| ledger::amount::Scaled { minor, scale }.to_string();
        let lines = balance
            .lines
            .iter()
            .map(|(asset, sums)| {
                let scale = asset.scale.digits();
                v1::TrialBalanceLine {
                    asset: asset.code.to_string(),
                    totals: Some(v1::Totals {
                        debits_pending: text(sums.debits_pending, scale),
                        debits_posted: text(sums.debits_posted, scale),
                        credits_pending: text(sums.credits_pending, scale),
                        credits_posted: text(sums.credits_posted, scale),
                    }),
                    accounts: sums.accounts,
                    is_balanced: sums.is_balanced(),
                }
            })
            .collect();
        Ok(Response::new(v1::GetTrialBalanceResponse {
            read_point: Some(render::read_point(&view)),
            lines,
            as_of_sequence: balance.sequence.0,
        }))
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
                    let end = (next + JOURNAL_CHUNK.min(left) - 1).min(view.last_sequence().0);
                    let chunk = api.ask(&view, move |view| Ok(journal_chunk(view, next, end)?)).await;
                    let failed = chunk.is_err();
                    let response = chunk.map(|records| v1::StreamJournalResponse {
                        read_point: Some(render::read_point(&view)),
                        records,
                    });
                    if !giver.give(response).await || failed {
                        return;
                    }
                    left -= end + 1 - next;
                    next = end + 1;
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

fn journal_chunk(view: &BookView, first: u64, last: u64) -> Result<Vec<v1::JournalRecord>, BookError> {
    view.journal_range(first..=last)?.map(|record| render::journal_record(view, &record?)).collect()
}
