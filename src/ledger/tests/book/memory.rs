//! A book in memory: [`Records`] answered from plain maps, and changed only by [`Changes`].
//!
//! It does nothing clever, so that what the tests see is the core's doing. Reads can be told to fail.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use ledger::journal::JournalSequence;
use ledger::{
    Account, AccountName, AccountNumber, Asset, AssetCode, AssetNumber, Changes, Head, JournalRecord, LogTime, Records,
    RequestId, RequestRecord, TransactionId, TransactionRecord, TransactionState,
};

/// The failure of a read that was told to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable(pub &'static str);

#[derive(Debug, Clone, Default, PartialEq)]
pub struct MemoryRecords {
    pub head: Head,
    pub assets: BTreeMap<AssetNumber, Asset>,
    pub names: BTreeMap<AccountName, AccountNumber>,
    pub accounts: BTreeMap<AccountNumber, Account>,
    pub transactions: BTreeMap<TransactionId, TransactionRecord>,
    pub requests: BTreeMap<RequestId, RequestRecord>,
    pub journal: BTreeMap<JournalSequence, JournalRecord>,
    pub holds: BTreeSet<(LogTime, TransactionId)>,
    /// The read that fails, by its method's name.
    pub failing: Option<&'static str>,
}

impl MemoryRecords {
    fn read<T>(&self, method: &'static str, value: T) -> Result<T, Unreadable> {
        if self.failing == Some(method) { Err(Unreadable(method)) } else { Ok(value) }
    }

    /// Writes what one step of `apply` returned.
    pub fn write(&mut self, changes: Changes) {
        self.head = changes.head;
        for record in changes.journal {
            assert!(self.journal.insert(record.sequence, record).is_none(), "a journal record is written twice");
        }
        for asset in changes.assets {
            assert!(self.assets.insert(asset.number, asset).is_none(), "an asset is written twice");
        }
        for (name, number) in changes.names {
            assert!(self.names.insert(name, number).is_none(), "a name is given twice");
        }
        self.accounts.extend(changes.accounts);
        for (id, record) in changes.transactions {
            if let Some(deadline) = record.deadline {
                match record.state {
                    TransactionState::Tried => self.holds.insert((deadline, id)),
                    TransactionState::Confirmed | TransactionState::Cancelled | TransactionState::Expired => {
                        self.holds.remove(&(deadline, id))
                    }
                };
            }
            self.transactions.insert(id, record);
        }
        for (id, record) in changes.requests {
            assert!(self.requests.insert(id, record).is_none(), "request {id} is remembered twice");
        }
    }

    pub fn account_is_empty(&self, name: &str) -> bool {
        let number = self.names[&AccountName::new(name).unwrap()];
        self.accounts[&number].is_empty()
    }
}

impl Records for MemoryRecords {
    type Error = Unreadable;

    fn head(&self) -> Head {
        self.head
    }

    fn asset_by_code(&self, code: &AssetCode) -> Result<Option<Asset>, Unreadable> {
        self.read("asset_by_code", self.assets.values().find(|asset| asset.code == *code).copied())
    }

    fn asset(&self, number: AssetNumber) -> Result<Option<Asset>, Unreadable> {
        self.read("asset", self.assets.get(&number).copied())
    }

    fn account_number(&self, name: &AccountName) -> Result<Option<AccountNumber>, Unreadable> {
        self.read("account_number", self.names.get(name).copied())
    }

    fn account_name(&self, number: AccountNumber) -> Result<Option<AccountName>, Unreadable> {
        let name = self.names.iter().find(|(_, given)| **given == number).map(|(name, _)| name.clone());
        self.read("account_name", name)
    }

    fn account(&self, number: AccountNumber) -> Result<Option<Account>, Unreadable> {
        self.read("account", self.accounts.get(&number).copied())
    }

    fn transaction(&self, id: &TransactionId) -> Result<Option<TransactionRecord>, Unreadable> {
        self.read("transaction", self.transactions.get(id).cloned())
    }

    fn request(&self, id: &RequestId) -> Result<Option<RequestRecord>, Unreadable> {
        self.read("request", self.requests.get(id).cloned())
    }

    fn journal(&self, sequence: JournalSequence) -> Result<Option<JournalRecord>, Unreadable> {
        self.read("journal", self.journal.get(&sequence).cloned())
    }

    fn hold_after(
        &self,
        cursor: Option<(LogTime, TransactionId)>,
    ) -> Result<Option<(LogTime, TransactionId)>, Unreadable> {
        let hold = match cursor {
            Some(cursor) => self.holds.range((Excluded(cursor), Unbounded)).next(),
            None => self.holds.first(),
        };
        self.read("hold_after", hold.copied())
    }
}
