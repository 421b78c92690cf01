//! Everything that the server says without being asked. Nothing else calls the client.
//!
//! In: findings to publish, messages, questions.  Out: notifications and requests to the client; answers come back as
//! events.
//! Holds afterwards: of one file only the newest list is sent, never one equal to the last; a client that does not read
//! or does not answer stops nobody, and what waits for it is bounded.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, oneshot};
use tower_lsp::Client;
use tower_lsp::lsp_types::notification::{Notification, Progress};
use tower_lsp::lsp_types::request::{
    CodeLensRefresh, InlayHintRefreshRequest, RegisterCapability, Request, ShowMessageRequest, WorkDoneProgressCreate,
    WorkspaceConfiguration, WorkspaceDiagnosticRefresh,
};
use tower_lsp::lsp_types::{
    ConfigurationItem, ConfigurationParams, Diagnostic, MessageActionItem, MessageType, ProgressParams,
    ProgressParamsValue, ProgressToken, Registration, RegistrationParams, ShowMessageRequestParams, Url,
    WorkDoneProgress, WorkDoneProgressCreateParams,
};

use crate::clean;

use super::events::{Event, Events};
use super::trace::{Direction, Trace};

/// The button beside a message that has advice.
const WHAT_TO_DO: &str = "What to do";
/// More messages than this wait for a client that does not read; older ones are dropped.
const MAX_WAITING: usize = 256;

/// `orcls/statusChanged`: the answer of `orcls/status` for the file has changed.
#[derive(Debug)]
pub enum StatusChanged {}

/// The parameters of [`StatusChanged`].
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct StatusChangedParams {
    /// The file.
    pub uri: Url,
}

impl Notification for StatusChanged {
    type Params = StatusChangedParams;
    const METHOD: &'static str = "orcls/statusChanged";
}

/// What the client is to ask for again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refresh {
    /// Findings.
    Diagnostics,
    /// Inlay hints.
    InlayHints,
    /// Code lenses.
    CodeLens,
}

#[derive(Debug)]
enum Letter {
    Log(MessageType, String),
    Show(MessageType, String),
    Advise(String, String),
    Status(Url),
    Progress(ProgressToken, WorkDoneProgress),
    CreateProgress(ProgressToken),
    FetchSettings,
    Register(Vec<Registration>),
    Refresh(Refresh),
}

#[derive(Clone, PartialEq, Debug)]
struct Published {
    version: Option<i32>,
    diagnostics: Vec<Diagnostic>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// In the order in which they are to be sent.
    files: Vec<Url>,
    publishes: FxHashMap<Url, Published>,
    letters: VecDeque<Letter>,
    said: BTreeSet<&'static str>,
    closed: bool,
}

/// Where to leave what the client should get. Clones lead to the same client.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    waiting: Arc<Mutex<Waiting>>,
    wake: Arc<Notify>,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn post(&self, letter: Letter) {
        let mut waiting = self.lock();
        if waiting.letters.len() >= MAX_WAITING {
            waiting.letters.pop_front();
        }
        waiting.letters.push_back(letter);
        drop(waiting);
        self.wake.notify_one();
    }

    /// Shows these findings in a file, in place of all earlier ones.
    pub fn publish(&self, uri: Url, diagnostics: Vec<Diagnostic>, version: Option<i32>) {
        let mut waiting = self.lock();
        let newest = Published { version, diagnostics };
        if waiting.publishes.insert(uri.clone(), newest).is_none() {
            waiting.files.push(uri);
        }
        drop(waiting);
        self.wake.notify_one();
    }

    /// Writes into the client's log.
    pub fn log(&self, kind: MessageType, text: impl Into<String>) {
        self.post(Letter::Log(kind, clean::notification(&text.into())));
    }

    /// Shows a message to the user.
    pub fn show(&self, kind: MessageType, text: impl Into<String>) {
        self.post(Letter::Show(kind, clean::notification(&text.into())));
    }

    /// Shows a message to the user, unless one with the same `key` was shown before: the files differ, the advice does
    /// not.
    pub fn show_once(&self, key: &'static str, kind: MessageType, text: impl Into<String>) {
        if self.lock().said.insert(key) {
            self.show(kind, text);
        }
    }

    /// Shows a message with a button that leads to advice, unless one with the same advice was shown before.
    pub fn advise_once(&self, advice: &'static str, text: impl Into<String>) {
        if self.lock().said.insert(advice) {
            self.post(Letter::Advise(clean::notification(&text.into()), advice.to_owned()));
        }
    }

    /// Tells that the status of a file has changed.
    pub fn status_changed(&self, uri: Url) {
        let already = |letter: &Letter| matches!(letter, Letter::Status(of) if *of == uri);
        if !self.lock().letters.iter().any(already) {
            self.post(Letter::Status(uri));
        }
    }

    /// Asks the client to make a progress indicator.
    pub fn create_progress(&self, token: ProgressToken) {
        self.post(Letter::CreateProgress(token));
    }

    /// Moves a progress indicator. A step replaces one that has not been sent.
    pub fn progress(&self, token: ProgressToken, step: WorkDoneProgress) {
        let mut waiting = self.lock();
        let unsent = waiting.letters.iter_mut().find_map(|letter| match letter {
            Letter::Progress(of, step @ WorkDoneProgress::Report(_)) if *of == token => Some(step),
            _ => None,
        });
        match unsent {
            Some(older) if matches!(step, WorkDoneProgress::Report(_)) => *older = step,
            _ => {
                drop(waiting);
                self.post(Letter::Progress(token, step));
            }
        }
    }

    /// Asks for the settings; they arrive as [`Event::Settings`].
    pub fn fetch_settings(&self) {
        self.post(Letter::FetchSettings);
    }

    /// Asks the client to tell the server of more.
    pub fn register(&self, registrations: Vec<Registration>) {
        self.post(Letter::Register(registrations));
    }

    /// Tells the client to ask again.
    pub fn refresh(&self, what: Refresh) {
        let already = |letter: &Letter| matches!(letter, Letter::Refresh(other) if *other == what);
        if !self.lock().letters.iter().any(already) {
            self.post(Letter::Refresh(what));
        }
    }

    /// Sends nothing more.
    pub fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// Delivers until the outbox is closed.
    pub async fn deliver(self, client: Client, events: Events, trace: Trace, patience: Duration) {
        let mut postman = Postman { client, events, trace, patience, last: FxHashMap::default() };
        loop {
            let (publishes, letters) = {
                let mut waiting = self.lock();
                if waiting.closed {
                    return;
                }
                let mut lists = std::mem::take(&mut waiting.publishes);
                let files = std::mem::take(&mut waiting.files).into_iter();
                let publishes: Vec<(Url, Published)> =
                    files.filter_map(|uri| lists.remove(&uri).map(|list| (uri, list))).collect();
                (publishes, std::mem::take(&mut waiting.letters))
            };
            if publishes.is_empty() && letters.is_empty() {
                self.wake.notified().await;
            }
            for (uri, newest) in publishes {
                postman.publish(uri, newest).await;
            }
            for letter in letters {
                postman.carry(letter).await;
            }
        }
    }
}

