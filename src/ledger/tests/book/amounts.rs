//! Amounts and balances at every trap: exact, or refused.

use std::cmp::Ordering;

use ledger::limits::MAX_MANTISSA;
use ledger::{Amount, AmountError, Balance, Scale};
use proptest::prelude::*;

use crate::seeded;

fn scale(digits: u32) -> Scale {
    Scale::new(digits).unwrap()
}

fn amount(text: &str) -> Amount {
    Amount::parse(text).unwrap_or_else(|error| panic!("{text} {error}"))
}

fn at(text: &str, digits: u32) -> Amount {
    amount(text).at_scale(scale(digits)).unwrap()
}

#[test]
fn the_grammar_is_digits_or_digits_point_digits() {
    for (text, written) in [
        ("0", "0"),
        ("00", "0"),
        ("007", "7"),
        ("1.0", "1.0"),
        ("0.00", "0.00"),
        ("01.50", "1.50"),
        ("123456789.987654321", "123456789.987654321"),
        ("79228162514264337593543950335", "79228162514264337593543950335"),
        ("7.9228162514264337593543950335", "7.9228162514264337593543950335"),
        ("0.0000000000000000000000000001", "0.0000000000000000000000000001"),
        ("00000000000000000000000000000000000000000000000000000000000000.1", "0.1"),
    ] {
        assert_eq!(amount(text).to_string(), written, "{text}");
        assert_eq!(format!("{:?}", amount(text)), written);
    }
    for text in [
        "", ".", ".5", "5.", "+1", "-1", "-0", "1e3", "1E3", "1_000", "1,5", " 1", "1 ", "1 0", "1..0", "1.0.0", "0x1",
        "١", "1.٥", "NaN", "inf", "1\n", "1/3", "1:3", "1.-5",
    ] {
        assert_eq!(Amount::parse(text), Err(AmountError::Grammar), "{text:?}");
    }
    assert_eq!(Amount::parse(&"0".repeat(64)).map(|zero| zero.is_zero()), Ok(true));
    assert_eq!(Amount::parse(&"0".repeat(65)), Err(AmountError::Grammar));
}

#[test]
fn what_does_not_fit_is_refused_and_never_rounded() {
    for (text, error) in [
        ("79228162514264337593543950336", AmountError::OutOfRange),
        ("7922816251426433759354395033.6", AmountError::OutOfRange),
        ("99999999999999999999999999999", AmountError::OutOfRange),
        ("340282366920938463463374607431768211456", AmountError::OutOfRange),
        ("9999999999999999999999999999999999999999999999999999999999999999", AmountError::OutOfRange),
        ("0.00000000000000000000000000001", AmountError::ScaleExceeded),
        ("1.00000000000000000000000000000", AmountError::ScaleExceeded),
    ] {
        assert_eq!(Amount::parse(text), Err(error), "{text}");
    }
    for error in [AmountError::Grammar, AmountError::OutOfRange, AmountError::ScaleExceeded] {
        assert!(error.to_string().len() > 20, "an error says what is wrong");
    }
}

#[test]
fn an_amount_is_brought_to_its_scale_exactly_or_refused() {
    assert_eq!(at("1.255", 3).to_string(), "1.255");
    assert_eq!(amount("1.255").at_scale(scale(2)), Err(AmountError::ScaleExceeded));
    assert_eq!(amount("1.250").at_scale(scale(2)), Err(AmountError::ScaleExceeded), "zeros that were written count");
    assert_eq!(at("1.5", 2).to_string(), "1.50");
    assert_eq!(at("0", 18).to_string(), "0.000000000000000000");
    assert_eq!(at("79228162514.264337593543950335", 18).mantissa(), MAX_MANTISSA);
    assert_eq!(Amount::parse("79228162514.264337593543950336"), Err(AmountError::OutOfRange));
}

#[test]
fn an_amount_past_96_bits_at_its_scale_is_refused() {
    assert_eq!(amount("79228162515").at_scale(scale(18)), Err(AmountError::OutOfRange));
    assert_eq!(at("79228162514", 18).to_string(), "79228162514.000000000000000000");
    assert_eq!(amount("79228162514264337593543950335").at_scale(scale(1)), Err(AmountError::OutOfRange));
    assert_eq!(amount("79228162514264337593543950335").at_scale(scale(18)), Err(AmountError::OutOfRange));
    assert_eq!(at("79228162514264337593543950335", 0).mantissa(), MAX_MANTISSA);
}

