//! The book against what was asked of it: random commands over a book whose bounds are so small that it writes runs, pages and holds all the time, with views of earlier moments,
//! restarts, and a second book that is never restarted. Beside both, the core works on plain maps: what the book answers and remembers is what they do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ledger::command::{Details, Try};
use ledger::journal::JournalSequence;
use ledger::{
    Account, AccountNumber, Answer, Command, Floor, Interval, LogTime, Operation, Outcome, RequestBody, RequestId,
    Side, TransactionId, TransactionState,
};

// The core's own tests work on the same plain maps; not all that they need is needed here.
#[allow(dead_code, unreachable_pub)]
#[path = "../ledger/tests/book/memory.rs"]
mod memory;
mod play;

use memory::MemoryRecords;
use play::{Play, posting, transaction};

use super::view::BookView;
use super::{Book, Bounds, Committed, Payload};
use crate::store::memory::MemoryEngine;
use crate::store::{self, Engine, EngineKind};

const SMALL: Bounds =
    Bounds { unsynced_bytes: 8 * 1024, batch_bytes: 2_000, tail_ids: 24, tail_postings: 32, cycle_records: 40 };
const ACCOUNTS: u64 = 150;

/// What the book's last view says is what the plain maps hold: of everything, or of one record in so many.
fn check_against_reference(view: &BookView, reference: &MemoryRecords, one_in: usize) {
    assert_eq!(view.meta().head, reference.head);
    let accounts: BTreeMap<AccountNumber, Account> =
        (0..).map(AccountNumber).zip(view.all_accounts().unwrap()).collect();
    assert_eq!(accounts, reference.accounts);
    for (id, record) in reference.transactions.iter().step_by(one_in) {
        assert_eq!(view.transaction(id).unwrap().as_ref(), Some(record), "transaction {id}");
    }
    for (id, record) in reference.requests.iter().step_by(one_in) {
        assert_eq!(view.request(id).unwrap().as_ref(), Some(record), "request {id}");
    }
    let last = view.last_sequence().0;
    let journal = view.journal_range(1..=last).unwrap().map(Result::unwrap);
    assert!(journal.eq(reference.journal.values().cloned()), "the journal differs");
    let open = reference.transactions.values().filter(|record| record.state == TransactionState::Tried);
    let open: BTreeMap<JournalSequence, Option<LogTime>> =
        open.map(|one| (one.created.unwrap(), one.deadline)).collect();
    let found = view.holds_from(JournalSequence(0)).unwrap().map(Result::unwrap);
    assert_eq!(found.map(|(sequence, hold)| (sequence, hold.deadline)).collect::<BTreeMap<_, _>>(), open);
    // A walk goes on from where a page ended.
    for first in open.keys().step_by(open.len() / 5 + 1).flat_map(|sequence| [sequence.0, sequence.0 + 1]) {
        let found = view.holds_from(JournalSequence(first)).unwrap().map(|hold| hold.unwrap().0);
        assert!(found.eq(open.range(JournalSequence(first)..).map(|(sequence, _)| *sequence)), "holds from {first}");
    }
    assert_eq!(view.earliest_deadline(), reference.holds.first().map(|(deadline, _)| *deadline));
}

