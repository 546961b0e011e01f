//! One line of an import file into one command, as far as the line alone tells.

use ledger::RequestId;
use uuid::Uuid;

use super::fields::{self, Fields, Parsed};
use super::ids;
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
    pub(super) request: Uuid,
    /// What is asked. Where [`Line::names`] says which line's transaction it is about, that
    /// transaction's id is still empty.
    pub(super) operation: Operation,
    /// The line whose transaction it is about, if it names a line.
    pub(super) names: Option<Named>,
}

/// Another line, as a line names it.
#[derive(Debug, Clone)]
pub(super) struct Named {
    /// The field: `transaction` or `original`.
    pub(super) field: &'static str,
    /// The other line's id.
    pub(super) id: String,
    /// The request ids that the other line may have: the one derived from its id, and the id itself
    /// if it is a UUID.
    pub(super) requests: [Option<Uuid>; 2],
}

impl Named {
    fn new(namespace: &str, field: &'static str, id: String) -> Parsed<Named> {
        ids::check(field, &id)?;
        let own = RequestId::parse(&id).ok().map(uuid_of);
        let requests = [Some(ids::derived(namespace, &id)), own];
        Ok(Named { field, id, requests })
    }
}

fn uuid_of(request: RequestId) -> Uuid {
    Uuid::from_bytes(*request.as_bytes())
}

/// The names of all commands, as they stand in files.
pub(super) const COMMANDS: &str =
    "register_asset, open_account, set_limits, freeze, unfreeze, close, transfer, post, try, confirm, cancel, reverse";

const CLASSES: [(&str, v1::AccountClass); 5] = [
    ("asset", v1::AccountClass::Asset),
    ("liability", v1::AccountClass::Liability),
    ("equity", v1::AccountClass::Equity),
    ("income", v1::AccountClass::Income),
    ("expense", v1::AccountClass::Expense),
];

const SIDES: [(&str, v1::Side); 2] = [("debit", v1::Side::Debit), ("credit", v1::Side::Credit)];

/// What may be told of a transaction.
fn details(fields: &mut Fields) -> Parsed<Option<v1::Details>> {
    let reference = fields.optional("reference")?.unwrap_or_default();
    let metadata = fields.pairs("metadata")?;
    let effective_at = fields.optional("effective_at")?;
    let effective_at = effective_at.map(|text| timestamp(&text)).transpose().map_err(|error| match error {
        CliError::Usage(problem) => format!("effective_at: {problem}"),
        CliError::Call(_) | CliError::Verification(_) | CliError::Unprinted(_) | CliError::General(_) => {
            error.message()
        }
    })?;
    Ok(Some(v1::Details { reference, metadata, effective_at }))
}

