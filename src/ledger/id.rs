//! Identifiers that clients choose: UUIDs that are not nil.

use core::fmt;
use core::hash::{Hash, Hasher};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use uuid::Uuid;

/// Why a text is not an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdError {
    /// The text is not a UUID.
    Grammar,
    /// The UUID is nil (all zeros).
    Nil,
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IdError::Grammar => "must be a UUID such as 0192d3c4-7b1f-7c3e-9a55-2f6f0d1c8e42",
            IdError::Nil => "must not be the nil UUID",
        })
    }
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Takes 16 bytes; `None` when all are zero.
            pub fn from_bytes(bytes: [u8; 16]) -> Option<$name> {
                (bytes != [0; 16]).then_some($name(bytes))
            }

            /// Reads a UUID in its usual text form.
            ///
            /// # Errors
            /// [`IdError`] when the text is no UUID or the nil one.
            pub fn parse(text: &str) -> Result<$name, IdError> {
                // Only the hyphenated form: one identifier has one text.
                if text.len() != 36 {
                    return Err(IdError::Grammar);
                }
                let uuid = Uuid::try_parse(text).map_err(|_| IdError::Grammar)?;
                $name::from_bytes(uuid.into_bytes()).ok_or(IdError::Nil)
            }

            /// The 16 bytes, most significant first.
            pub fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl Hash for $name {
            /// As one number: sooner done than 16 bytes one after another.
            #[inline]
            fn hash<H: Hasher>(&self, state: &mut H) {
                state.write_u128(u128::from_ne_bytes(self.0));
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
                f.write_str(Uuid::from_bytes(self.0).hyphenated().encode_lower(&mut text))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                let bytes = <[u8; 16]>::deserialize(deserializer)?;
                $name::from_bytes(bytes).ok_or_else(|| D::Error::custom("nil identifier"))
            }
        }
    };
}

identifier! {
    /// Names one mutating request, for good: chosen and stored by the client before it sends.
    RequestId
}

identifier! {
    /// Names one transaction; by default the id of the request that tried, posted or reversed it.
    TransactionId
}

impl From<RequestId> for TransactionId {
    fn from(request: RequestId) -> TransactionId {
        TransactionId(request.0)
    }
}
