//! Walks over lists on three replicas, each page taken from another one, while the book is written to.

use std::time::{Duration, Instant};

use folio::proto::v1;
use folio::proto::v1::audit_service_client::AuditServiceClient;
use folio::proto::v1::ledger_service_client::LedgerServiceClient;
use tonic::transport::{Channel, Endpoint};

use super::harness::{ALICE, BANK, Place, Replica, Served, free_addresses};

const ACCOUNTS: usize = 9;

/// Three replicas of one cluster, in a temporary folder.
struct Cluster {
    replicas: Vec<(Place, Served)>,
    _temporary: tempfile::TempDir,
}

fn started() -> Cluster {
    let temporary = tempfile::tempdir().unwrap();
    let addresses: Vec<(String, String)> = (0..3).map(|_| free_addresses()).collect();
    let member = |(index, (peers, clients)): (usize, &(String, String))| format!("{}={peers}/{clients}", index + 1);
    let members = addresses.iter().enumerate().map(member).collect::<Vec<_>>().join(",");
    let start = |(index, (_, address)): (usize, &(String, String))| {
        let folder = temporary.path().join(format!("replica-{}", index + 1));
        let place = Place { folder, members: members.clone(), address: address.clone() };
        let served = place.start(&["--found", "--replica-id", &(index + 1).to_string()]);
        (place, served)
    };
    let replicas = addresses.iter().enumerate().map(start).collect();
    Cluster { replicas, _temporary: temporary }
}

impl Cluster {
    fn channel(&self, replica: usize) -> Channel {
        let address = &self.replicas[replica % self.replicas.len()].0.address;
        Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy()
    }

    fn audit(&self, replica: usize) -> AuditServiceClient<Channel> {
        AuditServiceClient::new(self.channel(replica))
    }

    fn ledger(&self, replica: usize) -> LedgerServiceClient<Channel> {
        LedgerServiceClient::new(self.channel(replica))
    }

    /// A command that must succeed on one of the replicas.
    #[track_caller]
    fn run(&self, args: &[&str]) {
        self.replicas[0].0.folio(&[args, &["--output", "json"]].concat()).expect(0);
    }

    /// Restarts a replica, and waits until it answers.
    fn restart(&mut self, replica: usize) {
        let (place, served) = &mut self.replicas[replica];
        served.stop();
        *served = place.start(&["--replica-id", &(replica + 1).to_string()]);
        self.await_answers(replica);
    }

    fn await_answers(&self, replica: usize) {
        let began = Instant::now();
        while self.replicas[replica].0.folio(&["balance", BANK, "--timeout", "1s"]).code != 0 {
            assert!(began.elapsed() < Duration::from_secs(60), "{}", self.replicas[replica].1.said());
        }
    }
}

fn customer(number: usize) -> String {
    format!("liabilities:customers:{number:02}:usd")
}

fn id(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// A book with customers, bookings and holds.
fn filled() -> Cluster {
    // Another process may take a port between finding it and using it.
    let began = Instant::now();
    let cluster = loop {
        let mut cluster = started();
        std::thread::sleep(Duration::from_millis(200));
        if cluster.replicas.iter_mut().all(|(_, served)| served.has_ended().is_none()) {
            break cluster;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "no free ports");
    };
    while cluster.replicas[0].0.folio(&["asset", "register", "USD", "--scale", "2", "--timeout", "1s"]).code != 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "{}", cluster.replicas[0].1.said());
    }
    cluster.run(&["account", "open", BANK, "--asset", "USD", "--class", "asset", "--floor", "unlimited"]);
    for number in 0..ACCOUNTS {
        let name = customer(number);
        cluster.run(&["account", "open", &name, "--asset", "USD", "--class", "liability"]);
        let transfer = ["transfer", "--debit", BANK, "--credit", &name, "--amount", "10.00"];
        cluster.run(&[&transfer[..], &["--request-id", &id(100 + number)]].concat());
        let (debit, credit) = (format!("{name}=1.00"), format!("{BANK}=1.00"));
        let hold = ["tx", "try", "--debit", &debit, "--credit", &credit];
        cluster.run(&[&hold[..], &["--request-id", &id(200 + number)]].concat());
    }
    (0..3).for_each(|replica| cluster.await_answers(replica));
    cluster
}

/// What changes every list, where a walk has not been yet: the step's number says what.
fn change(cluster: &Cluster, step: usize) {
    let last = ACCOUNTS - 1 - step;
    match step % 4 {
        0 => {
            cluster.run(&["account", "freeze", &customer(last)]);
            cluster.run(&["tx", "cancel", &id(200 + last)]);
        }
        1 => {
            cluster.run(&["account", "set-limits", &customer(last), "--floor", "-5.00", "--ceiling", "70.00"]);
            cluster.run(&["tx", "confirm", &id(200 + last)]);
        }
        2 => {
            cluster.run(&["transfer", "--debit", BANK, "--credit", &customer(last), "--amount", "3.00"]);
            cluster.run(&["tx", "reverse", &id(100 + last), "--amounts", "2.50,2.50"]);
        }
        _ => {
            let name = format!("liabilities:customers:{last:02}:new");
            cluster.run(&["account", "open", &name, "--asset", "USD", "--class", "liability"]);
            let (debit, credit) = (format!("{BANK}=1.00"), format!("{name}=1.00"));
            cluster.run(&["tx", "try", "--debit", &debit, "--credit", &credit]);
        }
    }
}

