//! All accounts in memory, and the writing of them in pages.
//!
//! The applier changes them here, before the view that shows it is published; readers copy single accounts as they are or as they were before the last entry that changed any. On disk an account's totals may be older than the book: pages are written in turn, some
//! with every entry, and what the journal says since brings them up to date at the next open. The totals that a journal record left are in the record, so the replay decides nothing.
//! Whatever else changes on an account is written at once.

use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ledger::journal::JournalSequence;
use ledger::table::Table;
use ledger::{Account, AccountNumber, JournalRecord};

use super::records::account::{PAGE_ACCOUNTS, page, place};
use super::records::{self, Kind, Spaces};
use super::{BookError, BookResult};
use crate::store::Batch;

/// With many pages, one comes up in so many records.
const RECORDS_PER_PAGE: u64 = 16;

/// An account and when it changed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) account: Account,
    /// No record after this one touched it.
    pub(super) touched: u64,
    /// The last record with a posting on it; 0 if none was seen, by this process, since the pages that were loaded.
    pub(super) posted: u64,
}

/// The most changes of limits and states that are kept, some two MiB.
const MAX_CHANGES: usize = 16_384;

/// What accounts were before their limits or states changed: totals have a history in the journal,
/// these have none that can be looked up by account.
#[derive(Debug, Default)]
struct Changed {
    /// All changes that came after this record are here.
    since: u64,
    /// The last record of the entry that changed an account, and what it was before. Oldest first.
    changes: VecDeque<(u64, AccountNumber, Account)>,
}

/// The accounts by number.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    slots: RwLock<Vec<Slot>>,
    changed: RwLock<Changed>,
    /// What the last change of any replaced: what is being applied is in `slots` already, while readers still see what was before.
    before: RwLock<Table<AccountNumber, Slot>>,
}

fn slot(number: AccountNumber) -> usize {
    usize::try_from(number.0).unwrap_or(usize::MAX)
}

impl Accounts {
    /// Accounts as they were loaded when the journal ended with `last`, each with the last record that is known to have a posting on it.
    pub(super) fn loaded(accounts: Vec<(Account, u64)>, last: JournalSequence) -> Accounts {
        let slots = accounts.into_iter().map(|(account, posted)| Slot { account, touched: last.0, posted }).collect();
        let changed = RwLock::new(Changed { since: last.0, changes: VecDeque::new() });
        Accounts { slots: RwLock::new(slots), changed, before: RwLock::default() }
    }

    /// What an account was, but for its totals, before the first change after a record that is remembered; none if there was none. Changes up to the returned record may
    /// be forgotten.
    pub(super) fn before(&self, number: AccountNumber, as_of: JournalSequence) -> (Option<Account>, JournalSequence) {
        let changed = self.changed.read().unwrap_or_else(PoisonError::into_inner);
        let after = changed.changes.partition_point(|(sequence, ..)| *sequence <= as_of.0);
        let first = changed.changes.range(after..).find(|(_, changed, _)| *changed == number);
        (first.map(|(_, _, account)| *account), JournalSequence(changed.since))
    }

    fn remember(&self, last: JournalSequence, replaced: impl Iterator<Item = (AccountNumber, Account)>) {
        let mut changed = self.changed.write().unwrap_or_else(PoisonError::into_inner);
        for (number, account) in replaced {
            if changed.changes.len() == MAX_CHANGES
                && let Some((sequence, ..)) = changed.changes.pop_front()
            {
                changed.since = sequence;
            }
            changed.changes.push_back((last.0, number, account));
        }
    }

    /// All of them, unchanging as long as the guard is held.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Vec<Slot>> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Slot>> {
        self.slots.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// An account as a view shows it that ends with `last`, if it has changed only once since.
    pub(super) fn as_of(&self, number: AccountNumber, last: JournalSequence) -> Option<Slot> {
        let is_shown = |slot: &&Slot| slot.touched <= last.0;
        if let Some(slot) = self.read().get(slot(number)).filter(is_shown) {
            return Some(*slot);
        }
        // It was touched after `last`. Should it change once more before this is read, then what is found was touched after `last` too.
        let before = self.before.read().unwrap_or_else(PoisonError::into_inner);
        before.get(&number).filter(is_shown).copied()
    }
}

