//! Request ids derived from the ids that stand in a file, so that the same file means the same
//! requests however often it is imported.
//!
//! The derivation is published in `docs/import.md` and never changes: with another one, a file that
//! was imported before would be booked twice.

use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

/// What every derivation begins with.
const PREFIX: &[u8] = b"folio-import";
/// The longest id and namespace, in bytes.
pub(super) const MAX_ID_BYTES: usize = 256;

/// The request id of an id within a namespace: the first 16 bytes of SHA-256 over prefix, namespace
/// and id, joined by zero bytes, as a UUID of version 8.
pub(super) fn derived(namespace: &str, id: &str) -> Uuid {
    let mut hash = Sha256::new();
    for part in [PREFIX, &[0], namespace.as_bytes(), &[0], id.as_bytes()] {
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

/// Refuses ids and namespaces that the derivation could not tell apart, or that are too long.
pub(super) fn check(what: &str, text: &str) -> Result<(), String> {
    if text.len() > MAX_ID_BYTES {
        return Err(format!("{what} has {} bytes; at most {MAX_ID_BYTES} are allowed", text.len()));
    }
    if text.contains('\0') {
        return Err(format!("{what} contains a zero byte"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn the_published_derivation_never_changes() {
        // Checked against another implementation: sha256 of the bytes, cut, with version and
        // variant set.
        assert_eq!(derived("", "order-1").to_string(), "853d3bc9-09ba-8e93-87f7-fe0d6188c637");
        assert_eq!(derived("bank-2026", "order-1").to_string(), "974de6ce-45ac-85ce-93d3-3f8c9d792051");
    }

    #[test]
    fn namespace_and_id_do_not_run_into_each_other() {
        assert_ne!(derived("ab", "c"), derived("a", "bc"));
        assert!(check("id", "a\0b").is_err());
        assert!(check("id", &"x".repeat(MAX_ID_BYTES + 1)).is_err());
        assert!(check("id", &"x".repeat(MAX_ID_BYTES)).is_ok());
    }
}
