//! Unwind tables in the editor: the row beside the state that the code makes, the CFA behind lines, a lens per function, and
//! directives that are written for a function or a file.
//!
//! In: [`Snapshot`], a place.  Out: what the requests of these names answer with.
//! Holds afterwards: hover, hints and lenses compile nothing; directives were shown to be true before they are offered.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use tower_lsp::lsp_types::*;

use crate::annotate::{Annotated, Edit};
use crate::assembly::spelling::plain;
use crate::build::{Flags, Unchecked};
use crate::cancel::{CancelToken, Cancelled};
use crate::clean;
use crate::ids::SymbolId;
use crate::image::ElfImage;
use crate::report::unwind::row_words;
use crate::unwind::{Side, register_name, text};

use super::super::config::{CompileMode, Trust};
use super::super::documents::Document;
use super::super::snapshot::Snapshot;
use super::super::tables::Tables;
use super::super::to_proto::Placer;
use super::super::verdict::{Freshness, Task, Trouble, Verdict};
use super::{MOST_ROWS, PlaceParams};

/// More instructions of a line than this are counted, not shown.
const MAX_ROWS: usize = 24;

/// A document with the tables of its object.
struct Place<'a> {
    document: &'a Arc<Document>,
    verdict: &'a Verdict,
    tables: &'a Tables,
}

impl<'a> Place<'a> {
    fn of(snapshot: &'a Snapshot, uri: &Url) -> Option<Place<'a>> {
        let document = snapshot.documents.get(uri)?;
        let mut verdicts = snapshot.users_of(document.path.as_deref()?).filter_map(|unit| unit.last.as_ref());
        let (verdict, tables) = verdicts.find_map(|verdict| Some((verdict, verdict.tables.as_deref()?)))?;
        Some(Place { document, verdict, tables })
    }

    fn lines(&self) -> Vec<(u32, &'a [usize])> {
        self.document
            .path
            .as_deref()
            .map(|path| self.tables.lines_of(path, self.verdict.directory()))
            .unwrap_or_default()
    }

    fn is_assembly(&self) -> bool {
        self.document.path.as_deref().is_some_and(is_assembly)
    }

    fn is_older(&self) -> bool {
        let version = self.document.path.as_deref().and_then(|path| self.verdict.versions.get(path));
        version != Some(&self.document.version)
    }

    fn name(&self, function: Option<SymbolId>) -> &'a str {
        function.map_or("(no symbol)", |id| self.tables.image.symbol_name(id))
    }
}

fn is_assembly(path: &std::path::Path) -> bool {
    path.extension().is_some_and(|ending| ["S", "s", "sx"].iter().any(|e| ending == *e))
}

/// The row of the line under the cursor, beside what the code makes true.
pub fn hover(snapshot: &Snapshot, params: &HoverParams) -> Option<String> {
    let at = &params.text_document_position_params;
    let place = Place::of(snapshot, &at.text_document.uri)?;
    let path = place.document.path.as_deref()?;
    let line = match place.verdict.versions.get(path) {
        Some(version) => place.document.backward(*version, at.position.line)?,
        None => at.position.line,
    };
    let lines = place.lines();
    let own = lines.iter().find(|(of, _)| *of == line + 1);
    let is_directive = place
        .document
        .text
        .as_str()
        .lines()
        .nth(at.position.line as usize)
        .is_some_and(|text| plain(text).contains(".cfi_"));
    // A directive is in force from the next instruction on.
    let (of, insns) = own.or_else(|| lines.iter().find(|(of, _)| is_directive && *of > line))?;
    let sides: Vec<&Side> = insns.iter().filter_map(|&at| place.tables.sides().get(at)).collect();
    let first = sides.first()?;
    let image = &place.tables.image;
    let markdown = snapshot.session.markdown;
    let mut out = String::new();
    let section = &image.section(first.at.section).name;
    let name = place.name(first.function);
    let name = if markdown { clean::code(name) } else { clean::line(name).into_owned() };
    let end = if markdown { "  \n" } else { "\n" };
    let _ = write!(out, "{name}, {}+{:#x}{end}", clean::line(section), first.at.offset);
    if own.is_none() {
        let _ = write!(out, "The row in force from line {of} on{end}");
    }
    let rows: Vec<[String; 4]> = sides.iter().take(MAX_ROWS).map(|side| row(side, image)).collect();
    // As narrow as it can be: a window of hovers wraps what is wide.
    let width = |column: usize, heading: &str| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(heading.len())
    };
    let (text_width, table_width) = (width(1, ""), width(2, "the table"));
    let mut table = String::new();
    let _ = writeln!(table, "{:>6}  {:<text_width$}  {:<table_width$}  the code", "", "", "the table");
    for [at, text, said, made] in &rows {
        let _ = writeln!(table, "{at}{text:<text_width$}  {said:<table_width$}  {made}");
    }
    if sides.len() > MAX_ROWS {
        let _ = writeln!(table, "... {} more", sides.len() - MAX_ROWS);
    }
    let differing = differences(first);
    let block = |text: &str| if markdown { clean::block(text) } else { format!("{text}\n") };
    let _ = write!(out, "\n{}", block(table.trim_end()));
    if !differing.is_empty() {
        let _ = write!(out, "\nNot true here: {differing}{end}");
    } else if first.is_unknown {
        let _ = write!(out, "\nNot judged: it is unknown how far the stack pointer is from the CFA{end}");
    }
    if let Some(drawing) = drawing(first) {
        let _ = write!(out, "\n{}", block(drawing.trim_end()));
    }
    if place.is_older() {
        let _ = write!(out, "From an earlier version of the text; the current one is not analysed yet.{end}");
    }
    Some(out)
}

