//! Opens an account.
//!
//! Precedence: the name (a repetition of the same opening, else `ACCOUNT_EXISTS_DIFFERENT`), `ASSET_NOT_FOUND`, the floor's scale, the ceiling's
//! scale, then `INSUFFICIENT_FUNDS` for a floor above zero, which an empty account would break.

use alloc::boxed::Box;
use core::fmt::Debug;

use super::content::{differences, operation_of};
use super::set_limits::{ceiling_at_scale, check_limits, floor_at_scale};
use crate::account::{Account, AccountNumber, AccountStatus, Totals};
use crate::apply::Decision;
use crate::command::{OpenAccount, Operation};
use crate::journal::{AccountOpened, Event};
use crate::outcome::{Accepted, Rejection};
use crate::records::{Records, Stop};
use crate::working::{Context, Step, Working};

pub(crate) fn apply<E: Debug>(
    working: &mut Working<'_, E>,
    context: &Context<'_>,
    open: &OpenAccount,
) -> Step<Decision, E> {
    if let Some(number) = working.account_number(&open.name).map_err(Stop::Records)? {
        return again(working, number, open);
    }
    let Some(asset) = working.asset_by_code(&open.asset).map_err(Stop::Records)? else {
        return Err(Rejection::AssetNotFound(open.asset).into());
    };
    let account = Account {
        asset: asset.number,
        scale: asset.scale,
        class: open.class,
        status: AccountStatus::Open,
        floor: floor_at_scale(&asset, open.floor)?,
        ceiling: open.ceiling.map(|ceiling| ceiling_at_scale(&asset, ceiling)).transpose()?,
        totals: Totals::zero(asset.scale),
        opened: working.head().sequence.next(),
    };
    check_limits(&open.name, &account)?;
    let number = AccountNumber(working.head().accounts);
    working.open_account(open.name.clone(), number, account);
    let event = Event::AccountOpened(Box::new(AccountOpened {
        account: number,
        name: open.name.clone(),
        asset: open.asset,
        class: open.class,
        floor: account.floor,
        ceiling: account.ceiling,
        metadata: open.metadata.clone(),
    }));
    let sequence = working.record(context, event);
    Ok(Decision::booked(Accepted::AccountOpened(number), sequence))
}

fn again<E: Debug>(working: &Working<'_, E>, number: AccountNumber, open: &OpenAccount) -> Step<Decision, E> {
    let account = working.known_account(number)?;
    let first = working.known_record(account.opened)?;
    let asked = Operation::OpenAccount(Box::new(open.clone()));
    let fields = differences(working, &operation_of(working, &first)?, &asked)?;
    if fields.is_empty() {
        Ok(Decision::repeated(Accepted::AccountOpened(number), Some(first.sequence), first.point))
    } else {
        Err(Rejection::AccountExistsDifferent(fields).into())
    }
}
