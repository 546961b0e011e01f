//! Several endpoints, one call: to the endpoint that answered last, then to the leader it names, then around.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};
use tonic_types::StatusExt as _;

use super::direct::Direct;
use super::failure::{Failure, FailureKind, is_retryable, may_have_been_proposed};
use crate::proto::v1::audit_service_client::AuditServiceClient;
use crate::proto::v1::cluster_service_client::ClusterServiceClient;
use crate::proto::v1::ledger_service_client::LedgerServiceClient;
use crate::tcp;

/// Between two attempts at first; doubled up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_millis(200);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest that one attempt takes, so that a replica that hangs does not use up the whole time.
const MAX_ATTEMPT: Duration = Duration::from_secs(3);
pub(super) const MAX_RESPONSE_BYTES: usize = 64 * 1024 * 1024;

const REMEDY_OF_UNKNOWN: &str = "The outcome is not known. Repeat the same request id: it is answered as it was decided, and nothing happens twice.";

/// Refuses what is not a host and a port, above all what would reach another port than was meant.
fn check_host_and_port(address: &str) -> Result<(), &'static str> {
    let Some((host, port)) = address.rsplit_once(':') else { return Err("it has no port") };
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || "/@?#".contains(c)) {
        return Err("its host is not a name or an address");
    }
    match port.parse::<u16>() {
        Ok(0) | Err(_) => Err("its port is not a number from 1 to 65535"),
        Ok(_) => Ok(()),
    }
}

/// What a call is for. Without an answer, a read has changed nothing, whatever became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    Read,
    Change,
}

/// How a client reaches a cluster.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// `host:port` of one or more replicas.
    pub endpoints: Vec<String>,
    /// The longest that a call takes, attempts and pauses included.
    pub timeout: Duration,
}

/// A client. Cheap to share by reference; connections are made when first used and kept.
#[derive(Debug)]
pub struct Client {
    addresses: Vec<String>,
    channels: Vec<Channel>,
    /// The same endpoints for single calls; none where the channels were made elsewhere.
    directs: Vec<Direct>,
    preferred: AtomicUsize,
    timeout: Duration,
}

impl Client {
    /// A client of a cluster. Nothing is connected yet.
    ///
    /// # Errors
    /// [`FailureKind::Malformed`] if there is no endpoint or one is not `host:port`.
    pub fn new(config: &ClientConfig) -> Result<Client, Failure> {
        let mut endpoints = Vec::with_capacity(config.endpoints.len());
        let mut directs = Vec::with_capacity(config.endpoints.len());
        for address in &config.endpoints {
            let malformed = |problem: &str| {
                let message = format!("endpoint {address:?} is not host:port, such as 127.0.0.1:7001: {problem}");
                Failure::local(FailureKind::Malformed, message)
            };
            check_host_and_port(address).map_err(malformed)?;
            let endpoint = Endpoint::from_shared(format!("http://{address}"));
            let endpoint = endpoint.map_err(|error| malformed(&error.to_string()))?;
            let direct = Direct::new(address, CONNECT_TIMEOUT);
            directs.push(direct.ok_or_else(|| malformed("its host is not a name or an address"))?);
            let channel = tcp::channel(&tcp::with_windows(endpoint).connect_timeout(CONNECT_TIMEOUT));
            endpoints.push((address.clone(), channel));
        }
        Ok(Client { directs, ..Client::over(endpoints, config.timeout)? })
    }

    /// A client of a cluster over channels made elsewhere, such as those of a simulated network, each with its replica's client address.
    ///
    /// # Errors
    /// [`FailureKind::Malformed`] if there is none.
    pub fn over(endpoints: Vec<(String, Channel)>, timeout: Duration) -> Result<Client, Failure> {
        if endpoints.is_empty() {
            return Err(Failure::local(FailureKind::Malformed, "no endpoint is given; use --endpoints host:port"));
        }
        let (addresses, channels) = endpoints.into_iter().unzip();
        Ok(Client { addresses, channels, directs: Vec::new(), preferred: AtomicUsize::new(0), timeout })
    }

    /// How many endpoints there are.
    pub fn endpoints(&self) -> usize {
        self.channels.len()
    }

