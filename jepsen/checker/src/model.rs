//! The independent model: the whole ledger once more, written from its promises alone.
//!
//! It is given commands in log order, each with its place and log time, and says what a correct ledger answers. It knows no clock: a
//! command's log time is the one that the answer told. It must stay simple enough to be believed by reading; where the promises are
//! silent, the choice stands in [`crate::precedence`] or in [`silent`].

mod accounts;
pub mod amount;
mod batch;
mod book;
pub(crate) mod content;
mod lines;
mod reads;
mod settle;
pub mod shape;
pub mod silent;
mod transactions;

use std::collections::BTreeMap;

use book::{Book, Content, Kept, KeptOutcome};

use crate::history::{Answer, Command, Done, Id, LogPoint, Reason, Refusal, TransactionState, Write};

/// The ledger once more.
#[derive(Debug, Default)]
pub struct Model<'history> {
    book: Book<'history>,
}

/// What one command came to, before it has an answer's place.
struct Decision {
    result: Result<Done, Refusal>,
    sequence: Option<u64>,
    replay_of: Option<LogPoint>,
    /// Whether the answer is kept under the request id.
    kept: bool,
}

impl Decision {
    fn refused(reason: Reason) -> Decision {
        Decision::refused_with(reason, [])
    }

    fn refused_with<const N: usize>(reason: Reason, values: [(&str, String); N]) -> Decision {
        Decision { result: Err(refusal(reason, values)), sequence: None, replay_of: None, kept: true }
    }

    fn done(done: Done, sequence: Option<u64>) -> Decision {
        Decision { result: Ok(done), sequence, replay_of: None, kept: true }
    }

    fn again(first: &book::First) -> Decision {
        Decision { result: Ok(first.done), sequence: first.sequence, replay_of: Some(first.at), kept: true }
    }
}

fn refusal<const N: usize>(reason: Reason, values: [(&str, String); N]) -> Refusal {
    let metadata: BTreeMap<String, String> = values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Refusal { reason, metadata }
}

/// A check that failed.
type Failed = Box<Refusal>;

fn fail<const N: usize>(reason: Reason, values: [(&str, String); N]) -> Failed {
    Box::new(refusal(reason, values))
}

impl<'history> Model<'history> {
    /// A book with nothing in it.
    pub fn new() -> Model<'history> {
        Model::default()
    }

    /// The last journal sequence.
    pub fn journal_sequence(&self) -> u64 {
        self.book.sequence
    }

    /// The state of a transaction; none if there is none.
    pub fn transaction_state(&self, id: Id) -> Option<TransactionState> {
        self.book.transaction(id).map(|transaction| transaction.state)
    }

    /// Answers one command at its place.
    pub fn write(&mut self, at: LogPoint, write: &'history Write) -> Answer {
        self.expire_until(at);
        let decision = self.decide(at, write);
        self.answer(at, write, decision)
    }

    fn answer(&self, at: LogPoint, write: &Write, decision: Decision) -> Answer {
        Answer {
            at,
            replay_of: decision.replay_of,
            journal_sequence: decision.sequence,
            state: write.transaction().and_then(|id| self.transaction_state(id)),
            result: decision.result,
        }
    }

    /// Decides one command; everything due has expired.
    fn decide(&mut self, at: LogPoint, write: &'history Write) -> Decision {
        if let Some(kept) = self.book.request(write.request_id) {
            return match (kept.content, &kept.outcome) {
                (Content::Single(command), KeptOutcome::Single { result, sequence })
                    if content::same_request(write.request_id, command, &write.command) =>
                {
                    Decision { result: result.clone(), sequence: *sequence, replay_of: Some(kept.at), kept: false }
                }
                (Content::Single(_), _) | (Content::Atomic(_), _) => {
                    Decision { kept: false, ..Decision::refused(Reason::RequestIdReused) }
                }
            };
        }
        if let Err(reason) = shape::check(write) {
            return Decision { kept: false, ..Decision::refused(reason) };
        }
        let decision = self.dispatch(at, write);
        if decision.kept {
            let outcome = KeptOutcome::Single { result: decision.result.clone(), sequence: decision.sequence };
            self.book.keep(write.request_id, Kept { content: Content::Single(&write.command), at, outcome });
        }
        decision
    }

    fn dispatch(&mut self, at: LogPoint, write: &'history Write) -> Decision {
        let command = &write.command;
        let outcome = match command {
            Command::RegisterAsset { code, scale } => self.register_asset(at, code, *scale),
            Command::OpenAccount { name, asset, class, floor, ceiling, metadata: _ } => {
                self.open_account(at, command, name, asset, *class, (floor.as_ref(), ceiling.as_deref()))
            }
            Command::SetLimits { account, floor, ceiling } => self.set_limits(account, floor.as_ref(), ceiling),
            Command::Freeze { account } => self.freeze(account),
            Command::Unfreeze { account } => self.unfreeze(account),
            Command::Close { account } => self.close(account),
            Command::Post { transaction, postings, details: _ } => {
                self.post(at, command, transaction.unwrap_or(write.request_id), postings)
            }
            Command::Try { transaction, postings, details: _, timeout_ns } => {
                self.reserve(at, command, transaction.unwrap_or(write.request_id), postings, *timeout_ns)
            }
            Command::Confirm { transaction, amounts } => self.confirm(at, *transaction, amounts.as_deref()),
            Command::Cancel { transaction } => self.cancel(at, command, *transaction),
            Command::Reverse { transaction, original, amounts, details: _ } => {
                let id = transaction.unwrap_or(write.request_id);
                self.reverse(at, command, id, *original, amounts.as_deref())
            }
        };
        outcome.unwrap_or_else(|failed| Decision { result: Err(*failed), sequence: None, replay_of: None, kept: true })
    }
}
