//! Random histories that a correct ledger could have left: commands are drawn, the model answers them, clients overlap in time.
//!
//! Few accounts, transactions and request ids, so that collisions are the rule. Some operations end unknown, with or without having taken
//! effect, and are repeated at the end, as a runner does. Everything follows from the seed.

use std::collections::BTreeMap;

use folio_checker::history::*;
use folio_checker::model::{Model, shape};

/// SplitMix64: a few lines, the same on every machine.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// The seed of a test: `FOLIO_CHECKER_SEED`, or the test's own.
pub fn seed(default: u64) -> u64 {
    let seed = std::env::var("FOLIO_CHECKER_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    println!("seed {seed}: repeat with FOLIO_CHECKER_SEED={seed}");
    seed
}

struct Drawing {
    random: Random,
    accounts: u64,
    transactions: u64,
    fresh: u128,
    used: Vec<Write>,
}

fn account(number: u64) -> String {
    format!("accounts:{number}")
}

fn posting(account: String, side: Side, amount: &str) -> Posting {
    Posting { account, side, amount: amount.to_owned(), asset: None }
}

impl Drawing {
    fn id(&mut self) -> Id {
        self.fresh += 1;
        Id(self.fresh << 32)
    }

    fn amount(&mut self) -> String {
        let units = self.random.below(2_000) + 1;
        format!("{}.{:02}", units / 100, units % 100)
    }

    fn transaction(&mut self) -> Id {
        Id(u128::from(self.random.below(self.transactions)) + 1)
    }

    fn postings(&mut self) -> Vec<Posting> {
        let from = self.random.below(self.accounts);
        let to = (from + 1 + self.random.below(self.accounts - 1)) % self.accounts;
        let amount = self.amount();
        let mut postings =
            vec![posting(account(from), Side::Debit, &amount), posting(account(to), Side::Credit, &amount)];
        if self.random.one_in(20) {
            postings[1].amount = self.amount();
        }
        postings
    }

    fn parts(&mut self) -> Option<Vec<String>> {
        self.random.one_in(3).then(|| {
            let amount = self.amount();
            vec![amount.clone(), amount]
        })
    }

    fn command(&mut self) -> Command {
        let account = account(self.random.below(self.accounts + 1));
        match self.random.below(40) {
            0 => Command::Freeze { account },
            1..=2 => Command::Unfreeze { account },
            3 => Command::SetLimits {
                account,
                floor: Some(FloorText::AtLeast(format!("-{}", self.random.below(50)))),
                ceiling: CeilingChange::Keep,
            },
            4 => Command::SetLimits { account, floor: None, ceiling: CeilingChange::Set(self.amount() + "0") },
            5 => Command::SetLimits { account, floor: None, ceiling: CeilingChange::Remove },
            6 => Command::Close { account: format!("spare:{}", self.random.below(4)) },
            7 => Command::OpenAccount {
                name: format!("spare:{}", self.random.below(4)),
                asset: "USD".to_owned(),
                class: AccountClass::Income,
                floor: None,
                ceiling: None,
                metadata: BTreeMap::new(),
            },
            8 => Command::RegisterAsset { code: "JPY".to_owned(), scale: u32::from(self.random.one_in(4)) },
            9..=16 => {
                let details = Details { reference: "order".to_owned(), ..Details::default() };
                Command::Post { transaction: None, postings: self.postings(), details }
            }
            17..=18 => Command::Post {
                transaction: Some(self.transaction()),
                postings: self.postings(),
                details: Details::default(),
            },
            19..=26 => Command::Try {
                transaction: Some(self.transaction()),
                postings: self.postings(),
                details: Details::default(),
                timeout_ns: (!self.random.one_in(3)).then_some(self.random.below(2_000) + 20),
            },
            27..=31 => Command::Confirm { transaction: self.transaction(), amounts: self.parts() },
            32..=36 => Command::Cancel { transaction: self.transaction() },
            _ => Command::Reverse {
                transaction: None,
                original: self.transaction(),
                amounts: self.parts(),
                details: Details::default(),
            },
        }
    }

    fn write(&mut self) -> Write {
        loop {
            let write = match self.random.below(12) {
                // The same request again, or its id with other content.
                0 if !self.used.is_empty() => {
                    let position = self.random.below(self.used.len() as u64) as usize;
                    self.used[position].clone()
                }
                1 if !self.used.is_empty() => {
                    let position = self.random.below(self.used.len() as u64) as usize;
                    Write { request_id: self.used[position].request_id, command: self.command() }
                }
                _ => {
                    let request_id = self.id();
                    Write { request_id, command: self.command() }
                }
            };
            if shape::check(&write).is_ok() {
                self.used.push(write.clone());
                return write;
            }
        }
    }

    fn call(&mut self) -> Call {
        match self.random.below(16) {
            0..=2 => {
                let consistency = match self.random.below(3) {
                    0 => Consistency::Stale,
                    _ => Consistency::Linearizable,
                };
                let query = match self.random.below(6) {
                    0..=2 => Query::Account(account(self.random.below(self.accounts))),
                    3 => Query::Transaction(self.transaction()),
                    4 if !self.used.is_empty() => {
                        let position = self.random.below(self.used.len() as u64) as usize;
                        Query::RequestOutcome(self.used[position].request_id)
                    }
                    _ => Query::TrialBalance,
                };
                Call::Read(Read { consistency, query })
            }
            3 => Call::Batch((0..self.random.below(4) + 1).map(|_| self.write()).collect()),
            4 => {
                let request_id = self.id();
                Call::Atomic(AtomicBatch {
                    request_id,
                    items: (0..self.random.below(4) + 1).map(|_| self.write()).collect(),
                })
            }
            _ => Call::Write(self.write()),
        }
    }
}

fn opening(drawing: &mut Drawing) -> Vec<Call> {
    let mut commands = vec![Command::RegisterAsset { code: "USD".to_owned(), scale: 2 }];
    for number in 0..drawing.accounts {
        commands.push(Command::OpenAccount {
            name: account(number),
            asset: "USD".to_owned(),
            class: if number == 0 { AccountClass::Asset } else { AccountClass::Liability },
            floor: (number == 0).then_some(FloorText::Unlimited),
            ceiling: None,
            metadata: BTreeMap::new(),
        });
    }
    commands.into_iter().map(|command| Call::Write(Write { request_id: drawing.id(), command })).collect()
}

/// Whether an operation's answer is lost, and whether it took effect all the same.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Heard,
    LostAfter,
    LostBefore,
}

