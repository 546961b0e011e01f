//! A day of payments: the accounts, and what each client does with them.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use indicatif::ProgressBar;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::HOLD_MS;
use super::tally::Tally;
use crate::cli::context::fresh_id;
use crate::cli::transactions::wire_duration;
use crate::cli::{CliError, CliResult};
use crate::client::{Client, FailureKind};
use crate::proto::v1::command::Operation;
use crate::proto::v1::{self, AccountClass, Side};

const CUSTOMERS: u32 = 20;
const MERCHANTS: u32 = 5;

/// The accounts of the day.
#[derive(Debug)]
pub(super) struct Day;

fn customer(number: u32, asset: &str) -> String {
    format!("liabilities:customers:{number}:{asset}")
}

fn merchant(number: u32) -> String {
    format!("liabilities:merchants:{number}:usd")
}

fn posting(side: Side, account: &str, amount: &str) -> v1::Posting {
    v1::Posting { account: account.to_owned(), side: side.into(), amount: amount.to_owned(), asset: String::new() }
}

/// Cents as dollars.
fn dollars(cents: u32) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn open(name: String, asset: &str, class: AccountClass, is_outward: bool) -> Operation {
    Operation::OpenAccount(v1::OpenAccountRequest {
        request_id: fresh_id(),
        name,
        asset: asset.to_owned(),
        class: class.into(),
        floor: is_outward.then_some(v1::Floor { kind: Some(v1::floor::Kind::Unlimited(true)) }),
        ..Default::default()
    })
}

fn fund(account: String, bank: &str, amount: &str) -> Operation {
    Operation::Transfer(v1::TransferRequest {
        request_id: fresh_id(),
        debit_account: bank.to_owned(),
        credit_account: account,
        amount: amount.to_owned(),
        ..Default::default()
    })
}

impl Day {
    /// Registers the assets, opens the accounts and funds the customers.
    pub(super) async fn open(client: &Client) -> CliResult<Day> {
        let mut operations: Vec<Operation> = [("USD", 2), ("JPY", 0), ("BTC", 8)]
            .into_iter()
            .map(|(code, scale)| {
                Operation::RegisterAsset(v1::RegisterAssetRequest {
                    request_id: fresh_id(),
                    code: code.to_owned(),
                    scale,
                })
            })
            .collect();
        for (asset, code) in [("usd", "USD"), ("jpy", "JPY"), ("btc", "BTC")] {
            operations.push(open(format!("assets:bank:{asset}"), code, AccountClass::Asset, true));
            operations.push(open(format!("assets:exchange:{asset}"), code, AccountClass::Asset, true));
            for number in 0..CUSTOMERS {
                operations.push(open(customer(number, asset), code, AccountClass::Liability, false));
            }
        }
        operations.push(open("income:fees:usd".to_owned(), "USD", AccountClass::Income, false));
        for number in 0..MERCHANTS {
            operations.push(open(merchant(number), "USD", AccountClass::Liability, false));
        }
        for number in 0..CUSTOMERS {
            operations.push(fund(customer(number, "usd"), "assets:bank:usd", "250000.00"));
            operations.push(fund(customer(number, "btc"), "assets:bank:btc", "1.50000000"));
        }
        let commands = operations.into_iter().map(|operation| v1::Command { operation: Some(operation) }).collect();
        let message = v1::ExecuteBatchRequest { commands, atomic_request_id: String::new() };
        let reply =
            client.ledger(message, |mut client, message| async move { client.execute_batch(message).await }).await?;
        match reply.results.iter().find_map(|result| result.refusal.as_ref()) {
            Some(refusal) => Err(CliError::General(format!("the day does not open: {}", refusal.message))),
            None => Ok(Day),
        }
    }
}

/// What became of one request.
enum Reply {
    /// With the transaction concerned.
    Accepted(String),
    Refused,
    Unknown,
}

/// One client at work.
pub(super) struct Teller {
    client: Client,
    _day: Arc<Day>,
    tally: Arc<Tally>,
    random: Mutex<StdRng>,
}

impl Teller {
    pub(super) fn new(number: u32, client: Client, day: Arc<Day>, tally: Arc<Tally>) -> Teller {
        Teller { client, _day: day, tally, random: Mutex::new(StdRng::seed_from_u64(u64::from(number))) }
    }

