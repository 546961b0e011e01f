//! The accounts of one run, and what the book says of them afterwards. They are this run's own, so their turnover is exactly what this run moved.

use indicatif::ProgressBar;

use crate::cli::context::fresh_id;
use crate::cli::{CliError, CliResult};
use crate::client::Client;
use crate::proto::v1::command::Operation;
use crate::proto::v1::{self, AccountClass};

/// The asset that runs move, and its scale.
pub(super) const ASSET: &str = "BENCH";
const SCALE: u32 = 2;
/// What every account begins with, in minor units: more than any run takes from one.
const FUNDING_MINOR: u128 = 100_000_000_000;
/// Commands of a batch of preparations.
const CHUNK: usize = 4_000;

/// The accounts of one run.
#[derive(Debug)]
pub(super) struct Accounts {
    prefix: String,
    names: Vec<String>,
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

async fn execute(client: &Client, operations: Vec<Operation>) -> CliResult {
    let commands = operations.into_iter().map(|operation| v1::Command { operation: Some(operation) }).collect();
    let reply = client.batch(&v1::ExecuteBatchRequest { commands, atomic_request_id: String::new() }).await?;
    match reply.results.iter().find_map(|result| result.refusal.as_ref()) {
        Some(refusal) => Err(CliError::General(format!("the run cannot be prepared: {}", refusal.message))),
        None => Ok(()),
    }
}

impl Accounts {
    /// Registers the asset and opens and funds the accounts of a run.
    pub(super) async fn open(client: &Client, run: &str, count: u32) -> CliResult<Accounts> {
        let prefix = format!("liabilities:bench:{run}");
        let names: Vec<String> = (0..count).map(|number| format!("{prefix}:{number}")).collect();
        let source = format!("equity:bench:{run}");
        let asset = v1::RegisterAssetRequest { request_id: fresh_id(), code: ASSET.to_owned(), scale: SCALE };
        let unlimited = v1::Floor { kind: Some(v1::floor::Kind::Unlimited(true)) };
        let open = |name: &str, class: AccountClass, floor: Option<v1::Floor>| {
            Operation::OpenAccount(v1::OpenAccountRequest {
                request_id: fresh_id(),
                name: name.to_owned(),
                asset: ASSET.to_owned(),
                class: class.into(),
                floor,
                ..Default::default()
            })
        };
        let first = vec![Operation::RegisterAsset(asset), open(&source, AccountClass::Equity, Some(unlimited))];
        execute(client, first).await?;
        let bar = ProgressBar::new(u64::from(count)).with_message("opening accounts");
        for chunk in names.chunks(CHUNK / 2) {
            let mut operations: Vec<Operation> = Vec::with_capacity(2 * chunk.len());
            operations.extend(chunk.iter().map(|name| open(name, AccountClass::Liability, None)));
            operations.extend(chunk.iter().map(|name| {
                Operation::Transfer(v1::TransferRequest {
                    request_id: fresh_id(),
                    debit_account: source.clone(),
                    credit_account: name.clone(),
                    amount: amount_text(FUNDING_MINOR),
                    ..Default::default()
                })
            }));
            execute(client, operations).await?;
            bar.inc(chunk.len() as u64);
        }
        bar.finish_and_clear();
        Ok(Accounts { prefix, names })
    }

    /// Their names.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// What they turned over among themselves, as the book says: their funding left out.
    pub(super) async fn turnover(&self, client: &Client) -> CliResult<Turnover> {
        let message = v1::GetTrialBalanceRequest { prefix: self.prefix.clone(), ..Default::default() };
        let reply =
            client.audit(message, |mut client, message| async move { client.get_trial_balance(message).await }).await?;
        let totals = reply.lines.into_iter().find(|line| line.asset == ASSET).and_then(|line| line.totals);
        let turnover = totals.and_then(|totals| {
            let funding = FUNDING_MINOR.checked_mul(self.names.len() as u128)?;
            Some(Turnover {
                debits: minor_units(&totals.debits_posted)?,
                credits: minor_units(&totals.credits_posted)?.checked_sub(funding)?,
                pending: minor_units(&totals.debits_pending)?.checked_add(minor_units(&totals.credits_pending)?)?,
            })
        });
        turnover.ok_or_else(|| {
            CliError::Verification(format!("the book lacks the accounts of {}, or their funding", self.prefix))
        })
    }
}

/// Whether the whole book balances.
pub(super) async fn is_balanced(client: &Client) -> CliResult<bool> {
    let message = v1::GetTrialBalanceRequest::default();
    let reply =
        client.audit(message, |mut client, message| async move { client.get_trial_balance(message).await }).await?;
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
        assert_eq!(minor_units(&amount_text(FUNDING_MINOR)), Some(FUNDING_MINOR));
        for wrong in ["1", "1.0", "1.000", "-1.00", "1.-1", ""] {
            assert_eq!(minor_units(wrong), None, "{wrong}");
        }
    }
}
