//! The commands that the tests send, and what they look for on the book.

use folio::book::view::BookView;
use ledger::command::{Details, OpenAccount, Post, Posting, RegisterAsset, Try};
use ledger::{
    AccountName, AccountRef, Amount, Answer, AssetCode, Balance, Class, Command, Floor, Interval, Operation, Outcome,
    RequestId, Scale, Side, TransactionId,
};

const BANK: &str = "assets:bank";
pub const ALICE: &str = "liabilities:alice";

/// The request id of a number; from one, because the nil id is none.
pub fn request(number: u64) -> RequestId {
    RequestId::from_bytes(u128::from(number).to_be_bytes()).unwrap()
}

/// The transaction id of a number.
pub fn transaction(number: u64) -> TransactionId {
    TransactionId::from_bytes(u128::from(number).to_be_bytes()).unwrap()
}

fn command(number: u64, operation: Operation) -> Command {
    Command { request: request(number), principal: String::new(), operation }
}

fn open(number: u64, name: &str, class: Class, floor: Floor) -> Command {
    let open = OpenAccount {
        name: AccountName::new(name).unwrap(),
        asset: AssetCode::new("USD").unwrap(),
        class,
        floor,
        ceiling: None,
        metadata: ledger::command::Metadata::new(),
    };
    command(number, Operation::OpenAccount(Box::new(open)))
}

/// USD, a bank without a floor and Alice. Their request ids are above those of all transfers.
pub fn opening() -> Vec<Command> {
    let usd = RegisterAsset { code: AssetCode::new("USD").unwrap(), scale: Scale::new(2).unwrap() };
    let zero = Floor::AtLeast(Balance::zero(Scale::new(2).unwrap()));
    vec![
        command(u64::MAX, Operation::RegisterAsset(usd)),
        open(u64::MAX - 1, BANK, Class::Asset, Floor::Unlimited),
        open(u64::MAX - 2, ALICE, Class::Liability, zero),
    ]
}

fn postings() -> Vec<Posting> {
    let posting = |account: &str, side| Posting {
        account: AccountRef::Name(AccountName::new(account).unwrap()),
        side,
        amount: Amount::parse("0.01").unwrap(),
        asset: None,
    };
    vec![posting(BANK, Side::Debit), posting(ALICE, Side::Credit)]
}

/// Moves a cent from the bank to Alice, under the request id of a number.
pub fn cent(number: u64) -> Command {
    let post = Post { transaction: transaction(number), postings: postings(), details: Details::default() };
    command(number, Operation::Post(post))
}

/// Reserves a cent for a number of nanoseconds.
pub fn reserve(number: u64, timeout_ns: u64) -> Command {
    let details = Details::default();
    let timeout = Some(Interval(timeout_ns));
    command(number, Operation::Try(Try { transaction: transaction(number), postings: postings(), details, timeout }))
}

/// As [`cent`], with metadata that makes the command large.
pub fn heavy_cent(number: u64) -> Command {
    let metadata = (0..16).map(|pair| (format!("key-{pair}"), "v".repeat(250))).collect();
    let details = Details { metadata, ..Details::default() };
    let post = Post { transaction: transaction(number), postings: postings(), details };
    command(number, Operation::Post(post))
}

/// How many cents Alice has.
pub fn cents(view: &BookView) -> u128 {
    let Some(number) = view.account_number(&AccountName::new(ALICE).unwrap()) else { return 0 };
    view.account(number).unwrap().unwrap().totals.credits_posted.mantissa()
}

/// Whether an answer says that the command was done, now or before.
pub fn is_accepted(answer: &Answer) -> bool {
    matches!(answer.outcome, Outcome::Accepted(_))
}
