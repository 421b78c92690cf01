//! A rule for each register.
//!
//! Out: [`Registers`]; bases and offsets apart, which makes states smaller, and quicker to compare.

use super::{Base, N_REGS, Rule};

/// A rule for each register.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Registers {
    bases: [i8; N_REGS],
    offsets: [i32; N_REGS],
}

impl Registers {
    /// Nothing is known of any register.
    pub const UNDEFINED: Registers = Registers { bases: [Base::UNDEFINED.0; N_REGS], offsets: [0; N_REGS] };

    /// The rule of a register; nothing is known of what is none.
    pub fn get(&self, register: Base) -> Rule {
        register.index().map_or(Rule::UNDEFINED, |i| Rule::new(Base(self.bases[i]), self.offsets[i]))
    }

    /// Changes the rule of a register.
    pub fn set(&mut self, register: Base, rule: Rule) {
        if let Some(i) = register.index() {
            (self.bases[i], self.offsets[i]) = (rule.base.0, rule.offset);
        }
    }

    /// All registers with their rules.
    pub fn iter(&self) -> impl Iterator<Item = (Base, Rule)> {
        (0..N_REGS as u8).map(Base::reg).map(|register| (register, self.get(register)))
    }
}
