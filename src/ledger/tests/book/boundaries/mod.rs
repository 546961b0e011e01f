//! Every limit and every deadline, one minor unit or one nanosecond before it, on it and past it,
//! by table.
//!
//! What is expected is worked out here in plain integers; only the answers and the totals come from
//! the core. A bound that is off by one, in either direction, for either sign, at any scale, fails
//! here. Each file walks one family of bounds.

mod deadlines;
mod limits;
mod range;
mod shapes;
mod shares;

use ledger::{AccountName, Answer, Command, LogTime, Outcome};

use crate::harness::{Book, request_id};
use crate::model::text;
use crate::script::parse_command;
use crate::script_text::rejection;

/// One before the bound, on it, and one past it.
pub const STEPS: [i128; 3] = [-1, 0, 1];
/// The scales that the tables walk: none, cents, satoshis, wei.
pub const SCALES: [u32; 4] = [0, 2, 8, 18];
/// All classes, and the side on which each grows, with the other.
pub const CLASSES: [(&str, &str, &str); 5] = [
    ("asset", "debit", "credit"),
    ("expense", "debit", "credit"),
    ("liability", "credit", "debit"),
    ("equity", "credit", "debit"),
    ("income", "credit", "debit"),
];

/// What an account holds, in minor units, worked out from its four totals here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    pub posted: i128,
    /// Pending on the side on which the account grows.
    pub incoming: i128,
    /// Pending on the other side.
    pub outgoing: i128,
}

impl Figures {
    pub fn available(self) -> i128 {
        self.posted - self.outgoing
    }

    pub fn expected(self) -> i128 {
        self.posted + self.incoming
    }
}

/// A book with one asset, `AST`, and the account `out`, which has no limits.
#[derive(Clone)]
pub struct World {
    pub book: Book,
    pub scale: u32,
    pub stamp: LogTime,
    asked: u32,
}

impl World {
    pub fn new(scale: u32) -> World {
        let mut world = World { book: Book::default(), scale, stamp: LogTime(0), asked: 0 };
        world.must(&format!("asset AST {scale}"));
        world.must("open out asset AST floor unlimited");
        world
    }

    /// So many minor units, as text.
    pub fn units(&self, minor: i128) -> String {
        text(minor, self.scale)
    }

    /// A command of a script's line, under a fresh request id.
    pub fn command(&mut self, line: &str) -> Command {
        self.asked += 1;
        Command { request: request_id(&format!("b-{}", self.asked)), ..parse_command(line) }
    }

    pub fn answer(&mut self, line: &str) -> Answer {
        let command = self.command(line);
        self.book.one(self.stamp, command)
    }

    /// Asks, and says why it was refused if it was.
    pub fn ask(&mut self, line: &str) -> Result<(), String> {
        match self.answer(line).outcome {
            Outcome::Accepted(_) => Ok(()),
            Outcome::Rejected(refusal) => Err(rejection(&refusal)),
            Outcome::BatchRejected { .. } => panic!("{line} is no batch"),
        }
    }

    pub fn must(&mut self, line: &str) {
        self.ask(line).unwrap_or_else(|refusal| panic!("{line}: {refusal}"));
    }

    /// What an account holds; its last two words say on which side it grows.
    pub fn figures(&self, name: &str, grows: &str) -> Figures {
        let number = self.book.records.names[&AccountName::new(name).unwrap()];
        let totals = self.book.records.accounts[&number].totals;
        let minor = |amount: ledger::Amount| i128::try_from(amount.mantissa()).unwrap();
        let debit = [minor(totals.debits_posted), minor(totals.debits_pending)];
        let credit = [minor(totals.credits_posted), minor(totals.credits_pending)];
        let (own, other) = if grows == "debit" { (debit, credit) } else { (credit, debit) };
        Figures { posted: own[0] - other[0], incoming: own[1], outgoing: other[1] }
    }
}

/// The outcome that a table expects: accepted, or refused in these words.
pub fn expected(accepted: bool, refusal: impl FnOnce() -> String) -> Result<(), String> {
    if accepted { Ok(()) } else { Err(refusal()) }
}
