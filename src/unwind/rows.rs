//! Of all rows that would be true, those that a person would write.
//!
//! In: [`Derived`].  Out: [`Told`] by instruction: how the CFA and the registers are to be found from there on.
//! Holds afterwards: each is one of the ways that the facts name for its instruction.
//!
//! | case | before the instruction | the CFA counts from |
//! |---|---|---|
//! | 1 | `mov %rsp, %rbp` behind `push %rbp` | rbp, until it is put back |
//! | 2 | a copy of rsp, and further on rsp is moved by what only run time knows | the copy, as long as it is kept |
//! | 3 | rsp is put back from a copy or a slot | rsp |
//! | 4 | what it counted from still leads to it | the same |
//! | 5 | it does not | rsp, rbp, another register, a word of the stack: the first that leads to it |
//! | 6 | nothing falls in | what it counted from where the branch is |
//!
//! A register is told to be saved right behind the instruction that does it, and to be back where it is put back.

use super::derive::{Derived, Facts, Whereabouts, Word};
use super::op::{Op, Source};
use super::row::JUDGED;
use super::value::{RBP, RSP, Reg};

/// How the CFA is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cfa {
    /// By a register and a number.
    Register(Reg, i32),
    /// By what a word holds, and a number.
    Word(Word, i32),
}

/// Where a register of the caller is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Saved {
    /// As it was; for the return address: below the CFA.
    Not,
    /// So far from the CFA.
    At(i32),
    /// In another register.
    In(Reg),
    /// In a word that a register leads to.
    Word(Word),
}

/// What is to be said from an instruction on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Told {
    /// How the CFA is found.
    pub cfa: Cfa,
    /// The registers of `JUDGED`.
    pub saved: [Saved; 7],
}

impl Told {
    /// What a table says where nothing was told yet.
    pub const ENTRY: Told = Told { cfa: Cfa::Register(RSP, 8), saved: [Saved::Not; 7] };
}

/// The numbers of the registers that [`Told::saved`] is about.
pub const REGISTERS: [Reg; 7] = JUDGED;

/// What to say at each instruction; at those that no path leads to, as before. `None` where nothing that is true can be said.
pub fn rows(derived: &Derived) -> Option<Vec<Told>> {
    let facts = &derived.facts;
    let mut told: Vec<Told> = Vec::with_capacity(facts.len());
    for (at, here) in facts.iter().enumerate() {
        let above = told.last().copied().unwrap_or(Told::ENTRY);
        if !here.reached {
            told.push(above);
            continue;
        }
        let before = at.checked_sub(1).and_then(|before| facts.get(before)).filter(|_| here.falls_in);
        // Case 6.
        let start = match before {
            _ if at == 0 => entered(here),
            Some(_) => above,
            None => {
                here.from.iter().filter(|&&from| from < at).find_map(|&from| told.get(from).copied()).unwrap_or(above)
            }
        };
        let cfa = cfa(facts, at, start.cfa, before)?;
        let mut saved = [Saved::Not; 7];
        for (number, slot) in saved.iter_mut().enumerate() {
            let (whereabouts, reg) = (here.registers.get(number)?, *JUDGED.get(number)?);
            let earlier = before.and_then(|before| Some((before.op, before.registers.get(number)?)));
            *slot = register(reg, whereabouts, *start.saved.get(number)?, earlier)?;
        }
        told.push(Told { cfa, saved });
    }
    Some(told)
}

/// What is true where a function starts. What was split off another one is entered with that one's frame.
fn entered(first: &Facts) -> Told {
    if offset_by(first, RSP) == Some(8) {
        return Told::ENTRY;
    }
    let saved = first.registers.each_ref().map(|register| match register.slots.last() {
        Some(&slot) if !register.same || slot != -8 => Saved::At(slot),
        _ => Saved::Not,
    });
    let rbp = offset_by(first, RBP).filter(|&offset| offset == 16 && saved.contains(&Saved::At(-16)));
    let cfa = rbp.map(|offset| Cfa::Register(RBP, offset)).or_else(|| best(first));
    Told {
        cfa: cfa.unwrap_or(Told::ENTRY.cfa),
        saved: [saved[0], saved[1], saved[2], saved[3], saved[4], saved[5], Saved::Not],
    }
}

fn offset_by(facts: &Facts, reg: Reg) -> Option<i32> {
    facts.cfa.iter().find(|(by, _)| *by == reg).map(|&(_, offset)| offset)
}

