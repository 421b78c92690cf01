//! What rows of functions would be true, whatever their table says or does not say.
//!
//! In: an object, the code of functions.  Out: [`Derived`]: before each instruction every way to find the CFA and the
//! caller's registers, or why nothing can be said of the function.
//! Holds afterwards: whoever follows one of the ways at its instruction finds what the code makes true, on every path.

use std::collections::BTreeSet;

use rustc_hash::{FxHashMap, FxHashSet};

use super::code::{Code, Insn, NONE};
use super::compare::{CFA, Judge, bit};
use super::fault::text;
use super::op::{Flow, Op};
use super::pointers::Pointers;
use super::relocated::{Addresses, place_of};
use super::row::{CfaRule, JUDGED, Row, Rule};
use super::state::State;
use super::table::{Fde, Order, Tables};
use super::value::{Base, CALLEE_SAVED, RA, RSP, Reg, Value, name};
use super::verdict::{Verdicts, settled, verdicts};
use super::walk::{Ground, Lost};
use crate::cancel::{CancelToken, Cancelled};
use crate::ids::{CodeLoc, SectionId};
use crate::image::{ElfImage, Store};

/// The code of a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// Its section.
    pub section: SectionId,
    /// Offset of its first byte.
    pub start: u32,
    /// Offset behind its last.
    pub end: u32,
    /// Its table of landing pads, where no description names it.
    pub exceptions: Option<CodeLoc>,
}

impl Range {
    fn holds(&self, insn: &Insn) -> bool {
        insn.section == self.section && (self.start..self.end).contains(&insn.offset)
    }
}

/// The word at a register and a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Word {
    /// The register.
    pub reg: Reg,
    /// The number.
    pub disp: i32,
}

/// Where a register of the caller is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Whereabouts {
    /// In itself.
    pub same: bool,
    /// In words, by their distance from the CFA.
    pub slots: Vec<i32>,
    /// In another register.
    pub held_by: Option<Reg>,
    /// In a word that is found by a register only.
    pub word: Option<Word>,
    /// By the function's own convention nobody gets it back.
    pub loose: bool,
}

/// What is true before an instruction.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its offset.
    pub offset: u32,
    /// What it does.
    pub op: Op,
    /// Whether a path leads there; what follows is empty where none does.
    pub reached: bool,
    /// Whether the one before it, by offset, falls into it.
    pub falls_in: bool,
    /// The instructions that lead to it, by position in [`Derived::facts`].
    pub from: Vec<usize>,
    /// Registers that hold the CFA less a number.
    pub cfa: Vec<(Reg, i32)>,
    /// Words that do.
    pub cfa_words: Vec<(Word, i32)>,
    /// The registers of `JUDGED`.
    pub registers: [Whereabouts; 7],
    /// By how much it moves rsp, if that is known.
    pub moves: Option<i32>,
    /// It ends a frame that a signal made.
    pub leaves_signal: bool,
}

/// What could be told of a function.
#[derive(Clone, Debug, Default)]
pub struct Derived {
    /// By offset.
    pub facts: Vec<Facts>,
    /// Why there are no rows that are true, and where.
    pub refusal: Option<(CodeLoc, String)>,
    /// Instructions that no path leads to and that do not look like padding, by offset.
    pub unreached: Vec<u32>,
    /// Other functions, by position, that it jumps into.
    pub enters: Vec<usize>,
}

/// The tables of an object, with rows of an entry for the functions.
fn tables(store: &dyn Store, image: &ElfImage, addresses: &Addresses, ranges: &[Range]) -> Tables {
    let mut tables = Tables::read(store, image, addresses, Order::EhFrameFirst);
    let mut contents: FxHashMap<SectionId, Vec<u8>> = FxHashMap::default();
    let is_other = |fde: &Fde| {
        !ranges.iter().any(|range| fde.section == range.section && fde.start < range.end && range.start < fde.end)
    };
    tables.fdes.retain(is_other);
    for range in ranges {
        let mut rules = [Rule::Same; 7];
        rules[6] = Rule::Offset(-8);
        let cfa = CfaRule::Register { reg: u16::from(RSP), offset: 8 };
        let (start, end) = (range.start, range.end);
        let first = tables.rows.len() as u32;
        let pads = range.exceptions.map(|at| {
            let bytes = contents
                .entry(at.section)
                .or_insert_with(|| addresses.contents(store, image, at.section).unwrap_or_default());
            super::pads::read(bytes, at, addresses, (range.section, start))
        });
        tables.rows.push(Row { start, end, cfa, rules, others: Vec::new(), said: [start; 8], args_size: 0 });
        tables.fdes.push(Fde {
            section: range.section,
            start,
            end,
            rows: first..first + 1,
            signal: false,
            other_column: false,
            pads: pads.unwrap_or_default(),
            oddities: Vec::new(),
        });
    }
    tables.fdes.sort_by_key(|fde| (fde.section, fde.start, std::cmp::Reverse(fde.end)));
    tables
}

