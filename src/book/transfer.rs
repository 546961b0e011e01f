//! Moving a whole book between replicas: a view as bounded chunks, and the installing of them, all or nothing.
//!
//! A chunk holds pairs one after another: kind (u8), key length (u16), key, value length (u32), value; numbers big-endian. Pairs
//! come in the order of kinds and keys.

use std::sync::Arc;

use super::records::{self, DATA_KINDS, Kind, Spaces, meta::Meta};
use super::view::BookView;
use super::{Book, BookError, BookResult, drop_other_generations};
use crate::store::{Batch, Direction, KeyRange};

/// About how large a chunk is, in bytes; a chunk ends with the first pair that reaches it.
pub const CHUNK_BYTES: usize = 512 * 1024;

/// Reads a view chunk by chunk.
pub struct Source {
    view: Arc<BookView>,
    kind: usize,
    after: Option<Vec<u8>>,
}

impl Source {
    /// Begins at the first pair.
    pub fn new(view: Arc<BookView>) -> Source {
        Source { view, kind: 0, after: None }
    }

    /// The next chunk; `None` after the last.
    ///
    /// # Errors
    /// When the book cannot be read.
    pub fn next_chunk(&mut self) -> BookResult<Option<Vec<u8>>> {
        let mut chunk = Vec::new();
        while let Some(kind) = DATA_KINDS.get(self.kind).copied() {
            let range = match self.after.take() {
                Some(mut after) => {
                    after.push(0);
                    KeyRange::from(after)
                }
                None => KeyRange::all(),
            };
            for pair in self.view.scan(kind, &range, Direction::Forward)? {
                let (key, value) = pair?;
                push_pair(&mut chunk, kind, &key, &value);
                if chunk.len() >= CHUNK_BYTES {
                    self.after = Some(key.to_vec());
                    return Ok(Some(chunk));
                }
            }
            self.kind += 1;
        }
        Ok(if chunk.is_empty() { None } else { Some(chunk) })
    }
}

fn push_pair(chunk: &mut Vec<u8>, kind: Kind, key: &[u8], value: &[u8]) {
    // The engine's bounds on keys and values are below these lengths.
    chunk.push(kind as u8);
    chunk.extend_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes());
    chunk.extend_from_slice(key);
    chunk.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
    chunk.extend_from_slice(value);
}

fn take<'c>(rest: &mut &'c [u8], length: usize) -> BookResult<&'c [u8]> {
    let (taken, left) =
        rest.split_at_checked(length).ok_or_else(|| BookError::Snapshot("a chunk ends within a pair".to_owned()))?;
    *rest = left;
    Ok(taken)
}

fn take_pair<'c>(rest: &mut &'c [u8]) -> BookResult<(Kind, &'c [u8], &'c [u8])> {
    let unknown = || BookError::Snapshot("a chunk names an unknown kind of record".to_owned());
    let kind = take(rest, 1)?.first().copied().and_then(Kind::from_tag).ok_or_else(unknown)?;
    let key_length = take(rest, 2)?.iter().fold(0usize, |length, byte| length << 8 | usize::from(*byte));
    let key = take(rest, key_length)?;
    let value_length = take(rest, 4)?.iter().fold(0usize, |length, byte| length << 8 | usize::from(*byte));
    Ok((kind, key, take(rest, value_length)?))
}

/// Fills fresh spaces beside the book in use. Dropped without [`Sink::finish`], it leaves the book as it was; what it filled is dropped when the
/// next installation begins or the book is next opened.
pub struct Sink {
    book: Arc<Book>,
    spaces: Spaces,
    generation: u64,
}

impl Book {
    /// Begins to install a snapshot.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn install(self: &Arc<Book>) -> BookResult<Sink> {
        let present = self.meta().generation;
        drop_other_generations(self.engine.as_ref(), present)?;
        let generation = present + 1;
        let spaces = Spaces::open(self.engine.as_ref(), generation)?;
        Ok(Sink { book: Arc::clone(self), spaces, generation })
    }
}

impl Sink {
    /// Takes a chunk.
    ///
    /// # Errors
    /// [`BookError::Snapshot`] if it is malformed, or when the engine fails.
    pub fn push(&mut self, chunk: &[u8]) -> BookResult<()> {
        let mut batch = Batch::with_capacity(chunk.len() / 48, chunk.len() * 2);
        let mut rest = chunk;
        while !rest.is_empty() {
            let (kind, key, value) = take_pair(&mut rest)?;
            batch.put(self.spaces.of(kind), key, value);
        }
        Ok(self.book.engine.write(&batch)?)
    }

    /// Syncs what was filled, switches to it in one batch with `last_applied`, syncs that, and drops the old book.
    ///
    /// # Errors
    /// When the engine fails or the installed book does not load.
    pub fn finish(self, mut meta: Meta) -> BookResult<()> {
        let book = &self.book;
        book.engine.sync()?;
        meta.generation = self.generation;
        meta.installed_index = meta.index;
        {
            let mut hot = book.hot();
            let mut batch = Batch::new();
            batch.put(self.spaces.of(Kind::Meta), records::meta::KEY, &records::meta::encode(&meta));
            book.engine.write(&batch)?;
            book.engine.sync()?;
            book.reload(&mut hot, meta, self.spaces)?;
        }
        drop_other_generations(book.engine.as_ref(), self.generation)
    }
}
