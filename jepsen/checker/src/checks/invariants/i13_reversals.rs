//! I13: the sum of a transaction's reversals never exceeds it, posting by posting.

use std::collections::HashMap;

use crate::checks::{Evidence, broken};
use crate::history::{Command, Completion, Id, ReadValue};
use crate::verdict::Finding;

pub(crate) const NAME: &str = "I13-reversals";

struct Reversed {
    left: Vec<u128>,
    operations: Vec<usize>,
}

pub(crate) fn check(evidence: &Evidence<'_>) -> Finding {
    let confirmed = confirmed(evidence);
    let mut reversed: HashMap<Id, Reversed> = HashMap::new();
    for booked in &evidence.facts.booked {
        let Command::Reverse { original, amounts, .. } = &booked.write.command else {
            continue;
        };
        // Of a transaction whose making nobody heard of, the size is not known.
        let (Some(whole), Some(accounts)) = (confirmed.get(original), accounts(evidence, *original)) else {
            continue;
        };
        let asked: Option<Vec<u128>> = match amounts {
            None => Some(whole.clone()),
            Some(amounts) => {
                accounts.iter().zip(amounts).map(|(account, text)| evidence.facts.units_on(account, text)).collect()
            }
        };
        let Some(asked) = asked else {
            continue;
        };
        let entry =
            reversed.entry(*original).or_insert_with(|| Reversed { left: whole.clone(), operations: Vec::new() });
        entry.operations.push(booked.operation);
        for (left, asked) in entry.left.iter_mut().zip(asked) {
            match left.checked_sub(asked) {
                Some(rest) => *left = rest,
                None => {
                    let explanation = format!(
                        "operation {} reverses {asked} minor units of transaction {original}, of which {left} were left",
                        booked.operation
                    );
                    return broken(NAME, explanation, entry.operations.clone());
                }
            }
        }
    }
    check_reads(evidence)
}

fn check_reads(evidence: &Evidence<'_>) -> Finding {
    for (number, operation) in evidence.history.operations.iter().enumerate() {
        let Completion::Read(answer) = &operation.completion else {
            continue;
        };
        let ReadValue::Transaction(Some(view)) = &answer.value else {
            continue;
        };
        let beyond = |posting: &&crate::history::PostingView| posting.reversed > posting.confirmed.unwrap_or_default();
        if let Some(posting) = view.postings.iter().find(beyond) {
            return broken(NAME, format!("read {number} shows more reversed than booked: {posting:?}"), vec![number]);
        }
    }
    Finding::Holds
}

fn accounts<'history>(evidence: &Evidence<'history>, original: Id) -> Option<Vec<&'history str>> {
    match &evidence.facts.makers.get(&original)?.command {
        Command::Post { postings, .. } | Command::Try { postings, .. } => {
            Some(postings.iter().map(|posting| posting.account.as_str()).collect())
        }
        _ => None,
    }
}

/// The minor units that every transaction booked, posting by posting, as its own answers tell.
fn confirmed(evidence: &Evidence<'_>) -> HashMap<Id, Vec<u128>> {
    let mut confirmed = HashMap::new();
    for booked in &evidence.facts.booked {
        let Some(id) = booked.write.transaction() else {
            continue;
        };
        let postings = match evidence.facts.makers.get(&id).map(|maker| &maker.command) {
            Some(Command::Post { postings, .. } | Command::Try { postings, .. }) => postings,
            _ => continue,
        };
        let texts: Vec<&String> = match &booked.write.command {
            Command::Post { postings, .. } => postings.iter().map(|posting| &posting.amount).collect(),
            Command::Confirm { amounts: Some(amounts), .. } => amounts.iter().collect(),
            Command::Confirm { amounts: None, .. } => postings.iter().map(|posting| &posting.amount).collect(),
            _ => continue,
        };
        let units: Option<Vec<u128>> =
            postings.iter().zip(texts).map(|(posting, text)| evidence.facts.units_on(&posting.account, text)).collect();
        if let Some(units) = units {
            confirmed.entry(id).or_insert(units);
        }
    }
    confirmed
}
