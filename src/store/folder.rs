//! A data folder: who may use it, and what is in it.
//!
//! `LOCK` is held for as long as the process uses the folder. `FORMAT` says what the folder holds, in
//! which version and by which engine, under a checksum; it is written before the engine's first file
//! (`state creating`) and again when the engine has opened once (`state ready`), so that a folder whose
//! creation was cut off begins again, and one whose data has gone missing is never taken for new.
//! This module must never touch what the engine keeps in `data/`, except to clear it away when
//! creation was cut off.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use fs4::fs_std::FileExt;

use super::StoreError;

/// The format version that this program reads and writes.
pub const FORMAT_VERSION: u32 = 3;

/// The name of the file that says what a folder holds.
pub const FORMAT_FILE: &str = "FORMAT";
/// The name of the file whose lock says that the folder is in use.
pub const LOCK_FILE: &str = "LOCK";
/// The folder inside that belongs to the engine.
pub const DATA_FOLDER: &str = "data";

const NEW_FORMAT_FILE: &str = "FORMAT.new";
const MAX_FORMAT_BYTES: u64 = 4096;

/// What a folder holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// The book: the applied state.
    Book,
    /// The Raft log.
    Log,
}

impl Contents {
    fn name(self) -> &'static str {
        match self {
            Self::Book => "book",
            Self::Log => "log",
        }
    }
}

/// Whether the engine's files exist already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderState {
    /// The engine has to create them; [`Folder::mark_ready`] must follow.
    Creating,
    /// They must be there.
    Ready,
}

/// A folder that this process holds the lock of. The lock ends when it is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    contents: Contents,
    engine: String,
    state: FolderState,
    _lock: File,
}

impl Folder {
    /// Takes the folder for this process and checks what is in it, creating it where there is none.
    ///
    /// # Errors
    /// The folder is in use, is not ours, has an unknown version, another engine or other contents,
    /// its FORMAT file is damaged, its data is missing, or the disk fails.
    pub fn open(path: &Path, contents: Contents, engine: &str) -> Result<Self, StoreError> {
        fs::create_dir_all(path).map_err(|error| StoreError::from_io("create the folder", path, error))?;
        let lock = take_lock(path)?;
        let mut folder = Self {
            path: path.to_path_buf(),
            contents,
            engine: engine.to_owned(),
            state: FolderState::Creating,
            _lock: lock,
        };
        match read_format(path)? {
            Some(format) => folder.state = folder.check_format(&format)?,
            None => folder.check_empty()?,
        }
        let data = folder.data();
        match folder.state {
            FolderState::Creating => {
                folder.write_format(FolderState::Creating)?;
                remove_folder(&data)?;
                fs::create_dir(&data).map_err(|error| StoreError::from_io("create the folder", &data, error))?;
                sync_folder(path)?;
                if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                    sync_folder(parent)?;
                }
            }
            FolderState::Ready => {
                if !data.is_dir() {
                    return Err(folder.damaged("its data folder is missing".to_owned()));
                }
            }
        }
        Ok(folder)
    }

    /// Whether the engine has to create its files.
    pub fn state(&self) -> FolderState {
        self.state
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the engine keeps its files.
    pub fn data(&self) -> PathBuf {
        self.path.join(DATA_FOLDER)
    }

    /// Records that the engine's files are there and synced.
    ///
    /// # Errors
    /// A failure of the disk.
    pub fn mark_ready(&mut self) -> Result<(), StoreError> {
        match self.state {
            FolderState::Ready => Ok(()),
            FolderState::Creating => {
                self.write_format(FolderState::Ready)?;
                self.state = FolderState::Ready;
                Ok(())
            }
        }
    }

    /// An error that says that this folder is damaged.
    pub fn damaged(&self, detail: String) -> StoreError {
        StoreError::Damaged { folder: self.path.clone(), detail }
    }

    fn check_empty(&self) -> Result<(), StoreError> {
        let failed = |error| StoreError::from_io("list the folder", &self.path, error);
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if name != LOCK_FILE && name != NEW_FORMAT_FILE && name != "lost+found" {
                let detail = format!("it has no FORMAT file, but {}", name.to_string_lossy());
                return Err(StoreError::NotOurs { folder: self.path.clone(), detail });
            }
        }
        Ok(())
    }

    fn check_format(&self, text: &[u8]) -> Result<FolderState, StoreError> {
        let format = Format::parse(text).map_err(|detail| self.damaged(format!("its FORMAT file {detail}")))?;
        let folder = self.path.clone();
        if format.version != FORMAT_VERSION {
            return Err(StoreError::UnknownVersion { folder, found: format.version, supported: FORMAT_VERSION });
        }
        if format.contents != self.contents.name() {
            let wanted = self.contents.name().to_owned();
            return Err(StoreError::OtherContents { folder, found: format.contents, wanted });
        }
        if format.engine != self.engine {
            return Err(StoreError::OtherEngine { folder, found: format.engine, wanted: self.engine.clone() });
        }
        Ok(format.state)
    }

    fn write_format(&self, state: FolderState) -> Result<(), StoreError> {
        let format = Format {
            version: FORMAT_VERSION,
            contents: self.contents.name().to_owned(),
            engine: self.engine.clone(),
            state,
        };
        write_synced(&self.path, FORMAT_FILE, format.to_text().as_bytes())
    }
}

