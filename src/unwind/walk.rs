//! Follows the state along every path through code that has rows.
//!
//! In: [`Code`], [`Tables`].  Out: the state at every place where paths meet.
//! Holds afterwards: a path that leads out of sight ends there; an object's code is one field, so that a part that was
//! split off into another section has the states of the jumps into it.
//!
//! | case | step | leads to |
//! |---|---|---|
//! | 1 | jump to the start of a function | nowhere: a call in tail position |
//! | 2 | jump to the start of a part that was split off | there |
//! | 3 | jump back to its own start with a frame | there: a loop |
//! | 4 | call of what lies right behind it | there, a word deeper |
//! | 5 | call of a label inside a function | there with the state of an entry or a word deeper, as its row says |
//! | 6 | call behind which another row begins that does not fit, and that something else may lead to | its landing pads only: it does not return |
//! | 7 | any other call | behind it, and to its landing pads |
//! | 8 | jump through a register | to what its table leads to, else to what data points to within the function, whose rows fit; nowhere if there is no frame |
//! | 9 | behind `jne`, or where `je` leads to | there, with the compared registers equal |
//! | 10 | `clone` has returned 0 | nowhere: another stack |
//! | 11 | jump to the end of its function, where another one begins that does not fit; or to such a part of another one; or past a jump by a table, to what does not fit and others lead to | nowhere: impossible |

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::hash_map::Entry;

use rustc_hash::{FxHashMap, FxHashSet};

use super::code::{Insn, NONE, Target};
use super::compare::{CFA, Judge};
use super::never::returns_never;
use super::op::{Flow, Op};
use super::pointers::Pointers;
use super::relocated::place_of;
use super::row::{CfaRule, Row, Rule};
use super::state::State;
use super::table::Fde;
use super::value::{CALLEE_SAVED, RA, RSP, Reg, Value};
use crate::cancel::{CancelToken, Cancelled};
use crate::ids::CodeLoc;
use crate::image::{ET_REL, ElfImage};

/// How a path leaves its function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Exit {
    /// By a return.
    Return,
    /// By a jump to another function of this object, which its first row describes.
    TailTo(u32),
    /// By a jump out of sight.
    Tail,
    /// Into another part of itself, or into code without a row.
    Crossing,
}

/// Jumps that lead to the same places from the same frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Lane {
    fde: u32,
    row: u32,
    table: Option<u32>,
    rsp: Value,
    cfa: Option<Value>,
}

/// Who is told where paths lead.
pub(super) trait Sink {
    /// A path leads to an instruction at which others may arrive, too.
    fn arrive(&mut self, at: u32, state: &State, from: Option<u32>);
    /// A path leaves its function.
    fn leave(&mut self, at: u32, state: &State, exit: Exit);
    /// Something at an instruction can not be followed.
    fn give_up(&mut self, at: u32, why: Lost);
    /// A jump leads to many places: what arrives there, if that is news.
    fn gather(&mut self, _lane: Lane, state: &State) -> Option<State> {
        Some(state.clone())
    }
}

/// Who does not care.
pub(super) struct Nobody;

impl Sink for Nobody {
    fn arrive(&mut self, _: u32, _: &State, _: Option<u32>) {}
    fn leave(&mut self, _: u32, _: &State, _: Exit) {}
    fn give_up(&mut self, _: u32, _: Lost) {}
}

/// Why a path was not followed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Lost {
    /// A call whose remainder does not fit.
    CallThatMayNotReturn,
    /// The call of a label whose row is of neither kind.
    CalledInside,
    /// It runs into another function with another frame.
    FallsOff,
    /// It jumps to where code of another function happens to begin, with another frame: what compilers take for impossible.
    Impossible,
}

