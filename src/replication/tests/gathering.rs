//! The proposer gathers calls for an entry: those of callers that come back at once share it, and nobody else is held up. In paused time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::seed;
use crate::replication::gathering::{Bell, Gathered, Gathering, MAX_TIMES, turns};

/// Whoever gets to send one call in each of the next turns of the thread.
fn calls(turns: usize) -> mpsc::Receiver<()> {
    let (sender, receiver) = mpsc::channel(turns.max(1));
    tokio::spawn(async move {
        for _ in 0..turns {
            sender.try_send(()).unwrap();
            tokio::task::yield_now().await;
        }
        // Kept open, as by those who may call again.
        sender.closed().await;
    });
    receiver
}

#[tokio::test]
async fn calls_are_gathered_as_long_as_every_turn_of_the_thread_brings_one() {
    let receiver = calls(7);
    turns(&receiver, u32::MAX).await;
    assert_eq!(receiver.len(), 7);
    // Nothing more comes, and nobody is waited for.
    turns(&receiver, u32::MAX).await;
    assert_eq!(receiver.len(), 7);
}

#[tokio::test]
async fn no_more_calls_are_gathered_than_an_entry_holds() {
    let receiver = calls(7);
    turns(&receiver, 3).await;
    assert_eq!(receiver.len(), 3);
}

/// What an entry takes in these tests.
const ENTRY: Duration = Duration::from_millis(4);

type Call = oneshot::Sender<()>;

/// A proposer that has one entry in flight, in paused time.
#[derive(Clone)]
struct Line {
    sender: mpsc::Sender<Call>,
    bell: Arc<Bell>,
    /// How many calls each entry had.
    entries: Arc<Mutex<Vec<usize>>>,
}

impl Line {
    fn start(gathers: bool) -> Line {
        let (sender, receiver) = mpsc::channel(1_000);
        let line = Line { sender, bell: Bell::new(), entries: Arc::default() };
        tokio::spawn(line.clone().propose(receiver, gathers));
        line
    }

    async fn propose(self, mut receiver: mpsc::Receiver<Call>, gathers: bool) {
        let mut gathering = Gathering::new(Arc::clone(&self.bell));
        let mut waited = 0;
        while let Some(first) = receiver.recv().await {
            let mut gathered = if gathers { Some(gathering.gather(&receiver, waited, || false).await) } else { None };
            let mut entry = vec![first];
            while let Ok(call) = receiver.try_recv() {
                entry.push(call);
            }
            self.entries.lock().unwrap().push(entry.len());
            gathered.iter_mut().for_each(|gathered| gathered.proposed(entry.len()));
            tokio::time::sleep(ENTRY).await;
            gathered.into_iter().for_each(Gathered::answered);
            waited = receiver.len();
            entry.into_iter().for_each(|call| call.send(()).unwrap());
        }
    }

    /// Makes a call, and says how long it took.
    async fn call(&self) -> Duration {
        let began = Instant::now();
        let (reply, answer) = oneshot::channel();
        self.sender.try_send(reply).unwrap();
        self.bell.queued(|| self.sender.max_capacity() - self.sender.capacity(), false);
        answer.await.unwrap();
        began.elapsed()
    }

    /// Calls again and again, each time so long after the answer. What each took.
    fn come_back(&self, after: Duration, times: usize) -> JoinHandle<Vec<Duration>> {
        let line = self.clone();
        tokio::spawn(async move {
            let mut took = Vec::new();
            for _ in 0..times {
                took.push(line.call().await);
                tokio::time::sleep(after).await;
            }
            took
        })
    }

    /// Calls whether what was called before is answered or not, with the gaps that are given. What they took.
    async fn come_by_themselves(&self, gaps: impl Iterator<Item = Duration>) -> Vec<Duration> {
        let mut calls = Vec::new();
        for gap in gaps {
            let line = self.clone();
            calls.push(tokio::spawn(async move { line.call().await }));
            tokio::time::sleep(gap).await;
        }
        futures::future::join_all(calls).await.into_iter().map(Result::unwrap).collect()
    }

