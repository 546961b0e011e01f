//! Money, exact or refused.
//!
//! [`Amount`] (never negative) and [`Balance`] (signed) hold a `rust_decimal::Decimal`; no other module touches one,
//! because `Decimal`'s own arithmetic and parsing round silently at their edges. Everything here works on
//! mantissas of equal scale within 96 bits: a result is exact, or there is an error.

use core::cmp::Ordering;
use core::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::limits::{MAX_AMOUNT_TEXT_BYTES, MAX_MANTISSA, MAX_WRITTEN_SCALE};
use crate::name::Scale;

/// Why a text or a number is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AmountError {
    /// The text is not `digits` or `digits.digits` (no sign, exponent, blank, underscore or empty part).
    Grammar,
    /// There are more fraction digits than the asset's scale (or than any asset may have).
    ScaleExceeded,
    /// The value does not fit the 96-bit mantissa at the asset's scale.
    OutOfRange,
}

impl fmt::Display for AmountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AmountError::Grammar => {
                "must be digits, optionally followed by one point and digits, without sign, exponent or blanks"
            }
            AmountError::ScaleExceeded => "has more fraction digits than the asset's scale",
            AmountError::OutOfRange => "does not fit 96 bits at the asset's scale",
        })
    }
}

/// `10^exponent`, exact; exponents up to 38 fit.
fn power_of_ten(exponent: u32) -> Option<u128> {
    10u128.checked_pow(exponent)
}

fn decimal(mantissa: u128, scale: u32) -> Option<Decimal> {
    if mantissa > MAX_MANTISSA || scale > MAX_WRITTEN_SCALE {
        return None;
    }
    // 96 bits, in three words.
    let word = |shift: u32| (mantissa >> shift) as u32;
    Some(Decimal::from_parts(word(0), word(32), word(64), false, scale))
}

/// An amount of money that is not negative, held at one scale.
///
/// A parsed amount has the scale it was written with; [`Amount::at_scale`] brings it to its asset's. Two amounts are equal
/// when mantissa and scale are: compare values of different scales with [`Amount::same_value`].
#[derive(Clone, Copy)]
pub struct Amount(Decimal);

impl Amount {
    /// Nothing, at `scale`.
    pub fn zero(scale: Scale) -> Amount {
        Amount(Decimal::from_parts(0, 0, 0, false, scale.digits()))
    }

    /// `mantissa` minor units at `scale`; `None` past 96 bits.
    pub fn from_minor(mantissa: u128, scale: Scale) -> Option<Amount> {
        decimal(mantissa, scale.digits()).map(Amount)
    }

    /// `mantissa` minor units at a scale as it was written; `None` past 96 bits or 28 fraction digits.
    pub(crate) fn written(mantissa: u128, scale_digits: u32) -> Option<Amount> {
        decimal(mantissa, scale_digits).map(Amount)
    }

