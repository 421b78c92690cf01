//! Where code ends without a return: calls that the compiler takes never to return, and points that it takes never to be
//! reached.

use std::sync::Arc;

use super::scene::{Line, Suspect};
use super::{Told, source};
use crate::cfi::Base;
use crate::decode::Kind;
use crate::findings::{Fault, Mismatch, StateAt, Step, StepKind};
use crate::ids::{CodeLoc, InsnId, SymbolId};
use crate::report::CauseKind;
use crate::report::findings::PathStep;

/// The compiler's code runs on beyond its function, or jumps to where no code is.
pub(super) fn of_function(suspect: &Suspect<'_>) -> Option<Told> {
    let last = match &suspect.finding.fault {
        Fault::FallsThrough { .. } => suspect.came_from(suspect.finding.states.len().checked_sub(1)?)?,
        Fault::UnexpectedEndOfSection { .. } => {
            let insn = suspect.finding.insn?;
            if matches!(suspect.kind(insn), Kind::Nop | Kind::Trap) { suspect.before(insn)? } else { insn }
        }
        Fault::JumpWithoutDest { .. } => suspect.finding.insn?,
        _ => return None,
    };
    if let Some(told) = into_another_function(suspect) {
        return Some(told);
    }
    if let Some(told) = leaves_the_kernel(suspect, last) {
        return Some(told);
    }
    if matches!(suspect.kind(last), Kind::Call | Kind::CallDynamic)
        && (suspect.is_compiled(last) || handler(suspect, last).is_some())
    {
        return Some(call(suspect, last));
    }
    if !suspect.is_compiled(last) {
        return jump_to_the_end(suspect);
    }
    Some(unreachable(suspect, last))
}

/// A jump of assembly to the end of a function, where nothing is any more.
fn jump_to_the_end(suspect: &Suspect<'_>) -> Option<Told> {
    let Fault::JumpWithoutDest { target } = suspect.finding.fault else { return None };
    let last = suspect.insns().containing(CodeLoc::new(target.section, target.offset.checked_sub(1)?))?;
    let same = suspect.owner(last).is_some() && suspect.owner(last) == suspect.owner(suspect.finding.insn?);
    let ends = matches!(suspect.kind(last), Kind::Return | Kind::JumpUnconditional | Kind::JumpDynamic | Kind::Bug);
    if !same || ends || suspect.is_compiled(last) {
        return None;
    }
    let function = suspect.in_function();
    let says =
        |place: &str| format!("{function} ends{place} without a return, and this jumps to its end, where no code is");
    // Labels at the end have no code, and it is behind them that it is missing.
    let label = suspect.line(last).and_then(|line| {
        let behind = suspect.text(&line)?.asm.labels_behind(line.1 as usize - 1)?;
        Some((line.0, behind as u32 + 1))
    });
    let step = label.as_ref().map(|label| suspect.remark(label, RETURN_MISSING));
    let step = step.unwrap_or_else(|| suspect.step(last, RETURN_MISSING));
    Some(missing_return(suspect, label.or_else(|| suspect.line(last)), step, says))
}

const RETURN_MISSING: &str = "behind this a return is missing";

/// A return is missing behind a line; `says` is given the words for that place.
fn missing_return(
    suspect: &Suspect<'_>,
    line: Option<Line>,
    step: PathStep,
    says: impl FnOnce(&str) -> String,
) -> Told {
    let place = line.as_ref().map(|line| format!(" behind {}", suspect.place(line))).unwrap_or_default();
    Told::new(CauseKind::MissingReturn, says(&place)).with([step]).on(line)
}

