//! I6: a transaction resolves at most once, and never books more than it reserved.

use std::collections::HashMap;

use crate::checks::{Evidence, broken};
use crate::history::{Command, Completion, Id, JournalEvent, ReadValue};
use crate::verdict::Finding;

pub(crate) const NAME: &str = "I6-resolves-once";

pub(crate) fn check(evidence: &Evidence<'_>) -> Finding {
    let mut resolved: HashMap<Id, usize> = HashMap::new();
    for booked in &evidence.facts.booked {
        let (Command::Confirm { transaction, .. } | Command::Cancel { transaction }) = &booked.write.command else {
            continue;
        };
        // A cancel after the deadline succeeds and resolves nothing.
        if booked.sequence.is_none() {
            continue;
        }
        if let Some(earlier) = resolved.insert(*transaction, booked.operation) {
            let explanation = format!(
                "transaction {transaction} was resolved by operation {earlier} and by operation {}",
                booked.operation
            );
            return broken(NAME, explanation, vec![earlier, booked.operation]);
        }
    }
    for (number, operation) in evidence.history.operations.iter().enumerate() {
        let Completion::Read(answer) = &operation.completion else {
            continue;
        };
        let ReadValue::Transaction(Some(view)) = &answer.value else {
            continue;
        };
        if let Some(posting) = view.postings.iter().find(|posting| posting.confirmed > Some(posting.amount)) {
            return broken(NAME, format!("read {number} shows more booked than reserved: {posting:?}"), vec![number]);
        }
    }
    for dump in &evidence.history.dumps {
        let mut ended: HashMap<Id, u64> = HashMap::new();
        for record in &dump.journal {
            let ends =
                matches!(record.event, JournalEvent::Confirmed | JournalEvent::Cancelled | JournalEvent::Expired);
            let Some(transaction) = record.transaction.filter(|_| ends) else {
                continue;
            };
            if let Some(earlier) = ended.insert(transaction, record.sequence) {
                let explanation = format!(
                    "replica {}: transaction {transaction} is resolved by journal records {earlier} and {}",
                    dump.replica, record.sequence
                );
                return broken(NAME, explanation, Vec::new());
            }
        }
    }
    Finding::Holds
}
