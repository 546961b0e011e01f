//! What a line of an import file must be, and what becomes of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::ids;
use super::line::{self, Line};
use super::reader::{Lines, MAX_LINE_BYTES, RawLine};

fn read(text: &str) -> Result<Line, String> {
    let line = line::read(text.as_bytes(), "test").map_err(|malformed| malformed.reason)?;
    if line.names.is_none() {
        line.check()?;
    }
    Ok(line)
}

#[track_caller]
fn refused(text: &str, because: &str) {
    let problem = read(text).map(|line| line.operation).unwrap_err();
    assert!(problem.contains(because), "{text}\nis refused because {problem:?}, not because of {because:?}");
}

#[test]
fn every_documented_line_is_read() {
    let page = include_str!("../../../docs/import.md");
    let examples: Vec<&str> = page.lines().filter(|line| line.starts_with("{\"command\"")).collect();
    for name in line::COMMANDS.split(", ") {
        let wanted = format!("{{\"command\":\"{name}\"");
        assert!(examples.iter().any(|example| example.starts_with(&wanted)), "docs/import.md has no line for {name}");
    }
    for example in examples {
        read(example).unwrap_or_else(|problem| panic!("{example}\n{problem}"));
    }
}

#[test]
fn a_line_without_an_id_of_its_own_is_refused() {
    refused(r#"{"command":"freeze","account":"a"}"#, "id is missing");
    refused(r#"{"command":"freeze","id":"","account":"a"}"#, "id is missing");
    refused(r#"{"command":"freeze","id":7,"account":"a"}"#, "write it as a string");
    let both = r#"{"command":"freeze","id":"1","request_id":"0198a000-0000-7000-8000-000000000001","account":"a"}"#;
    refused(both, "give one");
    refused(r#"{"command":"freeze","request_id":"00000000-0000-0000-0000-000000000000","account":"a"}"#, "request_id");
    refused(r#"{"command":"freeze","request_id":"seven","account":"a"}"#, "request_id");
}

#[test]
fn amounts_are_strings_and_within_their_grammar() {
    let transfer =
        |amount: &str| format!(r#"{{"command":"transfer","id":"1","debit":"a","credit":"b","amount":{amount}}}"#);
    assert!(read(&transfer("\"12.50\"")).is_ok());
    refused(&transfer("12.5"), "write it as a string");
    refused(&transfer("12"), "write it as a string");
    for wrong in ["1e3", "+1", "-1", "1_000", ".5", "5.", "", " 1"] {
        refused(&transfer(&format!("{wrong:?}")), "amount");
    }
}

#[test]
fn what_nobody_can_tell_apart_is_refused() {
    refused(r#"{"command":"freeze","id":"1","account":"a","account":"b"}"#, "stands twice");
    refused(
        r#"{"command":"post","id":"1","postings":[{"account":"a","side":"debit","amount":"1","amount":"2"}]}"#,
        "stands twice",
    );
    refused(r#"{"command":"freeze","id":"1","account":"a","acount":"b"}"#, "unknown field");
    refused(r#"{"command":"frieze","id":"1"}"#, "choose one of");
    refused(r#"["freeze"]"#, "not a JSON object");
    refused(r#"{"command":"freeze""#, "column");
    refused(r#"{"command":"confirm","id":"1"}"#, "is missing");
    refused(r#"{"command":"cancel","id":"1","transaction":"x","amounts":["1"]}"#, "releases all");
    refused(r#"{"command":"transfer","id":"1","debit":"a","credit":"a","amount":"1"}"#, "");
}

#[test]
fn a_line_names_a_transaction_by_the_line_that_tried_it() {
    let line = read(r#"{"command":"confirm","id":"c1","transaction":"t1"}"#).unwrap();
    assert_eq!(line.request, ids::derived("test", "c1"));
    let named = line.names.unwrap();
    assert_eq!((named.field, named.id.as_str()), ("transaction", "t1"));
    assert_eq!(named.requests, [Some(ids::derived("test", "t1")), None]);
    let own = "0198a000-0000-7000-8000-000000000001";
    let line = read(&format!(r#"{{"command":"reverse","id":"r1","original":"{own}"}}"#)).unwrap();
    let named = line.names.unwrap();
    assert_eq!(
        (named.field, named.requests),
        ("original", [Some(ids::derived("test", own)), Some(own.parse().unwrap())])
    );
}

fn lines_of(content: &[u8]) -> (Vec<(u64, String)>, u64) {
    let mut lines = Lines::of(content);
    let mut seen = Vec::new();
    while let Some((number, line)) = lines.next().unwrap() {
        let text = match line {
            RawLine::Text(text) => String::from_utf8(text).unwrap(),
            RawLine::TooLong => "too long".to_owned(),
        };
        seen.push((number, text));
    }
    (seen, lines.bytes())
}

#[test]
fn lines_are_numbered_as_in_the_file_and_bounded() {
    let longest = "x".repeat(MAX_LINE_BYTES);
    let content = format!("one\n\n  \nfour\r\n{longest}y\nsix");
    let (seen, bytes) = lines_of(content.as_bytes());
    let wanted = [(1, "one"), (4, "four"), (5, "too long"), (6, "six")];
    assert_eq!(seen, wanted.map(|(number, text)| (number, text.to_owned())));
    assert_eq!(bytes, content.len() as u64);
    // The end of a line and a byte order mark at the beginning of the file do not count.
    for mark in ["", "\u{feff}"] {
        for end in ["", "\n", "\r\n"] {
            for more in 0..8 {
                let long = format!("{longest}{}", "x".repeat(more));
                let (seen, bytes) = lines_of(format!("{mark}{long}{end}").as_bytes());
                let wanted = if more == 0 { long.as_str() } else { "too long" };
                assert_eq!(seen.len(), 1);
                assert!(seen[0].1 == wanted, "{more} more, {end:?}");
                assert_eq!(bytes, (mark.len() + long.len() + end.len()) as u64);
            }
        }
    }
}
