//! Assets: what money is counted in.

use serde::{Deserialize, Serialize};

use crate::journal::JournalSequence;
use crate::name::{AssetCode, Scale};

/// The dense number of an asset, given in log order from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AssetNumber(pub u32);

/// A registered asset. Code and scale are fixed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// Its dense number.
    pub number: AssetNumber,
    /// Its code.
    pub code: AssetCode,
    /// Its scale.
    pub scale: Scale,
    /// The journal record that registered it.
    pub registered: JournalSequence,
}
