//! `textDocument/definition`, `references`, `documentHighlight` and `documentLink` for assembly.
//!
//! In: [`Snapshot`], a position.  Out: locations, in the order of files and lines.

use tower_lsp::lsp_types::*;

use crate::assembly::names::NameKind;
use crate::assembly::spelling::plain;
use crate::cancel::{CancelToken, Cancelled};
use crate::report::partners::partners;
use crate::report::view::View as CodeView;

use super::super::super::assembly::includes::Search;
use super::super::super::assembly::view::{Place, View};
use super::super::super::snapshot::Snapshot;
use super::super::super::to_proto::Placer;
use super::super::tables::spots;
use super::occurrences::{Cursor, definitions, everywhere, in_scope, included, words};

/// Instructions of one line whose partners are looked for.
const MAX_INSNS: usize = 64;

/// `textDocument/definition`
pub fn definition(
    snapshot: &Snapshot,
    params: &GotoDefinitionParams,
    cancel: &CancelToken,
) -> Result<Option<GotoDefinitionResponse>, Cancelled> {
    let at = &params.text_document_position_params;
    let Some(view) = View::of(snapshot, &at.text_document.uri) else { return Ok(None) };
    let line = at.position.line as usize;
    if view.parsed.source.directive(line).is_some_and(|(word, _)| word.starts_with("include")) {
        let file = included(&view, &Search::of(&view), line);
        let start = Range::default();
        let location = file.and_then(|(path, _)| Some(Location::new(Url::from_file_path(path).ok()?, start)));
        return Ok(location.map(GotoDefinitionResponse::Scalar));
    }
    if is_directive(&view, line) {
        return Ok(answer(&view, &told_of(&view, line)).map(GotoDefinitionResponse::Array));
    }
    let Some((line, name)) = view.name_at(at.position) else { return Ok(None) };
    let mut places = definitions(&view, Cursor { line, name }, cancel)?;
    if places.is_empty() && is_statement(&view, line, name.column) {
        places = partner_places(&view, at.position);
    }
    if places.is_empty() && is_statement(&view, line, name.column) {
        places = directives_of(&view, line);
    }
    Ok(answer(&view, &places).map(GotoDefinitionResponse::Array))
}

/// What stands on a line, labels aside.
fn statement<'v>(view: &'v View<'_>, line: usize) -> Option<(&'v str, Place)> {
    let piece = view.parsed.source.pieces(line).into_iter().find(|piece| !piece.is_label)?;
    let (column, length) = (piece.column, piece.text.len());
    Some((piece.text, Place { path: view.path.to_owned(), line, column, length }))
}

/// Whether an unwind directive stands on the line.
fn is_directive(view: &View<'_>, line: usize) -> bool {
    statement(view, line).is_some_and(|(text, _)| plain(text).starts_with(".cfi_"))
}

/// Whether an instruction, or the use of a macro, does.
fn is_instruction(view: &View<'_>, line: usize) -> bool {
    statement(view, line).is_some_and(|(text, _)| !plain(text).starts_with('.'))
}

/// Further away nothing is told of.
const MAX_LINES: usize = 64;

/// The instruction that an unwind directive tells of: the one above; behind a label or at the start the one below.
fn told_of(view: &View<'_>, line: usize) -> Vec<Place> {
    let has_label = |line: usize| view.parsed.source.pieces(line).iter().any(|piece| piece.is_label);
    let mut above =
        (0..line).rev().take(MAX_LINES).take_while(|&above| !has_label(above) || is_instruction(view, above));
    let below = (line + 1..view.parsed.source.n_lines()).take(MAX_LINES);
    let found = above.find(|&above| is_instruction(view, above));
    let found = found.or_else(|| below.into_iter().find(|&below| is_instruction(view, below)));
    found.and_then(|found| statement(view, found)).map(|(_, place)| place).into_iter().collect()
}

/// The unwind directives behind an instruction, which tell of it.
fn directives_of(view: &View<'_>, line: usize) -> Vec<Place> {
    if !is_instruction(view, line) {
        return Vec::new();
    }
    let behind = (line + 1..view.parsed.source.n_lines()).take(MAX_LINES);
    let behind =
        behind.take_while(|&behind| !is_instruction(view, behind)).filter(|&behind| is_directive(view, behind));
    let places = behind.filter_map(|behind| statement(view, behind)).map(|(_, place)| place);
    places.filter(|place| !plain(view.parsed.source.line(place.line)).contains(".cfi_endproc")).collect()
}

fn answer(view: &View<'_>, places: &[Place]) -> Option<Vec<Location>> {
    let locations = view.locations(places);
    (!locations.is_empty()).then_some(locations)
}

