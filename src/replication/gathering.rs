//! For whom an entry waits before it is closed: for callers that were just answered and are seen to call again at once.
//!
//! Among several replicas, an entry costs each of them a sync, packets and wake-ups, whatever it holds. Callers that wait for one answer before they ask for the next, all answered by one
//! entry, come back within a moment; were the next entry closed with the first of them, the others would wait for that one to end, and there would be twice as many entries or more. So
//! once an entry is answered, the next waits for as many calls as were known then: those answered, and those that waited already. Whether they come at once is not known of anybody
//! before: it is tried, and given up for a while where it was seen to be otherwise ([`Regulars`]). Nobody waits long after the last answer, so a call that comes while all is idle is not delayed.
//!
//! A replica that is alone waits for nobody: its thread of replication has an entry to sync and apply while callers come back.
//! See `docs/decisions/0025-why-an-entry-waits-for-callers-just-answered.md`.

use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

/// The longest that nobody is waited for further where nobody came, however long an entry takes.
const MAX_PATIENCE: Duration = Duration::from_millis(20);
/// For how many times what an entry takes is waited at most.
pub(super) const MAX_TIMES: u32 = 4;
/// For how many entries at most it is remembered that callers did not come back.
const MAX_MEMORY: u32 = 256;

/// Told when enough calls wait.
#[derive(Debug)]
pub(super) struct Bell {
    /// How many calls in the queue are enough; `usize::MAX` while nobody waits for calls.
    enough: AtomicUsize,
    rung: Notify,
}

impl Bell {
    pub(super) fn new() -> Arc<Bell> {
        Arc::new(Bell { enough: AtomicUsize::new(usize::MAX), rung: Notify::new() })
    }

    /// A call was queued, which makes so many. `is_full` says that no more would fit.
    pub(super) fn queued(&self, queued: impl FnOnce() -> usize, is_full: bool) {
        // Either this sees what is enough, or who waits sees the call.
        fence(Ordering::SeqCst);
        let enough = self.enough.load(Ordering::Relaxed);
        if enough != usize::MAX && (is_full || queued() >= enough) {
            self.rung.notify_one();
        }
    }
}

/// An entry that was answered, of the kind that is waited for.
#[derive(Debug, Clone, Copy)]
struct Answered {
    calls: usize,
    /// In what time they came.
    gathered_in: Duration,
    /// From when it was proposed.
    took: Duration,
    at: Instant,
    /// Whether calls were waited for, and came.
    was_awaited: bool,
}

/// How an entry was gathered, until it is answered.
#[derive(Debug)]
pub(super) struct Gathered {
    answered: Arc<Mutex<Option<Answered>>>,
    calls: usize,
    began: Instant,
    at: Instant,
    was_awaited: bool,
}

impl Gathered {
    /// It is proposed now, with so many calls.
    pub(super) fn proposed(&mut self, calls: usize) {
        self.calls = calls;
        self.at = Instant::now();
    }

    /// Its callers are answered now.
    pub(super) fn answered(self) {
        let at = Instant::now();
        let (gathered_in, took) = (self.at.duration_since(self.began), at.duration_since(self.at));
        let answered = Answered { calls: self.calls, gathered_in, took, at, was_awaited: self.was_awaited };
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(answered);
    }
}

/// The next entry's calls, as they come.
pub(super) struct Gathering {
    bell: Arc<Bell>,
    /// The last entry that was answered, until the next is gathered.
    answered: Arc<Mutex<Option<Answered>>>,
    regulars: Regulars,
}

impl Gathering {
    pub(super) fn new(bell: Arc<Bell>) -> Gathering {
        Gathering { bell, answered: Arc::default(), regulars: Regulars::default() }
    }

    /// Waits for callers that were answered by the entry before, if they are expected. `waited` calls waited for that entry's end; the first of the next is out of the queue already.
    pub(super) async fn gather<T>(
        &mut self,
        receiver: &mpsc::Receiver<T>,
        waited: usize,
        is_full: impl Fn() -> bool,
    ) -> Gathered {
        let before = self.answered.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Calls for this entry came since the one before was closed.
        let began = before.map_or_else(Instant::now, |before| before.at - before.took);
        let was_awaited = match before {
            Some(before) => self.wait_after(before, || receiver.len() + 1, waited, is_full).await,
            None => false,
        };
        Gathered { answered: Arc::clone(&self.answered), calls: 0, began, at: Instant::now(), was_awaited }
    }

