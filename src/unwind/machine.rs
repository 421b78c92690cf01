//! Runs the instructions of a description, and makes its rows.
//!
//! In: a description's instructions.  Out: [`Row`]s, and what was odd on the way.
//! Holds afterwards: rows ascend, none is empty, and each knows where its parts were said.
//! Reads like: DWARF 5 §6.4.2 (call frame instructions), §6.4.3; binutils' `gas/doc/as.texi`, "CFI directives".

use gimli::{
    BaseAddresses, CallFrameInstruction, CommonInformationEntry, EndianSlice, FrameDescriptionEntry, LittleEndian,
    UnwindExpression, UnwindSection,
};

use super::row::{CfaRule, Expression, JUDGED, Oddity, Row, Rule};
use super::value::RA;

/// What gimli reads from.
pub(super) type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// More rows than this no function has.
const MOST_ROWS: usize = 1 << 20;
/// States that are remembered at a time.
const MOST_REMEMBERED: usize = 1 << 10;

/// What a CIE says, before any instruction of a description.
#[derive(Clone)]
pub(super) struct Initial {
    row: Row,
}

struct Machine<'a> {
    row: Row,
    initial: Option<&'a Row>,
    remembered: Vec<Row>,
    /// The last offset that the CFA had: what libgcc and gdb go on with behind an expression.
    last_offset: i32,
    expressions: &'a mut Vec<u8>,
    rows: Option<&'a mut Vec<Row>>,
    first_row: usize,
    at: u32,
    end: u32,
    code_factor: u64,
    data_factor: i64,
    oddities: Vec<(u32, Oddity)>,
}

fn blank() -> Row {
    let mut rules = [Rule::Same; 7];
    rules[6] = Rule::Offset(-8);
    Row { start: 0, end: 0, cfa: CfaRule::None, rules, others: Vec::new(), said: [0; 8], args_size: 0 }
}

/// What the CIE says at first.
pub(super) fn initial<'b, S: UnwindSection<Slice<'b>>>(
    section: &S,
    bases: &BaseAddresses,
    cie: &CommonInformationEntry<Slice<'b>>,
    expressions: &mut Vec<u8>,
) -> Initial {
    let mut machine = Machine {
        row: blank(),
        initial: None,
        remembered: Vec::new(),
        last_offset: 0,
        expressions,
        rows: None,
        first_row: 0,
        at: 0,
        end: 0,
        code_factor: cie.code_alignment_factor(),
        data_factor: cie.data_alignment_factor(),
        oddities: Vec::new(),
    };
    let mut instructions = cie.instructions(section, bases);
    while let Ok(Some(instruction)) = instructions.next() {
        machine.execute(section, instruction);
    }
    Initial { row: machine.row }
}

/// Makes the rows of a description whose code lies at `start..end`, as far as it can be read. What was odd, and at which
/// place of the code.
pub(super) fn run<'b, S: UnwindSection<Slice<'b>>>(
    section: &S,
    bases: &BaseAddresses,
    fde: &FrameDescriptionEntry<Slice<'b>>,
    initial: &Initial,
    (start, end): (u32, u32),
    (rows, expressions): (&mut Vec<Row>, &mut Vec<u8>),
) -> Vec<(u32, Oddity)> {
    let mut row = initial.row.clone();
    row.start = start;
    row.said = [start; 8];
    let first_row = rows.len();
    let mut machine = Machine {
        last_offset: if let CfaRule::Register { offset, .. } = row.cfa { offset } else { 0 },
        row,
        initial: Some(&initial.row),
        remembered: Vec::new(),
        expressions,
        rows: Some(rows),
        first_row,
        at: start,
        end,
        code_factor: fde.cie().code_alignment_factor(),
        data_factor: fde.cie().data_alignment_factor(),
        oddities: Vec::new(),
    };
    let mut instructions = fde.instructions(section, bases);
    let mut whole = true;
    loop {
        match instructions.next() {
            Ok(Some(instruction)) => {
                if !machine.execute(section, instruction) {
                    whole = false;
                    break;
                }
            }
            Ok(None) => break,
            Err(_) => {
                machine.odd(Oddity::UnknownInstruction);
                whole = false;
                break;
            }
        }
    }
    if whole {
        machine.advance_to(end);
    }
    machine.oddities
}