/// An instruction for the table of a hover: its place with a mark, itself, what the table says, what the code makes true.
fn row(side: &Side, image: &ElfImage) -> [String; 4] {
    let said = side.table.as_ref().map_or("(cannot be read)".to_owned(), row_words);
    let nowhere = || if side.is_padding { "(padding)" } else { "(no path leads here)" }.to_owned();
    let made = side.code.as_ref().map_or_else(nowhere, row_words);
    let mark = if side.differs() { "!" } else { " " };
    [format!("{:>6x} {mark}", side.at.offset), text(image, side.at), said, made]
}

fn differences(side: &Side) -> String {
    let cfa = side.cfa_differs.then(|| "the CFA".to_owned());
    cfa.into_iter()
        .chain(side.registers_differ.iter().map(|reg| register_name(*reg).to_owned()))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The frame from the CFA down, as the code has made it.
fn drawing(side: &Side) -> Option<String> {
    let code = side.code.as_ref()?;
    let mut words: Vec<(i32, &str)> = vec![(-8, "return address")];
    for (reg, place) in &code.saved {
        if let Some(offset) = place.strip_prefix('c').and_then(|offset| offset.parse::<i32>().ok()) {
            words.push((offset, register_name(*reg)));
        }
    }
    words.sort_by_key(|(offset, _)| std::cmp::Reverse(*offset));
    let depth = code.cfa.strip_prefix("rsp+").and_then(|depth| depth.parse::<i32>().ok());
    if words.len() < 2 && depth.is_none_or(|depth| depth == 8) {
        return None;
    }
    let mut text = format!("{:>8}  the caller's frame\n", "CFA");
    let mut before = 0;
    for (offset, what) in words {
        if offset < before - 8 {
            let _ = writeln!(text, "{:>8}  {} bytes", "", before - 8 - offset);
        }
        before = offset;
        let _ = writeln!(text, "{:>8}  {what}", format!("CFA{offset:+}"));
    }
    if let Some(depth) = depth.filter(|depth| -depth < before) {
        let _ = writeln!(text, "{:>8}  {} bytes", "", before + depth);
        let _ = writeln!(text, "{:>8}  <- rsp", format!("CFA-{depth}"));
    }
    Some(text)
}

/// The CFA behind each line of assembly that changes it.
pub fn inlay_hints(snapshot: &Snapshot, params: &InlayHintParams) -> Option<Vec<InlayHint>> {
    let place = Place::of(snapshot, &params.text_document.uri).filter(Place::is_assembly)?;
    let path = place.document.path.as_deref()?;
    let placer = Placer { snapshot, verdict: place.verdict };
    let sides = place.tables.sides();
    let wanted = params.range.start.line..=params.range.end.line;
    let mut hints = Vec::new();
    for (line, insns) in place.lines() {
        let (Some(&first), Some(&last)) = (insns.first(), insns.last()) else { continue };
        let (Some(before), Some(end), Some(after)) = (sides.get(first), sides.get(last), sides.get(last + 1)) else {
            continue;
        };
        let is_next = end.at.section == after.at.section && end.at.offset + u64::from(end.len) == after.at.offset;
        let (Some(before), Some(here)) = (&before.code, after.code.as_ref().filter(|_| is_next && end.falls)) else {
            continue;
        };
        let range = placer.range(path, line, None);
        if before.cfa != here.cfa && wanted.contains(&range.end.line) {
            hints.push(InlayHint {
                position: range.end,
                label: InlayHintLabel::String(format!("cfa = {}", here.cfa)),
                kind: None,
                text_edits: None,
                tooltip: Some(InlayHintTooltip::String(
                    "How the CFA is found behind this line, by what the code does".to_owned(),
                )),
                padding_left: Some(true),
                padding_right: None,
                data: None,
            });
        }
    }
    Some(hints)
}

/// Of each function whether its table is true.
pub fn code_lens(snapshot: &Snapshot, params: &CodeLensParams) -> Option<Vec<CodeLens>> {
    let place = Place::of(snapshot, &params.text_document.uri)?;
    let path = place.document.path.as_deref()?;
    let placer = Placer { snapshot, verdict: place.verdict };
    let sides = place.tables.sides();
    let mut functions: BTreeMap<SymbolId, (u32, usize, Vec<u32>, usize)> = BTreeMap::new();
    for (line, insns) in place.lines() {
        for side in insns.iter().filter_map(|&at| sides.get(at)) {
            let Some(function) = side.function else { continue };
            let entry = functions.entry(function).or_insert((line, 0, Vec::new(), 0));
            entry.0 = entry.0.min(line);
            entry.1 += 1;
            if side.differs() && entry.2.last() != Some(&line) {
                entry.2.push(line);
            }
            entry.3 += usize::from(!side.is_padding && (side.is_unknown || side.code.is_none()));
        }
    }
    let mut lenses: Vec<CodeLens> = Vec::new();
    for (line, _, untrue, unjudged) in functions.into_values() {
        let mut title = match untrue.len() {
            0 => "unwind table: true".to_owned(),
            1 => "unwind table: 1 line untrue".to_owned(),
            n => format!("unwind table: {n} lines untrue"),
        };
        if unjudged > 0 {
            let _ = write!(title, ", {unjudged} instruction{} not judged", if unjudged == 1 { "" } else { "s" });
        }
        lenses.push(lens(placer.range(path, line, None), title, &params.text_document.uri));
    }
    for bare in &place.tables.bare {
        let Some((file, line)) = place.tables.line_of(bare) else { continue };
        if placer.verdict.file(&file) == path {
            let title = format!("unwind table: none, {} instructions without", bare.instructions);
            lenses.push(lens(placer.range(path, line, None), title, &params.text_document.uri));
        }
    }
    Some(lenses)
}

fn lens(range: Range, title: String, uri: &Url) -> CodeLens {
    let arguments = Some(vec![json!(uri), json!(range.start)]);
    CodeLens { range, command: Some(Command { title, command: "orcls.showCfi".to_owned(), arguments }), data: None }
}

/// `orcls/cfi` of a document whose object is for user space: what the code makes true, with the table's row beside it.
/// `None` for all others.
pub fn cfi(snapshot: &Snapshot, params: &PlaceParams) -> Option<Value> {
    let place = Place::of(snapshot, &params.text_document.uri)?;
    let path = place.document.path.as_deref()?;
    let placer = Placer { snapshot, verdict: place.verdict };
    let wanted = params.position.map(|position| position.line);
    let image = &place.tables.image;
    let places = place.tables.places();
    let mut instructions = Vec::new();
    let mut omitted = 0usize;
    for (at, side) in place.tables.sides().iter().enumerate() {
        let written = places.get(&at).map(|(file, line)| {
            let file = placer.verdict.file(file);
            let line = placer.range(&file, *line, None).start.line;
            (file, line)
        });
        let is_wanted = |(file, line): &(PathBuf, u32)| file == path && Some(*line) == wanted;
        if wanted.is_some() && !written.as_ref().is_some_and(is_wanted) {
            continue;
        }
        if instructions.len() >= MOST_ROWS {
            omitted += 1;
            continue;
        }
        let code = side.code.as_ref();
        let cfa = code.and_then(|code| {
            let at = code.cfa.rfind(['+', '-'])?;
            let offset = code.cfa.get(at..)?.parse::<i32>().ok()?;
            Some(json!({ "base": code.cfa.get(..at)?, "offset": offset }))
        });
        let saved: BTreeMap<&str, i32> = code
            .into_iter()
            .flat_map(|code| &code.saved)
            .filter_map(|(reg, place)| Some((register_name(*reg), place.strip_prefix('c')?.parse().ok()?)))
            .collect();
        instructions.push(json!({
            "section": image.section(side.at.section).name,
            "offset": side.at.offset,
            "length": side.len,
            "text": text(image, side.at),
            "function": side.function.map(|id| image.symbol_name(id)),
            "file": written.as_ref().map(|(file, _)| file),
            "line": written.as_ref().map(|(_, line)| line + 1),
            "cfa": cfa,
            "saved": saved,
            "orc": null,
            "table": side.table.as_ref().map(row_words),
            "differs": side.differs(),
        }));
    }
    let object = place.verdict.build.as_ref().map_or(&place.verdict.source, |build| &build.object);
    let mut listing = json!({ "object": object, "instructions": instructions });
    if omitted > 0 {
        listing["omitted"] = json!(omitted);
    }
    Some(listing)
}

/// "Write the unwind directives of this function", and of the file. An automatic request is answered with what is known.
pub fn write_directives(
    snapshot: &Snapshot,
    params: &CodeActionParams,
    cancel: &CancelToken,
) -> Result<Vec<CodeActionOrCommand>, Cancelled> {
    let automatic = params.context.trigger_kind == Some(CodeActionTriggerKind::AUTOMATIC);
    let uri = &params.text_document.uri;
    let Some((document, unit)) = snapshot.unit(uri) else { return Ok(Vec::new()) };
    let config = &snapshot.config;
    let may_run = config.trust != Trust::Untrusted && config.compile != CompileMode::Off;
    let Some(verdict) = unit.last.as_ref().filter(|_| unit.freshness(document.version) == Freshness::Fresh) else {
        return Ok(Vec::new());
    };
    // The kernel's own assembly has no use for them: ORC tables are made from its code.
    let for_kernel = verdict.report.kernel.is_some()
        || verdict
            .build
            .as_ref()
            .is_none_or(|build| build.flags.options.is_some() || build.flags.for_kernel || is_of_kernel(&build.flags));
    if !may_run || for_kernel || !is_assembly(&unit.path) || document.path.as_deref() != Some(&unit.path) {
        return Ok(Vec::new());
    }
    let done = match verdict.directives.get() {
        Some(done) => done.clone(),
        None if automatic => return Ok(Vec::new()),
        None => {
            let task = Task {
                source: unit.path.clone(),
                open: snapshot.documents.all(),
                document: Arc::clone(document),
                config: Arc::clone(config),
                search: snapshot.search(),
                previous: None,
            };
            let done = match snapshot.engine.annotate(&task, cancel) {
                Ok(done) => Some(Arc::new(done)),
                Err(Trouble::Cancelled) => return Err(Cancelled),
                Err(trouble) => {
                    tracing::info!("{}: {trouble}", unit.path.display());
                    None
                }
            };
            verdict.directives.get_or_init(|| done).clone()
        }
    };
    Ok(done.map(|done| actions(snapshot, document, &done, params.range)).unwrap_or_default())
}

/// Whether it belongs to a kernel tree, and not to the vDSO.
fn is_of_kernel(flags: &Flags) -> bool {
    flags.tree.is_some() && flags.unchecked() != Some(&Unchecked::Vdso)
}

fn actions(snapshot: &Snapshot, document: &Document, done: &Annotated, range: Range) -> Vec<CodeActionOrCommand> {
    let mut actions = Vec::new();
    let cursor = range.start.line as usize;
    let above =
        done.written.iter().enumerate().filter(|(_, function)| function.line.is_some_and(|line| line <= cursor));
    // Of a function without directives nothing else says where it ends.
    let refused = done.refused.iter().filter_map(|refusal| refusal.function.line).filter(|line| *line <= cursor).max();
    // What goes into macros is for all functions that use them.
    let is_shared = done.edits.iter().any(|edit| edit.function.is_none());
    if let Some((number, function)) = above.max_by_key(|(_, function)| function.line)
        && refused < function.line
        && !is_shared
    {
        let edits: Vec<&Edit> = done.edits.iter().filter(|edit| edit.function == Some(number)).collect();
        let title = format!("Write the unwind directives of {}", clean::line(&function.name));
        actions.push(action(snapshot, document, title, &edits));
    }
    if !done.written.is_empty() {
        let left = match done.refused.len() {
            0 => String::new(),
            n => format!(" ({n} of {} functions are left as they are)", n + done.written.len()),
        };
        let title = format!("Write the unwind directives of this file{left}");
        actions.push(action(snapshot, document, title, &done.edits.iter().collect::<Vec<_>>()));
    }
    actions
}

fn action(snapshot: &Snapshot, document: &Document, title: String, edits: &[&Edit]) -> CodeActionOrCommand {
    let edit = |edit: &&Edit| {
        let place = document.text.position(edit.at, snapshot.session.encoding);
        TextEdit { range: Range::new(place, place), new_text: edit.text.clone() }
    };
    // Edits at one place are one, so that no client has to keep their order.
    let mut found: Vec<TextEdit> = Vec::new();
    for edit in edits.iter().map(edit) {
        match found.last_mut().filter(|last| last.range == edit.range) {
            Some(last) => last.new_text.push_str(&edit.new_text),
            None => found.push(edit),
        }
    }
    CodeActionOrCommand::CodeAction(CodeAction {
        title,
        kind: Some(CodeActionKind::REFACTOR_REWRITE),
        edit: Some(WorkspaceEdit::new([(document.uri.clone(), found)].into())),
        ..CodeAction::default()
    })
}
