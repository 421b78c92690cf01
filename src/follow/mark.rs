//! What the walk knows of an instruction.
//!
//! Out: [`Mark`], the state before it and how it was visited, in one number; 0 where no path leads.

use crate::ids::CfiId;

/// A mark has room for the numbers of so many states, from 0 on.
pub(super) const MOST_NUMBERED: u32 = (1 << 30) - 1;

/// What the walk knows of an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark(pub u32);

impl Mark {
    /// The state before the instruction; `None` where no path leads.
    pub(super) fn state(self) -> Option<CfiId> {
        (self.0 >> 2).checked_sub(1).map(CfiId)
    }

    /// Whether a path leads to the instruction.
    pub(super) fn is_visited(self) -> bool {
        self.0 != 0
    }

    /// Whether a path leads there with user access open, or closed.
    pub(super) fn is_visited_with(self, uaccess: bool) -> bool {
        self.0 & bit(uaccess) != 0
    }

    /// The same mark with the number of another state.
    pub(super) fn with(self, state: CfiId) -> Mark {
        debug_assert!(state.0 < MOST_NUMBERED);
        Mark((state.0 + 1) << 2 | self.0 & 3)
    }

    /// The mark behind one more visit, which brings a state.
    pub(super) fn visit(self, state: CfiId, uaccess: bool) -> Mark {
        debug_assert!(state.0 < MOST_NUMBERED);
        Mark((state.0 + 1) << 2 | self.0 & 3 | bit(uaccess))
    }
}

fn bit(uaccess: bool) -> u32 {
    1 << u32::from(uaccess)
}
