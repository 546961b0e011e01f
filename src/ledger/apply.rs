//! The one door to the book: [`apply()`], and [`apply_encoded`] for an entry in its bytes.
//!
//! Before each command, everything due at its time expires, in order of (deadline, id), each with a journal record. Before an atomic
//! batch, everything due at its last item's time: were a hold to end between two items, a refused batch would have to
//! unmake that end, and the refusal would speak of a state that never was.
//! Then the order of precedence common to all operations: a remembered request id answers first (replay, or
//! `REQUEST_ID_REUSED`), then the shape, then the operation's own checks in the order its file documents.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt::Debug;

use crate::command::{Command, Operation};
use crate::entry::{EncodedEntry, Entry, EntryError, check_commands};
use crate::journal::JournalSequence;
use crate::limits::{MAX_BATCH_COMMANDS, MAX_EXPIRIES_PER_STEP, RULES_VERSION};
use crate::ops;
use crate::outcome::{Accepted, Answer, Outcome, Point, Rejection};
use crate::records::{Applied, Changes, Kept, Records, RequestBody, RequestRecord, Stop};
use crate::shape;
use crate::time::{Interval, LogTime};
use crate::transaction::TransactionState;
use crate::working::{Context, Halt, Step, Working};

/// What an operation decided.
#[derive(Debug)]
pub(crate) struct Decision {
    pub(crate) outcome: Outcome,
    pub(crate) sequence: Option<JournalSequence>,
    pub(crate) replay_of: Option<Point>,
    pub(crate) state: Option<TransactionState>,
    /// Whether the request id is still to be remembered.
    pub(crate) is_new: bool,
}

impl Decision {
    /// Something was booked under `sequence`.
    pub(crate) fn booked(accepted: Accepted, sequence: JournalSequence) -> Decision {
        Decision {
            outcome: Outcome::Accepted(accepted),
            sequence: Some(sequence),
            replay_of: None,
            state: None,
            is_new: true,
        }
    }

    /// Accepted without any change.
    pub(crate) fn unchanged(accepted: Accepted) -> Decision {
        Decision { outcome: Outcome::Accepted(accepted), sequence: None, replay_of: None, state: None, is_new: true }
    }

    /// A fresh request id asked for what was done before, at `first`.
    pub(crate) fn repeated(accepted: Accepted, sequence: Option<JournalSequence>, first: Point) -> Decision {
        Decision { outcome: Outcome::Accepted(accepted), sequence, replay_of: Some(first), state: None, is_new: true }
    }

    pub(crate) fn rejected(rejection: Rejection) -> Decision {
        Decision { outcome: Outcome::Rejected(rejection), sequence: None, replay_of: None, state: None, is_new: true }
    }

    pub(crate) fn with_state(mut self, state: TransactionState) -> Decision {
        self.state = Some(state);
        self
    }
}

/// How many commands are decoded, and the book told of, before they are decided.
const EXPECTED_AT_ONCE: u32 = 64;

/// The commands of an entry, some at a time.
trait Commands {
    fn count(&self) -> usize;
    /// The next ones, none after the last.
    fn next_some(&mut self) -> Result<&[Command], EntryError>;
    /// Whether all that is left decodes.
    fn check(&self) -> Result<(), EntryError>;
}

impl Commands for &[Command] {
    fn count(&self) -> usize {
        self.len()
    }

    fn next_some(&mut self) -> Result<&[Command], EntryError> {
        let most = usize::try_from(EXPECTED_AT_ONCE).unwrap_or(usize::MAX);
        let (some, rest) = self.split_at_checked(most).unwrap_or((self, &[]));
        *self = rest;
        Ok(some)
    }

    fn check(&self) -> Result<(), EntryError> {
        Ok(())
    }
}

/// Commands that are decoded where they are wanted, so that they and what they are decoded from stay in the processor's cache.
struct Encoded<'b> {
    entry: EncodedEntry<'b>,
    commands: Vec<Command>,
}

impl<'b> Encoded<'b> {
    fn new(entry: &EncodedEntry<'b>) -> Encoded<'b> {
        let room = usize::try_from(entry.count.min(EXPECTED_AT_ONCE)).unwrap_or_default();
        Encoded { entry: *entry, commands: Vec::with_capacity(room) }
    }
}

impl Commands for Encoded<'_> {
    fn count(&self) -> usize {
        usize::try_from(self.entry.count).unwrap_or(usize::MAX)
    }

    fn next_some(&mut self) -> Result<&[Command], EntryError> {
        self.entry.take(EXPECTED_AT_ONCE, &mut self.commands)?;
        Ok(&self.commands)
    }

