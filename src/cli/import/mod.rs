//! `folio import`: a file of JSON Lines, one command a line, as documented in `docs/import.md`.
//!
//! The whole file is checked before its first command is sent. Commands are sent in the order of the file, in batches with one in flight, because a line may build on any line before it.
//! Every request id comes from the file, so importing a file again repeats requests and moves nothing.

mod fields;
mod ids;
mod line;
mod reader;
mod report;

use std::collections::HashMap;
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use prost::Message as _;

use super::context::Context;
use super::{CliError, CliResult, signals};
use crate::client::{Client, Failure, FailureKind};
use crate::proto::v1;
use line::Line;
use reader::{Lines, MAX_LINE_BYTES, RawLine};
use report::Report;

/// The most bytes of a batch: well within what a request may have.
const MAX_BATCH_BYTES: usize = 1024 * 1024;

/// `folio import`.
#[derive(Debug, Args)]
#[command(after_help = "One JSON object a line, such as
  {\"command\":\"register_asset\",\"id\":\"usd\",\"code\":\"USD\",\"scale\":2}
  {\"command\":\"open_account\",\"id\":\"a1\",\"name\":\"assets:bank\",\"asset\":\"USD\",\"class\":\"asset\",\"floor\":\"unlimited\"}
  {\"command\":\"transfer\",\"id\":\"order-1\",\"debit\":\"assets:bank\",\"credit\":\"liabilities:c:1\",\"amount\":\"25.00\"}

Each line needs an id that is its own within the namespace (or a request_id, a UUID). Importing a file twice moves nothing twice.
Commands: register_asset, open_account, set_limits, freeze, unfreeze, close, transfer, post, try, confirm, cancel, reverse.

Examples:
  folio import payments.jsonl --dry-run
  folio import payments.jsonl --namespace bank-2026")]
pub(crate) struct ImportArgs {
    /// The file.
    file: PathBuf,
    /// Checks the form of every line and sends nothing. What only the book can tell, such as funds, is not checked.
    #[arg(long)]
    dry_run: bool,
    /// What the file's ids are unique within. The same id in another namespace is another request.
    #[arg(long, default_value = "", value_name = "TEXT")]
    namespace: String,
    /// Imports the good lines of a file that has bad ones. Without it nothing is sent, because later lines may build on a bad one.
    #[arg(long)]
    skip_bad_lines: bool,
    /// Commands of a batch.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(1..=8_192))]
    batch: u16,
}

/// A line of a batch, with its number.
struct Numbered {
    number: u64,
    line: Line,
}

/// Reads the file once; hands every good line to `take`, every bad one to the report.
struct Walk<'a> {
    args: &'a ImportArgs,
    lines: Lines,
    bar: ProgressBar,
    /// Which line used a request id first. It grows with the file: 24 bytes or so a line.
    seen: HashMap<uuid::Uuid, u64>,
}

impl<'a> Walk<'a> {
    fn open(args: &'a ImportArgs, what: &'static str) -> CliResult<Walk<'a>> {
        let unreadable =
            |error: std::io::Error| CliError::General(format!("{} cannot be read: {error}", args.file.display()));
        let lines = Lines::open(&args.file).map_err(unreadable)?;
        let bar = ProgressBar::new(std::fs::metadata(&args.file).map_err(unreadable)?.len());
        if let Ok(style) = ProgressStyle::with_template("{msg:9} {bar:40} {bytes}/{total_bytes}  {eta}") {
            bar.set_style(style);
        }
        bar.set_message(what);
        Ok(Walk { args, lines, bar, seen: HashMap::new() })
    }

    /// The next line that is well formed and whose request id is new.
    fn next(&mut self, report: &mut Report) -> CliResult<Option<Numbered>> {
        loop {
            let read = self.lines.next().map_err(|error| {
                CliError::General(format!("{} cannot be read on: {error}", self.args.file.display()))
            })?;
            let Some((number, raw)) = read else { return Ok(None) };
            report.lines += 1;
            self.bar.set_position(self.lines.bytes());
            let parsed = match raw {
                RawLine::Text(text) => line::read(&text, &self.args.namespace),
                RawLine::TooLong => Err(format!("the line has more than {MAX_LINE_BYTES} bytes")),
            };
            match parsed.and_then(|line| self.first_use(number, line)) {
                Ok(line) => return Ok(Some(Numbered { number, line })),
                Err(reason) => report.bad_line(number, reason),
            }
        }
    }

    fn first_use(&mut self, number: u64, line: Line) -> Result<Line, String> {
        let id: uuid::Uuid = line.request_id.parse().map_err(|error| format!("request_id is not a UUID: {error}"))?;
        match self.seen.insert(id, number) {
            None => Ok(line),
            Some(first) => {
                self.seen.insert(id, first);
                Err(format!("{:?} is the id of line {first} already", line.id))
            }
        }
    }
}

/// Runs the import.
pub(super) async fn run(context: &Context, args: ImportArgs) -> CliResult {
    ids::check("namespace", &args.namespace).map_err(CliError::Usage)?;
    let file = args.file.display().to_string();
    let mut checked = Report::default();
    let mut walk = Walk::open(&args, "checking")?;
    while walk.next(&mut checked)?.is_some() {}
    walk.bar.finish_and_clear();
    if args.dry_run || (checked.bad > 0 && !args.skip_bad_lines) {
        let printed = checked.print(context.output, &file, args.dry_run);
        return match checked.bad {
            0 => printed,
            bad if args.dry_run => Err(CliError::General(format!("{bad} lines of {file} are bad"))),
            bad => Err(CliError::General(format!(
                "{bad} lines of {file} are bad and nothing was sent; mend them, or give --skip-bad-lines"
            ))),
        };
    }
    drop((walk, checked));
    let mut report = Report::default();
    let result = signals::or_stopped(send_all(context, &args, &mut report)).await;
    let printed = report.print(context.output, &file, false);
    result?;
    if report.bad > 0 {
        return Err(CliError::General(format!("{} lines of {file} are bad and were skipped", report.bad)));
    }
    if report.refused > 0 {
        let message = format!(
            "{} lines of {file} are refused; a refusal is kept, so give a mended line a new id",
            report.refused
        );
        return Err(CliError::Call(Failure::local(FailureKind::Rejected, message)));
    }
    printed
}

async fn send_all(context: &Context, args: &ImportArgs, report: &mut Report) -> CliResult {
    let mut walk = Walk::open(args, "importing")?;
    let mut batch = Vec::new();
    let mut bytes = 0;
    while let Some(numbered) = walk.next(report)? {
        let length = numbered.line.command.encoded_len();
        if !batch.is_empty() && (batch.len() >= usize::from(args.batch) || bytes + length > MAX_BATCH_BYTES) {
            send(&context.client, std::mem::take(&mut batch), report).await?;
            bytes = 0;
        }
        bytes += length;
        batch.push(numbered);
    }
    if !batch.is_empty() {
        send(&context.client, batch, report).await?;
    }
    walk.bar.finish_and_clear();
    Ok(())
}

/// Sends a batch. If it is refused as a whole, because of one command's form, every command is sent by itself.
async fn send(client: &Client, mut lines: Vec<Numbered>, report: &mut Report) -> CliResult {
    let commands = lines.iter_mut().map(|numbered| std::mem::take(&mut numbered.line.command)).collect();
    let message = v1::ExecuteBatchRequest { commands, atomic_request_id: String::new() };
    match client.batch(&message).await {
        Ok(reply) => count(&lines, &reply.results, report),
        Err(failure) if failure.kind == FailureKind::Malformed => {
            for (numbered, command) in lines.iter().zip(message.commands) {
                let one = v1::ExecuteBatchRequest { commands: vec![command], atomic_request_id: String::new() };
                match client.batch(&one).await {
                    Ok(reply) => count(std::slice::from_ref(numbered), &reply.results, report)?,
                    Err(failure) if failure.kind == FailureKind::Malformed => {
                        report.bad_line(numbered.number, failure.message);
                    }
                    Err(failure) => return Err(stopped(numbered.number, failure, report)),
                }
            }
            Ok(())
        }
        Err(failure) => Err(stopped(lines.first().map_or(0, |numbered| numbered.number), failure, report)),
    }
}

/// The import stops at a line without an answer: what comes after it may build on it.
fn stopped(number: u64, mut failure: Failure, report: &mut Report) -> CliError {
    report.stopped_at = Some(number);
    failure.message = format!(
        "{}; the import stopped at line {number}: run it again, what was decided is answered as before",
        failure.message
    );
    CliError::Call(failure)
}

fn count(lines: &[Numbered], results: &[v1::CommandResult], report: &mut Report) -> CliResult {
    if lines.len() != results.len() {
        let message =
            format!("{} commands have {} answers; do client and server fit together?", lines.len(), results.len());
        return Err(CliError::General(message));
    }
    for (numbered, result) in lines.iter().zip(results) {
        let Line { id, request_id, .. } = &numbered.line;
        match &result.refusal {
            Some(refusal) => report.refusal(numbered.number, id, request_id, refusal),
            None if result.decision.as_ref().is_some_and(|decision| decision.replayed) => report.replayed += 1,
            None => report.accepted += 1,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
