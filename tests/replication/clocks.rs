//! Clocks that are wrong: what a replica whose clock cannot be believed refuses, what it still
//! answers, and what it tells.

use folio::replication::SubmitError;
use folio::store::EngineKind;
use ledger::limits::{MAX_STAMP_NS, MAX_TIMEOUT_NS, MIN_STAMP_NS};
use ledger::{Accepted, Answer, Command, LogTime, Outcome, TransactionState};

use crate::commands::{cent, cents, is_accepted, reserve, transaction};
use crate::harness::{Clock, Cluster, Settings, eventually};
use crate::reads::linearizable;

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3_600 * SECOND;

/// Asks a replica until it is refused for the sake of a clock, and gives whose that is. Nothing
/// else but the want of a leader may come in between.
#[track_caller]
fn refused(cluster: &Cluster, id: u64, command: &Command) -> (u64, String) {
    eventually("a refusal", || match cluster.submit(id, vec![command.clone()], 1_000) {
        Err(SubmitError::ClockSkew { replica_id, detail }) => Some((replica_id, detail)),
        Err(SubmitError::NoLeader | SubmitError::NotLeader { .. }) => None,
        other => panic!("replica {id}: {other:?}"),
    })
}

fn state(cluster: &Cluster, id: u64, number: u64) -> TransactionState {
    let view = eventually("a read", || linearizable(cluster, id, 1_000).ok());
    view.transaction(&transaction(number)).unwrap().unwrap().state
}

#[test]
fn a_leader_whose_clock_is_not_believed_books_nothing_and_answers_questions() {
    for replicas in [1, 3] {
        let cluster = Cluster::start(Settings::of(EngineKind::Memory, replicas));
        cluster.decide(vec![cent(1), reserve(2, HOUR)]);
        for (round, wrong) in (10..).zip([0, MIN_STAMP_NS - 1, MAX_STAMP_NS + 1, u64::MAX - 1, u64::MAX]) {
            cluster.set_clock(Clock::At(wrong));
            for id in cluster.ids() {
                let (whose, detail) = refused(&cluster, id, &cent(round));
                assert_eq!(whose, cluster.leader(), "{detail}");
                assert!(detail.contains("2020-01-01T00:00:00Z and 2200-01-01T00:00:00Z"), "{detail}");
                // What is there is shown, and a hold ends when the log's time goes on.
                let view = eventually("a read", || linearizable(&cluster, id, 1_000).ok());
                assert_eq!(u64::try_from(cents(&view)).unwrap(), round - 9, "replica {id}");
                assert_eq!(state(&cluster, id, 2), TransactionState::Tried, "replica {id} at {wrong}");
            }
            eventually("the status tells", || cluster.node(cluster.leader()).status().clock.refused);
            cluster.set_clock(Clock::System);
            // The refusal was none of the book's: the same request is decided now.
            assert!(cluster.decide(vec![cent(round)])[0].replay_of.is_none());
        }
        eventually("the clock is believed again", || {
            cluster.node(cluster.leader()).status().clock.refused.is_none().then_some(())
        });
        cluster.agree();
    }
}

#[test]
fn a_replica_starts_with_a_clock_that_is_not_believed_and_books_once_it_is_set() {
    let mut cluster = Cluster::start(Settings::of(EngineKind::Fjall, 1));
    cluster.decide(vec![cent(1)]);
    cluster.set_clock(Clock::At(u64::MAX));
    cluster.kill(1);
    cluster.start_replica(1);
    refused(&cluster, 1, &cent(2));
    assert!(cluster.node(1).status().clock.refused.unwrap().contains("2554 or after"));
    cluster.set_clock(Clock::System);
    cluster.decide(vec![cent(2)]);
    assert_eq!(cluster.cents(1), 2);
}

fn deadline(answer: &Answer) -> LogTime {
    let Outcome::Accepted(Accepted::Tried(_, Some(deadline))) = &answer.outcome else { panic!("{answer:?}") };
    *deadline
}

#[test]
fn the_longest_hold_at_the_latest_time_ends_when_it_should() {
    let cluster = Cluster::start(Settings::of(EngineKind::Memory, 1));
    cluster.set_clock(Clock::At(MAX_STAMP_NS));
    let tried = cluster.decide(vec![reserve(1, MAX_TIMEOUT_NS), reserve(2, 1)]);
    assert_eq!(tried[0].point.time, LogTime(MAX_STAMP_NS));
    assert_eq!(deadline(&tried[0]), LogTime(MAX_STAMP_NS + MAX_TIMEOUT_NS));
    // The log's time goes on by single nanoseconds, though the clock stands.
    assert_eq!(tried[1].point.time, LogTime(MAX_STAMP_NS + 1));
    let answers = cluster.decide(vec![cent(3), cent(4)]);
    assert!(answers.iter().all(is_accepted));
    assert_eq!(state(&cluster, 1, 2), TransactionState::Expired);
    assert_eq!(state(&cluster, 1, 1), TransactionState::Tried);
    // And from an earlier time again, which is no going back.
    cluster.set_clock(Clock::System);
    let later = cluster.decide(vec![cent(5)]);
    assert!(later[0].point.time > answers[1].point.time);
    cluster.agree();
}

#[test]
fn a_clock_that_jumps_and_a_log_that_is_ahead_are_told_in_the_status() {
    let cluster = Cluster::start(Settings::of(EngineKind::Memory, 3));
    cluster.decide(vec![cent(1)]);
    let clocks = || cluster.ids().into_iter().map(|id| cluster.node(id).status().clock).collect::<Vec<_>>();
    assert!(clocks().iter().all(|clock| clock.last_jump.is_none() && clock.log_ahead_ns == 0), "{:?}", clocks());
    let hour = i64::try_from(HOUR).unwrap();
    let slack = i64::try_from(2 * SECOND).unwrap();
    let jumped = |by_ns: i64| {
        eventually("all tell of the jump", || {
            let told =
                clocks().iter().all(|clock| clock.last_jump.is_some_and(|jump| (jump.by_ns - by_ns).abs() < slack));
            told.then_some(())
        });
    };
    cluster.set_clock(Clock::Ahead(-hour));
    jumped(-hour);
    for clock in clocks() {
        let off = i64::try_from(clock.log_ahead_ns).unwrap() - hour;
        // The log's last record is from a few seconds ago.
        assert!((-30 * slack..=0).contains(&off), "{clock:?}");
    }
    // Money moves on meanwhile.
    cluster.decide(vec![cent(2)]);
    cluster.set_clock(Clock::System);
    jumped(hour);
    eventually("nothing is ahead any more", || clocks().iter().all(|clock| clock.log_ahead_ns == 0).then_some(()));
    cluster.agree();
}
