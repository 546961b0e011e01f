//! The answers to an independent batch, written as the bytes of an `ExecuteBatchResponse` without a message for each.
//!
//! What is accepted is written here, field by field as the generated types would; what is refused is written by them. The bytes are exactly theirs; a test holds
//! them to that.

use bytes::Bytes;
use ledger::{Accepted, Answer, LogTime, Outcome, Point};
use prost::Message as _;
use prost::encoding::encode_varint;

use super::answers::{self, Room};
use super::render;
use crate::proto::v1;

/// The bytes of a usual result: a decision with its point, and the transaction's id.
const RESULT_BYTES: usize = 96;

/// The key of a field that holds a number.
const fn number_key(field: u8) -> u8 {
    field << 3
}

/// The key of a field that holds bytes, of which their number comes first.
const fn bytes_key(field: u8) -> u8 {
    field << 3 | 2
}

/// A number; zero is not written, as proto3 has it.
fn number(out: &mut Vec<u8>, field: u8, value: u64) {
    if value != 0 {
        out.push(number_key(field));
        encode_varint(value, out);
    }
}

/// A message, even an empty one.
fn message(out: &mut Vec<u8>, field: u8, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(bytes_key(field));
    let start = out.len();
    out.push(0);
    write(out);
    let len = out.len() - start - 1;
    match (u8::try_from(len), out.get_mut(start)) {
        (Ok(short), Some(place)) if short < 0x80 => *place = short,
        _ => {
            // Its length takes more than the byte that was kept free.
            let content = out.split_off(start + 1);
            out.truncate(start);
            encode_varint(content.len() as u64, out);
            out.extend_from_slice(&content);
        }
    }
}

fn time(out: &mut Vec<u8>, field: u8, time: LogTime) {
    let time = render::timestamp(time);
    message(out, field, |out| {
        // Neither is negative.
        number(out, 1, time.seconds.unsigned_abs());
        number(out, 2, u64::from(time.nanos.unsigned_abs()));
    });
}

fn point(out: &mut Vec<u8>, field: u8, point: &Point) {
    message(out, field, |out| {
        number(out, 1, point.index);
        number(out, 2, u64::from(point.position));
        time(out, 3, point.time);
    });
}

fn decision(out: &mut Vec<u8>, answer: &Answer) {
    point(out, 1, &answer.point);
    if let Some(sequence) = answer.sequence {
        out.push(number_key(2));
        encode_varint(sequence.0, out);
    }
    number(out, 3, u64::from(answer.replay_of.is_some()));
    if let Some(first) = &answer.replay_of {
        point(out, 4, first);
    }
    let state = answer.state.map_or(v1::TransactionState::Unspecified, render::state);
    number(out, 5, u64::from((state as i32).unsigned_abs()));
}

fn accepted(out: &mut Vec<u8>, answer: &Answer, accepted: &Accepted) {
    message(out, 1, |out| decision(out, answer));
    let (transaction, deadline, is_empty) = answers::told(accepted);
    if let Some(id) = transaction {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let text = uuid::Uuid::from_bytes(*id.as_bytes()).hyphenated().encode_lower(&mut text);
        out.push(bytes_key(3));
        encode_varint(text.len() as u64, out);
        out.extend_from_slice(text.as_bytes());
    }
    if let Some(deadline) = deadline {
        time(out, 4, deadline);
    }
    number(out, 5, u64::from(is_empty));
}

/// The whole response: one result per answer, in order.
pub(super) fn response(answers: &[Answer]) -> Bytes {
    let mut out = Vec::with_capacity(answers.len() * RESULT_BYTES);
    let mut room = Room::of(answers.len());
    for answer in answers {
        match &answer.outcome {
            Outcome::Accepted(what) => {
                let before = out.len();
                message(&mut out, 1, |out| accepted(out, answer, what));
                room.take(out.len() - before);
            }
            Outcome::Rejected(_) | Outcome::BatchRejected { .. } => {
                out.push(bytes_key(1));
                let result = room.fit(answers::command_result(answer));
                // A vector takes what is put into it.
                let _ = result.encode_length_delimited(&mut out);
            }
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use ledger::journal::JournalSequence;
    use ledger::{AccountNumber, AssetNumber, Rejection, TransactionId, TransactionState};

    use super::*;

    fn outcomes(time: LogTime) -> Vec<Outcome> {
        let id = TransactionId::from_bytes([0xA7; 16]).unwrap();
        let accepted = [
            Accepted::AssetRegistered(AssetNumber(0)),
            Accepted::AccountOpened(AccountNumber(u32::MAX)),
            Accepted::LimitsSet,
            Accepted::Frozen,
            Accepted::Unfrozen,
            Accepted::Closed,
            Accepted::Posted(id),
            Accepted::Tried(id, None),
            Accepted::Tried(id, Some(time)),
            Accepted::Confirmed(id),
            Accepted::Cancelled(id),
            Accepted::CancelledEmpty(id),
            Accepted::CancelledExpired(id),
            Accepted::Reversed(id),
            Accepted::Batch(Vec::new()),
        ];
        let refused = Outcome::Rejected(Rejection::TransactionNotFound(id));
        let batch = Outcome::BatchRejected { culprit: 7, items: Vec::new() };
        accepted.into_iter().map(Outcome::Accepted).chain([refused, batch]).collect()
    }

    #[test]
    fn every_answer_is_written_as_the_generated_types_write_it() {
        let times = [0, 1, 999_999_999, 1_000_000_000, 1_763_900_000_123_456_789, u64::MAX].map(LogTime);
        let numbers = [0, 1, 127, 128, 1 << 21, u64::MAX];
        let states = [
            None,
            Some(TransactionState::Tried),
            Some(TransactionState::Confirmed),
            Some(TransactionState::Cancelled),
            Some(TransactionState::Expired),
        ];
        let mut answers = Vec::new();
        for time in times {
            for number in numbers {
                let point = Point { index: number, position: u32::try_from(number).unwrap_or(u32::MAX), time };
                for (state, outcome) in states.iter().cycle().zip(outcomes(time)) {
                    for sequence in [None, Some(JournalSequence(number))] {
                        for replay_of in [None, Some(point)] {
                            let outcome = outcome.clone();
                            answers.push(Answer { point, sequence, replay_of, state: *state, outcome });
                        }
                    }
                }
            }
        }
        for answer in &answers {
            let results = vec![answers::command_result(answer)];
            let expected = v1::ExecuteBatchResponse { results, ..Default::default() }.encode_to_vec();
            assert_eq!(response(std::slice::from_ref(answer)), expected, "{answer:?}");
        }
        let results = answers.iter().map(answers::command_result).collect();
        let expected = v1::ExecuteBatchResponse { results, ..Default::default() }.encode_to_vec();
        assert_eq!(response(&answers), expected);
    }
}
