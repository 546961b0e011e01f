//! The proposer: what waits shares an entry, what is too much is refused, what is late is dropped or unknown, and never anything in between.

use std::collections::BTreeSet;
use std::sync::Arc;

use folio::replication::{ProposerBounds, SubmitError};
use folio::store::EngineKind;
use ledger::Answer;
use tokio::task::JoinHandle;

use crate::commands::{cent, heavy_cent, is_accepted, opening, request};
use crate::harness::{Cluster, Settings, eventually, in_a_moment};
use crate::wrapped::{Before, Gate, Wrapped};

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
        let wrap = move |inner| Arc::new(Wrapped { inner, before: Before::Gate(Arc::clone(&for_log)) }) as _;
        let settings = Settings { bounds, ..Settings::of(EngineKind::Memory, 1) };
        let mut cluster = Cluster::found(settings, Arc::new(wrap));
        cluster.start_replica(1);
        cluster.leader();
        cluster.decide(opening());
        Held { cluster, gate }
    }

    fn send(&self, commands: Vec<ledger::Command>, timeout_ms: u64) -> Pending {
        let node = Arc::clone(self.cluster.node(1));
        self.cluster.spawn(1, async move { node.submit(commands, in_a_moment(timeout_ms)).await })
    }

    fn answer(&self, pending: Pending) -> Result<Vec<Answer>, SubmitError> {
        self.cluster.on(1, pending).unwrap()
    }

    /// Shuts the gate and fills every place in flight.
    fn hold_up(&self, numbers: std::ops::RangeInclusive<u64>) -> Vec<Pending> {
        self.gate.shut();
        let mut pending = Vec::new();
        for number in numbers {
            pending.push(self.send(vec![cent(number)], 20_000));
            // One after another, so that they do not share an entry.
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
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
    let held = Held::start(ProposerBounds { fold_commands: 50, ..ProposerBounds::default() });
    let mut pending = held.hold_up(1..=2);
    pending.extend((3..=202).map(|number| held.send(vec![cent(number)], 20_000)));
    std::thread::sleep(std::time::Duration::from_millis(100));
    held.gate.open();
    let answers: Vec<Vec<Answer>> = pending.into_iter().map(|one| held.answer(one).unwrap()).collect();
    assert!(answers.iter().flatten().all(is_accepted));
    // Two alone, two hundred by fifty.
    assert_eq!(indexes(&answers).len(), 2 + 4, "{:?}", indexes(&answers));
    let places: BTreeSet<_> =
        answers.iter().flatten().map(|answer| (answer.point.index, answer.point.position)).collect();
    assert_eq!(places.len(), 202, "each answer has a place of its own");
    assert_eq!(held.cluster.cents(1), 202);
}

#[test]
fn a_request_larger_than_an_entry_may_fold_goes_alone_and_in_one_piece() {
    let held = Held::start(ProposerBounds { fold_commands: 10, fold_bytes: 2_000, ..ProposerBounds::default() });
    let mut pending = held.hold_up(1..=2);
    pending.push(held.send(vec![cent(3)], 20_000));
    std::thread::sleep(std::time::Duration::from_millis(20));
    pending.push(held.send((101..=200).map(cent).collect(), 20_000));
    std::thread::sleep(std::time::Duration::from_millis(20));
    pending.push(held.send(vec![cent(4)], 20_000));
    pending.push(held.send(vec![heavy_cent(5)], 20_000));
    std::thread::sleep(std::time::Duration::from_millis(100));
    held.gate.open();
    let answers: Vec<Vec<Answer>> = pending.into_iter().map(|one| held.answer(one).unwrap()).collect();
    assert_eq!(indexes(&answers[3..4]).len(), 1, "a request is split over entries");
    assert_eq!(answers[3].len(), 100);
    let large = answers[3][0].point.index;
    assert!(answers[..3].iter().chain(&answers[4..]).flatten().all(|answer| answer.point.index != large));
    assert_ne!(answers[4][0].point.index, answers[5][0].point.index, "the bound in bytes was not kept");
    assert!(answers[4][0].point.index > large, "the order was not kept");
}

#[test]
fn more_requests_than_may_wait_are_refused_as_overload_and_are_safe_to_repeat() {
    let held = Held::start(ProposerBounds { waiting_requests: 8, ..ProposerBounds::default() });
    let in_flight = held.hold_up(1..=2);
    let pending: Vec<Pending> = (3..=40).map(|number| held.send(vec![cent(number)], 20_000)).collect();
    eventually("overload", || pending.iter().any(|one| one.is_finished()).then_some(()));
    std::thread::sleep(std::time::Duration::from_millis(100));
    held.gate.open();
    let results: Vec<_> = in_flight.into_iter().chain(pending).map(|one| held.answer(one)).collect();
    let refused = results.iter().filter(|result| **result == Err(SubmitError::Overloaded)).count();
    let accepted = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(refused + accepted, 40, "{results:?}");
    // Those that wait, one in the hands of the proposer, and two in flight.
    assert!((8..=12).contains(&accepted), "{accepted} were accepted");
    assert_eq!(held.cluster.cents(1), accepted as u128, "what was refused as overload took effect");
    held.cluster.decide((1..=40).map(cent).collect());
    assert_eq!(held.cluster.cents(1), 40);
}

#[test]
fn bytes_that_wait_are_bounded_also_when_nobody_waits_for_them_any_more() {
    let held = Held::start(ProposerBounds { waiting_bytes: 20_000, ..ProposerBounds::default() });
    let in_flight = held.hold_up(1..=2);
    // About 4 300 bytes each.
    for number in 3..=6 {
        assert!(matches!(held.answer(held.send(vec![heavy_cent(number)], 50)), Err(SubmitError::Unknown(_))));
    }
    // All who sent them have gone, but the bytes are still here.
    assert_eq!(held.answer(held.send(vec![heavy_cent(7)], 50)), Err(SubmitError::Overloaded));
    held.gate.open();
    for pending in in_flight {
        assert!(is_accepted(&held.answer(pending).unwrap()[0]));
    }
    // Dropped before they were proposed; their bytes are free again.
    held.cluster.decide(vec![heavy_cent(7)]);
    assert_eq!(held.cluster.cents(1), 3);
    for number in 3..=6 {
        assert!(held.cluster.decide(vec![heavy_cent(number)])[0].replay_of.is_none());
    }
}

#[test]
fn a_deadline_in_flight_leaves_the_outcome_unknown_until_it_is_looked_up_or_repeated() {
    let held = Held::start(ProposerBounds::default());
    held.gate.shut();
    let in_flight = held.send(vec![cent(1)], 100);
    assert!(matches!(held.answer(in_flight), Err(SubmitError::Unknown(_))));
    let never_proposed = held.send(vec![cent(2)], 100);
    assert!(matches!(held.answer(never_proposed), Err(SubmitError::Unknown(_))));
    assert!(held.cluster.view(1).request(&request(1)).unwrap().is_none(), "not decided yet");
    held.gate.open();
    eventually("the outcome", || held.cluster.view(1).request(&request(1)).unwrap());
    let repeated = held.cluster.decide(vec![cent(1)]);
    assert!(repeated[0].replay_of.is_some(), "{repeated:?}");
    held.cluster.decide(vec![cent(2)]);
    assert_eq!(held.cluster.cents(1), 2);
}

#[test]
fn a_deadline_that_has_passed_already_proposes_nothing() {
    let held = Held::start(ProposerBounds::default());
    let before = held.cluster.node(1).status().last_log_index;
    for number in 1..=20 {
        let error = held.answer(held.send(vec![cent(number)], 0)).expect_err("answered after its deadline");
        assert!(matches!(error, SubmitError::Unknown(_) | SubmitError::NotProposed), "{error:?}");
    }
    held.cluster.decide(vec![cent(21)]);
    assert_eq!(held.cluster.node(1).status().last_log_index, before + 1);
    assert_eq!(held.cluster.cents(1), 1);
}
