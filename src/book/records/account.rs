//! `accounts`: key account number (u32); value [`ledger::Account`]. Its name lies in `names`, its metadata in the record that opened it.

use ledger::{Account, AccountNumber};

use crate::book::{BookError, BookResult};

pub(crate) fn key(number: AccountNumber) -> [u8; 4] {
    number.0.to_be_bytes()
}

pub(crate) fn number(key: &[u8]) -> BookResult<AccountNumber> {
    let bytes = key.try_into().map_err(|_| BookError::Malformed { what: "account key" })?;
    Ok(AccountNumber(u32::from_be_bytes(bytes)))
}

pub(crate) fn decode(bytes: &[u8]) -> BookResult<Account> {
    super::decode("account", bytes)
}
