//! One consistent moment of the book, for readers. Its index is read from the same view as everything else.

mod past;

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::{Arc, PoisonError, RwLock};

use ledger::journal::JournalSequence;
use ledger::{
    Account, AccountName, AccountNumber, Asset, Event, JournalRecord, LogTime, RequestBody, RequestId, RequestRecord,
    TransactionId, TransactionRecord, TransactionState,
};

use super::accounts::{self, Accounts};
use super::blocks::{self, Cursor};
use super::directory::Directory;
use super::index::{self, IndexView};
use super::records::{self, Kind, Spaces, hold::Hold, index::KEPT_BIT, kept::KeptRecord, meta::Meta};
use super::{BookError, BookResult};
use crate::store::{Direction, KeyRange, StoredBytes, View};

pub use past::PastAccount;

const MISSING: &str = "journal: a sequence is missing";

/// One consistent moment of the book: cheap to clone, and to be let go of soon.
#[derive(Clone)]
pub struct BookView {
    inner: Arc<Inner>,
}

/// What a view is made of. The applier makes one after each entry; all readers share it.
pub(super) struct Inner {
    pub(super) view: Arc<dyn View>,
    pub(super) spaces: Spaces,
    pub(super) meta: Meta,
    pub(super) directory: Arc<RwLock<Directory>>,
    pub(super) accounts: Arc<Accounts>,
    pub(super) earliest_deadline: Option<LogTime>,
    pub(super) ids: IndexView<16>,
    pub(super) references: IndexView<16>,
    pub(super) postings: IndexView<4>,
}

impl BookView {
    pub(super) fn new(inner: Inner) -> BookView {
        BookView { inner: Arc::new(inner) }
    }

    /// The engine's view.
    pub(super) fn engine_view(&self) -> &dyn View {
        self.inner.view.as_ref()
    }

    /// Where the book stands in this view.
    pub fn meta(&self) -> &Meta {
        &self.inner.meta
    }

    /// The index of the last log entry that this view reflects.
    pub fn index(&self) -> u64 {
        self.inner.meta.index
    }

    /// The log's time in this view.
    pub fn time(&self) -> LogTime {
        self.inner.meta.head.time
    }

    /// When the first hold that is open in this view expires, if any will.
    pub fn earliest_deadline(&self) -> Option<LogTime> {
        self.inner.earliest_deadline
    }

    /// The last journal sequence in this view.
    pub fn last_sequence(&self) -> JournalSequence {
        self.inner.meta.head.sequence
    }

    fn get(&self, kind: Kind, key: &[u8]) -> BookResult<Option<StoredBytes>> {
        Ok(self.inner.view.get(self.inner.spaces.of(kind), key)?)
    }

