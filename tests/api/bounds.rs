//! What is malformed, too much or too late is refused clearly, and before the log.

use std::time::Duration;

use folio::api::Limits;
use folio::proto::v1;
use tonic::Code;

use crate::harness::{ALICE, BANK, Replica, malformed, refused, transfer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_malformed_field_is_named() {
    let replica = Replica::with_accounts().await;
    let good = transfer("11111111-2222-4333-8444-555555555555", BANK, ALICE, "1.00");
    let text = str::to_owned;
    let cases: Vec<(v1::TransferRequest, &str)> = vec![
        (v1::TransferRequest { request_id: text("7"), ..good.clone() }, "request_id"),
        (v1::TransferRequest { request_id: String::new(), ..good.clone() }, "request_id"),
        (
            v1::TransferRequest { request_id: text("00000000-0000-0000-0000-000000000000"), ..good.clone() },
            "request_id",
        ),
        (v1::TransferRequest { request_id: text("11111111222243338444555555555555"), ..good.clone() }, "request_id"),
        (v1::TransferRequest { transaction_id: text("x"), ..good.clone() }, "transaction_id"),
        (v1::TransferRequest { debit_account: text("a b"), ..good.clone() }, "debit_account"),
        (v1::TransferRequest { credit_account: "a".repeat(129), ..good.clone() }, "credit_account"),
        (v1::TransferRequest { credit_account: text(BANK), ..good.clone() }, "postings[1].account"),
        (v1::TransferRequest { asset: text("US D"), ..good.clone() }, "asset"),
        (v1::TransferRequest { amount: text("0"), ..good.clone() }, "postings[0].amount"),
        (v1::TransferRequest { amount: text("1.005"), ..good.clone() }, "postings[0].amount"),
    ];
    for (request, field) in cases {
        assert_eq!(malformed(replica.ledger.clone().transfer(request.clone()).await), [field], "{request:?}");
    }
    for amount in ["", " 1", "+1", "-1", "1e3", "1_000", ".5", "5.", "1,5", "NaN", "0x10", "٣"] {
        let request = v1::TransferRequest { amount: text(amount), ..good.clone() };
        let refusal = replica.ledger.clone().transfer(request).await;
        refused(refusal, Code::InvalidArgument, "AMOUNT_MALFORMED");
    }
    let excess = v1::TransferRequest { amount: text("1.005"), ..good.clone() };
    refused(replica.ledger.clone().transfer(excess).await, Code::InvalidArgument, "AMOUNT_SCALE_EXCEEDED");
    let huge = v1::TransferRequest { amount: text("79228162514264337593543950336"), ..good.clone() };
    refused(replica.ledger.clone().transfer(huge).await, Code::InvalidArgument, "AMOUNT_OUT_OF_RANGE");
    let decision = replica.ledger.clone().transfer(good).await.unwrap().into_inner().decision.unwrap();
    assert!(!decision.replayed, "a malformed request is not kept: its id is free");
}

fn batch(count: usize, amount: &str) -> v1::ExecuteBatchRequest {
    let command = |number: usize| {
        let request_id = format!("00000000-0000-4000-9000-{number:012x}");
        let operation = v1::command::Operation::Transfer(transfer(&request_id, BANK, ALICE, amount));
        v1::Command { operation: Some(operation) }
    };
    v1::ExecuteBatchRequest { commands: (0..count).map(command).collect(), atomic_request_id: String::new() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_has_one_to_8192_commands_and_names_the_malformed_one() {
    let replica = Replica::with_accounts().await;
    assert_eq!(malformed(replica.ledger.clone().execute_batch(batch(0, "0.01")).await), ["commands"]);
    assert_eq!(malformed(replica.ledger.clone().execute_batch(batch(8_193, "0.01")).await), ["commands"]);
    let mut wrong = batch(3, "0.01");
    wrong.commands[2] = batch(1, "1e3").commands.remove(0);
    assert_eq!(malformed(replica.ledger.clone().execute_batch(wrong).await), ["commands[2].amount"]);
    let mut too_fine = batch(3, "0.01");
    too_fine.commands[1] = batch(1, "0.001").commands.remove(0);
    assert_eq!(malformed(replica.ledger.clone().execute_batch(too_fine).await), ["commands[1].postings[0].amount"]);
    assert_eq!(replica.balance(ALICE).await.0, "0.00");
    let results = replica.ledger.clone().execute_batch(batch(8_192, "0.01")).await.unwrap().into_inner().results;
    assert_eq!(results.len(), 8_192);
    assert_eq!(replica.balance(ALICE).await.0, "81.92");
}

/// A batch of one command of about so many bytes.
fn batch_of(bytes: usize) -> v1::ExecuteBatchRequest {
    let long = v1::TransferRequest { asset: "x".repeat(bytes), ..transfer("", BANK, ALICE, "1") };
    let command = v1::Command { operation: Some(v1::command::Operation::Transfer(long)) };
    v1::ExecuteBatchRequest { commands: vec![command], atomic_request_id: String::new() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_over_two_mebibytes_is_refused_and_the_connection_serves_on() {
    let replica = Replica::with_accounts().await;
    let long = |bytes: usize| v1::TransferRequest { asset: "x".repeat(bytes), ..transfer("", BANK, ALICE, "1") };
    let request = v1::TransferRequest { request_id: replica.id(), ..long(2 * 1024 * 1024) };
    let status = replica.ledger.clone().transfer(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(status.message().contains("at most 2097152 are allowed"), "{status:?}");
    assert_eq!(malformed(replica.ledger.clone().execute_batch(batch_of(2 * 1024 * 1024)).await), ["request"]);
    // What is refused for something else does not send the whole text back.
    let request = v1::TransferRequest { request_id: replica.id(), ..long(1024 * 1024) };
    let status = replica.ledger.clone().transfer(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(status.message().len() < 1_000, "{} bytes", status.message().len());
    // Beyond what is decoded at all it is refused by its length alone.
    let request = v1::TransferRequest { request_id: replica.id(), ..long(8 * 1024 * 1024) };
    let status = replica.ledger.clone().transfer(request).await.unwrap_err();
    assert!(status.message().contains("at most 2097152 are allowed"), "{status:?}");
    refused(Err::<(), _>(status), Code::InvalidArgument, "INVALID_ARGUMENT");
    replica.top_up("1.00").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_beyond_the_bound_are_refused_as_overload() {
    let replica = Replica::start_with(Limits { calls_in_flight: 0, ..Limits::default() }).await;
    let request = v1::RegisterAssetRequest { request_id: replica.id(), code: "USD".to_owned(), scale: 2 };
    refused(replica.ledger.clone().register_asset(request).await, Code::ResourceExhausted, "OVERLOADED");
    let request = v1::ListAssetsRequest::default();
    refused(replica.ledger.clone().list_assets(request).await, Code::ResourceExhausted, "OVERLOADED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_ends_by_its_own_deadline() {
    let replica = Replica::with_accounts().await;
    let at_least = v1::read_options::Consistency::AtLeastIndex(u64::MAX);
    let read = Some(v1::ReadOptions { consistency: Some(at_least) });
    let mut request = tonic::Request::new(v1::GetAccountRequest { name: ALICE.to_owned(), read });
    request.set_timeout(Duration::from_millis(200));
    let started = std::time::Instant::now();
    let status = replica.ledger.clone().get_account(request).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(5), "{status:?}");
    assert_ne!(status.code(), Code::NotFound, "{status:?}");
}
