//! Fixes that balance the stack, the direction flag and user access.
//!
//! In: a finding with its causes.  Out: [`Fix`]es, most likely first.

use crate::findings::{Code, FixKind};

use super::Case;
use super::annotate::extent;
use super::patch::{Fix, Patch};

/// What may mend the finding.
pub fn fixes(case: &Case<'_>) -> Vec<Fix> {
    let kinds = case.finding.code.entry().fixes;
    let mut fixes: Vec<Fix> = kinds.iter().flat_map(|&kind| of_kind(case, kind)).collect();
    // What is one too many is as likely as what is missing: neither hides the other. In C nothing is missing: the compiler
    // balances what is its own.
    let behind = if case.assembly { fixes.len().min(1) } else { 0 };
    let removals = removals(case);
    fixes.splice(behind..behind, removals);
    fixes.extend(give_back(case));
    fixes
}

fn of_kind(case: &Case<'_>, kind: FixKind) -> Vec<Fix> {
    match kind {
        FixKind::Balance => balance(case),
        FixKind::ClearDirection => before(case, "cld"),
        FixKind::CloseAccess => before(case, "clac"),
        FixKind::OpenAccess => before(case, "stac"),
        FixKind::Remove => {
            let text = case.lines.get(case.line);
            let removable = text.is_some_and(|text| is_stack_operation(text, case.assembly));
            removable.then(|| remove(case, case.line)).into_iter().collect()
        }
        FixKind::StopSpeculation => after(case, case.line, "int3").into_iter().collect(),
        FixKind::EndFunction => ending(case),
        FixKind::UseReturnMacro => naked(case),
        // `nops` and `annotate` have these.
        FixKind::PadArms
        | FixKind::SetUpFrame
        | FixKind::AddSize
        | FixKind::MarkRetpolineSafe
        | FixKind::CodeInsteadOfFunction => Vec::new(),
    }
}

fn indent(case: &Case<'_>, line: usize) -> String {
    let text = case.lines.get(line).copied().unwrap_or("\t");
    let indent: String = text.chars().take_while(|c| c.is_whitespace()).collect();
    if indent.is_empty() { "\t".to_owned() } else { indent }
}

fn written(case: &Case<'_>, line: usize, instruction: &str) -> String {
    let indent = indent(case, line);
    if case.assembly { format!("{indent}{instruction}") } else { format!("{indent}asm volatile(\"{instruction}\");") }
}

fn before(case: &Case<'_>, instruction: &str) -> Vec<Fix> {
    let line = Patch::insert(case.line, vec![written(case, case.line, instruction)]);
    vec![Fix::new(format!("Insert `{instruction}` before line {}", case.line + 1), vec![line])]
}

fn after(case: &Case<'_>, line: usize, instruction: &str) -> Option<Fix> {
    let patch = Patch::insert(line + 1, vec![written(case, line, instruction)]);
    case.assembly.then(|| Fix::new(format!("Insert `{instruction}` after line {}", line + 1), vec![patch]))
}

/// A return where the code runs on, or at the end of its function: the kernel's macro, or what the text itself has.
fn ending(case: &Case<'_>) -> Vec<Fix> {
    let last = extent(case).and_then(|(_, end)| end.checked_sub(1));
    let lines = [Some(case.line), last].into_iter().flatten();
    let is_plain = case.lines.iter().any(|line| line.trim() == "ret");
    let spellings = if is_plain { ["ret", "RET"] } else { ["RET", "ret"] };
    lines.flat_map(|line| spellings.map(|instruction| after(case, line, instruction))).flatten().collect()
}

/// All that is left on the stack, given back at once where the path ends.
fn give_back(case: &Case<'_>) -> Option<Fix> {
    let ends = matches!(case.finding.code, Code::ReturnWithModifiedFrame | Code::SiblingCallWithModifiedFrame);
    let cfa = case.finding.states.first()?.cfa.as_ref().filter(|cfa| ends && case.assembly && cfa.base == "rsp")?;
    match cfa.offset.checked_sub(8)? {
        0 => None,
        left @ 1.. => Some(insert(case, case.line, &format!("addq ${left}, %rsp"))),
        taken => Some(insert(case, case.line, &format!("subq ${}, %rsp", taken.checked_neg()?))),
    }
}

