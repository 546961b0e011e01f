//! Loading a book: what is stored, brought up to date by the end of the journal.

use std::sync::Arc;

use ledger::{Account, JournalRecord};

use super::accounts::{self, Accounts, Pages};
use super::directory::Directory;
use super::holds::Holds;
use super::index::{Entry, reference_key};
use super::records::hold::Hold;
use super::records::index::KEPT_BIT;
use super::records::kept::KeptRecord;
use super::view::BookView;
use super::{BookError, BookResult, Bounds, Indexes};

/// Everything in memory that follows from what is stored.
pub(super) struct Loaded {
    pub(super) accounts: Arc<Accounts>,
    pub(super) pages: Pages,
    pub(super) holds: Holds,
    pub(super) directory: Directory,
}

/// Loads what a view has, and fills the tails of the indexes.
pub(super) fn load(view: &BookView, indexes: &Indexes, bounds: &Bounds) -> BookResult<Loaded> {
    let meta = view.meta();
    let mut directory = Directory::default();
    for asset in view.assets()? {
        directory.add_asset(asset);
    }
    let mut accounts = view.stored_accounts()?;
    add_names(view, &accounts, &mut directory)?;
    let mut holds = Holds::default();
    for record in view.stored_holds()? {
        holds.begin(record?, true)?;
    }
    replay_journal(view, indexes, &mut accounts, &mut holds)?;
    for (number, kept) in
        (indexes.ids.covered().kept + 1..).zip(view.kept_range(indexes.ids.covered().kept + 1..=meta.kept)?)
    {
        indexes.ids.extend(std::iter::once(kept_entry(&kept?, number)));
    }
    let pages = Pages::new(accounts.len(), bounds.cycle_records, meta.replay_from, meta.head.sequence);
    Ok(Loaded { accounts: Arc::new(Accounts::loaded(accounts, meta.head.sequence)), pages, holds, directory })
}

fn add_names(view: &BookView, accounts: &[(Account, u64)], directory: &mut Directory) -> BookResult<()> {
    let mut names = view.all_names()?;
    names.sort_unstable_by_key(|(_, number)| *number);
    if names.len() != accounts.len() {
        return Err(BookError::Malformed { what: "list of accounts: names and accounts differ in number" });
    }
    for ((name, number), (account, _)) in names.into_iter().zip(accounts) {
        if !directory.add_account(name, number, account.asset) {
            return Err(BookError::Malformed { what: "list of accounts: the numbers have a gap" });
        }
    }
    Ok(())
}

/// Reads the journal's end once for all that needs it.
fn replay_journal(
    view: &BookView,
    indexes: &Indexes,
    accounts: &mut [(Account, u64)],
    holds: &mut Holds,
) -> BookResult<()> {
    let replay_from = view.meta().replay_from;
    let covered = [indexes.ids.covered(), indexes.references.covered(), indexes.postings.covered()];
    let [ids, references, postings] = covered.map(|covered| covered.sequence);
    let first = ids.min(references).min(postings).min(replay_from) + 1;
    let mut expected = first;
    for record in view.journal_range(first..=view.last_sequence().0)? {
        let record = record?;
        let sequence = record.sequence.0;
        if sequence != expected {
            return Err(BookError::Malformed { what: "journal: a sequence is missing" });
        }
        expected += 1;
        if sequence > ids {
            indexes.ids.extend(id_entries(&record));
        }
        if sequence > references {
            indexes.references.extend(reference_entries(&record));
        }
        if sequence > postings {
            indexes.postings.extend(posting_entries(&record));
        }
        if sequence > replay_from {
            accounts::replay(accounts, &record)?;
            replay_hold(holds, record)?;
        }
    }
    if expected != view.last_sequence().0 + 1 {
        return Err(BookError::Malformed { what: "journal: its end is missing" });
    }
    Ok(())
}

/// A hold that was stored already is not begun again: what is stored is at least as new as the replay's beginning.
fn replay_hold(holds: &mut Holds, record: JournalRecord) -> BookResult<()> {
    if let Some(transaction) = Hold::ended_by(&record) {
        holds.end(&transaction);
    } else if Hold::of(&record).is_some() && holds.attempt(record.sequence).is_none() {
        holds.begin(record, false)?;
    }
    Ok(())
}

/// Where the ids of a record stand.
pub(super) fn id_entries(record: &JournalRecord) -> impl Iterator<Item = Entry<16>> + use<> {
    let pointer = record.sequence.0;
    let request = record.request.map(|request| *request.as_bytes());
    let transaction = record.event.transaction().map(|transaction| *transaction.as_bytes());
    let other = transaction.filter(|transaction| request != Some(*transaction));
    request.into_iter().chain(other).map(move |key| Entry { key, pointer })
}

/// Where a kept answer stands.
pub(super) fn kept_entry(kept: &KeptRecord, number: u64) -> Entry<16> {
    Entry { key: *kept.request.as_bytes(), pointer: KEPT_BIT | number }
}

/// Where a record's reference stands.
pub(super) fn reference_entries(record: &JournalRecord) -> impl Iterator<Item = Entry<16>> + use<> {
    let pointer = record.sequence.0;
    let details = record.event.details().filter(|details| !details.reference.is_empty());
    details.map(|details| Entry { key: reference_key(&details.reference), pointer }).into_iter()
}

/// Which accounts a record touched.
pub(super) fn posting_entries(record: &JournalRecord) -> impl Iterator<Item = Entry<4>> + '_ {
    let postings = record.event.postings();
    let pointer = record.sequence.0;
    postings.iter().enumerate().filter_map(move |(position, posting)| {
        let is_first = !postings[..position].iter().any(|earlier| earlier.account == posting.account);
        is_first.then(|| Entry { key: posting.account.0.to_be_bytes(), pointer })
    })
}
