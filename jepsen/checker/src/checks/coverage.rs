//! Whether the run shows anything: a run that did little cannot be called valid.

use std::collections::BTreeSet;

use super::Evidence;
use crate::history::{AtomicOutcome, Call, Completion, Consistency, History, OperationClass};
use crate::verdict::Finding;

pub(super) const NAME: &str = "coverage";

/// What a run must have shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demands {
    /// The classes of operations of which at least one each must have succeeded.
    pub classes: Vec<OperationClass>,
    /// The faults of which at least one each must have had an effect.
    pub faults: Vec<String>,
    /// How many replicas must have been dumped.
    pub dumps: usize,
    /// Whether it must be the history of a whole run, by the plan that it carries.
    pub plan: bool,
}

impl Demands {
    /// What a history demands of itself by its plan; without a plan it is incomplete.
    pub fn planned(history: &History) -> Demands {
        let Some(plan) = &history.plan else {
            return Demands { plan: true, ..Demands::default() };
        };
        Demands {
            classes: plan.classes.clone(),
            faults: plan.faults.keys().cloned().collect(),
            // How many dumps there must be, and of whom, is told more exactly by the check of the plan.
            dumps: 0,
            plan: true,
        }
    }
}

impl Default for Demands {
    /// Every class of operation, no fault, no dump, no plan.
    fn default() -> Demands {
        Demands {
            classes: OperationClass::ALL.iter().map(|(class, _)| *class).collect(),
            faults: Vec::new(),
            dumps: 0,
            plan: false,
        }
    }
}

pub(super) fn check(evidence: &Evidence<'_>) -> Finding {
    let mut succeeded: BTreeSet<OperationClass> = BTreeSet::new();
    let mut fresh_reads = 0_usize;
    for operation in &evidence.history.operations {
        let success = match &operation.completion {
            Completion::Answered(answer) => answer.result.is_ok() && answer.replay_of.is_none(),
            Completion::Batch(answers) => answers.iter().any(|answer| answer.result.is_ok()),
            Completion::Atomic(answer) => matches!(answer.outcome, AtomicOutcome::Applied(_)),
            Completion::Read(_) => true,
            Completion::Unknown(_) | Completion::NotProposed { .. } => false,
        };
        if success {
            succeeded.insert(operation.call.class());
        }
        if let Call::Read(read) = &operation.call
            && success
            && read.consistency == Consistency::Linearizable
        {
            fresh_reads += 1;
        }
    }
    let mut why = Vec::new();
    if fresh_reads == 0 {
        why.push("no linearizable read succeeded".to_owned());
    }
    for class in evidence.demands.classes.iter().filter(|class| !succeeded.contains(class)) {
        why.push(format!("no {} succeeded", class.text()));
    }
    for fault in &evidence.demands.faults {
        let had_effect = |event: &crate::history::NemesisEvent| event.fault == *fault && event.effect.is_some();
        if !evidence.history.nemesis.iter().any(had_effect) {
            why.push(format!("the fault {fault} never had an effect"));
        }
    }
    if evidence.history.dumps.len() < evidence.demands.dumps {
        let (given, asked) = (evidence.history.dumps.len(), evidence.demands.dumps);
        why.push(format!("{given} of {asked} replicas were dumped"));
    }
    if !evidence.timeline.unresolved.is_empty() {
        let numbers = &evidence.timeline.unresolved;
        why.push(format!(
            "{} operations with unknown outcome were never resolved, first {}",
            numbers.len(),
            numbers[0]
        ));
    }
    if why.is_empty() { Finding::Holds } else { Finding::Unclear(format!("{NAME}: {}", why.join("; "))) }
}
