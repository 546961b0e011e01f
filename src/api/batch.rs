//! Batches from the bytes of the wire to the bytes of the log, in one pass: a transfer becomes no message, its names become numbers where they lie, and all
//! commands are encoded into one buffer.
//!
//! The pass knows only how to succeed. Whatever else it meets (a malformed byte, a refusal, an unknown field, an atomic batch) makes it give up, and the
//! generated types decide as if it had never been tried: every refusal, its text and its order of precedence are theirs alone.

use std::ops::Range;
use std::sync::{Mutex, PoisonError, RwLock};

use bytes::Bytes;
use ledger::command::{Post, Posting, Try};
use ledger::limits::{MAX_BATCH_COMMANDS, MAX_REQUEST_BYTES};
use ledger::{AccountNumber, Command, EntryWriter, Operation, RequestId};
use prost::Message as _;
use prost::encoding::{WireType, decode_key, decode_varint};
use prost_types::Duration;
use tonic::Status;

use super::convert::{self, PostingFields, TransferFields};
use super::errors;
use super::ledger_service::check_size;
use crate::book::directory::Directory;
use crate::proto::strict_codec::malformed;
use crate::proto::v1;

/// Commands whose names are looked up together.
const GROUP: usize = 64;
/// The field of an `ExecuteBatchRequest`.
const COMMANDS: u32 = 1;
/// The most postings of tries that a group begins another command with.
const MAX_GROUP_POSTINGS: usize = 4 * GROUP;
// The fields of a `Command`.
const TRANSFER: u32 = 7;
const TRY: u32 = 9;
const CONFIRM: u32 = 10;
const CANCEL: u32 = 11;

/// What a batch asks for.
#[derive(Debug)]
pub(super) enum Batch {
    /// Commands as a proposal takes them.
    Encoded(EntryWriter),
    /// Commands of which each has its own outcome.
    Independent(Vec<Command>),
    /// One command that is all or nothing.
    Atomic(Box<Command>),
}

/// What a batch asks for, by the generated types; decides every refusal.
fn read_messages(names: &Directory, bytes: &[u8]) -> Result<Batch, Status> {
    let message = v1::ExecuteBatchRequest::decode(bytes).map_err(|error| malformed(&error))?;
    check_size(&message)?;
    let commands = batch_commands(names, message.commands)?;
    let checked = convert::check_scales(names, &commands);
    checked.map_err(|(position, refusal)| errors::within(position, &refusal))?;
    if message.atomic_request_id.is_empty() {
        return Ok(Batch::Independent(commands));
    }
    let request =
        RequestId::parse(&message.atomic_request_id).map_err(|error| errors::invalid("atomic_request_id", error))?;
    let batch = Command { request, principal: String::new(), operation: Operation::Atomic(commands) };
    ledger::shape::check(&batch).map_err(|found| errors::violation(&found))?;
    Ok(Batch::Atomic(Box::new(batch)))
}

/// The commands of a batch, each refusal naming its place.
fn batch_commands(names: &Directory, messages: Vec<v1::Command>) -> Result<Vec<Command>, Status> {
    let bound = ledger::limits::MAX_BATCH_COMMANDS;
    if messages.is_empty() || messages.len() > bound {
        return Err(errors::invalid("commands", format!("there are {}; 1 to {bound} are allowed", messages.len())));
    }
    let mut commands = Vec::with_capacity(messages.len());
    for (position, message) in messages.into_iter().enumerate() {
        let operation =
            message.operation.ok_or_else(|| errors::invalid(format!("commands[{position}]"), "is empty"))?;
        let command = convert::command(names, operation).map_err(|refusal| errors::within(position, &refusal))?;
        commands.push(command);
    }
    Ok(commands)
}

