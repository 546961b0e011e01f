//! The largest answers that there can be, against what a client takes that is not told otherwise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;

use ledger::limits::{
    MAX_ACCOUNT_NAME_BYTES, MAX_ASSET_CODE_BYTES, MAX_BATCH_COMMANDS, MAX_METADATA_KEY_BYTES, MAX_METADATA_PAIRS,
    MAX_METADATA_VALUE_BYTES, MAX_POSTINGS, MAX_PRINCIPAL_BYTES, MAX_REFERENCE_BYTES,
};
use ledger::outcome::InsufficientFunds;
use ledger::shape::Violation;
use ledger::{
    Accepted, AccountName, Amount, AmountError, Answer, AssetCode, Balance, ItemAnswer, LogTime, Outcome, Point,
    Rejection, RequestId, TransactionId, TransactionState,
};
use prost::Message;
use prost_types::{Duration, Timestamp};

use super::answers::{self, Room};
use super::limits::{MAX_MESSAGE_BYTES, MAX_PAGE_BYTES, SHORT_RESULT_BYTES};
use super::written;
use crate::proto::v1;

/// What may stand beside the items of a page: a token, a point, a transaction.
const BESIDE_BYTES: usize = 128 * 1024;
/// What one item may have at most, if a page of one is to be read.
const ITEM_BYTES: usize = 128 * 1024;

/// 29 digits, a sign and a point.
fn amount() -> String {
    format!("-{}.{}", "7".repeat(11), "9".repeat(18))
}

fn time() -> Option<Timestamp> {
    Some(Timestamp { seconds: i64::MAX, nanos: 999_999_999 })
}

fn id() -> String {
    "f".repeat(36)
}

fn name() -> String {
    "n".repeat(MAX_ACCOUNT_NAME_BYTES)
}

fn code() -> String {
    "C".repeat(MAX_ASSET_CODE_BYTES)
}

fn metadata() -> HashMap<String, String> {
    let pair = |number: usize| {
        (format!("{number:0width$}", width = MAX_METADATA_KEY_BYTES), "v".repeat(MAX_METADATA_VALUE_BYTES))
    };
    (0..MAX_METADATA_PAIRS).map(pair).collect()
}

fn details() -> Option<v1::Details> {
    Some(v1::Details { reference: "r".repeat(MAX_REFERENCE_BYTES), metadata: metadata(), effective_at: time() })
}

fn totals() -> Option<v1::Totals> {
    Some(v1::Totals {
        debits_pending: amount(),
        debits_posted: amount(),
        credits_pending: amount(),
        credits_posted: amount(),
    })
}

/// A record of the journal with every field at its limit: no record has them all.
fn record() -> v1::JournalRecord {
    let posting = v1::JournalPosting { account: name(), asset: code(), side: 2, amount: amount(), totals: totals() };
    v1::JournalRecord {
        sequence: u64::MAX,
        at: Some(v1::LogPoint { log_index: u64::MAX, position: u32::MAX, log_time: time() }),
        request_id: id(),
        principal: "p".repeat(MAX_PRINCIPAL_BYTES),
        event: "account_unfrozen".to_owned(),
        transaction_id: id(),
        postings: vec![posting; MAX_POSTINGS],
        details: details(),
        deadline: time(),
        timeout: Some(Duration { seconds: i64::MAX, nanos: 999_999_999 }),
        original_id: id(),
        subject: name(),
        floor: Some(v1::Floor { kind: Some(v1::floor::Kind::AtLeast(amount())) }),
        ceiling: amount(),
        class: 5,
        asset: code(),
        scale: 18,
    }
}

fn transaction() -> v1::Transaction {
    let posting = v1::TransactionPosting {
        account: name(),
        asset: code(),
        side: 2,
        amount: amount(),
        confirmed: amount(),
        reversed: amount(),
    };
    v1::Transaction {
        transaction_id: id(),
        state: 4,
        kind: "cancelled_empty".to_owned(),
        postings: vec![posting; MAX_POSTINGS],
        details: details(),
        created_at: time(),
        created_sequence: u64::MAX,
        deadline: time(),
        resolved_at: time(),
        age: Some(Duration { seconds: i64::MAX, nanos: 999_999_999 }),
        original_id: id(),
    }
}

