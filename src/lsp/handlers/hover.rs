//! Hover: what a line became, and the frame at each of its instructions.
//!
//! In: [`Snapshot`], a place.  Out: Markdown, or plain text for clients that show no other.
//! Holds afterwards: nothing was compiled or analysed; the answer is made from the last verdict.

use std::fmt::Write;

use tower_lsp::lsp_types::{Hover, HoverContents, HoverParams, MarkupContent, MarkupKind};

use crate::cfi::CfiState;
use crate::clean;
use crate::ids::InsnId;
use crate::report::cfi_rows::CfiRow;
use crate::report::macros::Macros;
use crate::report::{alternatives, cfi_rows, frame, words};

use super::super::position::Text;
use super::super::snapshot::Snapshot;
use super::super::verdict::Verdict;
use super::tables::{Spot, spots};

/// More instructions than this are counted, not shown.
const MAX_ROWS: usize = 32;
/// More alternatives than this are counted, not shown.
const MAX_GROUPS: usize = 4;

/// Describes the line under the cursor.
pub fn hover(snapshot: &Snapshot, params: &HoverParams) -> Option<Hover> {
    let at = &params.text_document_position_params;
    let uri = &at.text_document.uri;
    let document = snapshot.documents.get(uri)?;
    let spots = spots(snapshot, uri, Some(at.position));
    let (spot, insns) = spots.iter().map(|spot| (spot, spot.insns())).find(|(_, insns)| !insns.is_empty())?;
    let is_older = spot.verdict.versions.get(document.path.as_deref()?) != Some(&document.version);
    let mut out = Page::new(if snapshot.session.markdown { MarkupKind::Markdown } else { MarkupKind::PlainText });
    // The lines of a macro's body are those of the text at hand only where that is the text that was compiled.
    let macros = if is_older { Macros::default() } else { Macros::parse(document.text.as_str()) };
    describe(&mut out, spot, &insns, &macros);
    if is_older {
        out.line("Of an older text: the one at hand has not been judged.");
    }
    let end = at.position.line;
    let range = whole_line(&document.text, end, snapshot);
    let contents = HoverContents::Markup(MarkupContent { kind: out.kind, value: out.text });
    Some(Hover { contents, range: Some(range) })
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
    let function = row.function.as_deref().map_or(String::new(), |name| format!("{}, ", out.plain(name)));
    out.line(&format!("{function}{}+{:#x}", out.plain(&row.section), row.offset));
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
    let drawing = frame::draw(state);
    if !drawing.is_empty() {
        out.block(drawing.trim_end());
    }
    if let Some(orc) = &row.orc {
        out.line(&format!("ORC: {}", out.code(orc)));
    }
}

/// A row per instruction; behind those of a macro, where it is written.
fn table(rows: &[CfiRow], origins: &[Option<(String, u32)>], n_more: usize) -> String {
    let mut text = String::new();
    for (row, origin) in rows.iter().zip(origins) {
        let cfa = row.cfa.as_ref().map_or("?".to_owned(), |cfa| format!("{}{:+}", cfa.base, cfa.offset));
        let _ = match origin {
            Some((name, line)) => {
                writeln!(text, "{:>6x}  {cfa:<9} {:<32} {name}, line {line}", row.offset, row.text)
            }
            None => writeln!(text, "{:>6x}  {cfa:<9} {}", row.offset, row.text),
        };
    }
    if n_more > 0 {
        let _ = writeln!(text, "... {n_more} more");
    }
    text.trim_end().to_owned()
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

    fn block(&mut self, text: &str) {
        let text = if self.is_markdown() { clean::block(text) } else { format!("{text}\n") };
        let _ = write!(self.text, "\n{text}");
    }
}
