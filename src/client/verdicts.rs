//! What a batch's answer says of each command, read straight from the bytes of the wire: whether it was refused and why, and whether the answer was given before.
//!
//! The rest, which the generated types would put into allocations of its own, is stepped over. What is read is exactly what they would find; a test holds it to that. It never
//! guesses: bytes that are not an answer are an error.

use prost::Message as _;

use crate::proto::v1;

/// The most bytes of a number.
const MAX_VARINT_BYTES: u32 = 10;
/// The fields of an `ExecuteBatchResponse`, a `CommandResult` and a `Decision` that are read.
const RESULTS: u64 = 1;
const DECISION: u64 = 1;
const REFUSAL: u64 = 2;
const REPLAYED: u64 = 3;

/// The answer's bytes are not those of an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer to a batch cannot be read: {0}")]
pub struct MalformedAnswer(&'static str);

/// What became of one command of an independent batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Whether it repeats an earlier answer; nothing moved.
    pub is_replayed: bool,
    /// Absent on success.
    pub refusal: Option<Box<v1::Refusal>>,
}

/// What a field holds.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of four or eight bytes; there is none among those that are read.
    Fixed,
}

fn varint(bytes: &mut &[u8]) -> Result<u64, MalformedAnswer> {
    let mut value = 0;
    for place in 0..MAX_VARINT_BYTES {
        let Some((byte, rest)) = bytes.split_first() else { return Err(MalformedAnswer("it ends within a number")) };
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(MalformedAnswer("a number does not end"))
}

fn split<'a>(bytes: &mut &'a [u8], len: u64) -> Result<&'a [u8], MalformedAnswer> {
    let split = usize::try_from(len).ok().and_then(|len| bytes.split_at_checked(len));
    let Some((field, rest)) = split else { return Err(MalformedAnswer("it ends within a field")) };
    *bytes = rest;
    Ok(field)
}

/// The next field with its number; none at the end.
fn next<'a>(bytes: &mut &'a [u8]) -> Result<Option<(u64, Field<'a>)>, MalformedAnswer> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let key = varint(bytes)?;
    let field = match key & 7 {
        0 => Field::Number(varint(bytes)?),
        1 => split(bytes, 8).map(|_| Field::Fixed)?,
        2 => {
            let len = varint(bytes)?;
            Field::Bytes(split(bytes, len)?)
        }
        5 => split(bytes, 4).map(|_| Field::Fixed)?,
        _ => return Err(MalformedAnswer("a field is of no known kind")),
    };
    Ok(Some((key >> 3, field)))
}

fn is_replayed(mut decision: &[u8]) -> Result<bool, MalformedAnswer> {
    let mut is_replayed = false;
    while let Some(field) = next(&mut decision)? {
        if let (REPLAYED, Field::Number(value)) = field {
            is_replayed = value != 0;
        }
    }
    Ok(is_replayed)
}

fn verdict(mut result: &[u8]) -> Result<Verdict, MalformedAnswer> {
    let mut verdict = Verdict { is_replayed: false, refusal: None };
    while let Some(field) = next(&mut result)? {
        match field {
            (DECISION, Field::Bytes(decision)) => verdict.is_replayed = is_replayed(decision)?,
            (REFUSAL, Field::Bytes(refusal)) => {
                let refusal = v1::Refusal::decode(refusal);
                verdict.refusal = Some(Box::new(refusal.map_err(|_| MalformedAnswer("a refusal is none"))?));
            }
            _ => {}
        }
    }
    Ok(verdict)
}

/// Reads the answer to an independent batch; one verdict for each command, in order. `expected`: how many there should be.
///
/// # Errors
/// [`MalformedAnswer`] if the bytes are none.
pub fn read_verdicts(mut answer: &[u8], expected: usize) -> Result<Vec<Verdict>, MalformedAnswer> {
    // The answer's length bounds it as well, since every verdict takes two bytes at least.
    let mut verdicts = Vec::with_capacity(expected.min(answer.len() / 2));
    while let Some(field) = next(&mut answer)? {
        if let (RESULTS, Field::Bytes(result)) = field {
            verdicts.push(verdict(result)?);
        }
    }
    Ok(verdicts)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    /// An answer in which everything is set that can be, one of each kind.
    fn answer() -> v1::ExecuteBatchResponse {
        let time = prost_types::Timestamp { seconds: 1_763_900_000, nanos: 123_456_789 };
        let at = Some(v1::LogPoint { log_index: 1 << 40, position: 300, log_time: Some(time) });
        let state = v1::TransactionState::Confirmed.into();
        let decision =
            v1::Decision { at, journal_sequence: Some(u64::MAX), transaction_state: state, ..Default::default() };
        let accepted = v1::CommandResult {
            decision: Some(decision),
            transaction_id: uuid::Uuid::from_u128(5).to_string(),
            deadline: Some(time),
            empty: true,
            ..Default::default()
        };
        let repeated = v1::Decision { replayed: true, first: at, ..decision };
        let replayed = v1::CommandResult { decision: Some(repeated), ..accepted.clone() };
        let refusal = Some(v1::Refusal {
            reason: "INSUFFICIENT_FUNDS".to_owned(),
            code: -1,
            message: "x".repeat(300),
            remedy: "y".to_owned(),
            metadata: [("key".to_owned(), "value".to_owned())].into(),
        });
        let refused = v1::CommandResult { refusal: refusal.clone(), ..accepted.clone() };
        let refused_again = v1::CommandResult { refusal: refusal.clone(), ..replayed.clone() };
        let undecided = v1::CommandResult { refusal, ..Default::default() };
        let empty = v1::CommandResult::default();
        let results = vec![accepted, replayed, refused, refused_again, undecided, empty];
        v1::ExecuteBatchResponse { results, decision: Some(repeated), applied: true }
    }

    #[test]
    fn what_is_read_is_what_the_generated_types_find() {
        let answer = answer();
        let expected: Vec<Verdict> = answer
            .results
            .iter()
            .map(|result| Verdict {
                is_replayed: result.decision.as_ref().is_some_and(|decision| decision.replayed),
                refusal: result.refusal.clone().map(Box::new),
            })
            .collect();
        for count in [0, expected.len(), usize::MAX] {
            assert_eq!(read_verdicts(&answer.encode_to_vec(), count).unwrap(), expected);
        }
        assert_eq!(read_verdicts(&[], 0).unwrap(), []);
    }

    #[test]
    fn an_answer_cut_short_is_an_error_or_one_of_fewer_results() {
        let bytes = answer().encode_to_vec();
        let whole = read_verdicts(&bytes, 6).unwrap();
        for end in 0..bytes.len() {
            match read_verdicts(&bytes[..end], 6) {
                // Cut between two fields of the answer: as the generated types have it.
                Ok(verdicts) => {
                    let decoded = v1::ExecuteBatchResponse::decode(&bytes[..end]).unwrap();
                    assert_eq!(verdicts.len(), decoded.results.len(), "cut at {end}");
                    assert_eq!(verdicts, whole[..verdicts.len()]);
                }
                Err(MalformedAnswer(_)) => {
                    assert!(v1::ExecuteBatchResponse::decode(&bytes[..end]).is_err(), "cut at {end}");
                }
            }
        }
    }

    #[test]
    fn bytes_that_are_no_answer_are_an_error() {
        for wrong in [&[0x0A][..], &[0x0A, 0x05, 0x01], &[0xFF; 11], &[0x0B], &[0x0D, 1, 2, 3], &[0x09, 1]] {
            assert!(read_verdicts(wrong, 1).is_err(), "{wrong:?}");
        }
    }
}
