//! Random sequences of commands against the naive [`Model`]: every answer, every balance and every invariant after every entry.
//!
//! Few accounts, few transactions and few request ids, so that collisions are the rule. `FOLIO_PROPERTY_SEED` replays a run (its seed is
//! printed), `FOLIO_PROPERTY_SEQUENCES` sets how many sequences it has.

use std::cell::RefCell;
use std::collections::BTreeMap;

use ledger::account::{Class, Floor, Side};
use ledger::command::{
    CeilingChange, Confirm, Details, Metadata, OpenAccount, Post, Posting, RegisterAsset, Reverse, SetLimits, Try,
};
use ledger::{
    Accepted, AccountName, AccountRef, Amount, Answer, AssetCode, Balance, Command, EffectiveAt, Interval, LogTime,
    Operation, Outcome, Scale, apply,
};
use proptest::prelude::*;
use proptest::sample::select;

use crate::harness::{Book, request_id, transaction_id};
use crate::model::Model;
use crate::script_text::rejection;
use crate::seeded;

/// What every book begins with: name, class, asset, floor.
const ACCOUNTS: &[(&str, Class, &str, &str)] = &[
    ("bank-j", Class::Asset, "JPY", "unlimited"),
    ("bank-u", Class::Asset, "USD", "unlimited"),
    ("bank-w", Class::Expense, "WEI", "unlimited"),
    ("anna-j", Class::Liability, "JPY", "0"),
    ("anna-u", Class::Liability, "USD", "0"),
    ("anna-w", Class::Equity, "WEI", "0"),
    ("bert-u", Class::Income, "USD", "-5"),
    ("bert-w", Class::Liability, "WEI", "0"),
    ("cash-u", Class::Asset, "USD", "0"),
];
/// Names that a sequence may open as well; the last is never opened by it.
const MORE_NAMES: &[&str] = &["late-1", "late-2", "anna-u", "bank-j"];
const ASSETS: &[(&str, u32)] = &[("JPY", 0), ("USD", 2), ("WEI", 18)];
const SMALL: &[&str] = &["1", "2", "3", "5", "10", "1.0", "3.00", "100", "4"];
const FRACTIONS: &[&str] =
    &["0.5", "1.50", "0.01", "2.001", "0.000000000000000001", "0", "0.00", "3.0000000000000000001"];
const HUGE: &[&str] = &[
    "79228162514264337593543950335",
    "39614081257132168796771975167",
    "26409387504754779197847983445",
    "792281625142643375935439503.35",
    "396140812571321687967719751.67",
    "198070406285660843983859875.83",
    "79228162514.264337593543950335",
    "39614081257.132168796771975167",
    "7922816251426433759354395033.5",
    "100000000000",
];

/// One move of a sequence.
#[derive(Debug, Clone)]
enum Move {
    /// An entry: how its stamp differs from the last in nanoseconds, and its commands.
    Entry(i64, Vec<Asked>),
    /// An earlier command again (counted back from the last), under its own request id or another.
    Again(usize, Option<u16>),
}

