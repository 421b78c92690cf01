//! The CFI state: how to find the caller's frame from an instruction.
//!
//! Out: [`CfiState`], what it is made of, and how a stack operation changes it ([`apply`]).
//! Reads like: `struct cfi_state` in `tools/objtool/include/objtool/cfi.h`.

mod idle;
mod intern;
pub mod op;
mod registers;
mod step;

use std::fmt;

pub use idle::{Demands, Facts};
pub use intern::Interner;
pub use op::{Dest, Source, StackOp};
pub use registers::{Held, Saved};
pub use step::{Context, StepFault, apply};

use crate::kernel::rules::HintNumber;

/// Number of registers that a state tracks: 16 general ones and the return address.
pub const N_REGS: usize = 17;

/// What an offset counts from. The numbers are those that objtool prints.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Base(pub i8);

#[allow(missing_docs, reason = "the registers' own names")]
impl Base {
    pub const AX: Base = Base(0);
    pub const CX: Base = Base(1);
    pub const DX: Base = Base(2);
    pub const BX: Base = Base(3);
    pub const SP: Base = Base(4);
    pub const BP: Base = Base(5);
    pub const SI: Base = Base(6);
    pub const DI: Base = Base(7);
    pub const R8: Base = Base(8);
    pub const R10: Base = Base(10);
    pub const R12: Base = Base(12);
    pub const R13: Base = Base(13);
    pub const R14: Base = Base(14);
    pub const R15: Base = Base(15);
    /// The return address.
    pub const RA: Base = Base(16);
    /// Not known.
    pub const UNDEFINED: Base = Base(-1);
    /// The CFA: the stack pointer before the call that entered the function.
    pub const CFA: Base = Base(-2);
    /// What the word at the stack pointer points to.
    pub const SP_INDIRECT: Base = Base(-3);
    /// What a word near the frame pointer points to.
    pub const BP_INDIRECT: Base = Base(-4);

    /// The register with this number.
    pub fn reg(number: u8) -> Base {
        Base(number as i8)
    }

    /// The position in a register table, when the base is a register.
    pub fn index(self) -> Option<usize> {
        usize::try_from(self.0).ok().filter(|&i| i < N_REGS)
    }

    /// The name as a person reads it: `rsp`, `r10`, `cfa`, ...
    pub fn name(self) -> &'static str {
        const NAMES: [&str; N_REGS] = [
            "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
            "r15", "ra",
        ];
        match self {
            Base::CFA => "cfa",
            Base::SP_INDIRECT => "(rsp)",
            Base::BP_INDIRECT => "(rbp)",
            _ => self.index().map_or("undefined", |i| NAMES[i]),
        }
    }
}

/// A place or value: `base + offset`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Rule {
    /// What `offset` counts from.
    pub base: Base,
    /// Bytes.
    pub offset: i32,
}

impl Rule {
    /// Nothing is known.
    pub const UNDEFINED: Rule = Rule { base: Base::UNDEFINED, offset: 0 };

    /// `base + offset`.
    pub const fn new(base: Base, offset: i32) -> Rule {
        Rule { base, offset }
    }
}

/// `rsp+16`, `cfa-8`, `unknown`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.base, self.offset) {
            (Base::UNDEFINED, _) => f.write_str("unknown"),
            (base, 0) => f.write_str(base.name()),
            (base, offset) => write!(f, "{}{offset:+}", base.name()),
        }
    }
}

/// The CFI state before an instruction.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CfiState {
    /// Where the caller's value of each register is saved.
    pub regs: Saved,
    /// What each register holds, as far as it is relative to the CFA or the top of a swizzled stack.
    pub vals: Held,
    /// How to compute the CFA.
    pub cfa: Rule,
    /// Bytes between the CFA and the stack pointer, as far as known.
    pub stack_size: i32,
    /// The register that GCC realigns the stack with (DRAP).
    pub drap_reg: Base,
    /// Where that register was pushed.
    pub drap_offset: i32,
    /// The frame's kind: the number of the unwind hint type in the release's numbering.
    pub kind: HintNumber,
    /// The frame pointer was overwritten.
    pub bp_scratch: bool,
    /// The frame is reached through the DRAP register.
    pub drap: bool,
    /// The outermost frame (6.1).
    pub end: bool,
    /// A signal frame (6.12 and later).
    pub signal: bool,
    /// The state was declared undefined by a hint (6.12 and later).
    pub force_undefined: bool,
}

impl CfiState {
    /// Nothing is known: where a walk from a hint starts.
    pub fn initial() -> CfiState {
        CfiState {
            regs: Saved::UNDEFINED,
            vals: Held::UNDEFINED,
            cfa: Rule::UNDEFINED,
            stack_size: 0,
            drap_reg: Base::UNDEFINED,
            drap_offset: -1,
            kind: HintNumber(0),
            bp_scratch: false,
            drap: false,
            end: false,
            signal: false,
            force_undefined: false,
        }
    }

    /// At the first instruction of a function: the return address is on top of the stack.
    pub fn function_entry(call_kind: HintNumber) -> CfiState {
        let mut state = CfiState::initial();
        state.cfa = Rule::new(Base::SP, 8);
        state.regs.set(Base::RA, Rule::new(Base::CFA, -8));
        state.stack_size = 8;
        state.kind = call_kind;
        state
    }

    /// Where the caller's value of a register is saved.
    pub fn reg(&self, base: Base) -> Rule {
        self.regs.get(base)
    }

    /// What a register holds.
    pub fn val(&self, base: Base) -> Rule {
        self.vals.get(base)
    }

    /// Whether a return from here would not find the frame as the function's entry left it.
    pub fn frame_modified(&self) -> bool {
        self.cfa != Rule::new(Base::SP, 8)
            || self.drap
            || self.stack_size != 8
            || self.regs != CfiState::function_entry(self.kind).regs
    }

    /// Whether a frame pointer is set up, with it and the return address saved where they belong.
    pub fn frame_valid(&self) -> bool {
        let (bp, ra) = (self.reg(Base::BP), self.reg(Base::RA));
        (self.cfa.base == Base::BP
            && bp == Rule::new(Base::CFA, -self.cfa.offset)
            && ra == Rule::new(Base::CFA, 8 - self.cfa.offset))
            || (self.drap && bp.base == Base::BP)
    }
}
