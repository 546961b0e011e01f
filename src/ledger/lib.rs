//! The pure core of folio: the rules of the book, and nothing else.
//!
//! [`apply::apply`] is the only door. It takes what the book holds (a [`records::Records`]), one log entry (a
//! [`entry::Entry`]: stamped commands) and returns the answers and the [`records::Changes`] as data. It performs no
//! I/O, reads no clock, draws no random number and never depends on the order of a hash table, so that
//! equal log prefixes give equal books on every replica, platform and build.
//!
//! # The invariants
//! - I1 Per asset, over all accounts: posted debits equal posted credits, and pending debits equal pending credits.
//! - I2 Every transaction balances per asset; every amount is positive and held at its asset's scale.
//! - I3 An account's pending totals equal the sum of its TRIED postings.
//! - I4 `available >= floor` after every new posting against the normal side; posted plus incoming pending
//!   `<= ceiling` after every new posting on it.
//! - I5 Any confirm or cancel of a TRIED transaction keeps I4.
//! - I6 A transaction resolves at most once; reserved = confirmed + released.
//! - I7 Posted totals never fall.
//! - I8 No total, nor a sum of two, leaves the 96-bit range.
//! - I9 Log time and journal sequence strictly increase; the sequence has no gaps.
//! - I10 A refused command or atomic batch changes nothing but the memory of its request id (and the log's clock).
//! - I11 Equal log prefix, equal state.
//! - I12 Replaying the journal from empty gives the balances.
//! - I13 The sum of reversals never exceeds the original.
//!
//! # The map
//! [`amount`], [`name`], [`time`] and [`id`] are the vocabulary; [`account`], [`transaction`] and [`journal`] what the
//! book holds; [`command`], [`entry`] and [`outcome`] what goes in and comes out; [`limits`] every bound; [`shape`] what a
//! well-formed command is; [`records`] how the book is read and changed, [`table`] how changes are kept in order; `working` the entry's overlay; `quick` a reader of the commonest commands; `record_bytes` a writer of journal records; `ops` one
//! file an operation; [`trial_balance`] the sum over all accounts.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod account;
pub mod amount;
pub mod apply;
pub mod asset;
pub mod command;
pub mod entry;
pub mod id;
pub mod journal;
pub mod limits;
pub mod name;
mod ops;
pub mod outcome;
mod quick;
mod record_bytes;
pub mod records;
#[cfg(feature = "seeded-bugs")]
pub mod seeded;
pub mod shape;
pub mod table;
pub mod time;
pub mod transaction;
pub mod trial_balance;
mod working;

pub use account::{Account, AccountNumber, AccountStatus, Class, Floor, Side, Totals};
pub use amount::{Amount, AmountError, Balance};
pub use apply::{apply, apply_encoded, apply_encoded_within};
pub use asset::{Asset, AssetNumber};
pub use command::{AccountRef, Command, Operation};
pub use entry::{EncodedEntry, Entry, EntryWriter};
pub use id::{RequestId, TransactionId};
pub use journal::{Event, JournalPosting, JournalRecord};
pub use name::{AccountName, AssetCode, Scale};
pub use outcome::{Accepted, Answer, ItemAnswer, Outcome, Point, Rejection};
pub use record_bytes::{append_account, append_record};
pub use records::{Applied, Changes, Head, Kept, Records, RequestBody, RequestRecord, Stop};
pub use time::{EffectiveAt, Interval, LogTime};
pub use transaction::{TransactionRecord, TransactionState};
