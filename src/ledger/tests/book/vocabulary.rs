//! Names, codes, scales, identifiers, times, classes and journal events: the small words, each with its bounds.

use ledger::account::{Class, Side};
use ledger::command::Details;
use ledger::id::IdError;
use ledger::journal::{Event, JournalSequence};
use ledger::name::NameError;
use ledger::trial_balance::{Sums, trial_balance};
use ledger::{
    AccountName, AccountNumber, AssetCode, AssetNumber, Interval, LogTime, RequestId, Scale, TransactionId,
    TransactionState,
};

use crate::script::check;

#[test]
fn an_account_name_is_a_path_of_segments() {
    let longest = "a".repeat(128);
    for text in ["a", "A.b_c-9", "liabilities:customers:42:usd", longest.as_str(), "-", "..."] {
        let name = AccountName::new(text).unwrap();
        assert_eq!((name.as_str(), name.to_string(), format!("{name:?}")), (text, text.into(), text.into()));
    }
    for (text, error) in [
        (String::new(), NameError::Length(128)),
        ("a".repeat(129), NameError::Length(128)),
        (":".into(), NameError::EmptySegment),
        ("a:".into(), NameError::EmptySegment),
        (":a".into(), NameError::EmptySegment),
        ("a::b".into(), NameError::EmptySegment),
        ("a b".into(), NameError::Character(' ')),
        ("a:b/c".into(), NameError::Character('/')),
        ("é".into(), NameError::Character('é')),
        ("a\0".into(), NameError::Character('\0')),
    ] {
        assert_eq!(AccountName::new(&text), Err(error), "{text:?}");
        assert!(error.to_string().starts_with("must"), "an error says what to do");
        let bytes = postcard::to_allocvec(&text).unwrap();
        assert!(postcard::from_bytes::<AccountName>(&bytes).is_err(), "nor is it read from bytes");
    }
}

#[test]
fn a_prefix_ends_where_a_segment_ends() {
    let name = AccountName::new("a:b:c").unwrap();
    for (prefix, under) in [("", true), ("a", true), ("a:", true), ("a:b", true), ("a:b:c", true), ("a:b:c:", true)] {
        assert_eq!(name.is_under(prefix), under, "{prefix}");
    }
    for prefix in ["b", "a:b:", "a:bc", "a:b:cd", "a:b:c:d", "a:b:c::", ":", "a::"] {
        assert_eq!(name.is_under(prefix), prefix == "a:b:" || prefix == ":", "{prefix}");
    }
    assert!(!AccountName::new("a:bc").unwrap().is_under("a:b"));
}

#[test]
fn an_asset_code_has_1_to_16_bytes() {
    for text in ["U", "USD", "USDC.e", "A-_.0123456789ab"] {
        let code = AssetCode::new(text).unwrap();
        assert_eq!((code.as_str(), code.to_string(), format!("{code:?}")), (text, text.into(), text.into()));
        let bytes = postcard::to_allocvec(&code).unwrap();
        assert_eq!(bytes, postcard::to_allocvec(text).unwrap());
        assert_eq!(postcard::from_bytes::<AssetCode>(&bytes).unwrap(), code);
    }
    let long = "x".repeat(300);
    for text in ["", "0123456789abcdefg", long.as_str()] {
        assert_eq!(AssetCode::new(text), Err(NameError::Length(16)), "{text}");
    }
    for (text, wrong) in [("U:D", ':'), ("U D", ' '), ("Ü", 'Ü')] {
        assert_eq!(AssetCode::new(text), Err(NameError::Character(wrong)));
        let bytes = postcard::to_allocvec(text).unwrap();
        assert!(postcard::from_bytes::<AssetCode>(&bytes).is_err());
    }
}

#[test]
fn a_scale_is_0_to_18() {
    assert_eq!(Scale::new(0).unwrap().digits(), 0);
    assert_eq!(Scale::new(18).unwrap().digits(), 18);
    for digits in [19, 256, 257, u32::MAX] {
        assert_eq!(Scale::new(digits), None);
    }
    assert!(postcard::from_bytes::<Scale>(&[18]).is_ok());
    assert!(postcard::from_bytes::<Scale>(&[19]).is_err());
}

#[test]
fn an_identifier_is_a_uuid_in_its_usual_form_and_not_nil() {
    let text = "0192d3c4-7b1f-7c3e-9a55-2f6f0d1c8e42";
    let id = RequestId::parse(text).unwrap();
    assert_eq!((id.to_string(), format!("{id:?}")), (text.into(), text.into()));
    assert_eq!(id.as_bytes()[..4], [0x01, 0x92, 0xd3, 0xc4]);
    assert_eq!(RequestId::parse(&text.to_uppercase()).unwrap(), id);
    assert_eq!(TransactionId::from(id), TransactionId::parse(text).unwrap());
    assert_eq!(RequestId::from_bytes(*id.as_bytes()), Some(id));
    assert_eq!(RequestId::from_bytes([0; 16]), None);
    assert_eq!(RequestId::parse("00000000-0000-0000-0000-000000000000"), Err(IdError::Nil));
    for text in [
        "",
        "0192d3c47b1f7c3e9a552f6f0d1c8e42",
        "{0192d3c4-7b1f-7c3e-9a55-2f6f0d1c8e42}",
        "urn:uuid:0192d3c4-7b1f-7c3e-9a55-2f6f0d1c8e42",
        "0192d3c4-7b1f-7c3e-9a55-2f6f0d1c8e4g",
        "0192d3c4-7b1f-7c3e-9a55-2f6f0d1c8e4",
        "0192d3c47-b1f-7c3e-9a55-2f6f0d1c8e42",
    ] {
        assert_eq!(RequestId::parse(text), Err(IdError::Grammar), "{text}");
    }
    assert_ne!(IdError::Nil.to_string(), IdError::Grammar.to_string());
    assert!(IdError::Nil.to_string().contains("nil") && IdError::Grammar.to_string().contains("UUID"));
    let bytes = postcard::to_allocvec(&id).unwrap();
    assert_eq!((bytes.len(), postcard::from_bytes::<RequestId>(&bytes).unwrap()), (16, id));
    assert!(postcard::from_bytes::<RequestId>(&[0; 16]).is_err());
}

