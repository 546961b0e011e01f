//! The accounts of one run, and what the book says of them afterwards. They are this run's own, so their turnover is exactly what this run moved.

use futures::{StreamExt as _, TryStreamExt as _};
use indicatif::ProgressBar;
use uuid::Uuid;

use super::numbers::{Digits, NumberedName};
use super::progress;
use crate::cli::audit::whole_trial_balance;
use crate::cli::context::fresh_id;
use crate::cli::{CliError, CliResult};
use crate::client::{BatchWriter, Client, EncodedBatch, PlainCommand};
use crate::proto::v1::command::Operation;
use crate::proto::v1::{self, AccountClass};

/// The asset that runs move, and its scale.
pub(super) const ASSET: &str = "BENCH";
const SCALE: u32 = 2;
/// What every account begins with, in minor units: more than any run takes from one, and so little that two million of them have no total out of range.
const FUNDING_MINOR: u64 = 100_000_000_000;
/// Accounts that one batch opens and funds: two commands each.
const OPENED_PER_BATCH: u32 = 4_095;
/// Batches of preparations in flight.
const IN_FLIGHT: usize = 4;

/// The accounts of one run.
#[derive(Debug)]
pub(super) struct Accounts {
    prefix: String,
    count: u32,
    /// What was on the book before the run.
    before: Turnover,
}

/// What a run's accounts turned over, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turnover {
    pub(super) debits: u128,
    pub(super) credits: u128,
    pub(super) pending: u128,
}

/// Minor units as an amount.
pub(super) fn amount_text(minor: u128) -> String {
    format!("{}.{:02}", minor / 100, minor % 100)
}

/// An amount of the asset in minor units; none if it is not at its scale.
fn minor_units(text: &str) -> Option<u128> {
    let (whole, fraction) = text.split_once('.')?;
    if fraction.len() != usize::try_from(SCALE).ok()? {
        return None;
    }
    whole.parse::<u128>().ok()?.checked_mul(100)?.checked_add(fraction.parse().ok()?)
}

fn prefix_of(run: &str) -> String {
    format!("liabilities:bench:{run}")
}

fn opening(name: &str, class: AccountClass, floor: Option<v1::Floor>) -> v1::Command {
    let operation = Operation::OpenAccount(v1::OpenAccountRequest {
        request_id: fresh_id(),
        name: name.to_owned(),
        asset: ASSET.to_owned(),
        class: class.into(),
        floor,
        ..Default::default()
    });
    v1::Command { operation: Some(operation) }
}

async fn execute(client: &Client, batch: EncodedBatch) -> CliResult {
    let verdicts = client.plain_batch(batch).await?;
    match verdicts.iter().find_map(|verdict| verdict.refusal.as_ref()) {
        Some(refusal) => Err(CliError::General(format!("the run cannot be prepared: {}", refusal.message))),
        None => Ok(()),
    }
}

impl Accounts {
    /// Registers the asset and opens and funds the accounts of a run.
    pub(super) async fn open(client: &Client, run: &str, count: u32) -> CliResult<Accounts> {
        let before = Turnover { debits: 0, credits: u128::from(FUNDING_MINOR) * u128::from(count), pending: 0 };
        let accounts = Accounts { prefix: prefix_of(run), count, before };
        let source = format!("equity:bench:{run}");
        let asset = v1::RegisterAssetRequest { request_id: fresh_id(), code: ASSET.to_owned(), scale: SCALE };
        let unlimited = v1::Floor { kind: Some(v1::floor::Kind::Unlimited(true)) };
        let mut first = BatchWriter::new();
        first.push_message(&v1::Command { operation: Some(Operation::RegisterAsset(asset)) });
        first.push_message(&opening(&source, AccountClass::Equity, Some(unlimited)));
        execute(client, first.take()).await?;
        let bar = progress::bar(u64::from(count), "opening accounts");
        let batches = (0..count).step_by(OPENED_PER_BATCH as usize).map(|begin| {
            let end = begin.saturating_add(OPENED_PER_BATCH).min(count);
            accounts.open_some(client, &source, begin..end, &bar)
        });
        futures::stream::iter(batches).buffer_unordered(IN_FLIGHT).try_collect::<()>().await?;
        bar.finish_and_clear();
        Ok(accounts)
    }

