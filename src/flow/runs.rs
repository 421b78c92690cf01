//! Which symbol owns each instruction, kept once for all instructions that follow each other and have the same owner.
//!
//! In: owners, in ascending order.  Out: [`Runs`].
//! Holds afterwards: an owner is found without a search; a run lies in one section.

use std::ops::Range;

use rustc_hash::FxHashMap;

use crate::ids::InsnId;
use crate::marks::{self, Marks};

/// Instructions of a section that follow each other and have the same owner.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Run {
    first: u32,
    /// Behind the last one.
    pub(crate) end: u32,
    /// 0 is no owner.
    pub(crate) owner: u32,
}

impl Run {
    /// Whether the instruction is one of these.
    pub(crate) fn has(&self, id: InsnId) -> bool {
        (self.first..self.end).contains(&id.0)
    }
}

/// The owners of all instructions; 0 is no owner.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs {
    /// The first instruction of each run, and its owner.
    runs: Vec<(u32, u32)>,
    /// Which instructions start a run.
    words: Vec<Marks>,
    /// How many instructions there are.
    len: u32,
    /// Instructions that start a run whoever owns them, in order.
    cuts: Vec<u32>,
    /// By instruction: owners that came later, until [`Runs::settle`] sorts them in.
    later: FxHashMap<u32, u32>,
}

impl Runs {
    /// The owners of `len` instructions: each range's, and nobody else. No run goes on over a cut.
    pub(super) fn new(len: usize, owned: impl Iterator<Item = (Range<usize>, u32)>, cuts: Vec<u32>) -> Runs {
        let mut runs = Runs { len: len as u32, cuts, ..Runs::default() };
        let mut pieces = Vec::new();
        let mut behind = 0;
        for (range, owner) in owned {
            if behind < range.start {
                pieces.push((behind as u32, 0));
            }
            pieces.push((range.start as u32, owner));
            behind = range.end;
        }
        if behind < len {
            pieces.push((behind as u32, 0));
        }
        runs.take(&pieces);
        runs
    }

    /// Who owns the instruction.
    pub(crate) fn get(&self, id: InsnId) -> u32 {
        if !self.later.is_empty()
            && let Some(&owner) = self.later.get(&id.0)
        {
            return owner;
        }
        self.position(id).map_or(0, |run| self.runs[run].1)
    }

    /// The run of the instruction; one without any where there is none.
    pub(crate) fn run(&self, id: InsnId) -> Run {
        debug_assert!(self.later.is_empty(), "settled");
        let Some(run) = self.position(id) else { return Run { first: id.0, end: id.0, owner: 0 } };
        let (first, owner) = self.runs[run];
        Run { first, end: self.runs.get(run + 1).map_or(self.len, |&(next, _)| next), owner }
    }

    /// The runs of instructions that nobody owns, in order.
    pub(super) fn unowned(&self) -> impl Iterator<Item = Range<u32>> {
        let ends = self.runs.iter().skip(1).map(|&(start, _)| start).chain([self.len]);
        let ranges = self.runs.iter().zip(ends).filter(|((_, owner), _)| *owner == 0);
        ranges.map(|(&(start, _), end)| start..end)
    }

    /// Gives an instruction another owner.
    pub(super) fn set(&mut self, id: InsnId, owner: u32) {
        self.later.insert(id.0, owner);
    }

    /// Appends an instruction, which stands in no section.
    pub(super) fn push(&mut self, owner: u32) {
        self.cuts.push(self.len);
        self.later.insert(self.len, owner);
        self.len += 1;
    }

    /// Sorts in what was set and appended.
    pub(super) fn settle(&mut self) {
        let mut later: Vec<(u32, u32)> = self.later.drain().collect();
        later.sort_unstable();
        let mut later = later.into_iter().peekable();
        let mut pieces = Vec::with_capacity(self.runs.len() + later.len());
        for (index, &(start, owner)) in self.runs.iter().enumerate() {
            let end = self.runs.get(index + 1).map_or(self.len, |&(start, _)| start);
            let mut behind = start;
            while let Some((id, other)) = later.next_if(|&(id, _)| id < end) {
                if behind < id {
                    pieces.push((behind, owner));
                }
                pieces.push((id, other));
                behind = id + 1;
            }
            if behind < end {
                pieces.push((behind, owner));
            }
        }
        // Without a run there is none to sort them into.
        pieces.extend(later);
        self.take(&pieces);
    }

    fn position(&self, id: InsnId) -> Option<usize> {
        let word = self.words.get(id.index() / 64)?;
        word.through(id.index() % 64).checked_sub(1).map(|run| run as usize)
    }

