//! Questions that an auditor asks, answered from the journal. Uses the core's types, never its `apply`: what it tells is derived from what was recorded, not
//! decided anew.

mod accounts;
mod balance;
mod effective;
mod kept;
mod moment;
mod statement;
#[cfg(test)]
mod tests;
mod transactions;
mod trial_balance;

pub use accounts::accounts;
pub use balance::{AsOf, BalanceAt, balance_at, balance_in_memory};
pub use kept::Kept;
pub use moment::Moment;
pub use statement::{Dates, Line, Period, Statement, statement};
pub use transactions::{Filter, Found, Story, find, list, timeline};
pub use trial_balance::{TrialBalance, trial_balance};

use crate::book::BookError;
use ledger::AccountName;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The book cannot be read.
    #[error(transparent)]
    Book(#[from] BookError),
    /// There is no such account.
    #[error("there is no account {0}")]
    AccountNotFound(AccountName),
    /// The asked point lies after what the view reflects.
    #[error("sequence {asked} is not reached: the journal ends at {last}")]
    NotReached {
        /// What was asked.
        asked: u64,
        /// Where the journal ends.
        last: u64,
    },
    /// A walk is to go on after what is not a part of it.
    #[error("record {0} is no part of what is walked")]
    NoSuchPlace(u64),
    /// What was at a moment is no longer known on this replica.
    #[error("what was at log index {index} is no longer known on this replica")]
    Expired {
        /// The moment's log index.
        index: u64,
    },
    /// The journal contradicts itself: a bug in us or damage.
    #[error("the books do not agree: {0}; stop serving from this replica and compare it with its peers")]
    Contradiction(String),
}

/// The result of a question.
pub type AuditResult<T> = Result<T, AuditError>;
