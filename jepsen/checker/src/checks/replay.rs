//! One pass of the model over the timeline; three checks report from it: answers, values read, dumps.

use crate::history::{
    AccountView, Answer, AtomicAnswer, AtomicOutcome, Done, Found, History, ItemAnswer, LogPoint, PostingView,
    ReadAnswer, ReadValue, Refusal, ReplicaDump, TransactionView,
};
use crate::model::Model;
use crate::timeline::{Subject, Timeline};

/// The first difference of a kind.
#[derive(Debug, Clone)]
pub(super) struct Difference {
    /// None: a replica's dump.
    pub(super) operation: Option<usize>,
    pub(super) explanation: String,
}

/// What the model said otherwise.
#[derive(Debug, Default)]
pub(super) struct Replay {
    pub(super) answer: Option<Difference>,
    pub(super) read: Option<Difference>,
    pub(super) dump: Option<Difference>,
}

impl Replay {
    /// Replays a timeline up to the first answer that differs: what follows from a wrong answer says nothing more.
    pub(super) fn new(_history: &History, timeline: &Timeline<'_>) -> Replay {
        let mut model = Model::new();
        let mut replay = Replay::default();
        for event in &timeline.events {
            let at = event.at;
            let difference = match event.subject {
                Subject::Write(write, answer) => {
                    let expected = model.write(at, write);
                    let compared = if event.hidden { Ok(()) } else { same_answer(&expected, answer) };
                    compared.map_err(|what| format!("{what}; the model answers {expected:?}"))
                }
                Subject::Atomic(batch, answer) => {
                    let expected = model.atomic(at, batch);
                    let compared = match answer.filter(|_| !event.hidden) {
                        Some(answer) => same_atomic(&expected, answer),
                        None => Ok(()),
                    };
                    compared.map_err(|what| format!("{what}; the model answers {expected:?}"))
                }
                Subject::Read(read, answer) => {
                    model.pass_time(at);
                    let expected = model.read(&read.query);
                    if replay.read.is_none() && !same_read(&expected, answer) {
                        let explanation = format!(
                            "at index {} the book holds {expected:?}, but {:?} was read",
                            answer.index, answer.value
                        );
                        replay.read = Some(Difference { operation: event.operation, explanation });
                    }
                    Ok(())
                }
                Subject::Dump(dump) => {
                    model.pass_time(at);
                    replay.dump = replay.dump.or_else(|| differing_dump(&model, dump));
                    Ok(())
                }
            };
            if let Err(explanation) = difference {
                replay.answer = Some(Difference { operation: event.operation, explanation });
                break;
            }
        }
        replay
    }
}

fn differing_dump(model: &Model<'_>, dump: &ReplicaDump) -> Option<Difference> {
    let expected = model.accounts();
    let names: std::collections::BTreeSet<&String> = expected.keys().chain(dump.accounts.keys()).collect();
    let differing = names.into_iter().find(|name| expected.get(*name) != dump.accounts.get(*name));
    let what = match differing {
        Some(name) => format!(
            "holds {:?} of {name}, the model {:?}",
            dump.accounts.get(name).map(brief),
            expected.get(name).map(brief)
        ),
        None if dump.journal_sequence != model.journal_sequence() => {
            format!("is at journal sequence {}, the model at {}", dump.journal_sequence, model.journal_sequence())
        }
        None => return None,
    };
    let explanation = format!("replica {} at index {} {what}", dump.replica, dump.index);
    Some(Difference { operation: None, explanation })
}

fn brief(view: &AccountView) -> (crate::history::AccountStatus, crate::history::Totals) {
    (view.status, view.totals)
}

fn same_point(expected: Option<LogPoint>, told: Option<LogPoint>) -> bool {
    // The place says all; the time within an atomic batch may be told as the batch's or as the item's.
    expected.map(|point| point.place) == told.map(|point| point.place)
}

fn same_result(expected: &Result<Done, Refusal>, told: &Result<Done, Refusal>) -> Result<(), &'static str> {
    match (expected, told) {
        (Ok(expected), Ok(told)) if expected == told => Ok(()),
        (Ok(_), Ok(_)) => Err("the deadline or the emptiness differs"),
        (Err(expected), Err(told)) if expected.reason != told.reason => Err("the reason differs"),
        (Err(expected), Err(told)) => {
            let differs = |(key, value): (&String, &String)| told.metadata.get(key).is_some_and(|told| told != value);
            if expected.metadata.iter().any(differs) { Err("the reason's values differ") } else { Ok(()) }
        }
        (Ok(_), Err(_)) => Err("refused what should be accepted"),
        (Err(_), Ok(_)) => Err("accepted what should be refused"),
    }
}

/// What is told of one command, of an answer or of an item.
struct Told<'a> {
    replay_of: Option<LogPoint>,
    sequence: Option<u64>,
    state: Option<crate::history::TransactionState>,
    result: &'a Result<Done, Refusal>,
}

