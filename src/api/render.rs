//! Domain values into the published messages.

use ledger::{
    Account, AccountStatus, Class, Event, Floor, JournalPosting, JournalRecord, LogTime, Point, Side, Totals,
    TransactionState,
};
use prost_types::{Duration, Timestamp};

use crate::book::BookError;
use crate::book::view::BookView;
use crate::proto::v1;

const NANOS: u64 = 1_000_000_000;

pub(super) fn timestamp(time: LogTime) -> Timestamp {
    // Seconds of a u64 of nanoseconds fit an i64, and the rest of a second an i32.
    Timestamp {
        seconds: i64::try_from(time.0 / NANOS).unwrap_or(i64::MAX),
        nanos: i32::try_from(time.0 % NANOS).unwrap_or(0),
    }
}

pub(super) fn effective(at: ledger::EffectiveAt) -> Timestamp {
    let nanos = 1_000_000_000;
    Timestamp { seconds: at.0.div_euclid(nanos), nanos: i32::try_from(at.0.rem_euclid(nanos)).unwrap_or(0) }
}

pub(super) fn duration(length_ns: u64) -> Duration {
    let Timestamp { seconds, nanos } = timestamp(LogTime(length_ns));
    Duration { seconds, nanos }
}

/// A length that may be negative; both parts then are.
pub(super) fn signed_duration(length_ns: i64) -> Duration {
    let nanos = 1_000_000_000;
    Duration { seconds: length_ns / nanos, nanos: i32::try_from(length_ns % nanos).unwrap_or(0) }
}

pub(super) fn point(point: &Point) -> v1::LogPoint {
    v1::LogPoint { log_index: point.index, position: point.position, log_time: Some(timestamp(point.time)) }
}

pub(super) fn read_point(view: &BookView) -> v1::ReadPoint {
    v1::ReadPoint { log_index: view.index(), log_time: Some(timestamp(view.time())) }
}

pub(super) fn state(state: TransactionState) -> v1::TransactionState {
    match state {
        TransactionState::Tried => v1::TransactionState::Tried,
        TransactionState::Confirmed => v1::TransactionState::Confirmed,
        TransactionState::Cancelled => v1::TransactionState::Cancelled,
        TransactionState::Expired => v1::TransactionState::Expired,
    }
}

pub(super) fn side(side: Side) -> v1::Side {
    match side {
        Side::Debit => v1::Side::Debit,
        Side::Credit => v1::Side::Credit,
    }
}

pub(super) fn class(class: Class) -> v1::AccountClass {
    match class {
        Class::Asset => v1::AccountClass::Asset,
        Class::Liability => v1::AccountClass::Liability,
        Class::Equity => v1::AccountClass::Equity,
        Class::Income => v1::AccountClass::Income,
        Class::Expense => v1::AccountClass::Expense,
    }
}

fn status(status: AccountStatus) -> v1::AccountStatus {
    match status {
        AccountStatus::Open => v1::AccountStatus::Open,
        AccountStatus::Frozen => v1::AccountStatus::Frozen,
        AccountStatus::Closed => v1::AccountStatus::Closed,
    }
}

pub(super) fn floor(floor: Floor) -> v1::Floor {
    let kind = match floor {
        Floor::AtLeast(least) => v1::floor::Kind::AtLeast(least.to_string()),
        Floor::Unlimited => v1::floor::Kind::Unlimited(true),
    };
    v1::Floor { kind: Some(kind) }
}

pub(super) fn totals(totals: &Totals) -> v1::Totals {
    v1::Totals {
        debits_pending: totals.debits_pending.to_string(),
        debits_posted: totals.debits_posted.to_string(),
        credits_pending: totals.credits_pending.to_string(),
        credits_posted: totals.credits_posted.to_string(),
    }
}

/// A derived balance as text; it can only be missing if a total left its range, which the core prevents.
pub(super) fn derived(balance: Option<ledger::Balance>) -> Result<String, BookError> {
    balance.map(|balance| balance.to_string()).ok_or(BookError::Malformed { what: "balance: out of range" })
}

