//! The directory: names of accounts and assets to numbers and back. Accounts and assets are never deleted or renamed, so what it says stays
//! true; it may only lack the newest.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};
use ledger::{AccountName, AccountNumber, AccountRef, Asset, AssetCode, AssetNumber, Command, Operation};

/// Names and numbers. Bounded by the number of accounts.
#[derive(Debug, Default)]
pub struct Directory {
    /// Numbers by their names' hashes; the names themselves lie in `accounts` alone.
    numbers: HashTable<AccountNumber>,
    hasher: DefaultHashBuilder,
    accounts: Vec<(AccountName, AssetNumber)>,
    assets: Vec<Asset>,
}

fn slot(number: u32) -> usize {
    // A u32 always fits a usize on the platforms that a server runs on.
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Directory {
    /// Adds the account of the next number.
    pub(crate) fn add_account(&mut self, name: AccountName, number: AccountNumber, asset: AssetNumber) -> bool {
        if slot(number.0) != self.accounts.len() {
            return false;
        }
        self.accounts.push((name, asset));
        let Directory { numbers, hasher, accounts, .. } = self;
        let hash =
            |number: &AccountNumber| accounts.get(slot(number.0)).map_or(0, |(name, _)| hasher.hash_one(name.as_str()));
        numbers.insert_unique(hash(&number), number, hash);
        true
    }

    /// Adds an asset.
    pub(crate) fn add_asset(&mut self, asset: Asset) {
        self.assets.push(asset);
    }

    /// The number of a name.
    pub fn number(&self, name: &AccountName) -> Option<AccountNumber> {
        self.number_of(name.as_str())
    }

    /// The number of a name as it is written; `None` where there is no such account, whether or not it is well formed.
    pub fn number_of(&self, name: &str) -> Option<AccountNumber> {
        let is_same =
            |number: &AccountNumber| self.accounts.get(slot(number.0)).is_some_and(|(known, _)| known.as_str() == name);
        self.numbers.find(self.hasher.hash_one(name), is_same).copied()
    }

    /// The name of a number.
    pub fn name(&self, number: AccountNumber) -> Option<&AccountName> {
        self.accounts.get(slot(number.0)).map(|(name, _)| name)
    }

    /// The asset that an account holds.
    pub fn asset_of(&self, number: AccountNumber) -> Option<&Asset> {
        self.accounts.get(slot(number.0)).and_then(|(_, asset)| self.asset(*asset))
    }

    /// The asset of a number.
    pub fn asset(&self, number: AssetNumber) -> Option<&Asset> {
        self.assets.get(slot(number.0))
    }

    /// The asset of a code.
    pub fn asset_by_code(&self, code: &AssetCode) -> Option<&Asset> {
        self.assets.iter().find(|asset| asset.code == *code)
    }

    /// All assets, by number.
    pub fn assets(&self) -> &[Asset] {
        &self.assets
    }

    /// Replaces names by numbers where they are known, so that entries are smaller and replicas hash fewer names.
    pub fn resolve(&self, command: &mut Command) {
        match &mut command.operation {
            Operation::SetLimits(limits) => self.resolve_account(&mut limits.account),
            Operation::Freeze(account) | Operation::Unfreeze(account) | Operation::Close(account) => {
                self.resolve_account(account);
            }
            Operation::Post(post) => {
                post.postings.iter_mut().for_each(|posting| self.resolve_account(&mut posting.account));
            }
            Operation::Try(attempt) => {
                attempt.postings.iter_mut().for_each(|posting| self.resolve_account(&mut posting.account));
            }
            Operation::Atomic(items) => items.iter_mut().for_each(|item| self.resolve(item)),
            Operation::RegisterAsset(_)
            | Operation::OpenAccount(_)
            | Operation::Confirm(_)
            | Operation::Cancel(_)
            | Operation::Reverse(_) => {}
        }
    }

    fn resolve_account(&self, account: &mut AccountRef) {
        if let AccountRef::Name(name) = account
            && let Some(number) = self.number(name)
        {
            *account = AccountRef::Number(number);
        }
    }
}
