//! What is said of each fault: its code, objtool's words and a sentence for people.
//!
//! In: a [`Fault`]; later the names of the object ([`Names`]) and the place of the finding ([`Scene`]).  Out: [`Told`].
//! Holds afterwards: every fault has all three. The match below has no `_` arm, and [`Told`] no default.

use super::{Code, Fault, Mismatch};
use super::{
    annotations, branch_tracking, flags, frame, hints, mitigations, noinstr, path, reading, sections, special,
};
use crate::cfi::CfiState;
use crate::ids::{CodeLoc, InsnId, SectionId, SymbolId};
use crate::kernel::rules::Rules;

/// What objtool's words name: the object, in the release's terms.
pub trait Names {
    /// The release.
    fn rules(&self) -> &Rules;
    /// A symbol, as the object spells it.
    fn symbol(&self, id: SymbolId) -> &str;
    /// A section.
    fn section(&self, id: SectionId) -> &str;
    /// A place, as a symbol and an offset.
    fn place(&self, at: CodeLoc) -> String;
    /// The place of an instruction.
    fn insn(&self, id: InsnId) -> String;
}

/// What a sentence for people can ask about the finding and the code around it.
pub trait Scene {
    /// A symbol, demangled.
    fn symbol(&self, id: SymbolId) -> String;
    /// A symbol's name, demangled.
    fn demangled(&self, name: &str) -> String;
    /// A section.
    fn section(&self, id: SectionId) -> &str;
    /// The section that the finding is in.
    fn own_section(&self) -> Option<SectionId>;
    /// The instruction that the finding is about, between backticks; `otherwise` where there is none.
    fn insn_or(&self, otherwise: &str) -> String;
    /// A place as a symbol and an offset, where no line would do: `f+0x1f`.
    fn symbolic(&self, at: CodeLoc) -> String;
    /// A place: `line 41`, `list.h:41`, or `.text+0x1f`.
    fn code(&self, at: CodeLoc) -> String;
    /// The first of the finding's states.
    fn state(&self) -> Option<&CfiState>;
    /// The sentence and what caused it: `...: pushed at line 193, never popped`.
    fn because(&self, sentence: String) -> String;
    /// What leaves the function, and how the frame differs from that at its start.
    fn modified(&self, what: &str) -> String;
    /// Why the frame pointer is no frame pointer in a state.
    fn missing_frame(&self, state: &CfiState) -> String;
    /// What two paths disagree about.
    fn mismatch(&self, mismatch: &Mismatch) -> String;
    /// What two arms disagree about.
    fn conflict(&self, insn: InsnId, original: InsnId) -> String;
}

type MakeWords<'a> = dyn Fn(&dyn Names) -> String + 'a;
type MakeSentence<'a> = dyn Fn(&dyn Scene) -> String + 'a;

/// objtool's words, without the place in front of them.
pub enum Words<'a> {
    /// objtool does not see the fault.
    Silent,
    /// The same in every release and for every object.
    Plain(&'static str),
    /// Words with names in them, or other words per release.
    Made(Box<MakeWords<'a>>),
}

impl Words<'_> {
    /// The words; none where objtool is silent.
    pub fn text(&self, names: &dyn Names) -> Option<String> {
        match self {
            Words::Silent => None,
            Words::Plain(text) => Some((*text).to_owned()),
            Words::Made(make) => Some(make(names)),
        }
    }
}

/// A sentence for people. It starts small and has no final dot.
pub enum Sentence<'a> {
    /// The same wherever it is.
    Plain(&'static str),
    /// A sentence with names and lines in it.
    Made(Box<MakeSentence<'a>>),
}

impl Sentence<'_> {
    /// The sentence.
    pub fn text(&self, scene: &dyn Scene) -> String {
        match self {
            Sentence::Plain(text) => (*text).to_owned(),
            Sentence::Made(make) => make(scene),
        }
    }
}

/// Words that have to be made.
pub(super) fn words<'a>(make: impl Fn(&dyn Names) -> String + 'a) -> Words<'a> {
    Words::Made(Box::new(make))
}

/// A sentence that has to be made.
pub(super) fn sentence<'a>(make: impl Fn(&dyn Scene) -> String + 'a) -> Sentence<'a> {
    Sentence::Made(Box::new(make))
}

/// `call to foo()`, `indirect call`, `call through pv_ops[3]`.
pub(super) fn call_to(scene: &dyn Scene, callee: &str) -> String {
    match callee {
        "{dynamic}" => "indirect call".to_owned(),
        slot if slot.contains('[') => format!("call through {slot}"),
        name => format!("call to {}()", scene.demangled(name)),
    }
}

/// What on the path a fault comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin<'a> {
    /// Nothing: what is at the place, or in a table, is wrong by itself.
    Here,
    /// Stack operations that nothing takes back before the function is left.
    LeftOver,
    /// Stack operations that one of two paths has and the other has not; what the states disagree about, if it is known.
    Meeting(Option<&'a Mismatch>),
    /// Whatever moved the stack pointer.
    Moves,
    /// What made the CFA depend on a register that was lost.
    LostBase,
    /// The code ends where it should not; a lost CFA may have led there.
    EndOfCode,
    /// The last `stac`.
    OpenedAccess,
    /// The last `clac`.
    ClosedAccess,
    /// The last `std`.
    SetDirection,
    /// The last `cld`.
    ClearedDirection,
}

/// All that is said of a fault.
pub struct Told<'a> {
    /// Its stable name.
    pub code: Code,
    /// What on the path it comes from.
    pub origin: Origin<'a>,
    /// What objtool prints for it.
    pub objtool: Words<'a>,
    /// What is wrong, in words and with names, and the one reason that decides it.
    pub sentence: Sentence<'a>,
}

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
            Fault::BadObject { text } => reading::bad_object(text),
        }
    }
}
