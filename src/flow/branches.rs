//! Where branches lead, kept for the instructions that branch and for no others.
//!
//! In: the kinds of all instructions.  Out: [`Branches`], a target for each that branches, and a way through them.
//! Holds afterwards: an instruction that is made another kind of branch keeps its place.

use rayon::prelude::*;

use crate::decode::{Insn, InsnTable, Kind};
use crate::ids::InsnId;

use super::Flags;

/// Which of 64 instructions branch.
#[derive(Clone, Copy, Default, Debug)]
struct Word {
    bits: u64,
    /// How many branches there are before.
    before: u32,
}

/// The targets of branches; 0 where none is known. What a target means is the graph's business.
#[derive(Clone, Debug, Default)]
pub(crate) struct Branches {
    words: Vec<Word>,
    targets: Vec<u32>,
}

/// Words of a part: the branches of some 200 kB of code.
const PART: usize = 1 << 10;

/// Branches that follow each other.
pub(super) struct Part<'b> {
    /// The index of the first instruction.
    first: usize,
    words: &'b [Word],
    targets: &'b mut [u32],
    flags: &'b mut [Flags],
}

impl Part<'_> {
    /// The branches in order, with their targets and flags.
    pub(super) fn each(self, mut act: impl FnMut(InsnId, &mut u32, &mut Flags)) {
        let mut targets = self.targets.iter_mut();
        for (index, word) in self.words.iter().enumerate() {
            let mut bits = word.bits;
            while bits != 0
                && let within = index * 64 + bits.trailing_zeros() as usize
                && let Some((target, flags)) = targets.next().zip(self.flags.get_mut(within))
            {
                act(InsnId::from_index(self.first + within), target, flags);
                bits &= bits - 1;
            }
        }
    }
}

fn branches(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::JumpConditional
            | Kind::JumpUnconditional
            | Kind::JumpDynamic
            | Kind::JumpDynamicConditional
            | Kind::Call
            | Kind::CallDynamic
    )
}

impl Branches {
    /// Without targets.
    pub(super) fn of(insns: &InsnTable) -> Branches {
        let word = |insns: &[Insn]| {
            let bits = insns.iter().rev().fold(0, |bits, insn| bits << 1 | u64::from(branches(insn.kind)));
            Word { bits, before: 0 }
        };
        let mut words: Vec<Word> = insns.as_slice().par_chunks(64).with_min_len(PART).map(word).collect();
        let mut before = 0;
        for word in &mut words {
            word.before = before;
            before += word.bits.count_ones();
        }
        Branches { words, targets: vec![0; before as usize] }
    }

    fn place(&self, id: InsnId) -> Option<usize> {
        let word = self.words.get(id.index() / 64)?;
        let bit = 1u64 << (id.index() % 64);
        (word.bits & bit != 0).then(|| (word.before + (word.bits & (bit - 1)).count_ones()) as usize)
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
    pub(super) fn in_parts<T: Send>(&mut self, flags: &mut [Flags], work: impl Fn(Part<'_>) -> T + Sync) -> Vec<T> {
        let mut parts = Vec::with_capacity(self.words.len() / PART + 1);
        let mut targets = self.targets.as_mut_slice();
        for ((index, words), flags) in self.words.chunks(PART).enumerate().zip(flags.chunks_mut(PART * 64)) {
            let n_targets = words.iter().map(|word| word.bits.count_ones() as usize).sum();
            let (own, rest) = targets.split_at_mut(n_targets);
            parts.push(Part { first: index * PART * 64, words, targets: own, flags });
            targets = rest;
        }
        match parts.len() {
            0 | 1 => parts.into_iter().map(&work).collect(),
            _ => parts.into_par_iter().map(&work).collect(),
        }
    }
}
