//! The balance of an account: now, at a time, at a journal sequence, or by effective date.

use ledger::journal::JournalSequence;
use ledger::{
    Account, AccountName, AccountNumber, Event, JournalPosting, JournalRecord, LogTime, Totals, TransactionId,
};

use super::{AuditError, AuditResult};
use crate::book::view::BookView;

/// A point of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// What the view reflects.
    Now,
    /// After all records at or before this time of record.
    Time(LogTime),
    /// After this record.
    Sequence(JournalSequence),
    /// Over all bookings whose effective date, or without one time of record, is at or before this. Nothing is pending by effective date.
    Effective(i64),
}

/// An account's totals at a point.
#[derive(Debug, Clone, Copy)]
pub struct BalanceAt {
    /// The account as it is now; its totals are those of the point.
    pub account: Account,
    /// Its number.
    pub number: AccountNumber,
    /// The last record counted; 0 if none touched the account.
    pub sequence: JournalSequence,
}

/// The last sequence that a point reaches.
///
/// # Errors
/// [`AuditError::NotReached`] for a sequence past the journal's end.
pub(super) fn last_sequence(view: &BookView, as_of: AsOf) -> AuditResult<JournalSequence> {
    let last = view.last_sequence();
    match as_of {
        AsOf::Now | AsOf::Effective(_) => Ok(last),
        AsOf::Time(time) => Ok(view.sequence_at(time)?),
        AsOf::Sequence(asked) if asked > last => Err(AuditError::NotReached { asked: asked.0, last: last.0 }),
        AsOf::Sequence(asked) => Ok(asked),
    }
}

/// The number of an account that must exist.
pub(super) fn known(view: &BookView, name: &AccountName) -> AuditResult<(AccountNumber, Account)> {
    let missing = || AuditError::AccountNotFound(name.clone());
    let number = view.account_number(name).ok_or_else(missing)?;
    let account = view.account(number)?.ok_or_else(missing)?;
    Ok((number, account))
}

/// The last posting of a record on an account: its totals are what the record left.
pub(super) fn last_posting(record: &JournalRecord, account: AccountNumber) -> Option<&JournalPosting> {
    record.event.postings().iter().rev().find(|posting| posting.account == account)
}

/// An account's totals after the last record at or before a sequence that touched it.
pub(super) fn totals_at(
    view: &BookView,
    number: AccountNumber,
    account: &Account,
    last: JournalSequence,
) -> AuditResult<(Totals, JournalSequence)> {
    let Some(sequence) = view.last_posting(number, last)? else {
        return Ok((Totals::zero(account.scale), JournalSequence(0)));
    };
    let record = view.known_journal(sequence)?;
    let posting = last_posting(&record, number).ok_or_else(|| {
        AuditError::Contradiction(format!("record {} does not touch account number {}", sequence.0, number.0))
    })?;
    Ok((posting.totals, sequence))
}

/// The present balance of an account, if it is in memory: then nothing is read, so this can be asked anywhere. It is not compared with the record that left it, as
/// [`balance_at`] compares it.
pub fn balance_in_memory(view: &BookView, name: &AccountName) -> Option<BalanceAt> {
    let number = view.account_number(name)?;
    let (account, sequence) = view.account_in_memory(number)?;
    Some(BalanceAt { account, number, sequence })
}

/// The balance of an account at a point.
///
/// # Errors
/// [`AuditError`].
pub fn balance_at(view: &BookView, name: &AccountName, as_of: AsOf) -> AuditResult<BalanceAt> {
    let (number, mut account) = known(view, name)?;
    let last = last_sequence(view, as_of)?;
    let (totals, sequence) = match as_of {
        AsOf::Effective(until) => effective_totals(view, number, &account, until)?,
        AsOf::Now | AsOf::Time(_) | AsOf::Sequence(_) => totals_at(view, number, &account, last)?,
    };
    if as_of == AsOf::Now && totals != account.totals {
        return Err(AuditError::Contradiction(format!(
            "account {name} stands at {:?}, its last journal record at {totals:?}",
            account.totals
        )));
    }
    account.totals = totals;
    Ok(BalanceAt { account, number, sequence })
}

/// The effective date of a booking in nanoseconds since 1970: the one given with its transaction, or the time of record.
pub(super) fn effective_ns(view: &BookView, record: &JournalRecord) -> AuditResult<i64> {
    let created = match &record.event {
        Event::Confirmed { transaction, .. } => creation(view, transaction)?,
        Event::Posted { .. } | Event::Reversed { .. } => None,
        Event::AssetRegistered { .. }
        | Event::AccountOpened(_)
        | Event::LimitsSet { .. }
        | Event::AccountFrozen(_)
        | Event::AccountUnfrozen(_)
        | Event::AccountClosed(_)
        | Event::Tried { .. }
        | Event::Cancelled { .. }
        | Event::CancelledEmpty(_)
        | Event::Expired { .. } => None,
    };
    let details = created.as_ref().unwrap_or(record).event.details();
    let given = details.and_then(|details| details.effective_at).map(|effective| effective.0);
    Ok(given.unwrap_or(i64::try_from(record.point.time.0).unwrap_or(i64::MAX)))
}

fn creation(view: &BookView, transaction: &TransactionId) -> AuditResult<Option<JournalRecord>> {
    match view.transaction(transaction)?.and_then(|record| record.created) {
        Some(sequence) => Ok(Some(view.known_journal(sequence)?)),
        None => Ok(None),
    }
}

/// Whether an event books (rather than reserves or releases).
pub(super) fn books(event: &Event) -> bool {
    matches!(event, Event::Posted { .. } | Event::Confirmed { .. } | Event::Reversed { .. })
}

fn effective_totals(
    view: &BookView,
    number: AccountNumber,
    account: &Account,
    until_ns: i64,
) -> AuditResult<(Totals, JournalSequence)> {
    let mut totals = Totals::zero(account.scale);
    let mut last = JournalSequence(0);
    let mut journal = view.journal_reader();
    for sequence in view.postings(number, 0..=view.last_sequence().0) {
        let record = journal.known(sequence?)?;
        if !books(&record.event) || effective_ns(view, &record)? > until_ns {
            continue;
        }
        for posting in record.event.postings().iter().filter(|posting| posting.account == number) {
            totals = totals
                .post(posting.side, posting.amount)
                .ok_or_else(|| AuditError::Contradiction(format!("record {} leaves the range", record.sequence.0)))?;
        }
        last = record.sequence;
    }
    Ok((totals, last))
}
