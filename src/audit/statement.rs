//! The statement of an account for a period: opening, every posting with the balances it left, closing. Opening plus all bookings is checked to give
//! the closing.

use ledger::account::{available_balance, posted_balance};
use ledger::journal::JournalSequence;
use ledger::{Account, AccountName, AccountNumber, Balance, JournalPosting, JournalRecord, LogTime, Side};

use super::balance::{books, known, last_sequence, totals_at};
use super::{AsOf, AuditError, AuditResult};
use crate::book::view::BookView;
use crate::store::Direction;

/// Which part of an account's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The first time of record.
    pub from: LogTime,
    /// The first time of record no longer in it; `None` up to the view.
    pub to: Option<LogTime>,
    /// Only records after this sequence: where the page before ended.
    pub after: JournalSequence,
    /// Only records up to this one: what the first page reflected.
    pub last: Option<JournalSequence>,
    /// The most lines.
    pub limit: usize,
}

/// One posting on the account.
#[derive(Debug, Clone)]
pub struct Line {
    /// The whole record.
    pub record: JournalRecord,
    /// The posting.
    pub posting: JournalPosting,
    /// Whether it booked; otherwise only pending totals moved.
    pub is_posted: bool,
    /// The posted balance after it.
    pub posted: Balance,
    /// The available balance after it.
    pub available: Balance,
}

/// A page of a statement.
#[derive(Debug, Clone)]
pub struct Statement {
    /// The account.
    pub account: Account,
    /// Its number.
    pub number: AccountNumber,
    /// The posted balance before the page's first line.
    pub opening: Balance,
    /// The lines.
    pub lines: Vec<Line>,
    /// The posted balance after the page's last line.
    pub closing: Balance,
    /// Whether more lines follow.
    pub has_more: bool,
    /// What the walk reflects: the last sequence that any page of it may show.
    pub last: JournalSequence,
}

fn out_of_range(sequence: JournalSequence) -> AuditError {
    AuditError::Contradiction(format!("a balance at record {} leaves the range", sequence.0))
}

/// A page of an account's statement.
///
/// # Errors
/// [`AuditError`]; [`AuditError::Contradiction`] if opening and lines do not give the closing.
pub fn statement(view: &BookView, name: &AccountName, period: Period) -> AuditResult<Statement> {
    let (number, account) = known(view, name)?;
    let last = match period.to {
        Some(to) => view.sequence_at(LogTime(to.0.saturating_sub(1)))?,
        None => last_sequence(view, AsOf::Now)?,
    };
    let last = period.last.map_or(last, |bound| bound.min(last));
    let before = match period.from.0.checked_sub(1) {
        Some(before) => view.sequence_at(LogTime(before))?,
        None => JournalSequence(0),
    };
    let before = before.max(period.after);
    let (opening_totals, _) = totals_at(view, number, &account, before)?;
    let opening = posted_balance(account.class, &opening_totals).ok_or_else(|| out_of_range(before))?;
    let mut lines = Vec::new();
    let mut has_more = false;
    for sequence in view.postings(number, before.0 + 1..=last.0, Direction::Forward)? {
        let sequence = sequence?;
        // A page ends with a whole record, so that the next begins after it.
        if lines.len() >= period.limit {
            has_more = true;
            break;
        }
        let record = view.known_journal(sequence)?;
        lines.extend(lines_of(&record, number, &account)?);
    }
    let closing = lines.last().map_or(opening, |line| line.posted);
    check(&account, opening, &lines, closing)?;
    Ok(Statement { account, number, opening, lines, closing, has_more, last })
}

fn lines_of(record: &JournalRecord, number: AccountNumber, account: &Account) -> AuditResult<Vec<Line>> {
    let own = record.event.postings().iter().filter(|posting| posting.account == number);
    own.map(|posting| {
        Ok(Line {
            record: record.clone(),
            posting: *posting,
            is_posted: books(&record.event),
            posted: posted_balance(account.class, &posting.totals).ok_or_else(|| out_of_range(record.sequence))?,
            available: available_balance(account.class, &posting.totals)
                .ok_or_else(|| out_of_range(record.sequence))?,
        })
    })
    .collect()
}

/// Opening plus all bookings must give the closing: computed from amounts, compared with recorded totals.
fn check(account: &Account, opening: Balance, lines: &[Line], closing: Balance) -> AuditResult<()> {
    let normal = account.class.normal_side();
    let mut running = opening;
    for line in lines.iter().filter(|line| line.is_posted) {
        let moved = match (line.posting.side, normal) {
            (Side::Debit, Side::Debit) | (Side::Credit, Side::Credit) => running.checked_add(line.posting.amount),
            (Side::Debit, Side::Credit) | (Side::Credit, Side::Debit) => running.checked_sub(line.posting.amount),
        };
        running = moved.ok_or_else(|| out_of_range(line.record.sequence))?;
    }
    if running == closing {
        return Ok(());
    }
    Err(AuditError::Contradiction(format!(
        "opening {opening} and {} lines give {running}, but the journal closes at {closing}",
        lines.len()
    )))
}
