//! Transfers, reservations, request ids, batches and streams, as answers on the wire.

use folio::proto::v1;
use tonic::Code;

use crate::harness::{ALICE, BANK, Replica, SHOP, attempt, cancel, confirm, refused, transfer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_moves_once_however_often_it_is_sent() {
    let replica = Replica::with_accounts().await;
    let request = transfer(&replica.id(), BANK, ALICE, "12.50");
    let first = replica.ledger.clone().transfer(request.clone()).await.unwrap().into_inner();
    let again = replica.ledger.clone().transfer(request.clone()).await.unwrap().into_inner();
    let (first, again_decision) = (first.decision.unwrap(), again.decision.unwrap());
    assert!(!first.replayed);
    assert!(again_decision.replayed);
    assert_eq!(again_decision.first, first.at);
    assert_ne!(again_decision.at, first.at, "each answer has a place of its own");
    assert_eq!(again_decision.journal_sequence, first.journal_sequence);
    assert_eq!(again.transaction_id, request.request_id);
    assert_eq!(replica.balance(ALICE).await, ("12.50".to_owned(), "12.50".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_id_with_other_content_names_the_fields_and_moves_nothing() {
    let replica = Replica::with_accounts().await;
    let request = transfer(&replica.id(), BANK, ALICE, "12.50");
    replica.ledger.clone().transfer(request.clone()).await.unwrap();
    let other = v1::TransferRequest { amount: "12.51".to_owned(), ..request.clone() };
    let values = refused(replica.ledger.clone().transfer(other).await, Code::AlreadyExists, "REQUEST_ID_REUSED");
    assert!(values["fields"].contains("amount"), "{values:?}");
    assert!(values["log_index"].parse::<u64>().is_ok(), "{values:?}");
    let same_value = v1::TransferRequest { amount: "12.5".to_owned(), ..request };
    assert!(replica.ledger.clone().transfer(same_value).await.unwrap().into_inner().decision.unwrap().replayed);
    assert_eq!(replica.balance(ALICE).await.0, "12.50");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_for_lack_of_funds_tells_the_figures_and_is_kept_after_a_top_up() {
    let replica = Replica::with_accounts().await;
    let request = attempt(&replica.id(), "5.00");
    let values = refused(
        replica.ledger.clone().try_transaction(request.clone()).await,
        Code::FailedPrecondition,
        "INSUFFICIENT_FUNDS",
    );
    let figures = [("account", ALICE), ("available", "0.00"), ("needed", "5.00"), ("floor", "0.00")];
    for (key, value) in figures {
        assert_eq!(values[key], value);
    }
    assert_eq!(values["replayed"], "false");
    replica.top_up("100.00").await;
    let kept = refused(
        replica.ledger.clone().try_transaction(request.clone()).await,
        Code::FailedPrecondition,
        "INSUFFICIENT_FUNDS",
    );
    assert_eq!(kept["replayed"], "true");
    assert_eq!(kept["available"], "0.00");
    assert_eq!((&kept["first_log_index"], &kept["first_position"]), (&values["log_index"], &values["position"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn try_and_confirm_book_what_was_reserved_and_a_repeated_confirm_changes_nothing() {
    let replica = Replica::with_accounts().await;
    replica.top_up("20.00").await;
    let tried = replica.ledger.clone().try_transaction(attempt(&replica.id(), "8.00")).await.unwrap().into_inner();
    assert_eq!(tried.decision.unwrap().transaction_state(), v1::TransactionState::Tried);
    assert_eq!(replica.balance(ALICE).await, ("20.00".to_owned(), "12.00".to_owned()));
    assert_eq!(
        replica.balance(SHOP).await,
        ("0.00".to_owned(), "0.00".to_owned()),
        "incoming pending is not spendable"
    );
    let request = confirm(&replica.id(), &tried.transaction_id);
    for replayed in [false, true] {
        let decision = replica.ledger.clone().confirm_transaction(request.clone()).await.unwrap().into_inner().decision;
        assert_eq!(decision.unwrap().replayed, replayed);
    }
    let fresh = confirm(&replica.id(), &tried.transaction_id);
    let decision = replica.ledger.clone().confirm_transaction(fresh).await.unwrap().into_inner().decision.unwrap();
    assert!(decision.replayed, "a repeat under a fresh request id is safe as well");
    assert_eq!(decision.transaction_state(), v1::TransactionState::Confirmed);
    assert_eq!(replica.balance(SHOP).await.0, "8.00");
    let late = cancel(&replica.id(), &tried.transaction_id);
    let first = replica.ledger.clone().cancel_transaction(late.clone()).await;
    refused(first, Code::FailedPrecondition, "ALREADY_CONFIRMED");
    let again = replica.ledger.clone().cancel_transaction(late).await;
    let values = refused(again, Code::FailedPrecondition, "ALREADY_CONFIRMED");
    assert_eq!((values["replayed"].as_str(), values["transaction_state"].as_str()), ("true", "CONFIRMED"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_before_the_try_fences_the_transaction() {
    let replica = Replica::with_accounts().await;
    replica.top_up("20.00").await;
    let transaction = replica.id();
    let answer =
        replica.ledger.clone().cancel_transaction(cancel(&replica.id(), &transaction)).await.unwrap().into_inner();
    assert!(answer.empty);
    let late = v1::TryTransactionRequest { transaction_id: transaction, ..attempt(&replica.id(), "1.00") };
    refused(replica.ledger.clone().try_transaction(late).await, Code::FailedPrecondition, "CANCELLED_BEFORE_TRY");
    assert_eq!(replica.balance(ALICE).await, ("20.00".to_owned(), "20.00".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_past_its_deadline_is_gone_for_the_next_linearizable_read() {
    let replica = Replica::with_accounts().await;
    replica.top_up("20.00").await;
    let timeout = Some(prost_types::Duration { seconds: 0, nanos: 50_000_000 });
    let request = v1::TryTransactionRequest { timeout, ..attempt(&replica.id(), "8.00") };
    let tried = replica.ledger.clone().try_transaction(request).await.unwrap().into_inner();
    assert!(tried.deadline.is_some());
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    assert_eq!(replica.balance(ALICE).await.1, "20.00");
    let late = replica.ledger.clone().confirm_transaction(confirm(&replica.id(), &tried.transaction_id)).await;
    refused(late, Code::FailedPrecondition, "TRANSACTION_EXPIRED");
}

fn in_batch(request: v1::TransferRequest) -> v1::Command {
    v1::Command { operation: Some(v1::command::Operation::Transfer(request)) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_independent_batch_gives_each_command_its_own_answer_in_order() {
    let replica = Replica::with_accounts().await;
    let commands = vec![
        in_batch(transfer(&replica.id(), BANK, ALICE, "5.00")),
        in_batch(transfer(&replica.id(), ALICE, SHOP, "9.00")),
        in_batch(transfer(&replica.id(), ALICE, SHOP, "4.00")),
    ];
    let request = v1::ExecuteBatchRequest { commands, atomic_request_id: String::new() };
    let results = replica.ledger.clone().execute_batch(request).await.unwrap().into_inner().results;
    let reasons: Vec<String> =
        results.iter().map(|result| result.refusal.clone().map(|refusal| refusal.reason).unwrap_or_default()).collect();
    assert_eq!(reasons, ["", "INSUFFICIENT_FUNDS", ""]);
    let refusal = results[1].refusal.clone().unwrap();
    assert_eq!((refusal.code, refusal.metadata["available"].as_str()), (Code::FailedPrecondition as i32, "5.00"));
    assert_eq!(replica.balance(ALICE).await.0, "1.00");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_atomic_batch_is_all_or_nothing_and_its_whole_outcome_is_kept() {
    let replica = Replica::with_accounts().await;
    let free = replica.id();
    let commands =
        vec![in_batch(transfer(&free, BANK, ALICE, "5.00")), in_batch(transfer(&replica.id(), ALICE, SHOP, "9.00"))];
    let request = v1::ExecuteBatchRequest { commands, atomic_request_id: replica.id() };
    for replayed in [false, true] {
        let answer = replica.ledger.clone().execute_batch(request.clone()).await.unwrap().into_inner();
        assert!(!answer.applied);
        assert_eq!(answer.decision.unwrap().replayed, replayed);
        let reasons: Vec<String> = answer.results.into_iter().map(|result| result.refusal.unwrap().reason).collect();
        assert_eq!(reasons, ["NOT_APPLIED", "INSUFFICIENT_FUNDS"]);
    }
    assert_eq!(replica.balance(ALICE).await.0, "0.00");
    let alone = replica.ledger.clone().transfer(transfer(&free, BANK, ALICE, "7.00")).await.unwrap().into_inner();
    assert!(!alone.decision.unwrap().replayed, "the id of an item that was not applied stays free");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_answers_every_tag_and_goes_on_after_a_malformed_command() {
    let replica = Replica::with_accounts().await;
    let mut requests: Vec<v1::StreamCommandsRequest> = (0..100)
        .map(|tag| v1::StreamCommandsRequest {
            tag,
            command: Some(in_batch(transfer(&replica.id(), BANK, ALICE, "0.01"))),
        })
        .collect();
    requests[50].command = Some(in_batch(transfer(&replica.id(), BANK, ALICE, "1e3")));
    let stream = tokio_stream::iter(requests);
    let mut answers = replica.ledger.clone().stream_commands(stream).await.unwrap().into_inner();
    let mut results = std::collections::BTreeMap::new();
    while let Some(answer) = answers.message().await.unwrap() {
        assert!(results.insert(answer.tag, answer.result.unwrap()).is_none(), "tag {} twice", answer.tag);
    }
    assert_eq!(results.len(), 100);
    for (tag, result) in results {
        let reason = result.refusal.map(|refusal| refusal.reason);
        assert_eq!(reason.as_deref(), (tag == 50).then_some("AMOUNT_MALFORMED"), "tag {tag}");
        assert_eq!(result.decision.is_some(), tag != 50, "tag {tag}");
    }
    assert_eq!(replica.balance(ALICE).await.0, "0.99");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outcome_of_a_request_can_be_looked_up_and_an_undecided_one_is_not_found() {
    let replica = Replica::with_accounts().await;
    let (accepted, rejected) = (replica.id(), replica.id());
    replica.ledger.clone().transfer(transfer(&accepted, BANK, ALICE, "5.00")).await.unwrap();
    replica.ledger.clone().transfer(transfer(&rejected, ALICE, SHOP, "9.00")).await.unwrap_err();
    let look_up = |request_id: String| {
        let mut ledger = replica.ledger.clone();
        async move { ledger.get_request_outcome(v1::GetRequestOutcomeRequest { request_id, read: None }).await }
    };
    let found = look_up(accepted.clone()).await.unwrap().into_inner().result.unwrap();
    assert_eq!((found.transaction_id, found.refusal), (accepted, None));
    let found = look_up(rejected.clone()).await.unwrap().into_inner().result.unwrap();
    assert_eq!(found.refusal.unwrap().reason, "INSUFFICIENT_FUNDS");
    assert_eq!(found.transaction_id, rejected, "the transaction that was asked for");
    let values = refused(look_up(replica.id()).await, Code::NotFound, "NOT_FOUND");
    assert!(values["log_index"].parse::<u64>().unwrap() > 0);
}
