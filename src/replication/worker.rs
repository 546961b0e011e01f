//! The seam for threads. In production replication and the log share a thread (see `home`), the applier has one, and questions run on threads that may block, so that no engine call
//! runs on an async worker; in simulation jobs run where they are given, on the one simulated thread. Nothing else on the way of a request may start a thread.

use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;

use super::slice::Slice;

/// Where jobs run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// Each worker has a thread; other jobs that block go to a pool.
    Own,
    /// Jobs run inline: for simulation on one thread.
    Inline,
}

impl Threads {
    /// Runs a job that blocks, where it stops no async worker, and waits for its result.
    ///
    /// # Errors
    /// The job panicked, or the runtime is shutting down.
    pub async fn run_blocking<T: Send + 'static>(
        self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, tokio::task::JoinError> {
        match self {
            Threads::Own => tokio::task::spawn_blocking(job).await,
            Threads::Inline => Ok(job()),
        }
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Runs jobs one after another, in the order in which they are given.
#[derive(Debug, Clone)]
pub(super) struct Worker {
    jobs: Option<mpsc::SyncSender<Job>>,
}

/// The worker has ended: the process is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the worker thread has ended")]
pub(super) struct Ended;

/// Jobs that may wait before a giver has to.
const MAX_WAITING_JOBS: usize = 1024;

impl Worker {
    /// Starts a worker, whose thread has the slice that is said.
    pub(super) fn start(threads: Threads, name: &str, slice: Slice) -> std::io::Result<Worker> {
        match threads {
            Threads::Inline => Ok(Worker { jobs: None }),
            Threads::Own => {
                let (sender, receiver) = mpsc::sync_channel::<Job>(MAX_WAITING_JOBS);
                thread::Builder::new().name(name.to_owned()).spawn(move || {
                    slice.take();
                    for job in receiver {
                        job();
                    }
                })?;
                Ok(Worker { jobs: Some(sender) })
            }
        }
    }

    /// A worker that runs jobs where they are given.
    pub(super) fn inline() -> Worker {
        Worker { jobs: None }
    }

    /// Gives a job whose result nobody waits for here.
    pub(super) fn give(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Ended> {
        match &self.jobs {
            None => {
                job();
                Ok(())
            }
            Some(jobs) => jobs.send(Box::new(job)).map_err(|_| Ended),
        }
    }

    /// Gives a job and waits for its result.
    pub(super) async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, Ended> {
        let (sender, receiver) = oneshot::channel();
        self.give(move || {
            // Whoever asked may have gone; the job was done all the same.
            let _ = sender.send(job());
        })?;
        receiver.await.map_err(|_| Ended)
    }
}
