//! What the core costs alone: entries of transfers decoded from their bytes and applied to a book in memory whose look-ups cost little.
//!
//! `cargo bench -p ledger` prints times and allocations of an entry; items are transfers (or pairs of a try and its confirm). An entry is applied to the same book every time, and what it changes
//! is dropped outside the measured time: writing it is the shell's work.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::{BTreeSet, HashMap};

use divan::AllocProfiler;
use divan::counter::ItemsCount;
use ledger::command::{Confirm, Details, Metadata, OpenAccount, Post, Posting, RegisterAsset, Try};
use ledger::journal::JournalSequence;
use ledger::{
    Account, AccountName, AccountNumber, AccountRef, Amount, Applied, Asset, AssetCode, AssetNumber, Changes, Class,
    Command, EncodedEntry, Entry, EntryWriter, Floor, Head, Interval, JournalRecord, LogTime, Operation, Outcome,
    Records, RequestId, RequestRecord, Scale, Side, TransactionId, TransactionRecord, TransactionState, apply_encoded,
};

#[global_allocator]
static ALLOCATOR: AllocProfiler<mimalloc::MiMalloc> = AllocProfiler::new(mimalloc::MiMalloc);

const ACCOUNTS: u32 = 100_000;
/// Commands of a large entry.
const BATCH: u32 = 8_190;
/// Commands of a small one.
const SMALL: u32 = 10;
const STAMP: LogTime = LogTime(1_763_900_000_000_000_000);

fn main() {
    divan::main();
}

/// A book whose every look-up is one step into a list or a hash table.
#[derive(Default)]
struct Memory {
    head: Head,
    assets: Vec<Asset>,
    names: Vec<AccountName>,
    numbers: HashMap<AccountName, AccountNumber>,
    accounts: Vec<Account>,
    transactions: HashMap<TransactionId, TransactionRecord>,
    requests: HashMap<RequestId, RequestRecord>,
    journal: Vec<JournalRecord>,
    holds: BTreeSet<(LogTime, TransactionId)>,
}

impl Memory {
    fn write(&mut self, changes: Changes) {
        self.head = changes.head;
        self.journal.extend(changes.journal);
        self.assets.extend(changes.assets);
        for (name, number) in changes.names {
            self.names.push(name.clone());
            self.numbers.insert(name, number);
        }
        for (number, account) in changes.accounts {
            match self.accounts.get_mut(number.0 as usize) {
                Some(known) => *known = account,
                None => self.accounts.push(account),
            }
        }
        for (id, record) in changes.transactions {
            if let (TransactionState::Tried, Some(deadline)) = (record.state, record.deadline) {
                self.holds.insert((deadline, id));
            }
            self.transactions.insert(id, record);
        }
        self.requests.extend(changes.requests);
    }
}

type Read<T> = Result<Option<T>, &'static str>;

impl Records for Memory {
    type Error = &'static str;

    /// As a node does: has the accounts brought into the processor's cache, all of them at once.
    fn expect(&self, commands: &[Command]) {
        let touch = |posting: &Posting| {
            let AccountRef::Number(number) = posting.account else { return };
            if let Some(account) = self.accounts.get(number.0 as usize) {
                std::hint::black_box((account.asset, account.totals.debits_pending, account.opened));
            }
        };
        for command in commands {
            match &command.operation {
                Operation::Post(post) => post.postings.iter().for_each(touch),
                Operation::Try(attempt) => attempt.postings.iter().for_each(touch),
                Operation::Atomic(items) => self.expect(items),
                _ => {}
            }
        }
    }
    fn head(&self) -> Head {
        self.head
    }
    fn asset_by_code(&self, code: &AssetCode) -> Read<Asset> {
        Ok(self.assets.iter().find(|asset| asset.code == *code).copied())
    }
    fn asset(&self, number: AssetNumber) -> Read<Asset> {
        Ok(self.assets.iter().find(|asset| asset.number == number).copied())
    }
    fn account_number(&self, name: &AccountName) -> Read<AccountNumber> {
        Ok(self.numbers.get(name).copied())
    }
    fn account_name(&self, number: AccountNumber) -> Read<AccountName> {
        Ok(self.names.get(number.0 as usize).cloned())
    }
    fn account(&self, number: AccountNumber) -> Read<Account> {
        Ok(self.accounts.get(number.0 as usize).copied())
    }
    fn transaction(&self, id: &TransactionId) -> Read<TransactionRecord> {
        Ok(self.transactions.get(id).cloned())
    }
    fn request(&self, id: &RequestId) -> Read<RequestRecord> {
        Ok(self.requests.get(id).cloned())
    }
    fn journal(&self, sequence: JournalSequence) -> Read<JournalRecord> {
        Ok(self.journal.get(sequence.0 as usize - 1).cloned())
    }
    fn show_journal(
        &self,
        sequence: JournalSequence,
        show: &mut dyn FnMut(&JournalRecord),
    ) -> Result<bool, &'static str> {
        let record = self.journal.get(sequence.0 as usize - 1);
        record.into_iter().for_each(show);
        Ok(record.is_some())
    }
    fn hold_after(&self, cursor: Option<(LogTime, TransactionId)>) -> Read<(LogTime, TransactionId)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let lower = cursor.map_or(Unbounded, Excluded);
        Ok(self.holds.range((lower, Unbounded)).next().copied())
    }
}

