//! What can be found: the vocabulary that all stages share.
//!
//! Out: [`Fault`], one variant per entry of objtool's catalogue with the values that it is about; [`Code`], its stable
//! name; [`Finding`], a fault at a place with the way that led there.
//! Two kinds are never mixed: a *contradiction* in the code is a [`Finding`], what orcls could not judge is an
//! [`Unjudged`].

mod code;

use std::fmt;

use crate::cfi::{CfiState, Rule, StepFault};
use crate::ids::{CodeLoc, InsnId, SymbolId};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $slug:literal,)*) => {
        /// The stable name of a kind of finding.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The kebab-case name that users see.
            pub fn slug(self) -> &'static str {
                match self { $(Code::$name => $slug,)* }
            }
        }
    };
}

codes! {
    /// Two paths reach an instruction with different states.
    StackStateMismatch = "stack-state-mismatch",
    /// Two arms of an alternative disagree at a boundary of both.
    AlternativeStackConflict = "alternative-stack-conflict",
    /// A return leaves the frame changed.
    ReturnWithModifiedFrame = "return-with-modified-frame",
    /// A jump out of the function leaves the frame changed.
    SiblingCallWithModifiedFrame = "sibling-call-with-modified-frame",
    /// A call without a frame pointer, where one is required.
    CallWithoutFramePointer = "call-without-frame-pointer",
    /// The frame pointer was used for something else.
    FramePointerScratched = "frame-pointer-scratched",
    /// A stack operation where the CFA is not known.
    UndefinedStackState = "undefined-stack-state",
    /// The register that the CFA hangs on was changed in a way that can not be followed.
    UnsupportedStackRegisterModification = "unsupported-stack-register-modification",
    /// The stack pointer was aligned without a register that remembers it.
    UnsupportedStackRealignment = "unsupported-stack-realignment",
    /// A stack operation that has no rule.
    UnknownStackOperation = "unknown-stack-operation",
    /// `leave`, `call` and the like in an order that the uaccess stack can not hold.
    PushfStackExhausted = "pushf-stack-exhausted",
    /// A path leads from a function into the next one.
    FallsThrough = "falls-through",
    /// A path leads beyond the end of the section.
    UnexpectedEndOfSection = "unexpected-end-of-section",
    /// No path reaches the instruction.
    UnreachableInstruction = "unreachable-instruction",
    /// The code behind a call can only be unreachable if the callee never returns.
    MissingNoreturn = "missing-noreturn",
    /// A function symbol without a size.
    MissingSize = "missing-size",
    /// An instruction that leaves the kernel inside a callable function.
    UnsupportedInstruction = "unsupported-instruction-in-function",
    /// A path enters a function that was to be ignored.
    IgnoredFunctionReached = "ignored-function-reached",
    /// A restore hint without a save hint before it.
    RestoreWithoutSave = "hint-restore-without-save",
    /// A restore hint that is reached before its save hint.
    RestoreBeforeSave = "hint-restore-before-save",
    /// User access opened twice.
    UaccessRecursive = "uaccess-recursive-enable",
    /// User access closed though it is not open.
    UaccessRedundant = "uaccess-redundant-disable",
    /// A function that runs with user access open closes it.
    UaccessSafeDisables = "uaccess-safe-disables",
    /// A return with user access open.
    ReturnWithUaccess = "return-with-uaccess",
    /// A return with user access closed from a function that runs with it open.
    ReturnWithoutUaccess = "return-without-uaccess",
    /// A call with user access open.
    CallWithUaccess = "call-with-uaccess",
    /// The direction flag set twice.
    DirectionFlagRecursive = "direction-flag-recursive-set",
    /// The direction flag cleared though it is clear.
    DirectionFlagRedundant = "direction-flag-redundant-clear",
    /// A return with the direction flag set.
    ReturnWithDirectionFlag = "return-with-direction-flag",
    /// A call with the direction flag set.
    CallWithDirectionFlag = "call-with-direction-flag",
    /// A call from noinstr code to code that may be instrumented.
    CallLeavesNoinstr = "call-leaves-noinstr",
    /// A return while instrumentation is allowed.
    ReturnWithInstrumentation = "return-with-instrumentation",
    /// A paravirt operation that noinstr code must not reach.
    ParavirtOpNotNoinstr = "paravirt-op-not-noinstr",
    /// A plain return in a build that needs return thunks.
    NakedReturn = "naked-return",
    /// An indirect branch in a build that needs retpolines.
    IndirectBranch = "indirect-branch",
    /// An indirect call without a kernel CFI check before it.
    IndirectCallWithoutCfi = "indirect-call-without-cfi",
    /// No `int3` behind a return or an indirect jump.
    MissingInt3 = "missing-int3",
    /// An indirect branch before the return predictor was untrained.
    EarlyIndirectBranch = "unret-early-indirect-branch",
    /// A return before the return predictor was untrained.
    ReturnBeforeUntrain = "unret-return-before-untrain",
    /// A path that the untraining check could not follow to its end.
    UnretIncomplete = "unret-incomplete",
    /// The address of code that does not start with `endbr` is taken.
    MissingEndbr = "missing-endbr",
    /// A module's init or exit function can not be called indirectly.
    NotIndirectCallTarget = "not-indirect-call-target",
    /// An interrupt entry hint without `endbr`.
    EntryWithoutEndbr = "entry-without-endbr",
    /// A jump to `__fentry__`.
    FentryTailCall = "fentry-tail-call",
    /// The object has a section that objtool was to create.
    AlreadyProcessed = "already-processed",
    /// A static call whose symbols are not as they must be.
    BadStaticCall = "bad-static-call",
    /// An absolute relocation where none may be.
    AbsoluteRelocation = "absolute-relocation",
    /// A symbol name too long for its prefix symbol.
    SymbolNameTooLong = "symbol-name-too-long",
    /// Bytes that are no instruction.
    UndecodableInstruction = "undecodable-instruction",
    /// An instruction whose encoding the kernel does not want.
    SuspiciousEncoding = "suspicious-encoding",
    /// A symbol that does not start at an instruction.
    BadSymbol = "bad-symbol",
    /// An annotation that points nowhere or at the wrong instruction.
    BadAnnotation = "bad-annotation",
    /// An unwind hint that can not be read.
    BadUnwindHint = "bad-unwind-hint",
    /// An entry of an alternatives, jump label or exception table that can not be read.
    BadSpecialEntry = "bad-special-entry",
    /// A jump or call to a place where no code is.
    BadBranchTarget = "bad-branch-target",
    /// A jump table that could not be found or read.
    BadJumpTable = "bad-jump-table",
    /// A state that the ORC format can not express.
    OrcUnencodable = "orc-unencodable",
    /// The object as a whole can not be analysed.
    BadObject = "bad-object",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.slug())
    }
}

impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(self.slug())
    }
}

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

/// One entry of objtool's catalogue, with its values. the module `wording` has each release's text.
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
    CfiMissing,
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
        section: Option<crate::ids::SectionId>,
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
        section: crate::ids::SectionId,
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
    UnexpectedMachine {
        machine: u16,
    },
    Undecodable {
        section: crate::ids::SectionId,
        offset: u64,
    },
    NoStartingInsn {
        symbol: SymbolId,
    },
    FunctionAtSectionEnd {
        symbol: SymbolId,
    },
    InvalidLea {
        section: crate::ids::SectionId,
        offset: u64,
    },
    Enqcmd {
        section: crate::ids::SectionId,
        offset: u64,
    },
    Notrack {
        section: crate::ids::SectionId,
        offset: u64,
    },
    NoParentFunction {
        symbol: SymbolId,
    },
    ParentNameTooLong {
        symbol: SymbolId,
        limit: u32,
    },
    UnexpectedRelocSymbolType {
        section: String,
        kind: Option<u8>,
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
        section: String,
        offset: u64,
        symbolic: String,
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
    /// The object can not be analysed at all; objtool's words for it.
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

/// How objtool prints a finding.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// `warning: objtool: ...`
    Warning,
    /// `error: objtool: ...`
    Error,
}

/// One line that objtool prints, without the object's name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjtoolLine {
    /// Warning or error.
    pub level: Level,
    /// The text behind `objtool: `.
    pub text: String,
}

impl fmt::Display for ObjtoolLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Warning => "warning",
            Level::Error => "error",
        };
        write!(f, "{level}: objtool: {}", self.text)
    }
}

/// Why a step stands on the way to a finding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StepKind {
    /// The way starts here: a function or a hint.
    Start,
    /// A conditional jump that was taken.
    Taken,
    /// A conditional jump that was not taken.
    NotTaken,
    /// An unconditional jump.
    Jump,
    /// An entry of a jump table.
    TableEntry,
    /// An arm of an alternative was entered.
    Arm,
    /// An instruction faulted and its fix-up was entered.
    Fixup,
    /// A static branch, in its other state.
    StaticBranch,
    /// A stack operation that nothing on the way takes back: the cause of a difference.
    Cause,
    /// Next to here a stack operation is missing: the other way has it, or what `to` takes was never put.
    Missing,
    /// A `pop` that takes the slot of another register.
    Misplaced,
    /// From here to the end of the way something has to give back what is left.
    Open,
    /// A stack operation on the way; nothing is known against it.
    Move,
}

/// A step of the way to a finding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// What happens there.
    pub kind: StepKind,
    /// The instruction.
    pub insn: InsnId,
    /// Where the step leads, if not to the next instruction.
    pub to: Option<InsnId>,
    /// Bytes by which the stack grows there (`Cause`, `Missing`); negative where it shrinks.
    pub bytes: i32,
}

/// A state, and the instruction and the way at which it holds.
#[derive(Clone, PartialEq, Debug)]
pub struct StateAt {
    /// The instruction before which the state holds.
    pub insn: InsnId,
    /// The state.
    pub state: CfiState,
    /// The branches taken from the start of the function to get there with this state.
    pub trail: Vec<Step>,
}

/// A contradiction in the code.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    /// What it is.
    pub fault: Fault,
    /// Where it is; `None` when it is about the object or about a symbol as a whole.
    pub at: Option<CodeLoc>,
    /// The instruction there, if there is one.
    pub insn: Option<InsnId>,
    /// The function or other symbol that the instruction belongs to.
    pub function: Option<SymbolId>,
    /// The states that the finding is about: one, or the two that disagree (the recorded one first).
    pub states: Vec<StateAt>,
    /// The stack operations that make up the difference, in path order.
    pub cause: Vec<Step>,
    /// What objtool prints for it; `None` where objtool has stopped before or stays silent.
    pub objtool: Option<ObjtoolLine>,
}

/// Something orcls could not judge, and why. Never an accusation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unjudged {
    /// The part of the object that was left out.
    pub what: String,
    /// The reason.
    pub why: String,
}
