//! Books that are wrong: the node stops and says which invariant is broken, and never answers.

use ledger::journal::{Event, JournalSequence};
use ledger::limits::MAX_MANTISSA;
use ledger::{AccountNumber, Amount, AssetNumber, Floor, LogTime, Scale, Side, Stop, TransactionState};

use crate::harness::{Book, request_id, transaction_id};
use crate::memory::{MemoryRecords, Unreadable};
use crate::script::{parse_command, run};

/// A book with a hold `t1` that has a deadline, a posted `p1`, a confirmed `t2` and a tombstone `x1`.
fn book() -> Book {
    run("use standard\n\
         r1: try t1 debit alice 5.00 credit bob 5.00 timeout 100s\n\
         r2: post p1 debit alice 5.00 credit bob 5.00\n\
         r3: try t2 debit alice 5.00 credit bob 5.00 timeout 100s\n\
         confirm t2 amounts 3.00 3.00\n\
         cancel x1\n\
         reverse t2 as v1 amounts 1.00 1.00\n")
}

/// Applies `command` to a book that was changed, and gives the invariant that the node stops for.
fn stop(change: impl Fn(&mut MemoryRecords), command: &str) -> (&'static str, String) {
    stop_at(change, command, 0)
}

fn stop_at(change: impl Fn(&mut MemoryRecords), command: &str, stamp: u64) -> (&'static str, String) {
    let mut records = book().records;
    change(&mut records);
    let commands = if command.is_empty() { Vec::new() } else { vec![with_request(command)] };
    let entry = ledger::Entry { version: 1, stamp: LogTime(stamp), commands };
    match ledger::apply(&records, 99, &entry) {
        Err(Stop::Broken { invariant, detail }) => {
            assert!(!detail.is_empty());
            let shown = Stop::<Unreadable>::Broken { invariant, detail: detail.clone() }.to_string();
            assert!(shown.contains(invariant) && shown.contains(&detail));
            (invariant, detail)
        }
        other => panic!("the node did not stop: {other:?}"),
    }
}

/// `r1: confirm …` under the request id `r1`; without a label under a fresh one.
fn with_request(text: &str) -> ledger::Command {
    match text.split_once(": ") {
        Some((label, text)) => ledger::Command { request: request_id(label), ..parse_command(text) },
        None => parse_command(text),
    }
}

fn name(invariant_and_detail: (&'static str, String)) -> &'static str {
    invariant_and_detail.0
}

fn account<'r>(records: &'r mut MemoryRecords, name: &str) -> &'r mut ledger::Account {
    let number = records.names[&ledger::AccountName::new(name).unwrap()];
    records.accounts.get_mut(&number).unwrap()
}

fn usd(minor: u128) -> Amount {
    Amount::from_minor(minor, Scale::new(2).unwrap()).unwrap()
}

fn transaction<'r>(records: &'r mut MemoryRecords, label: &str) -> &'r mut ledger::TransactionRecord {
    records.transactions.get_mut(&transaction_id(label)).unwrap()
}

const EXPIRY: u64 = 200_000_000_000;

#[test]
fn i3_pending_totals_that_lack_a_reservation() {
    let short = |records: &mut MemoryRecords| account(records, "alice").totals.debits_pending = usd(499);
    assert_eq!(name(stop(short, "confirm t1")), "I3");
    assert_eq!(name(stop(short, "cancel t1")), "I3");
    assert_eq!(name(stop_at(short, "", EXPIRY)), "I3");
    let other_scale = |records: &mut MemoryRecords| {
        account(records, "bob").totals.credits_pending = Amount::zero(Scale::new(3).unwrap());
    };
    assert_eq!(name(stop(other_scale, "confirm t1")), "I3");
    // A confirm that would leave the range can only be one that was never reserved so.
    let full = |records: &mut MemoryRecords| account(records, "bob").totals.credits_posted = usd(MAX_MANTISSA);
    assert_eq!(name(stop(full, "confirm t1")), "I3");
}

#[test]
fn i5_a_hold_whose_end_breaks_a_limit() {
    let floor = |records: &mut MemoryRecords| {
        account(records, "alice").floor = Floor::AtLeast(ledger::Balance::parse("94.00").unwrap());
    };
    assert_eq!(name(stop(floor, "confirm t1")), "I5");
    assert_eq!(name(stop_at(floor, "", EXPIRY)), "I5");
    let ceiling = |records: &mut MemoryRecords| account(records, "bob").ceiling = Some(usd(1_00));
    assert_eq!(name(stop(ceiling, "confirm t1")), "I5");
    assert_eq!(name(stop(ceiling, "cancel t1")), "I5");
}

