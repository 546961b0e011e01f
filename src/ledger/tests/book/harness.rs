//! A book under test: every entry goes through its bytes, is applied twice, and every invariant is checked after it.

use std::collections::BTreeMap;

use ledger::journal::Event;
use ledger::{
    Account, AccountNumber, Answer, Changes, Command, EncodedEntry, Entry, JournalRecord, LogTime, Outcome, RequestId,
    Stop, TransactionId, apply, apply_encoded, apply_encoded_within,
};

use crate::invariants::{self, Fold};
use crate::memory::{MemoryRecords, Unreadable};

/// The 16 bytes of a readable label: `r1`, `t7`.
fn label_bytes(label: &str) -> [u8; 16] {
    assert!(!label.is_empty() && label.len() <= 16, "a label has 1 to 16 bytes: {label}");
    let mut bytes = [0; 16];
    bytes[..label.len()].copy_from_slice(label.as_bytes());
    bytes
}

pub fn request_id(label: &str) -> RequestId {
    RequestId::from_bytes(label_bytes(label)).unwrap()
}

pub fn transaction_id(label: &str) -> TransactionId {
    TransactionId::from_bytes(label_bytes(label)).unwrap()
}

/// The label of an identifier's bytes.
pub fn label(bytes: &[u8; 16]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_string()
}

#[derive(Debug, Clone, Default)]
pub struct Book {
    pub records: MemoryRecords,
    pub index: u64,
    fold: Fold,
    /// What the last entry recorded.
    pub last_journal: Vec<JournalRecord>,
}

impl Book {
    /// Applies an entry and writes its changes, checking all that must hold for any entry.
    pub fn enter(&mut self, stamp: LogTime, commands: Vec<Command>) -> Vec<Answer> {
        self.try_enter(stamp, commands).unwrap_or_else(|stop| panic!("the node stopped: {stop}"))
    }

    /// As [`Book::enter`], for books that may be broken.
    pub fn try_enter(&mut self, stamp: LogTime, commands: Vec<Command>) -> Result<Vec<Answer>, Stop<Unreadable>> {
        let entry = Entry { version: ledger::limits::RULES_VERSION, stamp, commands };
        let bytes = entry.encode().unwrap();
        let encoded = EncodedEntry::read(&bytes).expect("an entry's head is read from its bytes");
        let entry = Entry::decode(&bytes).expect("an entry decodes from its bytes");
        self.index += 1;
        self.last_journal.clear();
        for _ in 0..1_000 {
            let applied = apply(&self.records, self.index, &entry)?;
            assert_eq!(apply(&self.records, self.index, &entry)?, applied, "I11: equal prefix, other result");
            assert_eq!(apply_encoded(&self.records, self.index, &encoded)?, applied, "I11: other from its bytes");
            let again = apply_encoded_within(applied.changes.clone(), &self.records, self.index, &encoded)?;
            assert_eq!(again, applied, "I11: other in the room of an earlier entry");
            self.last_journal.extend(applied.changes.journal.iter().cloned());
            let before = self.records.accounts.clone();
            if let [answer] = applied.answers.as_slice() {
                check_refusal(answer, &entry.commands[0], &applied.changes);
            }
            self.records.write(applied.changes);
            self.check(&before, applied.finished);
            if applied.finished {
                assert_eq!(applied.answers.len(), entry.commands.len());
                check_points(&applied.answers, self.index, stamp);
                return Ok(applied.answers);
            }
            assert!(applied.answers.is_empty(), "an unfinished step answers nothing");
        }
        panic!("an entry does not finish");
    }

    fn check(&mut self, before: &BTreeMap<AccountNumber, Account>, finished: bool) {
        invariants::check_posted_never_falls(before, &self.records.accounts);
        invariants::check(&self.records, finished);
        self.fold.advance(&self.records);
        self.fold.check_agrees(&self.records);
    }

    pub fn one(&mut self, stamp: LogTime, command: Command) -> Answer {
        self.enter(stamp, vec![command]).remove(0)
    }
}

/// Each answer has the place of its command, and times rise.
fn check_points(answers: &[Answer], index: u64, stamp: LogTime) {
    let mut last = None;
    for (position, answer) in answers.iter().enumerate() {
        assert_eq!((answer.point.index, answer.point.position as usize), (index, position));
        assert!(answer.point.time >= stamp, "a command is earlier than its entry's stamp");
        assert!(last.is_none_or(|last| answer.point.time > last), "I9: time stands still between commands");
        last = Some(answer.point.time);
    }
}

/// I10: a refusal changes nothing but the memory of its request id; what expired before it is not its doing.
fn check_refusal(answer: &Answer, command: &Command, changes: &Changes) {
    if matches!(answer.outcome, Outcome::Accepted(_)) {
        return;
    }
    let expired: Vec<TransactionId> = changes.journal.iter().filter_map(|record| record.event.transaction()).collect();
    assert!(
        changes.journal.iter().all(|record| matches!(record.event, Event::Expired { .. })),
        "I10: a refusal left a record"
    );
    assert!(changes.assets.is_empty() && changes.names.is_empty(), "I10: a refusal left a name");
    assert!(changes.transactions.keys().all(|id| expired.contains(id)), "I10: a refusal changed a transaction");
    let touched = |number| {
        changes.journal.iter().flat_map(|record| record.event.postings()).any(|posting| posting.account == number)
    };
    assert!(changes.accounts.keys().all(|number| touched(*number)), "I10: a refusal changed an account");
    let culprit = match (&answer.outcome, &command.operation) {
        (Outcome::BatchRejected { culprit, .. }, ledger::Operation::Atomic(items)) => {
            items.get(*culprit as usize).map(|item| item.request)
        }
        _ => None,
    };
    assert!(
        changes.requests.keys().all(|id| *id == command.request || Some(*id) == culprit),
        "I10: a refusal remembered another request"
    );
}
