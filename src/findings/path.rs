//! Where paths lead: past the end of a function, nowhere, or to a place that is no code.

use crate::ids::{CodeLoc, SectionId, SymbolId};

use super::parts::{sentence, words};
use super::{Code, Origin, Sentence, Told, Words};

/// A path leads from a function into the next one.
pub(super) fn falls_through(from: SymbolId, to: SymbolId) -> Told<'static> {
    Told {
        code: Code::FallsThrough,
        origin: Origin::RunsOn,
        objtool: words(move |o| format!("{}() falls through to next function {}()", o.symbol(from), o.symbol(to))),
        sentence: sentence(move |s| {
            let (from, to) = (s.symbol(from), s.symbol(to));
            format!(
                "{from}() runs on into the next function, {to}(): it does not end in a return, a jump or a call that never returns"
            )
        }),
    }
}

/// A path leads past the end of the section.
pub(super) fn end_of_section(function: Option<SymbolId>, section: Option<SectionId>) -> Told<'static> {
    Told {
        code: Code::UnexpectedEndOfSection,
        origin: Origin::EndOfCode,
        objtool: words(move |o| {
            let section = section.map_or("", |id| o.section(id));
            if o.rules().words.end_of_section_names_function {
                let function = function.map_or(String::new(), |id| format!("{}(): ", o.symbol(id)));
                format!("{function}unexpected end of section {section}")
            } else {
                format!("{section}: unexpected end of section")
            }
        }),
        sentence: sentence(move |s| {
            let of = match (function, section.or_else(|| s.own_section())) {
                (Some(function), _) => format!("{}()", s.symbol(function)),
                (None, Some(section)) => format!("the code of {}", s.section(section)),
                (None, None) => "the code".to_owned(),
            };
            format!("{of} runs on past the end of its section")
        }),
    }
}

/// A path enters a function that was to be ignored.
pub(super) fn ignored_function_reached() -> Told<'static> {
    Told {
        code: Code::IgnoredFunctionReached,
        origin: Origin::Here,
        objtool: Words::Plain("BUG: why am I validating an ignored function?"),
        sentence: Sentence::Plain("a path leads into this function, although it is marked STACK_FRAME_NON_STANDARD"),
    }
}

/// An instruction that leaves the kernel, in a callable function.
pub(super) fn unsupported_instruction() -> Told<'static> {
    Told {
        code: Code::UnsupportedInstruction,
        origin: Origin::Here,
        objtool: Words::Plain("unsupported instruction in callable function"),
        sentence: sentence(move |s| {
            format!(
                "{} leaves the kernel, but is in a function that is called and should return",
                s.insn_or("an instruction")
            )
        }),
    }
}

/// A function symbol without a size.
pub(super) fn missing_size(symbol: SymbolId) -> Told<'static> {
    Told {
        code: Code::MissingSize,
        origin: Origin::Here,
        objtool: words(move |o| format!("{}() is missing an ELF size annotation", o.symbol(symbol))),
        sentence: sentence(move |s| format!("{}() has no size: where it ends is unknown", s.symbol(symbol))),
    }
}

/// A Rust function of which the compiler left nothing but a trap.
pub(super) fn missing_body(symbol: SymbolId) -> Told<'static> {
    Told {
        code: Code::MissingBody,
        origin: Origin::Here,
        objtool: Words::Silent,
        sentence: sentence(move |s| {
            format!(
                "the compiler removed the whole body of {}(), only a trap (`ud2`) is left: unless it is to abort, or \
                 takes a value of a type that has none, that is undefined behaviour in it",
                s.symbol(symbol)
            )
        }),
    }
}

/// No path reaches the instruction.
pub(super) fn unreachable() -> Told<'static> {
    Told {
        code: Code::UnreachableInstruction,
        origin: Origin::Here,
        objtool: Words::Plain("unreachable instruction"),
        sentence: Sentence::Plain("no path leads to this instruction"),
    }
}

