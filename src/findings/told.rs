//! What is said of each fault: one row for each.
//!
//! In: a [`Fault`].  Out: [`Told`], put together by the functions of its family.
//! Holds afterwards: every fault has all parts. The match below has no `_` arm.

use super::parts::Told;
use super::{Code, Fault};
use super::{
    annotations, branch_tracking, flags, frame, hints, mitigations, noinstr, path, reading, sections, special,
};

impl Fault {
    /// The stable name of this kind of finding.
    pub fn code(&self) -> Code {
        self.told().code
    }

    /// What is said of it.
    pub fn told(&self) -> Told<'_> {
        match self {
            Fault::UndefinedStackState => frame::undefined_stack_state(),
            Fault::UnsupportedStackRegisterModification => frame::unsupported_register_modification(),
            Fault::UnsupportedStackRealignment => frame::unsupported_realignment(),
            Fault::UnknownStackInsn => frame::unknown_insn(),
            Fault::UnknownStackMemoryOperation => frame::unknown_memory_operation(),
            Fault::AlternativeStackConflict { insn, original } => frame::alternative_conflict(*insn, *original),
            Fault::PushfStackExhausted => frame::pushf_stack_exhausted(),
            Fault::StackStateMismatch(mismatch) => frame::state_mismatch(mismatch),
            Fault::CallWithoutFramePointer => frame::call_without_frame_pointer(),
            Fault::SiblingCallWithModifiedFrame => frame::sibling_call_with_modified_frame(),
            Fault::ReturnWithModifiedFrame => frame::return_with_modified_frame(),
            Fault::FramePointerScratched => frame::frame_pointer_scratched(),

            Fault::FallsThrough { from, to } => path::falls_through(*from, *to),
            Fault::UnexpectedEndOfSection { function, section } => path::end_of_section(*function, *section),
            Fault::IgnoredFunctionReached => path::ignored_function_reached(),
            Fault::UnsupportedInstruction => path::unsupported_instruction(),
            Fault::MissingSize { symbol } => path::missing_size(*symbol),
            Fault::MissingBody { symbol } => path::missing_body(*symbol),
            Fault::Unreachable => path::unreachable(),
            Fault::MissingNoreturn { callee } => path::missing_noreturn(*callee),
            Fault::IntraCallWithoutDest { section, offset } => path::intra_call_without_dest(section, *offset),
            Fault::UnannotatedIntraCall => path::unannotated_intra_call(),
            Fault::CallToNonFunction => path::call_to_non_function(),
            Fault::CallWithoutDest { section, offset } => path::call_without_dest(section, *offset),
            Fault::JumpWithoutDest { target } => path::jump_without_dest(*target),
            Fault::NoJumpTable => path::no_jump_table(),
            Fault::JumpTableQuirk => path::jump_table_quirk(),
            Fault::FentryTailCall => path::fentry_tail_call(),

            Fault::RestoreWithoutSave => hints::restore_without_save(),
            Fault::RestoreBeforeSave => hints::restore_before_save(),
            Fault::HintsMissingRelocs => hints::missing_relocs(),
            Fault::HintsBadSize => hints::bad_size(),
            Fault::HintWithoutReloc { index } => hints::without_reloc(*index),
            Fault::HintWithoutInsn { index } => hints::without_insn(*index),
            Fault::HintBadRegister { register } => hints::bad_register(*register),
            Fault::HintAtWrongSymbol => hints::at_wrong_symbol(),
            Fault::UnknownCfaBase { base } => hints::unknown_cfa_base(*base),
            Fault::UnknownBpBase { base } => hints::unknown_bp_base(*base),
            Fault::UnknownHintType { kind } => hints::unknown_type(*kind),

            Fault::UaccessRecursive => flags::uaccess_recursive(),
            Fault::UaccessRedundant => flags::uaccess_redundant(),
            Fault::UaccessSafeDisables => flags::uaccess_safe_disables(),
            Fault::DirectionFlagRecursive => flags::direction_recursive(),
            Fault::DirectionFlagRedundant => flags::direction_redundant(),
            Fault::ReturnWithUaccess => flags::return_with_uaccess(),
            Fault::ReturnWithoutUaccess => flags::return_without_uaccess(),
            Fault::ReturnWithDirectionFlag => flags::return_with_direction(),
            Fault::CallWithUaccess { callee } => flags::call_with_uaccess(callee),
            Fault::CallWithDirectionFlag { callee } => flags::call_with_direction(callee),

            Fault::ReturnWithInstrumentation => noinstr::return_with_instrumentation(),
            Fault::CallLeavesNoinstr { callee } => noinstr::call_leaves(callee),
            Fault::ParavirtOp { slot, target } => noinstr::paravirt_op(*slot, *target),
            Fault::ParavirtConfusion => noinstr::paravirt_confusion(),
            Fault::ParavirtStoreUnknown => noinstr::paravirt_store_unknown(),
            Fault::ParavirtTableUnknown { table, slot } => noinstr::paravirt_table_unknown(table, *slot),

            Fault::NakedReturn => mitigations::naked_return(),
            Fault::IndirectBranch { call } => mitigations::indirect_branch(*call),
            Fault::IndirectCallWithoutCfi => mitigations::indirect_call_without_cfi(),
            Fault::MissingInt3 { ret } => mitigations::missing_int3(*ret),
            Fault::EarlyIndirectBranch => mitigations::early_indirect_branch(),
            Fault::ReturnBeforeUntrain => mitigations::return_before_untrain(),
            Fault::UnresolvedJumpAfterLink => mitigations::unresolved_jump(),
            Fault::UnresolvedFunctionAfterLink { symbol } => mitigations::unresolved_function(*symbol),
            Fault::UnretEnd => mitigations::unret_end(),
            Fault::UnretFailed => mitigations::unret_failed(),

            Fault::RelocationToNonEndbr { target } => branch_tracking::relocation(*target),
            Fault::DataRelocationToNonEndbr { target } => branch_tracking::data_relocation(*target),
            Fault::CorruptFunctionPointer => branch_tracking::corrupt_function_pointer(),
            Fault::IretHintWithoutEndbr => branch_tracking::entry_without_endbr(),
            Fault::NotIndirectCallTarget { name } => branch_tracking::not_indirect_call_target(name),
            Fault::MagicModuleName { name } => branch_tracking::magic_module_name(name),

            Fault::SectionExists { section } => sections::exists(section),
            Fault::StaticCallTrampolineName { name } => sections::static_call_trampoline(name),
            Fault::StaticCallKeyMissing { name } => sections::static_call_key(name),
            Fault::AbsoluteRelocation { section, offset } => sections::absolute_relocation(*section, *offset),
            Fault::AbsoluteAddressInList { list, offset } => sections::absolute_address_in_list(list, *offset),
            Fault::PrefixNameTooLong { name } => sections::prefix_name_too_long(name),

            Fault::IgnoredListAtWrongSymbol { section, kind } => annotations::ignored_at_wrong_symbol(section, *kind),
            Fault::AnnotationAtWrongSymbol { section } => annotations::at_wrong_symbol(section),
            Fault::BadAnnotationEntry { section } => annotations::bad_entry(section),
            Fault::AnnotateInsnMissingRelocs => annotations::missing_relocs(),
            Fault::BadAnnotateInsnEntry { index, kind } => annotations::bad_insn_entry(*index, *kind),
            Fault::UnknownAnnotation { kind } => annotations::unknown(*kind),
            Fault::DodgyNocfi => annotations::dodgy_nocfi(),
            Fault::DodgyEntsize { section } => annotations::dodgy_entsize(section),
            Fault::ReachableWithoutInsn { section, offset, reachable } => {
                annotations::reachable_without_insn(section, *offset, *reachable)
            }
            Fault::RetpolineSafeNotIndirect => annotations::retpoline_safe_not_indirect(),
            Fault::IntraCallNotCall => annotations::intra_call_not_call(),

            Fault::SpecialBadSize { section, entry } => special::bad_size(section, *entry),
            Fault::SpecialWithoutReloc { which } => special::without_reloc(which),
            Fault::SpecialWithoutInsn { which } => special::without_insn(which),
            Fault::SpecialRelocation => special::relocation(),
            Fault::SpecialJumpWithoutDest => special::jump_without_dest(),
            Fault::SpecialWithoutLastInsn => special::without_last_insn(),
            Fault::JumpLabelInsn => special::jump_label_insn(),
            Fault::WeirdOverlap { actual, expected } => special::weird_overlap(*actual, *expected),
            Fault::EmptyAlternative => special::empty_alternative(),
            Fault::ReplacementTooLong { actual, room } => special::replacement_too_long(*actual, *room),

            Fault::Undecodable { section, offset } => reading::undecodable(*section, *offset),
            Fault::NoStartingInsn { symbol } => reading::no_starting_insn(*symbol),
            Fault::FunctionAtSectionEnd { symbol } => reading::function_at_section_end(*symbol),
            Fault::InvalidLea { section, offset } => reading::invalid_lea(*section, *offset),
            Fault::Enqcmd { section, offset } => reading::enqcmd(*section, *offset),
            Fault::Notrack { section, offset } => reading::notrack(*section, *offset),
            Fault::NoParentFunction { symbol } => reading::no_parent_function(*symbol),
            Fault::ParentNameTooLong { symbol, limit } => reading::parent_name_too_long(*symbol, *limit),
            Fault::SymbolNameOutside => reading::symbol_name_outside(),
            Fault::BadObject { text } => reading::bad_object(text),
        }
    }
}
