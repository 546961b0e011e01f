//! The entry's bytes: they round-trip, and damage is refused; what comes out of `apply` has canonical bytes.

use ledger::entry::{EntryError, check_commands, decode_command, encode_command};
use ledger::limits::{MAX_EXPIRIES_PER_STEP, RULES_VERSION};
use ledger::{
    Command, EncodedEntry, Entry, EntryWriter, LogTime, Operation, Stop, TransactionState, apply, apply_encoded,
};

use crate::harness::{Book, request_id, transaction_id};
use crate::memory::MemoryRecords;
use crate::script::{check, parse_command};

fn cancel(label: &str) -> Command {
    Command {
        request: request_id(label),
        principal: "anna".into(),
        operation: Operation::Cancel(transaction_id(label)),
    }
}

fn entry(commands: Vec<Command>) -> Entry {
    Entry { version: RULES_VERSION, stamp: LogTime(0x0102_0304_0506_0708), commands }
}

#[test]
fn every_command_round_trips() {
    let texts = [
        "asset USD 2",
        "open a:b asset USD floor unlimited ceiling 7.00 meta k=v",
        "open a:b expense USD floor -7.5",
        "limits #3 floor -1",
        "limits a ceiling none",
        "limits a ceiling 3",
        "freeze a",
        "unfreeze #1",
        "close a",
        "by anna post p1 debit a 1.5 in USD credit #7 1.50 ref order meta k=v effective -3",
        "try t1 debit a 1 credit b 1 timeout 10s",
        "confirm t1",
        "confirm t1 amounts 1 0",
        "cancel t1",
        "reverse t1 as t2 amounts 1 1 ref why",
        "reverse t1 as t2",
    ];
    let mut commands: Vec<Command> = texts.iter().map(|text| parse_command(text)).collect();
    commands.push(Command {
        request: request_id("batch"),
        principal: String::new(),
        operation: Operation::Atomic(commands.clone()),
    });
    let mut writer = EntryWriter::new(1);
    for command in &commands {
        let bytes = encode_command(command).unwrap();
        assert_eq!(decode_command(&bytes).unwrap(), *command);
        assert_eq!(decode_command(&[&bytes[..], &[0]].concat()), Err(EntryError::Malformed), "a byte too many");
        assert_eq!(decode_command(&bytes[..bytes.len() - 1]), Err(EntryError::Malformed), "a byte too few");
        writer.push(&bytes, 1);
    }
    assert_eq!(writer.count(), 17);
    let mut encoded_here = EntryWriter::new(0);
    commands.iter().for_each(|command| encoded_here.add(command).unwrap());
    assert_eq!(encoded_here, writer);
    let (bytes, begin) = encoded_here.into_bytes();
    assert_eq!(&bytes[begin..], writer.commands());
    let entry = entry(commands);
    let encoded = writer.commands().to_vec();
    let bytes = writer.finish(entry.stamp);
    assert!(bytes.ends_with(&encoded));
    assert_eq!(bytes, entry.encode().unwrap());
    assert_eq!(Entry::decode(&bytes).unwrap(), entry);
    let none = Entry { commands: Vec::new(), ..entry };
    assert_eq!(Entry::decode(&none.encode().unwrap()).unwrap(), none);
}

#[test]
fn names_of_operations_are_those_of_the_wire() {
    let names = ["asset USD 2", "open a asset USD", "limits a floor 1", "freeze a", "unfreeze a", "close a"];
    let names = names.map(|text| parse_command(text).operation.name());
    assert_eq!(names, ["register_asset", "open_account", "set_limits", "freeze", "unfreeze", "close"]);
    let names = ["post p", "try t", "confirm t", "cancel t", "reverse t as v"];
    let names = names.map(|text| parse_command(text).operation.name());
    assert_eq!(names, ["post", "try", "confirm", "cancel", "reverse"]);
    assert_eq!(Operation::Atomic(Vec::new()).name(), "atomic");
}