/// The next field's number and bytes, advancing over it; none if it is of another kind or malformed.
fn next_bytes<'a>(rest: &mut &'a [u8]) -> Option<(u32, &'a [u8])> {
    let (field, kind) = decode_key(rest).ok()?;
    if kind != WireType::LengthDelimited {
        return None;
    }
    let len = usize::try_from(decode_varint(rest).ok()?).ok()?;
    let (content, left) = rest.split_at_checked(len)?;
    *rest = left;
    Some((field, content))
}

fn text(content: &[u8]) -> Option<&str> {
    std::str::from_utf8(content).ok()
}

/// The fields of a transfer; none if it has details.
fn transfer_fields(mut rest: &[u8]) -> Option<TransferFields<'_>> {
    let mut fields = TransferFields::default();
    while !rest.is_empty() {
        let (field, content) = next_bytes(&mut rest)?;
        let text = text(content)?;
        // Of a field that is given twice, the last holds.
        match field {
            1 => fields.request_id = text,
            2 => fields.transaction_id = text,
            3 => fields.debit_account = text,
            4 => fields.credit_account = text,
            5 => fields.amount = text,
            6 => fields.asset = text,
            _ => return None,
        }
    }
    Some(fields)
}

/// The ids of a command that holds nothing else: its request's and its transaction's.
fn id_fields(mut rest: &[u8]) -> Option<[&str; 2]> {
    let mut ids = [""; 2];
    while !rest.is_empty() {
        match next_bytes(&mut rest)? {
            (1, content) => ids[0] = text(content)?,
            (2, content) => ids[1] = text(content)?,
            _ => return None,
        }
    }
    Some(ids)
}

/// The next field's number where it is a number itself, advancing over it.
fn next_number(rest: &mut &[u8]) -> Option<(u32, u64)> {
    let (field, WireType::Varint) = decode_key(rest).ok()? else { return None };
    Some((field, decode_varint(rest).ok()?))
}

/// The fields of a posting.
fn posting_fields(mut rest: &[u8]) -> Option<PostingFields<'_>> {
    let mut fields = PostingFields::default();
    while !rest.is_empty() {
        let mut after = rest;
        // A number that is none of an enumeration's is left to the messages.
        if let Some((2, side)) = next_number(&mut after) {
            (fields.side, rest) = (i32::try_from(side).ok()?, after);
            continue;
        }
        let (field, content) = next_bytes(&mut rest)?;
        match field {
            1 => fields.account = text(content)?,
            3 => fields.amount = text(content)?,
            4 => fields.asset = text(content)?,
            _ => return None,
        }
    }
    Some(fields)
}

fn duration(mut rest: &[u8]) -> Option<Duration> {
    let mut duration = Duration::default();
    while !rest.is_empty() {
        match next_number(&mut rest)? {
            (1, seconds) => duration.seconds = i64::try_from(seconds).ok()?,
            (2, nanos) => duration.nanos = i32::try_from(nanos).ok()?,
            _ => return None,
        }
    }
    Some(duration)
}

/// The fields of a try, its postings added to those of the group; none if it has details.
fn try_fields<'a>(mut rest: &'a [u8], postings: &mut Vec<LyingPosting<'a>>) -> Option<TryFields<'a>> {
    let first = postings.len();
    let (mut ids, mut timeout) = ([""; 2], None);
    while !rest.is_empty() {
        match next_bytes(&mut rest)? {
            (1, content) => ids[0] = text(content)?,
            (2, content) => ids[1] = text(content)?,
            (3, content) => postings.push((posting_fields(content)?, None)),
            // A second one would be merged with the first.
            (5, content) if timeout.is_none() => timeout = Some(duration(content)?),
            _ => return None,
        }
    }
    Some(TryFields { ids, postings: first..postings.len(), timeout })
}

/// Any command, by the generated types; `field` is the batch's field that holds it, key and all, so that it is nested no less deep than in the whole.
fn any_command(names: &Directory, field: &[u8]) -> Option<Command> {
    let mut batch = v1::ExecuteBatchRequest::decode(field).ok()?;
    convert::command(names, batch.commands.pop()?.operation?).ok()
}

