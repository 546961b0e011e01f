//! Scripts: a text of commands with the answers that the book gives to them, through one [`check`].
//!
//! A line is a command, an answer (it begins with `->`), a direction to the book, a comment (`#`) or blank. [`check`] drops the answers, runs the
//! rest, and compares what comes out with the file. With `UPDATE_SCRIPTS=1` it writes the file instead: read the difference then.
//!
//! ```text
//! use standard                       runs scripts/standard.txt first, silently
//! at 10s                             the stamp of all entries that follow (until then 0)
//! r1: try t1 debit alice 5.00 credit bob 5.00 timeout 10s
//! entry … end                        the commands between are one log entry
//! r2: atomic … end                   the commands between are one atomic batch
//! tick                               an entry without commands
//! show alice                         its balances;  show t1  a transaction's state;  journal 4  the records from 4
//! ```
//! A command without `label:` gets a fresh request id. `#3` is an account by number; `x*129` is 129 times `x`.

use std::path::PathBuf;

use ledger::account::{Class, Floor, Side};
use ledger::command::{
    CeilingChange, Confirm, Details, Metadata, OpenAccount, Post, Posting, RegisterAsset, Reverse, SetLimits, Try,
};
use ledger::journal::JournalSequence;
use ledger::{
    AccountName, AccountNumber, AccountRef, Amount, Answer, AssetCode, Balance, Command, EffectiveAt, LogTime,
    Operation, Scale,
};

use crate::harness::{Book, request_id, transaction_id};
use crate::script_text::{account, answer, journal, parse_interval, parse_time};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join("scripts")
}

/// Runs `scripts/NAME.txt` and compares it with what the book answers.
pub fn check(name: &str) -> Book {
    let path = folder().join(format!("{name}.txt"));
    let expected = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut run = Run::default();
    run.text(&expected);
    if run.output != expected {
        if std::env::var_os("UPDATE_SCRIPTS").is_some() {
            std::fs::write(&path, &run.output).unwrap();
        } else {
            panic!("script {name} differs; UPDATE_SCRIPTS=1 rewrites it:\n{}", difference(&expected, &run.output));
        }
    }
    run.book
}

/// Runs a script and gives the book that it leaves.
pub fn run(script: &str) -> Book {
    let mut run = Run::default();
    run.text(script);
    run.book
}

/// One command, under a fresh request id.
pub fn parse_command(text: &str) -> Command {
    let (command, _) = Run::default().command(text, &mut std::iter::empty());
    Command { request: request_id("fresh"), ..command }
}

/// The first lines that differ, with what came before them.
fn difference(expected: &str, found: &str) -> String {
    let (expected, found): (Vec<_>, Vec<_>) = (expected.lines().collect(), found.lines().collect());
    let same = expected.iter().zip(&found).take_while(|(left, right)| left == right).count();
    let from = same.saturating_sub(4);
    let show =
        |lines: &[&str]| lines.iter().skip(from).take(10).map(|line| format!("    {line}\n")).collect::<String>();
    format!("  line {}, the script says:\n{}  the book says:\n{}", same + 1, show(&expected), show(&found))
}

/// The words of a line, taken from the left.
struct Words<'l> {
    line: &'l str,
    words: std::iter::Peekable<std::str::SplitWhitespace<'l>>,
}

impl<'l> Words<'l> {
    fn of(line: &'l str) -> Words<'l> {
        Words { line, words: line.split_whitespace().peekable() }
    }

    fn next(&mut self) -> &'l str {
        self.words.next().unwrap_or_else(|| panic!("a word is missing: {}", self.line))
    }

    /// The next word if it is `word`.
    fn take(&mut self, word: &str) -> bool {
        self.words.next_if_eq(&word).is_some()
    }

    /// The word after `word`, if `word` is next.
    fn option(&mut self, word: &str) -> Option<&'l str> {
        self.take(word).then(|| self.next())
    }

    fn end(mut self) {
        assert_eq!(self.words.next(), None, "this is too much: {}", self.line);
    }
}

/// `x*129` is 129 times `x`.
fn expand(word: &str) -> String {
    match word.split_once('*') {
        Some((unit, count)) => unit.repeat(count.parse().unwrap()),
        None => word.to_string(),
    }
}

fn amount(text: &str) -> Amount {
    Amount::parse(text).unwrap_or_else(|error| panic!("{text} {error}"))
}

fn floor(text: &str) -> Floor {
    match text {
        "unlimited" => Floor::Unlimited,
        least => Floor::AtLeast(Balance::parse(least).unwrap_or_else(|error| panic!("{least} {error}"))),
    }
}

