//! Faults of the program itself: what callers do not get back, and what is lost below rsp.
//!
//! In: how paths leave functions, what is read below rsp.  Out: [`Finding`]s.
//! Holds afterwards: a helper with a convention of its own is not accused; what the table has wrong is said there, once.
//! Reads like: psABI §3.2.1 (registers, the direction flag) and §3.2.2 (the red zone).

use std::collections::BTreeSet;

use iced_x86::{Decoder, DecoderOptions};
use rustc_hash::FxHashMap;

use super::code::Insn;
use super::compare::{CFA, bit};
use super::fault::{Class, Remark, Told, text};
use super::names::Names;
use super::op::{Flow, Op, reads};
use super::row::{CfaRule, Row, Rule};
use super::settle::Left;
use super::state::{Direction, State};
use super::value::{Base, CALLEE_SAVED, RA, RSP, Reg, Value};
use super::verdict::{Finding, SAVED, Subject, Verdicts, simple};
use super::walk::{Exit, States};
use crate::ids::CodeLoc;
use crate::image::STB_LOCAL;

impl Verdicts<'_> {
    /// Registers that a function of its own convention puts back nowhere: it overwrites them on every way out, and saves none.
    pub(super) fn helpers(&self) -> FxHashMap<u32, u16> {
        let mut helpers = FxHashMap::default();
        for (&fde, left) in &self.left {
            let counted = |left: &&Left| matches!(left.exit, Exit::Return | Exit::Crossing | Exit::TailTo(_));
            if left.iter().any(|left| counted(&left)) {
                let same = left.iter().filter(counted).fold(0, |mask, left| mask | left.same);
                let saved = self.saved.get(&fde).copied().unwrap_or(0);
                helpers.insert(fde, SAVED & !(self.told_of(fde) | saved | same));
            }
        }
        helpers
    }

    /// The registers that the table says anything of in a description.
    fn told_of(&self, fde: u32) -> u16 {
        let rows = self.ground.fde(fde).map_or(&[][..], |fde| self.ground.judge.tables.rows_of(fde));
        let says = |reg: Reg| rows.iter().any(|row| row.rule(reg) != Rule::Same);
        CALLEE_SAVED.iter().filter(|&&reg| says(reg)).fold(0, |mask, &reg| mask | 1 << reg)
    }

    /// Those that the table cannot be asked about: those of helpers; and in other languages than C nobody keeps any register,
    /// and the table says nothing of them.
    pub(super) fn loose(&self) -> FxHashMap<u32, u16> {
        let mut loose = self.helpers();
        let mut told: FxHashMap<u32, u16> = FxHashMap::default();
        let insns = self.ground.judge.code.insns.iter().zip(&self.found);
        let accused = insns.filter(|(_, found)| found.wrong & !CFA != 0).map(|(insn, _)| insn.fde);
        let fdes: BTreeSet<u32> = self.left.keys().chain(self.dropped.keys()).copied().chain(accused).collect();
        for &fde in &fdes {
            let left = self.left.get(&fde).map_or(&[][..], Vec::as_slice);
            let ends = |left: &&Left| left.exit != Exit::Crossing && left.rsp == Value::of_cfa(-8);
            let changed = left.iter().filter(ends).fold(0, |mask, left| mask | !left.same);
            let dropped = self.dropped.get(&fde).copied().unwrap_or(0);
            let told_here = self.told_of(fde);
            told.insert(fde, told_here);
            *loose.entry(fde).or_default() |= SAVED & (changed | dropped) & !told_here;
        }
        // Among many such functions, those that only seem to save one: they put their arguments there.
        const MANY: usize = 4;
        let by_place: Vec<u32> = fdes.into_iter().collect();
        for run in by_place.chunk_by(|one, other| told.get(one) == Some(&0) && told.get(other) == Some(&0)) {
            for &reg in &CALLEE_SAVED {
                let bit = 1u16 << reg;
                let is_loose = |fde: &&u32| loose.get(fde).is_some_and(|mask| mask & bit != 0);
                if run.iter().filter(is_loose).count() >= MANY {
                    run.iter().for_each(|fde| *loose.entry(*fde).or_default() |= bit);
                }
            }
        }
        loose
    }

    /// The CFA counts from a register before the function's first instruction has set it.
    fn too_early_at_entry(&self, insn: &Insn, reg: Reg) -> Told {
        let name = super::value::name(reg);
        let words = format!(
            "the unwind table says CFA = {name}+8 too early: here it still is rsp+8, and `{}` comes first",
            text(self.ground.image, insn.loc())
        );
        let mut told = simple(Class::Misplaced, words, insn.loc());
        told.claimed.cfa = Some((reg, 8));
        told.derived.cfa = Some((RSP, 8));
        told
    }

    /// Functions whose first row has registers saved, in words above the return address that no call makes.
    pub(super) fn entries(&self, names: &Names, findings: &mut Vec<Finding>) {
        for (&first, &fde) in &self.ground.starts {
            let (Some(insn), Some(row)) = (self.ground.judge.code.get(first), self.ground.first_row(fde)) else {
                continue;
            };
            let saves = CALLEE_SAVED.iter().any(|&reg| matches!(row.rule(reg), Rule::Offset(_)));
            if let (CfaRule::Register { reg, offset }, Op::Copy { to, from: RSP } | Op::Lea { to, from: RSP, .. }) =
                (row.cfa, insn.op)
                && (reg, offset) == (u16::from(to), 8)
                && to != RSP
            {
                let told = self.too_early_at_entry(insn, to);
                let over_a_call = self.spans_a_call(fde, CFA);
                let (at, function) = (insn.loc(), names.at(insn.loc()));
                findings.push(Finding { at, function, subject: Subject::Entry, told, over_a_call, way: Vec::new() });
                continue;
            }
            // What counts from another register is a stub for compilers, which has its caller's frame by design.
            let CfaRule::Register { reg: 7, offset } = row.cfa else { continue };
            let ordinary = offset == 8;
            let Some(function) = names.at(insn.loc()).filter(|&id| names.is_typed_start(id, insn.loc())) else {
                continue;
            };
            if self.ground.is_part(fde) || !self.ground.is_readable(fde) || row.is_outermost() || ordinary || !saves {
                continue;
            }
            // An interpreter's code has its caller's frame all the time, and never that of an entry.
            let comes_back = |row: &Row| row.cfa == CfaRule::Register { reg: u16::from(RSP), offset: 8 };
            let rows = self.ground.fde(fde).map(|fde| self.ground.judge.tables.rows_of(fde));
            if !rows.unwrap_or(&[]).iter().any(comes_back) {
                continue;
            }
            let words = "the unwind table says that registers are saved where the function is entered, in words that no call makes: \
                         a push is missing, or the directives stand before it"
                .to_owned();
            let told = simple(Class::RegisterWrong, words, insn.loc());
            let over_a_call = self.spans_a_call(fde, CFA);
            // Whatever is wrong of these registers further on hangs on it.
            let saved_first = |finding: &Finding| match finding.subject {
                Subject::Register(reg) => matches!(row.rule(reg), Rule::Offset(_)),
                _ => false,
            };
            let range = self.ground.fde(fde).map_or(0..0, |fde| u64::from(fde.start)..u64::from(fde.end));
            let inside = |at: CodeLoc| at.section == insn.section && range.contains(&at.offset);
            findings.retain(|finding| !(inside(finding.at) && saved_first(finding)));
            findings.push(Finding {
                at: insn.loc(),
                function: Some(function),
                subject: Subject::Entry,
                told,
                over_a_call,
                way: Vec::new(),
            });
        }
    }

    /// Jumps to another function that leave it another frame or other registers than a call would.
    pub(super) fn tails(
        &self,
        states: &States,
        names: &Names,
        loose: &FxHashMap<u32, u16>,
        findings: &mut Vec<Finding>,
    ) {
        let code = self.ground.judge.code;
        for (fde, left) in self.left.iter().flat_map(|(fde, left)| left.iter().map(move |left| (fde, left))) {
            let Exit::TailTo(home) = left.exit else { continue };
            let (Some(insn), Some(row)) = (code.get(left.at), self.ground.first_row(home)) else { continue };
            if !row.is_of_entry() {
                continue;
            }
            let Some(state) = self.state_at(left.at, states) else { continue };
            let found = self.ground.judge.compare(row, &state);
            let loose = loose.get(fde).copied().unwrap_or(0);
            let loose =
                CALLEE_SAVED.iter().filter(|&&reg| loose & (1 << reg) != 0).fold(0, |bits, &reg| bits | bit(reg));
            let new = found.wrong & !loose & !self.found.get(left.at as usize).map_or(0, |found| found.wrong);
            if new != 0 {
                let what = if new & CFA != 0 {
                    "the stack is not as it was at entry".to_owned()
                } else {
                    let lost =
                        CALLEE_SAVED.iter().filter(|&&reg| new & bit(reg) != 0).map(|&reg| super::value::name(reg));
                    format!("{} not put back", lost.collect::<Vec<_>>().join(", "))
                };
                let words = format!("jumps to another function with {what}");
                let words = words.replace("with the stack is", "while the stack is");
                let told = simple(Class::NotGivenBack, words, insn.loc());
                let way = self.way_to(left.at, states, &|state| self.ground.judge.compare(row, state).wrong & new != 0);
                findings.push(Finding {
                    at: insn.loc(),
                    function: names.at(insn.loc()),
                    subject: Subject::Tail(new),
                    told,
                    over_a_call: true,
                    way,
                });
            }
        }
    }

    /// What the caller does not get back.
    pub(super) fn exits(
        &self,
        states: &States,
        names: &Names,
        loose: &FxHashMap<u32, u16>,
        findings: &mut Vec<Finding>,
    ) {
        let code = self.ground.judge.code;
        for (fde, left) in &self.left {
            self.direction(states, names, (*fde, left), findings);
            // What the table has wrong is told there, once.
            let told = self.ground.fde(*fde).is_some_and(|fde| {
                let inside = |at: CodeLoc| {
                    at.section == fde.section && (u64::from(fde.start)..u64::from(fde.end)).contains(&at.offset)
                };
                findings.iter().any(|finding| inside(finding.at))
            });
            if told {
                continue;
            }
            let loose = loose.get(fde).copied().unwrap_or(0);
            for left in left.iter().filter(|left| matches!(left.exit, Exit::Return | Exit::Tail)) {
                let Some(insn) = code.get(left.at) else { continue };
                if self.ground.row(insn).is_some_and(Row::is_outermost) {
                    continue;
                }
                let mut push = |subject, words: String, wrong: &dyn Fn(&State) -> bool| {
                    let told = simple(Class::NotGivenBack, words, insn.loc());
                    findings.push(Finding {
                        at: insn.loc(),
                        function: names.at(insn.loc()),
                        subject,
                        told,
                        over_a_call: true,
                        way: self.way_to(left.at, states, wrong),
                    });
                };
                // With a frame it is no call in tail position, but goes by a table that was not found.
                if insn.flow == Flow::JumpIndirect && left.rsp != Value::of_cfa(-8) {
                    continue;
                }
                let on_frame = left.rsp.place().is_some_and(|place| place.base == Base::CFA);
                let other = matches!(left.top, Some(Value::Entry(reg)) if reg != RA)
                    || matches!(left.top, Some(Value::Frame(_) | Value::Differs | Value::Number(_)));
                if on_frame && other {
                    let held = match left.top {
                        Some(Value::Entry(reg)) => format!("what {} held at entry", super::value::name(reg)),
                        _ => "no return address".to_owned(),
                    };
                    push(
                        Subject::ReturnsElsewhere,
                        format!("returns to the wrong place: the word that rsp points to is {held}"),
                        &|state| state.reg(RSP) == left.rsp,
                    );
                    continue;
                }
                if left.rsp != Value::of_cfa(-8) {
                    continue;
                }
                for &reg in &CALLEE_SAVED {
                    let mask = 1u16 << reg;
                    if loose & mask == 0 && left.same & mask == 0 && left.unknown & mask == 0 {
                        let some = if left.differs & mask == 0 { "" } else { " on some path" };
                        let words =
                            format!("returns{some} without putting the caller's {} back", super::value::name(reg));
                        push(Subject::NotRestored(reg), words, &|state| state.reg(reg) != Value::Entry(reg));
                    }
                }
            }
        }
    }

    /// Returns with the direction flag set.
    fn direction(&self, states: &States, names: &Names, (fde, left): (u32, &[Left]), findings: &mut Vec<Finding>) {
        let code = self.ground.judge.code;
        let is_set = |state: &State| matches!(state.direction(), Direction::Set(_) | Direction::Differs(_));
        for left_here in left.iter().filter(|left| matches!(left.exit, Exit::Return | Exit::Tail)) {
            let (by, some) = match left_here.direction {
                Direction::Set(by) => (by, ""),
                Direction::Differs(by) => (by, " on some path"),
                Direction::Clear | Direction::Unknown => continue,
            };
            let (Some(insn), Some(setter)) = (code.get(left_here.at), code.get(by)) else { continue };
            if self.sets_direction_for_callers(fde, left, names) {
                continue;
            }
            let words = format!("returns{some} with the direction flag set: `cld` is missing");
            let mut told = simple(Class::NotGivenBack, words, insn.loc());
            told.remarks.push(Remark { at: setter.loc(), words: "the direction flag is set here".to_owned() });
            findings.push(Finding {
                at: insn.loc(),
                function: names.at(insn.loc()),
                subject: Subject::DirectionFlag(setter.loc()),
                told,
                over_a_call: true,
                way: self.way_to(left_here.at, states, &is_set),
            });
        }
    }

    /// A local helper that leaves the flag set on every way out does so for its callers.
    fn sets_direction_for_callers(&self, fde: u32, left: &[Left], names: &Names) -> bool {
        let all = left.iter().all(|left| matches!(left.direction, Direction::Set(_)));
        let start = self.ground.fde(fde).map(|fde| CodeLoc::new(fde.section, u64::from(fde.start)));
        let image = self.ground.image;
        let is_local = start.and_then(|start| names.at(start)).is_some_and(|id| image.symbol(id).binding == STB_LOCAL);
        all && is_local
    }

    /// Notes an instruction that reads what was stored below rsp and written over since.
    pub(super) fn look_below(&mut self, at: u32, insn: &Insn, state: &State) {
        let code = &self.ground.image.section(insn.section).code;
        let bytes = code.get(insn.offset as usize..).unwrap_or(&[]);
        let decoded = Decoder::with_ip(64, bytes, u64::from(insn.offset), DecoderOptions::NONE).decode();
        let Some(rsp) = state.reg(RSP).place() else { return };
        for (mem, size) in reads(&decoded) {
            let lost = state.address(mem).and_then(|place| state.zone().lost(place, i32::from(size.max(1)), rsp));
            if let Some((kept, over)) = lost.and_then(|kept| Some((kept, kept.over?))) {
                self.overwritten.entry(over).or_insert((kept, at));
            }
        }
    }

    /// Pushes and calls over what a leaf keeps below rsp. That the table is not told of such a push is said with it.
    pub(super) fn zone(&self, names: &Names, findings: &mut Vec<Finding>) {
        let (code, image) = (self.ground.judge.code, self.ground.image);
        let quoted = |at: CodeLoc| format!("`{}`", text(image, at));
        for (&over, (kept, read)) in &self.overwritten {
            let (Some(insn), Some(stored), Some(read)) = (code.get(over), code.get(kept.stored), code.get(*read))
            else {
                continue;
            };
            let by_rsp = |row: &Row| matches!(row.cfa, CfaRule::Register { reg, .. } if reg == u16::from(RSP));
            let framed = !self.ground.row(insn).is_some_and(by_rsp);
            let is_call = matches!(insn.flow, Flow::Call | Flow::CallIndirect);
            let writes = if is_call { "and what it calls may write" } else { "writes" };
            let place = match kept.place.base {
                Base::CFA => format!(" at CFA{:+}", kept.place.offset),
                _ => String::new(),
            };
            let words = format!(
                "{} {writes} over the red zone: the {} bytes{place} that {} stores below rsp are read again by {}",
                quoted(insn.loc()),
                kept.size,
                quoted(stored.loc()),
                quoted(read.loc())
            );
            let mut told = simple(Class::RedZone, words, insn.loc());
            told.remarks.push(Remark { at: stored.loc(), words: "stored below rsp here".to_owned() });
            told.remarks.push(Remark { at: read.loc(), words: "read again here".to_owned() });
            let untold =
                |finding: &Finding| finding.told.class == Class::StackUntold && finding.told.culprit == insn.loc();
            if findings.iter().any(untold) {
                findings.retain(|finding| !untold(finding));
                told.words.push_str("; no directive tells the unwind table of it either");
            }
            findings.push(Finding {
                at: insn.loc(),
                function: names.at(insn.loc()),
                subject: Subject::RedZone { framed },
                told,
                over_a_call: true,
                way: Vec::new(),
            });
        }
    }
}
