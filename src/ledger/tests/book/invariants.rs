//! The numbered invariants, each as a check over the whole book, by arithmetic of its own.
//!
//! [`Fold`] reads the journal and nothing else: what it arrives at must be what the book holds (I12).

use std::collections::BTreeMap;

use ledger::account::Totals;
use ledger::command::CeilingChange;
use ledger::journal::{Event, JournalPosting, JournalSequence};
use ledger::limits::MAX_MANTISSA;
use ledger::trial_balance::trial_balance;
use ledger::{
    Account, AccountNumber, AccountStatus, Amount, AssetNumber, Floor, JournalRecord, LogTime, Side, TransactionId,
    TransactionState,
};

use crate::memory::MemoryRecords;

/// A transaction as the journal tells it.
#[derive(Debug, Clone)]
struct Told {
    state: TransactionState,
    reserved: Vec<JournalPosting>,
    confirmed: Vec<JournalPosting>,
    reversed: Vec<u128>,
    reversal: bool,
}

/// The book that follows from the journal alone.
#[derive(Debug, Clone, Default)]
pub struct Fold {
    last: JournalSequence,
    time: LogTime,
    assets: BTreeMap<AssetNumber, (ledger::AssetCode, ledger::Scale)>,
    accounts: BTreeMap<AccountNumber, Account>,
    transactions: BTreeMap<TransactionId, Told>,
}

fn plus(amount: Amount, more: u128) -> Amount {
    let scale = ledger::Scale::new(amount.scale_digits()).unwrap();
    Amount::from_minor(amount.mantissa() + more, scale).expect("I8: a total leaves 96 bits")
}

fn minus(amount: Amount, less: u128) -> Amount {
    let scale = ledger::Scale::new(amount.scale_digits()).unwrap();
    Amount::from_minor(amount.mantissa().checked_sub(less).expect("I3: pending below zero"), scale).unwrap()
}

fn total(totals: &mut Totals, side: Side, posted: bool) -> &mut Amount {
    match (side, posted) {
        (Side::Debit, true) => &mut totals.debits_posted,
        (Side::Debit, false) => &mut totals.debits_pending,
        (Side::Credit, true) => &mut totals.credits_posted,
        (Side::Credit, false) => &mut totals.credits_pending,
    }
}

impl Fold {
    /// Reads the records that were not read yet.
    pub fn advance(&mut self, book: &MemoryRecords) {
        let from = JournalSequence(self.last.0 + 1);
        for record in book.journal.range(from..).map(|(_, record)| record) {
            assert_eq!(record.sequence.0, self.last.0 + 1, "I9: the journal's sequence has a gap");
            assert!(record.point.time > self.time, "I9: time stands still at record {}", record.sequence.0);
            self.last = record.sequence;
            self.time = record.point.time;
            self.take(record);
        }
        assert_eq!(self.last, book.head.sequence, "I9: the head names another last record");
        assert!(book.head.time >= self.time, "I9: a record is later than the head");
    }

    fn take(&mut self, record: &JournalRecord) {
        self.check_amounts(&record.event);
        match &record.event {
            Event::AssetRegistered { asset, code, scale } => {
                self.assets.insert(*asset, (*code, *scale));
            }
            Event::AccountOpened(opened) => {
                let (number, (_, scale)) = self.assets.iter().find(|(_, (code, _))| *code == opened.asset).unwrap();
                let account = Account {
                    asset: *number,
                    scale: *scale,
                    class: opened.class,
                    status: AccountStatus::Open,
                    floor: opened.floor,
                    ceiling: opened.ceiling,
                    totals: Totals::zero(*scale),
                    opened: record.sequence,
                };
                assert!(self.accounts.insert(opened.account, account).is_none());
            }
            Event::LimitsSet { account, floor, ceiling } => {
                let account = self.accounts.get_mut(account).unwrap();
                account.floor = floor.unwrap_or(account.floor);
                match ceiling {
                    CeilingChange::Keep => {}
                    CeilingChange::Remove => account.ceiling = None,
                    CeilingChange::Set(ceiling) => account.ceiling = Some(*ceiling),
                }
            }
            Event::AccountFrozen(account) => self.accounts.get_mut(account).unwrap().status = AccountStatus::Frozen,
            Event::AccountUnfrozen(account) => self.accounts.get_mut(account).unwrap().status = AccountStatus::Open,
            Event::AccountClosed(account) => self.accounts.get_mut(account).unwrap().status = AccountStatus::Closed,
            Event::CancelledEmpty(transaction) => {
                self.create(*transaction, TransactionState::Cancelled, &[], &[], false);
            }
            Event::Posted { transaction, postings, .. } => {
                postings.iter().for_each(|posting| self.move_money(posting, 0, posting.amount.mantissa()));
                self.create(*transaction, TransactionState::Confirmed, &[], postings, false);
            }
            Event::Tried { transaction, postings, .. } => {
                postings.iter().for_each(|posting| self.reserve(posting));
                self.create(*transaction, TransactionState::Tried, postings, &[], false);
            }
            Event::Confirmed { transaction, postings, .. } => {
                self.resolve(*transaction, TransactionState::Confirmed, postings);
            }
            Event::Cancelled { transaction, postings } => {
                self.resolve(*transaction, TransactionState::Cancelled, postings);
            }
            Event::Expired { transaction, postings, deadline } => {
                assert!(record.point.time >= *deadline, "a hold expired before its deadline");
                assert_eq!(record.request, None);
                self.resolve(*transaction, TransactionState::Expired, postings);
            }
            Event::Reversed { transaction, original, postings, .. } => self.reverse(*transaction, *original, postings),
        }
    }

