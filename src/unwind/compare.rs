//! Compares a row with the state that the code makes true.
//!
//! In: a [`Row`], a [`State`].  Out: [`Comparison`].
//! Holds afterwards: what can not be told is not called wrong; registers are judged only where the CFA is right.
//!
//! | case | the row says | wrong where | not told where |
//! |---|---|---|---|
//! | 1 | nobody is above | never | never |
//! | 2 | CFA = register + number | the register holds another place, or something computed | the register is not known, rsp is on another stack, its distance hangs on an alignment |
//! | 3 | CFA = rsp + number | 2, and rsp was lowered by an amount that only run time knows | 2 |
//! | 4 | CFA = expression | it comes to another place, or reads a word that nobody wrote | it can not be evaluated |
//! | 5 | a register is as it was | it holds anything else | the register is not known |
//! | 6 | a register is saved at CFA + number | the word holds anything else, or was never written | the word is not known |
//! | 7 | a register is in another, or an expression | as 5 and 6 | as 5 and 6 |

use super::code::Code;
use super::expression::evaluate;
use super::op::Op;
use super::row::{CfaRule, JUDGED, Row, Rule};
use super::state::State;
use super::table::Tables;
use super::value::{Base, Place, RA, RSP, Reg, Value};

/// What a finding is about: bit 0 is the CFA, the others are those of [`JUDGED`].
pub(super) type Mask = u8;
/// The CFA's bit.
pub(super) const CFA: Mask = 1;

/// The bit of a register of [`JUDGED`].
pub(super) fn bit(reg: Reg) -> Mask {
    JUDGED.iter().position(|&judged| judged == reg).map_or(0, |at| 2 << at)
}

/// What came of comparing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Comparison {
    /// What is wrong.
    pub wrong: Mask,
    /// What can not be told.
    pub unknown: Mask,
}

/// What tables and code are compared by.
#[derive(Clone, Copy)]
pub(super) struct Judge<'a> {
    /// The tables.
    pub tables: &'a Tables,
    /// The code.
    pub code: &'a Code,
}

impl Judge<'_> {
    /// What the row takes for the CFA, by the state.
    pub(super) fn cfa(&self, row: &Row, state: &State) -> Value {
        match row.cfa {
            CfaRule::None => Value::Unknown,
            CfaRule::Register { reg, offset } => match u8::try_from(reg) {
                Ok(reg) if reg < 16 => state.reg(reg).plus(offset),
                _ => Value::Unknown,
            },
            CfaRule::Expression(expression) => evaluate(self.tables.expression(expression), state, None),
        }
    }

    /// Whether rsp was moved by an amount of which only run time knows.
    pub(super) fn is_lowered_by_register(&self, base: Base) -> bool {
        let maker = base.maker().and_then(|insn| self.code.get(insn));
        maker.is_some_and(|insn| matches!(insn.op, Op::AddReg { to: RSP, minus: true, .. }))
    }

    /// Compares.
    pub(super) fn compare(&self, row: &Row, state: &State) -> Comparison {
        let mut found = Comparison::default();
        // Case 1.
        if row.is_outermost() {
            return found;
        }
        let cfa = self.cfa(row, state);
        if cfa != Value::CFA {
            let wrong = self.is_wrong_cfa(row, state, cfa);
            *(if wrong { &mut found.wrong } else { &mut found.unknown }) |= CFA;
            return found;
        }
        for (at, &reg) in JUDGED.iter().enumerate() {
            let rule = row.rules[at];
            // Most registers were never touched.
            if rule == Rule::Same && reg < 16 && state.reg(reg) == Value::Entry(reg) {
                continue;
            }
            match self.register(rule, reg, state) {
                None => {}
                Some(Value::Entry(held)) if held == reg => {}
                Some(Value::Unknown) => found.unknown |= 2 << at,
                Some(_) => found.wrong |= 2 << at,
            }
        }
        found
    }

    /// Cases 2 to 4, for a CFA that is not the right one.
    fn is_wrong_cfa(&self, row: &Row, state: &State, cfa: Value) -> bool {
        let by_rsp = matches!(row.cfa, CfaRule::Register { reg, .. } if reg == u16::from(RSP));
        match cfa {
            Value::Unknown => false,
            Value::Frame(place) if place.base != Base::CFA => by_rsp && self.is_lowered_by_register(place.base),
            Value::Frame(_) => true,
            Value::Computed | Value::Forked | Value::Entry(_) | Value::Number(_) => {
                let elsewhere = matches!(state.reg(RSP), Value::Entry(_)) || state.reg(RSP).is_computed();
                row.cfa != CfaRule::None && !(by_rsp && elsewhere)
            }
            Value::Differs => true,
        }
    }

    /// What a rule finds for a register; `None` where it promises nothing.
    pub(super) fn register(&self, rule: Rule, reg: Reg, state: &State) -> Option<Value> {
        let at = |place: Option<Place>| match place.map(|place| (place, state.word(place))) {
            Some((_, Some(value))) => value,
            // Above the return address is the caller's business, and the return address itself a special case.
            Some((place, None)) if place.base == Base::CFA && place.offset < -8 && !state.is_full() => Value::Computed,
            Some((_, None)) | None => Value::Unknown,
        };
        let start = Some(Value::CFA);
        Some(match rule {
            Rule::Undefined => return None,
            Rule::Same if reg == RA => Value::Unknown,
            Rule::Same => state.reg(reg),
            Rule::Offset(offset) if offset >= 0 && reg != RA => match state.word(Place::of_cfa(offset)) {
                Some(value) => value,
                None => Value::Computed,
            },
            Rule::Offset(offset) => at(Some(Place::of_cfa(offset))),
            Rule::IsOffset(offset) => Value::of_cfa(offset),
            Rule::Register(other) => u8::try_from(other).map_or(Value::Unknown, |other| state.reg(other)),
            Rule::Expression(expression) => at(evaluate(self.tables.expression(expression), state, start).place()),
            Rule::IsExpression(expression) => evaluate(self.tables.expression(expression), state, start),
        })
    }
}