#[test]
fn times_strictly_increase_and_deadlines_end_with_time() {
    assert_eq!(LogTime(5).next(LogTime(3)), LogTime(6));
    assert_eq!(LogTime(5).next(LogTime(6)), LogTime(6));
    assert_eq!(LogTime(5).next(LogTime(9)), LogTime(9));
    assert_eq!(LogTime(5).after(Interval(7)), LogTime(12));
    assert_eq!(LogTime(u64::MAX - 1).after(Interval(7)), LogTime(u64::MAX));
    assert_eq!(JournalSequence(4).next(), JournalSequence(5));
}

#[test]
fn the_class_fixes_the_normal_side() {
    for (class, side) in [
        (Class::Asset, Side::Debit),
        (Class::Expense, Side::Debit),
        (Class::Liability, Side::Credit),
        (Class::Equity, Side::Credit),
        (Class::Income, Side::Credit),
    ] {
        assert_eq!(class.normal_side(), side);
    }
    assert_eq!((Side::Debit.opposite(), Side::Credit.opposite()), (Side::Credit, Side::Debit));
    let states =
        [TransactionState::Tried, TransactionState::Confirmed, TransactionState::Cancelled, TransactionState::Expired];
    assert_eq!(states.map(TransactionState::as_str), ["TRIED", "CONFIRMED", "CANCELLED", "EXPIRED"]);
}

/// What each kind of journal record tells of its postings, its transaction and its details.
#[test]
fn journal_events_say_what_they_concern() {
    let book = check("book/expiry");
    let more = check("refusals/reverse_parts");
    let empty = check("tcc/row_15_empty_cancel");
    let held = check("tcc/row_12_cancel_releases");
    let status = check("refusals/freeze_unfreeze");
    let limits = check("refusals/set_limits");
    let books = [book, more, empty, held, status, limits];
    let records = books.iter().flat_map(|book| book.records.journal.values());
    let mut kinds = [false; 13];
    for record in records {
        let (kind, postings, transaction, details) = match &record.event {
            Event::AssetRegistered { .. } => (0, false, false, false),
            Event::AccountOpened(_) => (1, false, false, false),
            Event::LimitsSet { .. } => (2, false, false, false),
            Event::AccountFrozen(_) => (3, false, false, false),
            Event::AccountUnfrozen(_) => (4, false, false, false),
            Event::AccountClosed(_) => (5, false, false, false),
            Event::CancelledEmpty(_) => (6, false, true, false),
            Event::Confirmed { .. } => (7, true, true, false),
            Event::Cancelled { .. } => (8, true, true, false),
            Event::Expired { .. } => (9, true, true, false),
            Event::Posted { .. } => (10, true, true, true),
            Event::Tried { .. } => (11, true, true, true),
            Event::Reversed { .. } => (12, true, true, true),
        };
        kinds[kind] = true;
        assert_eq!(record.event.postings().len() >= 2, postings, "{record:?}");
        assert_eq!(record.event.transaction().is_some(), transaction, "{record:?}");
        assert_eq!(record.event.details(), details.then(Details::default).as_ref(), "{record:?}");
    }
    assert_eq!(kinds, [true; 13], "some kind of record was not seen");
}

#[test]
fn the_trial_balance_sums_each_asset() {
    let book = check("book/assets");
    let mut tried = check("tcc/row_08_confirm_too_much");
    let sums = trial_balance(book.records.accounts.values());
    assert_eq!(sums.keys().copied().collect::<Vec<_>>(), (0..4).map(AssetNumber).collect::<Vec<_>>());
    assert_eq!(
        sums[&AssetNumber(0)],
        Sums { debits_pending: 0, debits_posted: 21_000, credits_pending: 0, credits_posted: 21_000, accounts: 4 }
    );
    assert!(sums.values().all(Sums::is_balanced));
    let account = tried.records.accounts.get_mut(&AccountNumber(1)).unwrap();
    account.totals = account.totals.reserve(Side::Debit, account.totals.credits_posted).unwrap();
    let broken = trial_balance(tried.records.accounts.values())[&AssetNumber(0)];
    assert_eq!((broken.debits_pending, broken.credits_pending), (10_000, 0));
    assert!(!broken.is_balanced());
    account_sums();
}

fn account_sums() {
    let unbalanced = Sums { debits_posted: 1, ..Sums::default() };
    assert!(!unbalanced.is_balanced());
    assert!(!Sums { credits_pending: 1, ..Sums::default() }.is_balanced());
    assert!(Sums::default().is_balanced());
}
