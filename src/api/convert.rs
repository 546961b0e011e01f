//! Published requests into commands: strict parsing, every refusal naming field and value. Scales are checked here where the account is known; what is not
//! known here is checked by the core.

use std::collections::HashMap;

use ledger::command::{
    CeilingChange, Confirm, Details, Metadata, OpenAccount, Post, Posting, RegisterAsset, Reverse, SetLimits, Try,
};
use ledger::{
    AccountName, AccountNumber, AccountRef, Amount, Asset, AssetCode, Balance, Class, Command, EffectiveAt, Floor,
    Interval, Operation, RequestId, Scale, Side, TransactionId,
};
use prost_types::{Duration, Timestamp};
use tonic::Status;

use super::errors;
use crate::book::directory::Directory;
use crate::proto::v1;

type Parsed<T> = Result<T, Status>;

pub(super) fn request_id(text: &str) -> Parsed<RequestId> {
    RequestId::parse(text).map_err(|error| errors::invalid("request_id", format!("is {text:?}; it {error}")))
}

pub(super) fn transaction_id(field: &str, text: &str) -> Parsed<TransactionId> {
    TransactionId::parse(text).map_err(|error| errors::invalid(field, format!("is {text:?}; it {error}")))
}

fn own_transaction(text: &str, request: RequestId) -> Parsed<TransactionId> {
    if text.is_empty() { Ok(request.into()) } else { transaction_id("transaction_id", text) }
}

pub(super) fn account_name(field: &str, text: &str) -> Parsed<AccountName> {
    AccountName::new(text).map_err(|error| errors::invalid(field, format!("is {text:?}; it {error}")))
}

/// An account by the number it has here, or by its name where none is known: names on the book are well formed.
fn account(names: &Directory, field: impl Fn() -> String, text: &str) -> Parsed<AccountRef> {
    account_by(names.number_of(text), field, text)
}

/// The same with the number that the directory gave.
fn account_by(number: Option<AccountNumber>, field: impl Fn() -> String, text: &str) -> Parsed<AccountRef> {
    match number {
        Some(number) => Ok(AccountRef::Number(number)),
        None => account_name(&field(), text).map(AccountRef::Name),
    }
}

fn asset_code(field: &str, text: &str) -> Parsed<AssetCode> {
    AssetCode::new(text).map_err(|error| errors::invalid(field, format!("is {text:?}; it {error}")))
}

fn amount(field: impl Fn() -> String, text: &str) -> Parsed<Amount> {
    Amount::parse(text).map_err(|error| errors::bad_amount(&field(), text, error))
}

/// The name of a field that is no list's.
fn plain(field: &'static str) -> impl Fn() -> String {
    move || field.to_owned()
}

fn floor(message: &v1::Floor) -> Parsed<Floor> {
    match &message.kind {
        Some(v1::floor::Kind::AtLeast(text)) => {
            Balance::parse(text).map(Floor::AtLeast).map_err(|error| errors::bad_amount("floor.at_least", text, error))
        }
        Some(v1::floor::Kind::Unlimited(true)) => Ok(Floor::Unlimited),
        Some(v1::floor::Kind::Unlimited(false)) | None => {
            Err(errors::invalid("floor", "is empty; give at_least or set unlimited"))
        }
    }
}

fn class(value: i32) -> Parsed<Class> {
    match v1::AccountClass::try_from(value) {
        Ok(v1::AccountClass::Asset) => Ok(Class::Asset),
        Ok(v1::AccountClass::Liability) => Ok(Class::Liability),
        Ok(v1::AccountClass::Equity) => Ok(Class::Equity),
        Ok(v1::AccountClass::Income) => Ok(Class::Income),
        Ok(v1::AccountClass::Expense) => Ok(Class::Expense),
        Ok(v1::AccountClass::Unspecified) | Err(_) => {
            Err(errors::invalid("class", format!("is {value}; choose asset, liability, equity, income or expense")))
        }
    }
}