fn account_ref(word: &str) -> AccountRef {
    match word.strip_prefix('#') {
        Some(number) => AccountRef::Number(AccountNumber(number.parse().unwrap())),
        None => AccountRef::Name(AccountName::new(word).unwrap()),
    }
}

fn class(word: &str) -> Class {
    match word {
        "asset" => Class::Asset,
        "liability" => Class::Liability,
        "equity" => Class::Equity,
        "income" => Class::Income,
        "expense" => Class::Expense,
        other => panic!("not a class: {other}"),
    }
}

fn metadata(words: &mut Words<'_>) -> Metadata {
    let mut pairs = Metadata::new();
    while let Some(pair) = words.option("meta") {
        let (key, value) = pair.split_once('=').unwrap();
        pairs.insert(expand(key), expand(value));
    }
    if let Some(count) = words.option("pairs") {
        pairs.extend((0..count.parse::<u32>().unwrap()).map(|number| (format!("key-{number}"), String::new())));
    }
    pairs
}

fn postings(words: &mut Words<'_>) -> Vec<Posting> {
    let mut postings = Vec::new();
    loop {
        let side = match (words.take("debit"), words.take("credit")) {
            (true, _) => Side::Debit,
            (false, true) => Side::Credit,
            (false, false) => break,
        };
        let (account, times) = (account_ref(words.next()), words.option("times"));
        let (amount, asset) = (amount(words.next()), words.option("in").map(|code| AssetCode::new(code).unwrap()));
        for _ in 0..times.map_or(1, |times| times.parse().unwrap()) {
            postings.push(Posting { account: account.clone(), side, amount, asset });
        }
    }
    postings
}

fn details(words: &mut Words<'_>) -> Details {
    let reference = words.option("ref").map(expand).unwrap_or_default();
    let metadata = metadata(words);
    let effective_at = words.option("effective").map(|text| EffectiveAt(text.parse().unwrap()));
    Details { reference, metadata, effective_at }
}

fn amounts(words: &mut Words<'_>) -> Option<Vec<Amount>> {
    if !words.take("amounts") {
        return None;
    }
    let mut amounts = Vec::new();
    while let Some(text) = words.words.next_if(|word| word.starts_with(|first: char| first.is_ascii_digit())) {
        let times = words.option("times").map_or(1, |times| times.parse().unwrap());
        amounts.extend(std::iter::repeat_n(amount(text), times));
    }
    Some(amounts)
}

fn operation(words: &mut Words<'_>) -> Operation {
    match words.next() {
        "asset" => Operation::RegisterAsset(RegisterAsset {
            code: AssetCode::new(words.next()).unwrap(),
            scale: Scale::new(words.next().parse().unwrap()).unwrap(),
        }),
        "open" => Operation::OpenAccount(Box::new(OpenAccount {
            name: AccountName::new(words.next()).unwrap(),
            class: class(words.next()),
            asset: AssetCode::new(words.next()).unwrap(),
            floor: floor(words.option("floor").unwrap_or("0")),
            ceiling: words.option("ceiling").map(amount),
            metadata: metadata(words),
        })),
        "limits" => Operation::SetLimits(SetLimits {
            account: account_ref(words.next()),
            floor: words.option("floor").map(floor),
            ceiling: match words.option("ceiling") {
                None => CeilingChange::Keep,
                Some("none") => CeilingChange::Remove,
                Some(text) => CeilingChange::Set(amount(text)),
            },
        }),
        "freeze" => Operation::Freeze(account_ref(words.next())),
        "unfreeze" => Operation::Unfreeze(account_ref(words.next())),
        "close" => Operation::Close(account_ref(words.next())),
        "post" => Operation::Post(Post {
            transaction: transaction_id(words.next()),
            postings: postings(words),
            details: details(words),
        }),
        "try" => Operation::Try(Try {
            transaction: transaction_id(words.next()),
            postings: postings(words),
            details: details(words),
            timeout: words.option("timeout").map(parse_interval),
        }),
        "confirm" => Operation::Confirm(Confirm { transaction: transaction_id(words.next()), amounts: amounts(words) }),
        "cancel" => Operation::Cancel(transaction_id(words.next())),
        "reverse" => Operation::Reverse(Reverse {
            original: transaction_id(words.next()),
            transaction: transaction_id(words.option("as").unwrap()),
            amounts: amounts(words),
            details: details(words),
        }),
        other => panic!("not a command: {other} in {}", words.line),
    }
}

