//! `names`: key the account's name; value its number (u32, big-endian).

use ledger::{AccountName, AccountNumber};

use crate::book::{BookError, BookResult};

pub(crate) fn key(name: &AccountName) -> &[u8] {
    name.as_str().as_bytes()
}

pub(crate) fn name(key: &[u8]) -> BookResult<AccountName> {
    std::str::from_utf8(key)
        .ok()
        .and_then(|text| AccountName::new(text).ok())
        .ok_or(BookError::Malformed { what: "account name" })
}

pub(crate) fn encode(number: AccountNumber) -> [u8; 4] {
    number.0.to_be_bytes()
}

pub(crate) fn decode(bytes: &[u8]) -> BookResult<AccountNumber> {
    let bytes = bytes.try_into().map_err(|_| BookError::Malformed { what: "account number" })?;
    Ok(AccountNumber(u32::from_be_bytes(bytes)))
}
