//! Annotations of instructions and functions: entries that lead nowhere or to the wrong thing.

use super::parts::{sentence, words};
use super::{Code, Origin, Sentence, Told, Words};

/// The list of ignored functions names something else than functions.
pub(super) fn ignored_at_wrong_symbol(section: &'static str, kind: u8) -> Told<'static> {
    Told {
        code: Code::BadAnnotation,
        origin: Origin::Here,
        objtool: words(move |_| format!("unexpected relocation symbol type in {section}: {kind}")),
        sentence: sentence(move |_| {
            format!("a relocation in {section} is against a symbol of type {kind}, neither a section nor a function")
        }),
    }
}

/// An annotation against a symbol that cannot be one.
pub(super) fn at_wrong_symbol(section: &str) -> Told<'_> {
    Told {
        code: Code::BadAnnotation,
        origin: Origin::Here,
        objtool: words(move |_| format!("unexpected relocation symbol type in {section}")),
        sentence: sentence(move |_| {
            format!("a relocation in {section} is against a symbol that is neither a section nor a local label")
        }),
    }
}

/// An entry for a place without an instruction.
pub(super) fn bad_entry(section: &'static str) -> Told<'static> {
    Told {
        code: Code::BadAnnotation,
        origin: Origin::Here,
        objtool: words(move |_| format!("bad {section} entry")),
        sentence: sentence(move |_| format!("an entry of {section} points to no instruction")),
    }
}

/// No relocations.
pub(super) fn missing_relocs() -> Told<'static> {
    Told {
        code: Code::BadAnnotation,
        origin: Origin::Here,
        objtool: Words::Plain("bad .discard.annotate_insn section: missing relocs"),
        sentence: Sentence::Plain(".discard.annotate_insn has no relocations"),
    }
}

/// An entry of the generic section for a place without an instruction.
pub(super) fn bad_insn_entry(index: u64, kind: i32) -> Told<'static> {
    Told {
        code: Code::BadAnnotation,
        origin: Origin::Here,
        objtool: words(move |_| format!("bad .discard.annotate_insn entry: {index} of type {kind}")),
        sentence: sentence(move |_| {
            format!("entry {index} of .discard.annotate_insn (kind {kind}) points to no instruction")
        }),
    }
}

/// A kind of annotation that the release does not know.
pub(super) fn unknown(kind: i32) -> Told<'static> {
    Told {
        code: Code::BadAnnotation,
        origin: Origin::Here,
        objtool: words(move |_| format!("Unknown annotation type: {kind}")),
        sentence: sentence(move |_| format!("an instruction annotation of the unknown kind {kind}")),
    }
}

/// An annotation against kernel CFI outside of functions.
pub(super) fn dodgy_nocfi() -> Told<'static> {
    Told {
        code: Code::BadAnnotation,
        origin: Origin::Here,
        objtool: Words::Plain("dodgy NOCFI annotation"),
        sentence: Sentence::Plain("an annotation against kCFI on something that is not a function"),
    }
}

/// A section that the linker gave a wrong entry size.
pub(super) fn dodgy_entsize(section: &str) -> Told<'_> {
    Told {
        code: Code::BadAnnotation,
        origin: Origin::Here,
        objtool: words(move |_| format!("{section}: dodgy linker, sh_entsize != 8")),
        sentence: sentence(move |_| format!("the linker left {section} with an entry size other than 8 bytes")),
    }
}

/// A (un)reachable annotation for a place without an instruction.
pub(super) fn reachable_without_insn(section: &str, offset: u64, reachable: bool) -> Told<'_> {
    Told {
        code: Code::BadAnnotation,
        origin: Origin::Here,
        objtool: words(move |_| {
            format!("can't find {}reachable insn at {section}+0x{offset:x}", if reachable { "" } else { "un" })
        }),
        sentence: sentence(move |_| {
            let what = if reachable { "reachable" } else { "unreachable" };
            format!("the {what} annotation for {section}+{offset:#x} points to no instruction")
        }),
    }
}

/// ANNOTATE_RETPOLINE_SAFE on something that needs no retpoline.
pub(super) fn retpoline_safe_not_indirect() -> Told<'static> {
    Told {
        code: Code::BadAnnotation,
        origin: Origin::Here,
        objtool: Words::Plain("retpoline_safe hint not an indirect jump/call/ret/nop"),
        sentence: Sentence::Plain("annotated as safe without a retpoline, but not an indirect branch, return or NOP"),
    }
}

/// ANNOTATE_INTRA_FUNCTION_CALL on something else than a call.
pub(super) fn intra_call_not_call() -> Told<'static> {
    Told {
        code: Code::BadAnnotation,
        origin: Origin::Here,
        objtool: Words::Plain("intra_function_call not a direct call"),
        sentence: Sentence::Plain("annotated as a call within its function, but not a direct call"),
    }
}