/// What is true in each of the functions, which do not overlap.
pub fn derive(
    store: &dyn Store,
    image: &ElfImage,
    ranges: &[Range],
    cancel: &CancelToken,
) -> Result<Vec<Derived>, Cancelled> {
    let addresses = Addresses::of(image);
    let tables = tables(store, image, &addresses, ranges);
    let code = Code::read(image, &addresses, &tables);
    let pointers = Pointers::read(store, image, &addresses, &tables, &code);
    let mut ground = Ground::new(image, Judge { tables: &tables, code: &code }, &pointers);
    let states = settled(image, &mut ground, cancel)?;
    let verdicts = verdicts(&ground, &states, cancel)?;
    let loose = verdicts.helpers();
    let mut known: Vec<Option<State>> = vec![None; code.insns.len()];
    for start in states.starts() {
        let Some(mut state) = states.get(start).cloned() else { continue };
        let (mut at, mut before) = (start, Op::Keep);
        loop {
            if let Some(slot) = known.get_mut(at as usize) {
                *slot = Some(state.clone());
            }
            let Some(next) = ground.go(at, &mut state, before, &mut super::walk::Nobody) else { break };
            if ground.meets_at(next) {
                break;
            }
            before = code.get(at).map_or(Op::Keep, |insn| insn.op);
            at = next;
        }
    }
    let one = |range: &Range| {
        let numbers = code.range(range.section, range.start, range.end);
        let first = numbers.start;
        let fde = code.get(first).map_or(NONE, |insn| insn.fde);
        let loose = loose.get(&fde).copied().unwrap_or(0);
        let facts = numbers.map(|at| {
            let insn = code.get(at)?;
            let state = known.get(at as usize).and_then(Option::as_ref);
            let falls_in = at.checked_sub(1).is_some_and(|before| {
                let before = code.get(before).filter(|before| range.holds(before));
                before.is_some_and(|before| before.next == at && before.flow.falls())
                    && verdicts.reached.get(at as usize - 1) == Some(&true)
            });
            let from = verdicts.edges.get(&at).into_iter().flatten().flatten();
            let from = from.filter_map(|&from| from.checked_sub(first)).map(|from| from as usize).collect();
            Some(facts(insn, state, falls_in, from, loose))
        });
        let facts: Vec<Facts> = facts.flatten().collect();
        let refusal = refusal(image, range, &facts, &code, &verdicts);
        let dead = behind_ends(range, &code, &pointers, &verdicts);
        let unreached = facts.iter().filter(|facts| !facts.reached && !dead.contains(&facts.offset));
        let is_code = |offset: &u32| {
            let insn = code.at(CodeLoc::new(range.section, u64::from(*offset))).and_then(|at| code.get(at));
            insn.is_some_and(|insn| !insn.is_nop && insn.flow != Flow::Stop && !is_padding(image, insn))
        };
        let unreached: Vec<u32> = unreached.map(|facts| facts.offset).filter(is_code).collect();
        let unreached = if keeps_the_entry(&facts, &unreached) { Vec::new() } else { unreached };
        Derived { facts, refusal, unreached, enters: Vec::new() }
    };
    let mut derived: Vec<Derived> = ranges.iter().map(one).collect();
    for (range, derived) in ranges.iter().zip(&mut derived) {
        derived.enters = entered(image, range, ranges, &code, &verdicts);
    }
    Ok(derived)
}

