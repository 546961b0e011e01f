//! What a walk computes for all its pages, kept for the pages that follow. Nothing here is needed: what was put away is
//! computed again, by any replica. Bounded in bytes; what was used longest ago goes first.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use ledger::journal::JournalSequence;
use ledger::{AccountNumber, Event, Scale};

use super::effective::{Place, Window};
use super::{AuditResult, Moment};
use crate::book::view::BookView;

/// The most bytes of each kind.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// Values by key, the one used last at the end.
#[derive(Debug)]
struct Shelf<K, V> {
    values: VecDeque<(K, usize, Arc<V>)>,
    bytes: usize,
}

impl<K, V> Default for Shelf<K, V> {
    fn default() -> Shelf<K, V> {
        Shelf { values: VecDeque::new(), bytes: 0 }
    }
}

impl<K: PartialEq, V> Shelf<K, V> {
    fn take_out(&mut self, key: &K) -> Option<(K, usize, Arc<V>)> {
        let position = self.values.iter().position(|(known, ..)| known == key)?;
        let found = self.values.remove(position)?;
        self.bytes -= found.1;
        Some(found)
    }

    fn get(&mut self, key: &K) -> Option<Arc<V>> {
        let (key, bytes, value) = self.take_out(key)?;
        self.put(key, bytes, Arc::clone(&value));
        Some(value)
    }

    /// The newest value stays, however large it is.
    fn put(&mut self, key: K, bytes: usize, value: Arc<V>) {
        self.take_out(&key);
        self.bytes += bytes;
        self.values.push_back((key, bytes, value));
        while self.bytes > MAX_BYTES && self.values.len() > 1 {
            let Some((_, bytes, _)) = self.values.pop_front() else { break };
            self.bytes -= bytes;
        }
    }
}

#[derive(Debug, Default)]
struct Shelves {
    open: Shelf<JournalSequence, Vec<JournalSequence>>,
    windows: Shelf<(AccountNumber, JournalSequence), Window>,
}

/// What walks have computed.
#[derive(Debug, Default)]
pub struct Kept(Mutex<Shelves>);

impl Kept {
    fn with<T>(&self, use_it: impl FnOnce(&mut Shelves) -> T) -> T {
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The tries whose reservations were open at a moment, oldest first.
    pub(super) fn open_at(&self, view: &BookView, moment: &Moment) -> AuditResult<Arc<Vec<JournalSequence>>> {
        if let Some(open) = self.with(|shelves| shelves.open.get(&moment.sequence)) {
            return Ok(open);
        }
        let open = Arc::new(open_at(view, moment)?);
        let bytes = open.len() * size_of::<JournalSequence>();
        self.with(|shelves| shelves.open.put(moment.sequence, bytes, Arc::clone(&open)));
        Ok(open)
    }

    /// Bookings on an account after a place, in the order of effective dates.
    pub(super) fn window(
        &self,
        view: &BookView,
        (number, scale): (AccountNumber, Scale),
        last: JournalSequence,
        after: Place,
    ) -> AuditResult<Arc<Window>> {
        let key = (number, last);
        let kept = self.with(|shelves| shelves.windows.get(&key));
        if let Some(window) = kept.filter(|window| window.shows(after)) {
            return Ok(window);
        }
        let window = Arc::new(Window::read(view, (number, scale), last, after)?);
        self.with(|shelves| shelves.windows.put(key, window.bytes(), Arc::clone(&window)));
        Ok(window)
    }
}

/// What is open now and was begun by then, and what has ended since.
fn open_at(view: &BookView, moment: &Moment) -> AuditResult<Vec<JournalSequence>> {
    let last = view.last_sequence();
    moment.check_near(view, last)?;
    let mut open = BTreeSet::new();
    for hold in view.holds_from(JournalSequence(0))? {
        open.insert(hold?.0);
    }
    if moment.sequence < last {
        for record in view.journal_range(moment.sequence.next().0..=last.0)? {
            let record = record?;
            if let Event::Confirmed { transaction, .. }
            | Event::Cancelled { transaction, .. }
            | Event::Expired { transaction, .. } = &record.event
            {
                open.extend(view.transaction_at(transaction, moment.sequence)?.and_then(|begun| begun.created));
            }
        }
    }
    Ok(open.into_iter().take_while(|sequence| *sequence <= moment.sequence).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_shelf_is_bounded_in_bytes_and_lets_go_of_what_was_used_longest_ago() {
        let mut shelf = Shelf::<u32, u32>::default();
        let third = MAX_BYTES / 3;
        for key in 0..3 {
            shelf.put(key, third, Arc::new(key));
        }
        assert_eq!(shelf.get(&0).as_deref(), Some(&0));
        shelf.put(3, third, Arc::new(3));
        assert_eq!([0, 1, 2, 3].map(|key| shelf.get(&key).is_some()), [true, false, true, true]);
        shelf.put(3, third, Arc::new(4));
        assert_eq!((shelf.get(&3).as_deref(), shelf.bytes), (Some(&4), 3 * third), "one value for each key");
        shelf.put(9, 2 * MAX_BYTES, Arc::new(9));
        assert_eq!((shelf.values.len(), shelf.bytes), (1, 2 * MAX_BYTES), "the newest stays, alone");
    }
}