impl Machine<'_> {
    fn odd(&mut self, oddity: Oddity) {
        self.oddities.push((self.at, oddity));
    }

    /// Ends the row that is in force.
    fn advance_to(&mut self, to: u32) {
        let to = to.min(self.end);
        if to > self.at {
            if let Some(rows) = &mut self.rows
                && rows.len() - self.first_row < MOST_ROWS
            {
                rows.push(Row { start: self.at, end: to, ..self.row.clone() });
            }
            self.at = to;
        }
    }

    fn set(&mut self, register: gimli::Register, rule: Rule) {
        let number = register.0;
        match JUDGED.iter().position(|&judged| u16::from(judged) == number) {
            Some(at) => {
                self.row.rules[at] = rule;
                self.row.said[at + 1] = self.at;
            }
            None => {
                self.row.others.retain(|(other, _)| *other != number);
                if rule != Rule::Same && self.row.others.len() < 64 {
                    self.row.others.push((number, rule));
                }
            }
        }
    }

    fn set_cfa(&mut self, cfa: CfaRule) {
        self.row.cfa = cfa;
        self.row.said[0] = self.at;
        if let CfaRule::Register { offset, .. } = cfa {
            self.last_offset = offset;
        }
    }

    fn set_cfa_offset(&mut self, offset: Option<i32>) {
        match (self.row.cfa, offset) {
            (CfaRule::Register { reg, .. }, Some(offset)) => self.set_cfa(CfaRule::Register { reg, offset }),
            (CfaRule::Register { .. }, None) => self.set_cfa(CfaRule::None),
            (CfaRule::Expression(_) | CfaRule::None, _) => self.odd(Oddity::OffsetOfExpression),
        }
    }

    fn factored(&self, offset: i64) -> Option<i32> {
        offset.checked_mul(self.data_factor).and_then(|offset| i32::try_from(offset).ok())
    }

    fn expression<'b, S: UnwindSection<Slice<'b>>>(
        &mut self,
        section: &S,
        expression: UnwindExpression<usize>,
    ) -> Option<Expression> {
        let bytes = expression.get(section).ok()?.0.slice();
        let start = u32::try_from(self.expressions.len()).ok()?;
        let len = u32::try_from(bytes.len()).ok()?;
        self.expressions.extend_from_slice(bytes);
        Some(Expression { start, len })
    }

    /// Whether what follows can be understood.
    fn execute<'b, S: UnwindSection<Slice<'b>>>(
        &mut self,
        section: &S,
        instruction: CallFrameInstruction<usize>,
    ) -> bool {
        use CallFrameInstruction as I;
        let in_memory = |offset: Option<i32>| offset.map_or(Rule::Undefined, Rule::Offset);
        match instruction {
            I::SetLoc { .. } => {
                self.odd(Oddity::UnknownInstruction);
                return false;
            }
            I::AdvanceLoc { delta } => {
                let by = u64::from(delta).saturating_mul(self.code_factor);
                self.advance_to(u32::try_from(u64::from(self.at).saturating_add(by)).unwrap_or(u32::MAX));
            }
            I::DefCfa { register, offset } => {
                let offset = i32::try_from(offset).ok();
                let rule = |offset| CfaRule::Register { reg: register.0, offset };
                self.set_cfa(offset.map_or(CfaRule::None, rule));
            }
            I::DefCfaSf { register, factored_offset } => {
                let rule = |offset| CfaRule::Register { reg: register.0, offset };
                let cfa = self.factored(factored_offset).map_or(CfaRule::None, rule);
                self.set_cfa(cfa);
            }
            I::DefCfaRegister { register } => {
                if !matches!(self.row.cfa, CfaRule::Register { .. }) {
                    self.odd(Oddity::RegisterOfExpression);
                }
                self.set_cfa(CfaRule::Register { reg: register.0, offset: self.last_offset });
            }
            I::DefCfaOffset { offset } => self.set_cfa_offset(i32::try_from(offset).ok()),
            I::DefCfaOffsetSf { factored_offset } => {
                let offset = self.factored(factored_offset);
                self.set_cfa_offset(offset);
            }
            I::DefCfaExpression { expression } => {
                let cfa = self.expression(section, expression).map_or(CfaRule::None, CfaRule::Expression);
                self.set_cfa(cfa);
            }
            I::Undefined { register } => self.set(register, Rule::Undefined),
            I::SameValue { register } => self.set(register, Rule::Same),
            I::Offset { register, factored_offset } => {
                let offset = i64::try_from(factored_offset).ok().and_then(|offset| self.factored(offset));
                self.set(register, in_memory(offset));
            }
            I::OffsetExtendedSf { register, factored_offset } => {
                let offset = self.factored(factored_offset);
                self.set(register, in_memory(offset));
            }
            I::ValOffset { register, factored_offset } => {
                let offset = i64::try_from(factored_offset).ok().and_then(|offset| self.factored(offset));
                self.set(register, offset.map_or(Rule::Undefined, Rule::IsOffset));
            }
            I::ValOffsetSf { register, factored_offset } => {
                let offset = self.factored(factored_offset);
                self.set(register, offset.map_or(Rule::Undefined, Rule::IsOffset));
            }
            I::Register { dest_register, src_register } => self.set(dest_register, Rule::Register(src_register.0)),
            I::Expression { register, expression } => {
                let rule = self.expression(section, expression).map_or(Rule::Undefined, Rule::Expression);
                self.set(register, rule);
            }
            I::ValExpression { register, expression } => {
                let rule = self.expression(section, expression).map_or(Rule::Undefined, Rule::IsExpression);
                self.set(register, rule);
            }
            I::Restore { register } => {
                let rule = self.initial.map_or(Rule::Same, |initial| rule_in(initial, register.0));
                self.set(register, rule);
            }
            I::RememberState if self.remembered.len() >= MOST_REMEMBERED => return false,
            I::RememberState => self.remembered.push(self.row.clone()),
            I::RestoreState => match self.remembered.pop() {
                Some(row) => {
                    self.row = Row { start: self.at, said: [self.at; 8], args_size: self.row.args_size, ..row };
                    if let CfaRule::Register { offset, .. } = self.row.cfa {
                        self.last_offset = offset;
                    }
                }
                None => self.odd(Oddity::NothingRemembered),
            },
            I::ArgsSize { size } => self.row.args_size = u32::try_from(size).unwrap_or(0),
            I::NegateRaState => {
                self.odd(Oddity::UnknownInstruction);
                return false;
            }
            I::Nop => {}
        }
        true
    }
}

fn rule_in(row: &Row, number: u16) -> Rule {
    match u8::try_from(number) {
        Ok(reg) if reg <= RA => row.rule(reg),
        _ => Rule::Same,
    }
}
