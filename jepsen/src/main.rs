//! `folio-jepsen`: starts real replicas, has clients hammer them while a nemesis kills and pauses them, records what the clients saw, and has it
//! checked by a crate that shares nothing with the ledger.

mod cluster;
mod nemesis;
mod report;
mod run;
mod seeded;
mod tell;
mod wire;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tests folio as its clients see it, under faults.
#[derive(Debug, Parser)]
#[command(name = "folio-jepsen", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs a workload under a nemesis and checks what came of it. Exits 0 only if the history is valid; an unknown verdict fails too.
    #[command(after_help = "Examples:
  cargo build --release --workspace
  target/release/folio-jepsen run --replicas 3 --seconds 120 --nemesis kill,pause --seed 7
  target/release/folio-jepsen check history.edn")]
    Run(RunArguments),
    /// Shows that the checker bites: runs a build with bugs on purpose, one bug after the other, and fails if one is not found.
    #[command(after_help = "Examples:
  cargo build --release --features seeded-bugs --target-dir target/seeded-bugs
  target/release/folio-jepsen seeded-bugs --folio target/seeded-bugs/release/folio --seconds 15")]
    SeededBugs(SeededArguments),
    /// Checks a history that was written before: it must be that of a whole run, by the plan that it carries, or it is incomplete. Exits 0
    /// only if it is valid.
    Check {
        /// The history, as Jepsen EDN.
        history: PathBuf,
        /// Judges a history that was recorded elsewhere and has no plan: nobody can tell what was left out of it, and the verdict says so.
        #[arg(long)]
        without_plan: bool,
    },
}

/// How to run.
#[derive(Debug, Clone, clap::Args)]
struct RunArguments {
    /// Replicas, 1 to 5.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=5))]
    replicas: u64,
    /// How long the clients work, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=3600))]
    seconds: u64,
    /// Faults: kill, pause, none; joined by commas.
    #[arg(long, default_value = "kill,pause", value_delimiter = ',')]
    nemesis: Vec<nemesis::Fault>,
    /// Chooses the workload and the faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Concurrent clients.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    clients: u32,
    /// The binary under test [default: `folio` beside this one].
    #[arg(long)]
    folio: Option<PathBuf>,
    /// Where the history is written.
    #[arg(long, default_value = "history.edn")]
    history: PathBuf,
}

/// How to show the bugs.
#[derive(Debug, Clone, clap::Args)]
struct SeededArguments {
    /// The build with bugs.
    #[arg(long)]
    folio: PathBuf,
    /// How long the clients work under each bug, in seconds.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(5..=3600))]
    seconds: u64,
    /// Chooses the workload and the faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only this one, by name.
    #[arg(long)]
    bug: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.verb {
        Verb::Run(arguments) => run::run(&arguments),
        Verb::SeededBugs(arguments) => seeded::run(&arguments),
        Verb::Check { history, without_plan } => run::check_file(&history, without_plan),
    };
    match result {
        Ok(true) if tell::is_untold() => {
            tell::say("folio-jepsen: standard output cannot be written, so the verdict could not be told");
            ExitCode::FAILURE
        }
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(7),
        Err(error) => {
            error.to_string().lines().for_each(|line| tell::say(&format!("folio-jepsen: {line}")));
            ExitCode::FAILURE
        }
    }
}