/// A script under way.
#[derive(Default)]
struct Run {
    book: Book,
    stamp: LogTime,
    fresh: u32,
    output: String,
}

impl Run {
    fn text(&mut self, script: &str) {
        let mut lines = script.lines().filter(|line| !line.trim_start().starts_with("->"));
        while let Some(line) = lines.next() {
            self.line(line, &mut lines);
        }
    }

    fn write(&mut self, line: &str) {
        self.output.push_str(line);
        self.output.push('\n');
    }

    fn line<'s>(&mut self, line: &'s str, more: &mut dyn Iterator<Item = &'s str>) {
        let text = line.trim();
        let mut words = Words::of(text);
        match words.words.peek().copied() {
            None => self.write(line),
            Some(word) if word.starts_with("# ") || word == "#" => self.write(line),
            Some("use") => {
                let path = folder().join(format!("{}.txt", text.trim_start_matches("use ")));
                let script = std::fs::read_to_string(&path).unwrap();
                let before = std::mem::take(&mut self.output);
                self.text(&script);
                self.output = before;
                self.write(line);
            }
            Some("at") => {
                self.write(line);
                self.stamp = LogTime(parse_time(text.trim_start_matches("at ")));
            }
            Some("tick") => {
                self.write(line);
                self.book.enter(self.stamp, Vec::new());
                let time = crate::script_text::time(self.book.records.head.time.0);
                self.write(&format!("    -> {} at {time}", self.book.index));
            }
            Some("show") => {
                self.write(line);
                self.show(text.trim_start_matches("show "));
            }
            Some("journal") => {
                self.write(line);
                let from = JournalSequence(text.trim_start_matches("journal ").parse().unwrap());
                for record in self.book.records.journal.clone().range(from..).map(|(_, record)| record) {
                    let line = journal(&self.book.records, record);
                    self.write(&format!("    {line}"));
                }
            }
            Some("entry") => self.entry(line, more),
            Some(_) => {
                let (command, text) = self.command(line, more);
                let answer = self.book.one(self.stamp, command);
                self.write(&text);
                self.answer("    ", &answer);
            }
        }
    }

    /// The commands up to `end`, as one entry.
    fn entry<'s>(&mut self, line: &'s str, more: &mut dyn Iterator<Item = &'s str>) {
        let (mut commands, mut texts) = (Vec::new(), Vec::new());
        while let Some(line) = more.next().filter(|line| line.trim() != "end") {
            let (command, text) = self.command(line, more);
            commands.push(command);
            texts.push(text);
        }
        let answers = self.book.enter(self.stamp, commands);
        self.write(line);
        for (text, answer) in texts.iter().zip(&answers) {
            self.write(text);
            self.answer("      ", answer);
        }
        self.write("end");
    }

    fn answer(&mut self, indent: &str, given: &Answer) {
        for line in answer(given) {
            self.write(&format!("{indent}{line}"));
        }
    }

    /// Reads a command, which for an atomic batch goes on to `end`; returns its lines too.
    fn command<'s>(&mut self, line: &'s str, more: &mut dyn Iterator<Item = &'s str>) -> (Command, String) {
        let (head, rest) = match line.trim().split_once(": ") {
            Some((head, rest)) => (Some(head), rest),
            None => (None, line.trim()),
        };
        let request = match head {
            Some(label) => request_id(label),
            None => {
                self.fresh += 1;
                request_id(&format!("auto-{}", self.fresh))
            }
        };
        let mut text = line.to_string();
        let mut words = Words::of(rest);
        let principal = words.option("by").map(expand).unwrap_or_default();
        let operation = if words.take("atomic") {
            let mut items = Vec::new();
            while let Some(line) = more.next().filter(|line| line.trim() != "end") {
                let (item, item_text) = self.command(line, more);
                items.push(item);
                text.push_str(&format!("\n{item_text}"));
            }
            text.push_str(&format!("\n{}end", &line[..line.len() - line.trim_start().len()]));
            Operation::Atomic(items)
        } else {
            operation(&mut words)
        };
        words.end();
        (Command { request, principal, operation }, text)
    }

    fn show(&mut self, what: &str) {
        for word in what.split_whitespace() {
            let known = AccountName::new(word).ok().and_then(|name| self.book.records.names.get(&name).copied());
            let line = match (known, self.book.records.transactions.get(&transaction_id(word))) {
                (Some(number), _) => account(word, &self.book.records.accounts[&number]),
                (None, Some(record)) => format!("-> {word}: {}", record.state.as_str()),
                (None, None) => format!("-> {word}: not on the book"),
            };
            self.write(&format!("    {line}"));
        }
    }
}