/// A command to ask: the request id's number, and what.
#[derive(Debug, Clone)]
struct Asked {
    request: u16,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Register(usize, u32),
    Open(&'static str, Class, &'static str, Option<&'static str>, Option<&'static str>, bool),
    Limits(usize, bool, Option<&'static str>, Option<Option<&'static str>>),
    Freeze(usize),
    Unfreeze(usize),
    Close(usize),
    Post(u16, Vec<Moved>, u8),
    Try(u16, Vec<Moved>, u8, Option<u64>),
    Confirm(u16, Option<Vec<&'static str>>),
    Cancel(u16),
    Reverse(u16, u16, Option<Vec<&'static str>>),
    Atomic(Vec<Asked>),
}

/// An amount from one account to another; `skew` makes the credited amount another, `by_number` resolves names where the book has them.
#[derive(Debug, Clone)]
struct Moved {
    from: usize,
    to: usize,
    amount: &'static str,
    skew: Option<&'static str>,
    by_number: bool,
    stated: Option<&'static str>,
}

fn written() -> impl Strategy<Value = &'static str> {
    prop_oneof![24 => select(SMALL), 2 => select(FRACTIONS), 3 => select(HUGE)]
}

fn request() -> impl Strategy<Value = u16> {
    prop_oneof![1 => 0u16..6, 7 => 100u16..2_000]
}

fn transaction() -> impl Strategy<Value = u16> {
    prop_oneof![6 => 0u16..6, 1 => 10u16..40]
}

/// Pairs of accounts that hold the same asset, mostly; some hold different ones.
fn pair() -> impl Strategy<Value = (usize, usize)> {
    let same: Vec<(usize, usize)> = (0..ACCOUNTS.len())
        .flat_map(|from| (0..ACCOUNTS.len()).map(move |to| (from, to)))
        .filter(|(from, to)| from != to && ACCOUNTS[*from].2 == ACCOUNTS[*to].2)
        .collect();
    prop_oneof![30 => select(same), 1 => (0..ACCOUNTS.len() + MORE_NAMES.len(), 0..ACCOUNTS.len())]
}

fn moved() -> impl Strategy<Value = Moved> {
    let rare = prop_oneof![25 => Just(None), 1 => written().prop_map(Some)];
    let stated = prop_oneof![8 => Just(None), 1 => select(vec!["USD", "JPY"]).prop_map(Some)];
    (pair(), written(), rare, any::<bool>(), stated).prop_map(|((from, to), amount, skew, by_number, stated)| Moved {
        from,
        to,
        amount,
        skew,
        by_number,
        stated,
    })
}

fn movements() -> impl Strategy<Value = Vec<Moved>> {
    prop_oneof![
        16 => prop::collection::vec(moved(), 1),
        4 => prop::collection::vec(moved(), 2..4),
        1 => Just(Vec::new()),
    ]
}

fn amounts() -> impl Strategy<Value = Option<Vec<&'static str>>> {
    let any = prop::collection::vec(prop_oneof![3 => written(), 1 => Just("0")], 1..5);
    let even = (written(), 1usize..3).prop_map(|(amount, pairs)| vec![amount; pairs * 2]);
    prop_oneof![4 => Just(None), 4 => even.prop_map(Some), 1 => any.prop_map(Some)]
}

fn account() -> impl Strategy<Value = usize> {
    0..ACCOUNTS.len() + MORE_NAMES.len()
}

fn limit() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => select(vec!["0", "1", "-3", "-5.00", "unlimited", "2.5", "-100000000000", "-792281625142643375935439503.35"]), 1 => written()]
}

fn single() -> impl Strategy<Value = What> {
    let class = select(vec![Class::Asset, Class::Liability, Class::Equity, Class::Income, Class::Expense]);
    let opened = (
        select(MORE_NAMES),
        class,
        select(vec!["USD", "JPY", "WEI", "EUR"]),
        prop::option::of(limit()),
        prop::option::of(written()),
        any::<bool>(),
    );
    let timeout = prop::option::of(prop_oneof![30 => select(vec![1u64, 2, 3, 5, 10, 40, 1_000]), 1 => Just(0)]);
    prop_oneof![
        1 => (0..ASSETS.len() + 1, 0u32..4).prop_map(|(asset, scale)| What::Register(asset, scale)),
        3 => opened.prop_map(|(name, class, asset, floor, ceiling, extra)| What::Open(name, class, asset, floor, ceiling, extra)),
        3 => (account(), any::<bool>(), prop::option::of(limit()), prop::option::of(prop::option::of(written())))
            .prop_map(|(account, by_number, floor, ceiling)| What::Limits(account, by_number, floor, ceiling)),
        1 => account().prop_map(What::Freeze),
        2 => account().prop_map(What::Unfreeze),
        1 => account().prop_map(What::Close),
        10 => (transaction(), movements(), 0u8..3).prop_map(|(id, moved, details)| What::Post(id, moved, details)),
        14 => (transaction(), movements(), 0u8..3, timeout)
            .prop_map(|(id, moved, details, timeout)| What::Try(id, moved, details, timeout)),
        10 => (transaction(), amounts()).prop_map(|(id, amounts)| What::Confirm(id, amounts)),
        3 => transaction().prop_map(What::Cancel),
        8 => (transaction(), transaction(), amounts())
            .prop_map(|(id, original, amounts)| What::Reverse(id, original, amounts)),
    ]
}

