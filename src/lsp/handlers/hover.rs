//! Hover: what a line became, and the frame at each of its instructions.
//!
//! In: [`Snapshot`], a place.  Out: Markdown, or plain text for clients that show no other.
//! Holds afterwards: nothing was compiled or analysed; the answer is made from the last verdict.

use std::fmt::Write;

use tower_lsp::lsp_types::{Hover, HoverContents, HoverParams, MarkupContent, MarkupKind, Position};

use crate::cfi::CfiState;
use crate::clean;
use crate::ids::{InsnId, SymbolId};
use crate::report::cfi_rows::CfiRow;
use crate::report::macros::Macros;
use crate::report::summary::{is_padding, words_of};
use crate::report::words::Cfa;
use crate::report::{alternatives, cfi_rows, demangled, frame, words};

use super::super::assembly::view::View as AssemblyView;
use super::super::config::HoverForm;
use super::super::position::Text;
use super::super::snapshot::Snapshot;
use super::super::to_proto::Placer;
use super::super::verdict::Verdict;
use super::assembly::meaning::meaning;
use super::heads_of_c::lines_of_c;
use super::tables::{Spot, spots};
use super::unwind;

/// More instructions than this are counted, not shown.
const MAX_ROWS: usize = 32;
/// So far after a label its code is looked for.
const MAX_AHEAD: usize = 40;
/// More alternatives than this are counted, not shown.
const MAX_GROUPS: usize = 4;

/// Describes the line under the cursor: the word there, where it has a meaning of its own, and what the line became.
pub fn hover(snapshot: &Snapshot, params: &HoverParams) -> Option<Hover> {
    let at = &params.text_document_position_params;
    let uri = &at.text_document.uri;
    let document = snapshot.documents.get(uri)?;
    let kind = if snapshot.session.markdown { MarkupKind::Markdown } else { MarkupKind::PlainText };
    let mut out = Page::new(kind);
    let view = AssemblyView::of(snapshot, uri);
    if let Some(told) = view.as_ref().and_then(|view| meaning(view, at.position)) {
        told.code.iter().for_each(|code| out.block(code));
        told.meaning.iter().for_each(|meaning| out.line(meaning));
        if !told.comment.is_empty() {
            out.block(&told.comment.join("\n"));
        }
        let place = out.code(&told.place);
        if !told.place.is_empty() {
            out.line(&place);
        }
    }
    let line = at.position.line;
    let near = view.as_ref().map_or_else(|| lines_of_c(document.text.as_str(), line), |view| lines_of_code(view, line));
    let found = near.into_iter().find_map(|near| {
        let spots = spots(snapshot, uri, Some(Position::new(near, 0)));
        let found = spots.into_iter().map(|spot| (spot.insns(), spot)).find(|(insns, _)| !insns.is_empty());
        found.map(|(insns, spot)| (near, insns, spot))
    });
    if let Some((near, insns, spot)) = &found {
        let version = spot.verdict.versions.get(document.path.as_deref()?);
        let is_older = !version.is_some_and(|version| document.is_as_at(*version));
        // The lines of a macro's body are those of the text at hand only where that is the text that was compiled.
        let macros = if is_older { Macros::default() } else { Macros::parse(document.text.as_str()) };
        if !out.is_empty() {
            out.rule();
        }
        if *near != line {
            out.line(&format!("Before line {}:", near + 1));
        }
        heads(&mut out, snapshot, spot, *near);
        if is_short(snapshot, view.is_some()) {
            short(&mut out, spot, insns);
        } else {
            describe(&mut out, spot, insns, &macros);
        }
        if is_older {
            out.line("From an earlier version of the text; the current one is not analysed yet.");
        }
    }
    if let (None, Some(told)) = (&found, unwind::hover(snapshot, params)) {
        if !out.is_empty() {
            out.rule();
        }
        out.text.push_str(&told);
    }
    if out.is_empty() {
        return None;
    }
    let range = whole_line(&document.text, line, snapshot);
    let contents = HoverContents::Markup(MarkupContent { kind: out.kind, value: out.text });
    Some(Hover { contents, range: Some(range) })
}

/// In C an editor shows what clangd says as well: there a short form does, unless the user wants more.
fn is_short(snapshot: &Snapshot, is_assembly: bool) -> bool {
    match snapshot.config.hover {
        HoverForm::Auto => !is_assembly,
        HoverForm::Full => false,
        HoverForm::Short => true,
    }
}

/// The line itself, and those that its state is that of: the first one of a statement in several lines; after a label, a
/// hint or the head of a function, the next line with code.
fn lines_of_code(view: &AssemblyView<'_>, line: u32) -> Vec<u32> {
    let source = &view.parsed.source;
    let number = line as usize;
    let mut lines = vec![line];
    let mut add = |line: usize| lines.extend(u32::try_from(line));
    let first = source.first_of(number);
    if first != number {
        add(first);
    }
    let pieces = source.pieces(number);
    let leads = |text: &str| {
        ["SYM_", "ENTRY", "UNWIND_HINT", "ANNOTATE_", "ENDBR", "VALIDATE_UNRET", "REACHABLE"]
            .iter()
            .any(|start| text.starts_with(start))
            && !text.contains("_END(")
    };
    if !pieces.is_empty() && pieces.iter().all(|piece| piece.is_label || leads(piece.text)) {
        // What is between may be comments, more labels and directives that write nothing.
        let next = (number + 1..source.n_lines().min(number + MAX_AHEAD))
            .filter(|line| source.pieces(*line).iter().any(|piece| !piece.is_label && !piece.text.starts_with('.')));
        next.take(4).for_each(&mut add);
    }
    lines
}

