//! What a run leaves behind: every operation that a client made, what became of it, what the nemesis did, and the last dump of every replica.
//!
//! It is the only thing that the checker sees. It holds what was said on the wire and what came back, never what a server "really" did.
//! Times of the runner are nanoseconds of its one monotonic clock; times of the log are the servers' and are never compared with it.

pub mod answer;
pub mod command;
pub mod edn;
mod form;
mod jepsen;
pub mod plan;
pub mod reason;

use std::collections::BTreeMap;

pub use answer::{
    AccountView, Answer, AtomicAnswer, AtomicOutcome, Done, Found, ItemAnswer, LogPoint, Place, PostingView,
    ReadAnswer, ReadValue, Refusal, Totals, TransactionState, TransactionView, TrialLine,
};
pub use command::{
    AccountClass, AccountStatus, AtomicBatch, Call, CeilingChange, Command, Consistency, Details, FloorText, Id,
    OperationClass, Posting, Query, Read, Side, Write,
};
pub use edn::EdnError;
pub use jepsen::{read_edn, write_edn, write_plan};
pub use plan::{End, Plan};
pub use reason::Reason;

/// One operation of one client, from its call to its completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The client. It has one operation at a time; after an unknown outcome it goes on under another number.
    pub process: u32,
    /// When the call was made: nanoseconds of the runner's monotonic clock.
    pub invoked_ns: u64,
    /// When the answer came, or the client gave up; never before `invoked_ns`.
    pub completed_ns: u64,
    /// What was asked.
    pub call: Call,
    /// What came back.
    pub completion: Completion,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completion {
    /// A single command was decided.
    Answered(Answer),
    /// An independent batch was decided: one answer per command, in order.
    Batch(Vec<Answer>),
    /// An atomic batch was decided.
    Atomic(AtomicAnswer),
    /// A read was answered.
    Read(ReadAnswer),
    /// Nobody knows whether it took effect: timed out, connection lost, leader gone. Carries what was seen.
    Unknown(String),
    /// It surely was never proposed: malformed, or refused before the log.
    NotProposed {
        /// The reason given, such as `INVALID_ARGUMENT` or `NOT_LEADER`.
        reason: String,
    },
}

/// What the nemesis did once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NemesisEvent {
    /// What was done: `kill`, `pause`, `resume`, `start` ….
    pub fault: String,
    /// To whom, such as `replica 2 (leader)`.
    pub target: String,
    /// When it began, on the runner's clock.
    pub started_ns: u64,
    /// When it was done, on the runner's clock.
    pub ended_ns: u64,
    /// What was seen to follow from it (a process gone, a new leader, a call refused); nothing if nothing was seen.
    pub effect: Option<String>,
}

/// The book of one replica at the end of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaDump {
    /// The replica.
    pub replica: u32,
    /// The log index that the dump reflects.
    pub index: u64,
    /// The log time there, nanoseconds.
    pub time_ns: u64,
    /// The running hash over every change, as text.
    pub state_hash: String,
    /// The last journal sequence.
    pub journal_sequence: u64,
    /// All accounts by name.
    pub accounts: BTreeMap<String, AccountView>,
    /// The whole journal in order; empty when it was not asked for.
    pub journal: Vec<JournalRecord>,
}

/// One record of a journal, as a replica tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalRecord {
    /// From 1, without gaps.
    pub sequence: u64,
    /// Where in the log, and when.
    pub at: LogPoint,
    /// What happened.
    pub event: JournalEvent,
    /// The transaction concerned, if any.
    pub transaction: Option<Id>,
    /// The account or asset concerned, of an event on one.
    pub subject: Option<String>,
    /// The postings with the totals that they left.
    pub postings: Vec<JournalPosting>,
}

/// One posting of a journal record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalPosting {
    /// The account's name.
    pub account: String,
    /// The side.
    pub side: Side,
    /// Minor units reserved, booked or released.
    pub amount: u128,
    /// The account's totals after the record.
    pub totals: Totals,
}

/// The events that a journal knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JournalEvent {
    /// An asset was registered.
    AssetRegistered,
    /// An account was opened.
    AccountOpened,
    /// Floor or ceiling were set.
    LimitsSet,
    /// An account was frozen.
    AccountFrozen,
    /// An account was unfrozen.
    AccountUnfrozen,
    /// An account was closed.
    AccountClosed,
    /// A transaction was booked in one step.
    Posted,
    /// A transaction was reserved.
    Tried,
    /// A reservation was booked.
    Confirmed,
    /// A reservation was released.
    Cancelled,
    /// A transaction was fenced before it was tried.
    CancelledEmpty,
    /// A reservation's deadline passed.
    Expired,
    /// A transaction's opposite was booked.
    Reversed,
}

impl JournalEvent {
    /// All events with their texts.
    pub const ALL: [(JournalEvent, &'static str); 13] = [
        (JournalEvent::AssetRegistered, "asset_registered"),
        (JournalEvent::AccountOpened, "account_opened"),
        (JournalEvent::LimitsSet, "limits_set"),
        (JournalEvent::AccountFrozen, "account_frozen"),
        (JournalEvent::AccountUnfrozen, "account_unfrozen"),
        (JournalEvent::AccountClosed, "account_closed"),
        (JournalEvent::Posted, "posted"),
        (JournalEvent::Tried, "tried"),
        (JournalEvent::Confirmed, "confirmed"),
        (JournalEvent::Cancelled, "cancelled"),
        (JournalEvent::CancelledEmpty, "cancelled_empty"),
        (JournalEvent::Expired, "expired"),
        (JournalEvent::Reversed, "reversed"),
    ];

    /// The text on the wire.
    pub fn text(self) -> &'static str {
        Self::ALL.iter().find(|(event, _)| *event == self).map_or("", |(_, text)| text)
    }

    /// The event of a text.
    pub fn parse(text: &str) -> Option<JournalEvent> {
        Self::ALL.iter().find(|(_, known)| *known == text).map(|(event, _)| *event)
    }
}

/// A whole run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// All operations; their place in this list is the number that a verdict names them by.
    pub operations: Vec<Operation>,
    /// What the nemesis did.
    pub nemesis: Vec<NemesisEvent>,
    /// The book of every replica at the end.
    pub dumps: Vec<ReplicaDump>,
    /// What the run demands of itself; none of a history that no runner of this project recorded.
    pub plan: Option<Plan>,
    /// What the reader of its file found to be missing from the records, doubled or moved.
    pub defects: Vec<String>,
}
