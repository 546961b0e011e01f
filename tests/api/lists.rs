//! What is answered in lists: a client that takes 4 MiB a message, as stock clients do, reads all of it page by page, and a
//! walk shows each item once.

use folio::proto::v1;
use prost::Message as _;
use tonic::Code;

use crate::harness::{ALICE, BANK, Replica, SHOP, attempt, malformed, transfer};

const STOCK_BYTES: usize = 4 * 1024 * 1024;
const POSTINGS: usize = 256;

/// An account name of the greatest length.
fn name(number: usize) -> String {
    format!("assets:{}:{number:04}", "x".repeat(116))
}

fn in_batch(operation: v1::command::Operation) -> v1::Command {
    v1::Command { operation: Some(operation) }
}

/// Executes a batch, with patience: the largest ones take a while on a busy machine.
async fn reply_to(replica: &Replica, batch: v1::ExecuteBatchRequest) -> v1::ExecuteBatchResponse {
    let mut request = tonic::Request::new(batch);
    request.set_timeout(std::time::Duration::from_secs(60));
    replica.ledger.clone().execute_batch(request).await.unwrap().into_inner()
}

async fn execute(replica: &Replica, commands: Vec<v1::Command>) -> Vec<v1::CommandResult> {
    reply_to(replica, v1::ExecuteBatchRequest { commands, atomic_request_id: String::new() }).await.results
}

/// All details at their limits.
fn details() -> v1::Details {
    let pairs = (0..16).map(|pair| (format!("{pair:064}"), "v".repeat(256)));
    v1::Details { reference: "r".repeat(128), metadata: pairs.collect(), effective_at: None }
}

/// Accounts with names as long as can be, all without a floor.
async fn open_wide(replica: &Replica) {
    let open = |number| v1::OpenAccountRequest {
        request_id: replica.id(),
        name: name(number),
        asset: "USD".to_owned(),
        class: v1::AccountClass::Asset.into(),
        floor: Some(v1::Floor { kind: Some(v1::floor::Kind::Unlimited(true)) }),
        metadata: details().metadata,
        ..Default::default()
    };
    for half in [0..POSTINGS / 2, POSTINGS / 2..POSTINGS] {
        let opened = half.map(|number| in_batch(v1::command::Operation::OpenAccount(open(number)))).collect();
        assert!(execute(replica, opened).await.iter().all(|result| result.refusal.is_none()));
    }
}

/// Books a transaction of as many postings as one can have.
async fn post_wide(replica: &Replica, amount: &str) -> String {
    let posting = |number: usize| v1::Posting {
        account: name(number),
        side: if number.is_multiple_of(2) { v1::Side::Debit } else { v1::Side::Credit }.into(),
        amount: amount.to_owned(),
        asset: String::new(),
    };
    let request = v1::PostTransactionRequest {
        request_id: replica.id(),
        transaction_id: String::new(),
        postings: (0..POSTINGS).map(posting).collect(),
        details: Some(details()),
    };
    replica.ledger.clone().post_transaction(request).await.unwrap().into_inner().transaction_id
}

/// The sequences of the journal from one on, read by a client that takes 4 MiB a message.
async fn journal(replica: &Replica, from_sequence: u64) -> Vec<u64> {
    let request = v1::StreamJournalRequest { from_sequence, ..Default::default() };
    let mut stream = replica.audit.clone().stream_journal(request).await.unwrap().into_inner();
    let mut sequences = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        assert!(!message.records.is_empty());
        sequences.extend(message.records.into_iter().map(|record| record.sequence));
    }
    sequences
}

