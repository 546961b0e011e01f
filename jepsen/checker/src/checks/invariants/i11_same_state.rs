//! I11: equal log prefix, equal state: replicas at the same index have the same state hash, and their journals agree as far as both go.

use crate::checks::{Evidence, broken};
use crate::verdict::Finding;

pub(crate) const NAME: &str = "I11-same-state";

pub(crate) fn check(evidence: &Evidence<'_>) -> Finding {
    let dumps = &evidence.history.dumps;
    for (position, dump) in dumps.iter().enumerate() {
        for other in &dumps[..position] {
            if dump.index == other.index && dump.state_hash != other.state_hash {
                let explanation = format!(
                    "at index {} replica {} has the state hash {}, replica {} {}",
                    dump.index, dump.replica, dump.state_hash, other.replica, other.state_hash
                );
                return broken(NAME, explanation, Vec::new());
            }
            let differing = dump.journal.iter().zip(&other.journal).find(|(one, two)| one != two);
            if let Some((one, two)) = differing {
                let explanation =
                    format!("replica {} has {one:?} where replica {} has {two:?}", dump.replica, other.replica);
                return broken(NAME, explanation, Vec::new());
            }
        }
    }
    Finding::Holds
}
