//! What a client asked, in the words of the wire.
//!
//! Amounts stay the text that was sent: reading it is part of what is checked.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A UUID: of a request or of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub u128);

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        write!(formatter, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

/// The text is no hyphenated UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no UUID of 32 hexadecimal digits with hyphens")]
pub struct IdError(pub String);

impl FromStr for Id {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Id, IdError> {
        let wrong = || IdError(text.to_owned());
        let hyphens = text.len() == 36 && [8, 13, 18, 23].iter().all(|at| text.as_bytes()[*at] == b'-');
        let digits: String = text.chars().filter(|character| *character != '-').collect();
        if !hyphens || digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        u128::from_str_radix(&digits, 16).map(Id).map_err(|_| wrong())
    }
}

/// The side of a posting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Debit.
    Debit,
    /// Credit.
    Credit,
}

impl Side {
    /// The other side.
    pub fn other(self) -> Side {
        match self {
            Side::Debit => Side::Credit,
            Side::Credit => Side::Debit,
        }
    }
}

/// The class of an account; it fixes the normal side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountClass {
    /// Debit-normal.
    Asset,
    /// Debit-normal.
    Expense,
    /// Credit-normal.
    Liability,
    /// Credit-normal.
    Equity,
    /// Credit-normal.
    Income,
}

impl AccountClass {
    /// The side on which the account grows.
    pub fn normal_side(self) -> Side {
        match self {
            AccountClass::Asset | AccountClass::Expense => Side::Debit,
            AccountClass::Liability | AccountClass::Equity | AccountClass::Income => Side::Credit,
        }
    }
}

/// Whether an account takes postings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountStatus {
    /// Takes postings.
    Open,
    /// Takes no new postings; reservations still confirm and cancel.
    Frozen,
    /// Final.
    Closed,
}

/// A floor as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FloorText {
    /// At least this signed amount.
    AtLeast(String),
    /// No floor.
    Unlimited,
}

/// What a change of limits does to the ceiling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CeilingChange {
    /// Leaves it.
    Keep,
    /// Sets it.
    Set(String),
    /// Removes it.
    Remove,
}

/// One posting as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// The account's name.
    pub account: String,
    /// The side.
    pub side: Side,
    /// The amount as it was sent.
    pub amount: String,
    /// The asset that the account is believed to hold, if that was said.
    pub asset: Option<String>,
}

/// What a caller may tell about a transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// The caller's own order number; empty for none.
    pub reference: String,
    /// Pairs.
    pub metadata: BTreeMap<String, String>,
    /// A business date, nanoseconds since 1970.
    pub effective_at_ns: Option<i128>,
}

/// Any one mutating command. A transfer is a `Post` of two postings, the debit first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Registers an asset.
    RegisterAsset {
        /// Its code.
        code: String,
        /// Its fraction digits.
        scale: u32,
    },
    /// Opens an account.
    OpenAccount {
        /// Its name.
        name: String,
        /// Its asset's code.
        asset: String,
        /// Its class.
        class: AccountClass,
        /// Its floor; none means at least zero.
        floor: Option<FloorText>,
        /// Its ceiling, if any.
        ceiling: Option<String>,
        /// Pairs.
        metadata: BTreeMap<String, String>,
    },
    /// Changes floor, ceiling or both.
    SetLimits {
        /// The account.
        account: String,
        /// The new floor; none leaves it.
        floor: Option<FloorText>,
        /// What becomes of the ceiling.
        ceiling: CeilingChange,
    },
    /// Stops new postings.
    Freeze {
        /// The account.
        account: String,
    },
    /// Takes new postings again.
    Unfreeze {
        /// The account.
        account: String,
    },
    /// Closes an empty account.
    Close {
        /// The account.
        account: String,
    },
    /// Books in one step.
    Post {
        /// The transaction's id; none means the request's.
        transaction: Option<Id>,
        /// The postings.
        postings: Vec<Posting>,
        /// What is told about it.
        details: Details,
    },
    /// Reserves.
    Try {
        /// The transaction's id; none means the request's.
        transaction: Option<Id>,
        /// The postings.
        postings: Vec<Posting>,
        /// What is told about it.
        details: Details,
        /// How long the reservation holds; none means until it is confirmed or cancelled.
        timeout_ns: Option<u64>,
    },
    /// Books a reservation.
    Confirm {
        /// The transaction.
        transaction: Id,
        /// None for all, otherwise one amount per posting.
        amounts: Option<Vec<String>>,
    },
    /// Releases a reservation, or fences a transaction that was never tried.
    Cancel {
        /// The transaction.
        transaction: Id,
    },
    /// Books the opposite of what was confirmed.
    Reverse {
        /// The reversal's own id; none means the request's.
        transaction: Option<Id>,
        /// What is reversed.
        original: Id,
        /// None for all, otherwise one amount per posting of the original.
        amounts: Option<Vec<String>>,
        /// What is told about it.
        details: Details,
    },
}

/// A command under its request id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The request id.
    pub request_id: Id,
    /// The command.
    pub command: Command,
}

/// All or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtomicBatch {
    /// The id of the whole.
    pub request_id: Id,
    /// The commands, each under an id of its own.
    pub items: Vec<Write>,
}