    /// Reads the wire's grammar, keeping the scale as written.
    ///
    /// # Errors
    /// [`AmountError::Grammar`] for anything but `digits[.digits]` of at most 64 bytes, [`AmountError::ScaleExceeded`] for more than
    /// 28 fraction digits, [`AmountError::OutOfRange`] past 96 bits.
    pub fn parse(text: &str) -> Result<Amount, AmountError> {
        if text.len() > MAX_AMOUNT_TEXT_BYTES {
            return Err(AmountError::Grammar);
        }
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return Err(AmountError::Grammar),
            None => (text, ""),
        };
        if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
            return Err(AmountError::Grammar);
        }
        let scale = u32::try_from(fraction.len()).map_err(|_| AmountError::ScaleExceeded)?;
        if scale > MAX_WRITTEN_SCALE {
            return Err(AmountError::ScaleExceeded);
        }
        let mut mantissa: u128 = 0;
        for byte in whole.bytes().chain(fraction.bytes()) {
            mantissa = mantissa * 10 + u128::from(byte - b'0');
            if mantissa > MAX_MANTISSA {
                return Err(AmountError::OutOfRange);
            }
        }
        decimal(mantissa, scale).map(Amount).ok_or(AmountError::OutOfRange)
    }

    /// The same value at `scale`.
    ///
    /// # Errors
    /// [`AmountError::ScaleExceeded`] when it was written with more fraction digits (even zeros), [`AmountError::OutOfRange`] when the
    /// mantissa would leave 96 bits.
    pub fn at_scale(self, scale: Scale) -> Result<Amount, AmountError> {
        let missing = scale.digits().checked_sub(self.0.scale()).ok_or(AmountError::ScaleExceeded)?;
        if missing == 0 {
            return Ok(self);
        }
        power_of_ten(missing)
            .and_then(|factor| self.mantissa().checked_mul(factor))
            .and_then(|mantissa| decimal(mantissa, scale.digits()))
            .map(Amount)
            .ok_or(AmountError::OutOfRange)
    }

    /// Minor units at this amount's own scale.
    pub fn mantissa(self) -> u128 {
        self.0.mantissa().unsigned_abs()
    }

    /// Fraction digits, 0 to 28 as written and 0 to 18 at an asset's scale.
    pub fn scale_digits(self) -> u32 {
        self.0.scale()
    }

    /// Whether there is nothing.
    pub fn is_zero(self) -> bool {
        self.mantissa() == 0
    }

    /// Whether both are the same value, whatever their scales (`1.5` and `1.50`).
    pub fn same_value(self, other: Amount) -> bool {
        self.normalized() == other.normalized()
    }

    /// Mantissa and scale without trailing zeros.
    fn normalized(self) -> (u128, u32) {
        let (mut mantissa, mut scale) = (self.mantissa(), self.0.scale());
        while scale > 0 && mantissa.is_multiple_of(10) {
            mantissa /= 10;
            scale -= 1;
        }
        (mantissa, scale)
    }

    /// The exact sum; `None` when the scales differ or it leaves 96 bits.
    pub fn checked_add(self, other: Amount) -> Option<Amount> {
        if self.0.scale() != other.0.scale() {
            return None;
        }
        decimal(self.mantissa().checked_add(other.mantissa())?, self.0.scale()).map(Amount)
    }

    /// The exact difference; `None` when the scales differ or it would be negative.
    pub fn checked_sub(self, other: Amount) -> Option<Amount> {
        if self.0.scale() != other.0.scale() {
            return None;
        }
        decimal(self.mantissa().checked_sub(other.mantissa())?, self.0.scale()).map(Amount)
    }

    /// `self - other` as a signed balance; `None` when the scales differ.
    pub fn balance_over(self, other: Amount) -> Option<Balance> {
        if self.0.scale() != other.0.scale() {
            return None;
        }
        let (negative, mantissa) = match self.mantissa().checked_sub(other.mantissa()) {
            Some(mantissa) => (false, mantissa),
            None => (true, other.mantissa() - self.mantissa()),
        };
        Balance::new(negative, mantissa, self.0.scale())
    }
}

impl PartialEq for Amount {
    fn eq(&self, other: &Amount) -> bool {
        self.0.scale() == other.0.scale() && self.mantissa() == other.mantissa()
    }
}

impl Eq for Amount {}

/// Ordered only at one scale.
impl PartialOrd for Amount {
    fn partial_cmp(&self, other: &Amount) -> Option<Ordering> {
        (self.0.scale() == other.0.scale()).then(|| self.mantissa().cmp(&other.mantissa()))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, false, self.mantissa(), self.0.scale())
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A sum of amounts that may exceed an amount's range, as text: minor units at a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scaled {
    /// Minor units.
    pub minor: u128,
    /// Fraction digits, at most 38.
    pub scale: u32,
}

impl fmt::Display for Scaled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, false, self.minor, self.scale)
    }
}

/// Writes minor units as a decimal text with exactly `scale` fraction digits.
fn write_scaled(f: &mut fmt::Formatter<'_>, negative: bool, mantissa: u128, scale: u32) -> fmt::Result {
    if negative {
        f.write_str("-")?;
    }
    match power_of_ten(scale) {
        Some(factor) if scale > 0 => {
            let width = usize::try_from(scale).map_err(|_| fmt::Error)?;
            write!(f, "{}.{:0width$}", mantissa / factor, mantissa % factor)
        }
        Some(_) => write!(f, "{mantissa}"),
        None => Err(fmt::Error),
    }
}

/// Minor units as they are stored. A variable-length number has the same bytes whatever the width of its type, and 64 bits are written quicker than 128.
struct Minor(u128);

