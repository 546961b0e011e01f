//! Random tests that print their seed and replay from it: `FOLIO_PROPERTY_SEED=… cargo test -p ledger`.

use std::fmt::Debug;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

/// A number that the environment sets.
pub fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number: {text}")))
}

/// Runs `test` on `cases` random values; a failure shows the seed and the smallest value that fails.
pub fn run<S: Strategy>(cases: u32, strategy: &S, test: impl Fn(&S::Value))
where
    S::Value: Debug,
{
    let seed = setting("FOLIO_PROPERTY_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        u64::try_from(now.as_nanos() % 1_000_000_007).unwrap()
    });
    println!("FOLIO_PROPERTY_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    match runner.run(strategy, |value| {
        test(&value);
        Ok(())
    }) {
        Ok(()) => {}
        Err(TestError::Fail(reason, value)) => panic!("FOLIO_PROPERTY_SEED={seed}: {reason}\nfor {value:#?}"),
        Err(TestError::Abort(reason)) => panic!("FOLIO_PROPERTY_SEED={seed}: {reason}"),
    }
}
