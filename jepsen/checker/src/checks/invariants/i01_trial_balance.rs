//! I1: per asset, debits equal credits over all accounts, posted and pending, in every trial balance and every dump.

use std::collections::BTreeMap;

use crate::checks::{Evidence, broken};
use crate::history::{Completion, ReadValue};
use crate::verdict::Finding;

pub(crate) const NAME: &str = "I1-trial-balance";

pub(crate) fn check(evidence: &Evidence<'_>) -> Finding {
    for (number, operation) in evidence.history.operations.iter().enumerate() {
        let Completion::Read(answer) = &operation.completion else {
            continue;
        };
        let ReadValue::TrialBalance(lines) = &answer.value else {
            continue;
        };
        for line in lines {
            let totals = line.totals;
            if totals.debits_posted != totals.credits_posted || totals.debits_pending != totals.credits_pending {
                let explanation = format!("at index {} {} does not balance: {totals:?}", answer.index, line.asset);
                return broken(NAME, explanation, vec![number]);
            }
        }
    }
    for dump in &evidence.history.dumps {
        // Differences between two sums of many 96-bit totals, kept apart as sums.
        let mut sums: BTreeMap<&str, [u128; 4]> = BTreeMap::new();
        for view in dump.accounts.values() {
            let totals = view.totals;
            let sum = sums.entry(&view.asset).or_default();
            let parts = [totals.debits_posted, totals.credits_posted, totals.debits_pending, totals.credits_pending];
            for (sum, part) in sum.iter_mut().zip(parts) {
                *sum = sum.saturating_add(part);
            }
        }
        if let Some((asset, sums)) = sums.iter().find(|(_, sums)| sums[0] != sums[1] || sums[2] != sums[3]) {
            let explanation = format!(
                "replica {} at index {}: {asset} does not balance (debits and credits posted, then pending): {sums:?}",
                dump.replica, dump.index
            );
            return broken(NAME, explanation, Vec::new());
        }
    }
    Finding::Holds
}
