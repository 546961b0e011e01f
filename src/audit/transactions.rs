//! Transactions with their timelines, and lists of them.

use std::ops::RangeInclusive;

use ledger::journal::JournalSequence;
use ledger::{
    AccountName, AccountNumber, Event, JournalRecord, LogTime, TransactionId, TransactionRecord, TransactionState,
};

use super::balance::known;
use super::kept::Kept;
use super::{AuditError, AuditResult, Moment};
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

/// A transaction at a moment, and whether more records concern it than were taken.
#[derive(Debug, Clone)]
pub struct Story {
    /// The transaction.
    pub found: Found,
    /// Whether records follow those that were taken.
    pub has_more: bool,
}

/// A transaction by id, as it was at a moment; `None` if there was none.
///
/// # Errors
/// When the book cannot be read.
pub fn find(view: &BookView, id: TransactionId, moment: &Moment) -> AuditResult<Option<Found>> {
    let Some(mut record) = view.transaction_at(&id, moment.sequence)? else { return Ok(None) };
    let first = record.created.or(record.resolved).unwrap_or_default();
    let created = view.known_journal(first)?;
    let resolved = match (record.created, record.resolved) {
        (Some(_), Some(sequence)) => Some(view.known_journal(sequence)?),
        (Some(_) | None, _) => None,
    };
    if !record.reversed.is_empty() && moment.sequence < view.last_sequence() {
        // What is stored is the sum of all reversals there are.
        each_reversal(view, &created, id, moment.sequence..=view.last_sequence(), |reversal| {
            for (reversed, posting) in record.reversed.iter_mut().zip(reversal.event.postings()) {
                *reversed = reversed
                    .checked_sub(posting.amount)
                    .ok_or_else(|| AuditError::Contradiction(format!("more of {id} is reversed than the book says")))?;
            }
            Ok(true)
        })?;
    }
    Ok(Some(Found { id, record, created, resolved }))
}

/// The reversals of a transaction after the first sequence of a range, up to its last, until `take` wants no more.
/// Returns whether it wanted all.
fn each_reversal(
    view: &BookView,
    created: &JournalRecord,
    id: TransactionId,
    range: RangeInclusive<JournalSequence>,
    mut take: impl FnMut(&JournalRecord) -> AuditResult<bool>,
) -> AuditResult<bool> {
    // Reversals touch the original's accounts, so its first account's history after it holds them all.
    let Some(account) = created.event.postings().first().map(|posting| posting.account) else { return Ok(true) };
    let after = range.start().max(&created.sequence).next();
    let mut journal = view.journal_reader();
    for sequence in view.postings(account, after.0..=range.end().0) {
        let record = journal.known(sequence?)?;
        let is_own = matches!(&record.event, Event::Reversed { original, .. } if *original == id);
        if is_own && !take(&record)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A transaction's story at a moment: the records that concern it and come after `after`, oldest first: created, resolved,
/// reversals. They are handed to `take` until it has no room for one more. `None` if there was no such transaction.
///
/// # Errors
/// When the book cannot be read.
pub fn timeline(
    view: &BookView,
    id: TransactionId,
    moment: &Moment,
    after: JournalSequence,
    mut take: impl FnMut(&JournalRecord) -> AuditResult<bool>,
) -> AuditResult<Option<Story>> {
    let Some(found) = find(view, id, moment)? else { return Ok(None) };
    let mut is_whole = true;
    for record in [Some(&found.created), found.resolved.as_ref()].into_iter().flatten() {
        is_whole = is_whole && (record.sequence <= after || take(record)?);
    }
    if is_whole && !found.record.reversed.is_empty() {
        is_whole = each_reversal(view, &found.created, id, after..=moment.sequence, take)?;
    }
    Ok(Some(Story { found, has_more: !is_whole }))
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

/// Records looked at for one page at most, so that a rare match cannot hold a reader for ever: the page then ends early and says where to go on.
const MAX_RECORDS_PER_PAGE: usize = 200_000;

/// Transactions as they were at a moment, from a sequence on, in the order of creation: open holds are thus listed oldest
/// first. They are handed to `take` until it has no room for one more. Returns where the next page begins; none after the
/// last.
///
/// # Errors
/// [`super::AuditError`].
pub fn list(
    view: &BookView,
    kept: &Kept,
    filter: &Filter,
    moment: &Moment,
    first: JournalSequence,
    mut take: impl FnMut(&Found) -> AuditResult<bool>,
) -> AuditResult<Option<JournalSequence>> {
    let from = match filter.from.and_then(|from| from.0.checked_sub(1)) {
        Some(before) => view.sequence_at(LogTime(before))?.next(),
        None => JournalSequence(1),
    };
    let first = first.max(from);
    let last = match filter.to {
        Some(to) => view.sequence_at(LogTime(to.0.saturating_sub(1)))?.min(moment.sequence),
        None => moment.sequence,
    };
    let account = match &filter.account {
        Some(name) => Some(known(view, name)?.0),
        None => None,
    };
    if first > last {
        return Ok(None);
    }
    let mut journal = view.journal_reader();
    for (looked_at, sequence) in candidates(view, kept, filter, account, moment, first..=last)?.enumerate() {
        let sequence = sequence?;
        if sequence > last {
            break;
        }
        if looked_at >= MAX_RECORDS_PER_PAGE {
            return Ok(Some(sequence));
        }
        let record = journal.known(sequence)?;
        if let Some(found) = matching(view, filter, account, moment, &record)?
            && !take(&found)?
        {
            return Ok(Some(sequence));
        }
    }
    Ok(None)
}

type Sequences<'v> = Box<dyn Iterator<Item = Result<JournalSequence, crate::book::BookError>> + 'v>;

/// The sequences among which the matches are, by the narrowest index.
fn candidates<'v>(
    view: &'v BookView,
    kept: &Kept,
    filter: &Filter,
    account: Option<AccountNumber>,
    moment: &Moment,
    range: RangeInclusive<JournalSequence>,
) -> AuditResult<Sequences<'v>> {
    let (first, last) = range.into_inner();
    if !filter.reference.is_empty() {
        return Ok(Box::new(view.references(&filter.reference, first)));
    }
    if filter.state == Some(TransactionState::Tried) {
        let open = kept.open_at(view, moment)?;
        let from = open.partition_point(|sequence| *sequence < first);
        return Ok(Box::new((from..open.len()).map_while(move |place| open.get(place).copied()).map(Ok)));
    }
    if let Some(number) = account {
        return Ok(Box::new(view.postings(number, first.0..=last.0)));
    }
    Ok(Box::new((first.0..=last.0).map(|sequence| Ok(JournalSequence(sequence)))))
}

/// The transaction that a record created, if it matches.
fn matching(
    view: &BookView,
    filter: &Filter,
    account: Option<AccountNumber>,
    moment: &Moment,
    record: &JournalRecord,
) -> AuditResult<Option<Found>> {
    let is_creation = matches!(
        record.event,
        Event::Posted { .. } | Event::Tried { .. } | Event::Reversed { .. } | Event::CancelledEmpty(_)
    );
    let (true, Some(id)) = (is_creation, record.event.transaction()) else { return Ok(None) };
    let reference = record.event.details().map_or("", |details| details.reference.as_str());
    if !filter.reference.is_empty() && reference != filter.reference {
        return Ok(None);
    }
    if account.is_some_and(|number| !record.event.postings().iter().any(|posting| posting.account == number)) {
        return Ok(None);
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
    let Some(found) = find(view, id, moment)? else { return Ok(None) };
    Ok(filter.state.is_none_or(|state| state == found.record.state).then_some(found))
}
