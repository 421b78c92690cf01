//! Resolves control flow: who owns an instruction, where jumps and calls lead, which streams an alternative has, what
//! hints and annotations say.
//!
//! In: [`ElfImage`], [`InsnTable`].  Out: [`FlowGraph`] and what was wrong with the tables.
//! Holds afterwards: every destination, owner and alternate is an instruction or symbol of the object.
//! Reads like: `tools/objtool/check.c`, everything that runs before the first function is validated.

mod alternatives;
mod annotations;
mod branches;
mod builder;
pub(crate) mod calls;
mod hints;
mod jumps;
mod lost;
mod names;
mod noinstr;
mod owners;
mod recover;
mod resolve;
mod runs;
mod special;
mod tables;

use std::ops::Range;

use rustc_hash::FxHashMap;

use crate::cfi::CfiState;
use crate::decode::{InsnTable, Kind};
use crate::ids::{CodeLoc, GroupId, InsnId, SectionId, SymbolId};
use crate::image::ElfImage;
use crate::parallel;
use crate::symbols::Symbols;
use branches::Branches;
pub(crate) use runs::Run;
use runs::Runs;

pub(crate) use builder::adjusted_addend;
pub(crate) use calls::body_never_returns;
pub use names::Noreturn;
pub use resolve::{Input, resolve};

/// The only table of paravirt operations that calls are followed through, whatever other ones fill its slots.
pub(crate) const PV_OPS: &str = "pv_ops";

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
    /// Where it leads; `None` behind the last instruction of a section.
    pub to: Option<InsnId>,
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

/// What is known of an instruction besides its encoding.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Flags(pub(crate) u16);

#[allow(missing_docs, reason = "named by objtool's own words")]
impl Flags {
    /// Execution does not go on behind it.
    pub const DEAD_END: Flags = Flags(1);
    /// Its function is not validated (6.1, 6.12).
    pub const IGNORE: Flags = Flags(1 << 1);
    pub const IGNORE_ALTS: Flags = Flags(1 << 2);
    /// A hint gives its state.
    pub const HINT: Flags = Flags(1 << 3);
    pub const SAVE: Flags = Flags(1 << 4);
    pub const RESTORE: Flags = Flags(1 << 5);
    pub const NOENDBR: Flags = Flags(1 << 6);
    /// The untraining check starts here.
    pub const UNRET: Flags = Flags(1 << 7);
    /// Annotated as a safe indirect branch, return or (unret) NOP.
    pub const SAFE: Flags = Flags(1 << 8);
    /// The target is a symbol that is called.
    pub const CALLS: Flags = Flags(1 << 9);
    /// Its stack operations are undone by the callee.
    pub const NO_OPS: Flags = Flags(1 << 10);
    pub const ALTERNATES: Flags = Flags(1 << 11);
    /// Part of an alternative.
    pub const GROUP: Flags = Flags(1 << 12);
    /// A dynamic jump with a known table.
    pub const TABLE: Flags = Flags(1 << 13);
    /// Code between symbols that the linker left over.
    pub const HOLE: Flags = Flags(1 << 14);
    /// Its instrumentation counter changes.
    pub const INSTR: Flags = Flags(1 << 15);

