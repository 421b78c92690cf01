//! Fixes that tell the checks what the code means: frames, function kinds, annotations.
//!
//! In: a finding.  Out: [`Fix`]es; those that only silence come last.
//! Reads like: `include/linux/objtool.h`, `include/linux/linkage.h`, `arch/x86/include/asm/frame.h`.

use crate::findings::FixKind;

use super::Case;
use super::patch::{Fix, Patch};

/// What may mend or silence the finding.
pub fn fixes(case: &Case<'_>) -> Vec<Fix> {
    let kinds = case.finding.code.entry().fixes;
    let mut fixes: Vec<Fix> = kinds.iter().filter_map(|&kind| of_kind(case, kind)).collect();
    fixes.extend(non_standard(case));
    fixes
}

fn of_kind(case: &Case<'_>, kind: FixKind) -> Option<Fix> {
    match kind {
        FixKind::SetUpFrame if case.assembly => frame(case),
        FixKind::SetUpFrame => call_constraint(case),
        FixKind::AddSize => size(case),
        FixKind::MarkRetpolineSafe => retpoline_safe(case),
        FixKind::CodeInsteadOfFunction => code_instead_of_function(case),
        // `stack` and `nops` have these.
        FixKind::Balance
        | FixKind::ClearDirection
        | FixKind::CloseAccess
        | FixKind::OpenAccess
        | FixKind::Remove
        | FixKind::StopSpeculation
        | FixKind::EndFunction
        | FixKind::UseReturnMacro
        | FixKind::PadArms => None,
    }
}

fn find(case: &Case<'_>, wanted: &str) -> Option<usize> {
    case.lines.iter().position(|line| line.trim_start().starts_with(wanted))
}

/// A header, behind the last one that the file includes.
fn include(case: &Case<'_>, header: &str) -> Option<Patch> {
    let line = format!("#include <{header}>");
    if case.lines.iter().any(|text| text.trim() == line) {
        return None;
    }
    let last = case.lines.iter().rposition(|text| text.trim_start().starts_with("#include")).map_or(0, |at| at + 1);
    Some(Patch::insert(last, vec![line]))
}

/// Where the code of the finding's function begins and ends, from its start macro or label to its end macro.
pub fn extent(case: &Case<'_>) -> Option<(usize, usize)> {
    let name = case.finding.function.as_deref()?;
    let opens = |line: &str| {
        let text = line.trim_start();
        let label = text.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'));
        label || (text.starts_with("SYM_") && text.contains("_START") && text.contains(&format!("({name})")))
    };
    let start = case.lines.iter().position(|line| opens(line))?;
    let closes = |line: &str| {
        let text = line.trim_start();
        text.contains(name) && (text.contains("_END(") || text.starts_with(".size"))
    };
    let length = case.lines.get(start + 1..)?.iter().position(|line| closes(line))?;
    Some((start, start + 1 + length))
}

fn is_return(line: &str) -> bool {
    matches!(line.split_whitespace().next(), Some("RET" | "ret" | "retq"))
}

fn frame(case: &Case<'_>) -> Option<Fix> {
    let (start, end) = extent(case)?;
    let mut patches = vec![Patch::insert(start + 1, vec!["\tFRAME_BEGIN".to_owned()])];
    let returns = (start..end).filter(|&line| is_return(case.lines[line]));
    patches.extend(returns.map(|line| Patch::insert(line, vec!["\tFRAME_END".to_owned()])));
    patches.extend(include(case, "asm/frame.h"));
    Some(Fix::new("Set up a frame with `FRAME_BEGIN` and `FRAME_END`", patches))
}

/// An `asm` statement that calls must name the stack pointer as an output, so that the compiler sets up the frame first.
fn call_constraint(case: &Case<'_>) -> Option<Fix> {
    let from = (0..=case.line).rev().take(12).find(|&line| case.lines.get(line).is_some_and(|l| l.contains("asm")))?;
    let line = (from..case.lines.len()).take(16).find(|&line| {
        let text = case.lines[line];
        text.rfind('"').map_or(text, |end| &text[end..]).contains([':', ')'])
    })?;
    let text = case.lines[line];
    let behind = text.rfind('"').map_or(0, |end| end + 1);
    let fixed = match text[behind..].find(':') {
        Some(colon) => {
            let at = behind + colon + 1;
            let rest = text[at..].trim_start();
            let comma = if rest.starts_with([':', ')']) || rest.is_empty() { "" } else { "," };
            format!("{} ASM_CALL_CONSTRAINT{comma}{}", &text[..at], &text[at..])
        }
        None => {
            let at = behind + text[behind..].find(')')?;
            format!("{} : ASM_CALL_CONSTRAINT{}", &text[..at], &text[at..])
        }
    };
    Some(Fix::new("Add `ASM_CALL_CONSTRAINT` to the asm statement", vec![Patch::replace(line, fixed)]))
}

fn size(case: &Case<'_>) -> Option<Fix> {
    let name = case.finding.function.as_deref()?;
    let start = find(case, &format!("{name}:"))?;
    let rest = case.lines.get(start + 1..)?;
    let next = rest.iter().position(|line| line.trim().is_empty()).unwrap_or(rest.len());
    let line = vec![format!(".size {name}, .-{name}")];
    Some(Fix::new(format!("Give {name} its size"), vec![Patch::insert(start + 1 + next, line)]))
}

fn retpoline_safe(case: &Case<'_>) -> Option<Fix> {
    case.assembly.then(|| {
        let line = vec!["\tANNOTATE_RETPOLINE_SAFE".to_owned()];
        let patches = [Some(Patch::insert(case.line, line)), include(case, "asm/nospec-branch.h")];
        Fix::last_resort("Vouch for the branch with `ANNOTATE_RETPOLINE_SAFE`", patches.into_iter().flatten().collect())
    })
}

/// Code that is not called like a function is not one.
fn code_instead_of_function(case: &Case<'_>) -> Option<Fix> {
    let (start, end) = extent(case).filter(|_| case.assembly)?;
    let as_code = |line: usize| {
        let text = case.lines[line];
        let changed =
            text.replace("SYM_FUNC_START_LOCAL", "SYM_CODE_START_LOCAL").replace("SYM_FUNC_START", "SYM_CODE_START");
        let changed = changed.replace("SYM_FUNC_END", "SYM_CODE_END");
        (changed != text).then(|| Patch::replace(line, changed))
    };
    let patches = vec![as_code(start)?, as_code(end)?];
    Some(Fix::new("Make it code instead of a function: `SYM_CODE_START`, `SYM_CODE_END`", patches))
}

/// The function is not looked at any more, and can not be unwound through.
fn non_standard(case: &Case<'_>) -> Option<Fix> {
    let name = case.finding.function.as_deref()?;
    let line = if case.assembly {
        format!("STACK_FRAME_NON_STANDARD {name}")
    } else {
        format!("STACK_FRAME_NON_STANDARD({name});")
    };
    let header = include(case, "linux/objtool.h");
    let patches = header.into_iter().chain([Patch::insert(case.lines.len(), vec![line])]).collect();
    Some(Fix::last_resort(
        format!("Exempt {name} with `STACK_FRAME_NON_STANDARD` (it can no longer be unwound)"),
        patches,
    ))
}
