//! Page tokens and other places that a caller names: changed, exchanged and forged. A token is sealed by a hash that anybody
//! can compute, so what a forged one says is tried as well.

use std::collections::BTreeSet;
use std::time::Duration;

use folio::proto::v1;
use folio::proto::v1::{audit_service_client::AuditServiceClient, ledger_service_client::LedgerServiceClient};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use prost::Message;
use tonic::transport::Channel;
use tonic::{Code, Status};
use xxhash_rust::xxh3::xxh3_128;

use crate::harness::{ALICE, BANK, Replica, SHOP, attempt, malformed, transfer};

/// A page: its items as text, the index that it says it shows, and the token of the next.
struct Page {
    items: Vec<String>,
    index: u64,
    next: String,
}

/// A question that is answered in pages.
#[derive(Debug, Clone)]
enum Question {
    Accounts(v1::ListAccountsRequest),
    Assets(v1::ListAssetsRequest),
    Statement(v1::GetStatementRequest),
    Transaction(v1::GetTransactionRequest),
    Transactions(v1::ListTransactionsRequest),
    TrialBalance(v1::GetTrialBalanceRequest),
}

fn page<T: std::fmt::Debug>(items: &[T], point: Option<v1::ReadPoint>, next: String) -> Page {
    let items = items.iter().map(|item| format!("{item:?}")).collect();
    Page { items, index: point.unwrap().log_index, next }
}

impl Question {
    fn name_and_bytes(&self) -> (&'static str, Vec<u8>) {
        match self {
            Question::Accounts(of) => {
                ("ListAccountsRequest", v1::ListAccountsRequest { page_size: 0, ..of.clone() }.encode_to_vec())
            }
            Question::Assets(of) => {
                ("ListAssetsRequest", v1::ListAssetsRequest { page_size: 0, ..of.clone() }.encode_to_vec())
            }
            Question::Statement(of) => {
                ("GetStatementRequest", v1::GetStatementRequest { page_size: 0, ..of.clone() }.encode_to_vec())
            }
            Question::Transaction(of) => {
                ("GetTransactionRequest", v1::GetTransactionRequest { page_size: 0, ..of.clone() }.encode_to_vec())
            }
            Question::Transactions(of) => {
                ("ListTransactionsRequest", v1::ListTransactionsRequest { page_size: 0, ..of.clone() }.encode_to_vec())
            }
            Question::TrialBalance(of) => {
                ("GetTrialBalanceRequest", v1::GetTrialBalanceRequest { page_size: 0, ..of.clone() }.encode_to_vec())
            }
        }
    }

    /// A token with the seal that it must have.
    fn sealed(&self, rest: &str) -> String {
        let (name, bytes) = self.name_and_bytes();
        let question = xxh3_128(&[name.as_bytes(), &bytes].concat());
        format!("{:032x}.{rest}", xxh3_128(&[&question.to_be_bytes(), rest.as_bytes()].concat()))
    }

    async fn ask(
        &self,
        mut ledger: LedgerServiceClient<Channel>,
        mut audit: AuditServiceClient<Channel>,
        page_token: String,
    ) -> Result<Page, Status> {
        fn timed<T>(message: T) -> tonic::Request<T> {
            let mut request = tonic::Request::new(message);
            request.set_timeout(Duration::from_millis(300));
            request
        }
        Ok(match self.clone() {
            Question::Accounts(of) => {
                let request = timed(v1::ListAccountsRequest { page_token, ..of });
                let reply = ledger.list_accounts(request).await?.into_inner();
                page(&reply.accounts, reply.read_point, reply.next_page_token)
            }
            Question::Assets(of) => {
                let reply = ledger.list_assets(timed(v1::ListAssetsRequest { page_token, ..of })).await?.into_inner();
                page(&reply.assets, reply.read_point, reply.next_page_token)
            }
            Question::Statement(of) => {
                let request = timed(v1::GetStatementRequest { page_token, ..of });
                let reply = audit.get_statement(request).await?.into_inner();
                page(&reply.lines, reply.read_point, reply.next_page_token)
            }
            Question::Transaction(of) => {
                let request = timed(v1::GetTransactionRequest { page_token, ..of });
                let reply = audit.get_transaction(request).await?.into_inner();
                page(&reply.timeline, reply.read_point, reply.next_page_token)
            }
            Question::Transactions(of) => {
                let request = timed(v1::ListTransactionsRequest { page_token, ..of });
                let reply = audit.list_transactions(request).await?.into_inner();
                page(&reply.transactions, reply.read_point, reply.next_page_token)
            }
            Question::TrialBalance(of) => {
                let request = timed(v1::GetTrialBalanceRequest { page_token, ..of });
                let reply = audit.get_trial_balance(request).await?.into_inner();
                page(&reply.lines, reply.read_point, reply.next_page_token)
            }
        })
    }
}

