//! The proposer: what waits shares an entry, what is too much is refused, what is late is dropped or unknown, and never anything in between.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use folio::replication::{ProposerBounds, SubmitError, Threads};
use folio::store::{Engine, EngineKind};
use ledger::Answer;
use tokio::task::JoinHandle;

use crate::commands::{cent, heavy_cent, is_accepted, request};
use crate::harness::{Cluster, Part, Settings, eventually, in_a_moment};
use crate::wrapped::{Before, Change, Fault, Gate, Wrapped};

/// One entry in flight at once.
fn bounds() -> ProposerBounds {
    ProposerBounds { entries_in_flight: 1, ..ProposerBounds::default() }
}

type Pending = JoinHandle<Result<Vec<Answer>, SubmitError>>;

/// One replica whose log can be held up, so that it is certain what waits.
struct Held {
    cluster: Cluster,
    gate: Arc<Gate>,
}

impl Held {
    fn start(bounds: ProposerBounds) -> Held {
        let gate = Arc::new(Gate::default());
        let for_log = Arc::clone(&gate);
        let wrap = move |_, part, inner: Arc<dyn Engine>| match part {
            Part::Log => {
                Arc::new(Wrapped { inner, before: Before::Gate(Change::Sync, Arc::clone(&for_log)) }) as Arc<dyn Engine>
            }
            Part::Book => inner,
        };
        let settings = Settings { bounds, ..Settings::of(EngineKind::Memory, 1) };
        let cluster = Cluster::start_wrapped(settings, Arc::new(wrap));
        Held { cluster, gate }
    }

    /// Sends commands, and returns when they stand in line: what is sent later comes later.
    fn send(&self, commands: Vec<ledger::Command>, timeout_ms: u64) -> Pending {
        let node = Arc::clone(self.cluster.node(1));
        let (tell, told) = std::sync::mpsc::channel();
        let pending = self.cluster.spawn(1, async move {
            let mut submit = std::pin::pin!(node.submit(commands, in_a_moment(timeout_ms)));
            let at_once = futures::poll!(&mut submit);
            tell.send(()).unwrap();
            match at_once {
                Poll::Ready(result) => result,
                Poll::Pending => submit.await,
            }
        });
        told.recv().unwrap();
        pending
    }

    fn answer(&self, pending: Pending) -> Result<Vec<Answer>, SubmitError> {
        self.cluster.on(1, pending).unwrap()
    }

    /// Shuts the gate and fills the only place in flight.
    fn hold_up(&self, number: u64) -> Pending {
        self.gate.shut();
        let pending = self.send(vec![cent(number)], 20_000);
        eventually("an entry in flight", || (self.gate.waiting() == 1).then_some(()));
        pending
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Threads that wait at the gate would wait for good.
        self.gate.open();
    }
}

fn indexes(answers: &[Vec<Answer>]) -> BTreeSet<u64> {
    answers.iter().flatten().map(|answer| answer.point.index).collect()
}

#[test]
fn commands_that_wait_share_entries_up_to_the_bound_in_the_order_they_came() {
    let held = Held::start(ProposerBounds { fold_commands: 50, ..bounds() });
    let mut pending = vec![held.hold_up(1)];
    pending.extend((2..=201).map(|number| held.send(vec![cent(number)], 20_000)));
    held.gate.open();
    let answers: Vec<Vec<Answer>> = pending.into_iter().map(|one| held.answer(one).unwrap()).collect();
    assert!(answers.iter().flatten().all(is_accepted));
    // One alone, two hundred by fifty.
    assert_eq!(indexes(&answers).len(), 1 + 4, "{:?}", indexes(&answers));
    let places: Vec<_> = answers.iter().flatten().map(|answer| (answer.point.index, answer.point.position)).collect();
    assert!(places.is_sorted_by(|one, next| one < next), "{places:?}");
    assert_eq!(held.cluster.cents(1), 201);
}

#[test]
fn a_request_larger_than_an_entry_may_fold_goes_alone_and_in_one_piece() {
    let held = Held::start(ProposerBounds { fold_commands: 10, fold_bytes: 2_000, ..bounds() });
    let pending = [
        held.hold_up(1),
        held.send(vec![cent(2)], 20_000),
        held.send((101..=200).map(cent).collect(), 20_000),
        held.send(vec![cent(3)], 20_000),
        held.send(vec![heavy_cent(4)], 20_000),
        held.send(vec![cent(5), cent(6)], 20_000),
        held.send(vec![cent(7)], 20_000),
    ];
    held.gate.open();
    let answers: Vec<Vec<Answer>> = pending.into_iter().map(|one| held.answer(one).unwrap()).collect();
    let entries: Vec<BTreeSet<u64>> = answers.iter().map(|answers| indexes(std::slice::from_ref(answers))).collect();
    assert!(entries.iter().all(|indexes| indexes.len() == 1), "a request is split over entries: {entries:?}");
    let first = *entries[0].first().unwrap();
    let entries: Vec<u64> = entries.iter().map(|indexes| indexes.first().unwrap() - first).collect();
    assert_eq!(entries, [0, 1, 2, 3, 4, 5, 5]);
}

