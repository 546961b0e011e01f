//! The moves of a random sequence: what is asked, and how far the time goes on.
//!
//! Most amounts are drawn from a few texts. Some stand for so many minor units off a bound, which
//! only the book knows when the command is made: a random amount hardly ever meets a bound to the
//! unit.

use ledger::account::Class;
use proptest::prelude::*;
use proptest::sample::select;

/// What every book begins with: name, class, asset, floor.
pub(super) const ACCOUNTS: &[(&str, Class, &str, &str)] = &[
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
pub(super) const MORE_NAMES: &[&str] = &["late-1", "late-2", "anna-u", "bank-j"];
pub(super) const ASSETS: &[(&str, u32)] = &[("JPY", 0), ("USD", 2), ("WEI", 18)];
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
pub(super) enum Move {
    /// An entry: how its stamp differs from the last, and its commands.
    Entry(Later, Vec<Asked>),
    /// An earlier command again (counted back from the last), under its own request id or another.
    Again(usize, Option<u16>),
}

/// The stamp of an entry.
#[derive(Debug, Clone, Copy)]
pub(super) enum Later {
    /// So many nanoseconds after the last one.
    By(i64),
    /// So many nanoseconds off the first deadline, if a hold is open.
    NearDeadline(i64),
}

/// An amount.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sum {
    /// As it is written.
    Written(&'static str),
    /// So many minor units off one of the bounds that there are; which one, counted around.
    Near(usize, i128),
}

/// The amounts of a confirm or a reversal.
#[derive(Debug, Clone)]
pub(super) enum Parts {
    /// None are named.
    All,
    Written(Vec<&'static str>),
    /// For each posting, so many minor units off what there is; at one posting or at all.
    Near(Option<usize>, i128),
}

/// A command to ask: the request id's number, and what.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) request: u16,
    pub(super) what: What,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    Register(usize, u32),
    Open(&'static str, Class, &'static str, Option<&'static str>, Option<&'static str>, bool),
    Limits(usize, bool, Option<Sum>, Option<Option<Sum>>),
    Freeze(usize),
    Unfreeze(usize),
    Close(usize),
    Post(u16, Vec<Moved>, u8),
    Try(u16, Vec<Moved>, u8, Option<u64>),
    Confirm(u16, Parts),
    Cancel(u16),
    Reverse(u16, u16, Parts),
    Atomic(Vec<Asked>),
}

/// An amount from one account to another; `skew` makes the credited amount another, `by_number`
/// resolves names where the book has them.
#[derive(Debug, Clone)]
pub(super) struct Moved {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) amount: Sum,
    pub(super) skew: Option<&'static str>,
    pub(super) by_number: bool,
    pub(super) stated: Option<&'static str>,
}

fn written() -> impl Strategy<Value = &'static str> {
    prop_oneof![24 => select(SMALL), 2 => select(FRACTIONS), 3 => select(HUGE)]
}

/// On a bound, and one past it or short of it.
fn step() -> impl Strategy<Value = i128> {
    select(vec![-1, 0, 0, 1, 1])
}

fn sum() -> impl Strategy<Value = Sum> {
    prop_oneof![
        5 => written().prop_map(Sum::Written),
        1 => (0usize..8, step()).prop_map(|(which, step)| Sum::Near(which, step)),
    ]
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
    (pair(), sum(), rare, any::<bool>(), stated).prop_map(|((from, to), amount, skew, by_number, stated)| Moved {
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

fn amounts() -> impl Strategy<Value = Parts> {
    let any = prop::collection::vec(prop_oneof![3 => written(), 1 => Just("0")], 1..5);
    let even = (written(), 1usize..3).prop_map(|(amount, pairs)| vec![amount; pairs * 2]);
    let near = (prop_oneof![4 => Just(None), 1 => (0usize..4).prop_map(Some)], step());
    prop_oneof![
        4 => Just(Parts::All),
        4 => even.prop_map(Parts::Written),
        1 => any.prop_map(Parts::Written),
        2 => near.prop_map(|(posting, step)| Parts::Near(posting, step)),
    ]
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
    let near = || step().prop_map(|step| Sum::Near(0, step));
    let least = prop_oneof![2 => limit().prop_map(Sum::Written), 1 => near()];
    let most = prop_oneof![2 => written().prop_map(Sum::Written), 1 => near()];
    let timeout = prop::option::of(prop_oneof![30 => select(vec![1u64, 2, 3, 5, 10, 40, 1_000]), 1 => Just(0)]);
    prop_oneof![
        1 => (0..ASSETS.len() + 1, 0u32..4).prop_map(|(asset, scale)| What::Register(asset, scale)),
        3 => opened.prop_map(|(name, class, asset, floor, ceiling, extra)| What::Open(name, class, asset, floor, ceiling, extra)),
        3 => (account(), any::<bool>(), prop::option::of(least), prop::option::of(prop::option::of(most)))
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

pub(super) fn moves() -> impl Strategy<Value = Vec<Move>> {
    let by = select(vec![0i64, 0, 0, 1, 1, 2, 3, 5, 10, 50, 1_000, -3, -100]);
    let near = select(vec![-1i64, 0, 1]);
    let later = prop_oneof![10 => by.prop_map(Later::By), 1 => near.prop_map(Later::NearDeadline)].boxed();
    let one = prop_oneof![
        10 => (later.clone(), prop::collection::vec(asked(), 1)).prop_map(|(later, asked)| Move::Entry(later, asked)),
        2 => (later, prop::collection::vec(asked(), 0..4)).prop_map(|(later, asked)| Move::Entry(later, asked)),
        3 => (0usize..8, prop::option::of(request())).prop_map(|(back, request)| Move::Again(back, request)),
    ];
    prop::collection::vec(one, 1..70)
}
