//! A follower that is behind has its leader answer: what may be shown stays the same, only the wait is shorter.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use folio::api::{Api, Limits};
use folio::proto::internal::raft_service_client::RaftServiceClient;
use folio::proto::internal::{RelayRequest, RelayedQuestion};
use folio::proto::v1::audit_service_server::AuditService as _;
use folio::proto::v1::ledger_service_server::LedgerService as _;
use folio::proto::v1::read_options::Consistency;
use folio::proto::v1::{
    GetAccountRequest, GetBalanceRequest, GetBalanceResponse, GetStatementRequest, GetTransactionRequest, ReadOptions,
};
use folio::replication::Role;
use folio::store::EngineKind;
use prost::Message as _;
use tonic::{Code, Request, Status};

use crate::ahead::{Gated, MANY};
use crate::commands::{ALICE, cent, reserve, transaction};
use crate::harness::{CLUSTER, Cluster, Part, Settings, eventually};
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
        let last = GetTransactionRequest {
            transaction_id: transaction(MANY).to_string(),
            read: fresh(linearizable()),
            ..Default::default()
        };
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

/// What a replica answers that is asked as its followers would ask it: those questions of which it has an answer.
fn answered(cluster: &Cluster, id: u64, questions: Vec<RelayedQuestion>) -> BTreeSet<u64> {
    let address = format!("http://{}", cluster.address(id));
    cluster.on(id, async move {
        let mut client = RaftServiceClient::connect(address).await.unwrap();
        let asked: BTreeSet<u64> = questions.iter().map(|question| question.number).collect();
        let request = RelayRequest { cluster_id: CLUSTER.to_owned(), questions };
        let mut stream = client.relay(tokio_stream::iter([request])).await.unwrap().into_inner();
        let (mut all, mut answered) = (BTreeSet::new(), BTreeSet::new());
        while let Some(response) = stream.message().await.unwrap() {
            for answer in response.answers {
                assert!(all.insert(answer.number), "answered twice: {}", answer.number);
                answered.extend(answer.message.map(|_| answer.number));
            }
        }
        assert_eq!(all, asked);
        answered
    })
}

fn question(number: u64, method: &str, (index, time): (u64, u64)) -> RelayedQuestion {
    RelayedQuestion {
        number,
        method: format!("/folio.v1.AuditService/{method}"),
        message: alice(Consistency::Linearizable(true)).encode_to_vec().into(),
        timeout_ms: 200,
        index,
        time,
    }
}

#[test]
fn what_was_relayed_is_answered_from_what_is_there_or_not_at_all() {
    let (gated, follower) = behind();
    let (here, there) = (gated.cluster.view(follower).index(), gated.cluster.view(gated.cluster.leader()).index());
    assert!(here < there);
    let questions = vec![
        question(7, "GetBalance", (here, 0)),
        question(8, "GetBalance", (there, 0)),
        question(9, "GetTrialBalance", (here, 0)),
    ];
    assert_eq!(answered(&gated.cluster, follower, questions), BTreeSet::from([7]));
}

#[test]
fn a_hold_that_had_ended_when_the_follower_asked_is_not_shown() {
    let cluster = Cluster::start(Settings::of(EngineKind::Memory, 1));
    let held = cluster.decide(vec![reserve(1, 3_600_000_000_000)])[0].point;
    let in_an_hour = held.time.0 + 3_600_000_000_000;
    let questions = vec![
        question(1, "GetBalance", (held.index, 0)),
        question(2, "GetBalance", (held.index, in_an_hour - 1)),
        question(3, "GetBalance", (held.index, in_an_hour)),
    ];
    assert_eq!(answered(&cluster, 1, questions), BTreeSet::from([1, 2]));
}
