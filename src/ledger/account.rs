//! Accounts: four totals, from which everything else is derived.

use serde::{Deserialize, Serialize};

use crate::amount::{Amount, Balance};
use crate::asset::AssetNumber;
use crate::journal::JournalSequence;
use crate::limits::MAX_MANTISSA;
use crate::name::Scale;

/// The dense number of an account, given in log order from 0. Accounts are never deleted, so a number stays good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountNumber(pub u32);

/// The two sides of a posting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Side {
    /// The left side.
    Debit,
    /// The right side.
    Credit,
}

impl Side {
    /// The other side.
    pub fn opposite(self) -> Side {
        match self {
            Side::Debit => Side::Credit,
            Side::Credit => Side::Debit,
        }
    }
}

/// The class of an account; it fixes the normal side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Class {
    /// Debit-normal: what is owned.
    Asset,
    /// Credit-normal: what is owed.
    Liability,
    /// Credit-normal: what belongs to the owners.
    Equity,
    /// Credit-normal: what was earned.
    Income,
    /// Debit-normal: what was spent.
    Expense,
}

impl Class {
    /// The side on which the account grows.
    pub fn normal_side(self) -> Side {
        match self {
            Class::Asset | Class::Expense => Side::Debit,
            Class::Liability | Class::Equity | Class::Income => Side::Credit,
        }
    }
}

/// The least that an account's available balance may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Floor {
    /// At least this; negative allows an overdraft.
    AtLeast(Balance),
    /// No bound: for accounts that face the outside.
    Unlimited,
}

/// Whether an account takes postings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountStatus {
    /// Takes postings.
    Open,
    /// Takes no new posting or try; reservations made before still confirm or cancel.
    Frozen,
    /// Final: empty, and takes nothing any more.
    Closed,
}

/// The four totals of an account, at its asset's scale. Posted totals never fall (I7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Reserved debits of TRIED transactions.
    pub debits_pending: Amount,
    /// Booked debits.
    pub debits_posted: Amount,
    /// Reserved credits of TRIED transactions.
    pub credits_pending: Amount,
    /// Booked credits.
    pub credits_posted: Amount,
}

impl Totals {
    /// All zero.
    pub fn zero(scale: Scale) -> Totals {
        let zero = Amount::zero(scale);
        Totals { debits_pending: zero, debits_posted: zero, credits_pending: zero, credits_posted: zero }
    }

    /// What is booked on `side`.
    pub fn posted(&self, side: Side) -> Amount {
        match side {
            Side::Debit => self.debits_posted,
            Side::Credit => self.credits_posted,
        }
    }

    /// What is reserved on `side`.
    pub fn pending(&self, side: Side) -> Amount {
        match side {
            Side::Debit => self.debits_pending,
            Side::Credit => self.credits_pending,
        }
    }

    fn posted_mut(&mut self, side: Side) -> &mut Amount {
        match side {
            Side::Debit => &mut self.debits_posted,
            Side::Credit => &mut self.credits_posted,
        }
    }

    fn pending_mut(&mut self, side: Side) -> &mut Amount {
        match side {
            Side::Debit => &mut self.debits_pending,
            Side::Credit => &mut self.credits_pending,
        }
    }

    /// Whether no total, nor any sum of two, can leave the 96-bit range, now or after any confirm (I8). Confirming
    /// everything that is pending makes the posted totals sum to all four, so all four together must fit.
    fn fits(&self) -> bool {
        let all = self.debits_pending.mantissa()
            + self.debits_posted.mantissa()
            + self.credits_pending.mantissa()
            + self.credits_posted.mantissa();
        all <= MAX_MANTISSA
    }

    /// Books `amount` on `side`; `None` if that would break I8.
    #[must_use]
    pub fn post(mut self, side: Side, amount: Amount) -> Option<Totals> {
        let total = self.posted_mut(side);
        *total = total.checked_add(amount)?;
        self.fits().then_some(self)
    }

    /// Reserves `amount` on `side`; `None` if that, or its confirm, would break I8.
    #[must_use]
    pub fn reserve(mut self, side: Side, amount: Amount) -> Option<Totals> {
        let total = self.pending_mut(side);
        *total = total.checked_add(amount)?;
        self.fits().then_some(self)
    }

    /// Ends a reservation of `reserved` on `side`, booking `confirmed` of it; `None` if no such reservation can be
    /// there (I3) or more would be booked than was reserved (I6).
    #[must_use]
    pub fn resolve(mut self, side: Side, reserved: Amount, confirmed: Amount) -> Option<Totals> {
        reserved.checked_sub(confirmed)?;
        let pending = self.pending_mut(side);
        *pending = pending.checked_sub(reserved)?;
        let posted = self.posted_mut(side);
        *posted = posted.checked_add(confirmed)?;
        Some(self)
    }
}

/// What the book knows of an account besides its name and metadata, which its opening record keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The asset it holds.
    pub asset: AssetNumber,
    /// That asset's scale.
    pub scale: Scale,
    /// Its class.
    pub class: Class,
    /// Its status.
    pub status: AccountStatus,
    /// The least that `available` may be.
    pub floor: Floor,
    /// The most that posted plus incoming pending may be.
    pub ceiling: Option<Amount>,
    /// Its totals.
    pub totals: Totals,
    /// The journal record that opened it.
    pub opened: JournalSequence,
}

impl Account {
    /// Normal side posted minus other side posted. `None` only if a total left its range, which [`Totals`] prevents.
    pub fn posted(&self) -> Option<Balance> {
        posted_balance(self.class, &self.totals)
    }

    /// Posted minus what is pending on the other side: what may be spent.
    pub fn available(&self) -> Option<Balance> {
        available_balance(self.class, &self.totals)
    }

    /// Posted plus incoming pending: what the ceiling bounds.
    pub fn expected(&self) -> Option<Balance> {
        self.posted()?.checked_add(self.totals.pending(self.class.normal_side()))
    }

    /// Whether `available` respects the floor.
    pub fn keeps_floor(&self) -> Option<bool> {
        match self.floor {
            Floor::Unlimited => Some(true),
            Floor::AtLeast(floor) => Some(self.available()? >= floor),
        }
    }

    /// Whether posted plus incoming pending respects the ceiling.
    pub fn keeps_ceiling(&self) -> Option<bool> {
        match self.ceiling {
            None => Some(true),
            Some(ceiling) => {
                let expected = self.expected()?;
                Some(expected.is_negative() || expected.magnitude() <= ceiling)
            }
        }
    }

    /// Whether the balance is zero and nothing is pending, as closing demands.
    pub fn is_empty(&self) -> bool {
        self.totals.debits_pending.is_zero()
            && self.totals.credits_pending.is_zero()
            && self.totals.debits_posted == self.totals.credits_posted
    }
}

/// The posted balance that `totals` mean for an account of `class`.
pub fn posted_balance(class: Class, totals: &Totals) -> Option<Balance> {
    let normal = class.normal_side();
    totals.posted(normal).balance_over(totals.posted(normal.opposite()))
}

/// The available balance that `totals` mean for an account of `class`.
pub fn available_balance(class: Class, totals: &Totals) -> Option<Balance> {
    posted_balance(class, totals)?.checked_sub(totals.pending(class.normal_side().opposite()))
}
