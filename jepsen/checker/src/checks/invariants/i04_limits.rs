//! I4: no account was ever seen with less available than its floor, or with more posted and incoming than its ceiling.

use super::sights;
use crate::checks::{Evidence, broken};
use crate::history::{AccountView, Place};
use crate::verdict::Finding;

pub(crate) const NAME: &str = "I4-limits";

/// The limit that stands at a place.
fn standing<T: Copy>(changes: &[(Place, Option<T>)], place: Place) -> Option<T> {
    changes.iter().take_while(|(from, _)| *from <= place).last().and_then(|(_, limit)| *limit)
}

pub(crate) fn check(evidence: &Evidence<'_>) -> Finding {
    if !evidence.timeline.unresolved.is_empty() {
        // A change of limits that nobody heard of may explain what was seen; coverage says that these are unresolved.
        return Finding::Holds;
    }
    for sight in sights(evidence) {
        let Some(facts) = evidence.facts.accounts.get(sight.name) else {
            continue;
        };
        let AccountView { totals, posted, available, .. } = sight.view;
        if let Some(floor) = standing(&facts.floors, sight.place).filter(|floor| available < floor) {
            let explanation = format!(
                "at index {} {} has {available} available, below its floor {floor}",
                sight.place.index, sight.name
            );
            return broken(NAME, explanation, sight.operations());
        }
        let incoming = i128::try_from(totals.pending(facts.class.normal_side())).unwrap_or(i128::MAX);
        let reach = posted.saturating_add(incoming);
        let above = |ceiling: &u128| i128::try_from(*ceiling).is_ok_and(|ceiling| reach > ceiling);
        if let Some(ceiling) = standing(&facts.ceilings, sight.place).filter(above) {
            let explanation =
                format!("at index {} {} reaches {reach}, above its ceiling {ceiling}", sight.place.index, sight.name);
            return broken(NAME, explanation, sight.operations());
        }
    }
    Finding::Holds
}