/// Functions that begin at a line: what they need of the stack.
fn heads(out: &mut Page, snapshot: &Snapshot, spot: &Spot<'_>, line: u32) {
    let analysis = &spot.anatomy.analysis;
    let placer = Placer { snapshot, verdict: spot.verdict };
    let insns = spot.insns();
    let owners: Vec<SymbolId> = insns.iter().filter_map(|insn| analysis.flow.owner(*insn)).collect();
    for summary in spot.anatomy.functions().iter().filter(|summary| owners.contains(&summary.symbol)) {
        let (Some(file), Some(first)) = (&summary.file, summary.line) else { continue };
        if placer.range(&placer.file(file), first, None).start.line != line || is_padding(&summary.function) {
            continue;
        }
        let name = out.code(&format!("{}()", demangled(&summary.function)));
        out.line(&format!("{name}: {}", words_of(summary)));
        let chain = spot.anatomy.calls().deepest(summary.symbol).filter(|chain| chain.functions.len() > 1);
        if let Some(chain) = chain {
            let names: Vec<String> =
                chain.functions.iter().map(|one| out.code(&demangled(analysis.image.symbol_name(*one)))).collect();
            let more = if chain.is_open { " or more (some calls leave the object)" } else { "" };
            out.line(&format!("deepest chain here: {} bytes{more}: {}", chain.depth, names.join(" → ")));
        }
    }
}

/// The stack in two lines.
fn short(out: &mut Page, spot: &Spot<'_>, insns: &[InsnId]) {
    let (analysis, lines) = (&spot.anatomy.analysis, &spot.anatomy.lines);
    let rows = cfi_rows(analysis, lines, insns.get(..MAX_ROWS).unwrap_or(insns));
    let words = |cfa: &Cfa| format!("{}{:+}", cfa.base, cfa.offset);
    let mut states: Vec<String> = rows.iter().filter_map(|row| row.cfa.as_ref().map(words)).collect();
    states.dedup();
    let first = rows.first();
    let function = demangled(first.and_then(|row| row.function.as_deref()).unwrap_or_default());
    let function = function.as_str();
    match states.as_slice() {
        [] => out.line("orcls: no path leads here: the frame is not known."),
        [only] => out.line(&format!("stack in {}: CFA = {}", out.code(function), out.code(only))),
        [one, .., last] => {
            out.line(&format!("stack in {}: CFA = {} to {}", out.code(function), out.code(one), out.code(last)));
        }
    }
}

fn whole_line(text: &Text, line: u32, snapshot: &Snapshot) -> tower_lsp::lsp_types::Range {
    text.visible(line + 1, None, snapshot.session.encoding)
}

fn describe(out: &mut Page, spot: &Spot<'_>, insns: &[InsnId], macros: &Macros<'_>) {
    let (analysis, lines) = (&spot.anatomy.analysis, &spot.anatomy.lines);
    let shown = insns.get(..MAX_ROWS).unwrap_or(insns);
    let rows = cfi_rows(analysis, lines, shown);
    let (Some(first), Some(&insn)) = (rows.first(), insns.first()) else {
        return;
    };
    place(out, spot, first, insn);
    match analysis.states.state(insn) {
        Some(state) => frame_at(out, first, state, analysis.kernel),
        None => out.line("No path leads here: the frame is not known."),
    }
    let line = spot.select.at.as_ref().map_or(0, |(_, line)| *line);
    let origin = |row: &CfiRow| macros.origins(line, &row.text).first().map(|from| (from.name.clone(), from.line));
    let origins: Vec<Option<(String, u32)>> = rows.iter().map(origin).collect();
    if rows.len() > 1 || origins.iter().any(Option::is_some) {
        out.block(&table(&rows, &origins, insns.len() - shown.len()));
    }
    let groups = alternatives("", analysis, lines, &spot.select).groups;
    for group in groups.iter().take(MAX_GROUPS) {
        out.block(group.to_text().trim_end());
    }
    if groups.len() > MAX_GROUPS {
        out.line(&format!("... and {} more alternatives", groups.len() - MAX_GROUPS));
    }
}

