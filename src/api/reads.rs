//! Reads: a view as fresh as was asked, and the question asked of it away from the async workers.

use std::sync::Arc;

use tokio::time::Instant;
use tonic::Status;

use super::{Api, errors, pages};
use crate::audit::AuditError;
use crate::book::BookError;
use crate::book::view::BookView;
use crate::proto::v1;
use crate::replication::{Behind, LeaderPoint, SubmitError};

/// Why a question has no answer.
pub(super) enum Problem {
    Status(Box<Status>),
    Audit(AuditError),
}

impl From<Status> for Problem {
    fn from(status: Status) -> Problem {
        Problem::Status(Box::new(status))
    }
}

impl From<AuditError> for Problem {
    fn from(error: AuditError) -> Problem {
        Problem::Audit(error)
    }
}

impl From<BookError> for Problem {
    fn from(error: BookError) -> Problem {
        Problem::Audit(error.into())
    }
}

fn problem_status(problem: Problem, point: (u64, ledger::LogTime)) -> Status {
    match problem {
        Problem::Status(status) => *status,
        Problem::Audit(AuditError::AccountNotFound(name)) => {
            errors::not_found(errors::Reason::AccountNotFound, "account", name.as_str(), point)
        }
        Problem::Audit(error @ AuditError::NotReached { .. }) => errors::invalid("as_of", error),
        Problem::Audit(AuditError::NoSuchPlace(_)) => pages::foreign(),
        Problem::Audit(AuditError::Expired { index }) => errors::page_expired(index),
        Problem::Audit(error @ (AuditError::Book(_) | AuditError::Contradiction(_))) => errors::storage(&error),
    }
}

impl Api {
    pub(super) fn submit_status(&self, error: &SubmitError) -> Status {
        let leader = self.node.leader().map(|leader| (leader.replica_id, leader.client_address.as_str()));
        errors::submit(error, leader)
    }

    /// A view as fresh as asked.
    pub(super) async fn view(
        &self,
        options: Option<&v1::ReadOptions>,
        deadline: Instant,
    ) -> Result<Arc<BookView>, Status> {
        self.view_telling(options, deadline, &Behind::default()).await
    }

    /// A view as fresh as asked; tells if it waits because this replica is behind.
    pub(super) async fn view_telling(
        &self,
        options: Option<&v1::ReadOptions>,
        deadline: Instant,
        behind: &Behind,
    ) -> Result<Arc<BookView>, Status> {
        use v1::read_options::Consistency;
        let _admitted = self.admission.admit()?;
        let view = match options.and_then(|options| options.consistency.as_ref()) {
            Some(Consistency::Stale(true)) => Ok(self.node.stale_view()),
            Some(Consistency::AtLeastIndex(index)) => self.node.view_at_least_telling(*index, deadline, behind).await,
            Some(Consistency::Linearizable(_) | Consistency::Stale(false)) | None => {
                self.node.linearizable_view_telling(deadline, behind).await
            }
        };
        view.map(Arc::new).map_err(|error| self.submit_status(&error))
    }

    /// A view for a follower's client. The follower asked for the point after the question had come, so no other round is needed, and it is no matter whether this replica still leads: what it shows is
    /// committed.
    pub(super) async fn view_of(&self, point: LeaderPoint, deadline: Instant) -> Result<Arc<BookView>, Status> {
        let _admitted = self.admission.admit()?;
        match self.node.view_of(point, deadline, &Behind::default()).await {
            Ok(Some(view)) => Ok(Arc::new(view)),
            // The follower sees to it by itself.
            Ok(None) => Err(Status::unavailable("a hold that is shown has ended meanwhile")),
            Err(error) => Err(self.submit_status(&error)),
        }
    }

    /// Asks a view a question on a thread that may block.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        view: &Arc<BookView>,
        question: impl FnOnce(&BookView) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Status> {
        let point = (view.index(), view.time());
        let view = Arc::clone(view);
        let admitted = self.admission.admit()?;
        let unsent = Arc::clone(&self.unsent);
        let answer = self.node.threads().run_blocking(move || {
            // Held until the question has ended, even if its caller has gone.
            let _admitted = admitted;
            // Its answer would be one more that waits for its caller.
            if unsent.is_full() {
                return Err(errors::too_much_unsent().into());
            }
            question(&view)
        });
        match answer.await {
            Ok(answer) => answer.map_err(|problem| problem_status(problem, point)),
            Err(error) => Err(errors::storage(&error)),
        }
    }
}

/// A view that shows at least what a log index left.
pub(super) fn at_least(index: u64) -> v1::ReadOptions {
    v1::ReadOptions { consistency: Some(v1::read_options::Consistency::AtLeastIndex(index)) }
}

/// The size of a page: what was asked within bounds, 100 if nothing was.
pub(super) fn page_size(asked: u32) -> Result<usize, Status> {
    page_size_or(asked, 100)
}

/// The size of a page: what was asked within bounds, or a default.
pub(super) fn page_size_or(asked: u32, default: usize) -> Result<usize, Status> {
    match asked {
        0 => Ok(default),
        1..=1000 => Ok(usize::try_from(asked).unwrap_or(1000)),
        more => Err(errors::invalid("page_size", format!("is {more}; 1 to 1000 are allowed"))),
    }
}

/// Refuses a range that ends before it begins.
pub(super) fn check_range(from: Option<i64>, to: Option<i64>) -> Result<(), Status> {
    match (from, to) {
        (Some(from), Some(to)) if from > to => Err(errors::contradicting(
            ("from", "to"),
            format!("from lies {} ns after to; give a from that is not later than to", from.abs_diff(to)),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_page_has_one_to_a_thousand_items_and_a_hundred_unless_told() {
        for (asked, size) in [(0, 100), (1, 1), (2, 2), (999, 999), (1_000, 1_000)] {
            assert_eq!(page_size(asked).unwrap(), size, "{asked}");
        }
        for asked in [1_001, u32::MAX] {
            let refused = page_size(asked).unwrap_err();
            assert_eq!(refused.code(), tonic::Code::InvalidArgument);
            assert!(refused.message().contains(&format!("is {asked}; 1 to 1000")), "{}", refused.message());
        }
    }
}
