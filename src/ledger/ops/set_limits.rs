//! Changes an account's floor, ceiling or both; what today's balance would break is refused.
//!
//! Precedence: `ACCOUNT_NOT_FOUND`, the floor's scale, the ceiling's scale, `ACCOUNT_CLOSED`, `INSUFFICIENT_FUNDS` (floor), `CEILING_EXCEEDED`.
//! A frozen account's limits may change.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use core::fmt::Debug;

use crate::account::{Account, AccountStatus, Floor};
use crate::amount::{Amount, AmountError};
use crate::apply::Decision;
use crate::asset::Asset;
use crate::command::{CeilingChange, SetLimits};
use crate::journal::Event;
use crate::name::AccountName;
use crate::outcome::{Accepted, InsufficientFunds, Rejection};
use crate::working::{Context, Step, Working, broken};

pub(crate) fn apply<E: Debug>(
    working: &mut Working<'_, E>,
    context: &Context<'_>,
    limits: &SetLimits,
) -> Step<Decision, E> {
    let number = working.resolve(&limits.account)?;
    let before = working.known_account(number)?;
    let asset = working.known_asset(before.asset)?;
    let floor = limits.floor.map(|floor| floor_at_scale(&asset, floor)).transpose()?;
    let ceiling = match limits.ceiling {
        CeilingChange::Set(ceiling) => CeilingChange::Set(ceiling_at_scale(&asset, ceiling)?),
        keep @ (CeilingChange::Keep | CeilingChange::Remove) => keep,
    };
    let name = working.known_name(number)?;
    if before.status == AccountStatus::Closed {
        return Err(Rejection::AccountClosed(name).into());
    }
    let mut after = before;
    if let Some(floor) = floor {
        after.floor = floor;
    }
    match ceiling {
        CeilingChange::Keep => {}
        CeilingChange::Remove => after.ceiling = None,
        CeilingChange::Set(ceiling) => after.ceiling = Some(ceiling),
    }
    if after == before {
        return Ok(Decision::unchanged(Accepted::LimitsSet));
    }
    check_limits(&name, &after)?;
    working.put_account(number, after);
    let sequence = working.record(context, Event::LimitsSet { account: number, floor, ceiling });
    Ok(Decision::booked(Accepted::LimitsSet, sequence))
}

fn misfit(asset: &Asset, error: AmountError, amount: &dyn ToString) -> Rejection {
    Rejection::Amount { error, amount: amount.to_string(), asset: asset.code, scale: asset.scale.digits() }
}

/// Brings a floor to its asset's scale.
pub(super) fn floor_at_scale(asset: &Asset, floor: Floor) -> Result<Floor, Rejection> {
    match floor {
        Floor::Unlimited => Ok(Floor::Unlimited),
        Floor::AtLeast(least) => {
            least.at_scale(asset.scale).map(Floor::AtLeast).map_err(|error| misfit(asset, error, &least))
        }
    }
}

/// Brings a ceiling to its asset's scale.
pub(super) fn ceiling_at_scale(asset: &Asset, ceiling: Amount) -> Result<Amount, Rejection> {
    ceiling.at_scale(asset.scale).map_err(|error| misfit(asset, error, &ceiling))
}

/// Refuses limits that the account's balance breaks.
pub(super) fn check_limits<E: Debug>(name: &AccountName, account: &Account) -> Step<(), E> {
    let out_of_range = || broken("I8", format!("a balance of account {name} left its range"));
    if let Floor::AtLeast(floor) = account.floor
        && !account.keeps_floor().ok_or_else(out_of_range)?
    {
        return Err(Rejection::InsufficientFunds(Box::new(InsufficientFunds {
            account: name.clone(),
            available: account.available().ok_or_else(out_of_range)?,
            needed: floor.magnitude(),
            floor,
        }))
        .into());
    }
    if let Some(ceiling) = account.ceiling
        && !account.keeps_ceiling().ok_or_else(out_of_range)?
    {
        let reached = account.expected().ok_or_else(out_of_range)?;
        return Err(Rejection::CeilingExceeded { account: name.clone(), ceiling, reached }.into());
    }
    Ok(())
}
