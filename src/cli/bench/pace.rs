//! When each unit of work is due. In a closed loop that is when the worker is free; in an open loop the schedule alone decides, and a unit that starts late because the cluster was slow is
//! measured from when it was due, or a stall would hide the very requests that it delayed.
//!
//! tokio's timers go by whole milliseconds, later rather than earlier, so that most of what a read takes would be the timer's, and ten that are due within a millisecond would come at once. So a
//! thread of its own sleeps from one unit to the next, or for a quarter of a millisecond, if that is longer. What it is late is counted as well: an open loop shows latencies a little too long, never too short.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::cli::CliResult;
use crate::replication::Slice;

/// The longest that a counted load may take.
const MAX_COUNTED: Duration = Duration::from_secs(24 * 60 * 60);

/// The shortest sleep of an open loop: what is due meanwhile comes at once. Waking for each of 10 000 units a second would take a sixth of a processor.
const LEAST_SLEEP: Duration = Duration::from_micros(250);

/// What decides when the next unit begins.
#[derive(Debug, Clone, Copy)]
enum Pace {
    /// The answer to the one before.
    Closed,
    /// The clock: so many nanoseconds between two; at least one.
    Open(u64),
    /// The answer to the one before, until there were so many.
    Counted(u64),
}

/// When units are due.
#[derive(Debug)]
pub(super) struct Schedule {
    begin: Instant,
    measured_from: Instant,
    end: Instant,
    pace: Pace,
    next: AtomicU64,
    /// The units of an open loop that are due and not begun.
    due: Arc<Semaphore>,
}

/// A unit of work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    /// Since when its latency counts.
    pub(super) at: Instant,
    /// Whether it is measured or part of the warm-up.
    pub(super) is_measured: bool,
}

impl Schedule {
    /// A schedule that begins now. `units_per_second`: of an open loop.
    ///
    /// # Errors
    /// When no thread can be started for an open loop.
    pub(super) fn new(warm_up: Duration, duration: Duration, units_per_second: Option<f64>) -> CliResult<Schedule> {
        let begin = Instant::now();
        let measured_from = begin + warm_up;
        let open = |rate: f64| Pace::Open(nanoseconds(Duration::from_secs_f64(1.0 / rate)).max(1));
        let pace = units_per_second.map_or(Pace::Closed, open);
        let (end, due) = (measured_from + duration, Arc::new(Semaphore::new(0)));
        if let Pace::Open(interval) = pace {
            let due = Arc::clone(&due);
            thread::Builder::new().name("pace".to_owned()).spawn(move || tell_due(begin, end, interval, &due))?;
        }
        Ok(Schedule { begin, measured_from, end, pace, next: AtomicU64::new(0), due })
    }

    /// A schedule of so many units, one after the other, that begins now.
    pub(super) fn counted(units: u64) -> Schedule {
        let begin = Instant::now();
        let (pace, due) = (Pace::Counted(units), Arc::new(Semaphore::new(0)));
        Schedule { begin, measured_from: begin, end: begin + MAX_COUNTED, pace, next: AtomicU64::new(0), due }
    }

