//! How many descriptors the process may have, and who may take how many of them.
//!
//! Every connection takes one. An engine that finds none left at a flush cannot write, and the
//! replica stops; so connections get what is left beside all else, and no more.

use crate::store;

/// Connections that peers may have open: each makes one, and a new one while an old one is not
/// given up yet.
pub(super) const PEER_CONNECTIONS: usize = 64;
/// Connections to peers, the listeners, logs, and what the runtime and the system's libraries open.
const OTHERS: usize = 64;
/// The most connections of clients, however many descriptors there are: each may take some memory.
const MOST_CLIENTS: usize = 8_192;
/// As many connections of clients are served even where there are fewer descriptors than all of
/// that needs.
const LEAST_CLIENTS: usize = 16;

/// Raises the limit on descriptors as far as the process may, and tells how many connections of
/// clients fit below it.
pub(super) fn connections_of_clients() -> usize {
    // No limit is known where the system has none to tell.
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(u64::MAX);
    let fits = fitting(limit);
    tracing::info!(descriptors = limit, clients = fits, "connections of clients are bounded");
    if fits == LEAST_CLIENTS {
        let needed = reserved() + LEAST_CLIENTS;
        tracing::warn!(descriptors = limit, needed, "the limit on open files is low: raise it (ulimit -n)");
    }
    fits
}

fn reserved() -> usize {
    store::MOST_OPEN_FILES + PEER_CONNECTIONS + OTHERS
}

fn fitting(limit: u64) -> usize {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    limit.saturating_sub(reserved()).clamp(LEAST_CLIENTS, MOST_CLIENTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_have_what_all_else_leaves() {
        assert_eq!(fitting(u64::MAX), MOST_CLIENTS);
        assert_eq!(fitting(0), LEAST_CLIENTS);
        let reserved = u64::try_from(reserved()).unwrap_or(u64::MAX);
        assert_eq!(fitting(reserved + 100), 100);
        assert!(fitting(1_024) >= 256, "the usual limit leaves {} connections", fitting(1_024));
    }
}
