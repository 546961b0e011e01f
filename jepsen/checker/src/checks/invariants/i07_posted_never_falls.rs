//! I7: an account's posted totals never fall from one log index to a later one.

use std::collections::HashMap;

use super::{Sight, sights};
use crate::checks::{Evidence, broken};
use crate::history::Side;
use crate::verdict::Finding;

pub(crate) const NAME: &str = "I7-posted-never-falls";

pub(crate) fn check(evidence: &Evidence<'_>) -> Finding {
    let mut last: HashMap<&str, Sight<'_>> = HashMap::new();
    for sight in sights(evidence) {
        if let Some(before) = last.get(sight.name) {
            let fell = |side| sight.view.totals.posted(side) < before.view.totals.posted(side);
            if fell(Side::Debit) || fell(Side::Credit) {
                let explanation = format!(
                    "{} held {:?} at index {} and {:?} at index {}",
                    sight.name, before.view.totals, before.place.index, sight.view.totals, sight.place.index
                );
                let operations = before.operation.into_iter().chain(sight.operation).collect();
                return broken(NAME, explanation, operations);
            }
        }
        last.insert(sight.name, sight);
    }
    Finding::Holds
}