/// Numbers that differ and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^ (mixed >> 27)
    }

    fn request(&mut self) -> RequestId {
        let bytes = u128::from(self.next()) << 64 | u128::from(self.next());
        RequestId::from_bytes(bytes.to_be_bytes()).unwrap()
    }

    /// Two accounts that differ, of the first so many.
    fn accounts(&mut self, of: u32) -> [AccountNumber; 2] {
        let from = (self.next() % u64::from(of)) as u32;
        let to = (from + 1 + (self.next() % u64::from(of - 1)) as u32) % of;
        [AccountNumber(from), AccountNumber(to)]
    }
}

fn scale() -> Scale {
    Scale::new(2).unwrap()
}

fn command(request: RequestId, operation: Operation) -> Command {
    Command { request, principal: String::new(), operation }
}

fn entry(commands: &[Command]) -> Vec<u8> {
    let mut writer = EntryWriter::new(1 << 20);
    for command in commands {
        writer.push(&ledger::entry::encode_command(command).unwrap(), 1);
    }
    writer.finish(STAMP)
}

fn run(memory: &Memory, bytes: &[u8]) -> Applied {
    let entry = EncodedEntry::read(bytes).unwrap();
    let applied = apply_encoded(memory, 1_000, &entry).unwrap_or_else(|stop| panic!("{stop}"));
    assert!(applied.finished);
    applied
}

fn run_and_write(memory: &mut Memory, bytes: &[u8]) {
    let applied = run(memory, bytes);
    assert!(applied.answers.iter().all(|answer| matches!(answer.outcome, Outcome::Accepted(_))));
    memory.write(applied.changes);
}

/// A book with accounts.
fn book() -> Memory {
    let mut numbers = Numbers(7);
    let mut memory = Memory::default();
    let usd = AssetCode::new("USD").unwrap();
    let register = Operation::RegisterAsset(RegisterAsset { code: usd, scale: scale() });
    run_and_write(&mut memory, &entry(&[command(numbers.request(), register)]));
    for first in (0..ACCOUNTS).step_by(8_000) {
        let mut open = |number: u32| {
            let open = OpenAccount {
                name: AccountName::new(&format!("customers:{number}:main")).unwrap(),
                asset: usd,
                class: Class::Liability,
                floor: Floor::Unlimited,
                ceiling: None,
                metadata: Metadata::new(),
            };
            command(numbers.request(), Operation::OpenAccount(Box::new(open)))
        };
        let commands: Vec<Command> = (first..ACCOUNTS.min(first + 8_000)).map(&mut open).collect();
        run_and_write(&mut memory, &entry(&commands));
    }
    // No look-up of a new id should cost more than it does where a filter answers it.
    memory.requests.clear();
    memory
}

fn postings(numbers: &mut Numbers, accounts: u32) -> Vec<Posting> {
    let amount = Amount::from_minor(u128::from(1 + numbers.next() % 10_000), scale()).unwrap();
    let [from, to] = numbers.accounts(accounts);
    let posting = |number, side| Posting { account: AccountRef::Number(number), side, amount, asset: None };
    vec![posting(from, Side::Debit), posting(to, Side::Credit)]
}

fn transfer(numbers: &mut Numbers, accounts: u32) -> Command {
    let request = numbers.request();
    let postings = postings(numbers, accounts);
    command(request, Operation::Post(Post { transaction: request.into(), postings, details: Details::default() }))
}

fn transfers(count: u32, accounts: u32) -> Vec<Command> {
    let mut numbers = Numbers(42);
    (0..count).map(|_| transfer(&mut numbers, accounts)).collect()
}

fn attempt(numbers: &mut Numbers) -> Command {
    let request = numbers.request();
    let attempt = Try {
        transaction: request.into(),
        postings: postings(numbers, ACCOUNTS),
        details: Details::default(),
        timeout: Some(Interval(60_000_000_000)),
    };
    command(request, Operation::Try(attempt))
}

