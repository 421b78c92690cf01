//! `asm!` that moves the stack pointer: which one, and by how much.
//!
//! In: the ways that lead to a finding about the stack, the text of the crate.  Out: a message about the statement, and
//! the finding on its line.
//! Holds afterwards: instructions that the compiler put beside those of the statement are not counted with them: only
//! what its template spells is.
//! Reads like: The Rust Reference, "Inline assembly".

use std::sync::Arc;

use crate::cfi::StackOp;
use crate::findings::{Fault, Finding, Mismatch};
use crate::ids::InsnId;
use crate::report::findings::ReportedFinding;
use crate::report::path::{PathKind, PathStep, passed};
use crate::report::view::View;
use crate::report::words;

use super::at_line;

/// Instructions of one line that are looked at.
const MOST: usize = 256;

/// Names the statement that a finding about the stack is due to; `false` where it is due to none.
pub(super) fn tell(
    view: &View<'_>,
    finding: &Finding,
    reported: &mut ReportedFinding,
    text_of: &dyn Fn(&str) -> Option<Arc<str>>,
) -> bool {
    if !is_about_the_stack(&finding.fault) {
        return false;
    }
    let mut runs: Vec<(Arc<str>, u32, Vec<InsnId>)> = Vec::new();
    for insn in finding.states.iter().flat_map(|state| passed(view, state)) {
        let line = view.source_line(insn);
        let (Some(file), Some(line)) = (line.file.filter(|file| file.ends_with(".rs")), line.line) else { continue };
        match runs.iter_mut().find(|(known, number, _)| *known == file && *number == line) {
            Some((.., insns)) if insns.len() < MOST && !insns.contains(&insn) => insns.push(insn),
            Some(_) => {}
            None => runs.push((file, line, vec![insn])),
        }
    }
    let without_text = left_over(view, finding);
    for (file, line, insns) in runs {
        let growth = match text_of(&file) {
            Some(text) => growth(view, &statements(&text, line), &insns),
            None => without_text.as_ref().filter(|left| left.file == file && left.line == line).map(|left| left.bytes),
        };
        let Some(growth) = growth.filter(|&growth| growth != 0) else { continue };
        let what = match growth {
            1.. => format!("pushes {growth} bytes that nothing pops"),
            _ => format!("pops {} bytes that it did not push", growth.unsigned_abs()),
        };
        let place = at_line(&file, line, Some(&file));
        reported.message = match effect(finding) {
            Some(effect) => format!("the `asm!` on {place} {what}: {effect}"),
            None => format!("the `asm!` on {place} {what}; {}", reported.message),
        };
        // What the compiler put around the statement to align the stack is not to blame.
        reported.path.retain(|step| step.kind != PathKind::Cause);
        reported.path.extend(insns.first().map(|&insn| step(view, insn, &file, line, &what)));
        (reported.file, reported.line, reported.column) = (Some(file), Some(line), None);
        reported.inlined.clear();
        return true;
    }
    false
}

/// What comes of it.
fn effect(finding: &Finding) -> Option<String> {
    match &finding.fault {
        Fault::StackStateMismatch(Mismatch::Cfa(first, second)) => Some(format!(
            "two paths meet, one with CFA {}, the other with {}",
            words::rule(*first),
            words::rule(*second)
        )),
        Fault::ReturnWithModifiedFrame => Some("the function returns with the stack pointer elsewhere".to_owned()),
        _ => None,
    }
}

fn step(view: &View<'_>, insn: InsnId, file: &Arc<str>, line: u32, what: &str) -> PathStep {
    let at = view.analysis.insns.loc(insn);
    PathStep {
        kind: PathKind::Cause,
        section: view.section_name(at.section).to_owned(),
        offset: at.offset,
        file: Some(Arc::clone(file)),
        line: Some(line),
        instruction: view.text(insn),
        text: format!("this `asm!` {what}"),
    }
}

/// What the stack operations of one line leave.
struct LeftOver {
    file: Arc<str>,
    line: u32,
    bytes: i32,
}