/// What following needs to know.
pub(super) struct Ground<'a> {
    /// The object.
    pub image: &'a ElfImage,
    /// Tables and code.
    pub judge: Judge<'a>,
    /// By description: registers that it leaves as they were, where that is not the convention.
    pub kept: FxHashMap<u32, u16>,
    /// Code that data or code points to.
    pub pointers: &'a Pointers,
    /// By instruction: how many things lead there; where any does, paths may meet. More than two are two.
    meets: Vec<u8>,
    /// Instruction at which each description starts.
    pub starts: FxHashMap<u32, u32>,
    /// Descriptions of code that was split off a function, which is entered by jumps and landing pads only.
    parts: FxHashSet<u32>,
    /// The functions that such a part was split off, and the other parts of these, as names tell.
    whole: FxHashMap<u32, FxHashSet<u32>>,
    /// Descriptions with jumps whose targets are unknown, and how many.
    jumps_anywhere: FxHashMap<u32, usize>,
    /// Landing pads whose row fits that of a call which leads there.
    fitting: FxHashSet<u32>,
}

impl<'a> Ground<'a> {
    /// Finds where paths may meet.
    pub(super) fn new(image: &'a ElfImage, judge: Judge<'a>, pointers: &'a Pointers) -> Ground<'a> {
        let code = judge.code;
        let mut ground = Ground {
            image,
            judge,
            kept: FxHashMap::default(),
            pointers,
            meets: vec![0; code.insns.len()],
            starts: FxHashMap::default(),
            parts: FxHashSet::default(),
            whole: FxHashMap::default(),
            jumps_anywhere: FxHashMap::default(),
            fitting: FxHashSet::default(),
        };
        for (at, insn) in (0u32..).zip(&code.insns) {
            if let Target::Insn(target) = insn.target {
                ground.mark(target);
            }
            // In linked files a table may have been read short.
            if insn.flow == Flow::JumpIndirect && (pointers.table_of(at).is_none() || image.kind != ET_REL) {
                *ground.jumps_anywhere.entry(insn.fde).or_default() += 1;
            }
        }
        for (number, fde) in (0u32..).zip(&judge.tables.fdes) {
            let first = code.at(CodeLoc::new(fde.section, u64::from(fde.start)));
            if let Some(first) = first.filter(|&first| code.get(first).is_some_and(|insn| insn.fde == number)) {
                ground.mark(first);
                ground.starts.insert(first, number);
            }
            for pad in &fde.pads {
                let Some(target) = code.at(pad.pad) else { continue };
                ground.mark(target);
                let first = code.at(CodeLoc::new(fde.section, u64::from(pad.start)));
                let range = (first.unwrap_or(u32::MAX)..).map_while(|at| code.get(at));
                let mut calls = range
                    .take_while(|insn| insn.section == fde.section && insn.offset < pad.end)
                    .filter(|insn| matches!(insn.flow, Flow::Call | Flow::CallIndirect));
                if calls.any(|call| ground.fits(call, target)) {
                    ground.fitting.insert(target);
                }
            }
        }
        for &insn in pointers.insns() {
            ground.mark(insn);
        }
        ground.find_parts();
        ground
    }

    /// Compilers name parts that they split off; where names are gone, a first row that no call makes true says it, or
    /// one that holds for padding only (GCC's parts begin with a `nop`, so that no landing pad is at offset 0).
    fn find_parts(&mut self) {
        let mut named: FxHashMap<CodeLoc, bool> = FxHashMap::default();
        let mut parts: Vec<(u32, &str)> = Vec::new();
        let whole_name = |name: &'a str| name.split_once(".cold").map(|(whole, _)| whole);
        let functions = || self.image.symbols().filter(|(_, symbol)| symbol.is_function());
        let starts_at = |at: CodeLoc| self.starts.get(&self.judge.code.at(at)?).copied();
        for (id, symbol) in functions() {
            let Some(at) = place_of(self.image, symbol) else { continue };
            let whole = whole_name(self.image.symbol_name(id));
            *named.entry(at).or_default() |= whole.is_some();
            parts.extend(whole.and_then(|whole| Some((starts_at(at)?, whole))));
        }
        if !parts.is_empty() {
            let mut names: FxHashMap<&str, FxHashSet<u32>> = FxHashMap::default();
            parts.iter().for_each(|&(_, whole)| _ = names.entry(whole).or_default());
            for (id, symbol) in functions() {
                let name = self.image.symbol_name(id);
                let at = place_of(self.image, symbol);
                if let (Some(same), Some(at)) = (names.get_mut(whole_name(name).unwrap_or(name)), at) {
                    same.extend(starts_at(at));
                }
            }
            let whole = parts.iter().filter_map(|&(part, whole)| Some((part, names.get(whole)?.clone())));
            self.whole = whole.collect();
        }
        for (&first, &number) in &self.starts {
            let (Some(insn), Some(row)) = (self.judge.code.get(first), self.first_row(number)) else { continue };
            let padding = insn.is_nop && insn.end() >= row.end && self.fde(number).is_some_and(|fde| fde.end > row.end);
            let is_part = match named.get(&insn.loc()) {
                Some(&is_part) => is_part || padding,
                None => padding || !row.is_of_entry(),
            };
            if is_part {
                self.parts.insert(number);
            }
        }
    }

    /// Whether the description is of code that was split off a function.
    pub(super) fn is_part(&self, number: u32) -> bool {
        self.parts.contains(&number)
    }

    /// The registers that a function does not give back to who calls it.
    pub(super) fn overwritten_by(&self, target: u32) -> u16 {
        let callee = self.judge.code.get(target).and_then(|callee| self.kept.get(&callee.fde));
        callee.map_or(0, |kept| !kept)
    }

    /// Whether the part was split off another function than the one that the instruction belongs to, as far as names tell.
    /// Where they are gone, in linked files, any may be.
    fn is_part_of_others(&self, part: u32, insn: &Insn) -> bool {
        match self.whole.get(&part) {
            Some(whole) if whole.len() > 1 => !whole.contains(&insn.fde),
            _ => self.image.kind != ET_REL,
        }
    }

    /// Whether an instruction is the first one behind the code that another one belongs to.
    fn is_behind(&self, target: u32, insn: &Insn) -> bool {
        let end = self.fde(insn.fde).map(|fde| (fde.section, fde.end));
        self.judge.code.get(target).map(|target| (target.section, target.offset)) == end
    }

    /// From here on paths may meet at this instruction.
    pub(super) fn mark(&mut self, insn: u32) {
        if let Some(meets) = self.meets.get_mut(insn as usize) {
            *meets = meets.saturating_add(1).min(2);
        }
    }

    /// Whether paths may meet at the instruction.
    pub(super) fn meets_at(&self, insn: u32) -> bool {
        self.meets.get(insn as usize).is_some_and(|&meets| meets > 0)
    }

    /// A description.
    pub(super) fn fde(&self, number: u32) -> Option<&'a Fde> {
        self.judge.tables.fdes.get(number as usize)
    }

