//! Whether a line's form is good, which needs what stands before it in the file and what the book
//! knows: an amount's form depends on its asset's scale.
//!
//! Nothing here depends on time or on what else is being sent. The same line of the same file over
//! the same book is judged the same each time, and what the book knows only grows. Funds, limits,
//! states: those the book decides when the line is sent.

use std::collections::{HashMap, HashSet};

use ledger::{AssetCode, Balance, Scale};
use uuid::Uuid;

use super::book::{Book, Known};
use super::contents::{Contents, transaction_id};
use super::fields::Parsed;
use super::line::{Line, Named};
use crate::proto::v1;
use crate::proto::v1::command::Operation;

/// The judge of one reading, from the first line to the last.
pub(super) struct Checker<'a> {
    contents: &'a Contents,
    book: &'a Book,
    /// What good lines before registered and opened. What the book knows goes before it.
    assets: HashMap<AssetCode, Scale>,
    accounts: HashMap<String, AssetCode>,
    /// The assets of the postings of good lines before, where a later line has amounts for them.
    postings: HashMap<Uuid, Vec<Option<AssetCode>>>,
    /// The lines that are bad.
    bad: HashSet<u64>,
}

/// What there is to say of a good line.
pub(super) type Note = Option<String>;

/// A field's name and an amount in it.
type Written<'t> = (String, &'t str);

