//! Returns, indirect branches and speculation.

use crate::ids::SymbolId;

use super::parts::{sentence, words};
use super::{Code, Origin, Sentence, Told, Words};

/// A plain return in a build that needs return thunks.
pub(super) fn naked_return() -> Told<'static> {
    Told {
        code: Code::NakedReturn,
        origin: Origin::Here,
        objtool: words(move |o| format!("'naked' return found in {}RETHUNK build", o.rules().words.mitigation_prefix)),
        sentence: Sentence::Plain("a plain return, where the build needs returns to go through the return thunk"),
    }
}

/// An indirect branch in a build that needs retpolines.
pub(super) fn indirect_branch(call: bool) -> Told<'static> {
    Told {
        code: Code::IndirectBranch,
        origin: Origin::Here,
        objtool: words(move |o| {
            let what = if call { "call" } else { "jump" };
            format!("indirect {what} found in {}RETPOLINE build", o.rules().words.mitigation_prefix)
        }),
        sentence: Sentence::Plain(if call {
            "an indirect call without a retpoline, which the build needs"
        } else {
            "an indirect jump without a retpoline, which the build needs"
        }),
    }
}

/// An indirect call without a kernel CFI check.
pub(super) fn indirect_call_without_cfi() -> Told<'static> {
    Told {
        code: Code::IndirectCallWithoutCfi,
        origin: Origin::Here,
        objtool: Words::Plain("no-cfi indirect call!"),
        sentence: Sentence::Plain("an indirect call without a check of its target's type (kCFI)"),
    }
}

/// No `int3` after a return or an indirect jump.
pub(super) fn missing_int3(ret: bool) -> Told<'static> {
    Told {
        code: Code::MissingInt3,
        origin: Origin::Here,
        objtool: Words::Plain(if ret { "missing int3 after ret" } else { "missing int3 after indirect jump" }),
        sentence: Sentence::Plain(if ret {
            "no `int3` after this return: the processor may speculatively run straight on"
        } else {
            "no `int3` after this indirect jump: the processor may speculatively run straight on"
        }),
    }
}

/// An indirect branch before the return predictor was untrained.
pub(super) fn early_indirect_branch() -> Told<'static> {
    Told {
        code: Code::EarlyIndirectBranch,
        origin: Origin::Here,
        objtool: Words::Plain("early indirect call"),
        sentence: Sentence::Plain("an indirect branch before the return predictor was untrained"),
    }
}

/// A return before the return predictor was untrained.
pub(super) fn return_before_untrain() -> Told<'static> {
    Told {
        code: Code::ReturnBeforeUntrain,
        origin: Origin::Here,
        objtool: Words::Plain("RET before UNTRAIN"),
        sentence: Sentence::Plain("a return before the return predictor was untrained"),
    }
}

/// A jump of a linked object to an unknown place.
pub(super) fn unresolved_jump() -> Told<'static> {
    Told {
        code: Code::UnretIncomplete,
        origin: Origin::Here,
        objtool: Words::Plain("unresolved jump target after linking?!?"),
        sentence: Sentence::Plain("where this jump leads is unknown, although the object is linked"),
    }
}

/// A call of a linked object to a function that it does not have.
pub(super) fn unresolved_function(symbol: SymbolId) -> Told<'static> {
    Told {
        code: Code::UnretIncomplete,
        origin: Origin::Here,
        objtool: words(move |o| format!("Unresolved function after linking!?: {}", o.symbol(symbol))),
        sentence: sentence(move |s| format!("{}() is called but not in the linked object", s.symbol(symbol))),
    }
}

/// A path that ends before untraining.
pub(super) fn unret_end() -> Told<'static> {
    Told {
        code: Code::UnretIncomplete,
        origin: Origin::Here,
        objtool: Words::Plain("teh end!"),
        sentence: Sentence::Plain("this path ends before the return predictor was untrained"),
    }
}

/// A path that could not be followed to untraining.
pub(super) fn unret_failed() -> Told<'static> {
    Told {
        code: Code::UnretIncomplete,
        origin: Origin::Here,
        objtool: Words::Plain("Failed UNRET validation"),
        sentence: Sentence::Plain(
            "the paths from here to where the return predictor is untrained could not be followed",
        ),
    }
}
