//! Follows the CFI state along every path of every function.
//!
//! In: [`InsnTable`](crate::decode::InsnTable), [`FlowGraph`](crate::flow::FlowGraph).  Out: [`CfiMap`] and findings.

use crate::cfi::CfiState;
use crate::ids::{CfiId, InsnId};

/// The state before each instruction that a path reaches.
#[derive(Clone, Debug, Default)]
pub struct CfiMap {
    pub(crate) states: Vec<CfiState>,
    /// By instruction; `u32::MAX` where no path leads.
    pub(crate) of_insn: Vec<u32>,
}

impl CfiMap {
    /// The state before the instruction; `None` where no path leads.
    pub fn state(&self, id: InsnId) -> Option<&CfiState> {
        self.states.get(self.id(id)?.index())
    }

    /// The interned state before the instruction.
    pub fn id(&self, id: InsnId) -> Option<CfiId> {
        self.of_insn.get(id.index()).copied().filter(|&s| s != u32::MAX).map(CfiId)
    }
}