fn account() -> v1::Account {
    v1::Account {
        name: name(),
        asset: code(),
        class: 5,
        status: 3,
        floor: Some(v1::Floor { kind: Some(v1::floor::Kind::AtLeast(amount())) }),
        ceiling: amount(),
        metadata: metadata(),
        totals: totals(),
        posted: amount(),
        available: amount(),
        opened_sequence: u64::MAX,
        opened_at: time(),
    }
}

fn line() -> v1::StatementLine {
    v1::StatementLine {
        sequence: u64::MAX,
        time: time(),
        event: "confirmed".to_owned(),
        transaction_id: id(),
        reference: "r".repeat(MAX_REFERENCE_BYTES),
        effective_at: time(),
        side: 2,
        amount: amount(),
        is_posted: true,
        posted: amount(),
        available: amount(),
    }
}

#[test]
fn every_page_and_every_single_item_is_well_below_what_a_stock_client_takes() {
    let largest = [record().encoded_len(), transaction().encoded_len(), account().encoded_len()];
    assert!(largest.iter().all(|bytes| *bytes < ITEM_BYTES), "{largest:?}");
    assert!(transaction().encoded_len() + 1024 < BESIDE_BYTES);
    // Pages end before the first item that has no room: so this bounds all but statements.
    const { assert!(MAX_PAGE_BYTES + BESIDE_BYTES < MAX_MESSAGE_BYTES / 2) };
    // A statement's page has so many lines at most, for it ends with a whole record.
    let lines = vec![line(); 1000 + MAX_POSTINGS - 1];
    let statement = v1::GetStatementResponse { lines, ..Default::default() };
    assert!(statement.encoded_len() < MAX_PAGE_BYTES, "{} bytes", statement.encoded_len());
}

/// Every refusal, with values as long as they can be.
fn refusals() -> Vec<Rejection> {
    let account = || AccountName::new(&name()).unwrap();
    let asset = || AssetCode::new(&code()).unwrap();
    let transaction = TransactionId::from_bytes([0xff; 16]).unwrap();
    let long = Amount::parse("79228162514.264337593543950335").unwrap();
    let balance = || Balance::parse("-79228162514.264337593543950335").unwrap();
    let fields = || (0..40).map(|field| format!("commands[8191].postings[{field}].account")).collect();
    let sum = || "9".repeat(40);
    vec![
        Rejection::InvalidArgument(Violation { field: "f".repeat(400), problem: "p".repeat(4_000) }),
        Rejection::Amount { error: AmountError::ScaleExceeded, amount: "9".repeat(64), asset: asset(), scale: 18 },
        Rejection::AmountCount { expected: 256, given: u32::MAX },
        Rejection::RequestIdReused(fields()),
        Rejection::TransactionExistsDifferent(fields()),
        Rejection::AccountExistsDifferent(fields()),
        Rejection::AssetExistsDifferent(fields()),
        Rejection::AccountNotFound(account()),
        Rejection::AssetNotFound(asset()),
        Rejection::TransactionNotFound(transaction),
        Rejection::Unbalanced { asset: asset(), debits: sum(), credits: sum() },
        Rejection::AssetMismatch { account: account(), holds: asset(), stated: asset() },
        Rejection::InsufficientFunds(Box::new(InsufficientFunds {
            account: account(),
            available: balance(),
            needed: long,
            floor: balance(),
        })),
        Rejection::CeilingExceeded { account: account(), ceiling: long, reached: balance() },
        Rejection::AccountFrozen(account()),
        Rejection::AccountClosed(account()),
        Rejection::AccountNotEmpty {
            account: account(),
            posted: balance(),
            debits_pending: long,
            credits_pending: long,
        },
        Rejection::BalanceOverflow(account()),
        Rejection::AlreadyConfirmed(transaction),
        Rejection::AlreadyCancelled(transaction),
        Rejection::CancelledBeforeTry(transaction),
        Rejection::TransactionExpired { transaction, deadline: LogTime(u64::MAX) },
        Rejection::NotConfirmed(transaction),
        Rejection::ExceedsReserved { posting: 255, reserved: long, asked: long },
        Rejection::ConfirmDiffers(transaction),
        Rejection::AlreadyReversed { posting: 255, remaining: long, asked: long },
        Rejection::ReversalOfReversal(transaction),
        Rejection::NotApplied { culprit: u32::MAX },
    ]
}

