//! What the first reading of a file learns: which line has which id, and what must be asked of the
//! book before a line is decided.

use std::collections::{HashMap, HashSet};

use ledger::TransactionId;
use uuid::Uuid;

use super::line::Line;
use crate::proto::v1::command::Operation;

/// A line that has an id.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) number: u64,
    /// Whether the line makes a transaction.
    pub(super) makes_transaction: bool,
}

/// A line that names another line which does not come before it in the file.
#[derive(Debug)]
pub(super) struct Outside {
    /// The request id of the line itself, if it is a cancel.
    pub(super) cancel: Option<Uuid>,
    /// The request ids that the other line may have.
    pub(super) requests: [Option<Uuid>; 2],
    /// Whether amounts are to be held against the transaction's postings.
    pub(super) has_amounts: bool,
}

/// What a file contains. It grows with the file: less than 80 bytes a line, as much again for one
/// that gives a transaction its own id, and the names of its accounts.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The first line that is not blank, well formed or not.
    pub(super) first_line: Option<u64>,
    lines: HashMap<Uuid, Place>,
    /// By the request ids of their lines, the transactions that have ids of their own.
    own: HashMap<Uuid, Uuid>,
    own_ids: HashSet<Uuid>,
    /// The accounts that are named.
    pub(super) accounts: HashSet<String>,
    /// Lines that name a line which does not come before them.
    pub(super) outside: Vec<Outside>,
    /// Transactions that are named by their ids and come with amounts, but do not come before in
    /// the file.
    pub(super) strangers: HashSet<Uuid>,
    /// Transactions and requests whose postings will be wanted for the amounts of a later line.
    wanted: HashSet<Uuid>,
}

/// A transaction's id as it is written, if it is one.
pub(super) fn transaction_id(text: &str) -> Option<Uuid> {
    TransactionId::parse(text).ok().map(|id| Uuid::from_bytes(*id.as_bytes()))
}

impl Contents {
    /// Learns of a line.
    pub(super) fn learn(&mut self, number: u64, line: &Line) {
        self.learn_names(line);
        self.learn_accounts(&line.operation);
        if self.lines.contains_key(&line.request) {
            return;
        }
        let own = line.makes();
        self.lines.insert(line.request, Place { number, makes_transaction: own.is_some() });
        if let Some(own) = own.and_then(transaction_id) {
            self.own.insert(line.request, own);
            self.own_ids.insert(own);
        }
    }

    /// Learns that a line which is not well formed has an id: whoever names it means no other.
    pub(super) fn learn_malformed(&mut self, number: u64, request: Uuid) {
        self.lines.entry(request).or_insert(Place { number, makes_transaction: true });
    }

    fn learn_names(&mut self, line: &Line) {
        let amounts = line.amounts();
        if let Some(named) = &line.names {
            if amounts.is_some() {
                self.wanted.extend(named.requests.iter().flatten());
            }
            if !named.requests.iter().flatten().any(|request| self.lines.contains_key(request)) {
                let cancel = line.is_cancel().then_some(line.request);
                self.outside.push(Outside { cancel, requests: named.requests, has_amounts: amounts.is_some() });
            }
        } else if let Some(id) = amounts.and_then(|(id, _)| transaction_id(id)) {
            self.wanted.insert(id);
            let is_of_a_line =
                self.lines.get(&id).is_some_and(|place| place.makes_transaction) && !self.own.contains_key(&id);
            if !is_of_a_line && !self.own_ids.contains(&id) {
                self.strangers.insert(id);
            }
        }
    }

    fn learn_accounts(&mut self, operation: &Operation) {
        let mut learn = |name: &String| {
            if !self.accounts.contains(name) {
                self.accounts.insert(name.clone());
            }
        };
        match operation {
            Operation::OpenAccount(open) => learn(&open.name),
            Operation::SetAccountLimits(limits) => learn(&limits.account),
            Operation::FreezeAccount(message) => learn(&message.account),
            Operation::UnfreezeAccount(message) => learn(&message.account),
            Operation::CloseAccount(message) => learn(&message.account),
            Operation::Transfer(transfer) => {
                learn(&transfer.debit_account);
                learn(&transfer.credit_account);
            }
            Operation::PostTransaction(post) => post.postings.iter().for_each(|posting| learn(&posting.account)),
            Operation::TryTransaction(attempt) => attempt.postings.iter().for_each(|posting| learn(&posting.account)),
            Operation::RegisterAsset(_)
            | Operation::ConfirmTransaction(_)
            | Operation::CancelTransaction(_)
            | Operation::ReverseTransaction(_) => {}
        }
    }

    /// The first line of a request id.
    pub(super) fn place(&self, request: Uuid) -> Option<Place> {
        self.lines.get(&request).copied()
    }

    /// The transaction that the line of a request id makes.
    pub(super) fn transaction(&self, request: Uuid) -> Uuid {
        self.own.get(&request).copied().unwrap_or(request)
    }

    /// Whether a later line has amounts for the transaction that the line of a request id makes.
    pub(super) fn is_wanted(&self, request: Uuid) -> bool {
        self.wanted.contains(&request) || self.own.get(&request).is_some_and(|own| self.wanted.contains(own))
    }

    /// Forgets the lines that stand in the file after all, later than the line that names them.
    pub(super) fn end(&mut self) {
        let Contents { outside, lines, .. } = self;
        outside.retain(|outside| !outside.requests.iter().flatten().any(|request| lines.contains_key(request)));
    }
}
