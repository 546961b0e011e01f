//! What makes a transaction: Post, Try, Reverse.

use super::book::{First, Kind, Line, Transaction};
use super::lines::Reservation;
use super::{Decision, Failed, Model, amount, content, fail};
use crate::history::{Command, Done, Id, LogPoint, Posting, Reason, TransactionState};
use crate::precedence::{LINES, ORIGINAL, OriginalCheck, PARTS, POSTING, PartsCheck, PostingCheck};

impl<'history> Model<'history> {
    /// What is said of a transaction that is there already; none if it is not.
    fn known(&self, id: Id, command: &Command) -> Option<Result<Decision, Failed>> {
        let known = self.book.transaction(id)?;
        let named = |reason| Err(fail(reason, [("transaction_id", id.to_string())]));
        Some(if known.kind == Kind::Tombstone {
            named(Reason::CancelledBeforeTry)
        } else if content::same_body(known.command, command) {
            Ok(Decision::again(&known.created))
        } else {
            Err(fail(Reason::TransactionExistsDifferent, []))
        })
    }

    fn resolve(&self, postings: &[Posting]) -> Result<Vec<Line>, Failed> {
        postings.iter().map(|posting| self.resolve_one(posting)).collect()
    }

    fn resolve_one(&self, posting: &Posting) -> Result<Line, Failed> {
        let named = |reason| fail(reason, [("account", posting.account.clone())]);
        let account = self.book.account(&posting.account).ok_or_else(|| named(Reason::AccountNotFound))?;
        let mut units = 0;
        for check in POSTING {
            match check {
                // Without an account there is nothing else to check, so this one is always the first.
                PostingCheck::AccountFound => {}
                PostingCheck::AssetMatches => {
                    let holds = &self.book.assets[self.book.accounts[account].asset].code;
                    if posting.asset.as_ref().is_some_and(|stated| stated != holds) {
                        return Err(named(Reason::AssetMismatch));
                    }
                }
                PostingCheck::AmountFits => {
                    let written = amount::parse(&posting.amount).ok_or_else(|| fail(Reason::AmountMalformed, []))?;
                    units = written
                        .at_scale(self.book.scale_of(account))
                        .map_err(|reason| fail(reason, [("amount", posting.amount.clone())]))?;
                }
            }
        }
        Ok(Line { account, side: posting.side, amount: units, confirmed: 0, reversed: 0 })
    }

    pub(super) fn post(
        &mut self,
        at: LogPoint,
        command: &'history Command,
        id: Id,
        postings: &[Posting],
    ) -> Result<Decision, Failed> {
        if let Some(answer) = self.known(id, command) {
            return answer;
        }
        let lines = self.resolve(postings)?;
        self.check_one_asset(&lines)?;
        self.check_lines(&lines, LINES)?;
        Ok(self.book_new(at, command, id, Kind::Posted, lines))
    }

    /// Books a transaction in one step.
    fn book_new(&mut self, at: LogPoint, command: &'history Command, id: Id, kind: Kind, lines: Vec<Line>) -> Decision {
        let lines: Vec<Line> = lines.into_iter().map(|line| Line { confirmed: line.amount, ..line }).collect();
        self.book_lines(&lines);
        let sequence = Some(self.book.next_sequence());
        let created = First { at, sequence, done: Done::default() };
        let state = TransactionState::Confirmed;
        self.book.put_transaction(
            id,
            Transaction { kind, state, lines, deadline_ns: None, command, created, settled: None },
        );
        Decision::done(Done::default(), sequence)
    }

    pub(super) fn reserve(
        &mut self,
        at: LogPoint,
        command: &'history Command,
        id: Id,
        postings: &[Posting],
        timeout_ns: Option<u64>,
    ) -> Result<Decision, Failed> {
        if let Some(answer) = self.known(id, command) {
            return answer;
        }
        let lines = self.resolve(postings)?;
        self.check_one_asset(&lines)?;
        self.check_lines(&lines, LINES)?;
        self.reserve_lines(&lines, Reservation::Held);
        let deadline_ns = timeout_ns.map(|timeout_ns| at.time_ns.saturating_add(timeout_ns));
        if let Some(deadline_ns) = deadline_ns {
            self.book.open_hold(deadline_ns, id);
        }
        let sequence = Some(self.book.next_sequence());
        let done = Done { deadline_ns, empty: false };
        let created = First { at, sequence, done };
        let state = TransactionState::Tried;
        self.book.put_transaction(
            id,
            Transaction { kind: Kind::Tried, state, lines, deadline_ns, command, created, settled: None },
        );
        Ok(Decision::done(done, sequence))
    }

