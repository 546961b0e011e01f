//! One consistent moment of the book, for readers. Its index is read from the same view as everything else.

use std::ops::RangeInclusive;
use std::sync::{Arc, PoisonError, RwLock};

use ledger::journal::JournalSequence;
use ledger::{
    Account, AccountName, AccountNumber, Asset, JournalRecord, LogTime, RequestId, RequestRecord, TransactionId,
    TransactionRecord,
};

use super::directory::Directory;
use super::records::{self, Kind, Spaces, hold::Hold, meta::Meta};
use super::{BookError, BookResult};
use crate::store::{Direction, Engine, KeyRange, StoreError, StoredBytes, View};

/// One consistent moment of the book.
pub struct BookView {
    view: Arc<dyn View>,
    spaces: Spaces,
    meta: Meta,
    directory: Arc<RwLock<Directory>>,
}

/// How often opening a view is tried again while a snapshot is being switched to.
const MAX_OPEN_ATTEMPTS: usize = 8;

impl BookView {
    pub(super) fn open(engine: &dyn Engine, directory: Arc<RwLock<Directory>>) -> BookResult<BookView> {
        for _ in 0..MAX_OPEN_ATTEMPTS {
            let view = engine.view()?;
            let Some(meta_space) = engine.space(&Kind::Meta.id(0)) else { break };
            let meta = match view.get(meta_space, records::meta::KEY)? {
                Some(bytes) => records::meta::decode(&bytes)?,
                None => Meta::default(),
            };
            // Between the view and this line an installed snapshot may have dropped the view's generation.
            if let Some(spaces) = Spaces::existing(engine, meta.generation) {
                return Ok(BookView { view, spaces, meta, directory });
            }
        }
        Err(BookError::Store(StoreError::UnknownSpace { space: "the book's present generation".to_owned() }))
    }

    /// Where the book stands in this view.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The index of the last log entry that this view reflects.
    pub fn index(&self) -> u64 {
        self.meta.index
    }

    /// The log's time in this view.
    pub fn time(&self) -> LogTime {
        self.meta.head.time
    }

    /// The last journal sequence in this view.
    pub fn last_sequence(&self) -> JournalSequence {
        self.meta.head.sequence
    }

    fn get(&self, kind: Kind, key: &[u8]) -> BookResult<Option<StoredBytes>> {
        Ok(self.view.get(self.spaces.of(kind), key)?)
    }

