//! Unfreezes an account: new postings and tries are taken again.
//!
//! Precedence: `ACCOUNT_NOT_FOUND`, `ACCOUNT_CLOSED`. Where the account is already so, the answer is success without change.

use core::fmt::Debug;

use super::status::change;
use crate::account::AccountStatus;
use crate::apply::Decision;
use crate::command::AccountRef;
use crate::journal::Event;
use crate::outcome::Accepted;
use crate::working::{Context, Step, Working};

pub(crate) fn apply<E: Debug>(
    working: &mut Working<'_, E>,
    context: &Context<'_>,
    account: &AccountRef,
) -> Step<Decision, E> {
    change(working, context, account, AccountStatus::Open, Accepted::Unfrozen, Event::AccountUnfrozen)
}
