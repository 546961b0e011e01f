//! `postings`: key account number (u32), then journal sequence (u64); value empty. Which records touched an account.

use ledger::AccountNumber;
use ledger::journal::JournalSequence;

pub(crate) fn key(account: AccountNumber, sequence: JournalSequence) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&account.0.to_be_bytes());
    key[4..].copy_from_slice(&sequence.0.to_be_bytes());
    key
}