/// The functions whose middle a function jumps to, or which were split off it, from where no path leads: what holds there
/// is unknown.
fn entered(image: &ElfImage, range: &Range, ranges: &[Range], code: &Code, verdicts: &Verdicts<'_>) -> Vec<usize> {
    let mut found = BTreeSet::new();
    let unreached = |at: &u32| verdicts.reached.get(*at as usize) != Some(&true);
    for insn in code.range(range.section, range.start, range.end).filter(unreached).filter_map(|at| code.get(at)) {
        let super::code::Target::Insn(target) = insn.target else { continue };
        let Some(target) = code.get(target).filter(|target| !range.holds(target) && insn.flow != Flow::Call) else {
            continue;
        };
        let other = ranges.iter().position(|other| other.holds(target));
        let is_start = ranges.iter().any(|other| other.section == target.section && other.start == target.offset);
        found.extend(other.filter(|_| !is_start || is_split_off(image, target)));
    }
    found.into_iter().collect()
}

/// Whether compilers have split off the code that starts here.
fn is_split_off(image: &ElfImage, insn: &Insn) -> bool {
    image.symbols().any(|(id, symbol)| {
        symbol.section == insn.section
            && place_of(image, symbol) == Some(insn.loc())
            && image.symbol_name(id).contains(".cold")
    })
}

fn facts(insn: &Insn, state: Option<&State>, falls_in: bool, from: Vec<usize>, loose: u16) -> Facts {
    let mut facts = Facts {
        offset: insn.offset,
        op: insn.op,
        reached: state.is_some(),
        falls_in,
        from,
        cfa: Vec::new(),
        cfa_words: Vec::new(),
        registers: Default::default(),
        moves: None,
        leaves_signal: false,
    };
    let Some(state) = state else { return facts };
    // asm/unistd_64.h: rt_sigreturn.
    facts.leaves_signal = insn.flow == Flow::SystemCall && state.reg(0) == Value::Number(15);
    let rsp = |state: &State| state.reg(RSP).place().filter(|place| place.base == Base::CFA).map(|place| place.offset);
    let mut after = state.clone();
    after.step(0, insn.op);
    facts.moves = rsp(state).zip(rsp(&after)).map(|(before, after)| after.wrapping_sub(before));
    let places: Vec<_> = (0u8..16).filter_map(|reg| Some((reg, state.reg(reg).place()?))).collect();
    // A word is found by rsp and rbp only: what others hold changes too soon to be told.
    let by = |base: Base, offset: i32| {
        let found = places.iter().find(|(reg, place)| place.base == base && (*reg == RSP || *reg == super::value::RBP));
        found.and_then(|(reg, place)| Some(Word { reg: *reg, disp: offset.checked_sub(place.offset)? }))
    };
    for &(reg, place) in places.iter().filter(|(_, place)| place.base == Base::CFA) {
        facts.cfa.extend(place.offset.checked_neg().map(|offset| (reg, offset)));
    }
    for (place, value) in state.words() {
        match value {
            Value::Frame(held) if held.base == Base::CFA && place.base != Base::CFA => {
                let word = by(place.base, place.offset).zip(held.offset.checked_neg());
                facts.cfa_words.extend(word);
            }
            Value::Entry(reg) => {
                let Some(at) = JUDGED.iter().position(|judged| judged == reg) else { continue };
                if place.base != Base::CFA {
                    facts.registers[at].word = facts.registers[at].word.or(by(place.base, place.offset));
                } else if place.offset <= -8 {
                    facts.registers[at].slots.push(place.offset);
                }
            }
            _ => {}
        }
    }
    for (whereabouts, &reg) in facts.registers.iter_mut().zip(&JUDGED) {
        whereabouts.same = reg != RA && state.reg(reg) == Value::Entry(reg);
        whereabouts.held_by = state.holder_of(reg).filter(|&holder| holder != reg);
        whereabouts.loose = reg != RA && loose & (1 << reg) != 0;
    }
    facts
}

