//! `folio account`.

use serde_json::{Value, json};

use super::args::{AccountVerb, ClassArg, RequestArgs};
use super::context::{Context, Ledger, RequestId, floor, metadata};
use super::{CliResult, output};
use crate::client::Failure;
use crate::proto::v1;

fn class(class: ClassArg) -> v1::AccountClass {
    match class {
        ClassArg::Asset => v1::AccountClass::Asset,
        ClassArg::Liability => v1::AccountClass::Liability,
        ClassArg::Equity => v1::AccountClass::Equity,
        ClassArg::Income => v1::AccountClass::Income,
        ClassArg::Expense => v1::AccountClass::Expense,
    }
}

fn value(account: &v1::Account) -> Value {
    json!({
        "name": account.name,
        "asset": account.asset,
        "class": output::class(account.class()),
        "status": output::status(account.status()),
        "floor": output::floor(account.floor.as_ref()),
        "ceiling": account.ceiling,
        "metadata": account.metadata,
        "totals": output::totals(account.totals.as_ref()),
        "posted": account.posted,
        "available": account.available,
        "opened_sequence": account.opened_sequence,
        "opened_at": output::time(account.opened_at.as_ref()),
    })
}

fn decided(decision: Option<v1::Decision>) -> v1::CommandResult {
    v1::CommandResult { decision, ..v1::CommandResult::default() }
}

pub(super) async fn run(context: &Context, verb: AccountVerb) -> CliResult {
    match verb {
        AccountVerb::Open { name, asset, class: of, floor: least, ceiling, metadata: pairs, request } => {
            let id = RequestId::of(request);
            let message = v1::OpenAccountRequest {
                request_id: id.text(),
                name,
                asset,
                class: class(of).into(),
                floor: least.as_deref().map(floor),
                ceiling: ceiling.unwrap_or_default(),
                metadata: metadata(&pairs)?,
            };
            let result = |reply: v1::OpenAccountResponse| decided(reply.decision);
            let call = |mut client: Ledger, message| async move { client.open_account(message).await };
            context.change(id, message, call, result).await
        }
        AccountVerb::Show { name } => show(context, name).await,
        AccountVerb::List { prefix } => list(context, prefix).await,
        AccountVerb::SetLimits { name, floor: least, ceiling, request } => {
            set_limits(context, name, least, ceiling, request).await
        }
        AccountVerb::Freeze { name, request } => {
            let id = RequestId::of(request);
            let message = v1::FreezeAccountRequest { request_id: id.text(), account: name };
            let result = |reply: v1::FreezeAccountResponse| decided(reply.decision);
            let call = |mut client: Ledger, message| async move { client.freeze_account(message).await };
            context.change(id, message, call, result).await
        }
        AccountVerb::Unfreeze { name, request } => {
            let id = RequestId::of(request);
            let message = v1::UnfreezeAccountRequest { request_id: id.text(), account: name };
            let result = |reply: v1::UnfreezeAccountResponse| decided(reply.decision);
            let call = |mut client: Ledger, message| async move { client.unfreeze_account(message).await };
            context.change(id, message, call, result).await
        }
        AccountVerb::Close { name, request } => {
            let id = RequestId::of(request);
            let message = v1::CloseAccountRequest { request_id: id.text(), account: name };
            let result = |reply: v1::CloseAccountResponse| decided(reply.decision);
            let call = |mut client: Ledger, message| async move { client.close_account(message).await };
            context.change(id, message, call, result).await
        }
    }
}

async fn set_limits(
    context: &Context,
    account: String,
    least: Option<String>,
    ceiling: Option<String>,
    request: RequestArgs,
) -> CliResult {
    use v1::set_account_limits_request::CeilingChange;
    let id = RequestId::of(request);
    let ceiling_change = ceiling.map(|text| match text.as_str() {
        "none" => CeilingChange::RemoveCeiling(true),
        _ => CeilingChange::Ceiling(text),
    });
    let message = v1::SetAccountLimitsRequest {
        request_id: id.text(),
        account,
        floor: least.as_deref().map(floor),
        ceiling_change,
    };
    let result = |reply: v1::SetAccountLimitsResponse| decided(reply.decision);
    let call = |mut client: Ledger, message| async move { client.set_account_limits(message).await };
    context.change(id, message, call, result).await
}

async fn show(context: &Context, name: String) -> CliResult {
    let message = v1::GetAccountRequest { name, read: context.read() };
    let reply = context
        .client
        .ledger_read(message, |mut client, message| async move { client.get_account(message).await })
        .await?;
    let account = reply.account.unwrap_or_default();
    let totals = account.totals.clone().unwrap_or_default();
    let pairs = [
        ("account", account.name.clone()),
        ("asset", account.asset.clone()),
        ("class", output::class(account.class()).to_owned()),
        ("status", output::status(account.status()).to_owned()),
        ("floor", output::floor(account.floor.as_ref())),
        ("ceiling", if account.ceiling.is_empty() { "none".to_owned() } else { account.ceiling.clone() }),
        ("posted", account.posted.clone()),
        ("available", account.available.clone()),
        ("debits", format!("{} posted, {} pending", totals.debits_posted, totals.debits_pending)),
        ("credits", format!("{} posted, {} pending", totals.credits_posted, totals.credits_pending)),
        ("opened", output::time(account.opened_at.as_ref())),
    ];
    let point = output::read_point(reply.read_point.as_ref());
    output::pairs(context.output, &pairs, &json!({ "read_point": point, "account": value(&account) }))
}

/// All accounts at or below a prefix, walked page by page at one point of the log.
pub(super) async fn all(context: &Context, prefix: &str) -> Result<(Vec<v1::Account>, Option<v1::ReadPoint>), Failure> {
    let mut accounts = Vec::new();
    let mut page_token = String::new();
    loop {
        let message =
            v1::ListAccountsRequest { prefix: prefix.to_owned(), read: context.read(), page_size: 1000, page_token };
        let reply = context
            .client
            .ledger_read(message, |mut client, message| async move { client.list_accounts(message).await })
            .await?;
        accounts.extend(reply.accounts);
        page_token = reply.next_page_token;
        if page_token.is_empty() {
            return Ok((accounts, reply.read_point));
        }
    }
}

async fn list(context: &Context, prefix: String) -> CliResult {
    let (accounts, point) = all(context, &prefix).await?;
    let row = |account: &v1::Account| {
        vec![
            account.name.clone(),
            account.asset.clone(),
            output::class(account.class()).to_owned(),
            output::status(account.status()).to_owned(),
            account.posted.clone(),
            account.available.clone(),
        ]
    };
    let rows = accounts.iter().map(row).collect();
    let values: Vec<Value> = accounts.iter().map(value).collect();
    let value = json!({ "read_point": output::read_point(point.as_ref()), "accounts": values });
    output::rows(context.output, &["account", "asset", "class", "status", "posted", "available"], rows, &value)
}
