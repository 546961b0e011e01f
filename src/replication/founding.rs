//! The act of founding, which may be cut off anywhere and is then repeated.
//!
//! The file `FOUNDING` is written and synced before anything else. It says whose the folder is to
//! be. When log and book have been created it is renamed to `IDENTITY`, and only then does the
//! replica take part in anything. So a folder tells by itself what it is:
//!
//! | `IDENTITY` | `FOUNDING` | log or book | the folder |
//! |---|---|---|---|
//! | there | | | is founded |
//! | none | there | any | was being founded: nothing was acknowledged from it, and what it holds can go |
//! | none | none | none | is empty |
//! | none | none | some | is founded and has lost its identity: it must never be founded anew |
//!
//! Nothing here may remove a log or a book but under `FOUNDING`, and while this process holds the
//! lock of that file.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use fs4::fs_std::FileExt as _;

use super::identity::{FILE, Identity, IdentityError, Member};

/// The file that says that a founding has begun and has not ended.
pub const FOUNDING_FILE: &str = "FOUNDING";
/// What a file system keeps for itself in a folder where a disk is mounted.
const LOST_AND_FOUND: &str = "lost+found";

/// What is to be founded.
#[derive(Debug, Clone)]
pub struct Founding {
    /// The data folder.
    pub folder: PathBuf,
    /// The folders of log and book in it.
    pub parts: Vec<PathBuf>,
    /// The cluster's name.
    pub cluster_id: String,
    /// This replica's number.
    pub replica_id: u64,
    /// The engine.
    pub engine: String,
    /// All members, this replica included.
    pub members: Vec<Member>,
}

/// What a folder without an identity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfounded {
    /// Nothing was ever there.
    Empty,
    /// A founding was cut off.
    Begun,
}

/// A founding that has begun. Nobody else founds in the folder until it is dropped.
#[derive(Debug)]
pub struct Begun {
    folder: PathBuf,
    identity: Identity,
    /// Holds the lock.
    _marker: File,
}

/// An error of the system, with a full disk told apart.
pub(super) fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> IdentityError + use<> {
    let path = path.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => IdentityError::DiskFull { operation, path },
        // The kinds are the standard library's and may grow.
        _ => IdentityError::Io { operation, path, source },
    }
}

fn sync_folder(folder: &Path) -> Result<(), IdentityError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error("syncing", folder))
}

/// What lies in a folder, but for what a file system keeps there itself.
fn contents(folder: &Path) -> Result<Vec<PathBuf>, IdentityError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("listing", folder)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io_error("listing", folder))?;
        if entry.file_name() != LOST_AND_FOUND {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Removes what lies in a folder. The folder stays: a disk may be mounted there.
fn clear(folder: &Path) -> Result<(), IdentityError> {
    for path in contents(folder)? {
        let removed =
            if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(io_error("clearing away what an unfinished founding left:", &path))?;
    }
    Ok(())
}

/// Removes the mark of a founding from a folder that is founded: only copying folders about can
/// have brought it there, and it must not speak once the identity is lost.
///
/// # Errors
/// [`IdentityError::Io`].
pub fn forget(folder: &Path) -> Result<(), IdentityError> {
    let marker = folder.join(FOUNDING_FILE);
    match fs::remove_file(&marker) {
        Ok(()) => sync_folder(folder),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_error("removing", &marker)(error)),
    }
}

impl Founding {
    /// The identity that the folder is to have.
    pub fn identity(&self) -> Identity {
        Identity::new(self.cluster_id.clone(), self.replica_id, self.engine.clone(), self.members.clone())
    }

    /// What the folder, which has no identity, is.
    ///
    /// # Errors
    /// [`IdentityError::Occupied`]: it holds a log or a book, and lost its identity.
    pub fn look(&self) -> Result<Unfounded, IdentityError> {
        if self.folder.join(FOUNDING_FILE).exists() {
            return Ok(Unfounded::Begun);
        }
        for part in &self.parts {
            if !contents(part)?.is_empty() {
                return Err(IdentityError::Occupied { folder: self.folder.clone(), part: part.clone() });
            }
        }
        Ok(Unfounded::Empty)
    }

    /// Begins: marks the folder, and clears away what an earlier founding left there that was cut
    /// off. Log and book are to be created next.
    ///
    /// # Errors
    /// [`IdentityError`]: the folder belongs to somebody, lost its identity, is being founded by
    /// another process, or the disk fails.
    pub fn begin(self) -> Result<Begun, IdentityError> {
        let Founding { folder, parts, .. } = &self;
        fs::create_dir_all(folder).map_err(io_error("creating", folder))?;
        self.look()?;
        let identity = self.identity();
        let path = folder.join(FOUNDING_FILE);
        let marker = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let marker = marker.map_err(io_error("creating", &path))?;
        match marker.try_lock_exclusive() {
            Ok(true) => {}
            Ok(false) => return Err(IdentityError::BeingFounded(folder.clone())),
            Err(error) => return Err(io_error("locking", &path)(error)),
        }
        // Whoever had the lock may have ended the founding meanwhile; then this is the identity's
        // file.
        if let Some(present) = Identity::read(folder)? {
            return Err(present.foreign(folder, &identity));
        }
        identity.write_to(&marker).map_err(io_error("writing", &path))?;
        sync_folder(folder)?;
        parts.iter().try_for_each(|part| clear(part))?;
        Ok(Begun { folder: self.folder, identity, _marker: marker })
    }
}

impl Begun {
    /// Ends it: log and book are there, and from now on the folder is founded, also after a power
    /// cut.
    ///
    /// # Errors
    /// A failure of the disk; the founding can be repeated.
    pub fn finish(self) -> Result<Identity, IdentityError> {
        let place = self.folder.join(FILE);
        fs::rename(self.folder.join(FOUNDING_FILE), &place).map_err(io_error("placing", &place))?;
        sync_folder(&self.folder)?;
        // The data folder itself may be as new as what it holds.
        if let Some(parent) = self.folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_folder(parent)?;
        }
        Ok(self.identity)
    }
}
