//! `textDocument/foldingRange` and `selectionRange` for assembly.
//!
//! In: [`Snapshot`], a document.  Out: what can be folded, and what a selection grows to.

use tower_lsp::lsp_types::*;

use crate::assembly::{DefinitionKind, LineKind, Source};

use super::super::super::assembly::view::View;
use super::super::super::snapshot::Snapshot;

/// A part of a text that belongs together, by its lines.
struct Part {
    first: usize,
    last: usize,
    kind: Option<FoldingRangeKind>,
}

/// `textDocument/foldingRange`: functions, macros, branches of the preprocessor and of the assembler, comments, runs of
/// includes.
pub fn folding(snapshot: &Snapshot, params: &FoldingRangeParams) -> Option<Vec<FoldingRange>> {
    let view = View::of(snapshot, &params.text_document.uri)?;
    let ranges = parts(&view).into_iter().filter(|part| part.last > part.first).map(|part| FoldingRange {
        start_line: line(part.first),
        start_character: None,
        end_line: line(part.last),
        end_character: None,
        kind: part.kind,
        collapsed_text: None,
    });
    Some(ranges.collect())
}

fn line(line: usize) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}

fn parts(view: &View<'_>) -> Vec<Part> {
    let source = &view.parsed.source;
    let mut all = Vec::new();
    let spans = |kind| {
        use DefinitionKind::{Alternative, Code, Data, Define, Function, Macro};
        matches!(kind, Function | Code | Data | Macro | Define | Alternative)
    };
    let definitions = view.parsed.outline.definitions.iter().filter(|found| spans(found.kind));
    all.extend(definitions.map(|found| Part { first: found.line, last: found.last, kind: None }));
    let comments = source.comments().iter();
    all.extend(comments.map(|lines| Part {
        first: lines.start,
        last: lines.end.saturating_sub(1),
        kind: Some(FoldingRangeKind::Comment),
    }));
    branches(source, &mut all);
    all.sort_by_key(|part| (part.first, std::cmp::Reverse(part.last)));
    all.dedup_by_key(|part| (part.first, part.last));
    all
}

/// `#if` to `#else` to `#endif`, the same of the assembler, and includes that follow each other.
fn branches(source: &Source, all: &mut Vec<Part>) {
    let (mut open, mut of_assembler): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
    let mut includes: Option<(usize, usize)> = None;
    for line in 0..source.n_lines() {
        if let Some((word, _)) = source.directive(line) {
            if word.starts_with("include") {
                includes = Some(includes.map_or((line, line), |(first, _)| (first, line)));
                continue;
            }
            let ends = matches!(word.as_str(), "else" | "endif") || word.starts_with("elif");
            if ends && let Some(first) = open.pop() {
                // The line that ends a branch stays in sight.
                all.push(Part { first, last: line.saturating_sub(1), kind: Some(FoldingRangeKind::Region) });
            }
            if word != "endif" && (ends || word.starts_with("if")) {
                open.push(line);
            }
        }
        if !source.line(line).trim().is_empty()
            && let Some((first, last)) = includes.take()
        {
            all.push(Part { first, last, kind: Some(FoldingRangeKind::Imports) });
        }
        if source.kind(line) != LineKind::Code {
            continue;
        }
        for piece in source.pieces(line) {
            let word = piece.text.split(|c: char| c.is_whitespace() || c == '(').next().unwrap_or_default();
            let ends = matches!(word, ".else" | ".elseif" | ".endif" | ".endr" | ".popsection");
            if ends && let Some(first) = of_assembler.pop() {
                all.push(Part { first, last: line.saturating_sub(1), kind: Some(FoldingRangeKind::Region) });
            }
            let begins = word.starts_with(".if") || word.starts_with(".irp") || word.starts_with(".rept");
            if begins || matches!(word, ".else" | ".elseif" | ".pushsection") {
                of_assembler.push(line);
            }
        }
    }
    if let Some((first, last)) = includes {
        all.push(Part { first, last, kind: Some(FoldingRangeKind::Imports) });
    }
}

/// `textDocument/selectionRange`: the name, the statement, the line, what folds around it, the text.
pub fn selection(snapshot: &Snapshot, params: &SelectionRangeParams) -> Option<Vec<SelectionRange>> {
    let view = View::of(snapshot, &params.text_document.uri)?;
    let parts = parts(&view);
    Some(params.positions.iter().map(|at| around(&view, &parts, *at)).collect())
}

fn around(view: &View<'_>, parts: &[Part], at: Position) -> SelectionRange {
    let source = &view.parsed.source;
    let number = at.line as usize;
    let column = view.document.text.column(at, view.encoding());
    let mut ranges: Vec<Range> = Vec::new();
    if let Some((line, name)) = view.name_at(at) {
        ranges.push(view.range(line, name.column, name.text.len()));
    }
    let piece = source
        .pieces(number)
        .into_iter()
        .find(|piece| (piece.column..=piece.column + piece.text.len()).contains(&column));
    if let Some(piece) = piece {
        ranges.push(view.range(number, piece.column, piece.text.len()));
    }
    ranges.push(view.document.text.visible(at.line.saturating_add(1), None, view.encoding()));
    let first = source.first_of(number.min(source.n_lines().saturating_sub(1)));
    ranges.push(view.lines(first, source.last_of(first)));
    let outer = parts.iter().rev().filter(|part| (part.first..=part.last).contains(&number));
    let mut outer: Vec<&Part> = outer.collect();
    outer.sort_by_key(|part| part.last - part.first);
    ranges.extend(outer.into_iter().map(|part| view.lines(part.first, part.last)));
    ranges.push(view.lines(0, source.n_lines().saturating_sub(1)));
    // Each must hold the one before; what does not is left out.
    let mut kept: Vec<Range> = Vec::new();
    for range in ranges {
        let holds = |inner: &Range| range.start <= inner.start && range.end >= inner.end && range != *inner;
        let holds_cursor = range.start <= at && at <= range.end;
        if holds_cursor && kept.last().is_none_or(holds) {
            kept.push(range);
        }
    }
    let here = SelectionRange { range: Range::new(at, at), parent: None };
    let whole =
        kept.into_iter().rev().fold(None, |parent, range| Some(SelectionRange { range, parent: parent.map(Box::new) }));
    whole.unwrap_or(here)
}