    /// How many units of a counted load were begun.
    pub(super) fn begun(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Whether a moment lies within what is measured.
    pub(super) fn measures(&self, moment: Instant) -> bool {
        self.measured_from <= moment && moment <= self.end
    }

    /// Waits for the next unit; none once the time is over.
    pub(super) async fn next(&self) -> Option<Due> {
        let at = match self.pace {
            Pace::Closed => Instant::now(),
            Pace::Counted(units) => {
                if self.next.fetch_add(1, Ordering::Relaxed) >= units {
                    self.next.fetch_sub(1, Ordering::Relaxed);
                    return None;
                }
                Instant::now()
            }
            Pace::Open(interval) => {
                // Closed once the time is over; whatever was due then stays among those never begun.
                self.due.acquire().await.ok()?.forget();
                self.due(interval, self.next.fetch_add(1, Ordering::Relaxed))
            }
        };
        (at < self.end).then_some(Due { at, is_measured: at >= self.measured_from })
    }

    /// The units of an open loop that were due and never begun: how long each had waited at the end.
    pub(super) fn never_begun(&self) -> impl Iterator<Item = Duration> {
        let first = self.next.load(Ordering::Relaxed);
        let due = move |number| match self.pace {
            Pace::Open(interval) => Some(self.due(interval, number)).filter(|at| *at < self.end),
            Pace::Closed | Pace::Counted(_) => None,
        };
        (first..).map_while(due).filter(|at| *at >= self.measured_from).map(|at| self.end - at)
    }

    fn due(&self, interval: u64, number: u64) -> Instant {
        self.begin + Duration::from_nanos(interval.saturating_mul(number))
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Adds each unit when it is due, until the time is over. The first is due at the beginning, none at the end.
fn tell_due(begin: Instant, end: Instant, interval: u64, due: &Semaphore) {
    // A clock that waits for a processor shows a wait that nobody had.
    Slice::Short.take();
    let last = nanoseconds(end - begin).saturating_sub(1);
    let mut told = 0;
    while Instant::now() < end {
        let reached = nanoseconds(begin.elapsed()).min(last) / interval + 1;
        due.add_permits(usize::try_from(reached - told).unwrap_or(0));
        told = reached;
        let next = begin + Duration::from_nanos(interval.saturating_mul(told));
        let now = Instant::now();
        thread::sleep(next.max(now + LEAST_SLEEP).min(end).saturating_duration_since(now));
    }
    due.close();
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[tokio::test]
    async fn an_open_loop_counts_from_when_a_unit_was_due() {
        let schedule = Schedule::new(ms(60_000), ms(60_000), Some(100.0)).unwrap();
        assert_eq!(schedule.next().await.unwrap().at, schedule.begin);
        // The cluster stalls: the units of that time are due all the same, each at its own moment.
        tokio::time::sleep(ms(100)).await;
        for number in 1..=3 {
            let late = schedule.next().await.unwrap();
            assert_eq!(late.at, schedule.begin + ms(10) * number);
            assert!(!late.is_measured);
            assert!(late.at.elapsed() >= ms(70), "the stall must count");
        }
    }

    #[tokio::test]
    async fn an_open_loop_waits_until_a_unit_is_due() {
        let schedule = Schedule::new(ms(0), ms(60_000), Some(20.0)).unwrap();
        schedule.next().await.unwrap();
        let due = schedule.next().await.unwrap();
        assert!(due.is_measured);
        assert!(schedule.begin.elapsed() >= ms(50));
    }

    #[tokio::test]
    async fn every_unit_of_an_open_loop_is_begun_once_and_none_before_it_is_due() {
        let schedule = Schedule::new(ms(0), ms(200), Some(1_000.0)).unwrap();
        let worker = async || {
            let mut begun = Vec::new();
            while let Some(due) = schedule.next().await {
                assert!(due.at <= Instant::now(), "too early");
                begun.push(due.at - schedule.begin);
                tokio::task::yield_now().await;
            }
            begun
        };
        let (mut all, more) = tokio::join!(worker(), worker());
        all.extend(more);
        all.sort_unstable();
        let expected: Vec<Duration> = (0..all.len() as u64).map(ms).collect();
        assert_eq!(all, expected);
        // Those of the end may be due and not begun when the time is over.
        assert_eq!(all.len() + schedule.never_begun().count(), 200);
    }

    #[tokio::test]
    async fn what_was_due_and_never_begun_is_told() {
        let schedule = Schedule::new(ms(0), ms(1_000), Some(4.0)).unwrap();
        schedule.next().await.unwrap();
        tokio::time::sleep(ms(1_100)).await;
        assert!(schedule.next().await.is_none());
        assert!(schedule.next().await.is_none());
        assert_eq!(schedule.never_begun().collect::<Vec<_>>(), [ms(750), ms(500), ms(250)]);
    }

    #[tokio::test]
    async fn a_counted_load_ends_after_so_many_units() {
        let schedule = Schedule::counted(3);
        for _ in 0..3 {
            assert!(schedule.next().await.is_some());
        }
        assert!(schedule.next().await.is_none() && schedule.next().await.is_none());
        assert_eq!((schedule.begun(), schedule.never_begun().count()), (3, 0));
    }

    #[tokio::test]
    async fn a_closed_loop_is_due_when_asked_until_the_time_is_over() {
        let warming = Schedule::new(ms(60_000), ms(1), None).unwrap();
        assert!(!warming.next().await.unwrap().is_measured);
        let measuring = Schedule::new(ms(0), ms(60_000), None).unwrap();
        let due = measuring.next().await.unwrap();
        assert!(due.is_measured && measuring.measures(due.at));
        let over = Schedule::new(ms(0), ms(0), None).unwrap();
        assert!(over.next().await.is_none());
        assert_eq!(over.never_begun().count(), 0);
    }
}
