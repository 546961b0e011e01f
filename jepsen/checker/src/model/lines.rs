//! The checks that every movement of money goes through, in the order of [`crate::precedence::LINES`].

use super::amount::{MAX_UNITS, render};
use super::book::Line;
use super::{Failed, Model, fail};
use crate::history::{AccountStatus, Reason, Side};
use crate::precedence::{LINES, LinesCheck};

/// What a movement does to one account: all its postings are on one side.
struct Moved {
    account: usize,
    side: Side,
    sum: u128,
}

fn moved(lines: &[Line]) -> Vec<Moved> {
    let mut accounts: Vec<Moved> = Vec::with_capacity(lines.len());
    for line in lines {
        match accounts.iter_mut().find(|moved| moved.account == line.account && moved.side == line.side) {
            Some(moved) => moved.sum = moved.sum.saturating_add(line.amount),
            None => accounts.push(Moved { account: line.account, side: line.side, sum: line.amount }),
        }
    }
    accounts
}

fn size(units: u128) -> i128 {
    i128::try_from(units).unwrap_or(i128::MAX)
}

impl Model<'_> {
    /// Walks a table of checks over the lines of a movement.
    pub(super) fn check_lines(&self, lines: &[Line], checks: &[LinesCheck]) -> Result<(), Failed> {
        for check in checks {
            match check {
                LinesCheck::Balanced => self.check_balanced(lines)?,
                LinesCheck::Takes => lines.iter().try_for_each(|line| self.check_takes(line))?,
                LinesCheck::Fits => self.check_fits(lines)?,
                LinesCheck::Floors => moved(lines).iter().try_for_each(|moved| self.check_floor(moved))?,
                LinesCheck::Ceilings => moved(lines).iter().try_for_each(|moved| self.check_ceiling(moved))?,
            }
        }
        Ok(())
    }

    /// The same, for the lines that move something: a line of amount zero is left out, and so is what its account would say.
    pub(super) fn check_moving(&self, lines: &[Line]) -> Result<(), Failed> {
        let moving: Vec<Line> = lines.iter().filter(|line| line.amount > 0).cloned().collect();
        self.check_lines(&moving, LINES)
    }

    /// Two postings over two assets are no exchange, but a mistake.
    pub(super) fn check_one_asset(&self, lines: &[Line]) -> Result<(), Failed> {
        match lines {
            [first, second] if self.book.accounts[first.account].asset != self.book.accounts[second.account].asset => {
                let account = self.book.accounts[second.account].name.to_owned();
                Err(fail(Reason::AssetMismatch, [("account", account)]))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn check_balanced(&self, lines: &[Line]) -> Result<(), Failed> {
        let mut sums: Vec<(usize, u128, u128)> = Vec::new();
        for line in lines {
            let asset = self.book.accounts[line.account].asset;
            let position = sums.iter().position(|(known, _, _)| *known == asset).unwrap_or_else(|| {
                sums.push((asset, 0, 0));
                sums.len() - 1
            });
            // At most 256 amounts of 96 bits: the sum cannot leave 128.
            match line.side {
                Side::Debit => sums[position].1 += line.amount,
                Side::Credit => sums[position].2 += line.amount,
            }
        }
        match sums.iter().all(|(_, debits, credits)| debits == credits) {
            true => Ok(()),
            false => Err(fail(Reason::Unbalanced, [])),
        }
    }

    fn check_takes(&self, line: &Line) -> Result<(), Failed> {
        let account = &self.book.accounts[line.account];
        let named = |reason| Err(fail(reason, [("account", account.name.to_owned())]));
        match account.status {
            AccountStatus::Open => Ok(()),
            AccountStatus::Frozen => named(Reason::AccountFrozen),
            AccountStatus::Closed => named(Reason::AccountClosed),
        }
    }

    fn check_fits(&self, lines: &[Line]) -> Result<(), Failed> {
        for moved in moved(lines) {
            let account = &self.book.accounts[moved.account];
            // All four together: so no confirm can ever overflow.
            let held = [Side::Debit, Side::Credit]
                .map(|side| account.totals.posted(side).saturating_add(account.totals.pending(side)))
                .iter()
                .fold(moved.sum, |sum, held| sum.saturating_add(*held));
            if held > MAX_UNITS {
                return Err(fail(Reason::BalanceOverflow, []));
            }
        }
        Ok(())
    }

    fn check_floor(&self, moved: &Moved) -> Result<(), Failed> {
        let account = &self.book.accounts[moved.account];
        let against = moved.side != account.class.normal_side();
        let Some(floor) = account.floor.filter(|_| against) else {
            return Ok(());
        };
        if account.available() - size(moved.sum) >= floor {
            return Ok(());
        }
        let scale = self.book.scale_of(moved.account);
        Err(fail(
            Reason::InsufficientFunds,
            [
                ("account", account.name.to_owned()),
                ("available", render(account.available(), scale)),
                ("needed", render(size(moved.sum), scale)),
            ],
        ))
    }

    fn check_ceiling(&self, moved: &Moved) -> Result<(), Failed> {
        let account = &self.book.accounts[moved.account];
        let along = moved.side == account.class.normal_side();
        match account.ceiling.filter(|_| along) {
            Some(ceiling) if account.reach() + size(moved.sum) > size(ceiling) => {
                Err(fail(Reason::CeilingExceeded, [("account", account.name.to_owned())]))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Books the confirmed amounts of lines.
    pub(super) fn book_lines(&mut self, lines: &[Line]) {
        for line in lines.iter().filter(|line| line.confirmed > 0) {
            *self.book.change_account(line.account).totals.posted_mut(line.side) += line.confirmed;
        }
    }

    /// Reserves lines, or releases what they reserved.
    pub(super) fn reserve_lines(&mut self, lines: &[Line], change: Reservation) {
        for line in lines.iter().filter(|line| line.amount > 0) {
            let pending = self.book.change_account(line.account).totals.pending_mut(line.side);
            *pending = match change {
                Reservation::Held => *pending + line.amount,
                Reservation::Released => pending.saturating_sub(line.amount),
            };
        }
    }
}

/// What becomes of a reservation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reservation {
    /// It is made.
    Held,
    /// It ends.
    Released,
}
