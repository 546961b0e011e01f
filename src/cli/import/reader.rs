//! The lines of a file, one at a time and each within a bound, so that a file of any size is read
//! in constant memory.

use std::io::{BufRead, Read as _};

/// The longest line, in bytes, its end not counted. A transaction of 256 postings has less than a
/// tenth of it.
pub(super) const MAX_LINE_BYTES: usize = 1024 * 1024;

/// The longest end of a line.
const MAX_END_BYTES: usize = "\r\n".len();

/// The byte order mark, which some programs write at the beginning of UTF-8.
pub(super) const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A line as it stands in the file.
pub(super) enum RawLine {
    /// Its bytes, without the end of line, and without a byte order mark at the beginning of the
    /// file.
    Text(Vec<u8>),
    /// Longer than [`MAX_LINE_BYTES`]; skipped.
    TooLong,
}

/// Reads line by line.
pub(super) struct Lines<R> {
    pub(super) reader: R,
    number: u64,
    bytes: u64,
}

impl<R: BufRead> Lines<R> {
    /// The lines of what stands at its beginning.
    pub(super) fn of(reader: R) -> Lines<R> {
        Lines { reader, number: 0, bytes: 0 }
    }

    /// The number of the last line that was read.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// How many bytes were read.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next line that is not blank, with its number from 1.
    pub(super) fn next(&mut self) -> std::io::Result<Option<(u64, RawLine)>> {
        loop {
            let mut line = Vec::new();
            let bound = MAX_LINE_BYTES + MAX_END_BYTES + BYTE_ORDER_MARK.len();
            let read = self.reader.by_ref().take(bound as u64).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            self.bytes += read as u64;
            let is_whole = line.pop_if(|byte| *byte == b'\n').is_some();
            line.pop_if(|byte| *byte == b'\r');
            if self.number == 1 && line.starts_with(BYTE_ORDER_MARK) {
                line.drain(..BYTE_ORDER_MARK.len());
            }
            if line.len() > MAX_LINE_BYTES {
                if !is_whole {
                    self.skip_rest()?;
                }
                return Ok(Some((self.number, RawLine::TooLong)));
            }
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some((self.number, RawLine::Text(line))));
            }
        }
    }

    /// Skips to the end of the line.
    fn skip_rest(&mut self) -> std::io::Result<()> {
        loop {
            let buffer = self.reader.fill_buf()?;
            let (length, is_end) = match buffer.iter().position(|byte| *byte == b'\n') {
                Some(position) => (position + 1, true),
                None => (buffer.len(), buffer.is_empty()),
            };
            self.reader.consume(length);
            self.bytes += length as u64;
            if is_end {
                return Ok(());
            }
        }
    }
}
