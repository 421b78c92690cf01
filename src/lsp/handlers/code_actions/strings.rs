//! Lines of assembly as a file writes them: as they are, or as strings of an asm statement.
//!
//! In: a case.  Out: lines, and changed lines.

use super::case::Case;

/// A line of assembly like those around line `near`.
pub(super) fn line(case: &Case<'_>, near: usize, code: &str) -> String {
    let indent = case.indent(near);
    if case.assembly { format!("{indent}{code}") } else { format!("{indent}\"{code}\\n\\t\"") }
}

/// The line with a macro of C, or of the assembler, before the string that an instruction is in.
pub(super) fn with_macro(case: &Case<'_>, line: usize, name: &str) -> Option<Vec<String>> {
    let text = *case.lines.get(line)?;
    if case.assembly {
        return Some(vec![format!("{}{name}", case.indent(line)), text.to_owned()]);
    }
    let quote = text.find('"')?;
    Some(vec![format!("{}{name} {}", &text[..quote], &text[quote..])])
}
