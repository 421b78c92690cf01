//! The mailbox: turns calls of the protocol into events, in their order, and does nothing else.
//!
//! In: calls from tower-lsp.  Out: [`Event`]s; answers awaited.
//! Holds afterwards: every method has posted its event before it waits for anything, so that events stand in the order
//! in which the client sent them; when a caller goes away, whoever works for it is told.

use std::fmt::Debug;

use serde_json::Value;
use tower_lsp::LanguageServer;
use tower_lsp::jsonrpc::{Error, Result};
use tower_lsp::lsp_types::*;

use crate::cancel::{CancelToken, Cancelled};

use super::events::{Event, Events};
use super::handlers::{self, assembly};
use super::query::{Pace, Question, Reply};
use super::snapshot::Snapshot;

/// The server, as tower-lsp sees it.
pub struct Backend {
    events: Events,
}

/// Cancels when the future that waits for an answer is dropped: that is how tower-lsp cancels a request.
struct CancelOnDrop(CancelToken);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Backend {
    /// A mailbox for the loop behind `events`.
    pub fn new(events: Events) -> Backend {
        Backend { events }
    }

    async fn ask<T: Debug>(&self, event: impl FnOnce(Reply<T>) -> Event) -> Result<T> {
        let (reply, answer) = Reply::channel();
        self.events.post(event(reply));
        answer.await.unwrap_or_else(|_| Err(Error::internal_error()))
    }

    async fn query<T, F>(&self, pace: Pace, answer: F) -> Result<T>
    where
        T: Debug + Send + 'static,
        F: FnOnce(&Snapshot, &CancelToken) -> std::result::Result<T, Cancelled> + Send + 'static,
    {
        let guard = CancelOnDrop(CancelToken::default());
        let token = guard.0.clone();
        self.ask(|reply| Event::Query(Box::new(Question { pace, token, answer, reply }))).await
    }

    /// `orcls/cfi`
    pub async fn cfi(&self, params: handlers::PlaceParams) -> Result<Value> {
        self.query(Pace::Slow, move |snapshot, cancel| handlers::tables::cfi(snapshot, &params, cancel)).await
    }

    /// `orcls/alternatives`
    pub async fn alternatives(&self, params: handlers::PlaceParams) -> Result<Value> {
        self.query(Pace::Slow, move |snapshot, cancel| handlers::tables::alternatives(snapshot, &params, cancel)).await
    }

    /// `orcls/orc`
    pub async fn orc(&self, params: handlers::PlaceParams) -> Result<Value> {
        self.query(Pace::Slow, move |snapshot, cancel| handlers::tables::orc(snapshot, &params, cancel)).await
    }

    /// `orcls/expandMacro`
    pub async fn expand_macro(&self, params: handlers::PlaceParams) -> Result<Value> {
        self.query(Pace::Quick, move |snapshot, _| Ok(assembly::expand::expand_macro(snapshot, &params))).await
    }

    /// `window/workDoneProgress/cancel`
    pub async fn cancel_progress(&self, params: WorkDoneProgressCancelParams) {
        self.events.post(Event::ProgressCancelled(params.token));
    }

    /// `orcls/status`
    pub async fn status(&self, params: handlers::PlaceParams) -> Result<Value> {
        self.query(Pace::Quick, move |snapshot, _| Ok(handlers::status::status(snapshot, &params))).await
    }
}

#[tower_lsp::async_trait]
impl LanguageServer for Backend {
    async fn initialize(&self, params: InitializeParams) -> Result<InitializeResult> {
        self.ask(|reply| Event::Initialize(Box::new(params), reply)).await
    }

    async fn initialized(&self, _: InitializedParams) {
        self.events.post(Event::Initialized);
    }

    async fn shutdown(&self) -> Result<()> {
        self.ask(Event::Shutdown).await
    }

    async fn did_open(&self, params: DidOpenTextDocumentParams) {
        self.events.post(Event::Opened(params));
    }

    async fn did_change(&self, params: DidChangeTextDocumentParams) {
        self.events.post(Event::Changed(params));
    }

    async fn did_save(&self, params: DidSaveTextDocumentParams) {
        self.events.post(Event::Saved(params));
    }

    async fn did_close(&self, params: DidCloseTextDocumentParams) {
        self.events.post(Event::Closed(params));
    }

    async fn did_change_configuration(&self, params: DidChangeConfigurationParams) {
        self.events.post(Event::SettingsChanged(params.settings));
    }

    async fn did_change_workspace_folders(&self, params: DidChangeWorkspaceFoldersParams) {
        self.events.post(Event::FoldersChanged(params));
    }

    async fn did_change_watched_files(&self, params: DidChangeWatchedFilesParams) {
        let files = params.changes.iter().filter_map(|change| change.uri.to_file_path().ok());
        self.events.post(Event::FilesChanged(files.collect()));
    }

    async fn execute_command(&self, params: ExecuteCommandParams) -> Result<Option<Value>> {
        let guard = CancelOnDrop(CancelToken::default());
        let token = guard.0.clone();
        self.ask(|reply| Event::Command(params, token, reply)).await
    }

