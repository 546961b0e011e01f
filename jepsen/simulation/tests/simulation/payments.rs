//! The client host: a few payers that pay through the client library, and the comparison at the end.

use std::time::Duration;

use folio::client::{Client, Failure};
use folio::proto::v1;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::cluster::{REPLICAS, client_address};
use crate::network;
use crate::trace::Trace;

const BANK: &str = "assets:bank:usd";
const SHOP: &str = "liabilities:merchants:shop:usd";
const PAYERS: u64 = 3;
const ROUNDS: u64 = 30;
/// How far a customer may overdraw, in cents.
const OVERDRAFT: i64 = 500;
/// Longer than any fault lasts, so that every payment has an answer at last.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often, and how long, the replicas' books are compared at the end.
const COMPARE_EVERY: Duration = Duration::from_millis(100);
const COMPARISONS: u32 = 300;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;
type Answer = std::result::Result<v1::Decision, Failure>;

fn customer(payer: u64) -> String {
    format!("liabilities:customers:{payer}:usd")
}

fn cents(amount: i64) -> String {
    let sign = if amount < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", amount.abs() / 100, amount.abs() % 100)
}

fn client() -> Result<Client> {
    let endpoint =
        |replica| network::channel(&client_address(replica)).map(|channel| (client_address(replica), channel));
    Ok(Client::over(REPLICAS.into_iter().filter_map(endpoint).collect(), TIMEOUT)?)
}

/// Waits for the cluster, opens the accounts, lets the payers pay, and compares the replicas.
pub async fn run(seed: u64, trace: Trace) -> turmoil::Result {
    let mut random = StdRng::seed_from_u64(seed);
    open_accounts(&client()?, &mut random).await?;
    let payers = (0..PAYERS).map(|number| {
        let random = StdRng::seed_from_u64(random.random());
        let trace = trace.clone();
        async move { Payer { number, random, trace, client: client()?, sent: Vec::new(), held: 0, paid: 0 }.pay().await }
    });
    let (mut held, mut paid) = (0, 0);
    for totals in futures::future::join_all(payers).await {
        let (payer_held, payer_paid) = totals?;
        held += payer_held;
        paid += payer_paid;
    }
    let client = client()?;
    check_books(&client, held, paid, &trace).await?;
    agree(&client, &trace).await
}

fn id(random: &mut StdRng) -> String {
    uuid::Builder::from_random_bytes(random.random()).into_uuid().to_string()
}

async fn open_accounts(client: &Client, random: &mut StdRng) -> Result {
    let usd = v1::RegisterAssetRequest { request_id: id(random), code: "USD".to_owned(), scale: 2 };
    client.ledger(usd, |mut ledger, request| async move { ledger.register_asset(request).await }).await?;
    let unlimited = v1::Floor { kind: Some(v1::floor::Kind::Unlimited(true)) };
    let mut accounts = vec![
        (BANK.to_owned(), v1::AccountClass::Asset, Some(unlimited)),
        (SHOP.to_owned(), v1::AccountClass::Liability, None),
    ];
    let overdraft = v1::Floor { kind: Some(v1::floor::Kind::AtLeast(cents(-OVERDRAFT))) };
    accounts.extend((0..PAYERS).map(|payer| (customer(payer), v1::AccountClass::Liability, Some(overdraft.clone()))));
    for (name, class, floor) in accounts {
        let request = v1::OpenAccountRequest {
            request_id: id(random),
            name,
            asset: "USD".to_owned(),
            class: class.into(),
            floor,
            ..Default::default()
        };
        client.ledger(request, |mut ledger, request| async move { ledger.open_account(request).await }).await?;
    }
    Ok(())
}

/// One customer, who does one thing after another.
struct Payer {
    number: u64,
    random: StdRng,
    trace: Trace,
    client: Client,
    /// Transfers that were sent before, to be sent again.
    sent: Vec<v1::TransferRequest>,
    /// What came into the customer's account, and what was paid out of it, in cents.
    held: i64,
    paid: i64,
}

impl Payer {
    async fn pay(mut self) -> Result<(i64, i64)> {
        self.top_up().await?;
        for round in 0..ROUNDS {
            match self.random.random_range(0..8) {
                0 => self.top_up().await?,
                1 => self.repeat().await?,
                2 => self.go_to_the_limit().await?,
                3 => self.cancel_before_try().await,
                4 => self.let_expire().await,
                5 => self.read().await?,
                6 => self.try_and(Second::Cancel).await,
                _ => self.try_and(Second::Confirm).await,
            }
            // Every replica is asked, followers forward.
            self.client.prefer(usize::try_from(round + self.number)?);
            self.rest(10..150).await;
        }
        Ok((self.held, self.paid))
    }

