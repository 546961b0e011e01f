//! How the book is read, and how it changes: reads as a trait, writes as data.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::account::{Account, AccountNumber};
use crate::asset::{Asset, AssetNumber};
use crate::command::Command;
use crate::entry::EntryError;
use crate::id::{RequestId, TransactionId};
use crate::journal::{JournalRecord, JournalSequence};
use crate::name::{AccountName, AssetCode};
use crate::outcome::{Accepted, Answer, Outcome, Point};
use crate::table::Table;
use crate::time::LogTime;
use crate::transaction::TransactionRecord;

/// Where the book stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Head {
    /// The log's time: no record is later.
    pub time: LogTime,
    /// The last journal sequence; 0 before the first record.
    pub sequence: JournalSequence,
    /// How many accounts were opened; the next gets this number.
    pub accounts: u32,
    /// How many assets were registered; the next gets this number.
    pub assets: u32,
}

/// What the book holds, as [`crate::apply()`] reads it. Reads are answered from one state: that after the last changes.
pub trait Records {
    /// Why a read failed; the node cannot go on then.
    type Error: fmt::Debug;

    /// Told before some commands are decided, in their order: what they will look up may be fetched ahead, all of it at once. Says nothing about what is looked up.
    fn expect(&self, commands: &[Command]) {
        let _ = commands;
    }
    /// Where the book stands.
    fn head(&self) -> Head;
    /// The asset of a code.
    fn asset_by_code(&self, code: &AssetCode) -> Result<Option<Asset>, Self::Error>;
    /// The asset of a number.
    fn asset(&self, number: AssetNumber) -> Result<Option<Asset>, Self::Error>;
    /// The number of an account's name.
    fn account_number(&self, name: &AccountName) -> Result<Option<AccountNumber>, Self::Error>;
    /// The name of an account's number.
    fn account_name(&self, number: AccountNumber) -> Result<Option<AccountName>, Self::Error>;
    /// An account.
    fn account(&self, number: AccountNumber) -> Result<Option<Account>, Self::Error>;
    /// What stands under a transaction's id.
    fn transaction(&self, id: &TransactionId) -> Result<Option<TransactionRecord>, Self::Error>;
    /// What stands under a request's id.
    fn request(&self, id: &RequestId) -> Result<Option<RequestRecord>, Self::Error>;
    /// A journal record.
    fn journal(&self, sequence: JournalSequence) -> Result<Option<JournalRecord>, Self::Error>;
    /// Shows a journal record where it lies, for who needs no copy of it. Returns whether there is one.
    ///
    /// # Errors
    /// As for [`journal`](Self::journal).
    fn show_journal(
        &self,
        sequence: JournalSequence,
        show: &mut dyn FnMut(&JournalRecord),
    ) -> Result<bool, Self::Error> {
        let record = self.journal(sequence)?;
        record.iter().for_each(show);
        Ok(record.is_some())
    }
    /// The first TRIED transaction with a deadline, in order of (deadline, id), strictly after `cursor`.
    fn hold_after(
        &self,
        cursor: Option<(LogTime, TransactionId)>,
    ) -> Result<Option<(LogTime, TransactionId)>, Self::Error>;
}

/// What is remembered of a request, for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// Where its answer was decided.
    pub point: Point,
    /// The answer, and enough to compare content.
    pub body: RequestBody,
}

/// How a request's answer is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequestBody {
    /// It made one journal record, which holds its content; the answer follows from it.
    Booked(JournalSequence),
    /// It made no record of its own (a refusal, a repetition of what was done under another id, an atomic batch):
    /// command and answer are kept whole.
    Kept(Box<Kept>),
}

/// A command and its answer, kept whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The command as it was first asked.
    pub command: Command,
    /// What was decided.
    pub outcome: Outcome,
    /// The journal record that the answer named, if any.
    pub sequence: Option<JournalSequence>,
    /// Where the answer that it repeated was decided, if it repeated one.
    pub replay_of: Option<Point>,
}

