//! Says what is wrong: its kind, its words, the instruction or directive that makes it so.
//!
//! In: the first place at which a row is wrong.  Out: [`Told`].
//! Holds afterwards: only what the state shows is blamed; where nothing is to be blamed the place itself is shown.
//!
//! | case | before the place | blamed |
//! |---|---|---|
//! | 1 | the same row, which was right | the instruction before, which changed the state |
//! | 2 | another row, which was right | the directive between |
//! | 3 | nothing falls in: code behind a return or a jump | the rows that go on |
//! | 4 | paths that meet | nothing |

use iced_x86::{Decoder, DecoderOptions, Formatter, GasFormatter, OpKind};

use super::compare::{Judge, bit};
use super::op::{Flow, Op, Source};
use super::row::{CfaRule, Oddity, Row, Rule};
use super::state::State;
use super::value::{Base, RBP, RSP, Reg, Value, name};
use crate::ids::CodeLoc;
use crate::image::ElfImage;

/// Kinds of faults, as people look for them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// The stack is moved or aligned, and the table is not told.
    StackUntold,
    /// A register is saved or overwritten, and the table is not told, or told wrongly.
    RegisterWrong,
    /// Rows go on behind an early return.
    BehindReturn,
    /// A number is wrong.
    WrongNumber,
    /// A directive stands too early or too late.
    Misplaced,
    /// The CFA is adjusted while it counts from another register.
    AdjustedElsewhere,
    /// The CFA counts from a register that does not hold it.
    CfaLost,
    /// An expression reads what is not there.
    ExpressionLost,
    /// Directives that do not make sense.
    Malformed,
    /// Code that moves the stack and has no table.
    NoTable,
    /// The program itself: a register or the stack is not given back.
    NotGivenBack,
    /// The program itself: what a leaf keeps below rsp is written over.
    RedZone,
}

/// Something that explains a finding, at a place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remark {
    /// Where.
    pub at: CodeLoc,
    /// What happens there.
    pub words: String,
}

/// A branch on a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Branch {
    /// Where.
    pub at: CodeLoc,
    /// Whether it is taken.
    pub taken: bool,
}

/// What a finding says.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its kind.
    pub class: Class,
    /// What is wrong, in words.
    pub words: String,
    /// The instruction that makes it so; where a directive does, the first one that it is in force for.
    pub culprit: CodeLoc,
    /// A directive between this instruction and the culprit is to be blamed.
    pub directive_behind: Option<CodeLoc>,
    /// What else is worth to be seen.
    pub remarks: Vec<Remark>,
    /// What the table says: how the CFA is found, and where registers are saved.
    pub claimed: Frame,
    /// What the code makes true.
    pub derived: Frame,
}

/// Where the CFA and the caller's registers are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Frame {
    /// The register that the CFA counts from, and the number.
    pub cfa: Option<(Reg, i32)>,
    /// Registers in memory, as offsets from the CFA.
    pub saved: Vec<(Reg, i32)>,
}

/// What is known of a place at which a row is wrong.
pub(super) struct Scene<'a> {
    /// The object.
    pub image: &'a ElfImage,
    /// Tables and code.
    pub judge: Judge<'a>,
    /// The instruction.
    pub at: u32,
    /// The state before it.
    pub state: &'a State,
    /// The instruction that falls into it and had a right row.
    pub before: Option<u32>,
    /// The instruction that stands before it.
    pub above: Option<u32>,
    /// Whether the row of an instruction is right, by its number.
    pub is_right: &'a dyn Fn(u32) -> bool,
    /// Where a register of the caller was stored at a place of the frame.
    pub saved_by: &'a dyn Fn(Reg, i32) -> Option<u32>,
}

