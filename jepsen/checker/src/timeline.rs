//! The history in the order of the log: every decided answer at its place, reads and dumps after the last command that they reflect.
//!
//! What a client never heard of may still have taken effect. An answer that repeats it tells where, so it is put there ("hidden"); an
//! answer that repeats something that nobody can have asked for is a phantom. What nobody repeated stays unresolved.

use std::collections::{HashMap, HashSet};

use crate::history::{
    Answer, AtomicAnswer, AtomicBatch, AtomicOutcome, Call, Command, Completion, Done, Found, History, Id, ItemAnswer,
    LogPoint, Place, Read, ReadAnswer, ReadValue, Reason, ReplicaDump, Write,
};
use crate::model::content;

/// What stands at a place of the log.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'history> {
    /// A command. A hidden one carries the answer that repeated it.
    Write(&'history Write, &'history Answer),
    /// An atomic batch with its answer; a hidden one's answer may be known only from one of its items.
    Atomic(&'history AtomicBatch, Option<&'history AtomicAnswer>),
    /// A read.
    Read(&'history Read, &'history ReadAnswer),
    /// A replica's dump.
    Dump(&'history ReplicaDump),
}

/// One entry of the timeline.
#[derive(Debug, Clone, Copy)]
pub struct Event<'history> {
    /// Where and when in the log.
    pub at: LogPoint,
    /// The operation's number; that of the unknown one, if hidden. None of a dump.
    pub operation: Option<usize>,
    /// Whether no client heard of it when it happened.
    pub hidden: bool,
    /// What it is.
    pub subject: Subject<'history>,
}

/// Something that changed the book, as an answer told it.
#[derive(Debug, Clone, Copy)]
pub struct Booked<'history> {
    /// Where; the time is the item's own, if it was part of an atomic batch that told it.
    pub at: LogPoint,
    /// The operation's number.
    pub operation: usize,
    /// The command.
    pub write: &'history Write,
    /// Its journal record, if it was told.
    pub sequence: Option<u64>,
    /// What it told.
    pub done: Done,
}

/// The history in the order of the log.
#[derive(Debug)]
pub struct Timeline<'history> {
    /// In order.
    pub events: Vec<Event<'history>>,
    /// Operations of which nobody knows whether they took effect.
    pub unresolved: Vec<usize>,
    /// Operations whose answer repeats what nobody asked for, with the place that they name.
    pub phantoms: Vec<(usize, Place)>,
}

/// An answer that repeats one at a place where nobody heard an answer.
struct Echo<'history> {
    first: LogPoint,
    operation: usize,
    id: Id,
    kind: EchoKind<'history>,
}

