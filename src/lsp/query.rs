//! Requests on their way from the transport to a worker and back.
//!
//! In: a function of a [`Snapshot`].  Out: exactly one answer.
//! Holds afterwards: a request that panics, is cancelled or outlives its worker is answered with an error.

use std::fmt::Debug;

use tokio::sync::oneshot;
use tower_lsp::jsonrpc::{Error, ErrorCode, Result};

use crate::cancel::{CancelToken, Cancelled};

use super::snapshot::Snapshot;
use super::workers::{Lost, Workers};

/// Where an answer is awaited.
#[derive(Debug)]
pub struct Reply<T>(oneshot::Sender<Result<T>>);

impl<T: Debug> Reply<T> {
    /// A place for an answer, and where it arrives.
    pub fn channel() -> (Reply<T>, oneshot::Receiver<Result<T>>) {
        let (sender, receiver) = oneshot::channel();
        (Reply(sender), receiver)
    }

    /// Answers. Nobody may be waiting any more.
    pub fn send(self, answer: Result<T>) {
        drop(self.0.send(answer));
    }

    /// Answers with what came of a job.
    pub fn settle(self, result: std::result::Result<std::result::Result<T, Cancelled>, Lost>) {
        self.send(match result {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Cancelled)) | Err(Lost::Dropped) => Err(Error::request_cancelled()),
            Err(Lost::Panicked(message)) => Err(internal(message)),
        });
    }
}

/// The answer to a request whose worker panicked.
pub fn internal(message: String) -> Error {
    Error { code: ErrorCode::InternalError, message: message.into(), data: None }
}

/// How long an answer may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// Milliseconds: it is made from what is known.
    Quick,
    /// As long as a compile or the analysis of an object.
    Slow,
}

/// A request that a worker answers from a snapshot.
pub trait Query: Send {
    /// Which workers it is for.
    fn pace(&self) -> Pace;

    /// Hands the request to a worker.
    fn submit(self: Box<Self>, snapshot: Snapshot, workers: &Workers<u64>, number: u64);
}

/// A function that answers a request, with what it needs to be run and answered.
pub struct Question<T, F> {
    /// How long the answer may take.
    pub pace: Pace,
    /// Set when nobody waits for the answer any more.
    pub token: CancelToken,
    /// Makes the answer.
    pub answer: F,
    /// Where it goes.
    pub reply: Reply<T>,
}

impl<T, F> Query for Question<T, F>
where
    T: Debug + Send + 'static,
    F: FnOnce(&Snapshot, &CancelToken) -> std::result::Result<T, Cancelled> + Send + 'static,
{
    fn pace(&self) -> Pace {
        self.pace
    }

    fn submit(self: Box<Self>, snapshot: Snapshot, workers: &Workers<u64>, number: u64) {
        let Question { token, answer, reply, .. } = *self;
        workers.submit(number, token, move |token| answer(&snapshot, token), move |result| reply.settle(result));
    }
}
