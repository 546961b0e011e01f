//! What can go wrong with stored bytes, told apart by what the operator or the caller has to do.
//!
//! A store error is never a decided answer to a client: it means that this replica cannot read or
//! write, not that the book refuses. Nothing here may hide which file, space or key was meant.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// A failure of the storage port.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the folder's lock.
    #[error("the folder {} is in use by another process: stop that process, or choose another folder", folder.display())]
    InUse {
        /// The folder that was to be opened.
        folder: PathBuf,
    },
    /// The folder holds files, but none that say that this program wrote them.
    #[error("{} is not a folder written by folio ({detail}): choose an empty folder or the right one", folder.display())]
    NotOurs {
        /// The folder that was to be opened.
        folder: PathBuf,
        /// What was found instead.
        detail: String,
    },
    /// The folder was written in a format that this program does not read.
    #[error("{} has format version {found}, this program reads version {supported}: open it with the release that wrote it", folder.display())]
    UnknownVersion {
        /// The folder that was to be opened.
        folder: PathBuf,
        /// The version written in its FORMAT file.
        found: u32,
        /// The version that this program reads and writes.
        supported: u32,
    },
    /// The folder belongs to another engine.
    #[error("{} was written by the engine {found:?}, not {wanted:?}: open it with --engine {found}", folder.display())]
    OtherEngine {
        /// The folder that was to be opened.
        folder: PathBuf,
        /// The engine named in its FORMAT file.
        found: String,
        /// The engine that was asked for.
        wanted: String,
    },
    /// The folder holds another kind of data: the log where the book was expected, or the reverse.
    #[error("{} holds {found}, not {wanted}: the folders are mixed up", folder.display())]
    OtherContents {
        /// The folder that was to be opened.
        folder: PathBuf,
        /// The contents named in its FORMAT file.
        found: String,
        /// The contents that were asked for.
        wanted: String,
    },
    /// The folder is ours, but its files cannot be read back.
    #[error("{} is damaged: {detail}: do not serve from it; restore it, or rebuild it from the other replicas", folder.display())]
    Damaged {
        /// The folder that was to be opened.
        folder: PathBuf,
        /// What the engine or the check reported.
        detail: String,
    },
    /// An operation of the operating system failed.
    #[error("could not {operation} in {}: {source}", path.display())]
    Io {
        /// What was attempted, as a verb phrase.
        operation: &'static str,
        /// The file or folder that it was attempted on.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is no space left where the data lies.
    #[error("could not {operation}: the disk that holds {} is full: free or add space, then restart", path.display())]
    DiskFull {
        /// What was attempted, as a verb phrase.
        operation: &'static str,
        /// The folder that it was attempted in.
        path: PathBuf,
    },
    /// An earlier failure left the engine in a state that must not be written to.
    #[error("the engine in {} accepts nothing more after an earlier failure ({detail}): restart the replica", path.display())]
    Stopped {
        /// The folder of the engine.
        path: PathBuf,
        /// The earlier failure, as far as it is known.
        detail: String,
    },
    /// The view was held for so long that its bounded memory of older values ran out.
    #[error("the view expired: more was overwritten while it was open than the engine remembers; open a new view")]
    ViewExpired,
    /// A stored value does not fit its checksum.
    #[error(
        "corrupt value in space {space} under key {}: {detail}: this replica must not serve; rebuild it from the others",
        Hex(key)
    )]
    Corrupt {
        /// The space, as `name@generation`.
        space: String,
        /// The key's bytes.
        key: Vec<u8>,
        /// What did not fit.
        detail: String,
    },
    /// The space does not exist, or was dropped.
    #[error("there is no space {space}: it was never created here, or was dropped")]
    UnknownSpace {
        /// The space, as `name@generation`.
        space: String,
    },
    /// A space of that name and generation exists already.
    #[error("the space {space} exists already: choose the next generation, or drop it first")]
    SpaceExists {
        /// The space, as `name@generation`.
        space: String,
    },
    /// The name of a space is outside the grammar.
    #[error("{name:?} cannot name a space: use 1 to 64 of a-z, 0-9 and _")]
    SpaceName {
        /// The name that was refused.
        name: String,
    },
    /// A key, a value or a whole batch is outside the bounds.
    #[error("a {what} of {bytes} bytes cannot be stored: the bounds are {least} to {most} bytes")]
    OutOfBounds {
        /// `key`, `value` or `batch`.
        what: &'static str,
        /// The size that was refused, in bytes.
        bytes: usize,
        /// The least size, in bytes.
        least: usize,
        /// The most, in bytes.
        most: usize,
    },
    /// The key is the one that the engines keep for themselves.
    #[error("the key {} is kept for the storage engine: choose another", Hex(super::RESERVED_KEY))]
    ReservedKey,
    /// The pairs of a bulk load did not come in strictly ascending order of keys.
    #[error("the bulk load into {space} broke the order of keys at {}: keys must ascend strictly", Hex(key))]
    IngestOrder {
        /// The space, as `name@generation`.
        space: String,
        /// The first key that was not above its predecessor.
        key: Vec<u8>,
    },
    /// The source of a bulk load ended with a failure of its own; nothing was kept.
    #[error("the source of the bulk load failed: {detail}")]
    IngestSource {
        /// What the source said.
        detail: String,
    },
}

impl StoreError {
    /// An error of the operating system, with a full disk told apart.
    pub fn from_io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { operation, path: path.to_path_buf() }
            }
            // The kinds are the standard library's and may grow.
            _ => Self::Io { operation, path: path.to_path_buf(), source },
        }
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}
