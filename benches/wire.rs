//! What a server pays for a batch of transfers between the socket and the proposer, and between the answers and the socket, with a million accounts in the directory.
//!
//! `served` is what the server does; `messages` does the same by the generated types, stage by stage, for comparison.
#![allow(missing_docs)]

use std::sync::{LazyLock, RwLock};

use divan::counter::ItemsCount;
use folio::api::bench;
use folio::book::directory::Directory;
use folio::proto::v1;
use folio::proto::v1::command::Operation;
use ledger::journal::JournalSequence;
use ledger::{Accepted, Answer, LogTime, Outcome, Point, TransactionId, TransactionState};
use prost::Message as _;
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: divan::AllocProfiler<mimalloc::MiMalloc> = divan::AllocProfiler::new(mimalloc::MiMalloc);

/// Commands of a batch.
const BATCH: u64 = 8_190;
/// Accounts in the directory.
const ACCOUNTS: u64 = 1_000_000;
/// Batches that are taken in turn, so that the names of one are cold when its turn comes again.
const BATCHES: u64 = 64;

fn main() {
    divan::main();
}

fn name(number: u64) -> String {
    format!("liabilities:bench:0123456789ab:{number}")
}

/// Some account, spread over all of them.
fn some_name(number: u64) -> String {
    name(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % ACCOUNTS)
}

fn id(number: u64) -> Uuid {
    Uuid::from_u128(0x0123_4567_89AB_4CDE_8F01_2345_6789_ABCD ^ (u128::from(number) << 16))
}

static NAMES: LazyLock<Directory> = LazyLock::new(|| bench::directory((0..ACCOUNTS).map(name)).unwrap_or_default());

static SHARED_NAMES: LazyLock<RwLock<Directory>> =
    LazyLock::new(|| RwLock::new(bench::directory((0..ACCOUNTS).map(name)).unwrap_or_default()));

static REQUESTS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| (0..BATCHES).map(request).collect());

fn request(batch: u64) -> Vec<u8> {
    let command = |number: u64| {
        let transfer = v1::TransferRequest {
            request_id: id(number).to_string(),
            debit_account: some_name(2 * number + 1),
            credit_account: some_name(2 * number + 2),
            amount: "12.34".to_owned(),
            ..Default::default()
        };
        v1::Command { operation: Some(Operation::Transfer(transfer)) }
    };
    let commands = (batch * BATCH..(batch + 1) * BATCH).map(command).collect();
    v1::ExecuteBatchRequest { commands, atomic_request_id: String::new() }.encode_to_vec()
}

fn answers() -> Vec<Answer> {
    let answer = |number: u64| {
        let id = TransactionId::from_bytes(id(number).into_bytes())?;
        Some(Answer {
            point: Point {
                index: 123_456,
                position: u32::try_from(number).unwrap_or(0),
                time: LogTime(1_763_900_000_123_456_789),
            },
            sequence: Some(JournalSequence(20_000_000 + number)),
            replay_of: None,
            state: Some(TransactionState::Confirmed),
            outcome: Outcome::Accepted(Accepted::Posted(id)),
        })
    };
    (0..BATCH).filter_map(answer).collect()
}

/// The requests in turn, for ever.
fn in_turn() -> impl FnMut() -> &'static [u8] {
    let mut requests = REQUESTS.iter().cycle();
    move || requests.next().map(Vec::as_slice).unwrap_or_default()
}

#[divan::bench_group(name = "read")]
mod read {
    use super::*;

    #[divan::bench]
    fn served(bencher: divan::Bencher<'_, '_>) {
        let names = &*SHARED_NAMES;
        let request = in_turn();
        bencher
            .counter(ItemsCount::new(BATCH))
            .with_inputs(request)
            .bench_local_values(|bytes| bench::read(names, bytes).map(|read| read.commands().len()));
    }