    async fn rest(&mut self, milliseconds: std::ops::Range<u64>) {
        tokio::time::sleep(Duration::from_millis(self.random.random_range(milliseconds))).await;
    }

    fn note(&self, what: &str, answer: &Answer) {
        self.trace.answer(&format!("customer {} {what}", self.number), answer);
    }

    async fn transfer(&self, request: v1::TransferRequest) -> Answer {
        let reply = self.client.ledger(request, |mut ledger, request| async move { ledger.transfer(request).await });
        reply.await.map(|reply| reply.decision.unwrap_or_default())
    }

    async fn attempt(&self, request: v1::TryTransactionRequest) -> Answer {
        let reply =
            self.client.ledger(request, |mut ledger, request| async move { ledger.try_transaction(request).await });
        reply.await.map(|reply| reply.decision.unwrap_or_default())
    }

    async fn confirm(&mut self, transaction_id: String) -> Answer {
        let request =
            v1::ConfirmTransactionRequest { request_id: id(&mut self.random), transaction_id, amounts: Vec::new() };
        let reply =
            self.client.ledger(request, |mut ledger, request| async move { ledger.confirm_transaction(request).await });
        reply.await.map(|reply| reply.decision.unwrap_or_default())
    }

    async fn cancel(&mut self, transaction_id: String) -> Answer {
        let request = v1::CancelTransactionRequest { request_id: id(&mut self.random), transaction_id };
        let reply =
            self.client.ledger(request, |mut ledger, request| async move { ledger.cancel_transaction(request).await });
        reply.await.map(|reply| reply.decision.unwrap_or_default())
    }

    async fn top_up(&mut self) -> Result {
        let amount = self.random.random_range(5_000..50_000);
        let request = v1::TransferRequest {
            request_id: id(&mut self.random),
            debit_account: BANK.to_owned(),
            credit_account: customer(self.number),
            amount: cents(amount),
            ..Default::default()
        };
        let answer = self.transfer(request.clone()).await;
        self.note(&format!("tops up {}", cents(amount)), &answer);
        answer?;
        self.held += amount;
        self.sent.push(request);
        Ok(())
    }

    /// Sends an earlier transfer once more; it must not move anything again.
    async fn repeat(&mut self) -> Result {
        let earlier = self.sent[self.random.random_range(0..self.sent.len())].clone();
        let answer = self.transfer(earlier).await;
        self.note("repeats a transfer", &answer);
        assert!(answer?.replayed, "a repeated transfer was not recognised");
        Ok(())
    }

    async fn pay_out(&mut self, amount: i64) -> Answer {
        let request = v1::TransferRequest {
            request_id: id(&mut self.random),
            debit_account: customer(self.number),
            credit_account: SHOP.to_owned(),
            amount: cents(amount),
            ..Default::default()
        };
        let answer = self.transfer(request).await;
        self.note(&format!("pays {}", cents(amount)), &answer);
        answer
    }

    /// A cent more than there is, overdraft included, is refused; just as much is paid, and then not one cent more. Nobody else spends
    /// this customer's money, and nothing of it is held now, so what there is is known here.
    async fn go_to_the_limit(&mut self) -> Result {
        let all = self.held - self.paid + OVERDRAFT;
        assert!(self.pay_out(all + 1).await.is_err(), "a cent beyond the overdraft was accepted");
        if self.random.random_bool(0.5) {
            self.pay_out(all).await?;
            self.paid += all;
            assert!(self.pay_out(1).await.is_err(), "a cent was paid from an exhausted overdraft");
            self.top_up().await?;
        }
        Ok(())
    }

    /// A try that moves money from this customer to the shop.
    fn hold(&mut self, amount: i64) -> v1::TryTransactionRequest {
        let posting = |account: String, side: v1::Side| v1::Posting {
            account,
            side: side.into(),
            amount: cents(amount),
            asset: String::new(),
        };
        let (own, shop) = (customer(self.number), SHOP.to_owned());
        v1::TryTransactionRequest {
            request_id: id(&mut self.random),
            postings: vec![posting(own, v1::Side::Debit), posting(shop, v1::Side::Credit)],
            ..Default::default()
        }
    }

