//! `folio balance`, `statement`, `trial-balance` and `journal`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::args::{AsOfArgs, BalanceArgs, JournalArgs, Output, StatementArgs, TrialBalanceArgs};
use super::context::{Context, optional_timestamp, timestamp};
use super::{CliError, CliResult, output};
use crate::client::{Client, Failure, FailureKind};
use crate::proto::v1;
use crate::proto::v1::audit_service_client::AuditServiceClient;

fn as_of(args: &AsOfArgs) -> CliResult<Option<v1::AsOf>> {
    use v1::as_of::Kind;
    let kind = match (&args.at, args.sequence, &args.effective) {
        (Some(time), _, _) => Kind::Time(timestamp(time)?),
        (None, Some(sequence), _) => Kind::Sequence(sequence),
        (None, None, Some(time)) => Kind::Effective(timestamp(time)?),
        (None, None, None) => return Ok(None),
    };
    Ok(Some(v1::AsOf { kind: Some(kind) }))
}

pub(super) async fn balance(context: &Context, args: BalanceArgs) -> CliResult {
    let message = v1::GetBalanceRequest { account: args.account, as_of: as_of(&args.as_of)?, read: context.read() };
    let reply =
        context.client.audit(message, |mut client, message| async move { client.get_balance(message).await }).await?;
    let totals = reply.totals.clone().unwrap_or_default();
    let pairs = [
        ("account", reply.account.clone()),
        ("asset", reply.asset.clone()),
        ("posted", reply.posted.clone()),
        ("available", reply.available.clone()),
        ("debits", format!("{} posted, {} pending", totals.debits_posted, totals.debits_pending)),
        ("credits", format!("{} posted, {} pending", totals.credits_posted, totals.credits_pending)),
        ("as of journal", reply.as_of_sequence.to_string()),
    ];
    let value = json!({
        "read_point": output::read_point(reply.read_point.as_ref()),
        "account": reply.account,
        "asset": reply.asset,
        "posted": reply.posted,
        "available": reply.available,
        "totals": output::totals(reply.totals.as_ref()),
        "as_of_sequence": reply.as_of_sequence,
    });
    output::pairs(context.output, &pairs, &value)
}

pub(super) async fn statement(context: &Context, args: StatementArgs) -> CliResult {
    let mut message = v1::GetStatementRequest {
        account: args.account,
        from: optional_timestamp(args.from.as_ref())?,
        to: optional_timestamp(args.to.as_ref())?,
        read: context.read(),
        page_size: 1000,
        page_token: String::new(),
        by_effective_date: args.by_effective_date,
    };
    let mut lines = Vec::new();
    let mut opening = None;
    let (closing, account, asset, point) = loop {
        let reply = context
            .client
            .audit(message.clone(), |mut client, message| async move { client.get_statement(message).await })
            .await?;
        opening.get_or_insert(reply.opening);
        lines.extend(reply.lines);
        message.page_token = reply.next_page_token;
        if message.page_token.is_empty() {
            break (reply.closing, reply.account, reply.asset, reply.read_point);
        }
    };
    let opening = opening.unwrap_or_default();
    let mut rows = vec![vec![
        String::new(),
        String::new(),
        "opening".to_owned(),
        String::new(),
        String::new(),
        opening.clone(),
        String::new(),
    ]];
    rows.extend(lines.iter().map(|line| {
        vec![
            line.sequence.to_string(),
            output::time(line.time.as_ref()),
            line.event.clone(),
            output::side(line.side()).to_owned(),
            line.amount.clone(),
            line.posted.clone(),
            line.available.clone(),
        ]
    }));
    rows.push(vec![
        String::new(),
        String::new(),
        "closing".to_owned(),
        String::new(),
        String::new(),
        closing.clone(),
        String::new(),
    ]);
    let value = json!({
        "read_point": output::read_point(point.as_ref()),
        "account": account,
        "asset": asset,
        "opening": opening,
        "lines": lines.iter().map(statement_line).collect::<Vec<Value>>(),
        "closing": closing,
    });
    let headers = ["journal", "time", "event", "side", "amount", "posted", "available"];
    output::rows(context.output, &headers, rows, &value)
}

fn statement_line(line: &v1::StatementLine) -> Value {
    json!({
        "sequence": line.sequence,
        "time": output::time(line.time.as_ref()),
        "event": line.event,
        "transaction_id": line.transaction_id,
        "reference": line.reference,
        "effective_at": output::time(line.effective_at.as_ref()),
        "side": output::side(line.side()),
        "amount": line.amount,
        "is_posted": line.is_posted,
        "posted": line.posted,
        "available": line.available,
    })
}

/// A trial balance as JSON.
pub(super) fn trial_balance_value(reply: &v1::GetTrialBalanceResponse) -> Value {
    let lines: Vec<Value> = reply
        .lines
        .iter()
        .map(|line| {
            json!({
                "asset": line.asset,
                "totals": output::totals(line.totals.as_ref()),
                "accounts": line.accounts,
                "is_balanced": line.is_balanced,
            })
        })
        .collect();
    json!({
        "read_point": output::read_point(reply.read_point.as_ref()),
        "as_of_sequence": reply.as_of_sequence,
        "lines": lines,
    })
}

/// A trial balance as rows of a table.
pub(super) fn trial_balance_rows(reply: &v1::GetTrialBalanceResponse) -> Vec<Vec<String>> {
    let row = |line: &v1::TrialBalanceLine| {
        let totals = line.totals.clone().unwrap_or_default();
        vec![
            line.asset.clone(),
            totals.debits_posted,
            totals.credits_posted,
            totals.debits_pending,
            totals.credits_pending,
            line.accounts.to_string(),
            if line.is_balanced { "yes" } else { "no" }.to_owned(),
        ]
    };
    reply.lines.iter().map(row).collect()
}

