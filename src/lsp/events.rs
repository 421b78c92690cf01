//! What reaches the main loop, and the mailbox that it comes by.
//!
//! In: messages of the client, work that ended.  Out: one [`Event`] after the other, in the order in which they were posted.

use std::path::PathBuf;
use std::sync::mpsc::Sender;

use serde_json::Value;
use tower_lsp::lsp_types::{
    DidChangeTextDocumentParams, DidChangeWorkspaceFoldersParams, DidCloseTextDocumentParams,
    DidOpenTextDocumentParams, DidSaveTextDocumentParams, ExecuteCommandParams, InitializeParams, InitializeResult,
    ProgressToken,
};

use crate::cancel::CancelToken;

use super::query::{Query, Reply};
use super::verdict::{Trouble, Verdict};

/// Everything that can happen.
pub enum Event {
    /// The client introduces itself.
    Initialize(Box<InitializeParams>, Reply<InitializeResult>),
    /// The client is ready to be asked.
    Initialized,
    /// The client is about to leave.
    Shutdown(Reply<()>),
    /// The server is to end.
    Stop,
    /// A document was opened.
    Opened(DidOpenTextDocumentParams),
    /// A document was edited.
    Changed(DidChangeTextDocumentParams),
    /// A document was saved.
    Saved(DidSaveTextDocumentParams),
    /// A document was closed.
    Closed(DidCloseTextDocumentParams),
    /// Settings changed; with the settings, if the client passes them.
    SettingsChanged(Value),
    /// The settings.
    Settings(Value),
    /// Workspace folders changed.
    FoldersChanged(DidChangeWorkspaceFoldersParams),
    /// Files changed on disk.
    FilesChanged(Vec<PathBuf>),
    /// A request that is answered from a snapshot.
    Query(Box<dyn Query>),
    /// A command.
    Command(ExecuteCommandParams, CancelToken, Reply<Option<Value>>),
    /// The user stopped what a progress indicator stands for.
    ProgressCancelled(ProgressToken),
    /// A check of the workspace ended.
    Checked(Vec<Verdict>),
    /// A judgement ended.
    Judged(PathBuf, u64, Result<Box<Verdict>, Trouble>),
    /// Open files whose build has changed.
    Rebuilt(Vec<PathBuf>),
}

/// Where events are posted. Clones lead to the same loop.
#[derive(Clone, Debug)]
pub struct Events(Sender<Event>);

impl Events {
    /// A mailbox that `sender` leads to.
    pub fn new(sender: Sender<Event>) -> Events {
        Events(sender)
    }

    /// Posts an event; after the loop has ended, nobody reads it.
    pub fn post(&self, event: Event) {
        drop(self.0.send(event));
    }
}
