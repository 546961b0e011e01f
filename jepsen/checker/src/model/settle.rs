//! What settles a reservation: Confirm, Cancel, and its deadline.

use super::book::{First, Kind, Line, Transaction};
use super::lines::Reservation;
use super::{Decision, Failed, Model, fail, silent};
use crate::history::{Command, Done, Id, LogPoint, Reason, TransactionState};

impl<'history> Model<'history> {
    /// Expires, in order of deadline and transaction, everything due at or before a time, each with a journal record of its own.
    pub(super) fn expire_until(&mut self, at: LogPoint) {
        while let Some(id) = self.book.due(at.time_ns) {
            let Some(transaction) = self.book.transaction(id).cloned() else {
                return;
            };
            if let Some(deadline_ns) = transaction.deadline_ns {
                self.book.end_hold(deadline_ns, id);
            }
            self.reserve_lines(&transaction.lines, Reservation::Released);
            self.book.next_sequence();
            self.book.put_transaction(id, Transaction { state: TransactionState::Expired, ..transaction });
        }
    }

    pub(super) fn confirm(&mut self, at: LogPoint, id: Id, amounts: Option<&[String]>) -> Result<Decision, Failed> {
        let named = |reason| Err(fail(reason, [("transaction_id", id.to_string())]));
        let Some(transaction) = self.book.transaction(id) else {
            return named(Reason::TransactionNotFound);
        };
        let whole = |line: &Line| line.amount;
        match transaction.state {
            TransactionState::Cancelled => named(Reason::AlreadyCancelled),
            TransactionState::Expired => named(Reason::TransactionExpired),
            TransactionState::Confirmed => {
                // What was booked in one step was confirmed by that step.
                let first = transaction.settled.as_ref().unwrap_or(&transaction.created);
                let parts = self.parts(&transaction.lines, amounts, whole, whole, Reason::ExceedsReserved);
                let confirmed = transaction.lines.iter().map(|line| line.confirmed);
                match parts {
                    Ok(parts) if confirmed.eq(parts.iter().copied()) => Ok(Decision::again(first)),
                    Ok(_) | Err(_) => named(Reason::ConfirmDiffers),
                }
            }
            TransactionState::Tried => {
                let parts = self.parts(&transaction.lines, amounts, whole, whole, Reason::ExceedsReserved)?;
                let asked: Vec<Line> = transaction
                    .lines
                    .iter()
                    .zip(&parts)
                    .map(|(line, part)| Line { amount: *part, ..line.clone() })
                    .collect();
                self.check_balanced(&asked)?;
                let mut transaction = transaction.clone();
                self.release(id, &transaction);
                for (line, part) in transaction.lines.iter_mut().zip(&parts) {
                    line.confirmed = *part;
                }
                self.book_lines(&transaction.lines);
                Ok(self.settle(at, id, transaction, TransactionState::Confirmed))
            }
        }
    }

    /// Ends a reservation.
    fn release(&mut self, id: Id, transaction: &Transaction<'history>) {
        if let Some(deadline_ns) = transaction.deadline_ns {
            self.book.end_hold(deadline_ns, id);
        }
        self.reserve_lines(&transaction.lines, Reservation::Released);
    }

    fn settle(
        &mut self,
        at: LogPoint,
        id: Id,
        transaction: Transaction<'history>,
        state: TransactionState,
    ) -> Decision {
        let sequence = Some(self.book.next_sequence());
        let first = First { at, sequence, done: Done::default() };
        self.book.put_transaction(id, Transaction { state, settled: Some(first), ..transaction });
        Decision::done(Done::default(), sequence)
    }

    pub(super) fn cancel(&mut self, at: LogPoint, command: &'history Command, id: Id) -> Result<Decision, Failed> {
        let Some(transaction) = self.book.transaction(id) else {
            return Ok(self.fence(at, command, id));
        };
        match (transaction.state, &transaction.settled) {
            (TransactionState::Tried, _) => {
                let transaction = transaction.clone();
                self.release(id, &transaction);
                Ok(self.settle(at, id, transaction, TransactionState::Cancelled))
            }
            (TransactionState::Confirmed, _) => {
                Err(fail(Reason::AlreadyConfirmed, [("transaction_id", id.to_string())]))
            }
            (TransactionState::Cancelled, Some(first)) => Ok(Decision::again(first)),
            (TransactionState::Cancelled, None) | (TransactionState::Expired, _) => {
                Ok(Decision::done(Done::default(), None))
            }
        }
    }

    /// Lays a fence, so that the transaction can never be tried or posted.
    fn fence(&mut self, at: LogPoint, command: &'history Command, id: Id) -> Decision {
        let sequence = Some(self.book.next_sequence());
        let done = Done { deadline_ns: None, empty: true };
        let again = Done { empty: silent::REPEATED_EMPTY_CANCEL_IS_EMPTY, ..done };
        let first = First { at, sequence, done: again };
        self.book.put_transaction(
            id,
            Transaction {
                kind: Kind::Tombstone,
                state: TransactionState::Cancelled,
                lines: Vec::new(),
                deadline_ns: None,
                command,
                created: first.clone(),
                settled: Some(first),
            },
        );
        Decision::done(done, sequence)
    }
}