/// A book with something in each list, and every question that has more than one page.
async fn book() -> (Replica, Vec<Question>) {
    let replica = Replica::with_accounts().await;
    replica.register("EUR", 2).await;
    replica.register("JPY", 0).await;
    replica.top_up("50.00").await;
    let original = replica.id();
    replica.ledger.clone().transfer(transfer(&original, ALICE, SHOP, "9.00")).await.unwrap();
    for _ in 0..3 {
        replica.ledger.clone().try_transaction(attempt(&replica.id(), "1.00")).await.unwrap();
        let reverse = v1::ReverseTransactionRequest {
            request_id: replica.id(),
            original_id: original.clone(),
            amounts: vec!["1.00".to_owned(); 2],
            ..Default::default()
        };
        replica.ledger.clone().reverse_transaction(reverse).await.unwrap();
    }
    let statement = v1::GetStatementRequest { account: ALICE.to_owned(), page_size: 1, ..Default::default() };
    let tried = v1::TransactionState::Tried.into();
    let list = v1::ListTransactionsRequest { page_size: 1, ..Default::default() };
    let questions = vec![
        Question::Accounts(v1::ListAccountsRequest { page_size: 1, ..Default::default() }),
        Question::Assets(v1::ListAssetsRequest { page_size: 1, ..Default::default() }),
        Question::Statement(v1::GetStatementRequest { by_effective_date: true, ..statement.clone() }),
        Question::Statement(statement),
        Question::Transaction(v1::GetTransactionRequest {
            transaction_id: original,
            page_size: 1,
            ..Default::default()
        }),
        Question::Transactions(v1::ListTransactionsRequest { state: tried, ..list.clone() }),
        Question::Transactions(v1::ListTransactionsRequest { account: SHOP.to_owned(), ..list.clone() }),
        Question::Transactions(list),
        Question::TrialBalance(v1::GetTrialBalanceRequest { page_size: 1, ..Default::default() }),
    ];
    (replica, questions)
}

/// How a token is spoilt.
#[derive(Debug, Clone)]
enum Spoilt {
    /// A byte is another.
    Byte(prop::sample::Index, u8),
    /// It ends early.
    Cut(prop::sample::Index),
    /// It goes on.
    Longer(String),
    /// It is another question's.
    Exchanged(prop::sample::Index),
    /// One of its numbers is another; the seal is right.
    Number(prop::sample::Index, u64),
    /// One of its numbers is a little more or less; the seal is right.
    Near(prop::sample::Index, i64),
    /// Its cursor is any text; the seal is right.
    Cursor(String),
}

fn spoilt() -> impl Strategy<Value = Spoilt> {
    let number = prop_oneof![Just(0), Just(1), Just(u64::MAX), Just(u64::MAX - 1), Just(1 << 63), any::<u64>()];
    prop_oneof![
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Spoilt::Byte(at, byte)),
        any::<prop::sample::Index>().prop_map(Spoilt::Cut),
        "[0-9.a-z\u{e9}]{1,9}".prop_map(Spoilt::Longer),
        any::<prop::sample::Index>().prop_map(Spoilt::Exchanged),
        (any::<prop::sample::Index>(), number).prop_map(|(at, number)| Spoilt::Number(at, number)),
        (any::<prop::sample::Index>(), -3..=3i64).prop_map(|(at, by)| Spoilt::Near(at, by)),
        prop_oneof![
            ".{0,40}",
            Just("x".repeat(600)),
            Just(String::new()),
            Just("1.18446744073709551615".to_owned()),
            Just("18446744073709551615.1".to_owned()),
            Just("-1".to_owned()),
        ]
        .prop_map(Spoilt::Cursor),
    ]
}

