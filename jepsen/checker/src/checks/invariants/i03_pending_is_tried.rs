//! I3: an account's pending totals equal the sum of its open reservations, as the journal of the same replica tells them.

use std::collections::BTreeMap;

use crate::checks::{Evidence, broken};
use crate::history::{Id, JournalEvent, JournalPosting, ReplicaDump, Side};
use crate::verdict::Finding;

pub(crate) const NAME: &str = "I3-pending-is-tried";

pub(crate) fn check(evidence: &Evidence<'_>) -> Finding {
    for dump in evidence.history.dumps.iter().filter(|dump| !dump.journal.is_empty()) {
        if let Some(problem) = differing(dump) {
            return broken(NAME, format!("replica {} at index {}: {problem}", dump.replica, dump.index), Vec::new());
        }
    }
    Finding::Holds
}

fn differing(dump: &ReplicaDump) -> Option<String> {
    let mut open: BTreeMap<Id, &[JournalPosting]> = BTreeMap::new();
    for record in &dump.journal {
        let Some(transaction) = record.transaction else {
            continue;
        };
        match record.event {
            JournalEvent::Tried => {
                open.insert(transaction, &record.postings);
            }
            JournalEvent::Confirmed | JournalEvent::Cancelled | JournalEvent::Expired => {
                open.remove(&transaction);
            }
            JournalEvent::AssetRegistered
            | JournalEvent::AccountOpened
            | JournalEvent::LimitsSet
            | JournalEvent::AccountFrozen
            | JournalEvent::AccountUnfrozen
            | JournalEvent::AccountClosed
            | JournalEvent::Posted
            | JournalEvent::CancelledEmpty
            | JournalEvent::Reversed => {}
        }
    }
    let mut pending: BTreeMap<(&str, Side), u128> = BTreeMap::new();
    for posting in open.values().flat_map(|postings| postings.iter()) {
        *pending.entry((&posting.account, posting.side)).or_default() += posting.amount;
    }
    for (name, view) in &dump.accounts {
        for side in [Side::Debit, Side::Credit] {
            let tried = pending.get(&(name.as_str(), side)).copied().unwrap_or_default();
            if view.totals.pending(side) != tried {
                let shown = view.totals.pending(side);
                return Some(format!("{name} has {shown} pending ({side:?}), its open reservations sum to {tried}"));
            }
        }
    }
    None
}
