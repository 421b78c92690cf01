//! Fixes of data: constants in a section of code, tables where objtool does not look.
//!
//! In: a case.  Out: [`Fix`]es.

use super::case::Case;
use super::patch::{Fix, Patch};
use super::strings;
use crate::assembly::text::Statement;

/// `.pushsection .rodata` around the data at the cause.
pub(super) fn rodata(case: &Case<'_>) -> Vec<Fix> {
    let Some(at) = case.at else { return Vec::new() };
    let statements = &case.text.statements;
    let Some(start) = statements.iter().position(|one| one.line >= at && (one.is_data() || one.label().is_some()))
    else {
        return Vec::new();
    };
    let block = statements[start].block;
    let aligns = |one: &Statement| matches!(one.word(), ".balign" | ".align" | ".p2align");
    let is_part = |one: &&Statement| one.block == block && (one.is_data() || one.label().is_some() || aligns(one));
    let run = statements[start..].iter().take_while(is_part);
    let Some(last) = run.filter(|one| one.is_data()).last() else { return Vec::new() };
    // Its alignment goes along.
    let before = statements[..start].iter().rev().take_while(|one| aligns(one)).last();
    let first = before.map_or(statements[start].line, |one| one.line);
    let near = statements[start..].iter().find(|one| one.is_data()).map_or(first, |one| one.line);
    let patches = vec![
        Patch::insert(first, vec![strings::line(case, near, ".pushsection .rodata")]),
        Patch::insert(last.line + 1, vec![strings::line(case, near, ".popsection")]),
    ];
    let is_last_string =
        !case.assembly && case.lines.get(last.line).is_some_and(|line| line.trim_end().ends_with(");"));
    if is_last_string {
        return Vec::new();
    }
    vec![Fix::new("Put the data into read-only data: `.pushsection .rodata`", patches)]
}

/// `__annotate_jump_table` on a table in C, or `const` entries.
pub(super) fn annotate_table(case: &Case<'_>) -> Vec<Fix> {
    let (Some(at), Some(name)) = (case.at.filter(|_| !case.assembly), case.cause.subject.as_deref()) else {
        return Vec::new();
    };
    let text = case.lines[at];
    let Some(start) = text.find(name) else { return Vec::new() };
    let mut fixes = Vec::new();
    if let Some(bracket) = text[start..].find(']') {
        let end = start + bracket + 1;
        let changed = format!("{} __annotate_jump_table{}", &text[..end], &text[end..]);
        let title = "Mark the table: `__annotate_jump_table`";
        fixes.extend(case.with_header(title, vec![Patch::replace(at, changed)], "linux/compiler.h"));
    }
    if text[..start].trim_end().ends_with('*') {
        let changed = format!("{}const {}", &text[..start], &text[start..]);
        fixes.push(Fix::new("Make the entries of the table constant: `*const`", vec![Patch::replace(at, changed)]));
    }
    fixes
}
