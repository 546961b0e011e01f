//! The overlay of one entry: what its commands have changed so far, over what the book holds.
//!
//! An atomic batch works on an overlay of its own over the entry's, which is merged when all items are done and dropped
//! when one is refused: there is nothing to undo.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use crate::account::{Account, AccountNumber};
use crate::asset::{Asset, AssetNumber};
use crate::command::AccountRef;
use crate::id::{RequestId, TransactionId};
use crate::journal::{Event, JournalRecord, JournalSequence};
use crate::name::{AccountName, AssetCode};
use crate::ops::lines::Lines;
use crate::outcome::{Point, Rejection};
use crate::records::{Changes, Head, Records, RequestRecord, Stop};
use crate::table::Place;
use crate::time::LogTime;
use crate::transaction::{TransactionRecord, TransactionState};

/// Why an operation ends early: it is refused, or the node must stop.
#[derive(Debug)]
pub(crate) enum Halt<E> {
    Rejected(Rejection),
    Stop(Stop<E>),
}

impl<E> From<Rejection> for Halt<E> {
    fn from(rejection: Rejection) -> Halt<E> {
        Halt::Rejected(rejection)
    }
}

impl<E> From<Stop<E>> for Halt<E> {
    fn from(stop: Stop<E>) -> Halt<E> {
        Halt::Stop(stop)
    }
}

/// The result of a step of an operation.
pub(crate) type Step<T, E> = Result<T, Halt<E>>;

/// A broken invariant.
pub(crate) fn broken<E>(invariant: &'static str, detail: String) -> Stop<E> {
    Stop::Broken { invariant, detail }
}

/// A journal record that must be there and is not.
pub(crate) fn missing<E>(sequence: JournalSequence) -> Stop<E> {
    broken("I9", format!("journal record {} is missing", sequence.0))
}

fn unknown_account<E>(number: AccountNumber) -> Stop<E> {
    broken("I11", format!("account number {} is not on the book", number.0))
}

/// Who asks, and where in the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'c> {
    pub(crate) point: Point,
    pub(crate) request: Option<RequestId>,
    pub(crate) principal: &'c str,
}

pub(crate) struct Working<'a, E> {
    base: &'a dyn Records<Error = E>,
    base_head: Head,
    changes: Changes,
    new_names: BTreeMap<AccountName, AccountNumber>,
    /// Holds that began here, in the order of their coming: seldom is it asked which expires first, and only then are they put in order.
    holds_fresh: RefCell<Vec<(LogTime, TransactionId)>>,
    /// Those in order. Ones that ended since go when they are met.
    holds_begun: RefCell<BTreeSet<(LogTime, TransactionId)>>,
    /// All of the base's holds up to here have ended, so that asking for the first hold does not walk over them each time.
    ended_up_to: Cell<Option<(LogTime, TransactionId)>>,
    /// No hold expires before this, so that not every command has to ask for the first one.
    no_hold_before: Cell<LogTime>,
    /// The asset that was last asked for: it never changes, and mostly the next is the same.
    last_asset: Cell<Option<Asset>>,
    /// What an operation works in, kept for the next one.
    pub(crate) lines: Lines,
}

