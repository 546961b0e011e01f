//! A follower that is behind has its leader answer: what may be shown stays the same, only the wait is shorter.

use std::sync::Arc;
use std::time::Duration;

use folio::api::{Api, Limits};
use folio::proto::internal::raft_service_client::RaftServiceClient;
use folio::proto::internal::{RelayRequest, RelayResponse};
use folio::proto::v1::audit_service_server::AuditService as _;
use folio::proto::v1::ledger_service_server::LedgerService as _;
use folio::proto::v1::read_options::Consistency;
use folio::proto::v1::{
    GetAccountRequest, GetBalanceRequest, GetBalanceResponse, GetStatementRequest, GetTransactionRequest, ReadOptions,
};
use folio::replication::Role;
use tonic::{Code, Request, Status};

use crate::ahead::{Gated, MANY};
use crate::commands::{ALICE, cent, transaction};
use crate::harness::{CLUSTER, Cluster, Part, eventually};
use crate::wrapped::Change;

/// How long a read may take that waits for nothing.
const SOON: Duration = Duration::from_secs(2);
/// How long a read is watched that must wait.
const A_WHILE: Duration = Duration::from_millis(300);

fn api(cluster: &Cluster, id: u64) -> Api {
    Api::new(Arc::clone(cluster.node(id)), Limits::default())
}

fn fresh(consistency: Consistency) -> Option<ReadOptions> {
    Some(ReadOptions { consistency: Some(consistency) })
}

fn within<M>(time: Duration, message: M) -> Request<M> {
    let mut request = Request::new(message);
    request.set_timeout(time);
    request
}

fn alice(consistency: Consistency) -> GetBalanceRequest {
    GetBalanceRequest { account: ALICE.to_owned(), read: fresh(consistency), ..Default::default() }
}

fn balance(cluster: &Cluster, id: u64, consistency: Consistency, time: Duration) -> Result<GetBalanceResponse, Status> {
    let api = api(cluster, id);
    cluster
        .on(id, async move { api.get_balance(within(time, alice(consistency))).await.map(tonic::Response::into_inner) })
}

fn cents(number: u64) -> String {
    format!("{}.{:02}", number / 100, number % 100)
}

/// A cluster of which one follower is held up at an entry that the others have applied, up to `MANY` cents.
fn behind() -> (Gated, u64) {
    let gated = Gated::start(Part::Book, Change::Write);
    let (leader, follower) = (gated.cluster.leader(), gated.cluster.follower());
    gated.gates[&follower].shut();
    gated.cluster.decide_at(leader, (2..=MANY).map(cent).collect());
    eventually("the follower at work on the entry", || (gated.gates[&follower].waiting() == 1).then_some(()));
    assert_eq!(gated.cluster.cents(follower), 1);
    (gated, follower)
}

#[test]
fn a_follower_that_is_behind_shows_what_was_answered_before_the_read_began() {
    let (gated, follower) = behind();
    let cluster = &gated.cluster;
    let linearizable = || Consistency::Linearizable(true);
    assert_eq!(balance(cluster, follower, linearizable(), SOON).unwrap().posted, cents(MANY));
    let index = cluster.view(cluster.leader()).index();
    assert_eq!(balance(cluster, follower, Consistency::AtLeastIndex(index), SOON).unwrap().posted, cents(MANY));

    let api = api(cluster, follower);
    let (account, statement, last) = cluster.on(follower, async move {
        let account = GetAccountRequest { name: ALICE.to_owned(), read: fresh(linearizable()) };
        let statement = GetStatementRequest {
            account: ALICE.to_owned(),
            read: fresh(linearizable()),
            page_size: 1_000,
            ..Default::default()
        };
        let last = GetTransactionRequest { transaction_id: transaction(MANY).to_string(), read: fresh(linearizable()) };
        (
            api.get_account(within(SOON, account)).await.unwrap().into_inner(),
            api.get_statement(within(SOON, statement)).await.unwrap().into_inner(),
            api.get_transaction(within(SOON, last)).await.unwrap().into_inner(),
        )
    });
    assert_eq!(account.account.unwrap().totals.unwrap().credits_posted, cents(MANY));
    assert_eq!((statement.lines.len() as u64, statement.closing), (MANY, cents(MANY)));
    assert_eq!(last.timeline.len(), 1);
    assert_eq!(cluster.cents(follower), 1, "it is still behind");
}

#[test]
fn a_stale_read_still_shows_what_the_replica_itself_has() {
    let (gated, follower) = behind();
    let stale = balance(&gated.cluster, follower, Consistency::Stale(true), SOON).unwrap();
    assert_eq!(stale.posted, cents(1));
}

#[test]
fn a_statement_is_walked_over_replicas_of_which_one_is_behind() {
    let (gated, follower) = behind();
    let cluster = &gated.cluster;
    let mut message = GetStatementRequest { account: ALICE.to_owned(), page_size: 37, ..Default::default() };
    let (mut sequences, mut readers) = (Vec::new(), [follower, cluster.leader(), 1, 2, 3].into_iter().cycle());
    loop {
        let (reader, request) = (readers.next().unwrap(), within(SOON, message.clone()));
        let api = api(cluster, reader);
        let page = cluster.on(reader, async move { api.get_statement(request).await }).unwrap().into_inner();
        assert_eq!(page.opening, cents(sequences.len() as u64));
        sequences.extend(page.lines.iter().map(|line| line.sequence));
        assert_eq!(page.closing, cents(sequences.len() as u64));
        if page.next_page_token.is_empty() {
            break;
        }
        message.page_token = page.next_page_token;
    }
    assert_eq!(sequences.len() as u64, MANY);
    assert!(sequences.is_sorted_by(|a, b| a < b), "{sequences:?}");
}