    fn check(&self) -> Result<(), EntryError> {
        check_commands(self.entry.commands, self.entry.count)
    }
}

/// Applies one log entry to the book: with [`apply_encoded`] the only door.
///
/// Returns the answers, one per command and in order, and the changes to write in one atomic batch with `index`. When
/// [`Applied::finished`] is false, only holds were expired: write the changes while `index - 1` stays the last applied, then call again with the same
/// entry. The steps are the same on every replica, also when a crash lies between them.
///
/// # Errors
/// [`Stop`]: the node must stop and serve nothing.
pub fn apply<R: Records>(records: &R, index: u64, entry: &Entry) -> Result<Applied, Stop<R::Error>> {
    if entry.version != RULES_VERSION {
        return Err(Stop::UnknownRules { version: entry.version });
    }
    apply_commands(records, index, entry.stamp, entry.commands.as_slice(), Changes::default())
}

/// As [`apply()`], for an entry whose commands are decoded one after another. Where one does not decode, nothing of the entry is handed out.
///
/// # Errors
/// [`Stop`]: the node must stop and serve nothing.
pub fn apply_encoded<R: Records>(records: &R, index: u64, entry: &EncodedEntry<'_>) -> Result<Applied, Stop<R::Error>> {
    apply_commands(records, index, entry.stamp, Encoded::new(entry), Changes::default())
}

/// As [`apply_encoded`], with the changes in the room of an earlier entry's: whoever applies large entries one after another need not have memory for megabytes of changes given and taken each time.
/// What `room` holds is dropped first.
///
/// # Errors
/// [`Stop`]: the node must stop and serve nothing.
pub fn apply_encoded_within<R: Records>(
    room: Changes,
    records: &R,
    index: u64,
    entry: &EncodedEntry<'_>,
) -> Result<Applied, Stop<R::Error>> {
    apply_commands(records, index, entry.stamp, Encoded::new(entry), room)
}

fn apply_commands<R: Records>(
    records: &R,
    index: u64,
    stamp: LogTime,
    mut commands: impl Commands,
    room: Changes,
) -> Result<Applied, Stop<R::Error>> {
    // A count is only believed where its commands were decoded.
    let count = commands.count().min(MAX_BATCH_COMMANDS);
    let mut working = Working::within(room, records, count);
    let first = Point { index, position: 0, time: LogTime(0) };
    let expired = expire_due(&mut working, first, stamp, 0, MAX_EXPIRIES_PER_STEP)?;
    if expired == MAX_EXPIRIES_PER_STEP {
        // These changes are written before the commands are come to.
        commands.check().map_err(Stop::Undecodable)?;
        return Ok(Applied { changes: working.into_changes(), answers: Vec::new(), finished: false });
    }
    let mut answers = Vec::with_capacity(count);
    let mut position = 0;
    loop {
        let some = commands.next_some().map_err(Stop::Undecodable)?;
        if some.is_empty() {
            break;
        }
        records.expect(some);
        for command in some {
            let point = begin(&mut working, Point { position, ..first }, stamp, items_of(command))?;
            let decision = decide(&mut working, point, stamp, command)?;
            answers.push(Answer {
                point,
                sequence: decision.sequence,
                replay_of: decision.replay_of,
                state: decision.state,
                outcome: decision.outcome,
            });
            position += 1;
        }
    }
    if answers.is_empty() {
        begin(&mut working, first, stamp, 0)?;
    }
    Ok(Applied { changes: working.into_changes(), answers, finished: true })
}

/// How many nanoseconds after its own time a command's last part is decided: one per item of an atomic batch.
fn items_of(command: &Command) -> u64 {
    match &command.operation {
        Operation::Atomic(items) => u64::try_from(items.len()).unwrap_or(u64::MAX),
        Operation::RegisterAsset(_)
        | Operation::OpenAccount(_)
        | Operation::SetLimits(_)
        | Operation::Freeze(_)
        | Operation::Unfreeze(_)
        | Operation::Close(_)
        | Operation::Post(_)
        | Operation::Try(_)
        | Operation::Confirm(_)
        | Operation::Cancel(_)
        | Operation::Reverse(_) => 0,
    }
}

/// Expires what is due `ahead_ns` after the next command's time, and moves the log's time to that command's, which it
/// returns with the place.
pub(crate) fn begin<E: Debug>(
    working: &mut Working<'_, E>,
    place: Point,
    stamp: LogTime,
    ahead_ns: u64,
) -> Result<Point, Stop<E>> {
    expire_due(working, place, stamp, ahead_ns, usize::MAX)?;
    let time = working.next_time(stamp)?;
    working.set_time(time);
    Ok(Point { time, ..place })
}