enum EchoKind<'history> {
    Single(&'history Write, &'history Answer),
    Atomic(&'history AtomicAnswer),
    /// Of a request that was only looked up.
    Looked(&'history Answer),
}

const AFTER_ALL: u32 = u32::MAX;

impl<'history> Timeline<'history> {
    /// Orders a history.
    pub fn new(history: &'history History) -> Timeline<'history> {
        let mut timeline = Timeline { events: seen(history), unresolved: Vec::new(), phantoms: Vec::new() };
        timeline.place_hidden(history);
        timeline.find_unresolved(history);
        timeline.events.sort_by_key(|event| (event.at.place, matches!(event.subject, Subject::Dump(_))));
        timeline
    }

    fn place_hidden(&mut self, history: &'history History) {
        let mut places: HashSet<Place> = self
            .events
            .iter()
            .filter(|event| matches!(event.subject, Subject::Write(..) | Subject::Atomic(..)))
            .map(|event| event.at.place)
            .collect();
        let mut echoes = self.echoes(&places);
        if echoes.is_empty() {
            return;
        }
        let unknown = Unknown::new(history, self.named_places());
        // An atomic batch's own answer says more than one of its items; an answer under the same id more than one under another.
        echoes.sort_by_key(|echo| match &echo.kind {
            EchoKind::Atomic(_) => 0,
            EchoKind::Looked(_) => 1,
            EchoKind::Single(..) if unknown.may_be(echo.id, echo.first.place) => 2,
            EchoKind::Single(..) => 3,
        });
        let mut used: HashSet<Id> = HashSet::new();
        for echo in echoes {
            if places.contains(&echo.first.place) {
                continue;
            }
            match unknown.explain(history, &echo, &used) {
                Some(event) => {
                    used.insert(match event.subject {
                        Subject::Write(write, _) => write.request_id,
                        Subject::Atomic(batch, _) => batch.request_id,
                        Subject::Read(..) | Subject::Dump(_) => echo.id,
                    });
                    places.insert(echo.first.place);
                    self.events.push(event);
                }
                None => self.phantoms.push((echo.operation, echo.first.place)),
            }
        }
    }

    /// The places that the answers under an id say they repeat.
    fn named_places(&self) -> HashMap<Id, HashSet<Place>> {
        let mut named: HashMap<Id, HashSet<Place>> = HashMap::new();
        for event in &self.events {
            let (id, replay_of) = match event.subject {
                Subject::Write(write, answer) => (write.request_id, answer.replay_of),
                Subject::Atomic(batch, Some(answer)) => (batch.request_id, answer.replay_of),
                Subject::Atomic(_, None) | Subject::Read(..) | Subject::Dump(_) => continue,
            };
            if let Some(first) = replay_of {
                named.entry(id).or_default().insert(first.place);
            }
        }
        named
    }

    fn echoes(&self, places: &HashSet<Place>) -> Vec<Echo<'history>> {
        let unheard = |first: &LogPoint| !places.contains(&first.place);
        let mut echoes = Vec::new();
        for event in &self.events {
            let Some(operation) = event.operation else {
                continue;
            };
            match event.subject {
                Subject::Write(write, answer) => {
                    if let Some(first) = answer.replay_of.filter(unheard) {
                        let kind = EchoKind::Single(write, answer);
                        echoes.push(Echo { first, operation, id: write.request_id, kind });
                    }
                }
                Subject::Atomic(batch, Some(answer)) => {
                    if let Some(first) = answer.replay_of.filter(unheard) {
                        echoes.push(Echo { first, operation, id: batch.request_id, kind: EchoKind::Atomic(answer) });
                    }
                }
                Subject::Read(read, answer) => {
                    let crate::history::Query::RequestOutcome(id) = read.query else {
                        continue;
                    };
                    match &answer.value {
                        ReadValue::RequestOutcome(Some(Found::Single(found))) if unheard(&found.at) => {
                            echoes.push(Echo { first: found.at, operation, id, kind: EchoKind::Looked(found) });
                        }
                        ReadValue::RequestOutcome(Some(Found::Atomic(found))) if unheard(&found.at) => {
                            echoes.push(Echo { first: found.at, operation, id, kind: EchoKind::Atomic(found) });
                        }
                        ReadValue::Account(_)
                        | ReadValue::Transaction(_)
                        | ReadValue::RequestOutcome(_)
                        | ReadValue::TrialBalance(_) => {}
                    }
                }
                Subject::Atomic(_, None) | Subject::Dump(_) => {}
            }
        }
        echoes
    }

    fn find_unresolved(&mut self, history: &History) {
        let uncertain = |completion: &Completion| matches!(completion, Completion::Unknown(_));
        if !history.operations.iter().any(|operation| uncertain(&operation.completion)) {
            return;
        }
        let mut decided: HashSet<Id> = HashSet::new();
        let reused = |result: &Result<Done, crate::history::Refusal>| {
            result.as_ref().is_err_and(|refusal| refusal.reason == Reason::RequestIdReused)
        };
        for event in &self.events {
            match event.subject {
                Subject::Write(write, answer) if !reused(&answer.result) => {
                    decided.insert(write.request_id);
                }
                Subject::Atomic(batch, answer) => {
                    if !matches!(answer, Some(AtomicAnswer { outcome: AtomicOutcome::Refused(_), .. })) {
                        decided.insert(batch.request_id);
                    }
                    let items: &[_] = match answer.map(|answer| &answer.outcome) {
                        Some(AtomicOutcome::Applied(items) | AtomicOutcome::NotApplied(items)) => items,
                        Some(AtomicOutcome::Refused(_)) | None => &[],
                    };
                    // Of a batch that was not applied, the culprit's refusal is kept under its own id; all others stay free.
                    let free = |item: &ItemAnswer| {
                        item.result.as_ref().is_err_and(|refusal| refusal.reason == Reason::NotApplied)
                    };
                    let kept = batch.items.iter().zip(items).filter(|(_, item)| !free(item) && !reused(&item.result));
                    decided.extend(kept.map(|(write, _)| write.request_id));
                }
                Subject::Write(..) | Subject::Read(..) | Subject::Dump(_) => {}
            }
        }
        for (number, operation) in history.operations.iter().enumerate() {
            let resolved = match &operation.call {
                Call::Write(write) => decided.contains(&write.request_id),
                Call::Batch(items) => items.iter().all(|item| decided.contains(&item.request_id)),
                Call::Atomic(batch) => decided.contains(&batch.request_id),
                Call::Read(_) => true,
            };
            if uncertain(&operation.completion) && !resolved {
                self.unresolved.push(number);
            }
        }
    }

    /// Everything that changed the book or was accepted without a change, in order, as the answers told it; replays are not repeated.
    pub fn booked(&self) -> Vec<Booked<'history>> {
        let mut booked = Vec::new();
        let mut records: HashSet<u64> = HashSet::new();
        for event in &self.events {
            let Some(operation) = event.operation else {
                continue;
            };
            match event.subject {
                // What nobody heard of may itself have repeated an earlier answer: then its record was booked before.
                Subject::Write(_, answer)
                    if event.hidden && answer.journal_sequence.is_some_and(|sequence| records.contains(&sequence)) => {}
                Subject::Write(write, answer) if event.hidden || answer.replay_of.is_none() => {
                    if let Ok(done) = answer.result {
                        records.extend(answer.journal_sequence);
                        booked.push(Booked { at: event.at, operation, write, sequence: answer.journal_sequence, done });
                    }
                }
                Subject::Atomic(batch, Some(answer)) if event.hidden || answer.replay_of.is_none() => {
                    let AtomicOutcome::Applied(items) = &answer.outcome else {
                        continue;
                    };
                    for (write, item) in batch.items.iter().zip(items).filter(|(_, item)| item.replay_of.is_none()) {
                        let at = LogPoint { time_ns: item.time_ns.unwrap_or(event.at.time_ns), ..event.at };
                        if let Ok(done) = item.result {
                            records.extend(item.journal_sequence);
                            booked.push(Booked { at, operation, write, sequence: item.journal_sequence, done });
                        }
                    }
                }
                Subject::Write(..) | Subject::Atomic(..) | Subject::Read(..) | Subject::Dump(_) => {}
            }
        }
        booked
    }
}

