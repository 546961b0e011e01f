//! The trial balance: per asset, the four totals summed over all accounts (I1).

use alloc::collections::BTreeMap;

use crate::account::Account;
use crate::asset::AssetNumber;

/// The sums of one asset in minor units. A sum over many accounts may need more than 96 bits, so these are plain 128-bit integers:
/// with at most 2^32 accounts of 96 bits each they cannot overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// Pending debits.
    pub debits_pending: u128,
    /// Posted debits.
    pub debits_posted: u128,
    /// Pending credits.
    pub credits_pending: u128,
    /// Posted credits.
    pub credits_posted: u128,
    /// How many accounts were summed.
    pub accounts: u64,
}

impl Sums {
    /// Whether debits equal credits, posted and pending.
    pub fn is_balanced(&self) -> bool {
        self.debits_posted == self.credits_posted && self.debits_pending == self.credits_pending
    }

    /// Adds one account.
    pub fn add(&mut self, account: &Account) {
        self.debits_pending += account.totals.debits_pending.mantissa();
        self.debits_posted += account.totals.debits_posted.mantissa();
        self.credits_pending += account.totals.credits_pending.mantissa();
        self.credits_posted += account.totals.credits_posted.mantissa();
        self.accounts += 1;
    }
}

/// Sums accounts per asset.
pub fn trial_balance<'a>(accounts: impl Iterator<Item = &'a Account>) -> BTreeMap<AssetNumber, Sums> {
    let mut sums: BTreeMap<AssetNumber, Sums> = BTreeMap::new();
    for account in accounts {
        sums.entry(account.asset).or_default().add(account);
    }
    sums
}
