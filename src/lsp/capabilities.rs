//! What the server says that it can do. Each line has a handler and a test.
//!
//! In: [`Session`].  Out: the answer of `initialize`, and what is registered later.

use serde_json::json;
use tower_lsp::lsp_types::*;

use super::handlers::check_workspace::COMMAND;
use super::session::{Delivery, Session};

/// The answer of `initialize`.
pub fn announce(session: &Session) -> InitializeResult {
    let sync = TextDocumentSyncOptions {
        open_close: Some(true),
        change: Some(TextDocumentSyncKind::INCREMENTAL),
        save: Some(SaveOptions { include_text: Some(false) }.into()),
        ..TextDocumentSyncOptions::default()
    };
    let pull = DiagnosticOptions {
        identifier: Some("orcls".to_owned()),
        inter_file_dependencies: true,
        workspace_diagnostics: true,
        work_done_progress_options: WorkDoneProgressOptions::default(),
    };
    let folders =
        WorkspaceFoldersServerCapabilities { supported: Some(true), change_notifications: Some(OneOf::Left(true)) };
    InitializeResult {
        capabilities: ServerCapabilities {
            position_encoding: Some(session.encoding.kind()),
            text_document_sync: Some(sync.into()),
            code_action_provider: Some(CodeActionProviderCapability::Options(CodeActionOptions {
                code_action_kinds: Some(vec![CodeActionKind::QUICKFIX]),
                ..CodeActionOptions::default()
            })),
            inlay_hint_provider: Some(OneOf::Left(true)),
            code_lens_provider: Some(CodeLensOptions { resolve_provider: Some(false) }),
            hover_provider: Some(HoverProviderCapability::Simple(true)),
            diagnostic_provider: match session.delivery {
                Delivery::Push => None,
                Delivery::Pull => Some(DiagnosticServerCapabilities::Options(pull)),
            },
            execute_command_provider: Some(ExecuteCommandOptions {
                commands: vec![COMMAND.to_owned()],
                work_done_progress_options: WorkDoneProgressOptions { work_done_progress: Some(true) },
            }),
            workspace: Some(WorkspaceServerCapabilities { workspace_folders: Some(folders), file_operations: None }),
            ..ServerCapabilities::default()
        },
        server_info: Some(ServerInfo { name: "orcls".to_owned(), version: Some(env!("CARGO_PKG_VERSION").to_owned()) }),
    }
}

/// What is registered when the client is ready, as far as it takes registrations. A client that does not is looked
/// after by polling.
pub fn dynamic(session: &Session) -> Vec<Registration> {
    let mut list = Vec::new();
    if session.register_configuration {
        list.push(Registration {
            id: "orcls-settings".to_owned(),
            method: "workspace/didChangeConfiguration".to_owned(),
            register_options: Some(json!({"section": "orcls"})),
        });
    }
    if session.register_watched_files {
        list.push(Registration {
            id: "orcls-files".to_owned(),
            method: "workspace/didChangeWatchedFiles".to_owned(),
            // A database; and what a text includes, when it changes behind the editor's back.
            register_options: Some(json!({"watchers": [
                {"globPattern": "**/compile_commands.json"},
                {"globPattern": "**/*.{h,S,c,inc}"},
            ]})),
        });
    }
    list
}
