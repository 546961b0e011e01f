//! The balance of an account: now, at a time, at a journal sequence, or by effective date.

use ledger::journal::JournalSequence;
use ledger::{Account, AccountName, AccountNumber, LogTime};

use super::{AuditError, AuditResult, effective};
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

/// The last sequence that a point reaches, of those up to `last`.
///
/// # Errors
/// [`AuditError::NotReached`] for a sequence past that.
pub(super) fn last_sequence(view: &BookView, as_of: AsOf, last: JournalSequence) -> AuditResult<JournalSequence> {
    match as_of {
        AsOf::Now | AsOf::Effective(_) => Ok(last),
        AsOf::Time(time) => Ok(view.sequence_at(time)?.min(last)),
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
    let last = last_sequence(view, as_of, view.last_sequence())?;
    let (totals, sequence) = match as_of {
        AsOf::Effective(until) => effective::totals(view, number, &account, until, last)?,
        AsOf::Now | AsOf::Time(_) | AsOf::Sequence(_) => view.totals_at(number, &account, last)?,
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
