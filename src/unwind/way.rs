//! The branches that lead from a function's entry to a place where something is wrong.
//!
//! In: where paths meet.  Out: [`Branch`]es, in the order in which they are taken.
//! Holds afterwards: on the path that is told, what is wrong is so.

use rustc_hash::FxHashSet;

use super::fault::Branch;
use super::op::{Flow, Op};
use super::state::State;
use super::verdict::Verdicts;
use super::walk::{Exit, Lost, Sink, States};

/// Of a longer path the end is told.
const MOST_BRANCHES: usize = 12;
/// Nothing is told of paths that are longer.
const MOST_INSNS: usize = 1 << 12;

/// Keeps the state that a step leads to a place with.
struct Arrival {
    wanted: u32,
    found: Option<State>,
}

impl Sink for Arrival {
    fn arrive(&mut self, at: u32, state: &State, _: Option<u32>) {
        if at == self.wanted {
            self.found = Some(state.clone());
        }
    }

    fn leave(&mut self, _: u32, _: &State, _: Exit) {}

    fn give_up(&mut self, _: u32, _: Lost) {}
}

impl Verdicts<'_> {
    /// The conditional branches of a path to an instruction on which the state is wrong; none where there is one path only,
    /// or none that could be found.
    pub(super) fn way_to(&self, at: u32, states: &States, wrong: &dyn Fn(&State) -> bool) -> Vec<Branch> {
        let mut way = Vec::new();
        let (mut here, mut seen) = (at, FxHashSet::default());
        for _ in 0..MOST_INSNS {
            seen.insert(here);
            let before = self.before(here);
            if before.contains(&None) || before.is_empty() {
                break;
            }
            let known: Vec<u32> = before.into_iter().flatten().filter(|from| !seen.contains(from)).collect();
            let by_state =
                || known.iter().copied().find(|&from| self.step(from, here, states).as_ref().is_some_and(wrong));
            let chosen = if known.len() > 1 { by_state() } else { None };
            let Some(from) = chosen.or_else(|| known.first().copied()) else { return Vec::new() };
            let Some(insn) = self.ground.judge.code.get(from) else { return Vec::new() };
            if matches!(insn.flow, Flow::JumpIf { .. }) {
                way.push(Branch { at: insn.loc(), taken: insn.next != here });
            }
            here = from;
        }
        way.truncate(MOST_BRANCHES);
        way.reverse();
        way
    }

    /// The state that an instruction leads to another one with.
    fn step(&self, from: u32, to: u32, states: &States) -> Option<State> {
        let mut state = self.state_at(from, states)?;
        let mut arrival = Arrival { wanted: to, found: None };
        let next = self.ground.go(from, &mut state, Op::Keep, &mut arrival);
        arrival.found.or((next == Some(to)).then_some(state))
    }
}
