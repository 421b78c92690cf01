//! Compares each row with the state before each instruction, and finds where what is wrong begins.
//!
//! In: settled states.  Out: [`Judgement`].
//! Holds afterwards: a finding stands where the instructions before it were right; what is wrong by design or of no
//! consequence is not called wrong.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::bare::Bare;
use super::code::{Code, Insn, NONE, Target};
use super::compare::{CFA, Comparison, Judge, Mask, bit};
use super::fault::{self, Branch, Class, Frame, Remark, Scene, Told};
use super::names::Names;
use super::op::{Flow, Mem, Op, Source};
use super::pointers::Pointers;
use super::row::{CfaRule, JUDGED, Oddity, Row, Rule};
use super::settle::{Left, inner_entries, kept_registers, matters, settle};
use super::state::State;
use super::table::Tables;
use super::value::{Base, CALLEE_SAVED, RBX, RSP, Reg, VOLATILE, Value};
use super::walk::{Exit, Ground, Lost, Nobody, Sink, States};
use super::zone::Kept;
use crate::cancel::{CancelToken, Cancelled};
use crate::ids::{CodeLoc, SymbolId};
use crate::image::ElfImage;

/// Why an instruction that has a row was not judged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unjudged {
    /// No path leads there that can be followed.
    Unreached,
    /// What the CFA counts from is not known.
    CfaNotKnown,
    /// Its row is about another stack.
    AnotherContext,
    /// A frame that a signal made.
    SignalFrame,
    /// The return address is in another column than usual.
    OtherColumn,
    /// The description can not be read up to there.
    Unreadable,
    /// It belongs to a table of procedure linkage, which a linker wrote with its rows.
    LinkageTable,
}

impl Unjudged {
    /// The reason in words.
    pub fn words(self) -> &'static str {
        match self {
            Unjudged::Unreached => "that no path leads to",
            Unjudged::CfaNotKnown => "where it is unknown how far the stack pointer is from the CFA",
            Unjudged::AnotherContext => "with a row about another stack",
            Unjudged::SignalFrame => "of a frame that a signal makes",
            Unjudged::OtherColumn => "with the return address in another column",
            Unjudged::Unreadable => "whose row cannot be read",
            Unjudged::LinkageTable => "of the procedure linkage table, which the linker writes with its rows",
        }
    }
}

/// What of a row or a function is wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Subject {
    /// The row's CFA.
    Cfa,
    /// The row's rule for a register.
    Register(Reg),
    /// The CFA or a register of the first row of the function that is jumped to.
    Tail(Mask),
    /// A register is not given back.
    NotRestored(Reg),
    /// It returns by a word that is no return address.
    ReturnsElsewhere,
    /// It is entered with a frame that no caller makes.
    Entry,
    /// The description is malformed.
    Malformed(Oddity),
    /// The direction flag is left set, by this instruction.
    DirectionFlag(CodeLoc),
    /// What lies below rsp is written over.
    RedZone {
        /// The CFA counts from another register than rsp there.
        framed: bool,
    },
}

/// Something that is wrong.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The first instruction at which it is.
    pub at: CodeLoc,
    /// The function.
    pub function: Option<SymbolId>,
    /// What it is about.
    pub subject: Subject,
    /// What it says.
    pub told: Told,
    /// Whether a call is made while it is so: then exceptions and every backtrace suffer, else profilers only.
    pub over_a_call: bool,
    /// The branches that lead there, where that is not plain to see.
    pub way: Vec<Branch>,
}

/// What came of an object.
#[derive(Debug, Default)]
pub struct Judgement {
    /// What is wrong, by place.
    pub findings: Vec<Finding>,
    /// Instructions whose row was judged, the CFA at least.
    pub compared: usize,
    /// Instructions that have a row and were not judged.
    pub unjudged: BTreeMap<Unjudged, usize>,
    /// Instructions that have a row.
    pub with_row: usize,
    /// Functions without a row that move the stack, in sections of which other code is described.
    pub without_table: Vec<Bare>,
}

/// The registers that are to be given back, by their bits.
pub(super) const SAVED: u16 = 1 << 3 | 1 << 6 | 0b1111 << 12;

/// Where further registers are named of which the same is to be said.
const SAME_OF: &str = "; the same is so of ";

