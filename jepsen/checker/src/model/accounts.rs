//! Assets and accounts: registering, opening, limits, freezing, closing.

use super::book::{Account, Asset, First};
use super::{Decision, Failed, Model, amount, content, fail, silent};
use crate::history::{AccountClass, AccountStatus, CeilingChange, Command, Done, FloorText, LogPoint, Reason, Totals};
use crate::precedence::{AccountCheck, CLOSE, FREEZE, SET_LIMITS};

/// Limits as they shall be: floor (none: unlimited) and ceiling.
type Limits = (Option<i128>, Option<u128>);

fn amount_at(text: &str, scale: u32) -> Result<u128, Failed> {
    let written = amount::parse(text).ok_or_else(|| fail(Reason::AmountMalformed, []))?;
    written.at_scale(scale).map_err(|reason| fail(reason, [("amount", text.to_owned())]))
}

fn floor_at(floor: &FloorText, scale: u32) -> Result<Option<i128>, Failed> {
    let FloorText::AtLeast(text) = floor else {
        return Ok(None);
    };
    let units = amount_at(text.strip_prefix('-').unwrap_or(text), scale)?;
    let size = i128::try_from(units).map_err(|_| fail(Reason::AmountOutOfRange, []))?;
    Ok(Some(if text.starts_with('-') { -size } else { size }))
}

impl<'history> Model<'history> {
    pub(super) fn register_asset(&mut self, at: LogPoint, code: &str, scale: u32) -> Result<Decision, Failed> {
        if let Some(known) = self.book.asset(code).map(|number| &self.book.assets[number]) {
            return match known.scale == scale {
                true if silent::SAME_OPENING_IS_REPLAYED => Ok(Decision::again(&known.registered)),
                true => Ok(Decision::done(Done::default(), None)),
                false => Err(fail(Reason::AssetExistsDifferent, [])),
            };
        }
        let sequence = Some(self.book.next_sequence());
        let registered = First { at, sequence, done: Done::default() };
        self.book.add_asset(Asset { code: code.to_owned(), scale, registered });
        Ok(Decision::done(Done::default(), sequence))
    }

    pub(super) fn open_account(
        &mut self,
        at: LogPoint,
        command: &'history Command,
        name: &'history str,
        asset: &str,
        class: AccountClass,
        (floor, ceiling): (Option<&FloorText>, Option<&str>),
    ) -> Result<Decision, Failed> {
        if let Some(known) = self.book.account(name).map(|number| &self.book.accounts[number]) {
            return match content::same_body(known.opening, command) {
                true if silent::SAME_OPENING_IS_REPLAYED => Ok(Decision::again(&known.opened)),
                true => Ok(Decision::done(Done::default(), None)),
                false => Err(fail(Reason::AccountExistsDifferent, [])),
            };
        }
        let number = self.book.asset(asset);
        let number = number.ok_or_else(|| fail(Reason::AssetNotFound, [("asset", asset.to_owned())]))?;
        let scale = self.book.assets[number].scale;
        let floor = floor.map_or(Ok(Some(0)), |floor| floor_at(floor, scale))?;
        let ceiling = ceiling.map(|text| amount_at(text, scale)).transpose()?;
        if floor.is_some_and(|floor| floor > 0) {
            return Err(fail(Reason::InsufficientFunds, [("account", name.to_owned())]));
        }
        let sequence = Some(self.book.next_sequence());
        self.book.add_account(Account {
            name,
            asset: number,
            class,
            status: AccountStatus::Open,
            floor,
            ceiling,
            totals: Totals::default(),
            opening: command,
            opened: First { at, sequence, done: Done::default() },
        });
        Ok(Decision::done(Done::default(), sequence))
    }

