//! How scripts write times and answers.

use ledger::account::{Account, Floor, Side};
use ledger::journal::{Event, JournalPosting};
use ledger::outcome::InsufficientFunds;
use ledger::{
    Accepted, AccountNumber, Answer, Interval, JournalRecord, LogTime, Outcome, Rejection, TransactionId,
    TransactionState,
};

use crate::harness::label;
use crate::memory::MemoryRecords;

const SECOND_NS: u64 = 1_000_000_000;

/// `10s`, `10s+3ns`, `3ns`.
pub fn time(nanoseconds: u64) -> String {
    match (nanoseconds / SECOND_NS, nanoseconds % SECOND_NS) {
        (seconds, 0) => format!("{seconds}s"),
        (0, rest) => format!("{rest}ns"),
        (seconds, rest) => format!("{seconds}s+{rest}ns"),
    }
}

pub fn parse_time(text: &str) -> u64 {
    text.split('+')
        .map(|part| match (part.strip_suffix("ns"), part.strip_suffix('s')) {
            (Some(digits), _) => digits.parse::<u64>().unwrap(),
            (None, Some(digits)) => digits.parse::<u64>().unwrap() * SECOND_NS,
            (None, None) => panic!("not a time: {text}"),
        })
        .sum()
}

pub fn parse_interval(text: &str) -> Interval {
    Interval(parse_time(text))
}

fn name_of(book: &MemoryRecords, number: AccountNumber) -> String {
    let found = book.names.iter().find(|(_, given)| **given == number);
    found.map_or_else(|| format!("#{}", number.0), |(name, _)| name.to_string())
}

fn id(transaction: &TransactionId) -> String {
    label(transaction.as_bytes())
}

/// One line for one answer, and one more per item of an atomic batch.
pub fn answer(answer: &Answer) -> Vec<String> {
    let mut line = format!("-> {}.{} at {}: ", answer.point.index, answer.point.position, time(answer.point.time.0));
    let mut items = Vec::new();
    match &answer.outcome {
        Outcome::Accepted(done) => {
            line.push_str(&accepted(done));
            if let Accepted::Batch(answers) = done {
                items = answers.iter().collect();
            }
        }
        Outcome::Rejected(refusal) => line.push_str(&rejection(refusal)),
        Outcome::BatchRejected { culprit, items: answers } => {
            line.push_str(&format!("refused because of item {culprit}"));
            items = answers.iter().collect();
        }
    }
    tail(&mut line, answer.sequence.map(|sequence| sequence.0), answer.state, answer.replay_of);
    let mut lines = vec![line];
    for item in items {
        let mut line = format!("->   {} at {}: ", label(item.request.as_bytes()), time(item.time.0));
        match &item.outcome {
            Ok(done) => line.push_str(&accepted(done)),
            Err(refusal) => line.push_str(&rejection(refusal)),
        }
        tail(&mut line, item.sequence.map(|sequence| sequence.0), item.state, item.replay_of);
        lines.push(line);
    }
    lines
}

fn tail(line: &mut String, sequence: Option<u64>, state: Option<TransactionState>, replay_of: Option<ledger::Point>) {
    if let Some(sequence) = sequence {
        line.push_str(&format!("; seq {sequence}"));
    }
    if let Some(state) = state {
        line.push_str(&format!("; {}", state.as_str()));
    }
    if let Some(first) = replay_of {
        line.push_str(&format!("; replays {}.{} at {}", first.index, first.position, time(first.time.0)));
    }
}

