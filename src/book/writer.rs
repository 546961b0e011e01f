//! What the core decided into one batch, hashed as it is encoded.

use ledger::journal::JournalSequence;
use ledger::{AccountNumber, Changes, RequestBody};
use sha2::{Digest as _, Sha256};

use super::records::kept::KeptRecord;
use super::records::{self, Kind, Spaces, meta::Meta};
use super::{BookError, BookResult, Hot, accounts, blocks};
use crate::store::Batch;

/// The answers of an entry that are kept whole, in the order in which they were decided.
pub(super) fn kept(changes: &mut Changes) -> Vec<KeptRecord> {
    let mut kept = Vec::new();
    for (request, record) in changes.requests.drain() {
        match record.body {
            RequestBody::Booked(_) => {}
            RequestBody::Kept(_) => kept.push(KeptRecord { request, record }),
        }
    }
    kept
}

/// What is written beside the journal.
pub(super) struct Beside<'e> {
    pub(super) kept: &'e [KeptRecord],
    /// The accounts that changed in more than their totals.
    pub(super) accounts: &'e [AccountNumber],
    /// Stored holds that ended.
    pub(super) ended: &'e [JournalSequence],
}

/// Adds an entry's changes to a batch, and brings head, state hash and counters of `meta` up to date.
pub(super) fn write(
    batch: &mut Batch,
    hot: &mut Hot,
    changes: &Changes,
    beside: &Beside<'_>,
    meta: &mut Meta,
) -> BookResult<()> {
    let spaces = hot.spaces;
    let mut hasher = Sha256::new();
    hasher.update(meta.state_hash);
    if let Some(first) = changes.journal.first() {
        let (space, append) = (spaces.of(Kind::Journal), records::journal::append);
        blocks::write(batch, space, first.sequence.0, &changes.journal, append, &mut hasher);
    }
    blocks::write(batch, spaces.of(Kind::Kept), meta.kept + 1, beside.kept, records::encode_into, &mut hasher);
    meta.kept += beside.kept.len() as u64;
    write_names(batch, &spaces, changes);
    for (id, record) in changes.transactions.iter().filter(|(_, record)| !record.reversed.is_empty()) {
        batch.put_with(spaces.of(Kind::Reversed), records::reversed::key(id), |buffer| {
            records::encode_into(&record.reversed, buffer);
        });
    }
    for sequence in beside.ended {
        batch.delete(spaces.of(Kind::Holds), &records::hold::key(*sequence));
    }
    {
        let slots = hot.accounts.read();
        for number in beside.accounts {
            let account = accounts::find(&slots, *number).ok_or(BookError::Malformed { what: "changed account" })?;
            hasher.update(number.0.to_be_bytes());
            hasher.update(records::encode(&account));
        }
    }
    hasher.update((changes.journal.len() as u64).to_be_bytes());
    hasher.update((beside.kept.len() as u64).to_be_bytes());
    hasher.update((beside.accounts.len() as u64).to_be_bytes());
    hasher.update(records::encode(&changes.head));
    meta.head = changes.head;
    meta.state_hash = hasher.finalize().into();
    write_checkpoint(batch, hot, beside.accounts, changes.journal.len(), meta);
    Ok(())
}

fn write_names(batch: &mut Batch, spaces: &Spaces, changes: &Changes) {
    for asset in &changes.assets {
        batch.put_with(spaces.of(Kind::Assets), &records::asset::key(asset.number), |buffer| {
            records::encode_into(asset, buffer);
        });
    }
    for (name, number) in &changes.names {
        batch.put(spaces.of(Kind::Names), records::name::key(name), &records::name::encode(*number));
    }
}

/// The pages of accounts and the holds that come up with so many records.
fn write_checkpoint(batch: &mut Batch, hot: &mut Hot, at_once: &[AccountNumber], records: usize, meta: &mut Meta) {
    let Hot { accounts, pages, holds, spaces, .. } = hot;
    pages.write(batch, spaces, &accounts.read(), at_once, records);
    holds.store(batch, spaces, pages.cycle_began(), Some(records));
    if pages.is_cycle_over() {
        holds.store(batch, spaces, pages.cycle_began(), None);
        pages.end_cycle(meta.head.sequence);
    }
    meta.replay_from = pages.replay_from;
}

/// Adds the meta record, which must be the last thing to be known of a batch.
pub(super) fn write_meta(batch: &mut Batch, spaces: &Spaces, meta: &Meta) {
    batch.put(spaces.of(Kind::Meta), records::meta::KEY, &records::meta::encode(meta));
}

/// The accounts that an entry changed, by number: what the core gives.
pub(super) fn absorb_accounts(hot: &mut Hot, changes: &Changes) -> BookResult<Vec<AccountNumber>> {
    let changed = changes.accounts.iter().map(|(number, account)| (*number, account));
    let accounts: &accounts::Accounts = &hot.accounts;
    hot.pages.absorb(accounts, changed, &changes.journal, changes.head.sequence)
}
