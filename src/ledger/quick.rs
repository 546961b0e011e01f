//! A quick reader of the commonest commands: posts, tries, confirms and cancels without metadata or business date, and amounts below 2^63 minor units.
//!
//! The encoding is postcard's, and postcard decides what it is. What this reader does not know, or what is not written in the shortest way, it leaves to postcard from the command's first byte on; so it
//! must never read a command where postcard would read another one or none. It must never take more memory than the bytes justify.

use alloc::string::String;
use alloc::vec::Vec;
use core::str;

use crate::account::{AccountNumber, Side};
use crate::amount::Amount;
use crate::command::{AccountRef, Command, Confirm, Details, Metadata, Operation, Post, Posting, Try};
use crate::id::{RequestId, TransactionId};
use crate::limits::MAX_POSTINGS;
use crate::name::{AccountName, AssetCode};
use crate::time::Interval;

// The places of operations among the variants of [`Operation`].
const POST: u64 = 6;
const TRY: u64 = 7;
const CONFIRM: u64 = 8;
const CANCEL: u64 = 9;

/// Reads the command at the beginning of bytes, and gives the bytes after it. `None` says nothing about the bytes: ask postcard.
pub(crate) fn read_command(bytes: &[u8]) -> Option<(Command, &[u8])> {
    let mut reader = Reader { rest: bytes };
    let request = RequestId::from_bytes(reader.id()?)?;
    let principal = String::from(reader.text()?);
    let operation = match reader.number()? {
        POST => Operation::Post(Post {
            transaction: reader.transaction()?,
            postings: reader.list(Reader::posting)?,
            details: reader.details()?,
        }),
        TRY => Operation::Try(Try {
            transaction: reader.transaction()?,
            postings: reader.list(Reader::posting)?,
            details: reader.details()?,
            timeout: reader.option(|reader| reader.number().map(Interval))?,
        }),
        CONFIRM => Operation::Confirm(Confirm {
            transaction: reader.transaction()?,
            amounts: reader.option(|reader| reader.list(Reader::amount))?,
        }),
        CANCEL => Operation::Cancel(reader.transaction()?),
        _ => return None,
    };
    Some((Command { request, principal, operation }, reader.rest))
}

struct Reader<'b> {
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    #[inline]
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    /// A number of up to 63 bits in groups of seven, the lowest first, written in the shortest way.
    #[inline]
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return (byte != 0 || shift == 0).then_some(number);
            }
        }
        None
    }

    #[inline]
    fn id(&mut self) -> Option<[u8; 16]> {
        let (id, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*id)
    }

    fn transaction(&mut self) -> Option<TransactionId> {
        TransactionId::from_bytes(self.id()?)
    }

    fn text(&mut self) -> Option<&'b str> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        str::from_utf8(text).ok()
    }

    /// One of two variants, or whether there is something.
    #[inline]
    fn bit(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.bit()? { read(self).map(Some) } else { Some(None) }
    }

    fn list<T>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::try_from(self.number()?).ok()?;
        if count > MAX_POSTINGS || count > self.rest.len() {
            return None;
        }
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(read(self)?);
        }
        Some(list)
    }

    #[inline]
    fn amount(&mut self) -> Option<Amount> {
        let mantissa = self.number()?;
        Amount::written(u128::from(mantissa), u32::try_from(self.number()?).ok()?)
    }

    #[inline]
    fn posting(&mut self) -> Option<Posting> {
        let account = if self.bit()? {
            AccountRef::Name(AccountName::new(self.text()?).ok()?)
        } else {
            AccountRef::Number(AccountNumber(u32::try_from(self.number()?).ok()?))
        };
        let side = if self.bit()? { Side::Credit } else { Side::Debit };
        let amount = self.amount()?;
        let asset = self.option(|reader| AssetCode::new(reader.text()?).ok())?;
        Some(Posting { account, side, amount, asset })
    }

    /// Details that are no more than a reference.
    fn details(&mut self) -> Option<Details> {
        let reference = String::from(self.text()?);
        let (metadata_pairs, has_effective_at) = (self.byte()?, self.bit()?);
        let is_plain = metadata_pairs == 0 && !has_effective_at;
        is_plain.then(|| Details { reference, metadata: Metadata::new(), effective_at: None })
    }
}
