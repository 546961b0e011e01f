//! What a read finds.

use std::collections::BTreeMap;

use super::Model;
use super::book::{Account, KeptOutcome, Line};
use crate::history::{
    AccountView, Answer, AtomicAnswer, Found, Id, LogPoint, PostingView, Query, ReadValue, Side, Totals,
    TransactionState, TransactionView, TrialLine,
};

impl Model<'_> {
    /// Carries the time forward without a command: everything due has expired, as a linearizable read may have asked for.
    pub fn pass_time(&mut self, at: LogPoint) {
        self.expire_until(at);
    }

    /// What a read finds now.
    pub fn read(&self, query: &Query) -> ReadValue {
        match query {
            Query::Account(name) => {
                ReadValue::Account(self.book.account(name).map(|number| self.view(&self.book.accounts[number])))
            }
            Query::Transaction(id) => ReadValue::Transaction(self.view_transaction(*id)),
            Query::RequestOutcome(id) => ReadValue::RequestOutcome(self.found(*id)),
            Query::TrialBalance => ReadValue::TrialBalance(self.trial_balance()),
        }
    }

    fn view(&self, account: &Account<'_>) -> AccountView {
        AccountView {
            asset: self.book.assets[account.asset].code.clone(),
            status: account.status,
            totals: account.totals,
            posted: account.posted(),
            available: account.available(),
        }
    }

    /// All accounts by name.
    pub fn accounts(&self) -> BTreeMap<String, AccountView> {
        self.book.accounts.iter().map(|account| (account.name.to_owned(), self.view(account))).collect()
    }

    fn view_transaction(&self, id: Id) -> Option<TransactionView> {
        let transaction = self.book.transaction(id)?;
        let confirmed = |line: &Line| match transaction.state {
            TransactionState::Tried => None,
            TransactionState::Confirmed | TransactionState::Cancelled | TransactionState::Expired => {
                Some(line.confirmed)
            }
        };
        let posting = |line: &Line| PostingView {
            account: self.book.accounts[line.account].name.to_owned(),
            side: line.side,
            amount: line.amount,
            confirmed: confirmed(line),
            reversed: line.reversed,
        };
        let postings = transaction.lines.iter().map(posting).collect();
        Some(TransactionView { state: transaction.state, postings, deadline_ns: transaction.deadline_ns })
    }

    fn found(&self, id: Id) -> Option<Found> {
        let kept = self.book.request(id)?;
        Some(match &kept.outcome {
            KeptOutcome::Single { result, sequence } => Found::Single(Answer {
                at: kept.at,
                replay_of: None,
                journal_sequence: *sequence,
                state: None,
                result: result.clone(),
            }),
            KeptOutcome::Atomic(outcome) => {
                Found::Atomic(AtomicAnswer { at: kept.at, replay_of: None, outcome: outcome.clone() })
            }
        })
    }

    fn trial_balance(&self) -> Vec<TrialLine> {
        let mut lines: BTreeMap<&str, (Totals, u64)> = BTreeMap::new();
        for account in &self.book.accounts {
            let (totals, accounts) = lines.entry(&self.book.assets[account.asset].code).or_default();
            *accounts += 1;
            for side in [Side::Debit, Side::Credit] {
                *totals.pending_mut(side) += account.totals.pending(side);
                *totals.posted_mut(side) += account.totals.posted(side);
            }
        }
        let line = |(asset, (totals, accounts)): (&str, (Totals, u64))| TrialLine {
            asset: asset.to_owned(),
            totals,
            accounts,
        };
        lines.into_iter().map(line).collect()
    }
}