/// What a batch asks for, checked as far as it can be without the book.
///
/// # Errors
/// What is wrong with it, and where.
pub(super) fn read(names: &RwLock<Directory>, bytes: &[u8]) -> Result<Batch, Status> {
    read_plain(names, bytes).map_or_else(|| read_any(names, bytes), |commands| Ok(Batch::Encoded(commands)))
}

/// As [`read`], but all of it by the generated types.
pub(super) fn read_any(names: &RwLock<Directory>, bytes: &[u8]) -> Result<Batch, Status> {
    read_messages(&names.read().unwrap_or_else(PoisonError::into_inner), bytes)
}

/// A long batch of which both halves are read at the same time.
#[derive(Debug)]
pub(super) struct Halves {
    batch: Bytes,
    /// Where the second half begins.
    middle: usize,
    /// What was found in the half that was read first.
    first_read: Mutex<Option<Option<EntryWriter>>>,
}

/// Which half of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    First,
    Second,
}

impl Halves {
    /// None if the whole cannot be plain.
    pub(super) fn of(batch: &Bytes) -> Option<Halves> {
        if batch.len() > MAX_REQUEST_BYTES {
            return None;
        }
        let mut rest: &[u8] = batch;
        while rest.len() > batch.len() / 2 {
            next_bytes(&mut rest)?;
        }
        let (batch, middle) = (batch.clone(), batch.len() - rest.len());
        Some(Halves { batch, middle, first_read: Mutex::default() })
    }

    /// Reads a half. Whoever is done last has what [`read_plain`] finds in the whole; the other has nothing.
    pub(super) fn read(&self, names: &RwLock<Directory>, half: Half) -> Option<EntryWriter> {
        let (first, second) = self.batch.split_at_checked(self.middle)?;
        let read = match half {
            // It takes the second half in.
            Half::First => encode_plain(names, first, encoded_bytes(&self.batch)),
            Half::Second => encode_plain(names, second, encoded_bytes(second)),
        };
        let mut first_read = self.first_read.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(other) = first_read.take() else {
            *first_read = Some(read);
            return None;
        };
        let (mut whole, second) = if half == Half::First { (read?, other?) } else { (other?, read?) };
        whole.push(second.commands(), second.count());
        is_allowed(&whole).then_some(whole)
    }
}

/// A posting where it lies, and what number its account has.
type LyingPosting<'a> = (PostingFields<'a>, Option<AccountNumber>);

/// A try without details where it lies.
struct TryFields<'a> {
    ids: [&'a str; 2],
    /// Where in its group its postings are.
    postings: Range<usize>,
    timeout: Option<Duration>,
}