/// An account of a list by number.
pub(super) fn find(slots: &[Slot], number: AccountNumber) -> Option<Account> {
    find_ref(slots, number).copied()
}

/// An account of a list by number, where it lies.
pub(super) fn find_ref(slots: &[Slot], number: AccountNumber) -> Option<&Account> {
    slots.get(slot(number)).map(|slot| &slot.account)
}

/// Brings accounts up to date with a record that came after them.
pub(super) fn replay(accounts: &mut [(Account, u64)], record: &JournalRecord) -> BookResult<()> {
    for posting in record.event.postings() {
        let account = accounts.get_mut(slot(posting.account));
        let (account, posted) =
            account.ok_or(BookError::Malformed { what: "journal record: it names an unknown account" })?;
        account.totals = posting.totals;
        *posted = record.sequence.0;
    }
    Ok(())
}

/// Which pages differ from those on disk, and which come up next.
#[derive(Debug)]
pub(super) struct Pages {
    /// The fewest records in which all pages come up once.
    least_cycle: u64,
    dirty: Vec<bool>,
    next: u32,
    /// Room for what the next changes replace.
    replaced: Table<AccountNumber, Slot>,
    /// Records that were applied, times pages: what is left of it is owed.
    owed: u64,
    /// All pages that came up since this sequence are not older than it.
    cycle_began: u64,
    /// All pages on disk are not older than this sequence.
    pub(super) replay_from: u64,
}

impl Pages {
    /// Pages of a book that stands at `last` and was brought up to date from `replay_from` on: any of them may be older than what is in memory. All of them come up once in `least_cycle` records,
    /// or more where there are many.
    pub(super) fn new(accounts: usize, least_cycle: u64, replay_from: u64, last: JournalSequence) -> Pages {
        let pages = accounts.div_ceil(usize::try_from(PAGE_ACCOUNTS).unwrap_or(usize::MAX));
        let (dirty, replaced) = (vec![true; pages], Table::default());
        Pages { least_cycle, dirty, next: 0, replaced, owed: 0, cycle_began: last.0, replay_from }
    }

    /// Holds that began at or before this sequence are stored while the cycle lasts.
    pub(super) fn cycle_began(&self) -> JournalSequence {
        JournalSequence(self.cycle_began)
    }

    /// Takes changed accounts over into memory, with the records that posted on them, and returns those of which more than totals changed, in order.
    ///
    /// Readers are kept out no longer than it takes to put the new state into its places, which are in the processor's cache by then.
    pub(super) fn absorb<'c>(
        &mut self,
        accounts: &Accounts,
        changes: impl ExactSizeIterator<Item = (AccountNumber, &'c Account)> + Clone,
        journal: &[JournalRecord],
        last: JournalSequence,
    ) -> BookResult<Vec<AccountNumber>> {
        let at_once = self.replace(&accounts.read(), changes.clone())?;
        if !at_once.is_empty() {
            let replaced = |number: &AccountNumber| Some((*number, self.replaced.get(number)?.account));
            accounts.remember(last, at_once.iter().filter_map(replaced));
        }
        // First, for readers look here for whatever they find changed.
        std::mem::swap(&mut self.replaced, &mut accounts.before.write().unwrap_or_else(PoisonError::into_inner));
        let mut slots = accounts.write();
        for (number, account) in changes {
            match slots.get_mut(slot(number)) {
                Some(known) => (known.account, known.touched) = (*account, last.0),
                None => slots.push(Slot { account: *account, touched: last.0, posted: 0 }),
            }
        }
        for record in journal {
            for posting in record.event.postings() {
                if let Some(known) = slots.get_mut(slot(posting.account)) {
                    known.posted = record.sequence.0;
                }
            }
        }
        Ok(at_once)
    }

