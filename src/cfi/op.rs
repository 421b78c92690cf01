//! What an instruction does to the stack.
//!
//! Out: [`StackOp`], a source and a destination, each with its equation.

use super::Base;

/// Where a stack operation takes its value from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Source {
    /// `reg`
    Reg(Base),
    /// `*(reg + offset)`
    Indirect(Base, i32),
    /// A constant, or a value of no interest.
    Const,
    /// `*rsp`, then `rsp += 8`
    Pop,
    /// `*rsp`, then `rsp += 8`; the value is the flags
    Popf,
    /// `reg + offset`
    Add(Base, i32),
    /// `reg & mask`
    And(Base),
}

/// Where a stack operation puts it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Dest {
    /// `reg = value`
    Reg(Base),
    /// `*(reg + offset) = value`
    Indirect(Base, i32),
    /// Some other memory.
    Mem,
    /// `rsp -= 8`, then `*rsp = value`
    Push,
    /// `rsp -= 8`, then `*rsp = flags`
    Pushf,
}

/// `dest = src`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct StackOp {
    /// The left side.
    pub dest: Dest,
    /// The right side.
    pub src: Source,
}

impl StackOp {
    /// By how many bytes it lets the stack grow, as far as it says so itself.
    pub fn growth(&self) -> i32 {
        match (self.dest, self.src) {
            (Dest::Push | Dest::Pushf, _) => 8,
            (_, Source::Pop | Source::Popf) => -8,
            (Dest::Reg(Base::SP), Source::Add(Base::SP, n)) => n.wrapping_neg(),
            _ => 0,
        }
    }
}
