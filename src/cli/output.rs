//! Tables for people, JSON for programs.

use comfy_table::{ContentArrangement, Table, presets};
use prost_types::Timestamp;
use serde_json::{Value, json};

use super::args::Output;
use super::{CliError, CliResult};
use crate::console::{self, plain};
use crate::proto::v1;

/// Prints a text as it is on standard output.
pub(crate) fn print(text: &str) -> CliResult {
    console::print(text).map_err(CliError::Unprinted)
}

/// Prints one line on standard output, whatever is in the text.
pub(crate) fn line(text: &str) -> CliResult {
    print(&plain(text))
}

/// Tells something on standard error, in one line. Where nobody can be told, nothing is to be done.
pub(crate) fn tell(text: &str) {
    let _ = console::say(text);
}

/// Prints one JSON value.
pub(crate) fn json_value(value: &Value) -> CliResult {
    print(&value.to_string())
}

/// A plain table.
pub(crate) fn table(headers: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(headers.to_vec());
    table
}

/// Prints rows of a table, or the JSON value.
pub(crate) fn rows(output: Output, headers: &[&str], rows: Vec<Vec<String>>, value: &Value) -> CliResult {
    match output {
        Output::Json => json_value(value),
        Output::Table => {
            let mut shown = table(headers);
            for row in rows {
                shown.add_row(row.iter().map(|cell| plain(cell)));
            }
            print(&shown.to_string())
        }
    }
}

/// Prints pairs of a name and a value, or the JSON value.
pub(crate) fn pairs(output: Output, pairs: &[(&str, String)], value: &Value) -> CliResult {
    match output {
        Output::Json => json_value(value),
        Output::Table => {
            let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
            for (name, value) in pairs {
                print(&format!("{name:width$}  {}", plain(value)))?;
            }
            Ok(())
        }
    }
}

/// A time as text; empty if there is none.
pub(crate) fn time(time: Option<&Timestamp>) -> String {
    time.map(ToString::to_string).unwrap_or_default()
}

/// Totals as JSON.
pub(crate) fn totals(totals: Option<&v1::Totals>) -> Value {
    let totals = totals.cloned().unwrap_or_default();
    json!({
        "debits_pending": totals.debits_pending,
        "debits_posted": totals.debits_posted,
        "credits_pending": totals.credits_pending,
        "credits_posted": totals.credits_posted,
    })
}

/// A read point as JSON.
pub(crate) fn read_point(point: Option<&v1::ReadPoint>) -> Value {
    let point = point.cloned().unwrap_or_default();
    json!({ "log_index": point.log_index, "log_time": time(point.log_time.as_ref()) })
}

fn log_point(point: Option<&v1::LogPoint>) -> Value {
    match point {
        Some(point) => json!({
            "log_index": point.log_index,
            "position": point.position,
            "log_time": time(point.log_time.as_ref()),
        }),
        None => Value::Null,
    }
}

/// A decision as JSON.
pub(crate) fn decision(decision: Option<&v1::Decision>) -> Value {
    let Some(decision) = decision else { return Value::Null };
    json!({
        "at": log_point(decision.at.as_ref()),
        "journal_sequence": decision.journal_sequence,
        "replayed": decision.replayed,
        "first": log_point(decision.first.as_ref()),
        "transaction_state": state(decision.transaction_state()),
    })
}

/// A transaction's state as text; empty where there is none.
pub(crate) fn state(state: v1::TransactionState) -> &'static str {
    match state {
        v1::TransactionState::Unspecified => "",
        v1::TransactionState::Tried => "TRIED",
        v1::TransactionState::Confirmed => "CONFIRMED",
        v1::TransactionState::Cancelled => "CANCELLED",
        v1::TransactionState::Expired => "EXPIRED",
    }
}

/// A side as text.
pub(crate) fn side(side: v1::Side) -> &'static str {
    match side {
        v1::Side::Unspecified => "",
        v1::Side::Debit => "debit",
        v1::Side::Credit => "credit",
    }
}

/// A class as text.
pub(crate) fn class(class: v1::AccountClass) -> &'static str {
    match class {
        v1::AccountClass::Unspecified => "",
        v1::AccountClass::Asset => "asset",
        v1::AccountClass::Liability => "liability",
        v1::AccountClass::Equity => "equity",
        v1::AccountClass::Income => "income",
        v1::AccountClass::Expense => "expense",
    }
}

/// A status as text.
pub(crate) fn status(status: v1::AccountStatus) -> &'static str {
    match status {
        v1::AccountStatus::Unspecified => "",
        v1::AccountStatus::Open => "open",
        v1::AccountStatus::Frozen => "frozen",
        v1::AccountStatus::Closed => "closed",
    }
}

/// A floor as text.
pub(crate) fn floor(floor: Option<&v1::Floor>) -> String {
    match floor.and_then(|floor| floor.kind.as_ref()) {
        Some(v1::floor::Kind::AtLeast(least)) => least.clone(),
        Some(v1::floor::Kind::Unlimited(_)) => "unlimited".to_owned(),
        None => String::new(),
    }
}

/// Details as JSON.
pub(crate) fn details(details: Option<&v1::Details>) -> Value {
    let details = details.cloned().unwrap_or_default();
    json!({
        "reference": details.reference,
        "metadata": details.metadata,
        "effective_at": time(details.effective_at.as_ref()),
    })
}

/// A journal record as JSON.
pub(crate) fn journal_record(record: &v1::JournalRecord) -> Value {
    let postings: Vec<Value> = record
        .postings
        .iter()
        .map(|posting| {
            json!({
                "account": posting.account,
                "asset": posting.asset,
                "side": side(posting.side()),
                "amount": posting.amount,
                "totals": totals(posting.totals.as_ref()),
            })
        })
        .collect();
    json!({
        "sequence": record.sequence,
        "at": log_point(record.at.as_ref()),
        "request_id": record.request_id,
        "principal": record.principal,
        "event": record.event,
        "transaction_id": record.transaction_id,
        "original_id": record.original_id,
        "subject": record.subject,
        "asset": record.asset,
        "scale": record.scale,
        "class": class(record.class()),
        "floor": floor(record.floor.as_ref()),
        "ceiling": record.ceiling,
        "deadline": time(record.deadline.as_ref()),
        "postings": postings,
        "details": details(record.details.as_ref()),
    })
}

/// What a refusal says: its message, or its values where a long reply had no room for the message.
pub(super) fn refusal_message(refusal: &v1::Refusal) -> String {
    if !refusal.message.is_empty() {
        return refusal.message.clone();
    }
    let values: std::collections::BTreeMap<_, _> = refusal.metadata.iter().collect();
    let values: Vec<String> = values.into_iter().map(|(key, value)| format!("{key} {value}")).collect();
    values.join(", ")
}
