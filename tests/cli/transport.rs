//! Clients that take more than they should of a replica: memory, descriptors, time.

use std::fs;
use std::io::Read as _;
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use tonic::codegen::http::{HeaderMap, Request};

use super::harness::{ALICE, BANK, PATIENCE, Place, Replica, Served, memory};

const STREAM: &str = "/folio.v1.LedgerService/StreamCommands";
const TRANSFER: &str = "/folio.v1.LedgerService/Transfer";
const MIB: u64 = 1024 * 1024;

/// Runs what a client does, for no longer than anything is waited for.
fn run<T>(client: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, client).await.expect("it takes too long") })
}

async fn connect(address: &str) -> SendRequest<Bytes> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (sending, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sending
}

async fn call(connection: &SendRequest<Bytes>, path: &str) -> (ResponseFuture, SendStream<Bytes>) {
    let request = Request::post(format!("http://folio{path}")).header("content-type", "application/grpc");
    let request = request.header("te", "trailers").body(()).unwrap();
    let mut ready = connection.clone().ready().await.unwrap();
    ready.send_request(request, false).unwrap()
}

/// Reads an answer to its end: its bytes, and the trailers or else the headers.
async fn read(response: ResponseFuture) -> (Vec<u8>, HeaderMap) {
    let (parts, mut body) = response.await.unwrap().into_parts();
    let bytes = read_body(&mut body).await;
    let trailers = body.trailers().await.unwrap();
    (bytes, trailers.unwrap_or(parts.headers))
}

async fn read_body(body: &mut RecvStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.unwrap();
        body.flow_control().release_capacity(chunk.len()).unwrap();
        bytes.extend_from_slice(&chunk);
    }
    bytes
}

/// The time that all threads of a replica computed so far.
fn computed(served: &Served) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", served.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // Hundredths of a second, in this process and in the system for it.
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(10 * ticks)
}

/// A command of 17 bytes, framed: its tag and a transfer with nothing but a malformed id.
fn small_command(tag: u32) -> Bytes {
    let message = [&[0x08][..], &varint(tag), &[0x12, 9, 0x3A, 7, 0x0A, 5], b"never"].concat();
    assert_eq!(message.len(), 17);
    [&[0, 0, 0, 0, 17][..], &message].concat().into()
}

/// A number below 2^35 in five bytes.
fn varint(number: u32) -> [u8; 5] {
    let digit = |place: u32| ((u64::from(number) >> (7 * place)) & 0x7F) as u8;
    [digit(0) | 0x80, digit(1) | 0x80, digit(2) | 0x80, digit(3) | 0x80, digit(4)]
}

/// How many whole messages there are in an answer's bytes.
fn messages(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Some((prefix, rest)) = bytes.split_first_chunk::<5>() {
        let length = u32::from_be_bytes(prefix[1..].try_into().unwrap());
        bytes = &rest[usize::try_from(length).unwrap()..];
        count += 1;
    }
    count
}

#[test]
fn a_client_that_sends_and_does_not_read_is_stopped_and_costs_little() {
    let replica = Replica::start();
    run(async {
        let connection = connect(&replica.place.address).await;
        let before = memory(&replica.served);
        let (response, mut sending) = call(&connection, STREAM).await;
        let response = tokio::spawn(response);
        let mut sent = 0u32;
        let is_stopped = loop {
            let command = small_command(sent);
            sending.reserve_capacity(command.len());
            while sending.capacity() < command.len() {
                let room = std::future::poll_fn(|context| sending.poll_capacity(context));
                match tokio::time::timeout(Duration::from_secs(2), room).await {
                    Ok(room) => room.expect("the stream is open").map(|_| ()).unwrap(),
                    Err(_) => break,
                }
            }
            if sending.capacity() < command.len() {
                break true;
            }
            sending.send_data(command, false).unwrap();
            sent += 1;
            // Far beyond the windows, the places of commands and what the systems' sockets hold.
            if u64::from(sent) * 22 > 16 * MIB {
                break false;
            }
        };
        let cost = memory(&replica.served).saturating_sub(before);
        assert!(is_stopped, "{sent} commands were taken, and memory grew by {} MiB", cost / MIB);
        assert!(cost < 64 * MIB, "memory grew by {} MiB for {sent} commands", cost / MIB);
        // Once it reads, every command is answered, once, and the connection has never been ended.
        sending.send_data(Bytes::new(), true).unwrap();
        let (parts, mut body) = response.await.unwrap().unwrap().into_parts();
        assert_eq!(parts.status, 200);
        let answers = messages(&read_body(&mut body).await);
        assert_eq!(answers, usize::try_from(sent).unwrap());
        assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    });
}