fn naked(case: &Case<'_>) -> Vec<Fix> {
    let Some(text) = case.lines.get(case.line).filter(|_| case.assembly) else { return Vec::new() };
    let Some(at) = text.find("ret") else { return Vec::new() };
    let end = if text[at..].starts_with("retq") { at + 4 } else { at + 3 };
    let line = format!("{}RET{}", &text[..at], &text[end..]);
    vec![Fix::new("Use `RET`, which becomes the return thunk", vec![Patch::replace(case.line, line)])]
}

fn remove(case: &Case<'_>, line: usize) -> Fix {
    let text = case.lines.get(line).map_or("", |text| text.trim());
    Fix::new(format!("Remove `{text}` in line {}", line + 1), vec![Patch::delete(line)])
}

/// Each line that only holds a stack operation may be the one that is too much.
fn removals(case: &Case<'_>) -> Vec<Fix> {
    let mut lines: Vec<usize> = case.causes.iter().map(|cause| cause.line).collect();
    lines.dedup();
    let removable = |line: &usize| case.lines.get(*line).is_some_and(|text| is_stack_operation(text, case.assembly));
    lines.into_iter().filter(removable).map(|line| remove(case, line)).collect()
}

fn is_stack_operation(text: &str, assembly: bool) -> bool {
    const STARTS: [&str; 10] = ["push", "pop", "sub", "add", "std", "cld", "stac", "clac", "mov", "lea"];
    let text = text.trim_start();
    let inside = match text.strip_prefix("asm") {
        Some(rest) => rest.split('"').nth(1).unwrap_or("").trim_start(),
        None if assembly => text,
        None => return false,
    };
    STARTS.iter().any(|start| inside.starts_with(start))
}

/// The operation that takes back what an instruction puts on the stack, or puts what it takes.
fn counterpart(instruction: &str) -> Option<String> {
    let (mnemonic, operands) = instruction.split_once(' ').unwrap_or((instruction, ""));
    let operands = operands.trim();
    Some(match mnemonic.trim_end_matches('q') {
        "push" if operands.starts_with('%') => format!("popq {operands}"),
        "push" => "addq $8, %rsp".to_owned(),
        "pushf" => "popfq".to_owned(),
        "pop" if operands.starts_with('%') => format!("pushq {operands}"),
        "popf" => "pushfq".to_owned(),
        "sub" if operands.ends_with("%rsp") => format!("addq {}, %rsp", operands.split(',').next()?),
        "add" if operands.ends_with("%rsp") => format!("subq {}, %rsp", operands.split(',').next()?),
        _ => return None,
    })
}

fn balance(case: &Case<'_>) -> Vec<Fix> {
    // In C only what the text itself says can be answered in the text; the rest is the compiler's own.
    let own = |line: usize| case.assembly || case.lines.get(line).is_some_and(|text| text.contains("asm"));
    let mut fixes = Vec::new();
    for cause in case.causes.iter().filter(|cause| own(cause.line)) {
        let Some(other) = counterpart(cause.instruction) else { continue };
        let puts = cause.instruction.starts_with("push") || cause.instruction.starts_with("sub");
        if puts {
            // Taken back where the finding is, or before any later operation of the way.
            let ends = case.causes.iter().map(|cause| cause.line).filter(|line| *line > cause.line).chain([case.line]);
            let mut ends: Vec<usize> = ends.collect();
            ends.sort_unstable();
            ends.dedup();
            for end in ends.into_iter().rev() {
                fixes.push(insert(case, end, &other));
            }
        } else {
            let starts = case.causes.iter().filter(|start| start.line < cause.line);
            for start in starts {
                fixes.push(insert(case, start.line + 1, &other));
                fixes.push(insert(case, start.line, &other));
            }
            fixes.push(insert(case, cause.line, &other));
        }
    }
    fixes
}

fn insert(case: &Case<'_>, line: usize, instruction: &str) -> Fix {
    // An annotation belongs to the instruction behind it.
    let is_annotation = |line: &usize| case.lines.get(*line).is_some_and(|text| text.trim().starts_with("ANNOTATE_"));
    let line = line - (0..line).rev().take_while(is_annotation).count();
    let near = line.min(case.lines.len().saturating_sub(1));
    let patch = Patch::insert(line, vec![written(case, near, instruction)]);
    Fix::new(format!("Insert `{instruction}` before line {}", line + 1), vec![patch])
}
