//! The gate between transport and router: sees what tower-lsp keeps to itself.
//!
//! In: every message.  Out: the router's answers; when the client leaves, a sign to end.
//! Holds afterwards: `exit` ends the server at once. tower-lsp 0.20 would end at the message after it, which never comes.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::watch;
use tower_lsp::jsonrpc::{Error, Id, Request, Response};
use tower_service::Service;

use super::trace::{Direction, Trace};
use super::transport::UNREADABLE;

/// How far the client has got with leaving, and who it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Leave {
    /// It has asked the server to shut down.
    pub announced: bool,
    /// It has left.
    pub left: bool,
    /// Its process.
    pub parent: Option<u32>,
}

/// Wraps the router.
pub struct Gate<S> {
    inner: S,
    leave: watch::Sender<Leave>,
    trace: Trace,
}

impl<S> Gate<S> {
    /// A gate in front of `inner` that says through `leave` how far the client is.
    pub fn new(inner: S, leave: watch::Sender<Leave>, trace: Trace) -> Gate<S> {
        Gate { inner, leave, trace }
    }

    fn observe(&self, request: &Request) {
        match request.method() {
            "initialize" => {
                let parent = request.params().and_then(|params| params.get("processId")?.as_u64());
                let parent = parent.and_then(|pid| u32::try_from(pid).ok());
                self.leave.send_modify(|leave| leave.parent = parent);
            }
            "shutdown" => self.leave.send_modify(|leave| leave.announced = true),
            "exit" => self.leave.send_modify(|leave| leave.left = true),
            _ => {}
        }
    }
}

type Answer<E> = Pin<Box<dyn Future<Output = Result<Option<Response>, E>> + Send>>;

impl<S> Service<Request> for Gate<S>
where
    S: Service<Request, Response = Option<Response>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Option<Response>;
    type Error = S::Error;
    type Future = Answer<S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.observe(&request);
        if request.method() == UNREADABLE {
            let answer = Response::from_error(Id::Null, Error::parse_error());
            return Box::pin(async move { Ok(Some(answer)) });
        }
        let answer = self.inner.call(request);
        let trace = self.trace.clone();
        Box::pin(async move {
            let answer = answer.await?;
            if let Some(answer) = answer.as_ref().filter(|_| trace.is_on()) {
                trace.message(Direction::Out, &serde_json::to_vec(answer).unwrap_or_default());
            }
            Ok(answer)
        })
    }
}