#[test]
fn i6_states_that_no_record_supports() {
    // A hold that names no transaction, or one that is not TRIED, or another deadline.
    let stray = |records: &mut MemoryRecords| {
        records.holds.insert((LogTime(1), transaction_id("nobody")));
    };
    assert_eq!(name(stop(stray, "freeze alice")), "I6");
    let ended = |records: &mut MemoryRecords| {
        let deadline = transaction(records, "t2").deadline.unwrap();
        records.holds.insert((deadline, transaction_id("t2")));
    };
    assert_eq!(name(stop_at(ended, "", EXPIRY)), "I6");
    let earlier = |records: &mut MemoryRecords| {
        records.holds.insert((LogTime(1), transaction_id("t1")));
    };
    assert_eq!(name(stop(earlier, "freeze alice")), "I6");

    let uncreated = |records: &mut MemoryRecords| transaction(records, "t1").created = None;
    assert_eq!(name(stop(uncreated, "confirm t1")), "I6");
    let created_by_a_post = |records: &mut MemoryRecords| {
        let posted = transaction(records, "p1").created;
        transaction(records, "t1").created = posted;
    };
    assert_eq!(name(stop(created_by_a_post, "confirm t1")), "I6");
    assert_eq!(name(stop(created_by_a_post, "cancel t1")), "I6");
    let unresolved = |records: &mut MemoryRecords| transaction(records, "x1").resolved = None;
    assert_eq!(name(stop(unresolved, "cancel x1")), "I6");
    let never_due = |records: &mut MemoryRecords| {
        let record = transaction(records, "t2");
        record.state = TransactionState::Expired;
        record.deadline = None;
    };
    assert_eq!(name(stop(never_due, "confirm t2")), "I6");
    assert_eq!(name(stop(never_due, "reverse t2 as v2")), "I6");
    let confirmed_by_an_opening = |records: &mut MemoryRecords| {
        transaction(records, "t2").resolved = Some(JournalSequence(4));
    };
    assert_eq!(name(stop(confirmed_by_an_opening, "reverse t2 as v2")), "I6");
}

#[test]
fn i6_an_expiry_is_nobodys_request() {
    let mut records = {
        let mut book = book();
        book.enter(LogTime(EXPIRY), Vec::new());
        book.records
    };
    let expiry = *records.journal.iter().find(|(_, record)| record.request.is_none()).unwrap().0;
    let with = |records: &MemoryRecords, command: &str| {
        let entry = ledger::Entry { version: 1, stamp: LogTime(0), commands: vec![with_request(command)] };
        match ledger::apply(records, 99, &entry) {
            Err(Stop::Broken { invariant, .. }) => invariant,
            other => panic!("the node did not stop: {other:?}"),
        }
    };
    transaction(&mut records, "t1").created = Some(expiry);
    assert_eq!(with(&records, "try t1 debit alice 5.00 credit bob 5.00 timeout 100s"), "I6");
    let request = records.requests.get_mut(&request_id("r2")).unwrap();
    request.body = ledger::RequestBody::Booked(expiry);
    assert_eq!(with(&records, "r2: cancel t1"), "I6");
}

#[test]
fn i8_totals_that_left_their_range() {
    let scale_lost = |records: &mut MemoryRecords| {
        let totals = &mut account(records, "alice").totals;
        totals.credits_posted = Amount::parse("100").unwrap();
        totals.debits_posted = Amount::parse("0.00").unwrap();
    };
    for command in
        ["limits alice floor 1", "limits alice ceiling 1", "close alice", "limits alice floor unlimited ceiling 1"]
    {
        assert_eq!(name(stop(scale_lost, command)), "I8", "{command}");
    }
}

#[test]
fn i9_a_missing_record_and_the_end_of_time() {
    let gap = |records: &mut MemoryRecords| {
        let sequence = transaction(records, "t1").created.unwrap();
        records.journal.remove(&sequence);
    };
    assert_eq!(name(stop(gap, "confirm t1")), "I9");
    assert_eq!(name(stop(gap, "r1: confirm t1")), "I9");
    let at_the_end = |records: &mut MemoryRecords| records.head.time = LogTime(u64::MAX);
    let late = |records: &mut MemoryRecords| {
        records.holds.clear();
        records.head.time = LogTime(u64::MAX);
    };
    assert_eq!(name(stop(at_the_end, "freeze alice")), "I9");
    assert_eq!(name(stop(late, "")), "I9");
    assert_eq!(name(stop_at(late, "freeze alice", u64::MAX)), "I9");
    // The last instant itself can still be had.
    let mut records = book().records;
    records.holds.clear();
    let entry = ledger::Entry { version: 1, stamp: LogTime(u64::MAX), commands: vec![parse_command("freeze alice")] };
    let applied = ledger::apply(&records, 99, &entry).unwrap();
    assert_eq!(applied.changes.head.time, LogTime(u64::MAX));
}

