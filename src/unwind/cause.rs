//! Which of the places where a row becomes wrong are faults of their own.
//!
//! In: the places, and how paths lead to them.  Out: those that no other one explains.
//! Holds afterwards: what is left out is wrong only because of what is told elsewhere; a second fault is never left out.
//!
//! | case | at a place | left out where |
//! |---|---|---|
//! | 1 | a path that went wrong earlier meets one that did not | that path went wrong at a place that is told |
//! | 2 | the CFA is wrong again behind a part in which it cannot be told | it was wrong by as much before, and no directive has said anything of it since |

use rustc_hash::FxHashSet;

use super::compare::{CFA, Mask};
use super::value::{Base, Value};
use super::verdict::{Subject, Verdicts, subjects};
use super::walk::States;

impl Verdicts<'_> {
    /// Of the places where something becomes wrong, those that are not wrong only because of another one: where a path
    /// that went wrong earlier meets one that did not.
    pub(super) fn causes(&self, candidates: Vec<(u32, Mask)>, states: &States) -> Vec<(u32, Mask)> {
        let mut kept = candidates.clone();
        for bit in 0..8u8 {
            let bit: Mask = 1 << bit;
            let of_bit: Vec<u32> = candidates.iter().filter(|(_, new)| new & bit != 0).map(|&(at, _)| at).collect();
            if of_bit.len() < 2 {
                continue;
            }
            let mut gone: FxHashSet<u32> = FxHashSet::default();
            for &at in of_bit.iter().rev() {
                let met: Vec<u32> =
                    self.before(at).into_iter().flatten().filter(|&from| self.wrong_at(from) & bit != 0).collect();
                if met.is_empty() || !self.is_uncertain(at, bit, states) {
                    continue;
                }
                // Back along what is wrong: is there another beginning?
                let (mut seen, mut todo) = (FxHashSet::default(), met);
                let mut explained = false;
                while let Some(here) = todo.pop() {
                    if here == at || !seen.insert(here) {
                        continue;
                    }
                    if of_bit.binary_search(&here).is_ok() && !gone.contains(&here) {
                        explained = true;
                        break;
                    }
                    todo.extend(self.before(here).into_iter().flatten().filter(|&from| self.wrong_at(from) & bit != 0));
                }
                if explained {
                    gone.insert(at);
                }
            }
            for (at, new) in &mut kept {
                if gone.contains(at) {
                    *new &= !bit;
                }
            }
        }
        kept.retain(|&(_, new)| new != 0);
        kept
    }

    /// Whether what is wrong at an instruction is so on some paths only.
    pub(super) fn is_uncertain(&self, at: u32, bit: Mask, states: &States) -> bool {
        let insn = self.ground.judge.code.get(at);
        let (Some(state), Some(row)) = (self.state_at(at, states), insn.and_then(|insn| self.ground.row(insn))) else {
            return false;
        };
        subjects(bit).any(|subject| match subject {
            Subject::Cfa => self.ground.judge.cfa(row, &state) == Value::Differs,
            Subject::Register(reg) => self.ground.judge.register(row.rule(reg), reg, &state) == Some(Value::Differs),
            _ => false,
        })
    }

    /// By how much the table's CFA is wrong at an instruction, where that is a number.
    fn error_of_cfa(&self, at: u32, states: &States) -> Option<i32> {
        let (state, row) = (self.state_at(at, states)?, self.ground.row(self.ground.judge.code.get(at)?)?);
        match self.ground.judge.cfa(row, &state) {
            Value::Frame(place) if place.base == Base::CFA => Some(place.offset),
            _ => None,
        }
    }

    /// Whether the CFA was wrong by as much before a part in which it cannot be told, a realigned stack for example, and no
    /// directive has said anything of it since: that was told there. As many `steps` back are taken, for all together.
    pub(super) fn is_still_untold(&self, at: u32, states: &States, steps: &mut usize) -> bool {
        const MOST_WRONG: usize = 64;
        let code = self.ground.judge.code;
        let is_unknown = |at: u32| self.found.get(at as usize).is_some_and(|found| found.unknown & CFA != 0);
        let is_wrong = |at: u32| self.wrong_at(at) & CFA != 0;
        let said = |at: u32| code.get(at).and_then(|insn| self.ground.row(insn)).map(|row| row.said[0]);
        let mut todo = self.before(at);
        if !todo.iter().flatten().any(|&from| is_unknown(from)) {
            return false;
        }
        let (Some(error), here) = (self.error_of_cfa(at, states), said(at)) else { return false };
        let (mut seen, mut wrong) = (FxHashSet::default(), Vec::new());
        while let Some(from) = todo.pop() {
            let Some(from) = from.filter(|&from| said(from) == here && (is_wrong(from) || is_unknown(from))) else {
                return false;
            };
            if !seen.insert(from) {
                continue;
            }
            let Some(left) = steps.checked_sub(1) else { return false };
            *steps = left;
            let before = self.before(from).into_iter();
            if is_wrong(from) {
                wrong.push(from);
                // Where it became wrong it was right before.
                todo.extend(before.filter(|from| from.is_some_and(|from| is_wrong(from) || is_unknown(from))));
            } else {
                todo.extend(before);
            }
        }
        wrong.sort_unstable();
        wrong.iter().take(MOST_WRONG).any(|&from| self.error_of_cfa(from, states) == Some(error))
    }
}
