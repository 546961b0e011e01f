//! Deadlines, one nanosecond before them, on them and after them: for each way in which a hold can
//! be met, and each way in which time moves.

use ledger::{Command, LogTime, TransactionState};

use super::{STEPS, World};
use crate::harness::transaction_id;
use crate::script_text::time;

/// When the try is decided.
const TRIED_AT: u64 = 1_000;

fn moved(at: u64, step: i128) -> u64 {
    u64::try_from(i128::from(at) + step).unwrap()
}

/// A customer with 5 units, all of them held until [`TRIED_AT`] + `timeout`.
fn held(scale: u32, timeout: u64) -> World {
    let mut world = World::new(scale);
    let five = world.units(5);
    world.must("open a liability AST");
    world.must(&format!("post p1 credit a {five} debit out {five}"));
    world.stamp = LogTime(TRIED_AT);
    world.must(&format!("try t debit a {five} credit out {five} timeout {timeout}ns"));
    assert_eq!(world.book.records.head.time, LogTime(TRIED_AT));
    world
}

impl World {
    fn state(&self, id: &str) -> TransactionState {
        self.book.records.transactions[&transaction_id(id)].state
    }
}

/// How the hold is met. At its deadline it is over, whatever meets it.
#[derive(Debug, Clone, Copy)]
enum Meeting {
    Confirm,
    ConfirmPart,
    Cancel,
    /// A payment that needs the money that is held.
    Spend,
    Close,
    /// An entry without commands, as a read has proposed where nothing else moves the time.
    Tick,
    /// Another command that has nothing to do with it.
    Other,
}

const MEETINGS: [Meeting; 7] = [
    Meeting::Confirm,
    Meeting::ConfirmPart,
    Meeting::Cancel,
    Meeting::Spend,
    Meeting::Close,
    Meeting::Tick,
    Meeting::Other,
];

/// What meets the hold says, and the hold's state after it.
fn meet(world: &mut World, meeting: Meeting, deadline: u64, alive: bool) {
    let (five, one) = (world.units(5), world.units(1));
    let expired = || Err(format!("TRANSACTION_EXPIRED t at {}", time(deadline)));
    let left = if alive { TransactionState::Tried } else { TransactionState::Expired };
    let (found, wanted, state) = match meeting {
        Meeting::Confirm => {
            let wanted = if alive { Ok(()) } else { expired() };
            (world.ask("confirm t"), wanted, if alive { TransactionState::Confirmed } else { left })
        }
        Meeting::ConfirmPart => {
            let wanted = if alive { Ok(()) } else { expired() };
            let found = world.ask(&format!("confirm t amounts {one} {one}"));
            (found, wanted, if alive { TransactionState::Confirmed } else { left })
        }
        Meeting::Cancel => {
            let found = world.ask("cancel t");
            (found, Ok(()), if alive { TransactionState::Cancelled } else { left })
        }
        Meeting::Spend => {
            let zero = world.units(0);
            let refused = format!("INSUFFICIENT_FUNDS a: available {zero}, needed {five}, floor {zero}");
            let found = world.ask(&format!("post p2 debit a {five} credit out {five}"));
            (found, if alive { Err(refused) } else { Ok(()) }, left)
        }
        Meeting::Close => {
            let pending = world.units(if alive { 5 } else { 0 });
            let refused = format!("ACCOUNT_NOT_EMPTY a: posted {five}, pending {pending} and {}", world.units(0));
            (world.ask("close a"), Err(refused), left)
        }
        Meeting::Tick => {
            world.book.enter(world.stamp, Vec::new());
            (Ok(()), Ok(()), left)
        }
        Meeting::Other => (world.ask("open b liability AST"), Ok(()), left),
    };
    assert_eq!(found, wanted, "{meeting:?}, alive: {alive}");
    assert_eq!(world.state("t"), state, "{meeting:?}, alive: {alive}");
}

