//! Accounts by name, as they were at a moment.

use std::collections::BTreeSet;

use ledger::journal::JournalSequence;
use ledger::{Account, AccountName, AccountNumber, Event};

use super::{AuditError, AuditResult, Moment};
use crate::book::view::BookView;

/// Accounts at or below a prefix whose names come after `after`, handed to `take` in their order until it has no room
/// for one more. Returns whether there are more.
///
/// # Errors
/// [`AuditError`]; [`AuditError::Expired`] if what an account was at the moment is no longer known.
pub fn accounts(
    view: &BookView,
    prefix: &str,
    after: &str,
    moment: &Moment,
    limit: usize,
    mut take: impl FnMut(&AccountName, &Account) -> AuditResult<bool>,
) -> AuditResult<bool> {
    let mut after = after.to_owned();
    let mut forgotten = Forgotten::default();
    let mut taken = 0;
    loop {
        // One more than is wanted tells whether there are more.
        let names = view.names_from(prefix, &after, limit.saturating_add(1))?;
        let Some((last, _)) = names.last() else { return Ok(false) };
        after = last.to_string();
        for (name, number) in names {
            let Some(past) = view.account_at(number, moment.sequence)? else { continue };
            if let Some(until) = past.unsure_until
                && forgotten.has_changed(view, moment, number, until)?
            {
                return Err(AuditError::Expired { index: moment.index });
            }
            if taken == limit || !take(&name, &past.account)? {
                return Ok(true);
            }
            taken += 1;
        }
    }
}

/// The accounts whose limits or states changed after a moment and before this replica began to remember what they were:
/// it was started, or had many such changes since.
#[derive(Debug, Default)]
struct Forgotten(Option<(JournalSequence, BTreeSet<AccountNumber>)>);

impl Forgotten {
    fn has_changed(
        &mut self,
        view: &BookView,
        moment: &Moment,
        number: AccountNumber,
        until: JournalSequence,
    ) -> AuditResult<bool> {
        if self.0.as_ref().is_none_or(|(known, _)| *known < until) {
            moment.check_near(view, until)?;
            let mut changed = BTreeSet::new();
            for record in view.journal_range(moment.sequence.next().0..=until.0)? {
                changed.extend(changed_by(&record?.event));
            }
            self.0 = Some((until, changed));
        }
        Ok(self.0.as_ref().is_some_and(|(_, changed)| changed.contains(&number)))
    }
}

/// The account whose limits or state an event changed.
fn changed_by(event: &Event) -> Option<AccountNumber> {
    match event {
        Event::LimitsSet { account, .. }
        | Event::AccountFrozen(account)
        | Event::AccountUnfrozen(account)
        | Event::AccountClosed(account) => Some(*account),
        Event::AssetRegistered { .. }
        | Event::AccountOpened(_)
        | Event::Posted { .. }
        | Event::Tried { .. }
        | Event::Confirmed { .. }
        | Event::Cancelled { .. }
        | Event::CancelledEmpty(_)
        | Event::Expired { .. }
        | Event::Reversed { .. } => None,
    }
}
