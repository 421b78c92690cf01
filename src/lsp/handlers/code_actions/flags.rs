//! Fixes of user access and of the direction flag.
//!
//! In: a case.  Out: [`Fix`]es.
//! Holds afterwards: no `stac` or `clac` is written as an instruction: without SMAP it is an invalid one.

use crate::decode::{Kind, Usage};

use super::case::Case;
use super::patch::{Fix, Patch};

/// The pairs that C writes.
const PAIRS: [(&str, &str); 4] = [
    ("user_read_access_begin", "user_read_access_end();"),
    ("user_write_access_begin", "user_write_access_end();"),
    ("user_access_begin", "user_access_end();"),
    ("stac()", "clac();"),
];

/// The end of user access before the return that leaves it open.
pub(super) fn end_user_access(case: &Case<'_>) -> Vec<Fix> {
    if case.assembly {
        let opened = case.causes.iter().any(|cause| case.trimmed(cause.line).contains("ASM_STAC"));
        let patch = Patch::insert(case.line, vec![format!("{}ASM_CLAC", case.indent(case.line))]);
        let title = format!("Insert `ASM_CLAC` before line {}", case.line + 1);
        return opened.then(|| Fix::new(title, vec![patch])).into_iter().collect();
    }
    let opens = |line: usize| PAIRS.iter().find(|(begin, _)| case.lines.get(line).is_some_and(|l| l.contains(begin)));
    let opened = case.causes.iter().find_map(|cause| opens(cause.line));
    let from = case.line.min(case.lines.len().saturating_sub(1));
    let above =
        || (0..=from).rev().take_while(|&line| !case.lines[line].starts_with('}') || line == from).find_map(opens);
    let Some((_, end)) = opened.or_else(above) else { return Vec::new() };
    let mut places: Vec<usize> = Vec::new();
    // A return that a branch of this function leads to; objtool sees them all as one.
    let is_exit = |line: usize| {
        let text = case.trimmed(line);
        text.starts_with("return") || text.starts_with("goto")
    };
    places.extend(Some(case.line).filter(|&line| is_exit(line)));
    let steps = case.way.iter().rev().map(|&(_, line)| line);
    for line in steps.chain(case.causes.iter().map(|cause| cause.line)) {
        // Behind a condition: the statement that is its body.
        let near = (line..case.lines.len()).take(3).find(|&line| is_exit(line));
        places.extend(near.filter(|near| !places.contains(near)));
    }
    places.iter().map(|&line| guarded(case, line, end)).collect()
}

/// A statement before another one, with braces where that is the whole body of a condition.
fn guarded(case: &Case<'_>, line: usize, statement: &str) -> Fix {
    let indent = case.indent(line);
    let title = format!("Insert `{statement}` before line {}", line + 1);
    let above = line.checked_sub(1).map_or("", |above| case.lines[above].trim_end());
    let alone = above.ends_with(')') || above.ends_with("else");
    let is_condition = ["if", "else", "while", "for", "}"].iter().any(|word| above.trim_start().starts_with(word));
    if !alone || !is_condition {
        return Fix::new(title, vec![Patch::insert(line, vec![format!("{indent}{statement}")])]);
    }
    let outer = case.indent(line - 1);
    let outer = if above.starts_with(char::is_whitespace) { outer } else { String::new() };
    let patches = vec![
        Patch::replace(line - 1, format!("{above} {{")),
        Patch {
            line,
            replaces: true,
            with: vec![format!("{indent}{statement}"), case.lines[line].to_owned(), format!("{outer}}}")],
        },
    ];
    Fix::new(title, patches)
}

/// Whether something on the way depends on the direction flag.
fn uses_direction(case: &Case<'_>) -> bool {
    let Some(analysis) = case.analysis else { return true };
    let set = case.way.iter().rposition(|&(insn, _)| analysis.insns.kind(insn) == Kind::Std);
    let after = case.way.get(set.unwrap_or(0)..).unwrap_or_default();
    after.iter().any(|&(insn, _)| Usage::of(&analysis.image, &analysis.insns, insn).string)
}

/// `cld` where the flag is to be clear again.
pub(super) fn clear_direction(case: &Case<'_>) -> Vec<Fix> {
    let set = case.causes.iter().find_map(|cause| cleared_in_statement(case, cause.line));
    if let Some(fix) = set {
        return vec![fix];
    }
    let indent = case.indent(case.line);
    let line = if case.assembly { format!("{indent}cld") } else { format!("{indent}asm volatile(\"cld\");") };
    let title = format!("Insert `{}` before line {}", line.trim(), case.line + 1);
    vec![Fix::new(title, vec![Patch::insert(case.line, vec![line])])]
}

/// `cld` at the end of the asm statement of C that sets the flag and uses it: the compiler's code behind it takes the flag to be
/// clear.
fn cleared_in_statement(case: &Case<'_>, line: usize) -> Option<Fix> {
    let (number, block) = case.text.block_at(line).filter(|(_, block)| !case.assembly && !block.top_level)?;
    let own = case.text.statements.iter().filter(|one| one.block == number && &*one.section == ".text");
    let own: Vec<_> = own.filter(|one| one.is_instruction()).collect();
    let last = own.last().filter(|last| own.len() > 1 && last.text != "std")?;
    let text = *case.lines.get(last.line)?;
    let head = if last.line == block.first { text.find("asm")? } else { 0 };
    let open = head + text.get(head..)?.find('"')?;
    let close = open + 1 + text.get(open + 1..)?.find('"')?;
    let code = &text[open + 1..close];
    if code.ends_with('\\') {
        return None;
    }
    let separator =
        if code.ends_with("\\n\\t") || code.ends_with("\\n") || code.ends_with(';') { "" } else { "\\n\\t" };
    let changed = format!("{}{separator}cld{}", &text[..close], &text[close..]);
    let title = format!("Clear the direction flag at the end of the asm statement: `cld` in line {}", last.line + 1);
    Some(Fix::new(title, vec![Patch::replace(last.line, changed)]))
}

/// A `std`, `cld`, `stac` or `clac` that nothing needs.
pub(super) fn remove_change(case: &Case<'_>) -> Vec<Fix> {
    let lines = case.causes.iter().map(|cause| cause.line).chain([case.line]);
    let removable = |line: &usize| {
        let change = case.instructions(*line);
        let [only] = change.as_slice() else { return false };
        let own = case.assembly || case.trimmed(*line).ends_with(");") && case.trimmed(*line).starts_with("asm");
        let is_change = match only.text.as_str() {
            "std" => !uses_direction(case),
            "cld" | "stac" | "clac" => true,
            _ => false,
        };
        own && is_change
    };
    let mut lines: Vec<usize> = lines.filter(removable).collect();
    lines.dedup();
    let remove = |line: usize| {
        Fix::new(format!("Remove `{}` in line {}", case.trimmed(line), line + 1), vec![Patch::delete(line)])
    };
    lines.into_iter().map(remove).collect()
}
