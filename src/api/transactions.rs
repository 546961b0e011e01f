//! Transactions: one with its story, and lists of them, page by page.

use ledger::TransactionState;
use ledger::journal::JournalSequence;
use tokio::time::Instant;
use tonic::Status;

use super::audit_service::log_time;
use super::pages::{Room, Walk, foreign, read_point};
use super::relay::Source;
use super::{Api, convert, errors, reads, render};
use crate::audit::{self, Filter, Found, Moment};
use crate::book::BookError;
use crate::book::view::BookView;
use crate::proto::v1;

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
pub(super) fn transaction(view: &BookView, found: &Found, moment: &Moment) -> Result<v1::Transaction, BookError> {
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
        age: is_open.then(|| render::duration(moment.time.0.saturating_sub(created.point.time.0))),
        original_id: match &created.event {
            ledger::Event::Reversed { original, .. } => original.to_string(),
            _ => String::new(),
        },
    })
}

impl Api {
    /// A transaction, and a page of all that became of it.
    pub(super) async fn transaction(
        &self,
        message: v1::GetTransactionRequest,
        deadline: Instant,
    ) -> Result<v1::GetTransactionResponse, Status> {
        let id = convert::transaction_id("transaction_id", &message.transaction_id)?;
        let size = reads::page_size(message.page_size)?;
        let walk = Walk::of(&message)?;
        let after = JournalSequence(walk.cursor()?.unwrap_or(0));
        let view = match self.source(&message, walk.read(message.read).as_ref(), deadline).await? {
            Source::Here(view) => view,
            Source::Leader(answer) => return Ok(answer),
        };
        let found = self.ask(&view, move |view| {
            let moment = walk.moment(view)?;
            if after > moment.sequence {
                return Err(foreign().into());
            }
            let (mut timeline, mut room) = (Vec::new(), Room::new(size));
            let story = audit::timeline(view, id, &moment, after, |record| {
                let record = render::journal_record(view, record)?;
                let is_taken = room.takes(&record);
                timeline.extend(is_taken.then_some(record));
                Ok(is_taken)
            })?;
            let Some(story) = story else { return Ok(None) };
            let last = timeline.last().filter(|_| story.has_more);
            let next = last.map(|record| walk.next(&moment, record.sequence));
            Ok(Some(v1::GetTransactionResponse {
                read_point: Some(read_point(&moment)),
                transaction: Some(transaction(view, &story.found, &moment)?),
                timeline,
                next_page_token: next.unwrap_or_default(),
            }))
        });
        found.await?.ok_or_else(|| {
            let point = (view.index(), view.time());
            errors::not_found(errors::Reason::TransactionNotFound, "transaction", &message.transaction_id, point)
        })
    }

    /// A page of transactions.
    pub(super) async fn transactions(
        &self,
        message: v1::ListTransactionsRequest,
        deadline: Instant,
    ) -> Result<v1::ListTransactionsResponse, Status> {
        let size = reads::page_size(message.page_size)?;
        let walk = Walk::of(&message)?;
        let first = JournalSequence(walk.cursor()?.unwrap_or(1));
        let from_to = |field: &str, time: Option<&prost_types::Timestamp>| {
            time.map(|time| convert::nanoseconds(field, time)).transpose()
        };
        reads::check_range(from_to("from", message.from.as_ref())?, from_to("to", message.to.as_ref())?)?;
        let read = walk.read(message.read);
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
        let view = self.view(read.as_ref(), deadline).await?;
        let kept = self.kept.clone();
        self.ask(&view, move |view| {
            let moment = walk.moment(view)?;
            if first > moment.sequence.max(JournalSequence(1)) {
                return Err(foreign().into());
            }
            let (mut transactions, mut room) = (Vec::new(), Room::new(size));
            let next = audit::list(view, &kept, &filter, &moment, first, |found| {
                let transaction = transaction(view, found, &moment)?;
                let is_taken = room.takes(&transaction);
                transactions.extend(is_taken.then_some(transaction));
                Ok(is_taken)
            })?;
            let next_page_token = next.map(|next| walk.next(&moment, next.0)).unwrap_or_default();
            Ok(v1::ListTransactionsResponse { read_point: Some(read_point(&moment)), transactions, next_page_token })
        })
        .await
    }
}
