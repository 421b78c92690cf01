//! Everything that can be wrong, with the values that it is about.
//!
//! In: what a stage saw.  Out: [`Fault`], one variant per entry of objtool's catalogue; [`super::Told`] is what is said of
//! each.

use crate::cfi::{Rule, StepFault};
use crate::ids::{CodeLoc, InsnId, SectionId, SymbolId};

/// What two states disagree about, the recorded one first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mismatch {
    /// How the CFA is computed.
    Cfa(Rule, Rule),
    /// Where the register with this number is saved.
    Register(u8, Rule, Rule),
    /// The kind of frame.
    Type(u8, u8),
    /// The realignment register: flag, register, offset.
    Drap((bool, i32, i32), (bool, i32, i32)),
}

/// One entry of objtool's catalogue, with its values. [`Fault::told`] has what is said of it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the variants are named by their codes and documented there")]
pub enum Fault {
    // The walk.
    UndefinedStackState,
    UnsupportedStackRegisterModification,
    UnsupportedStackRealignment,
    UnknownStackInsn,
    UnknownStackMemoryOperation,
    /// The two instructions that meet at one offset: the conflicting one, and who came first.
    AlternativeStackConflict {
        insn: InsnId,
        original: InsnId,
    },
    PushfStackExhausted,
    StackStateMismatch(Mismatch),
    FallsThrough {
        from: SymbolId,
        to: SymbolId,
    },
    IgnoredFunctionReached,
    RestoreWithoutSave,
    RestoreBeforeSave,
    CallWithoutFramePointer,
    SiblingCallWithModifiedFrame,
    UnsupportedInstruction,
    UaccessRecursive,
    UaccessRedundant,
    UaccessSafeDisables,
    DirectionFlagRecursive,
    DirectionFlagRedundant,
    UnexpectedEndOfSection {
        function: Option<SymbolId>,
        section: Option<SectionId>,
    },
    ReturnWithInstrumentation,
    ReturnWithUaccess,
    ReturnWithoutUaccess,
    ReturnWithDirectionFlag,
    ReturnWithModifiedFrame,
    FramePointerScratched,
    /// The callee's name, or `None` for an indirect call.
    CallLeavesNoinstr {
        callee: String,
    },
    CallWithUaccess {
        callee: String,
    },
    CallWithDirectionFlag {
        callee: String,
    },
    ParavirtOp {
        slot: i64,
        target: SymbolId,
    },
    MissingSize {
        symbol: SymbolId,
    },
    /// Of a Rust function nothing but a trap is left; objtool has nothing against that.
    MissingBody {
        symbol: SymbolId,
    },
    Unreachable,
    MissingNoreturn {
        callee: SymbolId,
    },
    // Other passes.
    NakedReturn,
    IndirectBranch {
        call: bool,
    },
    IndirectCallWithoutCfi,
    MissingInt3 {
        ret: bool,
    },
    EarlyIndirectBranch,
    ReturnBeforeUntrain,
    UnresolvedJumpAfterLink,
    UnresolvedFunctionAfterLink {
        symbol: SymbolId,
    },
    UnretEnd,
    UnretFailed,
    RelocationToNonEndbr {
        target: CodeLoc,
    },
    DataRelocationToNonEndbr {
        target: CodeLoc,
    },
    CorruptFunctionPointer,
    IretHintWithoutEndbr,
    NotIndirectCallTarget {
        name: String,
    },
    MagicModuleName {
        name: String,
    },
    FentryTailCall,
    SectionExists {
        section: &'static str,
    },
    StaticCallTrampolineName {
        name: String,
    },
    StaticCallKeyMissing {
        name: String,
    },
    AbsoluteRelocation {
        section: SectionId,
        offset: u64,
    },
    /// In a list that objtool adds.
    AbsoluteAddressInList {
        list: &'static str,
        offset: u64,
    },
    PrefixNameTooLong {
        name: String,
    },
    // Reading and preparation.
    Undecodable {
        section: SectionId,
        offset: u64,
    },
    NoStartingInsn {
        symbol: SymbolId,
    },
    FunctionAtSectionEnd {
        symbol: SymbolId,
    },
    InvalidLea {
        section: SectionId,
        offset: u64,
    },
    Enqcmd {
        section: SectionId,
        offset: u64,
    },
    Notrack {
        section: SectionId,
        offset: u64,
    },
    NoParentFunction {
        symbol: SymbolId,
    },
    ParentNameTooLong {
        symbol: SymbolId,
        limit: u32,
    },
    /// The list of ignored functions names a symbol that is neither a function nor a section.
    IgnoredListAtWrongSymbol {
        section: &'static str,
        kind: u8,
    },
    /// An annotation against a symbol that is neither a section's nor a local label.
    AnnotationAtWrongSymbol {
        section: String,
    },
    BadAnnotationEntry {
        section: &'static str,
    },
    AnnotateInsnMissingRelocs,
    BadAnnotateInsnEntry {
        index: u64,
        kind: i32,
    },
    UnknownAnnotation {
        kind: i32,
    },
    DodgyNocfi,
    DodgyEntsize {
        section: String,
    },
    HintsMissingRelocs,
    HintsBadSize,
    HintWithoutReloc {
        index: u64,
    },
    HintWithoutInsn {
        index: u64,
    },
    /// A hint against a symbol that is neither a section's nor a local label.
    HintAtWrongSymbol,
    HintBadRegister {
        register: u8,
    },
    ReachableWithoutInsn {
        section: String,
        offset: u64,
        reachable: bool,
    },
    RetpolineSafeNotIndirect,
    IntraCallNotCall,
    IntraCallWithoutDest {
        section: String,
        offset: u64,
    },
    UnannotatedIntraCall,
    CallToNonFunction,
    CallWithoutDest {
        section: String,
        offset: u64,
    },
    JumpWithoutDest {
        target: CodeLoc,
    },
    SpecialBadSize {
        section: &'static str,
        entry: u64,
    },
    SpecialWithoutReloc {
        which: &'static str,
    },
    SpecialWithoutInsn {
        which: &'static str,
    },
    SpecialRelocation,
    SpecialJumpWithoutDest,
    SpecialWithoutLastInsn,
    JumpLabelInsn,
    WeirdOverlap {
        actual: i64,
        expected: i64,
    },
    EmptyAlternative,
    NoJumpTable,
    JumpTableQuirk,
    UnknownCfaBase {
        base: i32,
    },
    UnknownBpBase {
        base: i32,
    },
    UnknownHintType {
        kind: u8,
    },
    /// A replacement that the kernel could not patch in; objtool writes beyond its table and says nothing.
    ReplacementTooLong {
        actual: u32,
        room: u32,
    },
    ParavirtConfusion,
    ParavirtStoreUnknown,
    ParavirtTableUnknown {
        table: &'static str,
        slot: i64,
    },
    /// A symbol's name is outside of the string table.
    SymbolNameOutside,
    /// The object cannot be analysed at all; objtool's words for it.
    BadObject {
        text: String,
    },
}

impl From<StepFault> for Fault {
    fn from(fault: StepFault) -> Fault {
        match fault {
            StepFault::UndefinedStackState => Fault::UndefinedStackState,
            StepFault::UnknownStackInsn => Fault::UnknownStackInsn,
            StepFault::UnknownStackMemoryOperation => Fault::UnknownStackMemoryOperation,
            StepFault::UnsupportedStackRegisterModification => Fault::UnsupportedStackRegisterModification,
            StepFault::UnsupportedStackRealignment => Fault::UnsupportedStackRealignment,
        }
    }
}
