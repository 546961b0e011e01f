//! The proof: the trial balance is zero in every asset on every replica, and all replicas hold the same book.

use std::time::{Duration, Instant};

use super::processes::Cluster;
use crate::cli::audit::whole_trial_balance;
use crate::cli::{CliError, CliResult};
use crate::client::{Client, ClientConfig};
use crate::proto::v1;

const BOUND: Duration = Duration::from_secs(30);

/// What was found.
pub(super) struct Proof {
    pub(super) trial_balance: v1::GetTrialBalanceResponse,
    pub(super) trial_balance_zero: bool,
    pub(super) replicas_agree: bool,
    pub(super) statuses: Vec<v1::GetStatusResponse>,
}

fn applied(status: &v1::GetStatusResponse) -> u64 {
    status.applied.as_ref().map_or(0, |point| point.log_index)
}

/// The replicas' statuses once all have applied the same index; the last ones seen if that does not happen in time.
async fn settled(client: &Client) -> CliResult<Vec<v1::GetStatusResponse>> {
    let begun = Instant::now();
    loop {
        let mut statuses = Vec::new();
        for endpoint in 0..client.endpoints() {
            if let Ok(status) = client.status(endpoint).await {
                statuses.push(status);
            }
        }
        let is_settled = statuses.len() == client.endpoints()
            && statuses.windows(2).all(|pair| matches!(pair, [left, right] if applied(left) == applied(right)));
        if is_settled || begun.elapsed() > BOUND {
            return Ok(statuses);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub(super) async fn verify(cluster: &Cluster, client: &Client) -> CliResult<Proof> {
    let message = v1::GetTrialBalanceRequest::default();
    let trial_balance = whole_trial_balance(client, message).await?;
    let mut trial_balance_zero = is_zero(&trial_balance);
    let statuses = settled(client).await?;
    let mut replicas_agree = statuses.len() == client.endpoints();
    if let Some(first) = statuses.first() {
        replicas_agree &=
            statuses.iter().all(|status| applied(status) == applied(first) && status.state_hash == first.state_hash);
    }
    for endpoint in cluster.endpoints() {
        let own = own_trial_balance(&endpoint).await?;
        trial_balance_zero &= is_zero(&own);
        replicas_agree &= own.lines == trial_balance.lines;
    }
    Ok(Proof { trial_balance, trial_balance_zero, replicas_agree, statuses })
}

fn is_zero(reply: &v1::GetTrialBalanceResponse) -> bool {
    !reply.lines.is_empty() && reply.lines.iter().all(|line| line.is_balanced)
}

/// What one replica's own book says.
async fn own_trial_balance(endpoint: &str) -> Result<v1::GetTrialBalanceResponse, CliError> {
    let client = Client::new(&ClientConfig { endpoints: vec![endpoint.to_owned()], timeout: BOUND })?;
    let stale = v1::ReadOptions { consistency: Some(v1::read_options::Consistency::Stale(true)) };
    let message = v1::GetTrialBalanceRequest { read: Some(stale), ..Default::default() };
    Ok(whole_trial_balance(&client, message).await?)
}
