//! When each unit of work is due. In a closed loop that is when the worker is free; in an open loop the schedule alone decides, and a unit that starts late because the cluster was slow is
//! measured from when it was due, or a stall would hide the very requests that it delayed.
//! The timer wakes at whole milliseconds, later rather than earlier, and what it adds is counted as well: an open loop shows latencies up to a millisecond too long, never too short.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The longest that a counted load may take.
const MAX_COUNTED: Duration = Duration::from_secs(24 * 60 * 60);

/// What decides when the next unit begins.
#[derive(Debug, Clone, Copy)]
enum Pace {
    /// The answer to the one before.
    Closed,
    /// The clock: so much time between two.
    Open(Duration),
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
    pub(super) fn new(warm_up: Duration, duration: Duration, units_per_second: Option<f64>) -> Schedule {
        let begin = Instant::now();
        let measured_from = begin + warm_up;
        let open = |rate: f64| Pace::Open(Duration::from_secs_f64(1.0 / rate));
        let pace = units_per_second.map_or(Pace::Closed, open);
        Schedule { begin, measured_from, end: measured_from + duration, pace, next: AtomicU64::new(0) }
    }

    /// A schedule of so many units, one after the other, that begins now.
    pub(super) fn counted(units: u64) -> Schedule {
        let begin = Instant::now();
        let pace = Pace::Counted(units);
        Schedule { begin, measured_from: begin, end: begin + MAX_COUNTED, pace, next: AtomicU64::new(0) }
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
                let at = self.due(interval, self.next.fetch_add(1, Ordering::Relaxed));
                if at < self.end {
                    tokio::time::sleep_until(at).await;
                }
                at
            }
        };
        let is_over = at >= self.end || Instant::now() >= self.end;
        if is_over && matches!(self.pace, Pace::Open(_)) && at < self.end {
            // Due, but the cluster was too slow for it to begin: it stays among those never begun.
            self.next.fetch_sub(1, Ordering::Relaxed);
        }
        (!is_over).then_some(Due { at, is_measured: at >= self.measured_from })
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

    fn due(&self, interval: Duration, number: u64) -> Instant {
        let nanoseconds = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).saturating_mul(number);
        self.begin + Duration::from_nanos(nanoseconds)
    }
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
        let schedule = Schedule::new(ms(60_000), ms(60_000), Some(100.0));
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
        let schedule = Schedule::new(ms(0), ms(60_000), Some(20.0));
        schedule.next().await.unwrap();
        let due = schedule.next().await.unwrap();
        assert!(due.is_measured);
        assert!(schedule.begin.elapsed() >= ms(50));
    }

    #[tokio::test]
    async fn what_was_due_and_never_begun_is_told() {
        let schedule = Schedule::new(ms(0), ms(1_000), Some(4.0));
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
        let warming = Schedule::new(ms(60_000), ms(1), None);
        assert!(!warming.next().await.unwrap().is_measured);
        let measuring = Schedule::new(ms(0), ms(60_000), None);
        let due = measuring.next().await.unwrap();
        assert!(due.is_measured && measuring.measures(due.at));
        let over = Schedule::new(ms(0), ms(0), None);
        assert!(over.next().await.is_none());
        assert_eq!(over.never_begun().count(), 0);
    }
}
