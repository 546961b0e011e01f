//! All arguments in one place, so that help texts read alike.

use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::bench::BenchArgs;
use super::import::ImportArgs;
use crate::server::ServeArgs;

/// The version, and the seeded bug of a build that has one.
fn version() -> &'static str {
    match crate::seeded::chosen() {
        Some(bug) => Box::leak(format!("{} SEEDED BUG: {bug}", env!("CARGO_PKG_VERSION")).into_boxed_str()),
        None if cfg!(feature = "seeded-bugs") => {
            concat!(env!("CARGO_PKG_VERSION"), " (build with seeded bugs, none chosen)")
        }
        None => env!("CARGO_PKG_VERSION"),
    }
}

/// Where the options stand that every command has: behind the command's own.
const OF_EVERY_COMMAND: &str = "Options of every command";

/// A replicated double-entry payment ledger with try, confirm and cancel.
#[derive(Debug, Parser)]
#[command(name = "folio", version = version(), propagate_version = true, after_help = "Examples:
  folio demo                                     three replicas and a day of payments, in a temporary folder
  folio serve --data-dir ./data --found          a replica of your own
  folio asset register USD --scale 2
  folio account open liabilities:customers:1 --asset USD --class liability
  folio transfer --debit assets:bank --credit liabilities:customers:1 --amount 25.00

Commands that change something print their request id on standard error before they send it; \
repeating a command with --request-id is always safe.

Exit codes: 0 done, 1 failure, 2 usage, 3 not found, 4 refused, 5 unavailable, 6 outcome unknown, 7 verification failed.

FOLIO_LOG sets what is logged on standard error: a level (off, error, warn, info, debug, trace), \
or several parts such as info,openraft=debug.",
    disable_help_flag = true, disable_version_flag = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// How data is printed.
    #[arg(long, global = true, help_heading = OF_EVERY_COMMAND, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    /// Prints help; -h prints less.
    #[arg(long, short = 'h', global = true, help_heading = OF_EVERY_COMMAND, action = ArgAction::Help)]
    help: Option<bool>,
    /// Prints the version.
    #[arg(long, short = 'V', global = true, help_heading = OF_EVERY_COMMAND, action = ArgAction::Version)]
    version: Option<bool>,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Tables for people.
    Table,
    /// JSON for programs: one object or array, or one object a line for streams.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Connection {
    /// Replicas to ask, host:port joined by commas; the client finds the leader.
    #[arg(long, global = true, help_heading = OF_EVERY_COMMAND, env = "FOLIO_ENDPOINTS", value_delimiter = ',', default_value = "127.0.0.1:7001")]
    pub(crate) endpoints: Vec<String>,
    /// The longest that a call takes, retries included, such as 500ms or 10s.
    #[arg(long, global = true, help_heading = OF_EVERY_COMMAND, default_value = "10s", value_parser = parse_wait)]
    pub(crate) timeout: Duration,
    /// How fresh a read must be: linearizable, stale, or at-least=INDEX.
    #[arg(long, global = true, help_heading = OF_EVERY_COMMAND, default_value = "linearizable", value_parser = parse_consistency)]
    pub(crate) consistency: Consistency,
}

/// How fresh a read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consistency {
    Linearizable,
    Stale,
    AtLeast(u64),
}

fn parse_consistency(text: &str) -> Result<Consistency, String> {
    match text {
        "linearizable" => Ok(Consistency::Linearizable),
        "stale" => Ok(Consistency::Stale),
        other => other
            .strip_prefix("at-least=")
            .and_then(|index| index.parse().ok())
            .map(Consistency::AtLeast)
            .ok_or_else(|| "use linearizable, stale or at-least=INDEX".to_owned()),
    }
}

/// Reads `250ms`, `10s`, `5m`, `2h`, `3d`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let problem = || format!("{text:?} is not a length of time; write a number with ms, s, m, h or d, such as 10s");
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(problem)?;
    let (digits, unit) = text.split_at(split);
    let value: u64 = digits.parse().map_err(|_| problem())?;
    let milliseconds = match unit {
        "ms" => Some(value),
        "s" => value.checked_mul(1_000),
        "m" => value.checked_mul(60_000),
        "h" => value.checked_mul(3_600_000),
        "d" => value.checked_mul(86_400_000),
        _ => None,
    };
    milliseconds.map(Duration::from_millis).ok_or_else(problem)
}

/// The longest that a command may be told to wait or run.
const MAX_WAIT: Duration = Duration::from_secs(86_400);

