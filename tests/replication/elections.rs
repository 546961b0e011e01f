//! Who leads, and what becomes of the book when replicas end, come back, or lose sight of each other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use folio::replication::{Role, SubmitError};
use folio::store::EngineKind;

use crate::commands::{cent, heavy_cent, request};
use crate::harness::{Cluster, Part, Settings, eventually, in_a_moment};

const BOTH: [EngineKind; 2] = [EngineKind::Memory, EngineKind::Fjall];

#[test]
fn three_replicas_elect_one_leader_and_hold_the_same_book() {
    for engine in BOTH {
        let cluster = Cluster::start(Settings::of(engine, 3));
        for number in 1..=50 {
            // Any replica takes commands: followers forward them.
            cluster.decide_at(1 + number % 3, vec![cent(number)]);
        }
        cluster.agree();
        assert!(cluster.ids().into_iter().all(|id| cluster.cents(id) == 50));
        eventually("one leader, named by all", || {
            let named = |id: u64| cluster.node(id).leader().map(|leader| leader.replica_id);
            let leads = |id: &u64| cluster.node(*id).role() == Role::Leader;
            let leaders: Vec<u64> = cluster.ids().into_iter().filter(leads).collect();
            let [leader] = leaders[..] else { return None };
            cluster.ids().into_iter().all(|id| named(id) == Some(leader)).then_some(())
        });
    }
}

#[test]
fn another_replica_leads_within_three_seconds_of_the_leaders_end() {
    for engine in BOTH {
        let mut cluster = Cluster::start(Settings::of(engine, 3));
        for number in 1..=20 {
            cluster.decide(vec![cent(number)]);
        }
        let first = cluster.leader();
        cluster.kill(first);
        let killed = Instant::now();
        let second = cluster.leader_except(Some(first));
        cluster.decide(vec![cent(21)]);
        let took = killed.elapsed();
        assert!(took < Duration::from_secs(3), "{engine}: {took:?} until commands were answered again");
        assert_ne!(second, first);
        // What was acknowledged before is there, once.
        assert!(cluster.decide(vec![cent(20)])[0].replay_of.is_some());
        cluster.start_replica(first);
        cluster.agree();
        assert_eq!(cluster.cents(first), 21, "{engine}");
    }
}

#[test]
fn all_replicas_may_end_at_once_and_come_back() {
    for engine in BOTH {
        let mut cluster = Cluster::start(Settings::of(engine, 3));
        for round in 0..3 {
            for number in 1..=10 {
                cluster.decide(vec![cent(round * 10 + number)]);
            }
            for id in cluster.ids() {
                cluster.kill(id);
            }
            for id in cluster.ids() {
                cluster.start_replica(id);
            }
            // Every request is still known.
            let answers = cluster.decide((1..=(round + 1) * 10).map(cent).collect());
            assert!(answers.iter().all(|answer| answer.replay_of.is_some()), "{engine}: {answers:?}");
        }
        cluster.agree();
        assert_eq!(cluster.cents(1), 30, "{engine}");
    }
}

#[test]
fn a_power_cut_of_all_replicas_loses_nothing_that_was_acknowledged() {
    let mut cluster = Cluster::start(Settings::of(EngineKind::Memory, 3));
    for round in 0..4 {
        for number in 1..=10 {
            cluster.decide(vec![cent(round * 10 + number)]);
        }
        for id in cluster.ids() {
            cluster.cut_power(id);
        }
        for id in cluster.ids() {
            cluster.start_replica(id);
        }
        let answers = cluster.decide((1..=(round + 1) * 10).map(cent).collect());
        assert!(answers.iter().all(|answer| answer.replay_of.is_some()), "round {round}: {answers:?}");
    }
    cluster.agree();
}

#[test]
fn a_leader_without_a_quorum_decides_nothing_and_gives_way() {
    let cluster = Cluster::start(Settings::of(EngineKind::Memory, 3));
    cluster.decide(vec![cent(1)]);
    let old = cluster.leader();
    cluster.isolate(old);
    // More than may be in flight at once: all end as unknown, none is answered.
    let waiting: Vec<_> = (2..=10)
        .map(|number| {
            let node = Arc::clone(cluster.node(old));
            cluster.spawn(old, async move { node.submit(vec![cent(number)], in_a_moment(1_000)).await })
        })
        .collect();
    let new = cluster.leader_except(Some(old));
    for number in 101..=110 {
        cluster.decide_at(new, vec![cent(number)]);
    }
    for unknown in waiting {
        let error = cluster.on(old, unknown).unwrap().expect_err("decided without a quorum");
        assert!(matches!(error, SubmitError::Unknown(_)), "{error:?}");
    }
    assert_eq!(cluster.cents(old), 1);
    cluster.heal();
    cluster.agree();
    assert_eq!(cluster.cents(old), 11, "what the old leader could not decide must not come back");
    // Repeating the same ids resolves what was unknown; the old leader takes part in it.
    for number in 2..=10 {
        assert!(cluster.view(new).request(&request(number)).unwrap().is_none(), "request {number} came back");
        cluster.decide_at(old, vec![cent(number)]);
    }
    cluster.agree();
    assert_eq!(cluster.cents(new), 20);
}

