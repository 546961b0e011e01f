//! Every reason that a caller can see, in one table: its class, its gRPC code and what to do about it. `docs/errors.md` is generated from it.

use std::collections::HashMap;
use std::time::Duration;

use ledger::shape::Violation;
use ledger::{AmountError, Answer, LogTime, Outcome, Point, Rejection};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::replication::SubmitError;

/// The domain of all reasons.
pub const DOMAIN: &str = "folio";

/// The classes of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Not well formed.
    Shape,
    /// An identifier was used for something else.
    Identity,
    /// Something named is not there.
    Absent,
    /// The book does not allow it.
    Book,
    /// The transaction's state does not allow it.
    Tcc,
    /// Nothing was decided, or it is not known what was.
    Unknown,
}

/// The first of those that are given.
macro_rules! first {
    ($first:literal $(, $other:literal)?) => {
        $first
    };
}

macro_rules! reasons {
    ($($name:ident, $text:literal, $class:ident, $code:ident, $meaning:literal, $remedy:literal $(, asked: $asked:literal)?;)*) => {
        /// The reasons. Their texts are part of the API and never change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = $meaning] $name,)*
        }

        impl Reason {
            /// All reasons, in the order of their classes.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];

            /// The text on the wire.
            pub fn text(self) -> &'static str {
                match self { $(Reason::$name => $text,)* }
            }

            /// The class.
            pub fn class(self) -> Class {
                match self { $(Reason::$name => Class::$class,)* }
            }

            /// The gRPC code.
            pub fn code(self) -> Code {
                match self { $(Reason::$name => Code::$code,)* }
            }

            /// What it means.
            pub fn meaning(self) -> &'static str {
                match self { $(Reason::$name => $meaning,)* }
            }

            /// What to do where a command was refused.
            pub fn remedy(self) -> &'static str {
                match self { $(Reason::$name => $remedy,)* }
            }

            /// What to do where a question was refused: it has no request id.
            pub fn remedy_of_question(self) -> &'static str {
                match self { $(Reason::$name => first!($($asked,)? $remedy),)* }
            }

            /// The reason of this text.
            fn of_text(text: &str) -> Option<Reason> {
                Reason::ALL.iter().copied().find(|reason| reason.text() == text)
            }
        }
    };
}

