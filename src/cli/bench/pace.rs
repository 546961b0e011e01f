//! When each unit of work is due. In a closed loop that is when the worker is free; in an open loop the schedule alone decides, and a unit that starts late because the cluster was slow is
//! measured from when it was due, or a stall would hide the very requests that it delayed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// When units are due.
#[derive(Debug)]
pub(super) struct Schedule {
    begin: Instant,
    measured_from: Instant,
    end: Instant,
    /// Between two units of an open loop.
    interval: Option<Duration>,
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
        let interval = units_per_second.map(|rate| Duration::from_secs_f64(1.0 / rate));
        Schedule { begin, measured_from, end: measured_from + duration, interval, next: AtomicU64::new(0) }
    }

    /// Whether a moment lies within what is measured.
    pub(super) fn measures(&self, moment: Instant) -> bool {
        self.measured_from <= moment && moment <= self.end
    }

    /// Waits for the next unit; none once the time is over.
    pub(super) async fn next(&self) -> Option<Due> {
        let at = match self.interval {
            None => Instant::now(),
            Some(interval) => {
                let at = self.due(interval, self.next.fetch_add(1, Ordering::Relaxed));
                if at < self.end {
                    tokio::time::sleep_until(at).await;
                }
                at
            }
        };
        let is_over = at >= self.end || Instant::now() >= self.end;
        if is_over && self.interval.is_some() && at < self.end {
            // Due, but the cluster was too slow for it to begin: it stays among those never begun.
            self.next.fetch_sub(1, Ordering::Relaxed);
        }
        (!is_over).then_some(Due { at, is_measured: at >= self.measured_from })
    }

    /// The units of an open loop that were due and never begun: how long each had waited at the end.
    pub(super) fn never_begun(&self) -> impl Iterator<Item = Duration> {
        let first = self.next.load(Ordering::Relaxed);
        let due = move |number| self.interval.map(|interval| self.due(interval, number)).filter(|at| *at < self.end);
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