/// The register that gets what rsp holds, and a number.
fn copy_of_rsp(op: Op) -> Option<Reg> {
    match op {
        Op::Copy { to, from: RSP } | Op::Lea { to, from: RSP, .. } if to != RSP => Some(to),
        Op::Enter { .. } => Some(RBP),
        _ => None,
    }
}

fn puts_rsp_back(op: Op) -> bool {
    matches!(op, Op::Copy { to: RSP, .. } | Op::Load { to: RSP, .. } | Op::Leave)
        || matches!(op, Op::Lea { to: RSP, from, .. } if from != RSP)
}

fn cfa(facts: &[Facts], at: usize, earlier: Cfa, before: Option<&Facts>) -> Option<Cfa> {
    let here = facts.get(at)?;
    let by = |reg: Reg| offset_by(here, reg).map(|offset| Cfa::Register(reg, offset));
    let stands = match earlier {
        Cfa::Register(reg, _) => by(reg),
        Cfa::Word(word, add) => here.cfa_words.contains(&(word, add)).then_some(earlier),
    };
    let is_frame = |reg: Reg| {
        let rbp = JUDGED.iter().position(|&judged| judged == RBP).and_then(|at| here.registers.get(at));
        reg == RBP && offset_by(here, RBP) == Some(16) && rbp.is_some_and(|rbp| rbp.slots.contains(&-16))
    };
    if let Some(before) = before {
        if let Some(reg) = copy_of_rsp(before.op).filter(|_| matches!(earlier, Cfa::Register(RSP, _))) {
            // Cases 1 and 2.
            if is_frame(reg) || is_needed(facts, at, reg) {
                return by(reg).or(stands);
            }
        }
        // Case 3.
        let by_frame = matches!(earlier, Cfa::Register(RBP, _)) && is_frame(RBP);
        if puts_rsp_back(before.op) && !by_frame {
            return by(RSP).or(stands).or_else(|| best(here));
        }
    }
    // Cases 4 and 5.
    stands.or_else(|| best(here))
}

fn best(here: &Facts) -> Option<Cfa> {
    let by = |reg: Reg| offset_by(here, reg).map(|offset| Cfa::Register(reg, offset));
    let kept = [3, 12, 13, 14, 15];
    let registers = [RSP, RBP].into_iter().chain(kept).chain(0u8..16);
    registers.filter_map(by).next().or_else(|| here.cfa_words.first().map(|&(word, add)| Cfa::Word(word, add)))
}

/// Whether further on rsp does not lead to the CFA, and the register does from here to there.
fn is_needed(facts: &[Facts], at: usize, reg: Reg) -> bool {
    for facts in facts.iter().skip(at).filter(|facts| facts.reached) {
        if offset_by(facts, reg).is_none() {
            return false;
        }
        if offset_by(facts, RSP).is_none() {
            return true;
        }
    }
    false
}

fn register(reg: Reg, here: &Whereabouts, earlier: Saved, before: Option<(Op, &Whereabouts)>) -> Option<Saved> {
    let is_return_address = reg == super::value::RA;
    let is_nowhere = here.slots.is_empty() && here.held_by.is_none() && here.word.is_none();
    let in_place = |here: &Whereabouts| {
        if is_return_address { here.slots.contains(&-8) } else { here.same || here.loose && is_nowhere }
    };
    if let Some((op, before)) = before {
        let saves = match op {
            Op::Push { from: Source::Reg(from), .. } | Op::Store { from, .. } => from == reg,
            Op::Enter { .. } => reg == RBP,
            _ => false,
        };
        let new = here.slots.iter().find(|slot| !before.slots.contains(slot));
        if let (true, true, Saved::Not, Some(&slot)) = (saves, before.same, earlier, new) {
            return Some(Saved::At(slot));
        }
        let restores = match op {
            Op::Pop { to: Source::Reg(to), .. } | Op::Load { to, .. } | Op::Copy { to, .. } => to == reg,
            Op::Leave => reg == RBP,
            _ => false,
        };
        if restores && here.same {
            return Some(Saved::Not);
        }
    }
    let stands = match earlier {
        Saved::Not => in_place(here),
        Saved::At(slot) => here.slots.contains(&slot),
        Saved::In(other) => here.held_by == Some(other),
        Saved::Word(word) => here.word == Some(word),
    };
    if stands {
        return Some(earlier);
    }
    if in_place(here) {
        return Some(Saved::Not);
    }
    here.slots.last().map(|&slot| Saved::At(slot)).or(here.held_by.map(Saved::In)).or(here.word.map(Saved::Word))
}
