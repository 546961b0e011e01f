//! What the program tells its user. It ends with the verdict's code, whether or not somebody reads.

use std::fmt::Display;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};

use folio::console;

static IS_UNTOLD: AtomicBool = AtomicBool::new(false);

/// Prints on standard output, with an end of line.
pub(crate) fn tell(text: impl Display) {
    match console::print(&text.to_string()) {
        // Whoever read has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        Ok(()) => {}
        Err(_) => IS_UNTOLD.store(true, Ordering::Relaxed),
    }
}

/// Says what went wrong, on standard error. Where nobody can be told, nothing is to be done.
pub(crate) fn say(message: &str) {
    let _ = console::say(message);
}

/// Whether something could not be printed that somebody waits for.
pub(crate) fn is_untold() -> bool {
    IS_UNTOLD.load(Ordering::Relaxed)
}