    pub(super) fn scan<'s>(
        &'s self,
        kind: Kind,
        range: &KeyRange,
        direction: Direction,
    ) -> BookResult<impl Iterator<Item = BookResult<(StoredBytes, StoredBytes)>> + use<'s>> {
        let pairs = self.view.scan(self.spaces.of(kind), range, direction)?;
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

    /// The number of an account's name.
    pub fn account_number(&self, name: &AccountName) -> BookResult<Option<AccountNumber>> {
        self.get(Kind::Names, records::name::key(name))?.map(|bytes| records::name::decode(&bytes)).transpose()
    }

    /// The name of an account that this view holds.
    pub fn account_name(&self, number: AccountNumber) -> BookResult<AccountName> {
        let directory = self.directory.read().unwrap_or_else(PoisonError::into_inner);
        directory.name(number).cloned().ok_or(BookError::Malformed { what: "account number" })
    }

    /// An account.
    pub fn account(&self, number: AccountNumber) -> BookResult<Option<Account>> {
        self.get(Kind::Accounts, &records::account::key(number))?
            .map(|bytes| records::account::decode(&bytes))
            .transpose()
    }

    /// All accounts, by number.
    pub fn all_accounts(&self) -> BookResult<Vec<Account>> {
        self.scan(Kind::Accounts, &KeyRange::all(), Direction::Forward)?
            .map(|pair| records::account::decode(&pair?.1))
            .collect()
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

    /// What stands under a transaction's id.
    pub fn transaction(&self, id: &TransactionId) -> BookResult<Option<TransactionRecord>> {
        self.get(Kind::Transactions, records::transaction::key(id))?
            .map(|bytes| records::transaction::decode(&bytes))
            .transpose()
    }

    /// What stands under a request's id.
    pub fn request(&self, id: &RequestId) -> BookResult<Option<RequestRecord>> {
        self.get(Kind::Requests, records::request::key(id))?.map(|bytes| records::request::decode(&bytes)).transpose()
    }

    /// A journal record.
    pub fn journal(&self, sequence: JournalSequence) -> BookResult<Option<JournalRecord>> {
        self.get(Kind::Journal, &records::journal::key(sequence))?
            .map(|bytes| records::journal::decode(&bytes))
            .transpose()
    }

    /// A journal record that must be there.
    pub fn known_journal(&self, sequence: JournalSequence) -> BookResult<JournalRecord> {
        self.journal(sequence)?.ok_or(BookError::Malformed { what: "journal: a sequence is missing" })
    }

    /// Journal records of a range of sequences, in order.
    pub fn journal_range(
        &self,
        sequences: RangeInclusive<u64>,
    ) -> BookResult<impl Iterator<Item = BookResult<JournalRecord>> + '_> {
        let first = records::journal::key(JournalSequence(*sequences.start()));
        let range = match sequences.end().checked_add(1) {
            Some(end) => KeyRange::between(first, records::journal::key(JournalSequence(end))),
            None => KeyRange::from(first),
        };
        let pairs = self.scan(Kind::Journal, &range, Direction::Forward)?;
        Ok(pairs.map(|pair| records::journal::decode(&pair?.1)))
    }

    /// The sequences within a range that touched an account, in a direction.
    pub fn postings(
        &self,
        account: AccountNumber,
        sequences: RangeInclusive<u64>,
        direction: Direction,
    ) -> BookResult<impl Iterator<Item = BookResult<JournalSequence>> + '_> {
        let first = records::posting::key(account, JournalSequence(*sequences.start()));
        let range = match sequences.end().checked_add(1) {
            Some(end) => KeyRange::between(first, records::posting::key(account, JournalSequence(end))),
            None => {
                let rest = KeyRange::prefix(account.0.to_be_bytes());
                match rest.end() {
                    Some(end) => KeyRange::between(first, end.to_vec()),
                    None => KeyRange::from(first),
                }
            }
        };
        let pairs = self.scan(Kind::Postings, &range, direction)?;
        Ok(pairs.map(|pair| records::sequence_at_end("posting key", &pair?.0).map(JournalSequence)))
    }

    /// All open reservations, oldest first, from a try's sequence on.
    pub fn holds_from(
        &self,
        first: JournalSequence,
    ) -> BookResult<impl Iterator<Item = BookResult<(JournalSequence, Hold)>> + '_> {
        let pairs = self.scan(Kind::Holds, &KeyRange::from(records::hold::key(first)), Direction::Forward)?;
        Ok(pairs.map(|pair| {
            let (key, value) = pair?;
            Ok((JournalSequence(records::sequence_at_end("hold key", &key)?), records::hold::decode(&value)?))
        }))
    }

    /// All open reservations, oldest first.
    pub fn holds(&self) -> BookResult<Vec<(JournalSequence, Hold)>> {
        self.holds_from(JournalSequence(0))?.collect()
    }

    /// The sequences of the records that created transactions with a reference, in order, from a sequence on.
    pub fn references(
        &self,
        reference: &str,
        first: JournalSequence,
    ) -> BookResult<impl Iterator<Item = BookResult<JournalSequence>> + '_> {
        let all = KeyRange::prefix(records::reference::prefix(reference));
        let from = records::reference::key(reference, first);
        let range = match all.end() {
            Some(end) => KeyRange::between(from, end.to_vec()),
            None => KeyRange::from(from),
        };
        let pairs = self.scan(Kind::References, &range, Direction::Forward)?;
        Ok(pairs.map(|pair| records::sequence_at_end("reference key", &pair?.0).map(JournalSequence)))
    }

    /// The last sequence whose time of record is at or before `time`; 0 if none is. Times increase with sequences, so this halves.
    pub fn sequence_at(&self, time: LogTime) -> BookResult<JournalSequence> {
        let (mut low, mut high) = (0, self.last_sequence().0);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if self.known_journal(JournalSequence(middle))?.point.time <= time {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        Ok(JournalSequence(low))
    }
}
