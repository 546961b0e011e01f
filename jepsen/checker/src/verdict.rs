//! What a check found, and what all checks together come to: for a reader and for a machine.

use std::fmt::Write as _;

use crate::history::{Completion, History};

/// More operations than this are not shown.
pub const SHOWN_LIMIT: usize = 40;

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// What it looks for was not there.
    Holds,
    /// The history breaks a promise.
    Broken(Violation),
    /// The history does not suffice to say.
    Unclear(String),
    /// The history is not that of a whole run: what is missing from it.
    Incomplete(Vec<String>),
}

/// A broken promise with the smallest piece of history that shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The check that found it.
    pub check: &'static str,
    /// What is wrong, with which values.
    pub explanation: String,
    /// The operations that show it, by their number in the history.
    pub operations: Vec<usize>,
}

/// What all checks together come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every check holds.
    Valid,
    /// At least one promise is broken, whatever else is unclear.
    Invalid {
        /// One violation of every check that found any.
        violations: Vec<Violation>,
    },
    /// Nothing is broken, but the run does not suffice to call it valid.
    Unknown {
        /// Why not.
        why: Vec<String>,
    },
    /// It is not the history of a whole run, so nothing can be said for it. What seems broken may be so because of what is missing.
    Incomplete {
        /// What is missing.
        missing: Vec<String>,
        /// One violation of every check that found any in what there is.
        violations: Vec<Violation>,
    },
}

impl Verdict {
    /// Sums up findings.
    pub fn of(findings: impl IntoIterator<Item = Finding>) -> Verdict {
        let (mut violations, mut why, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for finding in findings {
            match finding {
                Finding::Holds => {}
                Finding::Broken(violation) => violations.push(violation),
                Finding::Unclear(reason) => why.push(reason),
                Finding::Incomplete(parts) => missing.extend(parts),
            }
        }
        if !missing.is_empty() {
            missing.extend(why);
            return Verdict::Incomplete { missing, violations };
        }
        match (violations.is_empty(), why.is_empty()) {
            (false, _) => Verdict::Invalid { violations },
            (true, false) => Verdict::Unknown { why },
            (true, true) => Verdict::Valid,
        }
    }

    /// Whether every check holds.
    pub fn is_valid(&self) -> bool {
        *self == Verdict::Valid
    }

    /// The names of the checks that found something broken.
    pub fn broken_checks(&self) -> Vec<&'static str> {
        match self {
            Verdict::Invalid { violations } | Verdict::Incomplete { violations, .. } => {
                violations.iter().map(|violation| violation.check).collect()
            }
            Verdict::Valid | Verdict::Unknown { .. } => Vec::new(),
        }
    }

    /// For a reader: what is wrong, and the operations that show it.
    pub fn text(&self, history: &History) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        match self {
            Verdict::Valid => {
                let count = history.operations.len();
                let _ = match history.plan {
                    Some(_) => writeln!(text, "valid: {count} operations"),
                    None => writeln!(
                        text,
                        "valid as far as it goes: {count} operations, and no plan that says what there should be, so \
                         nobody can tell what was left out"
                    ),
                };
            }
            Verdict::Incomplete { missing, violations } => {
                let _ = writeln!(text, "INCOMPLETE: this is not the history of a whole run, so it shows nothing:");
                for part in missing.iter().take(SHOWN_LIMIT) {
                    let _ = writeln!(text, "  {part}");
                }
                if missing.len() > SHOWN_LIMIT {
                    let _ = writeln!(text, "  (and {} more)", missing.len() - SHOWN_LIMIT);
                }
                for violation in violations {
                    let _ = writeln!(text, "in what there is, {}: {}", violation.check, violation.explanation);
                    write_operations(&mut text, violation, history);
                }
            }
            Verdict::Unknown { why } => {
                let _ = writeln!(text, "unknown:");
                for reason in why {
                    let _ = writeln!(text, "  {reason}");
                }
            }
            Verdict::Invalid { violations } => {
                for violation in violations {
                    let _ = writeln!(text, "INVALID, {}: {}", violation.check, violation.explanation);
                    write_operations(&mut text, violation, history);
                }
            }
        }
        text
    }

    /// For a machine: one EDN map, `:valid?` as Jepsen has it.
    pub fn machine(&self) -> String {
        match self {
            Verdict::Valid => "{:valid? true}".to_owned(),
            Verdict::Unknown { why } => format!("{{:valid? :unknown, :why [{}]}}", quoted(why)),
            Verdict::Incomplete { missing, violations } => {
                let (missing, violations) = (quoted(missing), listed(violations));
                format!("{{:valid? :unknown, :missing [{missing}], :violations [{violations}]}}")
            }
            Verdict::Invalid { violations } => format!("{{:valid? false, :violations [{}]}}", listed(violations)),
        }
    }
}

fn quoted(texts: &[String]) -> String {
    texts.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(" ")
}

fn listed(violations: &[Violation]) -> String {
    let one = |violation: &Violation| {
        let operations: Vec<String> = violation.operations.iter().map(usize::to_string).collect();
        format!(
            "{{:check :{}, :explanation {:?}, :operations [{}]}}",
            violation.check,
            violation.explanation,
            operations.join(" ")
        )
    };
    violations.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn write_operations(text: &mut String, violation: &Violation, history: &History) {
    let hidden = violation.operations.len().saturating_sub(SHOWN_LIMIT);
    if hidden > 0 {
        let _ =
            writeln!(text, "  ({hidden} earlier operations on the same accounts, transactions and ids are left out)");
    }
    for number in violation.operations.iter().skip(hidden) {
        let Some(operation) = history.operations.get(*number) else {
            continue;
        };
        let _ = writeln!(
            text,
            "  #{number} process {} from {} to {} ns: {:?}",
            operation.process, operation.invoked_ns, operation.completed_ns, operation.call
        );
        let _ = match &operation.completion {
            Completion::Unknown(info) => writeln!(text, "      unknown: {info}"),
            Completion::NotProposed { reason } => writeln!(text, "      never proposed: {reason}"),
            completion => writeln!(text, "      {completion:?}"),
        };
    }
}
