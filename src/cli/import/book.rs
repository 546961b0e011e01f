//! What is asked of the book before anything is sent: assets and accounts, so that the form of
//! amounts is known, and what became of lines of earlier files.
//!
//! All of it only grows: assets, accounts, decided requests and transactions are there for good. So
//! a line that is good once is good each time.

use std::collections::{HashMap, HashSet};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use indicatif::ProgressBar;
use ledger::{AccountName, AssetCode, Scale};
use uuid::Uuid;

use super::contents::{Contents, Outside, transaction_id};
use crate::cli::assets;
use crate::cli::context::Context;
use crate::client::{Client, Failure, FailureKind};
use crate::proto::v1;

/// Questions under way at once.
const AT_ONCE: usize = 64;
/// Accounts of the page of the list that is looked at first, where as many are asked for: a new book
/// shows there all that it has.
const PAGE: u16 = 100;

/// What the book knows of a line of an earlier file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// It made this transaction, or was refused it.
    Transaction(Uuid),
    /// It was an operation that makes no transaction.
    Other(String),
    /// It was refused by a replica that does not tell which transaction it was about.
    Untold,
}

/// What the book knows of what the file names.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// Whether it was asked.
    pub(super) was_asked: bool,
    pub(super) assets: HashMap<AssetCode, Scale>,
    /// The assets that accounts hold.
    pub(super) accounts: HashMap<String, AssetCode>,
    /// Lines of earlier files, by their request ids.
    pub(super) lines: HashMap<Uuid, Known>,
    /// The transactions of cancels that were decided before, by the request ids of the cancels.
    pub(super) cancels: HashMap<Uuid, Uuid>,
    /// The assets of transactions' postings.
    pub(super) postings: HashMap<Uuid, Vec<AssetCode>>,
}

/// Asks the book all that a file needs.
///
/// # Errors
/// The cluster does not answer.
pub(super) async fn ask(context: &Context, contents: &Contents) -> Result<Book, Failure> {
    let bar = ProgressBar::new_spinner();
    bar.set_message("asking the book");
    let (assets, point) = assets::all(context).await?;
    // Whatever is asked from here on shows at least what the first answer showed.
    let index = point.unwrap_or_default().log_index;
    let asking = Asking { client: &context.client, index };
    let mut book = Book { was_asked: true, ..Book::default() };
    for asset in assets {
        if let (Ok(code), Some(scale)) = (AssetCode::new(&asset.code), Scale::new(asset.scale)) {
            book.assets.insert(code, scale);
        }
    }
    asking.accounts(&contents.accounts, &mut book.accounts).await?;
    asking.lines(&contents.outside, &mut book).await?;
    let mut transactions = contents.strangers.clone();
    for outside in contents.outside.iter().filter(|outside| outside.has_amounts) {
        for request in outside.requests.iter().flatten() {
            if let Some(Known::Transaction(transaction)) = book.lines.get(request) {
                transactions.insert(*transaction);
            }
        }
    }
    book.postings = asking.postings(transactions).await?;
    bar.finish_and_clear();
    Ok(book)
}

/// Nothing is there, which is an answer too.
fn or_nothing<T>(answer: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(failure) if failure.kind == FailureKind::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

struct Asking<'c> {
    client: &'c Client,
    index: u64,
}

