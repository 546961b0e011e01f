//! The model's state, and the way back from a refused atomic batch: what a change overwrites is noted while a batch is open.

use std::collections::{BTreeSet, HashMap};

use crate::history::{
    AccountClass, AccountStatus, AtomicBatch, AtomicOutcome, Command, Done, Id, LogPoint, Refusal, Side, Totals,
    TransactionState,
};

/// An answer that a later repeat gives again.
#[derive(Debug, Clone)]
pub(super) struct First {
    /// Where it was decided.
    pub(super) at: LogPoint,
    /// What was booked.
    pub(super) sequence: Option<u64>,
    /// What it told.
    pub(super) done: Done,
}

/// An asset.
#[derive(Debug, Clone)]
pub(super) struct Asset {
    pub(super) code: String,
    pub(super) scale: u32,
    pub(super) registered: First,
}

/// An account.
#[derive(Debug, Clone)]
pub(super) struct Account<'history> {
    pub(super) name: &'history str,
    /// Its asset's number.
    pub(super) asset: usize,
    pub(super) class: AccountClass,
    pub(super) status: AccountStatus,
    /// None: unlimited.
    pub(super) floor: Option<i128>,
    pub(super) ceiling: Option<u128>,
    pub(super) totals: Totals,
    pub(super) opening: &'history Command,
    pub(super) opened: First,
}

fn signed(units: u128) -> i128 {
    // Totals stay within 97 bits by the model's own checks; beyond 127 bits the value is capped, and every comparison shows it.
    i128::try_from(units).unwrap_or(i128::MAX)
}

impl Account<'_> {
    /// Normal side posted less other side posted.
    pub(super) fn posted(&self) -> i128 {
        let normal = self.class.normal_side();
        signed(self.totals.posted(normal)) - signed(self.totals.posted(normal.other()))
    }

    /// Posted less what is pending on the other side.
    pub(super) fn available(&self) -> i128 {
        self.posted() - signed(self.totals.pending(self.class.normal_side().other()))
    }

    /// Posted and what is pending on the normal side: what a ceiling bounds.
    pub(super) fn reach(&self) -> i128 {
        self.posted() + signed(self.totals.pending(self.class.normal_side()))
    }
}

/// One posting of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// The account's number.
    pub(super) account: usize,
    pub(super) side: Side,
    pub(super) amount: u128,
    pub(super) confirmed: u128,
    pub(super) reversed: u128,
}

/// What a transaction came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Posted,
    Tried,
    Reversal,
    Tombstone,
}

/// A transaction.
#[derive(Debug, Clone)]
pub(super) struct Transaction<'history> {
    pub(super) kind: Kind,
    pub(super) state: TransactionState,
    pub(super) lines: Vec<Line>,
    pub(super) deadline_ns: Option<u64>,
    /// The command that made it; a tombstone's is the cancel.
    pub(super) command: &'history Command,
    pub(super) created: First,
    /// The answer to the confirm or cancel that settled it.
    pub(super) settled: Option<First>,
}

/// What a request id was used for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content<'history> {
    Single(&'history Command),
    Atomic(&'history AtomicBatch),
}

/// What was answered.
#[derive(Debug, Clone)]
pub(super) enum KeptOutcome {
    Single { result: Result<Done, Refusal>, sequence: Option<u64> },
    Atomic(AtomicOutcome),
}

/// The memory of a request id.
#[derive(Debug, Clone)]
pub(super) struct Kept<'history> {
    pub(super) content: Content<'history>,
    pub(super) at: LogPoint,
    pub(super) outcome: KeptOutcome,
}

