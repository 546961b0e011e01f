//! The trial balance: per asset the four totals over all accounts, or those below a prefix, now or at a point.

use std::collections::BTreeMap;

use ledger::journal::JournalSequence;
use ledger::trial_balance::Sums;
use ledger::{Asset, AssetNumber, Totals};

use super::balance::last_sequence;
use super::{AsOf, AuditError, AuditResult, Moment, effective};
use crate::book::view::BookView;

/// The sums of every asset.
#[derive(Debug, Clone)]
pub struct TrialBalance {
    /// Per asset, by number.
    pub lines: Vec<(Asset, Sums)>,
    /// The last record counted.
    pub sequence: JournalSequence,
}

impl TrialBalance {
    /// Whether debits equal credits in every asset.
    pub fn is_balanced(&self) -> bool {
        self.lines.iter().all(|(_, sums)| sums.is_balanced())
    }
}

/// The trial balance of all accounts at or below a prefix, at a point that lies before a moment or is that.
///
/// # Errors
/// [`AuditError`]; [`AuditError::Contradiction`] if the whole book does not balance (I1).
pub fn trial_balance(view: &BookView, prefix: &str, as_of: AsOf, moment: &Moment) -> AuditResult<TrialBalance> {
    let last = last_sequence(view, as_of, moment.sequence)?;
    let is_whole = prefix.is_empty();
    let assets = view.assets()?;
    let mut sums: BTreeMap<AssetNumber, Sums> = assets.iter().map(|asset| (asset.number, Sums::default())).collect();
    if is_whole && as_of == AsOf::Now && last == view.last_sequence() {
        for account in view.all_accounts()? {
            sums.entry(account.asset).or_default().add(&account);
        }
    } else {
        let effective = match as_of {
            AsOf::Effective(until) if is_whole => Some(effective::all_totals(view, until, last)?),
            AsOf::Now | AsOf::Effective(_) | AsOf::Time(_) | AsOf::Sequence(_) => None,
        };
        for (_, number) in view.names_from(prefix, "", usize::MAX)? {
            let Some(mut account) = view.account(number)? else { continue };
            if account.opened > last {
                continue;
            }
            account.totals = match (&effective, as_of) {
                (Some(totals), _) => totals.get(&number).copied().unwrap_or(Totals::zero(account.scale)),
                (None, AsOf::Effective(until)) => effective::totals(view, number, &account, until, last)?.0,
                (None, AsOf::Now | AsOf::Time(_) | AsOf::Sequence(_)) => view.totals_at(number, &account, last)?.0,
            };
            sums.entry(account.asset).or_default().add(&account);
        }
    }
    let lines: Vec<(Asset, Sums)> =
        assets.into_iter().filter_map(|asset| sums.remove(&asset.number).map(|sums| (asset, sums))).collect();
    let balance = TrialBalance { lines, sequence: last };
    // By effective date a transaction's two sides share the date, so the whole still balances.
    if is_whole && !balance.is_balanced() {
        return Err(AuditError::Contradiction("debits and credits differ over all accounts (I1)".to_owned()));
    }
    Ok(balance)
}