    pub(super) fn scan<'s>(
        &'s self,
        kind: Kind,
        range: &KeyRange,
        direction: Direction,
    ) -> BookResult<impl Iterator<Item = BookResult<(StoredBytes, StoredBytes)>> + use<'s>> {
        let pairs = self.inner.view.scan(self.inner.spaces.of(kind), range, direction)?;
        Ok(pairs.map(|pair| pair.map_err(BookError::from)))
    }

    /// All assets, by number.
    ///
    /// # Errors
    /// When the book cannot be read; so for all that follow.
    pub fn assets(&self) -> BookResult<Vec<Asset>> {
        self.scan(Kind::Assets, &KeyRange::all(), Direction::Forward)?
            .map(|pair| records::asset::decode(&pair?.1))
            .collect()
    }

    /// The asset of a number.
    pub fn asset(&self, number: ledger::AssetNumber) -> BookResult<Asset> {
        let bytes = self.get(Kind::Assets, &records::asset::key(number))?;
        records::asset::decode(&bytes.ok_or(BookError::Malformed { what: "asset number" })?)
    }

    /// The number of an account's name. The account may be newer than this view, which then does not hold it.
    pub fn account_number(&self, name: &AccountName) -> Option<AccountNumber> {
        self.inner.directory.read().unwrap_or_else(PoisonError::into_inner).number(name)
    }

    /// The name of an account that this view holds.
    pub fn account_name(&self, number: AccountNumber) -> BookResult<AccountName> {
        let directory = self.inner.directory.read().unwrap_or_else(PoisonError::into_inner);
        directory.name(number).cloned().ok_or(BookError::Malformed { what: "account number" })
    }

    /// An account: from memory, unless it has changed more than once since this view was opened.
    pub fn account(&self, number: AccountNumber) -> BookResult<Option<Account>> {
        if let Some(slot) = self.inner.accounts.as_of(number, self.last_sequence()) {
            return Ok(Some(slot.account));
        }
        let page = records::account::page(number);
        let Some(stored) = self.get(Kind::Accounts, &records::account::key(page))? else { return Ok(None) };
        let Some(mut account) = accounts::on_page(&stored, number)? else { return Ok(None) };
        account.totals = self.totals_at(number, &account, self.last_sequence())?.0;
        Ok(Some(account))
    }

    /// An account and the last record with a posting on it, if both are in memory and have changed no more than once since this view was opened: nothing is read then.
    pub fn account_in_memory(&self, number: AccountNumber) -> Option<(Account, JournalSequence)> {
        let slot = self.inner.accounts.as_of(number, self.last_sequence())?;
        (slot.posted != 0).then_some((slot.account, JournalSequence(slot.posted)))
    }

    /// The asset that an account holds, if it is known in memory.
    pub fn asset_in_memory(&self, number: AccountNumber) -> Option<Asset> {
        self.inner.directory.read().unwrap_or_else(PoisonError::into_inner).asset_of(number).copied()
    }

    /// All accounts, by number: the pages, brought up to date by the journal's last part.
    pub fn all_accounts(&self) -> BookResult<Vec<Account>> {
        let mut accounts = self.stored_accounts()?;
        for record in self.journal_range(self.inner.meta.replay_from + 1..=self.last_sequence().0)? {
            accounts::replay(&mut accounts, &record?)?;
        }
        Ok(accounts.into_iter().map(|(account, _)| account).collect())
    }

    /// The accounts as the pages have them, none with a record that posted on it.
    pub(super) fn stored_accounts(&self) -> BookResult<Vec<(Account, u64)>> {
        let mut accounts = Vec::new();
        for pair in self.scan(Kind::Accounts, &KeyRange::all(), Direction::Forward)? {
            let (key, stored) = pair?;
            let first = u64::from(records::account::page_of_key(&key)?) * u64::from(records::account::PAGE_ACCOUNTS);
            if first != accounts.len() as u64 {
                return Err(BookError::Malformed { what: "list of accounts: a page is missing" });
            }
            accounts.extend(records::account::decode(&stored)?.into_iter().map(|account| (account, 0)));
        }
        Ok(accounts)
    }

    /// All names and their numbers, by name.
    pub fn all_names(&self) -> BookResult<Vec<(AccountName, AccountNumber)>> {
        self.names_from("", "", usize::MAX)
    }

    /// Up to `limit` names at or below a prefix that come after a name, in their order.
    pub fn names_from(&self, prefix: &str, after: &str, limit: usize) -> BookResult<Vec<(AccountName, AccountNumber)>> {
        let trimmed = prefix.strip_suffix(':').unwrap_or(prefix);
        let mut first = if after.is_empty() { trimmed.as_bytes().to_vec() } else { after.as_bytes().to_vec() };
        if !after.is_empty() {
            first.push(0);
        }
        let range = match KeyRange::prefix(trimmed.as_bytes()).end() {
            Some(end) => KeyRange::between(first, end.to_vec()),
            None => KeyRange::from(first),
        };
        let mut names = Vec::new();
        for pair in self.scan(Kind::Names, &range, Direction::Forward)? {
            if names.len() >= limit {
                break;
            }
            let (key, value) = pair?;
            let name = records::name::name(&key)?;
            if name.is_under(prefix) {
                names.push((name, records::name::decode(&value)?));
            }
        }
        Ok(names)
    }

    /// What stands under a transaction's id: its state follows from the journal records that carry the id.
    pub fn transaction(&self, id: &TransactionId) -> BookResult<Option<TransactionRecord>> {
        self.transaction_by(id, JournalSequence(u64::MAX), |sequence| self.known_journal(sequence))
    }

    /// What stands under a transaction's id, with journal records up to `last`, which come from `read`. What was reversed is that of this view.
    pub(super) fn transaction_by(
        &self,
        id: &TransactionId,
        last: JournalSequence,
        read: impl Fn(JournalSequence) -> BookResult<JournalRecord>,
    ) -> BookResult<Option<TransactionRecord>> {
        let mut found: Option<TransactionRecord> = None;
        for pointer in self.ids(*id.as_bytes()) {
            let pointer = pointer?;
            if pointer & KEPT_BIT != 0 || pointer > last.0 {
                continue;
            }
            let record = read(JournalSequence(pointer))?;
            if record.event.transaction() == Some(*id) {
                take_over(&mut found, &record);
            }
        }
        if let Some(record) = &mut found
            && let Some(stored) = self.get(Kind::Reversed, records::reversed::key(id))?
        {
            record.reversed = records::reversed::decode(&stored)?;
        }
        Ok(found)
    }

    /// What stands under a request's id.
    pub fn request(&self, id: &RequestId) -> BookResult<Option<RequestRecord>> {
        self.request_by(id, |sequence| self.known_journal(sequence))
    }

    /// What stands under a request's id, with journal records from `read`.
    pub(super) fn request_by(
        &self,
        id: &RequestId,
        read: impl Fn(JournalSequence) -> BookResult<JournalRecord>,
    ) -> BookResult<Option<RequestRecord>> {
        #[cfg(feature = "seeded-bugs")]
        if ledger::seeded::forgets(id) {
            return Ok(None);
        }
        for pointer in self.ids(*id.as_bytes()) {
            let pointer = pointer?;
            if pointer & KEPT_BIT == 0 {
                let sequence = JournalSequence(pointer);
                let record = read(sequence)?;
                if record.request == Some(*id) {
                    return Ok(Some(RequestRecord { point: record.point, body: RequestBody::Booked(sequence) }));
                }
                continue;
            }
            let kept: KeptRecord = self
                .block_record(Kind::Kept, "kept answer", pointer & !KEPT_BIT)?
                .ok_or(BookError::Malformed { what: "kept answer: a number is missing" })?;
            if kept.request == *id {
                return Ok(Some(kept.record));
            }
        }
        Ok(None)
    }

    /// Whether nothing at all stands under an id, as far as memory can tell: `true` is certain.
    pub(super) fn is_free(&self, id: &[u8; 16]) -> bool {
        !self.inner.ids.may_contain(id)
    }

    /// Keeps of some ids those under which certainly nothing stands.
    pub(super) fn retain_free(&self, ids: &mut Vec<[u8; 16]>) {
        self.inner.ids.retain_absent(ids);
    }

    fn ids(&self, id: [u8; 16]) -> impl Iterator<Item = BookResult<u64>> + '_ {
        self.inner.ids.pointers(self.inner.view.as_ref(), id, 0..=u64::MAX)
    }

    fn block_record<T: serde::de::DeserializeOwned>(
        &self,
        kind: Kind,
        what: &'static str,
        number: u64,
    ) -> BookResult<Option<T>> {
        blocks::get(self.inner.view.as_ref(), self.inner.spaces.of(kind), what, number)
    }

    /// A journal record.
    pub fn journal(&self, sequence: JournalSequence) -> BookResult<Option<JournalRecord>> {
        self.block_record(Kind::Journal, records::journal::WHAT, sequence.0)
    }

    /// A journal record that must be there.
    pub fn known_journal(&self, sequence: JournalSequence) -> BookResult<JournalRecord> {
        self.journal(sequence)?.ok_or(BookError::Malformed { what: MISSING })
    }

    /// Reads single journal records, best in ascending order.
    pub fn journal_reader(&self) -> JournalReader<'_> {
        JournalReader { view: self, cursor: Cursor::default() }
    }

    /// Journal records of a range of sequences, in order.
    pub fn journal_range(
        &self,
        sequences: RangeInclusive<u64>,
    ) -> BookResult<impl Iterator<Item = BookResult<JournalRecord>> + '_> {
        let space = self.inner.spaces.of(Kind::Journal);
        blocks::range(self.inner.view.as_ref(), space, records::journal::WHAT, sequences)
    }

    /// Kept answers of a range of numbers, in order.
    pub(super) fn kept_range(
        &self,
        numbers: RangeInclusive<u64>,
    ) -> BookResult<impl Iterator<Item = BookResult<KeptRecord>> + '_> {
        blocks::range(self.inner.view.as_ref(), self.inner.spaces.of(Kind::Kept), "kept answer", numbers)
    }

    /// The sequences within a range that touched an account, in order.
    pub fn postings(
        &self,
        account: AccountNumber,
        sequences: RangeInclusive<u64>,
    ) -> impl Iterator<Item = BookResult<JournalSequence>> + '_ {
        let view = self.inner.view.as_ref();
        let pointers = self.inner.postings.pointers(view, account.0.to_be_bytes(), sequences);
        pointers.map(|pointer| pointer.map(JournalSequence))
    }

    /// The last sequence up to a sequence that touched an account.
    pub fn last_posting(&self, account: AccountNumber, up_to: JournalSequence) -> BookResult<Option<JournalSequence>> {
        let view = self.inner.view.as_ref();
        let newest = self.inner.postings.newest(view, account.0.to_be_bytes(), 0..=up_to.0)?;
        Ok(newest.map(JournalSequence))
    }

    /// All open reservations, oldest first, from a try's sequence on.
    pub fn holds_from(
        &self,
        first: JournalSequence,
    ) -> BookResult<impl Iterator<Item = BookResult<(JournalSequence, Hold)>> + '_> {
        let mut open = BTreeMap::new();
        for pair in self.scan(Kind::Holds, &KeyRange::all(), Direction::Forward)? {
            let record = records::hold::decode(&pair?.1)?;
            open.insert(record.sequence, records::hold::known(&record)?);
        }
        // What began or ended since is in the journal; what is stored and has ended is no longer stored.
        let mut begun: HashMap<TransactionId, JournalSequence> = HashMap::new();
        for record in self.journal_range(self.inner.meta.replay_from + 1..=self.last_sequence().0)? {
            let record = record?;
            if let Some(hold) = Hold::of(&record) {
                begun.insert(hold.transaction, record.sequence);
                open.insert(record.sequence, hold);
            } else if let Some(sequence) = Hold::ended_by(&record).and_then(|transaction| begun.remove(&transaction)) {
                open.remove(&sequence);
            }
        }
        Ok(open.into_iter().filter(move |(sequence, _)| *sequence >= first).map(Ok))
    }

    /// The records of the tries that are stored as holds.
    pub(super) fn stored_holds(&self) -> BookResult<impl Iterator<Item = BookResult<JournalRecord>> + '_> {
        let pairs = self.scan(Kind::Holds, &KeyRange::all(), Direction::Forward)?;
        Ok(pairs.map(|pair| records::hold::decode(&pair?.1)))
    }

    /// The sequences of the records that created transactions with a reference, in order, from a sequence on. Other references may be among them: compare the record's own.
    pub fn references(
        &self,
        reference: &str,
        first: JournalSequence,
    ) -> impl Iterator<Item = BookResult<JournalSequence>> + '_ {
        let (view, key) = (self.inner.view.as_ref(), index::reference_key(reference));
        let pointers = self.inner.references.pointers(view, key, first.0..=u64::MAX);
        pointers.map(|pointer| pointer.map(JournalSequence))
    }
}

