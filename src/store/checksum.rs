//! Sealing: four bytes behind every stored value that bind it to its space and key.
//!
//! An engine may hand back a flipped byte, an older file's value or a neighbour's value without
//! noticing. The seal is the CRC-32 (IEEE) of the space's written name, a zero byte, the key's length
//! as four little-endian bytes, the key and the value; it is appended to the value in little-endian
//! order. It finds accidents, not forgeries, and must never be taken for authentication.

use super::{SpaceId, StoreError};

/// How many bytes the seal adds to a value.
pub const SEAL_BYTES: usize = 4;

/// The part of a seal that is the same for all values of a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealKey(u32);

impl SealKey {
    /// The seal key of a space.
    pub fn of(id: &SpaceId) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(id.to_string().as_bytes());
        hasher.update(&[0]);
        Self(hasher.finalize())
    }

    /// The seal of a value under a key of this space.
    pub fn seal(self, key: &[u8], value: &[u8]) -> [u8; SEAL_BYTES] {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.0);
        // Keys are bounded far below 2^32 bytes; the length keeps key and value apart.
        hasher.update(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
        hasher.update(key);
        hasher.update(value);
        hasher.finalize().to_le_bytes()
    }

    /// The value's length once its seal has been checked and taken off.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where the seal does not fit; `space` is asked for its name only then.
    pub fn check(self, space: impl FnOnce() -> String, key: &[u8], sealed: &[u8]) -> Result<usize, StoreError> {
        let detail = match sealed.split_last_chunk::<SEAL_BYTES>() {
            Some((value, seal)) => {
                let expected = self.seal(key, value);
                if *seal == expected {
                    return Ok(value.len());
                }
                format!(
                    "the stored checksum is {:08x}, the bytes give {:08x}",
                    u32::from_le_bytes(*seal),
                    u32::from_le_bytes(expected)
                )
            }
            None => format!("{} bytes are too few to hold a checksum", sealed.len()),
        };
        Err(StoreError::Corrupt { space: space(), key: key.to_vec(), detail })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sealed(space: &SpaceId, key: &[u8], value: &[u8]) -> Vec<u8> {
        let mut bytes = value.to_vec();
        bytes.extend_from_slice(&SealKey::of(space).seal(key, value));
        bytes
    }

    #[test]
    fn a_seal_binds_space_generation_key_and_value() {
        let space = SpaceId::new("accounts", 1);
        let bytes = sealed(&space, b"key", b"value");
        let check =
            |space: &SpaceId, key: &[u8], bytes: &[u8]| SealKey::of(space).check(|| space.to_string(), key, bytes).ok();
        assert_eq!(check(&space, b"key", &bytes), Some(5));
        assert_eq!(check(&SpaceId::new("accounts", 2), b"key", &bytes), None);
        assert_eq!(check(&SpaceId::new("assets", 1), b"key", &bytes), None);
        assert_eq!(check(&space, b"kez", &bytes), None);
        assert_eq!(check(&space, b"keyv", &sealed(&space, b"key", b"value")), None);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(check(&space, b"key", &flipped), None, "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert_eq!(check(&space, b"key", &bytes[..length]), None, "length {length}");
        }
    }

    #[test]
    fn the_seal_of_a_known_value_never_changes() {
        // These bytes are on disks: see docs/storage-format.md.
        let seal = SealKey::of(&SpaceId::new("accounts", 1)).seal(b"key", b"value");
        let mut plain = crc32fast::Hasher::new();
        plain.update(b"accounts@1\0\x03\0\0\0keyvalue");
        assert_eq!(seal, plain.finalize().to_le_bytes());
    }
}
