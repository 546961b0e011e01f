//! Bars on standard error, where somebody is looking. They never touch standard output, which is for the figures.

use std::future::Future;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// A bar of so many things, with what they are, how many a second and how long it will take.
pub(super) fn bar(total: u64, what: impl Into<String>) -> ProgressBar {
    let bar = ProgressBar::new(total).with_message(what.into());
    match ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} ({per_sec}, {eta} left)") {
        Ok(style) => bar.with_style(style),
        // The bar's own look says less, but it is one.
        Err(_) => bar,
    }
}

/// Awaits something while a bar follows what `position` says.
pub(super) async fn while_shown<T>(bar: ProgressBar, position: impl Fn() -> u64, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    let ended = loop {
        tokio::select! {
            ended = &mut work => break ended,
            () = tokio::time::sleep(BETWEEN_LOOKS) => bar.set_position(position()),
        }
    };
    bar.finish_and_clear();
    ended
}
