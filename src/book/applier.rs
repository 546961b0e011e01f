//! Applying committed entries: decode, decide, write, answer.

use std::cell::{Cell, RefCell};
use std::sync::{PoisonError, RwLockReadGuard};

use ledger::command::Posting;
use ledger::entry::EntryError;
use ledger::journal::JournalSequence;
use ledger::{
    Account, AccountName, AccountNumber, AccountRef, Answer, Applied, Asset, AssetCode, AssetNumber, Changes, Command,
    EncodedEntry, Head, JournalRecord, LogTime, Operation, Records, RequestId, RequestRecord, Stop, TransactionId,
    TransactionRecord, TransactionState,
};

use super::accounts::{self, Slot};
use super::directory::Directory;
use super::holds::Holds;
use super::records::meta::Meta;
use super::view::{BookView, JournalReader};
use super::writer::{self, Beside};
use super::{Book, BookError, BookResult, Hot, view_of};

/// From how many bytes on an entry's changes lie in the room of the one before: some thousand commands. The changes of smaller ones fit what the allocator has at hand.
const LARGE_ENTRY_BYTES: usize = 64 * 1024;

/// What a committed log entry carries.
#[derive(Debug, Clone)]
pub enum Payload<'a> {
    /// Nothing: a new leader's first entry.
    Blank,
    /// A membership, as the replication layer encodes it.
    Membership(Vec<u8>),
    /// Commands, as [`ledger::EntryWriter`] encodes them.
    Commands(&'a [u8]),
}

/// A committed log entry.
#[derive(Debug, Clone)]
pub struct Committed<'a> {
    /// Its index.
    pub index: u64,
    /// Its log id, as the replication layer encodes it.
    pub log_id: Vec<u8>,
    /// What it carries.
    pub payload: Payload<'a>,
}

impl Book {
    /// Applies one committed entry: its changes and its log id land in one atomic batch, and then the answers are returned.
    ///
    /// # Errors
    /// The process must stop: an invariant is broken, the entry cannot be read, or the engine failed.
    pub fn apply(&self, committed: Committed<'_>) -> BookResult<Vec<Answer>> {
        let mut hot = self.hot();
        let answers = match committed.payload {
            Payload::Blank => {
                self.write_meta(&mut hot, committed.index, committed.log_id, None)?;
                Vec::new()
            }
            Payload::Membership(membership) => {
                self.write_meta(&mut hot, committed.index, committed.log_id, Some(membership))?;
                Vec::new()
            }
            Payload::Commands(bytes) => self.apply_commands(&mut hot, committed.index, &committed.log_id, bytes)?,
        };
        if hot.unsynced_bytes >= hot.bounds.unsynced_bytes {
            self.engine.sync()?;
            hot.unsynced_bytes = 0;
        }
        Ok(answers)
    }

    /// The answers that an entry would get if it were applied next. Only for the seeded bug `answer-before-commit`.
    #[cfg(feature = "seeded-bugs")]
    pub fn preview(&self, bytes: &[u8]) -> Option<Vec<Answer>> {
        let hot = self.hot();
        let entry = EncodedEntry::read(bytes).ok()?;
        self.decide(&hot, Changes::default(), hot.meta.index + 1, &entry).ok().map(|applied| applied.answers)
    }

    fn write_meta(&self, hot: &mut Hot, index: u64, log_id: Vec<u8>, membership: Option<Vec<u8>>) -> BookResult<()> {
        let mut meta = hot.meta.clone();
        meta.index = index;
        meta.applied = Some(log_id);
        if membership.is_some() {
            meta.membership = membership;
        }
        let mut changes = Changes { head: meta.head, ..Changes::default() };
        self.write(hot, &mut changes, meta)?;
        self.show(hot);
        Ok(())
    }

    fn apply_commands(&self, hot: &mut Hot, index: u64, log_id: &[u8], bytes: &[u8]) -> BookResult<Vec<Answer>> {
        let entry = EncodedEntry::read(bytes).map_err(|error| undecodable(index, &error))?;
        #[cfg(feature = "seeded-bugs")]
        let entry = {
            let stamp = self.local_clock_expiry.map_or(entry.stamp, |clock| ledger::LogTime(clock()));
            let mut stamped = entry;
            stamped.stamp = stamp;
            stamped
        };
        loop {
            let is_large = bytes.len() >= LARGE_ENTRY_BYTES;
            let room = if is_large { std::mem::take(&mut hot.room) } else { Changes::default() };
            let mut applied = self.decide(hot, room, index, &entry)?;
            let mut meta = hot.meta.clone();
            if applied.finished {
                meta.index = index;
                meta.applied = Some(log_id.to_vec());
            }
            self.write(hot, &mut applied.changes, meta)?;
            if is_large {
                hot.room = applied.changes;
                hot.room.clear();
            }
            if applied.finished {
                self.show(hot);
                return Ok(applied.answers);
            }
        }
    }