reasons! {
    InvalidArgument, "INVALID_ARGUMENT", Shape, InvalidArgument, "A field is not well formed.", "Mend the field that is named; the request id is still free.", asked: "Mend the field that is named.";
    AmountMalformed, "AMOUNT_MALFORMED", Shape, InvalidArgument, "An amount is not digits with at most one point.", "Write digits, optionally one point and digits.";
    AmountScaleExceeded, "AMOUNT_SCALE_EXCEEDED", Shape, InvalidArgument, "An amount has more fraction digits than its asset's scale.", "Write at most as many fraction digits as the scale; nothing is ever rounded.";
    AmountOutOfRange, "AMOUNT_OUT_OF_RANGE", Shape, InvalidArgument, "An amount does not fit 96 bits at its asset's scale.", "Split the amount.";
    AmountCount, "AMOUNT_COUNT", Shape, InvalidArgument, "The number of amounts differs from the transaction's number of postings.", "Name one amount per posting, in order; zero leaves one out.";
    RequestIdReused, "REQUEST_ID_REUSED", Identity, AlreadyExists, "The request id was used with other content.", "Use a fresh request id for a new request, or the first content to repeat the old one.";
    TransactionExistsDifferent, "TRANSACTION_EXISTS_DIFFERENT", Identity, AlreadyExists, "The transaction exists with other content.", "Use a fresh transaction id.";
    AccountExistsDifferent, "ACCOUNT_EXISTS_DIFFERENT", Identity, AlreadyExists, "The account exists with other content.", "Choose another name, or change the account's limits.";
    AssetExistsDifferent, "ASSET_EXISTS_DIFFERENT", Identity, AlreadyExists, "The asset exists with another scale.", "Choose another code; a scale is fixed for good.";
    AccountNotFound, "ACCOUNT_NOT_FOUND", Absent, NotFound, "There is no such account.", "Open the account, then repeat under a fresh request id.", asked: "Mind the spelling, or open the account.";
    AssetNotFound, "ASSET_NOT_FOUND", Absent, NotFound, "There is no such asset.", "Register the asset, then repeat under a fresh request id.", asked: "Mind the spelling, or register the asset.";
    TransactionNotFound, "TRANSACTION_NOT_FOUND", Absent, NotFound, "There is no such transaction as of the answer's index.", "Try it first, then repeat under a fresh request id; or cancel it, which fences it.", asked: "Mind the id; where the transaction may yet be decided, repeat its request, or cancel it, which fences it.";
    NotFound, "NOT_FOUND", Absent, NotFound, "The thing looked up is not there as of the index of the reply; a request may yet be decided.", "Repeat the request with its own id to be sure, or cancel its transaction.";
    Unbalanced, "UNBALANCED", Book, FailedPrecondition, "Debits and credits of an asset differ.", "Make them equal per asset.";
    AssetMismatch, "ASSET_MISMATCH", Book, FailedPrecondition, "An account holds another asset than stated, or the two sides of a transfer hold different assets.", "Name accounts of one asset; exchange with four postings.";
    InsufficientFunds, "INSUFFICIENT_FUNDS", Book, FailedPrecondition, "The account's floor would be broken.", "Fund the account or lower its floor, then ask again under a fresh request id.";
    CeilingExceeded, "CEILING_EXCEEDED", Book, FailedPrecondition, "The account's ceiling would be broken.", "Raise the ceiling or use another account, under a fresh request id.";
    AccountFrozen, "ACCOUNT_FROZEN", Book, FailedPrecondition, "The account is frozen.", "Unfreeze it, then ask again under a fresh request id.";
    AccountClosed, "ACCOUNT_CLOSED", Book, FailedPrecondition, "The account is closed for good.", "Use another account.";
    AccountNotEmpty, "ACCOUNT_NOT_EMPTY", Book, FailedPrecondition, "An account is closed only at a balance of zero with nothing pending.", "Move the balance away and resolve what is pending.";
    BalanceOverflow, "BALANCE_OVERFLOW", Book, FailedPrecondition, "A total, or a sum of two, would leave 96 bits.", "The account's lifetime turnover is used up: open another.";
    AlreadyConfirmed, "ALREADY_CONFIRMED", Tcc, FailedPrecondition, "The transaction is confirmed.", "Reverse it instead.";
    AlreadyCancelled, "ALREADY_CANCELLED", Tcc, FailedPrecondition, "The transaction is cancelled.", "Try again under a fresh transaction id.";
    CancelledBeforeTry, "CANCELLED_BEFORE_TRY", Tcc, FailedPrecondition, "The transaction was cancelled before it was tried; it can never be.", "Use a fresh transaction id.";
    TransactionExpired, "TRANSACTION_EXPIRED", Tcc, FailedPrecondition, "The transaction's deadline has passed.", "Try again under a fresh transaction id.";
    NotConfirmed, "NOT_CONFIRMED", Tcc, FailedPrecondition, "The transaction is only reserved.", "Confirm it first, or cancel it.";
    ExceedsReserved, "EXCEEDS_RESERVED", Tcc, FailedPrecondition, "A confirm names more than was reserved.", "Confirm at most what was reserved.";
    ConfirmDiffers, "CONFIRM_DIFFERS", Tcc, FailedPrecondition, "The transaction was confirmed with other amounts.", "A transaction is confirmed once; look it up.";
    AlreadyReversed, "ALREADY_REVERSED", Tcc, FailedPrecondition, "The sum of reversals would exceed the original.", "Reverse at most what remains.";
    ReversalOfReversal, "REVERSAL_OF_REVERSAL", Tcc, FailedPrecondition, "A reversal cannot be reversed.", "Post the opposite as a new transaction.";
    NotApplied, "NOT_APPLIED", Tcc, FailedPrecondition, "Another command of the atomic batch was refused; this one's id stays free.", "Mend the culprit and send the batch under a fresh id.";
    NotLeader, "NOT_LEADER", Unknown, Unavailable, "This replica does not lead.", "Repeat the same request id, at the leader if it is named.", asked: "Ask again, at the leader if it is named.";
    NoQuorum, "NO_QUORUM", Unknown, Unavailable, "No leader is known, or it has no quorum.", "Repeat the same request id a little later.", asked: "Ask again a little later, or ask for a stale answer.";
    Overloaded, "OVERLOADED", Unknown, ResourceExhausted, "Too much work waits; nothing was proposed.", "Repeat the same request id a little later.", asked: "Ask again a little later.";
    DeadlineExceeded, "DEADLINE_EXCEEDED", Unknown, DeadlineExceeded, "The deadline passed before the request was proposed: nothing happened.", "Repeat the same request id with a longer deadline.", asked: "Ask again with a longer deadline.";
    OutcomeUnknown, "OUTCOME_UNKNOWN", Unknown, Unavailable, "The request was proposed and its outcome is not known here.", "Repeat the same request id: it is answered as it was decided.", asked: "Ask again.";
    ClockSkew, "CLOCK_SKEW", Unknown, Unavailable, "The clock of the replica that leads shows a time outside the years 2020 to 2200; nothing was proposed.", "Have the operator set that clock, then repeat the same request id.", asked: "Ask again a little later; the operator must set that clock.";
    PageExpired, "PAGE_EXPIRED", Unknown, Aborted, "What the walk looks at is no longer known on this replica: more than a minute and a million records have passed, or limits changed before it was started.", "Ask another replica, or begin the walk again.";
    StorageFailed, "STORAGE_FAILED", Unknown, Internal, "The book cannot be read on this replica.", "Ask another replica and tell the operator.";
}

