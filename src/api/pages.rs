//! Lists that are walked page by page. A page is cut by its bytes as well as by its items, and all pages of a walk look at one
//! point of the log. The token names that point and the place to go on from, so any replica goes on, and nothing is kept for it.
//!
//! A token belongs to its question: it is sealed with a hash of the question and of what it says itself, so that one that was
//! changed, or that is sent with other filters, is refused. The seal is no secret. What a token says is therefore checked
//! against the journal as well, and is never repeated as a fact before that.

use std::str::FromStr;

use ledger::LogTime;
use ledger::journal::JournalSequence;
use prost::Message;
use tonic::Status;
use xxhash_rust::xxh3::xxh3_128;

use super::limits::MAX_PAGE_BYTES;
use super::reads::{Problem, at_least};
use super::{errors, render};
use crate::audit::Moment;
use crate::book::view::BookView;
use crate::proto::v1;

/// The longest token: a seal, two numbers and a name are far shorter.
const MAX_TOKEN_BYTES: usize = 512;
/// What an item costs beside its own bytes: its field's key and length.
const ITEM_BYTES: usize = 8;

/// A question whose answer comes in pages.
pub(super) trait Paged: Message {
    /// What no two kinds of question have in common.
    const NAME: &'static str;

    /// The token of the page that is asked for; empty for the first.
    fn page_token(&self) -> &str;

    /// What must be the same for all pages of a walk.
    fn question(&self) -> Self;
}

macro_rules! paged {
    ($($request:ident)*) => {$(
        impl Paged for v1::$request {
            const NAME: &'static str = stringify!($request);

            fn page_token(&self) -> &str {
                &self.page_token
            }

            fn question(&self) -> Self {
                let mut question = self.clone();
                question.page_token.clear();
                (question.page_size, question.read) = (0, None);
                question
            }
        }
    )*};
}

paged! {
    ListAssetsRequest
    ListAccountsRequest
    GetStatementRequest
    GetTransactionRequest
    ListTransactionsRequest
    GetTrialBalanceRequest
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    /// Where the walk looks, as far as the token tells.
    claimed: Moment,
    cursor: String,
}

/// A walk over the pages of one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Walk {
    /// A hash of the question.
    question: u128,
    /// None on the first page.
    token: Option<Token>,
}

/// A token that this service did not give to this question.
pub(super) fn foreign() -> Status {
    errors::invalid(
        "page_token",
        "is not one that was given to this question; repeat the request without it, or with the fields that it was given for",
    )
}

fn seal(question: u128, rest: &str) -> String {
    let sealed = [question.to_be_bytes().as_slice(), rest.as_bytes()].concat();
    format!("{:032x}", xxh3_128(&sealed))
}

impl Walk {
    /// The walk that a request begins or goes on with.
    pub(super) fn of<Q: Paged>(request: &Q) -> Result<Walk, Status> {
        let text = request.page_token();
        if text.len() > MAX_TOKEN_BYTES {
            return Err(foreign());
        }
        let asked = [Q::NAME.as_bytes(), &request.question().encode_to_vec()].concat();
        let question = xxh3_128(&asked);
        let token = match text {
            "" => None,
            text => Some(Token::parse(question, text).ok_or_else(foreign)?),
        };
        Ok(Walk { question, token })
    }

    /// How fresh the view of this page must be: a later page needs only show what the first did.
    pub(super) fn read(&self, asked: Option<v1::ReadOptions>) -> Option<v1::ReadOptions> {
        match &self.token {
            Some(token) => Some(at_least(token.claimed.index)),
            None => asked,
        }
    }

    /// The moment at which this walk looks.
    pub(super) fn moment(&self, view: &BookView) -> Result<Moment, Problem> {
        let Some(token) = &self.token else { return Ok(Moment::of(view)) };
        match token.claimed.is_of(view)? {
            true => Ok(token.claimed),
            false => Err(foreign().into()),
        }
    }

    /// Where this page begins; none on the first.
    pub(super) fn cursor<T: FromStr>(&self) -> Result<Option<T>, Status> {
        self.token.as_ref().map(|token| token.cursor.parse().map_err(|_| foreign())).transpose()
    }

