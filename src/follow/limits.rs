//! How far a walk goes, and how it ends where that is not far enough.
//!
//! Out: [`Stopped`], [`Finished`].
//! Holds afterwards: states and ways of a walk are a small multiple of the object's instructions; the start of a walk that
//! would have had more is kept, so that it can be told.

use crate::cfi::{Interner, StepFault};
use crate::findings::Fault;
use crate::flatten::FlatCfi;
use crate::ids::InsnId;

/// In every object so many states are told apart, besides one for every [`INSNS_PER_STATE`] instructions. A whole kernel has
/// a few thousand.
pub(super) const MOST_STATES: usize = 1 << 14;
/// See [`MOST_STATES`].
pub(super) const INSNS_PER_STATE: usize = 64;
/// In every object so many alternates are entered, besides [`ALTERNATES`] for each instruction.
pub(super) const MOST_ALTERNATES: usize = 1 << 22;
/// See [`MOST_ALTERNATES`].
pub(super) const ALTERNATES: usize = 16;

/// Why the state behind an instruction is not known.
pub(super) enum Stopped {
    Fault(Fault),
    /// There are too many states.
    Spent,
}

impl From<Fault> for Stopped {
    fn from(fault: Fault) -> Self {
        Stopped::Fault(fault)
    }
}

impl From<StepFault> for Stopped {
    fn from(fault: StepFault) -> Self {
        Stopped::Fault(fault.into())
    }
}

/// A walk's states, those of alternatives, whether a path was given up, and where walks began that orcls gave up on.
pub(super) struct Finished {
    pub states: Interner,
    pub flat: FlatCfi,
    pub incomplete: bool,
    pub given_up: Vec<InsnId>,
}