fn pairs<const N: usize>(pairs: [(&str, String); N]) -> HashMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// What a rejection tells: its reason, a sentence, and its values.
#[derive(Debug, Clone)]
pub struct Explained {
    /// The reason.
    pub reason: Reason,
    /// What is wrong, with which value.
    pub message: String,
    /// The values.
    pub metadata: HashMap<String, String>,
    /// Of a shape refusal: the field.
    pub field: Option<String>,
}

impl Explained {
    fn new<const N: usize>(reason: Reason, message: String, values: [(&str, String); N]) -> Explained {
        Explained { reason, message, metadata: pairs(values), field: None }
    }
}

fn differing(reason: Reason, what: &str, fields: &[String]) -> Explained {
    let fields = ledger::outcome::told_fields(fields).join(", ");
    Explained::new(
        reason,
        format!("{what} exists with other content; these fields differ: {fields}"),
        [("fields", fields.clone())],
    )
}

/// The reason of an amount's error.
pub fn amount_reason(error: AmountError) -> Reason {
    match error {
        AmountError::Grammar => Reason::AmountMalformed,
        AmountError::ScaleExceeded => Reason::AmountScaleExceeded,
        AmountError::OutOfRange => Reason::AmountOutOfRange,
    }
}

/// Explains a rejection.
pub fn explain(rejection: &Rejection) -> Explained {
    match rejection {
        Rejection::InvalidArgument(violation) => Explained {
            field: Some(violation.field.clone()),
            ..Explained::new(Reason::InvalidArgument, format!("{} {}", violation.field, violation.problem), [])
        },
        Rejection::Amount { error, amount, asset, scale } => Explained {
            field: Some("amount".to_owned()),
            ..Explained::new(
                amount_reason(*error),
                format!("{amount} {error}; {asset} has scale {scale}"),
                [("amount", amount.clone()), ("asset", asset.to_string()), ("scale", scale.to_string())],
            )
        },
        Rejection::AmountCount { expected, given } => Explained {
            field: Some("amounts".to_owned()),
            ..Explained::new(
                Reason::AmountCount,
                format!("{given} amounts for {expected} postings"),
                [("expected", expected.to_string()), ("given", given.to_string())],
            )
        },
        Rejection::RequestIdReused(fields) => differing(Reason::RequestIdReused, "a request of this id", fields),
        Rejection::TransactionExistsDifferent(fields) => {
            differing(Reason::TransactionExistsDifferent, "the transaction", fields)
        }
        Rejection::AccountExistsDifferent(fields) => differing(Reason::AccountExistsDifferent, "the account", fields),
        Rejection::AssetExistsDifferent(fields) => differing(Reason::AssetExistsDifferent, "the asset", fields),
        Rejection::AccountNotFound(account) => Explained::new(
            Reason::AccountNotFound,
            format!("there is no account {account}"),
            [("account", account.to_string())],
        ),
        Rejection::AssetNotFound(asset) => {
            Explained::new(Reason::AssetNotFound, format!("there is no asset {asset}"), [("asset", asset.to_string())])
        }
        book => explain_book(book),
    }
}