#[test]
fn a_hold_lives_until_its_deadline_and_not_a_nanosecond_longer() {
    for scale in [0, 18] {
        // The shortest that can be met while it lives ends two nanoseconds after its try.
        for timeout in [2, 3, 1_000_000_007] {
            let prepared = held(scale, timeout);
            let deadline = TRIED_AT + timeout;
            for meeting in MEETINGS {
                for step in STEPS {
                    let mut world = prepared.clone();
                    world.stamp = LogTime(moved(deadline, step));
                    meet(&mut world, meeting, deadline, step < 0);
                    let expiry = world.book.last_journal.iter().find(|record| record.request.is_none());
                    // An expiry's record carries its deadline, not the time at which it was
                    // noticed.
                    let at = expiry.map(|record| record.point.time);
                    assert_eq!(at, (step >= 0).then_some(LogTime(deadline)), "{meeting:?}, step {step}");
                    // The command after it comes at its stamp, or right after the expiry.
                    let now = if step == 0 { deadline + 1 } else { moved(deadline, step) };
                    assert_eq!(world.book.records.head.time, LogTime(now), "{meeting:?}, step {step}");
                }
            }
        }
        // One nanosecond is over when the next command comes, however early its stamp is.
        let mut world = held(scale, 1);
        meet(&mut world, Meeting::Confirm, TRIED_AT + 1, false);
    }
}

/// Time moves by a nanosecond a command within an entry; so does what is due.
#[test]
fn a_deadline_falls_between_the_commands_of_an_entry() {
    for step in STEPS {
        for (begun_within, before) in [(false, 2u64), (true, 2)] {
            let mut world = World::new(2);
            world.must("open a liability AST floor unlimited");
            world.stamp = LogTime(TRIED_AT);
            let stamp = TRIED_AT + 100;
            // The confirm is decided at `stamp + before`, or one later where the try is in the same
            // entry.
            let decided = stamp + before + u64::from(begun_within);
            let deadline = moved(decided, -step);
            let tried_at = if begun_within { stamp } else { TRIED_AT };
            let attempt = format!("try t debit a 1.00 credit out 1.00 timeout {}ns", deadline - tried_at);
            let mut lines = Vec::new();
            if begun_within {
                lines.push(attempt);
            } else {
                world.must(&attempt);
            }
            lines.extend((0..before).map(|number| format!("cancel other-{number}")));
            lines.push("confirm t".into());
            let commands: Vec<Command> = lines.iter().map(|line| world.command(line)).collect();
            let answers = world.book.enter(LogTime(stamp), commands);
            let state = if step < 0 { TransactionState::Confirmed } else { TransactionState::Expired };
            assert_eq!(world.state("t"), state, "step {step}, begun within: {begun_within}");
            let last = answers.last().unwrap().point.time;
            assert_eq!(last, LogTime(decided + u64::from(step >= 0)), "step {step}, begun within: {begun_within}");
        }
    }
}

/// Before an atomic batch of so many commands, everything due so many nanoseconds later expires.
#[test]
fn an_atomic_batch_ends_what_is_due_by_its_last_item() {
    for items in [1u64, 2, 5] {
        for step in STEPS {
            let timeout = 1_000;
            let mut world = held(2, timeout);
            let deadline = TRIED_AT + timeout;
            // The batch's last item is decided at `deadline + step`.
            let stamp = LogTime(moved(deadline, step) - items);
            let mut batch = vec![world.command("confirm t")];
            batch.extend((1..items).map(|number| world.command(&format!("cancel other-{number}"))));
            let batch = Command { operation: ledger::Operation::Atomic(batch), ..world.command("cancel batch") };
            world.book.one(stamp, batch);
            let state = if step < 0 { TransactionState::Confirmed } else { TransactionState::Expired };
            assert_eq!(world.state("t"), state, "{items} items, step {step}");
        }
    }
}

/// Of several holds just those are over that are due, whatever the order in which they began.
#[test]
fn of_several_holds_those_end_that_are_due() {
    const FIRST: u64 = TRIED_AT + 100;
    // So far apart that the nanosecond which an expiry takes brings no other one.
    const APART: u64 = 3;
    for stamp in FIRST - 1..=FIRST + 3 * APART + 1 {
        let mut world = World::new(0);
        world.must("open a liability AST floor unlimited");
        world.stamp = LogTime(TRIED_AT);
        for (number, place) in (0u64..).zip([2u64, 0, 3, 1]) {
            let timeout = FIRST + place * APART - (TRIED_AT + number);
            world.must(&format!("try t{place} debit a 1 credit out 1 timeout {timeout}ns"));
        }
        world.book.enter(LogTime(stamp), Vec::new());
        for place in 0..4 {
            let is_due = FIRST + place * APART <= stamp;
            let state = if is_due { TransactionState::Expired } else { TransactionState::Tried };
            assert_eq!(world.state(&format!("t{place}")), state, "hold {place} at {stamp}");
        }
    }
}
