//! Independent batches from the bytes of the wire to the bytes of the log, in one pass: a transfer becomes no message, its names become numbers where they lie, and all commands are
//! encoded into one buffer.
//!
//! The pass knows only how to succeed. Whatever else it meets (a malformed byte, a refusal, an unknown field, an atomic batch) makes it give up, and the
//! generated types decide as if it had never been tried: every refusal, its text and its order of precedence are theirs alone.

use ledger::command::Posting;
use ledger::limits::{MAX_BATCH_COMMANDS, MAX_REQUEST_BYTES};
use ledger::{Command, Operation, RequestId};
use prost::Message as _;
use prost::encoding::{WireType, decode_key, decode_varint};
use tonic::Status;

use super::convert::{self, TransferFields};
use super::errors;
use super::ledger_service::check_size;
use crate::book::directory::Directory;
use crate::proto::v1;

/// Bytes that an encoded transfer takes at most in most batches: ids, numbers and an amount.
const ENCODED_BYTES: usize = 64;
/// The field of an `ExecuteBatchRequest`.
const COMMANDS: u32 = 1;
/// The field of a `Command`.
const TRANSFER: u32 = 7;

/// Commands encoded one after another, as a proposal takes them.
#[derive(Debug, PartialEq, Eq)]
pub struct EncodedCommands {
    /// Their bytes.
    pub bytes: Vec<u8>,
    /// How many there are.
    pub count: u32,
}

/// What a batch asks for.
#[derive(Debug)]
pub(super) enum Batch {
    /// Commands as a proposal takes them.
    Encoded(EncodedCommands),
    /// Commands of which each has its own outcome.
    Independent(Vec<Command>),
    /// One command that is all or nothing.
    Atomic(Box<Command>),
}

/// What a batch asks for, by the generated types; decides every refusal.
fn read_messages(names: &Directory, bytes: &[u8]) -> Result<Batch, Status> {
    let message = v1::ExecuteBatchRequest::decode(bytes).map_err(|error| Status::internal(error.to_string()))?;
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

/// The fields of a command that is a transfer without details; none for any other.
fn transfer_fields(mut command: &[u8]) -> Option<TransferFields<'_>> {
    let (TRANSFER, mut rest) = next_bytes(&mut command)? else { return None };
    if !command.is_empty() {
        return None;
    }
    let mut fields = TransferFields::default();
    while !rest.is_empty() {
        let (field, content) = next_bytes(&mut rest)?;
        let text = std::str::from_utf8(content).ok()?;
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

/// Any command, by the generated types; `field` is the batch's field that holds it, key and all, so that it is nested no less deep than in the whole.
fn any_command(names: &Directory, field: &[u8]) -> Option<Command> {
    let mut batch = v1::ExecuteBatchRequest::decode(field).ok()?;
    convert::command(names, batch.commands.pop()?.operation?).ok()
}

/// What a batch asks for, checked as far as it can be without the book.
///
/// # Errors
/// What is wrong with it, and where.
pub(super) fn read(names: &Directory, bytes: &[u8]) -> Result<Batch, Status> {
    match read_plain(names, bytes) {
        Some(commands) => Ok(Batch::Encoded(commands)),
        None => read_messages(names, bytes),
    }
}

/// The commands of an independent batch of which each is well formed; none for all else.
pub(super) fn read_plain(names: &Directory, bytes: &[u8]) -> Option<EncodedCommands> {
    if bytes.len() > MAX_REQUEST_BYTES {
        return None;
    }
    let (mut encoded, mut count) = (Vec::with_capacity(bytes.len() / 2 + ENCODED_BYTES), 0);
    let mut postings: Vec<Posting> = Vec::with_capacity(2);
    let mut rest = bytes;
    while !rest.is_empty() {
        let whole = rest;
        let (COMMANDS, content) = next_bytes(&mut rest)? else { return None };
        count += 1;
        let command = match transfer_fields(content) {
            Some(fields) => convert::plain_transfer(names, &fields, std::mem::take(&mut postings)).ok()?,
            None => any_command(names, whole.get(..whole.len() - rest.len())?)?,
        };
        convert::check_scale(names, &command).ok()?;
        encoded = ledger::entry::append_command(&command, encoded).ok()?;
        if let Operation::Post(post) = command.operation {
            // Its room serves the next transfer.
            postings = post.postings;
            postings.clear();
        }
    }
    let is_allowed = (1..=MAX_BATCH_COMMANDS).contains(&count);
    let count = u32::try_from(count).ok()?;
    is_allowed.then_some(EncodedCommands { bytes: encoded, count })
}