fn side(field: impl Fn() -> String, value: i32) -> Parsed<Side> {
    match v1::Side::try_from(value) {
        Ok(v1::Side::Debit) => Ok(Side::Debit),
        Ok(v1::Side::Credit) => Ok(Side::Credit),
        Ok(v1::Side::Unspecified) | Err(_) => {
            Err(errors::invalid(field(), format!("is {value}; choose debit or credit")))
        }
    }
}

fn metadata(pairs: HashMap<String, String>) -> Metadata {
    pairs.into_iter().collect()
}

/// Nanoseconds in a second.
const NANOS: i32 = 1_000_000_000;

/// The rest of a second, from 0 to 999 999 999 ns.
fn nanos(field: &str, nanos: i32) -> Parsed<i32> {
    let is_rest = (0..NANOS).contains(&nanos);
    is_rest
        .then_some(nanos)
        .ok_or_else(|| errors::invalid(format!("{field}.nanos"), format!("is {nanos}; 0 to 999999999 are allowed")))
}

/// A time as nanoseconds since 1970, as far as 64 bits reach: between the years 1677 and 2262.
pub(super) fn nanoseconds(field: &str, time: &Timestamp) -> Parsed<i64> {
    let rest = nanos(field, time.nanos)?;
    // Wider than any sum of these: the first second that fits begins before the first nanosecond
    // that does.
    let total = i128::from(time.seconds) * i128::from(NANOS) + i128::from(rest);
    i64::try_from(total).map_err(|_| {
        let (least, most) = (errors::shown_time(i64::MIN), errors::shown_time(i64::MAX));
        errors::invalid(field, format!("is {} s and {rest} ns since 1970; {least} to {most} are allowed", time.seconds))
    })
}

/// A length of time in nanoseconds. How long it may be is for the core to say.
fn interval(field: &str, length: &Duration) -> Parsed<Interval> {
    // A negative length has both parts negative, so its sign is told before its nanoseconds are.
    if length.seconds < 0 || length.nanos < 0 {
        let problem = format!("is {} s and {} ns; it must not be negative", length.seconds, length.nanos);
        return Err(errors::invalid(field, problem));
    }
    let rest = nanos(field, length.nanos)?;
    let total = i128::from(length.seconds) * i128::from(NANOS) + i128::from(rest);
    u64::try_from(total).map(Interval).map_err(|_| {
        let most = ledger::limits::MAX_TIMEOUT_NS;
        errors::invalid(field, format!("is {total} ns; at most {most} ns are allowed"))
    })
}

fn details(message: Option<v1::Details>) -> Parsed<Details> {
    let Some(message) = message else { return Ok(Details::default()) };
    let effective_at = match &message.effective_at {
        Some(time) => Some(EffectiveAt(nanoseconds("details.effective_at", time)?)),
        None => None,
    };
    Ok(Details { reference: message.reference, metadata: metadata(message.metadata), effective_at })
}

/// A posting's fields as they are written, wherever they lie.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct PostingFields<'a> {
    pub(super) account: &'a str,
    pub(super) side: i32,
    pub(super) amount: &'a str,
    pub(super) asset: &'a str,
}

/// `number` is what the directory has for the account.
fn posting(position: usize, fields: &PostingFields<'_>, number: Option<AccountNumber>) -> Parsed<Posting> {
    let asset = match fields.asset {
        "" => None,
        code => Some(asset_code(&format!("postings[{position}].asset"), code)?),
    };
    Ok(Posting {
        account: account_by(number, || format!("postings[{position}].account"), fields.account)?,
        side: side(|| format!("postings[{position}].side"), fields.side)?,
        amount: amount(|| format!("postings[{position}].amount"), fields.amount)?,
        asset,
    })
}

fn postings(names: &Directory, messages: &[v1::Posting]) -> Parsed<Vec<Posting>> {
    let mut postings = Vec::with_capacity(messages.len());
    for (position, message) in messages.iter().enumerate() {
        let v1::Posting { account, side, amount, asset } = message;
        let fields = PostingFields { account, side: *side, amount, asset };
        postings.push(posting(position, &fields, names.number_of(account))?);
    }
    Ok(postings)
}

