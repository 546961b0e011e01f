//! Sends the good lines in their order, in batches with one in flight, and counts what became of
//! them.

use tonic::Code;

use super::line::{Line, field_in_file};
use super::report::Report;
use super::{Numbered, Walk};
use crate::cli::{CliError, CliResult};
use crate::client::{Client, Failure, FailureKind};
use crate::proto::v1;

/// The most bytes of a batch: well within what a request may have.
const MAX_BATCH_BYTES: usize = 1024 * 1024;

/// Sends what is left of a walk in batches of at most so many commands.
///
/// # Errors
/// The import stopped; the report says where.
pub(super) async fn all(client: &Client, mut walk: Walk<'_>, most: u16, report: &mut Report) -> CliResult {
    let mut batch: Vec<Numbered> = Vec::new();
    let mut bytes = 0;
    loop {
        let next = match walk.next(report) {
            Ok(next) => next,
            Err(problem) => {
                // What was read before is good and not sent: the file is not what it was, so
                // nothing more is.
                let line = batch.first().map_or(walk.next_number(), |numbered| numbered.number);
                report.stopped_at = Some(line);
                return Err(CliError::General(format!(
                    "{problem}; the import stopped at line {line}: run it again, what was decided is answered as before"
                )));
            }
        };
        let length = next.as_ref().map_or(0, |numbered| numbered.line.operation_bytes());
        let is_full = batch.len() >= usize::from(most) || bytes + length > MAX_BATCH_BYTES;
        if !batch.is_empty() && (is_full || next.is_none()) {
            let following = next.as_ref().map(|numbered| numbered.number);
            send(client, std::mem::take(&mut batch), following, report).await?;
            bytes = 0;
        }
        let Some(numbered) = next else { break };
        bytes += length;
        batch.push(numbered);
    }
    walk.end();
    Ok(())
}

/// Sends a batch; `following` is the line that comes after it.
async fn send(client: &Client, lines: Vec<Numbered>, following: Option<u64>, report: &mut Report) -> CliResult {
    let command = |numbered: &Numbered| v1::Command { operation: Some(numbered.line.operation.clone()) };
    let commands = lines.iter().map(command).collect();
    let message = v1::ExecuteBatchRequest { commands, atomic_request_id: String::new() };
    match client.batch(&message).await {
        Ok(reply) => count(&lines, &reply.results, following, report),
        Err(failure) if failure.kind == FailureKind::Malformed => Err(malformed(&lines, &failure, report)),
        Err(failure) => Err(stopped(lines.first().map_or(0, |numbered| numbered.number), failure, report)),
    }
}

/// The import stops at a line without an answer: what comes after it may build on it.
pub(super) fn stopped(number: u64, mut failure: Failure, report: &mut Report) -> CliError {
    report.stopped_at = Some(number);
    failure.message = format!(
        "{}; the import stopped at line {number}: run it again, what was decided is answered as before",
        failure.message
    );
    CliError::Call(failure)
}

/// The command of a batch that a refusal names, and what it says of it: `commands[3]: amount …`.
fn culprit(message: &str) -> Option<(usize, &str)> {
    let (place, problem) = message.strip_prefix("commands[")?.split_once(']')?;
    Some((place.parse().ok()?, problem.trim_start_matches(':').trim_start()))
}

/// A batch was refused as a whole because of one line's form, although the line was good when it
/// was checked: somebody changed the book since.
fn malformed(lines: &[Numbered], failure: &Failure, report: &mut Report) -> CliError {
    let found = culprit(&failure.message).and_then(|(place, problem)| Some((lines.get(place)?, problem)));
    let first = lines.first().map_or(0, |numbered| numbered.number);
    let (number, problem) = match found {
        Some((numbered, problem)) => {
            let (field, rest) = problem.split_once(' ').unwrap_or((problem, ""));
            (numbered.number, format!("{} {rest}", field_in_file(&numbered.line.operation, field)))
        }
        None => (first, failure.message.clone()),
    };
    report.stopped_at = Some(first);
    report.bad_line(number, format!("refused for its form when it was sent: {problem}"));
    CliError::General(format!(
        "line {number} of {} was refused for its form, although it was good when it was checked: {problem}; has somebody changed the book meanwhile? \
         The import stopped at line {first}, and nothing from there on was decided",
        report.file
    ))
}

