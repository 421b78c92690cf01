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
use crate::report::findings::Report;
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
    for reported in report.findings.iter_mut().filter(|reported| reported.line.is_none()) {
        let has_place = reported.id.and_then(|id| analysis.finding(id)).is_some_and(|finding| finding.at.is_some());
        let Some(function) = reported.function.as_deref().filter(|_| has_place) else { continue };
        let code = Unlined { function, instruction: &reported.instruction, file: reported.file.as_ref() };
        if let Some((file, line)) = code.by_label(map, text_of) {
            (reported.file, reported.line, reported.column) = (Some(file), Some(line), None);
        }
    }
}

/// Code of a function that has no row of its own.
pub struct Unlined<'a> {
    /// The function's symbol.
    pub function: &'a str,
    /// The disassembly.
    pub instruction: &'a str,
    /// Where it is probably written.
    pub file: Option<&'a Arc<str>>,
}

impl Unlined<'_> {
    /// The file and the line, from 1, of the statement after the function's label that is the instruction, else of the label.
    pub fn by_label(&self, map: &SourceMap, text_of: &Texts<'_>) -> Option<(Arc<str>, u32)> {
        let named = map.files().into_iter().filter(|file| file.ends_with(".c") || is_assembly(Some(file)));
        self.file.cloned().into_iter().chain(named).find_map(|file| {
            let text = text_of(&file)?;
            let label = label_of(&text, self.function)?;
            let mut line = label;
            for (at, text) in text.lines().enumerate().skip(label).take(REACH) {
                if statements(text).any(|statement| is_written(&statement, self.instruction)) {
                    line = at;
                    break;
                }
                if at > label && ends(text, self.function) {
                    break;
                }
            }
            Some((file, u32::try_from(line + 1).ok()?))
        })
    }
}

fn is_assembly(file: Option<&str>) -> bool {
    file.is_some_and(|file| file.ends_with(".S") || file.ends_with(".s"))
}

/// Whether the line ends what a label began: the statement, or the function.
fn ends(line: &str, function: &str) -> bool {
    let line = line.trim();
    line.starts_with(");") || line.starts_with("SYM_FUNC_END") || line.contains(&format!(".size {function}"))
}