/// A command where it lies.
enum Lying<'a> {
    /// A transfer without details, and what numbers its accounts have.
    Transfer(TransferFields<'a>, [Option<AccountNumber>; 2]),
    /// A try without details.
    Try(TryFields<'a>),
    /// A confirm without amounts.
    Confirm([&'a str; 2]),
    Cancel([&'a str; 2]),
    /// Any other: the batch's field that holds it.
    Other(&'a [u8]),
}

/// Commands where they lie, and the postings of tries among them.
struct Group<'a> {
    commands: Vec<Lying<'a>>,
    postings: Vec<LyingPosting<'a>>,
}

impl<'a> Group<'a> {
    /// A command that is one of the commonest; none for any other.
    fn plain(&mut self, mut command: &'a [u8]) -> Option<Lying<'a>> {
        let (kind, content) = next_bytes(&mut command)?;
        if !command.is_empty() {
            return None;
        }
        match kind {
            TRANSFER => Some(Lying::Transfer(transfer_fields(content)?, [None, None])),
            TRY => try_fields(content, &mut self.postings).map(Lying::Try),
            CONFIRM => id_fields(content).map(Lying::Confirm),
            CANCEL => id_fields(content).map(Lying::Cancel),
            _ => None,
        }
    }

    /// Takes the next commands of a batch. None if the batch has another field, or a malformed one.
    fn take(&mut self, rest: &mut &'a [u8]) -> Option<()> {
        self.commands.clear();
        self.postings.clear();
        while self.commands.len() < GROUP && self.postings.len() < MAX_GROUP_POSTINGS && !rest.is_empty() {
            let whole = *rest;
            let (COMMANDS, content) = next_bytes(rest)? else { return None };
            let command = match self.plain(content) {
                Some(command) => command,
                None => Lying::Other(whole.get(..whole.len() - rest.len())?),
            };
            self.commands.push(command);
        }
        Some(())
    }

    /// Looks all names up, one right after another, so that the waits for memory overlap: among many accounts every name is far from the last.
    fn look_up(&mut self, names: &Directory) {
        for command in &mut self.commands {
            if let Lying::Transfer(fields, numbers) = command {
                *numbers = fields.numbers(names);
            }
        }
        for (fields, number) in &mut self.postings {
            *number = names.number_of(fields.account);
        }
    }

    /// A command of the group; `room` lends its room and is empty.
    fn command(&self, names: &Directory, command: &Lying<'a>, room: Vec<Posting>) -> Option<Command> {
        match command {
            Lying::Transfer(fields, numbers) => convert::plain_transfer(fields, *numbers, room).ok(),
            Lying::Try(fields) => {
                let postings = self.postings.get(fields.postings.clone())?.iter();
                convert::plain_try(fields.ids, postings, fields.timeout, room).ok()
            }
            Lying::Confirm(ids) => convert::plain_confirm(*ids).ok(),
            Lying::Cancel(ids) => convert::plain_cancel(*ids).ok(),
            Lying::Other(field) => any_command(names, field),
        }
    }
}

/// About how many bytes the log has for a batch: on the wire a transfer is texts, and there half as long at most, unless its names are unknown here.
fn encoded_bytes(batch: &[u8]) -> usize {
    batch.len() / 2
}

fn is_allowed(commands: &EntryWriter) -> bool {
    usize::try_from(commands.count()).is_ok_and(|count| (1..=MAX_BATCH_COMMANDS).contains(&count))
}

/// The commands of an independent batch of which each is well formed; none for all else.
pub(super) fn read_plain(names: &RwLock<Directory>, bytes: &[u8]) -> Option<EntryWriter> {
    if bytes.len() > MAX_REQUEST_BYTES {
        return None;
    }
    encode_plain(names, bytes, encoded_bytes(bytes)).filter(is_allowed)
}

/// The commands of a batch, or of a part of it, however many they are.
fn encode_plain(names: &RwLock<Directory>, mut rest: &[u8], capacity_bytes: usize) -> Option<EntryWriter> {
    let mut encoded = EntryWriter::new(capacity_bytes);
    let mut room: Vec<Posting> = Vec::with_capacity(2);
    let mut group = Group { commands: Vec::with_capacity(GROUP), postings: Vec::with_capacity(2 * GROUP) };
    while !rest.is_empty() {
        group.take(&mut rest)?;
        // Let go after each group, so that whoever opens accounts does not wait for a whole batch. What is known stays so.
        let names = names.read().unwrap_or_else(PoisonError::into_inner);
        group.look_up(&names);
        for command in &group.commands {
            let command = group.command(&names, command, std::mem::take(&mut room))?;
            convert::check_scale(&names, &command).ok()?;
            encoded.add(&command).ok()?;
            if let Operation::Post(Post { postings, .. }) | Operation::Try(Try { postings, .. }) = command.operation {
                // Its room serves the next one.
                room = postings;
                room.clear();
            }
        }
    }
    Some(encoded)
}

#[cfg(test)]
mod tests;