fn confirm(numbers: &mut Numbers, attempt: &Command) -> Command {
    let confirm = Confirm { transaction: attempt.request.into(), amounts: None };
    command(numbers.request(), Operation::Confirm(confirm))
}

fn measure(bencher: divan::Bencher<'_, '_>, memory: &Memory, commands: &[Command], items: u32) {
    let bytes = entry(commands);
    let applied = run(memory, &bytes);
    assert!(applied.answers.iter().all(|answer| matches!(answer.outcome, Outcome::Accepted(_))));
    bencher.counter(ItemsCount::new(items)).bench_local(|| run(memory, divan::black_box(&bytes)));
}

/// The accounts drawn evenly from all.
#[divan::bench(sample_size = 1)]
fn transfers_uniform(bencher: divan::Bencher<'_, '_>) {
    measure(bencher, &book(), &transfers(BATCH, ACCOUNTS), BATCH);
}

/// All between two accounts.
#[divan::bench(sample_size = 1)]
fn transfers_hot(bencher: divan::Bencher<'_, '_>) {
    measure(bencher, &book(), &transfers(BATCH, 2), BATCH);
}

/// A small entry: what it costs beside its commands.
#[divan::bench(sample_size = 100)]
fn transfers_by_ten(bencher: divan::Bencher<'_, '_>) {
    measure(bencher, &book(), &transfers(SMALL, ACCOUNTS), SMALL);
}

/// One atomic batch.
#[divan::bench(sample_size = 1)]
fn atomic_batch(bencher: divan::Bencher<'_, '_>) {
    let request = Numbers(43).request();
    let batch = command(request, Operation::Atomic(transfers(BATCH, ACCOUNTS)));
    measure(bencher, &book(), &[batch], BATCH);
}

/// Each try confirmed right after it, in one entry.
#[divan::bench(sample_size = 1)]
fn pairs(bencher: divan::Bencher<'_, '_>) {
    let mut numbers = Numbers(44);
    let pair = |_| {
        let attempt = attempt(&mut numbers);
        let confirm = confirm(&mut numbers, &attempt);
        [attempt, confirm]
    };
    let commands: Vec<Command> = (0..BATCH / 2).flat_map(pair).collect();
    measure(bencher, &book(), &commands, BATCH / 2);
}

/// Tries alone.
#[divan::bench(sample_size = 1)]
fn tries(bencher: divan::Bencher<'_, '_>) {
    let mut numbers = Numbers(44);
    let commands: Vec<Command> = (0..BATCH).map(|_| attempt(&mut numbers)).collect();
    measure(bencher, &book(), &commands, BATCH);
}

/// Confirms of what entries before have tried.
#[divan::bench(sample_size = 1)]
fn confirms(bencher: divan::Bencher<'_, '_>) {
    let mut numbers = Numbers(44);
    let mut memory = book();
    let attempts: Vec<Command> = (0..BATCH).map(|_| attempt(&mut numbers)).collect();
    run_and_write(&mut memory, &entry(&attempts));
    let commands: Vec<Command> = attempts.iter().map(|attempt| confirm(&mut numbers, attempt)).collect();
    measure(bencher, &memory, &commands, BATCH);
}

/// The entry's bytes decoded, nothing applied.
#[divan::bench(sample_size = 1)]
fn decode(bencher: divan::Bencher<'_, '_>) {
    let bytes = entry(&transfers(BATCH, ACCOUNTS));
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| drop(Entry::decode(divan::black_box(&bytes)).unwrap()));
}

/// What the entry recorded, encoded as the shell stores it.
#[divan::bench(sample_size = 1)]
fn append_journal(bencher: divan::Bencher<'_, '_>) {
    let journal = run(&book(), &entry(&transfers(BATCH, ACCOUNTS))).changes.journal;
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        let mut buffer = Vec::with_capacity(4 << 20);
        divan::black_box(&journal).iter().for_each(|record| ledger::append_record(record, &mut buffer).unwrap());
        buffer
    });
}

/// The same by postcard.
#[divan::bench(sample_size = 1)]
fn encode_journal(bencher: divan::Bencher<'_, '_>) {
    let journal = run(&book(), &entry(&transfers(BATCH, ACCOUNTS))).changes.journal;
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        divan::black_box(&journal)
            .iter()
            .fold(Vec::with_capacity(4 << 20), |buffer, record| postcard::to_extend(record, buffer).unwrap())
    });
}