#[test]
fn an_entrys_bytes_are_a_published_format() {
    let bytes = entry(vec![cancel("t1")]).encode().unwrap();
    let mut expected = vec![1, 0];
    expected.extend([8, 7, 6, 5, 4, 3, 2, 1]);
    expected.extend([1, 0, 0, 0]);
    expected.extend(b"t1\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    expected.extend([4, b'a', b'n', b'n', b'a']);
    expected.push(9);
    expected.extend(b"t1\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(bytes, expected);
}

#[test]
fn damaged_entries_are_refused() {
    let bytes = entry(vec![cancel("t1"), cancel("t2")]).encode().unwrap();
    for length in 0..bytes.len() {
        assert_eq!(Entry::decode(&bytes[..length]), Err(EntryError::Malformed), "cut to {length} bytes");
    }
    assert_eq!(Entry::decode(&[&bytes[..], &[0]].concat()), Err(EntryError::Malformed), "a byte too many");
    for count in [0u32, 1, 3, 78, 79, 1_000, u32::MAX] {
        let mut damaged = bytes.clone();
        damaged[10..14].copy_from_slice(&count.to_le_bytes());
        assert_eq!(Entry::decode(&damaged), Err(EntryError::Malformed), "count {count}");
    }
    for version in [0u16, 2, 256, u16::MAX] {
        let mut other = bytes.clone();
        other[..2].copy_from_slice(&version.to_le_bytes());
        assert_eq!(Entry::decode(&other), Err(EntryError::UnknownRules(version)));
    }
}

/// As many commands as bytes: the least that a count can be checked against.
#[test]
fn a_count_may_not_exceed_the_bytes() {
    let mut bytes = entry(Vec::new()).encode().unwrap();
    bytes[10] = 1;
    assert_eq!(Entry::decode(&bytes), Err(EntryError::Malformed));
    bytes.extend([0; 40]);
    assert_eq!(Entry::decode(&bytes), Err(EntryError::Malformed), "nil identifiers");
}

/// Bytes that nest batches a thousand deep are refused, not followed down the stack.
#[test]
fn batches_nested_in_bytes_are_refused() {
    let mut bytes = Vec::new();
    for _ in 0..100_000 {
        bytes.extend(b"r\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        bytes.extend([0, 11, 1]);
    }
    assert_eq!(decode_command(&bytes), Err(EntryError::Malformed));
    let nested = Operation::Atomic(vec![Command { request: request_id("in"), ..batch(Vec::new()) }]);
    let bytes = encode_command(&Command { operation: nested, ..cancel("out") }).unwrap();
    assert_eq!(decode_command(&bytes), Err(EntryError::Malformed));
    let flat = batch(vec![cancel("t1")]);
    assert_eq!(decode_command(&encode_command(&flat).unwrap()).unwrap(), flat);
}

fn batch(items: Vec<Command>) -> Command {
    Command { request: request_id("batch"), principal: String::new(), operation: Operation::Atomic(items) }
}

#[test]
fn an_entry_under_unknown_rules_stops_the_node() {
    let entry = Entry { version: RULES_VERSION + 1, ..entry(Vec::new()) };
    let stop = apply(&MemoryRecords::default(), 1, &entry).unwrap_err();
    assert_eq!(stop, Stop::UnknownRules { version: RULES_VERSION + 1 });
    assert!(stop.to_string().contains("rules version 2"));
}

/// The canonical bytes of everything that a day on the book leaves; whoever changes them changes a published format.
#[test]
fn what_the_book_keeps_has_canonical_bytes() {
    let book = check("book/batches").records;
    let mut bytes = Vec::new();
    let mut add = |part: Vec<u8>| bytes.extend(part);
    add(postcard::to_allocvec(&book.head).unwrap());
    add(postcard::to_allocvec(&book.assets.values().collect::<Vec<_>>()).unwrap());
    add(postcard::to_allocvec(&book.names).unwrap());
    add(postcard::to_allocvec(&book.accounts).unwrap());
    add(postcard::to_allocvec(&book.transactions).unwrap());
    add(postcard::to_allocvec(&book.requests).unwrap());
    add(postcard::to_allocvec(&book.journal.values().collect::<Vec<_>>()).unwrap());
    // FNV-1a, so that no hash function need be trusted or depended on.
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    assert_eq!((bytes.len(), hash), (GOLDEN_LENGTH, GOLDEN_HASH), "the stored format changed");
}

const GOLDEN_LENGTH: usize = 5_557;
const GOLDEN_HASH: u64 = 17_933_882_440_508_598_832;

#[test]
fn forwarded_commands_are_exactly_as_many_as_they_say() {
    let bytes: Vec<u8> = [cancel("t1"), cancel("t2")].iter().flat_map(|one| encode_command(one).unwrap()).collect();
    assert_eq!(check_commands(&bytes, 2), Ok(()));
    assert_eq!(check_commands(&[], 0), Ok(()));
    let longer = [bytes.as_slice(), &[0]].concat();
    for (bytes, count) in [(&bytes[..], 1), (&bytes, 3), (&bytes[..bytes.len() - 1], 2), (&longer, 2), (&[], 1)] {
        assert_eq!(check_commands(bytes, count), Err(EntryError::Malformed), "{count} in {} bytes", bytes.len());
    }
}

/// One book with `count` holds that end at the same instant.
fn holds(count: u64) -> Book {
    let mut book = Book::default();
    for line in ["asset USD 2", "open bank asset USD floor unlimited", "open alice liability USD"] {
        book.one(LogTime(0), parse_named(line));
    }
    let deadline = 1_000_000_000;
    let commands = (0..count).map(|number| {
        // The command's time is its place in the log, so the timeouts differ for the deadline to be one.
        let text = format!("try t{number} debit bank 0.01 credit alice 0.01 timeout {}ns", deadline - (number + 4));
        parse_named(&text)
    });
    let answers = book.enter(LogTime(0), commands.collect());
    assert_eq!(answers.len() as u64, count);
    assert!(book.records.holds.iter().all(|(at, _)| at.0 == deadline));
    assert_eq!(book.records.holds.len() as u64, count);
    book
}

/// A command whose request id is its own text's, shortened.
fn parse_named(text: &str) -> Command {
    let label: String = text.split(' ').take(2).collect::<Vec<_>>().join("-").chars().take(16).collect();
    Command { request: request_id(&label), ..parse_command(text) }
}

/// A step that only expires holds is written before the commands are come to, so it sees to it first that they decode.
#[test]
fn a_damaged_entry_expires_nothing() {
    let records = holds(1_000).records;
    let entry = Entry { version: RULES_VERSION, stamp: LogTime(1_000_000_000), commands: vec![cancel("t1")] };
    let bytes = entry.encode().unwrap();
    let applied = apply_encoded(&records, 9, &EncodedEntry::read(&bytes).unwrap()).unwrap();
    assert!(!applied.finished && applied.changes.journal.len() == MAX_EXPIRIES_PER_STEP);
    let damaged = &bytes[..bytes.len() - 1];
    let stopped = apply_encoded(&records, 9, &EncodedEntry::read(damaged).unwrap()).unwrap_err();
    assert_eq!(stopped, Stop::Undecodable(EntryError::Malformed));
    assert!(stopped.to_string().contains("does not decode"));
}

#[test]
fn ten_thousand_holds_expire_at_one_instant_in_bounded_steps() {
    let book = holds(10_000);
    let confirm = parse_named("confirm t7");
    let entry = Entry { version: RULES_VERSION, stamp: LogTime(1_000_000_000), commands: vec![confirm] };

    let mut records = book.records.clone();
    let mut steps = 0;
    let answers = loop {
        // Between two steps a node may stop and start again: all that it has is what was written.
        let applied = apply(&records, 9, &entry).unwrap();
        assert_eq!(apply(&records.clone(), 9, &entry).unwrap(), applied);
        assert!(applied.changes.journal.len() <= MAX_EXPIRIES_PER_STEP);
        steps += 1;
        records.write(applied.changes);
        if applied.finished {
            break applied.answers;
        }
        assert_eq!(applied.answers, []);
    };
    assert_eq!(steps, 11);
    assert!(format!("{:?}", answers[0].outcome).contains("TransactionExpired"));
    assert_eq!(answers[0].point.time, LogTime(1_000_010_000));
    assert!(records.transactions.values().all(|record| record.state == TransactionState::Expired));
    assert!(records.account_is_empty("bank") && records.account_is_empty("alice"));
    let expired: Vec<_> = records.journal.values().skip(3 + 10_000).collect();
    assert_eq!(expired.len(), 10_000);
    for (number, record) in (0u64..).zip(&expired) {
        assert_eq!(record.point.time, LogTime(1_000_000_000 + number));
        assert_eq!((record.point.index, record.point.position), (9, 0));
    }
    let ids: Vec<_> = expired.iter().map(|record| record.event.transaction().unwrap()).collect();
    assert!(ids.is_sorted(), "holds of one deadline expire by id");

    // The harness checks every invariant after every step, and comes to the same.
    let mut whole = book;
    whole.index = 8;
    let again = whole.enter(entry.stamp, entry.commands.clone());
    assert_eq!(again, answers);
    assert_eq!(whole.records, records);
}

#[test]
fn a_step_expires_at_most_a_thousand_holds() {
    for (count, steps) in [(999, vec![999]), (1_000, vec![1_000, 0]), (1_001, vec![1_000, 1])] {
        let mut records = holds(count).records;
        let entry = Entry { version: RULES_VERSION, stamp: LogTime(1_000_000_000), commands: Vec::new() };
        let mut found = Vec::new();
        loop {
            let applied = apply(&records, 9, &entry).unwrap();
            found.push(applied.changes.journal.len());
            records.write(applied.changes);
            if applied.finished {
                break;
            }
        }
        assert_eq!(found, steps);
        assert_eq!(records.head.time, LogTime(1_000_000_000 + count));
    }
}