/// Expires up to `most` holds that are due `ahead_ns` after the time that the next command would get. Each expiry moves that
/// time on, so it is asked anew.
fn expire_due<E: Debug>(
    working: &mut Working<'_, E>,
    place: Point,
    stamp: LogTime,
    ahead_ns: u64,
    most: usize,
) -> Result<usize, Stop<E>> {
    let mut expired = 0;
    while expired < most {
        let due = working.next_time(stamp)?.after(Interval(ahead_ns));
        let Some((deadline, transaction)) = working.hold_due(due)? else { break };
        ops::expire::apply(working, place, transaction, deadline)?;
        expired += 1;
    }
    Ok(expired)
}

/// Decides one command at `point`, and remembers its request id.
pub(crate) fn decide<E: Debug>(
    working: &mut Working<'_, E>,
    point: Point,
    stamp: LogTime,
    command: &Command,
) -> Result<Decision, Stop<E>> {
    let decision = match execute(working, point, stamp, command) {
        Ok(decision) => decision,
        Err(Halt::Rejected(rejection)) => Decision::rejected(rejection),
        Err(Halt::Stop(stop)) => return Err(stop),
    };
    if decision.is_new {
        remember(working, point, command, &decision);
    }
    Ok(decision)
}

fn execute<E: Debug>(
    working: &mut Working<'_, E>,
    point: Point,
    stamp: LogTime,
    command: &Command,
) -> Step<Decision, E> {
    if let Some(record) = working.request(&command.request).map_err(Stop::Records)? {
        return ops::repeat::answer(working, record, command).map_err(Halt::Stop);
    }
    if let Err(violation) = shape::check(command) {
        // The API refuses it before the log, where nothing is remembered; what slips through is treated alike.
        let refused = Decision::rejected(Rejection::InvalidArgument(violation));
        return Ok(Decision { is_new: false, ..refused });
    }
    let context = Context { point, request: Some(command.request), principal: &command.principal };
    match &command.operation {
        Operation::RegisterAsset(register) => ops::register_asset::apply(working, &context, register),
        Operation::OpenAccount(open) => ops::open_account::apply(working, &context, open),
        Operation::SetLimits(limits) => ops::set_limits::apply(working, &context, limits),
        Operation::Freeze(account) => ops::freeze::apply(working, &context, account),
        Operation::Unfreeze(account) => ops::unfreeze::apply(working, &context, account),
        Operation::Close(account) => ops::close::apply(working, &context, account),
        Operation::Post(post) => ops::post::apply(working, &context, post),
        Operation::Try(attempt) => ops::try_hold::apply(working, &context, attempt),
        Operation::Confirm(confirm) => ops::confirm::apply(working, &context, confirm),
        Operation::Cancel(transaction) => ops::cancel::apply(working, &context, *transaction),
        Operation::Reverse(reverse) => ops::reverse::apply(working, &context, reverse),
        Operation::Atomic(items) => ops::atomic::apply(working, point, stamp, items).map_err(Halt::Stop),
    }
}

/// Keeps the answer under the request id. Where the command made one journal record of its own, that record says it all.
fn remember<E: Debug>(working: &mut Working<'_, E>, point: Point, command: &Command, decision: &Decision) {
    #[cfg(feature = "seeded-bugs")]
    if crate::seeded::forgets(&command.request) {
        return;
    }
    let body = match (&decision.outcome, decision.sequence, decision.replay_of) {
        (Outcome::Accepted(_), Some(sequence), None) => RequestBody::Booked(sequence),
        (outcome @ (Outcome::Accepted(_) | Outcome::Rejected(_) | Outcome::BatchRejected { .. }), _, _) => {
            RequestBody::Kept(Box::new(Kept {
                command: command.clone(),
                outcome: outcome.clone(),
                sequence: decision.sequence,
                replay_of: decision.replay_of,
            }))
        }
    };
    working.put_request(command.request, RequestRecord { point, body });
}

/// Keeps the refusal of an atomic batch's culprit under its own id, unless that id was taken before.
pub(crate) fn remember_culprit<E: Debug>(
    working: &mut Working<'_, E>,
    point: Point,
    command: &Command,
    rejection: &Rejection,
) -> Result<(), Stop<E>> {
    if working.request(&command.request).map_err(Stop::Records)?.is_none() {
        remember(working, point, command, &Decision::rejected(rejection.clone()));
    }
    Ok(())
}
