//! The one pass against the generated types: whatever it finds, they find, and what it cannot tell is left to them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ledger::journal::JournalSequence;
use ledger::{AccountName, AccountNumber, Asset, AssetCode, AssetNumber, Scale};
use proptest::prelude::*;
use v1::command::Operation as Message;

use super::*;

const KNOWN: [&str; 2] = ["assets:bank", "liabilities:customers:42"];
const ID: &str = "0192d3c4-7b1f-7c3e-9a55-2f6f0d1c8e42";

fn names() -> RwLock<Directory> {
    let mut directory = Directory::default();
    let (code, scale) = (AssetCode::new("USD").unwrap(), Scale::new(2).unwrap());
    directory.add_asset(Asset { number: AssetNumber(0), code, scale, registered: JournalSequence(1) });
    for (number, name) in (0..).zip(KNOWN) {
        directory.add_account(AccountName::new(name).unwrap(), AccountNumber(number), AssetNumber(0));
    }
    RwLock::new(directory)
}

fn transfer() -> v1::TransferRequest {
    v1::TransferRequest {
        request_id: ID.to_owned(),
        debit_account: KNOWN[0].to_owned(),
        credit_account: KNOWN[1].to_owned(),
        amount: "12.34".to_owned(),
        ..Default::default()
    }
}

fn batch(operations: Vec<Option<Message>>) -> v1::ExecuteBatchRequest {
    let commands = operations.into_iter().map(|operation| v1::Command { operation }).collect();
    v1::ExecuteBatchRequest { commands, atomic_request_id: String::new() }
}

/// What the generated types make of the bytes, as a proposal takes it; none if they are refused or atomic.
fn by_messages(names: &RwLock<Directory>, bytes: &[u8]) -> Option<EntryWriter> {
    match read_messages(&names.read().unwrap(), bytes) {
        Ok(Batch::Independent(commands)) => {
            let mut entry = EntryWriter::new(0);
            commands.iter().for_each(|command| entry.push(&ledger::entry::encode_command(command).unwrap(), 1));
            Some(entry)
        }
        Ok(Batch::Encoded(_)) => panic!("messages are not read as encoded commands"),
        Ok(Batch::Atomic(_)) | Err(_) => None,
    }
}

/// What is found by who reads the halves, one after the other.
fn in_halves(names: &RwLock<Directory>, bytes: &[u8], order: [Half; 2]) -> Option<EntryWriter> {
    let halves = Halves::of(&Bytes::copy_from_slice(bytes))?;
    let [first, second] = order.map(|half| halves.read(names, half));
    assert_eq!(first, None, "the whole is there before both halves are read");
    second
}

/// What the one pass finds, which is the same in the whole and in two halves.
fn plain(names: &RwLock<Directory>, bytes: &[u8]) -> Option<EntryWriter> {
    let found = read_plain(names, bytes);
    for order in [[Half::First, Half::Second], [Half::Second, Half::First]] {
        // Where it cannot be cut in two, it is not plain.
        assert_eq!(in_halves(names, bytes, order), found, "{order:?} {bytes:?}");
    }
    found
}

/// The one pass finds what the messages hold, or nothing where they are refused. It need not find all that they do.
fn assert_same(bytes: &[u8]) {
    let names = names();
    if let Some(found) = plain(&names, bytes) {
        assert_eq!(Some(found), by_messages(&names, bytes), "{bytes:?}");
    }
}

fn text(usual: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![8 => prop::sample::select(usual).prop_map(str::to_owned), 1 => ".{0,6}"]
}