fn accepted(accepted: &Accepted) -> String {
    match accepted {
        Accepted::AssetRegistered(number) => format!("asset #{}", number.0),
        Accepted::AccountOpened(number) => format!("account #{}", number.0),
        Accepted::LimitsSet => "limits set".into(),
        Accepted::Frozen => "frozen".into(),
        Accepted::Unfrozen => "unfrozen".into(),
        Accepted::Closed => "closed".into(),
        Accepted::Posted(transaction) => format!("posted {}", id(transaction)),
        Accepted::Tried(transaction, Some(deadline)) => format!("tried {} until {}", id(transaction), time(deadline.0)),
        Accepted::Tried(transaction, None) => format!("tried {}", id(transaction)),
        Accepted::Confirmed(transaction) => format!("confirmed {}", id(transaction)),
        Accepted::Cancelled(transaction) => format!("cancelled {}", id(transaction)),
        Accepted::CancelledEmpty(transaction) => format!("cancelled {}, which was empty", id(transaction)),
        Accepted::CancelledExpired(transaction) => format!("cancelled {}, which had expired", id(transaction)),
        Accepted::Reversed(transaction) => format!("reversed as {}", id(transaction)),
        Accepted::Batch(items) => format!("all {} done", items.len()),
    }
}

pub fn rejection(rejection: &Rejection) -> String {
    match rejection {
        Rejection::InvalidArgument(violation) => format!("INVALID_ARGUMENT {}: {}", violation.field, violation.problem),
        Rejection::Amount { error, amount, asset, scale } => {
            format!("AMOUNT {error:?}: {amount} for {asset} of scale {scale}")
        }
        Rejection::AmountCount { expected, given } => format!("AMOUNT_COUNT expected {expected}, given {given}"),
        Rejection::RequestIdReused(fields) => format!("REQUEST_ID_REUSED {}", fields.join(", ")),
        Rejection::TransactionExistsDifferent(fields) => format!("TRANSACTION_EXISTS_DIFFERENT {}", fields.join(", ")),
        Rejection::AccountExistsDifferent(fields) => format!("ACCOUNT_EXISTS_DIFFERENT {}", fields.join(", ")),
        Rejection::AssetExistsDifferent(fields) => format!("ASSET_EXISTS_DIFFERENT {}", fields.join(", ")),
        Rejection::AccountNotFound(name) => format!("ACCOUNT_NOT_FOUND {name}"),
        Rejection::AssetNotFound(code) => format!("ASSET_NOT_FOUND {code}"),
        Rejection::TransactionNotFound(transaction) => format!("TRANSACTION_NOT_FOUND {}", id(transaction)),
        Rejection::Unbalanced { asset, debits, credits } => {
            format!("UNBALANCED {asset}: debits {debits}, credits {credits}")
        }
        Rejection::AssetMismatch { account, holds, stated } => {
            format!("ASSET_MISMATCH {account} holds {holds}, stated {stated}")
        }
        Rejection::InsufficientFunds(funds) => {
            let InsufficientFunds { account, available, needed, floor } = funds.as_ref();
            format!("INSUFFICIENT_FUNDS {account}: available {available}, needed {needed}, floor {floor}")
        }
        Rejection::CeilingExceeded { account, ceiling, reached } => {
            format!("CEILING_EXCEEDED {account}: ceiling {ceiling}, reached {reached}")
        }
        Rejection::AccountFrozen(name) => format!("ACCOUNT_FROZEN {name}"),
        Rejection::AccountClosed(name) => format!("ACCOUNT_CLOSED {name}"),
        Rejection::AccountNotEmpty { account, posted, debits_pending, credits_pending } => {
            format!("ACCOUNT_NOT_EMPTY {account}: posted {posted}, pending {debits_pending} and {credits_pending}")
        }
        Rejection::BalanceOverflow(name) => format!("BALANCE_OVERFLOW {name}"),
        Rejection::AlreadyConfirmed(transaction) => format!("ALREADY_CONFIRMED {}", id(transaction)),
        Rejection::AlreadyCancelled(transaction) => format!("ALREADY_CANCELLED {}", id(transaction)),
        Rejection::CancelledBeforeTry(transaction) => format!("CANCELLED_BEFORE_TRY {}", id(transaction)),
        Rejection::TransactionExpired { transaction, deadline } => {
            format!("TRANSACTION_EXPIRED {} at {}", id(transaction), time(deadline.0))
        }
        Rejection::NotConfirmed(transaction) => format!("NOT_CONFIRMED {}", id(transaction)),
        Rejection::ExceedsReserved { posting, reserved, asked } => {
            format!("EXCEEDS_RESERVED posting {posting}: reserved {reserved}, asked {asked}")
        }
        Rejection::ConfirmDiffers(transaction) => format!("CONFIRM_DIFFERS {}", id(transaction)),
        Rejection::AlreadyReversed { posting, remaining, asked } => {
            format!("ALREADY_REVERSED posting {posting}: remaining {remaining}, asked {asked}")
        }
        Rejection::ReversalOfReversal(transaction) => format!("REVERSAL_OF_REVERSAL {}", id(transaction)),
        Rejection::NotApplied { culprit } => format!("NOT_APPLIED because of item {culprit}"),
    }
}

