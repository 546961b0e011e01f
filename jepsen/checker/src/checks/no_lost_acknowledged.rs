//! What was acknowledged is still there: on every replica's book at the end, in its journal, and wherever its id was looked up afterwards.

use std::collections::HashMap;

use super::{Evidence, broken};
use crate::history::{Call, Command, Completion, Consistency, JournalEvent, Query, ReadValue};
use crate::verdict::Finding;

pub(super) const NAME: &str = "no-lost-acknowledged";

/// The event that a command leaves in the journal.
fn event_of(command: &Command, empty: bool) -> JournalEvent {
    match command {
        Command::RegisterAsset { .. } => JournalEvent::AssetRegistered,
        Command::OpenAccount { .. } => JournalEvent::AccountOpened,
        Command::SetLimits { .. } => JournalEvent::LimitsSet,
        Command::Freeze { .. } => JournalEvent::AccountFrozen,
        Command::Unfreeze { .. } => JournalEvent::AccountUnfrozen,
        Command::Close { .. } => JournalEvent::AccountClosed,
        Command::Post { .. } => JournalEvent::Posted,
        Command::Try { .. } => JournalEvent::Tried,
        Command::Confirm { .. } => JournalEvent::Confirmed,
        Command::Cancel { .. } if empty => JournalEvent::CancelledEmpty,
        Command::Cancel { .. } => JournalEvent::Cancelled,
        Command::Reverse { .. } => JournalEvent::Reversed,
    }
}

pub(super) fn check(evidence: &Evidence<'_>) -> Finding {
    for booked in &evidence.facts.booked {
        let Some(sequence) = booked.sequence else {
            continue;
        };
        let number = booked.operation;
        let place = booked.at.place;
        for dump in evidence.history.dumps.iter().filter(|dump| dump.index >= place.index) {
            if dump.journal_sequence < sequence {
                let explanation = format!(
                    "operation {number} was acknowledged with journal sequence {sequence}, replica {} ends at {}",
                    dump.replica, dump.journal_sequence
                );
                return broken(NAME, explanation, vec![number]);
            }
            if dump.journal.is_empty() {
                continue;
            }
            let record = usize::try_from(sequence - 1).ok().and_then(|position| dump.journal.get(position));
            let event = event_of(&booked.write.command, booked.done.empty);
            let there = record.is_some_and(|record| {
                record.at.place == place && record.event == event && record.transaction == booked.write.transaction()
            });
            if !there {
                let explanation = format!(
                    "operation {number} was acknowledged as journal sequence {sequence}, where replica {} has {record:?}",
                    dump.replica
                );
                return broken(NAME, explanation, vec![number]);
            }
        }
    }
    if let Some(dump) = behind(evidence) {
        return Finding::Unclear(dump);
    }
    looked_up(evidence)
}

/// A dump that does not reflect all that was acknowledged says nothing about the rest.
fn behind(evidence: &Evidence<'_>) -> Option<String> {
    let last = evidence.facts.booked.iter().map(|booked| booked.at.place.index).max()?;
    let dump = evidence.history.dumps.iter().find(|dump| dump.index < last)?;
    Some(format!(
        "{NAME}: the dump of replica {} reflects index {}, before the last acknowledged index {last}",
        dump.replica, dump.index
    ))
}

fn looked_up(evidence: &Evidence<'_>) -> Finding {
    let mut decided = HashMap::new();
    for booked in &evidence.facts.booked {
        let operation = &evidence.history.operations[booked.operation];
        if !matches!(operation.completion, Completion::Unknown(_)) {
            decided.insert(booked.write.request_id, (booked.operation, operation.completed_ns));
        }
    }
    for (number, operation) in evidence.history.operations.iter().enumerate() {
        let (Call::Read(read), Completion::Read(answer)) = (&operation.call, &operation.completion) else {
            continue;
        };
        let (Query::RequestOutcome(id), ReadValue::RequestOutcome(None)) = (&read.query, &answer.value) else {
            continue;
        };
        if let (Consistency::Linearizable, Some((earlier, completed_ns))) = (read.consistency, decided.get(id))
            && *completed_ns < operation.invoked_ns
        {
            let explanation =
                format!("operation {earlier} was acknowledged, but look-up {number} of its id found nothing");
            return broken(NAME, explanation, vec![*earlier, number]);
        }
    }
    Finding::Holds
}
