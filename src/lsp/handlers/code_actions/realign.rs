//! Fixes that give objtool a frame that it follows: DRAP registers, and hints around code that it cannot follow.
//!
//! In: a case.  Out: [`Fix`]es.

use super::case::Case;
use super::patch::{Fix, Patch};
use crate::cfi::Base;

/// `lea 8(%rsp), %r10` for `mov %rsp, %reg`, and the way back likewise.
pub(super) fn drap(case: &Case<'_>) -> Vec<Fix> {
    let (Some(register), Some(at)) = (case.cause.subject.as_deref(), case.at.filter(|_| case.assembly)) else {
        return Vec::new();
    };
    let Some((start, end)) = case.extent() else { return Vec::new() };
    let own = |line: usize| case.text.on_line(line).filter(|one| one.is_instruction());
    let mentions = |line: usize, name: &str| own(line).any(|one| one.operands().contains(name));
    let is_free = |name: &str| !(start..end).any(|line| mentions(line, name));
    let target = "r10";
    if register != target && !is_free("%r10") {
        return Vec::new();
    }
    // From the CFA, which is where DRAP counts from.
    let depth = case.analysis.and_then(|analysis| {
        let (insn, _) = case.way.iter().find(|&&(_, line)| line == at)?;
        let state = analysis.states.state(*insn)?;
        (state.cfa.base == Base::SP).then_some(state.cfa.offset)
    });
    let Some(depth) = depth else { return Vec::new() };
    let copy = format!("%rsp, %{register}");
    let back = format!("%{register}, %rsp");
    let mut patches = Vec::new();
    for line in start..end {
        let here: Vec<_> = own(line).filter(|one| one.operands().contains(&format!("%{register}"))).collect();
        let [only] = here.as_slice() else {
            if here.is_empty() {
                continue;
            }
            return Vec::new();
        };
        let operands: String = only.operands().split(',').map(str::trim).collect::<Vec<_>>().join(", ");
        let is_move = matches!(only.word(), "mov" | "movq");
        let suffix = if only.word().ends_with('q') { "q" } else { "" };
        let separator = &only.text[only.word().len()..only.text.len() - only.operands().len()];
        let lea = match () {
            () if is_move && operands == copy && line == at => {
                format!("lea{suffix}{separator}{depth}(%rsp), %{target}")
            }
            () if is_move && operands == back => format!("lea{suffix}{separator}-{depth}(%{target}), %rsp"),
            // It is used for something else too.
            () => return Vec::new(),
        };
        patches.push(Patch::replace(line, case.lines[line].replacen(&only.text, &lea, 1)));
    }
    let title = format!("Remember the stack in a DRAP register: `lea {depth}(%rsp), %{target}`");
    if patches.len() < 2 { Vec::new() } else { vec![Fix::new(title, patches)] }
}

/// `UNWIND_HINT_SAVE` before, `UNWIND_HINT_UNDEFINED` in and `UNWIND_HINT_RESTORE` behind code that uses rbp.
pub(super) fn hints_around(case: &Case<'_>) -> Vec<Fix> {
    let Some((number, block)) = case.at.and_then(|at| case.text.block_at(at)).filter(|_| !case.assembly) else {
        return Vec::new();
    };
    let of_rbp = |word: &'static str| {
        let mut own = case.text.statements.iter().filter(move |one| one.block == number);
        own.find(move |one| one.word().starts_with(word) && one.operands() == "%rbp").map(|one| one.line)
    };
    let (Some(push), Some(pop)) = (of_rbp("push"), of_rbp("pop")) else { return Vec::new() };
    let text = case.lines[push];
    let Some(quote) = text.find('"').filter(|_| push == block.first && pop > push) else { return Vec::new() };
    let next = case.lines.get(push + 1).copied().unwrap_or("\t");
    let indent: String = next.chars().take_while(|c| c.is_whitespace()).collect();
    let last = case.lines[pop];
    let Some(end) = last.rfind('"') else { return Vec::new() };
    let closed = if last[..end].ends_with("\\n\\t") || last[..end].ends_with("\\n") { "" } else { "\\n\\t" };
    let patches = vec![
        Patch {
            line: push,
            replaces: true,
            with: vec![
                format!("{}UNWIND_HINT_SAVE", &text[..quote]),
                format!("{indent}{}", &text[quote..]),
                format!("{indent}UNWIND_HINT_UNDEFINED"),
            ],
        },
        Patch {
            line: pop,
            replaces: true,
            with: vec![
                format!("{}{closed}\"", &last[..end]),
                format!("{indent}UNWIND_HINT_RESTORE{}", &last[end + 1..]),
            ],
        },
    ];
    let title = "Tell objtool that the frame is lost in between: `UNWIND_HINT_SAVE`, `UNWIND_HINT_UNDEFINED`, `UNWIND_HINT_RESTORE`";
    case.with_header(title, patches, "asm/unwind_hints.h")
}