#[test]
fn more_requests_than_may_wait_are_refused_as_overload_and_are_safe_to_repeat() {
    let held = Held::start(ProposerBounds { waiting_requests: 8, ..bounds() });
    let mut pending = vec![held.hold_up(1)];
    pending.extend((2..=40).map(|number| held.send(vec![cent(number)], 20_000)));
    held.gate.open();
    let results: Vec<_> = pending.into_iter().map(|one| held.answer(one)).collect();
    let refused = results.iter().filter(|result| **result == Err(SubmitError::Overloaded)).count();
    let accepted = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(refused + accepted, 40, "{results:?}");
    // One in flight, one in the hands of the proposer if it was quick, and those that wait.
    assert!((9..=10).contains(&accepted), "{accepted} were accepted");
    assert_eq!(held.cluster.cents(1), accepted as u128, "what was refused as overload took effect");
    held.cluster.decide((1..=8).map(cent).collect());
    for number in 9..=40 {
        held.cluster.decide(vec![cent(number)]);
    }
    assert_eq!(held.cluster.cents(1), 40);
}

#[test]
fn bytes_that_wait_are_bounded_also_when_nobody_waits_for_them_any_more() {
    let held = Held::start(ProposerBounds { waiting_bytes: 20_000, ..bounds() });
    let in_flight = held.hold_up(1);
    // About 4 300 bytes each.
    for number in 2..=5 {
        assert!(matches!(held.answer(held.send(vec![heavy_cent(number)], 50)), Err(SubmitError::Unknown(_))));
    }
    // All who sent them have gone, but the bytes are still here.
    assert_eq!(held.answer(held.send(vec![heavy_cent(6)], 50)), Err(SubmitError::Overloaded));
    held.gate.open();
    assert!(is_accepted(&held.answer(in_flight).unwrap()[0]));
    // Dropped before they were proposed; their bytes are free again.
    held.cluster.decide(vec![heavy_cent(6)]);
    let view = held.cluster.view(1);
    assert!((2..=5).all(|number| view.request(&request(number)).unwrap().is_none()));
    assert_eq!(held.cluster.cents(1), 2);
}

#[test]
fn a_deadline_in_flight_leaves_the_outcome_unknown_until_it_is_looked_up_or_repeated() {
    let held = Held::start(bounds());
    held.gate.shut();
    let in_flight = held.send(vec![cent(1)], 100);
    assert!(matches!(held.answer(in_flight), Err(SubmitError::Unknown(_))));
    let never_proposed = held.send(vec![cent(2)], 100);
    assert!(matches!(held.answer(never_proposed), Err(SubmitError::Unknown(_))));
    assert!(held.cluster.view(1).request(&request(1)).unwrap().is_none(), "not decided yet");
    held.gate.open();
    eventually("the outcome", || held.cluster.view(1).request(&request(1)).unwrap());
    assert!(held.cluster.decide(vec![cent(1)])[0].replay_of.is_some());
    assert!(held.cluster.view(1).request(&request(2)).unwrap().is_none(), "proposed after its deadline");
    held.cluster.decide(vec![cent(2)]);
    assert_eq!(held.cluster.cents(1), 2);
}

#[test]
fn a_deadline_that_has_passed_already_proposes_nothing() {
    let held = Held::start(bounds());
    let before = held.cluster.view(1).index();
    for number in 1..=20 {
        let error = held.answer(held.send(vec![cent(number)], 0)).expect_err("answered after its deadline");
        assert!(matches!(error, SubmitError::Unknown(_) | SubmitError::NotProposed), "{error:?}");
    }
    assert_eq!(held.cluster.decide(vec![cent(21)])[0].point.index, before + 1);
    assert_eq!(held.cluster.cents(1), 1);
}

#[test]
fn a_replica_whose_engine_fails_or_panics_stops_and_says_why() {
    let faults = [Fault::Fails, Fault::Panics];
    for ((threads, part), broken) in [Threads::Own, Threads::Inline]
        .into_iter()
        .flat_map(|threads| [(threads, Part::Log), (threads, Part::Book)])
        .flat_map(|place| faults.map(|fault| (place, fault)))
    {
        let fault = Arc::new(Mutex::new(Fault::None));
        let for_part = Arc::clone(&fault);
        let wrap = move |_, of, inner: Arc<dyn Engine>| {
            let before = Before::Fault(Arc::clone(&for_part));
            if of == part { Arc::new(Wrapped { inner, before }) as Arc<dyn Engine> } else { inner }
        };
        let settings = Settings { threads, ..Settings::of(EngineKind::Memory, 1) };
        let cluster = Cluster::start_wrapped(settings, Arc::new(wrap));
        *fault.lock().unwrap() = broken;
        let what = format!("{broken:?} in the {part:?} with {threads:?}");
        cluster.submit(1, vec![cent(1)], 2_000).expect_err("answered by a broken replica");
        eventually(&what, || (!cluster.fatal.lock().unwrap().is_empty()).then_some(()));
    }
}
