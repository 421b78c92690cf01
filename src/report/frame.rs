//! Draws a stack frame.
//!
//! In: a [`CfiState`].  Out: [`Slot`]s, or lines of text for a fixed-width font; high addresses first.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::cfi::{Base, CfiState, Rule};

/// A word of the frame, or a place in it that a register points to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Slot {
    /// Bytes from the CFA.
    pub offset: i32,
    /// What is there; empty where only pointers are known.
    pub holds: Vec<String>,
    /// The registers that point there.
    pub pointers: Vec<&'static str>,
}

/// What is known of the frame that `state` describes, high addresses first; empty where it is not known how to find it.
pub fn slots(state: &CfiState) -> Vec<Slot> {
    if state.cfa.base == Base::UNDEFINED || state.force_undefined {
        return Vec::new();
    }
    let mut slots: BTreeMap<i32, Slot> = BTreeMap::new();
    let mut slot = |offset: i32, what: Option<String>, pointer: Option<&'static str>| {
        let slot = slots.entry(offset).or_insert_with(|| Slot { offset, holds: Vec::new(), pointers: Vec::new() });
        slot.holds.extend(what);
        slot.pointers.extend(pointer);
    };
    for (reg, at) in state.regs.iter().filter(|(_, at)| at.base == Base::CFA) {
        let what = if reg == Base::RA { "return address".to_owned() } else { format!("saved {}", reg.name()) };
        slot(at.offset, Some(what), None);
    }
    for (reg, offset) in pointers(state) {
        slot(offset, None, Some(reg.name()));
    }
    slot(0, Some("caller's frame".to_owned()), None);
    slots.into_values().rev().collect()
}

/// The frame as text.
pub fn draw(state: &CfiState) -> String {
    let slots = slots(state);
    let mut out = String::new();
    if slots.is_empty() {
        return out;
    }
    let mut expected = 0;
    for Slot { offset, holds, pointers } in slots {
        if expected > offset {
            let _ = writeln!(out, "       |{:^18}|  {} bytes", "...", expected - offset);
        }
        let arrow = if pointers.is_empty() { String::new() } else { format!("  <- {}", pointers.join(", ")) };
        let _ = writeln!(out, "{:>6} |{:^18}|{arrow}", label(offset), holds.join(", "));
        // A saved register has its word; a pointer alone says nothing about what is there.
        expected = offset.saturating_sub(if holds.is_empty() { 0 } else { 8 });
        if offset == 0 {
            let _ = writeln!(out, "       +------------------+");
            expected = -8;
        }
    }
    out
}

/// The words of a `struct pt_regs` from its start, eight bytes each (arch/x86/include/asm/ptrace.h).
const PT_REGS: [&str; 21] = [
    "r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8", "ax", "cx", "dx", "si", "di", "orig_ax", "ip",
    "cs", "flags", "sp", "ss",
];
/// Where the part begins that the processor pushes.
const IRET_FRAME: usize = 16;

/// How much of a `struct pt_regs` is on the stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PtRegs {
    /// All of it.
    Whole,
    /// What the processor pushes at an exception: `ip` and what is above it.
    Partial,
}

/// A `struct pt_regs` as text, high addresses first; the CFA is its lowest word.
pub fn draw_pt_regs(state: &CfiState, part: PtRegs) -> String {
    let words = match part {
        PtRegs::Whole => &PT_REGS[..],
        PtRegs::Partial => &PT_REGS[IRET_FRAME..],
    };
    let mut out = String::new();
    let base = if state.cfa.base.index().is_some() { state.cfa.base.name() } else { "cfa" };
    for (at, word) in words.iter().enumerate().rev() {
        let place = match (at * 8).checked_add_signed(state.cfa.offset as isize) {
            Some(offset) => format!("{base}+{offset}"),
            None => format!("cfa+{}", at * 8),
        };
        let _ = writeln!(out, "{place:>8} | {:<16} |", format!("pt_regs->{word}"));
    }
    out
}

fn label(offset: i32) -> String {
    if offset == 0 { "cfa".to_owned() } else { format!("{offset:+}") }
}

/// Registers that are known to point into the frame, as offsets from the CFA.
fn pointers(state: &CfiState) -> Vec<(Base, i32)> {
    let mut found: Vec<(Base, i32)> = Vec::new();
    let Rule { base, offset } = state.cfa;
    if base == Base::SP {
        found.push((base, offset.saturating_neg()));
    } else {
        found.push((Base::SP, state.stack_size.saturating_neg()));
        found.extend((base.index().is_some()).then(|| (base, offset.saturating_neg())));
    }
    found
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kernel::rules::HintNumber;

    #[track_caller]
    fn check(change: impl FnOnce(&mut CfiState), expected: expect_test::Expect) {
        let mut state = CfiState::function_entry(HintNumber(2));
        change(&mut state);
        // A line at the margin, so that the margin of the drawing counts.
        expected.assert_eq(&format!("frame:\n{}", draw(&state)));
    }

    #[test]
    fn at_the_entry_only_the_return_address_is_there() {
        check(
            |_| {},
            expect![[r#"
                frame:
                   cfa |  caller's frame  |
                       +------------------+
                    -8 |  return address  |  <- rsp
            "#]],
        );
    }

    #[test]
    fn a_frame_with_a_frame_pointer() {
        let frame = |s: &mut CfiState| {
            s.cfa = Rule::new(Base::BP, 16);
            s.stack_size = 48;
            s.regs.set(Base::BP, Rule::new(Base::CFA, -16));
            s.regs.set(Base::BX, Rule::new(Base::CFA, -24));
        };
        check(
            frame,
            expect![[r#"
                frame:
                   cfa |  caller's frame  |
                       +------------------+
                    -8 |  return address  |
                   -16 |    saved rbp     |  <- rbp
                   -24 |    saved rbx     |
                       |       ...        |  16 bytes
                   -48 |                  |  <- rsp
            "#]],
        );
    }

    #[test]
    fn pt_regs_are_drawn_as_such() {
        let mut state = CfiState::function_entry(HintNumber(2));
        state.cfa = Rule::new(Base::SP, 8);
        let partial = draw_pt_regs(&state, PtRegs::Partial);
        assert_eq!(partial.lines().next(), Some("  rsp+40 | pt_regs->ss      |"));
        assert_eq!(partial.lines().last(), Some("   rsp+8 | pt_regs->ip      |"));
        assert_eq!(draw_pt_regs(&state, PtRegs::Whole).lines().count(), 21);
    }

    #[test]
    fn without_a_cfa_there_is_no_frame() {
        check(
            |s| s.cfa = Rule::UNDEFINED,
            expect![[r#"
            frame:
        "#]],
        );
    }
}