/// Where no text can be read: the stack operations of a way without those that the compiler aligns the stack with, a
/// `push %rax` at its start and an `add` of as much at its end. Its own code gives back what it takes, so that what the
/// others leave is due to `asm!`; but only where all are on one line.
fn left_over(view: &View<'_>, finding: &Finding) -> Option<LeftOver> {
    let way = finding.states.last().map(|state| passed(view, state))?;
    let ops: Vec<InsnId> = way.into_iter().filter(|&insn| !view.analysis.insns.ops(insn).is_empty()).collect();
    let growth = |insn: InsnId| view.analysis.insns.ops(insn).iter().map(StackOp::growth).fold(0, i32::wrapping_add);
    let inner = match ops.as_slice() {
        [first, inner @ .., last]
            if view.text(*first).trim_end() == "push %rax" && growth(*first).wrapping_add(growth(*last)) == 0 =>
        {
            inner
        }
        all => all,
    };
    let first = view.source_line(*inner.first()?);
    let same = inner.iter().all(|&insn| view.source_line(insn) == first);
    let bytes = inner.iter().map(|&insn| growth(insn)).fold(0, i32::wrapping_add);
    let file = first.file.filter(|file| file.ends_with(".rs"))?;
    same.then_some(LeftOver { file, line: first.line?, bytes })
}

fn is_about_the_stack(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::ReturnWithModifiedFrame
            | Fault::SiblingCallWithModifiedFrame
            | Fault::FramePointerScratched
            | Fault::StackStateMismatch(_)
            | Fault::UndefinedStackState
            | Fault::UnsupportedStackRegisterModification
            | Fault::UnsupportedStackRealignment
    )
}

/// By how much the instructions that a template spells move the stack; `None` where they are not all there.
fn growth(view: &View<'_>, template: &[Statement<'_>], insns: &[InsnId]) -> Option<i32> {
    let mut left = insns.iter();
    let mut sum = 0_i32;
    for statement in template {
        let insn = left.find(|&&insn| same_mnemonic(&view.text(insn), statement.text))?;
        let ops = view.analysis.insns.ops(*insn);
        sum = ops.iter().map(StackOp::growth).fold(sum, i32::wrapping_add);
    }
    (!template.is_empty()).then_some(sum)
}

/// Whether a disassembled instruction is the one of a template. AT&T's suffixes and Intel's lack of them do not count.
pub(super) fn same_mnemonic(disassembled: &str, written: &str) -> bool {
    let word = |text: &str| text.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    let (a, b) = (word(disassembled), word(written));
    let (short, long) = if a.len() <= b.len() { (&a, &b) } else { (&b, &a) };
    !short.is_empty()
        && long.strip_prefix(short.as_str()).is_some_and(|rest| matches!(rest, "" | "b" | "w" | "l" | "q"))
}

/// An instruction as a template spells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Statement<'a> {
    /// The line of the file, from 1.
    pub line: u32,
    /// The instruction.
    pub text: &'a str,
}

/// The instructions of the `asm!` that begins on a line, in order.
fn statements(text: &str, line: u32) -> Vec<Statement<'_>> {
    let start = line_start(text, line);
    let Some(rest) = text.get(start..) else { return Vec::new() };
    let end = rest.find('\n').unwrap_or(rest.len());
    let found = ["asm!", "naked_asm!", "global_asm!"].iter().filter_map(|word| rest[..end].find(word)).min();
    // The debug info may name the line of the template instead of the one of the macro.
    let open = match found {
        Some(at) => start + at,
        None => match text[..start].rfind("asm!") {
            Some(at) if text[at..start].matches('\n').count() <= MOST_LINES => at,
            _ => return Vec::new(),
        },
    };
    let statements = template(text, open);
    let covers = found.is_some() || statements.iter().any(|statement| statement.line == line);
    if covers { statements } else { Vec::new() }
}

/// A template of more lines is not looked for from within.
const MOST_LINES: usize = 64;

