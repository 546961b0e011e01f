//! Questions of a follower's clients that its leader answers, because the follower is behind. What they ask and what is answered are bytes here: the services know.
//!
//! They go over one stream that stays open, and answers come back as they are ready, so that many questions cost little more than their bytes. A stream that breaks takes the questions with it:
//! those who asked have no answer, and the next question opens another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::node::Node;
use super::peers::Peers;
use crate::proto::internal as wire;

/// Questions that may wait to be sent; more are not asked.
const MAX_UNSENT: usize = 4_096;

/// A question as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The path of the method that was called.
    pub method: String,
    /// The request.
    pub message: Bytes,
}

/// Answers, by a deadline, questions that another replica was asked.
pub type Relayed = Arc<dyn Fn(Question, Instant) -> BoxFuture<'static, Result<Bytes, Status>> + Send + Sync>;

/// Told when a read finds that this replica has not applied what it must show, and begins to wait for that.
#[derive(Debug, Default)]
pub struct Behind(Notify);

impl Behind {
    pub(super) fn tell(&self) {
        self.0.notify_one();
    }

    /// Resolves once it was told; never, if the read need not wait.
    pub async fn is_told(&self) {
        self.0.notified().await;
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
    questions: mpsc::Sender<wire::RelayRequest>,
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
        let message = wire::RelayRequest {
            cluster_id: self.peers.cluster_id().to_owned(),
            number: asked.number,
            method: question.method,
            message: question.message,
            timeout_ms: u64::try_from(left).unwrap_or(u64::MAX),
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
        tokio::spawn(async move {
            if let Ok(answers) = client.relay(ReceiverStream::new(unsent)).await {
                let mut answers = answers.into_inner();
                while let Ok(Some(answer)) = answers.message().await {
                    let reply = locked(&waiting).replies.remove(&answer.number);
                    if let (Some(reply), Some(message)) = (reply, answer.message) {
                        // Whoever asked may have gone.
                        let _ = reply.send(message);
                    }
                }
            }
            let mut waiting = locked(&waiting);
            waiting.has_ended = true;
            waiting.replies.clear();
        });
        // The one before ends once nobody asks over it.
        *line = Some(new.clone());
        Some(new)
    }
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