/// The code after a call is only unreachable if the callee never returns.
pub(super) fn missing_noreturn(callee: SymbolId) -> Told<'static> {
    Told {
        code: Code::MissingNoreturn,
        origin: Origin::Here,
        objtool: words(move |o| {
            let callee = o.symbol(callee);
            if o.rules().words.noreturn_hint_names_lists {
                format!("{callee}() missing __noreturn in .c/.h or NORETURN() in noreturns.h")
            } else {
                format!("{callee}() is missing a __noreturn annotation")
            }
        }),
        sentence: sentence(move |s| {
            let callee = s.symbol(callee);
            format!(
                "nothing follows this call, so {callee}() must never return, but objtool does not know that: `__noreturn` is missing"
            )
        }),
    }
}

/// A call annotated as one within its function, to no instruction.
pub(super) fn intra_call_without_dest(section: &str, offset: u64) -> Told<'_> {
    Told {
        code: Code::BadBranchTarget,
        origin: Origin::Here,
        objtool: words(move |_| format!("can't find call dest at {section}+0x{offset:x}")),
        sentence: sentence(move |_| {
            format!("a call within its function leads to {section}+{offset:#x}, where no instruction is")
        }),
    }
}

/// A call into the middle of a function.
pub(super) fn unannotated_intra_call() -> Told<'static> {
    Told {
        code: Code::BadAnnotation,
        origin: Origin::Here,
        objtool: Words::Plain("unannotated intra-function call"),
        sentence: Sentence::Plain("a call into the middle of a function, without the annotation that it is meant"),
    }
}

/// A call to data.
pub(super) fn call_to_non_function() -> Told<'static> {
    Told {
        code: Code::BadAnnotation,
        origin: Origin::Here,
        objtool: Words::Plain("unsupported call to non-function"),
        sentence: Sentence::Plain("a call to something that is not a function"),
    }
}

/// A call to a place without a symbol.
pub(super) fn call_without_dest(section: &str, offset: u64) -> Told<'_> {
    Told {
        code: Code::BadBranchTarget,
        origin: Origin::Here,
        objtool: words(move |_| format!("can't find call dest symbol at {section}+0x{offset:x}")),
        sentence: sentence(move |_| format!("a call to {section}+{offset:#x}, where no symbol is")),
    }
}

/// A jump to a place without an instruction.
pub(super) fn jump_without_dest(target: CodeLoc) -> Told<'static> {
    Told {
        code: Code::BadBranchTarget,
        origin: Origin::Nowhere(target),
        objtool: words(move |o| {
            if o.rules().words.jump_destination_symbolic {
                format!("can't find jump dest instruction at {}", o.place(target))
            } else {
                format!("can't find jump dest instruction at {}+0x{:x}", o.section(target.section), target.offset)
            }
        }),
        sentence: sentence(move |s| format!("a jump to {}, where no instruction is", s.symbolic(target))),
    }
}

/// The table of an indirect jump was not found.
pub(super) fn no_jump_table() -> Told<'static> {
    Told {
        code: Code::BadJumpTable,
        origin: Origin::Here,
        objtool: Words::Plain("can't find switch jump table"),
        sentence: Sentence::Plain("the table of this indirect jump was not found"),
    }
}

/// A jump table was not found, so that objtool does not look for unreachable instructions.
pub(super) fn jump_table_quirk() -> Told<'static> {
    Told {
        code: Code::BadJumpTable,
        origin: Origin::Here,
        objtool: Words::Plain("ignoring unreachables due to jump table quirk"),
        sentence: Sentence::Plain("a jump table was not found, so unreachable instructions are not looked for"),
    }
}

/// A jump to `__fentry__`.
pub(super) fn fentry_tail_call() -> Told<'static> {
    Told {
        code: Code::FentryTailCall,
        origin: Origin::Here,
        objtool: words(move |o| format!("{} call to __fentry__ !?!?", o.rules().words.tail_word)),
        sentence: Sentence::Plain("a jump to __fentry__, which returns into its caller: it must be called"),
    }
}