fn amounts(texts: &[String]) -> Parsed<Option<Vec<Amount>>> {
    if texts.is_empty() {
        return Ok(None);
    }
    let parsed = texts.iter().enumerate().map(|(position, text)| amount(|| format!("amounts[{position}]"), text));
    parsed.collect::<Parsed<Vec<Amount>>>().map(Some)
}

/// A transfer's fields as they are written, wherever they lie; the details apart.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct TransferFields<'a> {
    pub(super) request_id: &'a str,
    pub(super) transaction_id: &'a str,
    pub(super) debit_account: &'a str,
    pub(super) credit_account: &'a str,
    pub(super) amount: &'a str,
    pub(super) asset: &'a str,
}

impl TransferFields<'_> {
    /// The numbers of the debited and the credited account, where they are known.
    pub(super) fn numbers(&self, names: &Directory) -> [Option<AccountNumber>; 2] {
        [names.number_of(self.debit_account), names.number_of(self.credit_account)]
    }
}

/// `numbers` are what the directory has for the accounts; `postings` lends its room and is empty.
fn transfer(
    fields: &TransferFields<'_>,
    [debited, credited]: [Option<AccountNumber>; 2],
    own_details: Option<v1::Details>,
    mut postings: Vec<Posting>,
) -> Parsed<(RequestId, Operation)> {
    let request = request_id(fields.request_id)?;
    let transaction = own_transaction(fields.transaction_id, request)?;
    let amount = amount(plain("amount"), fields.amount)?;
    let asset = match fields.asset {
        "" => None,
        code => Some(asset_code("asset", code)?),
    };
    let debit = account_by(debited, plain("debit_account"), fields.debit_account)?;
    let credit = account_by(credited, plain("credit_account"), fields.credit_account)?;
    postings.push(Posting { account: debit, side: Side::Debit, amount, asset });
    postings.push(Posting { account: credit, side: Side::Credit, amount, asset });
    Ok((request, Operation::Post(Post { transaction, postings, details: details(own_details)? })))
}

fn open_account(message: v1::OpenAccountRequest) -> Parsed<(RequestId, Operation)> {
    let request = request_id(&message.request_id)?;
    let default = Floor::AtLeast(Balance::zero(Scale::ZERO));
    let open = OpenAccount {
        name: account_name("name", &message.name)?,
        asset: asset_code("asset", &message.asset)?,
        class: class(message.class)?,
        floor: message.floor.as_ref().map_or(Ok(default), floor)?,
        ceiling: match message.ceiling.as_str() {
            "" => None,
            text => Some(amount(plain("ceiling"), text)?),
        },
        metadata: metadata(message.metadata),
    };
    Ok((request, Operation::OpenAccount(Box::new(open))))
}

fn set_limits(names: &Directory, message: v1::SetAccountLimitsRequest) -> Parsed<(RequestId, Operation)> {
    use v1::set_account_limits_request::CeilingChange as Change;
    let ceiling = match &message.ceiling_change {
        None | Some(Change::RemoveCeiling(false)) => CeilingChange::Keep,
        Some(Change::RemoveCeiling(true)) => CeilingChange::Remove,
        Some(Change::Ceiling(text)) => CeilingChange::Set(amount(plain("ceiling"), text)?),
    };
    let limits = SetLimits {
        account: account(names, plain("account"), &message.account)?,
        floor: message.floor.as_ref().map(floor).transpose()?,
        ceiling,
    };
    Ok((request_id(&message.request_id)?, Operation::SetLimits(limits)))
}

