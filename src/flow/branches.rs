//! Where branches lead, kept for the instructions that branch or return and for no others.
//!
//! In: all instructions.  Out: [`Branches`], a target for each that branches, and a way through them; [`Census`], what else one
//! pass over all tells.
//! Holds afterwards: an instruction that is made another kind of branch keeps its place. What each of them is, is kept here
//! once more: passes over all branches need not look at the instructions between them.

use std::ops::Range;

use crate::decode::{Insn, Kind};
use crate::ids::InsnId;
use crate::marks::{self, Marks, Ones};
use crate::parallel;

use super::Flags;

/// The targets of branches; 0 where none is known. What a target means is the graph's business.
#[derive(Clone, Debug, Default)]
pub(crate) struct Branches {
    /// Which instructions branch.
    words: Vec<Marks>,
    targets: Vec<u32>,
    /// What they are, as in the table of instructions.
    kinds: Vec<Kind>,
}

/// Words of a part: the branches of some 200 kB of code.
const PART: usize = 1 << 10;

/// Branches that follow each other.
pub(super) struct Part<'b> {
    /// The index of the first instruction.
    first: usize,
    words: &'b [Marks],
    targets: &'b mut [u32],
    kinds: &'b [Kind],
    flags: &'b mut [Flags],
}

impl Part<'_> {
    /// The branches of some kinds in order, with their targets and flags.
    pub(super) fn each(self, wanted: impl Fn(Kind) -> bool, mut act: impl FnMut(InsnId, &mut u32, &mut Flags)) {
        let mut targets = self.targets.iter_mut().zip(self.kinds);
        for (index, word) in self.words.iter().enumerate() {
            for within in word.each().map(|bit| index * 64 + bit) {
                if let Some(((target, &kind), flags)) = targets.next().zip(self.flags.get_mut(within))
                    && wanted(kind)
                {
                    act(InsnId::from_index(self.first + within), target, flags);
                }
            }
        }
    }
}

/// What one pass over all instructions tells of them.
#[derive(Default)]
pub(super) struct Census {
    /// Without targets.
    pub branches: Branches,
    /// Those that compute an address relative to themselves, in order.
    pub lea_rip: Vec<InsnId>,
    /// Those that the processor refuses, in order.
    pub bugs: Vec<InsnId>,
}

fn branches(kind: Kind) -> bool {
    kind.leads_away() || kind == Kind::Return
}

impl Census {
    pub(super) fn of(insns: &[Insn]) -> Census {
        let parts = parallel::parts(insns.len(), |part| {
            let mut words = Vec::with_capacity(part.len() / 64 + 1);
            let (mut kinds, mut lea_rip, mut bugs) = (Vec::new(), Vec::new(), Vec::new());
            for first in part.clone().step_by(64) {
                let mut bits = 0;
                let (mut found, mut n_found) = ([Kind::Other; 64], 0);
                for (at, insn) in insns[first..part.end.min(first + 64)].iter().enumerate() {
                    let branches = branches(insn.kind);
                    bits |= u64::from(branches) << at;
                    // Written in any case: whether it branches is hard to foresee.
                    found[n_found & 63] = insn.kind;
                    n_found += usize::from(branches);
                    match insn.kind {
                        Kind::LeaRip => lea_rip.push(InsnId::from_index(first + at)),
                        Kind::Bug => bugs.push(InsnId::from_index(first + at)),
                        _ => {}
                    }
                }
                words.push(Marks::new(bits));
                kinds.extend_from_slice(&found[..n_found]);
            }
            (words, kinds, lea_rip, bugs)
        });
        let mut census = Census::default();
        let Branches { words, kinds, .. } = &mut census.branches;
        words.reserve_exact(insns.len() / 64 + 1);
        kinds.reserve_exact(parts.iter().map(|(_, kinds, ..)| kinds.len()).sum());
        for (own, of_branches, lea_rip, bugs) in parts {
            words.extend(own);
            kinds.extend(of_branches);
            census.lea_rip.extend(lea_rip);
            census.bugs.extend(bugs);
        }
        let n_branches = marks::number(words, 0);
        census.branches.targets = parallel::filled(n_branches as usize, 0, |_| 0);
        census
    }
}

