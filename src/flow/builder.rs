//! What the passes work on, and what several of them ask.
//!
//! In: image, symbols, instructions and the graph so far.  Out: relocations, targets and owners of instructions; faults for
//! the ledger.
//! Holds afterwards: nothing here knows a pass; `resolve` alone knows them all and their order.

use crate::decode::{self, InsnTable, Kind};
use crate::findings::Fault;
use crate::ids::{CodeLoc, InsnId, SectionId, SymbolId};
use crate::image::{ElfImage, Reloc, RelocKind, STT_SECTION, Store};
use crate::kernel::rules::Rules;
use crate::ledger::{Ledger, Weight};
use crate::options::{Hacks, Options};
use crate::symbols::Symbols;

use super::names::Noreturn;
use super::{Flags, FlowGraph};

/// What the passes work on.
pub(super) struct Builder<'a> {
    pub image: &'a ElfImage,
    pub store: &'a dyn Store,
    pub rules: &'a Rules,
    pub options: &'a Options,
    pub hacks: Hacks,
    pub finished_module: bool,
    /// objtool ran with `--ibt`: it was told so, or left the list that it makes with this flag only.
    pub ibt: bool,
    pub noreturn: Noreturn<'a>,
    /// By symbol: whether calls of it end a path, as far as that was asked.
    pub dead_end_functions: Vec<Option<bool>>,
    pub symbols: Symbols,
    pub insns: InsnTable,
    pub graph: FlowGraph,
    pub ledger: &'a mut Ledger,
}

/// An instruction in a pass over all: its section and its relocation, which are at hand there.
#[derive(Clone, Copy)]
pub(super) struct Branch {
    pub id: InsnId,
    pub section: SectionId,
    /// The relocation with the lowest offset inside the instruction.
    pub reloc: Option<Reloc>,
}