/// The spoilt token, and whether its seal is right all the same.
fn spoil(how: &Spoilt, question: &Question, token: &str, others: &[String]) -> (String, bool) {
    let rest = token.split_once('.').unwrap().1;
    let numbered = |at: &prop::sample::Index, change: &dyn Fn(u64) -> u64| {
        let mut parts: Vec<String> = rest.split('.').map(str::to_owned).collect();
        let numbers: Vec<usize> = (0..parts.len()).filter(|part| parts[*part].parse::<u64>().is_ok()).collect();
        let part = numbers[at.index(numbers.len())];
        parts[part] = change(parts[part].parse().unwrap()).to_string();
        (question.sealed(&parts.join(".")), true)
    };
    match how {
        Spoilt::Byte(at, byte) => {
            let mut bytes = token.as_bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = *byte;
            (String::from_utf8_lossy(&bytes).into_owned(), false)
        }
        Spoilt::Cut(at) => (token[..at.index(token.len() - 1) + 1].to_owned(), false),
        Spoilt::Longer(more) => (format!("{token}{more}"), false),
        Spoilt::Exchanged(at) => (others[at.index(others.len())].clone(), false),
        Spoilt::Number(at, number) => numbered(at, &|_| *number),
        Spoilt::Near(at, by) => numbered(at, &|number| number.wrapping_add_signed(*by)),
        Spoilt::Cursor(cursor) => {
            let kept: Vec<&str> = rest.splitn(4, '.').take(3).collect();
            (question.sealed(&format!("{}.{cursor}", kept.join("."))), true)
        }
    }
}

/// A question with all its tokens, and all its items at the point where they look.
struct Walked {
    question: Question,
    tokens: Vec<String>,
    items: BTreeSet<String>,
    index: u64,
}

async fn walk(replica: &Replica, question: Question) -> Walked {
    let (mut tokens, mut items, mut token) = (Vec::new(), BTreeSet::new(), String::new());
    loop {
        let page = question.ask(replica.ledger.clone(), replica.audit.clone(), token).await.unwrap();
        assert!(page.items.iter().all(|item| items.insert(item.clone())), "twice in a walk: {:?}", page.items);
        token = page.next;
        if token.is_empty() {
            return Walked { question, tokens, items, index: page.index };
        }
        tokens.push(token.clone());
    }
}

