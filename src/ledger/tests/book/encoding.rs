//! Commands are read quickly where they are common, and never otherwise than postcard reads them: neither what was written, nor what was damaged.

use ledger::command::{Confirm, Details, Metadata, Post, Posting, Reverse, Try};
use ledger::entry::{check_commands, decode_command};
use ledger::journal::JournalSequence;
use ledger::limits::MAX_MANTISSA;
use ledger::{
    Account, AccountName, AccountNumber, AccountRef, AccountStatus, Amount, AssetCode, AssetNumber, Class, Command,
    EffectiveAt, EncodedEntry, Entry, EntryWriter, Event, Floor, Interval, JournalPosting, JournalRecord, LogTime,
    Operation, Point, RequestId, Scale, Side, Stop, Totals, TransactionId, append_account, append_record,
    apply_encoded,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::memory::MemoryRecords;
use crate::script::parse_command;
use crate::seeded;

fn amount() -> impl Strategy<Value = Amount> {
    let minor = prop_oneof![
        0u128..300,
        (0u32..=96).prop_map(|bits| (1u128 << bits).min(MAX_MANTISSA)),
        (1u32..=96).prop_map(|bits| (1u128 << bits) - 1),
        0..=MAX_MANTISSA,
    ];
    (minor, 0u32..=18).prop_map(|(minor, digits)| Amount::from_minor(minor, Scale::new(digits).unwrap()).unwrap())
}

fn account() -> impl Strategy<Value = AccountRef> {
    let number = prop_oneof![0u32..300, any::<u32>()];
    prop_oneof![
        number.prop_map(|number| AccountRef::Number(AccountNumber(number))),
        "[a-z]{1,9}(:[0-9]{1,70})?".prop_map(|name| AccountRef::Name(AccountName::new(&name).unwrap())),
    ]
}

fn posting() -> impl Strategy<Value = Posting> {
    let asset = option::of("[A-Z]{1,16}".prop_map(|code| AssetCode::new(&code).unwrap()));
    (account(), any::<bool>(), amount(), asset).prop_map(|(account, is_debit, amount, asset)| {
        let side = if is_debit { Side::Debit } else { Side::Credit };
        Posting { account, side, amount, asset }
    })
}

fn details() -> impl Strategy<Value = Details> {
    let metadata = prop_oneof![
        3 => Just(Metadata::new()),
        1 => proptest::collection::btree_map("[a-z]{1,4}", "\\PC{0,5}", 1..3),
    ];
    let effective_at = option::weighted(0.2, any::<i64>().prop_map(EffectiveAt));
    ("(\\PC{0,9}|x{127,129})", metadata, effective_at).prop_map(|(reference, metadata, effective_at)| Details {
        reference,
        metadata,
        effective_at,
    })
}

fn transaction() -> impl Strategy<Value = TransactionId> {
    any::<[u8; 16]>().prop_filter_map("nil", TransactionId::from_bytes)
}

fn operation() -> impl Strategy<Value = Operation> {
    let postings = || vec(posting(), 0..5);
    let amounts = || option::of(vec(amount(), 0..4));
    let timeout = option::of(any::<u64>().prop_map(Interval));
    prop_oneof![
        (transaction(), postings(), details()).prop_map(|(transaction, postings, details)| Operation::Post(Post {
            transaction,
            postings,
            details
        })),
        (transaction(), postings(), details(), timeout).prop_map(|(transaction, postings, details, timeout)| {
            Operation::Try(Try { transaction, postings, details, timeout })
        }),
        (transaction(), amounts())
            .prop_map(|(transaction, amounts)| Operation::Confirm(Confirm { transaction, amounts })),
        transaction().prop_map(Operation::Cancel),
        (transaction(), transaction(), amounts(), details()).prop_map(|(transaction, original, amounts, details)| {
            Operation::Reverse(Reverse { transaction, original, amounts, details })
        }),
        account().prop_map(Operation::Freeze),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let request = any::<[u8; 16]>().prop_filter_map("nil", RequestId::from_bytes);
    (request, "[a-z]{0,3}", operation()).prop_map(|(request, principal, operation)| Command {
        request,
        principal,
        operation,
    })
}

fn journal_posting() -> impl Strategy<Value = JournalPosting> {
    let totals = (amount(), amount(), amount(), amount());
    (any::<u32>(), any::<bool>(), amount(), any::<bool>(), totals).prop_map(
        |(account, is_debit, amount, asset_stated, totals)| JournalPosting {
            account: AccountNumber(account),
            side: if is_debit { Side::Debit } else { Side::Credit },
            amount,
            asset_stated,
            totals: Totals {
                debits_pending: totals.0,
                debits_posted: totals.1,
                credits_pending: totals.2,
                credits_posted: totals.3,
            },
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let postings = || vec(journal_posting(), 0..4);
    let times = (option::of(any::<u64>().prop_map(Interval)), option::of(any::<u64>().prop_map(LogTime)));
    prop_oneof![
        (transaction(), postings(), details()).prop_map(|(transaction, postings, details)| Event::Posted {
            transaction,
            postings,
            details
        }),
        (transaction(), postings(), details(), times).prop_map(
            |(transaction, postings, details, (timeout, deadline))| Event::Tried {
                transaction,
                postings,
                details,
                timeout,
                deadline
            }
        ),
        (transaction(), any::<bool>(), postings()).prop_map(|(transaction, amounts_named, postings)| {
            Event::Confirmed { transaction, amounts_named, postings }
        }),
        (transaction(), postings()).prop_map(|(transaction, postings)| Event::Cancelled { transaction, postings }),
        transaction().prop_map(Event::CancelledEmpty),
        (transaction(), any::<u64>(), postings()).prop_map(|(transaction, deadline, postings)| Event::Expired {
            transaction,
            deadline: LogTime(deadline),
            postings
        }),
    ]
}

fn record() -> impl Strategy<Value = JournalRecord> {
    let number = || prop_oneof![0u64..300, any::<u64>()];
    let request = option::of(any::<[u8; 16]>().prop_filter_map("nil", RequestId::from_bytes));
    (number(), number(), any::<u32>(), number(), request, "(\\PC{0,5}|x{127,129})", event()).prop_map(
        |(sequence, index, position, time, request, principal, event)| JournalRecord {
            sequence: JournalSequence(sequence),
            point: Point { index, position, time: LogTime(time) },
            request,
            principal,
            event,
        },
    )
}

/// The bytes of records are hashed and read by others: a quicker writer changes none of them.
#[test]
fn records_are_written_as_postcard_writes_them() {
    seeded::run(6_000, &(record(), vec(any::<u8>(), 0..3)), |(record, before)| {
        let mut bytes = before.clone();
        append_record(record, &mut bytes).unwrap();
        assert_eq!(bytes, [before.as_slice(), &postcard::to_allocvec(record).unwrap()].concat());
        assert_eq!(postcard::from_bytes::<JournalRecord>(&bytes[before.len()..]).as_ref(), Ok(record));
    });
}

fn whole_account() -> impl Strategy<Value = Account> {
    let scale = (0u32..19).prop_map(|digits| Scale::new(digits).unwrap());
    let mantissa = || prop_oneof![Just(0u128), 1u128..300, (0u128..u128::from(u64::MAX)), Just((1 << 96) - 1)];
    let sums = (mantissa(), mantissa(), mantissa(), mantissa(), option::of(mantissa()));
    let floor = option::of((any::<bool>(), mantissa()));
    let class =
        prop::sample::select(vec![Class::Asset, Class::Liability, Class::Equity, Class::Income, Class::Expense]);
    let status = prop::sample::select(vec![AccountStatus::Open, AccountStatus::Frozen, AccountStatus::Closed]);
    let asset = prop_oneof![0u32..300, any::<u32>()];
    (scale, sums, floor, class, status, asset, any::<u64>()).prop_map(
        |(
            scale,
            (debits_pending, debits_posted, credits_pending, credits_posted, ceiling),
            floor,
            class,
            status,
            asset,
            opened,
        )| {
            let amount = |mantissa| Amount::from_minor(mantissa, scale).unwrap();
            let floor = match floor {
                Some((is_negative, mantissa)) => {
                    let (zero, of) = (Amount::zero(scale), amount(mantissa));
                    let floor = if is_negative { zero.balance_over(of) } else { of.balance_over(zero) };
                    Floor::AtLeast(floor.unwrap())
                }
                None => Floor::Unlimited,
            };
            let totals = Totals {
                debits_pending: amount(debits_pending),
                debits_posted: amount(debits_posted),
                credits_pending: amount(credits_pending),
                credits_posted: amount(credits_posted),
            };
            let (asset, ceiling) = (AssetNumber(asset), ceiling.map(amount));
            Account { asset, scale, class, status, floor, ceiling, totals, opened: JournalSequence(opened) }
        },
    )
}

/// So are those of accounts.
#[test]
fn accounts_are_written_as_postcard_writes_them() {
    seeded::run(6_000, &(whole_account(), vec(any::<u8>(), 0..3)), |(account, before)| {
        let mut bytes = before.clone();
        append_account(account, &mut bytes);
        assert_eq!(bytes, [before.as_slice(), &postcard::to_allocvec(account).unwrap()].concat());
        assert_eq!(postcard::from_bytes::<Account>(&bytes[before.len()..]).as_ref(), Ok(account));
    });
}

/// What postcard makes of bytes that are to be one command.
fn by_postcard(bytes: &[u8]) -> Option<Command> {
    match postcard::take_from_bytes::<Command>(bytes) {
        Ok((command, [])) => Some(command),
        Ok(_) | Err(_) => None,
    }
}

fn check_read_alike(bytes: &[u8]) {
    let expected = by_postcard(bytes);
    assert_eq!(decode_command(bytes).ok(), expected, "{bytes:?}");
    assert_eq!(check_commands(bytes, 1).is_ok(), expected.is_some(), "{bytes:?}");
}

#[test]
fn what_is_written_is_read_as_postcard_reads_it() {
    seeded::run(4_000, &command(), |command| {
        let bytes = postcard::to_allocvec(command).unwrap();
        assert_eq!(decode_command(&bytes).unwrap(), *command);
        check_read_alike(&bytes);
    });
}

#[test]
fn what_is_damaged_is_read_as_postcard_reads_it() {
    let change = (any::<prop::sample::Index>(), 0u8..4, prop_oneof![any::<u8>(), Just(0x80), Just(0), Just(1)]);
    seeded::run(8_000, &(command(), vec(change, 1..4)), |(command, changes)| {
        let mut bytes = postcard::to_allocvec(command).unwrap();
        for (place, kind, byte) in changes {
            let place = place.index(bytes.len());
            match kind {
                0 => bytes[place] = *byte,
                1 => bytes.insert(place, *byte),
                2 if bytes.len() > 1 => drop(bytes.remove(place)),
                // A number that is written longer than it needs to be.
                _ => {
                    bytes[place] |= 0x80;
                    bytes.insert(place + 1, 0);
                }
            }
        }
        check_read_alike(&bytes);
    });
}

/// Each number of a plain transfer, written longer than it needs to be: postcard takes it, so it is taken.
#[test]
fn numbers_that_are_written_long_are_read_alike() {
    let bytes = postcard::to_allocvec(&parse_command("post p1 debit #1 1.00 credit #2 1.00 ref order")).unwrap();
    let mut taken = 0;
    for place in 0..bytes.len() {
        let mut longer = bytes.clone();
        longer[place] |= 0x80;
        longer.insert(place + 1, 0);
        check_read_alike(&longer);
        taken += usize::from(decode_command(&longer).is_ok());
    }
    assert!(taken >= 10, "postcard takes numbers that are written long; {taken} were");
}

/// However far before it the commands were in order, a command that does not decode lets nothing of its entry out.
#[test]
fn an_entry_with_a_damaged_command_gives_nothing() {
    for whole in [0, 1, 63, 64, 65, 200] {
        let mut writer = EntryWriter::new(0);
        for number in 0..whole {
            let command = parse_command(&format!("cancel t{number}"));
            writer.push(&postcard::to_allocvec(&command).unwrap(), 1);
        }
        let intact = writer.finish(LogTime(1));
        let count = u32::try_from(whole).unwrap();
        let mut damaged = intact.clone();
        damaged[10..14].copy_from_slice(&(count + 1).to_le_bytes());
        damaged.extend([7; 20]);
        let mut longer = intact;
        longer.push(0);
        for bytes in [damaged, longer] {
            let entry = EncodedEntry::read(&bytes).unwrap();
            let stopped = apply_encoded(&MemoryRecords::default(), 1, &entry).unwrap_err();
            assert!(matches!(stopped, Stop::Undecodable(_)), "after {whole}: {stopped:?}");
            assert!(Entry::decode(&bytes).is_err());
        }
    }
}
