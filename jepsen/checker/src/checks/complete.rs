//! Whether this is the history of a whole run: as its plan demands, and with every record that its
//! end record counts.
//!
//! A run that did little, and a history from which something was taken, look alike to all other
//! checks: what is not there breaks no promise.

use std::collections::BTreeSet;

use super::Evidence;
use crate::history::{Call, Completion, Consistency, History, Plan};
use crate::verdict::Finding;

pub(super) const NAME: &str = "complete";

pub(super) fn check(evidence: &Evidence<'_>) -> Finding {
    if !evidence.demands.plan {
        return Finding::Holds;
    }
    let history = evidence.history;
    let mut missing = history.defects.clone();
    match &history.plan {
        // The reader has said so of a history that has an end record.
        None if missing.is_empty() => missing.push(
            "it has no plan, which the first record of a run is; a history that was recorded elsewhere is checked \
             with --without-plan"
                .to_owned(),
        ),
        None => {}
        Some(plan) => {
            missing.extend(short_faults(history, plan));
            missing.extend(short_calls(history, plan));
            missing.extend(short_dumps(history, plan));
        }
    }
    if missing.is_empty() { Finding::Holds } else { Finding::Incomplete(missing) }
}

fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    u64::try_from(items.count()).unwrap_or(u64::MAX)
}

fn short(what: &str, there: u64, demanded: u64) -> Option<String> {
    (there < demanded).then(|| format!("the plan demands at least {demanded} {what}, {there} are there"))
}

fn short_faults(history: &History, plan: &Plan) -> Vec<String> {
    let of = |fault: &str| count(history.nemesis.iter().filter(|event| event.fault == fault));
    let each = plan
        .faults
        .iter()
        .filter_map(|(fault, least)| short(&format!("events of the fault {fault}"), of(fault), *least));
    let all = count(history.nemesis.iter().filter(|event| plan.faults.contains_key(&event.fault)));
    each.chain(short("events of the nemesis", all, plan.events)).collect()
}

fn short_calls(history: &History, plan: &Plan) -> Vec<String> {
    let decided = history.operations.iter().filter(|operation| {
        matches!(operation.completion, Completion::Answered(_) | Completion::Batch(_) | Completion::Atomic(_))
    });
    let reads = history.operations.iter().filter(|operation| {
        matches!(&operation.call, Call::Read(read) if read.consistency == Consistency::Linearizable)
            && matches!(operation.completion, Completion::Read(_))
    });
    let commands = short("decided commands", count(decided), plan.commands);
    commands.into_iter().chain(short("answered linearizable reads", count(reads), plan.reads)).collect()
}

/// Every replica once, all at one index, each with its whole journal.
fn short_dumps(history: &History, plan: &Plan) -> Vec<String> {
    if !plan.dumps {
        return Vec::new();
    }
    let mut missing = Vec::new();
    let dumped: BTreeSet<u32> = history.dumps.iter().map(|dump| dump.replica).collect();
    for replica in (1..=plan.replicas).filter(|replica| !dumped.contains(replica)) {
        missing.push(format!("the dump of replica {replica} is missing"));
    }
    if dumped.len() < history.dumps.len() {
        missing.push("a replica is dumped twice".to_owned());
    }
    for dump in history.dumps.iter().filter(|dump| !(1..=plan.replicas).contains(&dump.replica)) {
        missing.push(format!("replica {} is dumped, and the plan knows replicas 1 to {}", dump.replica, plan.replicas));
    }
    let indexes: BTreeSet<u64> = history.dumps.iter().map(|dump| dump.index).collect();
    if indexes.len() > 1 {
        missing.push(format!("the replicas are dumped at different indexes: {indexes:?}"));
    }
    for dump in history.dumps.iter().filter(|_| plan.journals) {
        let there = u64::try_from(dump.journal.len()).unwrap_or(u64::MAX);
        if there != dump.journal_sequence {
            missing.push(format!(
                "the dump of replica {} has {there} of {} journal records",
                dump.replica, dump.journal_sequence
            ));
        }
    }
    missing
}