fn on_account(reason: Reason, account: &ledger::AccountName, what: &str) -> Explained {
    Explained::new(reason, format!("account {account} {what}"), [("account", account.to_string())])
}

fn explain_book(rejection: &Rejection) -> Explained {
    match rejection {
        Rejection::Unbalanced { asset, debits, credits } => Explained::new(
            Reason::Unbalanced,
            format!("in {asset}, debits are {debits} and credits {credits}"),
            [("asset", asset.to_string()), ("debits", debits.clone()), ("credits", credits.clone())],
        ),
        Rejection::AssetMismatch { account, holds, stated } => Explained::new(
            Reason::AssetMismatch,
            format!("account {account} holds {holds}, not {stated}"),
            [("account", account.to_string()), ("holds", holds.to_string()), ("stated", stated.to_string())],
        ),
        Rejection::InsufficientFunds(funds) => Explained::new(
            Reason::InsufficientFunds,
            format!(
                "account {} has {} available and {} is needed, with a floor of {}",
                funds.account, funds.available, funds.needed, funds.floor
            ),
            [
                ("account", funds.account.to_string()),
                ("available", funds.available.to_string()),
                ("needed", funds.needed.to_string()),
                ("floor", funds.floor.to_string()),
            ],
        ),
        Rejection::CeilingExceeded { account, ceiling, reached } => Explained::new(
            Reason::CeilingExceeded,
            format!("account {account} would reach {reached}, its ceiling is {ceiling}"),
            [("account", account.to_string()), ("ceiling", ceiling.to_string()), ("reached", reached.to_string())],
        ),
        Rejection::AccountFrozen(account) => on_account(Reason::AccountFrozen, account, "is frozen"),
        Rejection::AccountClosed(account) => on_account(Reason::AccountClosed, account, "is closed"),
        Rejection::AccountNotEmpty { account, posted, debits_pending, credits_pending } => Explained::new(
            Reason::AccountNotEmpty,
            format!(
                "account {account} stands at {posted} with {debits_pending} debits and {credits_pending} credits pending"
            ),
            [
                ("account", account.to_string()),
                ("posted", posted.to_string()),
                ("debits_pending", debits_pending.to_string()),
                ("credits_pending", credits_pending.to_string()),
            ],
        ),
        Rejection::BalanceOverflow(account) => {
            on_account(Reason::BalanceOverflow, account, "would hold more than 96 bits of turnover")
        }
        tcc => explain_tcc(tcc),
    }
}

