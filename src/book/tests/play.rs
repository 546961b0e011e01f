//! The random commands of the book's tests, what the books answered, and what the core answers on
//! plain maps.

use ledger::command::{Confirm, Details, OpenAccount, Post, Posting, RegisterAsset, Reverse, SetLimits, Try};
use ledger::{
    AccountName, AccountRef, Amount, Answer, AssetCode, Balance, Class, Command, EncodedEntry, EntryWriter, Floor,
    Interval, LogTime, Operation, RequestId, Scale, Side, TransactionId,
};

use super::memory::MemoryRecords;
use super::{ACCOUNTS, Book, Committed, Payload};

pub(super) struct Random(u64);

impl Random {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ (mixed >> 27)) % bound
    }
}

fn id(number: u64) -> [u8; 16] {
    u128::from(number + 1).to_be_bytes()
}

pub(super) fn request(number: u64) -> RequestId {
    RequestId::from_bytes(id(number)).unwrap()
}

pub(super) fn transaction(number: u64) -> TransactionId {
    TransactionId::from_bytes(id(number)).unwrap()
}

fn name(number: u64) -> AccountName {
    AccountName::new(&format!("account:{number}")).unwrap()
}

pub(super) fn posting(number: u64, side: Side, amount: u64) -> Posting {
    let amount = Amount::from_minor(u128::from(amount), Scale::new(2).unwrap()).unwrap();
    Posting { account: AccountRef::Name(name(number)), side, amount, asset: None }
}

fn amount(minor: u64) -> Amount {
    Amount::from_minor(u128::from(minor), Scale::new(2).unwrap()).unwrap()
}

/// A transaction that was asked for, and its postings' amounts.
type Asked = (u64, Vec<u64>);

/// What was asked and answered, and what the core makes of it on plain maps.
pub(super) struct Play {
    pub(super) random: Random,
    pub(super) next_id: u64,
    pub(super) index: u64,
    pub(super) clock_ns: u64,
    pub(super) tried: Vec<Asked>,
    pub(super) posted: Vec<Asked>,
    /// Commands that may be repeated.
    pub(super) asked: Vec<Command>,
    pub(super) answers: Vec<(RequestId, Answer)>,
    pub(super) reference: MemoryRecords,
}

impl Play {
    pub(super) fn new(seed: u64) -> Play {
        Play {
            random: Random(seed),
            next_id: 0,
            index: 0,
            clock_ns: 1_000_000,
            tried: Vec::new(),
            posted: Vec::new(),
            asked: Vec::new(),
            answers: Vec::new(),
            reference: MemoryRecords::default(),
        }
    }

    pub(super) fn command(&mut self, operation: impl FnOnce(&mut Random, u64) -> Operation) -> Command {
        let number = self.next_id;
        self.next_id += 1;
        let operation = operation(&mut self.random, number);
        Command { request: request(number), principal: String::new(), operation }
    }

    /// A payment, mostly of two postings; sometimes two of three are on one account.
    fn pair(random: &mut Random) -> (Vec<Posting>, Vec<u64>) {
        let (debit, step) = (random.below(ACCOUNTS), 1 + random.below(ACCOUNTS - 1));
        let (first, credit) = (1 + random.below(500), (debit + step) % ACCOUNTS);
        if random.below(4) > 0 {
            let postings = vec![posting(debit, Side::Debit, first), posting(credit, Side::Credit, first)];
            return (postings, vec![first, first]);
        }
        let second = 1 + random.below(500);
        let postings = vec![
            posting(debit, Side::Debit, first),
            posting(credit, Side::Credit, first + second),
            posting(debit, Side::Debit, second),
        ];
        (postings, vec![first, first + second, second])
    }

    /// A part of a payment: of its first posting and its counterpart.
    fn part(random: &mut Random, amounts: &[u64]) -> Option<Vec<Amount>> {
        let less = random.below(amounts[0]);
        let rest = amounts.iter().enumerate().map(|(place, own)| amount(if place < 2 { own - less } else { *own }));
        Some(rest.collect())
    }

    fn post(&mut self) -> Command {
        let (postings, amounts) = Play::pair(&mut self.random);
        self.posted.push((self.next_id, amounts));
        self.command(|random, number| {
            let reference = if random.below(3) == 0 { format!("order-{}", random.below(20)) } else { String::new() };
            let details = Details { reference, ..Details::default() };
            Operation::Post(Post { transaction: transaction(number), postings, details })
        })
    }

    fn attempt(&mut self) -> Command {
        let (postings, amounts) = Play::pair(&mut self.random);
        self.tried.push((self.next_id, amounts));
        self.command(|random, number| {
            let timeout = (random.below(2) == 0).then(|| Interval(1 + random.below(60_000)));
            let (transaction, details) = (transaction(number), Details::default());
            Operation::Try(Try { transaction, postings, details, timeout })
        })
    }

    fn earlier<T: Clone>(list: &[T], random: &mut Random) -> Option<T> {
        (!list.is_empty()).then(|| list[usize::try_from(random.below(list.len() as u64)).unwrap()].clone())
    }

