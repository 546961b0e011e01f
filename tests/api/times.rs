//! Times and lengths of time at their edges, and what is said of a request id where there is none.

use folio::proto::v1;
use prost_types::{Duration, Timestamp};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::{ALICE, BANK, Replica, attempt, transfer};

/// Field and message of a refusal for shape.
#[track_caller]
fn told(status: &Status) -> (String, String) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_error_details();
    (details.bad_request().unwrap().field_violations[0].field.clone(), status.message().to_owned())
}

const TEN_YEARS: i64 = 315_360_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_length_of_time_is_refused_for_what_is_wrong_with_it() {
    let replica = Replica::with_accounts().await;
    replica.top_up("10.00").await;
    for (seconds, nanos, refusal) in [
        (TEN_YEARS, 0, None),
        (0, 1, None),
        (0, 999_999_999, None),
        (TEN_YEARS, 1, Some(("timeout", "at most 315360000000000000 ns are allowed"))),
        (18_446_744_073, 709_551_615, Some(("timeout", "at most 315360000000000000 ns are allowed"))),
        (18_446_744_073, 709_551_616, Some(("timeout", "at most 315360000000000000 ns are allowed"))),
        (18_446_744_074, 0, Some(("timeout", "is 18446744074000000000 ns; at most 315360000000000000 ns are allowed"))),
        (i64::MAX, 999_999_999, Some(("timeout", "at most 315360000000000000 ns are allowed"))),
        (0, 0, Some(("timeout", "must be longer than zero"))),
        (-1, 0, Some(("timeout", "must not be negative"))),
        (0, -1, Some(("timeout", "must not be negative"))),
        (i64::MIN, i32::MIN, Some(("timeout", "must not be negative"))),
        (1, 1_000_000_000, Some(("timeout.nanos", "is 1000000000; 0 to 999999999 are allowed"))),
        (i64::MAX, i32::MAX, Some(("timeout.nanos", "0 to 999999999 are allowed"))),
    ] {
        let timeout = Some(Duration { seconds, nanos });
        let request = v1::TryTransactionRequest { timeout, ..attempt(&replica.id(), "0.01") };
        let answer = replica.ledger.clone().try_transaction(request).await;
        match refusal {
            None => drop(answer.unwrap()),
            Some((field, words)) => {
                let (named, message) = told(&answer.unwrap_err());
                assert_eq!(named, field, "{seconds} s {nanos} ns: {message}");
                assert!(message.contains(words), "{seconds} s {nanos} ns: {message}");
                assert!(seconds < 0 || nanos < 0 || !message.contains("negative"), "{message}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_is_refused_for_what_is_wrong_with_it() {
    let replica = Replica::with_accounts().await;
    // The first and the last nanosecond that 64 bits can say.
    let (first, last) = ((-9_223_372_037, 145_224_192), (9_223_372_036, 854_775_807));
    let bounds = "1677-09-21T00:12:43.145224192Z to 2262-04-11T23:47:16.854775807Z are allowed";
    for ((seconds, nanos), refusal) in [
        (first, None),
        (last, None),
        ((0, 0), None),
        ((-1, 999_999_999), None),
        ((first.0, first.1 - 1), Some(("", bounds))),
        ((last.0, last.1 + 1), Some(("", bounds))),
        ((i64::MIN, 0), Some(("", bounds))),
        ((i64::MAX, 999_999_999), Some(("", bounds))),
        ((0, -1), Some((".nanos", "is -1; 0 to 999999999 are allowed"))),
        ((0, 1_000_000_000), Some((".nanos", "is 1000000000; 0 to 999999999 are allowed"))),
        ((i64::MAX, i32::MAX), Some((".nanos", "0 to 999999999 are allowed"))),
    ] {
        let time = Timestamp { seconds, nanos };
        let check = |field: &str, refused: Option<Status>| match (refusal, refused) {
            (None, None) => {}
            (Some((part, words)), Some(status)) => {
                let (named, message) = told(&status);
                assert_eq!(named, format!("{field}{part}"), "{time:?}: {message}");
                assert!(message.contains(words), "{time:?}: {message}");
            }
            (wanted, got) => panic!("{field} {time:?}: {wanted:?}, but {got:?}"),
        };
        let details = v1::Details { effective_at: Some(time), ..Default::default() };
        let request = v1::TransferRequest { details: Some(details), ..transfer(&replica.id(), BANK, ALICE, "0.01") };
        check("details.effective_at", replica.ledger.clone().transfer(request).await.err());
        let read = |from, to| {
            let request = v1::GetStatementRequest { account: ALICE.to_owned(), from, to, ..Default::default() };
            let mut audit = replica.audit.clone();
            async move { audit.get_statement(request).await.err() }
        };
        check("from", read(Some(time), None).await);
        check("to", read(None, Some(time)).await);
        let as_of = |kind| v1::GetBalanceRequest {
            account: ALICE.to_owned(),
            as_of: Some(v1::AsOf { kind: Some(kind) }),
            ..Default::default()
        };
        let effective = replica.audit.clone().get_balance(as_of(v1::as_of::Kind::Effective(time))).await;
        check("as_of.effective", effective.err());
    }
}

/// Message and remedy of a refusal.
fn words(status: &Status) -> [String; 2] {
    let remedy = status.get_error_details().localized_message().unwrap().message.clone();
    [status.message().to_owned(), remedy]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_commands_are_told_of_their_request_id() {
    let replica = Replica::with_accounts().await;
    let (mut ledger, mut audit) = (replica.ledger.clone(), replica.audit.clone());
    let bad = "no-colon:".to_owned();
    let token = v1::ListAccountsRequest { page_token: "x".to_owned(), ..Default::default() };
    let size = v1::ListTransactionsRequest { page_size: 1_001, ..Default::default() };
    let statement = v1::GetStatementRequest { account: bad.clone(), ..Default::default() };
    let questions = [
        ledger.get_account(v1::GetAccountRequest { name: bad.clone(), read: None }).await.unwrap_err(),
        ledger.list_accounts(token).await.unwrap_err(),
        audit.get_balance(v1::GetBalanceRequest { account: bad.clone(), ..Default::default() }).await.unwrap_err(),
        audit
            .get_balance(v1::GetBalanceRequest { account: "nobody".to_owned(), ..Default::default() })
            .await
            .unwrap_err(),
        audit.get_statement(statement).await.unwrap_err(),
        audit.list_transactions(size).await.unwrap_err(),
        audit
            .get_transaction(v1::GetTransactionRequest { transaction_id: "x".to_owned(), ..Default::default() })
            .await
            .unwrap_err(),
    ];
    for status in &questions {
        for said in words(status) {
            assert!(!said.contains("request id"), "{said}");
        }
    }
    let free = "Mend the field that is named; the request id is still free.";
    let account = v1::FreezeAccountRequest { request_id: replica.id(), account: bad.clone() };
    let single = ledger.freeze_account(account).await.unwrap_err();
    let wrong = v1::command::Operation::Transfer(transfer(&replica.id(), BANK, &bad, "1.00"));
    let commands = vec![v1::Command { operation: Some(wrong.clone()) }];
    let batch = v1::ExecuteBatchRequest { commands, atomic_request_id: String::new() };
    let batch = ledger.execute_batch(batch).await.unwrap_err();
    for status in [&single, &batch] {
        let [message, remedy] = words(status);
        assert_eq!(remedy, free);
        assert!(message.ends_with(free) && message.matches("Mend").count() == 1, "{message}");
    }
    let command = v1::Command { operation: Some(wrong) };
    let message = v1::StreamCommandsRequest { tag: 7, command: Some(command) };
    let mut answers = ledger.stream_commands(tokio_stream::iter([message])).await.unwrap().into_inner();
    let refusal = answers.message().await.unwrap().unwrap().result.unwrap().refusal.unwrap();
    assert_eq!(refusal.remedy, free);
    assert!(refusal.message.ends_with(free), "{}", refusal.message);
}
