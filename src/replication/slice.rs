//! How long a thread may compute before another has its turn: its slice, by which Linux (from 6.12 on) decides who runs first.
//!
//! A slice changes no thread's share of the processors, only how that share is cut. A thread with a short one runs soon after it wakes, and may interrupt one with a longer; so what answers
//! clients and peers has short slices, and what computes for milliseconds has long ones. Where the kernel is older, or forbids it, nothing changes.
//! See `docs/decisions/0023-why-threads-have-slices.md`.

use std::io;

/// The slice of a thread. Threads that it starts begin with the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slice {
    /// For what should run as soon as it wakes: the least that Linux takes, 0.1 ms.
    Short,
    /// For what computes for milliseconds: 30 ms, ten times the usual.
    Long,
}

impl Slice {
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    const fn nanoseconds(self) -> u64 {
        match self {
            Slice::Short => 100_000,
            Slice::Long => 30_000_000,
        }
    }

    /// Gives the calling thread this slice. If it cannot be, that is no more than a pity: it is told to the log and the thread goes on as it was.
    pub fn take(self) {
        if let Err(error) = set(self) {
            tracing::debug!(%error, slice = ?self, "a thread keeps its slice");
        }
    }

    /// Does something with this slice, so that threads which that starts have it, and takes a short one after.
    pub fn during<T>(self, work: impl FnOnce() -> T) -> T {
        self.take();
        let done = work();
        Slice::Short.take();
        done
    }
}

#[cfg(target_os = "linux")]
const BYTES: u32 = size_of::<libc::sched_attr>() as u32;

/// How the calling thread is scheduled. Its slice is `sched_runtime`, in nanoseconds.
#[cfg(target_os = "linux")]
pub(super) fn own() -> io::Result<libc::sched_attr> {
    let mut own = libc::sched_attr {
        size: BYTES,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel writes at most BYTES bytes, which is how long `own` is, and any bytes are a value of its type.
    let result = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut own, BYTES, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(own) }
}

/// Gives the calling thread a slice.
#[cfg(target_os = "linux")]
pub(super) fn set(slice: Slice) -> io::Result<()> {
    let mut wanted = own()?;
    // Whoever chose another policy for this process knows better.
    if wanted.sched_policy != libc::SCHED_OTHER.unsigned_abs() {
        return Ok(());
    }
    (wanted.size, wanted.sched_runtime) = (BYTES, slice.nanoseconds());
    // SAFETY: the kernel reads BYTES bytes, which is how long `wanted` is, and changes nothing but how the calling thread is scheduled.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(not(target_os = "linux"))]
fn set(_slice: Slice) -> io::Result<()> {
    Ok(())
}