    /// I2: balanced per asset, positive where zero has no meaning, at the asset's scale.
    fn check_amounts(&self, event: &Event) {
        let zero_allowed = matches!(event, Event::Confirmed { .. } | Event::Reversed { .. });
        let mut sums: BTreeMap<AssetNumber, i128> = BTreeMap::new();
        for posting in event.postings() {
            let account = &self.accounts[&posting.account];
            assert_eq!(posting.amount.scale_digits(), account.scale.digits(), "I2: an amount has another scale");
            assert!(zero_allowed || !posting.amount.is_zero(), "I2: an amount is zero");
            let minor = i128::try_from(posting.amount.mantissa()).unwrap();
            *sums.entry(account.asset).or_default() += if posting.side == Side::Debit { minor } else { -minor };
        }
        assert!(sums.values().all(|sum| *sum == 0), "I2: {event:?} is not balanced");
    }

    fn create(
        &mut self,
        id: TransactionId,
        state: TransactionState,
        reserved: &[JournalPosting],
        confirmed: &[JournalPosting],
        reversal: bool,
    ) {
        let told = Told {
            state,
            reserved: reserved.to_vec(),
            confirmed: confirmed.to_vec(),
            reversed: vec![0; reserved.len().max(confirmed.len())],
            reversal,
        };
        assert!(self.transactions.insert(id, told).is_none(), "I6: transaction {id} is created twice");
    }

    fn reserve(&mut self, posting: &JournalPosting) {
        let account = self.accounts.get_mut(&posting.account).unwrap();
        let pending = total(&mut account.totals, posting.side, false);
        *pending = plus(*pending, posting.amount.mantissa());
        assert_eq!(account.totals, posting.totals, "I12: a posting left other totals");
    }

    fn move_money(&mut self, posting: &JournalPosting, released: u128, booked: u128) {
        let account = self.accounts.get_mut(&posting.account).unwrap();
        let pending = total(&mut account.totals, posting.side, false);
        *pending = minus(*pending, released);
        let posted = total(&mut account.totals, posting.side, true);
        *posted = plus(*posted, booked);
        assert_eq!(account.totals, posting.totals, "I12: a posting left other totals");
    }

    fn resolve(&mut self, id: TransactionId, state: TransactionState, postings: &[JournalPosting]) {
        let mut told = self.transactions.remove(&id).expect("I6: a transaction resolves that never was");
        assert_eq!(told.state, TransactionState::Tried, "I6: transaction {id} resolves twice");
        assert_eq!(told.reserved.len(), postings.len(), "I6: transaction {id} resolves other postings");
        for (reserved, posting) in told.reserved.iter().zip(postings) {
            assert_eq!((reserved.account, reserved.side), (posting.account, posting.side), "I6: another posting");
            let booked = if state == TransactionState::Confirmed {
                posting.amount.mantissa()
            } else {
                assert_eq!(posting.amount, reserved.amount, "I6: less was released than reserved");
                0
            };
            assert!(booked <= reserved.amount.mantissa(), "I6: more was confirmed than reserved");
            self.move_money(posting, reserved.amount.mantissa(), booked);
        }
        told.state = state;
        if state == TransactionState::Confirmed {
            told.confirmed = postings.to_vec();
        }
        self.transactions.insert(id, told);
    }

    fn reverse(&mut self, id: TransactionId, original: TransactionId, postings: &[JournalPosting]) {
        let mut told = self.transactions.remove(&original).expect("I13: a reversal of nothing");
        assert!(told.state == TransactionState::Confirmed && !told.reversal, "I13: {original} cannot be reversed");
        assert_eq!(told.confirmed.len(), postings.len());
        for (position, posting) in postings.iter().enumerate() {
            let confirmed = &told.confirmed[position];
            assert_eq!((confirmed.account, confirmed.side.opposite()), (posting.account, posting.side));
            told.reversed[position] += posting.amount.mantissa();
            assert!(told.reversed[position] <= confirmed.amount.mantissa(), "I13: reversed beyond the original");
            self.move_money(posting, 0, posting.amount.mantissa());
        }
        self.transactions.insert(original, told);
        self.create(id, TransactionState::Confirmed, &[], postings, true);
    }

