//! What a thread's slice is, read back from the kernel.

use super::super::slice::{Slice, own, set};

fn slice() -> u64 {
    own().unwrap().sched_runtime
}

/// Runs a check on a thread that no other test runs on, where the kernel has slices and lets them be chosen.
fn where_there_are_slices(check: impl FnOnce() + Send + 'static) {
    let checked = std::thread::spawn(move || {
        // What is told before anything was chosen: older kernels know of no slices.
        match own() {
            Ok(own) if own.sched_runtime == 0 => return eprintln!("skipped: this kernel has no slices"),
            Err(error) => return eprintln!("skipped: this kernel does not tell how threads are scheduled: {error}"),
            Ok(own) if own.sched_policy != 0 => return eprintln!("skipped: these threads have another policy"),
            Ok(_) => {}
        }
        match set(Slice::Short) {
            Ok(()) => check(),
            Err(error) => eprintln!("skipped: this kernel lets nobody choose: {error}"),
        }
    });
    checked.join().unwrap();
}

#[test]
fn a_thread_has_the_slice_it_took_and_so_have_those_that_it_starts() {
    where_there_are_slices(|| {
        assert_eq!(slice(), 100_000);
        let started = Slice::Long.during(|| std::thread::spawn(slice).join().unwrap());
        assert_eq!((started, slice()), (30_000_000, 100_000));
    });
}

#[test]
fn all_else_of_how_a_thread_is_scheduled_stays() {
    where_there_are_slices(|| {
        let all_else = || {
            let own = own().unwrap();
            (own.sched_policy, own.sched_flags, own.sched_nice, own.sched_priority)
        };
        let before = all_else();
        Slice::Long.take();
        assert_eq!(before, all_else());
    });
}
