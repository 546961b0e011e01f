//! What the applier keeps in memory: every account's totals and every open reservation, written through. Bounded by accounts and open holds, never by
//! history.

use std::collections::{BTreeSet, HashMap};
use std::sync::RwLockReadGuard;

use ledger::journal::JournalSequence;
use ledger::{
    Account, AccountName, AccountNumber, Asset, AssetCode, AssetNumber, Changes, Head, JournalRecord, LogTime, Records,
    RequestId, RequestRecord, TransactionId, TransactionRecord, TransactionState,
};

use super::directory::Directory;
use super::view::BookView;
use super::{BookError, BookResult};

#[derive(Debug, Default)]
pub(super) struct Cache {
    accounts: Vec<Account>,
    /// Reservations with a deadline, in the order in which they expire.
    deadlines: BTreeSet<(LogTime, TransactionId)>,
    /// Open reservations and the records of their tries.
    open: HashMap<TransactionId, TransactionRecord>,
    tries: HashMap<JournalSequence, JournalRecord>,
}

/// Fills a cache and a directory from a view.
pub(super) fn load(view: &BookView) -> BookResult<(Cache, Directory)> {
    let mut cache = Cache::default();
    let mut directory = Directory::default();
    for asset in view.assets()? {
        directory.add_asset(asset);
    }
    cache.accounts = view.all_accounts()?;
    let mut names = view.all_names()?;
    names.sort_unstable_by_key(|(_, number)| *number);
    if names.len() != cache.accounts.len() {
        return Err(BookError::Malformed { what: "list of accounts: names and accounts differ in number" });
    }
    for ((name, number), account) in names.into_iter().zip(&cache.accounts) {
        if !directory.add_account(name, number, account.asset) {
            return Err(BookError::Malformed { what: "list of accounts: the numbers have a gap" });
        }
    }
    for (sequence, hold) in view.holds()? {
        let record = view.transaction(&hold.transaction)?.ok_or(BookError::Malformed { what: "hold" })?;
        let attempt = view.journal(sequence)?.ok_or(BookError::Malformed { what: "hold" })?;
        if let Some(deadline) = hold.deadline {
            cache.deadlines.insert((deadline, hold.transaction));
        }
        cache.open.insert(hold.transaction, record);
        cache.tries.insert(sequence, attempt);
    }
    Ok((cache, directory))
}

impl Cache {
    pub(super) fn earliest_deadline(&self) -> Option<LogTime> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Takes over what was written.
    pub(super) fn absorb(&mut self, changes: Changes) {
        for (number, account) in changes.accounts {
            match usize::try_from(number.0).ok().and_then(|slot| self.accounts.get_mut(slot)) {
                Some(known) => *known = account,
                // New accounts come in the order of their numbers.
                None => self.accounts.push(account),
            }
        }
        let mut begun = Vec::new();
        for (id, record) in changes.transactions {
            match record.state {
                TransactionState::Tried => {
                    if let Some(deadline) = record.deadline {
                        self.deadlines.insert((deadline, id));
                    }
                    begun.extend(record.created);
                    self.open.insert(id, record);
                }
                TransactionState::Confirmed | TransactionState::Cancelled | TransactionState::Expired => {
                    if let Some(deadline) = record.deadline {
                        self.deadlines.remove(&(deadline, id));
                    }
                    self.open.remove(&id);
                    if let Some(created) = record.created {
                        self.tries.remove(&created);
                    }
                }
            }
        }
        if begun.is_empty() {
            return;
        }
        begun.sort_unstable();
        for record in changes.journal {
            if begun.binary_search(&record.sequence).is_ok() {
                self.tries.insert(record.sequence, record);
            }
        }
    }
}

/// The records as the core reads them: hot ones from the cache, history from the engine.
pub(super) struct CachedRecords<'a> {
    pub(super) cache: &'a Cache,
    pub(super) head: Head,
    pub(super) directory: RwLockReadGuard<'a, Directory>,
    pub(super) view: &'a BookView,
}

impl Records for CachedRecords<'_> {
    type Error = BookError;

    fn head(&self) -> Head {
        self.head
    }

    fn asset_by_code(&self, code: &AssetCode) -> BookResult<Option<Asset>> {
        Ok(self.directory.asset_by_code(code).copied())
    }

    fn asset(&self, number: AssetNumber) -> BookResult<Option<Asset>> {
        Ok(self.directory.asset(number).copied())
    }

    fn account_number(&self, name: &AccountName) -> BookResult<Option<AccountNumber>> {
        Ok(self.directory.number(name))
    }

    fn account_name(&self, number: AccountNumber) -> BookResult<Option<AccountName>> {
        Ok(self.directory.name(number).cloned())
    }

    fn account(&self, number: AccountNumber) -> BookResult<Option<Account>> {
        Ok(usize::try_from(number.0).ok().and_then(|slot| self.cache.accounts.get(slot)).copied())
    }

    fn transaction(&self, id: &TransactionId) -> BookResult<Option<TransactionRecord>> {
        match self.cache.open.get(id) {
            Some(record) => Ok(Some(record.clone())),
            None => self.view.transaction(id),
        }
    }

    fn request(&self, id: &RequestId) -> BookResult<Option<RequestRecord>> {
        self.view.request(id)
    }

    fn journal(&self, sequence: JournalSequence) -> BookResult<Option<JournalRecord>> {
        match self.cache.tries.get(&sequence) {
            Some(record) => Ok(Some(record.clone())),
            None => self.view.journal(sequence),
        }
    }

    fn hold_after(&self, cursor: Option<(LogTime, TransactionId)>) -> BookResult<Option<(LogTime, TransactionId)>> {
        use std::ops::Bound::{Excluded, Unbounded};
        Ok(match cursor {
            Some(cursor) => self.cache.deadlines.range((Excluded(cursor), Unbounded)).next().copied(),
            None => self.cache.deadlines.first().copied(),
        })
    }
}