fn asked() -> impl Strategy<Value = Asked> {
    let item = (request(), single()).prop_map(|(request, what)| Asked { request, what });
    let what = prop_oneof![12 => single(), 2 => prop::collection::vec(item, 0..4).prop_map(What::Atomic)];
    (request(), what).prop_map(|(request, what)| Asked { request, what })
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let later = select(vec![0i64, 0, 0, 1, 1, 2, 3, 5, 10, 50, 1_000, -3, -100]);
    let one = prop_oneof![
        10 => (later.clone(), prop::collection::vec(asked(), 1)).prop_map(|(later, asked)| Move::Entry(later, asked)),
        2 => (later, prop::collection::vec(asked(), 0..4)).prop_map(|(later, asked)| Move::Entry(later, asked)),
        3 => (0usize..8, prop::option::of(request())).prop_map(|(back, request)| Move::Again(back, request)),
    ];
    prop::collection::vec(one, 1..70)
}

fn amount(text: &str) -> Option<Amount> {
    Amount::parse(text).ok()
}

fn floor(text: &str) -> Floor {
    match text {
        "unlimited" => Floor::Unlimited,
        least => Floor::AtLeast(Balance::parse(least).unwrap()),
    }
}

/// The core and the model side by side.
#[derive(Default)]
struct Pair {
    book: Book,
    model: Model,
    stamp: i64,
    asked: Vec<Command>,
    seen: BTreeMap<String, u64>,
}

impl Pair {
    fn new() -> Pair {
        let mut pair = Pair { stamp: 1_000, ..Pair::default() };
        let mut commands = Vec::new();
        for (code, scale) in ASSETS {
            let (code, scale) = (AssetCode::new(code).unwrap(), Scale::new(*scale).unwrap());
            commands.push(Operation::RegisterAsset(RegisterAsset { code, scale }));
        }
        for (name, class, asset, least) in ACCOUNTS {
            commands.push(open(name, *class, asset, floor(least), None, false));
        }
        for (number, (from, to, units)) in
            [(0, 3, "50"), (1, 4, "20.00"), (1, 6, "20"), (2, 5, "7.5")].iter().enumerate()
        {
            let (amount, skew, stated) = (*units, None, None);
            let moved = Moved { from: *from, to: *to, amount, skew, by_number: false, stated };
            commands.push(Operation::Post(Post {
                transaction: transaction_id(&format!("fund-{number}")),
                postings: pair.postings(&[moved]),
                details: Details::default(),
            }));
        }
        let commands = commands.into_iter().enumerate().map(|(number, operation)| Command {
            request: request_id(&format!("begin-{number}")),
            principal: String::new(),
            operation,
        });
        pair.enter(0, commands.collect());
        pair
    }

    fn account_ref(&self, account: usize, by_number: bool) -> AccountRef {
        let name = match ACCOUNTS.get(account) {
            Some((name, ..)) => name,
            None => MORE_NAMES[account - ACCOUNTS.len()],
        };
        let name = AccountName::new(name).unwrap();
        match self.book.records.names.get(&name) {
            Some(number) if by_number => AccountRef::Number(*number),
            Some(_) | None => AccountRef::Name(name),
        }
    }

    fn postings(&self, moved: &[Moved]) -> Vec<Posting> {
        let mut postings = Vec::new();
        for one in moved {
            let asset = one.stated.map(|code| AssetCode::new(code).unwrap());
            let written = |text| amount(text).unwrap_or_else(|| Amount::parse("1").unwrap());
            let account = self.account_ref(one.from, one.by_number);
            postings.push(Posting { account, side: Side::Debit, amount: written(one.amount), asset });
            let account = self.account_ref(one.to, !one.by_number);
            let amount = written(one.skew.unwrap_or(one.amount));
            postings.push(Posting { account, side: Side::Credit, amount, asset: None });
        }
        postings
    }