impl Asking<'_> {
    fn read(&self) -> Option<v1::ReadOptions> {
        Some(v1::ReadOptions { consistency: Some(v1::read_options::Consistency::AtLeastIndex(self.index)) })
    }

    /// Which assets accounts hold.
    async fn accounts(&self, names: &HashSet<String>, found: &mut HashMap<String, AssetCode>) -> Result<(), Failure> {
        let left: Vec<&String> = match names.len() < usize::from(PAGE) {
            true => names.iter().collect(),
            false => match self.listed(names, found).await? {
                None => return Ok(()),
                // Names come in the order of their bytes.
                Some(last) => names.iter().filter(|name| **name > last).collect(),
            },
        };
        // What is no name is no account's.
        let left = left.into_iter().filter(|name| AccountName::new(name).is_ok());
        let mut answers = stream::iter(left).map(|name| self.account(name)).buffer_unordered(AT_ONCE);
        while let Some((name, asset)) = answers.try_next().await? {
            if let Some(asset) = asset {
                found.insert(name.clone(), asset);
            }
        }
        Ok(())
    }

    /// Looks at the beginning of the list of accounts; gives the last name that it showed, and none
    /// if it showed all.
    async fn listed(
        &self,
        names: &HashSet<String>,
        found: &mut HashMap<String, AssetCode>,
    ) -> Result<Option<String>, Failure> {
        let message = v1::ListAccountsRequest { read: self.read(), page_size: u32::from(PAGE), ..Default::default() };
        let page = self
            .client
            .ledger_read(message, |mut client, message| async move { client.list_accounts(message).await })
            .await?;
        let last = page.accounts.last().map(|account| account.name.clone()).unwrap_or_default();
        for account in page.accounts {
            if let Ok(asset) = AssetCode::new(&account.asset)
                && names.contains(&account.name)
            {
                found.insert(account.name, asset);
            }
        }
        Ok((!page.next_page_token.is_empty()).then_some(last))
    }

    async fn account<'n>(&self, name: &'n String) -> Result<(&'n String, Option<AssetCode>), Failure> {
        let message = v1::GetAccountRequest { name: name.clone(), read: self.read() };
        let reply =
            self.client.ledger_read(message, |mut client, message| async move { client.get_account(message).await });
        let account = or_nothing(reply.await)?.and_then(|reply| reply.account);
        Ok((name, account.and_then(|account| AssetCode::new(&account.asset).ok())))
    }

    /// What became of the lines that lines of this file name, and of the cancels among these.
    async fn lines(&self, outside: &[Outside], book: &mut Book) -> Result<(), Failure> {
        let requests: HashSet<Uuid> = outside.iter().flat_map(|outside| outside.requests).flatten().collect();
        let mut answers = stream::iter(requests).map(|request| self.outcome(request)).buffer_unordered(AT_ONCE);
        while let Some((request, outcome)) = answers.try_next().await? {
            if let Some(outcome) = outcome {
                book.lines.insert(request, known(outcome));
            }
        }
        drop(answers);
        let cancels = outside.iter().filter_map(|outside| outside.cancel);
        let mut answers = stream::iter(cancels).map(|request| self.outcome(request)).buffer_unordered(AT_ONCE);
        while let Some((request, outcome)) = answers.try_next().await? {
            let result = outcome.filter(is_of_a_cancel).and_then(|outcome| outcome.result);
            if let Some(transaction) = result.and_then(|result| transaction_id(&result.transaction_id)) {
                book.cancels.insert(request, transaction);
            }
        }
        Ok(())
    }

    async fn outcome(&self, request: Uuid) -> Result<(Uuid, Option<v1::GetRequestOutcomeResponse>), Failure> {
        let message = v1::GetRequestOutcomeRequest { request_id: request.to_string(), read: self.read() };
        let reply = self
            .client
            .ledger_read(message, |mut client, message| async move { client.get_request_outcome(message).await });
        Ok((request, or_nothing(reply.await)?))
    }

    async fn postings(&self, transactions: HashSet<Uuid>) -> Result<HashMap<Uuid, Vec<AssetCode>>, Failure> {
        let asked = stream::iter(transactions).map(|transaction| self.transaction(transaction));
        let found: Vec<_> = asked.buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(found.into_iter().filter_map(|(id, postings)| Some((id, postings?))).collect())
    }

    async fn transaction(&self, id: Uuid) -> Result<(Uuid, Option<Vec<AssetCode>>), Failure> {
        // The transaction stands on every page of its timeline.
        let (transaction_id, read) = (id.to_string(), self.read());
        let message = v1::GetTransactionRequest { transaction_id, read, page_size: 1, ..Default::default() };
        let reply =
            self.client.audit(message, |mut client, message| async move { client.get_transaction(message).await });
        let transaction = or_nothing(reply.await)?.and_then(|reply| reply.transaction);
        let assets = |transaction: v1::Transaction| {
            transaction.postings.iter().filter_map(|posting| AssetCode::new(&posting.asset).ok()).collect()
        };
        Ok((id, transaction.map(assets)))
    }
}

/// What an outcome says of the line that was sent. Operations are named as records of the journal
/// are where they booked something, and as commands are where they did not.
fn known(outcome: v1::GetRequestOutcomeResponse) -> Known {
    match outcome.operation.as_str() {
        "posted" | "tried" | "reversed" | "post" | "try" | "reverse" => {
            let told = outcome.result.and_then(|result| transaction_id(&result.transaction_id));
            told.map_or(Known::Untold, Known::Transaction)
        }
        _ => Known::Other(outcome.operation),
    }
}

fn is_of_a_cancel(outcome: &v1::GetRequestOutcomeResponse) -> bool {
    ["cancelled", "cancelled_empty", "cancel"].contains(&outcome.operation.as_str())
}
