//! The numbered promises I1 to I13, one file each. They look at what was answered, read and dumped, and do not ask the model.

pub(super) mod i01_trial_balance;
pub(super) mod i02_transactions_balance;
pub(super) mod i03_pending_is_tried;
pub(super) mod i04_limits;
pub(super) mod i05_settling_never_fails;
pub(super) mod i06_resolves_once;
pub(super) mod i07_posted_never_falls;
pub(super) mod i08_range;
pub(super) mod i09_time_and_sequence;
pub(super) mod i10_refusals_change_nothing;
pub(super) mod i11_same_state;
pub(super) mod i12_journal_gives_balances;
pub(super) mod i13_reversals;

use super::Evidence;
use crate::history::{AccountView, Place, Query, ReadValue};
use crate::timeline::Subject;

/// An account as somebody saw it.
struct Sight<'history> {
    place: Place,
    name: &'history str,
    view: &'history AccountView,
    /// None: in a dump.
    operation: Option<usize>,
}

impl Sight<'_> {
    fn operations(&self) -> Vec<usize> {
        self.operation.into_iter().collect()
    }
}

/// Every account that was read or dumped, in log order.
fn sights<'history>(evidence: &Evidence<'history>) -> Vec<Sight<'history>> {
    let mut sights = Vec::new();
    for event in &evidence.timeline.events {
        let (place, operation) = (event.at.place, event.operation);
        match event.subject {
            Subject::Read(read, answer) => {
                if let (Query::Account(name), ReadValue::Account(Some(view))) = (&read.query, &answer.value) {
                    sights.push(Sight { place, name, view, operation });
                }
            }
            Subject::Dump(dump) => {
                sights.extend(dump.accounts.iter().map(|(name, view)| Sight { place, name, view, operation }));
            }
            Subject::Write(..) | Subject::Atomic(..) => {}
        }
    }
    sights
}
