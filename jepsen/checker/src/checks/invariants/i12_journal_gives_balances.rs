//! I12: the journal, replayed from nothing, gives every total that its records left and every balance of the book.

use std::collections::{BTreeMap, HashMap};

use crate::checks::{Evidence, broken};
use crate::history::{Id, JournalEvent, JournalPosting, JournalRecord, ReplicaDump, Side, Totals};
use crate::verdict::Finding;

pub(crate) const NAME: &str = "I12-journal-gives-balances";

pub(crate) fn check(evidence: &Evidence<'_>) -> Finding {
    for dump in evidence.history.dumps.iter().filter(|dump| !dump.journal.is_empty()) {
        if let Err(problem) = Fold::of(dump) {
            return broken(NAME, format!("replica {} at index {}: {problem}", dump.replica, dump.index), Vec::new());
        }
    }
    Finding::Holds
}

#[derive(Default)]
struct Fold<'history> {
    totals: BTreeMap<&'history str, Totals>,
    open: HashMap<Id, &'history [JournalPosting]>,
}

impl<'history> Fold<'history> {
    fn of(dump: &'history ReplicaDump) -> Result<(), String> {
        let mut fold = Fold::default();
        for record in &dump.journal {
            fold.add(record).map_err(|problem| format!("journal record {}: {problem}", record.sequence))?;
        }
        for (name, view) in &dump.accounts {
            let folded = fold.totals.get(name.as_str()).copied().unwrap_or_default();
            if folded != view.totals {
                return Err(format!("the book holds {:?} of {name}, its journal gives {folded:?}", view.totals));
            }
        }
        Ok(())
    }

    fn add(&mut self, record: &'history JournalRecord) -> Result<(), String> {
        match record.event {
            JournalEvent::Posted | JournalEvent::Reversed => self.book(&record.postings),
            JournalEvent::Tried => {
                for posting in &record.postings {
                    *self.account(&posting.account).pending_mut(posting.side) += posting.amount;
                }
                self.open.extend(record.transaction.map(|id| (id, record.postings.as_slice())));
            }
            JournalEvent::Confirmed => {
                self.release(record)?;
                self.book(&record.postings);
            }
            JournalEvent::Cancelled | JournalEvent::Expired => self.release(record)?,
            JournalEvent::AssetRegistered
            | JournalEvent::AccountOpened
            | JournalEvent::LimitsSet
            | JournalEvent::AccountFrozen
            | JournalEvent::AccountUnfrozen
            | JournalEvent::AccountClosed
            | JournalEvent::CancelledEmpty => {}
        }
        // An account may stand in several postings of one record: the last tells what the record left.
        let last: BTreeMap<&str, Totals> =
            record.postings.iter().map(|posting| (posting.account.as_str(), posting.totals)).collect();
        for (account, told) in last {
            let folded = *self.account(account);
            if folded != told {
                return Err(format!(
                    "it says that it left {told:?} on {account}, the records up to it give {folded:?}"
                ));
            }
        }
        Ok(())
    }

    fn account(&mut self, name: &'history str) -> &mut Totals {
        self.totals.entry(name).or_default()
    }

    fn book(&mut self, postings: &'history [JournalPosting]) {
        for posting in postings {
            *self.account(&posting.account).posted_mut(posting.side) += posting.amount;
        }
    }

    fn release(&mut self, record: &JournalRecord) -> Result<(), String> {
        let reserved = record.transaction.and_then(|id| self.open.remove(&id));
        let reserved = reserved.ok_or("it settles what was not reserved")?;
        for posting in reserved {
            let side: Side = posting.side;
            let pending = self.account(&posting.account).pending_mut(side);
            *pending = pending.checked_sub(posting.amount).ok_or("it releases more than is pending")?;
        }
        Ok(())
    }
}