    pub(super) fn reverse(
        &mut self,
        at: LogPoint,
        command: &'history Command,
        id: Id,
        original_id: Id,
        amounts: Option<&[String]>,
    ) -> Result<Decision, Failed> {
        if let Some(answer) = self.known(id, command) {
            return answer;
        }
        let original = self.original(original_id)?;
        let whole = |line: &Line| line.confirmed;
        let left = |line: &Line| line.confirmed - line.reversed;
        let parts = self.parts(&original.lines, amounts, whole, left, Reason::AlreadyReversed)?;
        let lines: Vec<Line> = original
            .lines
            .iter()
            .zip(&parts)
            .map(|(line, part)| Line { side: line.side.other(), amount: *part, confirmed: 0, reversed: 0, ..*line })
            .collect();
        self.check_moving(&lines)?;
        let mut reversed = original.clone();
        for (line, part) in reversed.lines.iter_mut().zip(&parts) {
            line.reversed += part;
        }
        self.book.put_transaction(original_id, reversed);
        Ok(self.book_new(at, command, id, Kind::Reversal, lines))
    }

    fn original(&self, id: Id) -> Result<&Transaction<'history>, Failed> {
        let named = |reason| Err(fail(reason, [("transaction_id", id.to_string())]));
        let Some(original) = self.book.transaction(id) else {
            return named(Reason::TransactionNotFound);
        };
        for check in ORIGINAL {
            match check {
                // Nothing else can be asked of what is not there, so this one is always the first.
                OriginalCheck::Found => {}
                OriginalCheck::NoReversal if original.kind == Kind::Reversal => {
                    return named(Reason::ReversalOfReversal);
                }
                OriginalCheck::NoReversal => {}
                OriginalCheck::Confirmed => match original.state {
                    TransactionState::Confirmed => {}
                    TransactionState::Tried => return named(Reason::NotConfirmed),
                    TransactionState::Cancelled => return named(Reason::AlreadyCancelled),
                    TransactionState::Expired => return named(Reason::TransactionExpired),
                },
            }
        }
        Ok(original)
    }

    /// The minor units asked for, one per line; `whole` where none are named, at most `left`.
    pub(super) fn parts(
        &self,
        lines: &[Line],
        amounts: Option<&[String]>,
        whole: impl Fn(&Line) -> u128,
        left: impl Fn(&Line) -> u128,
        beyond: Reason,
    ) -> Result<Vec<u128>, Failed> {
        let mut parts: Vec<u128> = lines.iter().map(whole).collect();
        for check in PARTS {
            match (check, amounts) {
                (PartsCheck::Count, Some(amounts)) if amounts.len() != lines.len() => {
                    let (expected, given) = (lines.len().to_string(), amounts.len().to_string());
                    return Err(fail(Reason::AmountCount, [("expected", expected), ("given", given)]));
                }
                (PartsCheck::Scale, Some(amounts)) => {
                    for ((part, line), text) in parts.iter_mut().zip(lines).zip(amounts) {
                        let written = amount::parse(text).ok_or_else(|| fail(Reason::AmountMalformed, []))?;
                        *part = written
                            .at_scale(self.book.scale_of(line.account))
                            .map_err(|reason| fail(reason, [("amount", text.clone())]))?;
                    }
                }
                (PartsCheck::Within, Some(_) | None) => {
                    if parts.iter().zip(lines).any(|(part, line)| *part > left(line)) {
                        return Err(fail(beyond, []));
                    }
                }
                (PartsCheck::Count | PartsCheck::Scale, Some(_) | None) => {}
            }
        }
        Ok(parts)
    }
}
