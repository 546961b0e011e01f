//! A replica that was away for longer than the log reaches back, and a log that stays short.

use std::sync::Arc;
use std::time::Duration;

use folio::store::{Engine, EngineKind};

use crate::commands::cent;
use crate::harness::{Cluster, Part, Settings, eventually};
use crate::wrapped::{Before, Change, Gate, Wrapped};

const SNAPSHOT_ENTRIES: u64 = 40;

fn settings(engine: EngineKind) -> Settings {
    Settings { snapshot_entries: SNAPSHOT_ENTRIES, ..Settings::of(engine, 3) }
}

/// Decides cents one entry each.
fn fill(cluster: &Cluster, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        cluster.decide(vec![cent(number)]);
    }
}

fn catches_up_by_snapshot(engine: EngineKind) {
    let mut cluster = Cluster::start(settings(engine));
    fill(&cluster, 1..=20);
    let away = cluster.follower();
    let had = cluster.node(away).status().last_log_index;
    cluster.kill(away);
    fill(&cluster, 21..=250);
    eventually("the log to be purged past what the replica has", || {
        (cluster.node(cluster.leader()).status().purged_index > had + 1).then_some(())
    });
    cluster.start_replica(away);
    cluster.agree();
    let installed = cluster.view(away).meta().installed_index;
    assert!(installed > had, "{engine}: it caught up by the log, so this showed nothing");
    assert_eq!(cluster.cents(away), 250, "{engine}");

    // What was installed survives a restart, takes part, and knows every request.
    cluster.kill(away);
    cluster.start_replica(away);
    fill(&cluster, 251..=260);
    cluster.agree();
    assert!(cluster.view(away).meta().installed_index >= installed, "{engine}");
    for other in cluster.ids().into_iter().filter(|id| *id != away) {
        cluster.kill(other);
        cluster.start_replica(other);
    }
    let answers = cluster.decide((1..=260).map(cent).collect());
    assert!(answers.iter().all(|answer| answer.replay_of.is_some()), "{engine}");
    cluster.agree();
    assert_eq!(cluster.cents(away), 260, "{engine}");
}

#[test]
fn a_replica_that_was_away_too_long_catches_up_by_snapshot_in_memory() {
    catches_up_by_snapshot(EngineKind::Memory);
}

#[test]
fn a_replica_that_was_away_too_long_catches_up_by_snapshot_on_fjall() {
    catches_up_by_snapshot(EngineKind::Fjall);
}

#[test]
fn a_replica_that_was_away_too_long_catches_up_by_snapshot_on_sled() {
    catches_up_by_snapshot(EngineKind::Sled);
}

#[test]
fn a_log_that_grows_beyond_its_bytes_is_purged_to_half_of_them_however_few_its_entries() {
    let mut cluster = Cluster::start(Settings { log_bytes: 256 * 1024, ..Settings::of(EngineKind::Fjall, 3) });
    let mut decided = 0;
    let mut decide = |cluster: &Cluster, count: u64| {
        for _ in 0..count {
            cluster.decide((decided + 1..=decided + 1_000).map(cent).collect());
            decided += 1_000;
            // A replica that falls behind what is kept is given a snapshot, and then has no log at all.
            cluster.agree();
        }
        decided
    };
    decide(&cluster, 12);
    for id in cluster.ids() {
        eventually("every replica's log to be purged", || (cluster.node(id).status().purged_index > 5).then_some(()));
        assert_eq!(cluster.view(id).meta().installed_index, 0, "replica {id} was behind, so its log shows nothing");
        let status = cluster.node(id).status();
        assert!(status.last_log_index - status.purged_index >= 2, "more was purged than was due: {status:?}");
    }
    // What is left serves replicas that start again.
    for id in cluster.ids() {
        cluster.kill(id);
        cluster.start_replica(id);
    }
    let all = decide(&cluster, 1);
    assert_eq!(cluster.cents(cluster.leader()), u128::from(all));
}

#[test]
fn a_replica_killed_while_it_installs_a_snapshot_comes_back_and_catches_up() {
    let gate = Arc::new(Gate::default());
    let for_book = Arc::clone(&gate);
    let wrap = move |id, part, inner: Arc<dyn Engine>| match (id, part) {
        (3, Part::Book) => {
            Arc::new(Wrapped { inner, before: Before::Gate(Change::Sync, Arc::clone(&for_book)) }) as Arc<dyn Engine>
        }
        _ => inner,
    };
    let mut cluster = Cluster::start_wrapped(settings(EngineKind::Memory), Arc::new(wrap));
    fill(&cluster, 1..=10);
    cluster.agree();
    cluster.kill(3);
    fill(&cluster, 11..=200);
    let purged = eventually("a purge", || {
        let purged = cluster.node(cluster.leader()).status().purged_index;
        (purged > 60).then_some(purged)
    });
    for _ in 0..2 {
        gate.shut();
        cluster.start_replica(3);
        eventually("a snapshot to be put in force", || (gate.waiting() > 0).then_some(()));
        // Whatever else the replica does with a snapshot on its way, it does now.
        std::thread::sleep(Duration::from_millis(300));
        assert!(cluster.view(3).index() < purged);
        cluster.kill(3);
        gate.open();
    }
    cluster.start_replica(3);
    cluster.agree();
    assert!(cluster.view(3).meta().installed_index >= purged, "it caught up by the log, so this showed nothing");
    assert_eq!(cluster.cents(3), 200);
}

#[test]
fn the_log_of_every_replica_stays_short() {
    let cluster = Cluster::start(settings(EngineKind::Memory));
    for round in 0..8 {
        fill(&cluster, round * 50 + 1..=round * 50 + 50);
        cluster.agree();
        for id in cluster.ids() {
            // A snapshot's worth since the last, as much kept behind it, a batch to purge at once, and what came meanwhile.
            let kept = eventually("a purge", || {
                let status = cluster.node(id).status();
                let kept = status.last_log_index - status.purged_index;
                (kept <= 4 * SNAPSHOT_ENTRIES).then_some(kept)
            });
            assert!(kept > 0);
        }
    }
}

#[test]
fn a_log_that_begins_after_the_book_is_refused() {
    for engine in [EngineKind::Memory, EngineKind::Fjall] {
        let mut cluster = Cluster::start(settings(engine));
        fill(&cluster, 1..=150);
        cluster.agree();
        let id = cluster.follower();
        eventually("a purge", || (cluster.node(id).status().purged_index > 0).then_some(()));
        cluster.kill(id);
        cluster.lose(id, Part::Book);
        let error = cluster.try_start(id).expect_err("started without a book").to_string();
        assert!(error.contains("but the book has applied index 0 only"), "{engine}: {error}");
    }
}

/// The log lets go of what a snapshot holds, and a snapshot is no more than the book: so that must be on the disk by then.
#[test]
fn what_the_log_let_go_of_survives_a_power_cut_in_the_book() {
    let settings = Settings { snapshot_entries: 16, ..Settings::of(EngineKind::Memory, 1) };
    let mut cluster = Cluster::start(settings);
    for number in 1..=100 {
        cluster.decide(vec![cent(number)]);
    }
    eventually("the log is purged", || (cluster.node(1).status().purged_index > 0).then_some(()));
    cluster.cut_power(1);
    cluster.start_replica(1);
    cluster.leader();
    eventually("all cents", || (cluster.cents(1) == 100).then_some(()));
}
