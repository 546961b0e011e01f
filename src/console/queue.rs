//! Lines on their way to a writer that may be slow, full, or gone.
//!
//! Whoever has a line hands it over and goes on; one thread writes. So a pipe that nobody reads
//! holds up that thread and no other. Lines of a log wait within a bound of bytes. What has no
//! room, and what cannot be written, is dropped and counted. A line that somebody must be told is
//! not bound by that, and its sender may wait for it.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many bytes of log lines may wait: some thousand lines.
const MAX_WAITING_BYTES: usize = 1024 * 1024;
/// Between two attempts at a writer that does not block and has no room.
const PAUSE: Duration = Duration::from_millis(10);

/// Who is told what became of a line.
enum Sort {
    /// Nobody; a loss is counted.
    Log,
    /// The sender.
    Message(Sender<io::Result<()>>),
}

struct Line {
    bytes: Vec<u8>,
    sort: Sort,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Line>,
    /// Of log lines, the one that is being written included.
    log_bytes: usize,
}

/// The lines that wait.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    dropped: AtomicU64,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(waiting: &mut Waiting, arrived: &Condvar, line: Line) {
        waiting.lines.push_back(line);
        arrived.notify_one();
    }

    /// Hands over a line of the log, or drops and counts it.
    pub(super) fn log(&self, bytes: Vec<u8>) {
        let mut waiting = self.waiting();
        if waiting.log_bytes + bytes.len() > MAX_WAITING_BYTES {
            self.count_dropped();
            return;
        }
        waiting.log_bytes += bytes.len();
        Queue::push(&mut waiting, &self.arrived, Line { bytes, sort: Sort::Log });
    }

    /// Hands over a line that must be told, behind all that wait; the receiver gets what became of
    /// it.
    pub(super) fn message(&self, bytes: Vec<u8>) -> Receiver<io::Result<()>> {
        let (sender, receiver) = mpsc::channel();
        let line = Line { bytes, sort: Sort::Message(sender) };
        Queue::push(&mut self.waiting(), &self.arrived, line);
        receiver
    }

    /// How many lines of the log were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Counts a line of the log that was not written.
    pub(super) fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits for the next line.
    fn next(&self) -> Line {
        let mut waiting = self.waiting();
        loop {
            if let Some(line) = waiting.lines.pop_front() {
                return line;
            }
            waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn is_empty(&self) -> bool {
        self.waiting().lines.is_empty()
    }

    /// Writes one line and tells or counts what became of it.
    fn write_next(&self, writer: &mut impl Write) {
        let line = self.next();
        let length = line.bytes.len();
        let result = write(writer, &line.bytes);
        match line.sort {
            Sort::Log => {
                self.waiting().log_bytes -= length;
                if result.is_err() {
                    self.count_dropped();
                }
            }
            Sort::Message(sender) => {
                // Whoever waited has gone on.
                let _ = sender.send(result);
            }
        }
    }

    /// Writes lines for as long as the process lives. `tell_dropped` is called with their number
    /// once lines were dropped and writing goes on.
    pub(super) fn write_on(&self, mut writer: impl Write, tell_dropped: impl Fn(u64)) -> ! {
        let mut told = 0;
        loop {
            let before = self.dropped();
            self.write_next(&mut writer);
            let dropped = self.dropped();
            // Not while more are dropped: that would be one more line for each.
            if dropped > told && dropped == before && self.is_empty() {
                tell_dropped(dropped - told);
                told = dropped;
            }
        }
    }
}

/// Writes all of it, whatever the writer's mode.
pub(super) fn write(writer: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match writer.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    /// A writer that gives the answers it was told to, and then takes everything.
    #[derive(Default)]
    struct Scripted {
        answers: VecDeque<io::Result<usize>>,
        written: Vec<u8>,
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let most = self.answers.pop_front().unwrap_or(Ok(usize::MAX))?.min(bytes.len());
            self.written.extend(&bytes[..most]);
            Ok(most)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn failing(kind: io::ErrorKind) -> Scripted {
        Scripted { answers: [Err(kind.into())].into(), written: Vec::new() }
    }

    #[test]
    fn what_cannot_be_written_is_dropped_and_counted_and_the_next_line_is_written() {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::BrokenPipe, io::ErrorKind::Other] {
            let queue = Queue::default();
            let mut writer = failing(kind);
            queue.log(b"lost\n".to_vec());
            queue.log(b"kept\n".to_vec());
            queue.write_next(&mut writer);
            assert_eq!(queue.dropped(), 1, "{kind}");
            queue.write_next(&mut writer);
            assert_eq!((queue.dropped(), writer.written.as_slice()), (1, &b"kept\n"[..]), "{kind}");
        }
    }

    #[test]
    fn lines_without_room_are_dropped_and_counted_until_there_is_room_again() {
        let queue = Queue::default();
        let line = vec![b'x'; 1024];
        let fit = MAX_WAITING_BYTES / line.len();
        for _ in 0..fit + 3 {
            queue.log(line.clone());
        }
        assert_eq!(queue.dropped(), 3);
        // What must be told has room all the same.
        let told = queue.message(b"told\n".to_vec());
        let mut writer = Scripted::default();
        queue.write_next(&mut writer);
        queue.log(line.clone());
        assert_eq!(queue.dropped(), 3, "one was written, so one more has room");
        for _ in 0..fit {
            queue.write_next(&mut writer);
        }
        assert!(told.recv().unwrap().is_ok());
        assert!(writer.written.ends_with(b"told\n"));
    }

    #[test]
    fn who_sends_a_message_learns_what_became_of_it() {
        let queue = Queue::default();
        let told = queue.message(b"a message\n".to_vec());
        queue.write_next(&mut failing(io::ErrorKind::BrokenPipe));
        assert_eq!(told.recv().unwrap().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(queue.dropped(), 0, "it is no line of the log");
    }

    #[test]
    fn a_line_is_written_whole_whatever_the_writer_takes_at_a_time() {
        let again = || Err(io::ErrorKind::WouldBlock.into());
        let interrupted = Err(io::ErrorKind::Interrupted.into());
        let mut writer =
            Scripted { answers: [Ok(2), again(), Ok(1), interrupted, again(), Ok(3)].into(), written: Vec::new() };
        write(&mut writer, b"abcdefgh").unwrap();
        assert_eq!(writer.written, b"abcdefgh");
        let mut closed = Scripted { answers: [Ok(0)].into(), written: Vec::new() };
        assert_eq!(write(&mut closed, b"a").unwrap_err().kind(), io::ErrorKind::WriteZero);
    }
}
