//! The order in which a command is checked: the first check that fails is the answer.
//!
//! The model walks these tables, so that the order stands in one place and is changed in one place. Before every table: a known request
//! id answers at once (the first answer again, or `REQUEST_ID_REUSED`), then the shape, which is never kept.

/// Checks of one posting of a Post or Try, posting by posting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostingCheck {
    /// `ACCOUNT_NOT_FOUND`
    AccountFound,
    /// `ASSET_MISMATCH`
    AssetMatches,
    /// `AMOUNT_SCALE_EXCEEDED`, then `AMOUNT_OUT_OF_RANGE`
    AmountFits,
}

/// Each posting goes through all of these before the next.
pub const POSTING: &[PostingCheck] =
    &[PostingCheck::AccountFound, PostingCheck::AssetMatches, PostingCheck::AmountFits];

/// Checks of the lines that a Post, Try or Reverse would move, after its transaction was found to be new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinesCheck {
    /// `UNBALANCED`
    Balanced,
    /// `ACCOUNT_CLOSED`, `ACCOUNT_FROZEN`, posting by posting
    Takes,
    /// `BALANCE_OVERFLOW`, posting by posting
    Fits,
    /// `INSUFFICIENT_FUNDS`, account by account in order of first posting
    Floors,
    /// `CEILING_EXCEEDED`, account by account in order of first posting
    Ceilings,
}

/// Of Post, Try and Reverse.
pub const LINES: &[LinesCheck] =
    &[LinesCheck::Balanced, LinesCheck::Takes, LinesCheck::Fits, LinesCheck::Floors, LinesCheck::Ceilings];

/// Checks of named amounts against the postings that they are for: of a partial Confirm and of a partial Reverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartsCheck {
    /// `AMOUNT_COUNT`
    Count,
    /// `AMOUNT_SCALE_EXCEEDED`, then `AMOUNT_OUT_OF_RANGE`, amount by amount
    Scale,
    /// `EXCEEDS_RESERVED` of a Confirm, `ALREADY_REVERSED` of a Reverse, amount by amount
    Within,
}

/// Of Confirm (then `UNBALANCED`) and of Reverse (then [`LINES`]).
pub const PARTS: &[PartsCheck] = &[PartsCheck::Count, PartsCheck::Scale, PartsCheck::Within];

/// Checks of what a Reverse reverses, after its own transaction was found to be new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginalCheck {
    /// `TRANSACTION_NOT_FOUND`
    Found,
    /// `REVERSAL_OF_REVERSAL`
    NoReversal,
    /// `NOT_CONFIRMED`, `ALREADY_CANCELLED`, `TRANSACTION_EXPIRED` by state
    Confirmed,
}

/// Of Reverse.
pub const ORIGINAL: &[OriginalCheck] = &[OriginalCheck::Found, OriginalCheck::NoReversal, OriginalCheck::Confirmed];

/// Checks of an operation on an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountCheck {
    /// `ACCOUNT_NOT_FOUND`
    Found,
    /// `ACCOUNT_CLOSED`
    NotClosed,
    /// Scale and range of the floor, then of the ceiling
    Amounts,
    /// `INSUFFICIENT_FUNDS`: today's balance breaks the floor
    Floor,
    /// `CEILING_EXCEEDED`: today's balance breaks the ceiling
    Ceiling,
    /// `ACCOUNT_NOT_EMPTY`
    Empty,
}

/// Of SetLimits.
pub const SET_LIMITS: &[AccountCheck] =
    &[AccountCheck::Found, AccountCheck::Amounts, AccountCheck::NotClosed, AccountCheck::Floor, AccountCheck::Ceiling];

/// Of Freeze and Unfreeze.
pub const FREEZE: &[AccountCheck] = &[AccountCheck::Found, AccountCheck::NotClosed];

/// Of Close.
pub const CLOSE: &[AccountCheck] = &[AccountCheck::Found, AccountCheck::Empty];
