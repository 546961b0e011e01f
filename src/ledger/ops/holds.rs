//! Ending a reservation: every pending amount goes, and what is confirmed of it is booked.

use alloc::format;
use alloc::vec::Vec;
use core::fmt::Debug;

use crate::amount::Amount;
use crate::id::TransactionId;
use crate::journal::{Event, JournalPosting, JournalRecord, JournalSequence};
use crate::records::{Records, Stop};
use crate::transaction::{TransactionRecord, TransactionState};
use crate::working::{Working, broken, missing};

/// How a reservation ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ending<'a> {
    /// Booked whole.
    Confirmed,
    /// Booked with these amounts, one per posting, none above the reserved.
    ConfirmedInPart(&'a [Amount]),
    /// Released whole.
    Released,
}

/// The record that created a transaction.
pub(super) fn created<E: Debug>(
    working: &Working<'_, E>,
    transaction: TransactionId,
    record: &TransactionRecord,
) -> Result<JournalRecord, Stop<E>> {
    match record.created {
        Some(sequence) => working.known_record(sequence),
        None => Err(uncreated(transaction)),
    }
}

fn uncreated<E>(transaction: TransactionId) -> Stop<E> {
    broken("I6", format!("transaction {transaction} has a state but no record created it"))
}

/// The postings that a try reserved.
pub(super) fn reserved<E: Debug>(
    working: &Working<'_, E>,
    transaction: TransactionId,
    record: &TransactionRecord,
) -> Result<Vec<JournalPosting>, Stop<E>> {
    let Some(sequence) = record.created else {
        return Err(uncreated(transaction));
    };
    let mut reserved = Err(missing(sequence));
    working
        .show_journal(sequence, &mut |record| {
            reserved = match &record.event {
                Event::Tried { postings, .. } => Ok(postings.clone()),
                other => Err(broken("I6", format!("transaction {transaction} is TRIED but was created by {other:?}"))),
            };
        })
        .map_err(Stop::Records)?;
    reserved
}

/// Ends a reservation on its accounts. The postings stay in the try's order; their amounts become what was booked, or
/// what was released where all was released.
pub(super) fn end<E: Debug>(
    working: &mut Working<'_, E>,
    transaction: TransactionId,
    mut postings: Vec<JournalPosting>,
    ending: Ending<'_>,
) -> Result<Vec<JournalPosting>, Stop<E>> {
    for (position, posting) in postings.iter_mut().enumerate() {
        let (place, mut account) = working.find_account(posting.account)?;
        let reserved = posting.amount;
        let confirmed = match ending {
            Ending::Confirmed => reserved,
            Ending::ConfirmedInPart(amounts) => amounts
                .get(position)
                .copied()
                .ok_or_else(|| broken("I6", format!("transaction {transaction} lacks an amount to confirm")))?,
            Ending::Released => Amount::zero(account.scale),
        };
        account.totals = account.totals.resolve(posting.side, reserved, confirmed).ok_or_else(|| {
            broken(
                "I3",
                format!(
                    "transaction {transaction} reserved {reserved} {:?} on account {} whose totals are {:?}",
                    posting.side, posting.account.0, account.totals
                ),
            )
        })?;
        working.put_account_at(place, posting.account, account);
        posting.totals = account.totals;
        posting.amount = match ending {
            Ending::Confirmed | Ending::ConfirmedInPart(_) => confirmed,
            Ending::Released => reserved,
        };
    }
    for posting in &postings {
        let account = working.changed_account(posting.account)?;
        if account.keeps_floor() != Some(true) || account.keeps_ceiling() != Some(true) {
            return Err(broken(
                "I5",
                format!("ending transaction {transaction} breaks a limit of account {}", posting.account.0),
            ));
        }
    }
    Ok(postings)
}

/// Marks a transaction as resolved by `sequence`.
pub(super) fn mark<E: Debug>(
    working: &mut Working<'_, E>,
    transaction: TransactionId,
    mut record: TransactionRecord,
    state: TransactionState,
    sequence: JournalSequence,
) {
    record.state = state;
    record.resolved = Some(sequence);
    working.put_transaction(transaction, record);
}
