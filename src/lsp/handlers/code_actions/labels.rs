//! Fixes of labels: their kind, and what is at them.
//!
//! In: a case.  Out: [`Fix`]es.
//! Reads like: `include/linux/linkage.h`, `arch/x86/include/asm/ibt.h`.

use super::case::Case;
use super::patch::{Fix, Patch};
use super::strings;

/// A label that becomes a function.
pub(super) fn function(case: &Case<'_>) -> Vec<Fix> {
    let (Some(name), Some(at)) = (case.cause.subject.as_deref(), case.at) else { return Vec::new() };
    let typed = {
        let line = strings::line(case, at, &format!(".type {name}, @function"));
        let line = if case.assembly { line.trim_start().to_owned() } else { line };
        let line = if case.assembly { format!("\t{line}") } else { line };
        let mut patches = vec![Patch::insert(at, vec![line])];
        if case.assembly && own_size(case, name).is_none() {
            let size = format!("\t.size {name}, . - {name}");
            patches.push(Patch::insert(last_line(case, at) + 1, vec![size]));
        }
        Fix::new(format!("Make {name} a function: `.type {name}, @function`"), patches)
    };
    if !case.assembly || case.trimmed(at) != format!("{name}:") {
        return vec![typed];
    }
    let global = case.lines.iter().any(|line| {
        let mut words = line.split_whitespace();
        matches!(words.next(), Some(".globl" | ".global")) && words.next() == Some(name)
    });
    let start = if global { "SYM_FUNC_START" } else { "SYM_FUNC_START_LOCAL" };
    let end = format!("SYM_FUNC_END({name})");
    let mut patches = vec![Patch::replace(at, format!("{start}({name})"))];
    match own_size(case, name) {
        Some(size) => patches.push(Patch::replace(size, end.clone())),
        None => patches.push(Patch::insert(last_line(case, at) + 1, vec![end.clone()])),
    }
    let title = format!("Make {name} a function: `{start}({name})` and `{end}`");
    let mut fixes = case.with_header(&title, patches, "linux/linkage.h");
    fixes.push(typed);
    fixes
}

/// The line that gives a symbol its size.
fn own_size(case: &Case<'_>, name: &str) -> Option<usize> {
    let is_size =
        |line: &&str| line.trim().strip_prefix(".size").is_some_and(|rest| rest.trim_start().starts_with(name));
    case.lines.iter().position(is_size)
}

/// The last instruction of the code at a label.
fn last_line(case: &Case<'_>, at: usize) -> usize {
    let behind = case.text.statements.iter().filter(|one| one.line > at);
    let own = behind.take_while(|one| one.is_instruction() || one.label().is_some_and(|label| label.starts_with(".L")));
    own.filter(|one| one.is_instruction()).last().map_or(at, |one| one.line)
}

/// `ENDBR` at the start of a function.
pub(super) fn endbr(case: &Case<'_>) -> Vec<Fix> {
    let Some(at) = case.at else { return Vec::new() };
    if !case.assembly {
        let line = strings::line(case, at, "endbr64");
        return vec![Fix::new("Start the function with `endbr64`", vec![Patch::insert(at + 1, vec![line])])];
    }
    let indent = case.instructions(at + 1).first().map_or_else(|| "\t".to_owned(), |one| case.indent(one.line));
    let patch = Patch::insert(at + 1, vec![format!("{indent}ENDBR")]);
    case.with_header("Start the function with `ENDBR`", vec![patch], "asm/ibt.h")
}

/// `ANNOTATE_NOENDBR` at a point that nothing jumps to.
pub(super) fn noendbr(case: &Case<'_>) -> Vec<Fix> {
    const NAME: &str = "ANNOTATE_NOENDBR";
    let Some(at) = case.at.filter(|&at| !case.instructions(at).is_empty()) else { return Vec::new() };
    let on_own_line = case.text.on_line(at).all(|one| one.label().is_none());
    let Some(with) = strings::with_macro(case, at, NAME).filter(|_| on_own_line || !case.assembly) else {
        return Vec::new();
    };
    let subject = case.cause.subject.as_deref().filter(|name| !name.is_empty()).unwrap_or("the point");
    let title = format!("Say that nothing jumps to {subject}: `{NAME}`");
    case.with_header(&title, vec![Patch { line: at, replaces: true, with }], "linux/objtool.h")
}
