//! What the client can do, and where it works: fixed by `initialize`.
//!
//! In: `initialize`.  Out: [`Session`].

use std::path::PathBuf;

use tower_lsp::lsp_types::{ClientCapabilities, InitializeParams, TextDocumentClientCapabilities};

use super::position::Encoding;

/// How findings reach the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Delivery {
    /// The server publishes them.
    #[default]
    Push,
    /// The client asks for them, and is told when to ask again.
    Pull,
}

/// What the server does for assembly alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Feature {
    /// `textDocument/documentSymbol`
    Symbols,
    /// `textDocument/definition`
    Definition,
    /// `textDocument/references`
    References,
    /// `textDocument/documentHighlight`
    Highlight,
    /// `textDocument/documentLink`
    Links,
    /// `textDocument/foldingRange`
    Folding,
    /// `textDocument/selectionRange`
    Selection,
    /// `textDocument/semanticTokens`
    Tokens,
    /// `textDocument/completion`
    Completion,
    /// `textDocument/signatureHelp`
    Signature,
    /// `textDocument/prepareCallHierarchy`
    Calls,
}

impl Feature {
    /// All of them.
    pub const ALL: [Feature; 11] = [
        Feature::Symbols,
        Feature::Definition,
        Feature::References,
        Feature::Highlight,
        Feature::Links,
        Feature::Folding,
        Feature::Selection,
        Feature::Tokens,
        Feature::Completion,
        Feature::Signature,
        Feature::Calls,
    ];

    /// Whether a client takes a registration for it, which can say that it is for assembly alone.
    fn registers(self, can: &TextDocumentClientCapabilities) -> bool {
        let dynamic = match self {
            Feature::Symbols => can.document_symbol.as_ref().and_then(|c| c.dynamic_registration),
            Feature::Definition => can.definition.as_ref().and_then(|c| c.dynamic_registration),
            Feature::References => can.references.as_ref().and_then(|c| c.dynamic_registration),
            Feature::Highlight => can.document_highlight.as_ref().and_then(|c| c.dynamic_registration),
            Feature::Links => can.document_link.as_ref().and_then(|c| c.dynamic_registration),
            Feature::Folding => can.folding_range.as_ref().and_then(|c| c.dynamic_registration),
            Feature::Selection => can.selection_range.as_ref().and_then(|c| c.dynamic_registration),
            Feature::Tokens => can.semantic_tokens.as_ref().and_then(|c| c.dynamic_registration),
            Feature::Completion => can.completion.as_ref().and_then(|c| c.dynamic_registration),
            Feature::Signature => can.signature_help.as_ref().and_then(|c| c.dynamic_registration),
            Feature::Calls => can.call_hierarchy.as_ref().and_then(|c| c.dynamic_registration),
        };
        dynamic == Some(true)
    }
}

/// The client.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// In what unit columns count.
    pub encoding: Encoding,
    /// Who sends findings.
    pub delivery: Delivery,
    /// The workspace folders.
    pub roots: Vec<PathBuf>,
    /// The client shows related information.
    pub related_information: bool,
    /// The client shows a link at a finding's code.
    pub code_description: bool,
    /// The client keeps the `data` of findings.
    pub diagnostic_data: bool,
    /// Hovers may be Markdown.
    pub markdown: bool,
    /// The client answers `workspace/configuration`.
    pub configuration: bool,
    /// The client wants to be asked to tell of changed settings.
    pub register_configuration: bool,
    /// The client can watch files for the server.
    pub register_watched_files: bool,
    /// The client shows progress that the server starts.
    pub progress: bool,
    /// The client can be told to ask for inlay hints again.
    pub refresh_inlay_hints: bool,
    /// The client can be told to ask for code lenses again.
    pub refresh_code_lens: bool,
    /// The client shows a message with a button, and does not stop the user for it.
    pub buttons: bool,
    /// The client shows symbols of a document as a tree.
    pub symbol_tree: bool,
    /// Requests about assembly that the client takes registrations for.
    pub registers: Vec<Feature>,
    /// The client's process, which the server does not outlive.
    pub parent: Option<u32>,
}

impl Session {
    /// Reads what the client says about itself.
    #[allow(deprecated, reason = "older clients name their folder by `rootUri` or `rootPath` only")]
    pub fn new(params: &InitializeParams) -> Session {
        let folders = params.workspace_folders.iter().flatten().map(|folder| &folder.uri);
        let mut roots: Vec<PathBuf> = folders.filter_map(|uri| uri.to_file_path().ok()).collect();
        if roots.is_empty() {
            roots.extend(params.root_uri.as_ref().and_then(|uri| uri.to_file_path().ok()));
        }
        if roots.is_empty() {
            roots.extend(params.root_path.as_ref().map(PathBuf::from));
        }
        Session { roots, parent: params.process_id, ..Session::from_capabilities(&params.capabilities) }
    }

    fn from_capabilities(can: &ClientCapabilities) -> Session {
        let workspace = can.workspace.as_ref();
        let document = can.text_document.as_ref();
        let general = can.general.as_ref();
        let publish = document.and_then(|d| d.publish_diagnostics.as_ref());
        let hover = document.and_then(|d| d.hover.as_ref()).and_then(|h| h.content_format.as_ref());
        // A client that pulls but can not be told to pull again would show each finding one edit late.
        let pulls = document.is_some_and(|d| d.diagnostic.is_some())
            && workspace.and_then(|w| w.diagnostic.as_ref()).is_some_and(|d| d.refresh_support == Some(true));
        Session {
            encoding: Encoding::negotiate(general.and_then(|g| g.position_encodings.as_deref())),
            delivery: if pulls { Delivery::Pull } else { Delivery::Push },
            roots: Vec::new(),
            related_information: publish.is_some_and(|p| p.related_information == Some(true)) || pulls,
            code_description: publish.is_none_or(|p| p.code_description_support != Some(false)),
            diagnostic_data: publish.is_none_or(|p| p.data_support != Some(false)),
            markdown: hover.is_none_or(|formats| {
                formats.first().is_none_or(|first| *first == tower_lsp::lsp_types::MarkupKind::Markdown)
            }),
            configuration: workspace.is_some_and(|w| w.configuration == Some(true)),
            register_configuration: workspace
                .and_then(|w| w.did_change_configuration.as_ref())
                .is_some_and(|d| d.dynamic_registration == Some(true)),
            register_watched_files: workspace
                .and_then(|w| w.did_change_watched_files.as_ref())
                .is_some_and(|d| d.dynamic_registration == Some(true)),
            progress: can.window.as_ref().is_some_and(|w| w.work_done_progress == Some(true)),
            refresh_inlay_hints: workspace
                .and_then(|w| w.inlay_hint.as_ref())
                .is_some_and(|h| h.refresh_support == Some(true)),
            refresh_code_lens: workspace
                .and_then(|w| w.code_lens.as_ref())
                .is_some_and(|l| l.refresh_support == Some(true)),
            // Clients that keep more of a button than its title show it beside the message; others ask, and wait.
            buttons: can
                .window
                .as_ref()
                .and_then(|w| w.show_message.as_ref())
                .and_then(|m| m.message_action_item.as_ref())
                .is_some_and(|item| item.additional_properties_support == Some(true)),
            symbol_tree: document
                .and_then(|d| d.document_symbol.as_ref())
                .is_some_and(|d| d.hierarchical_document_symbol_support == Some(true)),
            registers: Feature::ALL
                .iter()
                .copied()
                .filter(|feature| document.is_some_and(|d| feature.registers(d)))
                .collect(),
            parent: None,
        }
    }
}
