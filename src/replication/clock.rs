//! This replica's clock: what it may stamp, and how it stands to the log's time.
//!
//! A leader stamps entries with its clock, and the log's time never goes back. So one stamp of a
//! clock that is far ahead moves every later deadline, and one near the end of what 64 bits of
//! nanoseconds can say leaves no later time at all. A clock outside the years that a replica can
//! believe stamps nothing. The check stands here and not in `apply`: what is in the log was
//! accepted, and every replica must apply it alike.
//!
//! A clock within those years is believed. That it jumped, or that the log's time is ahead of it,
//! is told in the log and in the status.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use ledger::LogTime;
use ledger::limits::{MAX_STAMP_NS, MIN_STAMP_NS};
use tokio::time::Instant;

use super::proposer::SubmitError;

/// Reads a replica's clock: nanoseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How often the clock is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// From how much on a difference is told: more than clocks that are kept in step differ by, and
/// more than any answer takes.
const TOLD_NS: u64 = 1_000_000_000;
/// While something lasts, it is logged again after so long.
const REMINDER: Duration = Duration::from_secs(60);

/// A jump of the clock, as far as it can be told from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockJump {
    /// What the clock showed after it, in nanoseconds since 1970.
    pub at_ns: u64,
    /// By how many nanoseconds: positive if it jumped ahead.
    pub by_ns: i64,
}

/// How the clock stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClockStatus {
    /// By how many nanoseconds the log's time is ahead of the clock; 0 unless it is by more than a
    /// second.
    pub log_ahead_ns: u64,
    /// The last jump of more than a second since the replica was started.
    pub last_jump: Option<ClockJump>,
    /// Why the clock may not stamp entries, if it may not.
    pub refused: Option<String>,
}

/// A time as people read it.
fn shown(ns: u64) -> String {
    let seconds = i64::try_from(ns / 1_000_000_000).unwrap_or(i64::MAX);
    match ns {
        // What the system's clock shows does not fit, and was moved to the next that does.
        0 => "1970 or before".to_owned(),
        u64::MAX => "2554 or after".to_owned(),
        _ => prost_types::Timestamp { seconds, nanos: 0 }.to_string(),
    }
}

/// Why a clock that shows this may not stamp, if it may not.
fn refusal(now_ns: u64) -> Option<String> {
    let is_believed = (MIN_STAMP_NS..=MAX_STAMP_NS).contains(&now_ns);
    (!is_believed).then(|| {
        format!("it shows {}, which is not between {} and {}", shown(now_ns), shown(MIN_STAMP_NS), shown(MAX_STAMP_NS))
    })
}

/// Stamps this replica's proposals.
#[derive(Clone)]
pub(super) struct Stamps {
    pub(super) clock: Clock,
    pub(super) replica_id: u64,
}

impl Stamps {
    /// The clock's time for an entry, if it may stamp one.
    pub(super) fn next(&self) -> Result<LogTime, SubmitError> {
        let now_ns = (self.clock)();
        match refusal(now_ns) {
            None => Ok(LogTime(now_ns)),
            Some(detail) => Err(SubmitError::ClockSkew { replica_id: self.replica_id, detail }),
        }
    }
}

/// The clock's time to tell what is due; the beginning of all time where it is not to be believed:
/// then the log's time stands, and holds end when it goes on.
pub(super) fn now(clock: &Clock) -> LogTime {
    let now_ns = clock();
    if refusal(now_ns).is_some() { LogTime(0) } else { LogTime(now_ns) }
}

/// Both clocks, read together: the second lies between the first two.
#[derive(Debug, Clone, Copy)]
struct Look {
    before: Instant,
    after: Instant,
    wall_ns: u64,
}

impl Look {
    fn take(clock: &Clock) -> Look {
        let before = Instant::now();
        let wall_ns = clock();
        Look { before, after: Instant::now(), wall_ns }
    }

