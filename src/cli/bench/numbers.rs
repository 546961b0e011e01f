//! What a worker draws and writes for every transfer: numbers, ids, names and amounts, all into memory of its own.

use uuid::{Builder, Uuid};

/// The digits of the largest number, a point and two places more than any amount has.
const MAX_TEXT_BYTES: usize = 24;

/// Numbers that need not be secret, only spread (SplitMix64).
#[derive(Debug)]
pub(super) struct Numbers(u64);

impl Numbers {
    pub(super) fn new(seed: u64) -> Numbers {
        Numbers(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Below a bound that is small against 2⁶⁴, so that no value is noticeably likelier.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// A random id.
    pub(super) fn id(&mut self) -> Uuid {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.next().to_be_bytes());
        bytes[8..].copy_from_slice(&self.next().to_be_bytes());
        Builder::from_random_bytes(bytes).into_uuid()
    }

    /// The seed of the stream after this one: they begin 2⁴⁰ steps apart, so they do not meet within a run.
    pub(super) fn next_stream(seed: u64) -> u64 {
        seed.wrapping_add(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(1 << 40))
    }
}

/// A number written backwards into a fixed piece of memory.
#[derive(Debug)]
pub(super) struct Digits {
    bytes: [u8; MAX_TEXT_BYTES],
    begin: usize,
}

impl Digits {
    fn empty() -> Digits {
        Digits { bytes: [0; MAX_TEXT_BYTES], begin: MAX_TEXT_BYTES }
    }

    fn push_front(&mut self, byte: u8) {
        self.begin -= 1;
        self.bytes[self.begin] = byte;
    }

    fn push_number(&mut self, mut number: u64) {
        loop {
            // A digit, so it fits.
            self.push_front(b'0' + (number % 10) as u8);
            number /= 10;
            if number == 0 {
                return;
            }
        }
    }

    /// A whole number.
    pub(super) fn of_number(number: u64) -> Digits {
        let mut digits = Digits::empty();
        digits.push_number(number);
        digits
    }

    /// Minor units with two places.
    pub(super) fn of_minor(minor: u64) -> Digits {
        let mut digits = Digits::empty();
        digits.push_front(b'0' + (minor % 10) as u8);
        digits.push_front(b'0' + (minor / 10 % 10) as u8);
        digits.push_front(b'.');
        digits.push_number(minor / 100);
        digits
    }

    /// The text.
    pub(super) fn as_str(&self) -> &str {
        // Only digits and points were written.
        std::str::from_utf8(&self.bytes[self.begin..]).unwrap_or_default()
    }
}

/// Names that begin alike and end with a number, written over one another.
#[derive(Debug)]
pub(super) struct NumberedName {
    text: String,
    prefix_bytes: usize,
}

impl NumberedName {
    /// Names `prefix:number`.
    pub(super) fn new(prefix: &str) -> NumberedName {
        let text = format!("{prefix}:");
        NumberedName { prefix_bytes: text.len(), text }
    }

    /// The name with a number.
    pub(super) fn numbered(&mut self, number: u64) -> &str {
        self.text.truncate(self.prefix_bytes);
        self.text.push_str(Digits::of_number(number).as_str());
        &self.text
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn ids_are_valid_and_do_not_repeat() {
        let mut numbers = Numbers::new(7);
        let mut seen = std::collections::HashSet::new();
        for _ in 0..10_000 {
            let id = numbers.id();
            assert_eq!((id.get_version_num(), id.get_variant()), (4, uuid::Variant::RFC4122));
            assert!(seen.insert(id));
        }
    }

    #[test]
    fn numbers_and_amounts_are_written_as_the_library_writes_them() {
        for number in [0, 1, 9, 10, 99, 100, 101, 12_345, 999_999, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(Digits::of_number(number).as_str(), number.to_string());
            assert_eq!(Digits::of_minor(number).as_str(), format!("{}.{:02}", number / 100, number % 100));
        }
    }

    #[test]
    fn a_name_is_written_over_without_traces_of_the_one_before() {
        let mut name = NumberedName::new("liabilities:bench");
        assert_eq!(name.numbered(123_456), "liabilities:bench:123456");
        assert_eq!(name.numbered(7), "liabilities:bench:7");
    }
}
