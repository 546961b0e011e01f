//! What every command that talks to a cluster needs.

use std::collections::HashMap;
use std::future::Future;
use std::str::FromStr as _;

use prost_types::Timestamp;
use serde_json::{Value, json};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::args::{Connection, Consistency, Output, RequestArgs};
use super::signals::Signals;
use super::{CliError, CliResult, output};
use crate::client::{Client, ClientConfig, Failure, FailureKind};
use crate::console;
use crate::proto::v1;
use crate::proto::v1::ledger_service_client::LedgerServiceClient;

/// The ledger service, as calls get it.
pub(crate) type Ledger = LedgerServiceClient<Channel>;

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

    /// Changes the book: tells the request id, sends the message, and prints what was decided.
    ///
    /// The id is told before anything is sent, so that whatever ends this process leaves behind
    /// what can be asked for and repeated. A signal ends the waiting, not the request.
    pub(crate) async fn change<M, R, F>(
        &self,
        id: RequestId,
        message: M,
        call: impl Fn(Ledger, Request<M>) -> F,
        result: impl FnOnce(R) -> v1::CommandResult,
    ) -> CliResult
    where
        M: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let mut signals = Signals::new()?;
        let told = tokio::task::spawn_blocking(id.telling());
        tokio::select! {
            told = told => told.map_err(|error| CliError::General(error.to_string()))??,
            signal = signals.next() => {
                signals.end_the_process(CliError::GENERAL);
                return Err(CliError::General(format!("{signal} came before anything was sent")));
            }
        }
        let answer = tokio::select! {
            biased;
            answer = self.client.ledger(message, call) => answer.map(result),
            signal = signals.next() => Err(no_answer_before(signal)),
        };
        match answer {
            Ok(result) => {
                signals.end_the_process(CliError::GENERAL);
                self.print_decided(id.as_str(), result).map_err(|error| error.after_decision(id.as_str()))
            }
            Err(failure) => {
                let error = CliError::Call(with_id(failure, id.as_str()));
                signals.end_the_process(error.code());
                self.print_failed(id.as_str(), error)
            }
        }
    }

    /// For programs, why there is no answer is an object too.
    fn print_failed(&self, request_id: &str, error: CliError) -> CliResult {
        // What became of the request counts for more than whether this could be printed.
        if let (Output::Json, CliError::Call(failure)) = (self.output, &error) {
            let value = json!({
                "request_id": request_id,
                "error": {
                    "reason": failure.reason,
                    "message": failure.message,
                    "remedy": failure.remedy,
                    "metadata": failure.metadata,
                },
            });
            let _ = output::json_value(&value);
        }
        Err(error)
    }

    fn print_decided(&self, request_id: &str, result: v1::CommandResult) -> CliResult {
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

/// The failure, and how to find out what became of the request where that is not known.
fn with_id(mut failure: Failure, request_id: &str) -> Failure {
    if failure.kind == FailureKind::Unknown {
        let ask = format!(
            "Ask with `folio request show {request_id}`, or give the same command again with \
             --request-id {request_id}."
        );
        failure.remedy = format!("{} {ask}", failure.remedy).trim_start().into();
    }
    failure
}

fn no_answer_before(signal: &str) -> Failure {
    let message = format!("{signal} came before an answer did; the outcome is not known");
    Failure::local(FailureKind::Unknown, message)
}

/// The id of a request that changes something.
pub(crate) enum RequestId {
    /// The caller has it.
    Given(String),
    /// It was made here, so the caller must be told.
    Fresh(String),
}

impl RequestId {
    /// The id given, or a fresh one.
    pub(crate) fn of(args: RequestArgs) -> RequestId {
        args.request_id.map_or_else(|| RequestId::Fresh(fresh_id()), RequestId::Given)
    }

    fn as_str(&self) -> &str {
        match self {
            RequestId::Given(id) | RequestId::Fresh(id) => id,
        }
    }

    /// The id, for a message.
    pub(crate) fn text(&self) -> String {
        self.as_str().to_owned()
    }

    /// Tells the id on standard error. With a fresh id that nobody can be told, nothing may be
    /// sent: without an answer there would be no way to ask what became of it.
    fn telling(&self) -> impl FnOnce() -> CliResult + Send + use<> {
        let line = format!("request id: {}", self.as_str());
        let must_be_told = matches!(self, RequestId::Fresh(_));
        move || match console::say(&line) {
            Err(error) if must_be_told => Err(CliError::General(format!(
                "nothing was sent, because the request id cannot be told on standard error: {error}; \
                 choose an id yourself and give it by --request-id"
            ))),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// A fresh id.
pub(crate) fn fresh_id() -> String {
    Uuid::now_v7().to_string()
}

/// Pairs written KEY=VALUE, each key once.
pub(crate) fn metadata(pairs: &[String]) -> CliResult<HashMap<String, String>> {
    let mut values = HashMap::with_capacity(pairs.len());
    for pair in pairs {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(CliError::Usage(format!("metadata {pair:?} is not KEY=VALUE")));
        };
        if let Some(earlier) = values.insert(key.to_owned(), value.to_owned()) {
            let problem = format!("metadata has the key {key:?} twice, with {earlier:?} and with {value:?}");
            return Err(CliError::Usage(problem));
        }
    }
    Ok(values)
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
