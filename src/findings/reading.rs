//! Bytes and symbols that cannot be read, or that the kernel does not want.

use crate::ids::{CodeLoc, SectionId, SymbolId};
use crate::kernel::rules::FatalStyle;

use super::parts::{sentence, words};
use super::{Code, Names, Origin, Sentence, Told};

/// Bytes that are no instruction.
pub(super) fn undecodable(section: SectionId, offset: u64) -> Told<'static> {
    Told {
        code: Code::UndecodableInstruction,
        origin: Origin::Here,
        objtool: words(move |o| format!("can't decode instruction at {}", at(o, section, offset))),
        sentence: sentence(move |s| {
            format!("the bytes at {} are not an instruction", s.code(CodeLoc::new(section, offset)))
        }),
    }
}

/// A function that starts within an instruction.
pub(super) fn no_starting_insn(symbol: SymbolId) -> Told<'static> {
    Told {
        code: Code::BadSymbol,
        origin: Origin::Here,
        objtool: words(move |o| format!("{}(): can't find starting instruction", o.symbol(symbol))),
        sentence: sentence(move |s| format!("{}() does not start at an instruction", s.symbol(symbol))),
    }
}

/// A function without code.
pub(super) fn function_at_section_end(symbol: SymbolId) -> Told<'static> {
    Told {
        code: Code::BadSymbol,
        origin: Origin::Here,
        objtool: words(move |o| format!("{}(): STT_FUNC at end of section", o.symbol(symbol))),
        sentence: sentence(move |s| format!("{}() starts at the end of its section", s.symbol(symbol))),
    }
}

/// `lea` of a register.
pub(super) fn invalid_lea(section: SectionId, offset: u64) -> Told<'static> {
    Told {
        code: Code::SuspiciousEncoding,
        origin: Origin::Here,
        objtool: words(move |o| format!("invalid LEA encoding at {}", at(o, section, offset))),
        sentence: Sentence::Plain("`lea` of a register, which is not an instruction"),
    }
}

/// `enqcmd`.
pub(super) fn enqcmd(section: SectionId, offset: u64) -> Told<'static> {
    Told {
        code: Code::SuspiciousEncoding,
        origin: Origin::Here,
        objtool: words(move |o| format!("ENQCMD instruction at {}:{offset:x}", o.section(section))),
        sentence: Sentence::Plain("`enqcmd`, which the kernel does not use: it depends on a register that tasks share"),
    }
}

/// `notrack`.
pub(super) fn notrack(section: SectionId, offset: u64) -> Told<'static> {
    Told {
        code: Code::SuspiciousEncoding,
        origin: Origin::Here,
        objtool: words(move |o| format!("notrack prefix found at {}", at(o, section, offset))),
        sentence: Sentence::Plain("a `notrack` prefix, which switches indirect branch tracking off"),
    }
}

/// A `.cold` part without its function.
pub(super) fn no_parent_function(symbol: SymbolId) -> Told<'static> {
    Told {
        code: Code::BadSymbol,
        origin: Origin::Here,
        objtool: words(move |o| format!("{}(): can't find parent function", o.symbol(symbol))),
        sentence: sentence(move |s| {
            format!("{}() is the cold part of a function that is not in the object", s.symbol(symbol))
        }),
    }
}

/// A name longer than objtool has room for.
pub(super) fn parent_name_too_long(symbol: SymbolId, limit: u32) -> Told<'static> {
    Told {
        code: Code::BadSymbol,
        origin: Origin::Here,
        objtool: words(move |o| {
            format!("{}(): parent function name exceeds maximum length of {limit} characters", o.symbol(symbol))
        }),
        sentence: sentence(move |s| {
            format!("the name of {}() is longer than the {limit} characters that objtool looks at", s.symbol(symbol))
        }),
    }
}

/// A symbol whose name is outside of the string table. Since 6.18 objtool also prints a line number of its own source.
pub(super) fn symbol_name_outside() -> Told<'static> {
    const WHY: &str = "offset out of range";
    Told {
        code: Code::BadObject,
        origin: Origin::Here,
        objtool: words(|o| match o.rules().words.fatal {
            FatalStyle::Warning => format!("elf_strptr: {WHY}"),
            FatalStyle::WarningAtInstruction | FatalStyle::Error => {
                format!("read_symbols: elf_strptr failed: {WHY}")
            }
        }),
        sentence: sentence(|_| {
            "the object cannot be analysed: a symbol's name is outside of the string table".to_owned()
        }),
    }
}

/// The object cannot be analysed at all, in objtool's words.
pub(super) fn bad_object(text: &str) -> Told<'_> {
    Told {
        code: Code::BadObject,
        origin: Origin::Here,
        objtool: words(move |_| text.to_owned()),
        sentence: sentence(move |_| format!("the object cannot be analysed: {text}")),
    }
}

fn at(names: &dyn Names, section: SectionId, offset: u64) -> String {
    format!("{}:0x{offset:x}", names.section(section))
}
