//! The list of all codes: how serious each is and what it breaks. Everything else is on its page.

use super::Severity::{Error, Warning};
use super::Stake::{Checking, LivePatching, Mitigation, Running, Tracing, Unwinding};
use super::{Code, Entry};

macro_rules! table {
    ($($code:ident = $slug:literal, $severity:expr, [$($stake:expr),*];)*) => {
        /// The entry of `code`.
        pub(super) fn entry(code: Code) -> Entry {
            match code {
                $(Code::$code => Entry {
                    code,
                    severity: $severity,
                    stakes: &[$($stake),*],
                    page: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/findings/", $slug, ".md")),
                },)*
            }
        }
    };
}

table! {
    StackStateMismatch = "stack-state-mismatch", Error, [Unwinding, LivePatching];
    AlternativeStackConflict = "alternative-stack-conflict", Error, [Unwinding, LivePatching];
    ReturnWithModifiedFrame = "return-with-modified-frame", Error, [Running, Unwinding];
    SiblingCallWithModifiedFrame = "sibling-call-with-modified-frame", Error, [Running, Unwinding];
    CallWithoutFramePointer = "call-without-frame-pointer", Warning, [Unwinding, LivePatching];
    FramePointerScratched = "frame-pointer-scratched", Warning, [Unwinding];
    UndefinedStackState = "undefined-stack-state", Error, [Unwinding, Checking];
    UnsupportedStackRegisterModification = "unsupported-stack-register-modification", Error, [Unwinding, Checking];
    UnsupportedStackRealignment = "unsupported-stack-realignment", Error, [Unwinding, Checking];
    UnknownStackOperation = "unknown-stack-operation", Error, [Unwinding, Checking];
    PushfStackExhausted = "pushf-stack-exhausted", Warning, [Checking];
    FallsThrough = "falls-through", Error, [Running, Unwinding];
    UnexpectedEndOfSection = "unexpected-end-of-section", Error, [Running, Unwinding];
    UnreachableInstruction = "unreachable-instruction", Warning, [Unwinding];
    MissingNoreturn = "missing-noreturn", Warning, [Unwinding, Checking];
    MissingSize = "missing-size", Warning, [Unwinding, LivePatching, Checking];
    UnsupportedInstruction = "unsupported-instruction-in-function", Error, [Unwinding, Checking];
    IgnoredFunctionReached = "ignored-function-reached", Warning, [Unwinding];
    RestoreWithoutSave = "hint-restore-without-save", Error, [Unwinding];
    RestoreBeforeSave = "hint-restore-before-save", Error, [Unwinding];
    UaccessRecursive = "uaccess-recursive-enable", Warning, [Mitigation];
    UaccessRedundant = "uaccess-redundant-disable", Warning, [Mitigation];
    UaccessSafeDisables = "uaccess-safe-disables", Error, [Running, Mitigation];
    ReturnWithUaccess = "return-with-uaccess", Error, [Mitigation];
    ReturnWithoutUaccess = "return-without-uaccess", Error, [Running];
    CallWithUaccess = "call-with-uaccess", Error, [Mitigation];
    DirectionFlagRecursive = "direction-flag-recursive-set", Warning, [Running];
    DirectionFlagRedundant = "direction-flag-redundant-clear", Warning, [Running];
    ReturnWithDirectionFlag = "return-with-direction-flag", Error, [Running];
    CallWithDirectionFlag = "call-with-direction-flag", Error, [Running];
    CallLeavesNoinstr = "call-leaves-noinstr", Error, [Running];
    ReturnWithInstrumentation = "return-with-instrumentation", Warning, [Running];
    ParavirtOpNotNoinstr = "paravirt-op-not-noinstr", Warning, [Running];
    NakedReturn = "naked-return", Error, [Mitigation];
    IndirectBranch = "indirect-branch", Error, [Mitigation];
    IndirectCallWithoutCfi = "indirect-call-without-cfi", Error, [Mitigation];
    MissingInt3 = "missing-int3", Warning, [Mitigation];
    EarlyIndirectBranch = "unret-early-indirect-branch", Error, [Mitigation];
    ReturnBeforeUntrain = "unret-return-before-untrain", Error, [Mitigation];
    UnretIncomplete = "unret-incomplete", Warning, [Checking, Mitigation];
    MissingEndbr = "missing-endbr", Error, [Running];
    NotIndirectCallTarget = "not-indirect-call-target", Error, [Running];
    EntryWithoutEndbr = "entry-without-endbr", Error, [Running];
    FentryTailCall = "fentry-tail-call", Warning, [Tracing];
    AlreadyProcessed = "already-processed", Warning, [Checking];
    BadStaticCall = "bad-static-call", Error, [Running, Checking];
    AbsoluteRelocation = "absolute-relocation", Error, [Running];
    SymbolNameTooLong = "symbol-name-too-long", Warning, [Unwinding];
    UndecodableInstruction = "undecodable-instruction", Error, [Checking, Unwinding];
    SuspiciousEncoding = "suspicious-encoding", Warning, [Running];
    BadSymbol = "bad-symbol", Error, [Checking];
    BadAnnotation = "bad-annotation", Error, [Checking];
    BadUnwindHint = "bad-unwind-hint", Error, [Checking, Unwinding];
    BadSpecialEntry = "bad-special-entry", Error, [Running, Checking];
    BadBranchTarget = "bad-branch-target", Error, [Running, Checking];
    BadJumpTable = "bad-jump-table", Warning, [Unwinding, Checking];
    OrcUnencodable = "orc-unencodable", Error, [Unwinding];
    BadObject = "bad-object", Error, [Checking];
}
