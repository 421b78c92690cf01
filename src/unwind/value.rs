//! What a register or a word of the stack holds, as far as a path tells.
//!
//! Out: [`Value`], [`Place`].
//! Holds afterwards: values only ever lose knowledge where paths meet, so that following them comes to an end.
//!
//! The unit of everything is the CFA: rsp before the call that led here (psABI §3.2.2). It does not change during a
//! function, so whatever is a known distance from it stays one however rsp moves. An address whose distance only run time
//! knows, behind an alignment for example, is a base of its own, named by the instruction that made it.

/// A register, in DWARF's numbers (psABI, figure 3.36).
pub(super) type Reg = u8;
/// `rbx`.
pub(super) const RBX: Reg = 3;
/// `rbp`.
pub(super) const RBP: Reg = 6;
/// `rsp`.
pub(super) const RSP: Reg = 7;
/// `r11`.
pub(super) const R11: Reg = 11;
/// The column of the return address.
pub(super) const RA: Reg = 16;
/// What a function gives back as it was (psABI, figure 3.4).
pub(super) const CALLEE_SAVED: [Reg; 6] = [RBX, RBP, 12, 13, 14, 15];
/// What a call may change: all others but rsp.
pub(super) const VOLATILE: [Reg; 9] = [0, 1, 2, 4, 5, 8, 9, 10, R11];

/// So many bytes below rsp keep their contents, calls aside (psABI §3.2.2).
pub(super) const RED_ZONE: i32 = 128;

const NAMES: [&str; 17] = [
    "rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip",
];

/// The register's name without a percent sign.
pub fn name(reg: Reg) -> &'static str {
    NAMES.get(usize::from(reg)).copied().unwrap_or("a register")
}

/// The base of addresses: the CFA, or an address of the function's own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Base(pub u32);

impl Base {
    /// The CFA.
    pub(super) const CFA: Base = Base(0);

    /// The address that this instruction made.
    pub(super) fn made_by(insn: u32) -> Base {
        Base(insn.saturating_add(1))
    }

    /// The instruction that made it; `None` for the CFA.
    pub(super) fn maker(self) -> Option<u32> {
        self.0.checked_sub(1)
    }
}

/// A place of the stack, or the address of one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Place {
    /// What it counts from.
    pub base: Base,
    /// How far above that.
    pub offset: i32,
}

impl Place {
    /// A place by its distance from the CFA.
    pub(super) fn of_cfa(offset: i32) -> Place {
        Place { base: Base::CFA, offset }
    }

    /// The place `by` bytes above.
    pub(super) fn moved(self, by: i32) -> Option<Place> {
        Some(Place { base: self.base, offset: self.offset.checked_add(by)? })
    }
}

/// What is known of a word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Value {
    /// Nothing: it may be the right one.
    Unknown,
    /// Something that was computed: nothing that an unwinder asks for.
    Computed,
    /// What `clone` has returned: 0 on another stack.
    Forked,
    /// This number.
    Number(i32),
    /// Not the same on all paths.
    Differs,
    /// What the register held when the function was entered; for [`RA`] the return address.
    Entry(Reg),
    /// An address in the frame.
    Frame(Place),
}

impl Value {
    /// The CFA itself.
    pub(super) const CFA: Value = Value::Frame(Place { base: Base::CFA, offset: 0 });

    /// The address of the place at this distance from the CFA.
    pub(super) fn of_cfa(offset: i32) -> Value {
        Value::Frame(Place::of_cfa(offset))
    }

    /// The place that it is the address of.
    pub(super) fn place(self) -> Option<Place> {
        match self {
            Value::Frame(place) => Some(place),
            Value::Unknown | Value::Computed | Value::Forked | Value::Number(_) | Value::Differs | Value::Entry(_) => {
                None
            }
        }
    }

    /// The value and a number.
    pub(super) fn plus(self, by: i32) -> Value {
        match self {
            Value::Frame(place) => place.moved(by).map_or(Value::Unknown, Value::Frame),
            Value::Number(number) => number.checked_add(by).map_or(Value::Computed, Value::Number),
            Value::Entry(_) if by != 0 => Value::Computed,
            Value::Forked => Value::Computed,
            Value::Unknown | Value::Computed | Value::Differs | Value::Entry(_) => self,
        }
    }

    /// Whether it is nothing that anybody could unwind by, on every path.
    pub(super) fn is_computed(self) -> bool {
        matches!(self, Value::Computed | Value::Forked | Value::Number(_))
    }

    /// What is known where two paths meet.
    pub(super) fn meet(self, other: Value) -> Value {
        match (self, other) {
            (a, b) if a == b => a,
            (Value::Unknown, _) | (_, Value::Unknown) => Value::Unknown,
            (a, b) if a.is_computed() && b.is_computed() => Value::Computed,
            _ => Value::Differs,
        }
    }
}
