//! Bugs on purpose, to show that the checkers bite. Chosen by name through `FOLIO_SEEDED_BUG`, in a build made with the feature `seeded-bugs` only; in every other build no
//! bug exists and the variable is refused.

/// The bugs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Linearizable reads are answered from the local book.
    StaleRead,
    /// Some request ids are not remembered.
    ForgottenRequestId,
    /// A confirm adds to the posted totals twice.
    ConfirmBookedTwice,
    /// Answers are given before the entry is committed.
    AnswerBeforeCommit,
    /// Holds expire by each replica's own clock.
    ExpiryByLocalClock,
    /// An empty cancel leaves no tombstone.
    LostTombstone,
}

/// All bugs by name.
pub const BUGS: [(&str, Bug); 6] = [
    ("stale-read", Bug::StaleRead),
    ("forgotten-request-id", Bug::ForgottenRequestId),
    ("confirm-booked-twice", Bug::ConfirmBookedTwice),
    ("answer-before-commit", Bug::AnswerBeforeCommit),
    ("expiry-by-local-clock", Bug::ExpiryByLocalClock),
    ("lost-tombstone", Bug::LostTombstone),
];

/// The variable that chooses.
pub const VARIABLE: &str = "FOLIO_SEEDED_BUG";

/// The chosen bug's name, if one is.
pub fn chosen() -> Option<&'static str> {
    #[cfg(feature = "seeded-bugs")]
    {
        let wanted = std::env::var(VARIABLE).ok()?;
        BUGS.iter().find(|(name, _)| *name == wanted).map(|(name, _)| *name)
    }
    #[cfg(not(feature = "seeded-bugs"))]
    None
}

/// Whether a bug is chosen.
pub fn is(bug: Bug) -> bool {
    chosen().is_some_and(|name| BUGS.iter().any(|(known, of)| *known == name && *of == bug))
}

/// Sets the core's bug, if it is one of the core's. Called once at start.
///
/// # Errors
/// When the variable names a bug that this build does not have.
pub fn arm() -> Result<(), String> {
    let Ok(wanted) = std::env::var(VARIABLE) else { return Ok(()) };
    if chosen().is_none() {
        return Err(format!(
            "{VARIABLE}={wanted}: this build has no such bug; bugs exist only in builds with the feature seeded-bugs"
        ));
    }
    #[cfg(feature = "seeded-bugs")]
    {
        use ledger::seeded::{CoreBug, choose};
        if is(Bug::ForgottenRequestId) {
            choose(CoreBug::ForgottenRequestId);
        } else if is(Bug::ConfirmBookedTwice) {
            choose(CoreBug::ConfirmBookedTwice);
        } else if is(Bug::LostTombstone) {
            choose(CoreBug::LostTombstone);
        }
    }
    Ok(())
}
