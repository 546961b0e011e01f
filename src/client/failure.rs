//! Why a call has no answer.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::direct::NoConnection;

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
    /// Whoever answers does not know the method, so nothing was done: no port for clients, or an older release.
    NotFolio,
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
    /// What was wrong.
    pub message: String,
    /// What to do, where the server said so.
    pub remedy: Box<str>,
    /// The reason's values.
    pub metadata: HashMap<String, String>,
}

impl Failure {
    /// A failure found on this side.
    pub fn local(kind: FailureKind, message: impl Into<String>) -> Failure {
        Failure {
            kind,
            reason: String::new(),
            message: message.into(),
            remedy: Box::default(),
            metadata: HashMap::new(),
        }
    }

    /// What the status of a stream that only reads means.
    pub fn of_read(status: &Status) -> Failure {
        Failure::from_status(status, false)
    }

    /// What a status means. `may_have_happened`: whether an earlier attempt of the same request got lost on its way.
    pub(super) fn from_status(status: &Status, may_have_happened: bool) -> Failure {
        let details = status.get_error_details();
        let (reason, metadata) = match details.error_info() {
            Some(info) => (info.reason.clone(), info.metadata.clone()),
            None => (String::new(), HashMap::new()),
        };
        let remedy: Box<str> = details.localized_message().map(|told| told.message.as_str().into()).unwrap_or_default();
        // A refusal that the log decided says where.
        let is_decided = metadata.contains_key("log_index") && metadata.contains_key("position");
        let kind = match status.code() {
            _ if is_decided && status.code() == Code::NotFound => FailureKind::NotFound,
            _ if is_decided => FailureKind::Rejected,
            Code::InvalidArgument | Code::OutOfRange => FailureKind::Malformed,
            Code::NotFound => FailureKind::NotFound,
            Code::AlreadyExists | Code::FailedPrecondition => FailureKind::Rejected,
            // This answer may be certain of itself. It says nothing of the attempt that got lost.
            _ if may_have_happened => FailureKind::Unknown,
            Code::Unimplemented if reason.is_empty() => FailureKind::NotFolio,
            Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Cancelled | Code::Unknown => {
                FailureKind::Unavailable
            }
            Code::Ok
            | Code::PermissionDenied
            | Code::Aborted
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss
            | Code::Unauthenticated => FailureKind::Other,
        };
        // For callers that show the message alone, the server ends it with the remedy.
        let message = status.message().strip_suffix(&*remedy).unwrap_or(status.message());
        let message = message.strip_suffix("; ").unwrap_or(message);
        // What stands between may give a code and no more.
        let message = if message.is_empty() { status.code().description() } else { message };
        let message = match first_cause(status) {
            Some(cause) if !message.contains(&cause) => format!("{message}: {cause}"),
            Some(_) | None => message.to_owned(),
        };
        Failure { kind, reason, message, remedy, metadata }
    }

    /// The same, saying at which address: for what no replica of ours gave a reason for.
    #[must_use]
    pub fn at(mut self, address: &str) -> Failure {
        if self.kind == FailureKind::NotFolio {
            self.message = format!(
                "{address} answers, but not as folio does for clients; is it the port for peers, or another program's?"
            );
        } else if self.reason.is_empty() {
            self.message = format!("{address} does not answer: {}", self.message);
        }
        self
    }
}

/// Whether a status says that the same request may be sent again.
pub(super) fn is_retryable(status: &Status) -> bool {
    match status.code() {
        // Internal: the replica cannot read its storage, or its connection broke off in the middle of a frame. Another replica may answer.
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Cancelled
        | Code::Unknown
        | Code::Internal => true,
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => false,
    }
}

/// Whether the request that failed with this status can have been proposed.
pub(super) fn may_have_been_proposed(status: &Status) -> bool {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.as_str());
    match reason {
        Some("OVERLOADED" | "NO_QUORUM" | "DEADLINE_EXCEEDED" | "CLOCK_SKEW") => false,
        Some(_) => true,
        // There is no such method there, or nobody was let through to it.
        None if matches!(status.code(), Code::Unimplemented | Code::PermissionDenied | Code::Unauthenticated) => false,
        // Without a reason of ours it is the transport that failed: only where no connection was made is it certain that nothing was sent.
        None => !has_no_connection(status),
    }
}

