//! What reads promise: linearizable ones show all that was answered before, `AT_LEAST` waits, `STALE` shows what is there.

use std::sync::Arc;

use folio::book::view::BookView;
use folio::replication::SubmitError;
use folio::store::EngineKind;

use crate::commands::{cent, cents, reserve, transaction};
use crate::harness::{Cluster, Settings, eventually, in_a_moment};

pub fn linearizable(cluster: &Cluster, id: u64, timeout_ms: u64) -> Result<BookView, SubmitError> {
    let node = Arc::clone(cluster.node(id));
    cluster.on(id, async move { node.linearizable_view(in_a_moment(timeout_ms)).await })
}

fn at_least(cluster: &Cluster, id: u64, index: u64, timeout_ms: u64) -> Result<BookView, SubmitError> {
    let node = Arc::clone(cluster.node(id));
    cluster.on(id, async move { node.view_at_least(index, in_a_moment(timeout_ms)).await })
}

#[test]
fn every_replica_shows_what_was_answered_before_the_read_began() {
    let cluster = Cluster::start(Settings::of(EngineKind::Memory, 3));
    cluster.leader();
    for number in 1..=60 {
        let answers = cluster.decide_at(1 + number % 3, vec![cent(number)]);
        let reader = 1 + (number / 3) % 3;
        let view = eventually("a read", || linearizable(&cluster, reader, 1_000).ok());
        assert!(view.index() >= answers[0].point.index, "replica {reader} shows {} at {}", number, view.index());
        assert_eq!(cents(&view), u128::from(number));
    }
}

#[test]
fn at_least_waits_for_an_index_and_no_longer_than_the_deadline() {
    let cluster = Cluster::start(Settings::of(EngineKind::Memory, 3));
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let index = cluster.decide_at(leader, vec![cent(1)])[0].point.index;
    assert_eq!(cents(&at_least(&cluster, follower, index, 5_000).unwrap()), 1);

    cluster.isolate(follower);
    let index = cluster.decide_at(leader, vec![cent(2)])[0].point.index;
    let error = at_least(&cluster, follower, index, 200).err();
    assert_eq!(error, Some(SubmitError::NoLeader));
    // Stale reads show what is there, and say as of when.
    let stale = cluster.view(follower);
    assert!(stale.index() < index);
    assert_eq!(cents(&stale), 1);
    // One that waits is served as soon as it can be.
    let node = Arc::clone(cluster.node(follower));
    let waiting = cluster.spawn(follower, async move { node.view_at_least(index, in_a_moment(10_000)).await });
    cluster.heal();
    let view = cluster.on(follower, waiting).unwrap().unwrap();
    assert_eq!(cents(&view), 2);
}

#[test]
fn a_leader_that_was_replaced_shows_nothing_as_linearizable() {
    let cluster = Cluster::start(Settings::of(EngineKind::Memory, 3));
    cluster.decide(vec![cent(1)]);
    let old = cluster.leader();
    cluster.isolate(old);
    // It still believes that it leads.
    let error = linearizable(&cluster, old, 300).err().expect("a read without a quorum");
    assert!(matches!(error, SubmitError::NoLeader | SubmitError::NotLeader { .. }), "{error:?}");
    let new = cluster.leader_except(Some(old));
    cluster.decide_at(new, vec![cent(2)]);
    let error = linearizable(&cluster, old, 300).err().expect("a stale read");
    assert!(matches!(error, SubmitError::NoLeader | SubmitError::NotLeader { .. }), "{error:?}");
    cluster.heal();
    let view = eventually("a read", || linearizable(&cluster, old, 1_000).ok());
    assert_eq!(cents(&view), 2);
}

#[test]
fn a_linearizable_read_after_a_deadline_never_shows_the_dead_hold() {
    for replicas in [1, 3] {
        let cluster = Cluster::start(Settings::of(EngineKind::Memory, replicas));
        cluster.leader();
        for number in 1..=20 {
            cluster.decide(vec![reserve(number, 1)]);
            let view = eventually("a read", || linearizable(&cluster, 1 + number % replicas, 1_000).ok());
            let held = view.transaction(&transaction(number)).unwrap().unwrap();
            assert_eq!(held.state, ledger::TransactionState::Expired, "hold {number} of {replicas} replicas");
        }
    }
}

/// Nobody asks for anything after the try: the leader itself carries the time past the deadline, and all replicas follow.
#[test]
fn a_hold_ends_while_nothing_else_moves_the_time() {
    for replicas in [1, 3] {
        let cluster = Cluster::start(Settings::of(EngineKind::Memory, replicas));
        cluster.leader();
        cluster.decide(vec![reserve(1, 20_000_000)]);
        for id in cluster.ids() {
            eventually("the hold to end", || {
                let held = cluster.view(id).transaction(&transaction(1)).unwrap();
                held.filter(|held| held.state == ledger::TransactionState::Expired)
            });
        }
    }
}

#[test]
fn a_replica_that_is_alone_shows_what_was_answered_before_the_read_began() {
    let cluster = Cluster::start(Settings::of(EngineKind::Memory, 1));
    cluster.leader();
    for number in 1..=60 {
        let answers = cluster.decide(vec![cent(number)]);
        let view = linearizable(&cluster, 1, 1_000).expect("an answer");
        assert!(view.index() >= answers[0].point.index);
        assert_eq!(cents(&view), u128::from(number));
    }
}
