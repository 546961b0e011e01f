//! `folio transfer` and `folio tx`.

use std::time::Duration;

use serde_json::{Value, json};

use super::args::{DetailArgs, PostingArgs, StateArg, TransferArgs, TxVerb};
use super::context::{Context, Ledger, RequestId, metadata, optional_timestamp};
use super::{CliError, CliResult, output};
use crate::proto::v1;

fn details(args: DetailArgs) -> CliResult<Option<v1::Details>> {
    Ok(Some(v1::Details {
        reference: args.reference,
        metadata: metadata(&args.metadata)?,
        effective_at: optional_timestamp(args.effective_at.as_ref())?,
    }))
}

fn postings(debits: &[String], credits: &[String]) -> CliResult<Vec<v1::Posting>> {
    let sides =
        debits.iter().map(|text| (v1::Side::Debit, text)).chain(credits.iter().map(|text| (v1::Side::Credit, text)));
    sides
        .map(|(side, text)| match text.split_once('=') {
            Some((account, amount)) => Ok(v1::Posting {
                account: account.to_owned(),
                side: side.into(),
                amount: amount.to_owned(),
                asset: String::new(),
            }),
            None => Err(CliError::Usage(format!("posting {text:?} is not ACCOUNT=AMOUNT"))),
        })
        .collect()
}

/// What was decided of a transaction.
fn decided(decision: Option<v1::Decision>, transaction_id: String) -> v1::CommandResult {
    v1::CommandResult { decision, transaction_id, ..Default::default() }
}

pub(super) async fn transfer(context: &Context, args: TransferArgs) -> CliResult {
    let id = RequestId::of(args.request);
    let message = v1::TransferRequest {
        request_id: id.text(),
        transaction_id: args.transaction_id,
        debit_account: args.debit,
        credit_account: args.credit,
        amount: args.amount,
        asset: String::new(),
        details: details(args.details)?,
    };
    let result = |reply: v1::TransferResponse| decided(reply.decision, reply.transaction_id);
    context.change(id, message, |mut client, message| async move { client.transfer(message).await }, result).await
}

pub(super) async fn run(context: &Context, verb: TxVerb) -> CliResult {
    match verb {
        TxVerb::Post(args) => post(context, args).await,
        TxVerb::Try { postings, hold } => try_hold(context, postings, hold).await,
        TxVerb::Confirm { transaction_id, amounts, request } => {
            let id = RequestId::of(request);
            let message = v1::ConfirmTransactionRequest {
                request_id: id.text(),
                transaction_id: transaction_id.clone(),
                amounts,
            };
            let result = |reply: v1::ConfirmTransactionResponse| decided(reply.decision, transaction_id);
            let call = |mut client: Ledger, message| async move { client.confirm_transaction(message).await };
            context.change(id, message, call, result).await
        }
        TxVerb::Cancel { transaction_id, request } => {
            let id = RequestId::of(request);
            let message =
                v1::CancelTransactionRequest { request_id: id.text(), transaction_id: transaction_id.clone() };
            let result = |reply: v1::CancelTransactionResponse| v1::CommandResult {
                empty: reply.empty,
                ..decided(reply.decision, transaction_id)
            };
            let call = |mut client: Ledger, message| async move { client.cancel_transaction(message).await };
            context.change(id, message, call, result).await
        }
        TxVerb::Reverse { original_id, amounts, transaction_id, details: told, request } => {
            let id = RequestId::of(request);
            let message = v1::ReverseTransactionRequest {
                request_id: id.text(),
                transaction_id,
                original_id,
                amounts,
                details: details(told)?,
            };
            let result = |reply: v1::ReverseTransactionResponse| decided(reply.decision, reply.transaction_id);
            let call = |mut client: Ledger, message| async move { client.reverse_transaction(message).await };
            context.change(id, message, call, result).await
        }
        TxVerb::Show { transaction_id } => show(context, transaction_id).await,
        TxVerb::List { account, prefix, reference, state, from, to, limit } => {
            let request = v1::ListTransactionsRequest {
                account,
                account_prefix: prefix,
                reference,
                state: state.map_or(v1::TransactionState::Unspecified, wire_state).into(),
                from: optional_timestamp(from.as_ref())?,
                to: optional_timestamp(to.as_ref())?,
                read: context.read(),
                page_size: 0,
                page_token: String::new(),
            };
            list(context, request, limit).await
        }
    }
}

fn wire_state(state: StateArg) -> v1::TransactionState {
    match state {
        StateArg::Tried => v1::TransactionState::Tried,
        StateArg::Confirmed => v1::TransactionState::Confirmed,
        StateArg::Cancelled => v1::TransactionState::Cancelled,
        StateArg::Expired => v1::TransactionState::Expired,
    }
}

async fn post(context: &Context, args: PostingArgs) -> CliResult {
    let id = RequestId::of(args.request);
    let message = v1::PostTransactionRequest {
        request_id: id.text(),
        transaction_id: args.transaction_id,
        postings: postings(&args.debit, &args.credit)?,
        details: details(args.details)?,
    };
    let result = |reply: v1::PostTransactionResponse| decided(reply.decision, reply.transaction_id);
    let call = |mut client: Ledger, message| async move { client.post_transaction(message).await };
    context.change(id, message, call, result).await
}

