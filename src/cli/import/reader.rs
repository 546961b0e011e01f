//! The lines of a file, one at a time and each within a bound, so that a file of any size is read in constant memory.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

/// The longest line, in bytes. A transaction of 256 postings has less than a tenth of it.
pub(super) const MAX_LINE_BYTES: u64 = 1024 * 1024;

/// A line as it stands in the file.
pub(super) enum RawLine {
    /// Its bytes, without the end of line.
    Text(Vec<u8>),
    /// Longer than [`MAX_LINE_BYTES`]; skipped.
    TooLong,
}

/// Reads a file line by line.
pub(super) struct Lines {
    reader: BufReader<File>,
    number: u64,
    bytes: u64,
}

impl Lines {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> std::io::Result<Lines> {
        Ok(Lines { reader: BufReader::with_capacity(256 * 1024, File::open(path)?), number: 0, bytes: 0 })
    }

    /// How many bytes were read.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next line that is not blank, with its number from 1.
    pub(super) fn next(&mut self) -> std::io::Result<Option<(u64, RawLine)>> {
        loop {
            let mut line = Vec::new();
            let read = self.reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            self.bytes += line.len() as u64;
            let is_whole = line.last() == Some(&b'\n');
            if !is_whole && line.len() as u64 == MAX_LINE_BYTES && !self.skip_rest()? {
                return Ok(Some((self.number, RawLine::TooLong)));
            }
            if !line.iter().all(u8::is_ascii_whitespace) {
                while line.last().is_some_and(u8::is_ascii_whitespace) {
                    line.pop();
                }
                return Ok(Some((self.number, RawLine::Text(line))));
            }
        }
    }

    /// Skips to the end of the line; whether there was nothing to skip.
    fn skip_rest(&mut self) -> std::io::Result<bool> {
        let mut skipped = 0;
        loop {
            let buffer = self.reader.fill_buf()?;
            let (length, is_end) = match buffer.iter().position(|byte| *byte == b'\n') {
                Some(position) => (position + 1, true),
                None => (buffer.len(), buffer.is_empty()),
            };
            self.reader.consume(length);
            self.bytes += length as u64;
            skipped += length;
            if is_end {
                return Ok(skipped == 0);
            }
        }
    }
}
