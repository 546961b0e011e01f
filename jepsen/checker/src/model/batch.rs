//! Atomic batches: one place in the log, successive times within it, all or nothing.

use super::book::{Content, Kept, KeptOutcome};
use super::{Decision, Model, content, refusal, shape};
use crate::history::{AtomicAnswer, AtomicBatch, AtomicOutcome, ItemAnswer, LogPoint, Reason, Refusal};

impl<'history> Model<'history> {
    /// Answers an atomic batch at its place.
    pub fn atomic(&mut self, at: LogPoint, batch: &'history AtomicBatch) -> AtomicAnswer {
        // No hold ends between the commands of a batch: what is due by the time of its last one has expired before the first.
        let length = u64::try_from(batch.items.len()).unwrap_or(u64::MAX);
        self.expire_until(LogPoint { time_ns: at.time_ns.saturating_add(length), ..at });
        if let Some(kept) = self.book.request(batch.request_id) {
            return match (kept.content, &kept.outcome) {
                (Content::Atomic(known), KeptOutcome::Atomic(outcome)) if content::same_batch(known, batch) => {
                    AtomicAnswer { at, replay_of: Some(kept.at), outcome: outcome.clone() }
                }
                (Content::Atomic(_), _) | (Content::Single(_), _) => refused(at, Reason::RequestIdReused),
            };
        }
        if let Err(reason) = shape::check_atomic(batch) {
            return refused(at, reason);
        }
        self.book.begin();
        let outcome = match self.try_items(at, batch) {
            Ok(items) => {
                self.book.keep_changes();
                AtomicOutcome::Applied(items)
            }
            Err((culprit, refusal)) => {
                self.book.take_back();
                self.keep_culprit(at, batch, culprit, &refusal);
                AtomicOutcome::NotApplied(self.not_applied(batch, culprit, &refusal))
            }
        };
        let kept = Kept { content: Content::Atomic(batch), at, outcome: KeptOutcome::Atomic(outcome.clone()) };
        self.book.keep(batch.request_id, kept);
        AtomicAnswer { at, replay_of: None, outcome }
    }

    /// Every item in order; or the first refused one's position and its refusal.
    fn try_items(&mut self, at: LogPoint, batch: &'history AtomicBatch) -> Result<Vec<ItemAnswer>, (usize, Refusal)> {
        let mut items = Vec::with_capacity(batch.items.len());
        let mut time_ns = at.time_ns;
        for (position, item) in batch.items.iter().enumerate() {
            time_ns = time_ns.saturating_add(1);
            let here = LogPoint { time_ns, ..at };
            let Decision { result, sequence, replay_of, kept: _ } = self.decide(here, item);
            match result {
                Err(refusal) => return Err((position, refusal)),
                Ok(done) => items.push(ItemAnswer {
                    time_ns: Some(time_ns),
                    replay_of,
                    journal_sequence: sequence,
                    state: item.transaction().and_then(|id| self.transaction_state(id)),
                    result: Ok(done),
                }),
            }
        }
        Ok(items)
    }

    /// The culprit's refusal is kept under its own id, unless that id was taken before.
    fn keep_culprit(&mut self, at: LogPoint, batch: &'history AtomicBatch, culprit: usize, refusal: &Refusal) {
        let item = &batch.items[culprit];
        if self.book.request(item.request_id).is_none() && !refusal.reason.is_shape() {
            let outcome = KeptOutcome::Single { result: Err(refusal.clone()), sequence: None };
            self.book.keep(item.request_id, Kept { content: Content::Single(&item.command), at, outcome });
        }
    }

    fn not_applied(&self, batch: &AtomicBatch, culprit: usize, refused: &Refusal) -> Vec<ItemAnswer> {
        let answer = |(position, item): (usize, &crate::history::Write)| {
            let is_culprit = position == culprit;
            let named = || refusal(Reason::NotApplied, [("culprit", culprit.to_string())]);
            ItemAnswer {
                time_ns: None,
                replay_of: None,
                journal_sequence: None,
                state: item.transaction().and_then(|id| self.transaction_state(id)),
                result: Err(if is_culprit { refused.clone() } else { named() }),
            }
        };
        batch.items.iter().enumerate().map(answer).collect()
    }
}

fn refused(at: LogPoint, reason: Reason) -> AtomicAnswer {
    AtomicAnswer { at, replay_of: None, outcome: AtomicOutcome::Refused(refusal(reason, [])) }
}
