//! Finds in the text the line of code that the debug information has none for: data in code, `asm()` at top level.
//!
//! In: findings whose code has no row of its own, the texts of the files.  Out: their lines.
//! Holds afterwards: a finding stands on the statement that wrote its code, else on the label of its function, never on the
//! statement before it; without either it has no line.
//! Reads like: "GNU as", `.byte`, `.skip`, `.fill` (no row of the line table is written for them).

use std::sync::Arc;

use crate::analysis::Analysis;
use crate::ids::CodeLoc;
use crate::report::findings::{Report, ReportedFinding};
use crate::report::macros::is_written;
use crate::report::view::View;
use crate::source_map::{Lines, SourceMap};

/// Directives that write bytes for which the assembler has no row.
const DATA: [&str; 20] = [
    ".byte", ".word", ".short", ".value", ".2byte", ".long", ".int", ".4byte", ".quad", ".8byte", ".octa", ".skip",
    ".space", ".zero", ".fill", ".nops", ".ascii", ".string", ".org", ".incbin",
];
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
        let Some(at) = finding.at else { continue };
        match reported.line {
            None => by_label(map, reported, text_of),
            Some(line) if is_assembly(reported.file.as_deref()) => by_data(&view, map, at, line, reported, text_of),
            Some(_) => {}
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

/// Code without a row of its own after an instruction that is alone in its line: what wrote it is between that line and
/// that of the next row.
fn by_data(
    view: &View<'_>,
    map: &SourceMap,
    at: CodeLoc,
    line: u32,
    reported: &mut ReportedFinding,
    text_of: &Texts<'_>,
) {
    let insns = &view.analysis.insns;
    let Some(row) = map.row_start(at).filter(|row| *row < at) else { return };
    let Some(first) = insns.at(row).filter(|_| view.group_at(at).is_none()) else { return };
    if map.place(row).and_then(|place| place.line) != Some(line) {
        return;
    }
    let Some(text) = reported.file.as_deref().and_then(text_of) else { return };
    let lines: Vec<&str> = text.lines().collect();
    let Some(own) = (line as usize).checked_sub(1).and_then(|at| lines.get(at)) else { return };
    let mut own_statements = statements(own);
    let is_alone = own_statements.next().is_some_and(|only| is_written(&only, &view.text(first)));
    if !is_alone || own_statements.next().is_some() {
        return;
    }
    let onwards = std::iter::successors(insns.containing(at), |&insn| insns.next_in_section(insn));
    let next = onwards.map(|insn| insns.loc(insn)).find(|loc| map.row_start(*loc) == Some(*loc));
    let next = next.and_then(|loc| map.place(loc)).filter(|place| Some(&place.file) == reported.file.as_ref());
    let end = next.and_then(|place| place.line).map_or(lines.len(), |line| line as usize - 1);
    let is_data = |line: &str| {
        statements(line).any(|text| text.split_whitespace().next().is_some_and(|word| DATA.contains(&word)))
    };
    let between = lines.iter().enumerate().take(end).skip(line as usize).take(REACH);
    let mut data = between.filter(|(_, line)| is_data(line)).map(|(at, _)| at);
    let found = match (data.next(), data.next()) {
        (Some(only), None) => Some(only),
        _ => reported.function.as_ref().and_then(|function| label_of(&text, function)),
    };
    (reported.line, reported.column) = (found.and_then(|at| u32::try_from(at + 1).ok()), None);
}

/// The line, from 0, in which `function` is a label: `f:`, `SYM_FUNC_START(f)`.
fn label_of(text: &str, function: &str) -> Option<usize> {
    text.lines().position(|line| {
        line.match_indices(function).any(|(at, name)| {
            let (before, after) = (&line[..at], &line[at + name.len()..]);
            let is_word = !before.ends_with(is_name) && !after.starts_with(is_name);
            let opened = before.trim_end();
            let is_started = opened.ends_with('(') && (opened.contains("START") || opened.contains("ENTRY"));
            is_word && (after.starts_with(':') || is_started)
        })
    })
}

/// Whether the line ends what a label began: the statement, or the function.
fn ends(line: &str, function: &str) -> bool {
    let line = line.trim();
    line.starts_with(");") || line.starts_with("SYM_FUNC_END") || line.contains(&format!(".size {function}"))
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '.' || c == '$'
}

/// The assembler's statements of a line, be it assembly or a string of C.
fn statements(line: &str) -> impl Iterator<Item = String> {
    let strings = line.contains('"').then(|| line.split('"').skip(1).step_by(2).collect::<Vec<_>>().join(""));
    let text = strings.unwrap_or_else(|| line.to_owned());
    let text = text.replace("\\n", ";").replace("\\t", " ").replace("%%", "%");
    let code = without_comments(text.split("//").next().unwrap_or_default());
    let bare = |statement: &str| {
        let statement = statement.split('#').next().unwrap_or_default().trim();
        match statement.split_once(':') {
            Some((label, rest)) if label.chars().all(is_name) => rest.trim().to_owned(),
            _ => statement.to_owned(),
        }
    };
    let all: Vec<String> = code.split(';').map(bare).filter(|statement| !statement.is_empty()).collect();
    all.into_iter()
}

/// The line without its comments; one that does not end in it goes on to its end.
fn without_comments(line: &str) -> String {
    let mut code = String::new();
    let mut left = line;
    while let Some((before, comment)) = left.split_once("/*") {
        code.push_str(before);
        code.push(' ');
        left = comment.split_once("*/").map_or("", |(_, behind)| behind);
    }
    code + left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_told_from_uses() {
        let text = "int f(void);\n\tcall f\nff:\nSYM_FUNC_START(f)\nf:\n";
        assert_eq!(label_of(text, "f"), Some(3));
        assert_eq!(label_of("asm(\"g: ret\");\n", "g"), Some(0));
        assert_eq!(label_of("\tcall f\n", "f"), None);
    }

    #[test]
    fn statements_of_assembly_and_of_strings() {
        let all = |line: &str| statements(line).collect::<Vec<_>>();
        assert_eq!(all("1:\tpush %rbx; nop\t# why"), ["push %rbx", "nop"]);
        assert_eq!(all("\t\"f:\\n\\tpush %%rbx\\n\\t\""), ["push %rbx"]);
        assert_eq!(all("\t.byte 0x0f, 0x0b // ud2"), [".byte 0x0f, 0x0b"]);
        assert!(all("/* nothing */").is_empty());
        assert_eq!(all("push %rbx /* a; b */ ; ret /* to be"), ["push %rbx", "ret"]);
    }
}
