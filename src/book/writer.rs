//! Changes into one batch, hashed as they are encoded.

use ledger::{Changes, JournalRecord, TransactionState};
use sha2::{Digest as _, Sha256};

use super::records::{self, Kind, Spaces, hold::Hold, meta::Meta};
use crate::store::Batch;

/// Encodes writes into a batch and hashes them: per write the kind's tag, the key's length (u16), the key, and 1 with the value's length (u32) and the value, or 0 for
/// a deletion; numbers big-endian.
struct Writer<'s> {
    batch: Batch,
    hasher: Sha256,
    spaces: &'s Spaces,
}

impl Writer<'_> {
    fn begin(&mut self, kind: Kind, key: &[u8]) {
        // Keys have at most 1024 bytes; the engine refuses longer ones.
        let length = u16::try_from(key.len()).unwrap_or(u16::MAX);
        self.hasher.update([kind as u8]);
        self.hasher.update(length.to_be_bytes());
        self.hasher.update(key);
    }

    fn put_with(&mut self, kind: Kind, key: &[u8], encode: impl FnOnce(&mut Vec<u8>)) {
        self.begin(kind, key);
        let hasher = &mut self.hasher;
        self.batch.put_with(self.spaces.of(kind), key, |buffer| {
            let start = buffer.len();
            encode(buffer);
            let value = buffer.get(start..).unwrap_or_default();
            hasher.update([1]);
            hasher.update(u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
            hasher.update(value);
        });
    }

    fn put<T: serde::Serialize>(&mut self, kind: Kind, key: &[u8], value: &T) {
        self.put_with(kind, key, |buffer| records::encode_into(value, buffer));
    }

    fn mark(&mut self, kind: Kind, key: &[u8]) {
        self.put_with(kind, key, |_| {});
    }

    fn delete(&mut self, kind: Kind, key: &[u8]) {
        self.begin(kind, key);
        self.hasher.update([0]);
        self.batch.delete(self.spaces.of(kind), key);
    }

    fn journal(&mut self, record: &JournalRecord) {
        self.put(Kind::Journal, &records::journal::key(record.sequence), record);
        let postings = record.event.postings();
        for (position, posting) in postings.iter().enumerate() {
            let is_first = !postings[..position].iter().any(|earlier| earlier.account == posting.account);
            if is_first {
                self.mark(Kind::Postings, &records::posting::key(posting.account, record.sequence));
            }
        }
        if let Some(details) = record.event.details()
            && !details.reference.is_empty()
        {
            self.mark(Kind::References, &records::reference::key(&details.reference, record.sequence));
        }
    }
}

/// The batch of an entry's changes. `meta` says what will have been applied; its head and state hash are brought up to date here.
pub(super) fn batch(changes: &Changes, spaces: &Spaces, meta: &mut Meta) -> Batch {
    let writes = 16 + changes.journal.len() * 4 + changes.accounts.len() + changes.requests.len();
    let mut hasher = Sha256::new();
    hasher.update(meta.state_hash);
    let mut writer = Writer { batch: Batch::with_capacity(writes, writes * 64), hasher, spaces };
    for record in &changes.journal {
        writer.journal(record);
    }
    for asset in &changes.assets {
        writer.put(Kind::Assets, &records::asset::key(asset.number), asset);
    }
    for (name, number) in &changes.names {
        writer.put_with(Kind::Names, records::name::key(name), |buffer| {
            buffer.extend_from_slice(&records::name::encode(*number));
        });
    }
    for (number, account) in &changes.accounts {
        writer.put(Kind::Accounts, &records::account::key(*number), account);
    }
    for (id, record) in &changes.transactions {
        writer.put(Kind::Transactions, records::transaction::key(id), record);
        let Some(created) = record.created else { continue };
        match record.state {
            TransactionState::Tried => {
                let hold = Hold { transaction: *id, deadline: record.deadline };
                writer.put(Kind::Holds, &records::hold::key(created), &hold);
            }
            TransactionState::Confirmed | TransactionState::Cancelled | TransactionState::Expired => {
                // Only what was once reserved has been resolved by a record of its own.
                if record.resolved.is_some() {
                    writer.delete(Kind::Holds, &records::hold::key(created));
                }
            }
        }
    }
    for (id, record) in &changes.requests {
        writer.put(Kind::Requests, records::request::key(id), record);
    }
    // The clock moves with every entry, so it is part of the hash although the meta record is not.
    writer.hasher.update(records::encode(&changes.head));
    meta.head = changes.head;
    meta.state_hash = writer.hasher.finalize().into();
    let Writer { mut batch, .. } = writer;
    batch.put(spaces.of(Kind::Meta), records::meta::KEY, &records::meta::encode(meta));
    batch
}