#[test]
fn calls_that_never_end_are_ended_and_cost_little() {
    let replica = Replica::start();
    run(async {
        let before = memory(&replica.served);
        let (mut ends, mut connections, mut most) = (Vec::new(), Vec::new(), 0);
        for _ in 0..200 {
            let connection = connect(&replica.place.address).await;
            let (response, mut sending) = call(&connection, TRANSFER).await;
            connections.push(connection);
            ends.push(tokio::spawn(async move {
                // All of a message of 3 MiB but its last byte, as far as it is taken.
                let length = 3 * 1024 * 1024u32;
                let mut left =
                    Bytes::from([&[0][..], &length.to_be_bytes(), &vec![0x0A; 3 * 1024 * 1024 - 1]].concat());
                while !left.is_empty() {
                    sending.reserve_capacity(left.len());
                    let room = std::future::poll_fn(|context| sending.poll_capacity(context)).await;
                    let Some(Ok(room)) = room else { break };
                    if sending.send_data(left.split_to(room.min(left.len())), false).is_err() {
                        break;
                    }
                }
                let (_, trailers) = read(response).await;
                drop(sending);
                (
                    trailers["grpc-status"].to_str().unwrap().to_owned(),
                    trailers["grpc-message"].to_str().unwrap().to_owned(),
                )
            }));
        }
        let mut refused = [0; 2];
        for end in ends {
            let (code, message) = end.await.unwrap();
            most = most.max(memory(&replica.served));
            match code.as_str() {
                "8" => refused[0] += 1,
                "4" => refused[1] += 1,
                other => panic!("{other}: {message}"),
            }
            assert!(message.contains("proposed"), "{message}");
        }
        let cost = most.saturating_sub(before);
        assert!(cost < 320 * MIB, "memory grew by {} MiB", cost / MIB);
        // As much is held as is allowed, and for no longer than is allowed; the rest is refused at
        // once.
        assert!(refused[0] > 0 && refused[1] > 0, "{refused:?}");
    });
    replica.open_usd();
}

/// A replica that may have 1 024 descriptors, and cannot get more.
fn with_few_descriptors(place: &Place) -> Command {
    let mut command = place.command(&["--found"]);
    // SAFETY: setrlimit is safe to call between fork and exec.
    unsafe {
        command.pre_exec(|| {
            let limit = libc::rlimit { rlim_cur: 1_024, rlim_max: 1_024 };
            match libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
    command
}

/// Whether the other side has closed a connection.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    // A server that waits for the first bytes may have sent its settings.
    let mut bytes = [0; 256];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

#[test]
fn idle_connections_leave_a_replica_its_descriptors_and_are_closed() {
    if rlimit::increase_nofile_limit(4_096).unwrap_or(0) < 2_048 {
        eprintln!("SKIPPED: this process may not open as many connections as the test needs");
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let place = Place::new(&temporary.path().join("data"));
    let mut served = Served::spawn(with_few_descriptors(&place), temporary.path().join("log"));
    place.await_leader(&mut served).unwrap();
    let replica = Replica { served, place, temporary };
    replica.open_usd();
    run(async {
        let connection = connect(&replica.place.address).await;
        transfer(&connection, 0).await;
        let mut idle: Vec<TcpStream> =
            (0..1_000).map(|_| TcpStream::connect(&replica.place.address).unwrap()).collect();
        // Those that find no place are closed at once; then there is nothing to do for the replica.
        until(|| idle.iter_mut().filter_map(|stream| is_closed(stream).then_some(())).count() > 400).await;
        let open = fs::read_dir(format!("/proc/{}/fd", replica.served.pid())).unwrap().count();
        assert!(open <= 1_024 - 448, "{open} descriptors are taken; the engines may need 448");
        let (before, began) = (computed(&replica.served), Instant::now());
        tokio::time::sleep(Duration::from_secs(1)).await;
        let busy = (computed(&replica.served) - before).as_secs_f64() / began.elapsed().as_secs_f64();
        assert!(busy < 0.5, "{busy} processors are busy with idle connections");
        for number in 1..50 {
            transfer(&connection, number).await;
        }
        assert!(replica.served.said().contains("all places are taken"), "{}", replica.served.said());
        assert_eq!(replica.served.said().matches("all places are taken").count(), 1, "once in a while");
        // None of them ever begins, so they are closed, and their places are free.
        until(|| idle.iter_mut().all(is_closed)).await;
        transfer(&connection, 50).await;
    });
    let balance = replica.json(&["balance", ALICE]);
    assert_eq!(balance["posted"], "0.51");
}

async fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Moves a cent from the bank to Alice.
async fn transfer(connection: &SendRequest<Bytes>, number: u8) {
    let id = format!("00000000-0000-4000-b000-{number:012x}");
    let field = |number: u8, text: &str| [&[number << 3 | 2, text.len() as u8][..], text.as_bytes()].concat();
    let message = [field(1, &id), field(3, BANK), field(4, ALICE), field(5, "0.01")].concat();
    let framed = [&[0, 0, 0, 0, message.len() as u8][..], &message].concat();
    let (response, mut sending) = call(connection, TRANSFER).await;
    sending.send_data(framed.into(), true).unwrap();
    let (_, trailers) = read(response).await;
    assert_eq!(trailers["grpc-status"], "0", "{trailers:?}");
}
