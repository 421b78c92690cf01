//! The tables by which the kernel patches itself: alternatives, static branches, exceptions.

use super::parts::{sentence, words};
use super::{Code, Origin, Sentence, Told, Words};

/// Half an entry.
pub(super) fn bad_size(section: &'static str, entry: u64) -> Told<'static> {
    Told {
        code: Code::BadSpecialEntry,
        origin: Origin::Here,
        objtool: words(move |_| format!("{section} size not a multiple of {entry}")),
        sentence: sentence(move |_| format!("{section} is not a whole number of entries of {entry} bytes")),
    }
}

/// An entry without one of its addresses.
pub(super) fn without_reloc(which: &'static str) -> Told<'static> {
    Told {
        code: Code::BadSpecialEntry,
        origin: Origin::Here,
        objtool: words(move |_| format!("can't find {which} reloc")),
        sentence: sentence(move |_| format!("an entry has no relocation for {}", part(which))),
    }
}

/// An address where no instruction starts.
pub(super) fn without_insn(which: &'static str) -> Told<'static> {
    Told {
        code: Code::BadSpecialEntry,
        origin: Origin::Here,
        objtool: words(move |_| format!("special: can't find {which} instruction")),
        sentence: sentence(move |_| format!("{} of an entry does not start at an instruction", part(which))),
    }
}

/// A relocation that does not move with the replacement.
pub(super) fn relocation() -> Told<'static> {
    Told {
        code: Code::BadSpecialEntry,
        origin: Origin::Here,
        objtool: Words::Plain("unsupported relocation in alternatives section"),
        sentence: Sentence::Plain(
            "only a jump or call at its start may be relocated in a replacement: the kernel copies the code elsewhere",
        ),
    }
}

/// A jump out of a replacement to no instruction.
pub(super) fn jump_without_dest() -> Told<'static> {
    Told {
        code: Code::BadSpecialEntry,
        origin: Origin::Here,
        objtool: Words::Plain("can't find alternative jump destination"),
        sentence: Sentence::Plain("a jump out of a replacement leads to no instruction"),
    }
}

/// A replacement that ends within an instruction.
pub(super) fn without_last_insn() -> Told<'static> {
    Told {
        code: Code::BadSpecialEntry,
        origin: Origin::Here,
        objtool: Words::Plain("can't find last new alternative instruction"),
        sentence: Sentence::Plain("the replacement of an alternative ends within an instruction"),
    }
}

/// A static branch on another instruction.
pub(super) fn jump_label_insn() -> Told<'static> {
    Told {
        code: Code::BadSpecialEntry,
        origin: Origin::Here,
        objtool: Words::Plain("unsupported instruction at jump label"),
        sentence: Sentence::Plain("a static branch is on an instruction that is neither a NOP nor a jump"),
    }
}

/// Two entries for overlapping code.
pub(super) fn weird_overlap(actual: i64, expected: i64) -> Told<'static> {
    Told {
        code: Code::BadSpecialEntry,
        origin: Origin::Here,
        objtool: words(move |_| format!("weirdly overlapping alternative! {actual} != {expected}")),
        sentence: sentence(move |_| {
            format!(
                "two alternatives overlap: this one replaces {expected} bytes, the one before it {actual} from the same place"
            )
        }),
    }
}

/// An entry that replaces nothing.
pub(super) fn empty_alternative() -> Told<'static> {
    Told {
        code: Code::BadSpecialEntry,
        origin: Origin::Here,
        objtool: Words::Plain("empty alternative entry"),
        sentence: Sentence::Plain("an alternative that replaces no code"),
    }
}

/// A replacement that the kernel cannot patch in. objtool writes past its table and says nothing.
pub(super) fn replacement_too_long(actual: u32, room: u32) -> Told<'static> {
    Told {
        code: Code::BadSpecialEntry,
        origin: Origin::Here,
        objtool: Words::Silent,
        sentence: sentence(move |_| {
            format!("a replacement has {actual} bytes, more than the {room} that it is to replace")
        }),
    }
}

/// A part of an entry.
fn part(which: &str) -> &str {
    match which {
        "orig" => "the original code",
        "new" => "the other code",
        "key" => "the key",
        other => other,
    }
}