/// A path of assembly that has given everything back, and runs on into code that others reach with a frame.
pub(super) fn return_missing(suspect: &Suspect<'_>) -> Option<Told> {
    let Fault::StackStateMismatch(Mismatch::Cfa(..)) = suspect.finding.fault else { return None };
    let [first, second] = suspect.finding.states.get(..2)? else { return None };
    let insn = suspect.finding.insn?;
    let is_empty = |at: &StateAt| at.state.cfa.base == Base::SP && at.state.cfa.offset == 8;
    let is_deep = |at: &StateAt| at.state.cfa.base == Base::SP && at.state.cfa.offset > 8;
    let (index, other) = match () {
        () if is_empty(first) && is_deep(second) => (0, second),
        () if is_empty(second) && is_deep(first) => (1, first),
        () => return None,
    };
    let last = suspect.before(insn)?;
    let gives = suspect.insns().ops(last).iter().map(|op| op.growth()).sum::<i32>() < 0;
    let leads_on = suspect.came_from(index) == Some(last) && suspect.owner(last) == suspect.owner(insn);
    let jumped = other.trail.last().is_some_and(|step| step.to == Some(insn));
    if !gives || !leads_on || !jumped || suspect.is_compiled(last) {
        return None;
    }
    let (function, bytes) = (suspect.in_function(), other.state.cfa.offset - 8);
    let says = |place: &str| {
        format!(
            "{function} has given all of its stack back{place}, and runs on into code that another path reaches with {bytes} bytes on \
             the stack: a return is missing"
        )
    };
    let step = suspect.step(last, RETURN_MISSING);
    Some(missing_return(suspect, suspect.line(last), step, says).along_the_path())
}

/// A jump to a label in the middle of another function, where the way goes on with whatever that function does.
fn into_another_function(suspect: &Suspect<'_>) -> Option<Told> {
    let Fault::FallsThrough { from, .. } = suspect.finding.fault else { return None };
    let trail = &suspect.finding.states.last()?.trail;
    let leaves = |step: &&Step| {
        let owner = step.to.and_then(|to| suspect.owner(to));
        matches!(step.kind, StepKind::Taken | StepKind::Jump)
            && suspect.owner(step.insn) == Some(from)
            && owner.is_some_and(|owner| owner != from)
    };
    // Compilers jump into the cold part of a function, which has a symbol of its own.
    let step = trail.iter().find(leaves).filter(|step| !suspect.is_compiled(step.insn))?;
    let (jump, to) = (step.insn, step.to?);
    let other = suspect.view().name(suspect.owner(to)?);
    let line = suspect.line(jump);
    let place = line.as_ref().map(|line| format!(" at {}", suspect.place(line))).unwrap_or_default();
    let written = suspect.statement(jump).map(|statement| statement.operands().to_owned());
    let label = written.filter(|name| !name.is_empty() && !name.contains(['\\', '%', '(']));
    let shown = label.as_ref().map(|label| format!(", to `{label}`")).unwrap_or_default();
    let says = format!(
        "{} jumps{place} into {other}(){shown}: the label belongs to {other}(), and what is shared has to be a function of its own, \
         or to stand in both",
        suspect.in_function()
    );
    let mut steps = vec![suspect.step(jump, format!("this jump leads into {other}()"))];
    steps.extend(
        label
            .and_then(|label| source::label(suspect, &label))
            .map(|line| suspect.remark(&line, format!("the label is in {other}()"))),
    );
    Some(Told::new(CauseKind::JumpIntoFunction, says).about(other).with(steps).on(line.clone()).shown_at(line))
}

/// `iret` and the like where a function ends: what leaves the kernel is no function.
fn leaves_the_kernel(suspect: &Suspect<'_>, last: InsnId) -> Option<Told> {
    let shown = suspect.words(last);
    // Within a function objtool reads `iret` as a way to the next instruction.
    let leaves = matches!(suspect.kind(last), Kind::ContextSwitch | Kind::Sysret) || shown.starts_with("iret");
    if !leaves || suspect.is_compiled(last) {
        return None;
    }
    let line = suspect.line(last);
    let place = line.as_ref().map(|line| format!(" at {}", suspect.place(line))).unwrap_or_default();
    let says = format!(
        "{} ends in `{shown}`{place}, which does not return to a caller: such code is no function, SYM_CODE_START and SYM_CODE_END \
         say so",
        suspect.in_function()
    );
    let name = suspect.finding.function.map(|function| suspect.view().name(function));
    let label = name.as_ref().and_then(|name| source::label(suspect, name));
    let remark = label.as_ref().map(|line| suspect.remark(line, "declared to be a function here"));
    let told = Told::new(CauseKind::CodeInFunction, says).about(name.unwrap_or_default());
    let step = suspect.step(last, "what ends here does not return to a caller");
    Some(told.with(remark).with([step]).on(label.or(line)))
}

