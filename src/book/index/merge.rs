//! Merging runs into one, a little with every entry of the log, so that no entry waits for all of it.

use std::sync::Arc;

use super::run::{Run, RunWriter};
use super::{Entry, IndexKind};
use crate::book::BookResult;
use crate::store::{Batch, Space, View};

/// Reads a run from its beginning to its end.
#[derive(Debug)]
struct Input<const K: usize> {
    run: Arc<Run<K>>,
    next_block: u32,
    block: std::vec::IntoIter<Entry<K>>,
}

impl<const K: usize> Input<K> {
    /// The next entry, which stays; the block after the last is read with `view`, any that is not older than the run.
    fn peek(&mut self, view: &dyn View, space: Space) -> BookResult<Option<Entry<K>>> {
        while self.block.as_slice().is_empty() && self.next_block < self.run.record.blocks {
            self.block = self.run.block(view, space, self.next_block)?.into_iter();
            self.next_block += 1;
        }
        Ok(self.block.as_slice().first().copied())
    }
}

/// Runs being merged into one.
#[derive(Debug)]
pub(super) struct Merge<const K: usize> {
    inputs: Vec<Input<K>>,
    /// Their numbers.
    pub(super) replaces: Vec<u64>,
    writer: RunWriter<K>,
    is_written: bool,
}

impl<const K: usize> Merge<K> {
    /// Begins to merge runs of one level into one of the next.
    pub(super) fn new(kind: &IndexKind, space: Space, number: u64, runs: &[Arc<Run<K>>]) -> Merge<K> {
        let entries = runs.iter().map(|run| run.record.entries).sum();
        let level = runs.iter().map(|run| run.record.level).max().unwrap_or(0).saturating_add(1);
        let input = |run: &Arc<Run<K>>| Input { run: Arc::clone(run), next_block: 0, block: Vec::new().into_iter() };
        Merge {
            inputs: runs.iter().map(input).collect(),
            replaces: runs.iter().map(|run| run.record.number).collect(),
            writer: RunWriter::new(kind, space, number, level, entries),
            is_written: false,
        }
    }

    /// Merges about `budget` entries more; `true` when all is written.
    pub(super) fn step(&mut self, view: &dyn View, space: Space, batch: &mut Batch, budget: usize) -> BookResult<bool> {
        for _ in 0..budget {
            if self.is_written {
                // Pieces of filter and fences are large: one a step.
                return Ok(!self.writer.write_piece(batch));
            }
            let mut least: Option<(usize, Entry<K>)> = None;
            for (position, input) in self.inputs.iter_mut().enumerate() {
                if let Some(entry) = input.peek(view, space)?
                    && least.is_none_or(|(_, known)| entry < known)
                {
                    least = Some((position, entry));
                }
            }
            match least {
                Some((position, entry)) => {
                    self.inputs[position].block.next();
                    self.writer.push(batch, entry);
                }
                None => {
                    self.writer.end_block(batch);
                    self.is_written = true;
                }
            }
        }
        Ok(false)
    }

    /// The merged run.
    pub(super) fn finish(self) -> Run<K> {
        self.writer.finish()
    }
}
