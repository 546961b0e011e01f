//! One line of an import file into one command. Everything that can be known to be wrong without the book is refused here, before anything is sent.

use std::collections::HashMap;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{fields, ids};
use crate::cli::CliError;
use crate::cli::args::parse_duration;
use crate::cli::context::{floor, timestamp};
use crate::cli::transactions::wire_duration;
use crate::proto::v1;
use crate::proto::v1::command::Operation;

/// A line that is well formed.
#[derive(Debug)]
pub(super) struct Line {
    /// The id that stands in the line: its `id`, or else its `request_id`.
    pub(super) id: String,
    /// The id under which it is asked.
    pub(super) request_id: String,
    /// What is asked.
    pub(super) command: v1::Command,
}

/// An amount as text. A JSON number is refused: whoever wrote or read it may have held it as binary fractions.
fn amount_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        other => Err(D::Error::custom(format!("amount is {other}; write it as a string, such as \"12.50\""))),
    }
}

/// The names of all commands, as they stand in files.
pub(super) const COMMANDS: &str =
    "register_asset, open_account, set_limits, freeze, unfreeze, close, transfer, post, try, confirm, cancel, reverse";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RegisterAsset {
    code: String,
    scale: u32,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Class {
    Asset,
    Liability,
    Equity,
    Income,
    Expense,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenAccount {
    name: String,
    asset: String,
    class: Class,
    floor: Option<String>,
    ceiling: Option<String>,
    #[serde(default)]
    metadata: HashMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetLimits {
    account: String,
    floor: Option<String>,
    ceiling: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OnAccount {
    account: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Transfer {
    debit: String,
    credit: String,
    #[serde(deserialize_with = "amount_text")]
    amount: String,
    #[serde(default)]
    asset: String,
    #[serde(default)]
    transaction_id: String,
    #[serde(default)]
    reference: String,
    #[serde(default)]
    metadata: HashMap<String, String>,
    effective_at: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Side {
    Debit,
    Credit,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Posting {
    account: String,
    side: Side,
    #[serde(deserialize_with = "amount_text")]
    amount: String,
    #[serde(default)]
    asset: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Booking {
    postings: Vec<Posting>,
    #[serde(default)]
    transaction_id: String,
    #[serde(default)]
    reference: String,
    #[serde(default)]
    metadata: HashMap<String, String>,
    effective_at: Option<String>,
    hold: Option<String>,
}

/// A transaction, named by the line that tried or posted it, or by its own id.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OnTransaction {
    transaction: Option<String>,
    transaction_id: Option<String>,
    #[serde(default)]
    amounts: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reverse {
    original: Option<String>,
    original_id: Option<String>,
    #[serde(default)]
    amounts: Vec<String>,
    #[serde(default)]
    transaction_id: String,
    #[serde(default)]
    reference: String,
    #[serde(default)]
    metadata: HashMap<String, String>,
    effective_at: Option<String>,
}

type Parsed<T> = Result<T, String>;

fn shape<T: DeserializeOwned>(fields: Map<String, Value>) -> Parsed<T> {
    serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())
}

fn details(
    reference: String,
    metadata: HashMap<String, String>,
    effective_at: Option<&String>,
) -> Parsed<Option<v1::Details>> {
    let effective_at = effective_at.map(|text| timestamp(text)).transpose().map_err(|error| match error {
        CliError::Usage(problem) => format!("effective_at: {problem}"),
        CliError::Call(_) | CliError::Verification(_) | CliError::Unprinted(_) | CliError::General(_) => {
            error.message()
        }
    })?;
    Ok(Some(v1::Details { reference, metadata, effective_at }))
}

/// Takes a text field out of the line.
fn take(fields: &mut Map<String, Value>, name: &str) -> Parsed<Option<String>> {
    match fields.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(format!("{name} is {other}; write it as a string")),
    }
}

/// The id of a transaction that a line names by another line's id or by its own.
fn named(namespace: &str, names: [&str; 2], by_line: Option<String>, by_id: Option<String>) -> Parsed<String> {
    let [line_name, id_name] = names;
    match (by_line, by_id) {
        (Some(line), None) => {
            ids::check(line_name, &line)?;
            Ok(ids::derived(namespace, &line).to_string())
        }
        (None, Some(id)) => Ok(id),
        (Some(_), Some(_)) => Err(format!("{line_name} and {id_name} both stand in the line; give one")),
        (None, None) => Err(format!("{line_name} (the id of another line) or {id_name} (a UUID) is missing")),
    }
}

fn postings(given: Vec<Posting>) -> Vec<v1::Posting> {
    let wire = |posting: Posting| v1::Posting {
        account: posting.account,
        side: match posting.side {
            Side::Debit => v1::Side::Debit,
            Side::Credit => v1::Side::Credit,
        }
        .into(),
        amount: posting.amount,
        asset: posting.asset,
    };
    given.into_iter().map(wire).collect()
}

fn on_account(name: &str, request_id: String, account: String) -> Operation {
    match name {
        "freeze" => Operation::FreezeAccount(v1::FreezeAccountRequest { request_id, account }),
        "unfreeze" => Operation::UnfreezeAccount(v1::UnfreezeAccountRequest { request_id, account }),
        _ => Operation::CloseAccount(v1::CloseAccountRequest { request_id, account }),
    }
}

fn open_account(request_id: String, open: OpenAccount) -> Operation {
    let class = match open.class {
        Class::Asset => v1::AccountClass::Asset,
        Class::Liability => v1::AccountClass::Liability,
        Class::Equity => v1::AccountClass::Equity,
        Class::Income => v1::AccountClass::Income,
        Class::Expense => v1::AccountClass::Expense,
    };
    Operation::OpenAccount(v1::OpenAccountRequest {
        request_id,
        name: open.name,
        asset: open.asset,
        class: class.into(),
        floor: open.floor.as_deref().map(floor),
        ceiling: open.ceiling.unwrap_or_default(),
        metadata: open.metadata,
    })
}

fn set_limits(request_id: String, limits: SetLimits) -> Operation {
    use v1::set_account_limits_request::CeilingChange;
    let ceiling_change = limits.ceiling.map(|text| match text.as_str() {
        "none" => CeilingChange::RemoveCeiling(true),
        _ => CeilingChange::Ceiling(text),
    });
    let floor = limits.floor.as_deref().map(floor);
    Operation::SetAccountLimits(v1::SetAccountLimitsRequest {
        request_id,
        account: limits.account,
        floor,
        ceiling_change,
    })
}

fn transfer(request_id: String, transfer: Transfer) -> Parsed<Operation> {
    Ok(Operation::Transfer(v1::TransferRequest {
        request_id,
        transaction_id: transfer.transaction_id,
        debit_account: transfer.debit,
        credit_account: transfer.credit,
        amount: transfer.amount,
        asset: transfer.asset,
        details: details(transfer.reference, transfer.metadata, transfer.effective_at.as_ref())?,
    }))
}

fn booking(name: &str, request_id: String, booking: Booking) -> Parsed<Operation> {
    let details = details(booking.reference, booking.metadata, booking.effective_at.as_ref())?;
    let postings = postings(booking.postings);
    let transaction_id = booking.transaction_id;
    match (name, booking.hold) {
        ("try", hold) => {
            let hold =
                hold.map(|text| parse_duration(&text)).transpose().map_err(|problem| format!("hold: {problem}"))?;
            let timeout = hold.and_then(wire_duration);
            let message = v1::TryTransactionRequest { request_id, transaction_id, postings, details, timeout };
            Ok(Operation::TryTransaction(message))
        }
        (_, Some(_)) => Err("hold stands in a post; only a try holds".to_owned()),
        (_, None) => {
            let message = v1::PostTransactionRequest { request_id, transaction_id, postings, details };
            Ok(Operation::PostTransaction(message))
        }
    }
}

fn on_transaction(name: &str, namespace: &str, request_id: String, asked: OnTransaction) -> Parsed<Operation> {
    let names = ["transaction", "transaction_id"];
    let transaction_id = named(namespace, names, asked.transaction, asked.transaction_id)?;
    if name == "confirm" {
        let message = v1::ConfirmTransactionRequest { request_id, transaction_id, amounts: asked.amounts };
        return Ok(Operation::ConfirmTransaction(message));
    }
    if !asked.amounts.is_empty() {
        return Err("amounts stand in a cancel, which releases all".to_owned());
    }
    Ok(Operation::CancelTransaction(v1::CancelTransactionRequest { request_id, transaction_id }))
}

fn reverse(namespace: &str, request_id: String, reverse: Reverse) -> Parsed<Operation> {
    Ok(Operation::ReverseTransaction(v1::ReverseTransactionRequest {
        request_id,
        transaction_id: reverse.transaction_id,
        original_id: named(namespace, ["original", "original_id"], reverse.original, reverse.original_id)?,
        amounts: reverse.amounts,
        details: details(reverse.reference, reverse.metadata, reverse.effective_at.as_ref())?,
    }))
}

/// Reads one line.
///
/// # Errors
/// What is wrong with it, for the person who wrote it.
pub(super) fn read(line: &[u8], namespace: &str) -> Parsed<Line> {
    let mut fields = fields::read(line)?;
    let name = take(&mut fields, "command")?.ok_or_else(|| format!("command is missing; choose one of {COMMANDS}"))?;
    let (id, request_id) = match (take(&mut fields, "id")?, take(&mut fields, "request_id")?) {
        (Some(id), None) if !id.is_empty() => {
            ids::check("id", &id)?;
            let request_id = ids::derived(namespace, &id).to_string();
            (id, request_id)
        }
        (None, Some(request_id)) => (request_id.clone(), request_id),
        (Some(_), Some(_)) => return Err("id and request_id both stand in the line; give one".to_owned()),
        (Some(_) | None, None) => {
            return Err("id is missing: without it a second import would book the line twice".to_owned());
        }
    };
    let own = request_id.clone();
    let operation = match name.as_str() {
        "register_asset" => {
            let RegisterAsset { code, scale } = shape(fields)?;
            Operation::RegisterAsset(v1::RegisterAssetRequest { request_id: own, code, scale })
        }
        "open_account" => open_account(own, shape(fields)?),
        "set_limits" => set_limits(own, shape(fields)?),
        "freeze" | "unfreeze" | "close" => on_account(&name, own, shape::<OnAccount>(fields)?.account),
        "transfer" => transfer(own, shape(fields)?)?,
        "post" | "try" => booking(&name, own, shape(fields)?)?,
        "confirm" | "cancel" => on_transaction(&name, namespace, own, shape(fields)?)?,
        "reverse" => reverse(namespace, own, shape(fields)?)?,
        other => return Err(format!("command is {other:?}; choose one of {COMMANDS}")),
    };
    crate::api::check(operation.clone())?;
    Ok(Line { id, request_id, command: v1::Command { operation: Some(operation) } })
}
