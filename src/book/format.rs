//! A book small enough to read byte by byte. `docs/storage-format.md` shows it, and this test holds page and format together:
//! `UPDATE_DOCS=1 cargo test --lib book::format` writes the page's block anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use ledger::command::{Details, OpenAccount, Post, Posting, RegisterAsset, Try};
use ledger::{
    AccountName, AccountRef, Amount, AssetCode, Balance, Class, Command, EntryWriter, Floor, Interval, LogTime,
    Operation, RequestId, Scale, Side, TransactionId,
};

use super::records::{DATA_KINDS, Kind, hex};
use super::{Book, Committed, Payload};
use crate::store::{Direction, Engine, KeyRange, memory::MemoryEngine};

const BEGIN: &str = "<!-- book::format -->\n```text\n";
const END: &str = "```\n<!-- end -->";

fn command(id: u8, operation: Operation) -> Command {
    Command { request: RequestId::from_bytes([id; 16]).unwrap(), principal: String::new(), operation }
}

fn open(name: &str, class: Class, floor: Floor) -> Operation {
    Operation::OpenAccount(Box::new(OpenAccount {
        name: AccountName::new(name).unwrap(),
        asset: AssetCode::new("USD").unwrap(),
        class,
        floor,
        ceiling: None,
        metadata: ledger::command::Metadata::new(),
    }))
}

fn postings(amount: &str) -> Vec<Posting> {
    let posting = |name: &str, side| Posting {
        account: AccountRef::Name(AccountName::new(name).unwrap()),
        side,
        amount: Amount::parse(amount).unwrap(),
        asset: None,
    };
    vec![posting("bank", Side::Debit), posting("alice", Side::Credit)]
}

fn commands() -> Vec<Command> {
    let transaction = |id: u8| TransactionId::from_bytes([id; 16]).unwrap();
    let details = |reference: &str| Details { reference: reference.to_owned(), ..Details::default() };
    vec![
        command(
            1,
            Operation::RegisterAsset(RegisterAsset {
                code: AssetCode::new("USD").unwrap(),
                scale: Scale::new(2).unwrap(),
            }),
        ),
        command(2, open("bank", Class::Asset, Floor::Unlimited)),
        command(3, open("alice", Class::Liability, Floor::AtLeast(Balance::zero(Scale::ZERO)))),
        command(
            4,
            Operation::Post(Post {
                transaction: transaction(4),
                postings: postings("10.00"),
                details: details("order-7"),
            }),
        ),
        command(
            5,
            Operation::Try(Try {
                transaction: transaction(5),
                postings: postings("2.50"),
                details: Details::default(),
                timeout: Some(Interval(60_000_000_000)),
            }),
        ),
        command(6, Operation::Freeze(AccountRef::Name(AccountName::new("nobody").unwrap()))),
    ]
}

/// Every record of the book as a line: space, key, value.
fn listing() -> String {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let book = Book::open(Arc::clone(&engine)).unwrap();
    let commands = commands();
    let mut entry = EntryWriter::new(256);
    for command in &commands {
        entry.push(&ledger::entry::encode_command(command).unwrap(), 1);
    }
    let bytes = entry.finish(LogTime(1_000_000_000));
    let committed = Committed { index: 7, log_id: vec![1, 1, 7], payload: Payload::Commands(&bytes) };
    let answers = book.apply(committed).unwrap();
    assert_eq!(answers.len(), commands.len());
    let view = engine.view().unwrap();
    let mut text = format!("entry 7\n  {}\n", hex(&bytes));
    for kind in [Kind::Meta].into_iter().chain(DATA_KINDS) {
        let id = kind.id(0);
        writeln!(text, "{id}").unwrap();
        let space = engine.space(&id).unwrap();
        for pair in view.scan(space, &KeyRange::all(), Direction::Forward).unwrap() {
            let (key, value) = pair.unwrap();
            writeln!(text, "  {}  {}", hex(&key), if value.is_empty() { "-".to_owned() } else { hex(&value) }).unwrap();
        }
    }
    text
}

#[test]
fn the_page_shows_the_bytes_of_a_small_book() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/storage-format.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page has the block's beginning");
    let (shown, after) = rest.split_once(END).expect("the page has the block's end");
    let now = listing();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{now}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(shown, now, "the stored bytes changed: a new format version, or UPDATE_DOCS=1 before the first release");
}
