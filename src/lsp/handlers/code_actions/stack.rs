//! Fixes that balance the stack.
//!
//! In: a case with the operations that make up the difference, and the way to it.  Out: [`Fix`]es, most likely first.
//! Holds afterwards: nothing is removed that the code needs: no push whose register is written before it is restored, no
//! area that is used, no value that is read. What is inserted looks like its counterpart, and stands where the order of the
//! other operations has it.

use crate::analysis::Analysis;
use crate::causes::deed::{self, Deed};
use crate::cfi::{Base, Dest, Source, StackOp};
use crate::decode::{Kind, Usage};
use crate::findings::Code;
use crate::flow::Flags;
use crate::ids::InsnId;

use rustc_hash::FxHashMap;

use crate::assembly::text::Statement;

use super::case::{Blamed, Case};
use super::patch::{Fix, Patch};

/// What may balance the stack.
pub(super) fn balance(case: &Case<'_>) -> Vec<Fix> {
    if is_about_something_else(case) {
        return Vec::new();
    }
    let mut lines: Vec<usize> = Vec::new();
    let mut fixes = Vec::new();
    // The compiler's own operations are right, whatever an asm statement did beside them.
    for cause in case.causes.iter().filter(|cause| !cause.beside || !case.assembly) {
        let removal = || (!lines.contains(&cause.line) && may_go(case, cause)).then(|| remove(case, cause.line));
        let insertions = || if case.assembly { counterparts(case, cause) } else { Vec::new() };
        // What nothing needs is more likely one too many than missing its counterpart.
        let (first, second): (Vec<Fix>, Vec<Fix>) = match is_restored_for_the_caller(cause, case) {
            true => (insertions(), removal().into_iter().collect()),
            false => (removal().into_iter().collect(), insertions()),
        };
        fixes.extend(first.into_iter().chain(second));
        lines.push(cause.line);
    }
    fixes.extend(give_back(case));
    fixes
}

/// Whether the difference comes from a call that only pushes its return address, or from a hint: then no stack operation is
/// missing and none is too many.
fn is_about_something_else(case: &Case<'_>) -> bool {
    let Some(analysis) = case.analysis else { return false };
    let is_call = |insn| matches!(analysis.insns.kind(insn), Kind::Call | Kind::CallDynamic);
    let is_hint = |insn| analysis.flow.has(insn, Flags::HINT) && !analysis.flow.has(insn, Flags::RESTORE);
    case.causes.iter().filter_map(|cause| cause.insn).any(is_call) || case.way.iter().any(|&(insn, _)| is_hint(insn))
}

/// Whether an operation is about a register that a function has to keep: then its counterpart is more likely missing.
fn is_restored_for_the_caller(cause: &Blamed<'_>, case: &Case<'_>) -> bool {
    match deed(case, cause) {
        Some(Deed::Pop(Some(register))) => KEPT.contains(&register) || is_needed(case, cause),
        Some(Deed::GiveBack(_)) => is_needed(case, cause),
        Some(Deed::Take(_) | Deed::Push(_) | Deed::Pop(None)) | None => false,
    }
}

/// Lines so far from one are written like it.
const NEAR: usize = 12;

/// So many instructions before one may be of the same use of a macro.
const MOST_OF_MACRO: usize = 32;

/// Callee-saved registers: psABI, figure 3.4.
const KEPT: [Base; 6] = [Base::BX, Base::BP, Base::R12, Base::R13, Base::R14, Base::R15];

fn deed(case: &Case<'_>, cause: &Blamed<'_>) -> Option<Deed> {
    Deed::of(case.analysis?.insns.ops(cause.insn?))
}

/// All that is left on the stack, given back at once where the path ends.
fn give_back(case: &Case<'_>) -> Option<Fix> {
    let ends = matches!(case.finding.code, Code::ReturnWithModifiedFrame | Code::SiblingCallWithModifiedFrame);
    let cfa = case.finding.states.first()?.cfa.as_ref().filter(|cfa| ends && case.assembly && cfa.base == "rsp")?;
    // Registers that were saved have to be restored, not dropped.
    let drops = case
        .causes
        .iter()
        .any(|cause| matches!(deed(case, cause), Some(Deed::Push(Some(_)))) && is_needed(case, cause));
    let left = cfa.offset.checked_sub(8).filter(|left| *left > 0 && !drops)?;
    Some(insert(case, case.line, &format!("addq ${left}, %rsp")))
}

