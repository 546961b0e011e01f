//! The order of effective dates. It is not that of the journal, so whoever wants it must read an account's whole history:
//! once for many pages, with what memory can hold of it at a time.

use std::collections::HashMap;

use ledger::journal::JournalSequence;
use ledger::{
    Account, AccountNumber, Amount, Event, JournalPosting, JournalRecord, Scale, Side, Totals, TransactionId,
};

use super::{AuditError, AuditResult};
use crate::book::view::BookView;

/// Bookings in one window, some twelve MiB. An account with more is read again for each so many lines.
const WINDOW_BOOKINGS: usize = 262_144;

/// The place of a booking: its effective date in nanoseconds since 1970, then its record.
pub(super) type Place = (i64, JournalSequence);

/// Whether an event books (rather than reserves or releases).
pub(super) fn books(event: &Event) -> bool {
    matches!(event, Event::Posted { .. } | Event::Confirmed { .. } | Event::Reversed { .. })
}

/// The effective dates of bookings: the one given with the transaction, or the time of record. Best asked in the order
/// of the journal, for a confirmation's date stands in its try.
#[derive(Debug, Default)]
pub(super) struct Dates {
    /// What the tries that were seen and not yet resolved were given.
    given: HashMap<TransactionId, Option<i64>>,
}

impl Dates {
    /// The effective date of a record in nanoseconds since 1970; none if it books nothing.
    pub(super) fn of(&mut self, view: &BookView, record: &JournalRecord) -> AuditResult<Option<i64>> {
        let given = match &record.event {
            Event::Posted { .. } | Event::Reversed { .. } => given(record),
            Event::Tried { transaction, .. } => {
                self.given.insert(*transaction, given(record));
                return Ok(None);
            }
            Event::Confirmed { transaction, .. } => match self.given.remove(transaction) {
                Some(given) => given,
                None => created(view, transaction)?.and_then(|created| given(&created)),
            },
            Event::Cancelled { transaction, .. } | Event::Expired { transaction, .. } => {
                self.given.remove(transaction);
                return Ok(None);
            }
            Event::AssetRegistered { .. }
            | Event::AccountOpened(_)
            | Event::LimitsSet { .. }
            | Event::AccountFrozen(_)
            | Event::AccountUnfrozen(_)
            | Event::AccountClosed(_)
            | Event::CancelledEmpty(_) => return Ok(None),
        };
        Ok(Some(given.unwrap_or(i64::try_from(record.point.time.0).unwrap_or(i64::MAX))))
    }
}

fn given(record: &JournalRecord) -> Option<i64> {
    record.event.details().and_then(|details| details.effective_at).map(|effective| effective.0)
}

fn created(view: &BookView, transaction: &TransactionId) -> AuditResult<Option<JournalRecord>> {
    match view.transaction(transaction)?.and_then(|record| record.created) {
        Some(sequence) => Ok(Some(view.known_journal(sequence)?)),
        None => Ok(None),
    }
}

/// The postings of a record on an account.
pub(super) fn own(record: &JournalRecord, number: AccountNumber) -> impl Iterator<Item = &JournalPosting> {
    record.event.postings().iter().filter(move |posting| posting.account == number)
}

fn out_of_range(sequence: JournalSequence) -> AuditError {
    AuditError::Contradiction(format!("record {} leaves the range", sequence.0))
}

/// Totals after the postings of a booking on an account.
fn booked(totals: Totals, record: &JournalRecord, number: AccountNumber) -> AuditResult<Totals> {
    own(record, number).try_fold(totals, |totals, posting| {
        totals.post(posting.side, posting.amount).ok_or_else(|| out_of_range(record.sequence))
    })
}

/// Every booking on an account up to a record, with its date, in the order of the journal.
fn each_booking(
    view: &BookView,
    number: AccountNumber,
    last: JournalSequence,
    mut visit: impl FnMut(&JournalRecord, i64) -> AuditResult<()>,
) -> AuditResult<()> {
    let (mut journal, mut dates) = (view.journal_reader(), Dates::default());
    for sequence in view.postings(number, 0..=last.0) {
        let record = journal.known(sequence?)?;
        if let Some(date) = dates.of(view, &record)? {
            visit(&record, date)?;
        }
    }
    Ok(())
}

