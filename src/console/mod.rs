//! Standard output and standard error: the one place of the program that writes to them.
//!
//! A write may fail, because a disk is full or a reader went away, or wait without end, because
//! nobody reads. Neither may end a replica or hold it up, and a command must end with a code that
//! is documented. So nothing here panics:
//! - [`print`] writes what a command was asked for and returns why it could not.
//! - [`say`] writes a message on standard error, in one line, and waits for it.
//! - [`Log`] takes the lines of the log, which are dropped and counted where they cannot be written
//!   ([why](../../../docs/decisions/0030-why-a-log-line-may-be-dropped.md)).
//!
//! It never decides what is said, and it never buffers what a command prints.

mod plain;
mod queue;

use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

pub use plain::plain;
use queue::Queue;

/// A stream of the process by another descriptor, so that no lock of the standard library is held
/// while it is written to.
fn duplicate(stream: impl AsFd) -> io::Result<File> {
    stream.as_fd().try_clone_to_owned().map(File::from)
}

/// Writes a text and an end of line to standard output, as it is.
///
/// # Errors
/// It could not be written. [`io::ErrorKind::BrokenPipe`]: whoever read has gone away.
pub fn print(text: &str) -> io::Result<()> {
    static OUTPUT: OnceLock<Option<File>> = OnceLock::new();
    let line = format!("{text}\n");
    match OUTPUT.get_or_init(|| duplicate(io::stdout()).ok()) {
        Some(output) => queue::write(&mut &*output, line.as_bytes()),
        None => queue::write(&mut io::stdout(), line.as_bytes()),
    }
}

/// Whether standard output is a terminal that shows colours.
#[must_use]
pub fn shows_colours() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The queue to standard error; none where no thread could be started to empty it.
struct Errors {
    queue: Queue,
    has_thread: bool,
}

static ERRORS: OnceLock<Errors> = OnceLock::new();

/// The queue, begun by whoever has something for it first.
fn errors() -> &'static Errors {
    // The thread waits here until the queue is there.
    ERRORS.get_or_init(|| {
        let writing = std::thread::Builder::new().name("folio-log".to_owned()).spawn(|| {
            let queue = &errors().queue;
            match duplicate(io::stderr()) {
                Ok(error) => queue.write_on(error, tell_dropped),
                Err(_) => queue.write_on(io::stderr(), tell_dropped),
            }
        });
        Errors { queue: Queue::default(), has_thread: writing.is_ok() }
    })
}

fn tell_dropped(lines: u64) {
    tracing::warn!(lines, "lines of the log were dropped, because standard error did not take them");
}

/// A text on one line, whatever is in it.
fn line_of(text: &str) -> Vec<u8> {
    let mut line = plain(text).into_owned();
    line.push('\n');
    line.into_bytes()
}

/// Writes a message to standard error, in one line, and waits until it is written.
///
/// # Errors
/// It could not be written.
pub fn say(message: &str) -> io::Result<()> {
    let Errors { queue, has_thread } = errors();
    if !has_thread {
        return queue::write(&mut io::stderr(), &line_of(message));
    }
    queue.message(line_of(message)).recv().unwrap_or_else(|gone| Err(io::Error::other(gone)))
}

/// As [`say`], but waits only so long. For what must end even if nobody reads; whether it was
/// written.
pub fn say_within(message: &str, bound: Duration) -> bool {
    let Errors { queue, has_thread } = errors();
    if !has_thread {
        return queue::write(&mut io::stderr(), &line_of(message)).is_ok();
    }
    matches!(queue.message(line_of(message)).recv_timeout(bound), Ok(Ok(())))
}

/// Waits until all that was handed over has been written or dropped, but only so long.
pub fn flush(bound: Duration) {
    if let Some(Errors { queue, has_thread: true }) = ERRORS.get() {
        // Either it is written or the time is up.
        let _ = queue.message(Vec::new()).recv_timeout(bound);
    }
}

/// How many lines of the log this process has dropped.
#[must_use]
pub fn dropped() -> u64 {
    ERRORS.get().map_or(0, |errors| errors.queue.dropped())
}

/// Takes the log's events, each in one line, and never fails.
#[derive(Debug, Clone, Copy)]
pub struct Log;

impl Write for Log {
    /// Takes a whole event: that is how it is handed over.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = line_of(text.trim_end_matches('\n'));
        let Errors { queue, has_thread } = errors();
        if *has_thread {
            queue.log(line);
        } else if queue::write(&mut io::stderr(), &line).is_err() {
            queue.count_dropped();
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Log;

    fn make_writer(&self) -> Log {
        Log
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_whatever_is_in_it() {
        assert_eq!(line_of("an account\nfolio: all is well"), b"an account\\nfolio: all is well\n");
        assert_eq!(line_of(""), b"\n");
    }
}
