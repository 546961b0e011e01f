//! What freezing and unfreezing share: a change between open and frozen.

use core::fmt::Debug;

use crate::account::{AccountNumber, AccountStatus};
use crate::apply::Decision;
use crate::command::AccountRef;
use crate::journal::Event;
use crate::outcome::{Accepted, Rejection};
use crate::working::{Context, Step, Working};

pub(super) fn change<E: Debug>(
    working: &mut Working<'_, E>,
    context: &Context<'_>,
    account: &AccountRef,
    status: AccountStatus,
    accepted: Accepted,
    event: fn(AccountNumber) -> Event,
) -> Step<Decision, E> {
    let number = working.resolve(account)?;
    let mut account = working.known_account(number)?;
    if account.status == AccountStatus::Closed {
        return Err(Rejection::AccountClosed(working.known_name(number)?).into());
    }
    if account.status == status {
        return Ok(Decision::unchanged(accepted));
    }
    account.status = status;
    working.put_account(number, account);
    let sequence = working.record(context, event(number));
    Ok(Decision::booked(accepted, sequence))
}
