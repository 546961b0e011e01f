//! Whether a view shows a hold that has ended, a nanosecond before its deadline, on it and after
//! it.

use ledger::account::{Class, Floor, Side};
use ledger::command::{Details, OpenAccount, Posting, RegisterAsset, Try};
use ledger::{
    AccountName, AccountRef, Amount, AssetCode, Command, EntryWriter, Interval, LogTime, Operation, RequestId, Scale,
    TransactionId,
};

use super::super::read::is_due;
use super::*;
use crate::book::{Book, Committed};

fn command(number: u8, operation: Operation) -> Command {
    Command { request: RequestId::from_bytes([number; 16]).unwrap(), principal: String::new(), operation }
}

fn open(name: &str) -> Operation {
    Operation::OpenAccount(Box::new(OpenAccount {
        name: AccountName::new(name).unwrap(),
        asset: AssetCode::new("JPY").unwrap(),
        class: Class::Asset,
        floor: Floor::Unlimited,
        ceiling: None,
        metadata: Default::default(),
    }))
}

fn apply(book: &Book, index: u64, stamp: u64, commands: &[Command]) {
    let mut entry = EntryWriter::new(0);
    commands.iter().for_each(|command| entry.add(command).unwrap());
    let bytes = entry.finish(LogTime(stamp));
    let payload = crate::book::Payload::Commands(&bytes);
    book.apply(Committed { index, log_id: vec![1], payload }).unwrap();
}

#[test]
fn a_hold_is_due_at_its_deadline_and_not_before() {
    let book = Book::open(Arc::new(MemoryEngine::new())).unwrap();
    assert!(!is_due(&book.view(), LogTime(u64::MAX)), "there is no hold");
    let asset = RegisterAsset { code: AssetCode::new("JPY").unwrap(), scale: Scale::ZERO };
    let setup = [command(1, Operation::RegisterAsset(asset)), command(2, open("a")), command(3, open("b"))];
    apply(&book, 1, 1_000, &setup);
    let posting = |name: &str, side| Posting {
        account: AccountRef::Name(AccountName::new(name).unwrap()),
        side,
        amount: Amount::parse("1").unwrap(),
        asset: None,
    };
    let hold = |number: u8, timeout| {
        let transaction = TransactionId::from_bytes([number; 16]).unwrap();
        let postings = vec![posting("a", Side::Debit), posting("b", Side::Credit)];
        let attempt = Try { transaction, postings, details: Details::default(), timeout };
        command(number, Operation::Try(attempt))
    };
    // The first holds for good; of the other two the later one has the earlier deadline.
    apply(&book, 2, 2_000, &[hold(4, None)]);
    assert!(!is_due(&book.view(), LogTime(u64::MAX)), "a hold without a deadline is never due");
    apply(&book, 3, 3_000, &[hold(5, Some(Interval(700))), hold(6, Some(Interval(500)))]);
    let deadline = 3_001 + 500;
    for (time, due) in [(0, false), (deadline - 1, false), (deadline, true), (deadline + 1, true)] {
        assert_eq!(is_due(&book.view(), LogTime(time)), due, "at {time}");
    }
    // The log comes to the first deadline: only then is the next one the earliest.
    apply(&book, 4, deadline - 1, &[]);
    assert!(is_due(&book.view(), LogTime(deadline)));
    apply(&book, 5, deadline, &[]);
    assert!(!is_due(&book.view(), LogTime(3_699)) && is_due(&book.view(), LogTime(3_700)));
}
