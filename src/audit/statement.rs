//! The statement of an account for a period: opening, every posting with the balances it left, closing. Opening plus all bookings is checked to give
//! the closing.

use std::sync::Arc;

use ledger::account::{available_balance, posted_balance};
use ledger::journal::JournalSequence;
use ledger::{
    Account, AccountName, AccountNumber, Balance, EffectiveAt, JournalPosting, JournalRecord, LogTime, Side, Totals,
};

use super::balance::known;
use super::effective::{self, Place, books};
use super::kept::Kept;
use super::{AuditError, AuditResult};
use crate::book::view::BookView;

/// By which of its dates a line belongs to a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dates {
    /// The log's.
    OfRecord,
    /// The client's business date, or without one the time of record. Only what was booked has one, so such a statement
    /// shows no reservations. A walk reads the account's whole history once for so many lines as memory holds, and on
    /// another replica once more.
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
    pub last: JournalSequence,
    /// The lines at which a page ends. It ends with a whole record, so it may have as many more as a record has postings.
    pub limit: usize,
}

/// One posting on the account.
#[derive(Debug, Clone)]
pub struct Line {
    /// The whole record, which lines of the same share.
    pub record: Arc<JournalRecord>,
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
}

fn out_of_range(sequence: JournalSequence) -> AuditError {
    AuditError::Contradiction(format!("a balance at record {} leaves the range", sequence.0))
}

/// A page of an account's statement.
///
/// # Errors
/// [`AuditError`]; [`AuditError::Contradiction`] if opening and lines do not give the closing, [`AuditError::NoSuchPlace`]
/// if `after` is not a line of the account.
pub fn statement(view: &BookView, kept: &Kept, name: &AccountName, period: Period) -> AuditResult<Statement> {
    let (number, account) = known(view, name)?;
    match period.dates {
        Dates::OfRecord => by_record(view, number, account, period),
        Dates::Effective => by_effective_date(view, kept, number, account, period),
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
        Some(to) => sequence_before(view, to)?.min(period.last),
        None => period.last,
    };
    let before = period.from_ns.map_or(Ok(JournalSequence(0)), |from| sequence_before(view, from))?;
    let before = before.max(period.after);
    let (opening_totals, _) = view.totals_at(number, &account, before.min(period.last))?;
    let opening = posted_balance(account.class, &opening_totals).ok_or_else(|| out_of_range(before))?;
    let (mut lines, mut has_more) = (Vec::new(), false);
    let mut journal = view.journal_reader();
    for sequence in view.postings(number, before.0.saturating_add(1)..=last.0) {
        let sequence = sequence?;
        // A page ends with a whole record, so that the next begins after it.
        if lines.len() >= period.limit {
            has_more = true;
            break;
        }
        lines.extend(lines_of(&Arc::new(journal.known(sequence)?), number, &account)?);
    }
    let closing = lines.last().map_or(opening, |line| line.posted);
    check(&account, opening, &lines, closing)?;
    Ok(Statement { account, number, opening, lines, closing, has_more })
}

fn by_effective_date(
    view: &BookView,
    kept: &Kept,
    number: AccountNumber,
    account: Account,
    period: Period,
) -> AuditResult<Statement> {
    let mut after: Place = (period.from_ns.unwrap_or(i64::MIN), JournalSequence(0));
    if period.after != JournalSequence(0) {
        let place = effective::place_of(view, number, period.after)?;
        after = after.max(place.ok_or(AuditError::NoSuchPlace(period.after.0))?);
    }
    let is_within = |place: &Place| period.to_ns.is_none_or(|to| place.0 < to);
    let mut opening = None;
    let (mut lines, mut has_more) = (Vec::new(), false);
    let mut journal = view.journal_reader();
    loop {
        let window = kept.window(view, (number, account.scale), period.last, after)?;
        let (mut totals, places) = window.from(after);
        let posted = |totals: &Totals| posted_balance(account.class, totals).ok_or_else(|| out_of_range(period.last));
        opening.get_or_insert(posted(&totals)?);
        for place in places.take_while(is_within) {
            if lines.len() >= period.limit {
                has_more = true;
                break;
            }
            let record = Arc::new(journal.known(place.1)?);
            for posting in effective::own(&record, number) {
                totals = totals.post(posting.side, posting.amount).ok_or_else(|| out_of_range(place.1))?;
                let posted = posted(&totals)?;
                lines.push(Line {
                    record: Arc::clone(&record),
                    posting: *posting,
                    effective_at: Some(EffectiveAt(place.0)),
                    is_posted: true,
                    posted,
                    available: posted,
                });
            }
        }
        // A full page may end with the window: the next window tells whether more follows.
        match window.end().filter(|end| !has_more && is_within(end)) {
            Some(end) => after = end,
            None => break,
        }
    }
    let opening = opening.unwrap_or(Balance::zero(account.scale));
    let closing = lines.last().map_or(opening, |line| line.posted);
    check(&account, opening, &lines, closing)?;
    Ok(Statement { account, number, opening, lines, closing, has_more })
}

fn lines_of(record: &Arc<JournalRecord>, number: AccountNumber, account: &Account) -> AuditResult<Vec<Line>> {
    let lines = effective::own(record, number).map(|posting| {
        Ok(Line {
            record: Arc::clone(record),
            posting: *posting,
            effective_at: record.event.details().and_then(|details| details.effective_at),
            is_posted: books(&record.event),
            posted: posted_balance(account.class, &posting.totals).ok_or_else(|| out_of_range(record.sequence))?,
            available: available_balance(account.class, &posting.totals)
                .ok_or_else(|| out_of_range(record.sequence))?,
        })
    });
    lines.collect()
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
