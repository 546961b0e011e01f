//! `folio import`: a file of JSON Lines, one command a line, as documented in `docs/import.md`.
//!
//! The file is read three times. The first reading learns what it contains; then the book is asked
//! what the file does not say. The second checks every line, and nothing is sent before all are
//! good. The third sends them in their order, because a line may build on any line before it. Every
//! request id comes from the file, so importing a file again repeats requests and moves nothing.

mod book;
mod check;
mod contents;
mod fields;
mod ids;
mod line;
mod reader;
mod report;
mod send;
mod source;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::context::Context;
use super::{CliError, CliResult, signals};
use crate::client::{Failure, FailureKind};
use book::Book;
use check::{Checker, Note};
use contents::Contents;
use line::{Line, Malformed};
use reader::{Lines, MAX_LINE_BYTES, RawLine};
use report::Report;
use source::{Reading, Source};

/// How long a dry run waits for a connection: it can do without.
const DRY_RUN_PATIENCE: Duration = Duration::from_secs(1);

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
  zcat payments.jsonl.gz | folio import -
  folio import payments.jsonl --namespace bank-2026")]
pub(crate) struct ImportArgs {
    /// The file, or - for standard input. What can be read only once is first copied to a temporary
    /// file.
    file: PathBuf,
    /// Checks the form of every line and sends nothing. It asks the book for assets, accounts and
    /// earlier lines if a replica answers; funds are not checked.
    #[arg(long)]
    dry_run: bool,
    /// What the file's ids are unique within. The same id in another namespace is another request.
    #[arg(long, default_value = "", value_name = "TEXT")]
    namespace: String,
    /// Imports the good lines of a file that has bad ones. Without it nothing is sent, because
    /// later lines may build on a bad one.
    #[arg(long)]
    skip_bad_lines: bool,
    /// Commands of a batch.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(1..=8_192))]
    batch: u16,
}

/// A good line, with its number.
struct Numbered {
    number: u64,
    line: Line,
    note: Note,
}

fn bar(source: &Source, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(source.length());
    if let Ok(style) = ProgressStyle::with_template("{msg:9} {bar:40} {bytes}/{total_bytes}  {eta}") {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar
}

/// Reads and parses one line, if it is short enough.
fn parsed(raw: RawLine, namespace: &str) -> Result<Line, Malformed> {
    match raw {
        RawLine::Text(text) => line::read(&text, namespace),
        RawLine::TooLong => {
            Err(Malformed { reason: format!("the line has more than {MAX_LINE_BYTES} bytes"), request: None })
        }
    }
}

/// The first reading: learns what the file contains.
fn learn(args: &ImportArgs, source: &mut Source) -> Result<Contents, String> {
    let bar = bar(source, "reading");
    let mut contents = Contents::default();
    let mut lines = Lines::of(source.read());
    loop {
        let read = lines.next().map_err(|error| lines.reader.problem(&error))?;
        let Some((number, raw)) = read else { break };
        contents.first_line.get_or_insert(number);
        bar.set_position(lines.bytes());
        match parsed(raw, &args.namespace) {
            Ok(line) => contents.learn(number, &line),
            // What is wrong with it is told by the second reading.
            Err(Malformed { request: Some(request), .. }) => contents.learn_malformed(number, request),
            Err(Malformed { request: None, .. }) => {}
        }
    }
    contents.end();
    bar.finish_and_clear();
    Ok(contents)
}

/// A later reading: gives every good line, and tells the report of every bad one.
struct Walk<'a> {
    namespace: &'a str,
    lines: Lines<Reading<'a>>,
    bar: ProgressBar,
    checker: Checker<'a>,
}