    /// Tries of two postings, with a timeout.
    #[divan::bench]
    fn served_tries(bencher: divan::Bencher<'_, '_>) {
        pairs(bencher, |number| {
            let posting = |number: u64, side: v1::Side| v1::Posting {
                account: some_name(number),
                side: side.into(),
                amount: "12.34".to_owned(),
                asset: String::new(),
            };
            Operation::TryTransaction(v1::TryTransactionRequest {
                request_id: id(number).to_string(),
                postings: vec![posting(2 * number + 1, v1::Side::Debit), posting(2 * number + 2, v1::Side::Credit)],
                timeout: Some(prost_types::Duration { seconds: 600, nanos: 0 }),
                ..Default::default()
            })
        });
    }

    #[divan::bench]
    fn served_confirms(bencher: divan::Bencher<'_, '_>) {
        pairs(bencher, |number| {
            Operation::ConfirmTransaction(v1::ConfirmTransactionRequest {
                request_id: id(number + 1).to_string(),
                transaction_id: id(number).to_string(),
                amounts: Vec::new(),
            })
        });
    }

    fn pairs(bencher: divan::Bencher<'_, '_>, operation: impl Fn(u64) -> Operation) {
        let names = &*SHARED_NAMES;
        let command = |number: u64| v1::Command { operation: Some(operation(number)) };
        let batches: Vec<Vec<u8>> = (0..BATCHES)
            .map(|batch| {
                let commands = (batch * BATCH..(batch + 1) * BATCH).map(command).collect();
                v1::ExecuteBatchRequest { commands, atomic_request_id: String::new() }.encode_to_vec()
            })
            .collect();
        let mut requests = batches.iter().cycle();
        bencher
            .counter(ItemsCount::new(BATCH))
            .with_inputs(|| requests.next().map(Vec::as_slice).unwrap_or_default())
            .bench_local_values(|bytes| bench::read(names, bytes).map(|read| read.commands().len()));
    }

    #[divan::bench]
    fn messages_decode(bencher: divan::Bencher<'_, '_>) {
        let request = in_turn();
        bencher
            .counter(ItemsCount::new(BATCH))
            .with_inputs(request)
            .bench_local_values(|bytes| v1::ExecuteBatchRequest::decode(bytes).map(|message| message.commands.len()));
    }

    #[divan::bench]
    fn messages_convert(bencher: divan::Bencher<'_, '_>) {
        let names = &*NAMES;
        let mut request = in_turn();
        bencher
            .counter(ItemsCount::new(BATCH))
            .with_inputs(|| v1::ExecuteBatchRequest::decode(request()).unwrap_or_default())
            .bench_local_values(|message| bench::commands(names, message).map(|commands| commands.len()));
    }

    #[divan::bench]
    fn messages_encode(bencher: divan::Bencher<'_, '_>) {
        let names = &*NAMES;
        let mut request = in_turn();
        bencher
            .counter(ItemsCount::new(BATCH))
            .with_inputs(|| {
                let message = v1::ExecuteBatchRequest::decode(request()).unwrap_or_default();
                bench::commands(names, message).unwrap_or_default()
            })
            .bench_local_refs(|commands| {
                let mut encoded = ledger::EntryWriter::new(commands.len() * 96);
                commands.iter().all(|command| encoded.add(command).is_ok()).then_some(encoded)
            });
    }

    /// Names to numbers alone.
    #[divan::bench]
    fn names(bencher: divan::Bencher<'_, '_>) {
        let names = &*NAMES;
        let mut batch = 0;
        bencher
            .counter(ItemsCount::new(2 * BATCH))
            .with_inputs(|| {
                batch += 1;
                (batch * 2 * BATCH..(batch + 1) * 2 * BATCH).map(some_name).collect::<Vec<String>>()
            })
            .bench_local_refs(|texts| texts.iter().filter_map(|text| names.number_of(text)).count());
    }
}

#[divan::bench_group(name = "answer")]
mod answer {
    use super::*;

    #[divan::bench]
    fn served(bencher: divan::Bencher<'_, '_>) {
        let answers = answers();
        bencher.counter(ItemsCount::new(BATCH)).bench_local(|| bench::response(&answers).len());
    }

    #[divan::bench]
    fn messages(bencher: divan::Bencher<'_, '_>) {
        let answers = answers();
        bencher.counter(ItemsCount::new(BATCH)).bench_local(|| bench::response_of_messages(&answers).len());
    }
}
