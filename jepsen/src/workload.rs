//! What the clients ask: few accounts and few ids, so that collisions are the rule.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use folio_checker::history::{
    AccountClass, AtomicBatch, Call, CeilingChange, Command, Consistency, Details, FloorText, Id, Posting, Query, Read,
    Side, Write,
};
use rand::Rng;
use rand::rngs::StdRng;

const REMEMBERED: usize = 48;

/// What clients share, so that they meet on the same ids.
#[derive(Default)]
pub(crate) struct Shared {
    transactions: Mutex<VecDeque<Id>>,
    /// Those that were to be tried: what confirms and cancels are for.
    tried: Mutex<VecDeque<Id>>,
    writes: Mutex<VecDeque<Write>>,
}

fn remember<T>(list: &Mutex<VecDeque<T>>, item: T) {
    let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
    if list.len() >= REMEMBERED {
        list.pop_front();
    }
    list.push_back(item);
}

fn pick<T: Clone>(list: &Mutex<VecDeque<T>>, random: &mut StdRng) -> Option<T> {
    let list = list.lock().unwrap_or_else(PoisonError::into_inner);
    if list.is_empty() { None } else { list.get(random.random_range(0..list.len())).cloned() }
}

pub(crate) fn fresh(random: &mut StdRng) -> Id {
    // A version-4 UUID drawn from the seed.
    let bits: u128 = random.random();
    Id((bits & !(0xf000 << 64) & !(0xc000 << 48)) | (0x4000 << 64) | (0x8000 << 48))
}

const ACCOUNTS: [&str; 6] = ["assets:bank", "l:a", "l:b", "l:c", "l:d", "l:limited"];
const COINS: [&str; 3] = ["assets:vault", "l:a:btc", "l:b:btc"];

fn open(name: &str, asset: &str, is_outward: bool, ceiling: Option<&str>) -> Command {
    Command::OpenAccount {
        name: name.to_owned(),
        asset: asset.to_owned(),
        class: if is_outward { AccountClass::Asset } else { AccountClass::Liability },
        floor: is_outward.then_some(FloorText::Unlimited),
        ceiling: ceiling.map(str::to_owned),
        metadata: BTreeMap::new(),
    }
}

/// The writes that come before all others.
pub(crate) fn setup(random: &mut StdRng) -> Vec<Write> {
    let mut commands = vec![
        Command::RegisterAsset { code: "USD".to_owned(), scale: 2 },
        Command::RegisterAsset { code: "BTC".to_owned(), scale: 8 },
    ];
    for (at, name) in ACCOUNTS.iter().enumerate() {
        commands.push(open(name, "USD", at == 0, (at == 5).then_some("500.00")));
    }
    for (at, name) in COINS.iter().enumerate() {
        commands.push(open(name, "BTC", at == 0, None));
    }
    for name in &ACCOUNTS[1..5] {
        commands.push(post(vec![posting("assets:bank", Side::Debit, "300.00"), posting(name, Side::Credit, "300.00")]));
    }
    for name in &COINS[1..] {
        let amount = "2.50000000";
        commands.push(post(vec![posting("assets:vault", Side::Debit, amount), posting(name, Side::Credit, amount)]));
    }
    commands.into_iter().map(|command| Write { request_id: fresh(random), command }).collect()
}

fn posting(account: &str, side: Side, amount: &str) -> Posting {
    Posting { account: account.to_owned(), side, amount: amount.to_owned(), asset: None }
}

fn post(postings: Vec<Posting>) -> Command {
    Command::Post { transaction: None, postings, details: Details::default() }
}

fn amount(random: &mut StdRng) -> String {
    match random.random_range(0..20) {
        0 => "0.01".to_owned(),
        1 => "900.00".to_owned(),
        2 => format!("{}", random.random_range(1..50)),
        _ => format!("{}.{:02}", random.random_range(0..60), random.random_range(1..100)),
    }
}

fn two_accounts(random: &mut StdRng) -> (&'static str, &'static str) {
    let first = random.random_range(0..ACCOUNTS.len());
    let second = (first + random.random_range(1..ACCOUNTS.len())) % ACCOUNTS.len();
    (ACCOUNTS[first], ACCOUNTS[second])
}

fn postings(random: &mut StdRng) -> Vec<Posting> {
    let (debit, credit) = two_accounts(random);
    let amount = amount(random);
    let mut postings = vec![posting(debit, Side::Debit, &amount), posting(credit, Side::Credit, &amount)];
    if random.random_bool(0.15) {
        let coins = format!("0.{:08}", random.random_range(1..90_000_000));
        postings.push(posting(COINS[1], Side::Debit, &coins));
        postings.push(posting(COINS[random.random_range(0..2) * 2], Side::Credit, &coins));
    }
    postings
}

