//! `kept`: answers that are kept whole, because their commands made no journal record of their own: refusals, repetitions under a fresh id, atomic batches. Numbered from 1, in blocks.

use ledger::{RequestId, RequestRecord};
use serde::{Deserialize, Serialize};

/// A request and what is remembered of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRecord {
    /// The request.
    pub request: RequestId,
    /// Its command and answer.
    pub record: RequestRecord,
}
