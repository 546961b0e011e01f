//! Where an import reads from: a file, which is read as often as it takes, or a temporary copy of
//! what can be read only once (a pipe, a FIFO).
//!
//! A file is read several times, and somebody may write to it in between. So each block is known by
//! its digest from the first time on, and of a later time no byte is used before its whole block
//! was found to be the same: what is sent is what was checked.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, Error, ErrorKind, Read, Result as IoResult, Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest as _, Sha256};

use crate::cli::{CliError, CliResult};

/// The bytes that one digest stands for.
const BLOCK_BYTES: usize = 256 * 1024;

/// The name of standard input on the command line.
const STANDARD_INPUT: &str = "-";

/// Something that can be read several times, and is the same each time or refused.
pub(super) struct Source {
    /// As it was given on the command line.
    pub(super) name: String,
    file: File,
    /// Where in the file it begins: a redirected standard input may stand in the middle.
    start: u64,
    /// One a block, from the first reading. They grow with the file: 128 bytes a mebibyte.
    digests: Vec<[u8; 32]>,
    /// How long it is, when it was read once.
    length: Option<u64>,
}

/// The source is not what it was when it was first read.
#[derive(Debug)]
struct Changed;

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("changed while it was imported")
    }
}

impl std::error::Error for Changed {}

fn changed() -> Error {
    Error::other(Changed)
}

impl Source {
    /// Opens a file, or copies what can be read only once.
    ///
    /// # Errors
    /// Says what cannot be read, or where the copy cannot be written.
    pub(super) fn open(path: &Path) -> CliResult<Source> {
        let name = path.display().to_string();
        let unreadable = |error: Error| CliError::General(format!("{name} cannot be read: {error}"));
        let (mut file, is_standard_input) = if name == STANDARD_INPUT {
            (File::from(std::io::stdin().as_fd().try_clone_to_owned().map_err(unreadable)?), true)
        } else {
            (File::open(path).map_err(unreadable)?, false)
        };
        let kind = file.metadata().map_err(unreadable)?;
        if kind.is_file() {
            let start = if is_standard_input { file.stream_position().map_err(unreadable)? } else { 0 };
            return Ok(Source { name, file, start, digests: Vec::new(), length: None });
        }
        if kind.is_dir() {
            return Err(CliError::General(format!("{name} cannot be read: it is a folder")));
        }
        let file = copied(&name, file)?;
        Ok(Source { name, file, start: 0, digests: Vec::new(), length: None })
    }

    /// Whether it is as long as it was, so that a change is found before anything is sent if it can
    /// be.
    ///
    /// # Errors
    /// If it is longer or shorter.
    pub(super) fn check_length(&self) -> IoResult<()> {
        match self.length {
            Some(length) if self.file.metadata()?.len() != self.start + length => Err(changed()),
            Some(_) | None => Ok(()),
        }
    }

    /// Reads it from its beginning: the first time to its end, so that there is something to hold
    /// the next times against.
    pub(super) fn read(&mut self) -> Reading<'_> {
        let is_first = self.length.is_none();
        Reading { source: self, is_first, next_block: 0, buffer: Vec::new(), used: 0, has_ended: false }
    }

    /// How many bytes there are to read.
    pub(super) fn length(&self) -> u64 {
        let length = || self.file.metadata().map_or(0, |metadata| metadata.len().saturating_sub(self.start));
        self.length.unwrap_or_else(length)
    }

    /// Why it cannot be read on.
    pub(super) fn problem(&self, error: &Error) -> String {
        match error.get_ref() {
            Some(inner) if inner.is::<Changed>() => format!("{} {error}", self.name),
            Some(_) | None => format!("{} cannot be read on: {error}", self.name),
        }
    }
}

/// Copies what can be read only once into a temporary file, which has no name and goes with this
/// process.
fn copied(name: &str, mut from: File) -> CliResult<File> {
    let folder = std::env::temp_dir();
    let unwritable = |error: Error| {
        CliError::General(format!(
            "the temporary copy of {name} in {} cannot be written: {error}; it is read several times, so give a folder with room for it by TMPDIR, \
             or import it as a file",
            folder.display()
        ))
    };
    let mut to = tempfile::tempfile_in(&folder).map_err(unwritable)?;
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{msg:9} {spinner} {bytes}  {bytes_per_sec}") {
        bar.set_style(style);
    }
    bar.set_message("reading");
    let mut buffer = vec![0; BLOCK_BYTES];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                to.write_all(buffer.get(..length).unwrap_or_default()).map_err(unwritable)?;
                bar.inc(length as u64);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(CliError::General(format!("{name} cannot be read: {error}"))),
        }
    }
    bar.finish_and_clear();
    Ok(to)
}