#[test]
fn i11_numbers_that_are_not_on_the_book() {
    assert_eq!(name(stop(|_| {}, "freeze #77")), "I11");
    assert_eq!(name(stop(|_| {}, "post p9 debit #77 1.00 credit alice 1.00")), "I11");
    assert_eq!(name(stop(|_| {}, "limits #77 floor 0")), "I11");
    assert_eq!(name(stop(|_| {}, "close #77")), "I11");
    // Also just past those that the entry itself opened.
    let commands = vec![parse_command("open new liability USD"), with_request("z: freeze #8")];
    let entry = ledger::Entry { version: 1, stamp: LogTime(0), commands };
    let stopped = ledger::apply(&book().records, 99, &entry);
    assert!(matches!(stopped, Err(Stop::Broken { invariant: "I11", .. })), "{stopped:?}");
    let nameless = |records: &mut MemoryRecords| {
        account(records, "bob").status = ledger::AccountStatus::Frozen;
        let number = AccountNumber(2);
        records.names.retain(|_, given| *given != number);
    };
    assert_eq!(name(stop(nameless, "post p9 debit alice 1.00 credit #2 1.00")), "I11");
    let without_asset = |records: &mut MemoryRecords| {
        records.assets.remove(&AssetNumber(0));
    };
    assert_eq!(name(stop(without_asset, "post p9 debit alice 1.00 credit bob 1.00")), "I11");
}

#[test]
fn i13_reversed_beyond_the_original() {
    let beyond = |records: &mut MemoryRecords| transaction(records, "t2").reversed = vec![usd(301), usd(301)];
    assert_eq!(name(stop(beyond, "reverse t2 as v2 amounts 0.01 0.01")), "I13");
}

#[test]
fn a_book_that_cannot_be_read_stops_the_node() {
    let commands = [
        ("asset_by_code", "asset EUR 2"),
        ("asset_by_code", "open new liability USD"),
        ("asset", "post p9 debit alice 1.00 credit bob 1.00"),
        ("account_number", "freeze alice"),
        ("account_number", "open new liability USD"),
        ("account_name", "limits #1 floor 0"),
        ("account", "freeze alice"),
        ("transaction", "confirm t1"),
        ("transaction", "cancel t1"),
        ("transaction", "post p9 debit alice 1.00 credit bob 1.00"),
        ("transaction", "reverse p1 as v9"),
        ("transaction", "r2: post p1 debit alice 5.00 credit bob 5.00"),
        ("request", "freeze alice"),
        ("journal", "confirm t1"),
        ("hold_after", "freeze alice"),
    ];
    for (method, command) in commands {
        let mut records = book().records;
        records.failing = Some(method);
        let entry = ledger::Entry { version: 1, stamp: LogTime(0), commands: vec![with_request(command)] };
        let stopped = ledger::apply(&records, 99, &entry).unwrap_err();
        assert_eq!(stopped, Stop::Records(Unreadable(method)), "{command}");
        assert!(stopped.to_string().contains(method));
    }
}

/// The totals themselves refuse what cannot be.
#[test]
fn totals_never_leave_their_range() {
    let zero = ledger::Totals::zero(Scale::new(2).unwrap());
    let full = zero.post(Side::Debit, usd(MAX_MANTISSA)).unwrap();
    assert_eq!(full.post(Side::Credit, usd(1)), None);
    assert_eq!(full.reserve(Side::Credit, usd(1)), None);
    assert_eq!(full.reserve(Side::Debit, usd(1)), None);
    let held = zero.reserve(Side::Credit, usd(MAX_MANTISSA - 1)).unwrap();
    assert_eq!(held.reserve(Side::Debit, usd(2)), None);
    assert!(held.reserve(Side::Debit, usd(1)).is_some());
    assert_eq!(held.resolve(Side::Credit, usd(5), usd(6)), None, "more than was reserved");
    assert_eq!(held.resolve(Side::Debit, usd(1), usd(1)), None, "nothing is reserved there");
    let ended = held.resolve(Side::Credit, usd(MAX_MANTISSA - 1), usd(7)).unwrap();
    assert_eq!((ended.credits_pending, ended.credits_posted), (usd(0), usd(7)));
    let events = book();
    let reversal = events.records.journal.values().last().unwrap();
    assert!(matches!(reversal.event, Event::Reversed { .. }));
}