fn on_transaction(reason: Reason, transaction: &ledger::TransactionId, what: &str) -> Explained {
    Explained::new(reason, format!("transaction {transaction} {what}"), [("transaction_id", transaction.to_string())])
}

fn explain_tcc(rejection: &Rejection) -> Explained {
    match rejection {
        Rejection::TransactionNotFound(id) => on_transaction(Reason::TransactionNotFound, id, "is not on the book"),
        Rejection::AlreadyConfirmed(id) => on_transaction(Reason::AlreadyConfirmed, id, "is confirmed"),
        Rejection::AlreadyCancelled(id) => on_transaction(Reason::AlreadyCancelled, id, "is cancelled"),
        Rejection::CancelledBeforeTry(id) => {
            on_transaction(Reason::CancelledBeforeTry, id, "was cancelled before it was tried")
        }
        Rejection::TransactionExpired { transaction, deadline } => {
            let mut explained = on_transaction(Reason::TransactionExpired, transaction, "has expired");
            explained.metadata.insert("deadline_ns".to_owned(), deadline.0.to_string());
            explained
        }
        Rejection::NotConfirmed(id) => on_transaction(Reason::NotConfirmed, id, "is reserved and not confirmed"),
        Rejection::ExceedsReserved { posting, reserved, asked } => Explained::new(
            Reason::ExceedsReserved,
            format!("posting {posting} reserved {reserved}, {asked} was asked"),
            [("posting", posting.to_string()), ("reserved", reserved.to_string()), ("asked", asked.to_string())],
        ),
        Rejection::ConfirmDiffers(id) => on_transaction(Reason::ConfirmDiffers, id, "was confirmed with other amounts"),
        Rejection::AlreadyReversed { posting, remaining, asked } => Explained::new(
            Reason::AlreadyReversed,
            format!("of posting {posting}, {remaining} may still be reversed, {asked} was asked"),
            [("posting", posting.to_string()), ("remaining", remaining.to_string()), ("asked", asked.to_string())],
        ),
        Rejection::ReversalOfReversal(id) => on_transaction(Reason::ReversalOfReversal, id, "is itself a reversal"),
        Rejection::NotApplied { culprit } => Explained::new(
            Reason::NotApplied,
            format!("command {culprit} of the batch was refused, so nothing was applied"),
            [("culprit", culprit.to_string())],
        ),
        // The other variants were explained before this function was reached.
        other => Explained::new(Reason::InvalidArgument, format!("{other:?}"), []),
    }
}

/// The most bytes of a text that a status repeats: it travels in headers, which clients bound, and a client knows what it sent.
const REPEATED_BYTES: usize = 300;

/// A text for a status: whole, or its beginning and its length.
pub(super) fn clipped(text: String) -> String {
    clipped_to(REPEATED_BYTES, text)
}

/// A text of at most so many bytes: whole, or its beginning and its length.
pub(super) fn clipped_to(bytes: usize, text: String) -> String {
    if text.len() <= bytes {
        return text;
    }
    let end = text.floor_char_boundary(bytes);
    format!("{}… ({} bytes)", &text[..end], text.len())
}

/// The status of a refused question. One of a command passes [`of_command`].
fn status(explained: Explained, retry: Option<Duration>) -> Status {
    let remedy = explained.reason.remedy_of_question();
    status_with(explained, retry, remedy)
}

/// The refusal of a command before anything was decided. It may come from where questions are
/// refused too, and then says what to do about a question.
pub(super) fn of_command(refusal: Status) -> Status {
    let mut details = refusal.get_error_details();
    let Some(reason) = details.error_info().and_then(|info| Reason::of_text(&info.reason)) else { return refusal };
    let (remedy, asked) = (reason.remedy(), reason.remedy_of_question());
    match refusal.message().strip_suffix(asked) {
        Some(message) if asked != remedy => {
            details.set_localized_message("en", remedy);
            Status::with_error_details(refusal.code(), format!("{message}{remedy}"), details)
        }
        Some(_) | None => refusal,
    }
}

