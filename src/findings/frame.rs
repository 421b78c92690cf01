//! The stack frame: what is left over, what disagrees, what cannot be followed.

use super::parts::{sentence, words};
use super::{Code, Mismatch, Origin, Sentence, Told, Words};
use crate::cfi::{Base, Rule};
use crate::ids::InsnId;

/// A stack operation where the CFA is unknown.
pub(super) fn undefined_stack_state() -> Told<'static> {
    Told {
        code: Code::UndefinedStackState,
        origin: Origin::LostBase,
        objtool: Words::Plain("undefined stack state"),
        sentence: sentence(move |s| s.because(format!("the CFA is unknown at {}", s.insn_or("this instruction")))),
    }
}

/// The register that the CFA depends on got a value that is not followed.
pub(super) fn unsupported_register_modification() -> Told<'static> {
    Told {
        code: Code::UnsupportedStackRegisterModification,
        origin: Origin::LostBase,
        objtool: Words::Plain("unsupported stack register modification"),
        sentence: sentence(|s| match s.state().map(|state| state.cfa) {
            Some(cfa) if cfa.base != Base::UNDEFINED => format!(
                "{} changes {}, the CFA register (CFA {}), in a way that objtool does not follow",
                s.insn_or("this"),
                cfa.base.name(),
                cfa
            ),
            _ => "the CFA register is changed in a way that objtool does not follow".to_owned(),
        }),
    }
}

/// `rsp` was aligned, and its old value is nowhere.
pub(super) fn unsupported_realignment() -> Told<'static> {
    Told {
        code: Code::UnsupportedStackRealignment,
        origin: Origin::Moves,
        objtool: Words::Plain("unsupported stack pointer realignment"),
        sentence: Sentence::Plain("rsp is aligned, but neither rbp nor a DRAP register holds its old value"),
    }
}

/// A stack operation without a rule.
pub(super) fn unknown_insn() -> Told<'static> {
    Told {
        code: Code::UnknownStackOperation,
        origin: Origin::Here,
        objtool: Words::Plain("unknown stack-related instruction"),
        sentence: sentence(move |s| format!("{} changes the stack in a way that has no rule", s.insn_or("this"))),
    }
}

/// A write to the stack without a rule.
pub(super) fn unknown_memory_operation() -> Told<'static> {
    Told {
        code: Code::UnknownStackOperation,
        origin: Origin::Here,
        objtool: Words::Plain("unknown stack-related memory operation"),
        sentence: sentence(move |s| format!("{} writes to the stack in a way that has no rule", s.insn_or("this"))),
    }
}

/// Two arms of an alternative disagree at one offset.
pub(super) fn alternative_conflict(insn: InsnId, original: InsnId) -> Told<'static> {
    Told {
        code: Code::AlternativeStackConflict,
        origin: Origin::Meeting(None),
        objtool: words(move |o| {
            let text = "stack layout conflict in alternatives";
            if o.rules().walk.conflict_at_original { format!("{text}: {}", o.insn(insn)) } else { text.to_owned() }
        }),
        sentence: sentence(move |s| s.conflict(insn, original)),
    }
}

/// More `pushf` than the stack of saved flags holds.
pub(super) fn pushf_stack_exhausted() -> Told<'static> {
    Told {
        code: Code::PushfStackExhausted,
        origin: Origin::Here,
        objtool: Words::Plain("PUSHF stack exhausted"),
        sentence: Sentence::Plain("more `pushf` in alternatives than objtool follows (31)"),
    }
}

/// Two paths reach an instruction with different states.
pub(super) fn state_mismatch(mismatch: &Mismatch) -> Told<'_> {
    Told {
        code: Code::StackStateMismatch,
        origin: Origin::Meeting(Some(mismatch)),
        objtool: words(move |_| mismatch_text(mismatch)),
        sentence: sentence(move |s| s.mismatch(mismatch)),
    }
}

/// A call where a frame pointer is required and is not set up.
pub(super) fn call_without_frame_pointer() -> Told<'static> {
    Told {
        code: Code::CallWithoutFramePointer,
        origin: Origin::Moves,
        objtool: Words::Plain("call without frame pointer save/setup"),
        sentence: sentence(|s| match s.state() {
            Some(state) => format!("call without a frame pointer: {}", s.missing_frame(state)),
            None => "call without a frame pointer".to_owned(),
        }),
    }
}

/// A jump out of the function with the frame changed.
pub(super) fn sibling_call_with_modified_frame() -> Told<'static> {
    Told {
        code: Code::SiblingCallWithModifiedFrame,
        origin: Origin::LeftOver,
        objtool: Words::Plain("sibling call from callable instruction with modified stack frame"),
        sentence: sentence(move |s| s.modified("jump to another function")),
    }
}

/// A return with the frame changed.
pub(super) fn return_with_modified_frame() -> Told<'static> {
    Told {
        code: Code::ReturnWithModifiedFrame,
        origin: Origin::LeftOver,
        objtool: Words::Plain("return with modified stack frame"),
        sentence: sentence(move |s| s.modified("return")),
    }
}

/// A return with something else than the caller's value in `rbp`.
pub(super) fn frame_pointer_scratched() -> Told<'static> {
    Told {
        code: Code::FramePointerScratched,
        origin: Origin::LeftOver,
        objtool: Words::Plain("BP used as a scratch register"),
        sentence: sentence(move |s| s.because("rbp does not hold the caller's value on return".to_owned())),
    }
}

fn mismatch_text(mismatch: &Mismatch) -> String {
    let rule = |rule: &Rule| format!("{}{:+}", rule.base.0, rule.offset);
    match mismatch {
        Mismatch::Cfa(a, b) => format!("stack state mismatch: cfa1={} cfa2={}", rule(a), rule(b)),
        Mismatch::Register(i, a, b) => format!("stack state mismatch: reg1[{i}]={} reg2[{i}]={}", rule(a), rule(b)),
        Mismatch::Type(a, b) => format!("stack state mismatch: type1={a} type2={b}"),
        Mismatch::Drap((d1, r1, o1), (d2, r2, o2)) => {
            format!("stack state mismatch: drap1={}({r1},{o1}) drap2={}({r2},{o2})", u8::from(*d1), u8::from(*d2))
        }
    }
}