    /// By how much the clock moved otherwise than time did since an earlier look, if by more than
    /// is told. The thread may have been held up within either look, and that is no jump.
    fn jump_since(&self, earlier: &Look) -> Option<ClockJump> {
        let ns = |time: Duration| i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
        let moved = i128::from(self.wall_ns) - i128::from(earlier.wall_ns);
        let most = ns(self.after.duration_since(earlier.before));
        let least = ns(self.before.duration_since(earlier.after));
        let by = if moved > most { moved - most } else { (moved - least).min(0) };
        let by_ns = i64::try_from(by).unwrap_or(if by < 0 { i64::MIN } else { i64::MAX });
        (by_ns.unsigned_abs() > TOLD_NS).then_some(ClockJump { at_ns: self.wall_ns, by_ns })
    }
}

/// Something that is logged when it begins, again after a while, and when it ends.
#[derive(Debug, Default)]
struct Lasting {
    told_at: Option<Instant>,
}

impl Lasting {
    /// Whether it is to be logged now that it lasts.
    fn lasts(&mut self, now: Instant) -> bool {
        let is_due = self.told_at.is_none_or(|told_at| now.duration_since(told_at) >= REMINDER);
        if is_due {
            self.told_at = Some(now);
        }
        is_due
    }

    /// Whether its end is to be logged now that it does not last.
    fn ended(&mut self) -> bool {
        self.told_at.take().is_some()
    }
}

/// Looks at the clock from time to time.
#[derive(Debug)]
struct Watch {
    last: Look,
    ahead: Lasting,
    refused: Lasting,
    /// Jumps are logged no more often than reminders, and the last of those between is not lost:
    /// the status has it.
    jumps: Lasting,
}

impl Watch {
    fn new(last: Look) -> Watch {
        Watch { last, ahead: Lasting::default(), refused: Lasting::default(), jumps: Lasting::default() }
    }

    fn look(&mut self, look: Look, log_time: LogTime, last_jump: Option<ClockJump>) -> ClockStatus {
        let jump = look.jump_since(&self.last);
        self.last = look;
        let now = look.after;
        if let Some(ClockJump { by_ns, .. }) = jump
            && self.jumps.lasts(now)
        {
            let (by_s, clock) = (seconds(by_ns), shown(look.wall_ns));
            tracing::warn!(
                by_s,
                clock,
                "this replica's clock jumped: while it leads, holds end earlier or later by that"
            );
        }
        let refused = refusal(look.wall_ns);
        match &refused {
            Some(reason) if self.refused.lasts(now) => {
                tracing::warn!(
                    reason,
                    "this replica's clock is not believed: while it leads, nothing is booked and no hold ends"
                );
            }
            None if self.refused.ended() => tracing::info!("this replica's clock is believed again"),
            Some(_) | None => {}
        }
        let log_ahead_ns = Some(log_time.0.saturating_sub(look.wall_ns)).filter(|ahead| *ahead > TOLD_NS).unwrap_or(0);
        if log_ahead_ns > 0 && refused.is_none() && self.ahead.lasts(now) {
            let by_s = seconds(i64::try_from(log_ahead_ns).unwrap_or(i64::MAX));
            tracing::warn!(
                by_s,
                "the log's time is ahead of this replica's clock: holds end later by that until the clock has caught up"
            );
        } else if log_ahead_ns == 0 && self.ahead.ended() {
            tracing::info!("the log's time is no longer ahead of this replica's clock");
        }
        ClockStatus { log_ahead_ns, last_jump: jump.or(last_jump), refused }
    }
}

/// Nanoseconds as seconds with three decimals, cut off.
fn seconds(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let ms = ns.unsigned_abs() / 1_000_000;
    format!("{sign}{}.{:03}", ms / 1_000, ms % 1_000)
}

/// The clock as it stood when it was last looked at.
#[derive(Debug, Default)]
pub(super) struct Watched(Mutex<ClockStatus>);