    /// The row of an instruction.
    pub(super) fn row(&self, insn: &Insn) -> Option<&'a Row> {
        self.judge.tables.rows.get(insn.row as usize)
    }

    /// The first row of a description.
    pub(super) fn first_row(&self, number: u32) -> Option<&'a Row> {
        self.fde(number).and_then(|fde| self.judge.tables.rows_of(fde).first())
    }

    /// Whether the description can be judged at all.
    pub(super) fn is_readable(&self, number: u32) -> bool {
        self.fde(number).is_some_and(|fde| !fde.signal && !fde.other_column)
    }

    /// Goes over the instruction `at`. The one behind it, if the path goes on there.
    pub(super) fn go(&self, at: u32, state: &mut State, before: Op, sink: &mut impl Sink) -> Option<u32> {
        let insn = self.judge.code.get(at)?;
        match insn.flow {
            Flow::Next => {
                state.step(at, insn.op);
                self.fall(at, insn, state, sink)
            }
            Flow::Stop | Flow::Far => None,
            Flow::SystemCall => {
                // asm/unistd_64.h: rt_sigreturn, exit, exit_group.
                if matches!(state.reg(0), Value::Number(15 | 60 | 231)) {
                    return None;
                }
                state.system_call();
                self.fall(at, insn, state, sink)
            }
            Flow::Return => {
                sink.leave(at, state, Exit::Return);
                None
            }
            Flow::Jump => {
                self.jump(at, insn, state, sink);
                None
            }
            Flow::JumpIf { unequal, equal } => {
                // Case 10.
                if let Op::Test { reg } = before
                    && state.reg(reg) == Value::Forked
                    && (unequal || equal)
                {
                    if unequal {
                        self.jump(at, insn, state, sink);
                        return None;
                    }
                    return self.fall(at, insn, state, sink);
                }
                let compared = match before {
                    Op::Compare { one, other } => Some((one, other)),
                    _ => None,
                };
                match compared.filter(|_| equal) {
                    // Case 11.
                    None if self.passes_table(insn, state) => sink.give_up(at, Lost::Impossible),
                    // Case 9.
                    Some((one, other)) => {
                        let mut taken = state.clone();
                        if taken.equal(one, other).is_some() {
                            self.jump(at, insn, &taken, sink);
                        }
                    }
                    None => self.jump(at, insn, state, sink),
                }
                if let Some((one, other)) = compared.filter(|_| unequal) {
                    state.equal(one, other)?;
                }
                self.fall(at, insn, state, sink)
            }
            Flow::JumpIndirect => {
                self.jump_indirect(at, insn, state, sink);
                None
            }
            Flow::Call | Flow::CallIndirect => self.call(at, insn, state, sink),
        }
    }

    /// Whether a branch past a jump by a table leads to what has another frame, and what others lead to: the default of a
    /// switch that compilers take for impossible has no place of its own.
    fn passes_table(&self, insn: &Insn, state: &State) -> bool {
        const NEAR: usize = 8;
        let code = self.judge.code;
        let Target::Insn(target) = insn.target else { return false };
        let alone = self.meets.get(target as usize).is_none_or(|&meets| meets < 2);
        let above = target.checked_sub(1).and_then(|above| code.get(above));
        let falls_in = above.is_some_and(|above| above.next == target && above.flow.falls());
        if alone || falls_in || self.starts.contains_key(&target) {
            return false;
        }
        // The same row cannot tell which of both it is about.
        let other = code.get(target).filter(|target| target.row != insn.row);
        let row = other.and_then(|target| self.row(target));
        if row.is_none_or(|row| self.judge.compare(row, state).wrong & CFA == 0) {
            return false;
        }
        let mut behind = insn.next;
        for _ in 0..NEAR {
            match code.get(behind) {
                Some(next) if next.flow == Flow::Next => behind = next.next,
                Some(next) if next.flow == Flow::JumpIndirect => {
                    let places = self.fde(insn.fde).map(|fde| (fde.section, fde.start, fde.end));
                    let places = places.map(|(section, start, end)| self.pointers.within(code, section, start, end));
                    return next.fde == insn.fde && places.is_some_and(|places| !places.is_empty());
                }
                Some(_) | None => return false,
            }
        }
        false
    }

    fn fall(&self, at: u32, insn: &Insn, state: &State, sink: &mut impl Sink) -> Option<u32> {
        let Some(next) = self.judge.code.get(insn.next) else {
            // Into code without a row, which may be the rest of the function.
            sink.leave(at, state, Exit::Crossing);
            return None;
        };
        if next.fde != insn.fde {
            // Compilers let code run into the next function behind what they take for impossible.
            let fits = self.row(next).is_none_or(|row| self.judge.compare(row, state).wrong == 0);
            if !fits {
                sink.give_up(at, Lost::FallsOff);
            }
            return None;
        }
        (next.row != NONE).then_some(insn.next)
    }

    fn jump(&self, at: u32, insn: &Insn, state: &State, sink: &mut impl Sink) {
        match insn.target {
            Target::Insn(target) => {
                let Some(&home) = self.starts.get(&target) else { return self.arrive(target, state, at, sink) };
                let Some(row) = self.first_row(home).filter(|_| !self.is_part(home)) else {
                    // Case 11.
                    let fits = self.first_row(home).is_none_or(|row| self.judge.compare(row, state).wrong == 0);
                    if home != insn.fde && !fits && self.is_part_of_others(home, insn) {
                        return sink.give_up(at, Lost::Impossible);
                    }
                    // Case 2.
                    return self.arrive(target, state, at, sink);
                };
                if home == insn.fde && self.judge.compare(row, state).wrong != 0 {
                    // Case 3.
                    return self.arrive(target, state, at, sink);
                }
                // Case 11.
                if self.is_behind(target, insn) && self.judge.compare(row, state).wrong != 0 {
                    return sink.give_up(at, Lost::Impossible);
                }
                // Case 1.
                sink.leave(at, state, Exit::TailTo(home));
            }
            Target::Place(_) => sink.leave(at, state, Exit::Crossing),
            Target::Symbol(symbol) => {
                let name = self.image.symbol_name(symbol);
                let is_part = name.contains(".cold") || name.starts_with('.');
                sink.leave(at, state, if is_part { Exit::Crossing } else { Exit::Tail });
            }
            Target::None => {}
        }
    }

    /// Leads a path to an instruction, which may belong to another description.
    fn arrive(&self, target: u32, state: &State, from: u32, sink: &mut impl Sink) {
        let (Some(source), Some(insn)) = (self.judge.code.get(from), self.judge.code.get(target)) else { return };
        if insn.fde != source.fde || insn.row == NONE {
            sink.leave(from, state, Exit::Crossing);
        }
        if insn.row != NONE {
            sink.arrive(target, state, Some(from));
        }
    }

    fn jump_indirect(&self, at: u32, insn: &Insn, state: &mut State, sink: &mut impl Sink) {
        state.step(at, insn.op);
        let Some(fde) = self.fde(insn.fde) else { return };
        let table = self.pointers.table_of(at);
        let (inside, split_off) = match table {
            Some(table) => (table, &[][..]),
            None => (
                self.pointers.within(self.judge.code, fde.section, fde.start, fde.end),
                self.pointers.split_off(insn.fde),
            ),
        };
        if table.is_none() && self.is_crowded(insn.fde, inside.len() + split_off.len()) {
            return;
        }
        let cfa = self.first_row(insn.fde).map(|row| self.judge.cfa(row, state));
        // Many jumps of an interpreter lead to the same many places: what they have in common goes there once.
        let lane = Lane { fde: insn.fde, row: insn.row, table: table.map(|_| at), rsp: state.reg(RSP), cfa };
        let Some(state) = sink.gather(lane, state) else { return };
        let state = &state;
        let fits = |target: u32| {
            let row = self.judge.code.get(target).and_then(|insn| self.row(insn));
            row.is_some_and(|row| self.judge.compare(row, state).wrong == 0)
        };
        // Whatever registers hold: other languages than C keep none of them.
        let is_empty = table.is_none() && cfa == Some(Value::CFA);
        // Case 8.
        let mut any_fits = false;
        for &target in inside.iter().chain(split_off).filter(|&&target| fits(target)) {
            any_fits = true;
            self.arrive(target, state, at, sink);
        }
        if !any_fits && !is_empty {
            inside.iter().for_each(|&target| self.arrive(target, state, at, sink));
        }
        if inside.is_empty() && split_off.is_empty() || !any_fits && is_empty {
            sink.leave(at, state, Exit::Tail);
        }
    }

    /// Whether more jumps lead to more places than anybody has time for.
    fn is_crowded(&self, fde: u32, places: usize) -> bool {
        const MOST: usize = 1 << 22;
        self.jumps_anywhere.get(&fde).is_some_and(|jumps| jumps.saturating_mul(places) > MOST)
    }

    /// Whether a landing pad's row counts from rsp as that of a call does, when the call's arguments are popped.
    fn fits(&self, call: &Insn, pad: u32) -> bool {
        let Some((own, there)) = self.row(call).zip(self.judge.code.get(pad).and_then(|insn| self.row(insn))) else {
            return true;
        };
        let popped = i32::try_from(own.args_size).unwrap_or(0);
        match (&own.cfa, &there.cfa) {
            (CfaRule::Register { reg, offset }, CfaRule::Register { reg: other, offset: wanted }) if reg == other => {
                *reg != u16::from(RSP) || offset.wrapping_sub(popped) == *wanted
            }
            _ => true,
        }
    }

    fn call(&self, at: u32, insn: &Insn, state: &mut State, sink: &mut impl Sink) -> Option<u32> {
        let mut kept = None;
        let mut returns = true;
        match insn.target {
            Target::Insn(target) if target == insn.next => {
                // Case 4.
                *state = state.inside_call();
                return self.fall(at, insn, state, sink);
            }
            Target::Insn(target) => {
                let callee = self.judge.code.get(target)?;
                kept = self.kept.get(&callee.fde).copied();
                if !self.starts.contains_key(&target) {
                    self.call_inside(at, target, callee, state, sink);
                }
            }
            Target::Symbol(symbol) => returns = !returns_never(self.image.symbol_name(symbol)),
            Target::Place(_) | Target::None => {}
        }
        state.calls_over_zone(at, matches!(insn.target, Target::Insn(_)));
        state.call(kept);
        let fde = self.fde(insn.fde)?;
        for pad in fde.pads.iter().filter(|pad| pad.start <= insn.offset && insn.offset < pad.end) {
            // Compilers join call sites: what never throws lies between them, with arguments on the stack.
            let target = self.judge.code.at(pad.pad);
            if let Some(target) = target.filter(|target| !self.fitting.contains(target) || self.fits(insn, *target)) {
                let popped = self.row(insn).map_or(0, |row| row.args_size);
                let mut caught = state.clone();
                let rsp = caught.reg(RSP).plus(i32::try_from(popped).unwrap_or(0));
                caught.put_reg(RSP, rsp);
                self.arrive(target, &caught, at, sink);
            }
        }
        let mut behind = insn.next;
        let code = self.judge.code;
        while code.get(behind).is_some_and(|next| next.op == Op::Keep && is_padding(next) && next.fde == insn.fde) {
            behind = code.get(behind).map_or(NONE, |next| next.next);
        }
        // No compiler leaves code behind a call that does not return where nothing else leads to it.
        let has_other_ways = self.meets_at(behind) || self.jumps_anywhere.contains_key(&insn.fde);
        let behind = code.get(behind).filter(|behind| returns && behind.fde == insn.fde)?;
        let is_another = has_other_ways && behind.row != insn.row;
        let fits = |row: &Row| {
            let found = self.judge.compare(row, state);
            found.wrong == 0 && found.unknown & CFA == 0
        };
        if is_another && self.row(behind).is_some_and(|row| !fits(row)) {
            // Case 6.
            sink.give_up(at, Lost::CallThatMayNotReturn);
            return None;
        }
        // Case 7.
        self.fall(at, insn, state, sink)
    }

    /// Case 5.
    fn call_inside(&self, at: u32, target: u32, callee: &Insn, state: &State, sink: &mut impl Sink) {
        let Some(row) = self.row(callee) else { return };
        let is_right = |state: &State| {
            let found = self.judge.compare(row, state);
            found.wrong == 0 && found.unknown == 0
        };
        let (entry, inner) = (State::at_entry(), state.inside_call());
        if is_right(&entry) {
            sink.arrive(target, &entry, None);
        } else if is_right(&inner) {
            sink.arrive(target, &inner, Some(at));
        } else {
            sink.give_up(target, Lost::CalledInside);
        }
    }
}

