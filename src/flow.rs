//! Resolves control flow: who owns an instruction, where jumps and calls lead, which streams an alternative has, what
//! hints and annotations say.
//!
//! In: [`ElfImage`](crate::image::ElfImage), [`InsnTable`](crate::decode::InsnTable).  Out: [`FlowGraph`] and what was wrong with the tables.

use rustc_hash::FxHashMap;

use crate::cfi::CfiState;
use crate::decode::Kind;
use crate::ids::{CodeLoc, GroupId, InsnId, SymbolId};

/// Why an instruction has another way to go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AlternateKind {
    /// An arm of an alternative.
    Arm,
    /// The other state of a static branch.
    JumpLabel,
    /// The fix-up of an instruction that may fault.
    Exception,
    /// An entry of a jump table.
    Table,
}

/// Another way to go on at an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Alternate {
    /// Where it leads.
    pub to: InsnId,
    /// Why.
    pub kind: AlternateKind,
    /// The original instruction is not followed besides (6.1, 6.12: by CPU feature).
    pub skip_original: bool,
}

/// A stream of instructions of an alternative.
#[derive(Clone, Debug)]
pub struct AltGroup {
    /// The group of the original code; `None` for the original itself.
    pub original: Option<GroupId>,
    /// The first instruction; a padding NOP of orcls's own when the replacement is empty.
    pub first: InsnId,
    /// The last instruction, without padding of orcls's own.
    pub last: Option<InsnId>,
    /// The padding that objtool imagines behind a replacement that is shorter than the original.
    pub nop: Option<InsnId>,
    /// The instruction behind the group in the original code.
    pub after: Option<InsnId>,
    /// CPU feature number with its flags in the high half; 0 for the original code.
    pub feature: u32,
    /// Where the stream starts; `None` when the replacement is empty.
    pub start: Option<CodeLoc>,
    /// Length of the original code in bytes, which every arm has after padding.
    pub length: u32,
    /// Which slot table of the flattened states the group uses.
    pub(crate) slots: u32,
    /// The stream is annotated not to be followed (7.3).
    pub ignore: bool,
}

/// How the instructions of an object hang together.
#[derive(Clone, Debug, Default)]
pub struct FlowGraph {
    pub(crate) kinds: Vec<Kind>,
    pub(crate) owners: Vec<u32>,
    pub(crate) alternates: FxHashMap<InsnId, Vec<Alternate>>,
    pub(crate) groups: Vec<AltGroup>,
    pub(crate) group_of: FxHashMap<InsnId, GroupId>,
    pub(crate) hints: FxHashMap<InsnId, CfiState>,
}

impl FlowGraph {
    /// What the instruction is, thunks resolved: a jump to a return thunk is a return.
    pub fn kind(&self, id: InsnId) -> Kind {
        self.kinds[id.index()]
    }

    /// The symbol that the instruction belongs to; usually a function.
    pub fn owner(&self, id: InsnId) -> Option<SymbolId> {
        self.owners.get(id.index()).copied().filter(|&owner| owner != 0).map(SymbolId)
    }

    /// The streams of all alternatives, each original before its replacements.
    pub fn groups(&self) -> impl Iterator<Item = (GroupId, &AltGroup)> {
        self.groups.iter().enumerate().map(|(i, g)| (GroupId::from_index(i), g))
    }

    /// The stream that the instruction belongs to.
    pub fn group_of(&self, id: InsnId) -> Option<GroupId> {
        self.group_of.get(&id).copied()
    }

    /// The other ways to go on at an instruction.
    pub fn alternates(&self, id: InsnId) -> &[Alternate] {
        self.alternates.get(&id).map_or(&[], Vec::as_slice)
    }
}
