//! What is not well formed, not whole, or too much by its bytes is refused with a reason, whatever
//! the method.

use std::time::Duration;

use bytes::Bytes;
use folio::api::Limits;
use folio::client::{Failure, FailureKind};
use folio::proto::{self, v1};
use folio::server::http2::Bounds;
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::{ALICE, BANK, Replica, refused, transfer};
use crate::raw::{Raw, framed};

const TRANSFER: &str = "/folio.v1.LedgerService/Transfer";
const STREAM: &str = "/folio.v1.LedgerService/StreamCommands";

/// The paths of all methods of the published API, and whether their callers send more than one
/// message.
fn methods() -> Vec<(String, bool)> {
    let described = prost_types::FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap();
    let mut methods = Vec::new();
    for file in described.file.iter().filter(|file| file.package() == "folio.v1") {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/folio.v1.{}/{}", service.name(), method.name());
                methods.push((path, method.client_streaming()));
            }
        }
    }
    assert!(methods.len() > 20, "{methods:?}");
    methods
}

/// A refusal for what the caller sent: with reason, field and remedy, and of the kind that is never
/// repeated.
#[track_caller]
fn is_malformed(status: &Status, says: &str, what: &str) {
    refused(Err::<(), _>(status.clone()), Code::InvalidArgument, "INVALID_ARGUMENT");
    let details = status.get_error_details();
    let fields = &details.bad_request().unwrap_or_else(|| panic!("{what}: no field in {status:?}")).field_violations;
    assert_eq!(fields.iter().map(|field| field.field.as_str()).collect::<Vec<_>>(), ["request"], "{what}");
    assert!(status.message().contains(says), "{what}: {status:?}");
    assert_eq!(Failure::of_read(status).kind, FailureKind::Malformed, "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_message_are_the_callers_fault_on_every_method() {
    let replica = Replica::start().await;
    let raw = Raw::connect(&replica.address).await;
    for (path, is_streaming) in methods() {
        // A field that ends within its content, and one whose length does not end.
        for broken in [&[0x0A, 5, b'a'][..], &[0x0A, 0xFF, 0xFF]] {
            let (_, status) = raw.send(&path, framed(broken)).await;
            is_malformed(&status, "no message of its kind", &format!("{path} {broken:?}"));
        }
        // The message itself is cut short; its beginning too.
        for (cut, says) in
            [(&b"\0\0\0\0\x09abc"[..], "ends after 8 of its 14 bytes"), (b"\0\0", "ends after 2 of its 5")]
        {
            let (_, status) = raw.send(&path, Bytes::from_static(cut)).await;
            is_malformed(&status, says, &path);
        }
        if !is_streaming {
            let (_, status) = raw.send(&path, Bytes::new()).await;
            is_malformed(&status, "without a message", &path);
        }
        let (_, status) = raw.send(&path, Bytes::from_static(b"\x01\0\0\0\x03abc")).await;
        is_malformed(&status, "is compressed", &path);
        let (_, status) = raw.send(&path, Bytes::from_static(b"\x07\0\0\0\x03abc")).await;
        is_malformed(&status, "begins with 7", &path);
        let (_, status) = raw.send(&path, Bytes::from_static(b"\0\x7F\0\0\0abc")).await;
        is_malformed(&status, "at most 2097152 are allowed", &path);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_that_is_no_utf_8_is_the_callers_fault() {
    let replica = Replica::start().await;
    let raw = Raw::connect(&replica.address).await;
    let transfer = [0x0A, 2, 0xC3, 0x28];
    let command = [&[0x3A, 4][..], &transfer].concat();
    let in_batch = [&[0x0A, 6][..], &command].concat();
    let in_stream = [&[0x12, 6][..], &command].concat();
    for (path, message) in
        [(TRANSFER, transfer.to_vec()), ("/folio.v1.LedgerService/ExecuteBatch", in_batch), (STREAM, in_stream)]
    {
        let (_, status) = raw.send(path, framed(&message)).await;
        is_malformed(&status, "UTF-8", path);
    }
}

fn command(tag: u64, amount: &str) -> Vec<u8> {
    let request_id = format!("00000000-0000-4000-a000-{tag:012x}");
    let operation = v1::command::Operation::Transfer(transfer(&request_id, BANK, ALICE, amount));
    let command = Some(v1::Command { operation: Some(operation) });
    v1::StreamCommandsRequest { tag, command }.encode_to_vec()
}

/// The answers of a stream, by their tags in order.
fn tags(mut answers: &[u8]) -> Vec<u64> {
    let mut tags = Vec::new();
    while let Some((prefix, rest)) = answers.split_first_chunk::<5>() {
        let length = u32::from_be_bytes(prefix[1..].try_into().unwrap());
        let (message, rest) = rest.split_at(usize::try_from(length).unwrap());
        tags.push(v1::StreamCommandsResponse::decode(message).unwrap().tag);
        answers = rest;
    }
    tags.sort_unstable();
    tags
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_breaks_answers_first_what_it_took() {
    let replica = Replica::with_accounts().await;
    let raw = Raw::connect(&replica.address).await;
    let good: Vec<u8> = (1..=300).flat_map(|tag| framed(&command(tag, "0.01")).to_vec()).collect();
    let body = [&good[..], &framed(&[0x0A, 5, b'a'])].concat();
    let (answers, status) = raw.send(STREAM, body.into()).await;
    is_malformed(&status, "no message of its kind", STREAM);
    assert_eq!(tags(&answers), (1..=300).collect::<Vec<_>>(), "every command that was taken is answered once");
    assert_eq!(replica.balance(ALICE).await.0, "3.00");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_has_a_time_to_come() {
    let bounds = Bounds {
        receiving: Duration::from_millis(100),
        most_receiving: Duration::from_millis(300),
        ..Bounds::of_clients()
    };
    let replica = Replica::start_within(Limits::default(), bounds).await;
    let raw = Raw::connect(&replica.address).await;
    for (path, is_streaming) in methods() {
        let mut call = raw.call(&path).await;
        call.sending.send_data(Bytes::from_static(b"\0\0\0\0\x09abc"), false).unwrap();
        let (_, status) = call.answer().await;
        let values = refused(Err::<(), _>(status.clone()), Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
        assert_eq!(values["bytes"], "8", "{path}");
        assert!(status.message().contains("not received as a whole"), "{path}: {status:?}");
        if !is_streaming {
            // Neither may it never begin, or never end.
            let (_, status) = raw.call(&path).await.answer().await;
            refused(Err::<(), _>(status), Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
            let mut call = raw.call(&path).await;
            call.sending.send_data(framed(b""), false).unwrap();
            let (_, status) = call.answer().await;
            refused(Err::<(), _>(status), Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
        }
    }
    // A stream may wait between messages for as long as it likes.
    let mut call = raw.call(STREAM).await;
    call.sending.send_data(framed(&command(1, "1")), false).unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    call.sending.send_data(framed(&command(2, "1")), true).unwrap();
    let (answers, status) = call.answer().await;
    assert_eq!((tags(&answers), status.code()), (vec![1, 2], Code::Ok), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_calls_together_hold_only_so_much_that_is_not_whole() {
    let limits = Limits { receiving_bytes: 100_000, ..Limits::default() };
    let replica = Replica::start_within(limits, Bounds::of_clients()).await;
    let raw = Raw::connect(&replica.address).await;
    let mut part = vec![0; 60_000];
    part[..5].copy_from_slice(&framed(&[0; 70_000])[..5]);
    let mut first = raw.call(TRANSFER).await;
    first.sending.reserve_capacity(part.len());
    first.sending.send_data(part.clone().into(), false).unwrap();
    let mut second = Raw::connect(&replica.address).await.call(TRANSFER).await;
    second.sending.send_data(part.into(), false).unwrap();
    // One of the two went beyond the bound; which of them, their connections decide.
    let (first, second) = (first.answer(), second.answer());
    tokio::pin!(first, second);
    let status = tokio::select! {
        (_, status) = &mut first => status,
        (_, status) = &mut second => status,
    };
    let status = Err::<(), _>(status);
    refused(status, Code::ResourceExhausted, "OVERLOADED");
    // Small calls come through all the same.
    replica.register("EUR", 2).await;
}
