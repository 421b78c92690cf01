//! Hover: what a line became, and the frame at each of its instructions.
//!
//! In: [`Snapshot`], a place.  Out: Markdown, or plain text for clients that show no other.

use std::fmt::Write;

use tower_lsp::lsp_types::{Hover, HoverContents, HoverParams, MarkupContent, MarkupKind};

use crate::report::cfi_rows::CfiRow;
use crate::report::{alternatives, cfi_listing};

use super::super::snapshot::Snapshot;
use super::tables::{Spot, spots};

/// More instructions than this are counted, not shown.
const MAX_ROWS: usize = 40;

/// Describes the line under the cursor.
pub fn hover(snapshot: &Snapshot, params: &HoverParams) -> Option<Hover> {
    let at = &params.text_document_position_params;
    let spots = spots(snapshot, &at.text_document.uri, Some(at.position));
    let text = spots.iter().find_map(describe)?;
    let kind = if snapshot.session.markdown { MarkupKind::Markdown } else { MarkupKind::PlainText };
    Some(Hover { contents: HoverContents::Markup(MarkupContent { kind, value: text }), range: None })
}

fn describe(spot: &Spot<'_>) -> Option<String> {
    let (analysis, lines) = (&spot.anatomy.analysis, &spot.anatomy.lines);
    let rows = cfi_listing("", analysis, lines, &spot.select).instructions;
    let first = rows.first()?;
    let mut text = state(first);
    if rows.len() > 1 {
        text.push_str(&table(&rows));
    }
    for group in &alternatives("", analysis, lines, &spot.select).groups {
        let _ = write!(text, "\n**alternatives** ({})\n```\n{}\n```\n", group.feature, group.to_text().trim_end());
    }
    Some(text)
}

fn state(row: &CfiRow) -> String {
    let mut text = String::new();
    let function = row.function.as_deref().unwrap_or(&row.section);
    let _ = writeln!(text, "`{}`  \n{function}, {}+{:#x}\n", row.text, row.section, row.offset);
    match &row.cfa {
        Some(cfa) => {
            let _ = write!(text, "CFA = `{}{:+}`", cfa.base, cfa.offset);
            if let Some(after) = row.cfa_after.as_ref().filter(|after| *after != cfa) {
                let _ = write!(text, ", after it `{}{:+}`", after.base, after.offset);
            }
            text.push('\n');
        }
        None => text.push_str("The CFA is not known here.\n"),
    }
    if !row.saved.is_empty() {
        let saved: Vec<_> = row.saved.iter().map(|(reg, offset)| format!("`{reg}` at `cfa{offset:+}`")).collect();
        let _ = writeln!(text, "\nsaved: {}", saved.join(", "));
    }
    if let Some(orc) = &row.orc {
        let _ = writeln!(text, "\nORC: `{orc}`");
    }
    text
}

fn table(rows: &[CfiRow]) -> String {
    let mut text = String::from("\n```\n");
    for row in rows.iter().take(MAX_ROWS) {
        let cfa = row.cfa.as_ref().map_or("?".to_owned(), |cfa| format!("{}{:+}", cfa.base, cfa.offset));
        let _ = writeln!(text, "{:>6x}  {:<9} {}", row.offset, cfa, row.text);
    }
    if let Some(more) = rows.len().checked_sub(MAX_ROWS).filter(|more| *more > 0) {
        let _ = writeln!(text, "... {more} more");
    }
    text.push_str("```\n");
    text
}
