//! Unwind hints, and states that an ORC entry cannot express.

use crate::cfi::Base;

use super::parts::{sentence, words};
use super::{Code, Origin, Sentence, Told, Words};

/// A restore hint without a save hint before it.
pub(super) fn restore_without_save() -> Told<'static> {
    Told {
        code: Code::RestoreWithoutSave,
        origin: Origin::Here,
        objtool: Words::Plain("no corresponding CFI save for CFI restore"),
        sentence: Sentence::Plain("a restore hint without a save hint before it in this function"),
    }
}

/// A restore hint that is reached before its save hint.
pub(super) fn restore_before_save() -> Told<'static> {
    Told {
        code: Code::RestoreBeforeSave,
        origin: Origin::Here,
        objtool: Words::Plain("objtool isn't smart enough to handle this CFI save/restore combo"),
        sentence: Sentence::Plain("this restore hint is reached on a path that does not pass its save hint"),
    }
}

/// No relocations.
pub(super) fn missing_relocs() -> Told<'static> {
    Told {
        code: Code::BadUnwindHint,
        origin: Origin::Here,
        objtool: Words::Plain("missing .rela.discard.unwind_hints section"),
        sentence: Sentence::Plain("the unwind hints have no relocations"),
    }
}

/// Half an entry.
pub(super) fn bad_size() -> Told<'static> {
    Told {
        code: Code::BadUnwindHint,
        origin: Origin::Here,
        objtool: Words::Plain("struct unwind_hint size mismatch"),
        sentence: Sentence::Plain("the unwind hints are not a whole number of entries"),
    }
}

/// A hint for no place.
pub(super) fn without_reloc(index: u64) -> Told<'static> {
    Told {
        code: Code::BadUnwindHint,
        origin: Origin::Here,
        objtool: words(move |_| format!("can't find reloc for unwind_hints[{index}]")),
        sentence: sentence(move |_| format!("unwind hint {index} has no relocation")),
    }
}

/// A hint for a place without an instruction.
pub(super) fn without_insn(index: u64) -> Told<'static> {
    Told {
        code: Code::BadUnwindHint,
        origin: Origin::Here,
        objtool: words(move |_| format!("can't find insn for unwind_hints[{index}]")),
        sentence: sentence(move |_| format!("unwind hint {index} points to no instruction")),
    }
}

/// A hint with a register that has no number.
pub(super) fn bad_register(register: u8) -> Told<'static> {
    Told {
        code: Code::BadUnwindHint,
        origin: Origin::Here,
        objtool: words(move |_| format!("unsupported unwind_hint sp base reg {register}")),
        sentence: sentence(move |_| format!("an unwind hint has the CFA in register {register}, which does not exist")),
    }
}

/// A hint against a symbol that cannot be one.
pub(super) fn at_wrong_symbol() -> Told<'static> {
    Told {
        code: Code::BadUnwindHint,
        origin: Origin::Here,
        objtool: Words::Plain("unexpected relocation symbol type in .rela.discard.unwind_hints"),
        sentence: Sentence::Plain("an unwind hint is against a symbol that is neither a section nor a local label"),
    }
}

/// A CFA that an ORC entry cannot express.
pub(super) fn unknown_cfa_base(base: i32) -> Told<'static> {
    Told {
        code: Code::OrcUnencodable,
        origin: Origin::Here,
        objtool: words(move |_| format!("unknown CFA base reg {base}")),
        sentence: sentence(move |_| {
            if base == i32::from(Base::UNDEFINED.0) {
                "the CFA is unknown here, and an ORC entry cannot say so".to_owned()
            } else {
                format!("the CFA is relative to {}, which an ORC entry cannot express", register(base))
            }
        }),
    }
}

/// A saved `rbp` that an ORC entry cannot express.
pub(super) fn unknown_bp_base(base: i32) -> Told<'static> {
    Told {
        code: Code::OrcUnencodable,
        origin: Origin::Here,
        objtool: words(move |_| format!("unknown BP base reg {base}")),
        sentence: sentence(move |_| {
            format!("rbp is saved relative to {}, which an ORC entry cannot express", register(base))
        }),
    }
}

/// A kind of frame that an ORC entry cannot express.
pub(super) fn unknown_type(kind: u8) -> Told<'static> {
    Told {
        code: Code::OrcUnencodable,
        origin: Origin::Here,
        objtool: words(move |_| format!("unknown unwind hint type {kind}")),
        sentence: sentence(move |_| format!("a frame of kind {kind}, which an ORC entry cannot express")),
    }
}

fn register(base: i32) -> &'static str {
    i8::try_from(base).map_or("an unknown register", |base| Base(base).name())
}
