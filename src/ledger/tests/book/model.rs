//! A naive book, to compare the core with: plain maps and integers, cloned whole where something may have to be undone.
//!
//! It shares the core's vocabulary (commands, answers) and none of its code: amounts are minor units in `i128` and `u128`, contents are lists of texts.

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

const MAX: u128 = (1 << 96) - 1;

/// A command's content: its kind, then each field with its value as text. A field that ends in `#` counts a list: where two counts
/// differ, the list's own fields are not compared.
#[derive(Debug, Clone, PartialEq)]
struct Content {
    kind: &'static str,
    fields: Vec<(String, String)>,
}

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
fn text(minor: i128, scale: u32) -> String {
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

/// A written value without the zeros that do not count.
fn trimmed(written: &str) -> String {
    let trimmed = match written.contains('.') {
        true => written.trim_end_matches('0').trim_end_matches('.'),
        false => written,
    };
    let unsigned = trimmed.trim_start_matches('-').trim_start_matches('0');
    if unsigned.is_empty() { "0".into() } else { trimmed.into() }
}

/// Minor units at `scale` of a written value, from its text.
fn minor(written: &str, scale: u32) -> Result<u128, AmountError> {
    let (whole, fraction) = written.split_once('.').unwrap_or((written, ""));
    if fraction.len() > scale as usize {
        return Err(AmountError::ScaleExceeded);
    }
    let digits = format!("{whole}{fraction}{}", "0".repeat(scale as usize - fraction.len()));
    match digits.trim_start_matches('0') {
        "" => Ok(0),
        digits if digits.len() > 29 => Err(AmountError::OutOfRange),
        digits => digits.parse::<u128>().ok().filter(|minor| *minor <= MAX).ok_or(AmountError::OutOfRange),
    }
}

fn floor_text(floor: Floor) -> String {
    match floor {
        Floor::Unlimited => "unlimited".into(),
        Floor::AtLeast(least) => trimmed(&least.to_string()),
    }
}

fn amounts_text(amounts: Option<&Vec<Amount>>) -> String {
    match amounts {
        None => "all".into(),
        Some(amounts) => format!("{:?}", amounts.iter().map(|one| trimmed(&one.to_string())).collect::<Vec<_>>()),
    }
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

    fn content(&self, operation: &Operation) -> Content {
        let mut fields: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, value: String| fields.push((name.to_string(), value));
        match operation {
            Operation::RegisterAsset(register) => {
                add("code", register.code.to_string());
                add("scale", register.scale.digits().to_string());
            }
            Operation::OpenAccount(open) => {
                add("name", open.name.to_string());
                add("asset", open.asset.to_string());
                add("class", format!("{:?}", open.class));
                add("floor", floor_text(open.floor));
                add("ceiling", open.ceiling.map_or("none".into(), |ceiling| trimmed(&ceiling.to_string())));
                add("metadata", format!("{:?}", open.metadata));
            }
            Operation::SetLimits(limits) => {
                add("account", self.ref_text(&limits.account));
                add("floor", limits.floor.map_or("keep".into(), floor_text));
                add(
                    "ceiling",
                    match limits.ceiling {
                        CeilingChange::Keep => "keep".into(),
                        CeilingChange::Remove => "remove".into(),
                        CeilingChange::Set(ceiling) => trimmed(&ceiling.to_string()),
                    },
                );
            }
            Operation::Freeze(account) | Operation::Unfreeze(account) | Operation::Close(account) => {
                add("account", self.ref_text(account));
            }
            Operation::Post(post) => {
                add("transaction_id", post.transaction.to_string());
                fields.extend(self.posting_fields(&post.postings));
                fields.extend(detail_fields(&post.details));
            }
            Operation::Try(attempt) => {
                add("transaction_id", attempt.transaction.to_string());
                fields.extend(self.posting_fields(&attempt.postings));
                fields.extend(detail_fields(&attempt.details));
                fields.push(("timeout".into(), format!("{:?}", attempt.timeout)));
            }
            Operation::Confirm(confirm) => {
                add("transaction_id", confirm.transaction.to_string());
                add("amounts", amounts_text(confirm.amounts.as_ref()));
            }
            Operation::Cancel(transaction) => add("transaction_id", transaction.to_string()),
            Operation::Reverse(reverse) => {
                add("transaction_id", reverse.transaction.to_string());
                add("original_id", reverse.original.to_string());
                add("amounts", amounts_text(reverse.amounts.as_ref()));
                fields.extend(detail_fields(&reverse.details));
            }
            Operation::Atomic(items) => {
                add("commands#", items.len().to_string());
                for (position, item) in items.iter().enumerate() {
                    let content = self.content(&item.operation);
                    fields.push((format!("commands[{position}].request_id"), item.request.to_string()));
                    fields.push((format!("commands[{position}].operation"), content.kind.into()));
                    for (name, value) in content.fields {
                        fields.push((format!("commands[{position}].{name}"), value));
                    }
                }
            }
        }
        Content { kind: operation.name(), fields }
    }

    fn posting_fields(&self, postings: &[Posting]) -> Vec<(String, String)> {
        let mut fields = vec![("postings#".to_string(), postings.len().to_string())];
        for (position, posting) in postings.iter().enumerate() {
            let mut add = |name: &str, value| fields.push((format!("postings[{position}].{name}"), value));
            add("account", self.ref_text(&posting.account));
            add("side", format!("{:?}", posting.side));
            add("amount", trimmed(&posting.amount.to_string()));
            add("asset", posting.asset.map_or(String::new(), |code| code.to_string()));
        }
        fields
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

    fn existing(&self, id: TransactionId, content: &Content) -> Option<Judged> {
        let transaction = self.transactions.get(&id)?;
        let Some(first) = &transaction.content else { return Some(Err(Rejection::CancelledBeforeTry(id))) };
        let fields = differences(first, content);
        Some(if fields.is_empty() {
            repeated(transaction.accepted.clone(), transaction.created, Some(transaction.state))
        } else {
            Err(Rejection::TransactionExistsDifferent(fields))
        })
    }

    #[allow(clippy::too_many_arguments)]
    fn create(
        &mut self,
        id: TransactionId,
        accepted: Accepted,
        point: Point,
        content: &Content,
        postings: Vec<(usize, usize, u128)>,
        deadline: Option<LogTime>,
        reversal: bool,
    ) -> Judged {
        let tried = matches!(accepted, Accepted::Tried(..));
        let state = if tried { TransactionState::Tried } else { TransactionState::Confirmed };
        let transaction = ModelTransaction {
            state,
            content: Some(content.clone()),
            accepted: accepted.clone(),
            created: (self.sequence + 1, point),
            resolved: None,
            deadline: deadline.map(|deadline| deadline.0),
            confirmed: if tried { Vec::new() } else { postings.iter().map(|posting| posting.2).collect() },
            reversed: vec![0; postings.len()],
            postings,
            reversal,
        };
        self.transactions.insert(id, transaction);
        self.booked(accepted, Some(state))
    }

    fn lines(&self, postings: &[Posting]) -> Result<Vec<(usize, usize, u128)>, Rejection> {
        let mut lines: Vec<(usize, usize, u128)> = Vec::new();
        for posting in postings {
            let number = self.find(&posting.account)?;
            let (code, _, _) = self.assets[self.accounts[number].asset];
            if let Some(stated) = posting.asset
                && stated != code
            {
                let account = self.accounts[number].name.clone();
                return Err(Rejection::AssetMismatch { account, holds: code, stated });
            }
            let units = self.scaled(&posting.amount.to_string(), self.accounts[number].asset)?;
            lines.push((number, side(posting.side), units.unsigned_abs()));
        }
        for (position, (number, on, _)) in lines.iter().enumerate() {
            if lines[..position].iter().any(|(other, side, _)| other == number && side != on) {
                return Err(Rejection::InvalidArgument(ledger::shape::Violation {
                    field: format!("postings[{position}].account"),
                    problem: "stands on both sides".into(),
                }));
            }
        }
        let asset = |line: &(usize, usize, u128)| self.accounts[line.0].asset;
        if lines.len() == 2 && asset(&lines[0]) != asset(&lines[1]) {
            return Err(Rejection::AssetMismatch {
                account: self.accounts[lines[1].0].name.clone(),
                holds: self.assets[asset(&lines[1])].0,
                stated: self.assets[asset(&lines[0])].0,
            });
        }
        self.balanced(&lines)?;
        Ok(lines)
    }

    fn balanced(&self, lines: &[(usize, usize, u128)]) -> Result<(), Rejection> {
        for (number, (code, scale, _)) in self.assets.iter().enumerate() {
            let sum = |on: usize| -> u128 {
                let here = lines.iter().filter(|line| self.accounts[line.0].asset == number && line.1 == on);
                here.map(|line| line.2).sum()
            };
            let (debits, credits) = (sum(0), sum(1));
            if debits != credits {
                let write = |units| text(plain(units), *scale);
                return Err(Rejection::Unbalanced { asset: *code, debits: write(debits), credits: write(credits) });
            }
        }
        Ok(())
    }

    /// Checks and books lines, posted or pending.
    fn book(&mut self, lines: &[(usize, usize, u128)], post: bool) -> Result<(), Rejection> {
        for (number, _, _) in lines {
            let account = &self.accounts[*number];
            if account.closed {
                return Err(Rejection::AccountClosed(account.name.clone()));
            }
            if account.frozen {
                return Err(Rejection::AccountFrozen(account.name.clone()));
            }
        }
        let mut after = self.accounts.clone();
        for (number, on, units) in lines {
            let account = &mut after[*number];
            let totals = if post { &mut account.posted } else { &mut account.pending };
            totals[*on] += units;
            if account.pending.iter().chain(&account.posted).sum::<u128>() > MAX {
                return Err(Rejection::BalanceOverflow(account.name.clone()));
            }
        }
        for (number, on, _) in lines {
            let (before, account) = (&self.accounts[*number], &after[*number]);
            if let Some(floor) = account.floor
                && *on != account.normal()
                && account.available() < floor
            {
                let scale = self.scale_of(*number);
                let needed = lines.iter().filter(|line| line.0 == *number).map(|line| line.2).sum();
                return Err(Rejection::InsufficientFunds(Box::new(InsufficientFunds {
                    account: account.name.clone(),
                    available: balance(before.available(), scale),
                    needed: amount(needed, scale),
                    floor: balance(floor, scale),
                })));
            }
        }
        for (number, on, _) in lines {
            if *on == after[*number].normal() {
                self.check_ceiling(&after[*number])?;
            }
        }
        self.accounts = after;
        Ok(())
    }

    fn confirm(&mut self, point: Point, id: TransactionId, amounts: Option<&Vec<Amount>>) -> Judged {
        let Some(transaction) = self.transactions.get(&id).cloned() else {
            return Err(Rejection::TransactionNotFound(id));
        };
        match transaction.state {
            TransactionState::Cancelled => Err(Rejection::AlreadyCancelled(id)),
            TransactionState::Expired => {
                let deadline = LogTime(transaction.deadline.unwrap());
                Err(Rejection::TransactionExpired { transaction: id, deadline })
            }
            TransactionState::Confirmed => {
                let booked: Vec<String> = (transaction.postings.iter().zip(&transaction.confirmed))
                    .map(|((account, _, _), units)| trimmed(&text(plain(*units), self.scale_of(*account))))
                    .collect();
                let same = match amounts {
                    Some(amounts) => amounts.iter().map(|one| trimmed(&one.to_string())).collect::<Vec<_>>() == booked,
                    None => transaction.postings.iter().map(|posting| posting.2).eq(transaction.confirmed),
                };
                if !same {
                    return Err(Rejection::ConfirmDiffers(id));
                }
                let first = transaction.resolved.unwrap_or(transaction.created);
                repeated(Accepted::Confirmed(id), first, Some(TransactionState::Confirmed))
            }
            TransactionState::Tried => {
                let part = match amounts {
                    None => transaction.postings.iter().map(|posting| posting.2).collect(),
                    Some(amounts) => self.part(&transaction, amounts)?,
                };
                self.end(id, TransactionState::Confirmed, Some(&part), (self.sequence + 1, point));
                self.booked(Accepted::Confirmed(id), Some(TransactionState::Confirmed))
            }
        }
    }

    fn part(&self, transaction: &ModelTransaction, amounts: &[Amount]) -> Result<Vec<u128>, Rejection> {
        let (expected, given) = (transaction.postings.len(), amounts.len());
        if expected != given {
            return Err(Rejection::AmountCount { expected: expected as u32, given: given as u32 });
        }
        let mut lines = Vec::new();
        for (position, ((account, on, reserved), asked)) in transaction.postings.iter().zip(amounts).enumerate() {
            let units = self.scaled(&asked.to_string(), self.accounts[*account].asset)?.unsigned_abs();
            if units > *reserved {
                let scale = self.scale_of(*account);
                return Err(Rejection::ExceedsReserved {
                    posting: position as u32,
                    reserved: amount(*reserved, scale),
                    asked: amount(units, scale),
                });
            }
            lines.push((*account, *on, units));
        }
        self.balanced(&lines)?;
        Ok(lines.into_iter().map(|line| line.2).collect())
    }

    fn cancel(&mut self, point: Point, id: TransactionId) -> Judged {
        let Some(transaction) = self.transactions.get(&id) else {
            let tombstone = ModelTransaction {
                state: TransactionState::Cancelled,
                content: None,
                accepted: Accepted::CancelledEmpty(id),
                created: (self.sequence + 1, point),
                resolved: Some((self.sequence + 1, point)),
                deadline: None,
                postings: Vec::new(),
                confirmed: Vec::new(),
                reversed: Vec::new(),
                reversal: false,
            };
            self.transactions.insert(id, tombstone);
            return self.booked(Accepted::CancelledEmpty(id), Some(TransactionState::Cancelled));
        };
        match transaction.state {
            TransactionState::Confirmed => Err(Rejection::AlreadyConfirmed(id)),
            TransactionState::Expired => unchanged(Accepted::CancelledExpired(id), Some(TransactionState::Expired)),
            TransactionState::Cancelled => {
                let empty = transaction.content.is_none();
                let accepted = if empty { Accepted::CancelledEmpty(id) } else { Accepted::Cancelled(id) };
                repeated(accepted, transaction.resolved.unwrap(), Some(TransactionState::Cancelled))
            }
            TransactionState::Tried => {
                self.end(id, TransactionState::Cancelled, None, (self.sequence + 1, point));
                self.booked(Accepted::Cancelled(id), Some(TransactionState::Cancelled))
            }
        }
    }

    /// The lines of a reversal, checked but for the accounts.
    fn reversal(
        &self,
        id: TransactionId,
        amounts: Option<&Vec<Amount>>,
    ) -> Result<Vec<(usize, usize, u128)>, Rejection> {
        let original = self.transactions.get(&id).ok_or(Rejection::TransactionNotFound(id))?;
        match original.state {
            TransactionState::Tried => return Err(Rejection::NotConfirmed(id)),
            TransactionState::Cancelled => return Err(Rejection::AlreadyCancelled(id)),
            TransactionState::Expired => {
                let deadline = LogTime(original.deadline.unwrap());
                return Err(Rejection::TransactionExpired { transaction: id, deadline });
            }
            TransactionState::Confirmed if original.reversal => return Err(Rejection::ReversalOfReversal(id)),
            TransactionState::Confirmed => {}
        }
        let (expected, given) = (original.postings.len(), amounts.map_or(original.postings.len(), Vec::len));
        if expected != given {
            return Err(Rejection::AmountCount { expected: expected as u32, given: given as u32 });
        }
        let mut lines = Vec::new();
        for (position, (account, on, _)) in original.postings.iter().enumerate() {
            let units = match amounts {
                Some(amounts) => self.scaled(&amounts[position].to_string(), self.accounts[*account].asset)?,
                None => plain(original.confirmed[position]),
            };
            lines.push((*account, 1 - on, units.unsigned_abs()));
        }
        for (position, (account, _, units)) in lines.iter().enumerate() {
            let remaining = original.confirmed[position] - original.reversed[position];
            if *units > remaining {
                let scale = self.scale_of(*account);
                return Err(Rejection::AlreadyReversed {
                    posting: position as u32,
                    remaining: amount(remaining, scale),
                    asked: amount(*units, scale),
                });
            }
        }
        self.balanced(&lines)?;
        Ok(lines)
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

fn detail_fields(details: &Details) -> Vec<(String, String)> {
    vec![
        ("reference".into(), details.reference.clone()),
        ("metadata".into(), format!("{:?}", details.metadata)),
        ("effective_at".into(), format!("{:?}", details.effective_at)),
    ]
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

/// The names of the fields that differ, in the order of the first content.
fn differences(first: &Content, second: &Content) -> Vec<String> {
    if first.kind != second.kind {
        return vec!["operation".into()];
    }
    let value = |content: &Content, name: &str| {
        content.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone())
    };
    let mut names: Vec<String> = Vec::new();
    let mut dropped: Vec<String> = Vec::new();
    for (name, left) in &first.fields {
        if dropped.iter().any(|prefix| name.starts_with(prefix.as_str())) || value(second, name).as_ref() == Some(left)
        {
            continue;
        }
        if let Some(list) = name.strip_suffix('#') {
            dropped.push(format!("{list}["));
            names.push(list.to_string());
        } else {
            if let Some(item) = name.strip_suffix("operation") {
                dropped.push(item.to_string());
            }
            names.push(name.clone());
        }
    }
    names
}