    fn command(&self, asked: &Asked) -> Command {
        let id = |number: &u16| transaction_id(&format!("t{number}"));
        let listed = |texts: &Option<Vec<&'static str>>| {
            texts.as_ref().map(|texts| texts.iter().filter_map(|text| amount(text)).collect())
        };
        let operation = match &asked.what {
            What::Register(asset, scale) => {
                let (code, own) = ASSETS.get(*asset).copied().unwrap_or(("EUR", *scale));
                let scale = Scale::new(if *scale == 0 { own } else { *scale }).unwrap();
                Operation::RegisterAsset(RegisterAsset { code: AssetCode::new(code).unwrap(), scale })
            }
            What::Open(name, class, asset, least, ceiling, extra) => {
                let least = floor(least.unwrap_or("0"));
                open(name, *class, asset, least, ceiling.and_then(amount), *extra)
            }
            What::Limits(account, by_number, least, ceiling) => Operation::SetLimits(SetLimits {
                account: self.account_ref(*account, *by_number),
                floor: least.map(floor),
                ceiling: match ceiling {
                    None => CeilingChange::Keep,
                    Some(None) => CeilingChange::Remove,
                    Some(Some(text)) => amount(text).map_or(CeilingChange::Remove, CeilingChange::Set),
                },
            }),
            What::Freeze(account) => Operation::Freeze(self.account_ref(*account, false)),
            What::Unfreeze(account) => Operation::Unfreeze(self.account_ref(*account, true)),
            What::Close(account) => Operation::Close(self.account_ref(*account, false)),
            What::Post(transaction, moved, extra) => Operation::Post(Post {
                transaction: id(transaction),
                postings: self.postings(moved),
                details: details(*extra),
            }),
            What::Try(transaction, moved, extra, timeout) => Operation::Try(Try {
                transaction: id(transaction),
                postings: self.postings(moved),
                details: details(*extra),
                timeout: timeout.map(Interval),
            }),
            What::Confirm(transaction, amounts) => {
                Operation::Confirm(Confirm { transaction: id(transaction), amounts: listed(amounts) })
            }
            What::Cancel(transaction) => Operation::Cancel(id(transaction)),
            What::Reverse(transaction, original, amounts) => Operation::Reverse(Reverse {
                transaction: id(transaction),
                original: id(original),
                amounts: listed(amounts),
                details: details(0),
            }),
            What::Atomic(items) => Operation::Atomic(items.iter().map(|item| self.command(item)).collect()),
        };
        Command { request: request_id(&format!("r{}", asked.request)), principal: String::new(), operation }
    }

    fn step(&mut self, one: &Move) {
        match one {
            Move::Entry(later, asked) => {
                let commands = asked.iter().map(|asked| self.command(asked)).collect();
                self.enter(*later, commands);
            }
            Move::Again(back, request) => {
                let Some(position) = self.asked.len().checked_sub(back + 1) else { return };
                let mut command = self.asked[position].clone();
                if let Some(request) = request {
                    command.request = request_id(&format!("r{request}"));
                }
                self.enter(0, vec![command]);
            }
        }
    }

    fn enter(&mut self, later: i64, commands: Vec<Command>) {
        self.stamp = (self.stamp + later).max(0);
        let stamp = u64::try_from(self.stamp).unwrap();
        let answers = self.book.enter(LogTime(stamp), commands.clone());
        if commands.is_empty() {
            self.model.tick(self.book.index, stamp);
        }
        for ((position, command), answer) in (0u32..).zip(&commands).zip(&answers) {
            let expected = self.model.apply(self.book.index, position, stamp, command);
            assert_eq!(*answer, expected, "the book answers otherwise than the model to {command:?}");
            self.note(answer);
        }
        self.model.check_same(&self.book.records);
        self.asked.extend(commands);
    }

    /// Counts kinds of answers, so that the run can show what it reached.
    fn note(&mut self, answer: &Answer) {
        let mut kinds = Vec::new();
        match &answer.outcome {
            Outcome::Accepted(Accepted::Batch(items)) => {
                kinds.push("batch".to_string());
                kinds.extend(items.iter().map(|_| "item".to_string()));
            }
            Outcome::Accepted(accepted) => {
                kinds.push(format!("{accepted:?}").split(['(', ' ']).next().unwrap_or_default().to_string());
            }
            Outcome::Rejected(refusal) => kinds.push(rejection(refusal).split(' ').next().unwrap().to_string()),
            Outcome::BatchRejected { .. } => kinds.push("batch refused".into()),
        }
        if answer.replay_of.is_some() {
            kinds.push("replayed".into());
        }
        for kind in kinds {
            *self.seen.entry(kind).or_default() += 1;
        }
    }

    /// I5 at the end: every TRIED transaction can be confirmed, and cancelled, as the book stands.
    fn finish(&mut self) {
        let tried: Vec<_> = (self.book.records.transactions.iter())
            .filter(|(_, record)| record.state == ledger::TransactionState::Tried)
            .map(|(id, _)| *id)
            .collect();
        for id in tried {
            let confirm = Operation::Confirm(Confirm { transaction: id, amounts: None });
            for operation in [confirm, Operation::Cancel(id)] {
                let command = Command { request: request_id("finish"), principal: String::new(), operation };
                let entry = ledger::Entry { version: 1, stamp: LogTime(0), commands: vec![command] };
                let applied = apply(&self.book.records, self.book.index + 1, &entry).expect("I5: the node stopped");
                let expired = applied.changes.journal.iter().any(|record| record.request.is_none());
                let accepted = matches!(applied.answers[0].outcome, Outcome::Accepted(_));
                assert!(accepted || expired, "I5: {id} cannot be ended: {:?}", applied.answers[0]);
            }
        }
    }
}

