//! `textDocument/documentSymbol` and `workspace/symbol` for assembly.
//!
//! In: [`Snapshot`].  Out: what a text defines, labels and alternatives below their function; what the workspace defines.

use tower_lsp::lsp_types::*;

use crate::assembly::{Definition, DefinitionKind, is_assembly_name};
use crate::cancel::{CancelToken, Cancelled};

use super::super::super::assembly::view::{Place, View};
use super::super::super::snapshot::Snapshot;

/// More symbols than these are no answer.
const MAX_SYMBOLS: usize = 512;

/// `textDocument/documentSymbol`
pub fn document(snapshot: &Snapshot, params: &DocumentSymbolParams) -> Option<DocumentSymbolResponse> {
    let view = View::of(snapshot, &params.text_document.uri)?;
    let definitions = &view.parsed.outline.definitions;
    let shown = definitions.iter().filter(|found| found.kind != DefinitionKind::Numeric);
    if !snapshot.session.symbol_tree {
        let flat = shown.filter_map(|found| information(&view, found));
        return Some(DocumentSymbolResponse::Flat(flat.collect()));
    }
    // Those that are open around the next one, outermost first.
    let mut open: Vec<(usize, DocumentSymbol)> = Vec::new();
    let mut roots = Vec::new();
    for found in shown {
        while open.last().is_some_and(|(last, _)| *last < found.line) {
            close(&mut open, &mut roots);
        }
        let spans = found.last > found.line && found.kind != DefinitionKind::Alternative;
        let symbol = symbol(&view, found);
        if spans {
            open.push((found.last, symbol));
        } else {
            siblings(&mut open, &mut roots).push(symbol);
        }
    }
    while !open.is_empty() {
        close(&mut open, &mut roots);
    }
    Some(DocumentSymbolResponse::Nested(roots))
}

fn siblings<'a>(
    open: &'a mut [(usize, DocumentSymbol)],
    roots: &'a mut Vec<DocumentSymbol>,
) -> &'a mut Vec<DocumentSymbol> {
    match open.last_mut() {
        Some((_, parent)) => parent.children.get_or_insert_default(),
        None => roots,
    }
}

fn close(open: &mut Vec<(usize, DocumentSymbol)>, roots: &mut Vec<DocumentSymbol>) {
    if let Some((_, done)) = open.pop() {
        siblings(open, roots).push(done);
    }
}

fn kind(kind: DefinitionKind) -> SymbolKind {
    match kind {
        DefinitionKind::Function | DefinitionKind::Code | DefinitionKind::Alias => SymbolKind::FUNCTION,
        DefinitionKind::Data => SymbolKind::VARIABLE,
        DefinitionKind::Inner => SymbolKind::FIELD,
        DefinitionKind::Label | DefinitionKind::Local | DefinitionKind::Numeric => SymbolKind::KEY,
        DefinitionKind::Macro => SymbolKind::OPERATOR,
        DefinitionKind::Define | DefinitionKind::Constant => SymbolKind::CONSTANT,
        DefinitionKind::Alternative => SymbolKind::EVENT,
    }
}

#[allow(deprecated, reason = "the type has a field that is deprecated")]
fn symbol(view: &View<'_>, found: &Definition) -> DocumentSymbol {
    let length = if found.kind == DefinitionKind::Alternative { word_length(&found.name) } else { found.name.len() };
    let detail = match found.kind {
        DefinitionKind::Macro | DefinitionKind::Define => found.signature(),
        DefinitionKind::Constant => found.value.as_ref().map_or("constant".to_owned(), |value| format!("= {value}")),
        DefinitionKind::Alternative => String::new(),
        other => other.word().to_owned(),
    };
    DocumentSymbol {
        name: found.name.clone(),
        detail: (!detail.is_empty()).then_some(detail),
        kind: kind(found.kind),
        tags: None,
        deprecated: None,
        range: view.lines(found.line, found.last),
        selection_range: view.range(found.line, found.column, length),
        children: None,
    }
}

fn word_length(name: &str) -> usize {
    name.split(' ').next().map_or(0, str::len)
}

#[allow(deprecated, reason = "the type has a field that is deprecated")]
fn information(view: &View<'_>, found: &Definition) -> Option<SymbolInformation> {
    let place = Place { length: word_length(&found.name), ..Place::of(view.path, found) };
    Some(SymbolInformation {
        name: found.name.clone(),
        kind: kind(found.kind),
        tags: None,
        deprecated: None,
        location: view.location(&place)?,
        container_name: view.parsed.outline.symbol_at(found.line).map(|around| around.name.clone()),
    })
}

/// `workspace/symbol`: functions, data, labels with a symbol and macros whose names have the letters of the query in their
/// order.
#[allow(deprecated, reason = "the type has a field that is deprecated")]
pub fn workspace(
    snapshot: &Snapshot,
    params: &WorkspaceSymbolParams,
    cancel: &CancelToken,
) -> Result<Option<Vec<SymbolInformation>>, Cancelled> {
    let mut paths: Vec<_> = snapshot.documents.all().iter().filter_map(|document| document.path.clone()).collect();
    paths.retain(|path| is_assembly_name(path));
    for root in &snapshot.session.roots {
        paths.extend(snapshot.assembly.assembly_below(root, cancel)?);
    }
    paths.sort();
    paths.dedup();
    let query = params.query.to_lowercase();
    let mut found: Vec<(bool, Place, String, DefinitionKind)> = Vec::new();
    for path in paths {
        cancel.check()?;
        let Some(parsed) = snapshot.assembly.parsed(&snapshot.documents, &path) else { continue };
        let wanted =
            parsed.outline.definitions.iter().filter(|one| {
                (one.kind.is_symbol() || one.kind == DefinitionKind::Macro) && matches(&one.name, &query)
            });
        found.extend(wanted.map(|one| {
            let starts = one.name.to_lowercase().starts_with(&query);
            (!starts, Place::of(&path, one), one.name.clone(), one.kind)
        }));
    }
    found.sort_by(|a, b| (a.0, a.2.len(), &a.2, &a.1.path).cmp(&(b.0, b.2.len(), &b.2, &b.1.path)));
    found.truncate(MAX_SYMBOLS);
    let symbols = found.into_iter().filter_map(|(_, place, name, of_kind)| {
        let (uri, text) = match snapshot.documents.of_path(&place.path) {
            Some(document) => (document.uri.clone(), std::sync::Arc::clone(&document.text)),
            None => (Url::from_file_path(&place.path).ok()?, snapshot.assembly.text(&place.path)?),
        };
        let line = u32::try_from(place.line).ok()?;
        let at = |column| text.in_line(line, column, snapshot.session.encoding);
        let range = Range::new(at(place.column), at(place.column + place.length));
        Some(SymbolInformation {
            name,
            kind: kind(of_kind),
            tags: None,
            deprecated: None,
            location: Location { uri, range },
            container_name: None,
        })
    });
    Ok(Some(symbols.collect()))
}

/// Whether the letters of `query`, in lower case, are in `name` in their order.
fn matches(name: &str, query: &str) -> bool {
    let mut letters = name.chars().map(|c| c.to_ascii_lowercase());
    query.chars().all(|wanted| letters.any(|letter| letter == wanted))
}