/// `alice: posted 5.00, available 4.00, pending 1.00 debit 0.00 credit, floor 0.00`.
pub fn account(name: &str, account: &Account) -> String {
    let floor = match account.floor {
        Floor::AtLeast(floor) => floor.to_string(),
        Floor::Unlimited => "unlimited".into(),
    };
    let ceiling = account.ceiling.map(|ceiling| format!(", ceiling {ceiling}")).unwrap_or_default();
    format!(
        "-> {name}: posted {}, available {}, pending {} debit {} credit, floor {floor}{ceiling}, {:?}",
        account.posted().unwrap(),
        account.available().unwrap(),
        account.totals.debits_pending,
        account.totals.credits_pending,
        account.status
    )
}

fn postings(book: &MemoryRecords, postings: &[JournalPosting]) -> String {
    let one = |posting: &JournalPosting| {
        let side = match posting.side {
            Side::Debit => "debit",
            Side::Credit => "credit",
        };
        format!("{side} {} {}", name_of(book, posting.account), posting.amount)
    };
    postings.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// `seq 4 at 1s, 3.0, r7: tried t1 debit alice 5.00 credit bob 5.00`.
pub fn journal(book: &MemoryRecords, record: &JournalRecord) -> String {
    let what = match &record.event {
        Event::AssetRegistered { code, .. } => format!("asset {code}"),
        Event::AccountOpened(opened) => format!("opened {}", opened.name),
        Event::LimitsSet { account, .. } => format!("limits of {}", name_of(book, *account)),
        Event::AccountFrozen(account) => format!("froze {}", name_of(book, *account)),
        Event::AccountUnfrozen(account) => format!("unfroze {}", name_of(book, *account)),
        Event::AccountClosed(account) => format!("closed {}", name_of(book, *account)),
        Event::Posted { .. } => "posted".into(),
        Event::Tried { .. } => "tried".into(),
        Event::Confirmed { .. } => "confirmed".into(),
        Event::Cancelled { .. } => "cancelled".into(),
        Event::CancelledEmpty(_) => "cancelled empty".into(),
        Event::Expired { deadline: LogTime(deadline), .. } => format!("expired (deadline {})", time(*deadline)),
        Event::Reversed { original, .. } => format!("reversed {} as", id(original)),
    };
    let transaction =
        record.event.transaction().map(|transaction| format!(" {}", id(&transaction))).unwrap_or_default();
    let moved = postings(book, record.event.postings());
    let reference = match record.event.details() {
        Some(details) if !details.reference.is_empty() => format!(", ref {}", details.reference),
        Some(_) | None => String::new(),
    };
    let by = if record.principal.is_empty() { String::new() } else { format!(", by {}", record.principal) };
    let request = record.request.map_or_else(|| "-".into(), |request| label(request.as_bytes()));
    format!(
        "-> seq {} at {}, {}.{}, {request}{by}: {what}{transaction} {moved}{reference}",
        record.sequence.0,
        time(record.point.time.0),
        record.point.index,
        record.point.position,
    )
    .trim_end()
    .to_string()
}
