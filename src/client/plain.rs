//! The four commands that make up most of the traffic, written straight into the bytes of the wire.
//!
//! A generated message holds every text in an allocation of its own and measures each level of nesting again before it writes it. For eight thousand transfers in a call
//! that costs more than the network does. What is written here is byte for byte what the generated messages would write; a test holds it to that. It never looks at what is sent,
//! and never makes up an id.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use crate::proto::v1;

/// The bytes of the longest batch that a server takes.
const MAX_BATCH_BYTES: usize = ledger::limits::MAX_REQUEST_BYTES;
/// The wire type of a field that states its length.
const LENGTH_DELIMITED: u8 = 2;
const ID_FIELD_BYTES: usize = 2 + Hyphenated::LENGTH;
/// A side is a number field of two bytes, as all of its values are below 128.
const SIDE_FIELD_BYTES: usize = 2;

/// The key of a field that states its length; the fields written here have numbers below 16, so it is one byte.
const fn key(field: u8) -> u8 {
    field << 3 | LENGTH_DELIMITED
}

/// The key of a field that is a number.
const fn number_key(field: u8) -> u8 {
    field << 3
}

/// How many bytes a number takes.
const fn varint_len(value: usize) -> usize {
    let bits = usize::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

fn put_varint(target: &mut BytesMut, mut value: usize) {
    while value >= 0x80 {
        // The low seven bits, and that more follow.
        target.put_u8((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    target.put_u8(value as u8);
}

const fn text_field_len(text: &str) -> usize {
    1 + varint_len(text.len()) + text.len()
}

fn put_text(target: &mut BytesMut, field: u8, text: &str) {
    target.put_u8(key(field));
    put_varint(target, text.len());
    target.put_slice(text.as_bytes());
}

fn put_id(target: &mut BytesMut, field: u8, id: Uuid) {
    let mut text = [0; Hyphenated::LENGTH];
    let text = id.hyphenated().encode_lower(&mut text);
    put_text(target, field, text);
}

fn put_head(target: &mut BytesMut, field: u8, len: usize) {
    target.put_u8(key(field));
    put_varint(target, len);
}

/// A command by reference to what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainCommand<'a> {
    /// Moves an amount in one step; the transaction's id is the request's.
    Transfer {
        /// Chosen by the caller; not nil.
        request_id: Uuid,
        /// The name of the account that is debited.
        debit: &'a str,
        /// The name of the account that is credited.
        credit: &'a str,
        /// Digits, optionally a point and digits.
        amount: &'a str,
    },
    /// Reserves a transfer; the transaction's id is the request's.
    Try {
        /// Chosen by the caller; not nil.
        request_id: Uuid,
        /// The name of the account that is debited.
        debit: &'a str,
        /// The name of the account that is credited.
        credit: &'a str,
        /// Digits, optionally a point and digits.
        amount: &'a str,
        /// How long it holds: 1 to ten years.
        timeout_seconds: u32,
    },
    /// Books all of a reservation.
    Confirm {
        /// Chosen by the caller; not nil.
        request_id: Uuid,
        /// What was tried.
        transaction_id: Uuid,
    },
    /// Releases a reservation.
    Cancel {
        /// Chosen by the caller; not nil.
        request_id: Uuid,
        /// What was tried.
        transaction_id: Uuid,
    },
}

impl PlainCommand<'_> {
    /// The method that takes it by itself.
    pub(super) const fn path(&self) -> &'static str {
        match self {
            PlainCommand::Transfer { .. } => "/folio.v1.LedgerService/Transfer",
            PlainCommand::Try { .. } => "/folio.v1.LedgerService/TryTransaction",
            PlainCommand::Confirm { .. } => "/folio.v1.LedgerService/ConfirmTransaction",
            PlainCommand::Cancel { .. } => "/folio.v1.LedgerService/CancelTransaction",
        }
    }

    /// Its field in a `Command`.
    const fn field(&self) -> u8 {
        match self {
            PlainCommand::Transfer { .. } => 7,
            PlainCommand::Try { .. } => 9,
            PlainCommand::Confirm { .. } => 10,
            PlainCommand::Cancel { .. } => 11,
        }
    }

    const fn body_len(&self) -> usize {
        match self {
            PlainCommand::Transfer { debit, credit, amount, .. } => {
                ID_FIELD_BYTES + text_field_len(debit) + text_field_len(credit) + text_field_len(amount)
            }
            PlainCommand::Try { debit, credit, amount, timeout_seconds, .. } => {
                let (debit, credit) = (posting_len(debit, amount), posting_len(credit, amount));
                let timeout = 1 + varint_len(*timeout_seconds as usize);
                ID_FIELD_BYTES + 1 + varint_len(debit) + debit + 1 + varint_len(credit) + credit + 2 + timeout
            }
            PlainCommand::Confirm { .. } | PlainCommand::Cancel { .. } => 2 * ID_FIELD_BYTES,
        }
    }

    fn put_body(&self, target: &mut BytesMut) {
        match *self {
            PlainCommand::Transfer { request_id, debit, credit, amount } => {
                put_id(target, 1, request_id);
                put_text(target, 3, debit);
                put_text(target, 4, credit);
                put_text(target, 5, amount);
            }
            PlainCommand::Try { request_id, debit, credit, amount, timeout_seconds } => {
                put_id(target, 1, request_id);
                put_posting(target, debit, v1::Side::Debit, amount);
                put_posting(target, credit, v1::Side::Credit, amount);
                put_head(target, 5, 1 + varint_len(timeout_seconds as usize));
                target.put_u8(number_key(1));
                put_varint(target, timeout_seconds as usize);
            }
            PlainCommand::Confirm { request_id, transaction_id }
            | PlainCommand::Cancel { request_id, transaction_id } => {
                put_id(target, 1, request_id);
                put_id(target, 2, transaction_id);
            }
        }
    }

    /// The bytes of the message of [`PlainCommand::path`].
    pub(super) fn encode(&self) -> Bytes {
        let mut target = BytesMut::with_capacity(self.body_len());
        self.put_body(&mut target);
        target.freeze()
    }
}

const fn posting_len(account: &str, amount: &str) -> usize {
    text_field_len(account) + SIDE_FIELD_BYTES + text_field_len(amount)
}

fn put_posting(target: &mut BytesMut, account: &str, side: v1::Side, amount: &str) {
    put_head(target, 3, posting_len(account, amount));
    put_text(target, 1, account);
    target.put_u8(number_key(2));
    target.put_u8(side as u8);
    put_text(target, 3, amount);
}

/// Writes an independent batch, command by command, into one piece of memory, and writes the next into the same piece once the one before was answered.
#[derive(Debug, Default)]
pub struct BatchWriter {
    bytes: BytesMut,
    commands: usize,
    /// What the largest batch so far took.
    largest: usize,
}

impl BatchWriter {
    /// A writer of an empty batch.
    pub fn new() -> BatchWriter {
        BatchWriter::default()
    }

    /// How many commands were written since the last batch was taken.
    pub fn commands(&self) -> usize {
        self.commands
    }

    /// Adds a command.
    pub fn push(&mut self, command: &PlainCommand<'_>) {
        let body = command.body_len();
        let whole = 1 + varint_len(body) + body;
        self.bytes.reserve(1 + varint_len(whole) + whole);
        put_head(&mut self.bytes, 1, whole);
        put_head(&mut self.bytes, command.field(), body);
        command.put_body(&mut self.bytes);
        self.commands += 1;
    }

    /// Adds a command of any kind.
    pub fn push_message(&mut self, command: &v1::Command) {
        let len = command.encoded_len();
        self.bytes.reserve(1 + varint_len(len) + len);
        put_head(&mut self.bytes, 1, len);
        command.encode_raw(&mut self.bytes);
        self.commands += 1;
    }

    /// The batch; the writer begins the next.
    pub fn take(&mut self) -> EncodedBatch {
        let batch = EncodedBatch { bytes: self.bytes.split().freeze(), commands: self.commands };
        self.commands = 0;
        self.largest = self.largest.max(batch.bytes.len()).min(MAX_BATCH_BYTES);
        batch
    }

    /// Makes room for the next batch, in the memory of the last one if nobody holds that any more.
    pub fn reserve(&mut self) {
        self.bytes.reserve(self.largest);
    }
}

/// The bytes of an independent batch.
#[derive(Debug, Clone)]
pub struct EncodedBatch {
    bytes: Bytes,
    commands: usize,
}

impl EncodedBatch {
    /// How many commands it holds.
    pub fn commands(&self) -> usize {
        self.commands
    }

    /// The bytes of the request.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(super) fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use crate::proto::v1::command::Operation;

    const NAMES: [&str; 4] = [
        "a",
        "liabilities:bench:0123456789ab:4711",
        // The longest that a server takes: two bytes of length.
        "equity:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "b:c",
    ];

    /// The generated message of a command.
    fn message(command: &PlainCommand<'_>) -> v1::Command {
        let posting = |account: &str, side: v1::Side, amount: &str| v1::Posting {
            account: account.to_owned(),
            side: side.into(),
            amount: amount.to_owned(),
            ..Default::default()
        };
        let operation = match *command {
            PlainCommand::Transfer { request_id, debit, credit, amount } => Operation::Transfer(v1::TransferRequest {
                request_id: request_id.to_string(),
                debit_account: debit.to_owned(),
                credit_account: credit.to_owned(),
                amount: amount.to_owned(),
                ..Default::default()
            }),
            PlainCommand::Try { request_id, debit, credit, amount, timeout_seconds } => {
                Operation::TryTransaction(v1::TryTransactionRequest {
                    request_id: request_id.to_string(),
                    postings: vec![posting(debit, v1::Side::Debit, amount), posting(credit, v1::Side::Credit, amount)],
                    timeout: Some(prost_types::Duration { seconds: i64::from(timeout_seconds), nanos: 0 }),
                    ..Default::default()
                })
            }
            PlainCommand::Confirm { request_id, transaction_id } => {
                Operation::ConfirmTransaction(v1::ConfirmTransactionRequest {
                    request_id: request_id.to_string(),
                    transaction_id: transaction_id.to_string(),
                    amounts: Vec::new(),
                })
            }
            PlainCommand::Cancel { request_id, transaction_id } => {
                Operation::CancelTransaction(v1::CancelTransactionRequest {
                    request_id: request_id.to_string(),
                    transaction_id: transaction_id.to_string(),
                })
            }
        };
        v1::Command { operation: Some(operation) }
    }

    fn commands() -> Vec<PlainCommand<'static>> {
        let mut commands = Vec::new();
        for (number, debit) in NAMES.into_iter().enumerate() {
            let request_id = Uuid::from_u128(0x1234_5678_9ABC_4DEF_8123_0000_0000_0000 + number as u128);
            let credit = NAMES[(number + 1) % NAMES.len()];
            for amount in ["1", "99.99", "79228162514264337593543950335"] {
                commands.push(PlainCommand::Transfer { request_id, debit, credit, amount });
                for timeout_seconds in [1, 127, 128, 600, 315_360_000] {
                    commands.push(PlainCommand::Try { request_id, debit, credit, amount, timeout_seconds });
                }
            }
            let transaction_id = Uuid::from_u128(u128::MAX - number as u128);
            commands.push(PlainCommand::Confirm { request_id, transaction_id });
            commands.push(PlainCommand::Cancel { request_id, transaction_id });
        }
        commands
    }

    #[test]
    fn a_batch_is_byte_for_byte_what_the_generated_messages_write() {
        let mut writer = BatchWriter::new();
        let mut expected = v1::ExecuteBatchRequest::default();
        for command in commands() {
            writer.push(&command);
            expected.commands.push(message(&command));
        }
        let opened = v1::Command {
            operation: Some(Operation::OpenAccount(v1::OpenAccountRequest {
                name: "a:b".to_owned(),
                ..Default::default()
            })),
        };
        writer.push_message(&opened);
        expected.commands.push(opened);
        assert_eq!(writer.commands(), expected.commands.len());
        let batch = writer.take();
        assert_eq!(batch.commands(), expected.commands.len());
        assert_eq!(batch.bytes().as_ref(), expected.encode_to_vec());
        assert_eq!(writer.commands(), 0);
        assert!(writer.take().bytes().is_empty());
    }

    #[test]
    fn a_single_command_is_byte_for_byte_the_message_of_its_method() {
        for command in commands() {
            let generated = crate::client::encoded::single(&message(&command).operation.unwrap());
            assert_eq!((command.path(), command.encode().to_vec()), generated, "{command:?}");
        }
    }

    #[test]
    fn the_next_batch_takes_the_memory_of_the_one_before() {
        let mut writer = BatchWriter::new();
        let fill = |writer: &mut BatchWriter| {
            writer.reserve();
            commands().iter().for_each(|command| writer.push(command));
            writer.take()
        };
        let first = fill(&mut writer);
        // Once more, so that there is a piece of memory of the right size.
        drop(first);
        let second = fill(&mut writer);
        let place = second.bytes().as_ptr();
        drop(second);
        let third = fill(&mut writer);
        assert_eq!(third.bytes().as_ptr(), place);
    }
}
