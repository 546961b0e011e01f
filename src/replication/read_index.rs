//! What a follower asks its leader before it answers linearizable reads, shared: reads that wait when a question goes out are all served by its answer, so that many reads on
//! a follower cost the leader one call.
//!
//! A read joins only a question that is asked after it came, or it could miss what was answered in between. A question that stays without an answer keeps those that come after it
//! waiting for a moment only: then the next one goes out beside it.

use std::future::Future;
use std::time::Duration;

use ledger::LogTime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::proposer::SubmitError;

/// Reads that may wait for the next question; more are refused as overload.
const MAX_WAITING_READS: usize = 65_536;
/// How long a question without an answer keeps the next one waiting.
const PATIENCE: Duration = Duration::from_millis(20);

/// Up to where a read must see, as the leader said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaderPoint {
    /// The log index whose effects it must show, at least.
    pub index: u64,
    /// The leader's clock, in nanoseconds since 1970: what was due then must not be shown as open. 0 if that does not matter.
    pub time: LogTime,
}

type Found = Result<LeaderPoint, SubmitError>;

struct Waiting {
    deadline: Instant,
    reply: oneshot::Sender<Found>,
}

/// Hands reads to the task that asks the leader.
#[derive(Clone)]
pub(super) struct ReadIndexes {
    sender: mpsc::Sender<Waiting>,
}

impl ReadIndexes {
    /// Starts the task. `ask` asks the leader once, until a deadline.
    pub(super) fn start<A, F>(ask: A) -> ReadIndexes
    where
        A: Fn(Instant) -> F + Send + 'static,
        F: Future<Output = Found> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(MAX_WAITING_READS);
        tokio::spawn(ask_in_turn(ask, receiver));
        ReadIndexes { sender }
    }

    /// What the leader says to a question that is asked after this call.
    pub(super) async fn get(&self, deadline: Instant) -> Found {
        let (reply, found) = oneshot::channel();
        self.sender.try_send(Waiting { deadline, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SubmitError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => SubmitError::Stopping,
        })?;
        match tokio::time::timeout_at(deadline, found).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => Err(SubmitError::Stopping),
            Err(_) => Err(SubmitError::NoLeader),
        }
    }
}

async fn ask_in_turn<A, F>(ask: A, mut receiver: mpsc::Receiver<Waiting>)
where
    A: Fn(Instant) -> F,
    F: Future<Output = Found> + Send + 'static,
{
    while let Some(first) = receiver.recv().await {
        let mut group = vec![first];
        while let Ok(waiting) = receiver.try_recv() {
            group.push(waiting);
        }
        let Some(deadline) = group.iter().map(|waiting| waiting.deadline).max() else { continue };
        let asked = ask(deadline);
        let question = tokio::spawn(async move {
            let found = asked.await;
            for waiting in group {
                // Whoever asked may have gone.
                let _ = waiting.reply.send(found.clone());
            }
        });
        // If it takes longer, or fails, those who wait for it know.
        let _ = tokio::time::timeout(PATIENCE, question).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    /// A leader that counts the questions and answers each with its number, once it is let.
    struct Leader {
        asked: AtomicU64,
        answers: Semaphore,
    }

    fn leader(answers: usize) -> (Arc<Leader>, ReadIndexes) {
        let leader = Arc::new(Leader { asked: AtomicU64::new(0), answers: Semaphore::new(answers) });
        let own = Arc::clone(&leader);
        let ask = move |_| {
            let own = Arc::clone(&own);
            async move {
                let index = own.asked.fetch_add(1, Ordering::SeqCst) + 1;
                own.answers.acquire().await.unwrap().forget();
                Ok(LeaderPoint { index, time: LogTime(7) })
            }
        };
        (leader, ReadIndexes::start(ask))
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    async fn until_asked(leader: &Leader, count: u64) {
        while leader.asked.load(Ordering::SeqCst) < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn reads_that_wait_when_a_question_goes_out_share_it_and_no_read_joins_one_asked_before() {
        let (leader, reads) = leader(0);
        let first = tokio::spawn({
            let reads = reads.clone();
            async move { reads.get(soon()).await }
        });
        until_asked(&leader, 1).await;
        let later = join_all((0..100).map(|_| reads.get(soon())));
        let answered = async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            leader.answers.add_permits(2);
        };
        let (later, ()) = tokio::join!(later, answered);
        assert_eq!(first.await.unwrap().unwrap().index, 1);
        assert!(later.iter().all(|found| found.as_ref().unwrap().index == 2), "{later:?}");
        assert_eq!(leader.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_without_an_answer_holds_the_next_up_for_a_moment_only() {
        let (leader, reads) = leader(0);
        let begin = Instant::now();
        let mut lost = std::pin::pin!(reads.get(soon()));
        assert!(tokio::time::timeout(Duration::from_millis(5), &mut lost).await.is_err());
        let mut next = std::pin::pin!(reads.get(soon()));
        assert!(tokio::time::timeout(PATIENCE, &mut next).await.is_err());
        until_asked(&leader, 2).await;
        assert!(begin.elapsed() < 3 * PATIENCE, "{:?}", begin.elapsed());
        leader.answers.add_permits(2);
        assert_eq!((lost.await.unwrap().index, next.await.unwrap().index), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_waits_until_its_own_deadline_and_hears_why_there_is_no_answer() {
        let (_leader, reads) = leader(0);
        assert_eq!(reads.get(Instant::now() + Duration::from_millis(50)).await, Err(SubmitError::NoLeader));
        let overloaded = ReadIndexes::start(|_| std::future::ready(Err(SubmitError::Overloaded)));
        assert_eq!(overloaded.get(soon()).await, Err(SubmitError::Overloaded));
    }

    /// The question goes on for as long as any of those who wait for it would: whoever is in a hurry takes nothing from the others.
    #[tokio::test(start_paused = true)]
    async fn a_question_lasts_as_long_as_the_most_patient_read_that_it_serves() {
        let deadlines = Arc::new(std::sync::Mutex::new(Vec::new()));
        let (gate, told) = (Arc::new(Semaphore::new(0)), Arc::clone(&deadlines));
        let held = Arc::clone(&gate);
        let reads = ReadIndexes::start(move |deadline| {
            told.lock().unwrap().push(deadline);
            let held = Arc::clone(&held);
            async move {
                held.acquire().await.unwrap().forget();
                Ok(LeaderPoint { index: 1, time: LogTime(7) })
            }
        });
        let begin = Instant::now();
        let after = move |seconds| begin + Duration::from_secs(seconds);
        let own = reads.clone();
        let first = tokio::spawn(async move { own.get(after(1)).await });
        while deadlines.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        // These come while the first question is out, so the second serves all of them.
        let others = join_all([3, 9, 2].map(|seconds| reads.get(after(seconds))));
        let answering = async {
            tokio::task::yield_now().await;
            gate.add_permits(2);
        };
        let (others, ()) = tokio::join!(others, answering);
        assert!(first.await.unwrap().is_ok() && others.iter().all(Result::is_ok), "{others:?}");
        assert_eq!(*deadlines.lock().unwrap(), [after(1), after(9)]);
    }
}
