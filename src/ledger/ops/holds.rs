//! Ending a reservation: every pending amount goes, and what is confirmed of it is booked.

use alloc::format;
use alloc::vec::Vec;
use core::fmt::Debug;

use crate::amount::Amount;
use crate::id::TransactionId;
use crate::journal::{Event, JournalPosting, JournalRecord, JournalSequence};
use crate::records::Stop;
use crate::transaction::{TransactionRecord, TransactionState};
use crate::working::{Working, broken};

/// How a reservation ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ending<'a> {
    /// Booked with these amounts, one per posting, none above the reserved.
    Confirmed(&'a [Amount]),
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
        None => Err(broken("I6", format!("transaction {transaction} has a state but no record created it"))),
    }
}

/// The postings that a try reserved.
pub(super) fn reserved<E: Debug>(
    working: &Working<'_, E>,
    transaction: TransactionId,
    record: &TransactionRecord,
) -> Result<Vec<JournalPosting>, Stop<E>> {
    match created(working, transaction, record)?.event {
        Event::Tried { postings, .. } => Ok(postings),
        other => Err(broken("I6", format!("transaction {transaction} is TRIED but was created by {other:?}"))),
    }
}

/// Ends a reservation on its accounts. The returned postings stand in the try's order; their amounts are what was booked, or
/// released where all was released.
pub(super) fn end<E: Debug>(
    working: &mut Working<'_, E>,
    transaction: TransactionId,
    reserved: &[JournalPosting],
    ending: Ending<'_>,
) -> Result<Vec<JournalPosting>, Stop<E>> {
    let mut postings = Vec::with_capacity(reserved.len());
    for (position, posting) in reserved.iter().enumerate() {
        let mut account = working.known_account(posting.account)?;
        let confirmed = match ending {
            Ending::Confirmed(amounts) => amounts
                .get(position)
                .copied()
                .ok_or_else(|| broken("I6", format!("transaction {transaction} lacks an amount to confirm")))?,
            Ending::Released => Amount::zero(account.scale),
        };
        account.totals = account.totals.resolve(posting.side, posting.amount, confirmed).ok_or_else(|| {
            broken(
                "I3",
                format!(
                    "transaction {transaction} reserved {} {:?} on account {} whose totals are {:?}",
                    posting.amount, posting.side, posting.account.0, account.totals
                ),
            )
        })?;
        working.put_account(posting.account, account);
        let amount = match ending {
            Ending::Confirmed(_) => confirmed,
            Ending::Released => posting.amount,
        };
        postings.push(JournalPosting { amount, totals: account.totals, ..*posting });
    }
    for posting in reserved {
        let account = working.known_account(posting.account)?;
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