#[test]
fn a_spoilt_page_token_is_refused_or_begins_a_walk_elsewhere() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (replica, walked) = runtime.block_on(async {
        let (replica, questions) = book().await;
        let mut walked = Vec::new();
        for question in questions {
            walked.push(walk(&replica, question).await);
        }
        (replica, walked)
    });
    for Walked { question, tokens, .. } in &walked {
        assert!(tokens.len() > 1);
        // Forged seals are right, or nothing that is forged would be looked at.
        let forged = tokens.iter().map(|token| question.sealed(token.split_once('.').unwrap().1));
        assert_eq!(forged.collect::<Vec<String>>(), *tokens);
    }
    let all: Vec<String> = walked.iter().flat_map(|walked| walked.tokens.clone()).collect();
    let strategy = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), spoilt());
    let mut runner = TestRunner::new(Config { cases: 600, failure_persistence: None, ..Config::default() });
    let checked = runner.run(&strategy, |(which, token, how)| {
        let Walked { question, tokens, items, index } = &walked[which.index(walked.len())];
        let (spoilt, is_sealed) = spoil(&how, question, &tokens[token.index(tokens.len())], &all);
        let is_own = tokens.contains(&spoilt);
        let answer = runtime.block_on(question.ask(replica.ledger.clone(), replica.audit.clone(), spoilt.clone()));
        match answer {
            Ok(page) => {
                prop_assert!(is_sealed || is_own, "{spoilt} is taken");
                prop_assert!(page.index <= *index, "{spoilt} makes the reply claim index {}", page.index);
                if page.index == *index {
                    prop_assert!(page.items.iter().all(|item| items.contains(item)), "{spoilt}: {:?}", page.items);
                }
            }
            Err(status) if status.code() == Code::InvalidArgument => {
                prop_assert!(!is_own, "{spoilt} is refused: {status:?}");
                prop_assert_eq!(malformed::<()>(Err(status)), ["page_token"]);
            }
            // Nothing has come that far: the caller's time is over.
            Err(status) => {
                let future = spoilt.split('.').nth(1).and_then(|index| index.parse::<u64>().ok());
                prop_assert!(is_sealed && future.is_some_and(|future| future > *index), "{spoilt}: {status:?}");
                let codes = [Code::DeadlineExceeded, Code::Unavailable, Code::Cancelled];
                prop_assert!(codes.contains(&status.code()), "{spoilt}: {status:?}");
            }
        }
        Ok(())
    });
    if let Err(error) = checked {
        panic!("{error}\n{runner}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_at_the_edges_of_their_types_are_refused_or_empty_and_never_internal() {
    let (replica, _) = book().await;
    let edges = [i64::MIN, i64::MIN / 1_000_000_000, -1, 0, i64::MAX / 1_000_000_000, i64::MAX];
    let times = edges.iter().flat_map(|seconds| {
        [i32::MIN, -1, 0, 999_999_999, 1_000_000_000, i32::MAX]
            .map(|nanos| Some(prost_types::Timestamp { seconds: *seconds, nanos }))
    });
    let check = |status: Option<Status>, what: &str| {
        if let Some(status) = status {
            assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status:?}");
            assert!(!malformed::<()>(Err(status)).is_empty());
        }
    };
    use v1::as_of::Kind;
    for time in times {
        for by_effective_date in [false, true] {
            for (from, to) in [(time, None), (None, time), (time, time)] {
                let account = ALICE.to_owned();
                let request = v1::GetStatementRequest { account, from, to, by_effective_date, ..Default::default() };
                check(replica.audit.clone().get_statement(request).await.err(), &format!("{time:?}"));
            }
        }
        let request = v1::ListTransactionsRequest { from: time, to: time, ..Default::default() };
        check(replica.audit.clone().list_transactions(request).await.err(), &format!("{time:?}"));
        for kind in [Kind::Time(time.unwrap()), Kind::Effective(time.unwrap())] {
            let as_of = Some(v1::AsOf { kind: Some(kind) });
            let request = v1::GetBalanceRequest { account: ALICE.to_owned(), as_of, read: None };
            check(replica.audit.clone().get_balance(request).await.err(), &format!("{time:?}"));
            let request = v1::GetTrialBalanceRequest { as_of, ..Default::default() };
            check(replica.audit.clone().get_trial_balance(request).await.err(), &format!("{time:?}"));
        }
    }
    for sequence in [0, 1, u64::MAX - 1, u64::MAX] {
        let as_of = Some(v1::AsOf { kind: Some(Kind::Sequence(sequence)) });
        let request = v1::GetBalanceRequest { account: ALICE.to_owned(), as_of, read: None };
        let refused = replica.audit.clone().get_balance(request).await.err();
        assert_eq!(
            refused.map(|status| malformed::<()>(Err(status)).join(",")),
            (sequence > 1).then(|| "as_of".to_owned())
        );
        let request = v1::GetTrialBalanceRequest { as_of, ..Default::default() };
        assert_eq!(replica.audit.clone().get_trial_balance(request).await.is_err(), sequence > 1);
        for limit in [0, 1, u64::MAX] {
            let request = v1::StreamJournalRequest { from_sequence: sequence, limit, ..Default::default() };
            let mut stream = replica.audit.clone().stream_journal(request).await.unwrap().into_inner();
            let first = stream.message().await.unwrap();
            assert_eq!(first.is_some(), sequence <= 1, "from {sequence}");
            let records = first.map_or(0, |first| first.records.len());
            assert_eq!(records == 1, limit == 1 && sequence <= 1);
        }
    }
    let request = v1::ListAccountsRequest { page_size: u32::MAX, ..Default::default() };
    assert_eq!(malformed(replica.ledger.clone().list_accounts(request).await), ["page_size"]);
    let request = v1::GetTransactionRequest { transaction_id: replica.id(), page_size: 1001, ..Default::default() };
    assert_eq!(malformed(replica.audit.clone().get_transaction(request).await), ["page_size"]);
    let request = v1::ListTransactionsRequest { page_token: "1.".repeat(500_000), ..Default::default() };
    assert_eq!(malformed(replica.audit.clone().list_transactions(request).await), ["page_token"]);
    // The token that made the arithmetic overflow.
    for page_token in ["514.0.18446744073709551615.1", "514.0.18446744073709551615", "1.999.x", ".", "0.0.0"] {
        let page_token = page_token.to_owned();
        let request = v1::GetStatementRequest { account: BANK.to_owned(), page_token, ..Default::default() };
        assert_eq!(malformed(replica.audit.clone().get_statement(request).await), ["page_token"]);
    }
}
