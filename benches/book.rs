//! What the book of one replica costs, without network and log: entries of transfers applied to it, on fjall and in memory.
//!
//! `cargo bench --bench book` prints times and allocations of an entry; items are transfers.
#![allow(clippy::unwrap_used, missing_docs)]

use divan::AllocProfiler;
use divan::counter::ItemsCount;
use folio::book::{Book, Committed, Payload};
use folio::store::{self, EngineKind};
use ledger::command::{Confirm, Details, Metadata, OpenAccount, Post, Posting, RegisterAsset, Try};
use ledger::{
    AccountName, AccountNumber, AccountRef, Amount, AssetCode, Class, Command, EntryWriter, Floor, Interval, LogTime,
    Operation, RequestId, Scale, Side, TransactionId,
};

#[global_allocator]
static ALLOCATOR: AllocProfiler<mimalloc::MiMalloc> = AllocProfiler::new(mimalloc::MiMalloc);

const ACCOUNTS: u32 = 100_000;
const BATCH: u32 = 8_190;

fn main() {
    divan::main();
}

/// A book with accounts, and the numbers that make the commands given to it.
struct Bench {
    book: Book,
    _folder: tempfile::TempDir,
    index: u64,
    random: u64,
}

fn scale() -> Scale {
    Scale::new(2).unwrap()
}

impl Bench {
    fn new(kind: EngineKind) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(store::open(kind, folder.path()).unwrap()).unwrap();
        let mut bench = Bench { book, _folder: folder, index: 0, random: 1 };
        let usd = AssetCode::new("USD").unwrap();
        let entry = bench.entry([Operation::RegisterAsset(RegisterAsset { code: usd, scale: scale() })].into_iter());
        bench.apply(&entry);
        for first in (0..ACCOUNTS).step_by(8_000) {
            let open = |number: u32| {
                Operation::OpenAccount(Box::new(OpenAccount {
                    name: AccountName::new(&format!("customers:{number}:main")).unwrap(),
                    asset: usd,
                    class: Class::Liability,
                    floor: Floor::Unlimited,
                    ceiling: None,
                    metadata: Metadata::new(),
                }))
            };
            let entry = bench.entry((first..ACCOUNTS.min(first + 8_000)).map(open));
            bench.apply(&entry);
        }
        bench
    }

    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^ (mixed >> 27)
    }

    fn id(&mut self) -> [u8; 16] {
        (u128::from(self.next()) << 64 | u128::from(self.next())).to_be_bytes()
    }

    fn entry(&mut self, operations: impl Iterator<Item = Operation>) -> Vec<u8> {
        let mut writer = EntryWriter::new(1 << 20);
        for operation in operations {
            let id = match &operation {
                Operation::Post(post) => *post.transaction.as_bytes(),
                Operation::Try(attempt) => *attempt.transaction.as_bytes(),
                _ => self.id(),
            };
            let command = Command { request: RequestId::from_bytes(id).unwrap(), principal: String::new(), operation };
            writer.push(&ledger::entry::encode_command(&command).unwrap(), 1);
        }
        self.index += 1;
        writer.finish(LogTime(self.index * 1_000_000))
    }

    fn postings(&mut self, among: u32) -> Vec<Posting> {
        let debit = u32::try_from(self.next() % u64::from(among)).unwrap();
        let credit = u32::try_from(self.next() % u64::from(ACCOUNTS - among)).unwrap() + among;
        let amount = Amount::from_minor(u128::from(1 + self.next() % 9_999), scale()).unwrap();
        [(debit, Side::Debit), (credit, Side::Credit)]
            .map(|(number, side)| Posting {
                account: AccountRef::Number(AccountNumber(number)),
                side,
                amount,
                asset: None,
            })
            .into()
    }

    fn transfers(&mut self, count: u32, among: u32) -> Vec<u8> {
        let operations: Vec<Operation> = (0..count)
            .map(|_| {
                let transaction = TransactionId::from_bytes(self.id()).unwrap();
                Operation::Post(Post { transaction, postings: self.postings(among), details: Details::default() })
            })
            .collect();
        self.entry(operations.into_iter())
    }

    fn tries(&mut self, timeout: Option<Interval>) -> (Vec<u8>, Vec<u8>) {
        let ids: Vec<TransactionId> = (0..BATCH).map(|_| TransactionId::from_bytes(self.id()).unwrap()).collect();
        let tries: Vec<Operation> = ids
            .iter()
            .map(|id| {
                let (postings, details) = (self.postings(ACCOUNTS / 2), Details::default());
                Operation::Try(Try { transaction: *id, postings, details, timeout })
            })
            .collect();
        let confirms = ids.into_iter().map(|transaction| Operation::Confirm(Confirm { transaction, amounts: None }));
        (self.entry(tries.into_iter()), self.entry(confirms))
    }

    fn apply(&self, entry: &[u8]) -> usize {
        let committed = Committed { index: self.index, log_id: vec![1; 4], payload: Payload::Commands(entry) };
        self.book.apply(committed).unwrap().len()
    }
}

fn transfers(bencher: divan::Bencher<'_, '_>, kind: EngineKind, count: u32, among: u32) {
    let bench = std::cell::RefCell::new(Bench::new(kind));
    bencher
        .counter(ItemsCount::new(count))
        .with_inputs(|| bench.borrow_mut().transfers(count, among))
        .bench_local_values(|entry| bench.borrow().apply(&entry));
}

#[divan::bench(args = [EngineKind::Fjall, EngineKind::Memory], sample_count = 100)]
fn transfers_8190_uniform(bencher: divan::Bencher<'_, '_>, kind: EngineKind) {
    transfers(bencher, kind, BATCH, ACCOUNTS / 2);
}

#[divan::bench(args = [EngineKind::Fjall], sample_count = 100)]
fn transfers_8190_two_hot(bencher: divan::Bencher<'_, '_>, kind: EngineKind) {
    transfers(bencher, kind, BATCH, 2);
}

#[divan::bench(args = [EngineKind::Fjall], sample_count = 2000)]
fn transfers_10(bencher: divan::Bencher<'_, '_>, kind: EngineKind) {
    transfers(bencher, kind, 10, ACCOUNTS / 2);
}

fn pairs(bencher: divan::Bencher<'_, '_>, timeout: Option<Interval>) {
    let bench = std::cell::RefCell::new(Bench::new(EngineKind::Fjall));
    bencher
        .counter(ItemsCount::new(BATCH))
        .with_inputs(|| bench.borrow_mut().tries(timeout))
        .bench_local_values(|(tries, confirms)| bench.borrow().apply(&tries) + bench.borrow().apply(&confirms));
}

#[divan::bench(sample_count = 50)]
fn pairs_8190(bencher: divan::Bencher<'_, '_>) {
    pairs(bencher, None);
}

#[divan::bench(sample_count = 50)]
fn pairs_8190_with_deadline(bencher: divan::Bencher<'_, '_>) {
    pairs(bencher, Some(Interval(600_000_000_000)));
}
