//! The command line: `folio`. Data on standard output, logs and messages on standard error.
//!
//! Exit codes: 0 done, 1 general failure, 2 usage, 3 not found, 4 refused by the book, 5
//! unavailable, 6 outcome unknown, 7 verification failed. A reader of standard output that goes away
//! ends a command quietly: the code is the one that it would have had.

mod accounts;
mod args;
mod assets;
mod audit;
mod bench;
mod context;
mod demo;
mod import;
mod logging;
mod output;
mod requests;
mod serve;
mod signals;
mod status;
mod transactions;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ContextValue;
use clap::{CommandFactory as _, Parser as _};

use crate::client::{Failure, FailureKind};
use crate::console;
use args::{Arguments, Verb};
use context::Context;

/// Why a command ends without success.
#[derive(Debug)]
pub(crate) enum CliError {
    /// A call failed.
    Call(Failure),
    /// The arguments do not fit together.
    Usage(String),
    /// A check found a difference.
    Verification(String),
    /// Data could not be printed on standard output.
    Unprinted(io::Error),
    /// Anything else.
    General(String),
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> CliError {
        CliError::Call(failure)
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> CliError {
        CliError::General(error.to_string())
    }
}

/// The result of a command.
pub(crate) type CliResult<T = ()> = Result<T, CliError>;

impl CliError {
    /// The code of a general failure.
    const GENERAL: u8 = 1;

    fn code(&self) -> u8 {
        match self {
            CliError::General(_) => CliError::GENERAL,
            // Whoever read has seen enough.
            CliError::Unprinted(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            CliError::Unprinted(_) => CliError::GENERAL,
            CliError::Usage(_) => 2,
            CliError::Verification(_) => 7,
            CliError::Call(failure) => match failure.kind {
                FailureKind::Malformed => 2,
                FailureKind::NotFound => 3,
                FailureKind::Rejected => 4,
                FailureKind::Unavailable => 5,
                FailureKind::Unknown => 6,
                FailureKind::NotFolio | FailureKind::Other => CliError::GENERAL,
            },
        }
    }

    /// What is told on standard error, line by line.
    fn lines(&self) -> Vec<String> {
        match self {
            CliError::Unprinted(error) if error.kind() == io::ErrorKind::BrokenPipe => Vec::new(),
            CliError::Unprinted(error) => vec![format!("standard output cannot be written: {error}")],
            CliError::General(message) | CliError::Verification(message) => vec![message.clone()],
            // What is wrong with a file of settings is shown in several lines, all of this side.
            CliError::Usage(message) => message.lines().map(str::to_owned).collect(),
            CliError::Call(failure) => {
                let what = match failure.reason.is_empty() {
                    true => failure.message.clone(),
                    false => format!("{}: {}", failure.reason, failure.message),
                };
                let remedy = (!failure.remedy.is_empty()).then(|| format!("What to do: {}", failure.remedy));
                std::iter::once(what).chain(remedy).collect()
            }
        }
    }

    /// The same as one text.
    fn message(&self) -> String {
        self.lines().join("\n")
    }

    /// The same of a request that was decided, which it was even if its answer cannot be printed.
    fn after_decision(self, request_id: &str) -> CliError {
        match self {
            CliError::Unprinted(error) if error.kind() != io::ErrorKind::BrokenPipe => CliError::General(format!(
                "the request was decided, but its answer cannot be written to standard output: {error}; \
                 see it with `folio request show {request_id}`"
            )),
            other => other,
        }
    }

    /// Tells it on standard error. Of a replica nobody may read that, and it must end all the same.
    fn tell(&self, is_server: bool) {
        for (number, line) in self.lines().iter().enumerate() {
            let line = if number == 0 { format!("folio: {line}") } else { line.clone() };
            if is_server {
                console::say_within(&line, LAST_WORDS);
            } else {
                output::tell(&line);
            }
        }
    }
}

/// How long a process that ends waits for what it still has to say.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What was asked of the command line's own texts, or is wrong with the arguments.
fn answer_of_arguments(mut error: clap::Error) -> ExitCode {
    // Of an argument that it speaks of nothing may act on the terminal.
    let plain = |text: &String| console::plain(text).into_owned();
    let context: Vec<_> = error.context().map(|(kind, value)| (kind, value.clone())).collect();
    for (kind, value) in context {
        match value {
            ContextValue::String(text) => error.insert(kind, ContextValue::String(plain(&text))),
            ContextValue::Strings(texts) => {
                error.insert(kind, ContextValue::Strings(texts.iter().map(plain).collect()))
            }
            _ => None,
        };
    }
    let text = error.render();
    if error.use_stderr() {
        text.to_string().trim_end().lines().for_each(output::tell);
        return ExitCode::from(CliError::Usage(String::new()).code());
    }
    let text = if console::shows_colours() { text.ansi().to_string() } else { text.to_string() };
    match output::print(text.trim_end()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.tell(false);
            ExitCode::from(error.code())
        }
    }
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return answer_of_arguments(error),
    };
    let is_server = matches!(arguments.verb, Verb::Serve(_));
    let result = prepare(is_server).and_then(|()| run(arguments));
    if let Err(error) = &result {
        error.tell(is_server);
    }
    console::flush(LAST_WORDS);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(error.code()),
    }
}

fn prepare(is_server: bool) -> CliResult {
    crate::seeded::arm().map_err(CliError::Usage)?;
    logging::start(is_server)?;
    if is_server {
        logging::log_panics();
    }
    Ok(())
}

fn run(arguments: Arguments) -> CliResult {
    let runtime = match &arguments.verb {
        Verb::Bench(args) => args.runtime(),
        Verb::Serve(_) => serve::runtime(),
        _ => tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("folio").build(),
    };
    let runtime = runtime.map_err(|error| CliError::General(format!("no async runtime: {error}")))?;
    let output = arguments.output;
    let is_server = matches!(arguments.verb, Verb::Serve(_));
    let context = || Context::new(&arguments.connection, output);
    let result = match arguments.verb {
        Verb::Completions { shell } => {
            // Into memory first: the library would panic over a write that fails.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "folio", &mut script);
            output::print(String::from_utf8_lossy(&script).trim_end())
        }
        Verb::Serve(args) => runtime.block_on(serve::run(args)),
        Verb::Demo(args) => runtime.block_on(demo::run(args, output)),
        Verb::Import(args) => runtime.block_on(async { import::run(&context()?, args).await }),
        Verb::Bench(args) => runtime.block_on(async { bench::run(&arguments.connection, args, output).await }),
        Verb::Status => runtime.block_on(async { status::run(&context()?).await }),
        Verb::Asset { verb } => runtime.block_on(async { assets::run(&context()?, verb).await }),
        Verb::Account { verb } => runtime.block_on(async { accounts::run(&context()?, verb).await }),
        Verb::Transfer(args) => runtime.block_on(async { transactions::transfer(&context()?, args).await }),
        Verb::Tx { verb } => runtime.block_on(async { transactions::run(&context()?, verb).await }),
        Verb::Request { verb } => runtime.block_on(async { requests::run(&context()?, verb).await }),
        Verb::Balance(args) => runtime.block_on(async { audit::balance(&context()?, args).await }),
        Verb::Statement(args) => runtime.block_on(async { audit::statement(&context()?, args).await }),
        Verb::TrialBalance(args) => runtime.block_on(async { audit::trial_balance(&context()?, args).await }),
        Verb::Journal(args) => runtime.block_on(async { audit::journal(&context()?, args).await }),
    };
    if !is_server {
        // A name that is still looked up, or a call that was given up, keeps nobody waiting.
        runtime.shutdown_background();
    }
    result
}
