//! Bounds on what is received.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::errors;
use crate::replication::{SubmitError, deadline_in};

/// What a client that is not told otherwise takes of one message: 4 MiB, in every language.
pub(super) const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// About the most bytes of a page and of a message of the journal's stream; one item alone may have more, and has not.
pub(super) const MAX_PAGE_BYTES: usize = MAX_MESSAGE_BYTES / 4;
/// The most bytes of the results of a batch.
pub(super) const MAX_RESULTS_BYTES: usize = MAX_MESSAGE_BYTES / 16 * 15;
/// The most bytes of one result that tells no more than it must: the results of the largest batch have room for it each, and
/// a little is left for the first of them to tell all.
pub(super) const SHORT_RESULT_BYTES: usize = MAX_MESSAGE_BYTES / 8 * 7 / ledger::limits::MAX_BATCH_COMMANDS;

/// Statements by effective date that are answered at once, others wait: one may hold some 25 MiB meanwhile.
pub(super) const HISTORIES_AT_ONCE: usize = 4;

/// The bounds of the services.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest message that is decoded at all, in bytes; one above [`ledger::limits::MAX_REQUEST_BYTES`] is refused with its size named.
    pub request_bytes: usize,
    /// The largest response, in bytes.
    pub response_bytes: usize,
    /// Calls being answered at once; more are refused as overload.
    pub calls_in_flight: usize,
    /// Commands of one stream that are being decided, or whose answers were not taken yet.
    pub stream_in_flight: usize,
    /// Streams open at once; more are refused as overload.
    pub streams: usize,
    /// What the commands of all streams may take, beyond a little that each stream has to itself, until their answers are taken.
    pub streamed_bytes: u32,
    /// Bytes that were received and that nobody has read yet, and all of the messages that are not whole; a call that brings more is refused as overload.
    pub receiving_bytes: usize,
    /// Bytes of answers that callers do not take; while there are more, calls are refused as overload.
    pub unsent_bytes: usize,
    /// The deadline of a call that names none.
    pub default_timeout: Duration,
    /// The longest deadline.
    pub max_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            request_bytes: 2 * ledger::limits::MAX_REQUEST_BYTES,
            response_bytes: 16 * 1024 * 1024,
            calls_in_flight: 16_384,
            stream_in_flight: 1_024,
            streams: 1_024,
            streamed_bytes: 64 * 1024 * 1024,
            receiving_bytes: 192 * 1024 * 1024,
            unsent_bytes: 128 * 1024 * 1024,
            default_timeout: Duration::from_secs(10),
            max_timeout: Duration::from_secs(60),
        }
    }
}

impl Limits {
    /// When a call must have ended.
    pub(super) fn deadline(&self, metadata: &MetadataMap) -> Instant {
        let timeout = deadline_in(metadata).unwrap_or(self.default_timeout).min(self.max_timeout);
        Instant::now() + timeout
    }
}

/// Admits calls up to a number.
#[derive(Debug, Clone)]
pub(super) struct Admission(Arc<Semaphore>);

impl Admission {
    pub(super) fn new(calls: usize) -> Admission {
        Admission(Arc::new(Semaphore::new(calls)))
    }

    /// Waits for admission until a deadline.
    pub(super) async fn wait(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Status> {
        match tokio::time::timeout_at(deadline, Arc::clone(&self.0).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(errors::submit(&SubmitError::Overloaded, None)),
        }
    }

    /// Admits a call until the permit is dropped, or refuses it as overload.
    pub(super) fn admit(&self) -> Result<OwnedSemaphorePermit, Status> {
        Arc::clone(&self.0).try_acquire_owned().map_err(|_| errors::submit(&SubmitError::Overloaded, None))
    }
}
