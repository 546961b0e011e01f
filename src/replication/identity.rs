//! Whose data folder it is: cluster, replica, members and engine, written once by the act of founding.
//!
//! A folder without an identity is empty and never votes: a replica that lost its disk must not come back under its old number as if nothing had
//! happened.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The format of the identity file.
const FORMAT_VERSION: u32 = 1;
/// The file's name.
pub(super) const FILE: &str = "IDENTITY";

/// A member of the cluster, as founded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its number, from 1.
    pub replica_id: u64,
    /// Where peers reach it, `host:port`.
    pub peer_address: String,
    /// Where clients reach it, `host:port`.
    pub client_address: String,
}

/// Whose folder it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The format of this file.
    pub format_version: u32,
    /// The cluster's name: all members must have the same.
    pub cluster_id: String,
    /// The replica's number, from 1.
    pub replica_id: u64,
    /// The storage engine of book and log.
    pub engine: String,
    /// All members as founded, by number.
    pub members: Vec<Member>,
}

/// Why an identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The system failed.
    #[error("{operation} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no space left.
    #[error("{operation} {}: the disk is full: free or add space, then start again", path.display())]
    DiskFull {
        /// What was attempted.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error("{} is damaged: {detail}; restore this replica from its peers", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The folder was written by another release.
    #[error("{} has identity format {found}, this release reads {FORMAT_VERSION}; use the release that wrote it", path.display())]
    UnknownVersion {
        /// The file.
        path: PathBuf,
        /// The version found.
        found: u32,
    },
    /// The folder was never founded.
    #[error("{} was never founded; found the cluster once, with `--found` on every replica's first start", .0.display())]
    NotFounded(PathBuf),
    /// The folder was founded, but what it held is gone.
    #[error("{} is missing, but replica {replica_id} was founded here; what it acknowledged is gone, and it must not vote as if it had never been: find its data, or rebuild it from its peers", .path.display())]
    DataMissing {
        /// What is missing.
        path: PathBuf,
        /// The replica.
        replica_id: u64,
    },
    /// A founding was cut off, and is to be repeated.
    #[error("the founding of {} was cut off before it ended: nothing was acknowledged from it; repeat it with `--found`, which begins anew", .0.display())]
    Interrupted(PathBuf),
    /// Another process founds in the folder.
    #[error("another process is founding in {}: stop that process, or choose another folder", .0.display())]
    BeingFounded(PathBuf),
    /// The folder has no identity, but holds a log or a book.
    #[error("{} holds data, but not whose it is: there is something in {}, and no file {FILE}; this replica may have acknowledged what it holds, so it is not founded anew: put {FILE} back, or rebuild this replica from its peers in an empty folder", folder.display(), part.display())]
    Occupied {
        /// The data folder.
        folder: PathBuf,
        /// The folder of the log or the book.
        part: PathBuf,
    },
    /// The folder belongs to another replica or cluster, or was founded with other members.
    #[error("{} belongs to replica {} of cluster {:?}: {}; a cluster is founded once: mend the settings, or use another folder", path.display(), identity.replica_id, identity.cluster_id, identity.difference(wanted))]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        identity: Box<Identity>,
        /// Whose it should be.
        wanted: Box<Identity>,
    },
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    identity: Identity,
    checksum: u32,
}

/// What every release's identity has.
#[derive(Deserialize)]
struct Versioned {
    identity: Version,
}

#[derive(Deserialize)]
struct Version {
    format_version: u32,
}

impl Identity {
    /// An identity of this release's format.
    pub fn new(cluster_id: String, replica_id: u64, engine: String, mut members: Vec<Member>) -> Identity {
        members.sort_by_key(|member| member.replica_id);
        Identity { format_version: FORMAT_VERSION, cluster_id, replica_id, engine, members }
    }

    /// This replica's own addresses.
    pub fn own(&self) -> Option<&Member> {
        self.members.iter().find(|member| member.replica_id == self.replica_id)
    }

    /// Whether there are no others: what this replica holds, a majority holds.
    pub fn is_alone(&self) -> bool {
        self.members.len() == 1
    }

    /// A member by number.
    pub fn member(&self, replica_id: u64) -> Option<&Member> {
        self.members.iter().find(|member| member.replica_id == replica_id)
    }

    /// The refusal of a folder that has this identity where another was wanted.
    pub fn foreign(self, folder: &Path, wanted: &Identity) -> IdentityError {
        IdentityError::Foreign { path: folder.to_owned(), identity: Box::new(self), wanted: Box::new(wanted.clone()) }
    }

    /// What differs, for whoever has to mend it.
    fn difference(&self, wanted: &Identity) -> String {
        let members = |identity: &Identity| {
            let member =
                |member: &Member| format!("{}={}/{}", member.replica_id, member.peer_address, member.client_address);
            identity.members.iter().map(member).collect::<Vec<_>>().join(",")
        };
        let pairs = [
            ("cluster", self.cluster_id.clone(), wanted.cluster_id.clone()),
            ("replica_id", self.replica_id.to_string(), wanted.replica_id.to_string()),
            ("engine", self.engine.clone(), wanted.engine.clone()),
            ("members", members(self), members(wanted)),
        ];
        let differing = pairs.into_iter().filter(|(_, found, wanted)| found != wanted);
        let told = differing.map(|(what, found, wanted)| format!("its {what} is {found}, the settings say {wanted}"));
        told.collect::<Vec<_>>().join("; ")
    }

    fn checksum(&self) -> u32 {
        // Plain data of strings and numbers always encodes.
        crc32fast::hash(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads the identity of a data folder; `None` if the folder was never founded.
    ///
    /// # Errors
    /// [`IdentityError`] for a damaged or unknown one.
    pub fn read(folder: &Path) -> Result<Option<Identity>, IdentityError> {
        let path = folder.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(IdentityError::Io { operation: "reading", path, source }),
        };
        let damaged = |detail: String| IdentityError::Damaged { path: path.clone(), detail };
        // The version first: what another release wrote need not have the fields of this one, nor its checksum.
        let versioned: Versioned = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if versioned.identity.format_version != FORMAT_VERSION {
            return Err(IdentityError::UnknownVersion { found: versioned.identity.format_version, path });
        }
        let sealed: Sealed = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if sealed.identity.checksum() != sealed.checksum {
            return Err(damaged("its checksum differs".to_owned()));
        }
        Ok(Some(sealed.identity))
    }

    /// Writes the identity into a file, in place of all that it held, and syncs it.
    pub(super) fn write_to(&self, mut file: &File) -> io::Result<()> {
        let sealed = Sealed { identity: self.clone(), checksum: self.checksum() };
        let text = serde_json::to_vec_pretty(&sealed).unwrap_or_default();
        file.set_len(0)?;
        file.write_all(&text)?;
        file.sync_all()
    }
}
