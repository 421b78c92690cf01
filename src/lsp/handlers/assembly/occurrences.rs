//! What a name of a text of assembly means, and where else it occurs.
//!
//! In: [`View`], a position.  Out: [`Place`]s.
//! Holds afterwards: labels of a macro, numbers and parameters keep to their scope; comments name nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::assembly::names::{Name, NameKind, names};
use crate::assembly::preprocess::{Include, Parsed, Preprocessed};
use crate::assembly::{Definition, DefinitionKind, is_assembly_name};
use crate::cancel::{CancelToken, Cancelled};

use super::super::super::assembly::includes::{Search, preprocessed};
use super::super::super::assembly::view::{Place, View};
use super::symbols_of_c::{Programs, in_c, is_own_width, prefer};

/// More places than these tell nothing.
const MAX_PLACES: usize = 20_000;

/// The name under the cursor, in its line.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    /// The line, from 0.
    pub line: usize,
    /// The name.
    pub name: Name<'a>,
}

/// The file that the `#include` of a line names, and the columns of the name.
pub fn included(view: &View<'_>, search: &Search<'_>, line: usize) -> Option<(PathBuf, std::ops::Range<usize>)> {
    let (word, rest) = view.parsed.source.directive(line)?;
    if !matches!(word.as_str(), "include" | "include_next") {
        return None;
    }
    let include = Include::parse(&rest)?;
    let at = view.parsed.source.line(line).find(&include.name)?;
    Some((search.path(view.path, &include)?, at..at + include.name.len()))
}

/// Where a name is defined. The C files of the workspace are looked through for a symbol that no assembly defines.
pub fn definitions(view: &View<'_>, cursor: Cursor<'_>, cancel: &CancelToken) -> Result<Vec<Place>, Cancelled> {
    let local = |line: usize, column: usize, length: usize| Place { path: view.path.to_owned(), line, column, length };
    match cursor.name.kind {
        NameKind::Register => Ok(Vec::new()),
        NameKind::Numeric => Ok(numeric(&view.parsed, cursor)
            .map(|(line, column, length)| local(line, column, length))
            .into_iter()
            .collect()),
        NameKind::Parameter => {
            let name = cursor.name.text.trim_start_matches('\\');
            let found = parameter(&view.parsed, cursor.line, name);
            Ok(found.map(|(line, column)| local(line, column, name.len())).into_iter().collect())
        }
        NameKind::Word => word(view, cursor, cancel),
    }
}

/// The numeric label that `1f` or `1b` means; the label itself, for `1:`.
fn numeric(parsed: &Parsed, cursor: Cursor<'_>) -> Option<(usize, usize, usize)> {
    let text = cursor.name.text;
    let number = text.trim_end_matches(['f', 'b']);
    let here = (cursor.line, cursor.name.column);
    let labels = numeric_labels(parsed, number, cursor.line);
    let place = match text.as_bytes().last() {
        Some(b'f') => labels.into_iter().find(|at| *at > here),
        Some(b'b') => labels.into_iter().rev().find(|at| *at < here),
        _ => Some(here),
    };
    place.map(|(line, column)| (line, column, number.len()))
}

/// The labels of a number that a line can see, in order: those of its macro, or of the text outside of macros.
fn numeric_labels(parsed: &Parsed, number: &str, line: usize) -> Vec<(usize, usize)> {
    let source = &parsed.source;
    if source.kind(line).is_directive() {
        let first = source.first_of(line);
        let lines = first..=source.last_of(first);
        let all = lines.flat_map(|line| {
            let labels = names(source.line(line)).into_iter().filter(|name| name.kind == NameKind::Numeric);
            labels.filter(|name| name.text == number).map(move |name| (line, name.column)).collect::<Vec<_>>()
        });
        return all.collect();
    }
    let scope = parsed.outline.macro_at(line);
    let all =
        parsed.outline.named(number).filter(|found| found.kind == DefinitionKind::Numeric && found.in_macro == scope);
    all.map(|found| (found.line, found.column)).collect()
}

