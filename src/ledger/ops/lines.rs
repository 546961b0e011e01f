//! Postings against the book: resolved, balanced, checked against status, range, floor and ceiling, then booked or reserved.
//!
//! The order of precedence of everything that posts:
//! 1. per posting, in order: `ACCOUNT_NOT_FOUND`, `ASSET_MISMATCH` (stated asset), `AMOUNT_SCALE_EXCEEDED` / `AMOUNT_OUT_OF_RANGE`
//! 2. one account on both sides (`INVALID_ARGUMENT`): found here only where a name and a number meant one account
//! 3. two postings over two assets: `ASSET_MISMATCH`; otherwise, by asset number, `UNBALANCED`
//! 4. per posting, in order: `ACCOUNT_CLOSED`, `ACCOUNT_FROZEN`
//! 5. per posting, in order: `BALANCE_OVERFLOW`
//! 6. per posting against the normal side, in order: `INSUFFICIENT_FUNDS`
//! 7. per posting on the normal side, in order: `CEILING_EXCEEDED`

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt::Debug;

use crate::account::{Account, AccountNumber, AccountStatus, Floor, Side};
use crate::amount::{Amount, Scaled};
use crate::asset::{Asset, AssetNumber};
use crate::command::Posting;
use crate::journal::JournalPosting;
use crate::name::AccountName;
use crate::outcome::{InsufficientFunds, Rejection};
use crate::records::Stop;
use crate::shape::{Violation, same_account_on_both_sides};
use crate::table::Place;
use crate::working::{Step, Working, broken};

/// A posting whose account is known and whose amount is at its asset's scale.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) account: AccountNumber,
    pub(super) asset: AssetNumber,
    pub(super) side: Side,
    pub(super) amount: Amount,
    pub(super) asset_stated: bool,
}

/// What booking does with an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Booking {
    Post,
    Reserve,
}

/// Brings an amount to an asset's scale, or refuses it naming the asset.
pub(super) fn at_scale<E: Debug>(working: &Working<'_, E>, amount: Amount, asset: AssetNumber) -> Step<Amount, E> {
    to_scale(&working.known_asset(asset)?, amount)
}

fn to_scale<E>(asset: &Asset, amount: Amount) -> Step<Amount, E> {
    amount.at_scale(asset.scale).map_err(|error| {
        Rejection::Amount { error, amount: amount.to_string(), asset: asset.code, scale: asset.scale.digits() }.into()
    })
}

/// Resolves and balances what a client asks to book: steps 1 to 3.
pub(super) fn resolve<E: Debug>(working: &mut Working<'_, E>, postings: &[Posting]) -> Step<Lines, E> {
    let mut lines = Lines::begin(working);
    for posting in postings {
        let number = working.resolve(&posting.account)?;
        let asset = working.known_asset(lines.account(working, number)?.asset)?;
        if let Some(stated) = posting.asset
            && stated != asset.code
        {
            let account = working.known_name(number)?;
            return Err(Rejection::AssetMismatch { account, holds: asset.code, stated }.into());
        }
        let amount = to_scale(&asset, posting.amount)?;
        lines.push(Line {
            account: number,
            asset: asset.number,
            side: posting.side,
            amount,
            asset_stated: posting.asset.is_some(),
        });
    }
    if let Some(position) = same_account_on_both_sides(lines.all().iter().map(|line| (line.account, line.side))) {
        return Err(Rejection::InvalidArgument(Violation {
            field: format!("postings[{position}].account"),
            problem: "stands on both sides".into(),
        })
        .into());
    }
    if let [first, second] = lines.all()
        && first.asset != second.asset
    {
        return Err(Rejection::AssetMismatch {
            account: working.known_name(second.account)?,
            holds: working.known_asset(second.asset)?.code,
            stated: working.known_asset(first.asset)?.code,
        }
        .into());
    }
    if !is_balanced_pair(lines.all()) {
        check_balanced(working, lines.all().iter().map(|line| (line.asset, line.side, line.amount)))?;
    }
    Ok(lines)
}

/// Whether there are two lines that balance: most transactions are such, and this is the quick way to tell.
fn is_balanced_pair(lines: &[Line]) -> bool {
    match lines {
        [first, second] => first.asset == second.asset && first.side != second.side && first.amount == second.amount,
        _ => false,
    }
}

/// Refuses amounts whose debits and credits differ in some asset: the first such, by asset number.
pub(super) fn check_balanced<E: Debug>(
    working: &Working<'_, E>,
    amounts: impl Iterator<Item = (AssetNumber, Side, Amount)>,
) -> Step<(), E> {
    // At most 256 amounts of 96 bits: the sums need at most 104 bits.
    let mut sums: BTreeMap<AssetNumber, (u128, u128)> = BTreeMap::new();
    for (asset, side, amount) in amounts {
        let (debits, credits) = sums.entry(asset).or_default();
        match side {
            Side::Debit => *debits += amount.mantissa(),
            Side::Credit => *credits += amount.mantissa(),
        }
    }
    for (asset, (debits, credits)) in sums {
        if debits != credits {
            let asset = working.known_asset(asset)?;
            let text = |minor| Scaled { minor, scale: asset.scale.digits() }.to_string();
            return Err(
                Rejection::Unbalanced { asset: asset.code, debits: text(debits), credits: text(credits) }.into()
            );
        }
    }
    Ok(())
}

/// An account that lines touch.
#[derive(Debug, Clone, Copy)]
struct Touched {
    number: AccountNumber,
    /// Where the overlay keeps it, if it changed before.
    place: Option<Place>,
    /// What it becomes.
    account: Account,
}

