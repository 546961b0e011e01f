//! A second opinion that does not look at the log's order: is there *any* order of the operations on one transaction, respecting real
//! time, that gives their answers?
//!
//! A transaction's states and the answers that they allow form a small machine of their own, so every transaction can be searched
//! alone (Wing and Gong's search with memory). Windows are bounded: few clients, few operations; larger ones are left out.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{Evidence, broken};
use crate::history::{
    Answer, AtomicOutcome, Call, Command, Completion, Consistency, Done, Id, LogPoint, Query, ReadValue, Reason,
    Refusal, TransactionState, Write,
};
use crate::verdict::Finding;

pub(super) const NAME: &str = "witness-free-search";

/// At most so many clients in a window.
const CLIENTS_LIMIT: usize = 4;
/// At most so many operations in a window.
const OPERATIONS_LIMIT: usize = 20;

/// Where a transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Standing {
    Absent,
    Fenced,
    Tried,
    Confirmed,
    Cancelled,
    Expired,
    /// Booked in one step.
    Booked,
}

/// What one operation saw or did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Observed {
    /// It moves a transaction from one standing to another.
    Moved(Standing, Standing),
    /// It was answered so in any of these standings.
    Found(&'static [Standing]),
    /// Nobody knows: it may have taken this effect once, or none.
    Perhaps(&'static [(Standing, Standing)]),
}

struct Step {
    operation: usize,
    process: u32,
    invoked_ns: u64,
    completed_ns: u64,
    observed: Observed,
}

#[derive(Default)]
struct Window {
    steps: Vec<Step>,
    expires: bool,
}

pub(super) fn check(evidence: &Evidence<'_>) -> Finding {
    let mut windows = windows(evidence);
    let mut ids: Vec<Id> = windows.keys().copied().collect();
    ids.sort_unstable();
    for id in ids {
        let Some(window) = windows.remove(&id) else {
            continue;
        };
        let clients: BTreeSet<u32> = window.steps.iter().map(|step| step.process).collect();
        if window.steps.len() > OPERATIONS_LIMIT || clients.len() > CLIENTS_LIMIT {
            continue;
        }
        if !(Search { window: &window, seen: HashSet::new() }).any_order(0, Standing::Absent) {
            let operations = smallest(&window);
            let explanation =
                format!("no order of the operations on transaction {id} that respects real time gives their answers");
            return broken(NAME, explanation, operations);
        }
    }
    Finding::Holds
}

/// Operations without which the rest could be ordered are needed to show the problem; all others are left out.
fn smallest(window: &Window) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..window.steps.len()).collect();
    for leave_out in (0..window.steps.len()).rev() {
        let fewer: Vec<usize> = kept.iter().copied().filter(|step| *step != leave_out).collect();
        let copy = |step: &usize| {
            let Step { operation, process, invoked_ns, completed_ns, observed } = window.steps[*step];
            Step { operation, process, invoked_ns, completed_ns, observed }
        };
        let smaller = Window { steps: fewer.iter().map(copy).collect(), expires: window.expires };
        // Without what made the transaction, anything after it looks wrong: only observations are left out.
        let is_move = !matches!(window.steps[leave_out].observed, Observed::Found(_));
        if !is_move && !(Search { window: &smaller, seen: HashSet::new() }).any_order(0, Standing::Absent) {
            kept = fewer;
        }
    }
    kept.into_iter().map(|step| window.steps[step].operation).collect()
}

struct Search<'window> {
    window: &'window Window,
    seen: HashSet<(u32, Standing)>,
}

