//! What an instruction does to the stack, as far as causes and fixes know it, and how deep the stack is there.
//!
//! In: an instruction, its stack operations.  Out: [`Deed`], depths in bytes.
//! Holds afterwards: what undoes a deed is a deed, and undone twice it is the same one.

use crate::analysis::Analysis;
use crate::cfi::{Base, Dest, Source, StackOp};
use crate::decode::Usage;
use crate::ids::InsnId;

/// What an instruction does to the stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    /// A register is pushed, or the flags, or something else.
    Push(Option<Base>),
    /// The same is popped.
    Pop(Option<Base>),
    /// The stack grows by so many bytes.
    Take(i32),
    /// The stack shrinks by so many bytes.
    GiveBack(i32),
}

impl Deed {
    /// What these operations come to.
    pub fn of(ops: &[StackOp]) -> Option<Deed> {
        ops.iter().find_map(|op| match (op.dest, op.src) {
            (Dest::Push, Source::Reg(register)) => Some(Deed::Push(Some(register))),
            (Dest::Push | Dest::Pushf, _) => Some(Deed::Push(None)),
            (Dest::Reg(register), Source::Pop) => Some(Deed::Pop(Some(register))),
            (_, Source::Pop | Source::Popf) => Some(Deed::Pop(None)),
            (Dest::Reg(Base::SP), Source::Add(Base::SP, n)) if n < 0 => Some(Deed::Take(n.saturating_neg())),
            (Dest::Reg(Base::SP), Source::Add(Base::SP, n)) => Some(Deed::GiveBack(n)),
            _ => None,
        })
    }

    /// Whether the stack grows.
    pub fn puts(self) -> bool {
        matches!(self, Deed::Push(_) | Deed::Take(_))
    }

    /// What undoes it.
    pub fn other(self) -> Deed {
        match self {
            Deed::Push(register) => Deed::Pop(register),
            Deed::Pop(register) => Deed::Push(register),
            Deed::Take(n) => Deed::GiveBack(n),
            Deed::GiveBack(n) => Deed::Take(n),
        }
    }
}

/// How far below the CFA the stack pointer is before an instruction; `None` where the CFA counts from another register.
pub fn depth(analysis: &Analysis, insn: InsnId) -> Option<i64> {
    let state = analysis.states.state(insn)?;
    (state.cfa.base == Base::SP).then_some(i64::from(state.cfa.offset))
}

/// Whether an instruction writes over the return address, or into the caller's frame, by the stack pointer.
pub fn writes_beyond(analysis: &Analysis, insn: InsnId) -> bool {
    let is_deed = Deed::of(analysis.insns.ops(insn)).is_some();
    let Some(depth) = depth(analysis, insn).filter(|_| !is_deed) else { return false };
    let used = Usage::of(&analysis.image, &analysis.insns, insn);
    let reaches = |at: i64| at + 8 > -8;
    used.memory.iter().any(|access| {
        access.written && access.base == Some(Base::SP) && !access.indexed && reaches(access.displacement - depth)
    })
}
