//! Names of accounts and assets, checked once when they are made.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::limits::{MAX_ACCOUNT_NAME_BYTES, MAX_ASSET_CODE_BYTES, MAX_SCALE};

/// Why a text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameError {
    /// The text is empty or too long; the bound in bytes.
    Length(usize),
    /// A segment between two `:` is empty.
    EmptySegment,
    /// A character is outside `[A-Za-z0-9._-]`.
    Character(char),
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Length(bound) => write!(f, "must have 1 to {bound} bytes"),
            NameError::EmptySegment => f.write_str("must not have an empty segment"),
            NameError::Character(character) => {
                write!(f, "must not contain {character:?}; letters, digits, '.', '_' and '-' are allowed")
            }
        }
    }
}

fn check_segment(segment: &str) -> Result<(), NameError> {
    if segment.is_empty() {
        return Err(NameError::EmptySegment);
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match segment.chars().find(|&c| !allowed(c)) {
        Some(character) => Err(NameError::Character(character)),
        None => Ok(()),
    }
}

/// The name of an account: a path of segments joined by `:`, 1 to 128 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct AccountName(Box<str>);

impl AccountName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`NameError`] says what is wrong with it.
    pub fn new(text: &str) -> Result<AccountName, NameError> {
        if text.is_empty() || text.len() > MAX_ACCOUNT_NAME_BYTES {
            return Err(NameError::Length(MAX_ACCOUNT_NAME_BYTES));
        }
        text.split(':').try_for_each(check_segment)?;
        Ok(AccountName(text.into()))
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name is `prefix` or lies below it: a prefix ends at a segment's end, so `a:b` covers `a:b:c` and
    /// not `a:bc`. The empty prefix covers every name; a trailing `:` is allowed.
    pub fn is_under(&self, prefix: &str) -> bool {
        let prefix = prefix.strip_suffix(':').unwrap_or(prefix);
        match self.0.strip_prefix(prefix) {
            Some(rest) => prefix.is_empty() || rest.is_empty() || rest.starts_with(':'),
            None => false,
        }
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AccountName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AccountName, D::Error> {
        let text = String::deserialize(deserializer)?;
        AccountName::new(&text).map_err(D::Error::custom)
    }
}

/// The code of an asset, 1 to 16 bytes of `[A-Za-z0-9._-]`: `USD`, `JPY`, `USDC.e`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetCode {
    bytes: [u8; MAX_ASSET_CODE_BYTES],
    length: u8,
}

impl AssetCode {
    /// Checks and takes a code.
    ///
    /// # Errors
    /// [`NameError`] says what is wrong with it.
    pub fn new(text: &str) -> Result<AssetCode, NameError> {
        let length = u8::try_from(text.len()).map_err(|_| NameError::Length(MAX_ASSET_CODE_BYTES))?;
        if text.is_empty() || text.len() > MAX_ASSET_CODE_BYTES {
            return Err(NameError::Length(MAX_ASSET_CODE_BYTES));
        }
        check_segment(text)?;
        let mut bytes = [0; MAX_ASSET_CODE_BYTES];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(AssetCode { bytes, length })
    }

    /// The code's text.
    pub fn as_str(&self) -> &str {
        // Only ASCII ever enters, so the conversion cannot fail.
        core::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or("")
    }
}

impl fmt::Display for AssetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for AssetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for AssetCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for AssetCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AssetCode, D::Error> {
        let text = String::deserialize(deserializer)?;
        AssetCode::new(&text).map_err(D::Error::custom)
    }
}

/// The scale of an asset: how many fraction digits its amounts have, 0 to 18.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Scale(u8);

impl Scale {
    /// No fraction digits.
    pub const ZERO: Scale = Scale(0);

    /// Takes a number of fraction digits; `None` above 18.
    pub fn new(digits: u32) -> Option<Scale> {
        if digits > MAX_SCALE {
            return None;
        }
        u8::try_from(digits).ok().map(Scale)
    }

    /// The number of fraction digits.
    pub fn digits(self) -> u32 {
        u32::from(self.0)
    }
}

impl<'de> Deserialize<'de> for Scale {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Scale, D::Error> {
        let digits = u8::deserialize(deserializer)?;
        Scale::new(u32::from(digits)).ok_or_else(|| D::Error::custom("scale above 18"))
    }
}
