//! Amounts and stamps that step to a bound: on it, one short of it, one past it. Worked out here
//! from the four totals, in plain integers.

use ledger::account::{Account, AccountStatus, Floor, Side};
use ledger::journal::{Event, JournalSequence};
use ledger::{AccountRef, Amount, Balance, Rejection, TransactionId, TransactionRecord};

use super::moves::{Parts, Sum};
use super::{Pair, amount, floor};
use crate::model::text;

/// 2^96 - 1.
const MOST: i128 = (1 << 96) - 1;

fn minor(amount: Amount) -> i128 {
    i128::try_from(amount.mantissa()).unwrap()
}

/// What may be spent, what is expected, and all four totals together.
fn figures(account: &Account) -> (i128, i128, i128) {
    let (totals, normal) = (account.totals, account.class.normal_side());
    let posted = minor(totals.posted(normal)) - minor(totals.posted(normal.opposite()));
    let (incoming, outgoing) = (minor(totals.pending(normal)), minor(totals.pending(normal.opposite())));
    let all = minor(totals.debits_posted) + minor(totals.credits_posted) + incoming + outgoing;
    (posted - outgoing, posted + incoming, all)
}

/// How much more an account takes on a side, by each bound that it has there.
fn rooms(account: &Account, side: Side) -> Vec<i128> {
    let (available, expected, all) = figures(account);
    let mut rooms = vec![MOST - all];
    match account.floor {
        Floor::AtLeast(least) if side != account.class.normal_side() => rooms.push(available - least.mantissa()),
        Floor::AtLeast(_) | Floor::Unlimited => {}
    }
    if let Some(ceiling) = account.ceiling.filter(|_| side == account.class.normal_side()) {
        rooms.push(minor(ceiling) - expected);
    }
    rooms
}

impl Pair {
    fn account(&self, account: &AccountRef) -> Option<&Account> {
        let number = match account {
            AccountRef::Number(number) => *number,
            AccountRef::Name(name) => *self.book.records.names.get(name)?,
        };
        self.book.records.accounts.get(&number)
    }

    /// So many minor units off one of the bounds of a payment; none where there is no such amount.
    pub(super) fn near_bound(&self, from: &AccountRef, to: &AccountRef, which: usize, step: i128) -> Option<Amount> {
        let (from, to) = (self.account(from)?, self.account(to)?);
        let mut rooms = rooms(from, Side::Debit);
        // The range is met more seldom than what accounts are for.
        rooms.rotate_left(1);
        rooms.extend(super::near::rooms(to, Side::Credit).into_iter().rev());
        let units = rooms[which % rooms.len()] + step;
        let units = u128::try_from(units).ok().filter(|units| *units > 0)?;
        Amount::from_minor(units, from.scale)
    }

    pub(super) fn near_available(&self, account: &AccountRef, sum: Sum) -> Floor {
        match sum {
            Sum::Written(text) => floor(text),
            Sum::Near(_, step) => match self.account(account) {
                Some(account) => {
                    // Beyond the range there is no such floor.
                    let least = text(figures(account).0 + step, account.scale.digits());
                    Balance::parse(&least).map_or(Floor::Unlimited, Floor::AtLeast)
                }
                None => Floor::Unlimited,
            },
        }
    }

    pub(super) fn near_expected(&self, account: &AccountRef, sum: Sum) -> Option<Amount> {
        match sum {
            Sum::Written(text) => amount(text),
            Sum::Near(_, step) => {
                let account = self.account(account)?;
                Amount::from_minor(u128::try_from(figures(account).1 + step).ok()?, account.scale)
            }
        }
    }

    /// The amounts of a confirm or a reversal. `of` says which record booked or reserved them, and
    /// whether what was reversed goes off.
    pub(super) fn parts(
        &self,
        transaction: TransactionId,
        parts: &Parts,
        of: impl FnOnce(&TransactionRecord) -> (Option<JournalSequence>, bool),
    ) -> Option<Vec<Amount>> {
        let (position, step) = match parts {
            Parts::All => return None,
            Parts::Written(texts) => return Some(texts.iter().filter_map(|text| amount(text)).collect()),
            Parts::Near(position, step) => (*position, *step),
        };
        let record = self.book.records.transactions.get(&transaction)?;
        let (sequence, is_reversal) = of(record);
        let postings = self.book.records.journal.get(&sequence?)?.event.postings();
        let mut amounts = Vec::new();
        for (number, posting) in postings.iter().enumerate() {
            let before = record.reversed.get(number).filter(|_| is_reversal).map_or(0, |before| minor(*before));
            let step = if position.is_none_or(|position| position == number) { step } else { 0 };
            let units = (minor(posting.amount) - before + step).clamp(0, MOST);
            let scale = self.book.records.accounts[&posting.account].scale;
            amounts.extend(Amount::from_minor(u128::try_from(units).unwrap(), scale));
        }
        Some(amounts)
    }

    /// Counts the bounds that the last entry left met to the unit, and the holds that it met to the
    /// nanosecond.
    pub(super) fn note_bounds_met(&mut self) {
        let mut met = Vec::new();
        for account in self.book.records.accounts.values().filter(|one| one.status != AccountStatus::Closed) {
            let (available, expected, all) = figures(account);
            match account.floor {
                Floor::AtLeast(least) if least.mantissa() == available && all > 0 => {
                    met.push(if available < 0 { "a floor below zero is met" } else { "a floor is met" });
                }
                Floor::AtLeast(_) | Floor::Unlimited => {}
            }
            if account.ceiling.is_some_and(|ceiling| minor(ceiling) == expected && expected > 0) {
                met.push("a ceiling is met");
            }
            if all == MOST {
                met.push("the range is met");
            }
        }
        let (time, stamp) = (self.book.records.head.time.0, u64::try_from(self.stamp).unwrap());
        if self.book.records.holds.first().is_some_and(|(deadline, _)| deadline.0 == time + 1) {
            met.push("a hold is open one nanosecond before its deadline");
        }
        let at_its_deadline = |event: &Event| matches!(event, Event::Expired { deadline, .. } if deadline.0 == stamp);
        if self.book.last_journal.iter().any(|record| record.point.time.0 == stamp && at_its_deadline(&record.event)) {
            met.push("a hold expires at the stamp that is its deadline");
        }
        for kind in met {
            *self.seen.entry(kind.to_string()).or_default() += 1;
        }
    }
}

/// Which bound a refusal says was missed by a single minor unit.
pub(super) fn missed_by_one(refusal: &Rejection) -> Option<&'static str> {
    match refusal {
        Rejection::InsufficientFunds(funds) => {
            let missing = funds.floor.mantissa() - (funds.available.mantissa() - minor(funds.needed));
            let is_below = funds.floor.is_negative();
            let kind = if is_below { "a floor below zero is missed by one" } else { "a floor is missed by one" };
            (missing == 1).then_some(kind)
        }
        Rejection::CeilingExceeded { ceiling, reached, .. } => {
            (reached.mantissa() - minor(*ceiling) == 1).then_some("a ceiling is missed by one")
        }
        Rejection::ExceedsReserved { reserved, asked, .. } => {
            (minor(*asked) - minor(*reserved) == 1).then_some("a reservation is exceeded by one")
        }
        Rejection::AlreadyReversed { remaining, asked, .. } => {
            (minor(*asked) - minor(*remaining) == 1).then_some("a reversal is exceeded by one")
        }
        _ => None,
    }
}