    /// Whether calls were waited for, and came.
    async fn wait_after(
        &mut self,
        before: Answered,
        here: impl Fn() -> usize,
        waited: usize,
        is_full: impl Fn() -> bool,
    ) -> bool {
        self.regulars.judge(before, waited);
        let expected = self.regulars.expected(before.calls + waited);
        let took = before.took.min(MAX_PATIENCE);
        // Long after the answer nobody is waited for.
        if here() >= expected || before.at + 2 * took <= Instant::now() || is_full() {
            return false;
        }
        self.bell.enough.store(expected - 1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let cost = Cost { at: Instant::now(), here: here(), waited: 0, took };
        let came = self.wait(&here, expected, before.at + took, cost, is_full).await;
        self.bell.enough.store(usize::MAX, Ordering::Relaxed);
        if !came {
            // Where all came, they came too late.
            let here = here();
            self.regulars.stayed_away(if here < expected { here } else { 1 });
        }
        came
    }

    /// Waits until all that are expected are here, or no more would fit. Gives up where that costs those here more than it spares those missing, and in any case after some times of what an
    /// entry takes. Whether it was worth it.
    async fn wait(
        &self,
        here: impl Fn() -> usize,
        expected: usize,
        mut until: Instant,
        mut cost: Cost,
        is_full: impl Fn() -> bool,
    ) -> bool {
        let soon = until;
        let (began, missing_first) = (cost.at, expected.saturating_sub(cost.here));
        loop {
            let rung = tokio::time::timeout_at(until, self.bell.rung.notified()).await;
            let now = Instant::now();
            let missing = expected.saturating_sub(here());
            let is_over = missing == 0 || is_full();
            if is_over || rung.is_err() {
                cost.grow(now, here());
            }
            if is_over {
                // Until `until` has passed once, they came within what an entry takes.
                return now <= soon || cost.is_worth(missing_first);
            }
            if rung.is_err() {
                if !cost.is_worth(missing) || now.duration_since(began) > cost.took * MAX_TIMES {
                    return false;
                }
                until = now + cost.took;
            }
        }
    }
}

/// What waiting costs those who are here.
struct Cost {
    at: Instant,
    here: usize,
    /// In nanoseconds of single calls, doubled.
    waited: u128,
    /// What an entry takes.
    took: Duration,
}

impl Cost {
    /// Until now, when so many are here. They are taken to have come evenly.
    fn grow(&mut self, now: Instant, here: usize) {
        self.waited += now.duration_since(self.at).as_nanos() * (self.here + here) as u128;
        (self.at, self.here) = (now, here);
    }

    /// Whether it is no more than half as much again as those missing would have waited in all, each of them for an entry to end: that they share one spares every replica work as well.
    fn is_worth(&self, missing: usize) -> bool {
        self.waited <= self.took.as_nanos() * 3 * missing as u128
    }
}

/// Lets the other tasks of this thread have their turn for as long as that brings more calls, and less than `enough` for an entry: connections that are served here have read calls by then, and
/// calls from other threads arrive. Where nothing comes, it costs one look at the sockets.
pub(super) async fn turns<T>(receiver: &mpsc::Receiver<T>, enough: u32) {
    let enough = usize::try_from(enough).unwrap_or(usize::MAX);
    while receiver.len() < enough {
        let before = receiver.len();
        tokio::task::yield_now().await;
        if receiver.len() == before {
            return;
        }
    }
}

/// How many callers call again as soon as they are answered, as far as that was seen.
#[derive(Debug)]
struct Regulars {
    /// The most that are expected, until that is forgotten.
    most: usize,
    /// In how many entries it is.
    forgotten_in: u32,
    /// For how many entries it was remembered the last time.
    memory: u32,
}

impl Default for Regulars {
    fn default() -> Regulars {
        Regulars { most: usize::MAX, forgotten_in: 0, memory: 1 }
    }
}

impl Regulars {
    /// How many calls the next entry is expected to have, where so many callers are known.
    fn expected(&mut self, known: usize) -> usize {
        if self.forgotten_in > 0 {
            self.forgotten_in -= 1;
            if self.forgotten_in == 0 {
                self.most = usize::MAX;
            }
        }
        known.min(self.most)
    }

    /// Learns from an entry that was waited for. Where callers come back, hardly any others call while it is under way; a third of those that would if all came evenly is much. Where more
    /// do, it only had the calls of a longer time.
    fn judge(&mut self, entry: Answered, waited: usize) {
        if !entry.was_awaited {
            return;
        }
        if entry.gathered_in.as_nanos() * 3 * waited as u128 > entry.took.as_nanos() * entry.calls as u128 {
            self.stayed_away(1);
        } else if self.forgotten_in == 0 {
            self.memory = (self.memory / 2).max(1);
        }
    }

    /// Only so many came in time, all others having been waited for in vain.
    fn stayed_away(&mut self, came: usize) {
        if self.forgotten_in == 0 {
            self.most = came.max(1);
            self.memory = (self.memory * 2).min(MAX_MEMORY);
            self.forgotten_in = self.memory;
        } else {
            // Not even those who came before: nobody is waited for.
            self.most = 1;
        }
    }
}