struct Postman {
    client: Client,
    events: Events,
    trace: Trace,
    patience: Duration,
    last: FxHashMap<Url, Published>,
}

impl Postman {
    async fn publish(&mut self, uri: Url, newest: Published) {
        if self.last.get(&uri) == Some(&newest) {
            return;
        }
        self.traced("textDocument/publishDiagnostics", &newest.diagnostics);
        self.client.publish_diagnostics(uri.clone(), newest.diagnostics.clone(), newest.version).await;
        if newest.diagnostics.is_empty() && newest.version.is_none() {
            self.last.remove(&uri);
        } else {
            self.last.insert(uri, newest);
        }
    }

    async fn carry(&mut self, letter: Letter) {
        match letter {
            Letter::Log(kind, text) => self.client.log_message(kind, text).await,
            Letter::Show(kind, text) => self.client.show_message(kind, text).await,
            Letter::Advise(message, advice) => {
                let button = MessageActionItem { title: WHAT_TO_DO.to_owned(), properties: HashMap::new() };
                let params = ShowMessageRequestParams { typ: MessageType::INFO, message, actions: Some(vec![button]) };
                let client = self.client.clone();
                self.ask::<ShowMessageRequest>(params, move |_, picked| {
                    if picked.is_some() {
                        tokio::spawn(async move { client.show_message(MessageType::INFO, advice).await });
                    }
                })
                .await;
            }
            Letter::Status(uri) => {
                self.client.send_notification::<StatusChanged>(StatusChangedParams { uri }).await;
            }
            Letter::Progress(token, step) => {
                let params = ProgressParams { token, value: ProgressParamsValue::WorkDone(step) };
                self.client.send_notification::<Progress>(params).await;
            }
            Letter::CreateProgress(token) => {
                // Steps follow in any case: a client ignores those of a token that it did not accept.
                self.ask::<WorkDoneProgressCreate>(WorkDoneProgressCreateParams { token }, |_, _| {}).await;
            }
            Letter::FetchSettings => {
                let item = ConfigurationItem { scope_uri: None, section: Some("orcls".to_owned()) };
                let params = ConfigurationParams { items: vec![item] };
                self.ask::<WorkspaceConfiguration>(params, |events, settings| {
                    if let Some(settings) = settings.into_iter().next() {
                        events.post(Event::Settings(settings));
                    }
                })
                .await;
            }
            Letter::Register(registrations) => {
                self.ask::<RegisterCapability>(RegistrationParams { registrations }, |_, ()| {}).await;
            }
            Letter::Refresh(Refresh::Diagnostics) => self.ask::<WorkspaceDiagnosticRefresh>((), |_, ()| {}).await,
            Letter::Refresh(Refresh::InlayHints) => self.ask::<InlayHintRefreshRequest>((), |_, ()| {}).await,
            Letter::Refresh(Refresh::CodeLens) => self.ask::<CodeLensRefresh>((), |_, ()| {}).await,
        }
    }

    /// Sends a request. The answer is waited for by a task of its own: a client may never give one, and tower-lsp 0.20
    /// panics at an answer that nobody waits for any more, so that task waits on after its patience has ended.
    async fn ask<R>(&self, params: R::Params, then: impl FnOnce(&Events, R::Result) + Send + 'static)
    where
        R: Request + 'static,
        R::Params: Send,
        R::Result: Send,
    {
        let (client, events, patience) = (self.client.clone(), self.events.clone(), self.patience);
        self.traced(R::METHOD, &());
        let (answered, answer) = oneshot::channel();
        tokio::spawn(async move {
            drop(answered.send(client.send_request::<R>(params).await));
        });
        tokio::spawn(async move {
            match tokio::time::timeout(patience, answer).await {
                Ok(Ok(Ok(result))) => then(&events, result),
                Ok(_) => tracing::info!("the client refused {}", R::METHOD),
                Err(_) => tracing::warn!("the client did not answer {}", R::METHOD),
            }
        });
    }

    fn traced(&self, method: &str, content: &impl Serialize) {
        if self.trace.is_on() {
            let content = serde_json::to_string(content).unwrap_or_default();
            self.trace.message(Direction::Out, format!("{method} {content}").as_bytes());
        }
    }
}
