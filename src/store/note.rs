//! The note beside an engine: how many writes had been synced at the last sync.
//!
//! Two records at fixed places in one file of fixed size are overwritten in turn, so that a
//! record torn by a power cut leaves the one before. The note must never run ahead of the
//! engine's own files: it is what shows that an engine came back with less than it had promised.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::{
    StoreError,
    folder::{sync_folder, write_synced},
};

/// The name of the file.
pub(super) const NOTE_FILE: &str = "SYNCED";
const RECORD_BYTES: usize = 12;
/// Records lie in sectors of their own.
const PLACES: [u64; 2] = [0, 4096];
const FILE_BYTES: usize = 8192;

pub(super) struct WriteNote {
    path: PathBuf,
    file: File,
    writes: u64,
    next_place: usize,
}

impl WriteNote {
    /// Begins a note that says that nothing was synced.
    pub(super) fn create(folder: &Path) -> Result<Self, StoreError> {
        let mut bytes = vec![0; FILE_BYTES];
        bytes[..RECORD_BYTES].copy_from_slice(&encode(0));
        write_synced(folder, NOTE_FILE, &bytes)?;
        sync_folder(folder)?;
        Self::open(folder)
    }

    /// Reads the note. One record may be torn, both may not.
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(NOTE_FILE);
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.map_err(|error| StoreError::from_io("open the file", &path, error))?;
        let mut newest: Option<(u64, usize)> = None;
        for (index, place) in PLACES.into_iter().enumerate() {
            let mut record = [0; RECORD_BYTES];
            file.read_exact_at(&mut record, place)
                .map_err(|error| StoreError::from_io("read the file", &path, error))?;
            match decode(record) {
                Some(writes) if newest.is_none_or(|(known, _)| known < writes) => newest = Some((writes, index)),
                Some(_) | None => {}
            }
        }
        let Some((writes, index)) = newest else {
            let detail = format!("its file {NOTE_FILE} has no record with a valid checksum");
            return Err(StoreError::Damaged { folder: folder.to_path_buf(), detail });
        };
        Ok(Self { path, file, writes, next_place: (index + 1) % PLACES.len() })
    }

    /// How many writes were synced.
    pub(super) fn writes(&self) -> u64 {
        self.writes
    }

    /// Notes, durably, that so many writes are synced: for an engine that a power cut may rob of what it synced.
    pub(super) fn record_durably(&mut self, writes: u64) -> Result<(), StoreError> {
        self.record(writes)?;
        self.file.sync_data().map_err(|error| StoreError::from_io("note the sync", &self.path, error))
    }

    /// Notes that so many writes are synced, and leaves it to the system when that reaches the disk: for an engine that keeps what it synced through
    /// a power cut, so that only damage to its files can take it away. After a power cut the note may then be some seconds behind, never ahead.
    pub(super) fn record(&mut self, writes: u64) -> Result<(), StoreError> {
        let place = PLACES.get(self.next_place).copied().unwrap_or(0);
        let written = self.file.write_all_at(&encode(writes), place);
        written.map_err(|error| StoreError::from_io("note the sync", &self.path, error))?;
        self.writes = writes;
        self.next_place = (self.next_place + 1) % PLACES.len();
        Ok(())
    }
}

fn encode(writes: u64) -> [u8; RECORD_BYTES] {
    let mut record = [0; RECORD_BYTES];
    record[..8].copy_from_slice(&writes.to_le_bytes());
    record[8..].copy_from_slice(&checksum(writes).to_le_bytes());
    record
}

fn decode(record: [u8; RECORD_BYTES]) -> Option<u64> {
    let (writes, rest) = record.split_first_chunk::<8>()?;
    let writes = u64::from_le_bytes(*writes);
    (*rest == checksum(writes).to_le_bytes()).then_some(writes)
}

fn checksum(writes: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(b"synced writes");
    hasher.update(&writes.to_le_bytes());
    hasher.finalize()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_record_leaves_the_one_before_and_two_torn_ones_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut note = WriteNote::create(folder.path()).unwrap();
        for writes in [7, 8, 9] {
            note.record(writes).unwrap();
        }
        assert_eq!(WriteNote::open(folder.path()).unwrap().writes(), 9);
        // Nine went to the second place; tear it.
        note.file.write_all_at(&[0xff], PLACES[1]).unwrap();
        assert_eq!(WriteNote::open(folder.path()).unwrap().writes(), 8);
        note.file.write_all_at(&[0xff], PLACES[0]).unwrap();
        assert!(matches!(WriteNote::open(folder.path()), Err(StoreError::Damaged { .. })));
    }
}
