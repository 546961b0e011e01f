//! The gRPC services: protos to commands and back, errors to statuses, bounds on everything received. With `client` the only module that names the generated types
//! of the published API.

mod answers;
mod audit_service;
mod batch;
#[doc(hidden)]
pub mod bench;
mod cluster_service;
mod command_stream;
mod convert;
pub mod errors;
mod held;
mod journal_stream;
mod ledger_batches;
mod ledger_service;
mod limits;
mod lists;
mod pages;
mod reads;
mod relay;
mod render;
#[cfg(test)]
mod sizes;
mod statements;
mod transactions;
mod written;

use std::sync::Arc;

pub use held::Held;
pub use ledger_batches::Ledger;
pub use limits::Limits;

use crate::audit::Kept;
use crate::book::directory::Directory;
use crate::proto::v1::audit_service_server::AuditServiceServer;
use crate::proto::v1::cluster_service_server::ClusterServiceServer;
use crate::proto::v1::ledger_service_server::LedgerServiceServer;
use crate::replication::{LeaderPoint, Node};
use command_stream::StreamRoom;
use ledger::shape::Violation;
use limits::Admission;

/// Checks an operation as far as that is possible without the book, exactly as a service would.
///
/// # Errors
/// Which field is wrong, and what is wrong with it.
pub fn check(operation: crate::proto::v1::command::Operation) -> Result<(), Violation> {
    convert::command(&Directory::default(), operation).map(|_| ()).map_err(|refusal| errors::violation_in(&refusal))
}

/// What the services share.
#[derive(Clone)]
pub struct Api {
    node: Arc<Node>,
    limits: Limits,
    admission: Admission,
    stream_room: StreamRoom,
    /// Answers that their callers did not take yet.
    unsent: Arc<Held>,
    /// What walks compute once for all their pages.
    kept: Arc<Kept>,
    /// Questions that may read a whole history at once.
    histories: Admission,
    /// Of a question that a follower relayed: what its answer must show. Such a question is not relayed on.
    relayed_point: Option<LeaderPoint>,
}

impl Api {
    /// The services of a replica.
    pub fn new(node: Arc<Node>, limits: Limits) -> Api {
        Api {
            node,
            limits,
            admission: Admission::new(limits.calls_in_flight),
            stream_room: StreamRoom::new(limits.streams, limits.streamed_bytes),
            unsent: Held::new(limits.unsent_bytes),
            kept: Arc::default(),
            histories: Admission::new(limits::HISTORIES_AT_ONCE),
            relayed_point: None,
        }
    }

    /// The bytes of answers that their callers did not take yet, which whoever serves the services counts as well.
    pub fn unsent(&self) -> &Arc<Held> {
        &self.unsent
    }

    /// The ledger service.
    pub fn ledger(&self) -> Ledger {
        let service = LedgerServiceServer::new(self.clone())
            .max_decoding_message_size(self.limits.request_bytes)
            .max_encoding_message_size(self.limits.response_bytes);
        Ledger::new(self.clone(), service)
    }

    /// The audit service.
    pub fn audit(&self) -> AuditServiceServer<Api> {
        AuditServiceServer::new(self.clone())
            .max_decoding_message_size(self.limits.request_bytes)
            .max_encoding_message_size(self.limits.response_bytes)
    }

    /// The cluster service.
    pub fn cluster(&self) -> ClusterServiceServer<Api> {
        ClusterServiceServer::new(self.clone())
    }
}
