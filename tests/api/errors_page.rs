//! `docs/errors.md` is made from the table of reasons: `UPDATE_DOCS=1 cargo test --test api errors_page` rewrites it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use folio::api::errors::{Class, DOMAIN, Reason};

fn heading(class: Class) -> (&'static str, &'static str) {
    match class {
        Class::Shape => (
            "Shape",
            "Refused before the log where that can be told there; the request id stays free. The field is in `google.rpc.BadRequest`.",
        ),
        Class::Identity => {
            ("Identity", "An identifier stands for something else already. `fields` names what differs.")
        }
        Class::Absent => ("Absent", "Something named is not there."),
        Class::Book => ("Book", "The book does not allow it. Decided, final, and kept under the request id."),
        Class::Tcc => (
            "Transaction state",
            "The state of the transaction, or of its batch, does not allow it. Decided, final, and kept, but for `NOT_APPLIED`, which leaves its id free.",
        ),
        Class::Unknown => (
            "Nothing decided, or not known",
            "Never kept. Repeating the same request id is always safe. Where a pause helps, `google.rpc.RetryInfo` says how long.",
        ),
    }
}

fn page() -> String {
    let mut text = format!(
        "# Errors\n\n<!-- Made from the table in src/api/errors.rs: UPDATE_DOCS=1 cargo test --test api errors_page -->\n\n\
         A refused call is a gRPC status with `google.rpc.ErrorInfo`: its `reason` from this page, the domain `{DOMAIN}`, and the values as\n\
         metadata. `google.rpc.LocalizedMessage` holds the remedy: what to do where a command was refused, and, where it differs, what to do\n\
         where a question was. A decided refusal also tells where in the log it was decided (`log_index`,\n\
         `position`, `log_time_ns`), and whether it repeats an earlier answer (`replayed`): a repeat names the place of the first\n\
         (`first_log_index` and so on) and the present `transaction_state`. In a batch or a stream the same stands in the command's own result.\n\
         Any client can read the reply to any batch: where thousands of refusals have no room for it, `message` and `remedy` are empty, and\n\
         long values are cut; `reason`, `code` and the values of this page are always there.\n\n\
         A status **without** `ErrorInfo` is the transport's, whatever its code (UNAVAILABLE, CANCELLED, INTERNAL, RESOURCE_EXHAUSTED): the\n\
         connection broke, or something between ended it. What was sent may have been decided, so repeat it with the same request ids.\n\n\
         A stream of commands that ends with a reason has first answered every command that it took; nothing was proposed of the others. One\n\
         that ends without a reason says nothing of the commands that have no answer: repeat them with the same request ids.\n"
    );
    let mut last = None;
    for reason in Reason::ALL {
        if last != Some(reason.class()) {
            last = Some(reason.class());
            let (title, about) = heading(reason.class());
            write!(text, "\n## {title}\n\n{about}\n\n| reason | code | meaning | what to do | of a question |\n|---|---|---|---|---|\n")
                .unwrap();
        }
        writeln!(
            text,
            "| `{}` | {} | {} | {} | {} |",
            reason.text(),
            code_name(reason.code()),
            reason.meaning(),
            reason.remedy(),
            match reason.remedy_of_question() {
                same if same == reason.remedy() => "",
                other => other,
            }
        )
        .unwrap();
    }
    text
}

/// A gRPC code as the protocol writes it: `FAILED_PRECONDITION`.
fn code_name(code: tonic::Code) -> String {
    let mut name = String::new();
    for character in format!("{code:?}").chars() {
        if character.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(character.to_uppercase());
    }
    name
}

#[test]
fn the_page_says_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, page(), "docs/errors.md is out of date: run UPDATE_DOCS=1 cargo test --test api errors_page");
}

#[test]
fn reasons_are_distinct_capitals_and_each_class_stands_together() {
    let texts: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.text()).collect();
    assert_eq!(texts.len(), Reason::ALL.len());
    assert!(texts.iter().all(|text| text.chars().all(|c| c.is_ascii_uppercase() || c == '_')));
    assert_eq!(page().matches("\n## ").count(), 6, "a class is split over the table");
}
