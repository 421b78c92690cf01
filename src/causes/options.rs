//! Options that the compile command lacks.

use super::Told;
use super::scene::{Line, Suspect};
use crate::findings::Fault;
use crate::report::CauseKind;

/// What a mitigation or a check needs from the compiler, where the finding's code is the compiler's.
pub(super) fn missing(suspect: &Suspect<'_>) -> Option<Told> {
    let insn = match &suspect.finding.fault {
        Fault::RelocationToNonEndbr { target } | Fault::DataRelocationToNonEndbr { target } => {
            suspect.insns().at(*target)?
        }
        _ => suspect.finding.insn?,
    };
    if matches!(suspect.finding.fault, Fault::CallWithoutFramePointer) && suspect.is_compiled(insn) {
        return frames(suspect);
    }
    let option = Wanted::of(suspect)?;
    let command = suspect.scene.sources.command;
    if command.is_empty() || !suspect.is_compiled(insn) {
        return None;
    }
    let last = command.iter().rev().find(|word| option.family.iter().any(|start| word.starts_with(start)));
    let has = last.is_some_and(|word| option.good.iter().any(|good| word.starts_with(good)));
    if has {
        return attribute(suspect, &option);
    }
    let found = last.map(|word| format!(", it has `{word}`")).unwrap_or_default();
    let says = format!(
        "{}: the compile command lacks `{}`{found}, which this build's other files have; no line of the file is at fault",
        option.what, option.name
    );
    let at = match &suspect.finding.fault {
        Fault::RelocationToNonEndbr { target } | Fault::DataRelocationToNonEndbr { target } => {
            let function = suspect.view().analysis.symbols.function_at(target.section, target.offset);
            let name = function.map(|function| suspect.view().name(function));
            let declared = name.map(|name| suspect.declarations(&name)).unwrap_or_default();
            declared.into_iter().find(|one| one.function).map(|one| (one.file, one.line))
        }
        _ => None,
    };
    Some(Told::new(CauseKind::MissingOption, says).about(option.name).shown_at(at))
}

/// An option, by what it does.
struct Wanted {
    name: &'static str,
    what: &'static str,
    /// Options that decide the same.
    family: &'static [&'static str],
    /// Those of them that decide it well.
    good: &'static [&'static str],
    /// An attribute of a function that decides otherwise.
    attribute: &'static [&'static str],
}

impl Wanted {
    fn of(suspect: &Suspect<'_>) -> Option<Wanted> {
        let clang = suspect.scene.sources.command.iter().take(3).any(|word| word.contains("clang"));
        Some(match &suspect.finding.fault {
            Fault::NakedReturn => Wanted {
                name: "-mfunction-return=thunk-extern",
                what: "a plain return of the compiler, where the build needs returns to go through the return thunk",
                family: &["-mfunction-return="],
                good: &["-mfunction-return=thunk-extern"],
                attribute: &["function_return("],
            },
            Fault::MissingInt3 { .. } => Wanted {
                name: "-mharden-sls=all",
                what: "no `int3` behind a return or jump of the compiler",
                family: &["-mharden-sls="],
                good: &["-mharden-sls=all"],
                attribute: &[],
            },
            Fault::IndirectBranch { .. } if clang => Wanted {
                name: "-mretpoline-external-thunk",
                what: "an indirect branch of the compiler without a retpoline, which the build needs",
                family: &["-mretpoline-external-thunk", "-mretpoline", "-mno-retpoline"],
                good: &["-mretpoline-external-thunk"],
                attribute: &[],
            },
            Fault::IndirectBranch { .. } => Wanted {
                name: "-mindirect-branch=thunk-extern",
                what: "an indirect branch of the compiler without a retpoline, which the build needs",
                family: &["-mindirect-branch="],
                good: &["-mindirect-branch=thunk-extern"],
                attribute: &["indirect_branch("],
            },
            Fault::RelocationToNonEndbr { .. } | Fault::DataRelocationToNonEndbr { .. } => Wanted {
                name: "-fcf-protection=branch",
                what: "the address of a function is taken that the compiler did not start with `endbr`",
                family: &["-fcf-protection"],
                good: &["-fcf-protection=branch", "-fcf-protection=full"],
                attribute: &["nocf_check"],
            },
            Fault::IndirectCallWithoutCfi => Wanted {
                name: "-fsanitize=kcfi",
                what: "an indirect call of the compiler without a check of its target's type",
                family: &["-fsanitize=kcfi", "-fno-sanitize=kcfi"],
                good: &["-fsanitize=kcfi"],
                attribute: &["no_sanitize(\"kcfi\")", "__nocfi"],
            },
            _ => return None,
        })
    }
}

/// A function that asks for other code than the command does.
fn attribute(suspect: &Suspect<'_>, option: &Wanted) -> Option<Told> {
    let (main, text) = suspect.main_text()?;
    let has = |line: &String| option.attribute.iter().any(|name| line.contains(name));
    let at = text.lines.iter().position(has)?;
    let line: Line = (main, at as u32 + 1);
    let says = format!("{}: an attribute in the file decides otherwise than `{}`", option.what, option.name);
    let remark = suspect.remark(&line, "this attribute decides how the function is compiled");
    Some(Told::new(CauseKind::MissingOption, says).about(option.name).with([remark]).on(Some(line)))
}

/// The compiler sets up no frames: a pragma, an attribute or an option says so.
fn frames(suspect: &Suspect<'_>) -> Option<Told> {
    let what = format!("call without a frame pointer: {} sets up none", suspect.in_function());
    let here = suspect.reported.line.unwrap_or(u32::MAX) as usize;
    if let Some((main, text)) = suspect.main_text() {
        let is_pragma = |line: &str| {
            let text = line.trim_start();
            let optimises =
                text.contains("optimize") && (text.starts_with("#pragma") || text.contains("__attribute__"));
            let decides = text.contains("omit-frame-pointer") || text.contains("\"O") || text.contains("optimize(");
            (optimises && decides) || text.contains("optimize(\"omit-frame-pointer")
        };
        let at = text.lines.iter().take(here).rposition(|line| is_pragma(line));
        if let Some(at) = at {
            let line = (main, at as u32 + 1);
            let pragma = text.lines[at].trim().to_owned();
            let says = format!(
                "{what}, because of `{pragma}` in line {}: it replaces the command's -fno-omit-frame-pointer",
                line.1
            );
            let remark =
                suspect.remark(&line, "from here on functions are compiled with other options than the command's");
            return Some(Told::new(CauseKind::FramesNotAskedFor, says).about(pragma).with([remark]).on(Some(line)));
        }
    }
    let command = suspect.scene.sources.command;
    if command.is_empty() {
        return None;
    }
    let last = command.iter().rev().find(|word| word.ends_with("omit-frame-pointer"));
    let says = match last.map(String::as_str) {
        Some("-fno-omit-frame-pointer") => return None,
        Some(word) => format!(
            "{what}: the compile command has `{word}`, and this kernel needs `-fno-omit-frame-pointer`; no line of the file is at fault"
        ),
        None => format!("{what}: the compile command lacks `-fno-omit-frame-pointer`; no line of the file is at fault"),
    };
    Some(Told::new(CauseKind::FramesNotAskedFor, says).about("-fno-omit-frame-pointer"))
}