#[test]
fn a_leader_that_was_replaced_and_caught_up_by_snapshot_can_lead_again() {
    let settings = Settings { snapshot_entries: 20, ..Settings::of(EngineKind::Memory, 3) };
    let mut cluster = Cluster::start(settings);
    let old = cluster.leader();
    cluster.isolate(old);
    // These fill all places in flight with entries that are never committed.
    for number in 1..=4 {
        cluster.submit(old, vec![cent(number)], 200).expect_err("decided without a quorum");
    }
    let new = cluster.leader_except(Some(old));
    for number in 101..=200 {
        cluster.decide_at(new, vec![cent(number)]);
    }
    let purged = eventually("the log to be purged", || {
        let purged = cluster.node(new).status().purged_index;
        (purged > cluster.node(old).status().last_log_index).then_some(purged)
    });
    cluster.heal();
    eventually("a snapshot to arrive", || (cluster.view(old).meta().installed_index >= purged).then_some(()));
    // The others end, one after another, until the old leader leads.
    let mut number = 300;
    for _ in 0..20 {
        let leader = cluster.leader();
        if leader == old {
            break;
        }
        cluster.kill(leader);
        cluster.leader_except(Some(leader));
        cluster.start_replica(leader);
        number += 1;
        cluster.decide(vec![cent(number)]);
    }
    assert_eq!(cluster.leader(), old, "the old leader was not elected again in twenty elections");
    for number in 401..=420 {
        cluster.decide_at(old, vec![cent(number)]);
    }
    cluster.agree();
}

#[test]
fn a_log_that_ends_below_the_book_is_refused() {
    for engine in BOTH {
        let mut cluster = Cluster::start(Settings::of(engine, 3));
        for number in 1..=10 {
            cluster.decide(vec![cent(number)]);
        }
        cluster.agree();
        let id = cluster.follower();
        cluster.kill(id);
        cluster.lose(id, Part::Log);
        let error = cluster.try_start(id).expect_err("started without its log").to_string();
        assert!(error.contains("entries that were acknowledged are missing"), "{engine}: {error}");
        assert!(error.contains("rebuild this replica from its peers"), "{engine}: {error}");
    }
}

#[test]
fn a_book_that_was_lost_is_built_again_from_a_whole_log() {
    for engine in BOTH {
        let mut cluster = Cluster::start(Settings::of(engine, 3));
        for number in 1..=10 {
            cluster.decide(vec![cent(number)]);
        }
        cluster.agree();
        let id = cluster.follower();
        cluster.kill(id);
        cluster.lose(id, Part::Book);
        cluster.start_replica(id);
        cluster.agree();
        assert_eq!(cluster.cents(id), 10, "{engine}");
    }
}

#[test]
fn a_link_that_swallows_what_is_sent_is_given_up_and_made_again() {
    let cluster = Cluster::start(Settings::of(EngineKind::Memory, 3));
    cluster.decide(vec![cent(1)]);
    for (number, lost) in [(2, cluster.leader()), (3, cluster.follower())] {
        cluster.swallow(lost);
        let leader = cluster.leader_except(Some(lost));
        cluster.decide_at(leader, vec![cent(number)]);
        cluster.heal();
        // All links of that time stay lost, so nobody hears of anything but over new ones.
        cluster.agree();
        assert_eq!(cluster.cents(lost), u128::from(number));
    }
}

#[test]
fn a_replica_that_is_behind_by_more_than_an_append_holds_catches_up_from_the_log() {
    let mut cluster = Cluster::start(Settings::of(EngineKind::Memory, 3));
    let away = cluster.follower();
    cluster.kill(away);
    // About a mebibyte each: more in all than an append holds, and than the log keeps in memory.
    for request in 0..32 {
        cluster.decide((1..=240).map(|number| heavy_cent(request * 1_000 + number)).collect());
    }
    cluster.start_replica(away);
    cluster.agree();
    assert_eq!(cluster.view(away).meta().installed_index, 0, "it caught up by snapshot, so this showed nothing");
    assert_eq!(cluster.cents(away), 32 * 240);
}
