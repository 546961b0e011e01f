//! Lists that are walked page by page read one point in the log: the view of the first page is kept for a minute under a number that the token names.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tonic::Status;

use super::errors;
use crate::book::view::BookView;

/// How long a view is kept after its last page.
const LIFETIME: Duration = Duration::from_secs(60);
/// The most views kept; the oldest goes first.
const MAX_VIEWS: usize = 64;

#[derive(Default)]
struct Kept {
    views: BTreeMap<u64, (Instant, Arc<BookView>)>,
    next: u64,
}

/// The views of walks that are under way.
#[derive(Default)]
pub(super) struct Pages(Mutex<Kept>);

/// A page token: the log index, the view's number and the place to go on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) index: u64,
    pub(super) view: u64,
    pub(super) cursor: String,
}

impl Token {
    pub(super) fn parse(text: &str) -> Result<Token, Status> {
        let malformed = || errors::invalid("page_token", "is not one that this service gave");
        let mut parts = text.splitn(3, '.');
        let mut number = || parts.next().and_then(|part| part.parse().ok()).ok_or_else(malformed);
        let (index, view) = (number()?, number()?);
        let cursor = parts.next().ok_or_else(malformed)?.to_owned();
        Ok(Token { index, view, cursor })
    }

    pub(super) fn text(&self) -> String {
        format!("{}.{}.{}", self.index, self.view, self.cursor)
    }
}

impl Pages {
    /// Keeps a view and returns its number.
    pub(super) fn keep(&self, view: &Arc<BookView>) -> u64 {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        kept.views.retain(|_, (used, _)| now.duration_since(*used) < LIFETIME);
        if kept.views.len() >= MAX_VIEWS {
            kept.views.pop_first();
        }
        kept.next += 1;
        let number = kept.next;
        kept.views.insert(number, (now, Arc::clone(view)));
        number
    }

    /// The view of a token.
    pub(super) fn find(&self, token: &Token) -> Result<Arc<BookView>, Status> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.views.get_mut(&token.view) {
            Some((used, view)) if view.index() == token.index && used.elapsed() < LIFETIME => {
                *used = Instant::now();
                Ok(Arc::clone(view))
            }
            Some(_) | None => Err(errors::page_expired(token.index)),
        }
    }
}