/// What a book must say of itself, from its journal alone.
fn check_against_journal(view: &BookView) -> HashMap<TransactionId, TransactionState> {
    let last = view.last_sequence().0;
    let mut postings: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    let mut totals = HashMap::new();
    let mut states = HashMap::new();
    let mut open = BTreeMap::new();
    let mut references: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut expected = 1;
    let mut reader = view.journal_reader();
    let mut times: BTreeMap<u64, u64> = BTreeMap::from([(0, 0)]);
    for record in view.journal_range(1..=last).unwrap() {
        let record = record.unwrap();
        // Onward, back, and far ahead.
        for sequence in [record.sequence.0, record.sequence.0 / 2 + 1, last - record.sequence.0 / 3] {
            assert_eq!(reader.known(JournalSequence(sequence)).unwrap().sequence.0, sequence);
        }
        assert_eq!(reader.known(record.sequence).unwrap(), record);
        times.insert(record.point.time.0, record.sequence.0);
        assert_eq!(record.sequence.0, expected);
        assert_eq!(view.journal(record.sequence).unwrap().as_ref(), Some(&record));
        expected += 1;
        for posting in record.event.postings() {
            let list = postings.entry(posting.account.0).or_default();
            if list.last() != Some(&record.sequence.0) {
                list.push(record.sequence.0);
            }
            totals.insert(posting.account.0, posting.totals);
        }
        if let Some(details) = record.event.details().filter(|details| !details.reference.is_empty()) {
            references.entry(details.reference.clone()).or_default().push(record.sequence.0);
        }
        let Some(transaction) = record.event.transaction() else { continue };
        let (state, is_open) = match &record.event {
            ledger::Event::Tried { .. } => (TransactionState::Tried, true),
            ledger::Event::Cancelled { .. } | ledger::Event::CancelledEmpty(_) => (TransactionState::Cancelled, false),
            ledger::Event::Expired { .. } => (TransactionState::Expired, false),
            _ => (TransactionState::Confirmed, false),
        };
        let before = states.insert(transaction, state);
        if is_open {
            open.insert(record.sequence, transaction);
        } else if before == Some(TransactionState::Tried) {
            open.retain(|_, held| *held != transaction);
        }
    }
    assert_eq!(expected, last + 1);
    for time in times.keys().flat_map(|time| [time.saturating_sub(1), *time, *time + 1]) {
        let (_, sequence) = times.range(..=time).next_back().unwrap();
        assert_eq!(view.sequence_at(ledger::LogTime(time)).unwrap().0, *sequence, "at {time}");
    }
    let accounts = view.all_accounts().unwrap();
    for (number, account) in (0u32..).zip(&accounts) {
        let asked: Account = view.account(AccountNumber(number)).unwrap().unwrap();
        assert_eq!(asked, *account, "account {number}");
        assert_eq!(totals.get(&number).copied().unwrap_or(ledger::Totals::zero(account.scale)), account.totals);
        let wanted = postings.remove(&number).unwrap_or_default();
        if let Some((in_memory, posted)) = view.account_in_memory(AccountNumber(number)) {
            assert_eq!((in_memory, Some(&posted.0)), (*account, wanted.last()), "account {number}");
        }
        let found = view.postings(AccountNumber(number), 0..=last);
        assert_eq!(found.map(|sequence| sequence.unwrap().0).collect::<Vec<u64>>(), wanted);
        let middle = JournalSequence(last / 2);
        let newest = wanted.iter().rfind(|sequence| **sequence <= middle.0).copied().map(JournalSequence);
        assert_eq!(view.last_posting(AccountNumber(number), middle).unwrap(), newest);
    }
    for (reference, wanted) in &references {
        let found = view.references(reference, JournalSequence(0));
        assert_eq!(found.map(|sequence| sequence.unwrap().0).collect::<Vec<u64>>(), *wanted, "{reference}");
    }
    let holds: Vec<_> = view.holds_from(JournalSequence(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(holds.iter().map(|(sequence, hold)| (*sequence, hold.transaction)).collect::<BTreeMap<_, _>>(), open);
    assert!(holds.is_sorted_by_key(|(sequence, _)| *sequence));
    states
}

/// What a view has in memory of each account.
fn in_memory(view: &BookView) -> Vec<Option<(Account, JournalSequence)>> {
    let numbers = 0..u32::try_from(ACCOUNTS).unwrap();
    numbers.map(|number| view.account_in_memory(AccountNumber(number))).collect()
}

/// What a book must remember of requests and transactions.
fn check_memory(view: &BookView, answers: &[(RequestId, Answer)], states: &HashMap<TransactionId, TransactionState>) {
    for (request, answer) in answers {
        let known = view.request(request).unwrap();
        if answer.point.index > view.index() {
            assert_eq!(known, None, "the view shows request {request}, which came after it");
            continue;
        }
        let known = known.unwrap_or_else(|| panic!("request {request} is forgotten"));
        assert_eq!(known.point, answer.point);
        match known.body {
            RequestBody::Booked(sequence) => {
                assert_eq!((Some(sequence), answer.replay_of), (answer.sequence, None));
                assert!(matches!(answer.outcome, Outcome::Accepted(_)));
            }
            RequestBody::Kept(kept) => assert_eq!(kept.outcome, answer.outcome),
        }
        let transaction = TransactionId::from_bytes(*request.as_bytes()).unwrap();
        assert_eq!(
            view.transaction(&transaction).unwrap().map(|record| record.state),
            states.get(&transaction).copied()
        );
    }
}

fn check(view: &BookView, play: &Play) {
    let states = check_against_journal(view);
    check_memory(view, &play.answers, &states);
}

/// What a view showed, to be asked for later.
struct Earlier {
    last: JournalSequence,
    accounts: Vec<Account>,
    /// Of some transactions: each costs a look into the runs.
    states: Vec<(TransactionId, Option<TransactionState>)>,
}

impl Earlier {
    fn of(view: &BookView, play: &Play) -> Earlier {
        let ids = play.answers.iter().step_by(16);
        let ids = ids.map(|(request, _)| TransactionId::from_bytes(*request.as_bytes()).unwrap());
        let state = |id| (id, view.transaction(&id).unwrap().map(|record| record.state));
        let accounts = view.all_accounts().unwrap();
        Earlier { last: view.last_sequence(), accounts, states: ids.map(state).collect() }
    }

    /// What a later view tells of it, and of how many accounts it was not sure and told something else.
    fn check(&self, later: &BookView) -> usize {
        let mut unsure = 0;
        for number in 0..u32::try_from(later.all_accounts().unwrap().len()).unwrap() {
            let past = later.account_at(AccountNumber(number), self.last).unwrap();
            let Some(was) = self.accounts.get(usize::try_from(number).unwrap()) else {
                assert_eq!(past, None, "account {number} was opened later");
                continue;
            };
            let past = past.unwrap();
            // It is unsure of what was changed only if a change may have been before the returned record.
            assert!(past.unsure_until.is_none_or(|until| until > self.last));
            let known = if past.unsure_until.is_none() { *was } else { Account { totals: was.totals, ..past.account } };
            assert_eq!(past.account, known, "account {number} as of {:?}", self.last);
            unsure += usize::from(past.account != *was);
        }
        for (id, was) in &self.states {
            let state = later.transaction_at(id, self.last).unwrap().map(|record| record.state);
            assert_eq!(state, *was, "transaction {id} as of {:?}", self.last);
        }
        unsure
    }
}

/// Plays entries on two books; the first is opened anew now and then by `reopen`, which also tells what that leaves of its engine.
fn play(entries: u64, engine: Arc<dyn Engine>, mut reopen: impl FnMut(Arc<dyn Engine>) -> Arc<dyn Engine>) {
    let seed = std::env::var("FOLIO_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(11);
    println!("FOLIO_SEED={seed}");
    let mut play = Play::new(seed);
    let mut engine = engine;
    let mut book = Book::open_with(Arc::clone(&engine), SMALL).unwrap();
    let witness = Book::open(Arc::new(MemoryEngine::new())).unwrap();
    let founding = play.founding();
    play.apply(&founding, &[&book, &witness]);
    let mut views: Vec<BookView> = Vec::new();
    let mut earlier: Vec<Earlier> = Vec::new();
    for number in 0..entries {
        let commands = play.next_entry();
        let before = witness.view();
        let shown = in_memory(&before);
        play.apply(&commands, &[&book, &witness]);
        assert!(in_memory(&before) == shown, "an entry changed what a view of the moment before shows");
        if play.random.below(entries / 9) == 0 {
            views.push(book.view());
            earlier.push(Earlier::of(&book.view(), &play));
        }
        if play.random.below(entries / 6) == 0 {
            views.iter().for_each(|view| check(view, &play));
            views.clear();
            // A book that was not started since remembers all, one that was says what it does not.
            for earlier in earlier.drain(..) {
                assert_eq!(earlier.check(&witness.view()), 0);
                earlier.check(&book.view());
            }
            earlier.push(Earlier::of(&book.view(), &play));
            drop(book);
            engine = reopen(engine);
            book = Book::open_with(Arc::clone(&engine), SMALL).unwrap();
            assert_eq!(book.meta(), Book::open_with(Arc::clone(&engine), SMALL).unwrap().meta());
            check(&book.view(), &play);
            check_against_reference(&book.view(), &play.reference, 5);
        }
        assert!(book.meta().index == number + 2);
    }
    check(&book.view(), &play);
    check(&witness.view(), &play);
    check_against_reference(&book.view(), &play.reference, 1);
    let known = in_memory(&witness.view()).into_iter().flatten().count();
    assert!(known > 100, "{known} accounts of a book that never stopped are in memory with their last posting");
    assert!(play.answers.len() as u64 > 2 * entries, "{} answers", play.answers.len());
}

/// A build without optimization takes ten times as long.
const ENTRIES: u64 = if cfg!(debug_assertions) { 250 } else { 700 };

#[test]
fn a_book_says_the_same_now_later_and_after_any_restart() {
    play(ENTRIES, Arc::new(MemoryEngine::new()), |engine| engine);
}

#[test]
fn a_book_on_disk_says_the_same_after_any_restart() {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &std::path::Path| store::open(EngineKind::default(), path).unwrap();
    play(ENTRIES * 4 / 7, open(folder.path()), |engine| {
        engine.sync().unwrap();
        drop(engine);
        open(folder.path())
    });
}

/// An engine that looks, before each write, at what the book shows meanwhile.
struct Watched {
    inner: MemoryEngine,
    book: std::sync::OnceLock<std::sync::Weak<Book>>,
    shown: std::sync::Mutex<Vec<(u64, JournalSequence)>>,
}

impl Engine for Watched {
    fn kind(&self) -> EngineKind {
        self.inner.kind()
    }
    fn create_space(&self, id: &store::SpaceId) -> Result<store::Space, store::StoreError> {
        self.inner.create_space(id)
    }
    fn space(&self, id: &store::SpaceId) -> Option<store::Space> {
        self.inner.space(id)
    }
    fn spaces(&self) -> Vec<store::SpaceId> {
        self.inner.spaces()
    }
    fn drop_space(&self, id: &store::SpaceId) -> Result<(), store::StoreError> {
        self.inner.drop_space(id)
    }
    fn ingest(&self, id: &store::SpaceId, pairs: store::Pairs<'_>) -> Result<store::Space, store::StoreError> {
        self.inner.ingest(id, pairs)
    }
    fn write(&self, batch: &store::Batch) -> Result<(), store::StoreError> {
        if let Some(book) = self.book.get().and_then(std::sync::Weak::upgrade) {
            let view = book.view();
            self.shown.lock().unwrap().push((view.index(), view.last_sequence()));
        }
        self.inner.write(batch)
    }
    fn sync(&self) -> Result<(), store::StoreError> {
        self.inner.sync()
    }
    fn view(&self) -> Result<Arc<dyn store::View>, store::StoreError> {
        self.inner.view()
    }
}

#[test]
fn readers_see_an_entry_that_is_applied_in_steps_whole_or_not_at_all() {
    let engine = Arc::new(Watched { inner: MemoryEngine::new(), book: Default::default(), shown: Default::default() });
    let book = Arc::new(Book::open(Arc::<Watched>::clone(&engine)).unwrap());
    let mut play = Play::new(1);
    let founding = play.founding();
    play.apply(&founding, &[&book]);
    let has_room = |number: &u64| {
        let number = AccountNumber(u32::try_from(*number).unwrap());
        book.view().account(number).unwrap().unwrap().floor == Floor::Unlimited
    };
    let debited = (0..ACCOUNTS).find(has_room).unwrap();
    let holds = ledger::limits::MAX_EXPIRIES_PER_STEP * 2 + 1;
    let tries: Vec<Command> = (0..holds)
        .map(|_| {
            play.command(|_, number| {
                let postings = vec![posting(debited, Side::Debit, 1), posting(debited + 1, Side::Credit, 1)];
                let (transaction, timeout) = (transaction(number), Some(Interval(100_000_000)));
                Operation::Try(Try { transaction, postings, details: Details::default(), timeout })
            })
        })
        .collect();
    play.apply(&tries, &[&book]);
    let before = (book.view().index(), book.view().last_sequence());
    let open = book.view().holds_from(JournalSequence(0)).unwrap().count();
    assert!(open > ledger::limits::MAX_EXPIRIES_PER_STEP * 2, "{open} holds are open");
    engine.book.set(Arc::downgrade(&book)).unwrap();
    play.clock_ns += 1_000_000_000;
    play.apply(&[], &[&book]);
    let shown = std::mem::take(&mut *engine.shown.lock().unwrap());
    assert_eq!(shown, [before; 3], "one look for each step");
    assert_eq!(book.view().holds_from(JournalSequence(0)).unwrap().count(), 0);
    check_against_journal(&book.view());
}