/// Reads how long a command may wait or run: a day at most.
pub(crate) fn parse_wait(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        wait if wait <= MAX_WAIT => Ok(wait),
        _ => Err(format!("{text:?} is more than a day")),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Starts three replicas in a temporary folder, runs a day of payments, kills the leader in the middle and shows what became of it.
    #[command(after_help = "Examples:
  folio demo
  folio demo --keep --clients 8
  folio demo --output json")]
    Demo(DemoArgs),
    /// Runs a replica.
    Serve(Box<ServeArgs>),
    /// Shows the cluster, as each endpoint sees it.
    #[command(after_help = "Example: folio status --endpoints 127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003")]
    Status,
    /// Assets.
    #[command(after_help = "Example: folio asset register USD --scale 2")]
    Asset {
        #[command(subcommand)]
        verb: AssetVerb,
    },
    /// Accounts.
    #[command(
        after_help = "Example: folio account open liabilities:customers:42 --asset USD --class liability --floor -100.00"
    )]
    Account {
        #[command(subcommand)]
        verb: AccountVerb,
    },
    /// Debits one account and credits another by the same amount.
    #[command(after_help = "The account given by --debit is debited, the one by --credit credited.

Examples:
  folio transfer --debit assets:bank --credit liabilities:customers:1 --amount 25.00
  folio transfer --debit liabilities:customers:1 --credit income:fees --amount 0.30 --reference order-17")]
    Transfer(TransferArgs),
    /// Transactions.
    #[command(
        after_help = "Example: folio tx try --debit liabilities:c:1=5.00 --credit liabilities:m:1=5.00 --hold 15m"
    )]
    Tx {
        #[command(subcommand)]
        verb: TxVerb,
    },
    /// Requests.
    #[command(after_help = "Example: folio request show 019f0f3e-3b1c-7000-8000-000000000001")]
    Request {
        #[command(subcommand)]
        verb: RequestVerb,
    },
    /// The balance of an account, now or at a point of the past.
    #[command(after_help = "Examples:
  folio balance liabilities:customers:42
  folio balance liabilities:customers:42 --at 2026-01-31T12:00:00Z
  folio balance liabilities:customers:42 --sequence 1200")]
    Balance(BalanceArgs),
    /// The statement of an account.
    #[command(
        after_help = "Example, the month of January: folio statement liabilities:customers:42 --from 2026-01-01 --to 2026-02-01"
    )]
    Statement(StatementArgs),
    /// The trial balance, per asset.
    #[command(after_help = "Over the whole book it exits with 7 if debits and credits differ.

Examples:
  folio trial-balance
  folio trial-balance liabilities:customers --at 2026-01-31")]
    TrialBalance(TrialBalanceArgs),
    /// The journal, from any sequence on.
    #[command(after_help = "With --output json there is one object a line.

Examples:
  folio journal --from 1200 --limit 50
  folio journal --follow --output json")]
    Journal(JournalArgs),
    /// Imports a file of JSON Lines, one command a line.
    Import(ImportArgs),
    /// Measures a running cluster and checks its book afterwards.
    Bench(BenchArgs),
    /// Prints a completion script.
    #[command(after_help = "Example: folio completions bash > ~/.local/share/bash-completion/completions/folio")]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Leaves the cluster up and prints how to talk to it.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Concurrent clients.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) clients: u32,
    /// Payments that each client makes.
    #[arg(long, default_value_t = 700, value_parser = clap::value_parser!(u32).range(50..=100_000))]
    pub(crate) payments: u32,
}