/// What an entry changes, as data: each table holds the new values, in the order in which their keys were first changed. The shell writes all of it in one atomic batch, together with the
/// index of the entry.
///
/// Open holds follow from `transactions`: those TRIED with a deadline, and those no longer TRIED.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Where the book stands afterwards.
    pub head: Head,
    /// New journal records, in sequence.
    pub journal: Vec<JournalRecord>,
    /// New assets.
    pub assets: Vec<Asset>,
    /// Names of new accounts.
    pub names: Vec<(AccountName, AccountNumber)>,
    /// Changed accounts.
    pub accounts: Table<AccountNumber, Account>,
    /// Changed transactions.
    pub transactions: Table<TransactionId, TransactionRecord>,
    /// New requests.
    pub requests: Table<RequestId, RequestRecord>,
}

impl Changes {
    /// Makes room for the changes of so many commands.
    pub(crate) fn reserve(&mut self, commands: usize) {
        self.journal.reserve(commands);
        self.accounts.reserve(commands * 2);
        self.transactions.reserve(commands);
        self.requests.reserve(commands);
    }

    /// Empties them, to lend their room to those of another entry: see [`apply_encoded_within`](crate::apply::apply_encoded_within).
    pub fn clear(&mut self) {
        let Changes { head, journal, assets, names, accounts, transactions, requests } = self;
        *head = Head::default();
        journal.clear();
        assets.clear();
        names.clear();
        accounts.clear();
        transactions.clear();
        requests.clear();
    }
}

/// What one step of [`crate::apply()`] returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// What to write.
    pub changes: Changes,
    /// One answer per command; empty while not finished.
    pub answers: Vec<Answer>,
    /// Whether the entry is applied. If not, only holds were expired: write the changes with the *previous* index
    /// as last applied, and call again with the same entry.
    pub finished: bool,
}

/// Why the node must stop and serve nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop<E> {
    /// An invariant is broken: a bug in us.
    Broken {
        /// Which invariant or rule, such as `I3`.
        invariant: &'static str,
        /// Where and with which values.
        detail: String,
    },
    /// The entry follows rules that this build does not know.
    UnknownRules {
        /// The entry's version.
        version: u16,
    },
    /// The entry's bytes are not an entry: they were damaged, or a newer release wrote them.
    Undecodable(EntryError),
    /// The book could not be read.
    Records(E),
}

impl<E: fmt::Debug> fmt::Display for Stop<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Broken { invariant, detail } => write!(f, "invariant {invariant} is broken: {detail}"),
            Stop::UnknownRules { version } => {
                write!(
                    f,
                    "the log holds an entry under rules version {version}, which this build does not know; run a newer release"
                )
            }
            Stop::Undecodable(error) => write!(f, "the log holds an entry that does not decode: {error:?}"),
            Stop::Records(error) => write!(f, "the book could not be read: {error:?}"),
        }
    }
}

/// The answer that a journal record stands for.
pub fn accepted_by(record: &JournalRecord) -> Option<Accepted> {
    use crate::journal::Event;
    Some(match &record.event {
        Event::AssetRegistered { asset, .. } => Accepted::AssetRegistered(*asset),
        Event::AccountOpened(opened) => Accepted::AccountOpened(opened.account),
        Event::LimitsSet { .. } => Accepted::LimitsSet,
        Event::AccountFrozen(_) => Accepted::Frozen,
        Event::AccountUnfrozen(_) => Accepted::Unfrozen,
        Event::AccountClosed(_) => Accepted::Closed,
        Event::Posted { transaction, .. } => Accepted::Posted(*transaction),
        Event::Tried { transaction, deadline, .. } => Accepted::Tried(*transaction, *deadline),
        Event::Confirmed { transaction, .. } => Accepted::Confirmed(*transaction),
        Event::Cancelled { transaction, .. } => Accepted::Cancelled(*transaction),
        Event::CancelledEmpty(transaction) => Accepted::CancelledEmpty(*transaction),
        Event::Reversed { transaction, .. } => Accepted::Reversed(*transaction),
        Event::Expired { .. } => return None,
    })
}
