//! What a name of a text of assembly means, and where else it occurs.
//!
//! In: [`View`], a position.  Out: [`Place`]s.
//! Holds afterwards: labels of a macro, numbers and parameters keep to their scope; comments name nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::assembly::names::{Name, NameKind, names};
use crate::assembly::preprocess::{Include, Parsed, Preprocessed};
use crate::assembly::{Definition, DefinitionKind};
use crate::cancel::{CancelToken, Cancelled};
use crate::files;

use super::super::super::assembly::includes::{Search, preprocessed};
use super::super::super::assembly::view::{Place, View};

/// More places than these tell nothing.
const MAX_PLACES: usize = 20_000;
/// Bytes of C beside a text that are looked through before all else.
const MAX_BESIDE: u64 = 8 << 20;
/// Bytes of C that are looked through for one function.
const MAX_SEARCHED: u64 = 256 << 20;

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
    // Beside the text first: the folder is read in no time.
    if let Some(folder) = view.path.parent() {
        found.extend(in_c_below(view, folder, name, &mut MAX_BESIDE.min(MAX_SEARCHED), cancel)?);
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let (files, documents) = (&view.snapshot.assembly, &view.snapshot.documents);
    for path in workspace(view, cancel)? {
        cancel.check()?;
        if !files.mentions(documents, &path, name) {
            continue;
        }
        let Some(parsed) = files.parsed(documents, &path) else { continue };
        let symbols = parsed.outline.named(name).filter(|one| one.kind.is_symbol());
        found.extend(symbols.map(|definition| Place::of(&path, definition)));
    }
    if found.is_empty() {
        found.extend(in_c(view, name, cancel)?);
    }
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

/// The files of assembly in the workspace.
pub fn workspace(view: &View<'_>, cancel: &CancelToken) -> Result<Vec<PathBuf>, Cancelled> {
    let mut all = Vec::new();
    for root in roots(view) {
        all.extend(view.snapshot.assembly.below(&root, &["S", "s", "sx"], cancel)?.iter().cloned());
    }
    all.dedup();
    Ok(all)
}

/// The workspace folders; without any, the folder of the text.
fn roots(view: &View<'_>) -> Vec<PathBuf> {
    match view.snapshot.session.roots.as_slice() {
        [] => view.path.parent().map(Path::to_owned).into_iter().collect(),
        roots => roots.to_vec(),
    }
}

/// Where a function of C is defined: the nearest folders first.
fn in_c(view: &View<'_>, name: &str, cancel: &CancelToken) -> Result<Vec<Place>, Cancelled> {
    let near =
        ["arch/x86", "kernel", "lib", "mm", "init", "fs", "block", "crypto", "drivers", "net", "security", "sound"];
    let mut left = MAX_SEARCHED;
    for root in roots(view) {
        let beside = view.path.parent().filter(|folder| folder.starts_with(&root)).map(Path::to_owned);
        let mut folders: Vec<PathBuf> = beside.into_iter().collect();
        match root.join("arch/x86").is_dir() {
            true => folders.extend(near.iter().map(|name| root.join(name))),
            false => folders.push(root),
        }
        for folder in folders {
            let found = in_c_below(view, &folder, name, &mut left, cancel)?;
            if !found.is_empty() {
                return Ok(without_other_width(found));
            }
        }
    }
    Ok(Vec::new())
}

/// The kernel keeps what differs in `NAME_32.c` and `NAME_64.c`.
fn without_other_width(mut found: Vec<Place>) -> Vec<Place> {
    let ends =
        |place: &Place, end: &str| place.path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with(end));
    if found.iter().any(|place| ends(place, "_64")) {
        found.retain(|place| !ends(place, "_32"));
    }
    found
}

fn in_c_below(
    view: &View<'_>,
    folder: &Path,
    name: &str,
    left: &mut u64,
    cancel: &CancelToken,
) -> Result<Vec<Place>, Cancelled> {
    let mut found = Vec::new();
    for path in view.snapshot.assembly.below(folder, &["c"], cancel)?.iter() {
        cancel.check()?;
        let Some(size) = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|meta| meta.len()) else {
            continue;
        };
        *left = left.saturating_sub(size);
        if *left == 0 {
            break;
        }
        let text = match view.snapshot.documents.of_path(path) {
            Some(document) => document.text.as_str().to_owned(),
            None => match files::text(path, files::SOURCE) {
                Ok(text) => text,
                Err(_) => continue,
            },
        };
        if text.contains(name) {
            found.extend(definition_in_c(&text, name).map(|(line, column)| Place {
                path: path.clone(),
                line,
                column,
                length: name.len(),
            }));
        }
    }
    Ok(found)
}

/// A line of C that begins the definition of a function: at the margin, with parentheses after the name and no semicolon
/// before its body. Macros that define functions (`DEFINE_IDTENTRY(name)`) look the same, with the name first.
fn definition_in_c(text: &str, name: &str) -> Option<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    for (number, line) in lines.iter().enumerate() {
        let Some(column) = line
            .match_indices(name)
            .map(|(at, _)| at)
            .find(|at| !line[..*at].ends_with(is_word) && !line[at + name.len()..].starts_with(is_word))
        else {
            continue;
        };
        let after = &line[column + name.len()..];
        let is_macro = (line.starts_with("DEFINE_") || line.starts_with("SYSCALL_DEFINE"))
            && line[..column].trim_end().strip_suffix('(').is_some_and(|name| name.chars().all(is_word));
        let at_margin = line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !at_margin || !(after.starts_with('(') || (is_macro && after.starts_with([')', ',']))) {
            continue;
        }
        let rest = lines.iter().skip(number).take(12).flat_map(|line| line.chars());
        if rest.into_iter().find(|c| matches!(c, ';' | '{')) == Some('{') {
            return Some((number, column));
        }
    }
    None
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
            let all = occurrences(parsed, |text| text == name, NameKind::Word);
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
        NameKind::Word => None,
    }
}

/// All names of a text of one kind, whose text is as asked.
pub fn occurrences(parsed: &Parsed, is_it: impl Fn(&str) -> bool, kind: NameKind) -> Vec<(usize, Name<'_>)> {
    let mut found = Vec::new();
    for line in 0..parsed.source.n_lines() {
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
        let all = occurrences(parsed, |text| text == name, NameKind::Word);
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
    for path in workspace(view, cancel)? {
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