/// Why a function gets no rows.
fn refusal(
    image: &ElfImage,
    range: &Range,
    facts: &[Facts],
    code: &Code,
    verdicts: &Verdicts<'_>,
) -> Option<(CodeLoc, String)> {
    let loc = |offset: u32| CodeLoc::new(range.section, u64::from(offset));
    let quoted = |offset: u32| format!("`{}`", text(image, loc(offset)));
    if facts.first().is_none_or(|first| first.offset != range.start) {
        return Some((loc(range.start), "there is no code where it starts".to_owned()));
    }
    for &(at, why) in &verdicts.lost {
        let Some(insn) = code.get(at).filter(|insn| range.holds(insn)) else { continue };
        let why = match why {
            Lost::FallsOff if insn.flow.falls() && !matches!(insn.flow, Flow::Call | Flow::CallIndirect) => {
                "it runs on into the next function, which is entered with another frame"
            }
            Lost::CalledInside => "the code here is called, and also reached without a call",
            Lost::FallsOff | Lost::Impossible | Lost::CallThatMayNotReturn => continue,
        };
        return Some((insn.loc(), why.to_owned()));
    }
    if let Some(facts) = facts.iter().find(|facts| facts.leaves_signal) {
        let words = "it is entered by a signal, not by a call: its frame is the kernel's".to_owned();
        return Some((loc(facts.offset), words));
    }
    for facts in facts.iter().filter(|facts| facts.reached) {
        if facts.cfa.is_empty() && facts.cfa_words.is_empty() {
            let words = format!(
                "before {} no register and no word of the stack is known to lead to the CFA",
                quoted(facts.offset)
            );
            return Some((loc(facts.offset), words));
        }
        for (whereabouts, &reg) in facts.registers.iter().zip(&JUDGED) {
            let found = whereabouts.same
                || whereabouts.loose
                || !whereabouts.slots.is_empty()
                || whereabouts.held_by.is_some()
                || whereabouts.word.is_some();
            if !found {
                let what =
                    if reg == RA { "the return address".to_owned() } else { format!("the caller's {}", name(reg)) };
                let words = format!("before {} it is unknown where {what} is", quoted(facts.offset));
                return Some((loc(facts.offset), words));
            }
        }
    }
    None
}

/// Whether a function has no frame anywhere, and what no path leads to makes none: whoever comes there finds what holds at
/// entry, like everywhere.
fn keeps_the_entry(facts: &[Facts], unreached: &[u32]) -> bool {
    let of_entry = |facts: &Facts| {
        let (_, saved) = facts.registers.split_last().map_or((None, &[][..]), |(last, rest)| (Some(last), rest));
        facts.cfa.contains(&(RSP, 8)) && saved.iter().all(|register| register.same)
    };
    let keeps = |facts: &Facts| {
        let mut state = State::at_entry();
        state.step(0, facts.op);
        let kept = CALLEE_SAVED.iter().all(|&reg| state.reg(reg) == Value::Entry(reg));
        kept && state.reg(RSP) == Value::of_cfa(-8)
    };
    facts.iter().all(|facts| match facts.reached {
        true => of_entry(facts),
        false => !unreached.contains(&facts.offset) || keeps(facts),
    })
}

/// What lies behind a jump, a return or a call that does not return, up to what something leads to. Nobody comes there.
fn behind_ends(range: &Range, code: &Code, pointers: &Pointers, verdicts: &Verdicts<'_>) -> FxHashSet<u32> {
    let numbers = code.range(range.section, range.start, range.end);
    let is_reached = |at: u32| verdicts.reached.get(at as usize) == Some(&true);
    let mut found = FxHashSet::default();
    let known = numbers.clone().filter_map(|at| code.get(at)).all(|insn| insn.flow != Flow::JumpIndirect);
    let mut led_to: FxHashSet<u32> = pointers.insns().iter().copied().collect();
    led_to.extend(code.insns.iter().filter_map(|insn| match insn.target {
        super::code::Target::Insn(target) => Some(target),
        _ => None,
    }));
    let mut is_behind = false;
    for at in numbers.filter(|_| known) {
        let Some(insn) = code.get(at) else { break };
        if is_reached(at) {
            is_behind = !insn.flow.falls() || matches!(insn.flow, Flow::Call | Flow::CallIndirect);
        } else if is_behind && !led_to.contains(&at) {
            found.insert(insn.offset);
        } else {
            is_behind = false;
        }
    }
    found
}