    fn entries(&self) -> Vec<usize> {
        self.entries.lock().unwrap().clone()
    }
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn mean(took: &[Duration]) -> Duration {
    took.iter().sum::<Duration>() / u32::try_from(took.len()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn callers_that_come_back_at_once_share_every_entry() {
    for callers in 2..=64 {
        let line = Line::start(true);
        let back: Vec<_> = (0..callers).map(|caller| line.come_back(ms(1 + caller % 3), 50)).collect();
        futures::future::join_all(back).await;
        let entries = line.entries();
        let callers = usize::try_from(callers).unwrap();
        assert!(entries[5..45].iter().all(|calls| *calls == callers), "{callers}: {entries:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_comes_while_all_is_idle_is_proposed_at_once() {
    let line = Line::start(true);
    let crowd: Vec<_> = (0..16).map(|_| line.come_back(ms(1), 20)).collect();
    futures::future::join_all(crowd).await;
    for idle in [2 * ENTRY, 3 * ENTRY, 100 * ENTRY] {
        tokio::time::sleep(idle).await;
        assert_eq!(line.call().await, ENTRY);
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_come_evenly_are_hardly_delayed() {
    for every in 1..=20 {
        let gaps = || std::iter::repeat_n(ms(every), 2_000);
        let with = mean(&Line::start(true).come_by_themselves(gaps()).await);
        let without = mean(&Line::start(false).come_by_themselves(gaps()).await);
        assert!(with <= without + ENTRY / 16, "every {every} ms: {with:?} instead of {without:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_come_by_chance_are_hardly_delayed() {
    let seed = seed();
    for a_thousand in [50, 100, 200, 400, 700] {
        // So many of a thousand milliseconds bring a call.
        let gaps = || {
            let mut random = StdRng::seed_from_u64(seed);
            std::iter::repeat_with(move || ms((1..).find(|_| random.random_ratio(a_thousand, 1_000)).unwrap_or(1)))
                .take(4_000)
        };
        let with = mean(&Line::start(true).come_by_themselves(gaps()).await);
        let without = mean(&Line::start(false).come_by_themselves(gaps()).await);
        assert!(with <= without + ENTRY / 16, "{a_thousand} a second: {with:?} instead of {without:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn callers_that_take_their_time_do_not_hold_up_the_others() {
    let rates = async |gathers| {
        let line = Line::start(gathers);
        let slow: Vec<_> = (0..8).map(|caller| line.come_back(ms(31 + caller), 100)).collect();
        let quick: Vec<_> = (0..8).map(|_| line.come_back(ms(1), 400)).collect();
        let quick = futures::future::join_all(quick).await.into_iter().flat_map(Result::unwrap).collect::<Vec<_>>();
        let slow = futures::future::join_all(slow).await.into_iter().flat_map(Result::unwrap).collect::<Vec<_>>();
        (mean(&quick), mean(&slow))
    };
    let (with, without) = (rates(true).await, rates(false).await);
    assert!(with.0 <= without.0, "{with:?} instead of {without:?}");
    assert!(with.1 <= without.1 + ENTRY / 2, "{with:?} instead of {without:?}");
}

#[tokio::test(start_paused = true)]
async fn who_stays_away_is_waited_for_a_few_times_only() {
    let line = Line::start(true);
    let left: Vec<_> = (0..15).map(|_| line.come_back(ms(1), 20)).collect();
    let stays = line.come_back(ms(1), 60);
    futures::future::join_all(left).await;
    let took = stays.await.unwrap();
    assert!(took.iter().all(|took| *took <= ENTRY * (MAX_TIMES + 2)), "{took:?}");
    assert!(took[30..].iter().all(|took| *took == ENTRY), "{took:?}");
}