/// The transaction that a line is about: the line that it names, or the transaction's own id.
fn about(fields: &mut Fields, namespace: &str, names: [&'static str; 2]) -> Parsed<(Option<Named>, String)> {
    let [line_name, id_name] = names;
    match (fields.optional(line_name)?, fields.optional(id_name)?) {
        (Some(line), None) => Ok((Some(Named::new(namespace, line_name, line)?), String::new())),
        (None, Some(id)) => Ok((None, id)),
        (Some(_), Some(_)) => Err(format!("{line_name} and {id_name} both stand in the line; give one")),
        (None, None) => Err(format!("{line_name} (the id of another line) or {id_name} (a UUID) is missing")),
    }
}

fn postings(fields: &mut Fields) -> Parsed<Vec<v1::Posting>> {
    let posting = |mut fields: Fields| {
        let posting = v1::Posting {
            account: fields.text("account")?,
            side: fields.word("side", &SIDES)?.into(),
            amount: fields.text("amount")?,
            asset: fields.optional("asset")?.unwrap_or_default(),
        };
        fields.end()?;
        Ok(posting)
    };
    fields.objects("postings")?.into_iter().map(posting).collect()
}

fn on_account(name: &str, request_id: String, fields: &mut Fields) -> Parsed<Operation> {
    let account = fields.text("account")?;
    Ok(match name {
        "freeze" => Operation::FreezeAccount(v1::FreezeAccountRequest { request_id, account }),
        "unfreeze" => Operation::UnfreezeAccount(v1::UnfreezeAccountRequest { request_id, account }),
        _ => Operation::CloseAccount(v1::CloseAccountRequest { request_id, account }),
    })
}

fn open_account(request_id: String, fields: &mut Fields) -> Parsed<Operation> {
    Ok(Operation::OpenAccount(v1::OpenAccountRequest {
        request_id,
        name: fields.text("name")?,
        asset: fields.text("asset")?,
        class: fields.word("class", &CLASSES)?.into(),
        floor: fields.optional("floor")?.as_deref().map(floor),
        ceiling: fields.optional("ceiling")?.unwrap_or_default(),
        metadata: fields.pairs("metadata")?,
    }))
}

fn set_limits(request_id: String, fields: &mut Fields) -> Parsed<Operation> {
    use v1::set_account_limits_request::CeilingChange;
    let ceiling_change = fields.optional("ceiling")?.map(|text| match text.as_str() {
        "none" => CeilingChange::RemoveCeiling(true),
        _ => CeilingChange::Ceiling(text),
    });
    let floor = fields.optional("floor")?.as_deref().map(floor);
    let account = fields.text("account")?;
    Ok(Operation::SetAccountLimits(v1::SetAccountLimitsRequest { request_id, account, floor, ceiling_change }))
}

fn transfer(request_id: String, fields: &mut Fields) -> Parsed<Operation> {
    Ok(Operation::Transfer(v1::TransferRequest {
        request_id,
        transaction_id: fields.optional("transaction_id")?.unwrap_or_default(),
        debit_account: fields.text("debit")?,
        credit_account: fields.text("credit")?,
        amount: fields.text("amount")?,
        asset: fields.optional("asset")?.unwrap_or_default(),
        details: details(fields)?,
    }))
}

fn booking(name: &str, request_id: String, fields: &mut Fields) -> Parsed<Operation> {
    let details = details(fields)?;
    let postings = postings(fields)?;
    let transaction_id = fields.optional("transaction_id")?.unwrap_or_default();
    match (name, fields.optional("hold")?) {
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

type About = (Option<Named>, Operation);

fn on_transaction(name: &str, namespace: &str, request_id: String, fields: &mut Fields) -> Parsed<About> {
    let (named, transaction_id) = about(fields, namespace, ["transaction", "transaction_id"])?;
    let amounts = fields.texts("amounts")?;
    let operation = match name {
        "confirm" => {
            let message = v1::ConfirmTransactionRequest { request_id, transaction_id, amounts };
            Operation::ConfirmTransaction(message)
        }
        _ if !amounts.is_empty() => return Err("amounts stand in a cancel, which releases all".to_owned()),
        _ => Operation::CancelTransaction(v1::CancelTransactionRequest { request_id, transaction_id }),
    };
    Ok((named, operation))
}

fn reverse(namespace: &str, request_id: String, fields: &mut Fields) -> Parsed<About> {
    let (named, original_id) = about(fields, namespace, ["original", "original_id"])?;
    let message = v1::ReverseTransactionRequest {
        request_id,
        transaction_id: fields.optional("transaction_id")?.unwrap_or_default(),
        original_id,
        amounts: fields.texts("amounts")?,
        details: details(fields)?,
    };
    Ok((named, Operation::ReverseTransaction(message)))
}

/// A line's id, and the request id under which it is asked.
fn identity(fields: &mut Fields, namespace: &str) -> Parsed<(String, Uuid)> {
    match (fields.optional("id")?, fields.optional("request_id")?) {
        (Some(id), None) if !id.is_empty() => {
            ids::check("id", &id)?;
            let request = ids::derived(namespace, &id);
            Ok((id, request))
        }
        (None, Some(request_id)) => {
            let request =
                RequestId::parse(&request_id).map_err(|error| format!("request_id is {request_id:?}; it {error}"))?;
            Ok((request_id, uuid_of(request)))
        }
        (Some(_), Some(_)) => Err("id and request_id both stand in the line; give one".to_owned()),
        (Some(_) | None, None) => Err("id is missing: without it a second import would book the line twice".to_owned()),
    }
}

/// A line that is not well formed.
#[derive(Debug)]
pub(super) struct Malformed {
    /// What is wrong with it, for the person who wrote it.
    pub(super) reason: String,
    /// The request id that it would have, if that much can be read.
    pub(super) request: Option<Uuid>,
}

/// Reads one line.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(line: &[u8], namespace: &str) -> Result<Line, Malformed> {
    let unnamed = |reason| Malformed { reason, request: None };
    let mut fields = fields::read(line).map_err(unnamed)?;
    let (id, request) = identity(&mut fields, namespace).map_err(unnamed)?;
    let read = command(fields, namespace, request.to_string());
    let (names, operation) = read.map_err(|reason| Malformed { reason, request: Some(request) })?;
    Ok(Line { id, request, operation, names })
}

/// Reads what a line asks for.
fn command(mut fields: Fields, namespace: &str, own: String) -> Parsed<About> {
    let name = fields.optional("command")?.ok_or_else(|| format!("command is missing; choose one of {COMMANDS}"))?;
    let (names, operation) = match name.as_str() {
        "register_asset" => {
            let (code, scale) = (fields.text("code")?, fields.number("scale")?);
            (None, Operation::RegisterAsset(v1::RegisterAssetRequest { request_id: own, code, scale }))
        }
        "open_account" => (None, open_account(own, &mut fields)?),
        "set_limits" => (None, set_limits(own, &mut fields)?),
        "freeze" | "unfreeze" | "close" => (None, on_account(&name, own, &mut fields)?),
        "transfer" => (None, transfer(own, &mut fields)?),
        "post" | "try" => (None, booking(&name, own, &mut fields)?),
        "confirm" | "cancel" => on_transaction(&name, namespace, own, &mut fields)?,
        "reverse" => reverse(namespace, own, &mut fields)?,
        other => return Err(format!("command is {other:?}; choose one of {COMMANDS}")),
    };
    fields.end()?;
    Ok((names, operation))
}

impl Line {
    /// The transaction that the line makes, if it makes one: its own id, or else the request id.
    pub(super) fn makes(&self) -> Option<&str> {
        match &self.operation {
            Operation::Transfer(transfer) => Some(&transfer.transaction_id),
            Operation::PostTransaction(post) => Some(&post.transaction_id),
            Operation::TryTransaction(attempt) => Some(&attempt.transaction_id),
            Operation::ReverseTransaction(reverse) => Some(&reverse.transaction_id),
            Operation::RegisterAsset(_)
            | Operation::OpenAccount(_)
            | Operation::SetAccountLimits(_)
            | Operation::FreezeAccount(_)
            | Operation::UnfreezeAccount(_)
            | Operation::CloseAccount(_)
            | Operation::ConfirmTransaction(_)
            | Operation::CancelTransaction(_) => None,
        }
    }

    /// The transaction that a confirm or a reversal is about, if it names amounts; and these.
    pub(super) fn amounts(&self) -> Option<(&str, &[String])> {
        match &self.operation {
            Operation::ConfirmTransaction(confirm) if !confirm.amounts.is_empty() => {
                Some((&confirm.transaction_id, &confirm.amounts))
            }
            Operation::ReverseTransaction(reverse) if !reverse.amounts.is_empty() => {
                Some((&reverse.original_id, &reverse.amounts))
            }
            _ => None,
        }
    }

    /// Whether it cancels.
    pub(super) fn is_cancel(&self) -> bool {
        matches!(self.operation, Operation::CancelTransaction(_))
    }

    /// How much it adds to a batch.
    pub(super) fn operation_bytes(&self) -> usize {
        self.operation.encoded_len()
    }

    /// Says which transaction the line that it names stands for.
    pub(super) fn resolve(&mut self, transaction: Uuid) {
        let id = transaction.to_string();
        match &mut self.operation {
            Operation::ConfirmTransaction(confirm) => confirm.transaction_id = id,
            Operation::CancelTransaction(cancel) => cancel.transaction_id = id,
            Operation::ReverseTransaction(reverse) => reverse.original_id = id,
            _ => {}
        }
    }

    /// Checks it as the ledger does, as far as that is possible without the book.
    ///
    /// # Errors
    /// What is wrong with which field of the file.
    pub(super) fn check(&self) -> Parsed<()> {
        crate::api::check(self.operation.clone())
            .map_err(|found| format!("{} {}", field_in_file(&self.operation, &found.field), found.problem))
    }
}

/// A field of the published API as the file calls it.
pub(super) fn field_in_file(operation: &Operation, field: &str) -> String {
    let is_transfer = matches!(operation, Operation::Transfer(_));
    let name = match field {
        "debit_account" => "debit",
        "credit_account" => "credit",
        "postings[0].account" if is_transfer => "debit",
        "postings[1].account" if is_transfer => "credit",
        "postings[0].amount" | "postings[1].amount" if is_transfer => "amount",
        "details.effective_at" => "effective_at",
        "floor.at_least" => "floor",
        "timeout" => "hold",
        other => other,
    };
    name.to_owned()
}
