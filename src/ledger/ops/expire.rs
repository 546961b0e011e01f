//! Expiry: a deadline releases a reservation. Nobody asks for it; the log's time does.

use alloc::format;
use core::fmt::Debug;

use super::holds::{Ending, end, mark, reserved};
use crate::id::TransactionId;
use crate::journal::Event;
use crate::outcome::Point;
use crate::records::{Records, Stop};
use crate::time::LogTime;
use crate::transaction::TransactionState;
use crate::working::{Context, Working, broken};

/// Expires one TRIED transaction before the command at `place`. Its record carries the deadline, or the previous record's time plus one
/// where that is later.
pub(crate) fn apply<E: Debug>(
    working: &mut Working<'_, E>,
    place: Point,
    transaction: TransactionId,
    deadline: LogTime,
) -> Result<(), Stop<E>> {
    let record = working
        .transaction(&transaction)
        .map_err(Stop::Records)?
        .ok_or_else(|| broken("I6", format!("a hold names transaction {transaction}, which is not on the book")))?;
    if record.state != TransactionState::Tried || record.deadline != Some(deadline) {
        return Err(broken(
            "I6",
            format!("a hold at {} names transaction {transaction}, which is {record:?}", deadline.0),
        ));
    }
    let time = working.next_time(deadline)?;
    working.set_time(time);
    let reserved = reserved(working, transaction, &record)?;
    let postings = end(working, transaction, reserved, Ending::Released)?;
    let context = Context { point: Point { time, ..place }, request: None, principal: "" };
    let sequence = working.record(&context, Event::Expired { transaction, deadline, postings });
    mark(working, transaction, record, TransactionState::Expired, sequence);
    Ok(())
}