impl Search<'_> {
    /// Whether the steps that are not done yet can follow.
    fn any_order(&mut self, done: u32, standing: Standing) -> bool {
        if !self.seen.insert((done, standing)) {
            return false;
        }
        let open = |position: &usize| done & (1 << position) == 0;
        let steps = &self.window.steps;
        let certain = |position: &usize| !matches!(steps[*position].observed, Observed::Perhaps(_));
        let left: Vec<usize> = (0..steps.len()).filter(open).collect();
        if !left.iter().any(certain) {
            return true;
        }
        if standing == Standing::Tried && self.window.expires && self.any_order(done, Standing::Expired) {
            return true;
        }
        let first_end = left.iter().map(|position| steps[*position].completed_ns).min().unwrap_or(u64::MAX);
        for position in left {
            let step = &self.window.steps[position];
            // Something that was asked after another had ended cannot come before it.
            if step.invoked_ns > first_end {
                continue;
            }
            let after = done | (1 << position);
            let next: Vec<Standing> = match step.observed {
                Observed::Moved(from, to) if from == standing => vec![to],
                Observed::Found(standings) if standings.contains(&standing) => vec![standing],
                Observed::Perhaps(moves) => {
                    moves.iter().filter(|(from, _)| *from == standing).map(|(_, to)| *to).collect()
                }
                Observed::Moved(..) | Observed::Found(_) => Vec::new(),
            };
            if next.into_iter().any(|next| self.any_order(after, next)) {
                return true;
            }
        }
        false
    }
}

fn windows(evidence: &Evidence<'_>) -> HashMap<Id, Window> {
    let operations = &evidence.history.operations;
    let mut uses: HashMap<Id, u32> = HashMap::new();
    for write in operations.iter().flat_map(|operation| operation.call.writes()) {
        *uses.entry(write.request_id).or_default() += 1;
    }
    let mut windows: HashMap<Id, Window> = HashMap::new();
    for (number, operation) in operations.iter().enumerate() {
        let step = |observed, completed_ns| Step {
            operation: number,
            process: operation.process,
            invoked_ns: operation.invoked_ns,
            completed_ns,
            observed,
        };
        let mut add = |write: &Write, observed: Option<Observed>, completed_ns: u64| {
            let Some(id) = write.transaction() else {
                return;
            };
            let window = windows.entry(id).or_default();
            window.expires |= matches!(write.command, Command::Try { timeout_ns: Some(_), .. });
            window.steps.extend(observed.map(|observed| step(observed, completed_ns)));
        };
        // An answer under an id that was used more than once may repeat an older one.
        let fresh = |write: &Write, replay_of: Option<LogPoint>| {
            replay_of.is_none() || uses.get(&write.request_id).copied() == Some(1)
        };
        match (&operation.call, &operation.completion) {
            (call, Completion::Unknown(_)) => {
                for write in call.writes() {
                    add(write, perhaps(&write.command), u64::MAX);
                }
            }
            (Call::Write(_) | Call::Batch(_), Completion::Answered(_) | Completion::Batch(_)) => {
                let answers: &[Answer] = match &operation.completion {
                    Completion::Answered(answer) => std::slice::from_ref(answer),
                    Completion::Batch(answers) => answers,
                    _ => &[],
                };
                for (write, answer) in operation.call.writes().iter().zip(answers) {
                    let seen = fresh(write, answer.replay_of)
                        .then(|| {
                            observed(
                                &write.command,
                                &answer.result,
                                answer.replay_of.is_some(),
                                answer.journal_sequence,
                            )
                        })
                        .flatten();
                    add(write, seen, operation.completed_ns);
                }
            }
            (Call::Atomic(batch), Completion::Atomic(answer)) if answer.replay_of.is_none() => {
                let AtomicOutcome::Applied(items) = &answer.outcome else {
                    continue;
                };
                for (write, item) in batch.items.iter().zip(items) {
                    let seen = fresh(write, item.replay_of)
                        .then(|| {
                            observed(&write.command, &item.result, item.replay_of.is_some(), item.journal_sequence)
                        })
                        .flatten();
                    add(write, seen, operation.completed_ns);
                }
            }
            (Call::Read(read), Completion::Read(answer)) if read.consistency == Consistency::Linearizable => {
                if let (Query::Transaction(id), ReadValue::Transaction(view)) = (&read.query, &answer.value) {
                    let found = Observed::Found(standings(view.as_ref().map(|view| view.state)));
                    windows.entry(*id).or_default().steps.push(step(found, operation.completed_ns));
                }
            }
            _ => {}
        }
    }
    windows
}