/// What assemblers fill gaps with, other than `nop`.
fn is_padding(image: &ElfImage, insn: &Insn) -> bool {
    let bytes = image.section(insn.section).code.get(insn.offset as usize..insn.end() as usize);
    bytes.is_some_and(|bytes| matches!(bytes, [0xcc] | [0x00, 0x00] | [0x66, 0x90]))
        || matches!(insn.op, Op::Lea { to, from, by: 0 } if to == from)
        || matches!(insn.op, Op::Exchange { one, other } if one == other)
        || matches!(insn.op, Op::Copy { to, from } if to == from)
}

/// What is wrong or cannot be told of the rows that functions have; empty where every instruction that a path leads to has
/// a row that is true.
pub fn untrue(
    store: &dyn Store,
    image: &ElfImage,
    ranges: &[Range],
    cancel: &CancelToken,
) -> Result<Vec<Option<(CodeLoc, String)>>, Cancelled> {
    let addresses = Addresses::of(image);
    let tables = Tables::read(store, image, &addresses, Order::EhFrameFirst);
    let code = Code::read(image, &addresses, &tables);
    let pointers = Pointers::read(store, image, &addresses, &tables, &code);
    let judged = super::verdict::judge(image, &tables, &code, &pointers, cancel)?;
    let mut ground = Ground::new(image, Judge { tables: &tables, code: &code }, &pointers);
    let states = settled(image, &mut ground, cancel)?;
    let verdicts = verdicts(&ground, &states, cancel)?;
    let loose = verdicts.helpers();
    let told: FxHashSet<(SectionId, u32)> = tables.fdes.iter().map(|fde| (fde.section, fde.start)).collect();
    let one = |range: &Range| {
        let loc = |offset: u32| CodeLoc::new(range.section, u64::from(offset));
        if !told.contains(&(range.section, range.start)) {
            return Some((loc(range.start), "its table does not begin where it starts".to_owned()));
        }
        let inside = |at: CodeLoc| {
            at.section == range.section && (u64::from(range.start)..u64::from(range.end)).contains(&at.offset)
        };
        if let Some(finding) = judged.findings.iter().find(|finding| inside(finding.at)) {
            return Some((finding.told.culprit, finding.told.words.clone()));
        }
        for at in code.range(range.section, range.start, range.end) {
            let (Some(insn), Some(found)) = (code.get(at), verdicts.found.get(at as usize)) else { continue };
            if verdicts.reached.get(at as usize) != Some(&true) {
                continue;
            }
            // What was split off a function gives nothing back itself.
            let mask = loose.get(&insn.fde).copied().filter(|_| !ground.is_part(insn.fde)).unwrap_or(0);
            let loose =
                CALLEE_SAVED.iter().filter(|&&reg| mask & (1 << reg) != 0).fold(0, |bits, &reg| bits | bit(reg));
            if insn.row == NONE || (found.wrong | found.unknown) & !loose != 0 {
                let what = if (found.wrong | found.unknown) & CFA != 0 { "the CFA" } else { "a register" };
                let words = format!(
                    "what would be written of {what} before `{}` could not be shown to be true",
                    text(image, insn.loc())
                );
                return Some((insn.loc(), words));
            }
        }
        None
    };
    Ok(ranges.iter().map(one).collect())
}

/// The functions of which a table says nothing but how they are entered, by the start of their code: it has rows to be
/// written, and its directives begin and end somewhere.
pub fn told_of_entry_only(store: &dyn Store, image: &ElfImage) -> (BTreeSet<(SectionId, u32)>, Vec<Range>) {
    let addresses = Addresses::of(image);
    let tables = Tables::read(store, image, &addresses, Order::EhFrameFirst);
    let only = |fde: &&Fde| tables.rows_of(fde).len() == 1 && tables.rows_of(fde).iter().all(Row::is_of_entry);
    let plain = |fde: &&Fde| fde.pads.is_empty() && !fde.signal && !fde.other_column;
    let entry = tables.fdes.iter().filter(only).filter(plain).map(|fde| (fde.section, fde.start)).collect();
    let all = tables
        .fdes
        .iter()
        .map(|fde| Range { section: fde.section, start: fde.start, end: fde.end, exceptions: None })
        .collect();
    (entry, all)
}