fn any_transfer() -> impl Strategy<Value = v1::TransferRequest> {
    let names = || text(&[KNOWN[0], KNOWN[1], "assets:unknown", "no name", ""]);
    let details = prop::option::weighted(0.1, Just(v1::Details { reference: "r".to_owned(), ..Default::default() }));
    let ids = || text(&[ID, "0192d3c4-7b1f-7c3e-9a55-2f6f0d1c8e43", ""]);
    let amounts = text(&["1", "12.34", "1.234", "0", "0.00", "-1", "1e3", "79228162514264337593543950336"]);
    (ids(), ids(), names(), names(), amounts, text(&["", "", "USD", "EUR", "??"]), details).prop_map(
        |(request_id, transaction_id, debit_account, credit_account, amount, asset, details)| v1::TransferRequest {
            request_id,
            transaction_id,
            debit_account,
            credit_account,
            amount,
            asset,
            details,
        },
    )
}

fn attempt() -> v1::TryTransactionRequest {
    let posting = |account: &str, side: v1::Side| v1::Posting {
        account: account.to_owned(),
        side: side.into(),
        amount: "12.34".to_owned(),
        asset: String::new(),
    };
    v1::TryTransactionRequest {
        request_id: ID.to_owned(),
        postings: vec![posting(KNOWN[0], v1::Side::Debit), posting(KNOWN[1], v1::Side::Credit)],
        timeout: Some(Duration { seconds: 60, nanos: 5 }),
        ..Default::default()
    }
}

fn any_try() -> impl Strategy<Value = v1::TryTransactionRequest> {
    let ids = || text(&[ID, "0192d3c4-7b1f-7c3e-9a55-2f6f0d1c8e43", ""]);
    let posting = (
        text(&[KNOWN[0], KNOWN[1], "assets:unknown", "no name"]),
        prop_oneof![8 => 1..3_i32, 1 => -1..5_i32],
        text(&["1", "1", "1.0", "2", "0", "1.234", "-1"]),
        text(&["", "", "", "USD", "EUR"]),
    );
    let posting = posting.prop_map(|(account, side, amount, asset)| v1::Posting { account, side, amount, asset });
    let timeout = prop_oneof![6 => 0..100_i64, 1 => any::<i64>()]
        .prop_flat_map(|seconds| (Just(seconds), prop_oneof![6 => 0..1_000_000_000_i32, 1 => any::<i32>()]))
        .prop_map(|(seconds, nanos)| Duration { seconds, nanos });
    let details = prop::option::weighted(0.1, Just(v1::Details { reference: "r".to_owned(), ..Default::default() }));
    (ids(), ids(), prop::collection::vec(posting, 1..5), prop::option::of(timeout), details).prop_map(
        |(request_id, transaction_id, postings, timeout, details)| v1::TryTransactionRequest {
            request_id,
            transaction_id,
            postings,
            details,
            timeout,
        },
    )
}

fn any_confirm() -> impl Strategy<Value = v1::ConfirmTransactionRequest> {
    let ids = || text(&[ID, "0192d3c4-7b1f-7c3e-9a55-2f6f0d1c8e43", ""]);
    (ids(), ids(), prop::collection::vec(text(&["1", "0"]), 0..2)).prop_map(|(request_id, transaction_id, amounts)| {
        v1::ConfirmTransactionRequest { request_id, transaction_id, amounts }
    })
}

fn any_operation() -> impl Strategy<Value = Option<Message>> {
    let cancel = v1::CancelTransactionRequest { request_id: ID.to_owned(), transaction_id: ID.to_owned() };
    let freeze = v1::FreezeAccountRequest { request_id: ID.to_owned(), account: KNOWN[1].to_owned() };
    prop_oneof![
        12 => Just(Some(Message::Transfer(transfer()))),
        6 => any_transfer().prop_map(|transfer| Some(Message::Transfer(transfer))),
        8 => Just(Some(Message::TryTransaction(attempt()))),
        6 => any_try().prop_map(|attempt| Some(Message::TryTransaction(attempt))),
        6 => any_confirm().prop_map(|confirm| Some(Message::ConfirmTransaction(confirm))),
        2 => Just(Some(Message::CancelTransaction(cancel))),
        1 => Just(Some(Message::FreezeAccount(freeze))),
        1 => Just(None),
    ]
}