/// An account's totals over all bookings up to a record whose effective date is not later than `until_ns`, and the last
/// of them.
pub(super) fn totals(
    view: &BookView,
    number: AccountNumber,
    account: &Account,
    until_ns: i64,
    up_to: JournalSequence,
) -> AuditResult<(Totals, JournalSequence)> {
    let mut found = (Totals::zero(account.scale), JournalSequence(0));
    each_booking(view, number, up_to, |record, date| {
        if date <= until_ns {
            found = (booked(found.0, record, number)?, record.sequence);
        }
        Ok(())
    })?;
    Ok(found)
}

/// The same of all accounts that booked anything, in one pass over the journal.
pub(super) fn all_totals(
    view: &BookView,
    until_ns: i64,
    up_to: JournalSequence,
) -> AuditResult<HashMap<AccountNumber, Totals>> {
    let mut dates = Dates::default();
    let mut totals: HashMap<AccountNumber, Totals> = HashMap::new();
    for record in view.journal_range(1..=up_to.0)? {
        let record = record?;
        if dates.of(view, &record)?.is_none_or(|date| date > until_ns) {
            continue;
        }
        for posting in record.event.postings() {
            let before = match totals.get(&posting.account) {
                Some(before) => *before,
                None => Totals::zero(scale_of(posting)?),
            };
            let after = before.post(posting.side, posting.amount);
            totals.insert(posting.account, after.ok_or_else(|| out_of_range(record.sequence))?);
        }
    }
    Ok(totals)
}

fn scale_of(posting: &JournalPosting) -> AuditResult<Scale> {
    let digits = posting.amount.scale_digits();
    Scale::new(digits).ok_or_else(|| AuditError::Contradiction(format!("an amount has {digits} fraction digits")))
}

/// The place of a record among the bookings on an account; none if it is none of them.
pub(super) fn place_of(
    view: &BookView,
    number: AccountNumber,
    sequence: JournalSequence,
) -> AuditResult<Option<Place>> {
    let Some(record) = view.journal(sequence)? else { return Ok(None) };
    if own(&record, number).next().is_none() {
        return Ok(None);
    }
    Ok(Dates::default().of(view, &record)?.map(|date| (date, sequence)))
}

/// A booking, and what was booked up to it in the order of effective dates.
#[derive(Debug, Clone, Copy)]
struct Booking {
    place: Place,
    debits: Amount,
    credits: Amount,
}

/// The bookings on an account that come after a place, as many as fit.
#[derive(Debug)]
pub(super) struct Window {
    after: Place,
    /// What was booked up to that place.
    before: Totals,
    bookings: Vec<Booking>,
    /// The last place up to which all are here; none if nothing follows.
    end: Option<Place>,
}

impl Window {
    /// Reads an account's history up to a record.
    pub(super) fn read(
        view: &BookView,
        (number, scale): (AccountNumber, Scale),
        last: JournalSequence,
        after: Place,
    ) -> AuditResult<Window> {
        let none = Totals::zero(scale);
        let mut window = Window { after, before: none, bookings: Vec::new(), end: None };
        each_booking(view, number, last, |record, date| {
            let place = (date, record.sequence);
            if place <= after {
                window.before = booked(window.before, record, number)?;
                return Ok(());
            }
            let own = booked(none, record, number)?;
            window.add(Booking { place, debits: own.debits_posted, credits: own.credits_posted }, WINDOW_BOOKINGS);
            Ok(())
        })?;
        window.finish(WINDOW_BOOKINGS)?;
        Ok(window)
    }

