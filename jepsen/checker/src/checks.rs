//! The checks, one file each. A check looks at the whole history and says whether one promise was kept in it.
//!
//! Those that trust the places of the answers and those that do not stand side by side: the order of the log must not be the only evidence.

mod answers_unique;
mod complete;
mod coverage;
mod facts;
mod invariants;
mod model_replay;
mod no_lost_acknowledged;
mod reads;
mod real_time;
mod replay;
mod replicas_agree;
mod witness_free;

pub use coverage::Demands;

use crate::history::{History, Write};
use crate::timeline::{Subject, Timeline};
use crate::verdict::{Finding, Verdict, Violation};
use facts::Facts;
use replay::Replay;

/// What the checks look at.
pub struct Evidence<'history> {
    history: &'history History,
    timeline: Timeline<'history>,
    facts: Facts<'history>,
    replay: Replay,
    demands: &'history Demands,
}

/// A check.
pub type Check = fn(&Evidence<'_>) -> Finding;

/// All checks by name.
pub const ALL: &[(&str, Check)] = &[
    (complete::NAME, complete::check),
    (answers_unique::NAME, answers_unique::check),
    (real_time::NAME, real_time::check),
    (model_replay::NAME, model_replay::check),
    (reads::NAME, reads::check),
    (replicas_agree::NAME, replicas_agree::check),
    (no_lost_acknowledged::NAME, no_lost_acknowledged::check),
    (witness_free::NAME, witness_free::check),
    (invariants::i01_trial_balance::NAME, invariants::i01_trial_balance::check),
    (invariants::i02_transactions_balance::NAME, invariants::i02_transactions_balance::check),
    (invariants::i03_pending_is_tried::NAME, invariants::i03_pending_is_tried::check),
    (invariants::i04_limits::NAME, invariants::i04_limits::check),
    (invariants::i05_settling_never_fails::NAME, invariants::i05_settling_never_fails::check),
    (invariants::i06_resolves_once::NAME, invariants::i06_resolves_once::check),
    (invariants::i07_posted_never_falls::NAME, invariants::i07_posted_never_falls::check),
    (invariants::i08_range::NAME, invariants::i08_range::check),
    (invariants::i09_time_and_sequence::NAME, invariants::i09_time_and_sequence::check),
    (invariants::i10_refusals_change_nothing::NAME, invariants::i10_refusals_change_nothing::check),
    (invariants::i11_same_state::NAME, invariants::i11_same_state::check),
    (invariants::i12_journal_gives_balances::NAME, invariants::i12_journal_gives_balances::check),
    (invariants::i13_reversals::NAME, invariants::i13_reversals::check),
    (coverage::NAME, coverage::check),
];

/// Runs every check over the history of a run, which carries its own demands.
pub fn check_run(history: &History) -> Verdict {
    check(history, &Demands::planned(history))
}

/// Runs every check over a history.
pub fn check(history: &History, demands: &Demands) -> Verdict {
    let timeline = Timeline::new(history);
    let facts = Facts::new(&timeline);
    let replay = Replay::new(history, &timeline);
    let evidence = Evidence { history, timeline, facts, replay, demands };
    Verdict::of(ALL.iter().map(|(_, check)| check(&evidence)))
}

fn broken(check: &'static str, explanation: String, operations: Vec<usize>) -> Finding {
    Finding::Broken(Violation { check, explanation, operations })
}

/// The numbers of the operations that touch what one operation touches (accounts, transactions, ids), up to it in log order.
fn related(history: &History, timeline: &Timeline<'_>, number: usize) -> Vec<usize> {
    let touched: Touched<'_> = Touched::of_operation(history, number);
    let mut numbers = Vec::new();
    let end = timeline.events.iter().rposition(|event| event.operation == Some(number));
    let events = end.map_or(&timeline.events[..], |end| &timeline.events[..=end]);
    for event in events {
        let same = match event.subject {
            Subject::Write(write, _) => touched.meets(write),
            Subject::Atomic(batch, _) => batch.items.iter().any(|item| touched.meets(item)),
            Subject::Read(..) | Subject::Dump(_) => false,
        };
        if let Some(operation) = event.operation.filter(|operation| same && !numbers.contains(operation)) {
            numbers.push(operation);
        }
        // A long history may touch one account a million times: the last ones show it.
        if numbers.len() > crate::verdict::SHOWN_LIMIT * 2 {
            numbers.drain(..crate::verdict::SHOWN_LIMIT);
        }
    }
    numbers.retain(|operation| *operation != number);
    numbers.push(number);
    numbers
}

/// What an operation touches.
#[derive(Default)]
struct Touched<'history> {
    accounts: Vec<&'history str>,
    ids: Vec<crate::history::Id>,
}

impl<'history> Touched<'history> {
    fn of_operation(history: &'history History, number: usize) -> Touched<'history> {
        use crate::history::{Call, Query};
        let mut touched = Touched::default();
        let Some(operation) = history.operations.get(number) else {
            return touched;
        };
        for write in operation.call.writes() {
            touched.add(write);
        }
        if let Call::Atomic(batch) = &operation.call {
            touched.ids.push(batch.request_id);
        }
        if let Call::Read(read) = &operation.call {
            match &read.query {
                Query::Account(name) => touched.accounts.push(name),
                Query::Transaction(id) | Query::RequestOutcome(id) => touched.ids.push(*id),
                Query::TrialBalance => {}
            }
        }
        touched
    }

    fn add(&mut self, write: &'history Write) {
        self.ids.push(write.request_id);
        self.ids.extend(write.transaction());
        if let crate::history::Command::Reverse { original, .. } = &write.command {
            self.ids.push(*original);
        }
        self.accounts.extend(accounts_of(write));
    }

    fn meets(&self, write: &Write) -> bool {
        self.ids.contains(&write.request_id)
            || write.transaction().is_some_and(|id| self.ids.contains(&id))
            || accounts_of(write).any(|account| self.accounts.contains(&account))
    }
}

/// The accounts that a command names.
fn accounts_of(write: &Write) -> impl Iterator<Item = &str> {
    use crate::history::Command;
    let (one, postings) = match &write.command {
        Command::OpenAccount { name, .. } => (Some(name.as_str()), &[][..]),
        Command::SetLimits { account, .. }
        | Command::Freeze { account }
        | Command::Unfreeze { account }
        | Command::Close { account } => (Some(account.as_str()), &[][..]),
        Command::Post { postings, .. } | Command::Try { postings, .. } => (None, postings.as_slice()),
        Command::RegisterAsset { .. } | Command::Confirm { .. } | Command::Cancel { .. } | Command::Reverse { .. } => {
            (None, &[][..])
        }
    };
    one.into_iter().chain(postings.iter().map(|posting| posting.account.as_str()))
}