/// A length of time on the wire.
pub(super) fn wire_duration(length: Duration) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(length).ok()
}

async fn try_hold(context: &Context, args: PostingArgs, hold: Option<Duration>) -> CliResult {
    let id = RequestId::of(args.request);
    let message = v1::TryTransactionRequest {
        request_id: id.text(),
        transaction_id: args.transaction_id,
        postings: postings(&args.debit, &args.credit)?,
        details: details(args.details)?,
        timeout: hold.and_then(wire_duration),
    };
    let result = |reply: v1::TryTransactionResponse| v1::CommandResult {
        deadline: reply.deadline,
        ..decided(reply.decision, reply.transaction_id)
    };
    let call = |mut client: Ledger, message| async move { client.try_transaction(message).await };
    context.change(id, message, call, result).await
}

fn value(transaction: &v1::Transaction) -> Value {
    let postings: Vec<Value> = transaction
        .postings
        .iter()
        .map(|posting| {
            json!({
                "account": posting.account,
                "asset": posting.asset,
                "side": output::side(posting.side()),
                "amount": posting.amount,
                "confirmed": posting.confirmed,
                "reversed": posting.reversed,
            })
        })
        .collect();
    json!({
        "transaction_id": transaction.transaction_id,
        "state": output::state(transaction.state()),
        "kind": transaction.kind,
        "postings": postings,
        "details": output::details(transaction.details.as_ref()),
        "created_at": output::time(transaction.created_at.as_ref()),
        "created_sequence": transaction.created_sequence,
        "deadline": output::time(transaction.deadline.as_ref()),
        "resolved_at": output::time(transaction.resolved_at.as_ref()),
        "age_seconds": transaction.age.as_ref().map(|age| age.seconds),
        "original_id": transaction.original_id,
    })
}

async fn show(context: &Context, transaction_id: String) -> CliResult {
    let mut message =
        v1::GetTransactionRequest { transaction_id, read: context.read(), page_size: 1000, page_token: String::new() };
    let mut records = Vec::new();
    let reply = loop {
        let mut reply = context
            .client
            .audit(message.clone(), |mut client, message| async move { client.get_transaction(message).await })
            .await?;
        records.append(&mut reply.timeline);
        message.page_token = std::mem::take(&mut reply.next_page_token);
        if message.page_token.is_empty() {
            break reply;
        }
    };
    let transaction = reply.transaction.unwrap_or_default();
    let timeline: Vec<Value> = records.iter().map(output::journal_record).collect();
    let value = json!({
        "read_point": output::read_point(reply.read_point.as_ref()),
        "transaction": value(&transaction),
        "timeline": timeline,
    });
    if context.output == super::args::Output::Json {
        return output::json_value(&value);
    }
    let pairs = [
        ("transaction", transaction.transaction_id.clone()),
        ("state", output::state(transaction.state()).to_owned()),
        ("reference", transaction.details.clone().unwrap_or_default().reference),
        ("deadline", output::time(transaction.deadline.as_ref())),
    ];
    output::pairs(context.output, &pairs, &value)?;
    let postings = transaction.postings.iter().map(|posting| {
        vec![
            posting.account.clone(),
            posting.asset.clone(),
            output::side(posting.side()).to_owned(),
            posting.amount.clone(),
            posting.confirmed.clone(),
            posting.reversed.clone(),
        ]
    });
    let headers = ["account", "asset", "side", "amount", "confirmed", "reversed"];
    output::rows(context.output, &headers, postings.collect(), &value)?;
    let events = records.iter().map(|record| {
        let at = record.at.unwrap_or_default();
        vec![
            record.sequence.to_string(),
            output::time(at.log_time.as_ref()),
            record.event.clone(),
            record.request_id.clone(),
            at.log_index.to_string(),
        ]
    });
    output::rows(context.output, &["journal", "time", "event", "request", "log index"], events.collect(), &value)
}

async fn list(context: &Context, mut request: v1::ListTransactionsRequest, limit: u64) -> CliResult {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut transactions = Vec::new();
    let mut point = None;
    while transactions.len() < limit {
        request.page_size = u32::try_from((limit - transactions.len()).min(1000)).unwrap_or(1000);
        let reply = context
            .client
            .audit(request.clone(), |mut client, message| async move { client.list_transactions(message).await })
            .await?;
        transactions.extend(reply.transactions);
        point = reply.read_point;
        request.page_token = reply.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    let row = |transaction: &v1::Transaction| {
        let age = transaction.age.as_ref().map(|age| format!("{} s", age.seconds)).unwrap_or_default();
        vec![
            transaction.transaction_id.clone(),
            output::state(transaction.state()).to_owned(),
            transaction.kind.clone(),
            output::time(transaction.created_at.as_ref()),
            age,
            transaction.details.clone().unwrap_or_default().reference,
        ]
    };
    let rows = transactions.iter().map(row).collect();
    let values: Vec<Value> = transactions.iter().map(value).collect();
    let value = json!({ "read_point": output::read_point(point.as_ref()), "transactions": values });
    output::rows(context.output, &["transaction", "state", "kind", "created", "age", "reference"], rows, &value)
}