/// What the system or a library said in the first place, of a call that failed on this side.
fn first_cause(status: &Status) -> Option<String> {
    let mut cause = std::error::Error::source(status)?;
    while let Some(earlier) = cause.source() {
        cause = earlier;
    }
    Some(cause.to_string())
}

fn has_no_connection(status: &Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        let is_refused = error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused);
        if is_refused || error.is::<tonic::ConnectError>() || error.is::<NoConnection>() {
            return true;
        }
        source = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use tonic_types::ErrorDetails;

    use super::*;

    fn with_reason(code: Code, reason: &str, values: &[(&str, &str)]) -> Status {
        let values: HashMap<String, String> =
            values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, "folio", values);
        Status::with_error_details(code, "what was wrong", details)
    }

    #[test]
    fn a_refusal_that_the_log_decided_is_final_even_after_a_lost_attempt() {
        let at = [("log_index", "7"), ("position", "0")];
        let status = with_reason(Code::FailedPrecondition, "INSUFFICIENT_FUNDS", &at);
        let failure = Failure::from_status(&status, true);
        assert_eq!(failure.kind, FailureKind::Rejected);
        assert_eq!(failure.reason, "INSUFFICIENT_FUNDS");
        assert!(!is_retryable(&status));
        // A scale that only the log could judge: decided, kept, and so no mere malformed request.
        let form = with_reason(Code::InvalidArgument, "AMOUNT_SCALE_EXCEEDED", &at);
        assert_eq!(Failure::from_status(&form, true).kind, FailureKind::Rejected);
        let absent = with_reason(Code::NotFound, "ACCOUNT_NOT_FOUND", &at);
        assert_eq!(Failure::from_status(&absent, true).kind, FailureKind::NotFound);
    }

    #[test]
    fn nothing_happened_only_where_that_is_certain() {
        for reason in ["OVERLOADED", "NO_QUORUM", "DEADLINE_EXCEEDED", "CLOCK_SKEW"] {
            let status = with_reason(Code::Unavailable, reason, &[]);
            assert!(!may_have_been_proposed(&status), "{reason}");
            assert_eq!(Failure::from_status(&status, false).kind, FailureKind::Unavailable, "{reason}");
        }
        for reason in ["NOT_LEADER", "OUTCOME_UNKNOWN", "STORAGE_FAILED", "A_REASON_OF_A_LATER_RELEASE"] {
            assert!(may_have_been_proposed(&with_reason(Code::Unavailable, reason, &[])), "{reason}");
        }
        // The connection broke off: there is no reason of ours.
        for code in [Code::Unknown, Code::Internal, Code::Cancelled, Code::Unavailable, Code::DeadlineExceeded] {
            let status = Status::new(code, "transport error");
            assert!(may_have_been_proposed(&status) && is_retryable(&status), "{code:?}");
            assert_eq!(Failure::from_status(&status, true).kind, FailureKind::Unknown, "{code:?}");
        }
    }

    #[test]
    fn a_malformed_request_is_neither_refused_nor_unknown() {
        let failure = Failure::from_status(&with_reason(Code::InvalidArgument, "INVALID_ARGUMENT", &[]), false);
        assert_eq!(failure.kind, FailureKind::Malformed);
    }

    #[tokio::test]
    async fn a_refused_connection_is_certain_to_have_sent_nothing() {
        let address = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        };
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
        let mut client = crate::proto::v1::cluster_service_client::ClusterServiceClient::new(channel);
        let status = client.get_status(crate::proto::v1::GetStatusRequest {}).await.unwrap_err();
        assert!(!may_have_been_proposed(&status), "{status:?}");
        assert!(is_retryable(&status));
    }
}