fn remove(case: &Case<'_>, line: usize) -> Fix {
    Fix::new(format!("Remove `{}` in line {}", case.trimmed(line), line + 1), vec![Patch::delete(line)])
}

/// Whether the line holds this operation alone, and nothing needs it.
fn may_go(case: &Case<'_>, cause: &Blamed<'_>) -> bool {
    let alone = match case.instructions(cause.line).as_slice() {
        [only] => mnemonic(&only.text) == mnemonic(cause.instruction),
        _ => false,
    };
    if !alone || case.trimmed(cause.line).ends_with('\\') {
        return false;
    }
    if !case.assembly {
        // The compiler does not know of the operation, so nothing that it made depends on it; what the statement gives or
        // takes by operands does.
        let Some((_, block)) = case.text.block_at(cause.line) else { return false };
        let whole = case.trimmed(cause.line).starts_with("asm") && case.trimmed(cause.line).ends_with(");");
        // Another statement undoes it: then they belong together.
        let number = case.text.block_at(cause.line).map(|(number, _)| number);
        let wanted = if cause.instruction.starts_with("push") { "pop" } else { "push" };
        let around = function_of_c(case, cause.line);
        let in_function = |other: &&Statement| around.contains(&other.line) && Some(other.block) != number;
        let has_other = case.text.statements.iter().filter(in_function).any(|other| other.word().starts_with(wanted));
        return whole && !has_other && block.first == block.last && !block.operands.contains('(');
    }
    !is_needed(case, cause)
}

/// The lines of the function of C around a line.
fn function_of_c(case: &Case<'_>, line: usize) -> std::ops::RangeInclusive<usize> {
    let opens = |text: &str| {
        text.starts_with('{') || (text.trim_end().ends_with('{') && !text.starts_with(char::is_whitespace))
    };
    let first = (0..=line).rev().find(|&at| case.lines.get(at).is_some_and(|text| opens(text)));
    let last = (line..case.lines.len()).find(|&at| case.lines[at].starts_with('}'));
    first.unwrap_or(0)..=last.unwrap_or(case.lines.len())
}

fn mnemonic(text: &str) -> &str {
    let word = text.split_whitespace().next().unwrap_or("");
    word.strip_suffix('q').unwrap_or(word)
}

/// Whether later code needs what the operation does. A line of a macro may be that of each of the macro's like instructions.
fn is_needed(case: &Case<'_>, cause: &Blamed<'_>) -> bool {
    let (Some(analysis), Some(insn)) = (case.analysis, cause.insn) else { return true };
    let line = case.way.iter().find(|&&(passed, _)| passed == insn).map(|&(_, line)| line);
    if line.is_none_or(|line| line == cause.line) {
        return needs(case, analysis, insn, false);
    }
    let mut like = case
        .way
        .iter()
        .filter(|&&(passed, at)| Some(at) == line && analysis.insns.ops(passed) == analysis.insns.ops(insn));
    like.any(|&(passed, _)| needs(case, analysis, passed, true))
}