fn seen(history: &History) -> Vec<Event<'_>> {
    let mut events = Vec::with_capacity(history.operations.len() + history.dumps.len());
    for (number, operation) in history.operations.iter().enumerate() {
        let mut push = |at, subject| events.push(Event { at, operation: Some(number), hidden: false, subject });
        match (&operation.call, &operation.completion) {
            (Call::Write(write), Completion::Answered(answer)) => push(answer.at, Subject::Write(write, answer)),
            (Call::Batch(items), Completion::Batch(answers)) => {
                for (write, answer) in items.iter().zip(answers) {
                    push(answer.at, Subject::Write(write, answer));
                }
            }
            (Call::Atomic(batch), Completion::Atomic(answer)) => {
                push(answer.at, Subject::Atomic(batch, Some(answer)));
            }
            (Call::Read(read), Completion::Read(answer)) => {
                let place = Place { index: answer.index, position: AFTER_ALL };
                push(LogPoint { place, time_ns: answer.time_ns }, Subject::Read(read, answer));
            }
            _ => {}
        }
    }
    for dump in &history.dumps {
        let place = Place { index: dump.index, position: AFTER_ALL };
        let at = LogPoint { place, time_ns: dump.time_ns };
        events.push(Event { at, operation: None, hidden: false, subject: Subject::Dump(dump) });
    }
    events
}

/// Whether a confirm may have repeated something else than its like: a whole confirm repeats one that names the whole amounts, and both
/// repeat what was booked in one step. The model says whether the amounts are the same.
fn may_be_confirmed_by(confirm: &Write, first: &Write) -> bool {
    matches!(confirm.command, Command::Confirm { .. })
        && matches!(first.command, Command::Confirm { .. } | Command::Post { .. } | Command::Reverse { .. })
}

/// The operations of which nobody heard.
struct Unknown {
    /// By request id, of items of atomic batches too: the operation and the position in it.
    by_id: HashMap<Id, Vec<(usize, usize)>>,
    /// The places that the answers under an id say they repeat. An id whose answers name another place was decided there.
    named: HashMap<Id, HashSet<Place>>,
}

