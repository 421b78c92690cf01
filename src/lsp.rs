//! The language server: findings, states and tables while a source file is edited.
//!
//! In: the Language Server Protocol.  Out: the same.
//! Holds afterwards: the process ends when the client says so, closes its end or dies; no compiler and no temporary file
//! outlives it.
//!
//! ```text
//!   client ── transport ── gate ── backend ── Event ──▶ main_loop ── Task ─────▶ workers ── engine: compile, analyse
//!      ▲                              ▲                 (World)   ── Snapshot ─▶ workers ── handlers
//!      │                              └── answer ───────────────────────────────────┘
//!      └────────── outbox ◀── findings, progress, questions ─┘ (and Event::Judged back to the loop)
//! ```

pub mod position;
mod moves;
pub mod documents;
pub mod assembly;
pub mod trace;
pub mod transport;
pub mod gate;
pub mod config;
pub mod session;
pub mod offers;
pub mod tables;
pub mod verdict;
pub mod names;
pub mod pages;
pub mod known;
mod recent;
pub mod engine;
pub mod units;
pub mod snapshot;
pub mod whole;
mod workers;
pub mod query;
pub mod events;
pub mod to_proto;
pub mod handlers;
pub mod outbox;
pub mod capabilities;
pub mod main_loop;
pub mod backend;

use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tower_lsp::{LspService, Server};

use backend::Backend;
use engine::Toolchain;
use events::{Event, Events};
use gate::{Gate, Leave};
use main_loop::World;
use outbox::Outbox;
use trace::Trace;
use verdict::Engine;

/// Handlers only wait, so many may be open at once; a cancellation needs a free slot to be heard.
const MAX_OPEN_REQUESTS: usize = 16 << 10;
/// Bytes between the way in and the transport.
const PIPE: usize = 1 << 20;
/// How long running work is waited for when the server ends.
const MAX_END: Duration = Duration::from_secs(5);
/// How often the client's process is looked at.
const PARENT_POLL: Duration = Duration::from_secs(2);

/// What a server needs from outside.
pub struct Host {
    /// What judges files.
    pub engine: Arc<dyn Engine>,
    /// How long the client may take to answer.
    pub patience: Duration,
    /// How long answers that are under way may take when the client is leaving.
    pub grace: Duration,
}

impl Host {
    /// A server with this engine and the usual patience.
    pub fn new(engine: Arc<dyn Engine>) -> Host {
        Host { engine, patience: Duration::from_secs(30), grace: Duration::from_secs(1) }
    }
}

/// Why the server ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The client asked for it: `shutdown`, then `exit`.
    Orderly,
    /// `exit` without `shutdown`, or the client is gone.
    Abrupt,
}

impl From<Ending> for ExitCode {
    /// LSP 3.17, "Exit Notification": 0 after `shutdown`, otherwise 1.
    fn from(ending: Ending) -> ExitCode {
        match ending {
            Ending::Orderly => ExitCode::SUCCESS,
            Ending::Abrupt => ExitCode::FAILURE,
        }
    }
}

/// `orcls lsp`: serves the client at standard input and output.
pub fn run() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let (runtime, engine) = match (runtime, Toolchain::new()) {
        (Ok(runtime), Ok(engine)) => (runtime, engine),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!("the server cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let host = Host::new(Arc::new(engine));
    let ending = runtime.block_on(serve(tokio::io::stdin(), tokio::io::stdout(), host, signalled()));
    // A read from standard input can not be stopped; the process does not wait for it.
    runtime.shutdown_background();
    match ending {
        Ok(ending) => ending.into(),
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Ends when the system asks the process to end.
async fn signalled() {
    let (Ok(mut terminate), Ok(mut hang_up), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::hangup()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Serves one client until it leaves, or until `stop` ends.
pub async fn serve(
    input: impl AsyncRead + Unpin + Send + 'static,
    output: impl AsyncWrite + Send + 'static,
    host: Host,
    stop: impl Future<Output = ()>,
) -> std::io::Result<Ending> {
    let (sender, receiver) = mpsc::channel();
    let (events, outbox, trace) = (Events::new(sender), Outbox::default(), Trace::default());
    let world = World::new(events.clone(), outbox.clone(), trace.clone(), host.engine)?;
    let running = std::thread::Builder::new().name("orcls-loop".to_owned()).spawn(move || world.run(&receiver))?;

    let (leave, leaving) = watch::channel(Leave::default());
    let (service, socket) = LspService::build(|client| {
        tokio::spawn(outbox.clone().deliver(client, events.clone(), trace.clone(), host.patience));
        Backend::new(events.clone())
    })
    .custom_method("orcls/cfi", Backend::cfi)
    .custom_method("orcls/alternatives", Backend::alternatives)
    .custom_method("orcls/orc", Backend::orc)
    .custom_method("orcls/status", Backend::status)
    .custom_method("orcls/expandMacro", Backend::expand_macro)
    .custom_method("window/workDoneProgress/cancel", Backend::cancel_progress)
    .finish();
    let (pipe_in, pipe_out) = tokio::io::duplex(PIPE);
    let gate = Gate::new(service, leave, trace.clone());
    let server = Server::new(pipe_out, output, socket).concurrency_level(MAX_OPEN_REQUESTS);
    let mut serving = tokio::spawn(async move {
        // Not every `impl AsyncWrite` can be moved while it is in use; this one stays in its task.
        server.serve(gate).await;
    });
    let mut reading = tokio::spawn(transport::sieve(input, pipe_in, trace));

    tokio::select! {
        () = client_has_left(leaving.clone()) => {}
        () = parent_is_gone(leaving.clone()) => {}
        () = stop => {}
        // The output is closed, or the transport broke.
        _ = &mut serving => {}
        _ = &mut reading => {
            // The input has ended: what was asked before may still be answered.
            drop(tokio::time::timeout(host.grace, &mut serving).await);
        }
    }
    let last = *leaving.borrow();
    outbox.close();
    events.post(Event::Stop);
    reading.abort();
    // The loop ends its workers, and they their compilers, before it is done.
    let end = tokio::task::spawn_blocking(move || running.join());
    if tokio::time::timeout(MAX_END, end).await.is_err() {
        tracing::warn!("work goes on that does not heed its cancellation");
    }
    serving.abort();
    Ok(if last.announced { Ending::Orderly } else { Ending::Abrupt })
}

async fn client_has_left(mut leaving: watch::Receiver<Leave>) {
    if leaving.wait_for(|leave| leave.left).await.is_err() {
        std::future::pending().await
    }
}

/// Ends when the client's process has ended; never for a client that did not name one.
async fn parent_is_gone(mut leaving: watch::Receiver<Leave>) {
    let Ok(parent) = leaving.wait_for(|leave| leave.parent.is_some()).await.map(|leave| leave.parent) else {
        return std::future::pending().await;
    };
    let parent = parent.and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
    let Some(parent) = parent else {
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep(PARENT_POLL).await;
        // A process of another user exists as well.
        if rustix::process::test_kill_process(parent) == Err(rustix::io::Errno::SRCH) {
            return;
        }
    }
}
