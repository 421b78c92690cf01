//! What a finding means for a module: whether it is broken, or only described in a way that objtool cannot use.
//!
//! In: a finding's [`Code`] and [`CauseKind`].  Out: [`Standing`], and what a module's author can do about it.
//! Holds afterwards: code is called broken only where it does something wrong when it runs; where nobody can tell from the
//! object, nothing is said; nothing that is advised changes the kernel, or switches off more than what cannot be checked.

use serde::Serialize;

use super::cause::CauseKind;
use crate::findings::{Code, Stake};

/// How a module stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It does something wrong when it runs.
    Broken,
    /// It runs, without a protection that its kernel has.
    Unprotected,
    /// It runs; stacks cannot be followed through it.
    Untraceable,
    /// It runs; a symbol, a hint or an attribute says otherwise.
    Misannotated,
    /// Nobody has looked at it.
    Unchecked,
}

/// What is told of a finding in a module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ForModule {
    /// How it stands.
    pub standing: Standing,
    /// The same in words.
    pub meaning: &'static str,
    /// What its author can do; `None` where the finding itself says it.
    pub author: Option<&'static str>,
}

/// What a finding means for the module that it is in. `file`: the source of its code, if the object names one.
pub fn for_module(code: Code, kind: CauseKind, file: Option<&str>) -> Option<ForModule> {
    let standing = standing(code, kind)?;
    let is_flag = matches!(code, Code::NakedReturn | Code::IndirectBranch | Code::MissingInt3);
    let author = if is_flag && file.is_none() { Some(PREBUILT) } else { author(kind, standing) };
    Some(ForModule { standing, meaning: standing.words(), author })
}

/// What can be done about code that came without its source.
const PREBUILT: &str = "in assembly, RET, JMP_NOSPEC and CALL_NOSPEC; code that was compiled elsewhere (a prebuilt object) \
                        keeps the flags that it was compiled with, and only who has its source can compile it with those of \
                        the kernel";

impl Standing {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Standing::Broken => "the module is broken: the code does something wrong when it runs",
            Standing::Unprotected => "the module runs, without a protection that its kernel was built with",
            Standing::Untraceable => {
                "the module runs; stack traces end or go wrong there, and live patching waits for the function to end"
            }
            Standing::Misannotated => {
                "the module runs; what is said of the code (a symbol, a hint, an attribute) is wrong"
            }
            Standing::Unchecked => "nothing is known of the code: objtool could not look at it",
        }
    }
}

/// How the module stands; `None` where the object does not show it.
pub fn standing(code: Code, kind: CauseKind) -> Option<Standing> {
    use CauseKind as Kind;
    Some(match kind {
        Kind::Imbalance
        | Kind::NotRestored
        | Kind::StoreIntoCaller
        | Kind::MissingReturn
        | Kind::Unreachable
        | Kind::UndefinedBehaviour
        | Kind::StrayFlagChange
        | Kind::DirectionFlagLeftSet
        | Kind::LeavesNoinstr
        | Kind::BadTarget
        | Kind::FunctionWithoutEndbr => Standing::Broken,
        Kind::PlainReturn
        | Kind::OwnReturnMacro
        | Kind::NoTrapBehindJump
        | Kind::PlainIndirectBranch
        | Kind::UserAccessLeftOpen
        | Kind::CallWithUserAccess
        | Kind::UserAccessNotOpen => Standing::Unprotected,
        Kind::DepthsBeforeTheEnd
        | Kind::UnfollowedRestore
        | Kind::FramePointerAsData
        | Kind::FramePointerInAsm
        | Kind::RealignRemembered
        | Kind::RealignBesideFrame
        | Kind::ComputedStackPointer
        | Kind::StackSwitch
        | Kind::LostFrame
        | Kind::NoFrame
        | Kind::CallInAsm
        | Kind::FramesNotAskedFor
        | Kind::AlternativeArms
        | Kind::Sanitizer
        | Kind::TrapEndsPath
        | Kind::EndedPath => Standing::Untraceable,
        Kind::WrongHint
        | Kind::NoreturnUnknown
        | Kind::NoreturnPointer
        | Kind::NoreturnUndeclared
        | Kind::UnnamedCode
        | Kind::SyscallRunsOn
        | Kind::CodeInFunction
        | Kind::UntypedLabel
        | Kind::LocalLabel
        | Kind::IntraCall
        | Kind::JumpIntoFunction
        | Kind::CallIntoFunction
        | Kind::NoSize
        | Kind::AddressOfPoint
        | Kind::DataInCode
        | Kind::WritableTable
        | Kind::NamedTable
        | Kind::UnknownTable
        | Kind::UnwindTable => Standing::Misannotated,
        Kind::ForeignEncoding | Kind::NothingDefined => Standing::Unchecked,
        Kind::MissingOption | Kind::NotInlined | Kind::Unknown => match code.entry().stakes.first()? {
            Stake::Mitigation => Standing::Unprotected,
            Stake::Unwinding | Stake::LivePatching | Stake::Tracing => Standing::Untraceable,
            Stake::Checking => Standing::Unchecked,
            // Whether it runs into it cannot be seen.
            Stake::Running => return None,
        },
    })
}

