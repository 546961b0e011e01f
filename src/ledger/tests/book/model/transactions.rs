//! Post, try, confirm, cancel and reverse.

use super::content::trimmed;
use super::*;

impl Model {
    pub(super) fn existing(&self, id: TransactionId, content: &Content) -> Option<Judged> {
        let transaction = self.transactions.get(&id)?;
        let Some(first) = &transaction.content else { return Some(Err(Rejection::CancelledBeforeTry(id))) };
        let fields = differences(first, content);
        Some(if fields.is_empty() {
            repeated(transaction.accepted.clone(), transaction.created, Some(transaction.state))
        } else {
            Err(Rejection::TransactionExistsDifferent(fields))
        })
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn create(
        &mut self,
        id: TransactionId,
        accepted: Accepted,
        point: Point,
        content: &Content,
        postings: Vec<(usize, usize, u128)>,
        deadline: Option<LogTime>,
        reversal: bool,
    ) -> Judged {
        let tried = matches!(accepted, Accepted::Tried(..));
        let state = if tried { TransactionState::Tried } else { TransactionState::Confirmed };
        let transaction = ModelTransaction {
            state,
            content: Some(content.clone()),
            accepted: accepted.clone(),
            created: (self.sequence + 1, point),
            resolved: None,
            deadline: deadline.map(|deadline| deadline.0),
            confirmed: if tried { Vec::new() } else { postings.iter().map(|posting| posting.2).collect() },
            reversed: vec![0; postings.len()],
            postings,
            reversal,
        };
        self.transactions.insert(id, transaction);
        self.booked(accepted, Some(state))
    }

    pub(super) fn lines(&self, postings: &[Posting]) -> Result<Vec<(usize, usize, u128)>, Rejection> {
        let mut lines: Vec<(usize, usize, u128)> = Vec::new();
        for posting in postings {
            let number = self.find(&posting.account)?;
            let (code, _, _) = self.assets[self.accounts[number].asset];
            if let Some(stated) = posting.asset
                && stated != code
            {
                let account = self.accounts[number].name.clone();
                return Err(Rejection::AssetMismatch { account, holds: code, stated });
            }
            let units = self.scaled(&posting.amount.to_string(), self.accounts[number].asset)?;
            lines.push((number, side(posting.side), units.unsigned_abs()));
        }
        for (position, (number, on, _)) in lines.iter().enumerate() {
            if lines[..position].iter().any(|(other, side, _)| other == number && side != on) {
                return Err(Rejection::InvalidArgument(ledger::shape::Violation {
                    field: format!("postings[{position}].account"),
                    problem: "stands on both sides".into(),
                }));
            }
        }
        let asset = |line: &(usize, usize, u128)| self.accounts[line.0].asset;
        if lines.len() == 2 && asset(&lines[0]) != asset(&lines[1]) {
            return Err(Rejection::AssetMismatch {
                account: self.accounts[lines[1].0].name.clone(),
                holds: self.assets[asset(&lines[1])].0,
                stated: self.assets[asset(&lines[0])].0,
            });
        }
        self.balanced(&lines)?;
        Ok(lines)
    }

    pub(super) fn balanced(&self, lines: &[(usize, usize, u128)]) -> Result<(), Rejection> {
        for (number, (code, scale, _)) in self.assets.iter().enumerate() {
            let sum = |on: usize| -> u128 {
                let here = lines.iter().filter(|line| self.accounts[line.0].asset == number && line.1 == on);
                here.map(|line| line.2).sum()
            };
            let (debits, credits) = (sum(0), sum(1));
            if debits != credits {
                let write = |units| text(plain(units), *scale);
                return Err(Rejection::Unbalanced { asset: *code, debits: write(debits), credits: write(credits) });
            }
        }
        Ok(())
    }

    /// Checks and books lines, posted or pending.
    pub(super) fn book(&mut self, lines: &[(usize, usize, u128)], post: bool) -> Result<(), Rejection> {
        for (number, _, _) in lines {
            let account = &self.accounts[*number];
            if account.closed {
                return Err(Rejection::AccountClosed(account.name.clone()));
            }
            if account.frozen {
                return Err(Rejection::AccountFrozen(account.name.clone()));
            }
        }
        let mut after = self.accounts.clone();
        for (number, on, units) in lines {
            let account = &mut after[*number];
            let totals = if post { &mut account.posted } else { &mut account.pending };
            totals[*on] += units;
            if account.pending.iter().chain(&account.posted).sum::<u128>() > MAX {
                return Err(Rejection::BalanceOverflow(account.name.clone()));
            }
        }
        for (number, on, _) in lines {
            let (before, account) = (&self.accounts[*number], &after[*number]);
            if let Some(floor) = account.floor
                && *on != account.normal()
                && account.available() < floor
            {
                let scale = self.scale_of(*number);
                let needed = lines.iter().filter(|line| line.0 == *number).map(|line| line.2).sum();
                return Err(Rejection::InsufficientFunds(Box::new(InsufficientFunds {
                    account: account.name.clone(),
                    available: balance(before.available(), scale),
                    needed: amount(needed, scale),
                    floor: balance(floor, scale),
                })));
            }
        }
        for (number, on, _) in lines {
            if *on == after[*number].normal() {
                self.check_ceiling(&after[*number])?;
            }
        }
        self.accounts = after;
        Ok(())
    }

    pub(super) fn confirm(&mut self, point: Point, id: TransactionId, amounts: Option<&Vec<Amount>>) -> Judged {
        let Some(transaction) = self.transactions.get(&id).cloned() else {
            return Err(Rejection::TransactionNotFound(id));
        };
        match transaction.state {
            TransactionState::Cancelled => Err(Rejection::AlreadyCancelled(id)),
            TransactionState::Expired => {
                let deadline = LogTime(transaction.deadline.unwrap());
                Err(Rejection::TransactionExpired { transaction: id, deadline })
            }
            TransactionState::Confirmed => {
                let booked: Vec<String> = (transaction.postings.iter().zip(&transaction.confirmed))
                    .map(|((account, _, _), units)| trimmed(&text(plain(*units), self.scale_of(*account))))
                    .collect();
                let same = match amounts {
                    Some(amounts) => amounts.iter().map(|one| trimmed(&one.to_string())).collect::<Vec<_>>() == booked,
                    None => transaction.postings.iter().map(|posting| posting.2).eq(transaction.confirmed),
                };
                if !same {
                    return Err(Rejection::ConfirmDiffers(id));
                }
                let first = transaction.resolved.unwrap_or(transaction.created);
                repeated(Accepted::Confirmed(id), first, Some(TransactionState::Confirmed))
            }
            TransactionState::Tried => {
                let part = match amounts {
                    None => transaction.postings.iter().map(|posting| posting.2).collect(),
                    Some(amounts) => self.part(&transaction, amounts)?,
                };
                self.end(id, TransactionState::Confirmed, Some(&part), (self.sequence + 1, point));
                self.booked(Accepted::Confirmed(id), Some(TransactionState::Confirmed))
            }
        }
    }

    pub(super) fn part(&self, transaction: &ModelTransaction, amounts: &[Amount]) -> Result<Vec<u128>, Rejection> {
        let (expected, given) = (transaction.postings.len(), amounts.len());
        if expected != given {
            return Err(Rejection::AmountCount { expected: expected as u32, given: given as u32 });
        }
        let mut lines = Vec::new();
        for (position, ((account, on, reserved), asked)) in transaction.postings.iter().zip(amounts).enumerate() {
            let units = self.scaled(&asked.to_string(), self.accounts[*account].asset)?.unsigned_abs();
            if units > *reserved {
                let scale = self.scale_of(*account);
                return Err(Rejection::ExceedsReserved {
                    posting: position as u32,
                    reserved: amount(*reserved, scale),
                    asked: amount(units, scale),
                });
            }
            lines.push((*account, *on, units));
        }
        self.balanced(&lines)?;
        Ok(lines.into_iter().map(|line| line.2).collect())
    }

    pub(super) fn cancel(&mut self, point: Point, id: TransactionId) -> Judged {
        let Some(transaction) = self.transactions.get(&id) else {
            let tombstone = ModelTransaction {
                state: TransactionState::Cancelled,
                content: None,
                accepted: Accepted::CancelledEmpty(id),
                created: (self.sequence + 1, point),
                resolved: Some((self.sequence + 1, point)),
                deadline: None,
                postings: Vec::new(),
                confirmed: Vec::new(),
                reversed: Vec::new(),
                reversal: false,
            };
            self.transactions.insert(id, tombstone);
            return self.booked(Accepted::CancelledEmpty(id), Some(TransactionState::Cancelled));
        };
        match transaction.state {
            TransactionState::Confirmed => Err(Rejection::AlreadyConfirmed(id)),
            TransactionState::Expired => unchanged(Accepted::CancelledExpired(id), Some(TransactionState::Expired)),
            TransactionState::Cancelled => {
                let empty = transaction.content.is_none();
                let accepted = if empty { Accepted::CancelledEmpty(id) } else { Accepted::Cancelled(id) };
                repeated(accepted, transaction.resolved.unwrap(), Some(TransactionState::Cancelled))
            }
            TransactionState::Tried => {
                self.end(id, TransactionState::Cancelled, None, (self.sequence + 1, point));
                self.booked(Accepted::Cancelled(id), Some(TransactionState::Cancelled))
            }
        }
    }

    /// The lines of a reversal, checked but for the accounts.
    pub(super) fn reversal(
        &self,
        id: TransactionId,
        amounts: Option<&Vec<Amount>>,
    ) -> Result<Vec<(usize, usize, u128)>, Rejection> {
        let original = self.transactions.get(&id).ok_or(Rejection::TransactionNotFound(id))?;
        match original.state {
            TransactionState::Tried => return Err(Rejection::NotConfirmed(id)),
            TransactionState::Cancelled => return Err(Rejection::AlreadyCancelled(id)),
            TransactionState::Expired => {
                let deadline = LogTime(original.deadline.unwrap());
                return Err(Rejection::TransactionExpired { transaction: id, deadline });
            }
            TransactionState::Confirmed if original.reversal => return Err(Rejection::ReversalOfReversal(id)),
            TransactionState::Confirmed => {}
        }
        let (expected, given) = (original.postings.len(), amounts.map_or(original.postings.len(), Vec::len));
        if expected != given {
            return Err(Rejection::AmountCount { expected: expected as u32, given: given as u32 });
        }
        let mut lines = Vec::new();
        for (position, (account, on, _)) in original.postings.iter().enumerate() {
            let units = match amounts {
                Some(amounts) => self.scaled(&amounts[position].to_string(), self.accounts[*account].asset)?,
                None => plain(original.confirmed[position]),
            };
            lines.push((*account, 1 - on, units.unsigned_abs()));
        }
        for (position, (account, _, units)) in lines.iter().enumerate() {
            let remaining = original.confirmed[position] - original.reversed[position];
            if *units > remaining {
                let scale = self.scale_of(*account);
                return Err(Rejection::AlreadyReversed {
                    posting: position as u32,
                    remaining: amount(remaining, scale),
                    asked: amount(*units, scale),
                });
            }
        }
        self.balanced(&lines)?;
        Ok(lines)
    }
}
