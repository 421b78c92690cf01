//! What is at fault, as a kind, and which remedies such a kind allows.
//!
//! In: a [`Code`], where nothing more is known.  Out: [`Cause`], [`CauseKind`], [`Remedy`].
//! Holds afterwards: a remedy that would only silence a real fault, or would change what runs to its harm, is allowed by
//! no kind; code actions are made from [`CauseKind::remedies`] and from nothing else.

use std::sync::Arc;

use serde::Serialize;

use crate::findings::Code;

/// What a finding comes from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Cause {
    /// Its kind.
    pub kind: CauseKind,
    /// Whom it is about: a callee, a label, a register, an option.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The file of the line to change, as the debug info names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<Arc<str>>,
    /// The line to change, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

impl Cause {
    /// A cause of which only the finding's code is known.
    pub fn of(code: Code) -> Cause {
        Cause { kind: CauseKind::of(code), subject: None, file: None, line: None }
    }
}

/// A kind of causes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CauseKind {
    /// A stack operation too many, or one too few, on a path that returns.
    Imbalance,
    /// Paths with different depths of stack meet where nothing returns.
    DepthsBeforeTheEnd,
    /// A register is restored in a way that objtool does not follow.
    UnfollowedRestore,
    /// A register is stored above the return address, into the caller's frame.
    StoreIntoCaller,
    /// A function changes a register that belongs to its caller, and nothing saves or restores it.
    NotRestored,
    /// rbp holds data.
    FramePointerAsData,
    /// An asm statement saves rbp, uses it and restores it.
    FramePointerInAsm,
    /// The stack is aligned; another register than rbp or a DRAP register remembers where it was.
    RealignRemembered,
    /// The stack is aligned, and rbp was not set up right behind its push.
    RealignBesideFrame,
    /// The stack pointer is moved by an amount that is only known at run time.
    ComputedStackPointer,
    /// The stack pointer is loaded from somewhere else.
    StackSwitch,
    /// The frame cannot be found, for another reason.
    LostFrame,
    /// A call without a frame in assembly.
    NoFrame,
    /// An asm statement calls, and the compiler does not know.
    CallInAsm,
    /// The compiler sets up no frames, because of an option or a pragma.
    FramesNotAskedFor,
    /// Arms of an alternative leave different states at one offset.
    AlternativeArms,
    /// An unwind hint is wrong or in the wrong place.
    WrongHint,

    /// The end of a function in assembly has no return.
    MissingReturn,
    /// The callee is declared never to return, which objtool does not know.
    NoreturnUnknown,
    /// A pointer that is declared never to return is called.
    NoreturnPointer,
    /// The callee never returns, and is not declared so.
    NoreturnUndeclared,
    /// The source says that a point is never reached, and it is.
    Unreachable,
    /// The compiler found out that going on would be undefined, and ends the code there.
    UndefinedBehaviour,
    /// A handler of a sanitizer that never returns.
    Sanitizer,
    /// A trap ends the path, and the code behind it is meant to run.
    TrapEndsPath,
    /// Something else that ends a path stands before the code.
    EndedPath,
    /// Code that no symbol names.
    UnnamedCode,
    /// `syscall` is taken to come back.
    SyscallRunsOn,
    /// Code that leaves the kernel in a function.
    CodeInFunction,

    /// A label that is called has no type.
    UntypedLabel,
    /// A label that is called leaves no symbol.
    LocalLabel,
    /// A call only for its return address.
    IntraCall,
    /// A call to the middle of a function, for another purpose.
    CallIntoFunction,
    /// A jump to the middle of another function.
    JumpIntoFunction,
    /// A jump or call leads where no code is.
    BadTarget,
    /// A function has no size.
    NoSize,
    /// The address of a function is taken, which has no `endbr`.
    FunctionWithoutEndbr,
    /// The address of a point within a function is taken.
    AddressOfPoint,
    /// Data is in a section of code.
    DataInCode,
    /// A table of jump targets is not where objtool looks.
    WritableTable,
    /// A table of jump targets is an object with a name, which objtool takes for other data.
    NamedTable,
    /// A table of jump targets was not found.
    UnknownTable,

    /// A plain return in assembly.
    PlainReturn,
    /// The file has a `RET` of its own.
    OwnReturnMacro,
    /// No `int3` behind an indirect jump.
    NoTrapBehindJump,
    /// An indirect branch in assembly.
    PlainIndirectBranch,
    /// A build option is missing in the compile command.
    MissingOption,

    /// User access is open where a function returns.
    UserAccessLeftOpen,
    /// An asm statement opens or closes user access, or sets the direction flag, with nothing to undo it.
    StrayFlagChange,
    /// A call while user access is open.
    CallWithUserAccess,
    /// User access is closed on a path that did not open it.
    UserAccessNotOpen,
    /// The direction flag stays set.
    DirectionFlagLeftSet,
    /// Code that must not be instrumented calls code that may be.
    LeavesNoinstr,
    /// A `static inline` helper was not inlined where it has to be.
    NotInlined,
    /// The build has an instruction of another vendor's processor, which objtool reads as something else.
    ForeignEncoding,
    /// The file defines nothing.
    NothingDefined,
    /// A row of an unwind table that is not what the code makes true.
    UnwindTable,
    /// Nothing is known beyond the finding itself.
    Unknown,
}