    async fn try_and(&mut self, second: Second) {
        let amount = self.random.random_range(1..2_000);
        let request = self.hold(amount);
        let transaction = request.request_id.clone();
        let answer = self.attempt(request).await;
        self.note(&format!("tries {}", cents(amount)), &answer);
        if answer.is_err() {
            return;
        }
        self.rest(1..50).await;
        match second {
            Second::Confirm => {
                let answer = self.confirm(transaction).await;
                self.note("confirms", &answer);
                self.paid += if answer.is_ok() { amount } else { 0 };
            }
            Second::Cancel => {
                let answer = self.cancel(transaction).await;
                self.note("cancels", &answer);
            }
        }
    }

    async fn cancel_before_try(&mut self) {
        let request = self.hold(100);
        let answer = self.cancel(request.request_id.clone()).await;
        self.note("cancels early", &answer);
        let transaction_id = request.request_id;
        let late = v1::TryTransactionRequest { request_id: id(&mut self.random), transaction_id, ..self.hold(100) };
        let answer = self.attempt(late).await;
        self.note("tries late", &answer);
        assert!(answer.is_err(), "a try was accepted after its cancel");
    }

    async fn let_expire(&mut self) {
        let timeout = Some(prost_types::Duration { seconds: 0, nanos: 300_000_000 });
        let request = v1::TryTransactionRequest { timeout, ..self.hold(100) };
        let transaction = request.request_id.clone();
        let answer = self.attempt(request).await;
        self.note("tries for a moment", &answer);
        if answer.is_ok() {
            self.rest(400..600).await;
            let answer = self.confirm(transaction).await;
            self.note("confirms too late", &answer);
        }
    }

    /// A linearizable read of what only this payer changes.
    async fn read(&mut self) -> Result {
        let (posted, index) = posted(&self.client, &customer(self.number)).await?;
        self.trace.note("read", &format!("customer {} has {posted} at {index}", self.number));
        assert_eq!(posted, cents(self.held - self.paid), "a read missed what was answered before");
        Ok(())
    }
}

/// What follows a try.
enum Second {
    Confirm,
    Cancel,
}

/// The posted balance of an account, and the index that it reflects.
async fn posted(client: &Client, account: &str) -> Result<(String, u64)> {
    let request = v1::GetAccountRequest { name: account.to_owned(), read: None };
    let reply = client.ledger_read(request, |mut ledger, request| async move { ledger.get_account(request).await });
    let reply = reply.await?;
    Ok((reply.account.unwrap_or_default().posted, reply.read_point.unwrap_or_default().log_index))
}

/// The book holds what the payers were told, no more and no less, and it balances.
async fn check_books(client: &Client, held: i64, paid: i64, trace: &Trace) -> Result {
    let (shop, index) = posted(client, SHOP).await?;
    let (bank, _) = posted(client, BANK).await?;
    trace.note("read", &format!("the shop has {shop}, the bank {bank} at {index}"));
    assert_eq!((shop, bank), (cents(paid), cents(held)), "the book is not what was answered");
    let request = v1::GetTrialBalanceRequest::default();
    let reply = client.audit(request, |mut audit, request| async move { audit.get_trial_balance(request).await });
    let lines = reply.await?.lines;
    assert!(!lines.is_empty() && lines.iter().all(|line| line.is_balanced), "the trial balance is not zero: {lines:?}");
    Ok(())
}

/// Waits until all replicas have applied the same index, and compares their state hashes.
async fn agree(client: &Client, trace: &Trace) -> turmoil::Result {
    for _ in 0..COMPARISONS {
        let mut states = Vec::new();
        for endpoint in 0..client.endpoints() {
            // A replica without power does not answer; it will.
            let Ok(status) = client.status(endpoint).await else { break };
            states.push((status.applied.unwrap_or_default().log_index, status.last_log_index, status.state_hash));
        }
        let (applied, last, hash) = states.first().cloned().unwrap_or_default();
        let is_even = applied == last && states.iter().all(|state| (state.0, state.1) == (applied, last));
        if is_even && states.len() == client.endpoints() {
            assert!(states.iter().all(|state| state.2 == hash), "the same index, other books: {states:?}");
            trace.note("agree", &format!("all replicas at {applied} with state hash {hash}"));
            return Ok(());
        }
        tokio::time::sleep(COMPARE_EVERY).await;
    }
    Err("the replicas did not come to the same index".into())
}