type Shown = (Option<v1::ReadPoint>, Vec<String>);

fn shown<T: std::fmt::Debug>(items: &[T]) -> Vec<String> {
    items.iter().map(|item| format!("{item:?}")).collect()
}

async fn accounts(cluster: &Cluster, replica: usize, request: &mut v1::ListAccountsRequest) -> Shown {
    let page = cluster.ledger(replica).list_accounts(request.clone()).await.unwrap().into_inner();
    request.page_token = page.next_page_token;
    (page.read_point, shown(&page.accounts))
}

async fn transactions(cluster: &Cluster, replica: usize, request: &mut v1::ListTransactionsRequest) -> Shown {
    let page = cluster.audit(replica).list_transactions(request.clone()).await.unwrap().into_inner();
    request.page_token = page.next_page_token;
    (page.read_point, shown(&page.transactions))
}

#[tokio::test]
async fn pages_of_a_walk_may_come_from_any_replica_and_show_one_point_while_the_book_is_written_to() {
    let mut cluster = filled();
    let everything = v1::ListAccountsRequest { page_size: 1000, ..Default::default() };
    let listed = v1::ListTransactionsRequest { page_size: 1000, ..Default::default() };
    let tried = v1::ListTransactionsRequest { state: v1::TransactionState::Tried.into(), ..listed.clone() };
    // The point of the walks: all lists in one page each.
    let all_accounts = accounts(&cluster, 0, &mut everything.clone()).await;
    let all_listed = transactions(&cluster, 0, &mut listed.clone()).await;
    let all_tried = transactions(&cluster, 0, &mut tried.clone()).await;
    assert_eq!((all_accounts.1.len(), all_listed.1.len(), all_tried.1.len()), (ACCOUNTS + 1, 2 * ACCOUNTS, ACCOUNTS));
    let mut everything = v1::ListAccountsRequest { page_size: 1, ..everything };
    let mut listed = v1::ListTransactionsRequest { page_size: 2, ..listed };
    let mut tried = v1::ListTransactionsRequest { page_size: 1, ..tried };
    let mut found = [Vec::new(), Vec::new(), Vec::new()];
    for step in 0..=ACCOUNTS {
        if step == 0 || !everything.page_token.is_empty() {
            let (point, page) = accounts(&cluster, step, &mut everything).await;
            assert_eq!(point, all_accounts.0);
            found[0].extend(page);
        }
        if step == 0 || !listed.page_token.is_empty() {
            let (point, page) = transactions(&cluster, step + 1, &mut listed).await;
            assert_eq!(point, all_listed.0);
            found[1].extend(page);
        }
        if step == 0 || !tried.page_token.is_empty() {
            let (point, page) = transactions(&cluster, step + 2, &mut tried).await;
            assert_eq!(point, all_tried.0);
            found[2].extend(page);
        }
        if step < 6 {
            change(&cluster, step);
        }
        if step == 4 {
            // It has forgotten all that was in its memory; of what it does not know for certain it must say so.
            cluster.restart(2);
            let request = v1::ListAccountsRequest { page_size: 1000, ..everything.clone() };
            let refused = cluster.ledger(2).list_accounts(request).await.unwrap_err();
            assert_eq!(refused.code(), tonic::Code::Aborted, "accounts were frozen before it was started: {refused:?}");
            // The others still know.
            cluster.replicas.truncate(2);
        }
    }
    let [found_accounts, found_listed, found_tried] = found;
    assert_eq!(found_accounts, all_accounts.1);
    assert_eq!(found_listed, all_listed.1);
    assert_eq!(found_tried, all_tried.1);
}

#[tokio::test]
async fn a_transaction_is_shown_with_all_its_reversals_however_many_pages_they_fill() {
    const REVERSALS: usize = 1_200;
    let replica = Replica::start();
    replica.open_usd();
    replica.json(&["transfer", "--debit", BANK, "--credit", ALICE, "--amount", "12.00", "--request-id", &id(1)]);
    let reverse = |number: usize| {
        let request = v1::ReverseTransactionRequest {
            request_id: id(10 + number),
            original_id: id(1),
            amounts: vec!["0.01".to_owned(); 2],
            ..Default::default()
        };
        v1::Command { operation: Some(v1::command::Operation::ReverseTransaction(request)) }
    };
    let commands = (0..REVERSALS).map(reverse).collect();
    let batch = v1::ExecuteBatchRequest { commands, atomic_request_id: String::new() };
    let channel = Endpoint::from_shared(format!("http://{}", replica.place.address)).unwrap().connect_lazy();
    let results = LedgerServiceClient::new(channel).execute_batch(batch).await.unwrap().into_inner().results;
    assert!(results.iter().all(|result| result.refusal.is_none()));
    let shown = replica.json(&["tx", "show", &id(1)]);
    let timeline = shown["timeline"].as_array().unwrap();
    assert_eq!(timeline.len(), 1 + REVERSALS);
    assert!(timeline.iter().skip(1).all(|record| record["event"] == "reversed"));
    assert_eq!(shown["transaction"]["postings"][0]["reversed"], "12.00");
    let range = ["statement", ALICE, "--from", "2026-02-01", "--to", "2026-01-01"];
    replica.folio(&range).expect(2).says(&["from", "to"]);
}