fn count(lines: &[Numbered], results: &[v1::CommandResult], following: Option<u64>, report: &mut Report) -> CliResult {
    if lines.len() != results.len() {
        let message =
            format!("{} commands have {} answers; do client and server fit together?", lines.len(), results.len());
        return Err(CliError::General(message));
    }
    let mut misshapen = None;
    for (numbered, result) in lines.iter().zip(results) {
        let Line { id, request, .. } = &numbered.line;
        let is_replayed = result.decision.as_ref().is_some_and(|decision| decision.replayed);
        match &result.refusal {
            Some(refusal) => {
                report.refusal(numbered.number, id, request.to_string(), refusal);
                if refusal.code == Code::InvalidArgument as i32 && !is_replayed {
                    misshapen = misshapen.or(Some((numbered.number, refusal)));
                }
            }
            None if is_replayed => report.replayed += 1,
            None => report.accepted += 1,
        }
        if result.empty {
            let note = numbered.note.clone().unwrap_or_default();
            report.empty_cancel(numbered.number, id, request.to_string(), result.transaction_id.clone(), note);
        }
    }
    let Some((number, refusal)) = misshapen else { return Ok(()) };
    report.stopped_at = following;
    let before = following.map_or_else(|| "after its last line".to_owned(), |line| format!("before line {line}"));
    Err(CliError::General(format!(
        "line {number} of {} was refused for its form, although it was good when it was checked: {}: {}; has somebody changed the book meanwhile? \
         The refusal is kept, so give the mended line a new id. The import stopped {before}",
        report.file, refusal.reason, refusal.message
    )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::super::line;
    use super::*;

    fn lines(count: u64) -> Vec<Numbered> {
        let numbered = |number: u64| {
            let text = format!(r#"{{"command":"freeze","id":"f-{number}","account":"a"}}"#);
            Numbered { number, line: line::read(text.as_bytes(), "").unwrap(), note: None }
        };
        (1..=count).map(numbered).collect()
    }

    fn refused(code: Code, replayed: bool) -> v1::CommandResult {
        v1::CommandResult {
            decision: Some(v1::Decision { replayed, ..Default::default() }),
            refusal: Some(v1::Refusal { reason: "WHY".to_owned(), code: code as i32, ..Default::default() }),
            ..Default::default()
        }
    }

    #[test]
    fn a_form_that_was_refused_in_the_log_stops_the_import() {
        let mut report = Report::of("file", false, true);
        let good = v1::CommandResult::default();
        let results = [good.clone(), refused(Code::InvalidArgument, false), good];
        let problem = count(&lines(3), &results, Some(4), &mut report).unwrap_err().message();
        assert!(problem.contains("line 2 of file") && problem.contains("before line 4"), "{problem}");
        assert_eq!((report.accepted, report.refused, report.stopped_at), (2, 1, Some(4)));
        // What was decided before is an answer, and so is what the book refused for other reasons.
        let results = [refused(Code::InvalidArgument, true), refused(Code::FailedPrecondition, false)];
        assert!(count(&lines(2), &results, Some(3), &mut Report::of("file", false, true)).is_ok());
    }

    #[test]
    fn as_many_answers_as_commands_are_wanted() {
        let mut report = Report::of("file", false, true);
        let problem = count(&lines(2), &[v1::CommandResult::default()], None, &mut report).unwrap_err();
        assert!(problem.message().contains("2 commands have 1 answers"), "{problem:?}");
        assert_eq!(report.accepted, 0);
    }

    #[test]
    fn the_line_that_a_refusal_means_is_found() {
        assert_eq!(culprit("commands[3]: amount is wrong"), Some((3, "amount is wrong")));
        assert_eq!(culprit("commands[0] is empty"), Some((0, "is empty")));
        assert_eq!(culprit("request has 7 bytes"), None);
        let failure = |text: &str| Failure::local(FailureKind::Malformed, text);
        for (text, line) in [("commands[1]: account is wrong", 2), ("request is large", 1), ("commands[9]: far", 1)] {
            let mut report = Report::of("file", false, true);
            let problem = malformed(&lines(2), &failure(text), &mut report).message();
            assert!(problem.contains(&format!("line {line} of file")), "{problem}");
            assert_eq!((report.bad, report.stopped_at), (1, Some(1)));
        }
    }
}
