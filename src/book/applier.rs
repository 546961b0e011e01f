//! Applying committed entries: decode, decide, write, answer.

use std::sync::PoisonError;

use ledger::entry::EntryError;
use ledger::{Answer, Applied, Entry, LogTime, Stop};

use super::cache::CachedRecords;
use super::{Book, BookError, BookResult, Hot, SYNC_EVERY_BYTES, writer};

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
        if hot.unsynced_bytes >= SYNC_EVERY_BYTES {
            self.engine.sync()?;
            hot.unsynced_bytes = 0;
        }
        Ok(answers)
    }

    /// The answers that an entry would get if it were applied next. Only for the seeded bug `answer-before-commit`.
    #[cfg(feature = "seeded-bugs")]
    pub fn preview(&self, bytes: &[u8]) -> Option<Vec<Answer>> {
        let hot = self.hot();
        let entry = Entry::decode(bytes).ok()?;
        self.decide(&hot, hot.meta.index + 1, &entry).ok().map(|applied| applied.answers)
    }

    fn write_meta(&self, hot: &mut Hot, index: u64, log_id: Vec<u8>, membership: Option<Vec<u8>>) -> BookResult<()> {
        let mut meta = hot.meta.clone();
        meta.index = index;
        meta.applied = Some(log_id);
        if membership.is_some() {
            meta.membership = membership;
        }
        let changes = ledger::Changes { head: meta.head, ..ledger::Changes::default() };
        let batch = writer::batch(&changes, &hot.spaces, &mut meta);
        self.engine.write(&batch)?;
        hot.meta = meta;
        Ok(())
    }

    fn apply_commands(&self, hot: &mut Hot, index: u64, log_id: &[u8], bytes: &[u8]) -> BookResult<Vec<Answer>> {
        let mut entry = Entry::decode(bytes).map_err(|error| BookError::Entry {
            index,
            detail: match error {
                EntryError::Malformed => "its bytes are not an entry".to_owned(),
                EntryError::UnknownRules(version) => {
                    format!("it follows rules version {version}, which this release does not know")
                }
            },
        })?;
        if let Some(clock) = self.local_clock_expiry {
            entry.stamp = LogTime(clock());
        }
        loop {
            let applied = self.decide(hot, index, &entry)?;
            let finished = applied.finished;
            let mut meta = hot.meta.clone();
            if finished {
                meta.index = index;
                meta.applied = Some(log_id.to_vec());
            }
            let batch = writer::batch(&applied.changes, &hot.spaces, &mut meta);
            self.engine.write(&batch)?;
            hot.unsynced_bytes += batch.bytes();
            hot.meta = meta;
            self.absorb(hot, applied.changes)?;
            if finished {
                return Ok(applied.answers);
            }
        }
    }

    fn decide(&self, hot: &Hot, index: u64, entry: &Entry) -> BookResult<Applied> {
        let view = self.view()?;
        let records = CachedRecords {
            cache: &hot.cache,
            head: hot.meta.head,
            directory: self.directory.read().unwrap_or_else(PoisonError::into_inner),
            view: &view,
        };
        ledger::apply(&records, index, entry).map_err(|stop| match stop {
            Stop::Records(error) => error,
            Stop::UnknownRules { .. } => BookError::Entry { index, detail: stop.to_string() },
            Stop::Broken { .. } => BookError::Broken { index, detail: stop.to_string() },
        })
    }

    fn absorb(&self, hot: &mut Hot, mut changes: ledger::Changes) -> BookResult<()> {
        if !changes.assets.is_empty() || !changes.names.is_empty() {
            let mut directory = self.directory.write().unwrap_or_else(PoisonError::into_inner);
            for asset in changes.assets.drain(..) {
                directory.add_asset(asset);
            }
            for (name, number) in changes.names.drain(..) {
                let account = changes.accounts.get(&number).ok_or(BookError::Malformed { what: "new account" })?;
                if !directory.add_account(name, number, account.asset) {
                    return Err(BookError::Malformed { what: "new account: its number leaves a gap" });
                }
            }
        }
        hot.cache.absorb(changes);
        Ok(())
    }
}