impl Unknown {
    fn new(history: &History, named: HashMap<Id, HashSet<Place>>) -> Unknown {
        let mut by_id: HashMap<Id, Vec<(usize, usize)>> = HashMap::new();
        for (number, operation) in history.operations.iter().enumerate() {
            if !matches!(operation.completion, Completion::Unknown(_)) {
                continue;
            }
            if let Call::Atomic(batch) = &operation.call {
                by_id.entry(batch.request_id).or_default().push((number, 0));
            }
            for (position, write) in operation.call.writes().iter().enumerate() {
                by_id.entry(write.request_id).or_default().push((number, position));
            }
        }
        Unknown { by_id, named }
    }

    /// Whether a request of which nobody heard may have been decided at a place first.
    fn may_be(&self, id: Id, place: Place) -> bool {
        let elsewhere = |places: &HashSet<Place>| places.iter().any(|named| *named != place);
        self.by_id.contains_key(&id) && !self.named.get(&id).is_some_and(elsewhere)
    }

    /// The unknown operation that an echo repeats, at the place that it names.
    fn explain<'history>(
        &self,
        history: &'history History,
        echo: &Echo<'history>,
        used: &HashSet<Id>,
    ) -> Option<Event<'history>> {
        let known = self.by_id.get(&echo.id).filter(|_| self.may_be(echo.id, echo.first.place));
        let under_id = known.map_or(&[][..], Vec::as_slice);
        for (number, position) in under_id {
            let call = &history.operations[*number].call;
            let hidden = |at, subject| Some(Event { at, operation: Some(*number), hidden: true, subject });
            match (&echo.kind, call) {
                (EchoKind::Atomic(answer), Call::Atomic(batch)) if batch.request_id == echo.id => {
                    return hidden(echo.first, Subject::Atomic(batch, Some(answer)));
                }
                (EchoKind::Single(write, answer), Call::Write(_) | Call::Batch(_)) => {
                    let asked = call.writes().get(*position)?;
                    if content::same_request(echo.id, &asked.command, &write.command) {
                        return hidden(echo.first, Subject::Write(asked, answer));
                    }
                }
                (EchoKind::Looked(answer), Call::Write(_) | Call::Batch(_)) => {
                    return hidden(echo.first, Subject::Write(call.writes().get(*position)?, answer));
                }
                (EchoKind::Single(..) | EchoKind::Looked(_), Call::Atomic(batch)) => {
                    let item = batch.items.get(*position)?;
                    let is_other = matches!(&echo.kind, EchoKind::Single(write, _)
                        if !content::same_request(echo.id, &item.command, &write.command));
                    if is_other || !self.may_be(batch.request_id, echo.first.place) {
                        continue;
                    }
                    // The item's time is the batch's own and one more for every item up to it.
                    let later = u64::try_from(*position).ok()? + 1;
                    let at = LogPoint { time_ns: echo.first.time_ns.checked_sub(later)?, ..echo.first };
                    return hidden(at, Subject::Atomic(batch, None));
                }
                (EchoKind::Atomic(_), Call::Write(_) | Call::Batch(_) | Call::Atomic(_)) | (_, Call::Read(_)) => {}
            }
        }
        self.explain_other_id(history, echo, used)
    }

    /// The same operation on the same transaction under another id.
    fn explain_other_id<'history>(
        &self,
        history: &'history History,
        echo: &Echo<'history>,
        used: &HashSet<Id>,
    ) -> Option<Event<'history>> {
        let EchoKind::Single(write, answer) = echo.kind else {
            return None;
        };
        let mut candidates: Vec<(usize, usize)> = self.by_id.values().flatten().copied().collect();
        candidates.sort_unstable();
        for (number, position) in candidates {
            let call = &history.operations[number].call;
            let Some(asked) = call.writes().get(position) else {
                continue;
            };
            let same = asked.transaction() == write.transaction()
                && (content::same_body(&asked.command, &write.command) || may_be_confirmed_by(write, asked));
            if !same || used.contains(&asked.request_id) || !self.may_be(asked.request_id, echo.first.place) {
                continue;
            }
            let (at, subject) = match call {
                Call::Atomic(batch) => {
                    let later = u64::try_from(position).ok()? + 1;
                    let time_ns = echo.first.time_ns.checked_sub(later)?;
                    (LogPoint { time_ns, ..echo.first }, Subject::Atomic(batch, None))
                }
                Call::Write(_) | Call::Batch(_) => (echo.first, Subject::Write(asked, answer)),
                Call::Read(_) => continue,
            };
            return Some(Event { at, operation: Some(number), hidden: true, subject });
        }
        None
    }
}
