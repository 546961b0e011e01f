//! `accounts`: key the number of a page (u32); value the accounts of 64 consecutive numbers, one after another: [`ledger::Account`].
//!
//! Everything of an account but its totals is as of the view; the totals are those of some earlier moment, not before the sequence from which the meta record says that the journal is to be
//! replayed. An account's name lies in `names`, its metadata in the record that opened it.

use ledger::{Account, AccountNumber};

use crate::book::{BookError, BookResult};

/// Accounts of a page.
pub(crate) const PAGE_ACCOUNTS: u32 = 64;

/// The page of an account.
pub(crate) fn page(number: AccountNumber) -> u32 {
    number.0 / PAGE_ACCOUNTS
}

/// The place of an account within its page.
pub(crate) fn place(number: AccountNumber) -> usize {
    usize::try_from(number.0 % PAGE_ACCOUNTS).unwrap_or(usize::MAX)
}

pub(crate) fn key(page: u32) -> [u8; 4] {
    page.to_be_bytes()
}

/// The page of a key.
pub(crate) fn page_of_key(key: &[u8]) -> BookResult<u32> {
    let bytes = key.try_into().map_err(|_| BookError::Malformed { what: "key of a page of accounts" })?;
    Ok(u32::from_be_bytes(bytes))
}

pub(crate) fn encode<'a>(accounts: impl Iterator<Item = &'a Account>, buffer: &mut Vec<u8>) {
    accounts.for_each(|account| ledger::append_account(account, buffer));
}

/// The accounts of a page.
pub(crate) fn decode(bytes: &[u8]) -> BookResult<Vec<Account>> {
    let mut accounts = Vec::with_capacity(64);
    let mut rest = bytes;
    while !rest.is_empty() {
        let (account, left) =
            postcard::take_from_bytes(rest).map_err(|_| BookError::Malformed { what: "page of accounts" })?;
        accounts.push(account);
        rest = left;
    }
    Ok(accounts)
}
