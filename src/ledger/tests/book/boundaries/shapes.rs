//! Counts and lengths: one below each bound, on it, and one above. The numbers stand here once
//! more, because a bound is a promise.

use ledger::name::NameError;
use ledger::shape::check;
use ledger::{AccountName, Amount, AmountError, AssetCode, Command, Operation, Scale};

use super::{STEPS, World};
use crate::script::parse_command;

/// A bounded length: how a command with so much of it is written, the least and the most, and the
/// field that is named beyond.
struct Bound {
    line: fn(i128) -> String,
    least: i128,
    most: i128,
    field: &'static str,
}

const TEN_YEARS_NS: i128 = 315_360_000_000_000_000;

fn pair(tail: &str) -> String {
    format!("debit a 1 credit out 1{tail}")
}

/// Postings that balance, `count` in all: as many debits of 1 as there are, and one credit of their
/// sum.
fn postings(count: i128) -> String {
    match count {
        0 => String::new(),
        1 => "debit a 1".into(),
        more => format!("debit a times {} 1 credit out {}", more - 1, more - 1),
    }
}

const BOUNDS: &[Bound] = &[
    Bound { line: |n| format!("post t {}", postings(n)), least: 2, most: 256, field: "postings" },
    Bound { line: |n| format!("try t {}", postings(n)), least: 2, most: 256, field: "postings" },
    Bound { line: |n| format!("confirm t amounts 1 times {n}"), least: 1, most: 256, field: "amounts" },
    Bound { line: |n| format!("reverse t as r amounts 1 times {n}"), least: 1, most: 256, field: "amounts" },
    Bound { line: |n| format!("post t {}", pair(&format!(" ref x*{n}"))), least: 0, most: 128, field: "reference" },
    Bound { line: |n| format!("try t {}", pair(&format!(" ref x*{n}"))), least: 0, most: 128, field: "reference" },
    Bound { line: |n| format!("reverse t as r ref x*{n}"), least: 0, most: 128, field: "reference" },
    Bound { line: |n| format!("by x*{n} cancel t"), least: 0, most: 128, field: "principal" },
    Bound { line: |n| format!("open b asset AST pairs {n}"), least: 0, most: 16, field: "metadata" },
    Bound { line: |n| format!("post t {}", pair(&format!(" pairs {n}"))), least: 0, most: 16, field: "metadata" },
    Bound { line: |n| format!("try t {}", pair(&format!(" pairs {n}"))), least: 0, most: 16, field: "metadata" },
    Bound { line: |n| format!("reverse t as r pairs {n}"), least: 0, most: 16, field: "metadata" },
    Bound { line: |n| format!("open b asset AST meta k*{n}=v"), least: 1, most: 64, field: "metadata" },
    Bound { line: |n| format!("post t {}", pair(&format!(" meta k*{n}=v"))), least: 1, most: 64, field: "metadata" },
    Bound { line: |n| format!("open b asset AST meta k=v*{n}"), least: 0, most: 256, field: "metadata[k]" },
    Bound {
        line: |n| format!("post t {}", pair(&format!(" meta k=v*{n}"))),
        least: 0,
        most: 256,
        field: "metadata[k]",
    },
    Bound {
        line: |n| format!("try t {}", pair(&format!(" timeout {n}ns"))),
        least: 1,
        most: TEN_YEARS_NS,
        field: "timeout",
    },
];

/// Shape is checked before the log and again as an entry is applied: both say the same of every
/// bound.
#[test]
fn counts_and_lengths_are_bounded_on_the_spot() {
    for bound in BOUNDS {
        let around = |edge: i128| STEPS.map(|step| edge + step);
        for count in around(bound.least).into_iter().chain(around(bound.most)).filter(|count| *count >= 0) {
            let line = (bound.line)(count);
            let mut world = World::new(0);
            world.must("open a liability AST floor unlimited");
            let command = world.command(&line);
            let is_allowed = (bound.least..=bound.most).contains(&count);
            let field = check(&command).err().map(|violation| violation.field);
            assert_eq!(field.as_deref(), (!is_allowed).then_some(bound.field), "{count}: {line:.80}");
            // What the book says to it then is another matter; here it must not be about the shape.
            let answer = world.book.one(world.stamp, command);
            let is_malformed =
                matches!(answer.outcome, ledger::Outcome::Rejected(ledger::Rejection::InvalidArgument(_)));
            assert_eq!(is_malformed, !is_allowed, "{count}: {line:.80}");
        }
    }
}

#[test]
fn a_batch_has_1_to_8192_commands() {
    let mut world = World::new(0);
    let items: Vec<Command> = (0..8_193).map(|number| world.command(&format!("cancel t{number}"))).collect();
    for (count, is_allowed) in [(0, false), (1, true), (2, true), (8_191, true), (8_192, true), (8_193, false)] {
        let operation = Operation::Atomic(items[..count].to_vec());
        let batch = Command { operation, ..parse_command("cancel batch") };
        let field = check(&batch).err().map(|violation| violation.field);
        assert_eq!(field.as_deref(), (!is_allowed).then_some("commands"), "{count}");
    }
}

#[test]
fn names_and_codes_have_1_to_128_and_1_to_16_bytes() {
    for length in [0, 1, 2, 127, 128, 129, 255, 256, 257] {
        let found = AccountName::new(&"x".repeat(length)).map(|name| name.as_str().len());
        let wanted = if (1..=128).contains(&length) { Ok(length) } else { Err(NameError::Length(128)) };
        assert_eq!(found, wanted);
        // Its segments have no bound of their own.
        if (3..=128).contains(&length) {
            assert!(AccountName::new(&format!("{}:y", "x".repeat(length - 2))).is_ok());
        }
    }
    for length in [0, 1, 2, 15, 16, 17, 255, 256, 257] {
        let found = AssetCode::new(&"x".repeat(length)).map(|code| code.as_str().len());
        let wanted = if (1..=16).contains(&length) { Ok(length) } else { Err(NameError::Length(16)) };
        assert_eq!(found, wanted);
    }
}

#[test]
fn scales_and_written_amounts_are_bounded_on_the_spot() {
    for (digits, is_allowed) in [(0, true), (1, true), (17, true), (18, true), (19, false), (256, false)] {
        assert_eq!(Scale::new(digits).map(Scale::digits), is_allowed.then_some(digits));
    }
    for (digits, is_allowed) in [(27, true), (28, true), (29, false)] {
        let found = Amount::parse(&format!("0.{}", "1".repeat(digits))).map(|_| ());
        assert_eq!(found, if is_allowed { Ok(()) } else { Err(AmountError::ScaleExceeded) }, "{digits} digits");
    }
    for (length, is_allowed) in [(63, true), (64, true), (65, false)] {
        let found = Amount::parse(&format!("{:0>length$}", 1)).map(|_| ());
        assert_eq!(found, if is_allowed { Ok(()) } else { Err(AmountError::Grammar) }, "{length} bytes");
    }
}

/// A transaction of the most postings is booked, not only well formed.
#[test]
fn a_transaction_of_256_postings_is_booked_whole() {
    for count in [255i128, 256] {
        let mut world = World::new(0);
        world.must("open a liability AST floor unlimited");
        world.must(&format!("post t {}", postings(count)));
        assert_eq!(world.figures("a", "debit").posted, count - 1);
    }
}