impl Watched {
    /// How the clock stands.
    pub(super) fn status(&self) -> ClockStatus {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, status: ClockStatus) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    /// Looks at the clock at once, and then again and again for as long as somebody holds what is
    /// returned. `log_time` tells the log's time.
    pub(super) fn start(clock: Clock, log_time: impl Fn() -> LogTime + Send + 'static) -> Arc<Watched> {
        let first = Look::take(&clock);
        let mut watch = Watch::new(first);
        let watched = Arc::new(Watched(Mutex::new(watch.look(first, log_time(), None))));
        let weak: Weak<Watched> = Arc::downgrade(&watched);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                let Some(watched) = weak.upgrade() else { return };
                let last_jump = watched.status().last_jump;
                watched.set(watch.look(Look::take(&clock), log_time(), last_jump));
            }
        });
        watched
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const NOON: u64 = 1_763_900_000 * SECOND;

    fn look(at: Instant, after_s: u64, wall_ns: u64) -> Look {
        let at = at + Duration::from_secs(after_s);
        Look { before: at, after: at, wall_ns }
    }

    #[test]
    fn the_edges_of_what_may_stamp() {
        for (now_ns, is_believed) in [
            (0, false),
            (MIN_STAMP_NS - 1, false),
            (MIN_STAMP_NS, true),
            (NOON, true),
            (MAX_STAMP_NS, true),
            (MAX_STAMP_NS + 1, false),
            (u64::MAX, false),
        ] {
            let clock: Clock = Arc::new(move || now_ns);
            let stamps = Stamps { clock: Arc::clone(&clock), replica_id: 7 };
            assert_eq!(stamps.next().is_ok(), is_believed, "{now_ns}");
            assert_eq!(now(&clock), LogTime(if is_believed { now_ns } else { 0 }), "{now_ns}");
        }
        let stamps = Stamps { clock: Arc::new(|| u64::MAX), replica_id: 7 };
        let told = stamps.next().unwrap_err().to_string();
        assert!(told.contains("replica 7") && told.contains("2554 or after"), "{told}");
        assert!(told.contains("2020-01-01T00:00:00Z") && told.contains("2200-01-01T00:00:00Z"), "{told}");
    }

    #[test]
    fn a_jump_is_told_from_the_passing_of_time() {
        let began = Instant::now();
        let first = look(began, 0, NOON);
        let jump = |after_s, wall_ns| look(began, after_s, wall_ns).jump_since(&first).map(|jump| jump.by_ns);
        assert_eq!(jump(1, NOON + SECOND), None);
        assert_eq!(jump(1, NOON + 2 * SECOND), None);
        assert_eq!(jump(1, NOON + 2 * SECOND + 1), Some(1_000_000_001));
        assert_eq!(jump(1, NOON), None);
        assert_eq!(jump(1, NOON - 1), Some(-1_000_000_001));
        assert_eq!(jump(3_600, NOON + 3_600 * SECOND), None);
        assert_eq!(jump(1, u64::MAX), Some(i64::MAX));
        assert_eq!(jump(1, 0), Some(-1_763_900_001_000_000_000));
        // Held up for ten seconds between the two clocks: nobody can tell.
        let held = Look { before: began, after: began + Duration::from_secs(10), wall_ns: NOON + 9 * SECOND };
        assert_eq!(held.jump_since(&first), None);
    }

    #[test]
    fn what_lasts_is_logged_once_a_minute_and_a_jump_stays_in_the_status() {
        let began = Instant::now();
        let mut watch = Watch::new(look(began, 0, NOON));
        let back = watch.look(look(began, 1, NOON - 3_600 * SECOND), LogTime(NOON), None);
        assert_eq!(back.log_ahead_ns, 3_600 * SECOND);
        assert_eq!(back.last_jump.unwrap().by_ns, -3_601_000_000_000);
        assert_eq!((back.last_jump.unwrap().at_ns, &back.refused), (NOON - 3_600 * SECOND, &None));
        assert!(
            !watch.ahead.lasts(began + Duration::from_secs(60)) && watch.ahead.lasts(began + Duration::from_secs(61))
        );
        let later = watch.look(look(began, 4_000, NOON + 399 * SECOND), LogTime(NOON + 400 * SECOND), back.last_jump);
        assert_eq!((later.log_ahead_ns, later.last_jump), (0, back.last_jump));
        assert!(watch.ahead.told_at.is_none(), "its end was told");
        let mad = watch.look(look(began, 4_001, u64::MAX), LogTime(NOON), later.last_jump);
        assert!(mad.refused.unwrap().contains("2554 or after"));
    }
}
