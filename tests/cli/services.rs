//! What stock tools find on a spawned replica: health, reflection, and the bounds of a request.

use std::time::{Duration, Instant};

use folio::proto::v1;
use folio::proto::v1::ledger_service_client::LedgerServiceClient;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_types::StatusExt as _;

use super::harness::{BANK, Place, Ran, Replica, SHOP, Served, folio, places_of_three, text};

fn channel(address: &str) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy()
}

async fn health(address: &str, service: &str) -> Result<ServingStatus, Code> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let reply = HealthClient::new(channel(address)).check(request).await.map_err(|status| status.code())?;
    Ok(reply.into_inner().status())
}

#[tokio::test]
async fn a_replica_alone_is_healthy_and_leads() {
    let replica = Replica::start();
    let address = &replica.place.address;
    assert_eq!(health(address, "").await, Ok(ServingStatus::Serving));
    let began = Instant::now();
    while health(address, "leader").await != Ok(ServingStatus::Serving) {
        assert!(began.elapsed() < Duration::from_secs(5), "the leader's health follows its role");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(health(address, "no.such.service").await, Err(Code::NotFound));
}

async fn reflect(address: &str, question: MessageRequest) -> MessageResponse {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let stream = tokio_stream::once(request);
    let mut replies =
        ServerReflectionClient::new(channel(address)).server_reflection_info(stream).await.unwrap().into_inner();
    replies.message().await.unwrap().unwrap().message_response.unwrap()
}

#[tokio::test]
async fn reflection_lists_the_services_and_knows_the_types_of_errors() {
    let replica = Replica::start();
    let address = &replica.place.address;
    let MessageResponse::ListServicesResponse(list) =
        reflect(address, MessageRequest::ListServices(String::new())).await
    else {
        panic!("no list of services");
    };
    let services: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    for wanted in
        ["folio.v1.LedgerService", "folio.v1.AuditService", "folio.v1.ClusterService", "grpc.health.v1.Health"]
    {
        assert!(services.iter().any(|service| service == wanted), "{wanted}: {services:?}");
    }
    for symbol in [
        "folio.v1.LedgerService.Transfer",
        "folio.v1.TransferRequest",
        "google.rpc.ErrorInfo",
        "google.rpc.BadRequest",
        "google.rpc.RetryInfo",
        "google.rpc.LocalizedMessage",
    ] {
        let reply = reflect(address, MessageRequest::FileContainingSymbol(symbol.to_owned())).await;
        let MessageResponse::FileDescriptorResponse(found) = reply else { panic!("{symbol}: {reply:?}") };
        assert!(!found.file_descriptor_proto.is_empty(), "{symbol}");
    }
}

#[tokio::test]
async fn a_request_beyond_two_mebibytes_is_refused_with_its_size_before_anything_is_done() {
    let replica = Replica::start();
    let mut client = LedgerServiceClient::new(channel(&replica.place.address));
    let command = |number: u64| {
        let transfer = v1::TransferRequest {
            request_id: format!("00000000-0000-4000-8000-{number:012}"),
            debit_account: BANK.to_owned(),
            credit_account: SHOP.to_owned(),
            amount: "1.00".to_owned(),
            details: Some(v1::Details { reference: "x".repeat(600), ..Default::default() }),
            ..Default::default()
        };
        v1::Command { operation: Some(v1::command::Operation::Transfer(transfer)) }
    };
    let batch =
        v1::ExecuteBatchRequest { commands: (1..4_000).map(command).collect(), atomic_request_id: String::new() };
    let size = prost::Message::encoded_len(&batch);
    assert!(size > 2 * 1024 * 1024);
    let status = client.execute_batch(batch).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(status.message().contains(&size.to_string()), "{size}: {status:?}");
    assert!(status.message().contains("2097152") || status.message().contains("2 MiB"), "the bound: {status:?}");
    assert_eq!(status.get_error_details().error_info().unwrap().reason, "INVALID_ARGUMENT");
    let many = v1::ExecuteBatchRequest {
        commands: (1..=8_193).map(|_| v1::Command::default()).collect(),
        atomic_request_id: String::new(),
    };
    let status = client.execute_batch(many).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(status.message().contains("8193") && status.message().contains("8192"), "{status:?}");
    assert_eq!(replica.folio(&["journal"]).expect(0).stdout, "", "nothing was done");
}

/// Three replicas of one cluster, founded together.
pub fn cluster(folder: &std::path::Path) -> Vec<(Place, Served)> {
    let start = |(place, more): (Place, [String; 3])| {
        let served = place.start(&more.each_ref().map(String::as_str));
        (place, served)
    };
    places_of_three(folder).into_iter().map(start).collect()
}

#[tokio::test]
async fn of_three_replicas_one_leads_and_one_that_is_down_is_shown() {
    let temporary = tempfile::tempdir().unwrap();
    let mut cluster = cluster(temporary.path());
    let endpoints = cluster.iter().map(|(place, _)| place.address.clone()).collect::<Vec<_>>().join(",");
    let ask = |args: &[&str]| folio(&[args, &["--endpoints", &endpoints]].concat());
    // The first command waits for the first leader.
    ask(&["asset", "register", "USD", "--scale", "2", "--timeout", "60s"]).expect(0);
    let began = Instant::now();
    loop {
        let mut leading = Vec::new();
        for (place, served) in &mut cluster {
            assert!(served.has_ended().is_none(), "{}", served.said());
            assert_eq!(health(&place.address, "").await, Ok(ServingStatus::Serving));
            leading.push(health(&place.address, "leader").await.unwrap());
        }
        let leaders = leading.iter().filter(|status| **status == ServingStatus::Serving).count();
        if leaders == 1 && leading.iter().filter(|status| **status == ServingStatus::NotServing).count() == 2 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "one leads and two do not: {leading:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let before = ask(&["status", "--output", "json"]).expect(0).json();
    let leader = before["replicas"].as_array().unwrap().iter().position(|replica| replica["role"] == "leader").unwrap();
    let (gone, served) = cluster.remove(leader);
    served.signal(libc::SIGKILL);
    drop(served);
    // The client finds the next leader.
    ask(&["account", "open", BANK, "--asset", "USD", "--class", "asset", "--timeout", "60s"]).expect(0);
    let table = ask(&["status"]).expect(0).says(&[&gone.address]);
    let row = |address: &str| table.stdout.lines().find(|line| line.contains(address)).unwrap_or_default().to_owned();
    assert!(row(&gone.address).contains("does not answer"), "{table:?}");
    for (place, _) in &cluster {
        let row = row(&place.address);
        assert!(row.contains("leader") || row.contains("follower"), "{table:?}");
    }
    let status = ask(&["status", "--output", "json"]).expect(0).json();
    let answers = status["replicas"].as_array().unwrap();
    assert_eq!(answers.len(), 3);
    assert_eq!(text(&answers[leader], "/address"), gone.address);
    assert!(!text(&answers[leader], "/error").is_empty());
    without_a_quorum(&ask, &mut cluster);
    for (_, mut served) in cluster {
        assert_eq!(served.stop(), 0, "{}", served.said());
    }
}

/// Of two replicas that are left one more goes, and comes back: what was asked meanwhile is not decided twice.
fn without_a_quorum(ask: &dyn Fn(&[&str]) -> Ran, cluster: &mut Vec<(Place, Served)>) {
    let open = ["account", "open", SHOP, "--asset", "USD", "--class", "liability"];
    ask(&open).expect(0);
    ask(&["account", "set-limits", BANK, "--floor", "unlimited"]).expect(0);
    let (place, served) = cluster.remove(0);
    served.signal(libc::SIGKILL);
    drop(served);
    let transfer = ["transfer", "--debit", BANK, "--credit", SHOP, "--amount", "4.00", "--output", "json"];
    let alone = ask(&[&transfer[..], &["--timeout", "2s"]].concat());
    assert!([5, 6].contains(&alone.code), "one of three decides nothing: {alone:?}");
    let request_id = text(&alone.json(), "/request_id").to_owned();
    ask(&["balance", SHOP, "--timeout", "1s"]).expect(5);
    // What the replica that is left knows may be asked for by name.
    ask(&["account", "show", SHOP, "--consistency", "stale", "--timeout", "5s"]).expect(0);
    let replica_id = place.folder.to_string_lossy().rsplit('-').next().unwrap_or_default().to_owned();
    let served = place.start(&["--replica-id", &replica_id]);
    cluster.push((place, served));
    ask(&[&transfer[..], &["--request-id", &request_id, "--timeout", "60s"]].concat()).expect(0);
    let balance = ask(&["balance", SHOP, "--output", "json", "--timeout", "30s"]).expect(0).json();
    assert_eq!(text(&balance, "/posted"), "4.00", "once, however often it was sent");
}
