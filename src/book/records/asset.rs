//! `assets`: key asset number (u32); value [`ledger::Asset`].

use ledger::{Asset, AssetNumber};

use crate::book::BookResult;

pub(crate) fn key(number: AssetNumber) -> [u8; 4] {
    number.0.to_be_bytes()
}

pub(crate) fn decode(bytes: &[u8]) -> BookResult<Asset> {
    super::decode("asset", bytes)
}
