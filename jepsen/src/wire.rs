//! Calls onto the wire and answers off it.

use std::time::Duration;

use folio::proto::v1::audit_service_client::AuditServiceClient;
use folio::proto::v1::command::Operation as Wire;
use folio::proto::v1::ledger_service_client::LedgerServiceClient;
use folio::proto::v1::{self, set_account_limits_request};
use folio_checker::history::{
    AccountClass, AccountStatus, AccountView, Answer, AtomicAnswer, AtomicOutcome, Call, CeilingChange, Command,
    Completion, Consistency, Details, Done, FloorText, Found, Id, ItemAnswer, LogPoint, Place, Posting, PostingView,
    Query, Read, ReadAnswer, ReadValue, Reason, Refusal, Side, Totals, TransactionState, TransactionView, TrialLine,
    Write,
};
use prost_types::Timestamp;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// An answer that does not say what the protocol promises: a finding of its own.
type Decoded<T> = Result<T, String>;

fn optional_id(id: Option<Id>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

fn side(side: Side) -> i32 {
    match side {
        Side::Debit => v1::Side::Debit.into(),
        Side::Credit => v1::Side::Credit.into(),
    }
}

fn postings(postings: &[Posting]) -> Vec<v1::Posting> {
    let wire = |posting: &Posting| v1::Posting {
        account: posting.account.clone(),
        side: side(posting.side),
        amount: posting.amount.clone(),
        asset: posting.asset.clone().unwrap_or_default(),
    };
    postings.iter().map(wire).collect()
}

fn details(details: &Details) -> Option<v1::Details> {
    Some(v1::Details {
        reference: details.reference.clone(),
        metadata: details.metadata.clone().into_iter().collect(),
        effective_at: None,
    })
}

fn floor(floor: &FloorText) -> v1::Floor {
    let kind = match floor {
        FloorText::AtLeast(least) => v1::floor::Kind::AtLeast(least.clone()),
        FloorText::Unlimited => v1::floor::Kind::Unlimited(true),
    };
    v1::Floor { kind: Some(kind) }
}

fn class(class: AccountClass) -> i32 {
    match class {
        AccountClass::Asset => v1::AccountClass::Asset.into(),
        AccountClass::Expense => v1::AccountClass::Expense.into(),
        AccountClass::Liability => v1::AccountClass::Liability.into(),
        AccountClass::Equity => v1::AccountClass::Equity.into(),
        AccountClass::Income => v1::AccountClass::Income.into(),
    }
}

fn command(write: &Write) -> v1::Command {
    let request_id = write.request_id.to_string();
    let operation = match &write.command {
        Command::RegisterAsset { code, scale } => {
            Wire::RegisterAsset(v1::RegisterAssetRequest { request_id, code: code.clone(), scale: *scale })
        }
        Command::OpenAccount { name, asset, class: of, floor: least, ceiling, metadata } => {
            Wire::OpenAccount(v1::OpenAccountRequest {
                request_id,
                name: name.clone(),
                asset: asset.clone(),
                class: class(*of),
                floor: least.as_ref().map(floor),
                ceiling: ceiling.clone().unwrap_or_default(),
                metadata: metadata.clone().into_iter().collect(),
            })
        }
        Command::SetLimits { account, floor: least, ceiling } => {
            let change = match ceiling {
                CeilingChange::Keep => None,
                CeilingChange::Set(ceiling) => {
                    Some(set_account_limits_request::CeilingChange::Ceiling(ceiling.clone()))
                }
                CeilingChange::Remove => Some(set_account_limits_request::CeilingChange::RemoveCeiling(true)),
            };
            Wire::SetAccountLimits(v1::SetAccountLimitsRequest {
                request_id,
                account: account.clone(),
                floor: least.as_ref().map(floor),
                ceiling_change: change,
            })
        }
        Command::Freeze { account } => {
            Wire::FreezeAccount(v1::FreezeAccountRequest { request_id, account: account.clone() })
        }
        Command::Unfreeze { account } => {
            Wire::UnfreezeAccount(v1::UnfreezeAccountRequest { request_id, account: account.clone() })
        }
        Command::Close { account } => {
            Wire::CloseAccount(v1::CloseAccountRequest { request_id, account: account.clone() })
        }
        Command::Post { transaction, postings: lines, details: told } => {
            Wire::PostTransaction(v1::PostTransactionRequest {
                request_id,
                transaction_id: optional_id(*transaction),
                postings: postings(lines),
                details: details(told),
            })
        }
        Command::Try { transaction, postings: lines, details: told, timeout_ns } => {
            let timeout = timeout_ns.map(Duration::from_nanos).and_then(|timeout| timeout.try_into().ok());
            Wire::TryTransaction(v1::TryTransactionRequest {
                request_id,
                transaction_id: optional_id(*transaction),
                postings: postings(lines),
                details: details(told),
                timeout,
            })
        }
        Command::Confirm { transaction, amounts } => Wire::ConfirmTransaction(v1::ConfirmTransactionRequest {
            request_id,
            transaction_id: transaction.to_string(),
            amounts: amounts.clone().unwrap_or_default(),
        }),
        Command::Cancel { transaction } => Wire::CancelTransaction(v1::CancelTransactionRequest {
            request_id,
            transaction_id: transaction.to_string(),
        }),
        Command::Reverse { transaction, original, amounts, details: told } => {
            Wire::ReverseTransaction(v1::ReverseTransactionRequest {
                request_id,
                transaction_id: optional_id(*transaction),
                original_id: original.to_string(),
                amounts: amounts.clone().unwrap_or_default(),
                details: details(told),
            })
        }
    };
    v1::Command { operation: Some(operation) }
}

fn nanoseconds(time: Option<&Timestamp>) -> Decoded<u64> {
    let time = time.ok_or("a time is missing")?;
    let seconds = u64::try_from(time.seconds).map_err(|_| "a time lies before 1970")?;
    let nanos = u64::try_from(time.nanos).map_err(|_| "a time has negative nanoseconds")?;
    Ok(seconds * 1_000_000_000 + nanos)
}

fn point(point: Option<&v1::LogPoint>) -> Decoded<LogPoint> {
    let point = point.ok_or("a decided answer does not say where it was decided")?;
    let place = Place { index: point.log_index, position: point.position };
    Ok(LogPoint { place, time_ns: nanoseconds(point.log_time.as_ref())? })
}

fn state(state: v1::TransactionState) -> Option<TransactionState> {
    match state {
        v1::TransactionState::Unspecified => None,
        v1::TransactionState::Tried => Some(TransactionState::Tried),
        v1::TransactionState::Confirmed => Some(TransactionState::Confirmed),
        v1::TransactionState::Cancelled => Some(TransactionState::Cancelled),
        v1::TransactionState::Expired => Some(TransactionState::Expired),
    }
}

fn result(result: &v1::CommandResult) -> Decoded<Result<Done, Refusal>> {
    if let Some(refusal) = &result.refusal {
        let reason = Reason::parse(&refusal.reason).ok_or_else(|| format!("unknown reason {:?}", refusal.reason))?;
        return Ok(Err(Refusal { reason, metadata: refusal.metadata.clone().into_iter().collect() }));
    }
    let deadline_ns = match &result.deadline {
        Some(deadline) => Some(nanoseconds(Some(deadline))?),
        None => None,
    };
    Ok(Ok(Done { deadline_ns, empty: result.empty }))
}

fn replay_of(decision: &v1::Decision) -> Decoded<Option<LogPoint>> {
    if decision.replayed { point(decision.first.as_ref()).map(Some) } else { Ok(None) }
}

fn answer(wire: &v1::CommandResult) -> Decoded<Answer> {
    let decision = wire.decision.as_ref().ok_or("an answer without a decision")?;
    Ok(Answer {
        at: point(decision.at.as_ref())?,
        replay_of: replay_of(decision)?,
        journal_sequence: decision.journal_sequence,
        state: state(decision.transaction_state()),
        result: result(wire)?,
    })
}

fn item(wire: &v1::CommandResult) -> Decoded<ItemAnswer> {
    let decision = wire.decision.unwrap_or_default();
    let time_ns = match decision.at.as_ref().and_then(|at| at.log_time.as_ref()) {
        Some(time) => Some(nanoseconds(Some(time))?),
        None => None,
    };
    Ok(ItemAnswer {
        time_ns,
        replay_of: replay_of(&decision)?,
        journal_sequence: decision.journal_sequence,
        state: state(decision.transaction_state()),
        result: result(wire)?,
    })
}

fn atomic(decision: &v1::Decision, is_applied: bool, items: &[v1::CommandResult]) -> Decoded<AtomicAnswer> {
    let items = items.iter().map(item).collect::<Decoded<Vec<_>>>()?;
    let outcome = if is_applied { AtomicOutcome::Applied(items) } else { AtomicOutcome::NotApplied(items) };
    Ok(AtomicAnswer { at: point(decision.at.as_ref())?, replay_of: replay_of(decision)?, outcome })
}

fn read_options(consistency: Consistency) -> Option<v1::ReadOptions> {
    use v1::read_options::Consistency as WireConsistency;
    let consistency = match consistency {
        Consistency::Linearizable => WireConsistency::Linearizable(true),
        Consistency::AtLeast(index) => WireConsistency::AtLeastIndex(index),
        Consistency::Stale => WireConsistency::Stale(true),
    };
    Some(v1::ReadOptions { consistency: Some(consistency) })
}

/// Minor units of a text that has its asset's full scale.
pub(crate) fn minor(text: &str) -> Decoded<u128> {
    text.replace('.', "").parse().map_err(|_| format!("{text:?} is no amount"))
}

fn signed_minor(text: &str) -> Decoded<i128> {
    text.replace('.', "").parse().map_err(|_| format!("{text:?} is no balance"))
}

pub(crate) fn totals(totals: Option<&v1::Totals>) -> Decoded<Totals> {
    let totals = totals.ok_or("totals are missing")?;
    Ok(Totals {
        debits_pending: minor(&totals.debits_pending)?,
        debits_posted: minor(&totals.debits_posted)?,
        credits_pending: minor(&totals.credits_pending)?,
        credits_posted: minor(&totals.credits_posted)?,
    })
}

pub(crate) fn account(account: &v1::Account) -> Decoded<AccountView> {
    let status = match account.status() {
        v1::AccountStatus::Open => AccountStatus::Open,
        v1::AccountStatus::Frozen => AccountStatus::Frozen,
        v1::AccountStatus::Closed => AccountStatus::Closed,
        v1::AccountStatus::Unspecified => return Err("an account without a status".to_owned()),
    };
    Ok(AccountView {
        asset: account.asset.clone(),
        status,
        totals: totals(account.totals.as_ref())?,
        posted: signed_minor(&account.posted)?,
        available: signed_minor(&account.available)?,
    })
}

/// A side off the wire.
pub(crate) fn side_of(side: v1::Side) -> Decoded<Side> {
    match side {
        v1::Side::Debit => Ok(Side::Debit),
        v1::Side::Credit => Ok(Side::Credit),
        v1::Side::Unspecified => Err("a posting without a side".to_owned()),
    }
}

fn transaction(wire: &v1::Transaction) -> Decoded<TransactionView> {
    let mut postings = Vec::new();
    for posting in &wire.postings {
        postings.push(PostingView {
            account: posting.account.clone(),
            side: side_of(posting.side())?,
            amount: minor(&posting.amount)?,
            confirmed: if posting.confirmed.is_empty() { None } else { Some(minor(&posting.confirmed)?) },
            reversed: minor(&posting.reversed)?,
        });
    }
    let deadline_ns = match &wire.deadline {
        Some(deadline) => Some(nanoseconds(Some(deadline))?),
        None => None,
    };
    Ok(TransactionView { state: state(wire.state()).ok_or("a transaction without a state")?, postings, deadline_ns })
}

fn read_answer(read_point: Option<&v1::ReadPoint>, value: ReadValue) -> Decoded<Completion> {
    let read_point = read_point.ok_or("a read does not say what it reflects")?;
    let (index, time_ns) = (read_point.log_index, nanoseconds(read_point.log_time.as_ref())?);
    Ok(Completion::Read(ReadAnswer { index, time_ns, value }))
}

/// Where in the log, and when, a "not found" reflects; a refusal that was decided there has a position besides.
fn missing_at(status: &Status) -> Option<(u64, u64)> {
    let details = status.get_error_details();
    let metadata = &details.error_info()?.metadata;
    let number = |key: &str| metadata.get(key)?.parse().ok();
    (status.code() == Code::NotFound).then_some((number("log_index")?, number("log_time_ns")?))
}

/// What a failed call means: surely nothing, or nobody knows.
fn failed(status: &Status) -> Completion {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
    let is_certain = matches!(reason.as_str(), "OVERLOADED" | "DEADLINE_EXCEEDED" | "NO_QUORUM" | "CLOCK_SKEW")
        || status.code() == Code::InvalidArgument;
    if is_certain {
        let reason = if reason.is_empty() { "INVALID_ARGUMENT".to_owned() } else { reason };
        Completion::NotProposed { reason }
    } else {
        Completion::Unknown(format!("{:?} {reason} {}", status.code(), status.message()))
    }
}

async fn bounded<T>(
    timeout: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Completion> {
    match tokio::time::timeout(timeout, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(failed(&status)),
        Err(_) => Err(Completion::Unknown("the client gave up".to_owned())),
    }
}

/// Makes a call and tells how it ended. `Err` means that the answer itself breaks the protocol.
pub(crate) async fn perform(channel: Channel, call: &Call, timeout: Duration) -> Decoded<Completion> {
    let mut client = LedgerServiceClient::new(channel.clone());
    match call {
        Call::Write(write) => {
            let message = v1::ExecuteBatchRequest { commands: vec![command(write)], atomic_request_id: String::new() };
            match bounded(timeout, client.execute_batch(message)).await {
                Ok(reply) => {
                    let first = reply.results.first().ok_or("a batch of one has no answer")?;
                    answer(first).map(Completion::Answered)
                }
                Err(completion) => Ok(completion),
            }
        }
        Call::Batch(writes) => {
            let commands = writes.iter().map(command).collect();
            let message = v1::ExecuteBatchRequest { commands, atomic_request_id: String::new() };
            match bounded(timeout, client.execute_batch(message)).await {
                Ok(reply) => reply.results.iter().map(answer).collect::<Decoded<_>>().map(Completion::Batch),
                Err(completion) => Ok(completion),
            }
        }
        Call::Atomic(batch) => {
            let commands = batch.items.iter().map(command).collect();
            let message = v1::ExecuteBatchRequest { commands, atomic_request_id: batch.request_id.to_string() };
            match bounded(timeout, client.execute_batch(message)).await {
                Ok(reply) => {
                    let decision = reply.decision.as_ref().ok_or("an atomic batch without a decision")?;
                    atomic(decision, reply.applied, &reply.results).map(Completion::Atomic)
                }
                Err(completion) => Ok(completion),
            }
        }
        Call::Read(read) => perform_read(channel, read, timeout).await,
    }
}

async fn perform_read(channel: Channel, read: &Read, timeout: Duration) -> Decoded<Completion> {
    let options = read_options(read.consistency);
    let mut ledger = LedgerServiceClient::new(channel.clone());
    let mut audit = AuditServiceClient::new(channel);
    match &read.query {
        Query::Account(name) => {
            let message = v1::GetAccountRequest { name: name.clone(), read: options };
            match bounded_read(timeout, ledger.get_account(message)).await {
                Ok(reply) => {
                    let view = account(reply.account.as_ref().ok_or("an account reply without an account")?)?;
                    read_answer(reply.read_point.as_ref(), ReadValue::Account(Some(view)))
                }
                Err(ended) => Ok(ended.completion(ReadValue::Account(None))),
            }
        }
        Query::Transaction(id) => {
            let message =
                v1::GetTransactionRequest { transaction_id: id.to_string(), read: options, ..Default::default() };
            match bounded_read(timeout, audit.get_transaction(message)).await {
                Ok(reply) => {
                    let view = transaction(reply.transaction.as_ref().ok_or("a reply without a transaction")?)?;
                    read_answer(reply.read_point.as_ref(), ReadValue::Transaction(Some(view)))
                }
                Err(ended) => Ok(ended.completion(ReadValue::Transaction(None))),
            }
        }
        Query::RequestOutcome(id) => {
            let message = v1::GetRequestOutcomeRequest { request_id: id.to_string(), read: options };
            match bounded_read(timeout, ledger.get_request_outcome(message)).await {
                Ok(reply) => {
                    let first = reply.result.as_ref().ok_or("an outcome without a result")?;
                    let found = if reply.operation == "atomic" {
                        let decision = first.decision.as_ref().ok_or("an outcome without a decision")?;
                        Found::Atomic(atomic(decision, first.refusal.is_none(), &reply.items)?)
                    } else {
                        Found::Single(answer(first)?)
                    };
                    read_answer(reply.read_point.as_ref(), ReadValue::RequestOutcome(Some(found)))
                }
                Err(ended) => Ok(ended.completion(ReadValue::RequestOutcome(None))),
            }
        }
        Query::TrialBalance => {
            let message = v1::GetTrialBalanceRequest { read: options, ..Default::default() };
            match bounded_read(timeout, audit.get_trial_balance(message)).await {
                Ok(reply) => {
                    let mut lines = Vec::new();
                    for line in reply.lines.iter().filter(|line| line.accounts > 0) {
                        let totals = totals(line.totals.as_ref())?;
                        lines.push(TrialLine { asset: line.asset.clone(), totals, accounts: line.accounts });
                    }
                    read_answer(reply.read_point.as_ref(), ReadValue::TrialBalance(lines))
                }
                Err(Ended::Missing(..)) => Err("a trial balance was not found".to_owned()),
                Err(Ended::Other(completion)) => Ok(completion),
            }
        }
    }
}

/// How a read ended that found nothing.
enum Ended {
    /// It was told that nothing is there, as of an index and time.
    Missing(u64, u64),
    Other(Completion),
}

impl Ended {
    fn completion(self, missing: ReadValue) -> Completion {
        match self {
            Ended::Missing(index, time_ns) => Completion::Read(ReadAnswer { index, time_ns, value: missing }),
            Ended::Other(completion) => completion,
        }
    }
}

async fn bounded_read<T>(
    timeout: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Ended> {
    match tokio::time::timeout(timeout, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(match missing_at(&status) {
            Some((index, time_ns)) => Ended::Missing(index, time_ns),
            None => Ended::Other(failed(&status)),
        }),
        Err(_) => Err(Ended::Other(Completion::Unknown("the client gave up".to_owned()))),
    }
}
