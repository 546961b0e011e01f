//! One replica on loopback, and clients with the words that tests use.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use folio::api::{Api, Held, Limits};
use folio::book::Book;
use folio::proto::v1;
use folio::proto::v1::audit_service_client::AuditServiceClient;
use folio::proto::v1::cluster_service_client::ClusterServiceClient;
use folio::proto::v1::ledger_service_client::LedgerServiceClient;
use folio::replication::identity::{Identity, Member};
use folio::replication::{Connector, Node, NodeConfig, ProposerBounds, Role, Threads};
use folio::server::http2::{self, Bounds, Server};
use folio::store::memory::MemoryEngine;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

pub const ALICE: &str = "liabilities:customers:alice:usd";
pub const SHOP: &str = "liabilities:merchants:shop:usd";
pub const BANK: &str = "assets:bank:usd";

/// A replica that leads, and a client for each of its services. It stops when it is dropped.
pub struct Replica {
    pub address: String,
    pub ledger: LedgerServiceClient<Channel>,
    pub audit: AuditServiceClient<Channel>,
    pub cluster: ClusterServiceClient<Channel>,
    stop: tokio::sync::watch::Sender<bool>,
    next_id: AtomicU64,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

async fn start_node(address: &str) -> Arc<Node> {
    let member = Member { replica_id: 1, peer_address: "127.0.0.1:1".to_owned(), client_address: address.to_owned() };
    let identity = Identity::new("test".to_owned(), 1, "memory".to_owned(), vec![member]);
    let clock = || u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap();
    let node = Node::start(NodeConfig {
        identity,
        log_engine: Arc::new(MemoryEngine::new()),
        book: Arc::new(Book::open(Arc::new(MemoryEngine::new())).unwrap()),
        threads: Threads::Own,
        connector: Connector::tcp(),
        clock: Arc::new(clock),
        on_fatal: Arc::new(|reason| panic!("the replica stopped: {reason}")),
        bounds: ProposerBounds::default(),
        heartbeat_ms: 50,
        election_ms: (150, 300),
        snapshot_entries: 100_000,
        log_bytes: u64::MAX,
    })
    .await
    .unwrap();
    for _ in 0..500 {
        if node.role() == Role::Leader {
            return node;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no leader after five seconds");
}

impl Replica {
    pub async fn start() -> Replica {
        Replica::start_with(Limits::default()).await
    }

    pub async fn start_with(limits: Limits) -> Replica {
        Replica::start_within(limits, Bounds::of_clients()).await
    }

    pub async fn start_within(limits: Limits, bounds: Bounds) -> Replica {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let node = start_node(&address).await;
        let api = Api::new(Arc::clone(&node), limits);
        let services = Routes::new(api.ledger()).add_service(api.audit()).add_service(api.cluster());
        let receiving = Held::new(limits.receiving_bytes);
        let server = Server::new(services, bounds, folio::proto::streaming_methods(), &receiving, api.unsent());
        let (stop, stopped) = tokio::sync::watch::channel(false);
        tokio::spawn(async move {
            http2::serve(server, TcpListenerStream::new(listener), stopped).await;
            node.stop().await;
        });
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
        Replica {
            address,
            ledger: LedgerServiceClient::new(channel.clone()).max_encoding_message_size(64 << 20),
            audit: AuditServiceClient::new(channel.clone()),
            cluster: ClusterServiceClient::new(channel),
            stop,
            next_id: AtomicU64::new(1),
        }
    }

    /// A replica with USD, a bank without a floor, and two customers at zero.
    pub async fn with_accounts() -> Replica {
        let replica = Replica::start().await;
        replica.register("USD", 2).await;
        replica.open(BANK, v1::AccountClass::Asset, true).await;
        replica.open(ALICE, v1::AccountClass::Liability, false).await;
        replica.open(SHOP, v1::AccountClass::Liability, false).await;
        replica
    }

    /// A request id that was not used before on this replica.
    pub fn id(&self) -> String {
        format!("00000000-0000-4000-8000-{:012x}", self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    pub async fn register(&self, code: &str, scale: u32) {
        let request = v1::RegisterAssetRequest { request_id: self.id(), code: code.to_owned(), scale };
        self.ledger.clone().register_asset(request).await.unwrap();
    }

    pub async fn open(&self, name: &str, class: v1::AccountClass, unlimited: bool) {
        let floor = unlimited.then_some(v1::Floor { kind: Some(v1::floor::Kind::Unlimited(true)) });
        let request = v1::OpenAccountRequest {
            request_id: self.id(),
            name: name.to_owned(),
            asset: "USD".to_owned(),
            class: class.into(),
            floor,
            ..Default::default()
        };
        self.ledger.clone().open_account(request).await.unwrap();
    }

    /// Moves `amount` from the bank to Alice.
    pub async fn top_up(&self, amount: &str) {
        self.ledger.clone().transfer(transfer(&self.id(), BANK, ALICE, amount)).await.unwrap();
    }

    pub async fn account(&self, name: &str) -> v1::Account {
        let request = v1::GetAccountRequest { name: name.to_owned(), read: None };
        self.ledger.clone().get_account(request).await.unwrap().into_inner().account.unwrap()
    }

    /// The posted and available balances of an account.
    pub async fn balance(&self, name: &str) -> (String, String) {
        let account = self.account(name).await;
        (account.posted, account.available)
    }
}

pub fn transfer(request_id: &str, debit: &str, credit: &str, amount: &str) -> v1::TransferRequest {
    v1::TransferRequest {
        request_id: request_id.to_owned(),
        debit_account: debit.to_owned(),
        credit_account: credit.to_owned(),
        amount: amount.to_owned(),
        ..Default::default()
    }
}

/// A try that moves `amount` from Alice to the shop.
pub fn attempt(request_id: &str, amount: &str) -> v1::TryTransactionRequest {
    let posting = |account: &str, side: v1::Side| v1::Posting {
        account: account.to_owned(),
        side: side.into(),
        amount: amount.to_owned(),
        asset: String::new(),
    };
    v1::TryTransactionRequest {
        request_id: request_id.to_owned(),
        postings: vec![posting(ALICE, v1::Side::Debit), posting(SHOP, v1::Side::Credit)],
        ..Default::default()
    }
}

pub fn confirm(request_id: &str, transaction_id: &str) -> v1::ConfirmTransactionRequest {
    v1::ConfirmTransactionRequest {
        request_id: request_id.to_owned(),
        transaction_id: transaction_id.to_owned(),
        amounts: Vec::new(),
    }
}

pub fn cancel(request_id: &str, transaction_id: &str) -> v1::CancelTransactionRequest {
    v1::CancelTransactionRequest { request_id: request_id.to_owned(), transaction_id: transaction_id.to_owned() }
}

/// Checks code and reason of a refusal, and gives its values.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(
    result: Result<T, Status>,
    code: Code,
    reason: &str,
) -> std::collections::HashMap<String, String> {
    let status = result.expect_err("this should have been refused");
    assert_eq!(status.code(), code, "{status:?}");
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason, "folio"), "{status:?}");
    assert!(details.localized_message().is_some(), "no remedy in {status:?}");
    info.metadata.clone()
}

/// The fields that a malformed request is refused for.
#[track_caller]
pub fn malformed<T: std::fmt::Debug>(result: Result<T, Status>) -> Vec<String> {
    let status = result.expect_err("this should have been refused");
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_error_details();
    let request = details.bad_request().unwrap_or_else(|| panic!("no BadRequest in {status:?}"));
    request.field_violations.iter().map(|violation| violation.field.clone()).collect()
}