fn status_with(explained: Explained, retry: Option<Duration>, remedy: &'static str) -> Status {
    let Explained { reason: _, message, metadata, field } = explained;
    let metadata = metadata.into_iter().map(|(key, value)| (key, clipped(value))).collect();
    let explained = Explained { message: clipped(message), field: field.map(clipped), metadata, ..explained };
    let mut details = ErrorDetails::new();
    details.set_error_info(explained.reason.text(), DOMAIN, explained.metadata);
    if let Some(field) = &explained.field {
        details.add_bad_request_violation(field.clone(), explained.message.clone());
    }
    if explained.reason.code() == Code::FailedPrecondition {
        details.add_precondition_failure_violation(explained.reason.text(), "", remedy);
    }
    if let Some(delay) = retry {
        details.set_retry_info(Some(delay));
    }
    details.set_localized_message("en", remedy);
    Status::with_error_details(explained.reason.code(), format!("{}; {remedy}", explained.message), details)
}

fn add_point(metadata: &mut HashMap<String, String>, prefix: &str, point: &Point) {
    metadata.insert(format!("{prefix}log_index"), point.index.to_string());
    metadata.insert(format!("{prefix}position"), point.position.to_string());
    metadata.insert(format!("{prefix}log_time_ns"), point.time.0.to_string());
}

/// The status of a refused single call; its metadata tells where in the log it was decided.
pub fn rejected(answer: &Answer, rejection: &Rejection) -> Status {
    let mut explained = explain(rejection);
    add_point(&mut explained.metadata, "", &answer.point);
    explained.metadata.insert("replayed".to_owned(), answer.replay_of.is_some().to_string());
    if let Some(first) = &answer.replay_of {
        add_point(&mut explained.metadata, "first_", first);
    }
    if let Some(state) = answer.state {
        explained.metadata.insert("transaction_state".to_owned(), state.as_str().to_owned());
    }
    let remedy = explained.reason.remedy();
    status_with(explained, None, remedy)
}

/// The rejection of a single answer, if it is one.
pub fn rejection_of(answer: &Answer) -> Option<&Rejection> {
    match &answer.outcome {
        Outcome::Rejected(rejection) => Some(rejection),
        Outcome::Accepted(_) | Outcome::BatchRejected { .. } => None,
    }
}

/// A time as people read it.
pub(super) fn shown_time(nanoseconds: i64) -> String {
    super::render::effective(ledger::EffectiveAt(nanoseconds)).to_string()
}

/// A malformed field, refused before the log.
pub fn invalid(field: impl Into<String>, problem: impl std::fmt::Display) -> Status {
    violation(&Violation { field: field.into(), problem: problem.to_string() })
}

/// Two fields that contradict each other, refused before the log.
pub fn contradicting((first, second): (&str, &str), problem: impl std::fmt::Display) -> Status {
    let refusal = invalid(first, "");
    let mut details = refusal.get_error_details();
    let violation = |field: &str| FieldViolation::new(field, problem.to_string());
    details.set_bad_request(vec![violation(first), violation(second)]);
    let remedy = Reason::InvalidArgument.remedy();
    Status::with_error_details(refusal.code(), format!("{problem}; {remedy}"), details)
}

/// A violation found before the log.
pub fn violation(violation: &Violation) -> Status {
    status(explain(&Rejection::InvalidArgument(violation.clone())), None)
}

/// The field that a refusal names, and what is wrong with it.
pub fn violation_in(refusal: &Status) -> Violation {
    let details = refusal.get_error_details();
    let named = details.bad_request().and_then(|request| request.field_violations.first());
    let Some(named) = named else {
        return Violation { field: "command".to_owned(), problem: refusal.message().to_owned() };
    };
    // The sentence begins with the field.
    let problem = named.description.strip_prefix(&named.field).unwrap_or(&named.description);
    Violation { field: named.field.clone(), problem: problem.trim_start().to_owned() }
}

