//! Statements, page by page.

use ledger::journal::JournalSequence;
use tokio::time::Instant;
use tonic::Status;

use super::pages::{Walk, foreign, read_point};
use super::relay::Source;
use super::{Api, convert, reads, render};
use crate::audit::{self, Dates, Period};
use crate::proto::v1;

/// A line as published.
pub(super) fn statement_line(line: &audit::Line) -> v1::StatementLine {
    let details = line.record.event.details();
    v1::StatementLine {
        sequence: line.record.sequence.0,
        time: Some(render::timestamp(line.record.point.time)),
        event: render::event_name(&line.record.event).to_owned(),
        transaction_id: line.record.event.transaction().map(|id| id.to_string()).unwrap_or_default(),
        reference: details.map(|details| details.reference.clone()).unwrap_or_default(),
        effective_at: line.effective_at.map(render::effective),
        side: render::side(line.posting.side).into(),
        amount: line.posting.amount.to_string(),
        is_posted: line.is_posted,
        posted: line.posted.to_string(),
        available: line.available.to_string(),
    }
}

impl Api {
    /// A page of an account's statement.
    pub(super) async fn statement(
        &self,
        message: v1::GetStatementRequest,
        deadline: Instant,
    ) -> Result<v1::GetStatementResponse, Status> {
        let name = convert::account_name("account", &message.account)?;
        let limit = reads::page_size(message.page_size)?;
        let from_ns = message.from.as_ref().map(|time| convert::nanoseconds("from", time)).transpose()?;
        let to_ns = message.to.as_ref().map(|time| convert::nanoseconds("to", time)).transpose()?;
        reads::check_range(from_ns, to_ns)?;
        let walk = Walk::of(&message)?;
        let after = JournalSequence(walk.cursor()?.unwrap_or(0));
        let dates = if message.by_effective_date { Dates::Effective } else { Dates::OfRecord };
        let view = match self.source(&message, walk.read(message.read).as_ref(), deadline).await? {
            Source::Here(view) => view,
            Source::Leader(answer) => return Ok(answer),
        };
        let turn = match dates {
            Dates::Effective => Some(self.histories.wait(deadline).await?),
            Dates::OfRecord => None,
        };
        let kept = self.kept.clone();
        self.ask(&view, move |view| {
            // Held until the question has ended, even if its caller has gone.
            let _turn = turn;
            let moment = walk.moment(view)?;
            if after > moment.sequence {
                return Err(foreign().into());
            }
            let period = Period { dates, from_ns, to_ns, after, last: moment.sequence, limit };
            let statement = audit::statement(view, &kept, &name, period)?;
            let last = statement.lines.last().filter(|_| statement.has_more);
            let next = last.map(|line| walk.next(&moment, line.record.sequence.0));
            Ok(v1::GetStatementResponse {
                read_point: Some(read_point(&moment)),
                account: name.to_string(),
                asset: view.asset(statement.account.asset)?.code.to_string(),
                opening: statement.opening.to_string(),
                lines: statement.lines.iter().map(statement_line).collect(),
                closing: statement.closing.to_string(),
                next_page_token: next.unwrap_or_default(),
            })
        })
        .await
    }
}