/// 512 cases, the same every time; `FOLIO_SEED` chooses others.
fn seeded() -> ProptestConfig {
    let seed = std::env::var("FOLIO_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(13);
    println!("FOLIO_SEED={seed}");
    let rng_seed = proptest::test_runner::RngSeed::Fixed(seed);
    ProptestConfig { failure_persistence: None, rng_seed, ..ProptestConfig::with_cases(512) }
}

proptest! {
    #![proptest_config(seeded())]

    #[test]
    fn one_pass_finds_what_the_messages_hold(operations in prop::collection::vec(any_operation(), 0..6)) {
        assert_same(&batch(operations).encode_to_vec());
    }

    #[test]
    fn bytes_that_were_changed_are_never_read_otherwise(
        operations in prop::collection::vec(any_operation(), 1..4),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..4),
    ) {
        let mut bytes = batch(operations).encode_to_vec();
        for (place, value, change) in changes {
            let place = place.index(bytes.len() + 1);
            match change {
                0 => bytes.insert(place, value),
                1 if place < bytes.len() => bytes[place] = value,
                2 if place < bytes.len() => drop(bytes.remove(place)),
                _ => bytes.truncate(place.max(1)),
            }
        }
        assert_same(&bytes);
    }

    #[test]
    fn fields_in_any_order_and_number_are_read_as_the_messages_read_them(
        fields in prop::collection::vec((0..9_u32, 0..6_usize, prop::bool::weighted(0.05)), 0..12),
    ) {
        let texts = [ID, KNOWN[0], KNOWN[1], "1.5", "USD", ""];
        let mut transfer = Vec::new();
        for (field, place, is_number) in fields {
            if is_number {
                prost::encoding::uint32::encode(field.max(1), &7, &mut transfer);
            } else {
                // Mostly the text that fits the field.
                let fitting = [None, Some(0), None, Some(1), Some(2), Some(3), Some(4), None, None];
                let text = texts[fitting[field as usize].unwrap_or(place)];
                prost::encoding::string::encode(field.max(1), &text.to_owned(), &mut transfer);
            }
        }
        let mut command = Vec::new();
        prost::encoding::bytes::encode(TRANSFER, &transfer, &mut command);
        let mut batch = Vec::new();
        prost::encoding::bytes::encode(COMMANDS, &command, &mut batch);
        assert_same(&batch);
    }
}

#[test]
fn plain_transfers_are_read_in_one_pass() {
    let mut to_unknown = transfer();
    to_unknown.credit_account = "assets:unknown".to_owned();
    let whole = v1::TransferRequest { asset: "USD".to_owned(), transaction_id: ID.to_owned(), ..transfer() };
    let operations = [transfer(), to_unknown, whole].map(|transfer| Some(Message::Transfer(transfer)));
    let bytes = batch(operations.into()).encode_to_vec();
    let found = plain(&names(), &bytes).expect("nothing is wrong with it");
    assert_eq!(found.count(), 3);
    assert_eq!(Some(found), by_messages(&names(), &bytes));
}

#[test]
fn tries_confirms_and_cancels_are_read_in_one_pass() {
    let ids = || (ID.to_owned(), "0192d3c4-7b1f-7c3e-9a55-2f6f0d1c8e43".to_owned());
    let (request_id, transaction_id) = ids();
    let confirm = v1::ConfirmTransactionRequest { request_id, transaction_id, amounts: Vec::new() };
    let (request_id, transaction_id) = ids();
    let cancel = v1::CancelTransactionRequest { request_id, transaction_id };
    let operations =
        [Message::TryTransaction(attempt()), Message::ConfirmTransaction(confirm), Message::CancelTransaction(cancel)];
    for operation in &operations {
        let message = v1::Command { operation: Some(operation.clone()) }.encode_to_vec();
        let mut group = Group { commands: Vec::new(), postings: Vec::new() };
        assert!(group.plain(&message).is_some(), "{operation:?} is left to the messages");
    }
    let bytes = batch(operations.map(Some).into()).encode_to_vec();
    let found = plain(&names(), &bytes).expect("nothing is wrong with it");
    assert_eq!(found.count(), 3);
    assert_eq!(Some(found), by_messages(&names(), &bytes));
}