    /// The longest that a call takes.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The address of an endpoint.
    pub fn address(&self, endpoint: usize) -> &str {
        self.addresses.get(endpoint).map_or("", String::as_str)
    }

    /// Prefers another endpoint for the next call, counted around if there are fewer.
    pub fn prefer(&self, endpoint: usize) {
        self.preferred.store(endpoint % self.channels.len(), Ordering::Relaxed);
    }

    /// The connection to one endpoint, for calls that are about that replica.
    pub fn channel(&self, endpoint: usize) -> Option<Channel> {
        self.channels.get(endpoint).cloned()
    }

    /// Calls the ledger service to change something. `message` is sent again as it is, so it must carry its request ids.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn ledger<M, R, F>(
        &self,
        message: M,
        call: impl Fn(LedgerServiceClient<Channel>, Request<M>) -> F,
    ) -> Result<R, Failure>
    where
        M: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        self.attempt(Intent::Change, message, |channel, request| {
            call(LedgerServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES), request)
        })
        .await
    }

    /// Calls the ledger service with a question, which changes nothing.
    ///
    /// # Errors
    /// [`Failure`]; never [`FailureKind::Unknown`].
    pub async fn ledger_read<M, R, F>(
        &self,
        message: M,
        call: impl Fn(LedgerServiceClient<Channel>, Request<M>) -> F,
    ) -> Result<R, Failure>
    where
        M: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        self.attempt(Intent::Read, message, |channel, request| {
            call(LedgerServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES), request)
        })
        .await
    }

    /// Calls the audit service, which changes nothing.
    ///
    /// # Errors
    /// [`Failure`]; never [`FailureKind::Unknown`].
    pub async fn audit<M, R, F>(
        &self,
        message: M,
        call: impl Fn(AuditServiceClient<Channel>, Request<M>) -> F,
    ) -> Result<R, Failure>
    where
        M: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        self.attempt(Intent::Read, message, |channel, request| {
            call(AuditServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES), request)
        })
        .await
    }

    /// The status of one endpoint's replica.
    ///
    /// # Errors
    /// [`Failure`] if it does not answer in time.
    pub async fn status(&self, endpoint: usize) -> Result<crate::proto::v1::GetStatusResponse, Failure> {
        let Some(channel) = self.channel(endpoint) else {
            return Err(Failure::local(FailureKind::Other, format!("there is no endpoint {endpoint}")));
        };
        let mut client = ClusterServiceClient::new(channel);
        let call = client.get_status(crate::proto::v1::GetStatusRequest {});
        match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(Failure::from_status(&status, false)),
            Err(_) => Err(Failure::local(FailureKind::Unavailable, "the replica did not answer in time")),
        }
    }

    /// The endpoint for single calls, if it is reached without a channel made elsewhere.
    pub(super) fn direct(&self, endpoint: usize) -> Option<&Direct> {
        self.directs.get(endpoint)
    }

    /// Sends a message over a channel until there is an answer or the time is up.
    async fn attempt<M, R, F>(
        &self,
        intent: Intent,
        message: M,
        call: impl Fn(Channel, Request<M>) -> F,
    ) -> Result<R, Failure>
    where
        M: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        self.until_answered(intent, |endpoint, timeout| {
            let mut request = Request::new(message.clone());
            request.set_timeout(timeout);
            let called = self.channel(endpoint).map(|channel| call(channel, request));
            async move {
                match called {
                    Some(called) => called.await.map(Response::into_inner),
                    None => Err(Status::internal("there is no such endpoint")),
                }
            }
        })
        .await
    }

    /// Makes calls, each to an endpoint and with its timeout, until there is an answer or the time is up.
    pub(super) async fn until_answered<R, F>(
        &self,
        intent: Intent,
        call: impl Fn(usize, Duration) -> F,
    ) -> Result<R, Failure>
    where
        F: Future<Output = Result<R, Status>>,
    {
        let deadline = Instant::now() + self.timeout;
        // The first attempt is told the whole time, always the same, so that its header is known to the other side and takes a byte.
        let mut left = self.timeout;
        let mut pause = FIRST_PAUSE;
        let mut may_have_happened = false;
        let mut last = Failure::local(FailureKind::Unavailable, "no replica answered in time");
        while !left.is_zero() {
            let endpoint = self.preferred.load(Ordering::Relaxed);
            // With one endpoint there is nowhere else to go, so one attempt may take all the time.
            let attempt = if self.channels.len() == 1 { left } else { left.min(MAX_ATTEMPT) };
            let status = match tokio::time::timeout(attempt, call(endpoint, attempt)).await {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded("the time is up"),
            };
            may_have_happened |= intent == Intent::Change && may_have_been_proposed(&status);
            last = Failure::from_status(&status, may_have_happened).at(self.address(endpoint));
            if !is_retryable(&status) {
                break;
            }
            self.turn_to_next(endpoint, &status);
            tokio::time::sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
            pause = (pause * 2).min(MAX_PAUSE);
            left = deadline.saturating_duration_since(Instant::now());
        }
        if last.kind == FailureKind::Unknown && last.remedy.is_empty() {
            last.remedy = REMEDY_OF_UNKNOWN.into();
        }
        Err(last)
    }

    /// Prefers the leader that a refusal names, or else the next endpoint.
    fn turn_to_next(&self, failed: usize, status: &Status) {
        let details = status.get_error_details();
        let named = details.error_info().and_then(|info| info.metadata.get("leader_address").cloned());
        let leader = named.and_then(|named| self.addresses.iter().position(|address| *address == named));
        let next = match leader {
            Some(leader) if leader != failed => leader,
            Some(_) | None => (failed + 1) % self.channels.len(),
        };
        // Another call may have found the leader meanwhile; turning away from it would undo that.
        let _ = self.preferred.compare_exchange(failed, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use tonic::Code;
    use tonic_types::ErrorDetails;

    use super::*;

    fn refusal(code: Code, reason: &str, values: &[(&str, &str)]) -> Status {
        let values: std::collections::HashMap<String, String> =
            values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, "folio", values);
        Status::with_error_details(code, "what was wrong", details)
    }

    /// Nobody listens, so nothing was sent.
    fn nobody() -> Status {
        let mut status = Status::unavailable("no connection");
        status.set_source(Arc::new(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)));
        status
    }

    /// The connection broke after the call was sent.
    fn lost() -> Status {
        Status::unavailable("the connection broke")
    }

    fn unimplemented() -> Status {
        Status::unimplemented("")
    }

    /// What a call comes to whose attempts end so, the last one again and again until the time is up.
    async fn outcome(intent: Intent, attempts: Vec<Status>) -> Failure {
        let channel = || Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
        let endpoints = vec![("one".to_owned(), channel()), ("two".to_owned(), channel())];
        let client = Client::over(endpoints, Duration::from_secs(5)).unwrap();
        let attempts = Mutex::new(VecDeque::from(attempts));
        let answered = client.until_answered(intent, |_, _| {
            let mut attempts = attempts.lock().unwrap();
            let status = if attempts.len() > 1 { attempts.pop_front() } else { attempts.front().cloned() };
            async { Err::<(), Status>(status.unwrap()) }
        });
        answered.await.unwrap_err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_attempt_stays_lost_whatever_later_attempts_are_certain_of() {
        let certain = || {
            let refused =
                ["NO_QUORUM", "OVERLOADED", "DEADLINE_EXCEEDED"].map(|reason| refusal(Code::Unavailable, reason, &[]));
            refused.into_iter().chain([nobody(), unimplemented()])
        };
        for later in certain() {
            let what = format!("{later:?}");
            let failure = outcome(Intent::Change, vec![lost(), later.clone()]).await;
            assert_eq!(failure.kind, FailureKind::Unknown, "lost, then {what}");
            assert!(!failure.remedy.is_empty(), "what to do is told: {failure:?}");
            let failure = outcome(Intent::Change, vec![nobody(), lost(), nobody(), later.clone()]).await;
            assert_eq!(failure.kind, FailureKind::Unknown, "lost in the middle, then {what}");
            // A question changes nothing, so nothing is unknown about it.
            let failure = outcome(Intent::Read, vec![lost(), later.clone()]).await;
            assert_ne!(failure.kind, FailureKind::Unknown, "a question, lost, then {what}");
            // Nothing was lost.
            let failure = outcome(Intent::Change, vec![nobody(), later]).await;
            assert!(matches!(failure.kind, FailureKind::Unavailable | FailureKind::NotFolio), "never sent: {what}");
        }
        // An attempt that is not answered in time is lost as well.
        assert_eq!(
            outcome(Intent::Change, vec![Status::deadline_exceeded("late"), nobody()]).await.kind,
            FailureKind::Unknown
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_log_decided_is_final_even_after_a_lost_attempt() {
        let at = [("log_index", "7"), ("position", "0")];
        let decided = refusal(Code::FailedPrecondition, "INSUFFICIENT_FUNDS", &at);
        assert_eq!(outcome(Intent::Change, vec![lost(), nobody(), decided]).await.kind, FailureKind::Rejected);
    }

    #[tokio::test(start_paused = true)]
    async fn no_failure_is_told_by_nothing() {
        for status in [Status::unavailable(""), Status::internal(""), Status::unknown(""), unimplemented()] {
            let failure = outcome(Intent::Read, vec![status.clone()]).await;
            let (_, told) = failure.message.rsplit_once(": ").unwrap_or(("", &failure.message));
            assert!(!told.trim().is_empty(), "{status:?}: {failure:?}");
            assert!(failure.message.contains("one") || failure.message.contains("two"), "who it is of: {failure:?}");
        }
    }

    /// To which of three endpoints the attempts of a call go, each of which ends so.
    async fn places(attempts: Vec<Status>) -> Vec<usize> {
        let channel = || Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
        let endpoints = ["one", "two", "three"].map(|name| (name.to_owned(), channel())).to_vec();
        let client = Client::over(endpoints, Duration::from_secs(5)).unwrap();
        let (left, places) = (Mutex::new(VecDeque::from(attempts)), Mutex::new(Vec::new()));
        let answered = client.until_answered(Intent::Change, |endpoint, _| {
            places.lock().unwrap().push(endpoint);
            let status = left.lock().unwrap().pop_front();
            async { status.map_or(Ok(()), Err) }
        });
        let _ = answered.await;
        places.into_inner().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_attempt_goes_to_the_leader_that_is_named_or_to_the_next_endpoint() {
        let named = |address| refusal(Code::Unavailable, "NOT_LEADER", &[("leader_address", address)]);
        assert_eq!(places(vec![lost(), lost(), lost()]).await, [0, 1, 2, 0]);
        assert_eq!(places(vec![named("three")]).await, [0, 2]);
        assert_eq!(places(vec![named("one"), named("a stranger")]).await, [0, 1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_certain_is_not_sent_again() {
        for status in [Status::invalid_argument(""), Status::failed_precondition(""), unimplemented()] {
            assert_eq!(places(vec![status]).await, [0]);
        }
    }

    /// Of several replicas one that hangs does not use up the whole time; one alone may.
    #[tokio::test(start_paused = true)]
    async fn an_attempt_is_cut_off_where_there_is_another_endpoint() {
        for (count, expected) in [(1, 1), (2, 2)] {
            let channel = || Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
            let endpoints = (0..count).map(|number| (number.to_string(), channel())).collect();
            let client = Client::over(endpoints, MAX_ATTEMPT + Duration::from_secs(1)).unwrap();
            let attempts = AtomicUsize::new(0);
            let answered = client.until_answered(Intent::Read, |_, _| {
                attempts.fetch_add(1, Ordering::Relaxed);
                std::future::pending::<Result<(), Status>>()
            });
            assert_eq!(answered.await.unwrap_err().kind, FailureKind::Unavailable);
            assert_eq!(attempts.load(Ordering::Relaxed), expected, "{count} endpoints");
        }
    }

    #[test]
    fn an_endpoint_is_a_host_and_a_port_from_1_to_65535() {
        for good in ["127.0.0.1:1", "folio-1:65535", "[::1]:7001"] {
            assert_eq!(check_host_and_port(good), Ok(()), "{good}");
        }
        for bad in ["folio", "folio:", ":7001", "folio:0", "folio:65536", "a b:1", "a/b:1", "a@b:1"] {
            assert!(check_host_and_port(bad).is_err(), "{bad}");
        }
    }
}