    fn decide(&self, hot: &Hot, room: Changes, index: u64, entry: &EncodedEntry<'_>) -> BookResult<Applied> {
        let records = HotRecords {
            head: hot.meta.head,
            accounts: hot.accounts.read(),
            holds: &hot.holds,
            directory: self.directory.read().unwrap_or_else(PoisonError::into_inner),
            view: &hot.view,
            free: RefCell::default(),
            place: Cell::new(0),
            journal: RefCell::new(hot.view.journal_reader()),
        };
        ledger::apply_encoded_within(room, &records, index, entry).map_err(|stop| match stop {
            Stop::Records(error) => error,
            Stop::Undecodable(error) => undecodable(index, &error),
            Stop::UnknownRules { .. } => BookError::Entry { index, detail: stop.to_string() },
            Stop::Broken { .. } => BookError::Broken { index, detail: stop.to_string() },
        })
    }

    /// Takes changes over into memory, where views that are open do not see them, writes them in one batch, and opens a view that has them.
    fn write(&self, hot: &mut Hot, changes: &mut Changes, mut meta: Meta) -> BookResult<()> {
        let kept = writer::kept(changes);
        let changed = writer::absorb_accounts(hot, changes)?;
        let ended = end_holds(&mut hot.holds, changes);
        let mut batch = std::mem::take(&mut hot.batch);
        batch.clear();
        let first_kept = meta.kept + 1;
        let beside = Beside { kept: &kept, accounts: &changed, ended: &ended };
        writer::write(&mut batch, hot, changes, &beside, &mut meta)?;
        hot.indexes.add(&hot.view, &hot.spaces, &changes.journal, (first_kept, &kept), &meta, &mut batch)?;
        writer::write_meta(&mut batch, &hot.spaces, &meta);
        self.engine.write(&batch)?;
        hot.unsynced_bytes += batch.bytes();
        if batch.bytes() <= hot.bounds.batch_bytes {
            hot.batch = batch;
        }
        hot.meta = meta;
        self.add_names(hot, changes)?;
        begin_holds(&mut hot.holds, changes)?;
        hot.view = view_of(self.engine.as_ref(), &self.directory, hot)?;
        Ok(())
    }

    fn add_names(&self, hot: &Hot, changes: &mut Changes) -> BookResult<()> {
        if changes.assets.is_empty() && changes.names.is_empty() {
            return Ok(());
        }
        let slots = hot.accounts.read();
        let mut directory = self.directory.write().unwrap_or_else(PoisonError::into_inner);
        for asset in changes.assets.drain(..) {
            directory.add_asset(asset);
        }
        for (name, number) in changes.names.drain(..) {
            let account =
                accounts::find(&slots, number).ok_or(BookError::Malformed { what: "new account: it has no totals" })?;
            if !directory.add_account(name, number, account.asset) {
                return Err(BookError::Malformed { what: "new account: its number leaves a gap" });
            }
        }
        Ok(())
    }
}

/// A committed entry whose bytes this release cannot read.
fn undecodable(index: u64, error: &EntryError) -> BookError {
    let detail = match error {
        EntryError::Malformed => "its bytes are not an entry".to_owned(),
        EntryError::UnknownRules(version) => {
            format!("it follows rules version {version}, which this release does not know")
        }
    };
    BookError::Entry { index, detail }
}

/// Ends the reservations that changes resolved, and returns those that are stored.
fn end_holds(holds: &mut Holds, changes: &Changes) -> Vec<JournalSequence> {
    let mut ended = Vec::new();
    for (id, record) in &changes.transactions {
        match record.state {
            TransactionState::Tried => {}
            TransactionState::Confirmed | TransactionState::Cancelled | TransactionState::Expired => {
                ended.extend(holds.end(id));
            }
        }
    }
    ended
}

/// Begins the reservations that are open after changes.
fn begin_holds(holds: &mut Holds, changes: &mut Changes) -> BookResult<()> {
    let mut begun: Vec<JournalSequence> = Vec::new();
    for record in changes.transactions.values() {
        match record.state {
            TransactionState::Tried => begun.extend(record.created),
            TransactionState::Confirmed | TransactionState::Cancelled | TransactionState::Expired => {}
        }
    }
    if begun.is_empty() {
        return Ok(());
    }
    begun.sort_unstable();
    for record in changes.journal.drain(..) {
        if begun.binary_search(&record.sequence).is_ok() {
            holds.begin(record, false)?;
        }
    }
    Ok(())
}

/// The records as the core reads them: hot ones from memory, history from the last view.
struct HotRecords<'a> {
    head: Head,
    accounts: RwLockReadGuard<'a, Vec<Slot>>,
    holds: &'a Holds,
    directory: RwLockReadGuard<'a, Directory>,
    view: &'a BookView,
    /// Ids that are free, in the order in which they are expected to be asked for.
    free: RefCell<Vec<[u8; 16]>>,
    /// Where in that list the last one stood.
    place: Cell<usize>,
    journal: RefCell<JournalReader<'a>>,
}

