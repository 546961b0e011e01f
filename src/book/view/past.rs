//! What a view tells of points before its own: the journal places them, and memory has what changed since and left no
//! history of its own. It must never guess: what it is not sure of, it says.

use ledger::journal::JournalSequence;
use ledger::{Account, AccountNumber, JournalRecord, LogTime, Totals, TransactionId, TransactionRecord};

use super::BookView;
use crate::book::records::{self, Kind};
use crate::book::{BookError, BookResult, blocks};

/// An account as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastAccount {
    /// The account, with the totals of that point.
    pub account: Account,
    /// Changes of limits and state after the point and up to this record are not in memory, so the account may have been
    /// something else before them; none if all are.
    pub unsure_until: Option<JournalSequence>,
}

impl BookView {
    /// The last sequence whose time of record is at or before `time`; 0 if none is. Times increase with sequences.
    pub fn sequence_at(&self, time: LogTime) -> BookResult<JournalSequence> {
        let (view, space) = (self.inner.view.as_ref(), self.inner.spaces.of(Kind::Journal));
        let is_early = |record: &JournalRecord| record.point.time <= time;
        let found = blocks::last_early(view, space, records::journal::WHAT, self.last_sequence().0, is_early)?;
        Ok(JournalSequence(found))
    }

    /// What stood under a transaction's id as of a record, but for what was reversed of it, which is that of this view.
    pub fn transaction_at(&self, id: &TransactionId, as_of: JournalSequence) -> BookResult<Option<TransactionRecord>> {
        self.transaction_by(id, as_of, |sequence| self.known_journal(sequence))
    }

    /// An account's totals after the last record up to `as_of` that touched it, and that record; 0 if none did.
    pub fn totals_at(
        &self,
        number: AccountNumber,
        account: &Account,
        as_of: JournalSequence,
    ) -> BookResult<(Totals, JournalSequence)> {
        let Some(sequence) = self.last_posting(number, as_of)? else {
            return Ok((Totals::zero(account.scale), JournalSequence(0)));
        };
        let record = self.known_journal(sequence)?;
        let posting = record.event.postings().iter().rev().find(|posting| posting.account == number);
        let posting = posting.ok_or(BookError::Malformed { what: "index of postings" })?;
        Ok((posting.totals, sequence))
    }

    /// An account as of a record at which an entry of the log ended; none if it was not open then.
    pub fn account_at(&self, number: AccountNumber, as_of: JournalSequence) -> BookResult<Option<PastAccount>> {
        // What has not changed since, or once only, is in memory whole.
        let in_memory = self.inner.accounts.as_of(number, as_of.min(self.last_sequence()));
        if let Some(slot) = in_memory {
            return Ok(Some(PastAccount { account: slot.account, unsure_until: None }));
        }
        let Some(present) = self.account(number)? else { return Ok(None) };
        if present.opened > as_of {
            return Ok(None);
        }
        let (was, since) = self.inner.accounts.before(number, as_of);
        let mut account = was.unwrap_or(present);
        account.totals = self.totals_at(number, &account, as_of)?.0;
        Ok(Some(PastAccount { account, unsure_until: (since > as_of).then_some(since) }))
    }
}