    /// Where this page begins, as two numbers; none on the first.
    pub(super) fn cursors(&self) -> Result<Option<(usize, usize)>, Status> {
        let Some(cursor) = self.cursor::<String>()? else { return Ok(None) };
        let (first, second) = cursor.split_once('.').ok_or_else(foreign)?;
        let number = |text: &str| text.parse().map_err(|_| foreign());
        Ok(Some((number(first)?, number(second)?)))
    }

    /// The token of the page that begins at a place.
    pub(super) fn next(&self, moment: &Moment, cursor: impl std::fmt::Display) -> String {
        let rest = format!("{}.{}.{}.{cursor}", moment.index, moment.time.0, moment.sequence.0);
        format!("{}.{rest}", seal(self.question, &rest))
    }
}

impl Token {
    fn parse(question: u128, text: &str) -> Option<Token> {
        let (sealed, rest) = text.split_once('.')?;
        if sealed != seal(question, rest) {
            return None;
        }
        let mut parts = rest.splitn(4, '.');
        let mut number = || parts.next()?.parse().ok();
        let (index, time, sequence) = (number()?, LogTime(number()?), JournalSequence(number()?));
        Some(Token { claimed: Moment { index, time, sequence }, cursor: parts.next()?.to_owned() })
    }
}

/// The point that a page shows.
pub(super) fn read_point(moment: &Moment) -> v1::ReadPoint {
    v1::ReadPoint { log_index: moment.index, log_time: Some(render::timestamp(moment.time)) }
}

/// The room of a page.
#[derive(Debug)]
pub(super) struct Room {
    items: usize,
    bytes: usize,
    is_empty: bool,
}

impl Room {
    /// A page of at most so many items.
    pub(super) fn new(items: usize) -> Room {
        Room { items, bytes: MAX_PAGE_BYTES, is_empty: true }
    }

    /// Takes an item, if there is room for it: there is for the first, whatever its size.
    pub(super) fn takes(&mut self, item: &impl Message) -> bool {
        let left = self.bytes.checked_sub(item.encoded_len() + ITEM_BYTES);
        if self.items == 0 || (left.is_none() && !self.is_empty) {
            return false;
        }
        *self = Room { items: self.items - 1, bytes: left.unwrap_or(0), is_empty: false };
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    const MOMENT: Moment =
        Moment { index: 514, time: LogTime(1_763_900_000_123_456_789), sequence: JournalSequence(9) };

    fn with(page_token: String) -> v1::ListAccountsRequest {
        v1::ListAccountsRequest { prefix: "assets".to_owned(), page_token, ..Default::default() }
    }

    #[test]
    fn a_token_is_taken_by_its_own_question_only() {
        let token = Walk::of(&with(String::new())).unwrap().next(&MOMENT, "assets:bank.1");
        let walk = Walk::of(&with(token.clone())).unwrap();
        assert_eq!(walk.cursor::<String>().unwrap().as_deref(), Some("assets:bank.1"));
        let larger = v1::ListAccountsRequest { page_size: 7, read: Some(at_least(3)), ..with(token.clone()) };
        assert_eq!(Walk::of(&larger).unwrap(), walk, "sizes and freshness may change from page to page");
        let other = v1::ListAccountsRequest { prefix: "asset".to_owned(), ..with(token.clone()) };
        assert!(Walk::of(&other).is_err());
        let other = v1::ListTransactionsRequest { page_token: token.clone(), ..Default::default() };
        assert!(Walk::of(&other).is_err());
        let other = v1::ListAssetsRequest { page_token: token, ..Default::default() };
        assert!(Walk::of(&other).is_err());
    }

    #[test]
    fn a_page_takes_one_item_whatever_its_size_and_no_more_than_fit() {
        let item = |bytes: usize| v1::Asset { code: "x".repeat(bytes), scale: 0 };
        let mut room = Room::new(100);
        assert!(room.takes(&item(2 * MAX_PAGE_BYTES)));
        assert!(!room.takes(&item(1)));
        let mut room = Room::new(100);
        assert!(room.takes(&item(MAX_PAGE_BYTES / 2)));
        assert!(!room.takes(&item(MAX_PAGE_BYTES / 2)));
        assert!(room.takes(&item(MAX_PAGE_BYTES / 2 - 100)));
        let mut room = Room::new(2);
        assert_eq!([1, 2, 3].map(|bytes| room.takes(&item(bytes))), [true, true, false]);
    }
}