    /// Walks a table of checks; the account's number if all pass.
    fn check_account(
        &self,
        name: &str,
        checks: &[AccountCheck],
        limits: impl Fn(u32, Limits) -> Result<Limits, Failed>,
    ) -> Result<(usize, Limits), Failed> {
        let named = |reason| fail(reason, [("account", name.to_owned())]);
        let number = self.book.account(name).ok_or_else(|| named(Reason::AccountNotFound))?;
        let account = &self.book.accounts[number];
        let mut asked = (account.floor, account.ceiling);
        for check in checks {
            match check {
                // Nothing else can be asked of an account that is not there, so this one is always the first.
                AccountCheck::Found => {}
                AccountCheck::NotClosed if account.status == AccountStatus::Closed => {
                    return Err(named(Reason::AccountClosed));
                }
                AccountCheck::Amounts => asked = limits(self.book.scale_of(number), asked)?,
                AccountCheck::Floor
                    if asked.0 != account.floor && asked.0.is_some_and(|floor| account.available() < floor) =>
                {
                    return Err(named(Reason::InsufficientFunds));
                }
                AccountCheck::Ceiling
                    if asked.1 != account.ceiling
                        && asked
                            .1
                            .is_some_and(|ceiling| account.reach() > i128::try_from(ceiling).unwrap_or(i128::MAX)) =>
                {
                    return Err(named(Reason::CeilingExceeded));
                }
                AccountCheck::Empty
                    if account.posted() != 0
                        || account.totals.debits_pending != 0
                        || account.totals.credits_pending != 0 =>
                {
                    return Err(named(Reason::AccountNotEmpty));
                }
                AccountCheck::NotClosed | AccountCheck::Floor | AccountCheck::Ceiling | AccountCheck::Empty => {}
            }
        }
        Ok((number, asked))
    }

    pub(super) fn set_limits(
        &mut self,
        name: &str,
        floor: Option<&FloorText>,
        ceiling: &CeilingChange,
    ) -> Result<Decision, Failed> {
        let (number, (floor, ceiling)) = self.check_account(name, SET_LIMITS, |scale, (old_floor, old_ceiling)| {
            let floor = floor.map_or(Ok(old_floor), |floor| floor_at(floor, scale))?;
            let ceiling = match ceiling {
                CeilingChange::Keep => old_ceiling,
                CeilingChange::Set(text) => Some(amount_at(text, scale)?),
                CeilingChange::Remove => None,
            };
            Ok((floor, ceiling))
        })?;
        let before = &self.book.accounts[number];
        if (before.floor, before.ceiling) == (floor, ceiling) && !silent::SAME_LIMITS_ARE_BOOKED {
            return Ok(Decision::done(Done::default(), None));
        }
        let account = self.book.change_account(number);
        account.floor = floor;
        account.ceiling = ceiling;
        Ok(Decision::done(Done::default(), Some(self.book.next_sequence())))
    }

    fn set_status(&mut self, number: usize, status: AccountStatus) -> Decision {
        let same = self.book.accounts[number].status == status;
        if same && !silent::SAME_STATUS_IS_BOOKED {
            return Decision::done(Done::default(), None);
        }
        self.book.change_account(number).status = status;
        Decision::done(Done::default(), Some(self.book.next_sequence()))
    }

    pub(super) fn freeze(&mut self, name: &str) -> Result<Decision, Failed> {
        let (number, _) = self.check_account(name, FREEZE, |_, limits| Ok(limits))?;
        Ok(self.set_status(number, AccountStatus::Frozen))
    }

    pub(super) fn unfreeze(&mut self, name: &str) -> Result<Decision, Failed> {
        let (number, _) = self.check_account(name, FREEZE, |_, limits| Ok(limits))?;
        Ok(self.set_status(number, AccountStatus::Open))
    }

    pub(super) fn close(&mut self, name: &str) -> Result<Decision, Failed> {
        let (number, _) = self.check_account(name, CLOSE, |_, limits| Ok(limits))?;
        Ok(self.set_status(number, AccountStatus::Closed))
    }
}
