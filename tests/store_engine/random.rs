//! Random batches, views and restarts against a model.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use folio::store::{Batch, Direction, KeyRange, Pair, View};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::subject::{Subject, get, id, scan};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn random_key(random: &mut StdRng) -> Vec<u8> {
    let length = random.random_range(1..4);
    (0..length).map(|_| [0, 1, b'a', b'b', 0xfe, 0xff][random.random_range(0..6)]).collect()
}

fn random_range(random: &mut StdRng) -> KeyRange {
    match random.random_range(0..4) {
        0 => KeyRange::all(),
        1 => KeyRange::prefix(random_key(random)),
        2 => KeyRange::from(random_key(random)),
        _ => KeyRange::between(random_key(random), random_key(random)),
    }
}

fn expect_range(model: &Model, range: &KeyRange, direction: Direction) -> Vec<Pair> {
    if range.is_empty() {
        return Vec::new();
    }
    let end = range.end().map_or(Bound::Unbounded, Bound::Excluded);
    let found = model.range::<[u8], _>((Bound::Included(range.first()), end));
    let mut found: Vec<Pair> = found.map(|(key, value)| (key.clone(), value.clone())).collect();
    if direction == Direction::Backward {
        found.reverse();
    }
    found
}

pub fn batches_and_views_agree_with_a_model(subject: &mut Subject) {
    let seed = std::env::var("FOLIO_TEST_SEED").map_or_else(|_| rand::rng().random(), |seed| seed.parse().unwrap());
    println!("{}: replay with FOLIO_TEST_SEED={seed}", subject.kind);
    let mut random = StdRng::seed_from_u64(seed);
    let names = [id("one", 1), id("two", 1)];
    for name in &names {
        subject.engine().create_space(name).unwrap();
    }
    let mut models = [Model::new(), Model::new()];
    for _ in 0..8 {
        let engine = subject.engine();
        let spaces = [0, 1].map(|index: usize| engine.space(&names[index]).unwrap());
        let mut views: Vec<(Arc<dyn View>, [Model; 2])> = Vec::new();
        for _ in 0..60 {
            let mut batch = Batch::new();
            for _ in 0..random.random_range(0..12) {
                let (which, key) = (random.random_range(0..2), random_key(&mut random));
                if random.random_bool(0.3) {
                    batch.delete(spaces[which], &key);
                    models[which].remove(&key);
                } else {
                    let value = vec![random.random(); random.random_range(0..30)];
                    batch.put(spaces[which], &key, &value);
                    models[which].insert(key, value);
                }
            }
            engine.write(&batch).unwrap();
            match random.random_range(0..4) {
                0 => views.push((engine.view().unwrap(), models.clone())),
                1 if !views.is_empty() => drop(views.swap_remove(random.random_range(0..views.len()))),
                2 if random.random_bool(0.2) => engine.sync().unwrap(),
                _ => {}
            }
            views.push((engine.view().unwrap(), models.clone()));
            let (view, expected) = &views[random.random_range(0..views.len())];
            for (which, space) in spaces.iter().enumerate() {
                let key = random_key(&mut random);
                assert_eq!(get(&**view, *space, &key), expected[which].get(&key).cloned(), "seed {seed}");
                let range = random_range(&mut random);
                for direction in [Direction::Forward, Direction::Backward] {
                    let found = scan(&**view, *space, &range, direction);
                    assert_eq!(found, expect_range(&expected[which], &range, direction), "seed {seed} {range:?}");
                }
            }
            views.pop();
        }
        drop((views, engine));
        subject.reopen();
    }
}
