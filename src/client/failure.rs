//! Why a call has no answer.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The kinds of failures that a caller must tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The request is not well formed.
    Malformed,
    /// What was asked for is not there.
    NotFound,
    /// The book refused it: decided and final.
    Rejected,
    /// No replica took it in time: nothing happened, or nothing that was to be changed.
    Unavailable,
    /// It may have happened, or may yet: repeat the same request id.
    Unknown,
    /// Something else.
    Other,
}

/// A failed call.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Its kind.
    pub kind: FailureKind,
    /// The reason in capitals, where the server gave one.
    pub reason: String,
    /// What was wrong and what to do.
    pub message: String,
    /// The reason's values.
    pub metadata: HashMap<String, String>,
}

impl Failure {
    /// A failure found on this side.
    pub fn local(kind: FailureKind, message: impl Into<String>) -> Failure {
        Failure { kind, reason: String::new(), message: message.into(), metadata: HashMap::new() }
    }

    /// What a status means. `may_have_happened`: whether an earlier attempt of the same request got lost on its way.
    pub(super) fn from_status(status: &Status, may_have_happened: bool) -> Failure {
        let details = status.get_error_details();
        let (reason, metadata) = match details.error_info() {
            Some(info) => (info.reason.clone(), info.metadata.clone()),
            None => (String::new(), HashMap::new()),
        };
        // A refusal that the log decided says where.
        let is_decided = metadata.contains_key("log_index") && metadata.contains_key("position");
        let kind = match status.code() {
            _ if is_decided && status.code() == Code::NotFound => FailureKind::NotFound,
            _ if is_decided => FailureKind::Rejected,
            Code::InvalidArgument | Code::OutOfRange => FailureKind::Malformed,
            Code::NotFound => FailureKind::NotFound,
            Code::AlreadyExists | Code::FailedPrecondition => FailureKind::Rejected,
            Code::ResourceExhausted if !may_have_happened => FailureKind::Unavailable,
            Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Cancelled | Code::Unknown => {
                if may_have_happened {
                    FailureKind::Unknown
                } else {
                    FailureKind::Unavailable
                }
            }
            Code::Ok
            | Code::PermissionDenied
            | Code::Aborted
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss
            | Code::Unauthenticated => FailureKind::Other,
        };
        Failure { kind, reason, message: status.message().to_owned(), metadata }
    }
}

/// Whether a status says that the same request may be sent again.
pub(super) fn is_retryable(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Cancelled | Code::Unknown
    )
}

/// Whether the request that failed with this status can have been proposed.
pub(super) fn may_have_been_proposed(status: &Status) -> bool {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.as_str());
    match reason {
        Some("OVERLOADED" | "NO_QUORUM" | "DEADLINE_EXCEEDED") => false,
        Some(_) => true,
        // Without a reason of ours it is the transport that failed: only a refused connection is certain.
        None => !is_refused_connection(status),
    }
}

fn is_refused_connection(status: &Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::ConnectionRefused
        {
            return true;
        }
        source = error.source();
    }
    false
}
