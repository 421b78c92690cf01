//! `textDocument/semanticTokens/full` for assembly: lines that the preprocessor leaves out look like comments.
//!
//! In: [`Snapshot`], a document.  Out: a token for each line that is left out.

use tower_lsp::lsp_types::*;

use super::super::super::assembly::includes::preprocessed;
use super::super::super::assembly::view::View;
use super::super::super::snapshot::Snapshot;

/// The kinds of tokens that there are.
pub fn legend() -> SemanticTokensLegend {
    SemanticTokensLegend { token_types: vec![SemanticTokenType::COMMENT], token_modifiers: Vec::new() }
}

/// `textDocument/semanticTokens/full`
pub fn tokens(snapshot: &Snapshot, params: &SemanticTokensParams) -> Option<SemanticTokensResult> {
    let view = View::of(snapshot, &params.text_document.uri)?;
    let done = preprocessed(&view);
    let (mut last, mut data) = (0, Vec::new());
    for line in done.left_out().into_iter().flatten() {
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        let range = view.document.text.visible(line.saturating_add(1), None, view.encoding());
        let length = range.end.character.saturating_sub(range.start.character);
        if range.start.line != line || length == 0 {
            continue;
        }
        data.push(SemanticToken {
            delta_line: line - last,
            delta_start: range.start.character,
            length,
            token_type: 0,
            token_modifiers_bitset: 0,
        });
        last = line;
    }
    Some(SemanticTokensResult::Tokens(SemanticTokens { result_id: None, data }))
}
