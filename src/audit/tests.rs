//! Walks over a small book: what a page computes for those after it is used by them, and never needed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use ledger::command::{Details, OpenAccount, Post, Posting, RegisterAsset};
use ledger::journal::JournalSequence;
use ledger::{
    AccountName, AccountRef, Amount, AssetCode, Class, Command, EffectiveAt, EntryWriter, Floor, LogTime, Operation,
    RequestId, Scale, Side, TransactionId,
};

use super::{Dates, Kept, Moment, Period, balance, statement};
use crate::book::view::BookView;
use crate::book::{Book, Committed, Payload};
use crate::store::memory::MemoryEngine;

const BOOKINGS: u128 = 300;

fn name(text: &str) -> AccountName {
    AccountName::new(text).unwrap()
}

/// A book with bookings whose effective dates come in no order.
fn book() -> Book {
    let (usd, scale) = (AssetCode::new("USD").unwrap(), Scale::new(2).unwrap());
    let mut operations = vec![Operation::RegisterAsset(RegisterAsset { code: usd, scale })];
    for account in ["bank", "customer"] {
        operations.push(Operation::OpenAccount(Box::new(OpenAccount {
            name: name(account),
            asset: usd,
            class: Class::Asset,
            floor: Floor::Unlimited,
            ceiling: None,
            metadata: ledger::command::Metadata::new(),
        })));
    }
    for number in 1..=BOOKINGS {
        let posting = |account, side| {
            let amount = Amount::from_minor(number, scale).unwrap();
            Posting { account: AccountRef::Name(name(account)), side, amount, asset: None }
        };
        let effective_at = Some(EffectiveAt(i64::try_from(number * 61 % 97).unwrap()));
        operations.push(Operation::Post(Post {
            transaction: TransactionId::from_bytes((number + 1_000).to_be_bytes()).unwrap(),
            postings: vec![posting("bank", Side::Debit), posting("customer", Side::Credit)],
            details: Details { effective_at, ..Details::default() },
        }));
    }
    let book = Book::open(Arc::new(MemoryEngine::new())).unwrap();
    let mut entry = EntryWriter::new(256);
    for (number, operation) in (2_000u128..).zip(operations) {
        let request = RequestId::from_bytes(number.to_be_bytes()).unwrap();
        let command = Command { request, principal: String::new(), operation };
        entry.push(&ledger::entry::encode_command(&command).unwrap(), 1);
    }
    let bytes = entry.finish(LogTime(1_000_000));
    let payload = Payload::Commands(&bytes);
    book.apply(Committed { index: 1, log_id: vec![1], payload }).unwrap();
    book
}

/// The sequences and running balances of a statement by effective date, in pages of a size.
fn walked(view: &BookView, limit: usize, kept: impl Fn() -> Arc<Kept>) -> Vec<(JournalSequence, String)> {
    let (mut after, mut lines) = (JournalSequence(0), Vec::new());
    loop {
        let last = view.last_sequence();
        let period = Period { dates: Dates::Effective, from_ns: None, to_ns: None, after, last, limit };
        let page = statement(view, &kept(), &name("bank"), period).unwrap();
        lines.extend(page.lines.iter().map(|line| (line.record.sequence, line.posted.to_string())));
        after = page.lines.last().unwrap().record.sequence;
        if !page.has_more {
            return lines;
        }
    }
}

#[test]
fn a_walk_by_effective_date_reads_the_history_once_and_comes_to_the_same_without_what_is_kept() {
    let book = book();
    let view = book.view();
    let kept = Arc::new(Kept::default());
    let lines = walked(&view, 7, || Arc::clone(&kept));
    assert_eq!(lines.len(), usize::try_from(BOOKINGS).unwrap());
    // Every page after the first was answered from the window that the first had read.
    let (number, account) = balance::known(&view, &name("bank")).unwrap();
    let window = |place| kept.window(&view, (number, account.scale), view.last_sequence(), place).unwrap();
    let before_all = (i64::MIN, JournalSequence(0));
    let first = window(before_all);
    let places: Vec<_> = first.from(before_all).1.collect();
    assert_eq!(places.len(), lines.len());
    assert!(places.iter().all(|place| Arc::ptr_eq(&first, &window(*place))));
    // Other replicas, and one that has put it away, begin anew on each page.
    assert_eq!(walked(&view, 7, Arc::default), lines);
    assert_eq!(walked(&view, 1_000, Arc::default), lines);
}

#[test]
fn a_moment_is_believed_only_where_the_log_has_it() {
    let book = book();
    let earlier = Moment::of(&book.view());
    // An entry without a record moves the log on.
    let bytes = EntryWriter::new(16).finish(LogTime(2_000_000));
    book.apply(Committed { index: 2, log_id: vec![2], payload: Payload::Commands(&bytes) }).unwrap();
    let view = book.view();
    let now = Moment::of(&view);
    let is_of = |moment: Moment| moment.is_of(&view).unwrap();
    assert!(is_of(now) && is_of(earlier));
    let sequence = |sequence| JournalSequence(sequence);
    for untrue in [
        Moment { index: 3, ..now },
        Moment { index: u64::MAX, ..now },
        Moment { index: 0, ..earlier },
        Moment { time: LogTime(earlier.time.0 - 1), ..earlier },
        Moment { time: LogTime(u64::MAX), ..earlier },
        Moment { time: LogTime(0), ..now },
        Moment { sequence: sequence(earlier.sequence.0 - 1), ..earlier },
        Moment { sequence: sequence(earlier.sequence.0 + 1), ..earlier },
        Moment { sequence: sequence(0), ..earlier },
        Moment { sequence: sequence(u64::MAX), ..earlier },
    ] {
        assert!(!is_of(untrue), "{untrue:?}");
    }
    assert!(is_of(Moment { index: 0, time: LogTime(0), sequence: sequence(0) }), "before all");
}
