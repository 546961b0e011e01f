//! What an import found: counts of everything, and the lines that somebody must look at, up to a bound.

use serde_json::{Value, json};

use crate::cli::args::Output;
use crate::cli::{CliResult, output};
use crate::proto::v1;

/// The most lines that are told by number; more are counted.
const MAX_TOLD: usize = 1_000;

/// A line that the book refused.
struct Refused {
    line: u64,
    id: String,
    request_id: String,
    reason: String,
    message: String,
}

/// What was found.
#[derive(Default)]
pub(super) struct Report {
    pub(super) lines: u64,
    pub(super) accepted: u64,
    pub(super) replayed: u64,
    pub(super) refused: u64,
    pub(super) bad: u64,
    /// The first line without an answer, if the import stopped.
    pub(super) stopped_at: Option<u64>,
    refusals: Vec<Refused>,
    bad_lines: Vec<(u64, String)>,
}

impl Report {
    /// A line that is not well formed.
    pub(super) fn bad_line(&mut self, line: u64, reason: String) {
        self.bad += 1;
        if self.bad_lines.len() < MAX_TOLD {
            self.bad_lines.push((line, reason));
        }
    }

    /// A line that the book refused.
    pub(super) fn refusal(&mut self, line: u64, id: &str, request_id: &str, refusal: &v1::Refusal) {
        self.refused += 1;
        if self.refusals.len() < MAX_TOLD {
            self.refusals.push(Refused {
                line,
                id: id.to_owned(),
                request_id: request_id.to_owned(),
                reason: refusal.reason.clone(),
                message: refusal.message.clone(),
            });
        }
    }

    fn value(&self, file: &str, dry_run: bool) -> Value {
        let bad_lines: Vec<Value> =
            self.bad_lines.iter().map(|(line, reason)| json!({ "line": line, "reason": reason })).collect();
        let refusals: Vec<Value> = self
            .refusals
            .iter()
            .map(|refused| {
                json!({
                    "line": refused.line,
                    "id": refused.id,
                    "request_id": refused.request_id,
                    "reason": refused.reason,
                    "message": refused.message,
                })
            })
            .collect();
        json!({
            "file": file,
            "dry_run": dry_run,
            "lines": self.lines,
            "accepted": self.accepted,
            "replayed": self.replayed,
            "refused": self.refused,
            "bad": self.bad,
            "stopped_at_line": self.stopped_at,
            "refusals": refusals,
            "bad_lines": bad_lines,
        })
    }

    /// Prints the counts on standard output. For people, the lines to look at go to standard error; for programs they are part of the object.
    pub(super) fn print(&self, shape: Output, file: &str, dry_run: bool) -> CliResult {
        if shape == Output::Table {
            for (line, reason) in &self.bad_lines {
                output::tell(&format!("{file}:{line}: {reason}"));
            }
            for refused in &self.refusals {
                output::tell(&format!(
                    "{file}:{}: {} is refused: {}: {}",
                    refused.line, refused.id, refused.reason, refused.message
                ));
            }
            let told = self.bad_lines.len() + self.refusals.len();
            let found = usize::try_from(self.bad + self.refused).unwrap_or(usize::MAX);
            if told < found {
                output::tell(&format!("{file}: {} more lines are bad or refused", found - told));
            }
        }
        let mut pairs = vec![("lines", self.lines.to_string()), ("bad", self.bad.to_string())];
        if !dry_run {
            pairs.push(("accepted", self.accepted.to_string()));
            pairs.push(("replayed", format!("{} (decided before; nothing moved)", self.replayed)));
            pairs.push(("refused", self.refused.to_string()));
        }
        if let Some(line) = self.stopped_at {
            pairs.push(("stopped at line", line.to_string()));
        }
        output::pairs(shape, &pairs, &self.value(file, dry_run))
    }
}
