//! Directives by the rows that they are to make.
//!
//! In: what is told before and behind a place.  Out: the text of directives.
//! Holds afterwards: GNU as makes the rows of them that were asked for.
//! Reads like: binutils' `gas/doc/as.texi`, "CFI directives"; DWARF 5 §2.5.1 and §6.4.2.

use crate::unwind::{REGISTERS, RowCfa as Cfa, RowTold as Told, Saved, Word, register_name};

/// How a file writes its directives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Style {
    /// What a push and a pop move is added, rather than the sum told.
    pub adjusts: bool,
    /// Registers have no percent sign.
    pub naked: bool,
}

impl Style {
    /// That of a text; without any directive that of most people.
    pub(super) fn of(text: &str) -> Style {
        let has = |what: &str| text.contains(what);
        let naked_directive = text.lines().any(|line| {
            let rest = line.trim_start().strip_prefix(".cfi_offset").or(line.trim_start().strip_prefix(".cfi_restore"));
            rest.is_some_and(|rest| rest.trim_start().starts_with('r'))
        });
        Style {
            adjusts: has(".cfi_adjust_cfa_offset") || !has(".cfi_def_cfa_offset"),
            naked: naked_directive || has(".intel_syntax noprefix"),
        }
    }

    fn register(self, reg: u8) -> String {
        format!("{}{}", if self.naked { "" } else { "%" }, register_name(reg))
    }
}

/// The directives that lead from one row to another. `moved` is by how much the instruction before has lowered rsp.
pub(super) fn between(before: &Told, behind: &Told, moved: Option<i32>, style: Style) -> Vec<String> {
    let mut found: Vec<String> = cfa(before.cfa, behind.cfa, moved, style).into_iter().collect();
    let registers = before.saved.iter().zip(&behind.saved).zip(REGISTERS);
    found.extend(
        registers.filter(|((one, other), _)| one != other).map(|((_, saved), reg)| register(reg, *saved, style)),
    );
    found
}

/// In how many ways directives inside a macro can be said.
pub(super) const WAYS: usize = 3;

/// The directives that lead from one row to another behind a statement inside a macro, in [`WAYS`] ways, which may hold for
/// other uses, too: by what they add; the same, with the macro's `argument` for what it pushes or pops; by what holds.
pub(super) fn inside(before: &Told, behind: &Told, argument: Option<&str>, style: Style) -> Vec<Vec<String>> {
    let by_cfa = |saved: Saved| match (saved, behind.cfa) {
        (Saved::At(offset), Cfa::Register(_, cfa)) => Some(offset.checked_add(cfa)?),
        _ => None,
    };
    let changed = || before.saved.iter().zip(&behind.saved).zip(REGISTERS).filter(|((one, other), _)| one != other);
    let relative = |name: &dyn Fn(u8) -> String| {
        let mut found: Vec<String> = match (before.cfa, behind.cfa) {
            (Cfa::Register(one, earlier), Cfa::Register(other, offset)) if one == other && earlier != offset => {
                vec![format!(".cfi_adjust_cfa_offset {}", offset.wrapping_sub(earlier))]
            }
            (one, other) => cfa(one, other, None, style).into_iter().collect(),
        };
        found.extend(changed().map(|((_, &saved), reg)| match (by_cfa(saved), saved) {
            (Some(by), _) => format!(".cfi_rel_offset {}, {by}", name(reg)),
            (None, Saved::Not) => format!(".cfi_restore {}", name(reg)),
            (None, _) => register(reg, saved, style),
        }));
        found
    };
    let own = relative(&|reg| style.register(reg));
    let by_argument = match argument {
        Some(argument) if changed().count() == 1 => relative(&|_| argument.to_owned()),
        _ => own.clone(),
    };
    vec![own, by_argument, between(before, behind, None, style)]
}