/// A way to change a text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Remedy {
    /// Insert the counterpart of a stack operation, or remove one that nothing needs.
    Balance,
    /// Place NOPs in an arm of an alternative.
    Nops,
    /// `FRAME_BEGIN` and `FRAME_END`.
    Frame,
    /// `ASM_CALL_CONSTRAINT`.
    CallConstraint,
    /// `UNWIND_HINT_SAVE`, `UNWIND_HINT_UNDEFINED`, `UNWIND_HINT_RESTORE`.
    HintsAround,
    /// Remove a hint, or move it.
    CorrectHint,
    /// `lea 8(%rsp), %r10` and the way back.
    Drap,
    /// `RET` where a function ends.
    Return,
    /// `RET` instead of a plain return.
    KernelReturn,
    /// The kernel's header instead of an own `RET`.
    KernelReturnHeader,
    /// `int3` behind an indirect jump.
    Trap,
    /// `CALL_NOSPEC`, `JMP_NOSPEC`.
    Nospec,
    /// `__noreturn` on the declaration.
    Noreturn,
    /// `BUG()` where `unreachable()` is reached.
    Bug,
    /// `SYM_CODE_*` instead of `SYM_FUNC_*`.
    Code,
    /// `SYM_FUNC_*`, or `.type` and `.size`, for a label.
    Function,
    /// `.size`.
    Size,
    /// `ANNOTATE_INTRA_FUNCTION_CALL`.
    IntraCall,
    /// `__always_inline`.
    AlwaysInline,
    /// `ENDBR`.
    Endbr,
    /// `ANNOTATE_NOENDBR`.
    Noendbr,
    /// `.pushsection .rodata` around data.
    Rodata,
    /// `__annotate_jump_table`.
    AnnotateTable,
    /// `user_access_end()` before a return.
    EndUserAccess,
    /// `cld`.
    ClearDirectionFlag,
    /// Remove an asm statement that changes a flag and nothing else.
    RemoveFlagChange,
    /// A `.cfi_*` directive, inserted or corrected.
    Directive,
    /// `STACK_FRAME_NON_STANDARD`: only where nothing but unwinding is lost. It comes last.
    Exempt,
}

