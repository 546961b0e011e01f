//! The clock and the randomness of the simulated thread. They reach code that has no seam (the standard library's hash maps, openraft's election
//! time-outs, tokio's `select!`) through three C functions, which this binary defines in front of the C library's: on the simulated thread they answer
//! from the seed and the simulated time, on every other thread they pass the call on. Nothing here may allocate or panic: anything may call it.

use std::cell::Cell;
use std::ffi::{CStr, c_int, c_long, c_uint, c_void};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::time::Duration;

thread_local! {
    static IS_SIMULATED: Cell<bool> = const { Cell::new(false) };
}

static RANDOM_STATE: AtomicU64 = AtomicU64::new(0);
static ELAPSED_NS: AtomicU64 = AtomicU64::new(0);

/// When the simulation begins: seconds since 1970. The monotonic clock begins there too, so that nothing computed from it is before its zero.
pub const EPOCH_SECONDS: u64 = 1_700_000_000;

/// From here on the calling thread is simulated under `seed`. Once per process.
pub fn simulate_this_thread(seed: u64) {
    RANDOM_STATE.store(seed, Ordering::Relaxed);
    IS_SIMULATED.set(true);
}

/// Moves the simulated time.
pub fn set_elapsed(elapsed: Duration) {
    ELAPSED_NS.store(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// The simulated time.
pub fn elapsed() -> Duration {
    Duration::from_nanos(ELAPSED_NS.load(Ordering::Relaxed))
}

fn is_simulated() -> bool {
    IS_SIMULATED.get()
}

/// SplitMix64: an odd constant is added, the sum is mixed.
fn next_random() -> u64 {
    let sum = RANDOM_STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (sum ^ (sum >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// # Safety
/// `buffer` points to `length` writable bytes.
unsafe fn fill(buffer: *mut u8, length: usize) {
    for offset in 0..length {
        // SAFETY: the caller vouches for the whole range. The cut to the lowest byte is meant.
        unsafe { buffer.add(offset).write((next_random() & 0xff) as u8) };
    }
}

/// The C library's own function, looked up when it is first needed.
struct Real {
    name: &'static CStr,
    address: AtomicPtr<c_void>,
}

impl Real {
    const fn new(name: &'static CStr) -> Real {
        Real { name, address: AtomicPtr::new(std::ptr::null_mut()) }
    }

    fn address(&self) -> *mut c_void {
        let known = self.address.load(Ordering::Relaxed);
        if !known.is_null() {
            return known;
        }
        // SAFETY: the name is a C string.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        if found.is_null() {
            // SAFETY: ends the process; without the function nothing can go on.
            unsafe { libc::abort() };
        }
        self.address.store(found, Ordering::Relaxed);
        found
    }
}

static REAL_GETRANDOM: Real = Real::new(c"getrandom");
static REAL_CLOCK_GETTIME: Real = Real::new(c"clock_gettime");
static REAL_SYSCALL: Real = Real::new(c"syscall");

/// Random bytes, as the standard library and most crates ask for them.
///
/// # Safety
/// As `getrandom(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, flags: c_uint) -> isize {
    if is_simulated() {
        // SAFETY: the caller's promise.
        unsafe { fill(buffer.cast(), length) };
        return isize::try_from(length).unwrap_or(-1);
    }
    type Function = unsafe extern "C" fn(*mut c_void, usize, c_uint) -> isize;
    // SAFETY: this is the signature of the function of that name.
    let real: Function = unsafe { std::mem::transmute(REAL_GETRANDOM.address()) };
    // SAFETY: the caller's promise.
    unsafe { real(buffer, length, flags) }
}

/// The clocks.
///
/// # Safety
/// As `clock_gettime(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    if is_simulated() {
        let elapsed = ELAPSED_NS.load(Ordering::Relaxed);
        let seconds = EPOCH_SECONDS + elapsed / 1_000_000_000;
        // SAFETY: the caller's promise. Seconds of this size and nanoseconds below a thousand million fit their fields.
        unsafe { time.write(libc::timespec { tv_sec: seconds as _, tv_nsec: (elapsed % 1_000_000_000) as _ }) };
        return 0;
    }
    type Function = unsafe extern "C" fn(libc::clockid_t, *mut libc::timespec) -> c_int;
    // SAFETY: this is the signature of the function of that name.
    let real: Function = unsafe { std::mem::transmute(REAL_CLOCK_GETTIME.address()) };
    // SAFETY: the caller's promise.
    unsafe { real(clock, time) }
}

/// Any system call by number; only that for random bytes is of interest: some crates ask for them so. The C library's function takes a varying number of
/// arguments, at most six, which the calling convention passes as if all were there.
///
/// # Safety
/// As `syscall(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syscall(
    number: c_long,
    first: c_long,
    second: c_long,
    third: c_long,
    fourth: c_long,
    fifth: c_long,
    sixth: c_long,
) -> c_long {
    if number == libc::SYS_getrandom && is_simulated() {
        // SAFETY: the arguments of this call are a buffer and its length.
        unsafe { fill(first as *mut u8, usize::try_from(second).unwrap_or(0)) };
        return second;
    }
    type Function = unsafe extern "C" fn(c_long, ...) -> c_long;
    // SAFETY: this is the signature of the function of that name.
    let real: Function = unsafe { std::mem::transmute(REAL_SYSCALL.address()) };
    // SAFETY: the caller's promise.
    unsafe { real(number, first, second, third, fourth, fifth, sixth) }
}
