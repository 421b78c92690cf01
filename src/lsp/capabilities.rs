//! What the server says that it can do. Each line has a handler and a test.
//!
//! In: [`Session`].  Out: the answer of `initialize`, and what is registered later.

use serde_json::json;
use tower_lsp::lsp_types::*;

use super::handlers::assembly::inactive::legend;
use super::handlers::check_workspace::COMMAND;
use super::session::{Delivery, Feature, Session};

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
    // What is for assembly alone is registered so, where the client takes registrations: C is the business of others.
    let is_static = |feature: Feature| !session.registers.contains(&feature);
    InitializeResult {
        capabilities: ServerCapabilities {
            document_symbol_provider: is_static(Feature::Symbols).then_some(OneOf::Left(true)),
            definition_provider: is_static(Feature::Definition).then_some(OneOf::Left(true)),
            references_provider: is_static(Feature::References).then_some(OneOf::Left(true)),
            document_highlight_provider: is_static(Feature::Highlight).then_some(OneOf::Left(true)),
            workspace_symbol_provider: Some(OneOf::Left(true)),
            document_link_provider: is_static(Feature::Links).then(links),
            folding_range_provider: is_static(Feature::Folding).then_some(FoldingRangeProviderCapability::Simple(true)),
            selection_range_provider: is_static(Feature::Selection)
                .then_some(SelectionRangeProviderCapability::Simple(true)),
            semantic_tokens_provider: is_static(Feature::Tokens)
                .then(|| SemanticTokensServerCapabilities::SemanticTokensOptions(tokens())),
            completion_provider: is_static(Feature::Completion).then(completion),
            call_hierarchy_provider: is_static(Feature::Calls).then_some(CallHierarchyServerCapability::Simple(true)),
            signature_help_provider: is_static(Feature::Signature).then(signature),
            position_encoding: Some(session.encoding.kind()),
            text_document_sync: Some(sync.into()),
            code_action_provider: Some(CodeActionProviderCapability::Options(CodeActionOptions {
                code_action_kinds: Some(vec![CodeActionKind::QUICKFIX, CodeActionKind::REFACTOR_REWRITE]),
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

fn links() -> DocumentLinkOptions {
    DocumentLinkOptions {
        resolve_provider: Some(false),
        work_done_progress_options: WorkDoneProgressOptions::default(),
    }
}

fn tokens() -> SemanticTokensOptions {
    SemanticTokensOptions {
        legend: legend(),
        range: None,
        full: Some(SemanticTokensFullOptions::Bool(true)),
        work_done_progress_options: WorkDoneProgressOptions::default(),
    }
}

fn completion() -> CompletionOptions {
    let characters = ["%", ".", "\\", "#", "\"", "<", "/"];
    CompletionOptions {
        trigger_characters: Some(characters.map(str::to_owned).to_vec()),
        resolve_provider: Some(false),
        ..CompletionOptions::default()
    }
}

fn signature() -> SignatureHelpOptions {
    SignatureHelpOptions {
        trigger_characters: Some(vec![" ".to_owned(), ",".to_owned(), "(".to_owned()]),
        ..SignatureHelpOptions::default()
    }
}

/// The registration of what is for assembly alone: `.S` files, and headers, which may hold its macros.
fn for_assembly(feature: Feature) -> Registration {
    let (method, options) = match feature {
        Feature::Symbols => ("textDocument/documentSymbol", json!({})),
        Feature::Definition => ("textDocument/definition", json!({})),
        Feature::References => ("textDocument/references", json!({})),
        Feature::Highlight => ("textDocument/documentHighlight", json!({})),
        Feature::Links => ("textDocument/documentLink", json!(links())),
        Feature::Folding => ("textDocument/foldingRange", json!({})),
        Feature::Selection => ("textDocument/selectionRange", json!({})),
        Feature::Tokens => ("textDocument/semanticTokens", json!(tokens())),
        Feature::Completion => ("textDocument/completion", json!(completion())),
        Feature::Signature => ("textDocument/signatureHelp", json!(signature())),
        Feature::Calls => ("textDocument/prepareCallHierarchy", json!({})),
    };
    let mut options = options;
    if let Some(options) = options.as_object_mut() {
        let selector = json!([{"pattern": "**/*.{S,s,sx,asm,h,inc}"}]);
        options.insert("documentSelector".to_owned(), selector);
    }
    Registration { id: format!("orcls-{method}"), method: method.to_owned(), register_options: Some(options) }
}

/// What is registered when the client is ready, as far as it takes registrations. A client that does not is looked
/// after by polling.
pub fn dynamic(session: &Session) -> Vec<Registration> {
    let mut list: Vec<Registration> = session.registers.iter().copied().map(for_assembly).collect();
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