/// How fresh a read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// Reflects everything that was answered before the read began.
    Linearizable,
    /// Reflects at least this log index.
    AtLeast(u64),
    /// Whatever the replica has.
    Stale,
}

/// What a read asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// An account with its balance.
    Account(String),
    /// A transaction.
    Transaction(Id),
    /// What became of a request.
    RequestOutcome(Id),
    /// The sums of every asset.
    TrialBalance,
}

/// A read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// How fresh.
    pub consistency: Consistency,
    /// What.
    pub query: Query,
}

/// What a client called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// One command.
    Write(Write),
    /// Several commands, each with an outcome of its own.
    Batch(Vec<Write>),
    /// Several commands, all or nothing.
    Atomic(AtomicBatch),
    /// A read.
    Read(Read),
}

/// The classes of operations, of which a run must have shown every one to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperationClass {
    /// `register-asset`
    RegisterAsset,
    /// `open-account`
    OpenAccount,
    /// `set-limits`
    SetLimits,
    /// `freeze`
    Freeze,
    /// `unfreeze`
    Unfreeze,
    /// `close`
    Close,
    /// `post`
    Post,
    /// `try`
    Try,
    /// `confirm`
    Confirm,
    /// `cancel`
    Cancel,
    /// `reverse`
    Reverse,
    /// `batch`
    Batch,
    /// `atomic`
    Atomic,
    /// `read-account`
    ReadAccount,
    /// `read-transaction`
    ReadTransaction,
    /// `read-outcome`
    ReadOutcome,
    /// `read-trial-balance`
    ReadTrialBalance,
}

impl OperationClass {
    /// All classes with their texts.
    pub const ALL: [(OperationClass, &'static str); 17] = [
        (OperationClass::RegisterAsset, "register-asset"),
        (OperationClass::OpenAccount, "open-account"),
        (OperationClass::SetLimits, "set-limits"),
        (OperationClass::Freeze, "freeze"),
        (OperationClass::Unfreeze, "unfreeze"),
        (OperationClass::Close, "close"),
        (OperationClass::Post, "post"),
        (OperationClass::Try, "try"),
        (OperationClass::Confirm, "confirm"),
        (OperationClass::Cancel, "cancel"),
        (OperationClass::Reverse, "reverse"),
        (OperationClass::Batch, "batch"),
        (OperationClass::Atomic, "atomic"),
        (OperationClass::ReadAccount, "read-account"),
        (OperationClass::ReadTransaction, "read-transaction"),
        (OperationClass::ReadOutcome, "read-outcome"),
        (OperationClass::ReadTrialBalance, "read-trial-balance"),
    ];

    /// The text, which is also the `:f` of the EDN form.
    pub fn text(self) -> &'static str {
        Self::ALL.iter().find(|(class, _)| *class == self).map_or("", |(_, text)| text)
    }
}

impl Command {
    /// Its class.
    pub fn class(&self) -> OperationClass {
        match self {
            Command::RegisterAsset { .. } => OperationClass::RegisterAsset,
            Command::OpenAccount { .. } => OperationClass::OpenAccount,
            Command::SetLimits { .. } => OperationClass::SetLimits,
            Command::Freeze { .. } => OperationClass::Freeze,
            Command::Unfreeze { .. } => OperationClass::Unfreeze,
            Command::Close { .. } => OperationClass::Close,
            Command::Post { .. } => OperationClass::Post,
            Command::Try { .. } => OperationClass::Try,
            Command::Confirm { .. } => OperationClass::Confirm,
            Command::Cancel { .. } => OperationClass::Cancel,
            Command::Reverse { .. } => OperationClass::Reverse,
        }
    }
}

impl Write {
    /// The transaction that it creates or settles, if any.
    pub fn transaction(&self) -> Option<Id> {
        match &self.command {
            Command::Post { transaction, .. }
            | Command::Try { transaction, .. }
            | Command::Reverse { transaction, .. } => Some(transaction.unwrap_or(self.request_id)),
            Command::Confirm { transaction, .. } | Command::Cancel { transaction } => Some(*transaction),
            Command::RegisterAsset { .. }
            | Command::OpenAccount { .. }
            | Command::SetLimits { .. }
            | Command::Freeze { .. }
            | Command::Unfreeze { .. }
            | Command::Close { .. } => None,
        }
    }
}

impl Call {
    /// Its class.
    pub fn class(&self) -> OperationClass {
        match self {
            Call::Write(write) => write.command.class(),
            Call::Batch(_) => OperationClass::Batch,
            Call::Atomic(_) => OperationClass::Atomic,
            Call::Read(read) => match read.query {
                Query::Account(_) => OperationClass::ReadAccount,
                Query::Transaction(_) => OperationClass::ReadTransaction,
                Query::RequestOutcome(_) => OperationClass::ReadOutcome,
                Query::TrialBalance => OperationClass::ReadTrialBalance,
            },
        }
    }

    /// The commands in it.
    pub fn writes(&self) -> &[Write] {
        match self {
            Call::Write(write) => std::slice::from_ref(write),
            Call::Batch(items) => items,
            Call::Atomic(batch) => &batch.items,
            Call::Read(_) => &[],
        }
    }
}