/// Whether a statement begins at a column.
fn is_statement(view: &View<'_>, line: usize, column: usize) -> bool {
    view.parsed.source.pieces(line).iter().any(|piece| !piece.is_label && piece.column == column)
}

/// The lines whose instructions undo what those of a line do to the stack, or are undone by them.
fn partner_places(view: &View<'_>, at: Position) -> Vec<Place> {
    let snapshot = view.snapshot;
    let all = spots(snapshot, &view.document.uri, Some(at));
    let Some(spot) = all.first() else { return Vec::new() };
    let placer = Placer { snapshot, verdict: spot.verdict };
    let analysis = &spot.anatomy.analysis;
    let code = CodeView::new(analysis, &spot.anatomy.lines);
    let mut lines: Vec<usize> = Vec::new();
    for insn in spot.insns().into_iter().take(MAX_INSNS).flat_map(|insn| partners(analysis, insn)) {
        let place = code.source_line(insn);
        if let (Some(file), Some(line)) = (place.file, place.line)
            && placer.file(&file) == view.path
        {
            lines.push(placer.range(view.path, line, None).start.line as usize);
        }
    }
    lines.sort_unstable();
    lines.dedup();
    lines.retain(|line| *line != at.line as usize);
    lines.into_iter().filter_map(|line| statement(view, line)).map(|(_, place)| place).collect()
}

/// `textDocument/references`
pub fn references(
    snapshot: &Snapshot,
    params: &ReferenceParams,
    cancel: &CancelToken,
) -> Result<Option<Vec<Location>>, Cancelled> {
    let at = &params.text_document_position;
    let Some(view) = View::of(snapshot, &at.text_document.uri) else { return Ok(None) };
    let Some((line, name)) = view.name_at(at.position) else { return Ok(None) };
    let cursor = Cursor { line, name };
    let mut places = match in_scope(&view, cursor) {
        Some(found) => {
            let place = |(line, column, length)| Place { path: view.path.to_owned(), line, column, length };
            found.into_iter().map(place).collect()
        }
        None if name.kind == NameKind::Word => everywhere(&view, name.text, cancel)?,
        None => Vec::new(),
    };
    if !params.context.include_declaration {
        let defined = definitions(&view, cursor, cancel)?;
        places.retain(|place| !defined.contains(place));
    }
    Ok(answer(&view, &places))
}

/// `textDocument/documentHighlight`
pub fn highlight(snapshot: &Snapshot, params: &DocumentHighlightParams) -> Option<Vec<DocumentHighlight>> {
    let at = &params.text_document_position_params;
    let view = View::of(snapshot, &at.text_document.uri)?;
    let (line, name) = view.name_at(at.position)?;
    if is_statement(&view, line, name.column) {
        let partners = partner_places(&view, at.position);
        if !partners.is_empty() {
            let own = view.document.text.visible(at.position.line + 1, None, view.encoding());
            let others = partners.iter().map(|place| view.range(place.line, place.column, place.length));
            let highlight = |range| DocumentHighlight { range, kind: Some(DocumentHighlightKind::TEXT) };
            return Some([own].into_iter().chain(others).map(highlight).collect());
        }
    }
    let places = in_scope(&view, Cursor { line, name }).unwrap_or_else(|| {
        let all = words(&view.parsed, name.text);
        all.into_iter().map(|(line, one)| (line, one.column, one.text.len())).collect()
    });
    let outline = &view.parsed.outline;
    let bare = name.text.trim_end_matches(['f', 'b']);
    let defines = |line: usize, column: usize| {
        outline.named(name.text).chain(outline.named(bare)).any(|found| (found.line, found.column) == (line, column))
    };
    let highlights = places.into_iter().map(|(line, column, length)| DocumentHighlight {
        range: view.range(line, column, length),
        kind: Some(if defines(line, column) { DocumentHighlightKind::WRITE } else { DocumentHighlightKind::READ }),
    });
    Some(highlights.collect())
}

/// `textDocument/documentLink`
pub fn links(snapshot: &Snapshot, params: &DocumentLinkParams) -> Option<Vec<DocumentLink>> {
    let view = View::of(snapshot, &params.text_document.uri)?;
    let search = Search::of(&view);
    let links = (0..view.parsed.source.n_lines()).filter_map(|line| {
        let (path, columns) = included(&view, &search, line)?;
        Some(DocumentLink {
            range: view.range(line, columns.start, columns.len()),
            target: Some(Url::from_file_path(path).ok()?),
            tooltip: None,
            data: None,
        })
    });
    Some(links.collect())
}
