//! Questions of a follower's clients that its leader answers, because the follower is behind. What they ask and what is answered are bytes here: the services know.
//!
//! They go over one stream that stays open. Those of a moment go together, for every packet wakes the other side, and answers come back as they are ready. A stream that breaks takes the questions
//! with it: those who asked have no answer, and the next question opens another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::{SetOnce, mpsc, oneshot};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;

use super::node::Node;
use super::peers::Peers;
use super::read_index::LeaderPoint;
use crate::proto::internal as wire;

/// Questions that may wait to be sent; more are not asked.
const MAX_UNSENT: usize = 4_096;
/// Questions of one message, and how long the first of them waits for others. It is little for who would have to wait for an entry to be applied, and longer than an entry of single calls takes
/// for that.
const MAX_TOGETHER: usize = 256;
const GATHERING: Duration = Duration::from_millis(2);

/// A question as it came, and up to where its answer must see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What the leader said when this replica asked it.
    pub point: LeaderPoint,
    /// The path of the method that was called.
    pub method: String,
    /// The request.
    pub message: Bytes,
}

/// Answers, by a deadline, questions that another replica was asked.
pub type Relayed = Arc<dyn Fn(Question, Instant) -> BoxFuture<'static, Result<Bytes, Status>> + Send + Sync>;

/// Told when a read finds that this replica has not applied what it must show, and begins to wait for that.
#[derive(Debug, Default)]
pub struct Behind(SetOnce<LeaderPoint>);

impl Behind {
    /// The first point of a read is good for all of it: the leader said it after the read had begun.
    pub(super) fn tell(&self, point: LeaderPoint) {
        // A read that asks again has told before.
        let _ = self.0.set(point);
    }

    /// What must be shown, once the read waits for it; never resolves if it need not.
    pub async fn point(&self) -> LeaderPoint {
        *self.0.wait().await
    }
}

/// Asks the leader.
#[derive(Debug)]
pub(super) struct Relays {
    peers: Peers,
    line: Mutex<Option<Line>>,
}

/// A stream to a leader.
#[derive(Debug, Clone)]
struct Line {
    leader: u64,
    questions: mpsc::Sender<wire::RelayedQuestion>,
    waiting: Arc<Mutex<Waiting>>,
}

/// Who waits for an answer, by the question's number.
#[derive(Debug, Default)]
struct Waiting {
    last: u64,
    replies: BTreeMap<u64, oneshot::Sender<Bytes>>,
    /// No answer comes any more.
    has_ended: bool,
}

/// A question that was asked; whoever drops it waits no more.
struct Asked<'l> {
    number: u64,
    line: &'l Line,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.line.waiting().replies.remove(&self.number);
    }
}

impl Relays {
    pub(super) fn new(peers: Peers) -> Relays {
        Relays { peers, line: Mutex::default() }
    }

    /// The answer of a replica that leads; none if it has none, or cannot be asked. Waits for as long as the stream lasts: whoever asks ends that.
    async fn ask(&self, leader: u64, question: Question, deadline: Instant) -> Option<Bytes> {
        let line = self.line(leader)?;
        let (reply, answer) = oneshot::channel();
        let asked = Asked { number: line.waiting().add(reply)?, line: &line };
        let left = deadline.saturating_duration_since(Instant::now()).as_millis();
        let message = wire::RelayedQuestion {
            number: asked.number,
            method: question.method,
            message: question.message,
            timeout_ms: u64::try_from(left).unwrap_or(u64::MAX),
            index: question.point.index,
            time: question.point.time.0,
        };
        line.questions.try_send(message).ok()?;
        answer.await.ok()
    }

    /// The stream to a leader: the one that there is, or a new one.
    fn line(&self, leader: u64) -> Option<Line> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = line.as_ref().filter(|line| line.leader == leader && !line.waiting().has_ended) {
            return Some(line.clone());
        }
        let mut client = self.peers.client(leader)?;
        let (questions, unsent) = mpsc::channel(MAX_UNSENT);
        let new = Line { leader, questions, waiting: Arc::default() };
        let waiting = Arc::clone(&new.waiting);
        let requests = requests(unsent, self.peers.cluster_id().to_owned(), Arc::clone(&waiting));
        tokio::spawn(async move {
            if let Ok(responses) = client.relay(requests).await {
                let mut responses = responses.into_inner();
                while let Ok(Some(response)) = responses.message().await {
                    locked(&waiting).take(response.answers);
                }
            }
            locked(&waiting).end();
        });
        // The one before ends once nobody asks over it.
        *line = Some(new.clone());
        Some(new)
    }
}

/// The questions of a moment in one message each, but for those that nobody waits for any more.
fn requests(
    unsent: mpsc::Receiver<wire::RelayedQuestion>,
    cluster_id: String,
    waiting: Arc<Mutex<Waiting>>,
) -> impl Stream<Item = wire::RelayRequest> {
    let together = ReceiverStream::new(unsent).chunks_timeout(MAX_TOGETHER, GATHERING);
    together.filter_map(move |mut questions| {
        let waiting = locked(&waiting);
        questions.retain(|question| waiting.replies.contains_key(&question.number));
        (!questions.is_empty()).then(|| wire::RelayRequest { cluster_id: cluster_id.clone(), questions })
    })
}

fn locked(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Line {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        locked(&self.waiting)
    }
}

impl Waiting {
    /// The number of a question whose answer is to go there; none if no answer would come.
    fn add(&mut self, reply: oneshot::Sender<Bytes>) -> Option<u64> {
        if self.has_ended {
            return None;
        }
        self.last += 1;
        self.replies.insert(self.last, reply);
        Some(self.last)
    }

    fn take(&mut self, answers: Vec<wire::RelayedAnswer>) {
        for answer in answers {
            if let (Some(reply), Some(message)) = (self.replies.remove(&answer.number), answer.message) {
                // Whoever asked may have gone.
                let _ = reply.send(message);
            }
        }
    }

    fn end(&mut self) {
        self.has_ended = true;
        self.replies.clear();
    }
}

impl Node {
    /// The leader's answer to a question that this replica was asked; none if no other replica is known to lead, or it has none. It may never come: whoever asks decides how long to wait.
    pub async fn ask_leader(&self, question: Question, deadline: Instant) -> Option<Bytes> {
        let leader = self.leader()?.replica_id;
        match leader == self.identity().replica_id {
            true => None,
            false => self.relays().ask(leader, question, deadline).await,
        }
    }
}