impl<'a> Walk<'a> {
    fn begin(
        args: &'a ImportArgs,
        source: &'a mut Source,
        checker: Checker<'a>,
        what: &'static str,
    ) -> Result<Walk<'a>, String> {
        let bar = bar(source, what);
        let reading = match source.check_length() {
            Ok(()) => source.read(),
            Err(error) => return Err(source.problem(&error)),
        };
        Ok(Walk { namespace: &args.namespace, lines: Lines::of(reading), bar, checker })
    }

    /// The next good line.
    fn next(&mut self, report: &mut Report) -> Result<Option<Numbered>, String> {
        loop {
            let read = self.lines.next().map_err(|error| self.lines.reader.problem(&error))?;
            let Some((number, raw)) = read else { return Ok(None) };
            report.lines += 1;
            self.bar.set_position(self.lines.bytes());
            let line = parsed(raw, self.namespace).map_err(|malformed| malformed.reason);
            let checked = line.and_then(|mut line| {
                let note = self.checker.check(number, &mut line)?;
                Ok(Numbered { number, line, note })
            });
            match checked {
                Ok(numbered) => return Ok(Some(numbered)),
                Err(reason) => {
                    self.checker.is_bad(number);
                    report.bad_line(number, reason);
                }
            }
        }
    }

    /// The number of the line that would be read next.
    fn next_number(&self) -> u64 {
        self.lines.number() + 1
    }

    fn end(self) {
        self.bar.finish_and_clear();
    }
}

/// Runs the import.
pub(super) async fn run(context: &Context, args: ImportArgs) -> CliResult {
    ids::check("namespace", &args.namespace).map_err(CliError::Usage)?;
    let mut source = Source::open(&args.file)?;
    let mut report = Report::of(&source.name, args.dry_run, false);
    let result = import(context, &args, &mut source, &mut report).await;
    let printed = report.print(context.output);
    result.and(printed)
}

/// Reads, checks and sends; what is found goes to the report.
async fn import(context: &Context, args: &ImportArgs, source: &mut Source, report: &mut Report) -> CliResult {
    let unsent = |problem: String| CliError::General(format!("{problem}; nothing was sent"));
    let contents = learn(args, source).map_err(unsent)?;
    let Some(first_line) = contents.first_line else {
        return Err(unsent(format!("{} has no line", source.name)));
    };
    let book = match ask(context, args, &contents).await {
        Ok(book) => book,
        Err(mut failure) => {
            failure.message = format!("{}; nothing was sent", failure.message);
            return Err(send::stopped(first_line, failure, report));
        }
    };
    report.book_was_asked = book.was_asked;
    let mut walk = Walk::begin(args, source, Checker::new(&contents, &book), "checking").map_err(unsent)?;
    while walk.next(report).map_err(unsent)?.is_some() {}
    walk.end();
    let file = &source.name;
    match report.bad {
        bad if bad > 0 && args.dry_run => return Err(CliError::General(format!("{bad} lines of {file} are bad"))),
        bad if bad > 0 && !args.skip_bad_lines => {
            let advice = "mend them, or give --skip-bad-lines";
            return Err(CliError::General(format!("{bad} lines of {file} are bad and nothing was sent; {advice}")));
        }
        _ if args.dry_run => return Ok(()),
        _ => {}
    }
    *report = Report::of(file, false, book.was_asked);
    let walk = Walk::begin(args, source, Checker::new(&contents, &book), "importing").map_err(unsent)?;
    signals::or_stopped(send::all(&context.client, walk, args.batch, report)).await?;
    outcome(report)
}

/// Asks the book what the file does not say. A dry run does without it where no replica answers.
async fn ask(context: &Context, args: &ImportArgs, contents: &Contents) -> Result<Book, Failure> {
    if args.dry_run && !is_anybody_there(context).await {
        return Ok(Book::default());
    }
    match book::ask(context, contents).await {
        Err(failure) if args.dry_run && failure.kind == FailureKind::Unavailable => Ok(Book::default()),
        answer => answer,
    }
}

/// Whether any endpoint takes a connection, so that a dry run without a cluster need not wait as
/// long as a call may.
async fn is_anybody_there(context: &Context) -> bool {
    for endpoint in 0..context.client.endpoints() {
        let connect = tokio::net::TcpStream::connect(context.client.address(endpoint));
        if let Ok(Ok(_)) = tokio::time::timeout(DRY_RUN_PATIENCE, connect).await {
            return true;
        }
    }
    false
}

/// How an import ends that was not stopped.
fn outcome(report: &Report) -> CliResult {
    let file = &report.file;
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
    Ok(())
}

#[cfg(test)]
mod tests;
