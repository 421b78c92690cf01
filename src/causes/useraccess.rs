//! Who opened user access, or set the direction flag; helpers that have to be inlined.

use std::sync::Arc;

use super::scene::{Line, Suspect};
use super::{Told, source};
use crate::findings::{Fault, StepKind};
use crate::report::CauseKind;

/// The line of the source that opened user access, where a header's function did.
pub(super) fn opened(suspect: &Suspect<'_>) -> Option<Told> {
    let (flag, done) = match suspect.finding.fault {
        Fault::CallWithUaccess { .. } | Fault::ReturnWithUaccess | Fault::UaccessRecursive => ("user access", "opened"),
        Fault::ReturnWithoutUaccess | Fault::UaccessRedundant => ("user access", "closed"),
        Fault::ReturnWithDirectionFlag | Fault::CallWithDirectionFlag { .. } | Fault::DirectionFlagRecursive => {
            ("the direction flag", "set")
        }
        _ => return None,
    };
    let change = suspect.finding.cause.first()?.insn;
    let line = suspect.line_in_source(change)?;
    let own = suspect.line(change)?;
    let statement = suspect.statement(change);
    let is_bare = statement.as_ref().is_some_and(|statement| matches!(statement.text.as_str(), "stac" | "clac"));
    let bare = is_bare && suspect.flow().group_of(change).is_none();
    let kind = if bare { CauseKind::StrayFlagChange } else { CauseKind::of(suspect.finding.fault.code()) };
    let remark = (own != line).then(|| suspect.remark(&line, format!("{flag} is {done} here")));
    let told = Told::new(kind, String::new()).with(remark);
    let exit = matches!(suspect.finding.fault, Fault::ReturnWithUaccess).then(|| fault_label(suspect)).flatten();
    let below = matches!(suspect.finding.fault, Fault::ReturnWithUaccess).then(|| body_of_condition(suspect)).flatten();
    let told =
        told.with(exit.as_ref().map(|exit| suspect.remark(exit, "where the access faults, the path comes here")));
    Some(told.on(Some(line)).shown_at(exit.or(below)))
}

/// The return that is the body of the condition on the finding's line: compilers give it the line of the condition.
fn body_of_condition(suspect: &Suspect<'_>) -> Option<Line> {
    let line = (suspect.reported.file.clone()?, suspect.reported.line?);
    let text = suspect.text(&line).filter(|text| !text.asm.assembly)?;
    let at = line.1 as usize - 1;
    let shown = text.lines.get(at)?.trim();
    let is_condition = shown.starts_with("if") && shown.ends_with(')');
    let next = text.lines.get(at + 1)?.trim();
    (is_condition && next.starts_with("return")).then_some((line.0, line.1 + 1))
}

/// The label of C to which the last access on the way jumps where it faults: compilers merge what is behind it with the same code
/// elsewhere.
fn fault_label(suspect: &Suspect<'_>) -> Option<Line> {
    let state = suspect.finding.states.first()?;
    let step = state.trail.iter().rev().find(|step| !matches!(step.kind, StepKind::Jump | StepKind::Start))?;
    if step.kind != StepKind::Fixup || !suspect.is_compiled(suspect.finding.insn?) {
        return None;
    }
    let access = suspect.line_in_source(step.insn)?;
    let text = suspect.text(&access)?;
    let at = access.1 as usize - 1;
    let range = source::function_around(&text, at);
    let end = (at..=*range.end()).take(8).find(|&at| text.lines[at].contains(';')).unwrap_or(at);
    let statement = text.lines[at..=end].join(" ");
    let label_line = |name: &str| {
        let is_label = |line: &usize| {
            let rest = text.lines[*line].trim_start().strip_prefix(name);
            rest.is_some_and(|rest| rest.trim_start().starts_with(':') && !rest.trim_start().starts_with("::"))
        };
        range.clone().find(is_label)
    };
    let words = statement.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
    let label = words.filter(|word| *word != "default").filter_map(label_line).next_back()?;
    let shown = suspect.reported.line.map_or(usize::MAX, |line| line as usize - 1);
    // What stands there may say it already.
    let exit = (label..=*range.end()).take(4).find(|&at| text.lines[at].trim_start().starts_with("return"));
    let line = exit.unwrap_or(label);
    (!(label..=line).contains(&shown)).then(|| (Arc::clone(&access.0), line as u32 + 1))
}

/// A call to a helper that is `inline`, and was not inlined where calls are not allowed.
pub(super) fn not_inlined(suspect: &Suspect<'_>) -> Option<Told> {
    let (callee, when) = match &suspect.finding.fault {
        Fault::CallWithUaccess { callee } => (callee, "while user access is open"),
        Fault::CallLeavesNoinstr { callee } => (callee, "where nothing may be instrumented"),
        _ => return None,
    };
    // What is opened by an instruction alone, no call belongs into: then that is told.
    let is_bare = |insn| {
        suspect.flow().group_of(insn).is_none()
            && suspect.statement(insn).is_some_and(|statement| matches!(statement.text.as_str(), "stac" | "clac"))
    };
    if suspect.finding.cause.first().is_some_and(|step| is_bare(step.insn)) {
        return None;
    }
    let name = callee.split('.').next().unwrap_or(callee);
    let (main, text) = suspect.main_text()?;
    let declared = source::declarations(&text, name);
    let is_hint = |line: &&usize| {
        let written = &text.lines[**line];
        source::has_word(written, "inline") && !written.contains("__always_inline")
    };
    let at = *declared.iter().find(is_hint)?;
    let line = (main, at as u32 + 1);
    let says = format!(
        "{name}() is called {when}: it is only `inline` (line {}), which the compiler need not follow; `__always_inline` makes it",
        line.1
    );
    let remark = suspect.remark(&line, format!("{name}() is `inline` here, which is only a hint"));
    Some(Told::new(CauseKind::NotInlined, says).about(name).with([remark]).on(Some(line)))
}
