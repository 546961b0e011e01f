//! Who holds a vote, and what a replica makes of it that asks.

use openraft::storage::RaftLogStorage as _;

use super::super::Vote;
use super::super::identity::{Identity, Member};
use super::super::leadership::Leadership;
use super::super::peers::{Connector, Peers};
use super::*;

/// Replica 1 of a cluster of so many, of which it reaches none.
fn leadership(log: &LogStore, members: u64) -> Leadership {
    let member = |replica_id| Member { replica_id, peer_address: String::new(), client_address: String::new() };
    let identity = Identity::new("test".to_owned(), 1, "memory".to_owned(), (1..=members).map(member).collect());
    let peers = Peers::new(&identity, Connector::new(|_| None));
    Leadership::new(&identity, log.clone(), peers)
}

#[tokio::test]
async fn a_vote_is_held_until_another_is_stored() {
    let subject = Subject::new(EngineKind::Memory);
    let mut log = subject.open().unwrap();
    let leadership = leadership(&log, 3);
    assert!(!leadership.holds(&Vote::new_committed(1, 2)), "no vote was stored");
    log.save_vote(&Vote::new(1, 2)).await.unwrap();
    assert!(leadership.holds(&Vote::new_committed(1, 2)), "the elected is who was voted for");
    assert!(!leadership.holds(&Vote::new_committed(1, 3)), "another of the same term");
    log.save_vote(&Vote::new(2, 2)).await.unwrap();
    assert!(!leadership.holds(&Vote::new_committed(1, 2)), "a later term of the same");
    log.save_vote(&Vote::new_committed(3, 1)).await.unwrap();
    assert!(!leadership.holds(&Vote::new_committed(2, 2)));
}

#[tokio::test]
async fn a_replica_that_is_alone_leads_while_it_holds_its_own_vote() {
    let subject = Subject::new(EngineKind::Memory);
    let mut log = subject.open().unwrap();
    let leadership = leadership(&log, 1);
    log.save_vote(&Vote::new_committed(2, 1)).await.unwrap();
    assert!(leadership.is_held(2).await && leadership.is_held_alone(2));
    assert!(!leadership.is_held(1).await && !leadership.is_held_alone(1), "an earlier term");
    log.save_vote(&Vote::new(3, 2)).await.unwrap();
    assert!(!leadership.is_held(3).await && !leadership.is_held_alone(3), "another's vote");
}

#[tokio::test]
async fn its_own_vote_is_not_enough_among_others() {
    let subject = Subject::new(EngineKind::Memory);
    let mut log = subject.open().unwrap();
    log.save_vote(&Vote::new_committed(2, 1)).await.unwrap();
    for members in 2..=5 {
        let leadership = leadership(&log, members);
        assert!(!leadership.is_held(2).await && !leadership.is_held_alone(2), "of {members}");
    }
}