fn line_start(text: &str, line: u32) -> usize {
    let mut starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
    starts.nth((line as usize).saturating_sub(1)).unwrap_or(text.len())
}

/// The instructions in the string literals of the macro whose name is at `macro_at`, up to its operands.
pub(super) fn template(text: &str, macro_at: usize) -> Vec<Statement<'_>> {
    let mut found = Vec::new();
    let Some(open) = text.get(macro_at..).and_then(|rest| rest.find(['(', '{', '['])) else { return found };
    let mut at = macro_at + open + 1;
    while let Some(rest) = text.get(at..) {
        let skipped = rest.len() - rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',').len();
        let rest = &rest[skipped..];
        at += skipped;
        if let Some(comment) = rest.strip_prefix("//") {
            at += 2 + comment.find('\n').unwrap_or(comment.len());
            continue;
        }
        let Some((start, length, whole)) = literal(rest) else { break };
        let line = text[..at + start].matches('\n').count() as u32 + 1;
        found.extend(instructions(&rest[start..start + length], line));
        at += whole;
    }
    found
}

/// The text in a string literal at the start of `rest`: where it begins, its length, and that of the whole literal.
fn literal(rest: &str) -> Option<(usize, usize, usize)> {
    if let Some(body) = rest.strip_prefix('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let start = 1 + hashes + 1;
        body[hashes..].strip_prefix('"')?;
        let close = format!("\"{}", "#".repeat(hashes));
        let length = rest.get(start..)?.find(&close)?;
        return Some((start, length, start + length + close.len()));
    }
    let body = rest.strip_prefix('"')?;
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some((1, at, at + 2)),
            _ => {}
        }
    }
    None
}

/// The instructions of one literal: without labels, directives and comments.
fn instructions(body: &str, first: u32) -> Vec<Statement<'_>> {
    let mut found = Vec::new();
    for (number, line) in (first..).zip(body.split('\n')) {
        let code = line.find(['#']).map_or(line, |at| &line[..at]);
        for piece in code.split("\\n").flat_map(|piece| piece.split(';')) {
            let mut text = piece.trim_matches(|c: char| c.is_whitespace() || c == '\\').trim_start_matches("t ");
            while let Some((label, rest)) = text.split_once(':') {
                let is_label = label.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '$'));
                if !is_label {
                    break;
                }
                text = rest.trim_start();
            }
            if !text.is_empty() && !text.starts_with(['.', '/', '{']) {
                found.push(Statement { line: number, text });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, line: u32, expected: &[(u32, &str)]) {
        let found: Vec<(u32, &str)> = statements(text, line).iter().map(|one| (one.line, one.text)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_template_is_cut_into_its_instructions() {
        check("asm!(\"push {0}\", inout(reg) out)", 1, &[(1, "push {0}")]);
        check(
            "a\nunsafe { asm!(\n  \"push rbx\", // why\n  \"2: pop rbx; nop\",\n  in(reg) x) }",
            2,
            &[(3, "push rbx"), (4, "pop rbx"), (4, "nop")],
        );
        check("asm!(r#\"\n  .align 4\n  jmp 2f\n\"#, options(att_syntax))", 1, &[(3, "jmp 2f")]);
        check("asm!(\"a\\n b\")", 1, &[(1, "a"), (1, "b")]);
        check("let asm = 1;", 1, &[]);
        check("asm!(\"unclosed", 1, &[]);
    }

    #[test]
    fn a_line_of_the_template_leads_to_its_statement() {
        check("asm!(\n \"push rax\",\n)", 2, &[(2, "push rax")]);
        check("asm!(\"nop\");\nlet x = 1;", 2, &[]);
    }

    #[test]
    fn mnemonics_are_the_same_in_both_syntaxes() {
        assert!(same_mnemonic("pushq %rbx", "push rbx"));
        assert!(same_mnemonic("ret", "ret"));
        assert!(!same_mnemonic("push %rbx", "pushfq"));
        assert!(!same_mnemonic("push %rbx", ""));
    }
}