/// A malformed amount.
pub fn bad_amount(field: &str, text: &str, error: AmountError) -> Status {
    let explained = Explained {
        field: Some(field.to_owned()),
        ..Explained::new(
            amount_reason(error),
            format!("{field} is {text:?}, which {error}"),
            [("amount", text.to_owned())],
        )
    };
    status(explained, None)
}

/// The refusal of one command of a batch: message and fields name its place.
pub(super) fn within(position: usize, refusal: &Status) -> Status {
    let mut details = refusal.get_error_details();
    if let Some(request) = details.bad_request() {
        let mut violations = request.field_violations.clone();
        for violation in &mut violations {
            violation.field = format!("commands[{position}].{}", violation.field);
        }
        details.set_bad_request(violations);
    }
    Status::with_error_details(refusal.code(), format!("commands[{position}]: {}", refusal.message()), details)
}

/// Nothing is there under the name looked up, as of the log index and time of the view that was asked.
pub fn not_found(reason: Reason, what: &str, name: &str, (index, time): (u64, LogTime)) -> Status {
    status(
        Explained::new(
            reason,
            format!("there is no {what} {name} as of log index {index}"),
            [(what, name.to_owned()), ("log_index", index.to_string()), ("log_time_ns", time.0.to_string())],
        ),
        None,
    )
}

/// What a walk looks at is forgotten.
pub fn page_expired(index: u64) -> Status {
    let message = format!("what was at log index {index} is no longer known on this replica");
    status(Explained::new(Reason::PageExpired, message, [("log_index", index.to_string())]), None)
}

/// The book cannot be read.
pub fn storage(error: &dyn std::fmt::Display) -> Status {
    status(Explained::new(Reason::StorageFailed, error.to_string(), []), None)
}

/// Overload that was found before anything of the call was proposed.
fn overloaded(message: &str) -> Status {
    let explained = Explained::new(Reason::Overloaded, message.to_owned(), []);
    status(explained, Some(Duration::from_millis(100)))
}

/// The calls of all callers have sent too much that is not whole, and this one went on.
pub fn too_much_received() -> Status {
    overloaded("too much is being received that is not whole; nothing of this message was proposed")
}

/// The callers of other calls do not take their answers.
pub fn too_much_unsent() -> Status {
    overloaded("too many answers wait for their callers to take them; nothing was proposed")
}

/// No more streams are opened.
pub(super) fn too_many_streams() -> Status {
    overloaded("too many streams are open; nothing was proposed")
}

/// A message did not come in time.
pub fn not_received_in_time(bytes: usize, within: Duration) -> Status {
    let message = format!(
        "the request was not received as a whole within {within:?}: {bytes} bytes of it came; it was not proposed"
    );
    status(Explained::new(Reason::DeadlineExceeded, message, [("bytes", bytes.to_string())]), None)
}

/// Why there is no answer; `leader` is the present leader's number and address.
pub fn submit(error: &SubmitError, leader: Option<(u64, &str)>) -> Status {
    let leader_values = |leader: Option<(u64, &str)>| match leader {
        Some((id, address)) => pairs([("leader_id", id.to_string()), ("leader_address", address.to_owned())]),
        None => HashMap::new(),
    };
    let reason = match error {
        SubmitError::NotLeader { .. } | SubmitError::Stopping => Reason::NotLeader,
        SubmitError::NoLeader => Reason::NoQuorum,
        SubmitError::Overloaded => Reason::Overloaded,
        SubmitError::NotProposed => Reason::DeadlineExceeded,
        SubmitError::Unknown(_) => Reason::OutcomeUnknown,
        SubmitError::ClockSkew { .. } => Reason::ClockSkew,
    };
    let explained = Explained { reason, message: error.to_string(), metadata: leader_values(leader), field: None };
    status(explained, Some(Duration::from_millis(100)))
}