impl<'a> Checker<'a> {
    pub(super) fn new(contents: &'a Contents, book: &'a Book) -> Checker<'a> {
        let (assets, accounts, postings, bad) = Default::default();
        Checker { contents, book, assets, accounts, postings, bad }
    }

    /// A line that is bad.
    pub(super) fn is_bad(&mut self, number: u64) {
        self.bad.insert(number);
    }

    /// Judges the next line, and says which transaction it is about.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn check(&mut self, number: u64, line: &mut Line) -> Parsed<Note> {
        if let Some(first) = self.contents.place(line.request).filter(|first| first.number != number) {
            return Err(format!("{:?} is the id of line {} already", line.id, first.number));
        }
        let note = match line.names.clone() {
            Some(named) => self.resolve(number, line, &named)?,
            None => None,
        };
        line.check()?;
        self.check_form(line)?;
        self.admit(line);
        Ok(note)
    }

    /// Says which transaction the line that is named stands for.
    fn resolve(&self, number: u64, line: &mut Line, named: &Named) -> Parsed<Note> {
        let Named { field, id, requests } = named;
        let places: Vec<_> =
            requests.iter().flatten().filter_map(|request| Some((*request, self.contents.place(*request)?))).collect();
        let (request, place) = match places[..] {
            [] => return self.resolve_outside(line, named),
            [place] => place,
            [(_, first), (_, second), ..] => {
                let (first, second) = (first.number.min(second.number), first.number.max(second.number));
                return Err(format!(
                    "{field} is {id:?}, which lines {first} and {second} have; name one by its transaction's id"
                ));
            }
        };
        let there = place.number;
        if there == number {
            return Err(format!("{field} is {id:?}, which is line {there} itself"));
        }
        if there > number {
            return Err(format!(
                "{field} is {id:?}, which is line {there} and comes later; commands take effect in order"
            ));
        }
        if self.bad.contains(&there) {
            return Err(format!("{field} is {id:?}, which is line {there} and is bad"));
        }
        if !place.makes_transaction {
            return Err(format!("{field} is {id:?}, which is line {there} and makes no transaction"));
        }
        line.resolve(self.contents.transaction(request));
        Ok(None)
    }

    /// The same for a line of an earlier file, or of none.
    fn resolve_outside(&self, line: &mut Line, named: &Named) -> Parsed<Note> {
        let Named { field, id, requests: [derived, _] } = named;
        // A cancel that was decided is asked again for the same.
        if let Some(transaction) = self.book.cancels.get(&line.request) {
            line.resolve(*transaction);
            return Ok(None);
        }
        let known: Vec<&Known> =
            named.requests.iter().flatten().filter_map(|request| self.book.lines.get(request)).collect();
        match known[..] {
            [Known::Transaction(transaction)] => {
                line.resolve(*transaction);
                return Ok(None);
            }
            [Known::Other(operation)] => {
                return Err(format!("{field} is {id:?}, which the book knows as {operation}: it makes no transaction"));
            }
            [] | [Known::Untold] => {}
            [..] => {
                return Err(format!(
                    "{field} is {id:?}, which two requests on the book have; name one by its transaction's id"
                ));
            }
        }
        if let Some(derived) = derived {
            line.resolve(*derived);
        }
        if line.is_cancel() {
            let found = match known.is_empty() {
                true if self.book.was_asked => "is neither a line before nor on the book",
                true => "is no line before",
                false => "was refused by a replica that does not tell its transaction",
            };
            let fenced = "the transaction of the id derived from it is cancelled";
            return Ok(Some(format!("{field} is {id:?}, which {found}; {fenced}")));
        }
        match self.book.was_asked && known.is_empty() {
            true => Err(format!("{field} is {id:?}, which is neither a line before nor on the book")),
            false => Ok(None),
        }
    }

    /// The scale of an asset, if the book or a line before knows it.
    fn scale(&self, asset: &AssetCode) -> Option<Scale> {
        self.book.assets.get(asset).or_else(|| self.assets.get(asset)).copied()
    }

    /// The asset of an account. None only where nobody knows it and the book was not asked.
    fn asset_of(&self, field: &str, account: &str) -> Parsed<Option<AssetCode>> {
        match self.book.accounts.get(account).or_else(|| self.accounts.get(account)) {
            Some(asset) => Ok(Some(*asset)),
            None if self.book.was_asked => {
                Err(format!("{field} is {account:?}; neither the book nor an earlier line has such an account"))
            }
            None => Ok(None),
        }
    }

    /// Refuses an amount that does not fit an asset.
    fn check_amount(&self, asset: Option<AssetCode>, (field, text): &Written<'_>) -> Parsed<()> {
        let Some((asset, scale)) = asset.and_then(|asset| Some((asset, self.scale(&asset)?))) else { return Ok(()) };
        // That only a floor has a sign was seen to before.
        let fits = Balance::parse(text).and_then(|amount| amount.at_scale(scale));
        fits.map(|_| ())
            .map_err(|error| format!("{field} is {text:?}, which {error}; {asset} has scale {}", scale.digits()))
    }

    /// Refuses limits that do not fit an asset.
    fn check_limits(&self, asset: Option<AssetCode>, floor: Option<&v1::Floor>, ceiling: &str) -> Parsed<()> {
        if let Some(v1::floor::Kind::AtLeast(least)) = floor.and_then(|floor| floor.kind.as_ref()) {
            self.check_amount(asset, &("floor".to_owned(), least))?;
        }
        match ceiling {
            "" => Ok(()),
            ceiling => self.check_amount(asset, &("ceiling".to_owned(), ceiling)),
        }
    }

    fn check_postings(&self, postings: &[v1::Posting]) -> Parsed<()> {
        for (position, posting) in postings.iter().enumerate() {
            let asset = self.asset_of(&format!("postings[{position}].account"), &posting.account)?;
            self.check_amount(asset, &(format!("postings[{position}].amount"), &posting.amount))?;
        }
        Ok(())
    }

    /// What depends on assets, accounts and transactions.
    fn check_form(&self, line: &Line) -> Parsed<()> {
        use v1::set_account_limits_request::CeilingChange;
        match &line.operation {
            Operation::RegisterAsset(_) | Operation::CancelTransaction(_) => Ok(()),
            Operation::OpenAccount(open) => {
                let asset = AssetCode::new(&open.asset).ok();
                if self.book.was_asked && asset.and_then(|asset| self.scale(&asset)).is_none() {
                    let problem = "neither the book nor an earlier line has such an asset";
                    return Err(format!("asset is {:?}; {problem}", open.asset));
                }
                self.check_limits(asset, open.floor.as_ref(), &open.ceiling)
            }
            Operation::SetAccountLimits(limits) => {
                let asset = self.asset_of("account", &limits.account)?;
                let ceiling = match &limits.ceiling_change {
                    Some(CeilingChange::Ceiling(ceiling)) => ceiling,
                    Some(CeilingChange::RemoveCeiling(_)) | None => "",
                };
                self.check_limits(asset, limits.floor.as_ref(), ceiling)
            }
            Operation::FreezeAccount(v1::FreezeAccountRequest { account, .. })
            | Operation::UnfreezeAccount(v1::UnfreezeAccountRequest { account, .. })
            | Operation::CloseAccount(v1::CloseAccountRequest { account, .. }) => {
                self.asset_of("account", account).map(|_| ())
            }
            Operation::Transfer(transfer) => {
                for (field, account) in [("debit", &transfer.debit_account), ("credit", &transfer.credit_account)] {
                    let asset = self.asset_of(field, account)?;
                    self.check_amount(asset, &("amount".to_owned(), &transfer.amount))?;
                }
                Ok(())
            }
            Operation::PostTransaction(post) => self.check_postings(&post.postings),
            Operation::TryTransaction(attempt) => self.check_postings(&attempt.postings),
            Operation::ConfirmTransaction(_) | Operation::ReverseTransaction(_) => self.check_amounts(line),
        }
    }

    /// Holds the amounts of a confirm or a reversal against the postings of its transaction.
    fn check_amounts(&self, line: &Line) -> Parsed<()> {
        let Some((id, amounts)) = line.amounts() else { return Ok(()) };
        let Some(transaction) = transaction_id(id) else { return Ok(()) };
        let of_book = || {
            let postings = self.book.postings.get(&transaction)?;
            Some(postings.iter().map(|asset| Some(*asset)).collect())
        };
        let Some(assets) = self.postings.get(&transaction).cloned().or_else(of_book) else {
            let field = match (&line.names, &line.operation) {
                (Some(named), _) => named.field,
                (None, Operation::ReverseTransaction(_)) => "original_id",
                (None, _) => "transaction_id",
            };
            return match self.book.was_asked {
                true => Err(format!(
                    "{field}: neither the book nor an earlier line has the transaction {id}, whose postings amounts are for"
                )),
                false => Ok(()),
            };
        };
        // A transaction that was cancelled before it was tried has none; it is for the book to say
        // so.
        if assets.is_empty() {
            return Ok(());
        }
        if assets.len() != amounts.len() {
            let given = match amounts.len() {
                1 => "1 is given".to_owned(),
                more => format!("{more} are given"),
            };
            return Err(format!(
                "amounts: {given}, the transaction has {} postings; name one for each, in order",
                assets.len()
            ));
        }
        for (position, (asset, amount)) in assets.into_iter().zip(amounts).enumerate() {
            self.check_amount(asset, &(format!("amounts[{position}]"), amount))?;
        }
        Ok(())
    }

    /// Takes note of what a good line registers, opens or makes.
    fn admit(&mut self, line: &Line) {
        match &line.operation {
            Operation::RegisterAsset(register) => {
                if let (Ok(code), Some(scale)) = (AssetCode::new(&register.code), Scale::new(register.scale)) {
                    self.assets.entry(code).or_insert(scale);
                }
            }
            Operation::OpenAccount(open) => {
                if let Ok(asset) = AssetCode::new(&open.asset) {
                    self.accounts.entry(open.name.clone()).or_insert(asset);
                }
            }
            _ => {}
        }
        if line.makes().is_none() || !self.contents.is_wanted(line.request) {
            return;
        }
        let of = |account: &str| self.book.accounts.get(account).or_else(|| self.accounts.get(account)).copied();
        let assets = match &line.operation {
            Operation::Transfer(transfer) => vec![of(&transfer.debit_account), of(&transfer.credit_account)],
            Operation::PostTransaction(post) => post.postings.iter().map(|posting| of(&posting.account)).collect(),
            Operation::TryTransaction(attempt) => attempt.postings.iter().map(|posting| of(&posting.account)).collect(),
            _ => return,
        };
        // Of two lines that make one transaction, the first does.
        self.postings.entry(self.contents.transaction(line.request)).or_insert(assets);
    }
}