/// Reads single journal records of a view; records that lie near each other are decoded once.
pub struct JournalReader<'v> {
    view: &'v BookView,
    cursor: Cursor<JournalRecord>,
}

impl JournalReader<'_> {
    /// A journal record that must be there.
    ///
    /// # Errors
    /// When the book cannot be read, or has no such record.
    pub fn known(&mut self, sequence: JournalSequence) -> BookResult<JournalRecord> {
        let Inner { view, spaces, .. } = self.view.inner.as_ref();
        let found = self.cursor.get(view.as_ref(), spaces.of(Kind::Journal), records::journal::WHAT, sequence.0)?;
        found.ok_or(BookError::Malformed { what: MISSING })
    }
}

/// What a journal record says of its transaction.
fn take_over(found: &mut Option<TransactionRecord>, record: &JournalRecord) {
    let sequence = Some(record.sequence);
    let created = |state, deadline| {
        Some(TransactionRecord { state, created: sequence, resolved: None, deadline, reversed: Vec::new() })
    };
    let mut resolve = |state| {
        if let Some(record) = found.as_mut() {
            record.state = state;
            record.resolved = sequence;
        }
    };
    match &record.event {
        Event::Posted { .. } | Event::Reversed { .. } => *found = created(TransactionState::Confirmed, None),
        Event::Tried { deadline, .. } => *found = created(TransactionState::Tried, *deadline),
        Event::Confirmed { .. } => resolve(TransactionState::Confirmed),
        Event::Cancelled { .. } => resolve(TransactionState::Cancelled),
        Event::Expired { .. } => resolve(TransactionState::Expired),
        Event::CancelledEmpty(_) => {
            #[cfg(feature = "seeded-bugs")]
            if ledger::seeded::is(ledger::seeded::CoreBug::LostTombstone) {
                return;
            }
            *found = Some(TransactionRecord {
                state: TransactionState::Cancelled,
                created: None,
                resolved: sequence,
                deadline: None,
                reversed: Vec::new(),
            });
        }
        Event::AssetRegistered { .. }
        | Event::AccountOpened(_)
        | Event::LimitsSet { .. }
        | Event::AccountFrozen(_)
        | Event::AccountUnfrozen(_)
        | Event::AccountClosed(_) => {}
    }
}
