//! What came back, in the words of the wire. Amounts in answers are minor units of their asset, as exact integers.

use std::collections::BTreeMap;

use super::{AccountStatus, Reason, Side};

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The index of the log entry.
    pub index: u64,
    /// The position of the command within it, from 0.
    pub position: u32,
}

/// A place in the log with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPoint {
    /// Where.
    pub place: Place,
    /// The log's time there, nanoseconds.
    pub time_ns: u64,
}

/// The states of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionState {
    /// Reserved.
    Tried,
    /// Booked; final.
    Confirmed,
    /// Released or fenced; final.
    Cancelled,
    /// The deadline passed; final.
    Expired,
}

/// What a success tells beside its place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Of a try: when it expires, log time in nanoseconds.
    pub deadline_ns: Option<u64>,
    /// Of a cancel: there was no reservation.
    pub empty: bool,
}

/// A decided refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// The values that came with it, as text.
    pub metadata: BTreeMap<String, String>,
}

/// A decided answer to one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Where and when this answer was decided.
    pub at: LogPoint,
    /// Of a replay: where the answer that it repeats was decided. None: this is no replay.
    pub replay_of: Option<LogPoint>,
    /// The journal record, where something was booked.
    pub journal_sequence: Option<u64>,
    /// The transaction's state, as this answer left or found it; none where none is concerned or it was not told.
    pub state: Option<TransactionState>,
    /// The result.
    pub result: Result<Done, Refusal>,
}

/// The answer to one command of an atomic batch; it has no place of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemAnswer {
    /// The item's own log time, where it was told.
    pub time_ns: Option<u64>,
    /// As of a single answer.
    pub replay_of: Option<LogPoint>,
    /// As of a single answer.
    pub journal_sequence: Option<u64>,
    /// As of a single answer.
    pub state: Option<TransactionState>,
    /// As of a single answer.
    pub result: Result<Done, Refusal>,
}

/// What became of an atomic batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AtomicOutcome {
    /// Every command took effect.
    Applied(Vec<ItemAnswer>),
    /// Nothing took effect; one item carries the culprit's refusal, all others `NOT_APPLIED`.
    NotApplied(Vec<ItemAnswer>),
    /// The batch itself was refused: its id was used for something else.
    Refused(Refusal),
}

/// A decided answer to an atomic batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtomicAnswer {
    /// Where and when the batch was decided.
    pub at: LogPoint,
    /// Of a replay: where the answer that it repeats was decided.
    pub replay_of: Option<LogPoint>,
    /// What became of it.
    pub outcome: AtomicOutcome,
}

/// The four totals of an account, in minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Reserved on the debit side.
    pub debits_pending: u128,
    /// Booked on the debit side.
    pub debits_posted: u128,
    /// Reserved on the credit side.
    pub credits_pending: u128,
    /// Booked on the credit side.
    pub credits_posted: u128,
}

impl Totals {
    /// What is reserved on a side.
    pub fn pending(&self, side: Side) -> u128 {
        match side {
            Side::Debit => self.debits_pending,
            Side::Credit => self.credits_pending,
        }
    }

    /// What is booked on a side.
    pub fn posted(&self, side: Side) -> u128 {
        match side {
            Side::Debit => self.debits_posted,
            Side::Credit => self.credits_posted,
        }
    }

    pub(crate) fn pending_mut(&mut self, side: Side) -> &mut u128 {
        match side {
            Side::Debit => &mut self.debits_pending,
            Side::Credit => &mut self.credits_pending,
        }
    }

    pub(crate) fn posted_mut(&mut self, side: Side) -> &mut u128 {
        match side {
            Side::Debit => &mut self.debits_posted,
            Side::Credit => &mut self.credits_posted,
        }
    }
}

/// An account as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountView {
    /// Its asset's code.
    pub asset: String,
    /// Its status.
    pub status: AccountStatus,
    /// Its totals.
    pub totals: Totals,
    /// Normal side posted less other side posted, in minor units.
    pub posted: i128,
    /// Posted less what is pending on the other side, in minor units.
    pub available: i128,
}

/// One posting of a transaction as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostingView {
    /// The account's name.
    pub account: String,
    /// The side.
    pub side: Side,
    /// Minor units reserved, or booked by a post or reversal.
    pub amount: u128,
    /// Minor units booked; none while it is tried.
    pub confirmed: Option<u128>,
    /// Minor units reversed so far.
    pub reversed: u128,
}

/// A transaction as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionView {
    /// Its state.
    pub state: TransactionState,
    /// Its postings; none of a tombstone.
    pub postings: Vec<PostingView>,
    /// When it expires or expired, if it ever does.
    pub deadline_ns: Option<u64>,
}

/// What became of a request, as read: the first answer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A single command's answer.
    Single(Answer),
    /// An atomic batch's answer.
    Atomic(AtomicAnswer),
}

/// The sums of one asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialLine {
    /// The asset's code.
    pub asset: String,
    /// The sums of the four totals over all accounts.
    pub totals: Totals,
    /// How many accounts hold it.
    pub accounts: u64,
}

/// What a read found. None: explicitly not found as of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadValue {
    /// An account.
    Account(Option<AccountView>),
    /// A transaction.
    Transaction(Option<TransactionView>),
    /// A request's outcome.
    RequestOutcome(Option<Found>),
    /// The trial balance, one line per asset that any account holds.
    TrialBalance(Vec<TrialLine>),
}

/// A read's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadAnswer {
    /// The log index that it reflects.
    pub index: u64,
    /// The log time there, nanoseconds.
    pub time_ns: u64,
    /// What was found.
    pub value: ReadValue,
}
