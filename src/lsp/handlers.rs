//! One module per kind of question; each is a function of a [`Snapshot`](super::snapshot::Snapshot).

pub mod assembly;
pub mod call_hierarchy;
pub mod check_workspace;
pub mod code_actions;
pub mod code_lens;
pub mod complaints;
pub mod diagnostics;
pub mod heads_of_c;
pub mod hover;
pub mod inlay_hints;
pub mod status;
pub mod tables;
pub mod unwind;

use serde::{Deserialize, Serialize};
use tower_lsp::lsp_types::{Position, TextDocumentIdentifier};

/// A table with more rows is of no use to a person, and no editor shows it.
const MOST_ROWS: usize = 20_000;

/// The parameters of the requests that orcls adds to the protocol.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlaceParams {
    /// The document.
    pub text_document: TextDocumentIdentifier,
    /// A place in it; without one, all of it.
    #[serde(default)]
    pub position: Option<Position>,
}