fn needs(case: &Case<'_>, analysis: &Analysis, insn: InsnId, in_macro: bool) -> bool {
    // What is on one stack belongs to whoever comes back to it.
    if case.way.iter().any(|&(passed, _)| analysis.insns.ops(passed).iter().any(switches_stacks)) {
        return true;
    }
    let ops = analysis.insns.ops(insn);
    let Some(at) = case.way.iter().position(|&(passed, _)| passed == insn) else { return true };
    let (before, after) = (&case.way[..at], case.way.get(at + 1..).unwrap_or_default());
    let usage = |insn| Usage::of(&analysis.image, &analysis.insns, insn);
    let deed_of = |insn: InsnId| Deed::of(analysis.insns.ops(insn));
    match Deed::of(ops) {
        Some(Deed::Push(Some(register))) => {
            let again = |&&(other, _): &&(InsnId, usize)| deed_of(other) == Some(Deed::Push(Some(register)));
            let saved_before = before.iter().any(|other| again(&other));
            let until = after.iter().take_while(|other| !again(other));
            let kept = KEPT.contains(&register);
            let written = until.clone().any(|&(other, _)| {
                deed_of(other) != Some(Deed::Pop(Some(register))) && usage(other).writes(register)
                    || (!kept && matches!(analysis.insns.kind(other), Kind::Call | Kind::CallDynamic))
            });
            (written && !saved_before) || is_read(case, insn, before, after)
        }
        Some(Deed::Push(None)) => {
            // Two of a kind, of which only one is undone: either may go.
            let again = before.iter().chain(after).any(|&(other, _)| other != insn && analysis.insns.ops(other) == ops);
            is_read(case, insn, before, after) && !again
        }
        Some(Deed::Take(_)) => is_read(case, insn, before, after),
        Some(Deed::Pop(Some(register))) => {
            let count = |wanted: Deed| before.iter().filter(|&&(other, _)| deed_of(other) == Some(wanted)).count();
            let is_saved = count(Deed::Push(Some(register))) > count(Deed::Pop(Some(register)));
            let written = before.iter().any(|&(other, _)| deed_of(other).is_none() && usage(other).writes(register));
            // Behind it, what was there at the start is brought back.
            let ends = after.iter().all(|&(other, _)| {
                deed_of(other).is_some() || !matches!(analysis.insns.kind(other), Kind::Other | Kind::Call)
            });
            // A function's value is in rax.
            let is_restore = written && ends && register != Base::AX;
            // A macro that writes a register before it pops it, pops what was there before the macro.
            let mut own =
                before.iter().rev().take(MOST_OF_MACRO).filter(|&&(_, line)| in_macro && line == case.way[at].1);
            let by_macro = own.any(|&(other, _)| usage(other).writes(register));
            usage(insn).unknown || KEPT.contains(&register) || is_saved || is_restore || by_macro
        }
        Some(Deed::Pop(None)) => {
            let count = |wanted: Deed| before.iter().filter(|&&(other, _)| deed_of(other) == Some(wanted)).count();
            count(Deed::Push(None)) > count(Deed::Pop(None))
        }
        // The area is used, though nobody has taken it.
        Some(Deed::GiveBack(_)) => before.iter().any(|&(other, _)| deed::writes_beyond(analysis, other)),
        // `mov %rsp, %rbp` where nothing counts from rbp.
        None if matches!(ops, [StackOp { dest: Dest::Reg(Base::BP), src: Source::Reg(Base::SP) }]) => {
            after.iter().any(|&(other, _)| {
                let used = usage(other);
                used.reads(Base::BP) && deed_of(other) != Some(Deed::Push(Some(Base::BP)))
            })
        }
        None => true,
    }
}

/// Whether the stack pointer comes from memory, goes there, or comes from a register that is no frame pointer.
fn switches_stacks(op: &StackOp) -> bool {
    let to_memory = matches!(op.dest, Dest::Indirect(..) | Dest::Mem) && op.src == Source::Reg(Base::SP);
    let from = matches!(op.src, Source::Indirect(..)) || matches!(op.src, Source::Reg(base) if base != Base::BP);
    to_memory || (op.dest == Dest::Reg(Base::SP) && from)
}

/// Whether what an operation puts on the stack is read, may be by a pointer, or gives room to what is stored: without it, stores
/// would hit what others have put there.
fn is_read(case: &Case<'_>, put: InsnId, before: &[(InsnId, usize)], after: &[(InsnId, usize)]) -> bool {
    let Some(analysis) = case.analysis else { return true };
    let depth = |insn: InsnId| deed::depth(analysis, insn);
    let Some(top) = depth(put) else { return true };
    let bytes: i64 = analysis.insns.ops(put).iter().map(|op| i64::from(op.growth())).sum();
    // The slot lies from `top` to `top + bytes` below the CFA.
    let (low, high) = (-(top + bytes), -top);
    let pushed = before.iter().filter_map(|&(insn, _)| match Deed::of(analysis.insns.ops(insn))? {
        Deed::Push(_) => Some(-(depth(insn)? + 8)),
        Deed::Pop(_) | Deed::Take(_) | Deed::GiveBack(_) => None,
    });
    let pushed: Vec<i64> = pushed.collect();
    // A register that was stored at the same distance before comes back: the operation only came in between.
    let is_restore = |insn: InsnId| {
        analysis.insns.ops(insn).iter().any(|op| match (op.dest, op.src) {
            (Dest::Reg(register), Source::Indirect(Base::SP, at)) => before.iter().any(|&(stored, _)| {
                let mut ops = analysis.insns.ops(stored).iter();
                ops.any(|op| op.dest == Dest::Indirect(Base::SP, at) && op.src == Source::Reg(register))
            }),
            _ => false,
        })
    };
    let mut stored = false;
    after.iter().any(|&(insn, _)| {
        let ops = analysis.insns.ops(insn);
        if Deed::of(ops).is_some() || matches!(analysis.insns.kind(insn), Kind::Call | Kind::CallDynamic | Kind::Return)
        {
            return false;
        }
        let Some(depth) = depth(insn) else { return false };
        let used = Usage::of(&analysis.image, &analysis.insns, insn);
        let by_stack = || used.memory.iter().filter(|access| access.base == Some(Base::SP));
        let touches = by_stack().any(|access| {
            let at = access.displacement - depth;
            let overlaps = at < high && at + 8 > low;
            let first_read = overlaps && access.read && !stored && !is_restore(insn);
            stored |= overlaps && access.written;
            // Where the access would go without the operation.
            let moved = at + bytes;
            let is_room =
                at < high && (moved + 8 > -8 || pushed.iter().any(|slot| moved < slot + 8 && moved + 8 > *slot));
            access.indexed || first_read || (access.written && is_room)
        });
        // Its address goes elsewhere.
        let escapes =
            used.memory.is_empty() && used.reads(Base::SP) && !used.writes(Base::SP) && !used.writes(Base::BP);
        touches || escapes
    })
}

