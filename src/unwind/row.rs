//! A row of an unwind table: how the caller is found at an instruction.
//!
//! Out: [`Row`], [`CfaRule`], [`Rule`].
//! Reads like: DWARF 5 §6.4.1 (structure of call frame information).

use super::value::{CALLEE_SAVED, RA, Reg};

/// Bytes of an expression: a range of those of the tables.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Expression {
    /// Where it starts.
    pub start: u32,
    /// How long it is.
    pub len: u32,
}

/// How the CFA is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CfaRule {
    /// Nothing is said.
    None,
    /// A register and a number.
    Register {
        /// The register.
        reg: u16,
        /// What is added.
        offset: i32,
    },
    /// What an expression comes to.
    Expression(Expression),
}

/// How a register of the caller is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rule {
    /// It is as it was.
    Same,
    /// In memory, so far above the CFA.
    Offset(i32),
    /// It is the CFA and a number.
    IsOffset(i32),
    /// In another register.
    Register(u16),
    /// In memory, at what an expression comes to.
    Expression(Expression),
    /// It is what an expression comes to.
    IsExpression(Expression),
    /// It is lost; for the return address: nobody called.
    Undefined,
}

/// The registers that rows are judged by: those a function gives back, and the return address.
pub(super) const JUDGED: [Reg; 7] =
    [CALLEE_SAVED[0], CALLEE_SAVED[1], CALLEE_SAVED[2], CALLEE_SAVED[3], CALLEE_SAVED[4], CALLEE_SAVED[5], RA];

/// A row: in force from its start to its end, in the order of addresses, whatever the control flow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Row {
    /// Offset of the first byte in the section of the code.
    pub start: u32,
    /// Offset behind the last.
    pub end: u32,
    /// The CFA.
    pub cfa: CfaRule,
    /// The registers of [`JUDGED`].
    pub rules: [Rule; 7],
    /// What it says of other registers, their number and rule.
    pub others: Vec<(u16, Rule)>,
    /// At which place of the code the directive stands that last said something of the CFA, and of each register.
    pub said: [u32; 8],
    /// Bytes of arguments on the stack that a landing pad finds popped.
    pub args_size: u32,
}

impl Row {
    /// The rule of a register.
    pub(super) fn rule(&self, reg: Reg) -> Rule {
        let judged = JUDGED.iter().position(|&judged| judged == reg).and_then(|at| self.rules.get(at));
        let other = || self.others.iter().find(|(other, _)| *other == u16::from(reg)).map(|(_, rule)| rule);
        judged.or_else(other).copied().unwrap_or(Rule::Same)
    }

    /// Whether it is the row of a function that was just called by the rules.
    pub(super) fn is_of_entry(&self) -> bool {
        self.cfa == CfaRule::Register { reg: 7, offset: 8 }
            && self.rules[..6].iter().all(|rule| *rule == Rule::Same)
            && self.rules[6] == Rule::Offset(-8)
    }

    /// Whether nobody is above.
    pub(super) fn is_outermost(&self) -> bool {
        self.rules[6] == Rule::Undefined
    }
}

/// Something in a description that no reader has to understand.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Oddity {
    /// `restore_state` without a state that was remembered.
    NothingRemembered,
    /// `def_cfa_register` while the CFA is an expression.
    RegisterOfExpression,
    /// `def_cfa_offset` while the CFA is an expression, or nothing.
    OffsetOfExpression,
    /// What x86-64 does not have, or nobody has.
    UnknownInstruction,
}