/// One-byte and longer `nop`s, between a call and what is behind it.
fn is_padding(insn: &Insn) -> bool {
    insn.flow == Flow::Next && insn.is_nop
}

/// What a row says of registers and frame, taken at its word; what it does not say is not known.
pub(super) fn as_row_says(row: &Row) -> State {
    let mut state = State::blank();
    match row.cfa {
        CfaRule::Register { reg, offset } if reg < 16 => {
            for number in 0u8..16 {
                state.put_reg(number, Value::Entry(number));
            }
            state.put_reg(RSP, Value::Unknown);
            state.put_reg(reg as Reg, Value::of_cfa(offset.saturating_neg()));
        }
        CfaRule::Register { .. } | CfaRule::Expression(_) | CfaRule::None => {}
    }
    let cfa_reg = match row.cfa {
        CfaRule::Register { reg, .. } => Some(reg),
        CfaRule::Expression(_) | CfaRule::None => None,
    };
    let judged = CALLEE_SAVED.iter().chain([&RA]).map(|&reg| (u16::from(reg), row.rule(reg)));
    for (number, rule) in judged.chain(row.others.iter().copied()) {
        let Ok(reg) = u8::try_from(number) else { continue };
        match rule {
            Rule::Offset(offset) => state.put_word(super::value::Place::of_cfa(offset), Value::Entry(reg)),
            Rule::Register(other) if other < 16 => state.put_reg(other as Reg, Value::Entry(reg)),
            _ => {}
        }
        // It is saved, so that the register may hold anything, its old value too.
        if !matches!(rule, Rule::Same | Rule::IsOffset(_)) && reg < 16 && reg != RSP && cfa_reg != Some(number) {
            state.put_reg(reg, Value::Unknown);
        }
    }
    state
}