#[test]
fn equal_means_equal_bytes_and_the_same_value_means_the_same_money() {
    assert_ne!(amount("1.0"), amount("1.00"));
    assert!(amount("1.0").same_value(amount("1.00")));
    assert!(amount("0").same_value(amount("0.000")));
    assert!(amount("10").same_value(amount("10.0")));
    assert!(!amount("10").same_value(amount("1")));
    assert!(!amount("1.01").same_value(amount("1.1")));
    assert_eq!(at("1.0", 2), at("1.00", 2));
    assert_eq!(amount("1.0").partial_cmp(&amount("1.00")), None, "amounts of two scales have no order");
    assert!(amount("1.01") > amount("1.00") && amount("1.00") < amount("1.01"));
    let bytes = |amount: Amount| postcard::to_allocvec(&amount).unwrap();
    assert_ne!(bytes(amount("1.0")), bytes(amount("1.00")));
    assert_eq!(bytes(at("1.0", 2)), bytes(at("1.00", 2)));
    assert_eq!(amount("1.00").scale_digits(), 2);
    assert_eq!(Amount::zero(scale(3)).to_string(), "0.000");
    assert!(Amount::zero(scale(3)).is_zero() && !amount("0.001").is_zero());
    assert_eq!(Amount::from_minor(MAX_MANTISSA, scale(2)).unwrap().to_string(), "792281625142643375935439503.35");
    assert_eq!(Amount::from_minor(MAX_MANTISSA + 1, scale(2)), None);
    assert_eq!(Amount::from_minor(u128::MAX, scale(0)), None);
}

#[test]
fn sums_beyond_96_bits_are_refused_not_rounded() {
    let greatest = amount("79228162514264337593543950335");
    assert_eq!(greatest.checked_add(amount("1")), None);
    assert_eq!(greatest.checked_add(amount("0.1")), None, "another scale");
    assert_eq!(greatest.checked_add(amount("0")), Some(greatest));
    assert_eq!(amount("1").checked_add(greatest), None);
    assert_eq!(at("1000000000000000000000000000", 0).checked_add(amount("1")).unwrap().mantissa(), 10u128.pow(27) + 1);
    assert_eq!(amount("1.00").checked_add(amount("2.50")).unwrap().to_string(), "3.50");
    assert_eq!(amount("1.00").checked_sub(amount("2.50")), None, "an amount is never negative");
    assert_eq!(amount("2.50").checked_sub(amount("1.00")).unwrap().to_string(), "1.50");
    assert_eq!(amount("2.50").checked_sub(amount("2.50")).unwrap().to_string(), "0.00");
    assert_eq!(amount("2.5").checked_sub(amount("1.00")), None);
    assert_eq!(amount("2.5").balance_over(amount("1.00")).map(|balance| balance.to_string()), None);
}

#[test]
fn a_balance_has_a_sign_and_no_negative_zero() {
    let balance = |text: &str| Balance::parse(text).unwrap();
    assert_eq!(balance("-0"), balance("0"));
    assert_eq!(balance("-0.00").to_string(), "0.00");
    assert!(!balance("-0.00").is_negative() && balance("-0.00").is_zero());
    assert_eq!(postcard::to_allocvec(&balance("-0")).unwrap(), postcard::to_allocvec(&balance("0")).unwrap());
    assert_eq!(balance("-1.50").to_string(), "-1.50");
    assert_eq!(format!("{:?}", balance("-1.50")), "-1.50");
    assert!(balance("-1.50").is_negative() && !balance("1.50").is_negative() && !balance("-1.50").is_zero());
    assert_eq!((balance("-1.50").mantissa(), balance("-1.50").scale_digits()), (-150, 2));
    assert_eq!(balance("-1.50").magnitude(), amount("1.50"));
    for text in ["", "-", "--1", "+1", "-.5", "- 1", "-1e3", "1-"] {
        assert_eq!(Balance::parse(text), Err(AmountError::Grammar), "{text:?}");
    }
    assert_eq!(Balance::parse("-79228162514264337593543950336"), Err(AmountError::OutOfRange));
    assert!(balance("-2") < balance("-1") && balance("-1") < balance("0") && balance("2") > balance("1"));
    assert_eq!(balance("-1.0").partial_cmp(&balance("1")), None);
    assert_ne!(balance("-1.0"), balance("-1.00"));
    assert_ne!(balance("-1"), balance("1"));
    assert!(balance("-1.0").same_value(balance("-1.00")) && !balance("-1.0").same_value(balance("1.00")));
    assert!(!balance("-1.0").same_value(balance("-1.01")));
    assert_eq!(balance("-1.5").at_scale(scale(3)).unwrap().to_string(), "-1.500");
    assert_eq!(balance("-1.55").at_scale(scale(1)), Err(AmountError::ScaleExceeded));
    assert_eq!(balance("-79228162515").at_scale(scale(18)), Err(AmountError::OutOfRange));
    assert_eq!(Balance::zero(scale(2)).to_string(), "0.00");
}