/// Where a macro that is passed its arguments by name, `save_reg=%r14`, has the parameter of that name; `None` for a
/// word that is no such name.
fn passed_by_name(view: &View<'_>, done: &Preprocessed, cursor: Cursor<'_>) -> Option<Option<Place>> {
    let after = view.parsed.source.line(cursor.line).get(cursor.name.end()..)?.trim_start();
    if !after.starts_with('=') || after.starts_with("==") {
        return None;
    }
    let pieces = view.parsed.source.pieces(cursor.line);
    let piece = pieces.iter().rev().find(|piece| piece.column <= cursor.name.column)?;
    let called = piece.text.split_whitespace().next()?;
    // `name = value` gives a symbol its value.
    if piece.column == cursor.name.column {
        return None;
    }
    Some(done.macros(called).into_iter().find_map(|(part, definition)| {
        let (line, column) = in_head(&part.parsed, definition, cursor.name.text)?;
        Some(Place { path: part.path.clone(), line, column, length: cursor.name.text.len() })
    }))
}

/// Where the head of a macro has a parameter.
fn in_head(parsed: &Parsed, definition: &Definition, name: &str) -> Option<(usize, usize)> {
    definition.parameters.iter().find(|parameter| parameter.name == name)?;
    let after = definition.column + definition.name.len();
    let line = parsed.source.line(definition.line);
    let head = names(line).into_iter().find(|one| one.column >= after && one.text == name)?;
    Some((definition.line, head.column))
}

/// What a word of a macro's head means, `.macro name parameter:req other=default`: the parameter, or for `req` and
/// `vararg` nothing; `None` for other words.
fn of_head(parsed: &Parsed, cursor: Cursor<'_>) -> Option<Option<(usize, usize)>> {
    let definition = parsed.outline.definitions.get(parsed.outline.macro_at(cursor.line)?)?;
    if definition.line != cursor.line || cursor.name.column <= definition.column {
        return None;
    }
    if parsed.source.line(cursor.line)[..cursor.name.column].trim_end().ends_with(':') {
        return Some(None);
    }
    in_head(parsed, definition, cursor.name.text).map(Some)
}

/// Where the macro around a line names its parameter.
fn parameter(parsed: &Parsed, line: usize, name: &str) -> Option<(usize, usize)> {
    let at = match parsed.source.kind(line).is_directive() {
        true => parsed
            .outline
            .definitions
            .iter()
            .find(|found| found.kind == DefinitionKind::Define && (found.line..=found.last).contains(&line))?,
        false => parsed.outline.definitions.get(parsed.outline.macro_at(line)?)?,
    };
    in_head(parsed, at, name)
}

fn word(view: &View<'_>, cursor: Cursor<'_>, cancel: &CancelToken) -> Result<Vec<Place>, Cancelled> {
    let name = cursor.name.text;
    if view.parsed.source.kind(cursor.line).is_directive()
        && let Some((line, column)) = parameter(&view.parsed, cursor.line, name)
    {
        return Ok(vec![Place { path: view.path.to_owned(), line, column, length: name.len() }]);
    }
    if let Some(found) = of_head(&view.parsed, cursor) {
        let place = found.map(|(line, column)| Place { path: view.path.to_owned(), line, column, length: name.len() });
        return Ok(place.into_iter().collect());
    }
    let done = preprocessed(view);
    if let Some(found) = passed_by_name(view, &done, cursor) {
        return Ok(found.into_iter().collect());
    }
    let mut found = own(view, &done, cursor);
    if !found.is_empty() {
        return Ok(found);
    }
    found.extend(
        done.macros(name)
            .into_iter()
            .filter(|(part, _)| part.path != view.path)
            .map(|(part, definition)| Place::of(&part.path, definition)),
    );
    if !found.is_empty() {
        return Ok(found);
    }
    for part in done.parts.iter().skip(1) {
        let symbols =
            part.parsed.outline.named(name).filter(|one| one.kind.is_symbol() || one.kind == DefinitionKind::Constant);
        found.extend(symbols.map(|definition| Place::of(&part.path, definition)));
    }
    // What begins a statement is an instruction: there is nothing to look for.
    if !found.is_empty() || name.starts_with('.') || name.contains('\\') || is_mnemonic(view, cursor) {
        return Ok(found);
    }
    let (files, documents, programs) = (&view.snapshot.assembly, &view.snapshot.documents, Programs::of(view));
    for path in mentioning(view, name, cancel)? {
        cancel.check()?;
        if !files.mentions(documents, &path, name) || !programs.is_same(&path) {
            continue;
        }
        let Some(parsed) = files.parsed(documents, &path) else { continue };
        let symbols = parsed.outline.named(name).filter(|one| one.kind.is_symbol());
        found.extend(symbols.map(|definition| Place::of(&path, definition)));
    }
    if found.is_empty() {
        return in_c(view, name, cancel);
    }
    prefer(&mut found, |place| programs.is_own(&place.path));
    prefer(&mut found, |place| is_own_width(view, &place.path));
    Ok(found)
}