/// The states at which paths meet, and those that were not settled yet.
#[derive(Default)]
pub(super) struct States {
    at: FxHashMap<u32, Box<State>>,
    pending: BinaryHeap<Reverse<u32>>,
    queued: FxHashSet<u32>,
    /// Where paths begin.
    seeds: FxHashSet<u32>,
    /// What jumps have in common that lead to the same places.
    lanes: FxHashMap<Lane, State>,
}

impl States {
    /// The state at an instruction at which paths meet.
    pub(super) fn get(&self, insn: u32) -> Option<&State> {
        self.at.get(&insn).map(Box::as_ref)
    }

    /// Whether a path begins at the instruction.
    pub(super) fn is_seed(&self, insn: u32) -> bool {
        self.seeds.contains(&insn)
    }

    /// Where paths were followed from, ascending.
    pub(super) fn starts(&self) -> Vec<u32> {
        let mut starts: Vec<u32> = self.at.keys().copied().collect();
        starts.sort_unstable();
        starts
    }

    /// Follows all paths until nothing changes.
    pub(super) fn settle(&mut self, ground: &Ground<'_>, cancel: &CancelToken) -> Result<(), Cancelled> {
        let mut state = State::blank();
        while let Some(Reverse(start)) = self.pending.pop() {
            cancel.check()?;
            self.queued.remove(&start);
            let Some(known) = self.get(start) else { continue };
            state.become_as(known);
            let (mut at, mut before) = (start, Op::Keep);
            while let Some(next) = ground.go(at, &mut state, before, self) {
                if ground.meets_at(next) {
                    self.arrive(next, &state, Some(at));
                    break;
                }
                before = ground.judge.code.get(at).map_or(Op::Keep, |insn| insn.op);
                at = next;
            }
        }
        Ok(())
    }
}

impl Sink for States {
    fn arrive(&mut self, at: u32, state: &State, from: Option<u32>) {
        if from.is_none() {
            self.seeds.insert(at);
        }
        let changed = match self.at.get_mut(&at) {
            Some(known) => known.meet(state),
            None => {
                self.at.insert(at, Box::new(state.clone()));
                true
            }
        };
        if changed && self.queued.insert(at) {
            self.pending.push(Reverse(at));
        }
    }

    fn leave(&mut self, _: u32, _: &State, _: Exit) {}

    fn give_up(&mut self, _: u32, _: Lost) {}
    fn gather(&mut self, lane: Lane, state: &State) -> Option<State> {
        match self.lanes.entry(lane) {
            Entry::Occupied(mut known) => known.get_mut().meet(state).then(|| known.get().clone()),
            Entry::Vacant(lane) => Some(lane.insert(state.clone()).clone()),
        }
    }
}