    /// Makes runs of pieces that follow each other.
    fn take(&mut self, pieces: &[(u32, u32)]) {
        self.runs.clear();
        let mut cuts = self.cuts.iter().copied().peekable();
        for (index, &(start, owner)) in pieces.iter().enumerate() {
            let end = pieces.get(index + 1).map_or(self.len, |&(start, _)| start);
            let is_cut = cuts.next_if(|&cut| cut <= start).is_some();
            if is_cut || self.runs.last().is_none_or(|&(_, before)| before != owner) {
                self.runs.push((start, owner));
            }
            while let Some(cut) = cuts.next_if(|&cut| cut < end) {
                if cut > start {
                    self.runs.push((cut, owner));
                }
            }
        }
        self.words = vec![Marks::default(); self.len as usize / 64 + 1];
        for &(start, _) in &self.runs {
            self.words[start as usize / 64].mark(start as usize % 64);
        }
        marks::number(&mut self.words, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(runs: &Runs) -> Vec<u32> {
        (0..runs.len).map(|id| runs.get(InsnId(id))).collect()
    }

    fn ends(runs: &Runs) -> Vec<u32> {
        (0..runs.len).map(|id| runs.run(InsnId(id)).end).collect()
    }

    #[test]
    fn instructions_have_the_owner_of_their_range() {
        let runs = Runs::new(7, [(1..3, 5), (3..4, 5), (4..6, 9)].into_iter(), vec![2]);
        assert_eq!(owners(&runs), [0, 5, 5, 5, 9, 9, 0]);
        assert_eq!(ends(&runs), [1, 2, 4, 4, 6, 6, 7]);
        assert_eq!(runs.unowned().collect::<Vec<_>>(), [0..1, 6..7]);
    }

    #[test]
    fn what_is_set_later_holds_before_and_after_it_is_sorted_in() {
        let mut runs = Runs::new(70, [(0..66, 1)].into_iter(), vec![]);
        runs.set(InsnId(3), 2);
        runs.set(InsnId(4), 2);
        runs.set(InsnId(69), 1);
        runs.push(1);
        runs.push(1);
        let before = owners(&runs);
        runs.settle();
        assert_eq!(owners(&runs), before);
        assert_eq!(before.iter().map(|&owner| owner.to_string()).collect::<String>()[..6], *"111221");
        assert_eq!(before[65..], [1, 0, 0, 0, 1, 1, 1]);
        assert_eq!([0, 3, 5].map(|id| runs.run(InsnId(id)).end), [3, 5, 66]);
        assert_eq!([69, 70].map(|id| runs.run(InsnId(id)).end), [70, 71]);
        runs.settle();
        assert_eq!(owners(&runs), before);
    }

    #[test]
    fn nothing_has_no_owner() {
        let runs = Runs::default();
        assert_eq!((runs.get(InsnId(0)), runs.run(InsnId(0))), (0, Run::default()));
    }

    proptest::proptest! {
        /// Against a plain vector: ranges, owners that are set and appended later, before and after they are sorted in.
        #[test]
        fn runs_are_a_vector_of_owners(
            lengths in proptest::collection::vec((0..90usize, 0..4u32), 0..12),
            later in proptest::collection::vec((0..600u32, 0..4u32), 0..20),
            appended in proptest::collection::vec(0..4u32, 0..5),
        ) {
            let mut plain = Vec::new();
            let mut ranges = Vec::new();
            for (length, owner) in lengths {
                let start = plain.len();
                plain.resize(start + length, owner);
                if owner != 0 && length != 0 {
                    ranges.push((start..start + length, owner));
                }
            }
            let mut runs = Runs::new(plain.len(), ranges.into_iter(), Vec::new());
            proptest::prop_assert_eq!(&owners(&runs), &plain);
            for (id, owner) in later {
                if let Some(slot) = plain.get_mut(id as usize) {
                    *slot = owner;
                    runs.set(InsnId(id), owner);
                }
            }
            for owner in appended {
                plain.push(owner);
                runs.push(owner);
            }
            proptest::prop_assert_eq!(&owners(&runs), &plain);
            runs.settle();
            proptest::prop_assert_eq!(&owners(&runs), &plain);
            for (id, &end) in ends(&runs).iter().enumerate() {
                let run = runs.run(InsnId(id as u32));
                proptest::prop_assert!(run.has(InsnId(id as u32)) && run.owner == plain[id]);
                proptest::prop_assert!(plain[run.first as usize..end as usize].iter().all(|owner| *owner == plain[id]));
            }
        }
    }
}
