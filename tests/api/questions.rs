//! What reads and auditors see.

use folio::proto::v1;
use tonic::Code;

use crate::harness::{ALICE, BANK, Replica, SHOP, malformed, refused, transfer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_opens_lists_and_closes_and_the_trial_balance_is_even() {
    let replica = Replica::with_accounts().await;
    replica.top_up("20.00").await;
    replica.ledger.clone().transfer(transfer(&replica.id(), ALICE, SHOP, "7.25")).await.unwrap();
    let request = v1::GetStatementRequest { account: ALICE.to_owned(), ..Default::default() };
    let statement = replica.audit.clone().get_statement(request).await.unwrap().into_inner();
    let running: Vec<&str> = statement.lines.iter().map(|line| line.posted.as_str()).collect();
    assert_eq!(
        (statement.opening.as_str(), running, statement.closing.as_str()),
        ("0.00", vec!["20.00", "12.75"], "12.75")
    );
    let trial =
        replica.audit.clone().get_trial_balance(v1::GetTrialBalanceRequest::default()).await.unwrap().into_inner();
    let line = &trial.lines[0];
    let totals = line.totals.clone().unwrap();
    assert!(line.is_balanced);
    assert_eq!((totals.debits_posted.as_str(), totals.credits_posted.as_str()), ("27.25", "27.25"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_by_effective_date_books_on_the_day_that_the_client_gave() {
    let replica = Replica::with_accounts().await;
    let day = |day: i64| Some(prost_types::Timestamp { seconds: day * 86_400, nanos: 0 });
    for (amount, effective) in [("20.00", 100), ("3.00", 90), ("0.50", 95)] {
        let mut message = transfer(&replica.id(), BANK, ALICE, amount);
        message.details = Some(v1::Details { effective_at: day(effective), ..Default::default() });
        replica.ledger.clone().transfer(message).await.unwrap();
    }
    replica.ledger.clone().transfer(transfer(&replica.id(), ALICE, SHOP, "1.00")).await.unwrap();
    let mut request = v1::GetStatementRequest {
        account: ALICE.to_owned(),
        from: day(91),
        page_size: 2,
        by_effective_date: true,
        ..Default::default()
    };
    let mut shown = Vec::new();
    let mut edges = Vec::new();
    loop {
        let page = replica.audit.clone().get_statement(request.clone()).await.unwrap().into_inner();
        shown.extend(page.lines.into_iter().map(|line| (line.amount, line.posted)));
        edges.push((page.opening, page.closing));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    let line = |amount: &str, posted: &str| (amount.to_owned(), posted.to_owned());
    assert_eq!(shown, [line("0.50", "3.50"), line("20.00", "23.50"), line("1.00", "22.50")]);
    assert_eq!(edges, [line("3.00", "23.50"), line("23.50", "22.50")]);
    request = v1::GetStatementRequest { from: None, to: day(95), ..request };
    let early = replica.audit.clone().get_statement(request).await.unwrap().into_inner();
    assert_eq!((early.opening.as_str(), early.lines.len(), early.closing.as_str()), ("0.00", 1, "3.00"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_streams_without_a_gap_from_any_sequence() {
    let replica = Replica::with_accounts().await;
    replica.top_up("1.00").await;
    let request = v1::StreamJournalRequest { from_sequence: 2, ..Default::default() };
    let mut stream = replica.audit.clone().stream_journal(request).await.unwrap().into_inner();
    let mut sequences = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        sequences.extend(message.records.into_iter().map(|record| record.sequence));
    }
    assert_eq!(sequences, [2, 3, 4, 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_of_pages_reads_one_point_of_the_log() {
    let replica = Replica::with_accounts().await;
    let request = v1::ListAccountsRequest { page_size: 2, ..Default::default() };
    let first = replica.ledger.clone().list_accounts(request.clone()).await.unwrap().into_inner();
    replica.top_up("1.00").await;
    let request = v1::ListAccountsRequest { page_token: first.next_page_token.clone(), ..request };
    let second = replica.ledger.clone().list_accounts(request.clone()).await.unwrap().into_inner();
    let names: Vec<&str> = first.accounts.iter().chain(&second.accounts).map(|account| account.name.as_str()).collect();
    assert_eq!(names, [BANK, ALICE, SHOP]);
    assert_eq!(second.read_point, first.read_point);
    assert!(second.next_page_token.is_empty());
    let foreign = v1::ListAccountsRequest { page_token: "1.999.x".to_owned(), ..request };
    assert_eq!(malformed(replica.ledger.clone().list_accounts(foreign).await), ["page_token"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_said_to_be_not_there() {
    let replica = Replica::with_accounts().await;
    let request = v1::GetAccountRequest { name: "no:such".to_owned(), read: None };
    let values = refused(replica.ledger.clone().get_account(request).await, Code::NotFound, "ACCOUNT_NOT_FOUND");
    assert_eq!(values["account"], "no:such");
    let request = v1::GetTransactionRequest { transaction_id: replica.id(), ..Default::default() };
    refused(replica.audit.clone().get_transaction(request).await, Code::NotFound, "TRANSACTION_NOT_FOUND");
    let request = v1::GetAccountRequest { name: "a::b".to_owned(), read: None };
    assert_eq!(malformed(replica.ledger.clone().get_account(request).await), ["name"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_of_ones_own_write_reflects_at_least_its_index() {
    let replica = Replica::with_accounts().await;
    let decision = replica.ledger.clone().transfer(transfer(&replica.id(), BANK, ALICE, "1.00")).await.unwrap();
    let index = decision.into_inner().decision.unwrap().at.unwrap().log_index;
    let read = v1::ReadOptions { consistency: Some(v1::read_options::Consistency::AtLeastIndex(index)) };
    let request = v1::GetAccountRequest { name: ALICE.to_owned(), read: Some(read) };
    let answer = replica.ledger.clone().get_account(request).await.unwrap().into_inner();
    assert!(answer.read_point.unwrap().log_index >= index);
    assert_eq!(answer.account.unwrap().posted, "1.00");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_names_the_leader_and_the_point_that_the_book_reflects() {
    let replica = Replica::with_accounts().await;
    let status = replica.cluster.clone().get_status(v1::GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.role.as_str(), status.leader_id, status.accounts), ("leader", 1, 3));
    assert_eq!(status.leader_address, replica.address);
    assert_eq!(status.journal_sequence, 4);
    assert_eq!(status.state_hash.len(), 64);
}