#[test]
fn other_commands_stand_among_them() {
    let freeze = v1::FreezeAccountRequest { request_id: ID.to_owned(), account: KNOWN[1].to_owned() };
    let mut detailed = transfer();
    detailed.details = Some(v1::Details { reference: "order 7".to_owned(), ..Default::default() });
    let operations = [Message::Transfer(transfer()), Message::FreezeAccount(freeze), Message::Transfer(detailed)];
    let bytes = batch(operations.map(Some).into()).encode_to_vec();
    let found = plain(&names(), &bytes).expect("nothing is wrong with it");
    assert_eq!(Some(found), by_messages(&names(), &bytes));
}

#[test]
fn a_long_batch_is_read_in_halves() {
    for commands in [2, 3, 1_000, MAX_BATCH_COMMANDS] {
        let bytes = batch(vec![Some(Message::Transfer(transfer())); commands]).encode_to_vec();
        let found = plain(&names(), &bytes);
        assert!(found == by_messages(&names(), &bytes) && found.is_some(), "{commands} commands");
    }
    let many = batch(vec![Some(Message::Transfer(transfer())); MAX_BATCH_COMMANDS + 1]).encode_to_vec();
    assert_eq!(plain(&names(), &many), None);
}

#[test]
fn what_is_refused_is_left_to_the_messages() {
    let names = names();
    let too_fine = v1::TransferRequest { amount: "1.234".to_owned(), ..transfer() };
    let nameless = v1::TransferRequest { debit_account: String::new(), ..transfer() };
    // The scale comes after all that can be told without the book, whatever stands first.
    let operations = [too_fine, nameless].map(|transfer| Some(Message::Transfer(transfer)));
    let bytes = batch(operations.into()).encode_to_vec();
    let refusal = read(&names, &bytes).unwrap_err();
    assert!(refusal.message().starts_with("commands[1]: debit_account"), "{}", refusal.message());

    let refusal = read(&names, &[]).unwrap_err();
    assert!(refusal.message().contains("there are 0; 1 to 8192 are allowed"), "{}", refusal.message());
    let many = batch(vec![Some(Message::Transfer(transfer())); MAX_BATCH_COMMANDS + 1]).encode_to_vec();
    assert!(many.len() < MAX_REQUEST_BYTES);
    let refusal = read(&names, &many).unwrap_err();
    assert!(refusal.message().contains("there are 8193"), "{}", refusal.message());

    // A byte that cannot be read comes before all that can be told of the rest.
    let mut malformed = batch(vec![Some(Message::Transfer(v1::TransferRequest::default()))]).encode_to_vec();
    malformed.extend([0x0A, 0x7F]);
    let refusal = read(&names, &malformed).unwrap_err();
    assert_eq!(refusal.code(), tonic::Code::InvalidArgument);
    let expected = v1::ExecuteBatchRequest::decode(malformed.as_slice()).unwrap_err();
    assert!(refusal.message().contains(&expected.to_string()), "{}", refusal.message());
    // As every other refusal of the table says it.
    let known = errors::of_command(errors::invalid("request", "is wrong"));
    let details = |status: &tonic::Status| {
        use tonic_types::StatusExt as _;
        let details = status.get_error_details();
        format!("{:?} {:?}", details.error_info(), details.localized_message())
    };
    assert_eq!(details(&refusal), details(&known));
}

