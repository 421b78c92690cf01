//! The preparation passes, in the release's order.
//!
//! In: image, symbols, instructions.  Out: [`FlowGraph`], and the instructions with alternatives' padding appended.
//! Holds afterwards: see [`super`].

use crate::cancel::{CancelToken, Cancelled};
use crate::decode::{self, DecodeNote, InsnTable, Kind};
use crate::findings::{Fault, Names};
use crate::ids::{CodeLoc, InsnId, SectionId, SymbolId};
use crate::image::{ElfImage, Reloc, STT_SECTION, Store};
use crate::kernel::rules::{Annotations, Rules};
use crate::ledger::{Ledger, Weight};
use crate::options::{Hacks, Options};
use crate::parallel;
use crate::symbols::Symbols;
use crate::wording::Naming;

use super::branches::Branches;
use super::names::Noreturn;
use super::{Flags, FlowGraph};

/// What flow is resolved from.
pub struct Input<'a> {
    /// The object.
    pub image: &'a ElfImage,
    /// Its bytes, for the tables that the image left in the file.
    pub store: &'a dyn Store,
    /// The release's rules.
    pub rules: &'a Rules,
    /// The flags.
    pub options: &'a Options,
    /// Functions that never return, besides those that the release knows.
    pub noreturn: &'a [String],
    /// The object is a linked module without its annotations.
    pub finished_module: bool,
}

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

/// Runs all passes. A broken table ends objtool; here the pass goes on with the next entry, and what the other passes
/// find is kept as something that objtool would not have said.
pub fn resolve(
    input: &Input<'_>,
    symbols: Symbols,
    insns: InsnTable,
    notes: &[DecodeNote],
    ledger: &mut Ledger,
    cancel: &CancelToken,
) -> Result<(Symbols, InsnTable, FlowGraph), Cancelled> {
    let n = insns.len();
    // Room for the padding of alternatives. Room that is not needed costs no memory; moving everything would.
    let room = n / 16 + 16;
    let kinds = parallel::filled(n, room, |index| insns.as_slice()[index].kind);
    let flags = |index: usize| if kinds[index] == Kind::Bug { Flags::DEAD_END } else { Flags::default() };
    let flags = parallel::filled(n, room, flags);
    let mut builder = Builder {
        image: input.image,
        store: input.store,
        rules: input.rules,
        options: input.options,
        hacks: input.options.hacks(),
        finished_module: input.finished_module,
        ibt: input.options.ibt || (input.finished_module && input.image.section_by_name(".ibt_endbr_seal").is_some()),
        noreturn: Noreturn::new(input.rules, input.noreturn),
        dead_end_functions: vec![None; input.image.symbols.len()],
        symbols,
        graph: FlowGraph {
            branches: Branches::of(&kinds),
            kinds,
            flags,
            sections: super::owners::section_traits(input.image, input.options, input.rules),
            unreachables_ignored: input.options.no_unreachable,
            ..FlowGraph::default()
        },
        insns,
        ledger,
    };
    builder.run(notes, cancel)?;
    Ok((builder.symbols, builder.insns, builder.graph))
}