/// The name of a sanitizer's handler.
fn handler(suspect: &Suspect<'_>, call: InsnId) -> Option<String> {
    let name = suspect.callee(call)?;
    ["__ubsan_", "__asan_", "__msan_", "__kcsan_", "__tsan_", "__hwasan_"]
        .iter()
        .any(|start| name.starts_with(start))
        .then_some(name)
}

fn call(suspect: &Suspect<'_>, last: InsnId) -> Told {
    let at = suspect.line_in_source(last);
    let function = suspect.in_function();
    let place = at.as_ref().map(|line| format!(" at {}", suspect.place(line))).unwrap_or_default();
    if let Some(name) = handler(suspect, last) {
        let says = format!(
            "the path ends in {name}(), the sanitizer's handler for {}{place}: the compiler takes it never to return, which \
             objtool does not know",
            undefined(&name)
        );
        let step = suspect.step(last, "the code of the sanitizer ends here");
        return Told::new(CauseKind::Sanitizer, says).about(name).with([step]).on(at.clone()).shown_at(at);
    }
    let Some(name) = suspect.callee(last) else {
        let says = format!(
            "{function} ends at an indirect call{place} that the compiler takes never to return, which objtool does not know"
        );
        return Told::new(CauseKind::NoreturnPointer, says).on(at.clone()).shown_at(at);
    };
    let declared = declaration(suspect, &name);
    let remark = declared.as_ref().map(|line| suspect.remark(line, format!("{name} is declared here")));
    let where_declared = declared.as_ref().map(|line| format!(" ({})", suspect.place(line))).unwrap_or_default();
    if suspect.kind(last) == Kind::CallDynamic {
        let says = format!(
            "{function} ends at the call through the pointer {name}{place}, which is declared never to return{where_declared}: objtool \
             cannot know that of a pointer"
        );
        return Told::new(CauseKind::NoreturnPointer, says)
            .about(name)
            .with(remark)
            .on(declared.or_else(|| at.clone()))
            .shown_at(at);
    }
    if !is_declared_so(suspect, &name, declared.as_ref()) {
        let claim = at.as_ref().and_then(|line| {
            let text = suspect.text(line)?;
            let found = source::unreachable_right_behind(&text, line.1 as usize - 1)?;
            Some((Arc::clone(&line.0), found as u32 + 1))
        });
        if let Some(claim) = claim {
            return claimed(suspect, &claim, at);
        }
        let says = format!(
            "{function} ends at the call of {name}(){place}: the compiler has no code behind it, so for the compiler {name}() never \
             returns, or going on is undefined behaviour; objtool does not know of either"
        );
        return Told::new(CauseKind::NoreturnUnknown, says)
            .about(name)
            .with(remark)
            .on(declared.or_else(|| at.clone()))
            .shown_at(at);
    }
    let list = if suspect.view().analysis.options.module {
        "a module cannot add to objtool's list of such functions"
    } else {
        "it knows such functions by a list of its own"
    };
    let says = format!(
        "{function} ends at the call of {name}(){place}, which is declared never to return{where_declared}; objtool does not know \
         {name}(): {list}"
    );
    let told = Told::new(CauseKind::NoreturnUnknown, says).about(name.clone()).with(remark);
    let more = macros_of(suspect, declared.as_ref());
    told.with(more).on(declared.or_else(|| at.clone())).shown_at(at)
}

/// What a sanitizer's handler is about.
fn undefined(handler: &str) -> &'static str {
    const NAMES: [(&str, &str); 9] = [
        ("divrem", "a division by zero (-fsanitize=integer-divide-by-zero)"),
        ("out_of_bounds", "an index out of bounds (-fsanitize=bounds)"),
        ("shift", "a shift by too much (-fsanitize=shift)"),
        ("type_mismatch", "a pointer to nothing or to a misaligned object (-fsanitize=null, alignment)"),
        ("builtin_unreachable", "a point declared unreachable (-fsanitize=unreachable)"),
        ("missing_return", "a missing return (-fsanitize=return)"),
        ("overflow", "an overflow (-fsanitize=signed-integer-overflow)"),
        ("load_invalid_value", "an invalid bool or enum (-fsanitize=bool, enum)"),
        ("nonnull", "a null argument (-fsanitize=nonnull-attribute)"),
    ];
    NAMES.iter().find(|(part, _)| handler.contains(part)).map_or("undefined behaviour", |(_, what)| what)
}