/// One reading of a source, block by block.
pub(super) struct Reading<'s> {
    source: &'s mut Source,
    is_first: bool,
    next_block: usize,
    buffer: Vec<u8>,
    /// How much of the buffer was handed out.
    used: usize,
    has_ended: bool,
}

impl Reading<'_> {
    /// See [`Source::problem`].
    pub(super) fn problem(&self, error: &Error) -> String {
        self.source.problem(error)
    }

    /// Reads the next block and holds it against what was there the first time.
    fn advance(&mut self) -> IoResult<()> {
        self.used = 0;
        self.buffer.resize(BLOCK_BYTES, 0);
        let begin = self.next_block as u64 * BLOCK_BYTES as u64;
        let mut filled = 0;
        while let Some(room) = self.buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            match self.source.file.read_at(room, self.source.start + begin + filled as u64) {
                Ok(0) => break,
                Ok(length) => filled += length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.buffer.truncate(filled);
        self.has_ended = filled < BLOCK_BYTES;
        if filled > 0 {
            let digest: [u8; 32] = Sha256::digest(&self.buffer).into();
            if self.is_first {
                self.source.digests.push(digest);
            } else if self.source.digests.get(self.next_block) != Some(&digest) {
                self.buffer.clear();
                return Err(changed());
            }
            self.next_block += 1;
        }
        if self.has_ended {
            if self.is_first {
                self.source.length = Some(begin + filled as u64);
            } else if self.next_block != self.source.digests.len() {
                self.buffer.clear();
                return Err(changed());
            }
        }
        Ok(())
    }
}

impl BufRead for Reading<'_> {
    fn fill_buf(&mut self) -> IoResult<&[u8]> {
        if self.used == self.buffer.len() && !self.has_ended {
            self.advance()?;
        }
        Ok(self.buffer.get(self.used..).unwrap_or_default())
    }

    fn consume(&mut self, length: usize) {
        self.used = (self.used + length).min(self.buffer.len());
    }
}

impl Read for Reading<'_> {
    fn read(&mut self, into: &mut [u8]) -> IoResult<usize> {
        let length = self.fill_buf()?.read(into)?;
        self.consume(length);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn whole(source: &mut Source) -> IoResult<Vec<u8>> {
        let mut bytes = Vec::new();
        source.read().read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn a_source_is_the_same_each_time_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("source");
        // Below, at and above the edges of blocks.
        for length in [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 7] {
            let content: Vec<u8> = (0..length).map(|place| u8::try_from(place % 251).unwrap()).collect();
            let fresh = || {
                std::fs::write(&path, &content).unwrap();
                let mut source = Source::open(&path).unwrap();
                assert_eq!(whole(&mut source).unwrap(), content);
                assert_eq!(source.length(), length as u64);
                (source, File::options().write(true).open(&path).unwrap())
            };
            for place in [0, BLOCK_BYTES - 1, BLOCK_BYTES, length.saturating_sub(1)] {
                if place >= length {
                    continue;
                }
                let (mut source, file) = fresh();
                file.write_all_at(b"\xff", place as u64).unwrap();
                let mut reading = source.read();
                let mut before = Vec::new();
                let error = reading.read_to_end(&mut before).unwrap_err();
                assert!(reading.problem(&error).contains("changed"), "{error}");
                assert_eq!(
                    before.len(),
                    place / BLOCK_BYTES * BLOCK_BYTES,
                    "nothing of the block that changed is read"
                );
            }
            let (source, file) = fresh();
            file.write_all_at(b"\n", length as u64).unwrap();
            let error = source.check_length().unwrap_err();
            assert!(source.problem(&error).ends_with("changed while it was imported"), "{error}");
            let (mut source, _) = fresh();
            assert_eq!(whole(&mut source).unwrap(), content, "the second time");
            // It may grow or shrink in the middle of a reading, too.
            let (mut source, file) = fresh();
            let mut reading = source.read();
            file.write_all_at(b"\n", length as u64).unwrap();
            assert!(reading.read_to_end(&mut Vec::new()).is_err(), "{length}");
            if length > 0 {
                let (mut source, file) = fresh();
                let mut reading = source.read();
                file.set_len(length as u64 - 1).unwrap();
                assert!(reading.read_to_end(&mut Vec::new()).is_err(), "{length}");
            }
        }
    }

    #[test]
    fn a_folder_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let Err(problem) = Source::open(folder.path()) else { panic!("a folder is no file") };
        assert!(problem.message().contains("it is a folder"), "{problem:?}");
    }
}