/// What an author can do without touching the kernel.
fn author(kind: CauseKind, standing: Standing) -> Option<&'static str> {
    use CauseKind as Kind;
    Some(match kind {
        Kind::NoreturnUnknown => {
            "the list of such functions is the kernel's: leave `__noreturn` away from the declaration, so that the compiler \
             goes on behind the call, or end the path behind it by BUG() or an endless loop"
        }
        Kind::NoreturnUndeclared => "declare the function `__noreturn`",
        Kind::NoreturnPointer => "end the path behind the call by BUG() or an endless loop",
        Kind::UntypedLabel | Kind::LocalLabel | Kind::NoSize | Kind::UnnamedCode => {
            "write the function between SYM_FUNC_START() and SYM_FUNC_END() (<linux/linkage.h>); in assembly of others, \
             .type NAME, @function and .size NAME, . - NAME do the same"
        }
        Kind::IntraCall => "ANNOTATE_INTRA_FUNCTION_CALL before the call (<linux/objtool.h>, since 5.8)",
        Kind::DataInCode | Kind::WritableTable | Kind::NamedTable => "keep the data in .rodata",
        Kind::PlainReturn | Kind::OwnReturnMacro => "RET instead of ret (<linux/linkage.h>)",
        Kind::PlainIndirectBranch => "JMP_NOSPEC or CALL_NOSPEC (<asm/nospec-branch.h>)",
        Kind::NoTrapBehindJump => "int3 behind the jump, as the kernel's macros have it",
        Kind::MissingOption => {
            "compile with the kernel's own flags: add to ccflags-y, and replace neither KBUILD_CFLAGS nor CFLAGS_MODULE"
        }
        _ => match standing {
            Standing::Untraceable => {
                "mend the frame; or STACK_FRAME_NON_STANDARD(FUNCTION) (<linux/objtool.h>) where nothing but traces through \
                 this function may be lost. OBJECT_FILES_NON_STANDARD takes the whole file from objtool, with its return \
                 thunks, retpolines and static calls: no remedy for code that is to run"
            }
            Standing::Broken | Standing::Unprotected | Standing::Misannotated | Standing::Unchecked => return None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_called_broken_only_where_it_runs_wrong() {
        for (code, kind, expect) in [
            (Code::ReturnWithModifiedFrame, CauseKind::Imbalance, Some(Standing::Broken)),
            (Code::FallsThrough, CauseKind::NoreturnUnknown, Some(Standing::Misannotated)),
            (Code::FallsThrough, CauseKind::MissingReturn, Some(Standing::Broken)),
            (Code::FallsThrough, CauseKind::Unknown, None),
            (Code::NakedReturn, CauseKind::Unknown, Some(Standing::Unprotected)),
            (Code::NakedReturn, CauseKind::MissingOption, Some(Standing::Unprotected)),
            (Code::FramePointerScratched, CauseKind::FramePointerAsData, Some(Standing::Untraceable)),
            (Code::BadObject, CauseKind::Unknown, Some(Standing::Unchecked)),
        ] {
            assert_eq!(standing(code, kind), expect, "{code} {kind:?}");
        }
        let told = for_module(Code::FallsThrough, CauseKind::NoreturnUnknown, Some("a.c")).unwrap();
        assert!(told.author.is_some_and(|author| !author.contains("noreturns.h")));
    }
}