/// Where a callee or pointer is declared: by the debug info, else by the text.
pub(super) fn declaration(suspect: &Suspect<'_>, name: &str) -> Option<Line> {
    let mut declared = suspect.declarations(name);
    // The one that says so, and the one that is not the definition behind it.
    declared.sort_by_key(|one| (!one.noreturn, one.line));
    if let Some(first) = declared.into_iter().next() {
        return Some((first.file, first.line));
    }
    let (main, text) = suspect.main_text()?;
    let at = source::declarations(&text, name).into_iter().next()?;
    Some((main, at as u32 + 1))
}

/// Whether a declaration says that the function never returns, by the debug info or by the text.
fn is_declared_so(suspect: &Suspect<'_>, name: &str, declared: Option<&Line>) -> bool {
    let by_text = || {
        let (main, text) = suspect.main_text()?;
        let lines = source::declarations(&text, name).into_iter();
        let says = |at: usize| {
            let line = (Arc::clone(&main), at as u32 + 1);
            // An attribute may stand on the line before, or on the one behind: not where that is another declaration.
            let open = |at: usize| text.lines.get(at).is_some_and(|line| !line.trim_end().ends_with([';', '}', '{']));
            let first = if at > 0 && open(at - 1) { at - 1 } else { at };
            let last = if open(at) { at + 1 } else { at };
            let near = text.lines.get(first..=last.min(text.lines.len() - 1)).unwrap_or_default();
            near.iter().any(|line| line.contains("noreturn")) || !macros_of(suspect, Some(&line)).is_empty()
        };
        lines.into_iter().any(says).then_some(())
    };
    suspect.declarations(name).iter().any(|one| one.noreturn)
        || declared.is_some_and(|line| !macros_of(suspect, Some(line)).is_empty())
        || by_text().is_some()
}

/// The macros of the file by which a declaration says that its function never returns.
fn macros_of(suspect: &Suspect<'_>, declared: Option<&Line>) -> Vec<crate::report::findings::PathStep> {
    let Some(line) = declared else { return Vec::new() };
    let (Some(text), Some(written)) = (suspect.text(line), suspect.written(line)) else { return Vec::new() };
    let defines = text.lines.iter().enumerate().filter(|(_, define)| define.trim_start().starts_with("#define"));
    let used = defines.filter(|(_, define)| {
        let name = define.split_whitespace().nth(1).and_then(|name| name.split('(').next()).unwrap_or("");
        define.contains("noreturn") && !name.is_empty() && source::has_word(&written, name)
    });
    used.map(|(at, _)| {
        let line = (Arc::clone(&line.0), at as u32 + 1);
        suspect.remark(&line, "this macro says that the function never returns")
    })
    .collect()
}