pub(super) fn account(view: &BookView, name: &str, account: &Account) -> Result<v1::Account, BookError> {
    let opening = view.known_journal(account.opened)?;
    let metadata = match &opening.event {
        Event::AccountOpened(opened) => opened.metadata.clone().into_iter().collect(),
        _ => return Err(BookError::Malformed { what: "account: its opening is another event" }),
    };
    Ok(v1::Account {
        name: name.to_owned(),
        asset: view.asset(account.asset)?.code.to_string(),
        class: class(account.class).into(),
        status: status(account.status).into(),
        floor: Some(floor(account.floor)),
        ceiling: account.ceiling.map(|ceiling| ceiling.to_string()).unwrap_or_default(),
        metadata,
        totals: Some(totals(&account.totals)),
        posted: derived(account.posted())?,
        available: derived(account.available())?,
        opened_sequence: account.opened.0,
        opened_at: Some(timestamp(opening.point.time)),
    })
}

pub(super) fn details(details: &ledger::command::Details) -> v1::Details {
    v1::Details {
        reference: details.reference.clone(),
        metadata: details.metadata.clone().into_iter().collect(),
        effective_at: details.effective_at.map(effective),
    }
}

fn posting(view: &BookView, posting: &JournalPosting) -> Result<v1::JournalPosting, BookError> {
    let account = view.account(posting.account)?.ok_or(BookError::Malformed { what: "account number" })?;
    Ok(v1::JournalPosting {
        account: view.account_name(posting.account)?.to_string(),
        asset: view.asset(account.asset)?.code.to_string(),
        side: side(posting.side).into(),
        amount: posting.amount.to_string(),
        totals: Some(totals(&posting.totals)),
    })
}

pub(super) fn event_name(event: &Event) -> &'static str {
    match event {
        Event::AssetRegistered { .. } => "asset_registered",
        Event::AccountOpened(_) => "account_opened",
        Event::LimitsSet { .. } => "limits_set",
        Event::AccountFrozen(_) => "account_frozen",
        Event::AccountUnfrozen(_) => "account_unfrozen",
        Event::AccountClosed(_) => "account_closed",
        Event::Posted { .. } => "posted",
        Event::Tried { .. } => "tried",
        Event::Confirmed { .. } => "confirmed",
        Event::Cancelled { .. } => "cancelled",
        Event::CancelledEmpty(_) => "cancelled_empty",
        Event::Expired { .. } => "expired",
        Event::Reversed { .. } => "reversed",
    }
}

/// A journal record as published.
pub(super) fn journal_record(view: &BookView, record: &JournalRecord) -> Result<v1::JournalRecord, BookError> {
    let postings = record.event.postings().iter().map(|one| posting(view, one)).collect::<Result<_, _>>()?;
    let mut message = v1::JournalRecord {
        sequence: record.sequence.0,
        at: Some(point(&record.point)),
        request_id: record.request.map(|request| request.to_string()).unwrap_or_default(),
        principal: record.principal.clone(),
        event: event_name(&record.event).to_owned(),
        transaction_id: record.event.transaction().map(|id| id.to_string()).unwrap_or_default(),
        postings,
        details: record.event.details().map(details),
        ..v1::JournalRecord::default()
    };
    match &record.event {
        Event::AssetRegistered { code, scale, .. } => {
            message.subject = code.to_string();
            message.asset = code.to_string();
            message.scale = scale.digits();
        }
        Event::AccountOpened(opened) => {
            message.subject = opened.name.to_string();
            message.floor = Some(floor(opened.floor));
            message.ceiling = opened.ceiling.map(|ceiling| ceiling.to_string()).unwrap_or_default();
            message.class = class(opened.class).into();
            message.asset = opened.asset.to_string();
        }
        Event::LimitsSet { account, floor: new_floor, ceiling } => {
            message.subject = view.account_name(*account)?.to_string();
            message.floor = new_floor.map(floor);
            message.ceiling = match ceiling {
                ledger::command::CeilingChange::Keep => String::new(),
                ledger::command::CeilingChange::Remove => "none".to_owned(),
                ledger::command::CeilingChange::Set(ceiling) => ceiling.to_string(),
            };
        }
        Event::AccountFrozen(account) | Event::AccountUnfrozen(account) | Event::AccountClosed(account) => {
            message.subject = view.account_name(*account)?.to_string();
        }
        Event::Tried { timeout, deadline, .. } => {
            message.timeout = timeout.map(|timeout| duration(timeout.0));
            message.deadline = deadline.map(timestamp);
        }
        Event::Expired { deadline, .. } => message.deadline = Some(timestamp(*deadline)),
        Event::Reversed { original, .. } => message.original_id = original.to_string(),
        Event::Posted { .. } | Event::Confirmed { .. } | Event::Cancelled { .. } | Event::CancelledEmpty(_) => {}
    }
    Ok(message)
}
