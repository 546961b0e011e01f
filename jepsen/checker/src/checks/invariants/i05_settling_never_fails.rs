//! I5: no confirm or cancel is ever refused for a balance, a limit or an account's status.

use crate::checks::{Evidence, broken, related};
use crate::history::{AtomicOutcome, Command, Done, Reason, Refusal, Write};
use crate::timeline::Subject;
use crate::verdict::Finding;

pub(crate) const NAME: &str = "I5-settling-never-fails";

fn forbidden(write: &Write, result: &Result<Done, Refusal>) -> Option<Reason> {
    let settles = matches!(write.command, Command::Confirm { .. } | Command::Cancel { .. });
    let reason = result.as_ref().err()?.reason;
    let book = matches!(
        reason,
        Reason::InsufficientFunds
            | Reason::CeilingExceeded
            | Reason::AccountFrozen
            | Reason::AccountClosed
            | Reason::BalanceOverflow
    );
    (settles && book).then_some(reason)
}

pub(crate) fn check(evidence: &Evidence<'_>) -> Finding {
    for event in &evidence.timeline.events {
        let Some(number) = event.operation else {
            continue;
        };
        let reason = match event.subject {
            Subject::Write(write, answer) => forbidden(write, &answer.result),
            Subject::Atomic(batch, Some(answer)) => match &answer.outcome {
                AtomicOutcome::Applied(items) | AtomicOutcome::NotApplied(items) => {
                    batch.items.iter().zip(items).find_map(|(write, item)| forbidden(write, &item.result))
                }
                AtomicOutcome::Refused(_) => None,
            },
            Subject::Atomic(_, None) | Subject::Read(..) | Subject::Dump(_) => None,
        };
        if let Some(reason) = reason {
            let operations = related(evidence.history, &evidence.timeline, number);
            return broken(
                NAME,
                format!("operation {number} settles and was refused as {}", reason.text()),
                operations,
            );
        }
    }
    Finding::Holds
}
