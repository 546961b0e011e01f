//! What a replica promised when it voted it keeps, also through a power cut.

use folio::proto::internal::VoteRequest;
use folio::proto::internal::raft_service_client::RaftServiceClient;
use folio::store::EngineKind;
use openraft::error::RaftError;
use openraft::raft::VoteResponse;
use openraft::{CommittedLeaderId, LogId, Vote};

use crate::harness::{CLUSTER, Cluster, Settings, eventually};

/// Asks a replica for its vote, as a candidate does that has more log than anybody. Whether it is
/// given.
fn ask(cluster: &Cluster, voter: u64, term: u64, candidate: u64) -> bool {
    let address = format!("http://{}", cluster.address(voter));
    let last_log_id = Some(LogId::new(CommittedLeaderId::new(term - 1, candidate), u64::from(u32::MAX)));
    let request = openraft::raft::VoteRequest::new(Vote::new(term, candidate), last_log_id);
    let payload = postcard::to_stdvec(&request).unwrap().into();
    let reply = cluster.on(voter, async move {
        let mut client = RaftServiceClient::connect(address).await.unwrap();
        client.vote(VoteRequest { cluster_id: CLUSTER.to_owned(), payload }).await.unwrap().into_inner()
    });
    let reply: Result<VoteResponse<u64>, RaftError<u64>> = postcard::from_bytes(&reply.payload).unwrap();
    reply.unwrap().vote_granted
}

#[test]
fn a_replica_that_lost_power_after_it_voted_does_not_vote_for_a_lesser_candidate() {
    const TERM: u64 = 1_000;
    let mut cluster = Cluster::start(Settings::of(EngineKind::Memory, 3));
    cluster.agree();
    // Whoever is left hears from no leader, appends nothing, and so syncs nothing but its votes.
    let voter = cluster.follower();
    let others: Vec<u64> = cluster.ids().into_iter().filter(|id| *id != voter).collect();
    let [lesser, greater] = others[..] else { panic!("{others:?}") };
    for other in &others {
        cluster.kill(*other);
    }
    eventually("a vote", || ask(&cluster, voter, TERM, greater).then_some(()));
    cluster.cut_power(voter);
    cluster.start_replica(voter);
    // Of two candidates of one term the one with the greater number has the greater vote, so the
    // lesser may not have this one too. A replica that forgot the term would give it as soon as it
    // has not heard from a leader for a while.
    let began = std::time::Instant::now();
    while began.elapsed() < std::time::Duration::from_secs(2) {
        assert!(!ask(&cluster, voter, TERM, lesser), "replica {voter} voted for {greater} and {lesser} in one term");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
