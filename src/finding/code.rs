//! Which code each fault has.
//!
//! In: [`Fault`].  Out: [`Code`].

use super::{Code, Fault};

impl Fault {
    /// The stable name of this kind of finding.
    pub fn code(&self) -> Code {
        self.code_on_path().unwrap_or_else(|| self.code_of_object())
    }

    /// Faults that paths have.
    fn code_on_path(&self) -> Option<Code> {
        Some(match self {
            Fault::UndefinedStackState => Code::UndefinedStackState,
            Fault::UnsupportedStackRegisterModification => Code::UnsupportedStackRegisterModification,
            Fault::UnsupportedStackRealignment => Code::UnsupportedStackRealignment,
            Fault::UnknownStackInsn | Fault::UnknownStackMemoryOperation | Fault::CfiMissing => {
                Code::UnknownStackOperation
            }
            Fault::AlternativeStackConflict { .. } => Code::AlternativeStackConflict,
            Fault::PushfStackExhausted => Code::PushfStackExhausted,
            Fault::StackStateMismatch(_) => Code::StackStateMismatch,
            Fault::FallsThrough { .. } => Code::FallsThrough,
            Fault::IgnoredFunctionReached => Code::IgnoredFunctionReached,
            Fault::RestoreWithoutSave => Code::RestoreWithoutSave,
            Fault::RestoreBeforeSave => Code::RestoreBeforeSave,
            Fault::CallWithoutFramePointer => Code::CallWithoutFramePointer,
            Fault::SiblingCallWithModifiedFrame => Code::SiblingCallWithModifiedFrame,
            Fault::UnsupportedInstruction => Code::UnsupportedInstruction,
            Fault::UaccessRecursive => Code::UaccessRecursive,
            Fault::UaccessRedundant => Code::UaccessRedundant,
            Fault::UaccessSafeDisables => Code::UaccessSafeDisables,
            Fault::DirectionFlagRecursive => Code::DirectionFlagRecursive,
            Fault::DirectionFlagRedundant => Code::DirectionFlagRedundant,
            Fault::UnexpectedEndOfSection { .. } => Code::UnexpectedEndOfSection,
            Fault::ReturnWithInstrumentation => Code::ReturnWithInstrumentation,
            Fault::ReturnWithUaccess => Code::ReturnWithUaccess,
            Fault::ReturnWithoutUaccess => Code::ReturnWithoutUaccess,
            Fault::ReturnWithDirectionFlag => Code::ReturnWithDirectionFlag,
            Fault::ReturnWithModifiedFrame => Code::ReturnWithModifiedFrame,
            Fault::FramePointerScratched => Code::FramePointerScratched,
            Fault::CallLeavesNoinstr { .. } => Code::CallLeavesNoinstr,
            Fault::CallWithUaccess { .. } => Code::CallWithUaccess,
            Fault::CallWithDirectionFlag { .. } => Code::CallWithDirectionFlag,
            Fault::ParavirtOp { .. } => Code::ParavirtOpNotNoinstr,
            Fault::MissingSize { .. } => Code::MissingSize,
            Fault::Unreachable => Code::UnreachableInstruction,
            Fault::MissingNoreturn { .. } => Code::MissingNoreturn,
            Fault::EarlyIndirectBranch => Code::EarlyIndirectBranch,
            Fault::ReturnBeforeUntrain => Code::ReturnBeforeUntrain,
            Fault::UnresolvedJumpAfterLink
            | Fault::UnresolvedFunctionAfterLink { .. }
            | Fault::UnretEnd
            | Fault::UnretFailed => Code::UnretIncomplete,
            _ => return None,
        })
    }

    /// Faults of single instructions, of tables and of the object.
    fn code_of_object(&self) -> Code {
        match self {
            Fault::NakedReturn => Code::NakedReturn,
            Fault::IndirectBranch { .. } => Code::IndirectBranch,
            Fault::IndirectCallWithoutCfi => Code::IndirectCallWithoutCfi,
            Fault::MissingInt3 { .. } => Code::MissingInt3,
            Fault::RelocationToNonEndbr { .. }
            | Fault::DataRelocationToNonEndbr { .. }
            | Fault::CorruptFunctionPointer => Code::MissingEndbr,
            Fault::IretHintWithoutEndbr => Code::EntryWithoutEndbr,
            Fault::NotIndirectCallTarget { .. } | Fault::MagicModuleName { .. } => Code::NotIndirectCallTarget,
            Fault::FentryTailCall => Code::FentryTailCall,
            Fault::SectionExists { .. } => Code::AlreadyProcessed,
            Fault::StaticCallTrampolineName { .. } | Fault::StaticCallKeyMissing { .. } => Code::BadStaticCall,
            Fault::AbsoluteRelocation { .. } | Fault::AbsoluteAddressInList { .. } => Code::AbsoluteRelocation,
            Fault::PrefixNameTooLong { .. } => Code::SymbolNameTooLong,
            Fault::Undecodable { .. } => Code::UndecodableInstruction,
            Fault::InvalidLea { .. } | Fault::Enqcmd { .. } | Fault::Notrack { .. } => Code::SuspiciousEncoding,
            Fault::NoStartingInsn { .. }
            | Fault::FunctionAtSectionEnd { .. }
            | Fault::NoParentFunction { .. }
            | Fault::ParentNameTooLong { .. } => Code::BadSymbol,
            Fault::BadAnnotationEntry { .. }
            | Fault::AnnotateInsnMissingRelocs
            | Fault::BadAnnotateInsnEntry { .. }
            | Fault::UnknownAnnotation { .. }
            | Fault::DodgyNocfi
            | Fault::ReachableWithoutInsn { .. }
            | Fault::RetpolineSafeNotIndirect
            | Fault::IntraCallNotCall
            | Fault::UnannotatedIntraCall
            | Fault::CallToNonFunction => Code::BadAnnotation,
            Fault::HintsMissingRelocs
            | Fault::HintsBadSize
            | Fault::HintWithoutReloc { .. }
            | Fault::HintWithoutInsn { .. }
            | Fault::HintBadRegister { .. } => Code::BadUnwindHint,
            Fault::SpecialBadSize { .. }
            | Fault::SpecialWithoutReloc { .. }
            | Fault::SpecialWithoutInsn { .. }
            | Fault::SpecialRelocation
            | Fault::SpecialJumpWithoutDest
            | Fault::SpecialWithoutLastInsn
            | Fault::JumpLabelInsn
            | Fault::WeirdOverlap { .. }
            | Fault::EmptyAlternative => Code::BadSpecialEntry,
            Fault::IntraCallWithoutDest { .. } | Fault::CallWithoutDest { .. } | Fault::JumpWithoutDest { .. } => {
                Code::BadBranchTarget
            }
            Fault::NoJumpTable | Fault::JumpTableQuirk => Code::BadJumpTable,
            Fault::UnknownCfaBase { .. } | Fault::UnknownBpBase { .. } | Fault::UnknownHintType { .. } => {
                Code::OrcUnencodable
            }
            _ => Code::BadObject,
        }
    }
}