/// All transactions, page by page.
async fn transactions(replica: &Replica, mut request: v1::ListTransactionsRequest) -> Vec<v1::Transaction> {
    let mut found = Vec::new();
    loop {
        let page = replica.audit.clone().list_transactions(request.clone()).await.unwrap().into_inner();
        assert!(!page.transactions.is_empty());
        found.extend(page.transactions);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return found;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_records_are_read_by_a_stock_client() {
    let replica = Replica::with_accounts().await;
    open_wide(&replica).await;
    let first = journal(&replica, 1).await.len() as u64 + 1;
    let mut ids = Vec::new();
    for _ in 0..256 {
        ids.push(post_wide(&replica, "123456789012345678.90").await);
    }
    let expected: Vec<u64> = (first..first + 256).collect();
    assert_eq!(journal(&replica, first).await, expected);
    for page_size in [0, 1000] {
        let request = v1::ListTransactionsRequest { page_size, ..Default::default() };
        let found = transactions(&replica, request).await;
        assert_eq!(found.iter().map(|found| &found.transaction_id).collect::<Vec<_>>(), ids.iter().collect::<Vec<_>>());
    }
    let mut request = v1::ListAccountsRequest { prefix: "assets".to_owned(), page_size: 1000, ..Default::default() };
    let mut names = Vec::new();
    loop {
        let page = replica.ledger.clone().list_accounts(request.clone()).await.unwrap().into_inner();
        assert!(!page.accounts.is_empty());
        names.extend(page.accounts.into_iter().map(|account| account.name));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    let mut expected: Vec<String> = (0..POSTINGS).map(name).chain([BANK.to_owned()]).collect();
    expected.sort_unstable();
    assert_eq!(names, expected);
    let request = v1::GetStatementRequest { account: name(0), page_size: 1000, ..Default::default() };
    let page = replica.audit.clone().get_statement(request).await.unwrap().into_inner();
    assert_eq!((page.lines.len(), page.next_page_token.as_str()), (256, ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_with_hundreds_of_reversals_is_told_page_by_page() {
    const REVERSALS: usize = 300;
    let replica = Replica::with_accounts().await;
    open_wide(&replica).await;
    let original = post_wide(&replica, "300.00").await;
    for _ in 0..REVERSALS {
        let request = v1::ReverseTransactionRequest {
            request_id: replica.id(),
            original_id: original.clone(),
            amounts: vec!["1.00".to_owned(); POSTINGS],
            details: Some(details()),
            ..Default::default()
        };
        replica.ledger.clone().reverse_transaction(request).await.unwrap();
    }
    let mut request = v1::GetTransactionRequest { transaction_id: original.clone(), ..Default::default() };
    let (mut told, mut pages, mut points) = (Vec::new(), 0, std::collections::BTreeSet::new());
    loop {
        let page = replica.audit.clone().get_transaction(request.clone()).await.unwrap().into_inner();
        let transaction = page.transaction.unwrap();
        // What comes while the walk is under way is not in it.
        assert_eq!(transaction.postings[0].reversed, "300.00");
        points.insert(page.read_point.unwrap().log_index);
        told.extend(page.timeline.into_iter().map(|record| (record.event, record.original_id)));
        pages += 1;
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
        replica.top_up("1.00").await;
    }
    let mut expected = vec![("posted".to_owned(), String::new())];
    expected.extend(vec![("reversed".to_owned(), original); REVERSALS]);
    assert_eq!(told, expected);
    assert_eq!(points.len(), 1, "one point of the log");
    assert!(pages > 10, "{pages} pages");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reply_to_the_largest_batch_of_long_refusals_is_read_by_a_stock_client() {
    let replica = Replica::with_accounts().await;
    let poor = format!("liabilities:{}", "p".repeat(116));
    replica.open(&poor, v1::AccountClass::Liability, false).await;
    let transfers = (0..8_192).map(|_| transfer(&replica.id(), &poor, BANK, "1.00"));
    let commands = transfers.map(v1::command::Operation::Transfer).map(in_batch).collect();
    let reply = reply_to(&replica, v1::ExecuteBatchRequest { commands, atomic_request_id: String::new() }).await;
    assert!(reply.encoded_len() < STOCK_BYTES, "{} bytes", reply.encoded_len());
    assert_eq!(reply.results.len(), 8_192);
    for result in &reply.results {
        let refusal = result.refusal.as_ref().unwrap();
        assert_eq!((refusal.reason.as_str(), refusal.code), ("INSUFFICIENT_FUNDS", Code::FailedPrecondition as i32));
        let values = ["account", "available", "needed", "floor"].map(|key| refusal.metadata[key].as_str());
        assert_eq!(values, [poor.as_str(), "0.00", "1.00", "0.00"]);
        assert_eq!(refusal.message.is_empty(), refusal.remedy.is_empty());
    }
    // There is room for all that there is to say of some of them.
    let said = |result: &&v1::CommandResult| !result.refusal.as_ref().unwrap().message.is_empty();
    let whole = reply.results.iter().filter(said).count();
    assert!((1_000..8_000).contains(&whole) && said(&&reply.results[0]), "{whole} of them say all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn differences_in_thousands_of_fields_are_told_within_what_a_stock_client_reads() {
    let replica = Replica::with_accounts().await;
    let short = |number: usize| format!("a{number}");
    for number in 0..POSTINGS {
        replica.open(&short(number), v1::AccountClass::Asset, true).await;
    }
    let post = |request_id: String, amount: &str, swap: usize| {
        let posting = |number: usize| v1::Posting {
            account: short((number + swap) % POSTINGS),
            side: if (number + swap).is_multiple_of(2) { v1::Side::Debit } else { v1::Side::Credit }.into(),
            amount: amount.to_owned(),
            asset: String::new(),
        };
        let postings = (0..POSTINGS).map(posting).collect();
        v1::PostTransactionRequest { request_id, postings, ..Default::default() }
    };
    let request_id = replica.id();
    replica.ledger.clone().post_transaction(post(request_id.clone(), "1", 0)).await.unwrap();
    let other = post(request_id, "2", 1);
    let commands = vec![in_batch(v1::command::Operation::PostTransaction(other)); 500];
    let results = execute(&replica, commands).await;
    let refusal = results[499].refusal.as_ref().unwrap();
    assert_eq!(refusal.reason, "REQUEST_ID_REUSED");
    let fields = &refusal.metadata["fields"];
    assert!(fields.starts_with("postings[0].account, postings[0].side, postings[0].amount, "), "{fields}");
    let reply = v1::ExecuteBatchResponse { results, ..Default::default() };
    assert!(reply.encoded_len() < STOCK_BYTES, "{} bytes", reply.encoded_len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn assets_and_trial_balances_come_in_pages_that_a_stock_client_reads() {
    const ASSETS: usize = 10_000;
    let replica = Replica::start().await;
    for first in (0..ASSETS).step_by(2_000) {
        let register = |number: usize| v1::RegisterAssetRequest {
            request_id: replica.id(),
            code: format!("ASSET-{number:010}"),
            scale: 18,
        };
        let registered = (first..first + 2_000).map(|number| v1::command::Operation::RegisterAsset(register(number)));
        let results = execute(&replica, registered.map(in_batch).collect()).await;
        assert!(results.iter().all(|result| result.refusal.is_none()));
    }
    let expected: Vec<String> = (0..ASSETS).map(|number| format!("ASSET-{number:010}")).collect();
    for page_size in [0, 1000] {
        let mut request = v1::GetTrialBalanceRequest { page_size, ..Default::default() };
        let mut codes = Vec::new();
        loop {
            let page = replica.audit.clone().get_trial_balance(request.clone()).await.unwrap().into_inner();
            assert!(page.encoded_len() < STOCK_BYTES / 3, "{} bytes", page.encoded_len());
            codes.extend(page.lines.into_iter().map(|line| line.asset));
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
            // Newer assets are not in a walk that is under way.
            replica.register(&format!("NEW-{page_size}-{}", codes.len()), 2).await;
        }
        codes.retain(|code| code.starts_with("ASSET"));
        assert_eq!(codes, expected);
    }
    let mut request = v1::ListAssetsRequest { page_size: 1000, ..Default::default() };
    let mut codes = Vec::new();
    loop {
        let page = replica.ledger.clone().list_assets(request.clone()).await.unwrap().into_inner();
        codes.extend(page.assets.into_iter().map(|asset| asset.code));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(codes[..ASSETS], expected);
    let whole = replica.ledger.clone().list_assets(v1::ListAssetsRequest::default()).await.unwrap().into_inner();
    assert!(whole.next_page_token.is_empty(), "a usual list comes whole, as it did before there were pages");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_walks_at_a_hundred_points_all_come_to_their_end() {
    let replica = Replica::with_accounts().await;
    let mut begun = Vec::new();
    for number in 0..100 {
        replica.top_up("1.00").await;
        replica.ledger.clone().try_transaction(attempt(&replica.id(), "0.01")).await.unwrap();
        let request = v1::ListAccountsRequest { page_size: 1, ..Default::default() };
        let accounts = replica.ledger.clone().list_accounts(request.clone()).await.unwrap().into_inner();
        let tried = v1::ListTransactionsRequest {
            state: v1::TransactionState::Tried.into(),
            page_size: 1000,
            ..Default::default()
        };
        let tried = transactions(&replica, tried).await.len();
        assert_eq!(tried, number + 1);
        begun.push((v1::ListAccountsRequest { page_token: accounts.next_page_token, ..request }, accounts.read_point));
    }
    for (number, (request, read_point)) in begun.into_iter().enumerate() {
        let page = replica.ledger.clone().list_accounts(request).await.unwrap().into_inner();
        assert_eq!(page.read_point, read_point);
        let posted = (page.accounts[0].name.as_str(), page.accounts[0].posted.clone());
        assert_eq!(posted, (ALICE, format!("{}.00", number + 1)));
        assert_eq!(page.accounts[0].available, format!("{}.{:02}", number, 99 - number));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_that_ends_before_it_begins_is_refused_and_both_ends_are_named() {
    let replica = Replica::with_accounts().await;
    replica.top_up("1.00").await;
    let at = |seconds: i64, nanos: i32| Some(prost_types::Timestamp { seconds, nanos });
    for (from, to) in [(at(20, 0), at(10, 0)), (at(10, 1), at(10, 0)), (at(-1, 0), at(-2, 0))] {
        for by_effective_date in [false, true] {
            let account = ALICE.to_owned();
            let request = v1::GetStatementRequest { account, from, to, by_effective_date, ..Default::default() };
            assert_eq!(malformed(replica.audit.clone().get_statement(request).await), ["from", "to"]);
        }
        let request = v1::ListTransactionsRequest { from, to, ..Default::default() };
        assert_eq!(malformed(replica.audit.clone().list_transactions(request).await), ["from", "to"]);
    }
    let request =
        v1::GetStatementRequest { account: ALICE.to_owned(), from: at(10, 0), to: at(10, 0), ..Default::default() };
    let empty = replica.audit.clone().get_statement(request).await.unwrap().into_inner();
    assert_eq!((empty.opening, empty.lines.len(), empty.closing), ("0.00".to_owned(), 0, "0.00".to_owned()));
}

/// Statements by effective date in all page sizes against one that is put in order here, with dates that come in no order,
/// reservations between them, and records on the account that arrive while the walk is under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_by_effective_date_is_the_same_in_pages_of_any_size() {
    let replica = Replica::with_accounts().await;
    let day = |day: i64| Some(prost_types::Timestamp { seconds: day * 86_400, nanos: 0 });
    let dated = |number: i64| v1::Details { effective_at: day(number * 37 % 11), ..Default::default() };
    for number in 0..40 {
        let mut request = transfer(&replica.id(), BANK, ALICE, &format!("{}.00", number + 1));
        request.details = Some(dated(number));
        replica.ledger.clone().transfer(request).await.unwrap();
        let mut held = attempt(&replica.id(), "0.10");
        held.details = Some(dated(number + 3));
        let held = replica.ledger.clone().try_transaction(held).await.unwrap().into_inner().transaction_id;
        let (confirm, cancel) = (number % 3 == 0, number % 3 == 1);
        if confirm {
            let request = crate::harness::confirm(&replica.id(), &held);
            replica.ledger.clone().confirm_transaction(request).await.unwrap();
        } else if cancel {
            let request = crate::harness::cancel(&replica.id(), &held);
            replica.ledger.clone().cancel_transaction(request).await.unwrap();
        }
    }
    let whole = v1::GetStatementRequest {
        account: ALICE.to_owned(),
        by_effective_date: true,
        page_size: 1000,
        ..Default::default()
    };
    let expected = replica.audit.clone().get_statement(whole.clone()).await.unwrap().into_inner();
    assert_eq!(expected.lines.len(), 40 + 14);
    let date = |line: &v1::StatementLine| (line.effective_at.unwrap().seconds, line.sequence);
    assert!(expected.lines.is_sorted_by_key(date));
    assert_eq!(expected.closing, replica.balance(ALICE).await.0);
    for (from, to) in [(None, None), (day(3), None), (None, day(7)), (day(2), day(9)), (day(5), day(5))] {
        let is_within = |line: &&v1::StatementLine| {
            from.is_none_or(|from| line.effective_at.unwrap().seconds >= from.seconds)
                && to.is_none_or(|to| line.effective_at.unwrap().seconds < to.seconds)
        };
        let mut begun = Vec::new();
        for page_size in [1, 2, 7, 53, 54] {
            let request = v1::GetStatementRequest { from, to, page_size, ..whole.clone() };
            begun.push((request.clone(), replica.audit.clone().get_statement(request).await.unwrap().into_inner()));
        }
        // This one lies in the midst of all dates, and before them.
        let mut later = transfer(&replica.id(), BANK, SHOP, "1.00");
        later.details = Some(dated(1));
        replica.ledger.clone().transfer(later).await.unwrap();
        for (mut request, mut page) in begun {
            let (mut lines, opening) = (Vec::new(), page.opening.clone());
            let mut closing = opening.clone();
            loop {
                assert_eq!(page.opening, closing, "{request:?}");
                lines.append(&mut page.lines);
                closing = page.closing;
                request.page_token = page.next_page_token;
                if request.page_token.is_empty() {
                    break;
                }
                page = replica.audit.clone().get_statement(request.clone()).await.unwrap().into_inner();
            }
            let within: Vec<_> = expected.lines.iter().filter(is_within).cloned().collect();
            assert_eq!(lines, within, "{request:?}");
        }
    }
}