/// What a change has overwritten.
#[derive(Debug)]
enum Undo<'history> {
    Asset,
    AccountOpened,
    Account(usize, Box<Account<'history>>),
    Transaction(Id, Option<Box<Transaction<'history>>>),
    Request(Id),
    HoldOpened(u64, Id),
    HoldEnded(u64, Id),
}

/// The whole state.
#[derive(Debug, Default)]
pub(super) struct Book<'history> {
    pub(super) assets: Vec<Asset>,
    asset_numbers: HashMap<String, usize>,
    pub(super) accounts: Vec<Account<'history>>,
    account_numbers: HashMap<&'history str, usize>,
    transactions: HashMap<Id, Transaction<'history>>,
    requests: HashMap<Id, Kept<'history>>,
    /// Open reservations that end, in the order in which they end.
    holds: BTreeSet<(u64, Id)>,
    /// The last journal sequence.
    pub(super) sequence: u64,
    undo: Option<(u64, Vec<Undo<'history>>)>,
}

impl<'history> Book<'history> {
    fn note(&mut self, entry: impl FnOnce() -> Undo<'history>) {
        if let Some((_, entries)) = &mut self.undo {
            entries.push(entry());
        }
    }

    pub(super) fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    pub(super) fn asset(&self, code: &str) -> Option<usize> {
        self.asset_numbers.get(code).copied()
    }

    pub(super) fn add_asset(&mut self, asset: Asset) {
        self.note(|| Undo::Asset);
        self.asset_numbers.insert(asset.code.clone(), self.assets.len());
        self.assets.push(asset);
    }

    pub(super) fn account(&self, name: &str) -> Option<usize> {
        self.account_numbers.get(name).copied()
    }

    pub(super) fn scale_of(&self, account: usize) -> u32 {
        self.assets[self.accounts[account].asset].scale
    }

    pub(super) fn add_account(&mut self, account: Account<'history>) {
        self.note(|| Undo::AccountOpened);
        self.account_numbers.insert(account.name, self.accounts.len());
        self.accounts.push(account);
    }

    pub(super) fn change_account(&mut self, number: usize) -> &mut Account<'history> {
        if self.undo.is_some() {
            let before = Box::new(self.accounts[number].clone());
            self.note(|| Undo::Account(number, before));
        }
        &mut self.accounts[number]
    }

    pub(super) fn transaction(&self, id: Id) -> Option<&Transaction<'history>> {
        self.transactions.get(&id)
    }

    pub(super) fn put_transaction(&mut self, id: Id, transaction: Transaction<'history>) {
        let before = self.transactions.insert(id, transaction);
        self.note(|| Undo::Transaction(id, before.map(Box::new)));
    }

    pub(super) fn request(&self, id: Id) -> Option<&Kept<'history>> {
        self.requests.get(&id)
    }

    pub(super) fn keep(&mut self, id: Id, kept: Kept<'history>) {
        self.note(|| Undo::Request(id));
        self.requests.insert(id, kept);
    }

    pub(super) fn open_hold(&mut self, deadline_ns: u64, id: Id) {
        self.note(|| Undo::HoldOpened(deadline_ns, id));
        self.holds.insert((deadline_ns, id));
    }

    pub(super) fn end_hold(&mut self, deadline_ns: u64, id: Id) {
        self.note(|| Undo::HoldEnded(deadline_ns, id));
        self.holds.remove(&(deadline_ns, id));
    }

    /// The first reservation that is due at or before a time.
    pub(super) fn due(&self, time_ns: u64) -> Option<Id> {
        self.holds.first().filter(|(deadline_ns, _)| *deadline_ns <= time_ns).map(|(_, id)| *id)
    }

    /// From here on, changes can be taken back.
    pub(super) fn begin(&mut self) {
        self.undo = Some((self.sequence, Vec::new()));
    }

    /// Keeps all changes since `begin`.
    pub(super) fn keep_changes(&mut self) {
        self.undo = None;
    }

    /// Takes back all changes since `begin`.
    pub(super) fn take_back(&mut self) {
        let Some((sequence, entries)) = self.undo.take() else {
            return;
        };
        self.sequence = sequence;
        for entry in entries.into_iter().rev() {
            match entry {
                Undo::Asset => {
                    if let Some(asset) = self.assets.pop() {
                        self.asset_numbers.remove(&asset.code);
                    }
                }
                Undo::AccountOpened => {
                    if let Some(account) = self.accounts.pop() {
                        self.account_numbers.remove(account.name);
                    }
                }
                Undo::Account(number, before) => self.accounts[number] = *before,
                Undo::Transaction(id, Some(before)) => {
                    self.transactions.insert(id, *before);
                }
                Undo::Transaction(id, None) => {
                    self.transactions.remove(&id);
                }
                Undo::Request(id) => {
                    self.requests.remove(&id);
                }
                Undo::HoldOpened(deadline_ns, id) => {
                    self.holds.remove(&(deadline_ns, id));
                }
                Undo::HoldEnded(deadline_ns, id) => {
                    self.holds.insert((deadline_ns, id));
                }
            }
        }
    }
}
