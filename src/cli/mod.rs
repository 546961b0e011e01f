//! The command line: `folio`. Data on standard output, logs and messages on standard error.
//!
//! Exit codes: 0 done, 1 general failure, 2 usage, 3 not found, 4 refused by the book, 5 unavailable, 6 outcome unknown, 7 verification failed.

mod accounts;
mod args;
mod assets;
mod audit;
mod bench;
mod context;
mod demo;
mod import;
mod output;
mod requests;
mod serve;
mod status;
mod transactions;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::client::{Failure, FailureKind};
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
    fn code(&self) -> u8 {
        match self {
            CliError::General(_) => 1,
            CliError::Usage(_) => 2,
            CliError::Verification(_) => 7,
            CliError::Call(failure) => match failure.kind {
                FailureKind::Malformed => 2,
                FailureKind::NotFound => 3,
                FailureKind::Rejected => 4,
                FailureKind::Unavailable => 5,
                FailureKind::Unknown => 6,
                FailureKind::Other => 1,
            },
        }
    }

    fn message(&self) -> String {
        match self {
            CliError::General(message) | CliError::Usage(message) | CliError::Verification(message) => message.clone(),
            CliError::Call(failure) => {
                let what = match failure.reason.is_empty() {
                    true => failure.message.clone(),
                    false => format!("{}: {}", failure.reason, failure.message),
                };
                match failure.remedy.is_empty() {
                    true => what,
                    false => format!("{what}\nWhat to do: {}", failure.remedy),
                }
            }
        }
    }
}

fn start_logging(is_server: bool) {
    use tracing_subscriber::EnvFilter;
    let default = if is_server { "info,openraft=warn,fjall=warn,lsm_tree=warn" } else { "error" };
    let filter = EnvFilter::try_from_env("FOLIO_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}

/// Tells a panic in the log, as everything else that a replica has to say, rather than in the form of a program that crashed: an engine that panics over a damaged
/// file is caught, and what follows from it is told by whoever caught it.
fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let detail = info.payload_as_str().unwrap_or("no message").replace('\n', "; ");
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::capture();
        match backtrace.status() {
            std::backtrace::BacktraceStatus::Captured => {
                tracing::error!(%location, %detail, %backtrace, "an assertion failed");
            }
            _ => tracing::error!(%location, %detail, "an assertion failed"),
        }
    }));
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(problem) = crate::seeded::arm() {
        eprintln!("folio: {problem}");
        return ExitCode::from(2);
    }
    let is_server = matches!(arguments.verb, Verb::Serve(_));
    start_logging(is_server);
    if is_server {
        log_panics();
    }
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("folio: {}", error.message());
            ExitCode::from(error.code())
        }
    }
}

fn run(arguments: Arguments) -> CliResult {
    let runtime = match &arguments.verb {
        Verb::Bench(args) => args.runtime(),
        Verb::Serve(_) => serve::runtime(),
        _ => tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("folio").build(),
    };
    let runtime = runtime.map_err(|error| CliError::General(format!("no async runtime: {error}")))?;
    let output = arguments.output;
    let context = || Context::new(&arguments.connection, output);
    match arguments.verb {
        Verb::Completions { shell } => {
            // Into memory first: writing to a reader that went away would panic.
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
    }
}
