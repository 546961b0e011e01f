//! The thread on which replication lives: openraft's tasks, the proposer, the connections to and from the peers, and the log.
//!
//! A request passes a dozen tasks. Were they on several threads, each hand-over could cost a wake-up of tens of microseconds, more than what is handed over; here it costs nothing. The
//! log is written on this thread too, and synced on it unless a leader syncs beside its followers (see `leader_sync`): openraft waits for each append anyway. Nothing that takes long may run here. Large entries
//! are written to the log on the thread that syncs and applied on the applier's, the book is read on others, and there clients are served, but for the first few connections, whose calls
//! then need no hand-over at all.

use std::future::Future;
use std::io;
use std::thread;

use tokio::runtime::{Builder, EnterGuard, Handle};
use tokio::sync::oneshot;

use super::slice::Slice;
use super::worker::Threads;

/// The thread, or in simulation the runtime of whoever calls.
#[derive(Debug)]
pub(super) struct Home {
    own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    handle: Handle,
    /// Taken when it ends.
    ending: Option<(oneshot::Sender<()>, thread::JoinHandle<()>)>,
}

impl Home {
    /// Starts the thread.
    pub(super) fn start(threads: Threads) -> io::Result<Home> {
        match threads {
            Threads::Inline => Ok(Home { own: None }),
            Threads::Own => {
                let runtime = Builder::new_current_thread().enable_all().build()?;
                let handle = runtime.handle().clone();
                let (stop, stopped) = oneshot::channel::<()>();
                let thread = thread::Builder::new().name("folio-raft".to_owned()).spawn(move || {
                    Slice::Short.take();
                    // Ends when it is told to, or when whoever could tell it is gone; what still runs here is dropped then.
                    let _ = runtime.block_on(stopped);
                })?;
                Ok(Home { own: Some(Own { handle, ending: Some((stop, thread)) }) })
            }
        }
    }

    /// Has what is spawned until the guard is dropped live here.
    pub(super) fn enter(&self) -> Option<EnterGuard<'_>> {
        self.own.as_ref().map(|own| own.handle.enter())
    }

    /// Does something here and waits for its end. If the wait is given up, so is the work.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> io::Result<T> {
        match &self.own {
            None => Ok(work.await),
            Some(own) => {
                let mut task = AbortOnDrop(own.handle.spawn(work));
                (&mut task.0).await.map_err(io::Error::other)
            }
        }
    }
}

/// A task that ends when nobody waits for it any more.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for Own {
    /// Returns when nothing runs here any more, so that the folder can be used again.
    fn drop(&mut self) {
        let Some((stop, thread)) = self.ending.take() else { return };
        // It may have ended by itself.
        let _ = stop.send(());
        if thread.thread().id() != thread::current().id() {
            // A panic there has been reported where it happened.
            let _ = thread.join();
        }
    }
}
