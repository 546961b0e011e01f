//! What happened, counted from answers alone.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::cli::CliResult;
use crate::client::Client;
use crate::proto::v1;

/// Counters of all clients.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) transactions: AtomicU64,
    pub(super) confirmed: AtomicU64,
    pub(super) cancelled: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) reversed: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) replayed: AtomicU64,
    pub(super) unknown: AtomicU64,
    left_to_expire: Mutex<Vec<String>>,
}

impl Tally {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Remembers a hold that nobody will resolve.
    pub(super) fn leave_to_expire(&self, transaction_id: String) {
        self.left_to_expire.lock().unwrap_or_else(PoisonError::into_inner).push(transaction_id);
    }

    /// Looks up the holds that were left, after the last of them is due.
    pub(super) async fn count_expired(&self, client: &Client, hold: Duration) -> CliResult {
        tokio::time::sleep(hold).await;
        let left = std::mem::take(&mut *self.left_to_expire.lock().unwrap_or_else(PoisonError::into_inner));
        for transaction_id in left {
            let message = v1::GetTransactionRequest { transaction_id, ..Default::default() };
            let reply = client
                .audit(message, |mut client, message| async move { client.get_transaction(message).await })
                .await?;
            if reply.transaction.unwrap_or_default().state() == v1::TransactionState::Expired {
                Tally::add(&self.expired);
            }
        }
        Ok(())
    }
}
