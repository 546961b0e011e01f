//! What is committed, or believed to be, before the leader has synced or applied it: nobody is answered for it, no replica shows it, and no read waits for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use folio::replication::SubmitError;
use folio::store::{Engine, EngineKind};
use ledger::{Answer, Command};
use tokio::task::JoinHandle;

use crate::commands::{cent, cents};
use crate::harness::{Cluster, Part, Settings, eventually, in_a_moment};
use crate::reads::linearizable;
use crate::wrapped::{Before, Change, Gate, Wrapped};

/// Some heartbeats, each of which tells the followers of a commit if any does.
const A_WHILE: Duration = Duration::from_millis(500);
/// So many commands that they are applied on a thread of their own, which a gate can hold up alone.
pub const MANY: u64 = 400;
/// So many that they are also written to the log on a thread of their own.
const LARGE: u64 = 2_000;

/// Replicas, each with a gate before the changes of a kind to its log or its book.
pub struct Gated {
    pub cluster: Cluster,
    pub gates: BTreeMap<u64, Arc<Gate>>,
    /// What is behind the gates.
    engines: Arc<Mutex<BTreeMap<u64, Arc<dyn Engine>>>>,
}

impl Gated {
    pub fn start(gated: Part, change: Change) -> Gated {
        Gated::start_among(3, gated, change)
    }

    fn start_among(replicas: u64, gated: Part, change: Change) -> Gated {
        let gates: BTreeMap<u64, Arc<Gate>> = (1..=replicas).map(|id| (id, Arc::default())).collect();
        let (of, engines) = (gates.clone(), Arc::new(Mutex::new(BTreeMap::new())));
        let opened = Arc::clone(&engines);
        let wrap = move |id, part, inner: Arc<dyn Engine>| match &of[&id] {
            gate if part == gated => {
                opened.lock().unwrap().insert(id, Arc::clone(&inner));
                Arc::new(Wrapped { inner, before: Before::Gate(change, Arc::clone(gate)) }) as _
            }
            _ => inner,
        };
        let cluster = Cluster::start_wrapped(Settings::of(EngineKind::Memory, replicas), Arc::new(wrap));
        cluster.decide(vec![cent(1)]);
        let gated = Gated { cluster, gates, engines };
        // The first read of a term waits for all that is committed.
        gated.comes_to(1);
        gated
    }

    fn send(&self, id: u64, commands: Vec<Command>) -> JoinHandle<Result<Vec<Answer>, SubmitError>> {
        let node = Arc::clone(self.cluster.node(id));
        self.cluster.spawn(id, async move { node.submit(commands, in_a_moment(20_000)).await })
    }

