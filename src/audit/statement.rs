//! The statement of an account for a period: opening, every posting with the balances it left, closing. Opening plus all bookings is checked to give
//! the closing.

use ledger::account::{available_balance, posted_balance};
use ledger::journal::JournalSequence;
use ledger::{
    Account, AccountName, AccountNumber, Balance, EffectiveAt, JournalPosting, JournalRecord, LogTime, Side, Totals,
};

use super::balance::{books, effective_ns, known, last_sequence, totals_at};
use super::{AsOf, AuditError, AuditResult};
use crate::book::view::BookView;

/// By which of its dates a line belongs to a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dates {
    /// The log's.
    OfRecord,
    /// The client's business date, or without one the time of record. Only what was booked has one, so such a statement shows no reservations; it reads the account's whole
    /// history for every page.
    Effective,
}

/// Which part of an account's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// By which dates.
    pub dates: Dates,
    /// The first nanosecond since 1970; `None` from the beginning.
    pub from_ns: Option<i64>,
    /// The first nanosecond no longer in it; `None` up to the view.
    pub to_ns: Option<i64>,
    /// Only lines after that of this record: where the page before ended. 0 for the first page.
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
    /// The effective date, where the record or the question knows one.
    pub effective_at: Option<EffectiveAt>,
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
    match period.dates {
        Dates::OfRecord => by_record(view, number, account, period),
        Dates::Effective => by_effective_date(view, number, account, period),
    }
}

/// The last sequence recorded before a time.
fn sequence_before(view: &BookView, time_ns: i64) -> AuditResult<JournalSequence> {
    match u64::try_from(time_ns).ok().and_then(|time| time.checked_sub(1)) {
        Some(before) => Ok(view.sequence_at(LogTime(before))?),
        None => Ok(JournalSequence(0)),
    }
}

fn by_record(view: &BookView, number: AccountNumber, account: Account, period: Period) -> AuditResult<Statement> {
    let last = match period.to_ns {
        Some(to) => sequence_before(view, to)?,
        None => last_sequence(view, AsOf::Now)?,
    };
    let last = period.last.map_or(last, |bound| bound.min(last));
    let before = period.from_ns.map_or(Ok(JournalSequence(0)), |from| sequence_before(view, from))?;
    let before = before.max(period.after);
    let (opening_totals, _) = totals_at(view, number, &account, before)?;
    let opening = posted_balance(account.class, &opening_totals).ok_or_else(|| out_of_range(before))?;
    let (mut lines, mut has_more) = (Vec::new(), false);
    let mut journal = view.journal_reader();
    for sequence in view.postings(number, before.0 + 1..=last.0) {
        let sequence = sequence?;
        // A page ends with a whole record, so that the next begins after it.
        if lines.len() >= period.limit {
            has_more = true;
            break;
        }
        let record = journal.known(sequence)?;
        lines.extend(lines_of(&record, number, &account)?);
    }
    let closing = lines.last().map_or(opening, |line| line.posted);
    check(&account, opening, &lines, closing)?;
    Ok(Statement { account, number, opening, lines, closing, has_more, last })
}

fn by_effective_date(
    view: &BookView,
    number: AccountNumber,
    account: Account,
    period: Period,
) -> AuditResult<Statement> {
    let last = period.last.unwrap_or(last_sequence(view, AsOf::Now)?);
    let mut booked: Vec<(i64, JournalSequence)> = Vec::new();
    let mut journal = view.journal_reader();
    for sequence in view.postings(number, 0..=last.0) {
        let record = journal.known(sequence?)?;
        if books(&record.event) {
            booked.push((effective_ns(view, &record)?, record.sequence));
        }
    }
    booked.sort_unstable();
    let walked = booked.iter().find(|(_, sequence)| *sequence == period.after).copied();
    let is_before = |line: &(i64, JournalSequence)| {
        period.from_ns.is_some_and(|from| line.0 < from) || walked.is_some_and(|walked| *line <= walked)
    };
    let mut totals = Totals::zero(account.scale);
    let (mut opening, mut lines, mut has_more) = (Balance::zero(account.scale), Vec::new(), false);
    for line in booked.iter().take_while(|line| period.to_ns.is_none_or(|to| line.0 < to)) {
        if lines.len() >= period.limit {
            has_more = true;
            break;
        }
        let record = journal.known(line.1)?;
        for posting in record.event.postings().iter().filter(|posting| posting.account == number) {
            totals = totals.post(posting.side, posting.amount).ok_or_else(|| out_of_range(line.1))?;
            let posted = posted_balance(account.class, &totals).ok_or_else(|| out_of_range(line.1))?;
            if is_before(line) {
                opening = posted;
                continue;
            }
            lines.push(Line {
                record: record.clone(),
                posting: *posting,
                effective_at: Some(EffectiveAt(line.0)),
                is_posted: true,
                posted,
                available: posted,
            });
        }
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
            effective_at: record.event.details().and_then(|details| details.effective_at),
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