#[test]
fn balances_move_exactly_or_not_at_all() {
    let balance = |text: &str| Balance::parse(text).unwrap();
    assert_eq!(balance("-1.50").checked_add(amount("2.00")), Some(balance("0.50")));
    assert_eq!(balance("1.50").checked_sub(amount("2.00")), Some(balance("-0.50")));
    assert_eq!(balance("-2.00").checked_add(amount("2.00")), Some(balance("0.00")));
    assert_eq!(balance("1").checked_sub(amount("1.0")), None);
    assert_eq!(balance("1").checked_add(amount("1.0")), None);
    let greatest = amount("79228162514264337593543950335");
    assert_eq!(balance("0").checked_sub(greatest).unwrap().to_string(), "-79228162514264337593543950335");
    assert_eq!(balance("-1").checked_sub(greatest), None);
    assert_eq!(balance("1").checked_add(greatest), None);
    assert_eq!(balance("-1").checked_add(greatest).unwrap().mantissa(), i128::try_from(MAX_MANTISSA).unwrap() - 1);
    assert_eq!(amount("1.00").balance_over(amount("3.00")).unwrap(), balance("-2.00"));
    assert_eq!(amount("3.00").balance_over(amount("1.00")).unwrap(), balance("2.00"));
    assert_eq!(amount("3.00").balance_over(amount("3.00")).unwrap(), balance("0.00"));
}

#[test]
fn damaged_bytes_are_no_amount() {
    for value in ["0", "1.50", "79228162514264337593543950335"] {
        let bytes = postcard::to_allocvec(&amount(value)).unwrap();
        assert_eq!(postcard::from_bytes::<Amount>(&bytes).unwrap(), amount(value));
        assert!(postcard::from_bytes::<Amount>(&bytes[..bytes.len() - 1]).is_err());
    }
    let bytes = postcard::to_allocvec(&(MAX_MANTISSA + 1, 0u32)).unwrap();
    assert!(postcard::from_bytes::<Amount>(&bytes).is_err(), "past 96 bits");
    let bytes = postcard::to_allocvec(&(1u128, 29u32)).unwrap();
    assert!(postcard::from_bytes::<Amount>(&bytes).is_err(), "past 28 digits");
    for value in ["-1.50", "0.00", "79228162514264337593543950335"] {
        let balance = Balance::parse(value).unwrap();
        let bytes = postcard::to_allocvec(&balance).unwrap();
        assert_eq!(postcard::from_bytes::<Balance>(&bytes).unwrap(), balance);
    }
    let bytes = postcard::to_allocvec(&(true, (0u128, 2u32))).unwrap();
    assert_eq!(postcard::from_bytes::<Balance>(&bytes).unwrap(), Balance::parse("0.00").unwrap(), "no negative zero");
}

/// Digits as plain decimal numbers of any length, the reading that the amount type is held against.
mod digits {
    use std::cmp::Ordering;

    pub const GREATEST: &str = "79228162514264337593543950335";

    pub fn trim(digits: &str) -> String {
        let trimmed = digits.trim_start_matches('0');
        if trimmed.is_empty() { "0".into() } else { trimmed.into() }
    }

    pub fn compare(left: &str, right: &str) -> Ordering {
        let (left, right) = (trim(left), trim(right));
        left.len().cmp(&right.len()).then_with(|| left.cmp(&right))
    }

    pub fn add(left: &str, right: &str) -> String {
        let width = left.len().max(right.len()) + 1;
        let (left, right) = (format!("{left:0>width$}"), format!("{right:0>width$}"));
        let (mut carry, mut sum) = (0, Vec::new());
        for (left, right) in left.bytes().rev().zip(right.bytes().rev()) {
            let digit = left - b'0' + right - b'0' + carry;
            sum.push(digit % 10 + b'0');
            carry = digit / 10;
        }
        sum.reverse();
        trim(&String::from_utf8(sum).unwrap())
    }