    /// For a while all replicas show `expected` cents, and so do linearizable reads, which have their answer at once.
    #[track_caller]
    fn stays_at(&self, expected: u128) {
        let end = Instant::now() + A_WHILE;
        while Instant::now() < end {
            for id in self.cluster.ids() {
                assert_eq!(self.cluster.cents(id), expected, "replica {id}");
                let view = linearizable(&self.cluster, id, 1_000).expect("an answer");
                assert_eq!(cents(&view), expected, "a read at replica {id}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// All replicas and reads come to show `expected` cents.
    #[track_caller]
    pub fn comes_to(&self, expected: u128) {
        self.cluster.agree();
        for id in self.cluster.ids() {
            assert_eq!(self.cluster.cents(id), expected, "replica {id}");
            assert_eq!(cents(&linearizable(&self.cluster, id, 1_000).expect("an answer")), expected);
        }
    }
}

impl Drop for Gated {
    fn drop(&mut self) {
        // A test that failed must not leave threads behind that nobody can end.
        self.gates.values().for_each(|gate| gate.open());
    }
}

#[test]
fn what_the_leader_has_not_synced_is_answered_shown_and_told_by_nobody() {
    let gated = Gated::start(Part::Log, Change::Sync);
    let leader = gated.cluster.leader();
    gated.gates[&leader].shut();
    let pending = gated.send(leader, vec![cent(2)]);
    eventually("the entry at the followers, synced", || {
        let end = gated.cluster.node(leader).status().last_log_index;
        let has_all = |id: &u64| gated.cluster.node(*id).status().last_log_index == end;
        (gated.gates[&leader].waiting() == 1 && gated.cluster.ids().iter().all(has_all)).then_some(())
    });
    gated.stays_at(1);
    assert!(!pending.is_finished(), "an answer for what a power cut can take");
    gated.gates[&leader].open();
    assert_eq!(gated.cluster.on(leader, pending).unwrap().unwrap().len(), 1);
    gated.comes_to(2);
}

#[test]
fn what_the_leader_has_not_applied_is_shown_by_no_follower_and_no_read_waits_for_it() {
    let gated = Gated::start(Part::Book, Change::Write);
    let leader = gated.cluster.leader();
    gated.gates[&leader].shut();
    let pending = gated.send(leader, (2..=MANY).map(cent).collect());
    eventually("the entry committed, and the leader at work on it", || {
        (gated.gates[&leader].waiting() == 1).then_some(())
    });
    gated.stays_at(1);
    assert!(!pending.is_finished());
    gated.gates[&leader].open();
    gated.cluster.on(leader, pending).unwrap().unwrap();
    gated.comes_to(u128::from(MANY));
}

#[test]
fn a_read_at_the_leader_waits_for_no_append_that_its_followers_are_at_work_on() {
    let gated = Gated::start(Part::Log, Change::Sync);
    let leader = gated.cluster.leader();
    let followers: Vec<u64> = gated.cluster.ids().into_iter().filter(|id| *id != leader).collect();
    followers.iter().for_each(|id| gated.gates[id].shut());
    let pending = gated.send(leader, (2..=LARGE).map(cent).collect());
    eventually("the followers at work on the entry", || {
        followers.iter().all(|id| gated.gates[id].waiting() == 1).then_some(())
    });
    let view = linearizable(&gated.cluster, leader, 1_000).expect("an answer");
    assert_eq!(cents(&view), 1);
    assert!(!pending.is_finished());
    followers.iter().for_each(|id| gated.gates[id].open());
    gated.cluster.on(leader, pending).unwrap().unwrap();
    gated.comes_to(u128::from(LARGE));
}

#[test]
fn a_new_leader_shows_nothing_before_it_has_applied_what_the_one_before_it_answered() {
    let mut gated = Gated::start(Part::Book, Change::Write);
    let leader = gated.cluster.leader();
    let others: Vec<u64> = gated.cluster.ids().into_iter().filter(|id| *id != leader).collect();
    others.iter().for_each(|id| gated.gates[id].shut());
    gated.cluster.decide_at(leader, (2..=MANY).map(cent).collect());
    eventually("the followers at work on the entry", || {
        others.iter().all(|id| gated.gates[id].waiting() == 1).then_some(())
    });
    gated.cluster.kill(leader);
    let new = gated.cluster.leader_except(Some(leader));
    let end = Instant::now() + A_WHILE;
    while Instant::now() < end {
        let error = linearizable(&gated.cluster, new, 100).err().expect("it cannot know yet");
        assert_eq!(error, SubmitError::NoLeader);
    }
    others.iter().for_each(|id| gated.gates[id].open());
    let view = eventually("a read", || linearizable(&gated.cluster, new, 1_000).ok());
    assert_eq!(cents(&view), u128::from(MANY));
}

#[test]
fn a_replica_that_is_alone_shows_nothing_after_a_restart_before_it_has_applied_what_it_had_answered() {
    let mut gated = Gated::start_among(1, Part::Book, Change::Write);
    gated.engines.lock().unwrap()[&1].sync().unwrap();
    gated.cluster.decide((2..=MANY).map(cent).collect());
    // The log is synced, of the book only what came before: the rest is to be applied again.
    gated.cluster.cut_power(1);
    gated.gates[&1].shut();
    gated.cluster.start_replica(1);
    eventually("the replica at work on its log", || (gated.gates[&1].waiting() == 1).then_some(()));
    let end = Instant::now() + A_WHILE;
    while Instant::now() < end {
        let error = linearizable(&gated.cluster, 1, 100).err().expect("it cannot know yet");
        assert_eq!(error, SubmitError::NoLeader);
    }
    gated.gates[&1].open();
    let view = eventually("a read", || linearizable(&gated.cluster, 1, 1_000).ok());
    assert_eq!(cents(&view), u128::from(MANY));
}

/// A round that gave up before the book was far enough has confirmed nothing: the reads after it wait as well.
#[test]
fn a_replica_that_is_alone_shows_nothing_after_a_round_that_gave_up() {
    // Longer than a round waits for the book.
    const MORE_THAN_A_ROUND_MS: u64 = 12_000;
    let mut gated = Gated::start_among(1, Part::Book, Change::Write);
    gated.engines.lock().unwrap()[&1].sync().unwrap();
    gated.cluster.decide((2..=MANY).map(cent).collect());
    gated.cluster.cut_power(1);
    gated.gates[&1].shut();
    gated.cluster.start_replica(1);
    eventually("the replica at work on its log", || (gated.gates[&1].waiting() == 1).then_some(()));
    let error = linearizable(&gated.cluster, 1, MORE_THAN_A_ROUND_MS).err().expect("the book is behind");
    assert_eq!(error, SubmitError::NoLeader);
    for _ in 0..5 {
        let error = linearizable(&gated.cluster, 1, 100).err().expect("it cannot know yet");
        assert_eq!(error, SubmitError::NoLeader);
    }
    gated.gates[&1].open();
    let view = eventually("a read", || linearizable(&gated.cluster, 1, 1_000).ok());
    assert_eq!(cents(&view), u128::from(MANY));
}
