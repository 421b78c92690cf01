//! Finds in the text the line of code that the debug information has none for: `asm()` at top level, data in code that
//! `data_lines` could not measure.
//!
//! In: findings whose code has no row of its own, the texts of the files.  Out: their lines.
//! Holds afterwards: a finding stands on the statement that wrote its code, else on the label of its function, never on the
//! statement before it; without either it has no line.
//! Reads like: "GNU as", `.byte`, `.skip`, `.fill` (no row of the line table is written for them).

use std::sync::Arc;

use crate::analysis::Analysis;
use crate::report::asm_lines::{label_of, statements};
use crate::report::findings::{Report, ReportedFinding};
use crate::report::macros::is_written;
use crate::report::view::View;
use crate::source_map::{Lines, SourceMap};

/// So far after a label its code is looked for.
const REACH: usize = 256;

type Texts<'a> = dyn Fn(&str) -> Option<Arc<str>> + 'a;

/// Gives findings of `report`, which are those of `analysis`, the lines that the text alone shows. `text_of` gives the text
/// of a file as it was compiled.
pub fn name_lines_by_text(report: &mut Report, analysis: &Analysis, lines: &Lines, text_of: &Texts<'_>) {
    if report.findings.is_empty() {
        return;
    }
    let view = View::new(analysis, lines);
    let Some(map) = view.map() else { return };
    for (finding, reported) in analysis.findings.iter().zip(&mut report.findings) {
        if finding.at.is_some() && reported.line.is_none() {
            by_label(map, reported, text_of);
        }
    }
}

fn is_assembly(file: Option<&str>) -> bool {
    file.is_some_and(|file| file.ends_with(".S") || file.ends_with(".s"))
}

/// Code of a function without any row: the statement after its label that is the instruction, else the label.
fn by_label(map: &SourceMap, reported: &mut ReportedFinding, text_of: &Texts<'_>) {
    let Some(function) = &reported.function else { return };
    let mut files: Vec<Arc<str>> = reported.file.iter().cloned().collect();
    files.extend(map.files().into_iter().filter(|file| file.ends_with(".c") || is_assembly(Some(file))));
    for file in files {
        let Some(text) = text_of(&file) else { continue };
        let Some(label) = label_of(&text, function) else { continue };
        let mut line = label;
        for (at, text) in text.lines().enumerate().skip(label).take(REACH) {
            if statements(text).any(|statement| is_written(&statement, &reported.instruction)) {
                line = at;
                break;
            }
            if at > label && ends(text, function) {
                break;
            }
        }
        (reported.file, reported.line, reported.column) = (Some(file), u32::try_from(line + 1).ok(), None);
        return;
    }
}

/// Whether the line ends what a label began: the statement, or the function.
fn ends(line: &str, function: &str) -> bool {
    let line = line.trim();
    line.starts_with(");") || line.starts_with("SYM_FUNC_END") || line.contains(&format!(".size {function}"))
}
