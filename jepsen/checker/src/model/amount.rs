//! Amounts as plain integers: the text of the wire is read into digits and a number of fraction digits, and brought to an asset's scale exactly.
//!
//! Nothing here rounds, and nothing here is a float.

use crate::history::Reason;

/// The most minor units that an amount, a total or a sum of two may be: 96 bits.
pub const MAX_UNITS: u128 = (1 << 96) - 1;

/// Longer texts are malformed.
const TEXT_LIMIT: usize = 64;

/// An amount as written, without its sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// All digits as one number; none if it has more digits than 128 bits hold.
    digits: Option<u128>,
    /// How many digits were written after the point.
    places: u32,
}

/// Reads digits, optionally a point and digits. No sign, blank, exponent, underscore or empty part.
pub fn parse(text: &str) -> Option<Written> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return None,
        None => (text, ""),
    };
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || text.len() > TEXT_LIMIT || !plain(whole) || !plain(fraction) {
        return None;
    }
    let digits = whole
        .bytes()
        .chain(fraction.bytes())
        .try_fold(0_u128, |sum, byte| sum.checked_mul(10)?.checked_add(u128::from(byte - b'0')));
    Some(Written { digits, places: u32::try_from(fraction.len()).ok()? })
}

/// Reads an amount that may have a minus before it; true means below zero.
pub fn parse_signed(text: &str) -> Option<(bool, Written)> {
    match text.strip_prefix('-') {
        Some(size) => parse(size).map(|written| (true, written)),
        None => parse(text).map(|written| (false, written)),
    }
}

impl Written {
    /// Whether it is nothing at all.
    pub fn is_zero(self) -> bool {
        self.digits == Some(0)
    }

    /// The minor units at a scale.
    ///
    /// # Errors
    /// First more fraction digits than the scale has, then more units than 96 bits hold.
    pub fn at_scale(self, scale: u32) -> Result<u128, Reason> {
        let missing = scale.checked_sub(self.places).ok_or(Reason::AmountScaleExceeded)?;
        self.digits
            .and_then(|digits| digits.checked_mul(10_u128.checked_pow(missing)?))
            .filter(|units| *units <= MAX_UNITS)
            .ok_or(Reason::AmountOutOfRange)
    }

    /// Whether two texts say the same number: zeros at the end of a fraction say nothing.
    pub fn same(self, other: Written) -> bool {
        let shortest = |mut written: Written| {
            while let Some(digits) = written.digits.filter(|digits| written.places > 0 && digits % 10 == 0) {
                written = Written { digits: Some(digits / 10), places: written.places - 1 };
            }
            written
        };
        shortest(self) == shortest(other)
    }
}

/// Whether two texts say the same number; texts that are no amounts are the same only letter by letter.
pub fn same_text(left: &str, right: &str) -> bool {
    left == right
        || match (parse_signed(left), parse_signed(right)) {
            (Some((left_sign, left)), Some((right_sign, right))) => {
                left.same(right) && (left_sign == right_sign || left.is_zero())
            }
            _ => false,
        }
}

/// Minor units as the wire writes them, at exactly a scale.
pub fn render(units: i128, scale: u32) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", units.unsigned_abs(), width = scale as usize + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_digits_and_one_point_are_an_amount() {
        for text in ["", ".", "1.", ".5", "+1", "-1", "1e3", "1_000", " 1", "1 ", "1.2.3", "١"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        assert_eq!(parse("0012.50").unwrap().at_scale(2), Ok(1250));
    }

    #[test]
    fn a_scale_is_kept_exactly_or_refused() {
        assert_eq!(parse("1.005").unwrap().at_scale(2), Err(Reason::AmountScaleExceeded));
        assert_eq!(parse("1.000").unwrap().at_scale(2), Err(Reason::AmountScaleExceeded));
        assert_eq!(parse("79228162514264337593543950335").unwrap().at_scale(0), Ok(MAX_UNITS));
        assert_eq!(parse("79228162514264337593543950336").unwrap().at_scale(0), Err(Reason::AmountOutOfRange));
        assert_eq!(parse("9".repeat(60).as_str()).unwrap().at_scale(0), Err(Reason::AmountOutOfRange));
    }

    #[test]
    fn equal_numbers_are_equal_content() {
        assert!(same_text("1.50", "01.5"));
        assert!(same_text("-0", "0.00"));
        assert!(!same_text("-1", "1"));
        assert!(!same_text("10", "1"));
    }

    #[test]
    fn units_are_written_at_their_scale() {
        assert_eq!(render(-5, 2), "-0.05");
        assert_eq!(render(1234, 0), "1234");
        assert_eq!(render(100_000_000, 8), "1.00000000");
    }
}