    /// I12, and what the book says of each transaction (I6, I13).
    pub fn check_agrees(&self, book: &MemoryRecords) {
        assert_eq!(self.accounts, book.accounts, "I12: the journal gives other accounts");
        for (number, account) in &self.accounts {
            let told = postcard::to_allocvec(account).unwrap();
            assert_eq!(told, postcard::to_allocvec(&book.accounts[number]).unwrap(), "I12: other bytes");
        }
        assert_eq!(self.transactions.len(), book.transactions.len());
        for (id, told) in &self.transactions {
            let record = &book.transactions[id];
            assert_eq!(told.state, record.state, "I6: the journal gives {id} another state");
            let mut reversed: Vec<u128> = record.reversed.iter().map(|sum| sum.mantissa()).collect();
            reversed.resize(told.reversed.len(), 0);
            assert_eq!(told.reversed, reversed, "I13: other sums of reversals for {id}");
        }
    }
}

/// I1, I3, I4, I8 and the holds, over the whole book as it stands. While an entry is not finished, holds may be overdue.
pub fn check(book: &MemoryRecords, finished: bool) {
    for (asset, sums) in trial_balance(book.accounts.values()) {
        assert_eq!(sums.debits_posted, sums.credits_posted, "I1: asset {asset:?}");
        assert_eq!(sums.debits_pending, sums.credits_pending, "I1: asset {asset:?}");
        assert!(sums.is_balanced());
    }
    check_pending(book, finished);
    for account in book.accounts.values() {
        check_account(account);
    }
}

/// I3, and that the holds are just the TRIED transactions with a deadline.
fn check_pending(book: &MemoryRecords, finished: bool) {
    let mut pending: BTreeMap<(AccountNumber, Side), u128> = BTreeMap::new();
    let mut holds = 0;
    for (id, record) in book.transactions.iter().filter(|(_, record)| record.state == TransactionState::Tried) {
        for posting in book.journal[&record.created.unwrap()].event.postings() {
            *pending.entry((posting.account, posting.side)).or_default() += posting.amount.mantissa();
        }
        if let Some(deadline) = record.deadline {
            holds += 1;
            assert!(book.holds.contains(&(deadline, *id)), "a TRIED transaction is not among the holds");
            assert!(!finished || deadline > book.head.time, "a hold outlived its deadline");
        }
    }
    assert_eq!(holds, book.holds.len(), "a hold is left over");
    for (number, account) in &book.accounts {
        for side in [Side::Debit, Side::Credit] {
            let expected = pending.get(&(*number, side)).copied().unwrap_or(0);
            assert_eq!(account.totals.pending(side).mantissa(), expected, "I3: account {}", number.0);
        }
    }
}

/// I4, I5 (which follows, because no confirm or cancel lowers `available` or raises what the ceiling bounds) and I8.
fn check_account(account: &Account) {
    let [dp, db, cp, cb] = [
        account.totals.debits_pending,
        account.totals.debits_posted,
        account.totals.credits_pending,
        account.totals.credits_posted,
    ]
    .map(|amount| amount.mantissa());
    assert!(dp + db + cp + cb <= MAX_MANTISSA, "I8: the totals of {account:?} leave 96 bits together");
    let signed = |minor: u128| i128::try_from(minor).unwrap();
    let (posted, incoming, outgoing) = match account.class.normal_side() {
        Side::Debit => (signed(db) - signed(cb), signed(dp), signed(cp)),
        Side::Credit => (signed(cb) - signed(db), signed(cp), signed(dp)),
    };
    if let Floor::AtLeast(floor) = account.floor {
        assert!(posted - outgoing >= floor.mantissa(), "I4: the floor of {account:?}");
    }
    if let Some(ceiling) = account.ceiling {
        assert!(posted + incoming <= signed(ceiling.mantissa()), "I4: the ceiling of {account:?}");
    }
    if account.status == AccountStatus::Closed {
        assert!(posted == 0 && incoming == 0 && outgoing == 0, "a closed account is not empty");
    }
    assert_eq!(account.posted().unwrap().mantissa(), posted);
    assert_eq!(account.available().unwrap().mantissa(), posted - outgoing);
    assert_eq!(account.expected().unwrap().mantissa(), posted + incoming);
}

/// I7, between two states of the book.
pub fn check_posted_never_falls(before: &BTreeMap<AccountNumber, Account>, after: &BTreeMap<AccountNumber, Account>) {
    for (number, old) in before {
        let new = &after[number];
        for side in [Side::Debit, Side::Credit] {
            assert!(new.totals.posted(side) >= old.totals.posted(side), "I7: account {}", number.0);
        }
    }
}