impl Builder<'_> {
    fn run(&mut self, notes: &[DecodeNote], cancel: &CancelToken) -> Result<(), Cancelled> {
        let pv_ops = self.find_pv_ops();
        self.assign_owners(notes, pv_ops);
        cancel.check()?;
        if self.rules.branches.dead_ends_in_walk {
            self.label_dead_ends();
        }
        self.mark_ignored();
        let frames = self.finished_module.then(|| self.stored_frames());
        if let Some(frames) = &frames {
            self.recover_ignored(frames);
        }
        self.mark_uaccess_safe();
        let generic = self.rules.tables.annotations == Annotations::Generic;
        if generic {
            self.annotate_early();
        } else {
            self.label_ignore_alts();
            if self.rules.tables.noendbr_labels {
                self.label_noendbr();
            }
        }
        if self.rules.branches.jumps_before_tables {
            self.add_jumps();
        }
        let o = self.options;
        if self.rules.tables.special_always || o.stackval || o.orc || o.uaccess || o.noinstr || self.hacks.jump_label {
            self.add_special();
        }
        cancel.check()?;
        if !self.rules.branches.jumps_before_tables {
            self.add_jumps();
        }
        cancel.check()?;
        if generic {
            self.annotate_intra_calls();
        } else {
            self.label_intra_calls();
        }
        self.add_calls();
        cancel.check()?;
        if !generic && !self.rules.branches.dead_ends_in_walk {
            self.label_dead_ends();
        }
        if self.finished_module {
            self.recover_warnings();
        }
        self.add_tables();
        self.read_hints();
        if generic {
            self.mark_holes();
            self.annotate_late();
        } else {
            self.label_retpoline_safe();
            self.label_instr();
            self.label_unret();
        }
        if let Some(frames) = &frames {
            self.recover_hints(frames);
            self.recover_ignored_alternatives(frames);
        }
        if self.rules.branches.dead_ends_in_walk {
            self.mark_dead_calls();
        }
        self.graph.declared.sort_unstable();
        self.graph.declared.dedup();
        Ok(())
    }

    /// A hint or an annotation gives the instruction a property.
    pub(super) fn declare(&mut self, id: InsnId, flag: Flags) {
        self.graph.set(id, flag);
        self.graph.declared.push(id);
    }

    pub(super) fn naming(&self) -> Naming<'_> {
        Naming {
            image: self.image,
            insns: &self.insns,
            symbols: &self.symbols,
            rules: self.rules,
            options: self.options,
        }
    }

    pub(super) fn insn_fault(&mut self, weight: Weight, fault: Fault, id: InsnId) {
        let owner = self.graph.owner(id);
        let mut ledger = std::mem::take(self.ledger);
        ledger.at_insn(&self.naming(), weight, fault, id, owner, None);
        *self.ledger = ledger;
    }

    pub(super) fn place_fault(&mut self, weight: Weight, fault: Fault, at: CodeLoc) {
        let mut ledger = std::mem::take(self.ledger);
        ledger.at_place(&self.naming(), weight, fault, at);
        *self.ledger = ledger;
    }

    pub(super) fn plain_fault(&mut self, weight: Weight, fault: Fault, function: Option<SymbolId>) {
        let mut ledger = std::mem::take(self.ledger);
        ledger.plain(&self.naming(), weight, fault, None, function);
        *self.ledger = ledger;
    }

    pub(super) fn symbolic(&self, at: CodeLoc) -> String {
        self.naming().place(at)
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
            part.each(|id, target, flags| {
                if !wanted(this.graph.kind(id)) {
                    return;
                }
                let insn = this.insns.get(id);
                let (start, end) = (u64::from(insn.offset), u64::from(insn.end()));
                if relocs.is_none() || !this.insns.contains(section, id) {
                    section = this.insns.section_of(id);
                    relocs = Some(this.image.section(section).relocs.cursor_from(start));
                }
                let reloc = relocs.as_mut().and_then(|relocs| relocs.first_in(start, end)).copied();
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
        relocs.first_in(u64::from(insn.offset), u64::from(insn.end())).copied()
    }

    pub(super) fn is_section_symbol(&self, id: SymbolId) -> bool {
        self.image.symbol(id).kind == STT_SECTION
    }

    /// The destination that an instruction's own bytes name.
    pub(super) fn encoded_target(&self, section: SectionId, id: InsnId) -> u64 {
        u64::from(self.insns.get(id).end()).wrapping_add_signed(self.immediate(section, id))
    }

    pub(super) fn immediate(&self, section: SectionId, id: InsnId) -> i64 {
        decode::branch_immediate(self.image.section(section), self.insns.get(id), self.rules.kernel)
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
        matches!(self.graph.kind(id), Kind::JumpConditional | Kind::JumpUnconditional)
    }

    /// The instructions of a function and its cold part, as objtool walks over them: while the owner stays the same,
    /// then from the start of the cold part.
    pub(super) fn insns_of(&self, function: SymbolId) -> Vec<InsnId> {
        let symbol = self.image.symbol(function);
        let mut out = Vec::new();
        let mut next = self.find(symbol.section, symbol.value);
        let mut moved = false;
        while let Some(id) = next {
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
    // R_X86_64_PC32, PLT32, GOTPCREL, PC16, PC8, PC64, GOTPC32 (psABI, table "Relocation Types").
    const PC_RELATIVE: [u32; 7] = [2, 4, 9, 13, 15, 24, 26];
    let mut addend = reloc.addend;
    if PC_RELATIVE.contains(&reloc.kind) {
        addend = addend.wrapping_add(insn_end.wrapping_sub(reloc.offset) as i64);
    }
    if addend > 0 {
        addend &= !(1 << 31);
    }
    addend as u64
}
