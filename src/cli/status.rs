//! `folio status`.

use serde_json::{Value, json};

use super::context::Context;
use super::{CliError, CliResult, output};
use crate::client::{Failure, FailureKind};
use crate::proto::v1;

/// Where the replica says that clients reach it.
fn own_address(status: &v1::GetStatusResponse) -> String {
    let own = status.members.iter().find(|member| member.replica_id == status.replica_id);
    own.map(|member| member.client_address.clone()).unwrap_or_default()
}

/// A length of time such as `-3600.5s`.
fn length(length: Option<&prost_types::Duration>) -> Option<String> {
    length.map(ToString::to_string)
}

/// How the replica's clock stands, in a few words; what matters most comes first.
fn clock(status: &v1::GetStatusResponse) -> String {
    let jump = status.last_clock_jump.as_ref();
    let ahead = length(status.log_time_ahead.as_ref()).map(|ahead| format!("log ahead by {ahead}"));
    let jumped = jump.and_then(|jump| length(jump.by.as_ref())).map(|by| format!("jumped by {by}"));
    match status.clock_refused.as_str() {
        "" if ahead.is_none() && jumped.is_none() => "ok".to_owned(),
        "" => [ahead, jumped].into_iter().flatten().collect::<Vec<_>>().join(", "),
        _ => "refused".to_owned(),
    }
}

/// A replica's status as JSON.
pub(super) fn value(status: &v1::GetStatusResponse) -> Value {
    let members: Vec<Value> = status
        .members
        .iter()
        .map(|member| {
            json!({
                "replica_id": member.replica_id,
                "client_address": member.client_address,
                "peer_address": member.peer_address,
                "matched_index": member.matched_index,
            })
        })
        .collect();
    json!({
        "address": own_address(status),
        "cluster_id": status.cluster_id,
        "replica_id": status.replica_id,
        "role": status.role,
        "leader_id": status.leader_id,
        "leader_address": status.leader_address,
        "term": status.term,
        "last_log_index": status.last_log_index,
        "applied": output::read_point(status.applied.as_ref()),
        "journal_sequence": status.journal_sequence,
        "state_hash": status.state_hash,
        "accounts": status.accounts,
        "members": members,
        "engine": status.engine,
        "version": status.version,
        "seeded_bug": status.seeded_bug,
        "purged_index": status.purged_index,
        "snapshot_index": status.snapshot_index,
        "dropped_log_lines": status.dropped_log_lines,
        "log_time_ahead": length(status.log_time_ahead.as_ref()),
        "last_clock_jump": status.last_clock_jump.as_ref().map(|jump| {
            json!({ "at": output::time(jump.at.as_ref()), "by": length(jump.by.as_ref()) })
        }),
        "clock_refused": status.clock_refused,
    })
}

/// A replica's status as a row.
pub(super) fn row(status: &v1::GetStatusResponse) -> Vec<String> {
    let applied = status.applied.as_ref().map_or(0, |point| point.log_index);
    vec![
        own_address(status),
        status.replica_id.to_string(),
        status.role.clone(),
        status.term.to_string(),
        status.last_log_index.to_string(),
        applied.to_string(),
        status.journal_sequence.to_string(),
        status.state_hash.chars().take(16).collect(),
        status.accounts.to_string(),
        clock(status),
        status.dropped_log_lines.to_string(),
    ]
}

/// The headers of the rows.
pub(super) const HEADERS: [&str; 11] = [
    "address",
    "replica",
    "role",
    "term",
    "log end",
    "applied",
    "journal",
    "state hash",
    "accounts",
    "clock",
    "log lines lost",
];

/// The row of an endpoint without a status: as wide as the others, not to be taken for one of them.
fn silent_row(address: &str, kind: FailureKind) -> Vec<String> {
    let why = if kind == FailureKind::NotFolio { "no port for clients" } else { "does not answer" };
    let mut row = vec![address.to_owned(), "-".to_owned(), why.to_owned()];
    row.resize(HEADERS.len(), "-".to_owned());
    row
}

/// Every endpoint's own status. All are asked at once, so that those that hang cost the time of one.
pub(super) async fn run(context: &Context) -> CliResult {
    let mut rows = Vec::new();
    let mut values = Vec::new();
    let mut answered = false;
    let client = &context.client;
    let replies = futures::future::join_all((0..client.endpoints()).map(|endpoint| client.status(endpoint))).await;
    for (endpoint, reply) in replies.into_iter().enumerate() {
        match reply {
            Ok(status) => {
                answered = true;
                rows.push(row(&status));
                values.push(value(&status));
            }
            Err(failure) => {
                let address = client.address(endpoint);
                let failure = failure.at(address);
                output::tell(&format!("folio: {failure}"));
                rows.push(silent_row(address, failure.kind));
                values.push(json!({ "address": address, "error": failure.message }));
            }
        }
    }
    if !answered {
        let message = "no replica answers; are the endpoints right?";
        return Err(CliError::Call(Failure::local(FailureKind::Unavailable, message)));
    }
    output::rows(context.output, &HEADERS, rows, &json!({ "replicas": values }))
}
