//! I8: no total, nor the sum of what is posted and pending on one side, leaves 96 bits; and what is derived is derived rightly.

use super::sights;
use crate::checks::{Evidence, broken};
use crate::history::Side;
use crate::model::amount::MAX_UNITS;
use crate::verdict::Finding;

pub(crate) const NAME: &str = "I8-range";

fn signed(units: u128) -> i128 {
    i128::try_from(units).unwrap_or(i128::MAX)
}

pub(crate) fn check(evidence: &Evidence<'_>) -> Finding {
    for sight in sights(evidence) {
        let totals = sight.view.totals;
        let side_sum = |side| totals.posted(side).saturating_add(totals.pending(side));
        if side_sum(Side::Debit) > MAX_UNITS || side_sum(Side::Credit) > MAX_UNITS {
            let explanation = format!("at index {} {} holds {totals:?}", sight.place.index, sight.name);
            return broken(NAME, explanation, sight.operations());
        }
        let Some(facts) = evidence.facts.accounts.get(sight.name) else {
            continue;
        };
        let normal = facts.class.normal_side();
        let posted = signed(totals.posted(normal)) - signed(totals.posted(normal.other()));
        let available = posted - signed(totals.pending(normal.other()));
        if (sight.view.posted, sight.view.available) != (posted, available) {
            let explanation = format!(
                "at index {} {} says {} posted and {} available, its totals give {posted} and {available}",
                sight.place.index, sight.name, sight.view.posted, sight.view.available
            );
            return broken(NAME, explanation, sight.operations());
        }
    }
    Finding::Holds
}