/// What came of comparing every instruction.
pub(super) struct Verdicts<'a> {
    pub ground: &'a Ground<'a>,
    /// By instruction.
    pub found: Vec<Comparison>,
    /// By instruction: whether a path leads there.
    pub reached: Vec<bool>,
    /// Whether the row's register holds what belongs to another stack.
    foreign: FxHashSet<u32>,
    /// Instructions whose row counts from an argument of the function.
    by_argument: FxHashSet<u32>,
    /// Descriptions of code that takes the stack that an argument names.
    switches: FxHashSet<u32>,
    /// The place where paths meet that an instruction is behind.
    leader: Vec<u32>,
    /// What leads to a place where paths meet; `None` is a caller.
    pub edges: FxHashMap<u32, Vec<Option<u32>>>,
    pub left: BTreeMap<u32, Vec<Left>>,
    /// What could not be followed.
    pub lost: Vec<(u32, Lost)>,
    /// By description: registers that it saves somewhere.
    pub saved: FxHashMap<u32, u16>,
    /// By description: registers that it overwrites somewhere and keeps nowhere.
    pub dropped: FxHashMap<u32, u16>,
    /// Rows that are right somewhere.
    meant: FxHashSet<u32>,
    /// What reads a word below rsp that was written over, by the instruction that did that; the first in each case.
    pub overwritten: BTreeMap<u32, (Kept, u32)>,
}

impl Sink for Verdicts<'_> {
    fn arrive(&mut self, at: u32, _: &State, from: Option<u32>) {
        // Of the many jumps of an interpreter some are enough to go back along.
        const MOST_JUMPS: usize = 64;
        let edges = self.edges.entry(at).or_default();
        let goes_by_table = |from| self.ground.judge.code.get(from).is_some_and(|insn| insn.flow == Flow::JumpIndirect);
        let is_one_more = edges.len() >= MOST_JUMPS && from.is_some_and(goes_by_table);
        // One comes after the other, each with all that it leads to.
        if edges.last() != Some(&from) && !is_one_more {
            edges.push(from);
        }
    }

    fn leave(&mut self, at: u32, state: &State, exit: Exit) {
        let mask = |wanted: &dyn Fn(Reg, Value) -> bool| {
            (0u8..16).filter(|&reg| wanted(reg, state.reg(reg))).fold(0u16, |mask, reg| mask | 1 << reg)
        };
        let rsp = state.reg(RSP);
        let left = Left {
            at,
            exit,
            same: mask(&|reg, value| value == Value::Entry(reg)),
            unknown: mask(&|_, value| value == Value::Unknown),
            differs: mask(&|_, value| value == Value::Differs),
            rsp,
            direction: state.direction(),
            top: rsp.place().and_then(|place| state.word(place)),
        };
        let fde = self.ground.judge.code.get(at).map_or(NONE, |insn| insn.fde);
        self.left.entry(fde).or_default().push(left);
    }

    fn give_up(&mut self, at: u32, why: Lost) {
        self.lost.push((at, why));
    }
}

/// Judges all rows.
pub(super) fn judge(
    image: &ElfImage,
    tables: &Tables,
    code: &Code,
    pointers: &Pointers,
    cancel: &CancelToken,
) -> Result<Judgement, Cancelled> {
    let mut ground = Ground::new(image, Judge { tables, code }, pointers);
    let entries = marked_entries(image, &mut ground);
    let states = settle(&ground, &entries, cancel)?;
    let first = verdicts(&ground, &states, cancel)?;
    let kept = kept_registers(&first.left);
    // Mostly the convention is kept, and nothing has to be followed again.
    if !matters(&ground, &kept) {
        return Ok(first.report(&states, &Names::of(image)));
    }
    drop(first);
    ground.kept = kept;
    let states = settle(&ground, &entries, cancel)?;
    Ok(verdicts(&ground, &states, cancel)?.report(&states, &Names::of(image)))
}

/// Functions inside another one's description, marked as places where paths may meet.
fn marked_entries(image: &ElfImage, ground: &mut Ground<'_>) -> Vec<u32> {
    let entries = inner_entries(image, ground.judge.code, ground);
    entries.iter().for_each(|&entry| ground.mark(entry));
    entries
}