    async fn open_some(
        &self,
        client: &Client,
        source: &str,
        some: std::ops::Range<u32>,
        bar: &ProgressBar,
    ) -> CliResult {
        let mut name = self.name();
        let mut writer = BatchWriter::new();
        for number in some.clone() {
            writer.push_message(&opening(name.numbered(u64::from(number)), AccountClass::Liability, None));
        }
        let funding = Digits::of_minor(FUNDING_MINOR);
        for number in some.clone() {
            writer.push(&PlainCommand::Transfer {
                request_id: Uuid::now_v7(),
                debit: source,
                credit: name.numbered(u64::from(number)),
                amount: funding.as_str(),
            });
        }
        execute(client, writer.take()).await?;
        bar.inc(u64::from(some.end - some.start));
        Ok(())
    }

    /// The accounts of a run before this one, with what they turned over since.
    pub(super) async fn reuse(client: &Client, run: &str, count: u32) -> CliResult<Accounts> {
        let nothing = Turnover { debits: 0, credits: 0, pending: 0 };
        let mut accounts = Accounts { prefix: prefix_of(run), count, before: nothing };
        let last = accounts.name().numbered(u64::from(count - 1)).to_owned();
        let message = v1::GetBalanceRequest { account: last, ..Default::default() };
        client.audit(message, |mut client, message| async move { client.get_balance(message).await }).await?;
        accounts.before = accounts.turnover(client).await?;
        Ok(accounts)
    }

    /// How many there are, numbered from 0.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Their names.
    pub(super) fn name(&self) -> NumberedName {
        NumberedName::new(&self.prefix)
    }

    /// The time of record of the first posting among them.
    pub(super) async fn opened_at(&self, client: &Client) -> CliResult<prost_types::Timestamp> {
        let account = self.name().numbered(0).to_owned();
        let message = v1::GetStatementRequest { account, page_size: 1, ..Default::default() };
        let reply =
            client.audit(message, |mut client, message| async move { client.get_statement(message).await }).await?;
        let time = reply.lines.first().and_then(|line| line.time);
        time.ok_or_else(|| CliError::Verification(format!("the statement of {} lacks its funding", self.prefix)))
    }

    /// What they turned over since the run began, as the book says: their funding left out.
    pub(super) async fn turnover(&self, client: &Client) -> CliResult<Turnover> {
        let message = v1::GetTrialBalanceRequest { prefix: self.prefix.clone(), ..Default::default() };
        let reply = whole_trial_balance(client, message).await?;
        let totals = reply.lines.into_iter().find(|line| line.asset == ASSET).and_then(|line| line.totals);
        let turnover = totals.and_then(|totals| {
            let pending = minor_units(&totals.debits_pending)?.checked_add(minor_units(&totals.credits_pending)?)?;
            Some(Turnover {
                debits: minor_units(&totals.debits_posted)?.checked_sub(self.before.debits)?,
                credits: minor_units(&totals.credits_posted)?.checked_sub(self.before.credits)?,
                pending: pending.checked_sub(self.before.pending)?,
            })
        });
        turnover.ok_or_else(|| {
            CliError::Verification(format!("the book lacks the accounts of {}, or what they had before", self.prefix))
        })
    }
}

/// Whether the whole book balances.
pub(super) async fn is_balanced(client: &Client) -> CliResult<bool> {
    let message = v1::GetTrialBalanceRequest::default();
    let reply = whole_trial_balance(client, message).await?;
    Ok(!reply.lines.is_empty() && reply.lines.iter().all(|line| line.is_balanced))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn minor_units_are_exact_or_nothing() {
        assert_eq!(minor_units("0.00"), Some(0));
        assert_eq!(minor_units("79228162514264337593543950.35"), Some(7_922_816_251_426_433_759_354_395_035));
        assert_eq!(minor_units(Digits::of_minor(FUNDING_MINOR).as_str()), Some(u128::from(FUNDING_MINOR)));
        for wrong in ["1", "1.0", "1.000", "-1.00", "1.-1", ""] {
            assert_eq!(minor_units(wrong), None, "{wrong}");
        }
    }
}
