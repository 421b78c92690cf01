//! Who opened user access, or set the direction flag; helpers that have to be inlined.

use super::scene::Suspect;
use super::{Told, source};
use crate::findings::Fault;
use crate::report::CauseKind;

/// The line of the source that opened user access, where a header's function did.
pub fn opened(suspect: &Suspect<'_>) -> Option<Told> {
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
    Some(told.on(Some(line)))
}

/// A call to a helper that is `inline`, and was not inlined where calls are not allowed.
pub fn not_inlined(suspect: &Suspect<'_>) -> Option<Told> {
    let (callee, when) = match &suspect.finding.fault {
        Fault::CallWithUaccess { callee } => (callee, "while user access is open"),
        Fault::CallLeavesNoinstr { callee } => (callee, "where nothing may be instrumented"),
        _ => return None,
    };
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