impl HotRecords<'_> {
    fn is_free(&self, id: &[u8; 16]) -> bool {
        let free = self.free.borrow();
        let place = self.place.get();
        // A transaction's id is its request's by default, and is asked for right after it.
        let here = free.iter().skip(place).take(4).position(|known| known == id);
        if let Some(step) = here {
            self.place.set(place + step);
            return true;
        }
        self.view.is_free(id)
    }

    /// Has the accounts of postings brought into the processor's cache.
    fn touch(&self, postings: &[Posting]) {
        for posting in postings {
            if let AccountRef::Number(number) = posting.account
                && let Some(account) = accounts::find_ref(&self.accounts, number)
            {
                std::hint::black_box((account.asset, account.totals.debits_pending, account.opened));
            }
        }
    }

    /// Adds the ids that a command will ask for, and fetches its accounts.
    fn foresee(&self, command: &Command, ids: &mut Vec<[u8; 16]>) {
        ids.push(*command.request.as_bytes());
        let (transaction, postings): (TransactionId, &[Posting]) = match &command.operation {
            Operation::Post(post) => (post.transaction, &post.postings),
            Operation::Try(attempt) => (attempt.transaction, &attempt.postings),
            Operation::Reverse(reverse) => (reverse.transaction, &[]),
            Operation::Atomic(items) => return items.iter().for_each(|item| self.foresee(item, ids)),
            // They are about a transaction that is there, or about none.
            Operation::Confirm(_)
            | Operation::Cancel(_)
            | Operation::RegisterAsset(_)
            | Operation::OpenAccount(_)
            | Operation::SetLimits(_)
            | Operation::Freeze(_)
            | Operation::Unfreeze(_)
            | Operation::Close(_) => return,
        };
        if transaction.as_bytes() != command.request.as_bytes() {
            ids.push(*transaction.as_bytes());
        }
        self.touch(postings);
    }

    fn known_journal(&self, sequence: JournalSequence) -> BookResult<JournalRecord> {
        self.journal.borrow_mut().known(sequence)
    }
}

impl Records for HotRecords<'_> {
    type Error = BookError;

    fn expect(&self, commands: &[Command]) {
        let mut ids = self.free.borrow_mut();
        ids.clear();
        commands.iter().for_each(|command| self.foresee(command, &mut ids));
        self.view.retain_free(&mut ids);
        self.place.set(0);
    }

    fn head(&self) -> Head {
        self.head
    }

    fn asset_by_code(&self, code: &AssetCode) -> BookResult<Option<Asset>> {
        Ok(self.directory.asset_by_code(code).copied())
    }

    fn asset(&self, number: AssetNumber) -> BookResult<Option<Asset>> {
        Ok(self.directory.asset(number).copied())
    }

    fn account_number(&self, name: &AccountName) -> BookResult<Option<AccountNumber>> {
        Ok(self.directory.number(name))
    }

    fn account_name(&self, number: AccountNumber) -> BookResult<Option<AccountName>> {
        Ok(self.directory.name(number).cloned())
    }

    fn account(&self, number: AccountNumber) -> BookResult<Option<Account>> {
        Ok(accounts::find(&self.accounts, number))
    }

    fn transaction(&self, id: &TransactionId) -> BookResult<Option<TransactionRecord>> {
        match self.holds.transaction(id) {
            Some(record) => Ok(Some(record)),
            None if self.is_free(id.as_bytes()) => Ok(None),
            None => self.view.transaction_by(id, JournalSequence(u64::MAX), |sequence| self.known_journal(sequence)),
        }
    }

    fn request(&self, id: &RequestId) -> BookResult<Option<RequestRecord>> {
        if self.is_free(id.as_bytes()) {
            return Ok(None);
        }
        self.view.request_by(id, |sequence| self.known_journal(sequence))
    }

    fn journal(&self, sequence: JournalSequence) -> BookResult<Option<JournalRecord>> {
        match self.holds.attempt(sequence) {
            Some(record) => Ok(Some(record.clone())),
            None => self.known_journal(sequence).map(Some),
        }
    }

    fn show_journal(&self, sequence: JournalSequence, show: &mut dyn FnMut(&JournalRecord)) -> BookResult<bool> {
        match self.holds.attempt(sequence) {
            Some(record) => show(record),
            None => show(&self.known_journal(sequence)?),
        }
        Ok(true)
    }

    fn hold_after(&self, cursor: Option<(LogTime, TransactionId)>) -> BookResult<Option<(LogTime, TransactionId)>> {
        Ok(self.holds.deadline_after(cursor))
    }
}