/// The state at every place where paths meet, with calls of functions that keep other registers than the convention says.
pub(super) fn settled(image: &ElfImage, ground: &mut Ground<'_>, cancel: &CancelToken) -> Result<States, Cancelled> {
    let entries = marked_entries(image, ground);
    let states = settle(ground, &entries, cancel)?;
    let calls_itself = |insn: &Insn| insn.flow == Flow::Call && matches!(insn.target, Target::Insn(_));
    if !ground.judge.code.insns.iter().any(calls_itself) {
        return Ok(states);
    }
    let kept = kept_registers(&follow(ground, &states, Look::AtExits, cancel)?.left);
    if !matters(ground, &kept) {
        return Ok(states);
    }
    ground.kept = kept;
    settle(ground, &entries, cancel)
}

/// Compares every instruction that a path leads to.
pub(super) fn verdicts<'a>(
    ground: &'a Ground<'a>,
    states: &States,
    cancel: &CancelToken,
) -> Result<Verdicts<'a>, Cancelled> {
    let mut verdicts = follow(ground, states, Look::AtAll, cancel)?;
    verdicts.spare_cpuid(states);
    Ok(verdicts)
}

/// What is looked at on the way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Every instruction.
    AtAll,
    /// How functions are left.
    AtExits,
}

fn follow<'a>(
    ground: &'a Ground<'a>,
    states: &States,
    look: Look,
    cancel: &CancelToken,
) -> Result<Verdicts<'a>, Cancelled> {
    let code = ground.judge.code;
    let n = code.insns.len();
    let mut verdicts = Verdicts {
        ground,
        found: vec![Comparison::default(); n],
        reached: vec![false; n],
        foreign: FxHashSet::default(),
        by_argument: FxHashSet::default(),
        switches: FxHashSet::default(),
        leader: vec![NONE; n],
        edges: FxHashMap::default(),
        left: BTreeMap::new(),
        lost: Vec::new(),
        saved: FxHashMap::default(),
        dropped: FxHashMap::default(),
        meant: FxHashSet::default(),
        overwritten: BTreeMap::new(),
    };
    let mut state = State::blank();
    for start in states.starts() {
        cancel.check()?;
        let Some(known) = states.get(start) else { continue };
        state.become_as(known);
        if states.is_seed(start) {
            verdicts.arrive(start, &state, None);
        }
        let (mut at, mut before) = (start, Op::Keep);
        let mut same = false;
        loop {
            if look == Look::AtAll {
                verdicts.look(at, start, &state, same);
            }
            same = code.get(at).is_some_and(|insn| match insn.flow {
                Flow::Next => ground.row(insn).is_some_and(|row| leaves_frame(insn.op, row, &state)),
                // What falls through is as it was.
                Flow::JumpIf { unequal, .. } => !unequal,
                Flow::Call | Flow::CallIndirect => {
                    let kept_by_convention = matches!(insn.target, Target::Symbol(_) | Target::None);
                    kept_by_convention && ground.row(insn).is_some_and(|row| lies_above(row, state.reg(RSP)))
                }
                Flow::Jump | Flow::JumpIndirect | Flow::Far | Flow::Return | Flow::SystemCall | Flow::Stop => false,
            });
            let Some(next) = ground.go(at, &mut state, before, &mut verdicts) else { break };
            if ground.meets_at(next) {
                verdicts.arrive(next, &state, Some(at));
                break;
            }
            before = code.get(at).map_or(Op::Keep, |insn| insn.op);
            at = next;
        }
    }
    Ok(verdicts)
}

/// Whether all that a row finds in memory lies above the stack pointer, where what is called writes nothing.
fn lies_above(row: &Row, rsp: Value) -> bool {
    let Some(rsp) = rsp.place().filter(|rsp| rsp.base == Base::CFA) else { return false };
    row.rules.iter().all(|rule| !matches!(rule, Rule::Offset(offset) if *offset < rsp.offset))
}

