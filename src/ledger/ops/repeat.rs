//! A remembered request id: the first answer again if the content is the same, else `REQUEST_ID_REUSED` naming the fields that differ.

use alloc::format;
use core::fmt::Debug;

use super::content::{differences, operation_of};
use crate::apply::Decision;
use crate::command::Command;
use crate::outcome::{Outcome, Rejection};
use crate::records::{Records, RequestBody, RequestRecord, Stop, accepted_by};
use crate::working::{Working, broken};

/// Answers a command whose request id is known. Nothing is remembered anew.
pub(crate) fn answer<E: Debug>(
    working: &Working<'_, E>,
    record: RequestRecord,
    command: &Command,
) -> Result<Decision, Stop<E>> {
    let (first, outcome, sequence) = match record.body {
        RequestBody::Booked(sequence) => {
            let booked = working.known_record(sequence)?;
            let accepted = accepted_by(&booked)
                .ok_or_else(|| broken("I6", format!("request {} points to an expiry", command.request)))?;
            (operation_of(working, &booked)?, Outcome::Accepted(accepted), Some(sequence))
        }
        RequestBody::Kept(kept) => (kept.command.operation, kept.outcome, kept.sequence),
    };
    let fields = differences(working, &first, &command.operation)?;
    let mut decision = if fields.is_empty() {
        Decision { outcome, sequence, replay_of: Some(record.point), state: None, is_new: false }
    } else {
        Decision { is_new: false, ..Decision::rejected(Rejection::RequestIdReused(fields)) }
    };
    if let Some(transaction) = command.operation.transaction() {
        decision.state = working.transaction(&transaction).map_err(Stop::Records)?.map(|record| record.state);
    }
    Ok(decision)
}