impl<'a> From<&'a Answer> for Told<'a> {
    fn from(answer: &'a Answer) -> Told<'a> {
        let Answer { at: _, replay_of, journal_sequence, state, result } = answer;
        Told { replay_of: *replay_of, sequence: *journal_sequence, state: *state, result }
    }
}

impl<'a> From<&'a ItemAnswer> for Told<'a> {
    fn from(answer: &'a ItemAnswer) -> Told<'a> {
        let ItemAnswer { time_ns: _, replay_of, journal_sequence, state, result } = answer;
        Told { replay_of: *replay_of, sequence: *journal_sequence, state: *state, result }
    }
}

fn same_told(expected: &Told<'_>, told: &Told<'_>) -> Result<(), &'static str> {
    same_result(expected.result, told.result)?;
    if !same_point(expected.replay_of, told.replay_of) {
        return Err("whether or what it repeats differs");
    }
    if expected.sequence != told.sequence {
        return Err("the journal sequence differs");
    }
    // A refusal need not tell the state; a success must.
    let must = told.result.is_ok();
    if (must || told.state.is_some()) && expected.state != told.state {
        return Err("the transaction's state differs");
    }
    Ok(())
}

fn same_answer(expected: &Answer, told: &Answer) -> Result<(), &'static str> {
    same_told(&expected.into(), &told.into())
}

fn same_items(expected: &[ItemAnswer], told: &[ItemAnswer], replayed: bool) -> Result<(), &'static str> {
    if expected.len() != told.len() {
        return Err("the number of items differs");
    }
    for (expected, told) in expected.iter().zip(told) {
        if expected.time_ns.is_some() && told.time_ns.is_some() && expected.time_ns != told.time_ns {
            return Err("an item's time differs");
        }
        let mut given: Told<'_> = told.into();
        if replayed {
            // What was kept says how it was then, or how it is now: both are the first answer.
            given.state = expected.state;
        }
        same_told(&expected.into(), &given)?;
    }
    Ok(())
}

fn same_atomic(expected: &AtomicAnswer, told: &AtomicAnswer) -> Result<(), &'static str> {
    if !same_point(expected.replay_of, told.replay_of) {
        return Err("whether or what it repeats differs");
    }
    let replayed = expected.replay_of.is_some();
    match (&expected.outcome, &told.outcome) {
        (AtomicOutcome::Applied(expected), AtomicOutcome::Applied(told))
        | (AtomicOutcome::NotApplied(expected), AtomicOutcome::NotApplied(told)) => {
            same_items(expected, told, replayed)
        }
        (AtomicOutcome::Refused(expected), AtomicOutcome::Refused(told)) if expected.reason == told.reason => Ok(()),
        (AtomicOutcome::Refused(_), AtomicOutcome::Refused(_)) => Err("the batch's reason differs"),
        (AtomicOutcome::Applied(_) | AtomicOutcome::NotApplied(_) | AtomicOutcome::Refused(_), _) => {
            Err("whether the batch was applied differs")
        }
    }
}

fn same_transaction(expected: &TransactionView, told: &TransactionView) -> bool {
    let counted = |view: &TransactionView| -> Vec<PostingView> {
        view.postings
            .iter()
            .filter(|posting| posting.amount > 0)
            .map(|posting| PostingView { confirmed: posting.confirmed.or(Some(0)), ..posting.clone() })
            .collect()
    };
    expected.state == told.state && expected.deadline_ns == told.deadline_ns && counted(expected) == counted(told)
}

fn same_found(expected: &Found, told: &Found) -> bool {
    match (expected, told) {
        (Found::Single(expected), Found::Single(told)) => {
            expected.at.place == told.at.place
                && expected.journal_sequence == told.journal_sequence
                && same_result(&expected.result, &told.result).is_ok()
        }
        (Found::Atomic(expected), Found::Atomic(told)) => {
            let now = AtomicAnswer { replay_of: expected.replay_of, ..told.clone() };
            let kept = AtomicAnswer { ..expected.clone() };
            expected.at.place == told.at.place
                && match (&kept.outcome, &now.outcome) {
                    (AtomicOutcome::Applied(expected), AtomicOutcome::Applied(told))
                    | (AtomicOutcome::NotApplied(expected), AtomicOutcome::NotApplied(told)) => {
                        same_items(expected, told, true).is_ok()
                    }
                    _ => false,
                }
        }
        (Found::Single(_), Found::Atomic(_)) | (Found::Atomic(_), Found::Single(_)) => false,
    }
}

fn same_read(expected: &ReadValue, answer: &ReadAnswer) -> bool {
    match (expected, &answer.value) {
        (ReadValue::Transaction(Some(expected)), ReadValue::Transaction(Some(told))) => {
            same_transaction(expected, told)
        }
        (ReadValue::RequestOutcome(Some(expected)), ReadValue::RequestOutcome(Some(told))) => {
            same_found(expected, told)
        }
        (ReadValue::TrialBalance(expected), ReadValue::TrialBalance(told)) => {
            // Which asset comes first says nothing.
            told.len() == expected.len() && expected.iter().all(|line| told.contains(line))
        }
        (expected, told) => expected == told,
    }
}