/// All pages of a trial balance in one.
pub(super) async fn whole_trial_balance(
    client: &Client,
    mut message: v1::GetTrialBalanceRequest,
) -> Result<v1::GetTrialBalanceResponse, Failure> {
    let mut lines = Vec::new();
    loop {
        let mut reply = client
            .audit(message.clone(), |mut client, message| async move { client.get_trial_balance(message).await })
            .await?;
        lines.append(&mut reply.lines);
        message.page_token = std::mem::take(&mut reply.next_page_token);
        if message.page_token.is_empty() {
            return Ok(v1::GetTrialBalanceResponse { lines, ..reply });
        }
    }
}

/// The headers of a trial balance.
pub(super) const TRIAL_BALANCE_HEADERS: [&str; 7] =
    ["asset", "debits posted", "credits posted", "debits pending", "credits pending", "accounts", "balanced"];

pub(super) async fn trial_balance(context: &Context, args: TrialBalanceArgs) -> CliResult {
    let is_whole = args.prefix.is_empty();
    let message = v1::GetTrialBalanceRequest {
        prefix: args.prefix,
        as_of: as_of(&args.as_of)?,
        read: context.read(),
        ..Default::default()
    };
    let reply = whole_trial_balance(&context.client, message).await?;
    let value = trial_balance_value(&reply);
    let printed = output::rows(context.output, &TRIAL_BALANCE_HEADERS, trial_balance_rows(&reply), &value);
    if is_whole && reply.lines.iter().any(|line| !line.is_balanced) {
        return Err(CliError::Verification("debits and credits differ over the whole book".to_owned()));
    }
    printed
}

/// Prints the journal. A stream that breaks off is taken up again where it ended, at the next endpoint, until none gives anything for as long as a call may take.
pub(super) async fn journal(context: &Context, args: JournalArgs) -> CliResult {
    let mut walk = JournalWalk { next: args.from.max(1), left: (args.limit > 0).then_some(args.limit) };
    let mut endpoint = 0;
    let mut idle_since = Instant::now();
    loop {
        let before = walk.next;
        let failure = match walk.follow(context, endpoint, args.follow).await? {
            None => return Ok(()),
            Some(failure) => failure,
        };
        if walk.next > before {
            idle_since = Instant::now();
        }
        match failure.kind {
            FailureKind::Unavailable | FailureKind::Unknown => {}
            FailureKind::Malformed
            | FailureKind::NotFound
            | FailureKind::Rejected
            | FailureKind::NotFolio
            | FailureKind::Other => {
                return Err(failure.at(context.client.address(endpoint)).into());
            }
        }
        if idle_since.elapsed() >= context.client.timeout() {
            let address = context.client.address(endpoint);
            let message = format!("{address} does not answer: {}; go on with --from {}", failure.message, walk.next);
            return Err(CliError::Call(Failure { kind: FailureKind::Unavailable, message, ..failure }));
        }
        endpoint = (endpoint + 1) % context.client.endpoints();
        tokio::time::sleep(JOURNAL_PAUSE).await;
    }
}

/// Between two attempts to take up a stream.
const JOURNAL_PAUSE: Duration = Duration::from_millis(100);

/// How far a walk through the journal has come.
struct JournalWalk {
    next: u64,
    /// How many records are still wanted; none for all.
    left: Option<u64>,
}

impl JournalWalk {
    /// Follows one endpoint's stream; the failure that ended it, or none if it came to its end.
    async fn follow(&mut self, context: &Context, endpoint: usize, follow: bool) -> CliResult<Option<Failure>> {
        if self.left == Some(0) {
            return Ok(None);
        }
        let Some(channel) = context.client.channel(endpoint) else { return Ok(None) };
        let message = v1::StreamJournalRequest {
            from_sequence: self.next,
            follow,
            read: context.read(),
            limit: self.left.unwrap_or(0),
        };
        let mut client = AuditServiceClient::new(channel).max_decoding_message_size(64 * 1024 * 1024);
        let mut stream = match client.stream_journal(message).await {
            Ok(stream) => stream.into_inner(),
            Err(status) => return Ok(Some(Failure::of_read(&status))),
        };
        loop {
            match stream.message().await {
                Ok(Some(chunk)) => {
                    for record in &chunk.records {
                        print_record(context.output, record)?;
                        self.next = record.sequence + 1;
                        self.left = self.left.map(|left| left.saturating_sub(1));
                    }
                }
                Ok(None) => return Ok(None),
                Err(status) => return Ok(Some(Failure::of_read(&status))),
            }
        }
    }
}

fn print_record(shape: Output, record: &v1::JournalRecord) -> CliResult {
    let value = output::journal_record(record);
    if shape == Output::Json {
        return output::json_value(&value);
    }
    let at = record.at.unwrap_or_default();
    let mut what = format!("{:>8}  {}  {}", record.sequence, output::time(at.log_time.as_ref()), record.event);
    for part in [&record.subject, &record.transaction_id] {
        if !part.is_empty() {
            what = format!("{what} {part}");
        }
    }
    output::line(&what)?;
    for posting in &record.postings {
        let v1::JournalPosting { account, amount, asset, .. } = posting;
        output::line(&format!("          {} {account} {amount} {asset}", output::side(posting.side())))?;
    }
    Ok(())
}
