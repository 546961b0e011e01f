//! Random sequences of commands against the naive [`Model`]: every answer, every balance and every invariant after every entry.
//!
//! Few accounts, few transactions and few request ids, so that collisions are the rule. `FOLIO_PROPERTY_SEED` replays a run (its seed is
//! printed), `FOLIO_PROPERTY_SEQUENCES` sets how many sequences it has. Some amounts and stamps step exactly to a bound, and one past it
//! (`near`); a run that never met and never missed each bound by one fails.

mod moves;
mod near;

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

use crate::harness::{Book, request_id, transaction_id};
use crate::model::Model;
use crate::script_text::rejection;
use crate::seeded;
use moves::{ACCOUNTS, ASSETS, Asked, Later, MORE_NAMES, Move, Moved, Sum, What, moves};

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
            let (amount, skew, stated) = (Sum::Written(units), None, None);
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
        pair.enter(Later::By(0), commands.collect());
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
            let (from, to) = (self.account_ref(one.from, one.by_number), self.account_ref(one.to, !one.by_number));
            let moved = match one.amount {
                Sum::Written(text) => written(text),
                Sum::Near(which, step) => self.near_bound(&from, &to, which, step).unwrap_or_else(|| written("1")),
            };
            postings.push(Posting { account: from, side: Side::Debit, amount: moved, asset });
            let amount = one.skew.map_or(moved, written);
            postings.push(Posting { account: to, side: Side::Credit, amount, asset: None });
        }
        postings
    }

    fn command(&self, asked: &Asked) -> Command {
        let id = |number: &u16| transaction_id(&format!("t{number}"));
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
            What::Limits(account, by_number, least, most) => {
                let account = self.account_ref(*account, *by_number);
                let ceiling = match most {
                    None => CeilingChange::Keep,
                    Some(None) => CeilingChange::Remove,
                    Some(Some(sum)) => {
                        self.near_expected(&account, *sum).map_or(CeilingChange::Remove, CeilingChange::Set)
                    }
                };
                let floor = least.map(|sum| self.near_available(&account, sum));
                Operation::SetLimits(SetLimits { account, floor, ceiling })
            }
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
            What::Confirm(transaction, parts) => {
                let transaction = id(transaction);
                let amounts = self.parts(transaction, parts, |record| (record.created, false));
                Operation::Confirm(Confirm { transaction, amounts })
            }
            What::Cancel(transaction) => Operation::Cancel(id(transaction)),
            What::Reverse(transaction, original, parts) => {
                let (transaction, original) = (id(transaction), id(original));
                let amounts = self.parts(original, parts, |record| (record.resolved.or(record.created), true));
                Operation::Reverse(Reverse { transaction, original, amounts, details: details(0) })
            }
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
                self.enter(Later::By(0), vec![command]);
            }
        }
    }

    fn enter(&mut self, later: Later, commands: Vec<Command>) {
        self.stamp = match later {
            Later::By(nanoseconds) => self.stamp + nanoseconds,
            Later::NearDeadline(step) => match self.book.records.holds.first() {
                Some((deadline, _)) => i64::try_from(deadline.0).unwrap() + step,
                None => self.stamp,
            },
        }
        .max(0);
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
        self.note_bounds_met();
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
            Outcome::Rejected(refusal) => {
                kinds.push(rejection(refusal).split(' ').next().unwrap().to_string());
                kinds.extend(near::missed_by_one(refusal).map(str::to_string));
            }
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
    // To the unit and to the nanosecond.
    "a floor below zero is met",
    "a floor below zero is missed by one",
    "a floor is met",
    "a floor is missed by one",
    "a ceiling is met",
    "a ceiling is missed by one",
    "a reservation is exceeded by one",
    "a reversal is exceeded by one",
    "the range is met",
    "a hold is open one nanosecond before its deadline",
    "a hold expires at the stamp that is its deadline",
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