    fn next_command(&mut self) -> Command {
        let choice = self.random.below(26);
        let tried = Play::earlier(&self.tried, &mut self.random);
        let posted = Play::earlier(&self.posted, &mut self.random);
        let asked = Play::earlier(&self.asked, &mut self.random);
        let command = match (choice, tried, posted, asked) {
            (0..=7, ..) => self.post(),
            (8..=11, ..) => self.attempt(),
            (12..=14, Some((number, amounts)), ..) => self.command(|random, _| {
                let amounts = if random.below(3) == 0 { Play::part(random, &amounts) } else { None };
                Operation::Confirm(Confirm { transaction: transaction(number), amounts })
            }),
            (15, Some((number, _)), ..) => self.command(|_, _| Operation::Cancel(transaction(number))),
            (16..=18, _, Some((number, amounts)), _) => self.command(|random, own| {
                let (transaction, original) = (transaction(own), transaction(number));
                let amounts = if random.below(2) == 0 { Play::part(random, &amounts) } else { None };
                Operation::Reverse(Reverse { transaction, original, amounts, details: Details::default() })
            }),
            (19, ..) => self.command(|_, number| Operation::Cancel(transaction(number + 1_000_000))),
            (20, ..) => self.command(|random, _| {
                let account = AccountRef::Name(name(random.below(ACCOUNTS)));
                let ceiling = ledger::command::CeilingChange::Set(Amount::from_minor(1_000_000, Scale::ZERO).unwrap());
                Operation::SetLimits(SetLimits { account, floor: Some(Floor::Unlimited), ceiling })
            }),
            (21, ..) => self.command(|random, _| {
                let account = AccountRef::Name(name(7));
                if random.below(2) == 0 { Operation::Freeze(account) } else { Operation::Unfreeze(account) }
            }),
            // Again, under the same request id or another.
            (22, _, _, Some(asked)) => return asked,
            (23, _, _, Some(asked)) => self.command(|_, _| asked.operation),
            // Refused, or a repetition: an answer that is kept whole.
            _ => self.command(|_, _| Operation::Freeze(AccountRef::Name(name(ACCOUNTS + 5)))),
        };
        self.asked.push(command.clone());
        command
    }

    /// The commands of an entry, now and then as one atomic batch.
    pub(super) fn next_entry(&mut self) -> Vec<Command> {
        let commands: Vec<Command> = (0..self.random.below(9)).map(|_| self.next_command()).collect();
        if commands.is_empty() || self.random.below(6) > 0 {
            return commands;
        }
        vec![self.command(|_, _| Operation::Atomic(commands))]
    }

    pub(super) fn founding(&mut self) -> Vec<Command> {
        let usd = AssetCode::new("USD").unwrap();
        let scale = Scale::new(2).unwrap();
        let mut commands = vec![self.command(|_, _| Operation::RegisterAsset(RegisterAsset { code: usd, scale }))];
        for number in 0..ACCOUNTS {
            commands.push(self.command(|random, _| {
                let floor = match random.below(4) {
                    0 => Floor::AtLeast(Balance::zero(Scale::ZERO)),
                    _ => Floor::Unlimited,
                };
                let metadata = ledger::command::Metadata::new();
                let (name, class) = (name(number), Class::Liability);
                Operation::OpenAccount(Box::new(OpenAccount {
                    name,
                    asset: usd,
                    class,
                    floor,
                    ceiling: None,
                    metadata,
                }))
            }));
        }
        commands
    }

    pub(super) fn apply(&mut self, commands: &[Command], books: &[&Book]) {
        self.index += 1;
        self.clock_ns += 1 + self.random.below(10_000);
        let mut entry = EntryWriter::new(256);
        for command in commands {
            entry.push(&ledger::entry::encode_command(command).unwrap(), 1);
        }
        let bytes = entry.finish(LogTime(self.clock_ns));
        let expected = self.expected(&bytes);
        for book in books {
            let payload = Payload::Commands(&bytes);
            let answers = book.apply(Committed { index: self.index, log_id: vec![1], payload }).unwrap();
            assert_eq!(answers, expected, "the book answers otherwise than the core on plain maps");
        }
        let hashes: Vec<[u8; 32]> = books.iter().map(|book| book.meta().state_hash).collect();
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "the books differ after entry {}", self.index);
        for (command, answer) in commands.iter().zip(expected) {
            // What is asked under an id that was used says nothing new of it.
            if self.reference.requests.get(&command.request).is_some_and(|known| known.point == answer.point) {
                self.answers.push((command.request, answer));
            }
        }
    }

    /// What the core answers on plain maps.
    fn expected(&mut self, bytes: &[u8]) -> Vec<Answer> {
        let entry = EncodedEntry::read(bytes).unwrap();
        loop {
            let applied = ledger::apply_encoded(&self.reference, self.index, &entry).unwrap();
            self.reference.write(applied.changes);
            if applied.finished {
                return applied.answers;
            }
        }
    }
}
