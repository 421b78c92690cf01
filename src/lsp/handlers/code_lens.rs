//! Code lenses: how deep the stack of a function gets and how many ORC rows it has; the tables of its alternatives.
//!
//! In: [`Snapshot`], a document.  Out: lenses whose commands the client's extension knows.

use serde_json::json;
use tower_lsp::lsp_types::*;

use crate::report::{Select, alternatives, function_summaries};

use super::super::snapshot::Snapshot;
use super::super::to_proto::Placer;
use super::tables::spots;

/// The lenses of a document.
pub fn code_lens(snapshot: &Snapshot, params: &CodeLensParams) -> Option<Vec<CodeLens>> {
    let uri = &params.text_document.uri;
    let (document, _) = snapshot.unit(uri)?;
    let path = document.path.as_deref()?;
    let spot = spots(snapshot, uri, None).into_iter().next()?;
    let (analysis, lines) = (&spot.anatomy.analysis, &spot.anatomy.lines);
    let placer = Placer { snapshot, verdict: spot.verdict };
    let mut lenses = Vec::new();
    for summary in function_summaries(analysis, lines) {
        let (Some(file), Some(line)) = (&summary.file, summary.line) else { continue };
        if placer.file(file) != path {
            continue;
        }
        let rows = summary.orc_rows;
        let title = match summary.max_depth {
            Some(depth) => format!("stack {depth} bytes, {rows} ORC rows"),
            None => format!("{rows} ORC rows"),
        };
        lenses.push(lens(placer.range(path, line, None), title, "orcls.showCfi", uri));
    }
    let mut shown: Option<u32> = None;
    for group in alternatives("", analysis, lines, &Select::default()).groups {
        let (Some(file), Some(line)) = (&group.file, group.line) else { continue };
        if placer.file(file) != path || shown.replace(line) == Some(line) {
            continue;
        }
        let conflict = group.rows.iter().any(|row| row.conflict);
        let title = format!("{} arms{}", group.arms.len(), if conflict { ", in conflict" } else { "" });
        lenses.push(lens(placer.range(path, line, None), title, "orcls.showAlternatives", uri));
    }
    Some(lenses)
}

fn lens(range: Range, title: String, command: &str, uri: &Url) -> CodeLens {
    let arguments = vec![json!(uri), json!(range.start)];
    CodeLens {
        range,
        command: Some(Command { title, command: command.to_owned(), arguments: Some(arguments) }),
        data: None,
    }
}