/// Whether an instruction writes no memory that a usual row tells of, and no register that it counts from or restores.
fn leaves_frame(op: Op, row: &Row, state: &State) -> bool {
    const KEPT: u16 = SAVED | 1 << 7;
    // A word that is written in part is lost, too.
    let is_elsewhere = |mem: Mem, size: i32| match state.address(mem) {
        None => mem.base != Some(RSP),
        Some(place) => {
            let end = place.offset.saturating_add(size);
            let is_hit = |&offset: &i32| place.offset.saturating_sub(8) < offset && offset < end;
            let words =
                row.rules.iter().filter_map(|rule| if let Rule::Offset(offset) = rule { Some(offset) } else { None });
            place.base != Base::CFA || !words.into_iter().any(is_hit)
        }
    };
    let is_other = |reg: Reg| KEPT & 1u16.checked_shl(u32::from(reg)).unwrap_or(0) == 0;
    match op {
        Op::Keep | Op::Compare { .. } | Op::Test { .. } | Op::Direction { .. } => true,
        Op::Copy { to, .. }
        | Op::Number { to, .. }
        | Op::Lea { to, .. }
        | Op::AddReg { to, .. }
        | Op::Align { to }
        | Op::LeaIndexed { to, .. } => is_other(to),
        Op::Load { to, .. } => is_other(to),
        Op::Writes { computed, unknown, mem, size, .. } => {
            is_elsewhere(mem, i32::from(size)) && (computed | unknown) & KEPT == 0
        }
        Op::Store { to, .. } => is_elsewhere(to, 8),
        Op::Push { .. }
        | Op::Pop { .. }
        | Op::Leave
        | Op::Enter { .. }
        | Op::Exchange { .. }
        | Op::ExchangeMem { .. } => false,
    }
}

/// Whether it is what the caller has passed.
fn is_argument(value: Value) -> bool {
    matches!(value, Value::Entry(reg) if VOLATILE.contains(&reg))
}

/// Whether a row counts from such registers and words of the frame only.
fn is_usual(row: &Row) -> bool {
    let usual = |reg: u16| u8::try_from(reg).is_ok_and(|reg| reg == RSP || CALLEE_SAVED.contains(&reg));
    matches!(row.cfa, CfaRule::Register { reg, .. } if usual(reg))
        && row.rules.iter().all(|rule| matches!(rule, Rule::Same | Rule::Offset(_)))
}