    async fn hover(&self, params: HoverParams) -> Result<Option<Hover>> {
        self.query(Pace::Quick, move |snapshot, _| Ok(handlers::hover::hover(snapshot, &params))).await
    }

    async fn code_action(&self, params: CodeActionParams) -> Result<Option<CodeActionResponse>> {
        self.query(Pace::Slow, move |snapshot, cancel| handlers::code_actions::code_actions(snapshot, &params, cancel))
            .await
    }

    async fn inlay_hint(&self, params: InlayHintParams) -> Result<Option<Vec<InlayHint>>> {
        self.query(Pace::Quick, move |snapshot, _| Ok(handlers::inlay_hints::inlay_hints(snapshot, &params))).await
    }

    async fn code_lens(&self, params: CodeLensParams) -> Result<Option<Vec<CodeLens>>> {
        self.query(Pace::Quick, move |snapshot, _| Ok(handlers::code_lens::code_lens(snapshot, &params))).await
    }

    async fn diagnostic(&self, params: DocumentDiagnosticParams) -> Result<DocumentDiagnosticReportResult> {
        self.query(Pace::Quick, move |snapshot, _| Ok(handlers::diagnostics::document(snapshot, &params))).await
    }

    async fn workspace_diagnostic(&self, params: WorkspaceDiagnosticParams) -> Result<WorkspaceDiagnosticReportResult> {
        self.query(Pace::Quick, move |snapshot, _| Ok(handlers::diagnostics::workspace(snapshot, &params))).await
    }

    async fn document_symbol(&self, params: DocumentSymbolParams) -> Result<Option<DocumentSymbolResponse>> {
        self.query(Pace::Quick, move |snapshot, _| Ok(assembly::symbols::document(snapshot, &params))).await
    }

    async fn symbol(&self, params: WorkspaceSymbolParams) -> Result<Option<Vec<SymbolInformation>>> {
        self.query(Pace::Slow, move |snapshot, cancel| assembly::symbols::workspace(snapshot, &params, cancel)).await
    }

    async fn goto_definition(&self, params: GotoDefinitionParams) -> Result<Option<GotoDefinitionResponse>> {
        self.query(Pace::Quick, move |snapshot, cancel| assembly::navigation::definition(snapshot, &params, cancel))
            .await
    }

    async fn references(&self, params: ReferenceParams) -> Result<Option<Vec<Location>>> {
        self.query(Pace::Slow, move |snapshot, cancel| assembly::navigation::references(snapshot, &params, cancel))
            .await
    }

    async fn document_highlight(&self, params: DocumentHighlightParams) -> Result<Option<Vec<DocumentHighlight>>> {
        self.query(Pace::Quick, move |snapshot, _| Ok(assembly::navigation::highlight(snapshot, &params))).await
    }

    async fn document_link(&self, params: DocumentLinkParams) -> Result<Option<Vec<DocumentLink>>> {
        self.query(Pace::Quick, move |snapshot, _| Ok(assembly::navigation::links(snapshot, &params))).await
    }

    async fn folding_range(&self, params: FoldingRangeParams) -> Result<Option<Vec<FoldingRange>>> {
        self.query(Pace::Quick, move |snapshot, _| Ok(assembly::shape::folding(snapshot, &params))).await
    }

    async fn selection_range(&self, params: SelectionRangeParams) -> Result<Option<Vec<SelectionRange>>> {
        self.query(Pace::Quick, move |snapshot, _| Ok(assembly::shape::selection(snapshot, &params))).await
    }

    async fn semantic_tokens_full(&self, params: SemanticTokensParams) -> Result<Option<SemanticTokensResult>> {
        self.query(Pace::Quick, move |snapshot, _| Ok(assembly::inactive::tokens(snapshot, &params))).await
    }

    async fn completion(&self, params: CompletionParams) -> Result<Option<CompletionResponse>> {
        self.query(Pace::Quick, move |snapshot, _| Ok(assembly::completion::completion(snapshot, &params))).await
    }

    async fn signature_help(&self, params: SignatureHelpParams) -> Result<Option<SignatureHelp>> {
        self.query(Pace::Quick, move |snapshot, _| Ok(assembly::completion::signature_help(snapshot, &params))).await
    }

    async fn prepare_call_hierarchy(
        &self,
        params: CallHierarchyPrepareParams,
    ) -> Result<Option<Vec<CallHierarchyItem>>> {
        self.query(Pace::Quick, move |snapshot, _| Ok(handlers::call_hierarchy::prepare(snapshot, &params))).await
    }

    async fn incoming_calls(
        &self,
        params: CallHierarchyIncomingCallsParams,
    ) -> Result<Option<Vec<CallHierarchyIncomingCall>>> {
        self.query(Pace::Quick, move |snapshot, _| Ok(Some(handlers::call_hierarchy::incoming(snapshot, &params))))
            .await
    }

    async fn outgoing_calls(
        &self,
        params: CallHierarchyOutgoingCallsParams,
    ) -> Result<Option<Vec<CallHierarchyOutgoingCall>>> {
        self.query(Pace::Quick, move |snapshot, _| Ok(Some(handlers::call_hierarchy::outgoing(snapshot, &params))))
            .await
    }
}