/// The definitions of the text itself: those of the scope, in lines that are kept if there are such.
fn own(view: &View<'_>, done: &Preprocessed, cursor: Cursor<'_>) -> Vec<Place> {
    let scope = view.parsed.outline.macro_at(cursor.line);
    let all: Vec<&Definition> = view
        .parsed
        .outline
        .named(cursor.name.text)
        .filter(|found| !found.kind.is_label() || found.in_macro.is_none() || found.in_macro == scope)
        .filter(|found| found.kind != DefinitionKind::Alternative)
        .collect();
    let kept: Vec<&Definition> = all.iter().copied().filter(|found| view.kept(done, found.line)).collect();
    let chosen = if kept.is_empty() { all } else { kept };
    chosen.into_iter().map(|found| Place::of(view.path, found)).collect()
}

/// Whether a name is the first word of its statement, be it of one in a string, as alternatives have them.
fn is_mnemonic(view: &View<'_>, cursor: Cursor<'_>) -> bool {
    let line = view.parsed.source.line(cursor.line);
    let before = line.get(..cursor.name.column).unwrap_or_default();
    if let Some((_, quoted)) = before.rsplit_once('"')
        && before.matches('"').count() % 2 == 1
    {
        let begun = quoted.rsplit([';', ':']).next().unwrap_or_default();
        let begun = begun.rsplit("\\n").next().unwrap_or_default();
        return begun.replace("\\t", "").trim().is_empty();
    }
    view.parsed.source.pieces(cursor.line).iter().any(|piece| piece.column == cursor.name.column)
}

/// The files of assembly in the workspace that a word may occur in.
fn mentioning(view: &View<'_>, word: &str, cancel: &CancelToken) -> Result<Vec<PathBuf>, Cancelled> {
    let files = &view.snapshot.assembly;
    let mut all = Vec::new();
    match files.index().naming(word) {
        Some(list) => {
            all.extend(list.iter().map(|path| path.to_path_buf()));
            // Of an open document the text counts.
            let open = view.snapshot.documents.all();
            let open = open.iter().filter_map(|document| document.path.clone());
            all.extend(open.filter(|path| is_assembly_name(path)));
            all.sort();
        }
        None => {
            for root in view.roots() {
                all.extend(files.assembly_below(&root, cancel)?.iter().cloned());
            }
        }
    }
    all.dedup();
    Ok(all)
}

/// Where a name occurs that has a meaning in the text alone; `None` for one that other files can name.
pub fn in_scope(view: &View<'_>, cursor: Cursor<'_>) -> Option<Vec<(usize, usize, usize)>> {
    let (parsed, name) = (&view.parsed, cursor.name.text);
    match cursor.name.kind {
        NameKind::Numeric => {
            let (line, column, length) = numeric(parsed, cursor)?;
            let number = name.trim_end_matches(['f', 'b']);
            let uses = occurrences(parsed, |text| text.trim_end_matches(['f', 'b']) == number, NameKind::Numeric);
            let same = uses.into_iter().filter(|(line_of, one)| {
                numeric(parsed, Cursor { line: *line_of, name: *one }) == Some((line, column, length))
            });
            Some(same.map(|(line, one)| (line, one.column, one.text.len())).collect())
        }
        NameKind::Parameter => {
            let bare = name.trim_start_matches('\\');
            let (line, column) = parameter(parsed, cursor.line, bare)?;
            let last = parsed.outline.definitions.get(parsed.outline.macro_at(cursor.line)?)?.last;
            let mut found = vec![(line, column, bare.len())];
            for line in line + 1..=last {
                let uses = names(parsed.source.line(line)).into_iter().filter(|one| {
                    one.text == name || (one.kind == NameKind::Word && one.text.starts_with(&format!("{name}\\")))
                });
                found.extend(uses.map(|one| (line, one.column, name.len())));
            }
            Some(found)
        }
        NameKind::Word if name.contains('\\') || name.starts_with(".L") => {
            let scope = parsed.outline.macro_at(cursor.line);
            let all = words(parsed, name);
            let same =
                all.into_iter().filter(|(line, _)| !name.contains('\\') || parsed.outline.macro_at(*line) == scope);
            Some(same.map(|(line, one)| (line, one.column, one.text.len())).collect())
        }
        NameKind::Register => {
            let all = occurrences(parsed, |text| text == name, NameKind::Register);
            let scope = parsed.outline.symbol_at(cursor.line).map(|found| found.line..=found.last);
            let same = all.into_iter().filter(|(line, _)| scope.as_ref().is_none_or(|lines| lines.contains(line)));
            Some(same.map(|(line, one)| (line, one.column, one.text.len())).collect())
        }
        // An instruction is everywhere: its name tells nothing elsewhere.
        NameKind::Word if is_mnemonic(view, cursor) && !is_macro(view, name) => {
            let all = words(parsed, name);
            Some(all.into_iter().map(|(line, one)| (line, one.column, one.text.len())).collect())
        }
        NameKind::Word => None,
    }
}

