//! The canonical bytes of accounts, and of journal records, written quickly where a record is one of those that money leaves: by far the most.
//!
//! The encoding is postcard's, and this must write what postcard writes, to the byte: hashes and other languages rely on it. All other records are left to postcard.

use alloc::vec::Vec;

use crate::account::{Account, AccountStatus, Class, Floor, Side, Totals};
use crate::amount::Amount;
use crate::command::Details;
use crate::id::TransactionId;
use crate::journal::{Event, JournalPosting, JournalRecord};

// The places of events among the variants of [`Event`].
const POSTED: u8 = 6;
const TRIED: u8 = 7;
const CONFIRMED: u8 = 8;
const CANCELLED: u8 = 9;

/// More than the bytes of any posting: a number of 32 bits, two of one byte, and five amounts of at most 96 bits with their scales.
const POSTING_BYTES: usize = 5 + 2 + 5 * (14 + 5);
/// More than the bytes of any account: numbers of 32 and 64 bits, three of one byte, tags and a sign, and six amounts.
const ACCOUNT_BYTES: usize = 5 + 10 + 3 + 3 + 6 * (14 + 5);

/// Appends a record's canonical bytes.
///
/// # Errors
/// Never for a record of the core's; postcard's own, where it writes.
pub fn append_record(record: &JournalRecord, buffer: &mut Vec<u8>) -> Result<(), postcard::Error> {
    match &record.event {
        Event::Posted { transaction, postings, details } => {
            begin(record, POSTED, transaction, buffer);
            append_postings(postings, buffer);
            append_details(details, buffer)
        }
        Event::Tried { transaction, postings, details, timeout, deadline } => {
            begin(record, TRIED, transaction, buffer);
            append_postings(postings, buffer);
            append_details(details, buffer)?;
            append_option(timeout.map(|timeout| timeout.0), buffer);
            append_option(deadline.map(|deadline| deadline.0), buffer);
            Ok(())
        }
        Event::Confirmed { transaction, amounts_named, postings } => {
            begin(record, CONFIRMED, transaction, buffer);
            buffer.push(u8::from(*amounts_named));
            append_postings(postings, buffer);
            Ok(())
        }
        Event::Cancelled { transaction, postings } => {
            begin(record, CANCELLED, transaction, buffer);
            append_postings(postings, buffer);
            Ok(())
        }
        Event::AssetRegistered { .. }
        | Event::AccountOpened(_)
        | Event::LimitsSet { .. }
        | Event::AccountFrozen(_)
        | Event::AccountUnfrozen(_)
        | Event::AccountClosed(_)
        | Event::CancelledEmpty(_)
        | Event::Expired { .. }
        | Event::Reversed { .. } => append_by_postcard(record, buffer),
    }
}

fn append_by_postcard<T: serde::Serialize>(value: &T, buffer: &mut Vec<u8>) -> Result<(), postcard::Error> {
    *buffer = postcard::to_extend(value, core::mem::take(buffer))?;
    Ok(())
}

/// A number in groups of seven bits, the lowest first.
fn append_number(mut number: u64, buffer: &mut Vec<u8>) {
    while number >= 0x80 {
        buffer.push(low_group(number) | 0x80);
        number >>= 7;
    }
    buffer.push(low_group(number));
}

#[inline]
fn low_group(number: u64) -> u8 {
    number.to_le_bytes()[0] & 0x7F
}

fn append_text(text: &str, buffer: &mut Vec<u8>) {
    // No length of a text needs more than 64 bits.
    append_number(text.len() as u64, buffer);
    buffer.extend_from_slice(text.as_bytes());
}

fn append_option(number: Option<u64>, buffer: &mut Vec<u8>) {
    match number {
        Some(number) => {
            buffer.push(1);
            append_number(number, buffer);
        }
        None => buffer.push(0),
    }
}