/// A batch of so many bytes, all of it well formed: long names, and two transfers that fill what is missing to the byte.
fn batch_of(bytes: usize) -> Vec<u8> {
    let long = |debit: usize, credit: usize| {
        Some(Message::Transfer(v1::TransferRequest {
            debit_account: "d".repeat(debit),
            credit_account: "c".repeat(credit),
            transaction_id: ID.to_owned(),
            ..transfer()
        }))
    };
    let one = batch(vec![long(128, 128)]).encoded_len();
    let count = (bytes - 300) / one;
    let missing = bytes - count * one;
    let lengths = (1..=128).flat_map(|first| [1, 64, 100, 128].map(|second| [first, second]));
    let mut pairs =
        lengths.flat_map(|[first, second]| [1, 128].map(|third| vec![long(first, second), long(third, 100)]));
    let filling = pairs.find(|pair| batch(pair.clone()).encoded_len() == missing).expect("some lengths fit");
    let mut operations = vec![long(128, 128); count];
    operations.extend(filling);
    let encoded = batch(operations).encode_to_vec();
    assert_eq!(encoded.len(), bytes);
    encoded
}

/// One pass or two halves: what is a byte too long is refused as the messages refuse it, however well formed it is.
#[test]
fn a_batch_of_two_mebibytes_is_read_and_one_of_a_byte_more_is_not() {
    assert_eq!(MAX_REQUEST_BYTES, 2_097_152);
    let names = names();
    for (bytes, is_read) in [(MAX_REQUEST_BYTES - 1, true), (MAX_REQUEST_BYTES, true), (MAX_REQUEST_BYTES + 1, false)] {
        let encoded = batch_of(bytes);
        let found = plain(&names, &encoded);
        assert!(found.is_some() == is_read && found == by_messages(&names, &encoded), "{bytes} bytes");
        let refusal = read(&names, &encoded).err().map(|refusal| refusal.message().to_owned());
        assert_eq!(refusal.is_some_and(|text| text.contains("at most 2097152 are allowed")), !is_read, "{bytes} bytes");
    }
}

/// Of two operations in one command the last one holds, and two timeouts are merged into one: so the messages read them, and nothing else may.
#[test]
fn fields_that_stand_twice_are_read_as_the_messages_read_them() {
    let cancel = v1::CancelTransactionRequest { request_id: ID.to_owned(), transaction_id: ID.to_owned() };
    let transfer = Message::Transfer(transfer());
    for operations in
        [[transfer.clone(), Message::CancelTransaction(cancel.clone())], [Message::CancelTransaction(cancel), transfer]]
    {
        let mut command = Vec::new();
        operations.iter().for_each(|operation| operation.encode(&mut command));
        let mut bytes = Vec::new();
        prost::encoding::bytes::encode(COMMANDS, &command, &mut bytes);
        assert!(by_messages(&names(), &bytes).is_some());
        assert_same(&bytes);
        assert_eq!(read_plain(&names(), &bytes), by_messages(&names(), &bytes));
    }
    let mut attempt = v1::TryTransactionRequest { timeout: None, ..attempt() }.encode_to_vec();
    for timeout in [Duration { seconds: 60, nanos: 0 }, Duration { seconds: 0, nanos: 5 }] {
        prost::encoding::message::encode(5, &timeout, &mut attempt);
    }
    let (mut command, mut bytes) = (Vec::new(), Vec::new());
    prost::encoding::bytes::encode(TRY, &attempt, &mut command);
    prost::encoding::bytes::encode(COMMANDS, &command, &mut bytes);
    assert!(by_messages(&names(), &bytes).is_some());
    assert_same(&bytes);
    assert_eq!(read_plain(&names(), &bytes), by_messages(&names(), &bytes));
}

#[test]
fn an_atomic_batch_is_one_command() {
    let mut atomic = batch(vec![Some(Message::Transfer(transfer()))]);
    atomic.atomic_request_id = "0192d3c4-7b1f-7c3e-9a55-2f6f0d1c8e43".to_owned();
    let read = read(&names(), &atomic.encode_to_vec()).unwrap();
    assert!(matches!(read, Batch::Atomic(_)), "{read:?}");
}