impl Builder<'_> {
    /// A hint or an annotation gives the instruction a property.
    pub(super) fn declare(&mut self, id: InsnId, flag: Flags) {
        self.graph.set(id, flag);
        self.graph.declared.push(id);
    }

    /// Makes an instruction one of another kind.
    pub(super) fn set_kind(&mut self, id: InsnId, kind: Kind) {
        self.insns.set_kind(id, kind);
        self.graph.branches.set_kind(id, kind);
    }

    pub(super) fn insn_fault(&mut self, weight: Weight, fault: Fault, id: InsnId) {
        let owner = self.graph.owner(id);
        self.ledger.at_insn(weight, fault, (id, self.insns.loc(id)), owner, None);
    }

    pub(super) fn place_fault(&mut self, weight: Weight, fault: Fault, at: CodeLoc) {
        self.ledger.at_place(weight, fault, at);
    }

    pub(super) fn plain_fault(&mut self, weight: Weight, fault: Fault, function: Option<SymbolId>) {
        let at = function.and_then(|function| self.image.symbol(function).place());
        self.ledger.plain(weight, fault, at, None, function);
    }

    pub(super) fn find(&self, section: SectionId, offset: u64) -> Option<InsnId> {
        self.insns.at(CodeLoc::new(section, offset))
    }

    pub(super) fn function(&self, id: InsnId) -> Option<SymbolId> {
        self.graph.function(&self.symbols, id)
    }

    /// The parent of the function that owns the instruction.
    pub(super) fn parent_of(&self, id: InsnId) -> Option<SymbolId> {
        self.symbols.parent(self.function(id)?)
    }

    /// Passes over the branches of some kinds in parts, which are worked on side by side: `act` may change the target and
    /// the flags of a branch, may not ask for those of others, and takes down in the part's `T` what is left to do. The
    /// parts come in order.
    pub(super) fn in_parts<T: Default + Send>(
        &mut self,
        wanted: impl Fn(Kind) -> bool + Sync,
        act: impl Fn(&Self, &Branch, &mut u32, &mut Flags, &mut T) + Sync,
    ) -> Vec<T> {
        let mut branches = std::mem::take(&mut self.graph.branches);
        let mut flags = std::mem::take(&mut self.graph.flags);
        let this = &*self;
        let parts = branches.in_parts(&mut flags, |part| {
            let mut left = T::default();
            let mut section = SectionId(0);
            let mut relocs = None;
            part.each(&wanted, |id, target, flags| {
                let insn = this.insns.get(id);
                let (start, end) = (u64::from(insn.offset), u64::from(insn.end()));
                if relocs.is_none() || !this.insns.contains(section, id) {
                    section = this.insns.section_of(id);
                    relocs = Some(this.image.section(section).relocs.cursor_from(start));
                }
                let reloc = relocs.as_mut().and_then(|relocs| relocs.first_in(start, end));
                act(this, &Branch { id, section, reloc }, target, flags, &mut left);
            });
            left
        });
        (self.graph.branches, self.graph.flags) = (branches, flags);
        parts
    }

    /// The relocation of an instruction: the one with the lowest offset inside it.
    pub(super) fn reloc(&self, id: InsnId) -> Option<Reloc> {
        let insn = self.insns.get(id);
        let relocs = &self.image.section(self.insns.section_of(id)).relocs;
        relocs.first_in(u64::from(insn.offset), u64::from(insn.end()))
    }

    pub(super) fn is_section_symbol(&self, id: SymbolId) -> bool {
        self.image.symbol(id).kind == STT_SECTION
    }

    /// The destination that an instruction's own bytes name.
    pub(super) fn encoded_target(&self, section: SectionId, id: InsnId) -> u64 {
        u64::from(self.insns.get(id).end()).wrapping_add_signed(self.immediate(section, id))
    }

    pub(super) fn immediate(&self, section: SectionId, id: InsnId) -> i64 {
        decode::branch_immediate(self.image.section(section), self.insns.get(id), self.rules)
    }

    /// A relocation's addend as an offset of the place that a branch leads to.
    pub(super) fn branch_addend(&self, id: InsnId, reloc: &Reloc) -> u64 {
        if self.rules.branches.adjusted_addend {
            adjusted_addend(reloc, u64::from(self.insns.get(id).end()))
        } else {
            (reloc.addend as u64).wrapping_add(4)
        }
    }

    pub(super) fn is_static_jump(&self, id: InsnId) -> bool {
        matches!(self.insns.kind(id), Kind::JumpConditional | Kind::JumpUnconditional)
    }

    /// The instructions of a function and its cold part, as objtool walks over them: while the owner stays the same,
    /// then from the start of the cold part.
    pub(super) fn insns_of(&self, function: SymbolId) -> Vec<InsnId> {
        self.insns_of_until(function, |_| false)
    }

    /// The same up to the first that was met before: all behind it were as well.
    pub(super) fn insns_of_until(&self, function: SymbolId, met: impl Fn(InsnId) -> bool) -> Vec<InsnId> {
        let symbol = self.image.symbol(function);
        let mut out = Vec::new();
        let mut next = self.find(symbol.section, symbol.value);
        let mut moved = false;
        while let Some(id) = next.filter(|&id| !met(id)) {
            out.push(id);
            let Some(owner) = self.function(id) else { break };
            next = self.insns.next_in_section(id).filter(|&n| self.function(n) == Some(owner));
            if next.is_none() {
                let child = self.symbols.child(owner).filter(|&c| c != owner && !moved);
                next = child.and_then(|c| self.find(self.image.symbol(c).section, self.image.symbol(c).value));
                moved = true;
            }
        }
        out
    }
}

/// The addend of a PC-relative relocation counts from the relocated field; this one counts from the end of the
/// instruction. The sign bit that `__pa_symbol` sets is undone.
pub(crate) fn adjusted_addend(reloc: &Reloc, insn_end: u64) -> u64 {
    const PC_RELATIVE: [RelocKind; 7] = [
        RelocKind::PC32,
        RelocKind::PLT32,
        RelocKind::GOTPCREL,
        RelocKind::PC16,
        RelocKind::PC8,
        RelocKind::PC64,
        RelocKind::GOTPC32,
    ];
    let mut addend = reloc.addend;
    if PC_RELATIVE.contains(&reloc.kind) {
        addend = addend.wrapping_add(insn_end.wrapping_sub(reloc.offset) as i64);
    }
    if addend > 0 {
        addend &= !(1 << 31);
    }
    addend as u64
}
