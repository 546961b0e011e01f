//! Questions that an auditor asks, answered from the journal. Uses the core's types, never its `apply`: what it tells is derived from what was recorded, not
//! decided anew.

mod balance;
mod statement;
mod transactions;
mod trial_balance;

pub use balance::{AsOf, BalanceAt, balance_at, balance_in_memory};
pub use statement::{Dates, Line, Period, Statement, statement};
pub use transactions::{Filter, Found, Page, Timeline, find, list, timeline};
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
    /// The journal contradicts itself: a bug in us or damage.
    #[error("the books do not agree: {0}; stop serving from this replica and compare it with its peers")]
    Contradiction(String),
}

/// The result of a question.
pub type AuditResult<T> = Result<T, AuditError>;
