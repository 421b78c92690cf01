//! Sections that objtool adds, and what may not be in them.

use crate::ids::{CodeLoc, SectionId};

use super::parts::{sentence, words};
use super::{Code, Origin, Told};

/// The object has a section that objtool was to create.
pub(super) fn exists(section: &'static str) -> Told<'static> {
    Told {
        code: Code::AlreadyProcessed,
        origin: Origin::Here,
        objtool: words(move |_| match section {
            // The words of these three leave one out.
            ".retpoline_sites" | ".return_sites" | ".ibt_endbr_seal" => format!("file already has {section}, skipping"),
            _ => format!("file already has {section} section, skipping"),
        }),
        sentence: sentence(move |_| format!("the object already has {section}: objtool ran over it before")),
    }
}

/// A trampoline without the prefix of one.
pub(super) fn static_call_trampoline(name: &str) -> Told<'_> {
    Told {
        code: Code::BadStaticCall,
        origin: Origin::Here,
        objtool: words(move |_| format!("static_call: trampoline name malformed: {name}")),
        sentence: sentence(move |_| format!("the static call trampoline {name} does not have the name of one")),
    }
}

/// A trampoline without its key.
pub(super) fn static_call_key(name: &str) -> Told<'_> {
    Told {
        code: Code::BadStaticCall,
        origin: Origin::Here,
        objtool: words(move |_| format!("static_call: can't find static_call_key symbol: {name}")),
        sentence: sentence(move |_| format!("the key {name} of a static call is not in the object")),
    }
}

/// An absolute relocation where none may be.
pub(super) fn absolute_relocation(section: SectionId, offset: u64) -> Told<'static> {
    Told {
        code: Code::AbsoluteRelocation,
        origin: Origin::Here,
        objtool: words(move |o| {
            format!("section {} has absolute relocation at offset 0x{offset:x}", o.section(section))
        }),
        sentence: sentence(move |s| {
            let place = s.code(CodeLoc::new(section, offset));
            format!("{place} holds an absolute address, which is not allowed in this build")
        }),
    }
}

/// The same, in a list that objtool adds.
pub(super) fn absolute_address_in_list(list: &'static str, offset: u64) -> Told<'static> {
    Told {
        code: Code::AbsoluteRelocation,
        origin: Origin::Here,
        objtool: words(move |_| format!("section {list} has absolute relocation at offset 0x{offset:x}")),
        sentence: sentence(move |_| {
            format!("this place goes into {list} with its absolute address, which is not allowed in this build")
        }),
    }
}

/// A name that leaves no room for the prefix of its padding.
pub(super) fn prefix_name_too_long(name: &str) -> Told<'_> {
    Told {
        code: Code::SymbolNameTooLong,
        origin: Origin::Here,
        objtool: words(move |_| format!("{name}: symbol name too long, can't create __pfx_ symbol")),
        sentence: sentence(move |_| format!("the name {name} is too long for a prefix symbol")),
    }
}
