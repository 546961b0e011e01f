//! What a client pays for a batch of transfers before and after the network: writing and encoding it, decoding the answer and reading what became of each.
//!
//! `plain` is what `folio bench` does; `messages` does the same by the generated types, for comparison.
#![allow(missing_docs)]

use divan::counter::ItemsCount;
use folio::client::{BatchWriter, PlainCommand, read_verdicts};
use folio::proto::v1;
use folio::proto::v1::command::Operation;
use prost::Message as _;
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: divan::AllocProfiler<mimalloc::MiMalloc> = divan::AllocProfiler::new(mimalloc::MiMalloc);

/// Commands of a batch.
const BATCH: u64 = 8_190;

fn main() {
    divan::main();
}

fn name(number: u64) -> String {
    format!("liabilities:bench:0123456789ab:{}", number * 7_919 % 100_000)
}

fn id(number: u64) -> Uuid {
    Uuid::from_u128(0x0123_4567_89AB_4CDE_8F01_2345_6789_ABCD ^ (u128::from(number) << 16))
}

/// An answer as a server gives it: every transfer accepted.
fn answer() -> Vec<u8> {
    let result = |number: u64| v1::CommandResult {
        decision: Some(v1::Decision {
            at: Some(v1::LogPoint {
                log_index: 123_456,
                position: u32::try_from(number).unwrap_or(0),
                log_time: Some(prost_types::Timestamp { seconds: 1_763_900_000, nanos: 123_456_789 }),
            }),
            journal_sequence: Some(20_000_000 + number),
            transaction_state: v1::TransactionState::Confirmed.into(),
            ..Default::default()
        }),
        transaction_id: id(number).to_string(),
        ..Default::default()
    };
    v1::ExecuteBatchResponse { results: (0..BATCH).map(result).collect(), ..Default::default() }.encode_to_vec()
}

#[divan::bench_group(name = "write")]
mod write {
    use super::*;

    #[divan::bench]
    fn plain(bencher: divan::Bencher<'_, '_>) {
        let names: Vec<String> = (0..BATCH).map(name).collect();
        let mut writer = BatchWriter::new();
        bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
            writer.reserve();
            for (number, debit) in (0..).zip(&names) {
                let credit = &names[names.len() - 1 - number as usize];
                writer.push(&PlainCommand::Transfer { request_id: id(number), debit, credit, amount: "12.34" });
            }
            writer.take().bytes().len()
        });
    }

    #[divan::bench]
    fn messages(bencher: divan::Bencher<'_, '_>) {
        let names: Vec<String> = (0..BATCH).map(name).collect();
        bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
            let command = |number: u64| {
                let transfer = v1::TransferRequest {
                    request_id: id(number).to_string(),
                    debit_account: names[number as usize].clone(),
                    credit_account: names[names.len() - 1 - number as usize].clone(),
                    amount: "12.34".to_owned(),
                    ..Default::default()
                };
                v1::Command { operation: Some(Operation::Transfer(transfer)) }
            };
            let commands = (0..BATCH).map(command).collect();
            v1::ExecuteBatchRequest { commands, atomic_request_id: String::new() }.encode_to_vec().len()
        });
    }
}

#[divan::bench_group(name = "read")]
mod read {
    use super::*;

    #[divan::bench]
    fn plain(bencher: divan::Bencher<'_, '_>) {
        let bytes = answer();
        bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
            let verdicts = read_verdicts(&bytes, BATCH as usize).unwrap_or_default();
            verdicts.iter().filter(|verdict| verdict.refusal.is_none()).count()
        });
    }

    #[divan::bench]
    fn messages(bencher: divan::Bencher<'_, '_>) {
        let bytes = answer();
        bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
            let answer = v1::ExecuteBatchResponse::decode(bytes.as_slice()).unwrap_or_default();
            answer.results.iter().filter(|result| result.refusal.is_none()).count()
        });
    }
}
