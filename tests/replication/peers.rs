//! What a replica takes from whoever calls its port for peers.

use folio::proto::internal::raft_service_client::RaftServiceClient;
use folio::proto::internal::{
    AppendEntriesRequest, ForwardRequest, InstallSnapshotRequest, ReadIndexRequest, RelayRequest, VoteRequest,
};
use folio::replication::SubmitError;
use folio::store::EngineKind;
use ledger::{Answer, Command};
use tonic::{Code, Status};

use crate::commands::{cent, is_accepted};
use crate::harness::{CLUSTER, Cluster, Settings};

fn forward(cluster_id: &str, commands: &[Command], count: u32) -> ForwardRequest {
    let commands: Vec<u8> =
        commands.iter().flat_map(|command| ledger::entry::encode_command(command).unwrap()).collect();
    ForwardRequest { cluster_id: cluster_id.to_owned(), commands: commands.into(), count }
}

/// Forwards commands to a replica, as a peer would.
fn send(cluster: &Cluster, id: u64, request: ForwardRequest) -> Result<Result<Vec<Answer>, SubmitError>, Status> {
    let address = format!("http://{}", cluster.address(id));
    cluster.on(id, async move {
        let mut client = RaftServiceClient::connect(address).await.unwrap();
        let reply = client.forward(request).await?.into_inner();
        Ok(postcard::from_bytes(&reply.payload).unwrap())
    })
}

#[test]
fn what_was_forwarded_is_decided_by_the_leader_and_never_forwarded_on() {
    let cluster = Cluster::start(Settings::of(EngineKind::Memory, 3));
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let refused = send(&cluster, follower, forward(CLUSTER, &[cent(1)], 1)).unwrap();
    assert_eq!(refused, Err(SubmitError::NotLeader { leader_id: Some(leader) }));
    let answers = send(&cluster, leader, forward(CLUSTER, &[cent(1), cent(2)], 2)).unwrap().unwrap();
    assert!(answers.len() == 2 && answers.iter().all(is_accepted), "{answers:?}");
}

#[test]
fn another_clusters_replicas_are_refused_whatever_they_ask() {
    let cluster = Cluster::start(Settings::of(EngineKind::Memory, 1));
    let term = cluster.node(1).status().term;
    let address = format!("http://{}", cluster.address(1));
    let statuses: Vec<Status> = cluster.on(1, async move {
        let mut client = RaftServiceClient::connect(address).await.unwrap();
        let other = || "other".to_owned();
        let snapshot = InstallSnapshotRequest { cluster_id: other(), ..Default::default() };
        vec![
            client.vote(VoteRequest { cluster_id: other(), ..Default::default() }).await.unwrap_err(),
            client
                .append_entries(tokio_stream::iter([AppendEntriesRequest {
                    cluster_id: other(),
                    ..Default::default()
                }]))
                .await
                .unwrap()
                .into_inner()
                .message()
                .await
                .unwrap_err(),
            client.read_index(ReadIndexRequest { cluster_id: other() }).await.unwrap_err(),
            client.forward(forward(&other(), &[cent(1)], 1)).await.unwrap_err(),
            client.install_snapshot(tokio_stream::iter([snapshot])).await.unwrap_err(),
            client
                .relay(tokio_stream::iter([RelayRequest { cluster_id: other(), ..Default::default() }]))
                .await
                .unwrap()
                .into_inner()
                .message()
                .await
                .unwrap_err(),
        ]
    });
    for status in statuses {
        assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
        assert!(status.message().contains(r#"belongs to cluster "test", the caller to "other""#), "{status:?}");
    }
    assert_eq!(cluster.node(1).status().term, term);
    assert_eq!(cluster.cents(1), 0);
}

#[test]
fn bytes_that_are_no_commands_are_refused_before_they_reach_the_log() {
    let cluster = Cluster::start(Settings::of(EngineKind::Memory, 1));
    let before = cluster.node(1).status().last_log_index;
    let garbage = ForwardRequest { cluster_id: CLUSTER.to_owned(), commands: vec![0xff; 40].into(), count: 1 };
    let wrong = [
        garbage,
        forward(CLUSTER, &[cent(1)], 0),
        forward(CLUSTER, &[cent(1)], 2),
        forward(CLUSTER, &[cent(1)], u32::MAX),
        forward(CLUSTER, &[cent(1), cent(2)], 1),
    ];
    for request in wrong {
        let status = send(&cluster, 1, request).expect_err("taken");
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
    assert_eq!(cluster.node(1).status().last_log_index, before);
    cluster.decide(vec![cent(1)]);
    cluster.agree();
}

#[test]
fn a_snapshot_that_does_not_arrive_whole_changes_nothing() {
    let cluster = Cluster::start(Settings::of(EngineKind::Memory, 1));
    cluster.decide(vec![cent(1)]);
    let before = cluster.view(1).meta().clone();
    let address = format!("http://{}", cluster.address(1));
    let first =
        InstallSnapshotRequest { cluster_id: CLUSTER.to_owned(), header: vec![1, 2, 3].into(), ..Default::default() };
    let statuses: Vec<Status> = cluster.on(1, async move {
        let mut client = RaftServiceClient::connect(address).await.unwrap();
        vec![
            client.install_snapshot(tokio_stream::iter([first])).await.unwrap_err(),
            client.install_snapshot(tokio_stream::iter([])).await.unwrap_err(),
        ]
    });
    for status in statuses {
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
    assert_eq!(*cluster.view(1).meta(), before);
    cluster.decide(vec![cent(2)]);
    cluster.agree();
}
