//! Signals that ask a command to end, for commands that must say something first.

use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{CliError, CliResult};
use crate::client::{Failure, FailureKind};

/// SIGINT and SIGTERM. Once made, they no longer end the process by themselves.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(super) fn new() -> std::io::Result<Signals> {
        Ok(Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for one and tells its name.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }

    /// From now on a signal ends the process at once, with this code: all that is left is to print,
    /// and whoever should read may have stopped reading.
    pub(super) fn end_the_process(mut self, code: u8) {
        tokio::spawn(async move {
            self.next().await;
            std::process::exit(code.into());
        });
    }
}

/// Sends what a file holds, until a signal comes. The file has the request ids, so it is what must
/// be given again.
pub(super) async fn or_stopped(sending: impl Future<Output = CliResult>) -> CliResult {
    let mut signals = Signals::new()?;
    let (result, code) = tokio::select! {
        biased;
        result = sending => (result, CliError::GENERAL),
        signal = signals.next() => {
            let message = format!("{signal} came before all lines were answered; the outcome of the last sent is not known");
            let mut failure = Failure::local(FailureKind::Unknown, message);
            failure.remedy = "Import the same file again: what was decided is answered as before.".into();
            let error = CliError::Call(failure);
            let code = error.code();
            (Err(error), code)
        }
    };
    signals.end_the_process(code);
    result
}