impl Serialize for Minor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match u64::try_from(self.0) {
            Ok(minor) => serializer.serialize_u64(minor),
            Err(_) => serializer.serialize_u128(self.0),
        }
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (Minor(self.mantissa()), self.0.scale()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
        let (mantissa, scale) = <(u128, u32)>::deserialize(deserializer)?;
        Amount::written(mantissa, scale).ok_or_else(|| D::Error::custom("amount out of range"))
    }
}

/// A signed balance at its asset's scale; its magnitude has at most 96 bits.
#[derive(Clone, Copy)]
pub struct Balance(Decimal);

impl Balance {
    fn new(negative: bool, mantissa: u128, scale: u32) -> Option<Balance> {
        let mut value = decimal(mantissa, scale)?;
        value.set_sign_negative(negative && mantissa != 0);
        Some(Balance(value))
    }

    /// Nothing, at `scale`.
    pub fn zero(scale: Scale) -> Balance {
        Balance(Amount::zero(scale).0)
    }

    /// Reads an amount with an optional leading minus sign, keeping the scale as written.
    ///
    /// # Errors
    /// As [`Amount::parse`].
    pub fn parse(text: &str) -> Result<Balance, AmountError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let amount = Amount::parse(digits)?;
        Balance::new(negative, amount.mantissa(), amount.0.scale()).ok_or(AmountError::OutOfRange)
    }

    /// The same value at `scale`.
    ///
    /// # Errors
    /// As [`Amount::at_scale`].
    pub fn at_scale(self, scale: Scale) -> Result<Balance, AmountError> {
        let magnitude = self.magnitude().at_scale(scale)?;
        Balance::new(self.is_negative(), magnitude.mantissa(), scale.digits()).ok_or(AmountError::OutOfRange)
    }

    /// The value without its sign.
    pub fn magnitude(self) -> Amount {
        Amount(self.0.abs())
    }

    /// Whether it is below zero.
    pub fn is_negative(self) -> bool {
        self.0.is_sign_negative() && !self.is_zero()
    }

    /// Whether it is zero.
    pub fn is_zero(self) -> bool {
        self.0.mantissa() == 0
    }

    /// Minor units with sign, at this balance's own scale.
    pub fn mantissa(self) -> i128 {
        self.0.mantissa()
    }

    /// Fraction digits.
    pub fn scale_digits(self) -> u32 {
        self.0.scale()
    }

    /// Whether both are the same value, whatever their scales.
    pub fn same_value(self, other: Balance) -> bool {
        self.is_negative() == other.is_negative() && self.magnitude().same_value(other.magnitude())
    }

    /// `self + amount`; `None` when the scales differ or the magnitude leaves 96 bits.
    pub fn checked_add(self, amount: Amount) -> Option<Balance> {
        self.offset(amount, 1)
    }

    /// `self - amount`; `None` when the scales differ or the magnitude leaves 96 bits.
    pub fn checked_sub(self, amount: Amount) -> Option<Balance> {
        self.offset(amount, -1)
    }

    fn offset(self, amount: Amount, sign: i128) -> Option<Balance> {
        if self.0.scale() != amount.0.scale() {
            return None;
        }
        let moved = self.0.mantissa() + sign * amount.0.mantissa();
        Balance::new(moved.is_negative(), moved.unsigned_abs(), self.0.scale())
    }
}

impl PartialEq for Balance {
    fn eq(&self, other: &Balance) -> bool {
        self.0.scale() == other.0.scale() && self.0.mantissa() == other.0.mantissa()
    }
}

impl Eq for Balance {}

/// Ordered only at one scale.
impl PartialOrd for Balance {
    fn partial_cmp(&self, other: &Balance) -> Option<Ordering> {
        (self.0.scale() == other.0.scale()).then(|| self.0.mantissa().cmp(&other.0.mantissa()))
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, self.is_negative(), self.magnitude().mantissa(), self.0.scale())
    }
}

impl fmt::Debug for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Balance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.is_negative(), self.magnitude()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Balance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Balance, D::Error> {
        let (negative, magnitude) = <(bool, Amount)>::deserialize(deserializer)?;
        Balance::new(negative, magnitude.mantissa(), magnitude.0.scale())
            .ok_or_else(|| D::Error::custom("balance out of range"))
    }
}
