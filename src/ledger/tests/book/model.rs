//! A naive book, to compare the core with: plain maps and integers, cloned whole where something may have to be undone.
//!
//! It shares the core's vocabulary (commands, answers) and none of its code: amounts are minor units in `i128` and `u128`, contents are lists of texts.

mod content;
mod transactions;

use std::collections::BTreeMap;

use ledger::account::{Class, Floor, Side};
use ledger::command::{CeilingChange, Details, Posting};
use ledger::journal::JournalSequence;
use ledger::outcome::InsufficientFunds;
use ledger::shape::check;
use ledger::{
    Accepted, AccountName, AccountNumber, AccountRef, Amount, AmountError, Answer, AssetCode, AssetNumber, Balance,
    Command, ItemAnswer, LogTime, Operation, Outcome, Point, Rejection, RequestId, Scale, TransactionId,
    TransactionState,
};

use content::{Content, differences, minor};

const MAX: u128 = (1 << 96) - 1;

#[derive(Debug, Clone)]
struct ModelAccount {
    name: AccountName,
    asset: usize,
    class: Class,
    frozen: bool,
    closed: bool,
    floor: Option<i128>,
    ceiling: Option<u128>,
    /// Pending and posted, each debit and credit.
    pending: [u128; 2],
    posted: [u128; 2],
    opened: (u64, Point),
    content: Content,
}

#[derive(Debug, Clone)]
struct ModelTransaction {
    state: TransactionState,
    content: Option<Content>,
    accepted: Accepted,
    created: (u64, Point),
    resolved: Option<(u64, Point)>,
    deadline: Option<u64>,
    /// Account, side, amount: what was reserved, or booked where nothing was reserved.
    postings: Vec<(usize, usize, u128)>,
    confirmed: Vec<u128>,
    reversed: Vec<u128>,
    reversal: bool,
}

#[derive(Debug, Clone)]
struct Remembered {
    content: Content,
    point: Point,
    sequence: Option<u64>,
    outcome: Outcome,
}

#[derive(Debug, Clone, Default)]
pub struct Model {
    time: u64,
    sequence: u64,
    assets: Vec<(AssetCode, u32, (u64, Point))>,
    accounts: Vec<ModelAccount>,
    transactions: BTreeMap<TransactionId, ModelTransaction>,
    requests: BTreeMap<RequestId, Remembered>,
}

/// What a command came to: the answer without its place.
struct Verdict {
    outcome: Outcome,
    sequence: Option<u64>,
    replay_of: Option<Point>,
    state: Option<TransactionState>,
}

type Judged = Result<Verdict, Rejection>;

fn side(side: Side) -> usize {
    match side {
        Side::Debit => 0,
        Side::Credit => 1,
    }
}

fn normal(class: Class) -> usize {
    usize::from(!matches!(class, Class::Asset | Class::Expense))
}