    /// Notes what changes replace, and their pages. Returns the accounts of which more than totals changes, in order.
    fn replace<'c>(
        &mut self,
        slots: &[Slot],
        changes: impl ExactSizeIterator<Item = (AccountNumber, &'c Account)>,
    ) -> BookResult<Vec<AccountNumber>> {
        let mut at_once = Vec::new();
        self.replaced.clear();
        self.replaced.reserve(changes.len());
        let mut known_accounts = slots.len();
        for (number, account) in changes {
            let page = page(number);
            let dirty = usize::try_from(page).unwrap_or(usize::MAX);
            if dirty >= self.dirty.len() {
                self.dirty.resize(dirty + 1, true);
            }
            self.dirty[dirty] = true;
            match slots.get(slot(number)) {
                Some(known) => {
                    self.replaced.insert(number, *known);
                    if (Account { totals: account.totals, ..known.account }) != *account {
                        at_once.push(number);
                    }
                }
                None if slot(number) == known_accounts => {
                    known_accounts += 1;
                    at_once.push(number);
                }
                None => return Err(BookError::Malformed { what: "new account: its number leaves a gap" }),
            }
        }
        at_once.sort_unstable();
        at_once.dedup();
        Ok(at_once)
    }

    /// Writes pages: those of the given accounts, and those that come up with so many more records.
    pub(super) fn write(
        &mut self,
        batch: &mut Batch,
        spaces: &Spaces,
        slots: &[Slot],
        at_once: &[AccountNumber],
        records: usize,
    ) {
        for number in at_once {
            self.write_page(batch, spaces, slots, page(*number));
        }
        let pages = u32::try_from(self.dirty.len()).unwrap_or(u32::MAX);
        let cycle = (u64::from(pages) * RECORDS_PER_PAGE).max(self.least_cycle);
        self.owed += records as u64 * u64::from(pages);
        while self.owed >= cycle && self.next < pages {
            self.owed -= cycle;
            self.write_page(batch, spaces, slots, self.next);
            self.next += 1;
        }
    }

    fn write_page(&mut self, batch: &mut Batch, spaces: &Spaces, slots: &[Slot], page: u32) {
        let Some(dirty) = usize::try_from(page).ok().and_then(|page| self.dirty.get_mut(page)) else { return };
        if !std::mem::take(dirty) {
            return;
        }
        let first = slot(AccountNumber(page * PAGE_ACCOUNTS));
        let own = slots.iter().skip(first).take(usize::try_from(PAGE_ACCOUNTS).unwrap_or(usize::MAX));
        batch.put_with(spaces.of(Kind::Accounts), &records::account::key(page), |buffer| {
            records::account::encode(own.map(|slot| &slot.account), buffer);
        });
    }

    /// Whether all pages came up: the holds of the cycle must be stored then, before [`end_cycle`](Self::end_cycle).
    pub(super) fn is_cycle_over(&self) -> bool {
        !self.dirty.is_empty() && usize::try_from(self.next).is_ok_and(|next| next >= self.dirty.len())
    }

    /// Ends the cycle at `last`, which the accounts in memory reflect.
    pub(super) fn end_cycle(&mut self, last: JournalSequence) {
        self.replay_from = self.cycle_began;
        self.cycle_began = last.0;
        self.next = 0;
    }
}

/// The account of a stored page.
pub(super) fn on_page(stored: &[u8], number: AccountNumber) -> BookResult<Option<Account>> {
    Ok(records::account::decode(stored)?.get(place(number)).copied())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ledger::account::{AccountStatus, Class, Floor};
    use ledger::{AssetNumber, Scale, Totals};

    use super::*;

    fn account(status: AccountStatus) -> Account {
        let scale = Scale::new(2).unwrap();
        Account {
            asset: AssetNumber(0),
            scale,
            class: Class::Liability,
            status,
            floor: Floor::Unlimited,
            ceiling: None,
            totals: Totals::zero(scale),
            opened: JournalSequence(1),
        }
    }

    /// Whoever asks for a point before the oldest change that is remembered must be told so.
    #[test]
    fn changes_are_forgotten_oldest_first_and_that_is_told() {
        let accounts = Accounts::loaded(vec![(account(AccountStatus::Open), 0)], JournalSequence(10));
        let change = |sequence| {
            let replaced = (AccountNumber(0), account(AccountStatus::Frozen));
            accounts.remember(JournalSequence(sequence), std::iter::once(replaced));
        };
        let most = u64::try_from(MAX_CHANGES).unwrap();
        (11..=10 + most).for_each(change);
        let known_since = || accounts.before(AccountNumber(0), JournalSequence(0)).1.0;
        assert_eq!(known_since(), 10, "all of them are remembered");
        change(11 + most);
        assert_eq!(known_since(), 11);
        change(12 + most);
        assert_eq!(known_since(), 12);
    }
}