/// Replaces a small file whole: after power loss there is either the old or the new one.
pub(super) fn write_synced(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let new = folder.join(format!("{name}.new"));
    let place = folder.join(name);
    let written = File::create(&new).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|error| StoreError::from_io("write the file", &new, error))?;
    fs::rename(&new, &place).map_err(|error| StoreError::from_io("rename the file", &place, error))?;
    sync_folder(folder)
}

pub(super) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    let synced = File::open(folder).and_then(|file| file.sync_all());
    synced.map_err(|error| StoreError::from_io("sync the folder", folder, error))
}

/// Whether another process holds the lock of a folder now. A folder that is not there is not in use.
pub fn is_in_use(folder: &Path) -> bool {
    // The lock, if it was free, ends with the file at the end of this function.
    let file = OpenOptions::new().read(true).write(true).open(folder.join(LOCK_FILE));
    file.is_ok_and(|file| matches!(FileExt::try_lock_exclusive(&file), Ok(false)))
}

fn remove_folder(folder: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::from_io("clear the unfinished folder", folder, error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn take_lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join(LOCK_FILE);
    let failed = |error| StoreError::from_io("open the lock file", &path, error);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match FileExt::try_lock_exclusive(&file) {
        Ok(true) => Ok(file),
        Ok(false) => Err(StoreError::InUse { folder: folder.to_path_buf() }),
        Err(error) => Err(StoreError::from_io("lock the folder", &path, error)),
    }
}

fn read_format(folder: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let path = folder.join(FORMAT_FILE);
    match fs::metadata(&path) {
        Ok(metadata) if metadata.len() > MAX_FORMAT_BYTES => Err(StoreError::Damaged {
            folder: folder.to_path_buf(),
            detail: format!("its FORMAT file has {} bytes", metadata.len()),
        }),
        Ok(_) => match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => Err(StoreError::from_io("read the file", &path, error)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::from_io("read the file", &path, error)),
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Format {
    version: u32,
    contents: String,
    engine: String,
    state: FolderState,
}

impl Format {
    fn to_text(&self) -> String {
        let state = match self.state {
            FolderState::Creating => "creating",
            FolderState::Ready => "ready",
        };
        let body = format!(
            "folio data folder\nversion {}\ncontents {}\nengine {}\nstate {state}\n",
            self.version, self.contents, self.engine
        );
        format!("{body}checksum {:08x}\n", crc32fast::hash(body.as_bytes()))
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "is not text".to_owned())?;
        let body_end = text.rfind("checksum ").ok_or("has no checksum")?;
        let (body, last) = text.split_at(body_end);
        let expected = format!("checksum {:08x}\n", crc32fast::hash(body.as_bytes()));
        if last != expected {
            return Err(format!("says {:?} where its bytes give {:?}", last.trim_end(), expected.trim_end()));
        }
        let mut lines = body.lines();
        if lines.next() != Some("folio data folder") {
            return Err("does not begin with \"folio data folder\"".to_owned());
        }
        let mut field = |name: &str| {
            let line = lines.next().unwrap_or_default();
            line.strip_prefix(name)
                .and_then(|rest| rest.strip_prefix(' '))
                .map(str::to_owned)
                .ok_or_else(|| format!("has {line:?} where the {name} belongs"))
        };
        let version = field("version")?;
        let version = version.parse().map_err(|_| format!("has the version {version:?}"))?;
        if version != FORMAT_VERSION {
            // What follows belongs to a format that this program does not know.
            return Ok(Self { version, contents: String::new(), engine: String::new(), state: FolderState::Ready });
        }
        let (contents, engine) = (field("contents")?, field("engine")?);
        let state = match field("state")?.as_str() {
            "creating" => FolderState::Creating,
            "ready" => FolderState::Ready,
            other => return Err(format!("has the state {other:?}")),
        };
        Ok(Self { version, contents, engine, state })
    }
}
