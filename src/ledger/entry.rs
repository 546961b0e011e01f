//! The log entry: commands that share one stamp, encoded once for disk, peers and `apply`.
//!
//! Layout: version of the rules (u16, little endian), stamp (u64, little endian), number of commands (u32, little
//! endian), then the commands one after another in postcard's encoding. Commands are encoded where they are received, so folding
//! them into an entry only copies bytes.

use alloc::vec::Vec;

use crate::command::Command;
use crate::limits::RULES_VERSION;
use crate::quick;
use crate::time::LogTime;

/// What a leader proposes: commands and the time it read when it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The version of the rules to apply it under.
    pub version: u16,
    /// The leader's clock.
    pub stamp: LogTime,
    /// The commands; none in an entry that only carries the time forward.
    pub commands: Vec<Command>,
}

/// Why bytes are not an entry: they were damaged, or a newer release wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryError {
    /// Too short, a command does not decode, or bytes are left over.
    Malformed,
    /// The rules are unknown here.
    UnknownRules(u16),
}

const HEADER_BYTES: usize = 14;

/// Encodes one command.
///
/// # Errors
/// Only when memory for it cannot be had.
pub fn encode_command(command: &Command) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_allocvec(command)
}

/// Decodes the command at the beginning of bytes, and gives the bytes after it.
fn take_command(bytes: &[u8]) -> Result<(Command, &[u8]), EntryError> {
    match quick::read_command(bytes) {
        Some(taken) => Ok(taken),
        None => postcard::take_from_bytes(bytes).map_err(|_| EntryError::Malformed),
    }
}

/// Decodes one command that stands alone.
///
/// # Errors
/// When the bytes are not exactly one command.
pub fn decode_command(bytes: &[u8]) -> Result<Command, EntryError> {
    match take_command(bytes)? {
        (command, []) => Ok(command),
        (_, _) => Err(EntryError::Malformed),
    }
}

/// Checks that bytes are `count` commands, one after another: in an entry, bytes that are not would stop every replica.
///
/// # Errors
/// [`EntryError::Malformed`] when they are not.
pub fn check_commands(encoded: &[u8], count: u32) -> Result<(), EntryError> {
    let mut rest = encoded;
    for _ in 0..count {
        let (_, left) = take_command(rest)?;
        rest = left;
    }
    if rest.is_empty() { Ok(()) } else { Err(EntryError::Malformed) }
}

/// An entry that is being made: commands, encoded where they are received, behind room for its header. So the commands of whoever has an entry for himself are never copied.
#[derive(Debug, PartialEq, Eq)]
pub struct EntryWriter {
    bytes: Vec<u8>,
    count: u32,
}

impl EntryWriter {
    /// Begins an entry under the rules of this build.
    pub fn new(capacity_bytes: usize) -> EntryWriter {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + capacity_bytes);
        bytes.resize(HEADER_BYTES, 0);
        EntryWriter { bytes, count: 0 }
    }

    /// Encodes another command.
    ///
    /// # Errors
    /// Only when memory for it cannot be had; what was in the entry is lost then.
    pub fn add(&mut self, command: &Command) -> Result<(), postcard::Error> {
        self.bytes = postcard::to_extend(command, core::mem::take(&mut self.bytes))?;
        self.count += 1;
        Ok(())
    }

    /// Adds `count` commands that were encoded one after another.
    pub fn push(&mut self, encoded: &[u8], count: u32) {
        self.bytes.extend_from_slice(encoded);
        self.count += count;
    }

    /// How many commands there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The commands, encoded one after another.
    pub fn commands(&self) -> &[u8] {
        self.bytes.get(HEADER_BYTES..).unwrap_or_default()
    }

    /// The bytes so far, and where among them the commands begin: for whoever sends these on instead of making the entry.
    pub fn into_bytes(self) -> (Vec<u8>, usize) {
        let begin = HEADER_BYTES.min(self.bytes.len());
        (self.bytes, begin)
    }

    /// Ends the entry with the leader's stamp.
    pub fn finish(mut self, stamp: LogTime) -> Vec<u8> {
        self.bytes[..2].copy_from_slice(&RULES_VERSION.to_le_bytes());
        self.bytes[2..10].copy_from_slice(&stamp.0.to_le_bytes());
        self.bytes[10..HEADER_BYTES].copy_from_slice(&self.count.to_le_bytes());
        self.bytes
    }
}

fn fixed<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], EntryError> {
    bytes.get(at..at + N).and_then(|slice| slice.try_into().ok()).ok_or(EntryError::Malformed)
}

/// An entry in its bytes: [`apply_encoded`](crate::apply::apply_encoded) decodes its commands as it comes to them.
#[derive(Debug, Clone, Copy)]
pub struct EncodedEntry<'b> {
    /// The version of the rules to apply it under.
    pub version: u16,
    /// The leader's clock.
    pub stamp: LogTime,
    pub(crate) count: u32,
    pub(crate) commands: &'b [u8],
}

impl EncodedEntry<'_> {
    /// Reads the head of an entry. Whether its commands decode is not known before they are applied.
    ///
    /// # Errors
    /// [`EntryError`] when the bytes cannot be an entry, or its rules are unknown.
    pub fn read(bytes: &[u8]) -> Result<EncodedEntry<'_>, EntryError> {
        let version = u16::from_le_bytes(fixed(bytes, 0)?);
        if version != RULES_VERSION {
            return Err(EntryError::UnknownRules(version));
        }
        let stamp = LogTime(u64::from_le_bytes(fixed(bytes, 2)?));
        let count = u32::from_le_bytes(fixed(bytes, 10)?);
        let commands = bytes.get(HEADER_BYTES..).unwrap_or_default();
        // A command takes at least a byte, so a damaged count cannot ask for more memory than the bytes justify.
        if usize::try_from(count).map_or(true, |count| count > commands.len()) {
            return Err(EntryError::Malformed);
        }
        Ok(EncodedEntry { version, stamp, count, commands })
    }

    /// Decodes commands in place of those in a list, at most so many, and takes them off the entry. None when all are taken.
    pub(crate) fn take(&mut self, most: u32, commands: &mut Vec<Command>) -> Result<(), EntryError> {
        commands.clear();
        let count = self.count.min(most);
        for _ in 0..count {
            let (command, rest) = take_command(self.commands)?;
            commands.push(command);
            self.commands = rest;
        }
        self.count -= count;
        if self.count == 0 && !self.commands.is_empty() { Err(EntryError::Malformed) } else { Ok(()) }
    }
}

impl Entry {
    /// Decodes an entry.
    ///
    /// # Errors
    /// [`EntryError`] when the bytes are not one, or its rules are unknown.
    pub fn decode(bytes: &[u8]) -> Result<Entry, EntryError> {
        let mut encoded = EncodedEntry::read(bytes)?;
        let mut commands = Vec::with_capacity(usize::try_from(encoded.count).unwrap_or_default());
        encoded.take(u32::MAX, &mut commands)?;
        Ok(Entry { version: encoded.version, stamp: encoded.stamp, commands })
    }

    /// Encodes an entry whole; the proposer uses [`EntryWriter`].
    ///
    /// # Errors
    /// Only when memory for it cannot be had.
    pub fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        let mut writer = EntryWriter::new(self.commands.len());
        for command in &self.commands {
            writer.push(&encode_command(command)?, 1);
        }
        Ok(writer.finish(self.stamp))
    }
}
