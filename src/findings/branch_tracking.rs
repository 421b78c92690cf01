//! Indirect branch tracking: what may be called through a pointer has to start with `endbr`.

use crate::ids::CodeLoc;

use super::parts::{sentence, words};
use super::{Code, Origin, Sentence, Told, Words};

/// Code takes the address of code without `endbr`.
pub(super) fn relocation(target: CodeLoc) -> Told<'static> {
    Told {
        code: Code::MissingEndbr,
        origin: Origin::Here,
        objtool: words(move |o| format!("relocation to !ENDBR: {}", o.place(target))),
        sentence: sentence(move |s| {
            format!("the address of {} is taken, which does not start with `endbr`", s.code(target))
        }),
    }
}

/// Data holds the address of code without `endbr`.
pub(super) fn data_relocation(target: CodeLoc) -> Told<'static> {
    Told {
        code: Code::MissingEndbr,
        origin: Origin::PointsTo(target),
        objtool: words(move |o| format!("data relocation to !ENDBR: {}", o.place(target))),
        sentence: sentence(move |s| {
            format!("data holds the address of {}, which does not start with `endbr`", s.code(target))
        }),
    }
}

/// A pointer to no instruction.
pub(super) fn corrupt_function_pointer() -> Told<'static> {
    Told {
        code: Code::MissingEndbr,
        origin: Origin::Here,
        objtool: Words::Plain("corrupt function pointer reference"),
        sentence: Sentence::Plain("a function pointer that leads into the middle of code"),
    }
}

/// An interrupt entry without `endbr`.
pub(super) fn entry_without_endbr() -> Told<'static> {
    Told {
        code: Code::EntryWithoutEndbr,
        origin: Origin::Here,
        objtool: Words::Plain("UNWIND_HINT_IRET_REGS without ENDBR"),
        sentence: Sentence::Plain("an interrupt enters here, but there is no `endbr`"),
    }
}

/// A module's init or exit function whose `endbr` nothing refers to.
pub(super) fn not_indirect_call_target(name: &str) -> Told<'_> {
    Told {
        code: Code::NotIndirectCallTarget,
        origin: Origin::Here,
        objtool: words(move |_| format!("{name}(): not an indirect call target")),
        sentence: sentence(move |_| {
            format!("{name}() of a module is called through a pointer, but does not start with `endbr`")
        }),
    }
}

/// The same, where the name alone makes it one. objtool says the same of the exit function.
pub(super) fn magic_module_name(name: &str) -> Told<'_> {
    Told {
        code: Code::NotIndirectCallTarget,
        origin: Origin::Here,
        objtool: words(move |_| {
            format!("{name}(): Magic init_module() function name is deprecated, use module_init(fn) instead")
        }),
        sentence: sentence(move |_| {
            format!("{name}() is found by its name alone; modules name it with module_init() or module_exit()")
        }),
    }
}
