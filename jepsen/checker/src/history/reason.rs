//! The reasons for which the book refuses a command, in the words of the wire.

macro_rules! reasons {
    ($($name:ident $text:literal $meaning:literal)*) => {
        /// Why a command was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $(#[doc = $meaning] $name,)*
        }

        impl Reason {
            /// All reasons.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];

            /// The text on the wire.
            pub fn text(self) -> &'static str {
                match self { $(Reason::$name => $text,)* }
            }
        }
    };
}

reasons! {
    InvalidArgument "INVALID_ARGUMENT" "Malformed, and so never kept."
    AmountMalformed "AMOUNT_MALFORMED" "An amount that is no amount at all."
    AmountScaleExceeded "AMOUNT_SCALE_EXCEEDED" "More fraction digits than the asset has."
    AmountOutOfRange "AMOUNT_OUT_OF_RANGE" "More minor units than 96 bits hold."
    AmountCount "AMOUNT_COUNT" "Another number of amounts than of postings."
    RequestIdReused "REQUEST_ID_REUSED" "The id was used with other content."
    TransactionExistsDifferent "TRANSACTION_EXISTS_DIFFERENT" "The transaction exists with other content."
    AccountExistsDifferent "ACCOUNT_EXISTS_DIFFERENT" "The account exists with other content."
    AssetExistsDifferent "ASSET_EXISTS_DIFFERENT" "The asset exists with another scale."
    AccountNotFound "ACCOUNT_NOT_FOUND" "No such account."
    AssetNotFound "ASSET_NOT_FOUND" "No such asset."
    TransactionNotFound "TRANSACTION_NOT_FOUND" "No such transaction."
    Unbalanced "UNBALANCED" "Debits and credits of an asset differ."
    AssetMismatch "ASSET_MISMATCH" "The account holds another asset than stated."
    InsufficientFunds "INSUFFICIENT_FUNDS" "The floor would be broken."
    CeilingExceeded "CEILING_EXCEEDED" "The ceiling would be broken."
    AccountFrozen "ACCOUNT_FROZEN" "The account takes no new postings."
    AccountClosed "ACCOUNT_CLOSED" "The account is closed for good."
    AccountNotEmpty "ACCOUNT_NOT_EMPTY" "Only an empty account may be closed."
    BalanceOverflow "BALANCE_OVERFLOW" "A total would leave 96 bits."
    AlreadyConfirmed "ALREADY_CONFIRMED" "The transaction is confirmed."
    AlreadyCancelled "ALREADY_CANCELLED" "The transaction is cancelled."
    CancelledBeforeTry "CANCELLED_BEFORE_TRY" "The transaction was cancelled before it was tried."
    TransactionExpired "TRANSACTION_EXPIRED" "The transaction's deadline has passed."
    NotConfirmed "NOT_CONFIRMED" "The transaction is only reserved."
    ExceedsReserved "EXCEEDS_RESERVED" "More than was reserved."
    ConfirmDiffers "CONFIRM_DIFFERS" "Confirmed before with other amounts."
    AlreadyReversed "ALREADY_REVERSED" "More than may still be reversed."
    ReversalOfReversal "REVERSAL_OF_REVERSAL" "A reversal cannot be reversed."
    NotApplied "NOT_APPLIED" "Another command of the atomic batch was refused."
}

impl Reason {
    /// The reason of a text.
    pub fn parse(text: &str) -> Option<Reason> {
        Self::ALL.iter().copied().find(|reason| reason.text() == text)
    }

    /// Whether it says that the request was malformed: refused before the log, and never kept.
    pub fn is_shape(self) -> bool {
        matches!(self, Reason::InvalidArgument | Reason::AmountMalformed)
    }
}