impl<'a, E: core::fmt::Debug> Working<'a, E> {
    /// An overlay with room for the changes of so many commands.
    pub(crate) fn with_capacity(base: &'a dyn Records<Error = E>, commands: usize) -> Working<'a, E> {
        Working::within(Changes::default(), base, commands)
    }

    /// The same in the room of other changes, which are dropped.
    pub(crate) fn within(mut room: Changes, base: &'a dyn Records<Error = E>, commands: usize) -> Working<'a, E> {
        room.clear();
        room.reserve(commands);
        let head = base.head();
        Working {
            base,
            base_head: head,
            changes: Changes { head, ..room },
            new_names: BTreeMap::new(),
            holds_fresh: RefCell::default(),
            holds_begun: RefCell::default(),
            ended_up_to: Cell::new(None),
            no_hold_before: Cell::new(LogTime(0)),
            last_asset: Cell::new(None),
            lines: Lines::default(),
        }
    }

    pub(crate) fn into_changes(self) -> Changes {
        self.changes
    }

    /// Takes over what an inner overlay changed.
    pub(crate) fn merge(&mut self, changes: Changes) {
        for (id, record) in changes.transactions {
            self.put_transaction(id, record);
        }
        for (name, number) in changes.names {
            self.new_names.insert(name.clone(), number);
            self.changes.names.push((name, number));
        }
        self.changes.head = changes.head;
        self.changes.journal.extend(changes.journal);
        self.changes.assets.extend(changes.assets);
        self.changes.accounts.extend(changes.accounts);
        self.changes.requests.extend(changes.requests);
    }

    /// The time of what comes next. Time has an end, in the year 2554: a node whose clock ran there stops, because times
    /// must differ (I9).
    pub(crate) fn next_time(&self, stamp: LogTime) -> Result<LogTime, Stop<E>> {
        let last = self.changes.head.time;
        let next = last.next(stamp);
        if next > last {
            return Ok(next);
        }
        Err(broken("I9", format!("the log's time has reached its end at {} ns; check the leaders' clocks", last.0)))
    }

    /// Carries the log's time forward.
    pub(crate) fn set_time(&mut self, time: LogTime) {
        self.changes.head.time = time;
    }

    /// Adds a journal record and returns its sequence.
    pub(crate) fn record(&mut self, context: &Context<'_>, event: Event) -> JournalSequence {
        let sequence = self.changes.head.sequence.next();
        self.changes.head.sequence = sequence;
        self.changes.journal.push(JournalRecord {
            sequence,
            point: context.point,
            request: context.request,
            principal: context.principal.into(),
            event,
        });
        sequence
    }

    pub(crate) fn put_asset(&mut self, asset: Asset) {
        self.changes.head.assets += 1;
        self.changes.assets.push(asset);
    }

    pub(crate) fn open_account(&mut self, name: AccountName, number: AccountNumber, account: Account) {
        self.changes.head.accounts += 1;
        self.new_names.insert(name.clone(), number);
        self.changes.names.push((name, number));
        self.changes.accounts.insert(number, account);
    }

    pub(crate) fn put_account(&mut self, number: AccountNumber, account: Account) {
        self.changes.accounts.insert(number, account);
    }

    pub(crate) fn put_transaction(&mut self, id: TransactionId, record: TransactionRecord) {
        if let Some(deadline) = record.deadline {
            match record.state {
                TransactionState::Tried => {
                    self.holds_fresh.get_mut().push((deadline, id));
                    self.no_hold_before.set(self.no_hold_before.get().min(deadline));
                }
                // That it is over is seen in its record.
                TransactionState::Confirmed | TransactionState::Cancelled | TransactionState::Expired => {}
            }
        }
        self.changes.transactions.insert(id, record);
    }

    pub(crate) fn put_request(&mut self, id: RequestId, record: RequestRecord) {
        self.changes.requests.insert(id, record);
    }

    /// The number of an account that a command names.
    pub(crate) fn resolve(&self, account: &AccountRef) -> Step<AccountNumber, E> {
        match account {
            AccountRef::Number(number) => Ok(*number),
            AccountRef::Name(name) => match self.account_number(name).map_err(Stop::Records)? {
                Some(number) => Ok(number),
                None => Err(Rejection::AccountNotFound(name.clone()).into()),
            },
        }
    }

    /// The first hold that is due at a time.
    pub(crate) fn hold_due(&self, due: LogTime) -> Result<Option<(LogTime, TransactionId)>, Stop<E>> {
        if due < self.no_hold_before.get() {
            return Ok(None);
        }
        let first = self.hold_after(None).map_err(Stop::Records)?;
        self.no_hold_before.set(first.map_or(LogTime(u64::MAX), |(deadline, _)| deadline));
        Ok(first.filter(|(deadline, _)| *deadline <= due))
    }

    /// An account, and where the overlay keeps it if it changed already.
    pub(crate) fn find_account(&self, number: AccountNumber) -> Result<(Option<Place>, Account), Stop<E>> {
        let place = self.changes.accounts.place(&number);
        match place.and_then(|place| self.changes.accounts.at(place)) {
            Some(account) => Ok((place, *account)),
            None => {
                let known = self.base.account(number).map_err(Stop::Records)?;
                known.map(|account| (None, account)).ok_or_else(|| unknown_account(number))
            }
        }
    }

    /// Changes an account that [`find_account`](Self::find_account) found at a place.
    pub(crate) fn put_account_at(&mut self, place: Option<Place>, number: AccountNumber, account: Account) {
        match place.and_then(|place| self.changes.accounts.at_mut(place)) {
            Some(known) => *known = account,
            None => self.put_account(number, account),
        }
    }

    /// An account that changed.
    pub(crate) fn changed_account(&self, number: AccountNumber) -> Result<&Account, Stop<E>> {
        self.changes.accounts.get(&number).ok_or_else(|| unknown_account(number))
    }

    pub(crate) fn known_account(&self, number: AccountNumber) -> Result<Account, Stop<E>> {
        self.account(number).map_err(Stop::Records)?.ok_or_else(|| unknown_account(number))
    }

    pub(crate) fn known_name(&self, number: AccountNumber) -> Result<AccountName, Stop<E>> {
        self.account_name(number)
            .map_err(Stop::Records)?
            .ok_or_else(|| broken("I11", format!("account number {} has no name", number.0)))
    }

    pub(crate) fn known_asset(&self, number: AssetNumber) -> Result<Asset, Stop<E>> {
        if let Some(asset) = self.last_asset.get().filter(|asset| asset.number == number) {
            return Ok(asset);
        }
        let known = self.asset(number).map_err(Stop::Records)?;
        self.last_asset.set(known);
        known.ok_or_else(|| broken("I11", format!("asset number {} is not on the book", number.0)))
    }

    pub(crate) fn known_record(&self, sequence: JournalSequence) -> Result<JournalRecord, Stop<E>> {
        self.journal(sequence).map_err(Stop::Records)?.ok_or_else(|| missing(sequence))
    }
}

impl<E: core::fmt::Debug> Records for Working<'_, E> {
    type Error = E;

    fn head(&self) -> Head {
        self.changes.head
    }

    fn asset_by_code(&self, code: &AssetCode) -> Result<Option<Asset>, E> {
        match self.changes.assets.iter().find(|asset| asset.code == *code) {
            Some(asset) => Ok(Some(*asset)),
            None => self.base.asset_by_code(code),
        }
    }

    fn asset(&self, number: AssetNumber) -> Result<Option<Asset>, E> {
        match self.changes.assets.iter().find(|asset| asset.number == number) {
            Some(asset) => Ok(Some(*asset)),
            None => self.base.asset(number),
        }
    }

    fn account_number(&self, name: &AccountName) -> Result<Option<AccountNumber>, E> {
        match self.new_names.get(name) {
            Some(number) => Ok(Some(*number)),
            None => self.base.account_number(name),
        }
    }

    fn account_name(&self, number: AccountNumber) -> Result<Option<AccountName>, E> {
        match number.0.checked_sub(self.base_head.accounts).and_then(|offset| usize::try_from(offset).ok()) {
            Some(offset) => Ok(self.changes.names.get(offset).map(|(name, _)| name.clone())),
            None => self.base.account_name(number),
        }
    }

    fn account(&self, number: AccountNumber) -> Result<Option<Account>, E> {
        match self.changes.accounts.get(&number) {
            Some(account) => Ok(Some(*account)),
            None => self.base.account(number),
        }
    }

    fn transaction(&self, id: &TransactionId) -> Result<Option<TransactionRecord>, E> {
        match self.changes.transactions.get(id) {
            Some(record) => Ok(Some(record.clone())),
            None => self.base.transaction(id),
        }
    }

    fn request(&self, id: &RequestId) -> Result<Option<RequestRecord>, E> {
        match self.changes.requests.get(id) {
            Some(record) => Ok(Some(record.clone())),
            None => self.base.request(id),
        }
    }

    fn journal(&self, sequence: JournalSequence) -> Result<Option<JournalRecord>, E> {
        match sequence.0.checked_sub(self.base_head.sequence.0 + 1).and_then(|offset| usize::try_from(offset).ok()) {
            Some(offset) => Ok(self.changes.journal.get(offset).cloned()),
            None => self.base.journal(sequence),
        }
    }

    fn show_journal(&self, sequence: JournalSequence, show: &mut dyn FnMut(&JournalRecord)) -> Result<bool, E> {
        match sequence.0.checked_sub(self.base_head.sequence.0 + 1).and_then(|offset| usize::try_from(offset).ok()) {
            Some(offset) => {
                let record = self.changes.journal.get(offset);
                record.into_iter().for_each(show);
                Ok(record.is_some())
            }
            None => self.base.show_journal(sequence, show),
        }
    }

    fn hold_after(&self, cursor: Option<(LogTime, TransactionId)>) -> Result<Option<(LogTime, TransactionId)>, E> {
        let begun = self.begun_after(cursor);
        // Every hold up to the later of the two has ended or is not asked for.
        let mut base_cursor = cursor.max(self.ended_up_to.get());
        let held = loop {
            match self.base.hold_after(base_cursor)? {
                Some(hold) if self.has_ended(&hold.1) => base_cursor = Some(hold),
                other => break other,
            }
        };
        if cursor.is_none() {
            self.ended_up_to.set(base_cursor);
        }
        Ok(match (begun, held) {
            (Some(begun), Some(held)) => Some(begun.min(held)),
            (begun, held) => begun.or(held),
        })
    }
}

impl<E> Working<'_, E> {
    /// Whether a hold ended here.
    fn has_ended(&self, id: &TransactionId) -> bool {
        self.changes.transactions.get(id).is_some_and(|record| match record.state {
            TransactionState::Tried => false,
            TransactionState::Confirmed | TransactionState::Cancelled | TransactionState::Expired => true,
        })
    }

    /// The first hold after a cursor that began here and is open.
    fn begun_after(&self, cursor: Option<(LogTime, TransactionId)>) -> Option<(LogTime, TransactionId)> {
        use core::ops::Bound::{Excluded, Unbounded};
        let mut begun = self.holds_begun.borrow_mut();
        begun.extend(self.holds_fresh.borrow_mut().drain(..));
        loop {
            let first = match cursor {
                Some(cursor) => begun.range((Excluded(cursor), Unbounded)).next().copied(),
                None => begun.first().copied(),
            };
            match first {
                Some(hold) if self.has_ended(&hold.1) => begun.remove(&hold),
                other => return other,
            };
        }
    }
}
