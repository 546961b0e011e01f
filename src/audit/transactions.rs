//! Transactions with their timelines, and lists of them.

use ledger::journal::JournalSequence;
use ledger::{AccountName, Event, JournalRecord, LogTime, TransactionId, TransactionRecord, TransactionState};

use super::AuditResult;
use super::balance::known;
use crate::book::view::BookView;

/// A transaction and the records that made it.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its id.
    pub id: TransactionId,
    /// What stands under its id.
    pub record: TransactionRecord,
    /// The record that created it; for a tombstone the empty cancel's.
    pub created: JournalRecord,
    /// The record that resolved it, where there is one of its own.
    pub resolved: Option<JournalRecord>,
}

/// A transaction's whole story.
#[derive(Debug, Clone)]
pub struct Timeline {
    /// The transaction.
    pub found: Found,
    /// Every record that concerns it, oldest first: created, resolved, reversals.
    pub records: Vec<JournalRecord>,
}

/// A transaction by id; `None` if there is none.
///
/// # Errors
/// When the book cannot be read.
pub fn find(view: &BookView, id: TransactionId) -> AuditResult<Option<Found>> {
    let Some(record) = view.transaction(&id)? else { return Ok(None) };
    let first = record.created.or(record.resolved).unwrap_or_default();
    let created = view.known_journal(first)?;
    let resolved = match (record.created, record.resolved) {
        (Some(_), Some(sequence)) => Some(view.known_journal(sequence)?),
        (Some(_) | None, _) => None,
    };
    Ok(Some(Found { id, record, created, resolved }))
}

/// A transaction's story; `None` if there is none.
///
/// # Errors
/// When the book cannot be read.
pub fn timeline(view: &BookView, id: TransactionId) -> AuditResult<Option<Timeline>> {
    let Some(found) = find(view, id)? else { return Ok(None) };
    let mut records = vec![found.created.clone()];
    records.extend(found.resolved.clone());
    // Reversals touch the original's accounts, so its first account's history after it holds them all.
    let first_account = found.created.event.postings().first().map(|posting| posting.account);
    if let (Some(account), false) = (first_account, found.record.reversed.is_empty()) {
        let after = found.created.sequence.0 + 1;
        for sequence in view.postings(account, after..=view.last_sequence().0) {
            let record = view.known_journal(sequence?)?;
            if matches!(&record.event, Event::Reversed { original, .. } if *original == id) {
                records.push(record);
            }
        }
    }
    Ok(Some(Timeline { found, records }))
}

/// Which transactions.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only those that touch this account.
    pub account: Option<AccountName>,
    /// Only those that touch an account at or below this prefix; empty for all.
    pub account_prefix: String,
    /// Only those with this reference; empty for all.
    pub reference: String,
    /// Only those in this state.
    pub state: Option<TransactionState>,
    /// Created at or after this time of record.
    pub from: Option<LogTime>,
    /// Created before this time of record.
    pub to: Option<LogTime>,
}

/// A page of a list.
#[derive(Debug, Clone)]
pub struct Page {
    /// The transactions, by the sequence that created them.
    pub transactions: Vec<Found>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<JournalSequence>,
}

/// Records looked at for one page at most, so that a rare match cannot hold a reader for ever: the page then ends early and says where to go on.
const MAX_RECORDS_PER_PAGE: usize = 200_000;

/// A page of transactions, from a sequence on, in the order of creation: open holds are thus listed oldest first.
///
/// # Errors
/// [`super::AuditError`].
pub fn list(view: &BookView, filter: &Filter, first: JournalSequence, limit: usize) -> AuditResult<Page> {
    let from = match filter.from.and_then(|from| from.0.checked_sub(1)) {
        Some(before) => view.sequence_at(LogTime(before))?.next(),
        None => JournalSequence(1),
    };
    let first = first.max(from);
    let last = match filter.to {
        Some(to) => view.sequence_at(LogTime(to.0.saturating_sub(1)))?,
        None => view.last_sequence(),
    };
    let mut page = Page { transactions: Vec::new(), next: None };
    for (looked_at, sequence) in candidates(view, filter, first, last)?.enumerate() {
        let sequence = sequence?;
        if page.transactions.len() >= limit || looked_at >= MAX_RECORDS_PER_PAGE {
            page.next = Some(sequence);
            break;
        }
        if sequence > last {
            break;
        }
        let record = view.known_journal(sequence)?;
        if let Some(found) = matching(view, filter, &record)? {
            page.transactions.push(found);
        }
    }
    Ok(page)
}

type Sequences<'v> = Box<dyn Iterator<Item = Result<JournalSequence, crate::book::BookError>> + 'v>;

/// The sequences among which the matches are, by the narrowest index.
fn candidates<'v>(
    view: &'v BookView,
    filter: &Filter,
    first: JournalSequence,
    last: JournalSequence,
) -> AuditResult<Sequences<'v>> {
    if !filter.reference.is_empty() {
        return Ok(Box::new(view.references(&filter.reference, first)));
    }
    if filter.state == Some(TransactionState::Tried) {
        return Ok(Box::new(view.holds_from(first)?.map(|hold| hold.map(|(sequence, _)| sequence))));
    }
    if let Some(name) = &filter.account {
        let (number, _) = known(view, name)?;
        if first > last {
            return Ok(Box::new(std::iter::empty()));
        }
        return Ok(Box::new(view.postings(number, first.0..=last.0)));
    }
    Ok(Box::new((first.0..=last.0).map(|sequence| Ok(JournalSequence(sequence)))))
}

/// The transaction that a record created, if it matches.
fn matching(view: &BookView, filter: &Filter, record: &JournalRecord) -> AuditResult<Option<Found>> {
    let is_creation = matches!(
        record.event,
        Event::Posted { .. } | Event::Tried { .. } | Event::Reversed { .. } | Event::CancelledEmpty(_)
    );
    let (true, Some(id)) = (is_creation, record.event.transaction()) else { return Ok(None) };
    let reference = record.event.details().map_or("", |details| details.reference.as_str());
    if !filter.reference.is_empty() && reference != filter.reference {
        return Ok(None);
    }
    if let Some(name) = &filter.account {
        let (number, _) = known(view, name)?;
        if !record.event.postings().iter().any(|posting| posting.account == number) {
            return Ok(None);
        }
    }
    if !filter.account_prefix.is_empty() {
        let mut is_under = false;
        for posting in record.event.postings() {
            is_under |= view.account_name(posting.account)?.is_under(&filter.account_prefix);
        }
        if !is_under {
            return Ok(None);
        }
    }
    let Some(found) = find(view, id)? else { return Ok(None) };
    Ok(filter.state.is_none_or(|state| state == found.record.state).then_some(found))
}
