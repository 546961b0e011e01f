//! Closes an account for good: only at a balance of zero with nothing pending. A frozen account may be closed.
//!
//! Precedence: `ACCOUNT_NOT_FOUND`, `ACCOUNT_NOT_EMPTY`. Closing a closed account is success without change.

use alloc::format;
use core::fmt::Debug;

use crate::account::AccountStatus;
use crate::apply::Decision;
use crate::command::AccountRef;
use crate::journal::Event;
use crate::outcome::{Accepted, Rejection};
use crate::working::{Context, Step, Working, broken};

pub(crate) fn apply<E: Debug>(
    working: &mut Working<'_, E>,
    context: &Context<'_>,
    account: &AccountRef,
) -> Step<Decision, E> {
    let number = working.resolve(account)?;
    let mut account = working.known_account(number)?;
    if account.status == AccountStatus::Closed {
        return Ok(Decision::unchanged(Accepted::Closed));
    }
    if !account.is_empty() {
        let name = working.known_name(number)?;
        let posted =
            account.posted().ok_or_else(|| broken("I8", format!("the balance of account {name} left its range")))?;
        return Err(Rejection::AccountNotEmpty {
            account: name,
            posted,
            debits_pending: account.totals.debits_pending,
            credits_pending: account.totals.credits_pending,
        }
        .into());
    }
    account.status = AccountStatus::Closed;
    working.put_account(number, account);
    let sequence = working.record(context, Event::AccountClosed(number));
    Ok(Decision::booked(Accepted::Closed, sequence))
}