/// Code that ends at a point that the compiler takes never to be reached.
fn unreachable(suspect: &Suspect<'_>, last: InsnId) -> Told {
    let at = suspect.line_in_source(last);
    let function = suspect.in_function();
    let way = suspect.way(suspect.finding.states.len().saturating_sub(1));
    let mut lines: Vec<Line> = Vec::new();
    for line in std::iter::once(last).chain(way.into_iter().rev()).filter_map(|insn| suspect.line(insn)) {
        if lines.len() == MOST_LINES {
            break;
        }
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    let claim = lines.iter().find_map(|line| {
        let text = suspect.text(line)?;
        let found = source::unreachable(&text, line.1 as usize - 1)?;
        Some((Arc::clone(&line.0), found as u32 + 1))
    });
    if let Some(claim) = claim {
        return claimed(suspect, &claim, at);
    }
    let what = what_happens(suspect);
    let place = at.as_ref().map(|line| format!(" at {}", suspect.place(line))).unwrap_or_default();
    let says = format!(
        "{function} {what}: the compiler ends it{place}, since going on would be undefined behaviour there (a division by zero, a \
         loop without an end or an effect, an index out of bounds, a null pointer, a missing return)"
    );
    let step = suspect.step(last, "the code ends here, where the compiler takes it to be unreachable");
    Told::new(CauseKind::UndefinedBehaviour, says).with([step]).on(at.clone()).shown_at(at)
}

fn what_happens(suspect: &Suspect<'_>) -> &'static str {
    match suspect.finding.fault {
        Fault::JumpWithoutDest { .. } => "jumps to where no code is",
        _ => "runs on into whatever follows",
    }
}

/// A statement of the source by which the point is never reached.
fn claimed(suspect: &Suspect<'_>, claim: &Line, at: Option<Line>) -> Told {
    let (function, what) = (suspect.in_function(), what_happens(suspect));
    let written = suspect.written(claim).unwrap_or_default();
    let written = written.trim_end_matches(';');
    let says = format!(
        "{function} {what}: `{written}` at {} says that the point is never reached, so the compiler made no code for it; reaching \
         it is undefined behaviour",
        suspect.place(claim)
    );
    let remark = suspect.remark(claim, "declared to be unreachable here");
    Told::new(CauseKind::Unreachable, says).with([remark]).on(Some(claim.clone())).shown_at(at)
}

/// Lines on the way that a claim is looked for behind.
const MOST_LINES: usize = 8;

/// A callee that never returns, and is not declared so.
pub(super) fn callee_undeclared(suspect: &Suspect<'_>) -> Option<Told> {
    let insn = suspect.finding.insn?;
    let call = match suspect.finding.fault {
        Fault::MissingNoreturn { .. } => suspect.before(insn)?,
        Fault::Unreachable => suspect.before(insn).filter(|&call| {
            let ends = suspect.flow().has(call, crate::flow::Flags::DEAD_END);
            ends && suspect.kind(call) == Kind::Call && suspect.owner(call) == suspect.owner(insn)
        })?,
        _ => return None,
    };
    let callee = suspect.flow().direct_callee(suspect.insns(), call)?;
    if matches!(suspect.finding.fault, Fault::Unreachable) && suspect.image().symbol(callee).is_undefined() {
        return None;
    }
    let name = suspect.view().name(callee);
    let at = suspect.line_in_source(call);
    if !suspect.is_compiled(call) {
        let place = at.as_ref().map(|line| format!(" at {}", suspect.place(line))).unwrap_or_default();
        let says = format!("{name}() never returns, for objtool, so no path leads to the code after its call{place}");
        let step = suspect.step(call, "the path ends in this call");
        return Some(Told::new(CauseKind::EndedPath, says).about(name).with([step]).on(at.clone()).shown_at(at));
    }
    let lines = lines_of(suspect, &name, callee);
    let place = lines.first().map(|line| format!(" ({})", suspect.place(line))).unwrap_or_default();
    let says = format!(
        "{name}() never returns, as objtool found out, but its declaration{place} does not say so: without `__noreturn` the compiler \
         makes code behind the call, which no path reaches"
    );
    let remarks: Vec<_> = lines
        .iter()
        .map(|line| suspect.remark(line, format!("{name}() is declared here, without `__noreturn`")))
        .collect();
    let told = Told::new(CauseKind::NoreturnUndeclared, says).about(name).with(remarks);
    Some(told.on(lines.into_iter().next()).shown_at(at))
}

/// Where a function is declared and defined.
fn lines_of(suspect: &Suspect<'_>, name: &str, callee: SymbolId) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    if let Some((main, text)) = suspect.main_text() {
        lines.extend(source::declarations(&text, name).into_iter().map(|at| (Arc::clone(&main), at as u32 + 1)));
        if lines.is_empty() {
            lines.extend(text.asm.label(name).map(|label| (main, label.line as u32 + 1)));
        }
    }
    lines.extend(suspect.declarations(name).into_iter().map(|declared| (declared.file, declared.line)));
    let symbol = suspect.image().symbol(callee);
    if lines.is_empty() {
        let first = suspect.insns().at(crate::ids::CodeLoc::new(symbol.section, symbol.value));
        lines.extend(first.and_then(|insn| suspect.line(insn)));
    }
    let mut known: Vec<Line> = Vec::new();
    lines.retain(|line| {
        let new = !known.contains(line);
        known.push(line.clone());
        new
    });
    lines
}