impl CauseKind {
    /// What may be offered, the best first.
    pub fn remedies(self) -> &'static [Remedy] {
        use CauseKind as Kind;
        match self {
            Kind::Imbalance => &[Remedy::Balance],
            Kind::AlternativeArms => &[Remedy::Balance, Remedy::Nops],
            Kind::UnfollowedRestore | Kind::StoreIntoCaller | Kind::FramePointerAsData => &[Remedy::Exempt],
            Kind::ComputedStackPointer | Kind::RealignBesideFrame | Kind::LostFrame => &[Remedy::Exempt],
            Kind::FramePointerInAsm => &[Remedy::HintsAround, Remedy::Exempt],
            Kind::RealignRemembered => &[Remedy::Drap, Remedy::Exempt],
            Kind::NoFrame => &[Remedy::Frame],
            Kind::CallInAsm => &[Remedy::CallConstraint],
            Kind::WrongHint => &[Remedy::CorrectHint],
            Kind::MissingReturn => &[Remedy::Return],
            // No list can name the target; unwinding through it is of no use.
            Kind::NoreturnPointer => &[Remedy::Exempt],
            Kind::NoreturnUndeclared => &[Remedy::Noreturn],
            Kind::Unreachable => &[Remedy::Bug],
            Kind::CodeInFunction => &[Remedy::Code],
            Kind::UntypedLabel => &[Remedy::Function],
            Kind::IntraCall => &[Remedy::IntraCall],
            Kind::NotInlined => &[Remedy::AlwaysInline],
            Kind::NoSize => &[Remedy::Size],
            Kind::FunctionWithoutEndbr => &[Remedy::Endbr],
            Kind::AddressOfPoint => &[Remedy::Noendbr],
            Kind::DataInCode => &[Remedy::Rodata],
            Kind::WritableTable => &[Remedy::AnnotateTable, Remedy::Rodata],
            Kind::NamedTable => &[Remedy::AnnotateTable],
            Kind::PlainReturn => &[Remedy::KernelReturn],
            Kind::OwnReturnMacro => &[Remedy::KernelReturnHeader],
            Kind::NoTrapBehindJump => &[Remedy::Trap],
            Kind::PlainIndirectBranch => &[Remedy::Nospec],
            Kind::UserAccessLeftOpen => &[Remedy::EndUserAccess],
            Kind::StrayFlagChange => &[Remedy::RemoveFlagChange],
            Kind::DirectionFlagLeftSet => &[Remedy::RemoveFlagChange, Remedy::ClearDirectionFlag],
            Kind::UnwindTable => &[Remedy::Directive],
            // A real fault that only its author can mend, one that another file or an option decides, or none of which
            // enough is known.
            Kind::DepthsBeforeTheEnd
            | Kind::NotRestored
            | Kind::StackSwitch
            | Kind::FramesNotAskedFor
            | Kind::NoreturnUnknown
            | Kind::UndefinedBehaviour
            | Kind::Sanitizer
            | Kind::TrapEndsPath
            | Kind::EndedPath
            | Kind::UnnamedCode
            | Kind::SyscallRunsOn
            | Kind::LocalLabel
            | Kind::CallIntoFunction
            | Kind::JumpIntoFunction
            | Kind::BadTarget
            | Kind::UnknownTable
            | Kind::MissingOption
            | Kind::CallWithUserAccess
            | Kind::UserAccessNotOpen
            | Kind::LeavesNoinstr
            | Kind::ForeignEncoding
            | Kind::NothingDefined
            | Kind::Unknown => &[],
        }
    }

    /// Whether one such cause makes objtool print many lines, of which each says the same.
    pub fn is_of_the_whole(self) -> bool {
        matches!(
            self,
            CauseKind::MissingOption
                | CauseKind::FramesNotAskedFor
                | CauseKind::UnnamedCode
                | CauseKind::UntypedLabel
                | CauseKind::DataInCode
                | CauseKind::OwnReturnMacro
                | CauseKind::NothingDefined
        )
    }

    /// Whether what else is found in the function, without objtool, is only its consequence.
    pub fn spoils(self) -> bool {
        matches!(
            self,
            CauseKind::ForeignEncoding
                | CauseKind::FramesNotAskedFor
                | CauseKind::WritableTable
                | CauseKind::NamedTable
                | CauseKind::UnknownTable
                | CauseKind::LocalLabel
                | CauseKind::UntypedLabel
                | CauseKind::CallIntoFunction
                | CauseKind::IntraCall
                | CauseKind::NoreturnUndeclared
                | CauseKind::TrapEndsPath
                | CauseKind::EndedPath
                | CauseKind::FramePointerAsData
                | CauseKind::FramePointerInAsm
                | CauseKind::RealignRemembered
                | CauseKind::RealignBesideFrame
                | CauseKind::ComputedStackPointer
                | CauseKind::Unreachable
                | CauseKind::UndefinedBehaviour
                | CauseKind::NoreturnUnknown
        )
    }

    /// What a finding of this code comes from, where nothing more is known.
    pub fn of(code: Code) -> CauseKind {
        match code {
            Code::StackStateMismatch | Code::ReturnWithModifiedFrame | Code::SiblingCallWithModifiedFrame => {
                CauseKind::Imbalance
            }
            Code::AlternativeStackConflict => CauseKind::AlternativeArms,
            Code::CallWithoutFramePointer => CauseKind::NoFrame,
            Code::FramePointerScratched => CauseKind::FramePointerAsData,
            Code::UndefinedStackState
            | Code::UnsupportedStackRegisterModification
            | Code::UnsupportedStackRealignment
            | Code::UnknownStackOperation => CauseKind::LostFrame,
            Code::FallsThrough | Code::UnexpectedEndOfSection => CauseKind::MissingReturn,
            Code::MissingNoreturn => CauseKind::NoreturnUndeclared,
            Code::MissingSize => CauseKind::NoSize,
            Code::UnsupportedInstruction => CauseKind::CodeInFunction,
            Code::UaccessRecursive | Code::UaccessRedundant | Code::UaccessSafeDisables => CauseKind::UserAccessNotOpen,
            Code::ReturnWithUaccess => CauseKind::UserAccessLeftOpen,
            Code::CallWithUaccess => CauseKind::CallWithUserAccess,
            Code::DirectionFlagRecursive | Code::DirectionFlagRedundant => CauseKind::StrayFlagChange,
            Code::ReturnWithDirectionFlag | Code::CallWithDirectionFlag => CauseKind::DirectionFlagLeftSet,
            Code::CallLeavesNoinstr | Code::ParavirtOpNotNoinstr => CauseKind::LeavesNoinstr,
            Code::NakedReturn => CauseKind::PlainReturn,
            Code::IndirectBranch => CauseKind::PlainIndirectBranch,
            Code::MissingEndbr => CauseKind::FunctionWithoutEndbr,
            Code::BadBranchTarget => CauseKind::BadTarget,
            Code::UndecodableInstruction => CauseKind::DataInCode,
            Code::BadJumpTable => CauseKind::UnknownTable,
            Code::UnwindStackUntold
            | Code::UnwindRegisterWrong
            | Code::UnwindRowsBehindReturn
            | Code::UnwindWrongNumber
            | Code::UnwindRowMisplaced
            | Code::UnwindAdjustedElsewhere
            | Code::UnwindCfaLost
            | Code::UnwindExpressionLost
            | Code::UnwindMalformed
            | Code::UnwindTableMissing
            | Code::NotGivenBack
            | Code::RedZoneOverwritten => CauseKind::UnwindTable,
            Code::PushfStackExhausted
            | Code::UnreachableInstruction
            | Code::IgnoredFunctionReached
            | Code::RestoreWithoutSave
            | Code::RestoreBeforeSave
            | Code::ReturnWithoutUaccess
            | Code::ReturnWithInstrumentation
            | Code::IndirectCallWithoutCfi
            | Code::MissingInt3
            | Code::EarlyIndirectBranch
            | Code::ReturnBeforeUntrain
            | Code::UnretIncomplete
            | Code::NotIndirectCallTarget
            | Code::EntryWithoutEndbr
            | Code::FentryTailCall
            | Code::AlreadyProcessed
            | Code::BadStaticCall
            | Code::AbsoluteRelocation
            | Code::SymbolNameTooLong
            | Code::SuspiciousEncoding
            | Code::BadSymbol
            | Code::BadAnnotation
            | Code::BadUnwindHint
            | Code::BadSpecialEntry
            | Code::OrcUnencodable
            | Code::BadParavirtTable
            | Code::MissingBody
            | Code::BadObject => CauseKind::Unknown,
        }
    }
}