/// Whether a macro of this name counts in the text, or the text may know one that was not found.
fn is_macro(view: &View<'_>, name: &str) -> bool {
    let done = preprocessed(view);
    let own = || view.parsed.outline.named(name).next().is_some();
    // Instructions are written in small letters, the kernel's macros often are not.
    own() || !done.macros(name).is_empty() || name.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

/// All names of a text of one kind, whose text is as asked.
pub fn occurrences(parsed: &Parsed, is_it: impl Fn(&str) -> bool, kind: NameKind) -> Vec<(usize, Name<'_>)> {
    in_lines(parsed, 0..parsed.source.n_lines(), is_it, kind)
}

/// The words of a text that are `word`.
pub fn words<'p>(parsed: &'p Parsed, word: &str) -> Vec<(usize, Name<'p>)> {
    in_lines(parsed, parsed.source.lines_with(word), |text| text == word, NameKind::Word)
}

fn in_lines(
    parsed: &Parsed,
    lines: impl IntoIterator<Item = usize>,
    is_it: impl Fn(&str) -> bool,
    kind: NameKind,
) -> Vec<(usize, Name<'_>)> {
    let mut found = Vec::new();
    for line in lines {
        found.extend(
            names(parsed.source.line(line))
                .into_iter()
                .filter(|one| one.kind == kind && is_it(one.text))
                .map(|one| (line, one)),
        );
        if found.len() > MAX_PLACES {
            break;
        }
    }
    found
}

/// Where a symbol or a macro occurs in all assembly of the workspace and in what the text includes.
pub fn everywhere(view: &View<'_>, name: &str, cancel: &CancelToken) -> Result<Vec<Place>, Cancelled> {
    let mut found = Vec::new();
    let mut add = |path: &Path, parsed: &Parsed| {
        let all = words(parsed, name);
        found.extend(all.into_iter().map(|(line, one)| Place {
            path: path.to_owned(),
            line,
            column: one.column,
            length: name.len(),
        }));
        found.len() < MAX_PLACES
    };
    add(view.path, &view.parsed);
    let done = preprocessed(view);
    let headers = done.parts.iter().skip(1).map(|part| (part.path.clone(), Arc::clone(&part.parsed)));
    let headers: Vec<_> =
        headers.filter(|(_, parsed)| parsed.outline.named(name).next().is_some() || is_used(parsed, name)).collect();
    let mut seen: Vec<PathBuf> = vec![view.path.to_owned()];
    for (path, parsed) in headers {
        add(&path, &parsed);
        seen.push(path);
    }
    for path in mentioning(view, name, cancel)? {
        cancel.check()?;
        if seen.contains(&path) {
            continue;
        }
        let (files, documents) = (&view.snapshot.assembly, &view.snapshot.documents);
        if files.mentions(documents, &path, name)
            && let Some(parsed) = files.parsed(documents, &path)
            && is_used(&parsed, name)
            && !add(&path, &parsed)
        {
            break;
        }
    }
    Ok(found)
}

fn is_used(parsed: &Parsed, name: &str) -> bool {
    parsed.source.contains(name)
}