impl Branches {
    fn place(&self, id: InsnId) -> Option<usize> {
        self.words.get(id.index() / 64)?.number_of(id.index() % 64)
    }

    /// Those among the instructions of a range, in order.
    pub(super) fn within(&self, range: Range<usize>) -> impl Iterator<Item = InsnId> {
        let words = range.start / 64..range.end.div_ceil(64);
        let bits = words.flat_map(move |index| {
            let word = self.words.get(index).map_or(0, |word| word.bits());
            let first = range.start.saturating_sub(index * 64);
            let last = (range.end - 1 - index * 64).min(63);
            Ones(word & (u64::MAX << first) & (u64::MAX >> (63 - last))).map(move |bit| index * 64 + bit)
        });
        bits.map(InsnId::from_index)
    }

    /// Those among the instructions of a range with what they are, in order.
    pub(super) fn kinds_within(&self, range: Range<usize>) -> impl Iterator<Item = (InsnId, Kind)> {
        let first = self.words.get(range.start / 64).map_or(0, |word| word.before(range.start % 64));
        self.within(range).zip(self.kinds.get(first as usize..).unwrap_or(&[]).iter().copied())
    }

    /// Makes a branch one of another kind.
    pub(super) fn set_kind(&mut self, id: InsnId, kind: Kind) {
        if let Some(slot) = self.place(id).and_then(|place| self.kinds.get_mut(place)) {
            *slot = kind;
        }
    }

    /// The target of an instruction.
    pub(crate) fn get(&self, id: InsnId) -> u32 {
        self.place(id).and_then(|place| self.targets.get(place).copied()).unwrap_or(0)
    }

    /// Sets the target of a branch.
    pub(super) fn set(&mut self, id: InsnId, target: u32) {
        if let Some(slot) = self.place(id).and_then(|place| self.targets.get_mut(place)) {
            *slot = target;
        }
    }

    /// Works through the branches in parts, side by side where there are several. What each part comes to, in order.
    /// `flags` are those of all instructions.
    pub(super) fn in_parts<T: Send>(
        &mut self,
        flags: &mut [Flags],
        work: impl Fn(Part<'_>) -> T + Send + Sync,
    ) -> Vec<T> {
        let mut parts = Vec::with_capacity(self.words.len() / PART + 1);
        let (mut targets, mut kinds) = (self.targets.as_mut_slice(), self.kinds.as_slice());
        for ((index, words), flags) in self.words.chunks(PART).enumerate().zip(flags.chunks_mut(PART * 64)) {
            let n_targets = words.iter().map(|word| word.count()).sum();
            let (own, rest) = targets.split_at_mut(n_targets);
            let (of_part, behind) = kinds.split_at(n_targets);
            parts.push(Part { first: index * PART * 64, words, targets: own, kinds: of_part, flags });
            (targets, kinds) = (rest, behind);
        }
        parallel::each(parts.len() > 1, parts, work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_are_found_within_any_range() {
        let at = [0, 1, 63, 64, 127, 130, 199];
        let insn = |id: u32| Insn::new(id, 1, if at.contains(&(id as usize)) { Kind::Call } else { Kind::Other });
        let branches = Census::of(&(0..200).map(insn).collect::<Vec<_>>()).branches;
        for start in 0..=200 {
            for end in start..=200 {
                let expected: Vec<InsnId> =
                    at.into_iter().filter(|id| (start..end).contains(id)).map(InsnId::from_index).collect();
                assert_eq!(branches.within(start..end).collect::<Vec<_>>(), expected, "{start}..{end}");
                let kinds = branches.kinds_within(start..end);
                assert!(kinds.eq(expected.into_iter().map(|id| (id, Kind::Call))), "{start}..{end}");
            }
        }
    }
}