/// The id of a mutating request.
#[derive(Debug, Args)]
pub(crate) struct RequestArgs {
    /// The request id, a UUID. Repeat the same id to repeat the same request safely; otherwise a fresh one is made, and printed before it is sent.
    #[arg(long, value_name = "UUID")]
    pub(crate) request_id: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AssetVerb {
    /// Registers an asset with its scale, for good.
    #[command(after_help = "Example: folio asset register BTC --scale 8")]
    Register {
        /// The code, such as USD.
        code: String,
        /// Fraction digits, 0 to 18.
        #[arg(long)]
        scale: u32,
        #[command(flatten)]
        request: RequestArgs,
    },
    /// Lists all assets.
    #[command(after_help = "Example: folio asset list --output json")]
    List,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ClassArg {
    Asset,
    Liability,
    Equity,
    Income,
    Expense,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AccountVerb {
    /// Opens an account.
    #[command(
        after_help = "Example: folio account open liabilities:customers:42 --asset USD --class liability --floor -100.00"
    )]
    Open {
        /// The name: segments joined by ':'.
        name: String,
        /// The asset it holds.
        #[arg(long)]
        asset: String,
        /// Its class.
        #[arg(long, value_enum)]
        class: ClassArg,
        /// The least that may be available, or 'unlimited' [default: 0].
        #[arg(long, allow_hyphen_values = true)]
        floor: Option<String>,
        /// The most that it may hold.
        #[arg(long)]
        ceiling: Option<String>,
        /// A pair KEY=VALUE; may be repeated.
        #[arg(long, value_name = "KEY=VALUE")]
        metadata: Vec<String>,
        #[command(flatten)]
        request: RequestArgs,
    },
    /// Shows an account.
    #[command(after_help = "Example: folio account show liabilities:customers:42")]
    Show {
        /// The name.
        name: String,
    },
    /// Lists accounts.
    #[command(after_help = "Example: folio account list liabilities:customers")]
    List {
        /// Only those at or below this prefix.
        #[arg(default_value = "")]
        prefix: String,
    },
    /// Changes floor, ceiling or both.
    #[command(after_help = "Example: folio account set-limits liabilities:customers:42 --floor 0 --ceiling none")]
    SetLimits {
        /// The account.
        name: String,
        /// The new floor, or 'unlimited'.
        #[arg(long, allow_hyphen_values = true)]
        floor: Option<String>,
        /// The new ceiling, or 'none'.
        #[arg(long)]
        ceiling: Option<String>,
        #[command(flatten)]
        request: RequestArgs,
    },
    /// Stops new postings; reservations made before still confirm or cancel.
    #[command(after_help = "Example: folio account freeze liabilities:customers:42")]
    Freeze {
        /// The account.
        name: String,
        #[command(flatten)]
        request: RequestArgs,
    },
    /// Takes new postings again.
    #[command(after_help = "Example: folio account unfreeze liabilities:customers:42")]
    Unfreeze {
        /// The account.
        name: String,
        #[command(flatten)]
        request: RequestArgs,
    },
    /// Closes an empty account for good.
    #[command(after_help = "Example: folio account close liabilities:customers:42")]
    Close {
        /// The account.
        name: String,
        #[command(flatten)]
        request: RequestArgs,
    },
}

/// What may be told about a transaction.
#[derive(Debug, Args)]
pub(crate) struct DetailArgs {
    /// The caller's own order number.
    #[arg(long, default_value = "")]
    pub(crate) reference: String,
    /// A pair KEY=VALUE; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) metadata: Vec<String>,
    /// A business date, such as 2026-01-31 or 2026-01-31T12:00:00Z.
    #[arg(long)]
    pub(crate) effective_at: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct TransferArgs {
    /// The account to debit.
    #[arg(long)]
    pub(crate) debit: String,
    /// The account to credit.
    #[arg(long)]
    pub(crate) credit: String,
    /// The amount.
    #[arg(long)]
    pub(crate) amount: String,
    /// The transaction's id [default: the request id].
    #[arg(long, default_value = "")]
    pub(crate) transaction_id: String,
    #[command(flatten)]
    pub(crate) details: DetailArgs,
    #[command(flatten)]
    pub(crate) request: RequestArgs,
}

/// The postings of a transaction.
#[derive(Debug, Args)]
pub(crate) struct PostingArgs {
    /// A debit, ACCOUNT=AMOUNT; may be repeated.
    #[arg(long, value_name = "ACCOUNT=AMOUNT", required = true)]
    pub(crate) debit: Vec<String>,
    /// A credit, ACCOUNT=AMOUNT; may be repeated.
    #[arg(long, value_name = "ACCOUNT=AMOUNT", required = true)]
    pub(crate) credit: Vec<String>,
    /// The transaction's id [default: the request id].
    #[arg(long, default_value = "")]
    pub(crate) transaction_id: String,
    #[command(flatten)]
    pub(crate) details: DetailArgs,
    #[command(flatten)]
    pub(crate) request: RequestArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TxVerb {
    /// Books a transaction in one step.
    #[command(after_help = "Example, a currency exchange:
  folio tx post --debit liabilities:c:1:usd=10.00 --credit assets:fx:usd=10.00 --debit assets:fx:jpy=1500 --credit liabilities:c:1:jpy=1500")]
    Post(PostingArgs),
    /// Reserves a transaction.
    #[command(
        after_help = "Example: folio tx try --debit liabilities:c:1=5.00 --credit liabilities:m:1=5.00 --hold 15m"
    )]
    Try {
        #[command(flatten)]
        postings: PostingArgs,
        /// How long the reservation holds, such as 15m [default: until confirmed or cancelled].
        #[arg(long, value_parser = parse_duration)]
        hold: Option<Duration>,
    },
    /// Books a reservation, whole or in part.
    #[command(after_help = "Examples:
  folio tx confirm 019f0f3e-3b1c-7000-8000-000000000001
  folio tx confirm 019f0f3e-3b1c-7000-8000-000000000001 --amounts 4.00,4.00")]
    Confirm {
        /// The transaction.
        transaction_id: String,
        /// One amount per posting, in order, joined by commas; zero leaves one out. Without it all that was
        /// reserved is booked.
        #[arg(long, value_delimiter = ',')]
        amounts: Vec<String>,
        #[command(flatten)]
        request: RequestArgs,
    },
    /// Releases a reservation, or fences a transaction that was never tried.
    #[command(after_help = "Example: folio tx cancel 019f0f3e-3b1c-7000-8000-000000000001")]
    Cancel {
        /// The transaction.
        transaction_id: String,
        #[command(flatten)]
        request: RequestArgs,
    },
    /// Books the opposite of what was confirmed, whole or in part.
    #[command(after_help = "Examples:
  folio tx reverse 019f0f3e-3b1c-7000-8000-000000000001
  folio tx reverse 019f0f3e-3b1c-7000-8000-000000000001 --amounts 1.50,1.50 --reference refund-17")]
    Reverse {
        /// The transaction to reverse.
        original_id: String,
        /// One amount per posting, in order, joined by commas; zero leaves one out. Without it all that was
        /// confirmed is reversed.
        #[arg(long, value_delimiter = ',')]
        amounts: Vec<String>,
        /// The reversal's own id [default: the request id].
        #[arg(long, default_value = "")]
        transaction_id: String,
        #[command(flatten)]
        details: DetailArgs,
        #[command(flatten)]
        request: RequestArgs,
    },
    /// Shows a transaction with its timeline.
    #[command(after_help = "Example: folio tx show 019f0f3e-3b1c-7000-8000-000000000001")]
    Show {
        /// The transaction.
        transaction_id: String,
    },
    /// Lists transactions; with --state tried, the open holds, oldest first.
    #[command(after_help = "Examples:
  folio tx list --state tried
  folio tx list --account liabilities:customers:42 --from 2026-01-01 --to 2026-02-01")]
    List {
        /// Only those that touch this account.
        #[arg(long, default_value = "")]
        account: String,
        /// Only those that touch an account at or below this prefix.
        #[arg(long, default_value = "")]
        prefix: String,
        /// Only those with this reference.
        #[arg(long, default_value = "")]
        reference: String,
        /// Only those in this state.
        #[arg(long, value_enum)]
        state: Option<StateArg>,
        /// Created at or after this time.
        #[arg(long)]
        from: Option<String>,
        /// Created before this time.
        #[arg(long)]
        to: Option<String>,
        /// The most that are listed.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        limit: u64,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum StateArg {
    Tried,
    Confirmed,
    Cancelled,
    Expired,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RequestVerb {
    /// Shows what became of a request.
    #[command(after_help = "Example: folio request show 019f0f3e-3b1c-7000-8000-000000000001")]
    Show {
        /// The request id.
        request_id: String,
    },
}

/// A point of the past.
#[derive(Debug, Args)]
pub(crate) struct AsOfArgs {
    /// At this time of record, such as 2026-01-31T12:00:00Z.
    #[arg(long, conflicts_with_all = ["sequence", "effective"])]
    pub(crate) at: Option<String>,
    /// After this journal sequence.
    #[arg(long, conflicts_with = "effective")]
    pub(crate) sequence: Option<u64>,
    /// By effective date up to this time.
    #[arg(long)]
    pub(crate) effective: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct BalanceArgs {
    /// The account.
    pub(crate) account: String,
    #[command(flatten)]
    pub(crate) as_of: AsOfArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StatementArgs {
    /// The account.
    pub(crate) account: String,
    /// From this time on.
    #[arg(long)]
    pub(crate) from: Option<String>,
    /// Before this time.
    #[arg(long)]
    pub(crate) to: Option<String>,
    /// Goes by effective dates rather than by times of record: bookings alone, in the order of their effective dates.
    #[arg(long)]
    pub(crate) by_effective_date: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TrialBalanceArgs {
    /// Only accounts at or below this prefix.
    #[arg(default_value = "")]
    pub(crate) prefix: String,
    #[command(flatten)]
    pub(crate) as_of: AsOfArgs,
}

#[derive(Debug, Args)]
pub(crate) struct JournalArgs {
    /// The first sequence.
    #[arg(long, default_value_t = 1)]
    pub(crate) from: u64,
    /// Goes on as records come.
    #[arg(long)]
    pub(crate) follow: bool,
    /// The most records; 0 for all.
    #[arg(long, default_value_t = 0)]
    pub(crate) limit: u64,
}