/// A command from its published form, checked as far as it can be without the book.
///
/// Accounts that `names` knows are given by their numbers.
pub(super) fn command(names: &Directory, operation: v1::command::Operation) -> Parsed<Command> {
    use v1::command::Operation as Message;
    let (request, operation) = match operation {
        Message::RegisterAsset(message) => {
            let scale = Scale::new(message.scale)
                .ok_or_else(|| errors::invalid("scale", format!("is {}; 0 to 18 are allowed", message.scale)))?;
            let code = asset_code("code", &message.code)?;
            (request_id(&message.request_id)?, Operation::RegisterAsset(RegisterAsset { code, scale }))
        }
        Message::OpenAccount(message) => open_account(message)?,
        Message::SetAccountLimits(message) => set_limits(names, message)?,
        Message::FreezeAccount(message) => {
            (request_id(&message.request_id)?, Operation::Freeze(account(names, plain("account"), &message.account)?))
        }
        Message::UnfreezeAccount(message) => {
            (request_id(&message.request_id)?, Operation::Unfreeze(account(names, plain("account"), &message.account)?))
        }
        Message::CloseAccount(message) => {
            (request_id(&message.request_id)?, Operation::Close(account(names, plain("account"), &message.account)?))
        }
        Message::Transfer(message) => {
            let fields = TransferFields {
                request_id: &message.request_id,
                transaction_id: &message.transaction_id,
                debit_account: &message.debit_account,
                credit_account: &message.credit_account,
                amount: &message.amount,
                asset: &message.asset,
            };
            transfer(&fields, fields.numbers(names), message.details, Vec::with_capacity(2))?
        }
        Message::PostTransaction(message) => {
            let request = request_id(&message.request_id)?;
            let transaction = own_transaction(&message.transaction_id, request)?;
            let (postings, details) = (postings(names, &message.postings)?, details(message.details)?);
            (request, Operation::Post(Post { transaction, postings, details }))
        }
        Message::TryTransaction(message) => {
            let request = request_id(&message.request_id)?;
            let transaction = own_transaction(&message.transaction_id, request)?;
            let timeout = message.timeout.as_ref().map(|length| interval("timeout", length)).transpose()?;
            let (postings, details) = (postings(names, &message.postings)?, details(message.details)?);
            (request, Operation::Try(Try { transaction, postings, details, timeout }))
        }
        Message::ConfirmTransaction(message) => {
            let transaction = transaction_id("transaction_id", &message.transaction_id)?;
            let amounts = amounts(&message.amounts)?;
            (request_id(&message.request_id)?, Operation::Confirm(Confirm { transaction, amounts }))
        }
        Message::CancelTransaction(message) => {
            let transaction = transaction_id("transaction_id", &message.transaction_id)?;
            (request_id(&message.request_id)?, Operation::Cancel(transaction))
        }
        Message::ReverseTransaction(message) => {
            let request = request_id(&message.request_id)?;
            let reverse = Reverse {
                transaction: own_transaction(&message.transaction_id, request)?,
                original: transaction_id("original_id", &message.original_id)?,
                amounts: amounts(&message.amounts)?,
                details: details(message.details)?,
            };
            (request, Operation::Reverse(reverse))
        }
    };
    checked(request, operation)
}

/// A transfer without details, from its fields; as [`command`] does.
pub(super) fn plain_transfer(
    fields: &TransferFields<'_>,
    numbers: [Option<AccountNumber>; 2],
    postings: Vec<Posting>,
) -> Parsed<Command> {
    let (request, operation) = transfer(fields, numbers, None, postings)?;
    checked(request, operation)
}

/// A try without details, from its fields, as [`command`] does; each posting comes with the number that the directory has for its account, and `room` lends its room and is empty.
pub(super) fn plain_try<'a>(
    [request, transaction]: [&str; 2],
    fields: impl Iterator<Item = &'a (PostingFields<'a>, Option<AccountNumber>)>,
    timeout: Option<Duration>,
    room: Vec<Posting>,
) -> Parsed<Command> {
    let request = request_id(request)?;
    let transaction = own_transaction(transaction, request)?;
    let timeout = timeout.map(|length| interval("timeout", &length)).transpose()?;
    let mut postings = room;
    for (position, (fields, number)) in fields.enumerate() {
        postings.push(posting(position, fields, *number)?);
    }
    checked(request, Operation::Try(Try { transaction, postings, details: Details::default(), timeout }))
}