fn open(name: &str, class: Class, asset: &str, floor: Floor, ceiling: Option<Amount>, extra: bool) -> Operation {
    let metadata = if extra { Metadata::from([("k".to_string(), "v".to_string())]) } else { Metadata::new() };
    Operation::OpenAccount(Box::new(OpenAccount {
        name: AccountName::new(name).unwrap(),
        asset: AssetCode::new(asset).unwrap(),
        class,
        floor,
        ceiling,
        metadata,
    }))
}

fn details(kind: u8) -> Details {
    match kind {
        0 | 1 => Details::default(),
        _ => Details {
            reference: "order".into(),
            metadata: Metadata::from([("k".to_string(), "v".to_string())]),
            effective_at: Some(EffectiveAt(-1)),
        },
    }
}

/// Everything that a long run must reach, or it shows nothing.
const MUST_BE_SEEN: &[&str] = &[
    "AccountOpened",
    "AssetRegistered",
    "Cancelled",
    "CancelledEmpty",
    "CancelledExpired",
    "Closed",
    "Confirmed",
    "Frozen",
    "LimitsSet",
    "Posted",
    "Reversed",
    "Tried",
    "Unfrozen",
    "batch",
    "batch refused",
    "item",
    "replayed",
    "ACCOUNT_CLOSED",
    "ACCOUNT_EXISTS_DIFFERENT",
    "ACCOUNT_FROZEN",
    "ACCOUNT_NOT_EMPTY",
    "ACCOUNT_NOT_FOUND",
    "ALREADY_CANCELLED",
    "ALREADY_CONFIRMED",
    "ALREADY_REVERSED",
    "AMOUNT",
    "AMOUNT_COUNT",
    "ASSET_EXISTS_DIFFERENT",
    "ASSET_MISMATCH",
    "ASSET_NOT_FOUND",
    "BALANCE_OVERFLOW",
    "CANCELLED_BEFORE_TRY",
    "CEILING_EXCEEDED",
    "CONFIRM_DIFFERS",
    "EXCEEDS_RESERVED",
    "INSUFFICIENT_FUNDS",
    "INVALID_ARGUMENT",
    "NOT_CONFIRMED",
    "REQUEST_ID_REUSED",
    "REVERSAL_OF_REVERSAL",
    "TRANSACTION_EXISTS_DIFFERENT",
    "TRANSACTION_EXPIRED",
    "TRANSACTION_NOT_FOUND",
    "UNBALANCED",
];

/// A build without optimization takes ten times as long.
const USUAL_SEQUENCES: u32 = if cfg!(debug_assertions) { 1_000 } else { 10_000 };

#[test]
fn random_sequences_agree_with_the_model() {
    let sequences =
        seeded::setting("FOLIO_PROPERTY_SEQUENCES").map_or(USUAL_SEQUENCES, |count| u32::try_from(count).unwrap());
    let seen: RefCell<BTreeMap<String, u64>> = RefCell::default();
    seeded::run(sequences, &moves(), |moves| {
        let mut pair = Pair::new();
        for one in moves {
            pair.step(one);
        }
        pair.finish();
        for (kind, count) in pair.seen {
            *seen.borrow_mut().entry(kind).or_default() += count;
        }
    });
    println!("{:#?}", seen.borrow());
    if sequences >= 1_000 {
        let missing: Vec<_> = MUST_BE_SEEN.iter().filter(|kind| !seen.borrow().contains_key(**kind)).collect();
        assert!(missing.is_empty(), "the sequences never reached {missing:?}");
    }
}