/// An instruction as text.
pub fn text(image: &ElfImage, at: CodeLoc) -> String {
    let code = &image.section(at.section).code;
    let bytes = usize::try_from(at.offset).ok().and_then(|start| code.get(start..)).unwrap_or(&[]);
    let insn = Decoder::with_ip(64, bytes, at.offset, DecoderOptions::NONE).decode();
    let mut formatter = GasFormatter::new();
    let options = formatter.options_mut();
    options.set_space_after_operand_separator(true);
    options.set_small_hex_numbers_in_decimal(true);
    options.set_show_useless_prefixes(false);
    let mut out = String::new();
    // Where a branch leads is a relocation's business, which nobody applied.
    if matches!(insn.op0_kind(), OpKind::NearBranch64 | OpKind::NearBranch32 | OpKind::NearBranch16) {
        formatter.format_mnemonic(&insn, &mut out);
        let section = image.section(at.section);
        let name = section.relocs.first_in(at.offset + 1, insn.next_ip()).map(|reloc| image.symbol_name(reloc.symbol));
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            out.push(' ');
            out.push_str(name);
        }
    } else {
        formatter.format(&insn, &mut out);
    }
    out
}

/// The CFA by a register, as directives spell it.
fn by(reg: Reg, offset: i32) -> String {
    format!("{}{offset:+}", name(reg))
}

/// How the CFA can be found by a register that holds an address of the frame: the one that is asked for, rsp, rbp, any.
pub(super) fn truth(state: &State, wanted: Option<Reg>) -> Option<(Reg, i32)> {
    let order = wanted.into_iter().chain([RSP, RBP]).chain(0u8..16);
    let found = order.filter_map(|reg| {
        let place = state.reg(reg).place().filter(|place| place.base == Base::CFA)?;
        Some((reg, place.offset.checked_neg()?))
    });
    found.into_iter().next()
}

/// A value in words.
fn words_of(value: Value) -> String {
    match value {
        Value::Unknown => "something that is not known".to_owned(),
        Value::Computed | Value::Forked => "something that was computed".to_owned(),
        Value::Number(number) => format!("the number {number}"),
        Value::Differs => "not the same on all paths".to_owned(),
        Value::Entry(reg) if reg == super::value::RA => "the return address".to_owned(),
        Value::Entry(reg) => format!("what {} held at entry", name(reg)),
        Value::Frame(place) if place.base == Base::CFA => format!("the address CFA{:+}", place.offset),
        Value::Frame(_) => "an address of the frame whose distance only run time knows".to_owned(),
    }
}

fn rule_words(reg: Reg, rule: Rule) -> String {
    let reg = name(reg);
    match rule {
        Rule::Same => format!("{reg} is as it was"),
        Rule::Offset(offset) => format!("{reg} is saved at CFA{offset:+}"),
        Rule::IsOffset(offset) => format!("{reg} was CFA{offset:+}"),
        Rule::Register(other) => {
            format!("{reg} is in {}", u8::try_from(other).map_or("a register", name))
        }
        Rule::Expression(_) => format!("{reg} is saved where an expression says"),
        Rule::IsExpression(_) => format!("{reg} is what an expression comes to"),
        Rule::Undefined => format!("{reg} is lost"),
    }
}