/// The instruction that undoes the one of a line, written like it.
fn counterpart(case: &Case<'_>, cause: &Blamed<'_>) -> Option<String> {
    let deed = deed(case, cause)?;
    let like = like_written(case, cause, deed.other());
    like.or_else(|| plain(deed.other()))
}

/// By the source's own spelling: its suffix, its operand, its space.
fn like_written(case: &Case<'_>, cause: &Blamed<'_>, wanted: Deed) -> Option<String> {
    let instructions = case.instructions(cause.line);
    let [only] = instructions.as_slice() else { return None };
    let word = only.word();
    let name = |from: &str, to: &str| word.strip_prefix(from).map(|suffix| format!("{to}{suffix}"));
    let (from, to) = match wanted {
        Deed::Pop(_) => ("push", "pop"),
        Deed::Push(_) => ("pop", "push"),
        Deed::Take(_) => ("add", "sub"),
        Deed::GiveBack(_) => ("sub", "add"),
    };
    let operands = only.operands();
    // A constant cannot be popped into.
    if matches!(wanted, Deed::Pop(_)) && !operands.starts_with('%') && !operands.is_empty() {
        return None;
    }
    let separator = &only.text[word.len()..only.text.len() - operands.len()];
    let name = name(from, to)?;
    Some(format!("{name}{}{operands}", separator_of(case, cause.line, &name, word, separator)))
}

/// What stands between a mnemonic and its operands: as behind others of its length, so that columns stay columns.
fn separator_of(case: &Case<'_>, line: usize, name: &str, like: &str, separator: &str) -> String {
    if separator.is_empty() || !separator.chars().all(|c| c == ' ') {
        return separator.to_owned();
    }
    let behind = |one: &Statement| {
        let (word, operands) = (one.word(), one.operands());
        let is_like = word.len() == name.len() && one.is_instruction() && !operands.is_empty();
        let between = one.text.get(word.len()..one.text.len() - operands.len())?;
        (is_like && between.chars().all(|c| c == ' ')).then_some(between.len())
    };
    let most_of = |within: usize| {
        let mut counts: FxHashMap<usize, usize> = FxHashMap::default();
        let near = case.text.statements.iter().filter(|one| one.line.abs_diff(line) <= within);
        near.filter_map(behind).for_each(|width| *counts.entry(width).or_default() += 1);
        counts.into_iter().max_by_key(|&(width, n)| (n, width)).map(|(width, _)| " ".repeat(width))
    };
    // Parts of a file have different authors.
    let most = most_of(NEAR).or_else(|| most_of(usize::MAX));
    // In columns, a shorter word has more behind it.
    let width = match separator.len() {
        1 => 1,
        width => (width + like.len()).saturating_sub(name.len()).max(1),
    };
    most.unwrap_or_else(|| " ".repeat(width))
}

fn plain(deed: Deed) -> Option<String> {
    Some(match deed {
        Deed::Push(Some(register)) => format!("pushq %{}", register.name()),
        Deed::Pop(Some(register)) => format!("popq %{}", register.name()),
        Deed::Push(None) => return None,
        Deed::Pop(None) => "addq $8, %rsp".to_owned(),
        Deed::Take(n) => format!("subq ${n}, %rsp"),
        Deed::GiveBack(n) => format!("addq ${n}, %rsp"),
    })
}

