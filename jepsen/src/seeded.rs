//! Shows that the checker bites: every bug on purpose must be found, and by a check that is made for its kind.

use std::path::Path;
use std::process::Command;

use crate::cluster::{BUG_VARIABLE, Failure};
use crate::nemesis::Fault;
use crate::tell::tell;
use crate::{RunArguments, SeededArguments, run};

/// What a replica says that stops because an invariant is broken: the ledger found the bug itself, before any checker could.
const STOPPED: &str = ": invariant I";
/// The name of that in the list of what found a bug.
const OWN_INVARIANTS: &str = "the ledger's own invariants";

/// A bug by name, and the checks of which at least one must name it: those that are made for its kind.
const BUGS: [(&str, &[&str]); 6] = [
    ("stale-read", &["reads"]),
    ("forgotten-request-id", &["model-replay", "no-lost-acknowledged"]),
    ("confirm-booked-twice", &["I12-journal-gives-balances", "model-replay", OWN_INVARIANTS]),
    ("answer-before-commit", &["no-lost-acknowledged", "answers-unique", "real-time-order"]),
    ("expiry-by-local-clock", &["I11-same-state", "replicas-agree"]),
    ("lost-tombstone", &["model-replay", "witness-free-search"]),
];

/// Runs one bug after the other; whether all were found.
pub(crate) fn run(arguments: &SeededArguments) -> Result<bool, Failure> {
    let chosen: Vec<_> =
        BUGS.iter().filter(|(bug, _)| arguments.bug.as_ref().is_none_or(|wanted| wanted == bug)).collect();
    if chosen.is_empty() {
        let names = BUGS.map(|(bug, _)| bug).join(", ");
        return Err(format!("no such bug: {}; there are {names}", arguments.bug.as_deref().unwrap_or("")).into());
    }
    let histories = tempfile::tempdir()?;
    let mut all_found = true;
    for (bug, made_for_it) in chosen {
        check_build(&arguments.folio, bug)?;
        let run = RunArguments {
            replicas: 3,
            seconds: arguments.seconds,
            nemesis: vec![Fault::Kill, Fault::Pause],
            seed: arguments.seed,
            clients: 8,
            folio: Some(arguments.folio.clone()),
            history: histories.path().join(format!("{bug}.edn")),
        };
        let (history, verdict, violations) = run::record_and_check(&run, &arguments.folio, Some(bug))?;
        let mut found_by = verdict.broken_checks();
        if violations.iter().any(|violation| violation.contains(STOPPED)) {
            found_by.push(OWN_INVARIANTS);
        }
        let is_found = found_by.iter().any(|check| made_for_it.contains(check));
        all_found &= is_found;
        tell(format_args!(
            "{bug}: {} in {} operations, by {}",
            if is_found { "found" } else { "NOT FOUND" },
            history.operations.len(),
            if found_by.is_empty() { "no check".to_owned() } else { found_by.join(", ") }
        ));
        for violation in violations {
            tell(format_args!("  {violation}"));
        }
    }
    Ok(all_found)
}

/// The build must say itself that it has the bug.
fn check_build(binary: &Path, bug: &str) -> Result<(), Failure> {
    let output = Command::new(binary).arg("--version").env(BUG_VARIABLE, bug).output()?;
    let version = String::from_utf8_lossy(&output.stdout);
    if version.trim().ends_with(&format!("SEEDED BUG: {bug}")) {
        return Ok(());
    }
    Err(format!(
        "{} has no bug {bug} (it says {:?}); build it with `cargo build --release --features seeded-bugs --target-dir target/seeded-bugs`",
        binary.display(),
        version.trim()
    )
    .into())
}