    /// `left - right`, which must not be negative.
    pub fn subtract(left: &str, right: &str) -> String {
        let width = left.len().max(right.len());
        let (left, right) = (format!("{left:0>width$}"), format!("{right:0>width$}"));
        let (mut borrow, mut rest) = (0i16, Vec::new());
        for (left, right) in left.bytes().rev().zip(right.bytes().rev()) {
            let digit = i16::from(left) - i16::from(right) - borrow;
            borrow = i16::from(digit < 0);
            rest.push(u8::try_from(digit + 10 * borrow).unwrap() + b'0');
        }
        rest.reverse();
        trim(&String::from_utf8(rest).unwrap())
    }

    pub fn fits(digits: &str) -> bool {
        compare(digits, GREATEST) != Ordering::Greater
    }
}

fn minor_units() -> impl Strategy<Value = u128> {
    prop_oneof![
        0..=MAX_MANTISSA,
        0u128..1_000,
        (MAX_MANTISSA - 1_000)..=MAX_MANTISSA,
        Just(10u128.pow(28)),
        Just(10u128.pow(18))
    ]
}

#[test]
fn parsing_reads_what_is_written() {
    seeded::run(2_000, &("[0-9]{1,33}", "[0-9]{0,31}"), |(whole, fraction)| {
        let text = if fraction.is_empty() { whole.clone() } else { format!("{whole}.{fraction}") };
        let minor = digits::trim(&format!("{whole}{fraction}"));
        match Amount::parse(&text) {
            Ok(amount) => {
                assert_eq!(amount.mantissa().to_string(), minor);
                assert_eq!(amount.scale_digits() as usize, fraction.len());
                let whole = digits::trim(whole);
                assert_eq!(amount.to_string(), if fraction.is_empty() { whole } else { format!("{whole}.{fraction}") });
            }
            Err(AmountError::ScaleExceeded) => assert!(fraction.len() > 28),
            Err(AmountError::OutOfRange) => assert!(!digits::fits(&minor)),
            Err(AmountError::Grammar) => assert!(text.len() > 64),
        }
    });
}

#[test]
fn rescaling_appends_zeros_or_refuses() {
    seeded::run(2_000, &(minor_units(), 0u32..=18, 0u32..=18), |(minor, own, asked)| {
        let amount = Amount::from_minor(*minor, scale(*own)).unwrap();
        let found = amount.at_scale(scale(*asked));
        let Some(missing) = asked.checked_sub(*own) else {
            return assert_eq!(found, Err(AmountError::ScaleExceeded));
        };
        let expected = digits::trim(&format!("{minor}{}", "0".repeat(missing as usize)));
        match found {
            Ok(found) => {
                assert_eq!(found.mantissa().to_string(), expected);
                assert!(found.same_value(amount) && amount.same_value(found));
            }
            Err(error) => {
                assert_eq!(error, AmountError::OutOfRange);
                assert!(!digits::fits(&expected));
            }
        }
    });
}

#[test]
fn sums_and_differences_are_those_of_plain_numbers() {
    seeded::run(2_000, &(minor_units(), minor_units(), 0u32..=18), |(left, right, own)| {
        let amount = |minor: &u128| Amount::from_minor(*minor, scale(*own)).unwrap();
        let (first, second) = (amount(left), amount(right));
        let (left, right) = (left.to_string(), right.to_string());
        let sum = digits::add(&left, &right);
        match first.checked_add(second) {
            Some(found) => assert_eq!(found.mantissa().to_string(), sum),
            None => assert!(!digits::fits(&sum)),
        }
        assert_eq!(first.checked_add(second), second.checked_add(first));
        let order = digits::compare(&left, &right);
        assert_eq!(first.partial_cmp(&second), Some(order));
        let (negative, distance) = match order {
            Ordering::Less => (true, digits::subtract(&right, &left)),
            Ordering::Equal | Ordering::Greater => (false, digits::subtract(&left, &right)),
        };
        let balance = first.balance_over(second).unwrap();
        assert_eq!(balance.magnitude().mantissa().to_string(), distance);
        assert_eq!(balance.is_negative(), negative);
        let rest = first.checked_sub(second).map(|rest| rest.mantissa().to_string());
        assert_eq!(rest, (!negative).then_some(distance));
        assert_eq!(balance.checked_add(second).map(|back| back.mantissa().to_string()), Some(left));
        assert_eq!(Balance::parse(&balance.to_string()).unwrap(), balance);
    });
}