/// The missing counterpart, at the places where it may stand: first where the order of the other operations has it.
fn counterparts(case: &Case<'_>, cause: &Blamed<'_>) -> Vec<Fix> {
    let (Some(text), Some(deed)) = (counterpart(case, cause), deed(case, cause)) else { return Vec::new() };
    // Popping a register brings its value back: where nothing needs that, the push goes.
    if !deed.puts() && matches!(deed, Deed::Pop(Some(register)) if !KEPT.contains(&register)) && !is_needed(case, cause)
    {
        return Vec::new();
    }
    let mut places: Vec<usize> = in_macro(case, cause, deed).into_iter().chain(mirrored(case, cause, deed)).collect();
    let lines = || case.causes.iter().map(|other| other.line);
    if deed.puts() {
        // Taken back where the finding is, or before any later operation of the way.
        let mut ends: Vec<usize> = lines().filter(|line| *line > cause.line).chain([case.line]).collect();
        ends.sort_unstable();
        places.extend(ends.into_iter().rev());
    } else {
        // An area has to be there before it is used.
        let writes_beyond = |insn| case.analysis.is_some_and(|analysis| deed::writes_beyond(analysis, insn));
        let used = case.way.iter().find(|&&(insn, _)| matches!(deed, Deed::GiveBack(_)) && writes_beyond(insn));
        if let Some(&(_, line)) = used {
            return vec![insert(case, line, &text)];
        }
        let starts = lines().filter(|line| *line < cause.line);
        places.extend(starts.flat_map(|line| [line + 1, line]));
        places.push(cause.line);
    }
    let mut known: Vec<usize> = Vec::new();
    places.retain(|place| {
        let new = !known.contains(place);
        known.push(*place);
        new
    });
    places.into_iter().map(|line| insert(case, line, &text)).collect()
}

/// Where the counterpart stands in the macro that has the operation: what is popped was pushed before all else, and what is pushed
/// is popped at the end.
fn in_macro(case: &Case<'_>, cause: &Blamed<'_>, deed: Deed) -> Option<usize> {
    let own = case.text.on_line(cause.line).find_map(|one| one.in_macro.clone())?;
    let mut body =
        case.text.statements.iter().filter(|one| one.in_macro.as_ref() == Some(&own) && one.is_instruction());
    if deed.puts() { body.next_back().map(|last| last.line + 1) } else { body.next().map(|first| first.line) }
}

/// Where the operation's counterpart stands if all are undone in reverse: beside those of its neighbours.
fn mirrored(case: &Case<'_>, cause: &Blamed<'_>, own: Deed) -> Vec<usize> {
    let (Some(analysis), Some(insn)) = (case.analysis, cause.insn) else { return Vec::new() };
    let deeds = case.way.iter().filter_map(|&(insn, line)| Some((insn, line, Deed::of(analysis.insns.ops(insn))?)));
    let deeds: Vec<(InsnId, usize, Deed)> = deeds.collect();
    let Some(at) = deeds.iter().position(|(other, ..)| *other == insn) else { return Vec::new() };
    let same_side = |(_, _, deed): &&(InsnId, usize, Deed)| deed.puts() == own.puts();
    let earlier = deeds[..at].iter().rev().find(same_side);
    let later = deeds[at + 1..].iter().find(same_side);
    let partner = |of: Option<&(InsnId, usize, Deed)>| {
        let wanted = of?.2.other();
        if own.puts() {
            deeds.iter().rev().find(|(_, _, deed)| *deed == wanted).map(|(_, line, _)| *line)
        } else {
            deeds.iter().find(|(_, _, deed)| *deed == wanted).map(|(_, line, _)| *line)
        }
    };
    let mut places = Vec::new();
    if own.puts() {
        // What was put later is taken earlier.
        places.extend(partner(later).map(|line| line + 1));
        places.extend(partner(earlier));
    } else {
        // What is taken later was put earlier.
        places.extend(partner(later).map(|line| line + 1));
        places.extend(partner(earlier));
    }
    if places.is_empty() && own.puts() {
        places.push(case.line);
    }
    places
}

fn insert(case: &Case<'_>, line: usize, instruction: &str) -> Fix {
    // An annotation belongs to the instruction behind it.
    let is_annotation = |line: &usize| case.lines.get(*line).is_some_and(|text| text.trim().starts_with("ANNOTATE_"));
    let line = line - (0..line).rev().take_while(is_annotation).count();
    let near = line.min(case.lines.len().saturating_sub(1));
    let near = if case.instructions(near).is_empty() { line.saturating_sub(1) } else { near };
    let text = format!("{}{instruction}", case.indent(near));
    Fix::new(format!("Insert `{instruction}` before line {}", line + 1), vec![Patch::insert(line, vec![text])])
}
