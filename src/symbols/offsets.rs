//! Offsets in ascending order, in half the memory where all are below 4 GiB, as nearly always.
//!
//! In: offsets.  Out: [`Offsets`], and how many of them are before another one.

/// Offsets in ascending order; some may be equal.
#[derive(Clone, Debug)]
pub(super) enum Offsets {
    Near(Vec<u32>),
    /// The last one is too large for [`Offsets::Near`].
    Far(Vec<u64>),
}

impl Default for Offsets {
    fn default() -> Self {
        Offsets::Near(Vec::new())
    }
}

impl Offsets {
    /// Appends one.
    pub(super) fn push(&mut self, offset: u64) {
        debug_assert!(self.last().is_none_or(|last| last <= offset), "{offset:#x} is not behind the last one");
        match self {
            Offsets::Near(near) => match u32::try_from(offset) {
                Ok(offset) => near.push(offset),
                Err(_) => {
                    let mut far: Vec<u64> = near.iter().copied().map(u64::from).collect();
                    far.push(offset);
                    *self = Offsets::Far(far);
                }
            },
            Offsets::Far(far) => far.push(offset),
        }
    }

    /// The one at this position.
    pub(super) fn get(&self, at: usize) -> Option<u64> {
        match self {
            Offsets::Near(near) => near.get(at).copied().map(u64::from),
            Offsets::Far(far) => far.get(at).copied(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Offsets::Near(near) => near.len(),
            Offsets::Far(far) => far.len(),
        }
    }

    /// The last one.
    pub(super) fn last(&self) -> Option<u64> {
        self.get(self.len().checked_sub(1)?)
    }

    /// How many are below `offset`.
    pub(super) fn n_below(&self, offset: u64) -> usize {
        match self {
            Offsets::Near(near) => near.partition_point(|&one| u64::from(one) < offset),
            Offsets::Far(far) => far.partition_point(|&one| one < offset),
        }
    }

    /// How many are at `offset` or below.
    pub(super) fn n_through(&self, offset: u64) -> usize {
        match self {
            Offsets::Near(near) => near.partition_point(|&one| u64::from(one) <= offset),
            Offsets::Far(far) => far.partition_point(|&one| one <= offset),
        }
    }

    /// Gives back the room that is not needed.
    pub(super) fn shrink(&mut self) {
        match self {
            Offsets::Near(near) => near.shrink_to_fit(),
            Offsets::Far(far) => far.shrink_to_fit(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_offsets_are_found_alike() {
        let small = [0, 3, 3, 9, u64::from(u32::MAX)];
        for plain in [small.to_vec(), [&small[..], &[1 << 32, u64::MAX]].concat()] {
            let mut offsets = Offsets::default();
            plain.iter().for_each(|&offset| offsets.push(offset));
            assert_eq!(matches!(offsets, Offsets::Near(_)), plain.len() == small.len());
            for at in plain.iter().flat_map(|&offset| [offset.saturating_sub(1), offset, offset.saturating_add(1)]) {
                assert_eq!(offsets.n_below(at), plain.iter().filter(|&&offset| offset < at).count(), "{at:#x}");
                assert_eq!(offsets.n_through(at), plain.iter().filter(|&&offset| offset <= at).count(), "{at:#x}");
            }
            assert!((0..=plain.len()).all(|at| offsets.get(at) == plain.get(at).copied()));
            assert_eq!(offsets.last(), plain.last().copied());
        }
    }
}
