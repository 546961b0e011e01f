//! When open reservations expire, in order of (deadline, id).
//!
//! Most reservations of a time are given the same timeout, so their deadlines come in ascending order, and most end in about the order in which they began. Such ones stand in a queue,
//! where both cost next to nothing; all others are kept in a tree. What this answers is that of one ordered set, whichever of the two a deadline is in.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};

use ledger::{LogTime, TransactionId};

/// A deadline and whose it is.
pub(super) type Deadline = (LogTime, TransactionId);

/// The queue may hold so many that are over, besides as many as there are open ones.
const SPARE: usize = 64;

/// A place of the queue.
#[derive(Debug, Clone, Copy)]
struct Queued {
    deadline: Deadline,
    /// Whether it was removed. Never so at the front.
    is_over: bool,
}

/// Deadlines, each once.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    /// Ascending.
    queue: VecDeque<Queued>,
    /// How many in the queue are over.
    over: usize,
    others: BTreeSet<Deadline>,
}

impl Deadlines {
    /// Adds one.
    pub(super) fn insert(&mut self, deadline: Deadline) {
        if self.queue.back().is_none_or(|last| last.deadline < deadline) {
            self.queue.push_back(Queued { deadline, is_over: false });
        } else {
            self.others.insert(deadline);
        }
    }

    /// Removes one, if it is there.
    pub(super) fn remove(&mut self, deadline: Deadline) {
        if self.queue.front().is_some_and(|first| first.deadline == deadline) {
            self.queue.pop_front();
            self.drop_over();
            return;
        }
        let place = self.queue.partition_point(|queued| queued.deadline < deadline);
        match self.queue.get_mut(place).filter(|queued| queued.deadline == deadline && !queued.is_over) {
            Some(queued) => {
                queued.is_over = true;
                self.over += 1;
                if self.over > self.queue.len() / 2 + SPARE {
                    self.queue.retain(|queued| !queued.is_over);
                    self.over = 0;
                }
            }
            None => {
                self.others.remove(&deadline);
            }
        }
    }

    /// Drops those at the front that are over.
    fn drop_over(&mut self) {
        while self.queue.pop_front_if(|first| first.is_over).is_some() {
            self.over -= 1;
        }
    }

    /// The first one, or the first strictly after a cursor.
    pub(super) fn after(&self, cursor: Option<Deadline>) -> Option<Deadline> {
        let (queued, other) = match cursor {
            None => (self.queue.front(), self.others.first()),
            Some(cursor) => {
                let place = self.queue.partition_point(|queued| queued.deadline <= cursor);
                let queued = self.queue.range(place..).find(|queued| !queued.is_over);
                (queued, self.others.range((Excluded(cursor), Unbounded)).next())
            }
        };
        let queued = queued.map(|queued| queued.deadline);
        match (queued, other.copied()) {
            (Some(queued), Some(other)) => Some(queued.min(other)),
            (queued, other) => queued.or(other),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^ (mixed >> 27)
    }

    fn deadline(time: u64, id: u64) -> Deadline {
        (LogTime(time), TransactionId::from_bytes((u128::from(id) + 1).to_be_bytes()).unwrap())
    }

    fn assert_same(deadlines: &Deadlines, expected: &BTreeSet<Deadline>, cursor: Deadline) {
        assert_eq!(deadlines.after(None), expected.first().copied());
        assert_eq!(deadlines.after(Some(cursor)), expected.range((Excluded(cursor), Unbounded)).next().copied());
    }

    #[test]
    fn they_are_one_ordered_set() {
        for seed in 0..200 {
            println!("seed {seed}");
            let mut state = seed;
            let (mut deadlines, mut expected) = (Deadlines::default(), BTreeSet::new());
            // Of some seeds all come in order, of others none does; some end in order, others anyhow.
            let (disorder, ends_in_order) = (random(&mut state) % 4 * 10, random(&mut state).is_multiple_of(2));
            for step in 0..1_500 {
                if random(&mut state).is_multiple_of(2) {
                    let back = if random(&mut state) % 30 < disorder { random(&mut state) % 500 } else { 0 };
                    let new = deadline(1_000 + step - back.min(step), random(&mut state) % 50);
                    if expected.insert(new) {
                        deadlines.insert(new);
                    }
                } else if let Some(first) = expected.first().copied() {
                    let place = usize::try_from(random(&mut state)).unwrap() % expected.len();
                    let ended = if ends_in_order { first } else { expected.iter().nth(place).copied().unwrap() };
                    expected.remove(&ended);
                    deadlines.remove(ended);
                }
                // One that is not there.
                deadlines.remove(deadline(random(&mut state) % 3_000, 77));
                assert_same(&deadlines, &expected, deadline(random(&mut state) % 3_000, random(&mut state) % 50));
                let live = deadlines.queue.len() - deadlines.over;
                assert!(deadlines.over <= live + 2 * SPARE + 2, "{} are over, {live} are not", deadlines.over);
            }
        }
    }
}
