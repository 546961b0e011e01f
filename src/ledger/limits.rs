//! Every bound of the book in one place. Units are in the names; each bound is inclusive.

/// The greatest mantissa of an amount or a total: 96 bits.
pub const MAX_MANTISSA: u128 = (1 << 96) - 1;
/// The greatest scale of an asset, in fraction digits.
pub const MAX_SCALE: u32 = 18;
/// The most fraction digits a written amount may have before its asset is known.
pub const MAX_WRITTEN_SCALE: u32 = 28;
/// The longest text of an amount, in bytes.
pub const MAX_AMOUNT_TEXT_BYTES: usize = 64;
/// The longest asset code, in bytes.
pub const MAX_ASSET_CODE_BYTES: usize = 16;
/// The longest account name, in bytes.
pub const MAX_ACCOUNT_NAME_BYTES: usize = 128;
/// The longest reference, in bytes.
pub const MAX_REFERENCE_BYTES: usize = 128;
/// The longest principal, in bytes.
pub const MAX_PRINCIPAL_BYTES: usize = 128;
/// The most metadata pairs of an account or a transaction.
pub const MAX_METADATA_PAIRS: usize = 16;
/// The longest metadata key, in bytes; the shortest is 1.
pub const MAX_METADATA_KEY_BYTES: usize = 64;
/// The longest metadata value, in bytes.
pub const MAX_METADATA_VALUE_BYTES: usize = 256;
/// The fewest postings of a transaction.
pub const MIN_POSTINGS: usize = 2;
/// The most postings of a transaction.
pub const MAX_POSTINGS: usize = 256;
/// The most commands of a request, an atomic batch and an entry.
pub const MAX_BATCH_COMMANDS: usize = 8_192;
/// The most bytes of one encoded request.
pub const MAX_REQUEST_BYTES: usize = 2 * 1024 * 1024;
/// The longest timeout of a try, in nanoseconds: ten years of 365 days.
pub const MAX_TIMEOUT_NS: u64 = 10 * 365 * 24 * 60 * 60 * 1_000_000_000;
/// The earliest time that a leader stamps, in nanoseconds since 1970: 2020-01-01T00:00:00Z.
pub const MIN_STAMP_NS: u64 = 1_577_836_800 * 1_000_000_000;
/// The latest time that a leader stamps, in nanoseconds since 1970: 2200-01-01T00:00:00Z.
pub const MAX_STAMP_NS: u64 = 7_258_118_400 * 1_000_000_000;
// A deadline set at the latest time, and every later nanosecond of the log, is a time too: for more
// than three hundred years of entries.
const _: () = assert!(MAX_STAMP_NS + MAX_TIMEOUT_NS < u64::MAX / 2);
/// How many holds one step of [`crate::apply()`] expires before it hands back its changes.
pub const MAX_EXPIRIES_PER_STEP: usize = 1_000;
/// The version of the rules that this build applies.
pub const RULES_VERSION: u16 = 1;
