//! Code lenses: how deep the stack of a function gets and how many ORC rows it has; the tables of its alternatives.
//!
//! In: [`Snapshot`], a document.  Out: lenses whose commands the client's extension knows.

use serde_json::json;
use tower_lsp::lsp_types::*;

use crate::assembly::is_assembly_name;
use crate::report::summary::{is_padding, words_of};
use crate::report::{Select, alternatives, demangled};

use super::super::snapshot::Snapshot;
use super::super::to_proto::Placer;
use super::heads_of_c::head_in_c;
use super::tables::spots;
use super::unwind;

/// The lenses of a document.
pub fn code_lens(snapshot: &Snapshot, params: &CodeLensParams) -> Option<Vec<CodeLens>> {
    let uri = &params.text_document.uri;
    let (document, _) = snapshot.unit(uri)?;
    let path = document.path.as_deref()?;
    let Some(spot) = spots(snapshot, uri, None).into_iter().next() else {
        return unwind::code_lens(snapshot, params);
    };
    let (analysis, lines) = (&spot.anatomy.analysis, &spot.anatomy.lines);
    let placer = Placer { snapshot, verdict: spot.verdict };
    let mut lenses = Vec::new();
    let lines_of_text: Vec<&str> = document.text.as_str().lines().collect();
    let outline = is_assembly_name(path).then(|| document.parsed());
    for summary in spot.anatomy.functions().iter().filter(|summary| !is_padding(&summary.function)) {
        let (Some(file), Some(line)) = (&summary.file, summary.line) else { continue };
        if placer.file(file) != path {
            continue;
        }
        // Above the head, where assembly writes the name, and not above its first instruction.
        let head = outline.as_ref().and_then(|parsed| {
            let all = parsed.outline.named(&summary.function);
            all.filter(|found| found.kind.is_symbol()).map(|found| found.line).next()
        });
        let range = match head.and_then(|head| u32::try_from(head).ok()) {
            Some(head) => document.text.visible(head + 1, None, snapshot.session.encoding),
            None => {
                let range = placer.range(path, line, None);
                let name = demangled(&summary.function);
                match head_in_c(&lines_of_text, range.start.line as usize, &name).and_then(|at| u32::try_from(at).ok())
                {
                    Some(head) => document.text.visible(head + 1, None, snapshot.session.encoding),
                    None => range,
                }
            }
        };
        let title = format!("{}: {}", demangled(&summary.function), words_of(summary));
        lenses.push(lens(range, title, "orcls.showCfi", uri));
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
