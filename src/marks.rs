//! Positions that are marked, and how many are marked before each: a vector for the marked ones alone is indexed by that.
//!
//! In: marks.  Out: [`Marks`], 64 positions each, [`number`]ed.
//! Holds afterwards: a position's number is found without a search.

/// Which of 64 positions are marked. In halves, without which every third word of it would be padding.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Marks {
    /// The first position is the lowest bit of the first half.
    halves: [u32; 2],
    /// How many positions are marked before all of these.
    before: u32,
}

impl Marks {
    /// Marks that are not numbered yet.
    pub(crate) fn new(bits: u64) -> Marks {
        Marks { halves: [bits as u32, (bits >> 32) as u32], before: 0 }
    }

    /// The positions, the first one as the lowest bit.
    pub(crate) fn bits(self) -> u64 {
        u64::from(self.halves[0]) | u64::from(self.halves[1]) << 32
    }

    /// Marks positions.
    pub(crate) fn mark_all(&mut self, bits: u64) {
        self.halves[0] |= bits as u32;
        self.halves[1] |= (bits >> 32) as u32;
    }

    /// Marks a position, from 0 to 63.
    pub(crate) fn mark(&mut self, at: usize) {
        self.mark_all(1 << at);
    }

    /// How many are marked before a position, from 0 to 63.
    pub(crate) fn before(self, at: usize) -> u32 {
        self.before + (self.bits() & ((1 << at) - 1)).count_ones()
    }

    /// The same with the position itself.
    pub(crate) fn through(self, at: usize) -> u32 {
        self.before + (self.bits() & (u64::MAX >> (63 - at))).count_ones()
    }

    /// The number of a position among those that are marked, if it is.
    pub(crate) fn number_of(self, at: usize) -> Option<usize> {
        (self.bits() & (1 << at) != 0).then(|| self.before(at) as usize)
    }

    /// How many of these are marked.
    pub(crate) fn count(self) -> usize {
        self.bits().count_ones() as usize
    }

    /// Those that are marked, in order.
    pub(crate) fn each(self) -> Ones {
        Ones(self.bits())
    }
}

/// Numbers marks from `first` on. The next number.
pub(crate) fn number(marks: &mut [Marks], first: u32) -> u32 {
    let mut next = first;
    for word in marks {
        word.before = next;
        next += word.bits().count_ones();
    }
    next
}

/// The positions of the bits that are set, in order.
pub(crate) struct Ones(pub(crate) u64);

impl Iterator for Ones {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let bit = self.0.trailing_zeros() as usize;
        self.0 &= self.0.wrapping_sub(1);
        (bit < 64).then_some(bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// Against a plain vector of what is marked.
        #[test]
        fn numbers_are_those_of_a_plain_vector(words in proptest::collection::vec(proptest::num::u64::ANY, 0..5), first in 0..9u32) {
            let plain: Vec<bool> = words.iter().flat_map(|word| (0..64).map(move |at| word >> at & 1 == 1)).collect();
            let mut marks: Vec<Marks> = words.iter().map(|&bits| Marks::new(bits)).collect();
            let next = number(&mut marks, first);
            proptest::prop_assert_eq!((next - first) as usize, plain.iter().filter(|is| **is).count());
            let each: Vec<usize> = marks.iter().enumerate().flat_map(|(index, word)| word.each().map(move |at| index * 64 + at)).collect();
            proptest::prop_assert_eq!(each, (0..plain.len()).filter(|&at| plain[at]).collect::<Vec<_>>());
            for at in 0..plain.len() {
                let before = first + plain[..at].iter().filter(|is| **is).count() as u32;
                let word = marks[at / 64];
                proptest::prop_assert_eq!(word.before(at % 64), before);
                proptest::prop_assert_eq!(word.through(at % 64), before + u32::from(plain[at]));
                proptest::prop_assert_eq!(word.number_of(at % 64), plain[at].then_some(before as usize));
            }
        }
    }
}