/// Where the code is: its function, and the calls that were inlined on the way there.
fn place(out: &mut Page, spot: &Spot<'_>, row: &CfiRow, insn: InsnId) {
    let at = spot.anatomy.analysis.insns.loc(insn);
    // As code: editors that do not render Markdown show its escapes.
    let function = row.function.as_deref().map_or(String::new(), |name| format!("{}, ", out.code(&demangled(name))));
    out.line(&format!("{function}{}", out.code(&format!("{}+{:#x}", row.section, row.offset))));
    let inlined = spot.anatomy.map().and_then(|map| map.place(at)).map(|place| place.inlined).unwrap_or_default();
    for frame in inlined {
        let from = frame.file.zip(frame.line).map(|(file, line)| out.plain(&called_from(spot.verdict, &file, line)));
        out.line(&format!("inlined {}{}", out.code(&frame.function), from.unwrap_or_default()));
    }
}

fn called_from(verdict: &Verdict, name: &str, line: u32) -> String {
    let file = verdict.file(name);
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    format!(" at {name}:{line}")
}

fn frame_at(out: &mut Page, row: &CfiRow, state: &CfiState, kernel: crate::kernel::Kernel) {
    let before = row.cfa.as_ref().map(|cfa| format!("{}{:+}", cfa.base, cfa.offset));
    let after = row.cfa_after.as_ref().filter(|after| Some(*after) != row.cfa.as_ref());
    let after = after.map(|cfa| format!(", after it {}", out.code(&format!("{}{:+}", cfa.base, cfa.offset))));
    match before {
        Some(before) => {
            out.line(&format!(
                "CFA = {} before {}{}",
                out.code(&before),
                out.code(&row.text),
                after.unwrap_or_default()
            ));
        }
        None => out.line(&format!("{}: {}", out.code(&row.text), words::state(state, kernel))),
    }
    let drawing = match words::pt_regs(state, kernel) {
        Some(part) => frame::draw_pt_regs(state, part),
        None => frame::draw(state),
    };
    if !drawing.is_empty() {
        out.block(drawing.trim_end());
    }
    if let Some(orc) = &row.orc {
        out.line(&format!("ORC: {}", out.code(orc)));
    }
}

/// A row per instruction; behind those of a macro, where it is written. The CFA is told where it changes, functions by a
/// heading where there are several, and padding in one row.
fn table(rows: &[CfiRow], origins: &[Option<(String, u32)>], n_more: usize) -> String {
    let mut text = String::new();
    let several = rows.iter().any(|row| row.function != rows.first().and_then(|first| first.function.clone()));
    let mut last: Option<(&CfiRow, String)> = None;
    let mut at = 0;
    while let Some(row) = rows.get(at) {
        let is_new = last.as_ref().is_none_or(|(before, _)| before.function != row.function);
        if several && is_new {
            let _ = writeln!(text, "{}:", row.function.as_deref().map_or("no function".to_owned(), demangled));
        }
        let cfa = row.cfa.as_ref().map_or("?".to_owned(), |cfa| format!("{}{:+}", cfa.base, cfa.offset));
        let shown = match &last {
            Some((_, before)) if *before == cfa && !is_new => "",
            _ => cfa.as_str(),
        };
        let n_nops = rows[at..].iter().take_while(|next| is_nop(next) && next.function == row.function).count();
        let instruction = match n_nops {
            0 | 1 => row.text.clone(),
            _ => {
                let bytes: u32 = rows[at..at + n_nops].iter().map(|row| u32::from(row.length)).sum();
                format!("{n_nops} NOPs, {bytes} bytes")
            }
        };
        let _ = match origins.get(at).and_then(Option::as_ref) {
            Some((name, line)) => {
                writeln!(text, "{:>6x}  {shown:<9} {instruction:<32} {name}, line {line}", row.offset)
            }
            None => writeln!(text, "{:>6x}  {shown:<9} {instruction}", row.offset),
        };
        last = Some((row, cfa));
        at += n_nops.max(1);
    }
    if n_more > 0 {
        let _ = writeln!(text, "... {n_more} more");
    }
    text.trim_end().to_owned()
}

fn is_nop(row: &CfiRow) -> bool {
    row.text == "nop" || row.text.starts_with("nop ") || row.text.starts_with("nopw") || row.text.starts_with("nopl")
}

/// Text that reads well with and without Markdown.
struct Page {
    kind: MarkupKind,
    text: String,
}

impl Page {
    fn new(kind: MarkupKind) -> Page {
        Page { kind, text: String::new() }
    }

    fn is_markdown(&self) -> bool {
        self.kind == MarkupKind::Markdown
    }

    fn code(&self, text: &str) -> String {
        if self.is_markdown() { clean::code(text) } else { clean::line(text).into_owned() }
    }

    /// A name within a line.
    fn plain(&self, text: &str) -> String {
        if self.is_markdown() { clean::markdown(text) } else { clean::line(text).into_owned() }
    }

    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        // Markdown joins lines that do not end with two spaces.
        self.text.push_str(if self.is_markdown() { "  \n" } else { "\n" });
    }

    fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    fn rule(&mut self) {
        self.text.push_str(if self.is_markdown() { "\n---\n" } else { "\n" });
    }

    fn block(&mut self, text: &str) {
        let text = if self.is_markdown() { clean::block(text) } else { format!("{text}\n") };
        let _ = write!(self.text, "\n{text}");
    }
}