    /// Adds a booking; of more than twice `most`, the later ones go.
    fn add(&mut self, booking: Booking, most: usize) {
        if self.end.is_some_and(|end| booking.place > end) {
            return;
        }
        self.bookings.push(booking);
        if self.bookings.len() >= 2 * most {
            self.cut(most);
        }
    }

    fn cut(&mut self, most: usize) {
        if most == 0 || self.bookings.len() <= most {
            return;
        }
        let (_, last, _) = self.bookings.select_nth_unstable_by_key(most - 1, |booking| booking.place);
        self.end = Some(last.place);
        self.bookings.truncate(most);
    }

    /// Brings the bookings into their order and sums them up.
    fn finish(&mut self, most: usize) -> AuditResult<()> {
        self.cut(most);
        self.bookings.sort_unstable_by_key(|booking| booking.place);
        let mut totals = self.before;
        for booking in &mut self.bookings {
            let (debits, credits) = (booking.debits, booking.credits);
            let after = totals.post(Side::Debit, debits).and_then(|totals| totals.post(Side::Credit, credits));
            totals = after.ok_or_else(|| out_of_range(booking.place.1))?;
            (booking.debits, booking.credits) = (totals.debits_posted, totals.credits_posted);
        }
        self.bookings.shrink_to_fit();
        Ok(())
    }

    /// Whether what comes right after a place is here.
    pub(super) fn shows(&self, place: Place) -> bool {
        self.after <= place && self.end.is_none_or(|end| place < end)
    }

    /// The last place up to which all bookings are here; none if nothing follows.
    pub(super) fn end(&self) -> Option<Place> {
        self.end
    }

    /// The bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Window>() + self.bookings.len() * size_of::<Booking>()
    }

    /// What was booked up to a place that it shows, and the places after it.
    pub(super) fn from(&self, place: Place) -> (Totals, impl Iterator<Item = Place> + '_) {
        let first = self.bookings.partition_point(|booking| booking.place <= place);
        let before = first.checked_sub(1).and_then(|last| self.bookings.get(last));
        let totals = before.map_or(self.before, |last| Totals {
            debits_posted: last.debits,
            credits_posted: last.credits,
            ..self.before
        });
        (totals, self.bookings.iter().skip(first).map(|booking| booking.place))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    /// Windows of `most` bookings, one after another, show what one large enough for all shows.
    #[test]
    fn windows_one_after_another_show_every_booking_once_and_in_order() {
        let scale = Scale::new(0).unwrap();
        let (none, one) = (Totals::zero(scale), Amount::from_minor(1, scale).unwrap());
        // Dates come in no order, and some are alike.
        let places: Vec<Place> =
            (1..=97u64).map(|at| (i64::try_from(at * 61 % 40).unwrap(), JournalSequence(at))).collect();
        let mut expected = places.clone();
        expected.sort_unstable();
        for most in [1, 2, 3, 10, 48, 49, 96, 97, 98] {
            let (mut after, mut shown) = ((i64::MIN, JournalSequence(0)), Vec::new());
            loop {
                let before = places.iter().filter(|place| **place <= after).count() as u128;
                let before = Totals { debits_posted: Amount::from_minor(before, scale).unwrap(), ..none };
                let mut window = Window { after, before, bookings: Vec::new(), end: None };
                for place in places.iter().filter(|place| **place > after) {
                    window.add(Booking { place: *place, debits: one, credits: Amount::zero(scale) }, most);
                    assert!(window.bookings.len() < 2 * most);
                }
                window.finish(most).unwrap();
                for (position, booking) in window.bookings.iter().enumerate() {
                    assert!(window.shows(after));
                    let (totals, mut rest) = window.from(after);
                    assert_eq!(totals.debits_posted.mantissa(), (shown.len()) as u128, "{most} {position}");
                    assert_eq!(rest.next(), Some(booking.place));
                    after = booking.place;
                    shown.push(after);
                }
                if window.end().is_none() {
                    break;
                }
                assert_eq!(window.end(), Some(after));
                assert!(!window.shows(after));
            }
            assert_eq!(shown, expected, "{most} a window");
        }
    }
}