/// Draws a history of about so many operations.
pub fn history(seed: u64, operations: usize, accounts: u64, transactions: u64) -> History {
    let mut drawing = Drawing { random: Random(seed), accounts, transactions, fresh: 0, used: Vec::new() };
    let mut calls = opening(&mut drawing);
    let opened = calls.len();
    while calls.len() < operations {
        let call = drawing.call();
        calls.push(call);
    }
    let mut random = Random(seed ^ 0x5eed);
    let mut fates = vec![Fate::Heard; calls.len()];
    for fate in fates.iter_mut().skip(opened) {
        *fate = match random.below(40) {
            0 => Fate::LostAfter,
            1 => Fate::LostBefore,
            _ => Fate::Heard,
        };
    }
    // What was lost is repeated at the end, twice.
    for _ in 0..2 {
        for position in 0..fates.len() {
            if fates[position] != Fate::Heard && !matches!(calls[position], Call::Read(_)) {
                calls.push(calls[position].clone());
            }
        }
    }
    fates.resize(calls.len(), Fate::Heard);
    answer_all(calls, &fates, &mut random)
}

fn answer_all(calls: Vec<Call>, fates: &[Fate], random: &mut Random) -> History {
    let (completions, dump) = {
        let mut log = Log { model: Model::new(), index: 1, position: 0, time_ns: 0, read: false };
        let completions: Vec<Completion> = calls
            .iter()
            .zip(fates)
            .map(|(call, fate)| match fate {
                Fate::LostBefore => Completion::Unknown("connection refused".to_owned()),
                Fate::LostAfter => {
                    log.answer(call, random);
                    Completion::Unknown("deadline passed".to_owned())
                }
                Fate::Heard => log.answer(call, random),
            })
            .collect();
        (completions, log.dump())
    };
    let dumps = (1..=3).map(|replica| ReplicaDump { replica, ..dump.clone() }).collect();
    let operations = calls
        .into_iter()
        .zip(completions)
        .enumerate()
        .map(|(number, (call, completion))| {
            let point_ns = 1_000 + number as u64 * 10;
            Operation {
                process: (number % 4) as u32,
                invoked_ns: point_ns - random.below(19),
                completed_ns: point_ns + random.below(19),
                call,
                completion,
            }
        })
        .collect();
    History { operations, dumps, ..History::default() }
}

struct Log<'history> {
    model: Model<'history>,
    index: u64,
    position: u32,
    time_ns: u64,
    /// A read has seen the present entry, so it is complete.
    read: bool,
}

impl<'history> Log<'history> {
    fn next(&mut self, random: &mut Random) -> LogPoint {
        if self.read || random.one_in(4) {
            self.index += 1 + random.below(2);
            self.position = 0;
            self.read = false;
        } else {
            self.position += 1;
        }
        self.time_ns += 1 + random.below(30);
        LogPoint { place: Place { index: self.index, position: self.position }, time_ns: self.time_ns }
    }

    fn answer(&mut self, call: &'history Call, random: &mut Random) -> Completion {
        match call {
            Call::Write(write) => {
                let at = self.next(random);
                Completion::Answered(self.model.write(at, write))
            }
            Call::Batch(items) => {
                let answers = items.iter().map(|write| {
                    let at = self.next(random);
                    self.model.write(at, write)
                });
                Completion::Batch(answers.collect())
            }
            Call::Atomic(batch) => {
                let at = self.next(random);
                let answer = self.model.atomic(at, batch);
                if matches!(answer.outcome, AtomicOutcome::Applied(_)) && answer.replay_of.is_none() {
                    self.time_ns += batch.items.len() as u64;
                }
                Completion::Atomic(answer)
            }
            Call::Read(read) => {
                self.read = true;
                let value = self.model.read(&read.query);
                Completion::Read(ReadAnswer { index: self.index, time_ns: self.time_ns, value })
            }
        }
    }

    fn dump(&self) -> ReplicaDump {
        ReplicaDump {
            replica: 0,
            index: self.index,
            time_ns: self.time_ns,
            state_hash: "the hash".to_owned(),
            journal_sequence: self.model.journal_sequence(),
            accounts: self.model.accounts(),
            journal: Vec::new(),
        }
    }
}