    pub fn has(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

/// What a section's name makes of its code.
#[derive(Clone, Copy, Debug, Default)]
pub struct SectionTraits {
    /// Code that gets ORC entries.
    pub text: bool,
    /// Code that must not be instrumented.
    pub noinstr: bool,
    /// Code that only runs at boot.
    pub init: bool,
}

/// The instructions that objtool lists in sections of its own, in its order.
#[derive(Clone, Debug, Default)]
pub struct Sites {
    /// For `.static_call_sites`.
    pub static_call: Vec<InsnId>,
    /// For `.retpoline_sites`.
    pub retpoline: Vec<InsnId>,
    /// For `.return_sites`.
    pub ret: Vec<InsnId>,
    /// For `.call_sites`.
    pub call: Vec<InsnId>,
    /// For `__mcount_loc`.
    pub mcount: Vec<InsnId>,
    /// `endbr` at the start of functions, for `.ibt_endbr_seal` where nothing refers to it.
    pub endbr: Vec<InsnId>,
    /// What objtool overwrites in the code: with a return where the kind is [`Kind::Return`], else with a NOP.
    pub patched: Vec<InsnId>,
}

/// How the instructions of an object hang together.
#[derive(Clone, Debug, Default)]
pub struct FlowGraph {
    pub(crate) flags: Vec<Flags>,
    pub(crate) owners: Runs,
    pub(crate) branches: Branches,
    /// The instructions that compute an address relative to themselves, in order.
    pub(crate) lea_rip: Vec<InsnId>,
    pub(crate) alternates: FxHashMap<InsnId, Vec<Alternate>>,
    /// The entries of jump tables. Jumps may share one.
    pub(crate) tables: Vec<Vec<Alternate>>,
    /// By dynamic jump without other alternates: its table.
    pub(crate) table_of: FxHashMap<InsnId, u32>,
    /// Where state is put away, ascending.
    pub(crate) saves: Vec<InsnId>,
    /// Functions whose jump tables were not read, because all together are too long.
    pub(crate) unread: Vec<SymbolId>,
    pub(crate) groups: Vec<AltGroup>,
    pub(crate) group_of: FxHashMap<InsnId, GroupId>,
    /// Length of each table of flattened states.
    pub(crate) slot_tables: Vec<u32>,
    pub(crate) hints: FxHashMap<InsnId, CfiState>,
    /// See [`FlowGraph::declared`].
    pub(crate) declared: Vec<InsnId>,
    pub(crate) instr: FxHashMap<InsnId, i32>,
    pub(crate) sections: Vec<SectionTraits>,
    pub(crate) pv_ops: FxHashMap<i64, Vec<SymbolId>>,
    pub(crate) has_pv_ops: bool,
    pub(crate) unreachables_ignored: bool,
    /// The lists of annotated sites.
    pub sites: Sites,
}

impl FlowGraph {
    /// Whether the instruction has the property.
    pub fn has(&self, id: InsnId, flag: Flags) -> bool {
        self.flags[id.index()].has(flag)
    }

    /// The branches and returns of these kinds, in order.
    pub(crate) fn branches(&self, wanted: &[Kind]) -> impl Iterator<Item = InsnId> + use<> {
        let of_kind = |(id, kind): (InsnId, Kind)| wanted.contains(&kind).then_some(id);
        let found = |part| self.branches.kinds_within(part).filter_map(of_kind).collect::<Vec<_>>();
        parallel::parts(self.flags.len(), found).into_iter().flatten()
    }

    /// Those of a range that compute an address relative to themselves, in order.
    pub(crate) fn lea_rip(&self, range: Range<usize>) -> &[InsnId] {
        let behind = |end: usize| self.lea_rip.partition_point(|id| id.index() < end);
        self.lea_rip.get(behind(range.start)..behind(range.end)).unwrap_or(&[])
    }

    /// The instructions that are declared to have the property, in order: a hint's or an annotation's.
    pub(crate) fn declared(&self, flag: Flags) -> impl Iterator<Item = InsnId> {
        self.declared.iter().copied().filter(move |&id| self.has(id, flag))
    }

    pub(crate) fn set(&mut self, id: InsnId, flag: Flags) {
        self.flags[id.index()].0 |= flag.0;
    }

    pub(crate) fn clear(&mut self, id: InsnId, flag: Flags) {
        self.flags[id.index()].0 &= !flag.0;
    }

    /// The symbol that the instruction belongs to; usually a function.
    pub fn owner(&self, id: InsnId) -> Option<SymbolId> {
        let owner = self.owners.get(id);
        (owner != 0).then_some(SymbolId(owner))
    }

    /// The function that the instruction belongs to.
    pub fn function(&self, symbols: &Symbols, id: InsnId) -> Option<SymbolId> {
        self.owner(id).filter(|&owner| symbols.is_function(owner))
    }

    /// Where a jump leads.
    pub fn jump_target(&self, id: InsnId) -> Option<InsnId> {
        let target = self.branches.get(id);
        (target != 0 && !self.has(id, Flags::CALLS)).then(|| InsnId(target - 1))
    }

    /// What is called; also by a jump out of the function.
    pub fn callee(&self, id: InsnId) -> Option<SymbolId> {
        self.has(id, Flags::CALLS).then(|| SymbolId(self.branches.get(id)))
    }

    /// The callee as the checks see it: an indirect branch has none.
    pub fn direct_callee(&self, insns: &InsnTable, id: InsnId) -> Option<SymbolId> {
        match insns.kind(id) {
            Kind::JumpDynamic | Kind::CallDynamic => None,
            _ => self.callee(id),
        }
    }

    /// The streams of all alternatives, each original before its replacements.
    pub fn groups(&self) -> impl Iterator<Item = (GroupId, &AltGroup)> {
        self.groups.iter().enumerate().map(|(i, g)| (GroupId::from_index(i), g))
    }

    /// The stream.
    pub fn group(&self, id: GroupId) -> &AltGroup {
        &self.groups[id.index()]
    }

    /// The stream that the instruction belongs to.
    pub fn group_of(&self, id: InsnId) -> Option<GroupId> {
        if self.has(id, Flags::GROUP) { self.group_of.get(&id).copied() } else { None }
    }

    /// The other ways to go on at an instruction.
    pub fn alternates(&self, id: InsnId) -> &[Alternate] {
        if !self.has(id, Flags::ALTERNATES) {
            return &[];
        }
        match self.alternates.get(&id) {
            Some(own) => own,
            None => self.table(id).and_then(|table| self.tables.get(table as usize)).map_or(&[], Vec::as_slice),
        }
    }

    /// The jump table that has all ways to go on at an instruction. From one state all jumps through it do the same.
    pub(crate) fn table(&self, id: InsnId) -> Option<u32> {
        if self.has(id, Flags::TABLE) { self.table_of.get(&id).copied() } else { None }
    }

    /// The traits of a section.
    pub fn section(&self, id: SectionId) -> SectionTraits {
        self.sections.get(id.index()).copied().unwrap_or_default()
    }

    /// The instruction that runs after this one when nothing branches: the replacement of an alternative goes on behind
    /// the original code.
    pub fn next(&self, insns: &InsnTable, id: InsnId) -> Option<InsnId> {
        if let Some(group) = self.group_of(id) {
            let group = &self.groups[group.index()];
            if let Some(original) = group.original {
                let back = || insns.next_in_section(self.groups[original.index()].last?);
                if group.nop == Some(id) {
                    return back();
                }
                if group.last == Some(id) {
                    return match group.nop {
                        Some(nop) => Some(nop),
                        None => back(),
                    };
                }
            }
        }
        insns.next_in_section(id)
    }

    /// The functions that may be in the slot of `pv_ops` that an indirect branch goes through, and the slot.
    pub(crate) fn paravirt(&self, image: &ElfImage, insns: &InsnTable, id: InsnId) -> Option<(i64, &[SymbolId])> {
        let insn = insns.get(id);
        let relocs = &image.section(insns.section_of(id)).relocs;
        let reloc = relocs.first_in(u64::from(insn.offset), u64::from(insn.end()))?;
        if image.symbol_name(reloc.symbol) != PV_OPS {
            return None;
        }
        let slot = reloc.addend.wrapping_add(4) / 8;
        Some((slot, self.pv_ops.get(&slot).map_or(&[], Vec::as_slice)))
    }

    /// Whether a dynamic jump goes through a known table: its own, or that of the code it replaces.
    pub fn is_table_jump(&self, id: InsnId) -> bool {
        if self.has(id, Flags::TABLE) {
            return true;
        }
        let Some(original) = self.group_of(id).and_then(|g| self.groups[g.index()].original) else { return false };
        self.has(self.groups[original.index()].first, Flags::TABLE)
    }
}