fn point() -> Point {
    Point { index: u64::MAX, position: u32::MAX, time: LogTime(u64::MAX) }
}

fn answer(outcome: Outcome) -> Answer {
    Answer { point: point(), sequence: None, replay_of: Some(point()), state: Some(TransactionState::Expired), outcome }
}

#[test]
fn no_refusal_takes_more_than_its_part_of_a_reply_that_is_full() {
    for refusal in refusals() {
        let whole = answers::command_result(&answer(Outcome::Rejected(refusal.clone())));
        // So many others that there is room for nothing but each one's part.
        let short = Room::of(MAX_BATCH_COMMANDS * 2).fit(whole.clone());
        assert!(short.encoded_len() + 4 <= SHORT_RESULT_BYTES, "{} bytes of {refusal:?}", short.encoded_len());
        assert_eq!(Room::of(1).fit(whole.clone()), whole, "alone it tells all");
        let (whole, short) = (whole.refusal.unwrap(), short.refusal.unwrap());
        assert_eq!((short.reason, short.code), (whole.reason, whole.code));
        assert!((short.message + &short.remedy).is_empty() && !whole.message.is_empty() && !whole.remedy.is_empty());
        for (key, value) in &whole.metadata {
            assert!(short.metadata[key].starts_with(&value[..value.len().min(MAX_ACCOUNT_NAME_BYTES)]), "{key}");
        }
    }
}

#[test]
fn the_largest_batch_of_refusals_is_read_by_a_stock_client() {
    let longest = refusals()
        .into_iter()
        .max_by_key(|refusal| answers::command_result(&answer(Outcome::Rejected(refusal.clone()))).encoded_len());
    let refusal = longest.unwrap();
    let refused = vec![answer(Outcome::Rejected(refusal.clone())); MAX_BATCH_COMMANDS];
    let reply = written::response(&refused);
    assert!(reply.len() < MAX_MESSAGE_BYTES, "{} bytes of {refusal:?}", reply.len());
    let reply = v1::ExecuteBatchResponse::decode(reply).unwrap();
    assert_eq!(reply.results.len(), MAX_BATCH_COMMANDS);
    assert!(reply.results.iter().all(|result| result.refusal.is_some()));
    // As the kept answer of an atomic batch has them.
    let item = ItemAnswer {
        request: RequestId::from_bytes([0xff; 16]).unwrap(),
        time: LogTime(u64::MAX),
        sequence: None,
        replay_of: Some(point()),
        state: Some(TransactionState::Expired),
        outcome: Err(refusal),
    };
    let kept = answer(Outcome::BatchRejected { culprit: 0, items: vec![item; MAX_BATCH_COMMANDS] });
    let reply = v1::GetRequestOutcomeResponse { items: answers::items(&kept), ..Default::default() };
    assert_eq!(reply.items.len(), MAX_BATCH_COMMANDS);
    assert!(reply.encoded_len() < MAX_MESSAGE_BYTES, "{} bytes", reply.encoded_len());
}

#[test]
fn the_largest_batch_of_successes_is_read_by_a_stock_client() {
    let transaction = TransactionId::from_bytes([0xff; 16]).unwrap();
    let done = Accepted::Tried(transaction, Some(LogTime(u64::MAX)));
    let mut done = answer(Outcome::Accepted(done));
    done.sequence = Some(ledger::journal::JournalSequence(u64::MAX));
    let reply = written::response(&vec![done; MAX_BATCH_COMMANDS]);
    assert!(reply.len() < MAX_MESSAGE_BYTES, "{} bytes", reply.len());
}

#[test]
fn a_follower_reads_what_its_leader_decided_whatever_was_refused() {
    // What a peer takes of one message.
    const PEER_BYTES: usize = 16 * 1024 * 1024;
    for refusal in refusals() {
        // A malformed command does not get as far as the leader.
        if matches!(refusal, Rejection::InvalidArgument(_)) {
            continue;
        }
        let mut refused = answer(Outcome::Rejected(refusal));
        refused.shorten();
        let bytes = postcard::to_stdvec(&refused).unwrap().len() * MAX_BATCH_COMMANDS;
        assert!(bytes < PEER_BYTES, "{bytes} bytes of {refused:?}");
        let told = refused.clone();
        refused.shorten();
        assert_eq!(refused, told, "what was shortened is not shortened again");
    }
}
