//! `folio serve`.

use tokio::signal::unix::{SignalKind, signal};

use super::{CliError, CliResult};
use crate::replication::Slice;
use crate::server::{Config, ServeArgs, serve, unknown_variables};

/// The runtime that serves clients: a thread for each core but one, which is left to the thread of replication. More would only pass work back and forth.
pub(super) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.saturating_sub(1).max(1);
    // All of its threads begin with what this one has.
    Slice::Short.take();
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().thread_name("folio").build()
}

/// Serves until the process is asked to stop.
pub(super) async fn run(args: Box<ServeArgs>) -> CliResult {
    let config = Config::from_args(*args).map_err(|error| CliError::Usage(error.to_string()))?;
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for variable in unknown_variables(names) {
        tracing::warn!(%variable, "this variable is no setting of folio; is it misspelt?");
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            // If the handler cannot be set, only the other signal stops.
            result = tokio::signal::ctrl_c() => if result.is_err() { std::future::pending::<()>().await; },
        }
    };
    serve(config, stop).await.map_err(|error| CliError::General(error.to_string()))
}
