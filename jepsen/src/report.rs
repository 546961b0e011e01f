//! What a run did, as a table for people: how often each class of operation was asked, and what the nemesis did.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use folio_checker::history::{AtomicOutcome, Completion, History, OperationClass};

use crate::tell::tell;

/// What became of the operations of one class.
#[derive(Default)]
struct Counted {
    done: u64,
    refused: u64,
    replayed: u64,
    unknown: u64,
}

impl Counted {
    fn add(&mut self, completion: &Completion) {
        match completion {
            Completion::Unknown(_) => self.unknown += 1,
            Completion::NotProposed { .. } => self.refused += 1,
            Completion::Answered(answer) if answer.replay_of.is_some() => self.replayed += 1,
            Completion::Answered(answer) if answer.result.is_err() => self.refused += 1,
            Completion::Atomic(answer) if answer.replay_of.is_some() => self.replayed += 1,
            Completion::Atomic(answer) => match answer.outcome {
                AtomicOutcome::Applied(_) => self.done += 1,
                AtomicOutcome::NotApplied(_) | AtomicOutcome::Refused(_) => self.refused += 1,
            },
            Completion::Answered(_) | Completion::Batch(_) | Completion::Read(_) => self.done += 1,
        }
    }
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header(head);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Prints what was asked, and what was done to the replicas.
pub(crate) fn summary(history: &History) {
    let mut operations = table(&["operation", "done", "refused", "replayed", "unknown"]);
    for (class, name) in OperationClass::ALL {
        let mut counted = Counted::default();
        for operation in history.operations.iter().filter(|operation| operation.call.class() == class) {
            counted.add(&operation.completion);
        }
        let Counted { done, refused, replayed, unknown } = counted;
        let mut row = vec![name.to_owned()];
        row.extend([done, refused, replayed, unknown].map(|count| count.to_string()));
        operations.add_row(row);
    }
    tell(&operations);
    if history.nemesis.is_empty() {
        return;
    }
    let mut faults = table(&["fault", "target", "at s", "for s", "effect"]);
    let seconds = |nanoseconds: u64| format!("{}.{:01}", nanoseconds / 1_000_000_000, nanoseconds / 100_000_000 % 10);
    for event in &history.nemesis {
        faults.add_row([
            event.fault.clone(),
            event.target.clone(),
            seconds(event.started_ns),
            seconds(event.ended_ns.saturating_sub(event.started_ns)),
            event.effect.clone().unwrap_or_else(|| "none".to_owned()),
        ]);
    }
    tell(&faults);
}