/// A confirm of all that was reserved, from its fields; as [`command`] does.
pub(super) fn plain_confirm([request, transaction]: [&str; 2]) -> Parsed<Command> {
    let transaction = transaction_id("transaction_id", transaction)?;
    checked(request_id(request)?, Operation::Confirm(Confirm { transaction, amounts: None }))
}

/// A cancel from its fields; as [`command`] does.
pub(super) fn plain_cancel([request, transaction]: [&str; 2]) -> Parsed<Command> {
    let transaction = transaction_id("transaction_id", transaction)?;
    checked(request_id(request)?, Operation::Cancel(transaction))
}

fn checked(request: RequestId, operation: Operation) -> Parsed<Command> {
    let command = Command { request, principal: String::new(), operation };
    ledger::shape::check(&command).map_err(|found| errors::violation(&found))?;
    Ok(command)
}

/// Refuses amounts that do not fit the assets of accounts known here, before they reach the log.
/// A refusal comes with its command's position.
pub(super) fn check_scales(directory: &Directory, commands: &[Command]) -> Result<(), (usize, Status)> {
    for (position, command) in commands.iter().enumerate() {
        check_scale(directory, command).map_err(|refusal| (position, refusal))?;
    }
    Ok(())
}

/// Refuses a command's amounts that do not fit the assets of accounts known here.
pub(super) fn check_scale(directory: &Directory, command: &Command) -> Parsed<()> {
    let postings = match &command.operation {
        Operation::Post(post) => &post.postings,
        Operation::Try(attempt) => &attempt.postings,
        Operation::OpenAccount(open) => {
            return match directory.asset_by_code(&open.asset) {
                Some(asset) => check_limits(asset, Some(open.floor), open.ceiling),
                None => Ok(()),
            };
        }
        Operation::SetLimits(limits) => {
            let ceiling = match limits.ceiling {
                CeilingChange::Set(ceiling) => Some(ceiling),
                CeilingChange::Keep | CeilingChange::Remove => None,
            };
            return match asset_of(directory, &limits.account) {
                Some(asset) => check_limits(asset, limits.floor, ceiling),
                None => Ok(()),
            };
        }
        Operation::RegisterAsset(_)
        | Operation::Freeze(_)
        | Operation::Unfreeze(_)
        | Operation::Close(_)
        | Operation::Confirm(_)
        | Operation::Cancel(_)
        | Operation::Reverse(_)
        | Operation::Atomic(_) => return Ok(()),
    };
    for (position, posting) in postings.iter().enumerate() {
        if let Some(asset) = asset_of(directory, &posting.account)
            && let Err(error) = posting.amount.at_scale(asset.scale)
        {
            let field = format!("postings[{position}].amount");
            return Err(errors::bad_amount(&field, &posting.amount.to_string(), error));
        }
    }
    Ok(())
}

fn asset_of<'d>(directory: &'d Directory, account: &AccountRef) -> Option<&'d Asset> {
    match account {
        AccountRef::Number(number) => directory.asset_of(*number),
        AccountRef::Name(name) => directory.asset_of(directory.number(name)?),
    }
}

fn check_limits(asset: &Asset, floor: Option<Floor>, ceiling: Option<Amount>) -> Parsed<()> {
    if let Some(Floor::AtLeast(least)) = floor
        && let Err(error) = least.at_scale(asset.scale)
    {
        return Err(errors::bad_amount("floor.at_least", &least.to_string(), error));
    }
    match ceiling.map(|ceiling| (ceiling, ceiling.at_scale(asset.scale))) {
        Some((ceiling, Err(error))) => Err(errors::bad_amount("ceiling", &ceiling.to_string(), error)),
        Some((_, Ok(_))) | None => Ok(()),
    }
}