/// Lines, and the accounts that they touch. The buffers go from one operation to the next, so that none of them allocates.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    lines: Vec<Line>,
    touched: Vec<Touched>,
}

impl Lines {
    /// No lines yet, in the buffers of the operation before.
    pub(super) fn begin<E>(working: &mut Working<'_, E>) -> Lines {
        let mut lines = core::mem::take(&mut working.lines);
        lines.lines.clear();
        lines.touched.clear();
        lines
    }

    pub(super) fn push(&mut self, line: Line) {
        self.lines.push(line);
    }

    pub(super) fn all(&self) -> &[Line] {
        &self.lines
    }

    /// An account that a line is about to touch.
    pub(super) fn account<E: Debug>(
        &mut self,
        working: &Working<'_, E>,
        number: AccountNumber,
    ) -> Result<&Account, Stop<E>> {
        let known = self.touched.iter().position(|touched| touched.number == number);
        let position = match known {
            Some(position) => position,
            None => {
                let (place, account) = working.find_account(number)?;
                self.touched.push(Touched { number, place, account });
                self.touched.len() - 1
            }
        };
        self.touched.get(position).map(|touched| &touched.account).ok_or_else(|| lost(number))
    }

    fn find<E>(&self, number: AccountNumber) -> Result<&Account, Stop<E>> {
        let touched = self.touched.iter().find(|touched| touched.number == number);
        touched.map(|touched| &touched.account).ok_or_else(|| lost(number))
    }

    fn moving(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| !line.amount.is_zero())
    }
}

fn lost<E>(number: AccountNumber) -> Stop<E> {
    broken("I11", format!("account number {} is posted to without being looked up", number.0))
}

/// Checks lines against their accounts and books them: steps 4 to 7. Lines of amount zero are left out but keep their
/// place in what is returned. Nothing is changed unless all is well.
pub(super) fn book<E: Debug>(
    working: &mut Working<'_, E>,
    mut lines: Lines,
    booking: Booking,
) -> Step<Vec<JournalPosting>, E> {
    for line in lines.moving() {
        check_status(working, lines.find(line.account)?, line.account)?;
    }
    let mut postings = Vec::with_capacity(lines.lines.len());
    let Lines { lines: all, touched } = &mut lines;
    for line in all {
        let found = touched.iter_mut().find(|touched| touched.number == line.account);
        let totals = &mut found.ok_or_else(|| lost(line.account))?.account.totals;
        let is_in_range = match booking {
            Booking::Post => totals.post(line.side, line.amount),
            Booking::Reserve => totals.reserve(line.side, line.amount),
        };
        match is_in_range {
            Some(after) => *totals = after,
            None => return Err(Rejection::BalanceOverflow(working.known_name(line.account)?).into()),
        }
        postings.push(JournalPosting {
            account: line.account,
            side: line.side,
            amount: line.amount,
            asset_stated: line.asset_stated,
            totals: *totals,
        });
    }
    for line in lines.moving() {
        check_floor(working, &lines, line)?;
    }
    for line in lines.moving() {
        check_ceiling(working, &lines, line)?;
    }
    for touched in &lines.touched {
        working.put_account_at(touched.place, touched.number, touched.account);
    }
    working.lines = lines;
    Ok(postings)
}

fn check_status<E: Debug>(working: &Working<'_, E>, account: &Account, number: AccountNumber) -> Step<(), E> {
    match account.status {
        AccountStatus::Open => Ok(()),
        AccountStatus::Frozen => Err(Rejection::AccountFrozen(working.known_name(number)?).into()),
        AccountStatus::Closed => Err(Rejection::AccountClosed(working.known_name(number)?).into()),
    }
}

fn out_of_range<E>(account: &AccountName) -> Stop<E> {
    broken("I8", format!("a balance of account {account} left its range"))
}

fn check_floor<E: Debug>(working: &Working<'_, E>, lines: &Lines, line: &Line) -> Step<(), E> {
    let after = lines.find(line.account)?;
    let Floor::AtLeast(floor) = after.floor else { return Ok(()) };
    if line.side == after.class.normal_side() {
        return Ok(());
    }
    if after.keeps_floor() == Some(true) {
        return Ok(());
    }
    let name = working.known_name(line.account)?;
    // Nothing is changed yet, so the overlay still has it as it was before.
    let available = working.known_account(line.account)?.available().ok_or_else(|| out_of_range(&name))?;
    // The account's own total was found in range, so the sum of its lines is.
    let needed = lines
        .all()
        .iter()
        .filter(|other| other.account == line.account)
        .try_fold(Amount::zero(after.scale), |sum, other| sum.checked_add(other.amount))
        .ok_or_else(|| out_of_range(&name))?;
    Err(Rejection::InsufficientFunds(Box::new(InsufficientFunds { account: name, available, needed, floor })).into())
}

fn check_ceiling<E: Debug>(working: &Working<'_, E>, lines: &Lines, line: &Line) -> Step<(), E> {
    let after = lines.find(line.account)?;
    let Some(ceiling) = after.ceiling else { return Ok(()) };
    if line.side != after.class.normal_side() {
        return Ok(());
    }
    if after.keeps_ceiling() == Some(true) {
        return Ok(());
    }
    let name = working.known_name(line.account)?;
    let reached = after.expected().ok_or_else(|| out_of_range(&name))?;
    Err(Rejection::CeilingExceeded { account: name, ceiling, reached }.into())
}
