//! Fixes of calls and indirect branches.
//!
//! In: a case.  Out: [`Fix`]es.
//! Reads like: `arch/x86/include/asm/nospec-branch.h`.

use super::case::Case;
use super::patch::{Fix, Patch};
use super::strings;

const NOSPEC: &str = "asm/nospec-branch.h";

/// An indirect branch through a thunk.
pub(super) fn nospec(case: &Case<'_>) -> Vec<Fix> {
    let line = case.at.unwrap_or(case.line);
    let instructions = case.instructions(line);
    let Some(branch) = instructions.iter().find(|one| one.operands().starts_with('*')) else { return Vec::new() };
    let is_call = branch.word().starts_with("call");
    let operand = branch.operands().trim_start_matches('*').trim();
    let (macro_name, plain) = if is_call { ("CALL_NOSPEC", "call") } else { ("JMP_NOSPEC", "jmp") };
    if !case.assembly {
        return in_c(case, line, operand, is_call, plain);
    }
    let [_] = instructions.as_slice() else { return Vec::new() };
    let indent = case.indent(line);
    let (lines, shown) = match register(operand) {
        Some(register) => {
            let shown = format!("{macro_name} {register}");
            (vec![format!("{indent}{shown}")], shown)
        }
        // r11 belongs to nobody at a call: psABI, figure 3.4.
        None => {
            let shown = format!("{macro_name} r11");
            let suffix = if branch.word().ends_with('q') { "q" } else { "" };
            let separator = &branch.text[branch.word().len()..branch.text.len() - branch.operands().len()];
            (vec![format!("{indent}mov{suffix}{separator}{operand}, %r11"), format!("{indent}{shown}")], shown)
        }
    };
    let patch = Patch { line, replaces: true, with: lines };
    case.with_header(&format!("Branch through a retpoline: `{shown}`"), vec![patch], NOSPEC)
}

/// The name of a register operand, without its sign.
fn register(operand: &str) -> Option<&str> {
    let name = operand.strip_prefix('%')?;
    (name.starts_with('r') && name.chars().all(|c| c.is_ascii_alphanumeric())).then_some(name)
}

/// `CALL_NOSPEC` with `THUNK_TARGET()` for an operand, the thunk itself for a register.
fn in_c(case: &Case<'_>, line: usize, operand: &str, is_call: bool, plain: &str) -> Vec<Fix> {
    let text = case.lines[line];
    if let Some(register) = register(operand) {
        let target = format!("{plain} __x86_indirect_thunk_{register}");
        let written =
            [format!("{plain} *%%{register}"), format!("{plain} *%{register}"), format!("{plain}q *%%{register}")];
        let Some(old) = written.iter().find(|old| text.contains(*old)) else { return Vec::new() };
        let patch = Patch::replace(line, text.replacen(old, &target, 1));
        return vec![Fix::new(format!("Branch through the thunk: `{target}`"), vec![patch])];
    }
    let Some((_, block)) = case.text.block_at(line).filter(|_| is_call) else { return Vec::new() };
    let Some((old, target)) = operand_of(case, block.first..=block.last, operand) else { return Vec::new() };
    let literals =
        [format!("\"call *{operand}\""), format!("\"call *{operand}\\n\\t\""), format!("\"call *{operand}\\n\"")];
    let Some(literal) = literals.iter().find(|literal| text.contains(*literal)) else { return Vec::new() };
    let mut patches = Vec::new();
    for at in block.first..=block.last {
        let own = case.lines[at];
        let mut changed = own.to_owned();
        if at == line {
            changed = changed.replacen(literal, "CALL_NOSPEC", 1);
        }
        changed = changed.replacen(&old, &format!("THUNK_TARGET({target})"), 1);
        if changed != own {
            patches.push(Patch::replace(at, changed));
        }
    }
    let title = format!("Call through a retpoline: `CALL_NOSPEC` with `THUNK_TARGET({target})`");
    case.with_header(&title, patches, NOSPEC)
}

/// The text of an input operand and its expression.
fn operand_of(case: &Case<'_>, lines: std::ops::RangeInclusive<usize>, operand: &str) -> Option<(String, String)> {
    let all: Vec<&str> = lines.map(|line| case.lines[line]).collect();
    let all = all.join("\n");
    let expression = |from: usize| {
        let open = all[from..].find('(')? + from;
        let mut depth = 0i32;
        let close = all[open..].char_indices().find(|&(_, c)| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth == 0
        })?;
        Some((open + 1, open + close.0))
    };
    let constraint = |text: &str| text.starts_with("\"r\"") || text.starts_with("\"rm\"") || text.starts_with("\"g\"");
    if let Some(name) = operand.strip_prefix("%[").and_then(|rest| rest.strip_suffix(']')) {
        let start = all.find(&format!("[{name}] \"")).filter(|&at| !all[..at].ends_with('%'))?;
        let rest = start + name.len() + 3;
        if !constraint(&all[rest..]) {
            return None;
        }
        let (from, to) = expression(rest)?;
        return Some((all[start..=to].to_owned(), all[from..to].to_owned()));
    }
    let number: usize = operand.strip_prefix('%')?.parse().ok()?;
    // Outputs and inputs, in order.
    let operands = all.match_indices('"').map(|(at, _)| at).filter(|&at| {
        let rest = &all[at + 1..];
        let word: String = rest.chars().take_while(|c| *c != '"').collect();
        word.len() < 5 && rest[word.len() + 1..].trim_start().starts_with('(')
    });
    let start = operands.into_iter().nth(number).filter(|&at| constraint(&all[at..]))?;
    let (from, to) = expression(start)?;
    Some((all[start..=to].to_owned(), all[from..to].to_owned()))
}

/// A call only for its return address, said to be one.
pub(super) fn intra_call(case: &Case<'_>) -> Vec<Fix> {
    const NAME: &str = "ANNOTATE_INTRA_FUNCTION_CALL";
    let lines = case.causes.iter().map(|cause| cause.line).chain(case.at).chain([case.line]);
    let calls = |line: &usize| case.instructions(*line).iter().any(|one| one.word().starts_with("call"));
    let mut places: Vec<usize> = lines.filter(calls).collect();
    places.dedup();
    let mut fixes = Vec::new();
    for line in places {
        let Some(with) = strings::with_macro(case, line, NAME) else { continue };
        let title = format!("Annotate the call with `{NAME}`");
        fixes.extend(case.with_header(&title, vec![Patch { line, replaces: true, with }], NOSPEC));
    }
    fixes
}
