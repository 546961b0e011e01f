//! What an import found: counts of everything, and the lines that somebody must look at, up to a
//! bound.

use serde_json::{Value, json};

use crate::cli::args::Output;
use crate::cli::{CliResult, output};
use crate::proto::v1;

/// The most lines of a kind that are told by number; more are counted.
const MAX_TOLD: usize = 1_000;

/// A line that was sent, and what is told of it.
struct Told {
    line: u64,
    id: String,
    request_id: String,
    /// The reason of a refusal, the transaction of an empty cancel.
    about: String,
    message: String,
}

/// What was found.
#[derive(Default)]
pub(super) struct Report {
    /// The file as it was given.
    pub(super) file: String,
    pub(super) dry_run: bool,
    /// Whether the book was asked what the file does not say.
    pub(super) book_was_asked: bool,
    pub(super) lines: u64,
    pub(super) accepted: u64,
    pub(super) replayed: u64,
    pub(super) refused: u64,
    pub(super) bad: u64,
    /// Cancels that found nothing to cancel: some of those accepted and replayed.
    pub(super) empty: u64,
    /// The first line without an answer, if the import stopped.
    pub(super) stopped_at: Option<u64>,
    refusals: Vec<Told>,
    bad_lines: Vec<(u64, String)>,
    empty_cancels: Vec<Told>,
}

impl Report {
    /// Nothing found yet in a file.
    pub(super) fn of(file: &str, dry_run: bool, book_was_asked: bool) -> Report {
        Report { file: file.to_owned(), dry_run, book_was_asked, ..Report::default() }
    }

    /// A line that is not well formed.
    pub(super) fn bad_line(&mut self, line: u64, reason: String) {
        self.bad += 1;
        if self.bad_lines.len() < MAX_TOLD {
            self.bad_lines.push((line, reason));
        }
    }

    /// A line that the book refused.
    pub(super) fn refusal(&mut self, line: u64, id: &str, request_id: String, refusal: &v1::Refusal) {
        self.refused += 1;
        if self.refusals.len() < MAX_TOLD {
            let (about, message) = (refusal.reason.clone(), output::refusal_message(refusal));
            self.refusals.push(Told { line, id: id.to_owned(), request_id, about, message });
        }
    }

    /// A cancel that found nothing to cancel.
    pub(super) fn empty_cancel(&mut self, line: u64, id: &str, request_id: String, about: String, note: String) {
        self.empty += 1;
        if self.empty_cancels.len() < MAX_TOLD {
            self.empty_cancels.push(Told { line, id: id.to_owned(), request_id, about, message: note });
        }
    }

    fn book(&self) -> &'static str {
        if self.book_was_asked { "asked" } else { "not asked" }
    }

    fn value(&self) -> Value {
        let bad_lines: Vec<Value> =
            self.bad_lines.iter().map(|(line, reason)| json!({ "line": line, "reason": reason })).collect();
        let told = |lines: &[Told], about: &str, message: &str| -> Vec<Value> {
            let value = |told: &Told| json!({ "line": told.line, "id": told.id, "request_id": told.request_id, about: told.about, message: told.message });
            lines.iter().map(value).collect()
        };
        json!({
            "file": self.file,
            "dry_run": self.dry_run,
            "book": self.book(),
            "lines": self.lines,
            "accepted": self.accepted,
            "replayed": self.replayed,
            "empty": self.empty,
            "refused": self.refused,
            "bad": self.bad,
            "stopped_at_line": self.stopped_at,
            "refusals": told(&self.refusals, "reason", "message"),
            "bad_lines": bad_lines,
            "empty_cancels": told(&self.empty_cancels, "transaction_id", "note"),
        })
    }

    /// The lines to look at, as people read them.
    fn told(&self) -> Vec<String> {
        let file = &self.file;
        let mut told: Vec<String> =
            self.bad_lines.iter().map(|(line, reason)| format!("{file}:{line}: {reason}")).collect();
        told.extend(self.refusals.iter().map(|refused| {
            let Told { line, id, about, message, .. } = refused;
            format!("{file}:{line}: {id} is refused: {about}: {message}")
        }));
        told.extend(self.empty_cancels.iter().map(|empty| {
            let Told { line, id, about, message, .. } = empty;
            let note = if message.is_empty() { String::new() } else { format!(" ({message})") };
            format!("{file}:{line}: {id} cancelled nothing: transaction {about} had no reservation and can never be tried{note}")
        }));
        let found = usize::try_from(self.bad + self.refused + self.empty).unwrap_or(usize::MAX);
        if told.len() < found {
            told.push(format!("{file}: {} more lines are bad, refused or empty cancels", found - told.len()));
        }
        if self.dry_run && !self.book_was_asked {
            told.push(format!(
                "{file}: the book was not asked, because no replica answered: what is neither opened nor registered in the file itself was not checked"
            ));
        }
        told
    }

    /// Prints the counts on standard output. For people, the lines to look at go to standard error;
    /// for programs they are part of the object.
    pub(super) fn print(&self, shape: Output) -> CliResult {
        if shape == Output::Table {
            for line in self.told() {
                output::tell(&line);
            }
        }
        let mut pairs = vec![("lines", self.lines.to_string()), ("bad", self.bad.to_string())];
        if self.dry_run {
            pairs.push(("book", self.book().to_owned()));
        } else {
            pairs.push(("accepted", self.accepted.to_string()));
            pairs.push(("replayed", format!("{} (decided before; nothing moved)", self.replayed)));
            pairs.push(("refused", self.refused.to_string()));
        }
        if self.empty > 0 {
            pairs.push(("empty", format!("{} (cancels of the above that found no reservation)", self.empty)));
        }
        if let Some(line) = self.stopped_at {
            pairs.push(("stopped at line", line.to_string()));
        }
        output::pairs(shape, &pairs, &self.value())
    }
}
