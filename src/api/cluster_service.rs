//! The cluster service.

use ledger::LogTime;
use tonic::{Request, Response, Status};

use super::{Api, render};
use crate::book::records::hex;
use crate::console;
use crate::proto::v1::{self, cluster_service_server::ClusterService};
use crate::replication::Role;

fn role(role: Role) -> &'static str {
    match role {
        Role::Leader => "leader",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Learner => "learner",
        Role::Stopping => "stopping",
    }
}

#[tonic::async_trait]
impl ClusterService for Api {
    async fn get_status(
        &self,
        _request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let identity = self.node.identity();
        let status = self.node.status();
        let view = self.node.stale_view();
        let meta = view.meta();
        let members = identity
            .members
            .iter()
            .map(|member| v1::Member {
                replica_id: member.replica_id,
                client_address: member.client_address.clone(),
                peer_address: member.peer_address.clone(),
                matched_index: status.matched.get(&member.replica_id).copied(),
            })
            .collect();
        Ok(Response::new(v1::GetStatusResponse {
            cluster_id: identity.cluster_id.clone(),
            replica_id: identity.replica_id,
            role: role(status.role).to_owned(),
            leader_id: status.leader_id.unwrap_or(0),
            leader_address: self.node.leader().map(|leader| leader.client_address.clone()).unwrap_or_default(),
            term: status.term,
            last_log_index: status.last_log_index,
            applied: Some(render::read_point(&view)),
            journal_sequence: meta.head.sequence.0,
            state_hash: hex(&meta.state_hash),
            accounts: u64::from(meta.head.accounts),
            members,
            engine: self.node.book().engine_name().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seeded_bug: crate::seeded::chosen().unwrap_or_default().to_owned(),
            purged_index: status.purged_index,
            snapshot_index: status.snapshot_index,
            dropped_log_lines: console::dropped(),
            log_time_ahead: Some(status.clock.log_ahead_ns).filter(|ahead| *ahead > 0).map(render::duration),
            last_clock_jump: status.clock.last_jump.map(|jump| v1::ClockJump {
                at: Some(render::timestamp(LogTime(jump.at_ns))),
                by: Some(render::signed_duration(jump.by_ns)),
            }),
            clock_refused: status.clock.refused.unwrap_or_default(),
        }))
    }
}