fn standings(state: Option<TransactionState>) -> &'static [Standing] {
    match state {
        None => &[Standing::Absent],
        Some(TransactionState::Tried) => &[Standing::Tried],
        Some(TransactionState::Confirmed) => &[Standing::Confirmed, Standing::Booked],
        Some(TransactionState::Cancelled) => &[Standing::Cancelled, Standing::Fenced],
        Some(TransactionState::Expired) => &[Standing::Expired],
    }
}

fn perhaps(command: &Command) -> Option<Observed> {
    Some(Observed::Perhaps(match command {
        Command::Try { .. } => &[(Standing::Absent, Standing::Tried)],
        Command::Post { .. } | Command::Reverse { .. } => &[(Standing::Absent, Standing::Booked)],
        Command::Confirm { .. } => &[(Standing::Tried, Standing::Confirmed)],
        Command::Cancel { .. } => &[(Standing::Tried, Standing::Cancelled), (Standing::Absent, Standing::Fenced)],
        _ => return None,
    }))
}

fn observed(
    command: &Command,
    result: &Result<Done, Refusal>,
    replayed: bool,
    sequence: Option<u64>,
) -> Option<Observed> {
    use Standing::{Absent, Booked, Cancelled, Confirmed, Expired, Fenced, Tried};
    let found = |standings| Some(Observed::Found(standings));
    match (command, result) {
        (_, Err(refusal)) => refused(command, refusal.reason),
        (Command::Try { .. }, Ok(_)) if replayed => found(&[Tried, Confirmed, Cancelled, Expired]),
        (Command::Try { .. }, Ok(_)) => Some(Observed::Moved(Absent, Tried)),
        (Command::Post { .. } | Command::Reverse { .. }, Ok(_)) if replayed => found(&[Booked]),
        (Command::Post { .. } | Command::Reverse { .. }, Ok(_)) => Some(Observed::Moved(Absent, Booked)),
        // What was booked in one step is confirmed from the start.
        (Command::Confirm { .. }, Ok(_)) if replayed => found(&[Confirmed, Booked]),
        (Command::Confirm { .. }, Ok(_)) => Some(Observed::Moved(Tried, Confirmed)),
        (Command::Cancel { .. }, Ok(_)) if replayed => found(&[Cancelled, Fenced]),
        (Command::Cancel { .. }, Ok(done)) if done.empty => Some(Observed::Moved(Absent, Fenced)),
        (Command::Cancel { .. }, Ok(_)) if sequence.is_none() => found(&[Expired]),
        (Command::Cancel { .. }, Ok(_)) => Some(Observed::Moved(Tried, Cancelled)),
        (_, Ok(_)) => None,
    }
}

fn refused(command: &Command, reason: Reason) -> Option<Observed> {
    use Standing::{Absent, Booked, Cancelled, Confirmed, Expired, Fenced, Tried};
    let makes = matches!(command, Command::Post { .. } | Command::Try { .. } | Command::Reverse { .. });
    let standings: &'static [Standing] = match reason {
        Reason::RequestIdReused | Reason::NotApplied => return None,
        reason if reason.is_shape() => return None,
        Reason::CancelledBeforeTry => &[Fenced],
        Reason::TransactionExistsDifferent => &[Tried, Confirmed, Cancelled, Expired, Booked],
        // Whatever else a new transaction is refused for, it is not there afterwards.
        _ if makes => &[Absent],
        Reason::TransactionNotFound => &[Absent],
        Reason::AlreadyCancelled => &[Cancelled, Fenced],
        Reason::TransactionExpired => &[Expired],
        Reason::AlreadyConfirmed => &[Confirmed, Booked],
        Reason::ConfirmDiffers => &[Confirmed, Booked],
        _ => &[Tried],
    };
    Some(Observed::Found(standings))
}
