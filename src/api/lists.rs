//! Lists of accounts and assets, and the trial balance, page by page.

use tokio::time::Instant;
use tonic::Status;

use super::audit_service::as_of;
use super::pages::{Room, Walk, foreign, read_point};
use super::{Api, convert, reads, render};
use crate::audit::{self, TrialBalance};
use crate::proto::v1;

/// Where a page of a list of assets begins, and how long the list was on the first page: assets are numbered in the order
/// in which they come, and none ever goes.
fn part_of_assets(walk: &Walk, assets: usize) -> Result<(usize, usize), Status> {
    match walk.cursors()? {
        None => Ok((0, assets)),
        Some((first, all)) if first <= all && all <= assets => Ok((first, all)),
        Some(_) => Err(foreign()),
    }
}

fn trial_balance_lines(balance: &TrialBalance) -> impl Iterator<Item = v1::TrialBalanceLine> + '_ {
    let text = |minor: u128, scale: u32| ledger::amount::Scaled { minor, scale }.to_string();
    balance.lines.iter().map(move |(asset, sums)| {
        let scale = asset.scale.digits();
        v1::TrialBalanceLine {
            asset: asset.code.to_string(),
            totals: Some(v1::Totals {
                debits_pending: text(sums.debits_pending, scale),
                debits_posted: text(sums.debits_posted, scale),
                credits_pending: text(sums.credits_pending, scale),
                credits_posted: text(sums.credits_posted, scale),
            }),
            accounts: sums.accounts,
            is_balanced: sums.is_balanced(),
        }
    })
}

impl Api {
    /// A page of accounts.
    pub(super) async fn accounts(
        &self,
        message: v1::ListAccountsRequest,
        deadline: Instant,
    ) -> Result<v1::ListAccountsResponse, Status> {
        let size = reads::page_size(message.page_size)?;
        let walk = Walk::of(&message)?;
        let after = walk.cursor::<String>()?.unwrap_or_default();
        if !after.is_empty() {
            convert::account_name("page_token", &after)?;
        }
        let view = self.view(walk.read(message.read).as_ref(), deadline).await?;
        self.ask(&view, move |view| {
            let moment = walk.moment(view)?;
            let (mut accounts, mut room) = (Vec::new(), Room::new(size));
            let has_more = audit::accounts(view, &message.prefix, &after, &moment, size, |name, account| {
                let account = render::account(view, name.as_str(), account)?;
                let is_taken = room.takes(&account);
                accounts.extend(is_taken.then_some(account));
                Ok(is_taken)
            })?;
            let last = accounts.last().filter(|_| has_more);
            let next_page_token = last.map(|last| walk.next(&moment, &last.name)).unwrap_or_default();
            Ok(v1::ListAccountsResponse { read_point: Some(read_point(&moment)), accounts, next_page_token })
        })
        .await
    }

    /// A page of assets.
    pub(super) async fn assets(
        &self,
        message: v1::ListAssetsRequest,
        deadline: Instant,
    ) -> Result<v1::ListAssetsResponse, Status> {
        let size = reads::page_size_or(message.page_size, usize::MAX)?;
        let walk = Walk::of(&message)?;
        let view = self.view(walk.read(message.read).as_ref(), deadline).await?;
        self.ask(&view, move |view| {
            let moment = walk.moment(view)?;
            let assets = view.assets()?;
            let (first, all) = part_of_assets(&walk, assets.len())?;
            let mut room = Room::new(size);
            let published = assets.iter().take(all).skip(first);
            let page: Vec<v1::Asset> = published
                .map(|asset| v1::Asset { code: asset.code.to_string(), scale: asset.scale.digits() })
                .take_while(|asset| room.takes(asset))
                .collect();
            let next = first + page.len();
            let next_page_token = (next < all).then(|| walk.next(&moment, format!("{next}.{all}")));
            Ok(v1::ListAssetsResponse {
                read_point: Some(read_point(&moment)),
                assets: page,
                next_page_token: next_page_token.unwrap_or_default(),
            })
        })
        .await
    }

    /// A page of a trial balance.
    pub(super) async fn trial_balance(
        &self,
        message: v1::GetTrialBalanceRequest,
        deadline: Instant,
    ) -> Result<v1::GetTrialBalanceResponse, Status> {
        let as_of = as_of(message.as_of.as_ref())?;
        let size = reads::page_size_or(message.page_size, usize::MAX)?;
        let walk = Walk::of(&message)?;
        let view = self.view(walk.read(message.read).as_ref(), deadline).await?;
        self.ask(&view, move |view| {
            let moment = walk.moment(view)?;
            let balance = audit::trial_balance(view, &message.prefix, as_of, &moment)?;
            let (first, all) = part_of_assets(&walk, balance.lines.len())?;
            let mut room = Room::new(size);
            let page: Vec<v1::TrialBalanceLine> =
                trial_balance_lines(&balance).take(all).skip(first).take_while(|line| room.takes(line)).collect();
            let next = first + page.len();
            let next_page_token = (next < all).then(|| walk.next(&moment, format!("{next}.{all}")));
            Ok(v1::GetTrialBalanceResponse {
                read_point: Some(read_point(&moment)),
                lines: page,
                as_of_sequence: balance.sequence.0,
                next_page_token: next_page_token.unwrap_or_default(),
            })
        })
        .await
    }
}