#[test]
fn where_the_leader_has_no_answer_the_replica_waits_for_its_own() {
    let (mut gated, follower) = behind();
    let leader = gated.cluster.leader();
    // What the leader refuses is refused here too, and not before this replica knows it.
    let missing = GetBalanceRequest { account: "liabilities:nobody".to_owned(), ..Default::default() };
    let refused = gated.cluster.spawn(follower, {
        let api = api(&gated.cluster, follower);
        async move { api.get_balance(within(20 * SOON, missing)).await }
    });
    // One that is asked of a leader which then goes away.
    let index = gated.cluster.view(leader).index();
    let beyond = gated.cluster.spawn(follower, {
        let api = api(&gated.cluster, follower);
        async move { api.get_balance(within(20 * SOON, alice(Consistency::AtLeastIndex(index + 1)))).await }
    });
    std::thread::sleep(A_WHILE);
    assert!(!refused.is_finished() && !beyond.is_finished());
    gated.cluster.kill(leader);
    gated.gates[&follower].open();
    assert_eq!(gated.cluster.on(follower, refused).unwrap().unwrap_err().code(), Code::NotFound);
    gated.cluster.leader_except(Some(leader));
    gated.cluster.decide_at(follower, vec![cent(MANY + 1)]);
    let found = gated.cluster.on(follower, beyond).unwrap().unwrap().into_inner();
    assert!(found.read_point.unwrap().log_index > index);
}

/// What a linearizable read at a replica shows, if there is one soon.
fn shown(cluster: &Cluster, id: u64) -> Option<String> {
    balance(cluster, id, Consistency::Linearizable(true), SOON).ok().map(|balance| balance.posted)
}

/// Does something to a cluster, and waits until the follower that is behind shows what the others have. It can be elected as well, and then has nobody to ask: then another cluster is tried,
/// for every election is a coin.
fn shows_all_after(what: impl Fn(&mut Gated, u64)) {
    for _ in 0..20 {
        let (mut gated, follower) = behind();
        assert_eq!(shown(&gated.cluster, follower), Some(cents(MANY)));
        what(&mut gated, follower);
        let found = eventually("an answer", || match gated.cluster.node(follower).role() {
            Role::Leader => Some(None),
            _ => shown(&gated.cluster, follower).map(Some),
        });
        if let Some(found) = found {
            assert_eq!(found, cents(MANY));
            assert_eq!(gated.cluster.cents(follower), 1, "it is still behind");
            return;
        }
    }
    panic!("the follower that is behind was elected twenty times in a row");
}

#[test]
fn a_connection_that_was_lost_is_made_again() {
    shows_all_after(|gated, follower| {
        gated.cluster.isolate(follower);
        let lost = balance(&gated.cluster, follower, Consistency::Linearizable(true), A_WHILE).unwrap_err();
        assert!([Code::Unavailable, Code::DeadlineExceeded].contains(&lost.code()), "{lost:?}");
        gated.cluster.heal();
    });
}

#[test]
fn a_follower_asks_the_next_leader_when_there_is_one() {
    shows_all_after(|gated, _| {
        let old = gated.cluster.leader();
        gated.cluster.kill(old);
    });
}

#[test]
fn a_replica_relays_nothing_that_was_relayed_and_knows_what_it_answers() {
    let (gated, follower) = behind();
    let address = format!("http://{}", gated.cluster.address(follower));
    let ask = |number: u64, method: &str, message: GetBalanceRequest| RelayRequest {
        cluster_id: CLUSTER.to_owned(),
        number,
        method: method.to_owned(),
        message: prost::Message::encode_to_vec(&message).into(),
        timeout_ms: 200,
    };
    let questions = vec![
        ask(7, "/folio.v1.AuditService/GetBalance", alice(Consistency::Linearizable(true))),
        ask(8, "/folio.v1.AuditService/GetTrialBalance", GetBalanceRequest::default()),
        ask(9, "/folio.v1.AuditService/GetBalance", alice(Consistency::Stale(true))),
    ];
    let mut answers: Vec<RelayResponse> = gated.cluster.on(follower, async move {
        let mut client = RaftServiceClient::connect(address).await.unwrap();
        let mut stream = client.relay(tokio_stream::iter(questions)).await.unwrap().into_inner();
        let mut answers = Vec::new();
        while let Some(answer) = stream.message().await.unwrap() {
            answers.push(answer);
        }
        answers
    });
    answers.sort_by_key(|answer| answer.number);
    let answered: Vec<(u64, bool)> = answers.iter().map(|answer| (answer.number, answer.message.is_some())).collect();
    assert_eq!(answered, [(7, false), (8, false), (9, true)]);
}