    fn below(&self, bound: u32) -> u32 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).random_range(0..bound)
    }

    fn any_customer(&self, asset: &str) -> String {
        customer(self.below(CUSTOMERS), asset)
    }

    /// Sends one command and counts its answer.
    async fn send(&self, operation: Operation) -> CliResult<Reply> {
        let commands = vec![v1::Command { operation: Some(operation) }];
        let message = v1::ExecuteBatchRequest { commands, atomic_request_id: String::new() };
        let reply =
            self.client.ledger(message, |mut client, message| async move { client.execute_batch(message).await }).await;
        let result = match reply {
            Ok(reply) => reply.results.into_iter().next().unwrap_or_default(),
            Err(failure) if matches!(failure.kind, FailureKind::Unknown | FailureKind::Unavailable) => {
                Tally::add(&self.tally.unknown);
                return Ok(Reply::Unknown);
            }
            Err(failure) => return Err(failure.into()),
        };
        if result.decision.as_ref().is_some_and(|decision| decision.replayed) {
            Tally::add(&self.tally.replayed);
        }
        if result.refusal.is_some() {
            Tally::add(&self.tally.rejected);
            return Ok(Reply::Refused);
        }
        Ok(Reply::Accepted(result.transaction_id))
    }

    fn transfer(&self, debit: String, credit: String, amount: String) -> v1::TransferRequest {
        v1::TransferRequest {
            request_id: fresh_id(),
            debit_account: debit,
            credit_account: credit,
            amount,
            ..Default::default()
        }
    }

    /// Books one transaction in a step; its id if it was booked.
    async fn book(&self, operation: Operation) -> CliResult<Option<String>> {
        match self.send(operation).await? {
            Reply::Accepted(transaction_id) => {
                Tally::add(&self.tally.transactions);
                Tally::add(&self.tally.confirmed);
                Ok(Some(transaction_id))
            }
            Reply::Refused | Reply::Unknown => Ok(None),
        }
    }

    /// The smallest payment; whether it was booked.
    pub(super) async fn small_transfer(&self) -> CliResult<bool> {
        let transfer = self.transfer(self.any_customer("usd"), merchant(0), "0.01".to_owned());
        Ok(self.book(Operation::Transfer(transfer)).await?.is_some())
    }

    /// A sale: the customer pays the merchant, who pays the fee.
    async fn sale(&self) -> CliResult<Option<String>> {
        let cents = 100 + self.below(5_000);
        let fee = cents / 50;
        let postings = vec![
            posting(Side::Debit, &self.any_customer("usd"), &dollars(cents)),
            posting(Side::Credit, &merchant(self.below(MERCHANTS)), &dollars(cents - fee)),
            posting(Side::Credit, "income:fees:usd", &dollars(fee)),
        ];
        let details = Some(v1::Details { reference: format!("sale-{}", self.below(1_000_000)), ..Default::default() });
        let request =
            v1::PostTransactionRequest { request_id: fresh_id(), postings, details, transaction_id: String::new() };
        self.book(Operation::PostTransaction(request)).await
    }

    /// A card authorisation; its id if the amount was reserved.
    async fn authorise(&self, cents: u32, hold: Option<Duration>, transaction_id: String) -> CliResult<Option<String>> {
        let postings = vec![
            posting(Side::Debit, &self.any_customer("usd"), &dollars(cents)),
            posting(Side::Credit, &merchant(self.below(MERCHANTS)), &dollars(cents)),
        ];
        let request = v1::TryTransactionRequest {
            request_id: fresh_id(),
            transaction_id,
            postings,
            details: None,
            timeout: hold.and_then(wire_duration),
        };
        match self.send(Operation::TryTransaction(request)).await? {
            Reply::Accepted(transaction_id) => {
                Tally::add(&self.tally.transactions);
                Ok(Some(transaction_id))
            }
            Reply::Refused | Reply::Unknown => Ok(None),
        }
    }

    async fn capture(&self, transaction_id: String, amounts: Vec<String>) -> CliResult {
        let request = v1::ConfirmTransactionRequest { request_id: fresh_id(), transaction_id, amounts };
        if let Reply::Accepted(_) = self.send(Operation::ConfirmTransaction(request)).await? {
            Tally::add(&self.tally.confirmed);
        }
        Ok(())
    }

    async fn cancel(&self, transaction_id: String) -> CliResult {
        let request = v1::CancelTransactionRequest { request_id: fresh_id(), transaction_id };
        if let Reply::Accepted(_) = self.send(Operation::CancelTransaction(request)).await? {
            Tally::add(&self.tally.cancelled);
        }
        Ok(())
    }

    /// A cancel that overtakes its try: the late try is refused for ever.
    async fn cancel_before_try(&self) -> CliResult {
        let transaction_id = fresh_id();
        self.cancel(transaction_id.clone()).await?;
        self.authorise(500, None, transaction_id).await.map(|_| ())
    }

    async fn refund(&self) -> CliResult {
        let Some(original_id) = self.sale().await? else { return Ok(()) };
        let request = v1::ReverseTransactionRequest { request_id: fresh_id(), original_id, ..Default::default() };
        if self.book(Operation::ReverseTransaction(request)).await?.is_some() {
            Tally::add(&self.tally.reversed);
        }
        Ok(())
    }

    /// Dollars against yen or bitcoin: four postings over two assets, all or none.
    async fn exchange(&self) -> CliResult {
        let who = self.below(CUSTOMERS);
        let (asset, amount) = if self.below(2) == 0 { ("jpy", self.below(9_000) + 1) } else { ("btc", 0) };
        let amount = if asset == "jpy" { amount.to_string() } else { format!("0.{:08}", self.below(9_999) + 1) };
        let postings = vec![
            posting(Side::Debit, &customer(who, "usd"), "10.00"),
            posting(Side::Credit, "assets:exchange:usd", "10.00"),
            posting(Side::Debit, &format!("assets:exchange:{asset}"), &amount),
            posting(Side::Credit, &customer(who, asset), &amount),
        ];
        let request = v1::PostTransactionRequest { request_id: fresh_id(), postings, ..Default::default() };
        self.book(Operation::PostTransaction(request)).await.map(|_| ())
    }

    /// More than anybody has.
    async fn overdraw(&self) -> CliResult {
        let transfer = self.transfer(self.any_customer("usd"), merchant(0), "99999999.00".to_owned());
        self.book(Operation::Transfer(transfer)).await.map(|_| ())
    }

    /// The same request twice, as after a lost answer.
    async fn repeat(&self) -> CliResult {
        let transfer = self.transfer(self.any_customer("usd"), merchant(1), "1.00".to_owned());
        if self.book(Operation::Transfer(transfer.clone())).await?.is_some() {
            self.send(Operation::Transfer(transfer)).await?;
        }
        Ok(())
    }

    async fn payment(&self) -> CliResult {
        let cents = 200 + self.below(3_000);
        match self.below(100) {
            0..40 => self.sale().await.map(|_| ()),
            40..60 => match self.authorise(cents, Some(Duration::from_secs(600)), String::new()).await? {
                Some(id) => self.capture(id, Vec::new()).await,
                None => Ok(()),
            },
            60..68 => match self.authorise(cents, Some(Duration::from_secs(600)), String::new()).await? {
                Some(id) => self.capture(id, vec![dollars(cents / 2), dollars(cents / 2)]).await,
                None => Ok(()),
            },
            68..76 => match self.authorise(cents, None, String::new()).await? {
                Some(id) => self.cancel(id).await,
                None => Ok(()),
            },
            76..79 => self.cancel_before_try().await,
            79..82 => {
                let hold = Duration::from_millis(HOLD_MS / 2 + u64::from(self.below(100)));
                if let Some(id) = self.authorise(cents, Some(hold), String::new()).await? {
                    self.tally.leave_to_expire(id);
                }
                Ok(())
            }
            82..88 => self.refund().await,
            88..93 => self.exchange().await,
            93..95 => self.overdraw().await,
            _ => self.repeat().await,
        }
    }

    /// Makes payments until all are made.
    pub(super) async fn work(&self, payments: u32, bar: &ProgressBar) -> CliResult {
        for _ in 0..payments {
            self.payment().await?;
            bar.inc(1);
        }
        Ok(())
    }
}
