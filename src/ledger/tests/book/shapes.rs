//! What is well formed, where no script can say it: many commands at once, and batches within batches.

use ledger::limits::{MAX_BATCH_COMMANDS, MAX_TIMEOUT_NS};
use ledger::shape::check;
use ledger::{Command, Entry, LogTime, Operation, Outcome, Rejection, apply};

use crate::harness::request_id;
use crate::memory::MemoryRecords;
use crate::script::parse_command;

fn numbered(number: usize, text: &str) -> Command {
    Command { request: request_id(&format!("n{number}")), ..parse_command(text) }
}

fn batch(items: Vec<Command>) -> Command {
    Command { request: request_id("batch"), principal: String::new(), operation: Operation::Atomic(items) }
}

#[test]
fn a_batch_holds_no_batch() {
    let inner = Command { request: request_id("inner"), ..batch(vec![numbered(1, "cancel t1")]) };
    let outer = batch(vec![numbered(2, "cancel t2"), inner]);
    let violation = check(&outer).unwrap_err();
    assert_eq!(violation.field, "commands[1]");
    let entry = Entry { version: 1, stamp: LogTime(1), commands: vec![outer] };
    let applied = apply(&MemoryRecords::default(), 1, &entry).unwrap();
    assert_eq!(applied.answers[0].outcome, Outcome::Rejected(Rejection::InvalidArgument(violation)));
    assert!(applied.changes.requests.is_empty(), "what is malformed is not remembered");
}

#[test]
fn a_batch_holds_at_most_8192_commands() {
    assert_eq!(MAX_BATCH_COMMANDS, 8_192);
    let items = |count| (0..count).map(|number| numbered(number, "cancel t1")).collect::<Vec<_>>();
    assert_eq!(check(&batch(items(8_192))), Ok(()));
    assert_eq!(check(&batch(items(8_193))).unwrap_err().field, "commands");
}

#[test]
fn the_longest_timeout_is_ten_years() {
    assert_eq!(MAX_TIMEOUT_NS, 315_360_000_000_000_000);
    assert_eq!(ledger::limits::MAX_REQUEST_BYTES, 2_097_152);
}

/// Names and numbers are different things until the book has been asked.
#[test]
fn one_account_on_both_sides_is_found_among_many() {
    for (text, field) in [
        ("post p1 debit a 1.00 credit b 1.00 debit c 1.00 credit c 1.00", Some("postings[3].account")),
        ("post p1 debit #1 1.00 credit b 1.00 debit c 1.00 credit #1 1.00", Some("postings[3].account")),
        ("post p1 debit #1 1.00 credit #2 1.00 debit #3 1.00 credit #4 1.00", None),
        ("post p1 debit a 1.00 credit #1 1.00 debit a 1.00 credit #1 1.00", None),
        (
            "post p1 debit b 1.00 credit a 1.00 debit b 1.00 credit #2 1.00 credit #1 2.00 debit #2 1.00",
            Some("postings[5].account"),
        ),
    ] {
        assert_eq!(check(&parse_command(text)).err().map(|violation| violation.field).as_deref(), field, "{text}");
    }
}