impl Scene<'_> {
    fn loc(&self, insn: u32) -> CodeLoc {
        self.judge.code.get(insn).map_or(CodeLoc::new(crate::ids::SectionId(0), 0), |insn| insn.loc())
    }

    fn row(&self, insn: u32) -> Option<&Row> {
        self.judge.code.get(insn).and_then(|insn| self.judge.tables.rows.get(insn.row as usize))
    }

    fn quoted(&self, insn: u32) -> String {
        format!("`{}`", text(self.image, self.loc(insn)))
    }

    /// Case 1: the instruction before, if the row is still the same.
    fn changed_by(&self) -> Option<u32> {
        let (before, here) = (self.judge.code.get(self.before?)?, self.judge.code.get(self.at)?);
        (before.row == here.row).then_some(self.before)?
    }

    /// The same for a register: what the directives between say of others changes nothing.
    fn changed_for(&self, reg: Reg) -> Option<u32> {
        let (before, here) = (self.row(self.before?)?, self.row(self.at)?);
        (before.rule(reg) == here.rule(reg)).then_some(self.before?)
    }

    fn lies_behind_an_end(&self) -> bool {
        let ends = |insn: u32| {
            self.judge
                .code
                .get(insn)
                .is_some_and(|insn| matches!(insn.flow, Flow::Return | Flow::Jump | Flow::Stop | Flow::JumpIndirect))
        };
        self.before.is_none() && self.above.is_some_and(ends)
    }

    /// What comes a few instructions on: the first row that is right, and whether it is this one.
    fn comes_soon(&self) -> Option<(&Row, bool)> {
        let here = self.judge.code.get(self.at)?;
        let mut next = here.next;
        for _ in 0..4 {
            let insn = self.judge.code.get(next)?;
            let right = (self.is_right)(next);
            if insn.row != here.row || right {
                return self.row(next).filter(|_| right).map(|row| (row, insn.row == here.row));
            }
            next = insn.next;
        }
        None
    }

    /// Whether the rule of a register is only too early, or comes only too late.
    fn is_misplaced(&self, reg: Reg, rule: Rule) -> bool {
        let Some((soon, same)) = self.comes_soon() else { return false };
        if self.changed_by().is_some() {
            return !same && soon.rule(reg) != rule && soon.rule(reg) != Rule::Same;
        }
        let before = self.before.and_then(|before| self.row(before));
        let held_before = |row: &Row| self.judge.compare(row, self.state).wrong & bit(reg) == 0;
        soon.rule(reg) == rule && before.is_some_and(|row| held_before(row) && row.rule(reg) != rule)
    }

    fn finish(&self, class: Class, words: String, remarks: Vec<Remark>) -> Told {
        self.blame(self.changed_by(), class, words, remarks)
    }

    /// The instruction that changed the state, if there is one; else the directive between.
    fn blame(&self, changed_by: Option<u32>, class: Class, words: String, mut remarks: Vec<Remark>) -> Told {
        let here = self.loc(self.at);
        if let Some(insn) = changed_by {
            let first = Remark { at: here, words: "the first instruction for which the table is not true".to_owned() };
            remarks.push(first);
            let (claimed, derived) = self.frames();
            return Told { class, words, culprit: self.loc(insn), directive_behind: None, remarks, claimed, derived };
        }
        let behind = self.before.or(self.above.filter(|_| self.lies_behind_an_end()));
        let behind = behind.filter(|&above| {
            let rows = (self.judge.code.get(above), self.judge.code.get(self.at));
            matches!(rows, (Some(above), Some(here)) if above.row != here.row)
        });
        let (claimed, derived) = self.frames();
        Told {
            class,
            words,
            culprit: here,
            directive_behind: behind.map(|insn| self.loc(insn)),
            remarks,
            claimed,
            derived,
        }
    }

    /// What the table says, and what the code makes true.
    fn frames(&self) -> (Frame, Frame) {
        let mut claimed = Frame::default();
        let row = self.row(self.at);
        if let Some(CfaRule::Register { reg, offset }) = row.map(|row| row.cfa) {
            claimed.cfa = Reg::try_from(reg).ok().map(|reg| (reg, offset));
        }
        for &reg in &super::value::CALLEE_SAVED {
            if let Some(Rule::Offset(offset)) = row.map(|row| row.rule(reg)) {
                claimed.saved.push((reg, offset));
            }
        }
        let words = self.state.words().iter().filter(|(place, _)| place.base == Base::CFA && place.offset < -8);
        let saved = words.filter_map(|(place, value)| match value {
            Value::Entry(reg) if super::value::CALLEE_SAVED.contains(reg) => Some((*reg, place.offset)),
            _ => None,
        });
        let derived = Frame { cfa: truth(self.state, claimed.cfa.map(|(reg, _)| reg)), saved: saved.collect() };
        (claimed, derived)
    }

    /// The CFA is wrong.
    pub(super) fn cfa(&self, row: &Row) -> Told {
        match row.cfa {
            CfaRule::Register { reg, offset } => self.cfa_by_register(Reg::try_from(reg).unwrap_or(RSP), offset),
            CfaRule::Expression(_) | CfaRule::None => self.cfa_by_expression(),
        }
    }

    fn cfa_by_register(&self, reg: Reg, offset: i32) -> Told {
        let claim = by(reg, offset);
        let value = self.state.reg(reg);
        let right = truth(self.state, Some(reg)).map(|(reg, offset)| by(reg, offset));
        let instead = right.as_ref().map(|right| format!("; it is {right}")).unwrap_or_default();
        let Some(place) = value.place() else {
            let held = match value {
                Value::Differs => format!("{} is not the same on all paths that lead here", name(reg)),
                value => format!("{} holds {}", name(reg), words_of(value)),
            };
            let culprit = self.changed_by().map(|insn| format!(" behind {}", self.quoted(insn))).unwrap_or_default();
            let words = format!("the unwind table says CFA = {claim}, but{culprit} {held}{instead}");
            return self.finish(Class::CfaLost, words, Vec::new());
        };
        if place.base != Base::CFA {
            let maker = place.base.maker();
            let mover = maker.map(|insn| self.quoted(insn)).unwrap_or_else(|| "an instruction".to_owned());
            let remarks = maker.map(|insn| Remark {
                at: self.loc(insn),
                words: format!("{mover} moves rsp by an amount that only run time knows"),
            });
            let words = format!(
                "the unwind table goes on counting from rsp (CFA = {claim}), but {mover} has moved rsp by an amount that \
                 only run time knows{instead}"
            );
            return self.finish(Class::StackUntold, words, remarks.into_iter().collect());
        }
        let right = by(reg, place.offset.saturating_neg());
        let off = i64::from(offset) + i64::from(place.offset);
        let off = format!("{} too {}", off.unsigned_abs(), if off > 0 { "much" } else { "little" });
        if self.lies_behind_an_end() {
            let words = format!(
                "the unwind table says CFA = {claim} here, as behind the end of the path above, but the code here is \
                 reached with CFA = {right}: {off}; its state was not remembered and restored"
            );
            return self.finish(Class::BehindReturn, words, Vec::new());
        }
        if let Some(insn) = self.changed_by() {
            let mover = self.quoted(insn);
            let by = self.judge.code.get(insn).and_then(|insn| moved(insn.op));
            let moves = match by {
                Some(by) => format!("{mover} moves {} by {}", name(reg), by.unsigned_abs()),
                None => format!("{mover} moves {}", name(reg)),
            };
            if self.comes_soon().is_some_and(|(_, same)| !same) {
                let words = format!(
                    "the unwind table is told too late that {moves}: until then it says CFA = {claim}, but it is {right}"
                );
                return self.finish(Class::Misplaced, words, Vec::new());
            }
            let remark = Remark { at: self.loc(insn), words: format!("{moves}, and no directive says so") };
            let words = format!("{moves}, but the unwind table goes on with CFA = {claim}; it is {right}: {off}");
            return self.finish(Class::StackUntold, words, vec![remark]);
        }
        if self.before.is_none() {
            let words =
                format!("the unwind table says CFA = {claim}, but on the paths that lead here it is {right}: {off}");
            return self.finish(Class::WrongNumber, words, Vec::new());
        }
        let before = self.before.and_then(|before| self.row(before));
        let held_before =
            before.is_some_and(|row| self.judge.compare(row, self.state).wrong & super::compare::CFA == 0);
        let stays = self
            .comes_soon()
            .is_some_and(|(soon, same)| same || Some(soon.cfa) == self.row(self.at).map(|row| row.cfa));
        if held_before && stays {
            let words = format!("the unwind table says CFA = {claim} too early: here it still is {right}");
            return self.finish(Class::Misplaced, words, Vec::new());
        }
        let same_other =
            before.is_some_and(|row| matches!(row.cfa, CfaRule::Register { reg: r, .. } if r == u16::from(reg)));
        let class = if reg != RSP && same_other { Class::AdjustedElsewhere } else { Class::WrongNumber };
        let above = self.before.map(|insn| format!(" behind {}", self.quoted(insn))).unwrap_or_default();
        let words = format!("the directive{above} makes the unwind table say CFA = {claim}, but it is {right}: {off}");
        self.finish(class, words, Vec::new())
    }

    fn cfa_by_expression(&self) -> Told {
        let right = truth(self.state, None).map(|(reg, offset)| format!("; it is {}", by(reg, offset)));
        let instead = right.unwrap_or_default();
        let words = match self.changed_by() {
            Some(insn) => format!(
                "behind {} the expression that the unwind table has for the CFA reads another word, or counts from \
                 another place: it does not lead to the CFA any more{instead}",
                self.quoted(insn)
            ),
            None => format!("the expression that the unwind table has for the CFA does not lead to it{instead}"),
        };
        let remarks = self.changed_by().map(|insn| Remark {
            at: self.loc(insn),
            words: format!("{} changes what the expression counts from", self.quoted(insn)),
        });
        self.finish(Class::ExpressionLost, words, remarks.into_iter().collect())
    }

    /// The rule of a register is wrong.
    pub(super) fn register(&self, row: &Row, reg: Reg) -> Told {
        let rule = row.rule(reg);
        let value = self.judge.register(rule, reg, self.state).unwrap_or(Value::Unknown);
        let is_word = matches!(rule, Rule::Offset(_) | Rule::Expression(_));
        let held = match (value, is_word) {
            (Value::Differs, _) => "that is not so on all paths that lead here".to_owned(),
            (Value::Computed | Value::Forked, true) => "that word does not hold it".to_owned(),
            (value, true) => format!("that word holds {}", words_of(value)),
            (value, false) => format!("it holds {}", words_of(value)),
        };
        let saved =
            self.state.words().iter().find(|(place, value)| place.base == Base::CFA && *value == Value::Entry(reg));
        let saved = saved.map(|(place, _)| place.offset);
        let mut remarks = Vec::new();
        if let Some(offset) = saved
            && let Some(insn) = (self.saved_by)(reg, offset)
        {
            remarks.push(Remark {
                at: self.loc(insn),
                words: format!("{} saves {} at CFA{offset:+}", self.quoted(insn), name(reg)),
            });
        }
        let instead = match (saved, self.state.holder_of(reg)) {
            (Some(offset), _) => format!("; its old value is at CFA{offset:+}"),
            (None, Some(holder)) if holder != reg => format!("; its old value is in {}", name(holder)),
            (None, _) => String::new(),
        };
        let class = if self.lies_behind_an_end() {
            Class::BehindReturn
        } else if self.is_misplaced(reg, rule) {
            Class::Misplaced
        } else {
            Class::RegisterWrong
        };
        let changed_by = self.changed_for(reg);
        let behind = changed_by.map(|insn| format!(" behind {}", self.quoted(insn))).unwrap_or_default();
        let words = format!("the unwind table says that {}, but{behind} {held}{instead}", rule_words(reg, rule));
        self.blame(changed_by, class, words, remarks)
    }

    /// The register whose old value the word holds that the row takes for another one's.
    pub(super) fn taken_for(&self, row: &Row, reg: Reg) -> Option<Reg> {
        match self.judge.register(row.rule(reg), reg, self.state) {
            Some(Value::Entry(other)) if other != reg && bit(other) != 0 => Some(other),
            _ => None,
        }
    }
}

/// By how much an instruction moves the stack pointer.
fn moved(op: Op) -> Option<i32> {
    match op {
        Op::Push { size, .. } => Some(-i32::from(size)),
        Op::Pop { to: Source::Reg(RSP), .. } => None,
        Op::Pop { size, .. } => Some(i32::from(size)),
        Op::Lea { to: RSP, from: RSP, by } => Some(by),
        _ => None,
    }
}

/// What is odd about a description.
pub(super) fn oddity(oddity: Oddity) -> &'static str {
    match oddity {
        Oddity::NothingRemembered => "a remembered state is restored here, but none was remembered",
        Oddity::RegisterOfExpression => {
            "the register of the CFA is changed while the CFA is an expression: some readers take the last offset that \
             there was, others refuse the function's whole table"
        }
        Oddity::OffsetOfExpression => {
            "the offset of the CFA is changed while the CFA is an expression: readers refuse the function's whole table"
        }
        Oddity::UnknownInstruction => "the table has an instruction here that x86-64 does not have",
    }
}
