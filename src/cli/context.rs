//! What every command that talks to a cluster needs.

use std::collections::HashMap;
use std::str::FromStr as _;

use prost_types::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::args::{Connection, Consistency, Output, RequestArgs};
use super::{CliError, CliResult, output};
use crate::client::{Client, ClientConfig, Failure};
use crate::proto::v1;

/// A client, and how to print.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) output: Output,
    consistency: Consistency,
}

impl Context {
    pub(crate) fn new(connection: &Connection, output: Output) -> CliResult<Context> {
        let config = ClientConfig { endpoints: connection.endpoints.clone(), timeout: connection.timeout };
        Ok(Context { client: Client::new(&config)?, output, consistency: connection.consistency })
    }

    pub(crate) fn read(&self) -> Option<v1::ReadOptions> {
        use v1::read_options::Consistency as Wire;
        let consistency = match self.consistency {
            Consistency::Linearizable => Wire::Linearizable(true),
            Consistency::Stale => Wire::Stale(true),
            Consistency::AtLeast(index) => Wire::AtLeastIndex(index),
        };
        Some(v1::ReadOptions { consistency: Some(consistency) })
    }

    /// Prints what was decided, with the request id. Without an answer the id is printed too, because repeating it is what to do.
    pub(crate) fn decided(&self, request_id: &str, result: Result<v1::CommandResult, Failure>) -> CliResult {
        let result = match result {
            Ok(result) => result,
            Err(failure) => {
                if self.output == Output::Json {
                    output::json_value(&json!({
                        "request_id": request_id,
                        "error": {
                            "reason": failure.reason,
                            "message": failure.message,
                            "remedy": failure.remedy,
                            "metadata": failure.metadata,
                        },
                    }))?;
                } else {
                    eprintln!("request id: {request_id}");
                }
                return Err(failure.into());
            }
        };
        let decision = result.decision.unwrap_or_default();
        let at = decision.at.unwrap_or_default();
        let mut pairs = vec![("request id", request_id.to_owned())];
        if !result.transaction_id.is_empty() {
            pairs.push(("transaction", result.transaction_id.clone()));
        }
        let state = output::state(decision.transaction_state());
        if !state.is_empty() {
            pairs.push(("state", state.to_owned()));
        }
        if result.deadline.is_some() {
            pairs.push(("deadline", output::time(result.deadline.as_ref())));
        }
        if result.empty {
            pairs.push(("empty", "there was no reservation; the transaction is fenced".to_owned()));
        }
        pairs.push(("decided at", format!("index {} position {}", at.log_index, at.position)));
        if let Some(sequence) = decision.journal_sequence {
            pairs.push(("journal", sequence.to_string()));
        }
        if decision.replayed {
            pairs.push(("replayed", "yes, nothing moved".to_owned()));
        }
        output::pairs(self.output, &pairs, &command_result(request_id, &result))
    }
}

/// A result as JSON.
pub(crate) fn command_result(request_id: &str, result: &v1::CommandResult) -> Value {
    let refusal = result.refusal.as_ref().map(|refusal| {
        json!({
            "reason": refusal.reason,
            "message": refusal.message,
            "remedy": refusal.remedy,
            "metadata": refusal.metadata,
        })
    });
    json!({
        "request_id": request_id,
        "transaction_id": result.transaction_id,
        "deadline": output::time(result.deadline.as_ref()),
        "empty": result.empty,
        "decision": output::decision(result.decision.as_ref()),
        "refusal": refusal,
    })
}

/// The request id given, or a fresh one.
pub(crate) fn request_id(args: RequestArgs) -> String {
    args.request_id.unwrap_or_else(fresh_id)
}

/// A fresh id.
pub(crate) fn fresh_id() -> String {
    Uuid::now_v7().to_string()
}

/// Pairs written KEY=VALUE.
pub(crate) fn metadata(pairs: &[String]) -> CliResult<HashMap<String, String>> {
    pairs
        .iter()
        .map(|pair| match pair.split_once('=') {
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Err(CliError::Usage(format!("metadata {pair:?} is not KEY=VALUE"))),
        })
        .collect()
}

/// A time such as 2026-01-31 or 2026-01-31T12:00:00Z.
pub(crate) fn timestamp(text: &str) -> CliResult<Timestamp> {
    let with_time = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    Timestamp::from_str(&with_time)
        .map_err(|_| CliError::Usage(format!("{text:?} is not a time; write 2026-01-31 or 2026-01-31T12:00:00Z")))
}

/// A time that may be left out.
pub(crate) fn optional_timestamp(text: Option<&String>) -> CliResult<Option<Timestamp>> {
    text.map(|text| timestamp(text)).transpose()
}

/// A floor written as an amount or `unlimited`.
pub(crate) fn floor(text: &str) -> v1::Floor {
    let kind = match text {
        "unlimited" => v1::floor::Kind::Unlimited(true),
        least => v1::floor::Kind::AtLeast(least.to_owned()),
    };
    v1::Floor { kind: Some(kind) }
}