impl Verdicts<'_> {
    /// Judges one instruction by the state before it; `same` where the one before it has left the frame as it was.
    fn look(&mut self, at: u32, leader: u32, state: &State, same: bool) {
        let Some(insn) = self.ground.judge.code.get(at) else { return };
        let i = at as usize;
        self.reached[i] = true;
        self.leader[i] = leader;
        let stored = match insn.op {
            Op::Push { from: Source::Reg(reg), size: 8 } => state.reg(reg),
            Op::Store { to, from } if state.address(to).is_some() => state.reg(from),
            _ => Value::Unknown,
        };
        if let Value::Entry(reg) = stored {
            *self.saved.entry(insn.fde).or_default() |= 1u16.checked_shl(u32::from(reg)).unwrap_or(0);
        }
        let overwritten = match (insn.flow, insn.target) {
            (Flow::Call, Target::Insn(target)) => self.ground.overwritten_by(target),
            _ => insn.op.overwritten(),
        };
        if overwritten & SAVED != 0 {
            let dropped = state.held_nowhere_else(overwritten);
            if dropped != 0 {
                *self.dropped.entry(insn.fde).or_default() |= dropped;
            }
        }
        if matches!(insn.op, Op::Copy { to: RSP, from } if is_argument(state.reg(from))) {
            self.switches.insert(insn.fde);
        }
        if state.zone().is_damaged() {
            self.look_below(at, insn, state);
        }
        let Some(row) = self.ground.row(insn) else { return };
        if same
            && let Some(above) = at.checked_sub(1)
            && self.ground.judge.code.get(above).is_some_and(|above| above.row == insn.row && above.next == at)
            && self.leader.get(above as usize) == Some(&leader)
            && self.found.get(above as usize) == Some(&Comparison::default())
            && is_usual(row)
        {
            return;
        }
        let found = self.ground.judge.compare(row, state);
        if found.wrong == 0 && found.unknown & CFA == 0 {
            self.meant.insert(insn.row);
        } else if let CfaRule::Register { reg, .. } = row.cfa {
            let value = u8::try_from(reg).map_or(Value::Unknown, |reg| state.reg(reg));
            let volatile = VOLATILE.iter().any(|&volatile| u16::from(volatile) == reg);
            let other = value.is_computed() || volatile && matches!(value, Value::Entry(_));
            if reg != u16::from(RSP) && other {
                self.foreign.insert(at);
            } else if is_argument(value) {
                self.by_argument.insert(at);
            }
        }
        self.found[i] = found;
    }

    /// `cpuid` overwrites rbx, which inline assembly keeps in another register meanwhile: of no consequence.
    fn spare_cpuid(&mut self, states: &States) {
        const NEAR: usize = 8;
        let code = self.ground.judge.code;
        let rbx = bit(RBX);
        let is_wrong = |verdicts: &Self, at: u32| verdicts.wrong_at(at) & rbx != 0;
        let found = (0u32..).zip(&code.insns).filter(|(at, insn)| insn.is_cpuid() && is_wrong(self, at + 1));
        for at in found.map(|(at, _)| at).collect::<Vec<_>>() {
            let back = (0..=at).rev().take(NEAR).take_while(|&before| before == at || is_wrong(self, before));
            let first = back.last().unwrap_or(at);
            let mut last = at + 1;
            while is_wrong(self, last) && last - at <= NEAR as u32 {
                last += 1;
            }
            let straight =
                (first..last).all(|at| code.get(at).is_some_and(|insn| insn.flow == Flow::Next && insn.next == at + 1));
            let is_held = self.state_at(at + 1, states).is_some_and(|state| state.holder_of(RBX).is_some());
            if straight && is_held && !is_wrong(self, last) {
                (first..last).for_each(|at| self.found[at as usize].wrong &= !rbx);
            }
        }
    }

    /// Whether the row of an instruction is about another stack.
    pub(super) fn is_foreign(&self, at: u32) -> bool {
        let Some(insn) = self.ground.judge.code.get(at) else { return false };
        let elsewhere =
            self.foreign.contains(&at) || self.by_argument.contains(&at) && self.switches.contains(&insn.fde);
        elsewhere && !self.meant.contains(&insn.row)
    }

    /// The state before an instruction.
    pub(super) fn state_at(&self, at: u32, states: &States) -> Option<State> {
        let start = self.leader.get(at as usize).copied()?;
        let mut state = states.get(start)?.clone();
        let (mut here, mut before) = (start, Op::Keep);
        while here != at {
            let next = self.ground.go(here, &mut state, before, &mut Nobody)?;
            before = self.ground.judge.code.get(here).map_or(Op::Keep, |insn| insn.op);
            here = next;
        }
        Some(state)
    }

    fn report(mut self, states: &States, names: &Names) -> Judgement {
        let mut judgement = Judgement::default();
        let code = self.ground.judge.code;
        let loose = self.loose();
        let loose_bits = |fde: u32| {
            let mask = loose.get(&fde).copied().unwrap_or(0);
            CALLEE_SAVED.iter().filter(|&&reg| mask & (1 << reg) != 0).fold(0, |bits, &reg| bits | bit(reg))
        };
        let mut unjudged = |why: Unjudged| *judgement.unjudged.entry(why).or_default() += 1;
        for (at, insn) in (0u32..).zip(&code.insns) {
            let i = at as usize;
            if insn.row == NONE {
                unjudged(Unjudged::Unreadable);
                judgement.with_row += 1;
                continue;
            }
            judgement.with_row += 1;
            if !self.reached[i] {
                let fde = self.ground.fde(insn.fde);
                unjudged(match fde {
                    Some(fde) if fde.signal => Unjudged::SignalFrame,
                    Some(fde) if fde.other_column => Unjudged::OtherColumn,
                    _ => Unjudged::Unreached,
                });
                continue;
            }
            if self.is_foreign(at) {
                self.found[i] = Comparison::default();
                unjudged(Unjudged::AnotherContext);
                continue;
            }
            let found = &mut self.found[i];
            if found.wrong & !CFA != 0 {
                found.wrong &= !loose_bits(insn.fde);
            }
            if found.unknown & CFA != 0 && found.wrong == 0 {
                unjudged(Unjudged::CfaNotKnown);
            } else {
                judgement.compared += 1;
            }
        }
        if self.ground.judge.tables.linkage > 0 {
            judgement.unjudged.insert(Unjudged::LinkageTable, self.ground.judge.tables.linkage);
            judgement.with_row += self.ground.judge.tables.linkage;
        }
        let mut findings = Vec::new();
        self.origins(states, names, &mut findings);
        self.tails(states, names, &loose, &mut findings);
        self.entries(names, &mut findings);
        self.exits(states, names, &loose, &mut findings);
        self.zone(names, &mut findings);
        self.malformed(names, &mut findings);
        findings.sort_by_key(|a| (a.at, a.subject));
        judgement.findings = findings;
        judgement
    }

    /// The instructions that lead to one; `None` is a caller.
    pub(super) fn before(&self, at: u32) -> Vec<Option<u32>> {
        if self.leader.get(at as usize) == Some(&at) {
            return self.edges.get(&at).cloned().unwrap_or_default();
        }
        let code = self.ground.judge.code;
        let previous = at.checked_sub(1).filter(|&before| code.get(before).is_some_and(|insn| insn.next == at));
        // Behind a jump into the middle of an instruction the one before it is elsewhere.
        let searched =
            || (at.saturating_sub(16)..at).find(|&before| code.get(before).is_some_and(|insn| insn.next == at));
        previous.or_else(searched).map(Some).into_iter().collect()
    }

    pub(super) fn wrong_at(&self, at: u32) -> Mask {
        self.found.get(at as usize).map_or(0, |found| found.wrong)
    }

    /// Where something is wrong and was right before.
    fn origins(&self, states: &States, names: &Names, findings: &mut Vec<Finding>) {
        const MOST_STEPS: usize = 1 << 20;
        let code = self.ground.judge.code;
        let mut steps = MOST_STEPS;
        let mut candidates = Vec::new();
        for at in 0..code.insns.len() as u32 {
            let wrong = self.wrong_at(at);
            if wrong == 0 {
                continue;
            }
            let before = self.before(at);
            let all = before.iter().map(|from| from.map_or(0, |from| self.wrong_at(from)));
            let mut new = wrong & !if before.is_empty() { 0 } else { all.fold(wrong, |mask, from| mask & from) };
            if new & CFA != 0 && self.is_still_untold(at, states, &mut steps) {
                new &= !CFA;
            }
            if new != 0 {
                candidates.push((at, new));
            }
        }
        let mut mixed: FxHashSet<(u32, Reg)> = FxHashSet::default();
        let mut untold: FxHashSet<(u32, Reg)> = FxHashSet::default();
        for (at, new) in self.causes(candidates, states) {
            let Some(insn) = code.get(at) else { continue };
            let (Some(state), Some(row)) = (self.state_at(at, states), self.ground.row(insn)) else { continue };
            let above = at.checked_sub(1).filter(|&above| code.get(above).is_some_and(|above| above.fde == insn.fde));
            let first_of_place = findings.len();
            for subject in subjects(new) {
                let mask = match subject {
                    Subject::Register(reg) => bit(reg),
                    _ => CFA,
                };
                let falls_in =
                    |from: &u32| code.get(*from).is_some_and(|from| from.next == at && from.flow != Flow::Jump);
                let before = self
                    .before(at)
                    .into_iter()
                    .flatten()
                    .filter(falls_in)
                    .find(|&from| self.wrong_at(from) & mask == 0);
                let scene = Scene {
                    image: self.ground.image,
                    judge: self.ground.judge,
                    at,
                    state: &state,
                    before,
                    above,
                    is_right: &|at| self.reached.get(at as usize) == Some(&true) && self.wrong_at(at) & mask == 0,
                    saved_by: &|reg, offset| self.saved_by(insn.fde, reg, offset, states),
                };
                let told = match subject {
                    Subject::Register(reg) if self.goes_on_from(insn, row, reg, findings) => continue,
                    Subject::Register(reg) if mixed.contains(&(insn.fde, reg)) => continue,
                    Subject::Register(reg) => {
                        // Two registers under one name are one fault.
                        mixed.extend(scene.taken_for(row, reg).map(|other| (insn.fde, other)));
                        scene.register(row, reg)
                    }
                    _ => scene.cfa(row),
                };
                // Of what a function never told, the first place is shown.
                if let Subject::Register(reg) = subject
                    && told.class == Class::RegisterWrong
                    && row.rule(reg) == Rule::Same
                    && !untold.insert((insn.fde, reg))
                {
                    continue;
                }
                let over_a_call = self.spans_a_call(insn.fde, mask);
                let is_wrong = |state: &State| self.ground.judge.compare(row, state).wrong & mask != 0;
                let way = if before.is_none() { self.way_to(at, states, &is_wrong) } else { Vec::new() };
                let function = names.at(insn.loc());
                let same = findings.get_mut(first_of_place..).unwrap_or(&mut []).iter_mut().find(|finding| {
                    matches!(finding.subject, Subject::Register(_))
                        && finding.told.class == told.class
                        && matches!(subject, Subject::Register(_))
                        && (told.class == Class::BehindReturn || self.is_uncertain(at, mask, states))
                });
                match (same, subject) {
                    // What is so of several registers, because of one path, is one fault.
                    (Some(same), Subject::Register(reg)) => {
                        let more = if same.told.words.contains(SAME_OF) { ", " } else { SAME_OF };
                        same.told.words.push_str(more);
                        same.told.words.push_str(super::value::name(reg));
                        same.over_a_call |= over_a_call;
                    }
                    _ => findings.push(Finding { at: insn.loc(), function, subject, told, over_a_call, way }),
                }
            }
        }
    }

    /// Whether the rule of a register was said before an early return behind which the rows are told to go on already.
    fn goes_on_from(&self, insn: &Insn, row: &Row, reg: Reg, findings: &[Finding]) -> bool {
        let said = JUDGED.iter().position(|&judged| judged == reg).and_then(|at| row.said.get(at + 1));
        let (Some(fde), Some(&said)) = (self.ground.fde(insn.fde), said) else { return false };
        findings.iter().any(|finding| {
            finding.told.class == Class::BehindReturn
                && finding.at.section == insn.section
                && (u64::from(fde.start)..u64::from(insn.offset)).contains(&finding.at.offset)
                && u64::from(said) < finding.at.offset
        })
    }

    /// Whether a call is made in the function while something is wrong.
    pub(super) fn spans_a_call(&self, fde: u32, mask: Mask) -> bool {
        let Some(fde) = self.ground.fde(fde) else { return false };
        let range = self.ground.judge.code.range(fde.section, fde.start, fde.end);
        range.clone().any(|at| {
            let insn = self.ground.judge.code.get(at);
            self.wrong_at(at) & mask != 0
                && insn.is_some_and(|insn| matches!(insn.flow, Flow::Call | Flow::CallIndirect))
        })
    }

    /// The instruction that stored what a register held at entry.
    fn saved_by(&self, fde: u32, reg: Reg, offset: i32, states: &States) -> Option<u32> {
        let fde = self.ground.fde(fde)?;
        let code = self.ground.judge.code;
        code.range(fde.section, fde.start, fde.end).find(|&at| {
            let Some(insn) = code.get(at).filter(|_| self.reached.get(at as usize) == Some(&true)) else {
                return false;
            };
            let place = |state: &State| match insn.op {
                Op::Push { from: Source::Reg(from), size: 8 } if from == reg => state.reg(RSP).plus(-8).place(),
                Op::Store { to, from } if from == reg => state.address(to),
                _ => None,
            };
            if !matches!(insn.op, Op::Push { .. } | Op::Store { .. }) {
                return false;
            }
            let state = self.state_at(at, states);
            state.is_some_and(|state| {
                state.reg(reg) == Value::Entry(reg) && place(&state) == Some(super::value::Place::of_cfa(offset))
            })
        })
    }

    fn malformed(&self, names: &Names, findings: &mut Vec<Finding>) {
        for fde in &self.ground.judge.tables.fdes {
            for &(offset, oddity) in &fde.oddities {
                let at = CodeLoc::new(fde.section, u64::from(offset));
                let mut told = simple(Class::Malformed, fault::oddity(oddity).to_owned(), at);
                // The directive stands between the instruction there and the one before it.
                let code = self.ground.judge.code;
                let before = code.range(fde.section, fde.start, offset).next_back();
                told.directive_behind = before.and_then(|before| code.get(before)).map(|insn| insn.loc());
                let subject = Subject::Malformed(oddity);
                let function = names.at(at);
                findings.push(Finding { at, function, subject, told, over_a_call: true, way: Vec::new() });
            }
        }
    }
}

/// What needs no explanation by its surroundings.
pub(super) fn simple(class: Class, words: String, culprit: CodeLoc) -> Told {
    Told {
        class,
        words,
        culprit,
        directive_behind: None,
        remarks: Vec::<Remark>::new(),
        claimed: Frame::default(),
        derived: Frame::default(),
    }
}

pub(super) fn subjects(mask: Mask) -> impl Iterator<Item = Subject> {
    let cfa = (mask & CFA != 0).then_some(Subject::Cfa);
    let registers = JUDGED.iter().filter(move |&&reg| mask & bit(reg) != 0).map(|&reg| Subject::Register(reg));
    cfa.into_iter().chain(registers)
}
