//! I2: every accepted transaction balances per asset, and every amount is positive and fits its asset's scale.

use std::collections::BTreeMap;

use crate::checks::{Evidence, broken};
use crate::history::{Command, Posting, Side};
use crate::verdict::Finding;

pub(crate) const NAME: &str = "I2-transactions-balance";

pub(crate) fn check(evidence: &Evidence<'_>) -> Finding {
    for booked in &evidence.facts.booked {
        let postings = match &booked.write.command {
            Command::Post { postings, .. } | Command::Try { postings, .. } => postings,
            Command::Confirm { transaction, amounts: Some(amounts) } => {
                let made = evidence.facts.makers.get(transaction).map(|maker| &maker.command);
                let Some(Command::Try { postings, .. }) = made else {
                    continue;
                };
                if let Some(problem) = unbalanced(evidence, postings.iter().zip(amounts), true) {
                    return broken(
                        NAME,
                        format!("operation {} was accepted: {problem}", booked.operation),
                        vec![booked.operation],
                    );
                }
                continue;
            }
            _ => continue,
        };
        let pairs = postings.iter().map(|posting| (posting, &posting.amount));
        if let Some(problem) = unbalanced(evidence, pairs, false) {
            return broken(
                NAME,
                format!("operation {} was accepted: {problem}", booked.operation),
                vec![booked.operation],
            );
        }
    }
    Finding::Holds
}

fn unbalanced<'history>(
    evidence: &Evidence<'_>,
    postings: impl Iterator<Item = (&'history Posting, &'history String)>,
    zero_allowed: bool,
) -> Option<String> {
    let mut sums: BTreeMap<&str, (u128, u128)> = BTreeMap::new();
    for (posting, amount) in postings {
        let asset = evidence.facts.accounts.get(posting.account.as_str())?.asset;
        evidence.facts.scales.get(asset)?;
        let Some(units) = evidence.facts.units_on(&posting.account, amount) else {
            return Some(format!("{amount} does not fit {asset}"));
        };
        if units == 0 && !zero_allowed {
            return Some(format!("{} has the amount zero", posting.account));
        }
        let sum = sums.entry(asset).or_default();
        match posting.side {
            Side::Debit => sum.0 += units,
            Side::Credit => sum.1 += units,
        }
    }
    let (asset, (debits, credits)) = sums.into_iter().find(|(_, (debits, credits))| debits != credits)?;
    Some(format!("in {asset}, debits are {debits} and credits {credits} minor units"))
}