/// A text of minor units with `scale` fraction digits.
pub fn text(minor: i128, scale: u32) -> String {
    let digits = format!("{:0width$}", minor.unsigned_abs(), width = scale as usize + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
    let sign = if minor < 0 { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

fn plain(minor: u128) -> i128 {
    i128::try_from(minor).unwrap()
}

fn amount(minor: u128, scale: u32) -> Amount {
    Amount::from_minor(minor, Scale::new(scale).unwrap()).unwrap()
}

fn balance(minor: i128, scale: u32) -> Balance {
    Balance::parse(&text(minor, scale)).unwrap()
}

impl ModelAccount {
    fn normal(&self) -> usize {
        normal(self.class)
    }

    fn balance(&self) -> i128 {
        plain(self.posted[self.normal()]) - plain(self.posted[1 - self.normal()])
    }

    fn available(&self) -> i128 {
        self.balance() - plain(self.pending[1 - self.normal()])
    }

    fn expected(&self) -> i128 {
        self.balance() + plain(self.pending[self.normal()])
    }
}

impl Model {
    fn account_named(&self, name: &AccountName) -> Option<usize> {
        self.accounts.iter().position(|account| account.name == *name)
    }

    fn find(&self, account: &AccountRef) -> Result<usize, Rejection> {
        match account {
            AccountRef::Number(AccountNumber(number)) => Ok(*number as usize),
            AccountRef::Name(name) => self.account_named(name).ok_or_else(|| Rejection::AccountNotFound(name.clone())),
        }
    }

    fn ref_text(&self, account: &AccountRef) -> String {
        match account {
            AccountRef::Number(number) => self.accounts[number.0 as usize].name.to_string(),
            AccountRef::Name(name) => name.to_string(),
        }
    }

    /// `written` in the minor units of asset `asset`.
    fn scaled(&self, written: &str, asset: usize) -> Result<i128, Rejection> {
        let (code, scale, _) = self.assets[asset];
        let units = minor(written.trim_start_matches('-'), scale).map_err(|error| Rejection::Amount {
            error,
            amount: written.into(),
            asset: code,
            scale,
        })?;
        Ok(if written.starts_with('-') { -plain(units) } else { plain(units) })
    }

    fn scale_of(&self, account: usize) -> u32 {
        self.assets[self.accounts[account].asset].1
    }

    /// Applies one command of an entry, and answers.
    pub fn apply(&mut self, index: u64, position: u32, stamp: u64, command: &Command) -> Answer {
        let ahead = match &command.operation {
            Operation::Atomic(items) => items.len() as u64,
            _ => 0,
        };
        let time = self.advance(index, position, stamp, ahead);
        let point = Point { index, position, time: LogTime(time) };
        let verdict = self.decide(point, stamp, command);
        Answer {
            point,
            sequence: verdict.sequence.map(JournalSequence),
            replay_of: verdict.replay_of,
            state: verdict.state,
            outcome: verdict.outcome,
        }
    }

    /// An entry without commands.
    pub fn tick(&mut self, index: u64, stamp: u64) {
        self.advance(index, 0, stamp, 0);
    }

    /// Expires what is due, one at a time, and returns the time of what comes next.
    fn advance(&mut self, index: u64, position: u32, stamp: u64, ahead: u64) -> u64 {
        loop {
            let now = stamp.max(self.time + 1);
            let held = |one: &&ModelTransaction| one.state == TransactionState::Tried && one.deadline.is_some();
            let first = self
                .transactions
                .iter()
                .filter(|(_, one)| held(one))
                .map(|(id, one)| (one.deadline.unwrap(), *id))
                .min();
            match first {
                Some((deadline, id)) if deadline <= now + ahead => {
                    self.time = deadline.max(self.time + 1);
                    self.sequence += 1;
                    let point = Point { index, position, time: LogTime(self.time) };
                    let resolved = (self.sequence, point);
                    self.end(id, TransactionState::Expired, None, resolved);
                }
                _ => {
                    self.time = now;
                    return now;
                }
            }
        }
    }

    fn end(&mut self, id: TransactionId, state: TransactionState, amounts: Option<&[u128]>, resolved: (u64, Point)) {
        let transaction = self.transactions.get_mut(&id).unwrap();
        transaction.state = state;
        transaction.resolved = Some(resolved);
        if let Some(amounts) = amounts {
            transaction.confirmed = amounts.to_vec();
        }
        for (position, (account, side, reserved)) in transaction.postings.iter().enumerate() {
            self.accounts[*account].pending[*side] -= reserved;
            if let Some(amounts) = amounts {
                self.accounts[*account].posted[*side] += amounts[position];
            }
        }
    }

    fn decide(&mut self, point: Point, stamp: u64, command: &Command) -> Verdict {
        let content = self.content(&command.operation);
        let concerned = match &command.operation {
            Operation::Post(post) => Some(post.transaction),
            Operation::Try(attempt) => Some(attempt.transaction),
            Operation::Confirm(confirm) => Some(confirm.transaction),
            Operation::Cancel(transaction) => Some(*transaction),
            Operation::Reverse(reverse) => Some(reverse.transaction),
            _ => None,
        };
        if let Some(first) = self.requests.get(&command.request) {
            let state = concerned.and_then(|id| self.transactions.get(&id)).map(|one| one.state);
            let fields = differences(&first.content, &content);
            return if fields.is_empty() {
                let outcome = first.outcome.clone();
                Verdict { outcome, sequence: first.sequence, replay_of: Some(first.point), state }
            } else {
                let outcome = Outcome::Rejected(Rejection::RequestIdReused(fields));
                Verdict { outcome, sequence: None, replay_of: None, state }
            };
        }
        // What a well-formed command is, the scripts show; the model takes it as given.
        if let Err(violation) = check(command) {
            return refused(Rejection::InvalidArgument(violation));
        }
        let verdict = match &command.operation {
            Operation::Atomic(items) => self.atomic(point, stamp, items),
            single => self.single(point, single, &content).unwrap_or_else(refused),
        };
        let kept = (verdict.outcome.clone(), verdict.sequence);
        self.requests.insert(command.request, Remembered { content, point, outcome: kept.0, sequence: kept.1 });
        verdict
    }

    fn atomic(&mut self, batch: Point, stamp: u64, items: &[Command]) -> Verdict {
        let before = self.clone();
        let mut answers = Vec::new();
        for (position, item) in items.iter().enumerate() {
            let time = self.advance(batch.index, batch.position, stamp, 0);
            let verdict = self.decide(Point { time: LogTime(time), ..batch }, stamp, item);
            match verdict.outcome {
                Outcome::Accepted(accepted) => answers.push(ItemAnswer {
                    request: item.request,
                    time: LogTime(time),
                    sequence: verdict.sequence.map(JournalSequence),
                    replay_of: verdict.replay_of,
                    state: verdict.state,
                    outcome: Ok(accepted),
                }),
                Outcome::Rejected(rejection) => {
                    *self = before;
                    return self.refuse_batch(batch, items, position, rejection);
                }
                Outcome::BatchRejected { .. } => panic!("an item is a batch"),
            }
        }
        Verdict { outcome: Outcome::Accepted(Accepted::Batch(answers)), sequence: None, replay_of: None, state: None }
    }

    fn refuse_batch(&mut self, batch: Point, items: &[Command], culprit: usize, rejection: Rejection) -> Verdict {
        let number = culprit as u32;
        let item = &items[culprit];
        let content = self.content(&item.operation);
        self.requests.entry(item.request).or_insert(Remembered {
            content,
            point: batch,
            sequence: None,
            outcome: Outcome::Rejected(rejection.clone()),
        });
        let answers = items.iter().enumerate().map(|(position, item)| ItemAnswer {
            request: item.request,
            time: batch.time,
            sequence: None,
            replay_of: None,
            state: None,
            outcome: Err(if position == culprit {
                rejection.clone()
            } else {
                Rejection::NotApplied { culprit: number }
            }),
        });
        let outcome = Outcome::BatchRejected { culprit: number, items: answers.collect() };
        Verdict { outcome, sequence: None, replay_of: None, state: None }
    }

    fn booked(&mut self, accepted: Accepted, state: Option<TransactionState>) -> Judged {
        self.sequence += 1;
        Ok(Verdict { outcome: Outcome::Accepted(accepted), sequence: Some(self.sequence), replay_of: None, state })
    }

    fn single(&mut self, point: Point, operation: &Operation, content: &Content) -> Judged {
        match operation {
            Operation::RegisterAsset(register) => {
                let known = self.assets.iter().position(|(code, _, _)| *code == register.code);
                if let Some(number) = known {
                    let (_, scale, first) = self.assets[number];
                    if scale != register.scale.digits() {
                        return Err(Rejection::AssetExistsDifferent(vec!["scale".into()]));
                    }
                    return repeated(Accepted::AssetRegistered(AssetNumber(number as u32)), first, None);
                }
                let number = AssetNumber(self.assets.len() as u32);
                self.assets.push((register.code, register.scale.digits(), (self.sequence + 1, point)));
                self.booked(Accepted::AssetRegistered(number), None)
            }
            Operation::OpenAccount(open) => self.open(point, open, content),
            Operation::SetLimits(limits) => self.set_limits(limits),
            Operation::Freeze(account) => self.set_frozen(account, true, Accepted::Frozen),
            Operation::Unfreeze(account) => self.set_frozen(account, false, Accepted::Unfrozen),
            Operation::Close(account) => self.close(account),
            Operation::Post(post) => {
                if let Some(judged) = self.existing(post.transaction, content) {
                    return judged;
                }
                let lines = self.lines(&post.postings)?;
                self.book(&lines, true)?;
                self.create(post.transaction, Accepted::Posted(post.transaction), point, content, lines, None, false)
            }
            Operation::Try(attempt) => {
                if let Some(judged) = self.existing(attempt.transaction, content) {
                    return judged;
                }
                let lines = self.lines(&attempt.postings)?;
                self.book(&lines, false)?;
                let deadline = attempt.timeout.map(|timeout| LogTime(point.time.0 + timeout.0));
                let accepted = Accepted::Tried(attempt.transaction, deadline);
                self.create(attempt.transaction, accepted, point, content, lines, deadline, false)
            }
            Operation::Confirm(confirm) => self.confirm(point, confirm.transaction, confirm.amounts.as_ref()),
            Operation::Cancel(transaction) => self.cancel(point, *transaction),
            Operation::Reverse(reverse) => {
                if let Some(judged) = self.existing(reverse.transaction, content) {
                    return judged;
                }
                let lines = self.reversal(reverse.original, reverse.amounts.as_ref())?;
                let moving: Vec<_> = lines.iter().copied().filter(|(_, _, units)| *units > 0).collect();
                self.book(&moving, true)?;
                let original = self.transactions.get_mut(&reverse.original).unwrap();
                for (sum, (_, _, units)) in original.reversed.iter_mut().zip(&lines) {
                    *sum += units;
                }
                let accepted = Accepted::Reversed(reverse.transaction);
                self.create(reverse.transaction, accepted, point, content, lines, None, true)
            }
            Operation::Atomic(_) => panic!("not a single command"),
        }
    }

    fn open(&mut self, point: Point, open: &ledger::command::OpenAccount, content: &Content) -> Judged {
        if let Some(number) = self.account_named(&open.name) {
            let fields = differences(&self.accounts[number].content, content);
            if !fields.is_empty() {
                return Err(Rejection::AccountExistsDifferent(fields));
            }
            let first = self.accounts[number].opened;
            return repeated(Accepted::AccountOpened(AccountNumber(number as u32)), first, None);
        }
        let Some(asset) = self.assets.iter().position(|(code, _, _)| *code == open.asset) else {
            return Err(Rejection::AssetNotFound(open.asset));
        };
        let mut account = ModelAccount {
            name: open.name.clone(),
            asset,
            class: open.class,
            frozen: false,
            closed: false,
            floor: None,
            ceiling: None,
            pending: [0; 2],
            posted: [0; 2],
            opened: (self.sequence + 1, point),
            content: content.clone(),
        };
        account.floor = self.floor(open.floor, asset)?;
        if let Some(ceiling) = open.ceiling {
            account.ceiling = Some(self.scaled(&ceiling.to_string(), asset)?.unsigned_abs());
        }
        self.check_limits(&account)?;
        self.accounts.push(account);
        self.booked(Accepted::AccountOpened(AccountNumber(self.accounts.len() as u32 - 1)), None)
    }

    fn floor(&self, floor: Floor, asset: usize) -> Result<Option<i128>, Rejection> {
        match floor {
            Floor::Unlimited => Ok(None),
            Floor::AtLeast(least) => self.scaled(&least.to_string(), asset).map(Some),
        }
    }

    fn check_limits(&self, account: &ModelAccount) -> Result<(), Rejection> {
        let scale = self.assets[account.asset].1;
        if let Some(floor) = account.floor
            && account.available() < floor
        {
            return Err(Rejection::InsufficientFunds(Box::new(InsufficientFunds {
                account: account.name.clone(),
                available: balance(account.available(), scale),
                needed: amount(floor.unsigned_abs(), scale),
                floor: balance(floor, scale),
            })));
        }
        self.check_ceiling(account)
    }

    fn check_ceiling(&self, account: &ModelAccount) -> Result<(), Rejection> {
        let scale = self.assets[account.asset].1;
        match account.ceiling {
            Some(ceiling) if account.expected() > plain(ceiling) => Err(Rejection::CeilingExceeded {
                account: account.name.clone(),
                ceiling: amount(ceiling, scale),
                reached: balance(account.expected(), scale),
            }),
            _ => Ok(()),
        }
    }

    fn set_limits(&mut self, limits: &ledger::command::SetLimits) -> Judged {
        let number = self.find(&limits.account)?;
        let mut account = self.accounts[number].clone();
        if let Some(floor) = limits.floor {
            account.floor = self.floor(floor, account.asset)?;
        }
        match limits.ceiling {
            CeilingChange::Keep => {}
            CeilingChange::Remove => account.ceiling = None,
            CeilingChange::Set(ceiling) => {
                account.ceiling = Some(self.scaled(&ceiling.to_string(), account.asset)?.unsigned_abs());
            }
        }
        if account.closed {
            return Err(Rejection::AccountClosed(account.name));
        }
        let old = &self.accounts[number];
        if old.floor == account.floor && old.ceiling == account.ceiling {
            return unchanged(Accepted::LimitsSet, None);
        }
        self.check_limits(&account)?;
        self.accounts[number] = account;
        self.booked(Accepted::LimitsSet, None)
    }

    fn set_frozen(&mut self, account: &AccountRef, frozen: bool, accepted: Accepted) -> Judged {
        let number = self.find(account)?;
        let account = &mut self.accounts[number];
        if account.closed {
            return Err(Rejection::AccountClosed(account.name.clone()));
        }
        if account.frozen == frozen {
            return unchanged(accepted, None);
        }
        account.frozen = frozen;
        self.booked(accepted, None)
    }

    fn close(&mut self, account: &AccountRef) -> Judged {
        let number = self.find(account)?;
        let scale = self.scale_of(number);
        let account = &mut self.accounts[number];
        if account.closed {
            return unchanged(Accepted::Closed, None);
        }
        if account.balance() != 0 || account.pending != [0, 0] {
            return Err(Rejection::AccountNotEmpty {
                account: account.name.clone(),
                posted: balance(account.balance(), scale),
                debits_pending: amount(account.pending[0], scale),
                credits_pending: amount(account.pending[1], scale),
            });
        }
        account.closed = true;
        self.booked(Accepted::Closed, None)
    }

    /// Whether the core's book says the same of every account and transaction.
    pub fn check_same(&self, book: &crate::memory::MemoryRecords) {
        assert_eq!((self.time, self.sequence), (book.head.time.0, book.head.sequence.0));
        assert_eq!(self.accounts.len(), book.accounts.len());
        for (number, account) in self.accounts.iter().enumerate() {
            let held = &book.accounts[&AccountNumber(number as u32)].totals;
            let [pending, posted] = [
                [held.debits_pending.mantissa(), held.credits_pending.mantissa()],
                [held.debits_posted.mantissa(), held.credits_posted.mantissa()],
            ];
            assert_eq!((account.pending, account.posted), (pending, posted), "account {}", account.name);
        }
        assert_eq!(self.transactions.len(), book.transactions.len());
        for (id, transaction) in &self.transactions {
            assert_eq!(transaction.state, book.transactions[id].state, "transaction {id}");
        }
        assert!(self.requests.keys().eq(book.requests.keys()), "other requests are remembered");
    }
}

fn refused(rejection: Rejection) -> Verdict {
    Verdict { outcome: Outcome::Rejected(rejection), sequence: None, replay_of: None, state: None }
}

fn unchanged(accepted: Accepted, state: Option<TransactionState>) -> Judged {
    Ok(Verdict { outcome: Outcome::Accepted(accepted), sequence: None, replay_of: None, state })
}

fn repeated(accepted: Accepted, first: (u64, Point), state: Option<TransactionState>) -> Judged {
    let outcome = Outcome::Accepted(accepted);
    Ok(Verdict { outcome, sequence: Some(first.0), replay_of: Some(first.1), state })
}