/// All that stands before what the event holds besides its transaction.
fn begin(record: &JournalRecord, event: u8, transaction: &TransactionId, buffer: &mut Vec<u8>) {
    buffer.reserve(96 + record.principal.len() + record.event.postings().len() * 48);
    append_number(record.sequence.0, buffer);
    append_number(record.point.index, buffer);
    append_number(u64::from(record.point.position), buffer);
    append_number(record.point.time.0, buffer);
    match &record.request {
        Some(request) => {
            buffer.push(1);
            buffer.extend_from_slice(request.as_bytes());
        }
        None => buffer.push(0),
    }
    append_text(&record.principal, buffer);
    buffer.push(event);
    buffer.extend_from_slice(transaction.as_bytes());
}

fn append_details(details: &Details, buffer: &mut Vec<u8>) -> Result<(), postcard::Error> {
    append_text(&details.reference, buffer);
    if details.metadata.is_empty() && details.effective_at.is_none() {
        buffer.extend_from_slice(&[0, 0]);
        return Ok(());
    }
    append_by_postcard(&details.metadata, buffer)?;
    append_by_postcard(&details.effective_at, buffer)
}

fn append_postings(postings: &[JournalPosting], buffer: &mut Vec<u8>) {
    append_number(postings.len() as u64, buffer);
    for posting in postings {
        let mut bytes = Gathered::<POSTING_BYTES>::new();
        bytes.number(u64::from(posting.account.0));
        bytes.byte(match posting.side {
            Side::Debit => 0,
            Side::Credit => 1,
        });
        bytes.amount(posting.amount);
        bytes.byte(u8::from(posting.asset_stated));
        bytes.totals(&posting.totals);
        buffer.extend_from_slice(&bytes.bytes[..bytes.length]);
    }
}

/// Appends an account's canonical bytes.
pub fn append_account(account: &Account, buffer: &mut Vec<u8>) {
    let mut bytes = Gathered::<ACCOUNT_BYTES>::new();
    bytes.number(u64::from(account.asset.0));
    // Of two digits at most.
    bytes.number(u64::from(account.scale.digits()));
    bytes.byte(match account.class {
        Class::Asset => 0,
        Class::Liability => 1,
        Class::Equity => 2,
        Class::Income => 3,
        Class::Expense => 4,
    });
    bytes.byte(match account.status {
        AccountStatus::Open => 0,
        AccountStatus::Frozen => 1,
        AccountStatus::Closed => 2,
    });
    match account.floor {
        Floor::AtLeast(floor) => {
            bytes.byte(0);
            bytes.byte(u8::from(floor.is_negative()));
            bytes.amount(floor.magnitude());
        }
        Floor::Unlimited => bytes.byte(1),
    }
    match account.ceiling {
        Some(ceiling) => {
            bytes.byte(1);
            bytes.amount(ceiling);
        }
        None => bytes.byte(0),
    }
    bytes.totals(&account.totals);
    bytes.number(account.opened.0);
    buffer.extend_from_slice(&bytes.bytes[..bytes.length]);
}

/// Bytes gathered where there is surely room for them.
struct Gathered<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Gathered<N> {
    #[inline]
    fn new() -> Gathered<N> {
        Gathered { bytes: [0; N], length: 0 }
    }

    #[inline]
    fn totals(&mut self, totals: &Totals) {
        self.amount(totals.debits_pending);
        self.amount(totals.debits_posted);
        self.amount(totals.credits_pending);
        self.amount(totals.credits_posted);
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    #[inline]
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.byte(low_group(number) | 0x80);
            number >>= 7;
        }
        self.byte(low_group(number));
    }

    #[inline]
    fn amount(&mut self, amount: Amount) {
        let mut mantissa = amount.mantissa();
        // What a machine word does not hold goes group by group; then a word is quicker.
        while mantissa > u128::from(u64::MAX) {
            self.byte(mantissa.to_le_bytes()[0] | 0x80);
            mantissa >>= 7;
        }
        self.number(u64::try_from(mantissa).unwrap_or(u64::MAX));
        self.number(u64::from(amount.scale_digits()));
    }
}
