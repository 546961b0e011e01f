//! `folio request`.

use serde_json::json;

use super::args::RequestVerb;
use super::context::{Context, command_result};
use super::{CliResult, output};
use crate::proto::v1;

pub(super) async fn run(context: &Context, verb: RequestVerb) -> CliResult {
    let RequestVerb::Show { request_id } = verb;
    let message = v1::GetRequestOutcomeRequest { request_id: request_id.clone(), read: context.read() };
    let reply = context
        .client
        .ledger_read(message, |mut client, message| async move { client.get_request_outcome(message).await })
        .await?;
    let result = reply.result.unwrap_or_default();
    let at = result.decision.as_ref().and_then(|decision| decision.at).unwrap_or_default();
    let outcome = match &result.refusal {
        Some(refusal) => format!("refused: {}: {}", refusal.reason, refusal.message),
        None => "accepted".to_owned(),
    };
    let pairs = [
        ("request id", request_id.clone()),
        ("operation", reply.operation.clone()),
        ("outcome", outcome),
        ("decided at", format!("index {} position {}", at.log_index, at.position)),
        ("time", output::time(at.log_time.as_ref())),
        ("transaction", result.transaction_id.clone()),
    ];
    let items: Vec<_> = reply.items.iter().map(|item| command_result("", item)).collect();
    let value = json!({
        "read_point": output::read_point(reply.read_point.as_ref()),
        "operation": reply.operation,
        "result": command_result(&request_id, &result),
        "items": items,
    });
    output::pairs(context.output, &pairs, &value)
}