fn command(shared: &Shared, random: &mut StdRng) -> Command {
    let known = |random: &mut StdRng| pick(&shared.transactions, random).unwrap_or_else(|| fresh(random));
    let tried = |random: &mut StdRng| {
        let list = if random.random_bool(0.6) { &shared.tried } else { &shared.transactions };
        pick(list, random).unwrap_or_else(|| fresh(random))
    };
    match random.random_range(0..100) {
        0..30 => post(postings(random)),
        30..52 => {
            let transaction = random.random_bool(0.2).then(|| known(random));
            let timeout_ns = match random.random_range(0..3) {
                0 => None,
                1 => Some(random.random_range(20..400) * 1_000_000),
                _ => Some(2_000_000_000),
            };
            Command::Try { transaction, postings: postings(random), details: Details::default(), timeout_ns }
        }
        52..70 => Command::Confirm { transaction: tried(random), amounts: part(random) },
        70..82 => {
            let transaction = if random.random_bool(0.2) { fresh(random) } else { tried(random) };
            Command::Cancel { transaction }
        }
        82..88 => Command::Reverse {
            transaction: None,
            original: known(random),
            amounts: part(random),
            details: Details::default(),
        },
        88..91 => Command::SetLimits {
            account: "l:limited".to_owned(),
            floor: random.random_bool(0.5).then(|| FloorText::AtLeast("-5.00".to_owned())),
            ceiling: CeilingChange::Set(format!("{}.00", random.random_range(100..600))),
        },
        91..94 => Command::Freeze { account: "l:d".to_owned() },
        94..97 => Command::Unfreeze { account: "l:d".to_owned() },
        97..99 => open(&format!("e:{}", random.random_range(0..12)), "USD", false, None),
        _ => Command::Close { account: format!("e:{}", random.random_range(0..12)) },
    }
}

fn part(random: &mut StdRng) -> Option<Vec<String>> {
    if random.random_bool(0.7) {
        return None;
    }
    let amount = format!("{}.{:02}", random.random_range(0..30), random.random_range(1..100));
    Some(vec![amount.clone(), amount])
}

fn write(shared: &Shared, random: &mut StdRng) -> Write {
    if random.random_bool(0.08)
        && let Some(repeated) = pick(&shared.writes, random)
    {
        return repeated;
    }
    let reused = if random.random_bool(0.04) { pick(&shared.writes, random) } else { None };
    let request_id = reused.map_or_else(|| fresh(random), |write| write.request_id);
    let write = Write { request_id, command: command(shared, random) };
    remember(&shared.writes, write.clone());
    if let Some(transaction) = write.transaction() {
        remember(&shared.transactions, transaction);
        if matches!(write.command, Command::Try { .. }) {
            remember(&shared.tried, transaction);
        }
    }
    write
}

fn read(shared: &Shared, random: &mut StdRng, last_index: u64) -> Read {
    let query = match random.random_range(0..10) {
        0..6 => Query::Account(ACCOUNTS[random.random_range(0..ACCOUNTS.len())].to_owned()),
        6..8 => match pick(&shared.transactions, random) {
            Some(transaction) => Query::Transaction(transaction),
            None => Query::TrialBalance,
        },
        8 => match pick(&shared.writes, random) {
            Some(write) => Query::RequestOutcome(write.request_id),
            None => Query::TrialBalance,
        },
        _ => Query::TrialBalance,
    };
    let consistency = match random.random_range(0..10) {
        0 => Consistency::Stale,
        1 | 2 => Consistency::AtLeast(last_index),
        _ => Consistency::Linearizable,
    };
    Read { consistency, query }
}

/// A new account, and payments out of it and into it that step exactly to its floor and its ceiling, and one cent past them: as one batch of
/// independent commands, so that every answer follows whatever else is going on.
fn to_the_limits(random: &mut StdRng) -> Vec<Write> {
    let name = format!("l:edge:{:08x}", random.random::<u32>());
    let (overdraft, room) = (random.random_range(0..1_000_u32), random.random_range(1..1_000_u32));
    let cents = |amount: u32| format!("{}.{:02}", amount / 100, amount % 100);
    let floor = if overdraft == 0 { "0".to_owned() } else { format!("-{}", cents(overdraft)) };
    let moved = |side: Side, amount: u32| {
        let other = if side == Side::Debit { Side::Credit } else { Side::Debit };
        vec![posting(&name, side, &cents(amount)), posting("assets:bank", other, &cents(amount))]
    };
    let hold = |side: Side, amount: u32| Command::Try {
        transaction: None,
        postings: moved(side, amount),
        details: Details::default(),
        timeout_ns: Some(1_000_000_000),
    };
    let mut commands = vec![Command::OpenAccount {
        name: name.clone(),
        asset: "USD".to_owned(),
        class: AccountClass::Liability,
        floor: Some(FloorText::AtLeast(floor)),
        ceiling: Some(cents(room)),
        metadata: BTreeMap::new(),
    }];
    // Into the account: past the ceiling, up to it, past it again. Then out of it, down to the floor, in the same way.
    for (side, all) in [(Side::Credit, room), (Side::Debit, room + overdraft)] {
        commands.push(post(moved(side, all + 1)));
        commands.push(hold(side, all + 1));
        commands.push(if random.random_bool(0.5) || side == Side::Credit {
            post(moved(side, all))
        } else {
            hold(side, all)
        });
        commands.push(post(moved(side, 1)));
        commands.push(hold(side, 1));
    }
    commands.into_iter().map(|command| Write { request_id: fresh(random), command }).collect()
}

/// The next thing that a client asks. `last_index` is the greatest log index that it saw in an answer.
pub(crate) fn next(shared: &Shared, random: &mut StdRng, last_index: u64) -> Call {
    match random.random_range(0..100) {
        0..62 => Call::Write(write(shared, random)),
        62 => Call::Batch(to_the_limits(random)),
        63..67 => Call::Batch((0..random.random_range(1..6)).map(|_| write(shared, random)).collect()),
        67..72 => {
            let count = random.random_range(1..5);
            let items =
                (0..count).map(|_| Write { request_id: fresh(random), command: command(shared, random) }).collect();
            Call::Atomic(AtomicBatch { request_id: fresh(random), items })
        }
        _ => Call::Read(read(shared, random, last_index)),
    }
}