fn cfa(before: Cfa, behind: Cfa, moved: Option<i32>, style: Style) -> Option<String> {
    if before == behind {
        return None;
    }
    Some(match (before, behind) {
        (Cfa::Register(one, earlier), Cfa::Register(other, offset)) if one == other => {
            let by = offset.wrapping_sub(earlier);
            if style.adjusts && moved == Some(by) {
                format!(".cfi_adjust_cfa_offset {by}")
            } else {
                format!(".cfi_def_cfa_offset {offset}")
            }
        }
        (Cfa::Register(_, earlier), Cfa::Register(other, offset)) if earlier == offset => {
            format!(".cfi_def_cfa_register {}", style.register(other))
        }
        (_, Cfa::Register(reg, offset)) => format!(".cfi_def_cfa {}, {offset}", style.register(reg)),
        (_, Cfa::Word(word, add)) => {
            // DW_CFA_def_cfa_expression: DW_OP_breg, DW_OP_deref, DW_OP_plus_uconst.
            let mut expression = by_register(word);
            expression.push(0x06);
            if add >= 0 {
                expression.push(0x23);
                expression.extend(uleb(add as u32));
            } else {
                // DW_OP_consts, DW_OP_plus.
                expression.push(0x11);
                expression.extend(sleb(add));
                expression.push(0x22);
            }
            let mut bytes = vec![0x0f];
            bytes.extend(uleb(expression.len() as u32));
            bytes.extend(expression);
            format!("{} /* CFA = *({}{:+}){add:+} */", escape(&bytes), register_name(word.reg), word.disp)
        }
    })
}

fn register(reg: u8, saved: Saved, style: Style) -> String {
    let name = style.register(reg);
    match saved {
        Saved::Not => format!(".cfi_restore {name}"),
        Saved::At(offset) => format!(".cfi_offset {name}, {offset}"),
        Saved::In(other) => format!(".cfi_register {name}, {}", style.register(other)),
        Saved::Word(word) => {
            let expression = by_register(word);
            let mut bytes = vec![0x10, reg];
            bytes.extend(uleb(expression.len() as u32));
            bytes.extend(expression);
            let (own, base) = (register_name(reg), register_name(word.reg));
            format!("{} /* {own} is at {base}{:+} */", escape(&bytes), word.disp)
        }
    }
}

/// DW_OP_breg0 to DW_OP_breg31.
fn by_register(word: Word) -> Vec<u8> {
    let mut bytes = vec![0x70 + word.reg];
    bytes.extend(sleb(word.disp));
    bytes
}

fn escape(bytes: &[u8]) -> String {
    let words: Vec<String> = bytes.iter().map(|byte| format!("0x{byte:02x}")).collect();
    format!(".cfi_escape {}", words.join(", "))
}

fn uleb(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

fn sleb(mut value: i32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 && byte & 0x40 == 0 || value == -1 && byte & 0x40 != 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style = Style { adjusts: true, naked: false };

    fn told(cfa: Cfa) -> Told {
        Told { cfa, ..Told::ENTRY }
    }

    #[track_caller]
    fn check(before: Told, behind: Told, moved: Option<i32>, wanted: &[&str]) {
        assert_eq!(between(&before, &behind, moved, STYLE), wanted);
    }

    #[test]
    fn the_shortest_directive_is_taken() {
        let rsp = |offset| told(Cfa::Register(7, offset));
        check(rsp(8), rsp(16), Some(8), &[".cfi_adjust_cfa_offset 8"]);
        check(rsp(8), rsp(16), None, &[".cfi_def_cfa_offset 16"]);
        check(rsp(16), told(Cfa::Register(6, 16)), None, &[".cfi_def_cfa_register %rbp"]);
        check(told(Cfa::Register(6, 16)), rsp(8), Some(-8), &[".cfi_def_cfa %rsp, 8"]);
    }

    #[test]
    fn a_word_that_holds_the_cfa_is_an_expression() {
        let word = told(Cfa::Word(Word { reg: 7, disp: 128 }, 8));
        let text = ".cfi_escape 0x0f, 0x06, 0x77, 0x80, 0x01, 0x06, 0x23, 0x08 /* CFA = *(rsp+128)+8 */";
        check(told(Cfa::Register(7, 8)), word, None, &[text]);
    }

    #[test]
    fn numbers_are_as_long_as_they_need_to_be() {
        assert_eq!(sleb(-8), [0x78]);
        assert_eq!(sleb(64), [0xc0, 0x00]);
        assert_eq!(sleb(-129), [0xff, 0x7e]);
        assert_eq!(uleb(300), [0xac, 0x02]);
    }
}
