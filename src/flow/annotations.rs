//! What the code says of itself: labels in `.discard.*` sections, or typed entries in `.discard.annotate_insn`.
//!
//! In: relocations of the annotation sections.  Out: flags of instructions.
//! Reads like: `include/linux/objtool.h` and `include/linux/annotate.h` of the releases.

use crate::decode::Kind;
use crate::findings::Fault;
use crate::ids::{CodeLoc, InsnId};
use crate::image::Reloc;
use crate::ledger::Weight;

use super::Flags;
use super::builder::Builder;

/// `ANNOTYPE_*` (`include/linux/objtool_types.h`).
mod kind {
    pub(super) const NOENDBR: u32 = 1;
    pub(super) const RETPOLINE_SAFE: u32 = 2;
    pub(super) const INSTR_BEGIN: u32 = 3;
    pub(super) const INSTR_END: u32 = 4;
    pub(super) const UNRET_BEGIN: u32 = 5;
    pub(super) const IGNORE_ALTS: u32 = 6;
    pub(super) const INTRA_FUNCTION_CALL: u32 = 7;
    pub(super) const REACHABLE: u32 = 8;
    pub(super) const NOCFI: u32 = 9;
}

/// Which addresses of an annotation section's relocations are understood.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Address {
    /// A section symbol and an addend.
    Section,
    /// That, or a local label.
    SectionOrLabel,
    /// Any symbol and an addend.
    Any,
}

impl<'a> Builder<'a> {
    /// The relocations of the relocation section of this name.
    pub(super) fn relocs_named(&self, name: &str) -> impl Iterator<Item = Reloc> + use<'a> {
        let base = |id| self.image.sections.get(self.image.section(id).info as usize);
        self.image.section_by_name(name).and_then(base).into_iter().flat_map(|base| base.relocs.iter())
    }

    fn address(&mut self, reloc: &Reloc, rela: &str, address: Address) -> Option<CodeLoc> {
        if address == Address::Any {
            return Some(self.image.destination(reloc));
        }
        let symbol = self.image.symbol(reloc.symbol);
        if self.is_section_symbol(reloc.symbol) {
            return Some(CodeLoc::new(symbol.section, reloc.addend as u64));
        }
        if address == Address::SectionOrLabel && self.symbols.traits(reloc.symbol).local_label {
            return Some(CodeLoc::new(symbol.section, symbol.value));
        }
        let fault = Fault::AnnotationAtWrongSymbol { section: rela.to_owned() };
        self.plain_fault(Weight::Fatal, fault, None);
        None
    }

    /// Calls `act` for each instruction that a label section names.
    fn labels(&mut self, rela: &str, said: &'static str, address: Address, act: impl Fn(&mut Self, InsnId)) {
        for reloc in self.relocs_named(rela) {
            let Some(at) = self.address(&reloc, rela, address) else { continue };
            match self.insns.at(at) {
                Some(id) => act(self, id),
                None => self.plain_fault(Weight::Fatal, Fault::BadAnnotationEntry { section: said }, None),
            }
        }
    }

    pub(super) fn label_ignore_alts(&mut self) {
        self.labels(".rela.discard.ignore_alts", ".discard.ignore_alts", Address::Section, |b, id| {
            b.graph.set(id, Flags::IGNORE_ALTS);
        });
    }

    pub(super) fn label_noendbr(&mut self) {
        self.labels(".rela.discard.noendbr", ".discard.noendbr", Address::Any, |b, id| {
            b.graph.set(id, Flags::NOENDBR);
        });
    }

    pub(super) fn label_intra_calls(&mut self) {
        let rela = ".rela.discard.intra_function_calls";
        self.labels(rela, ".discard.intra_function_call", Address::Section, Self::make_intra_call);
    }

    pub(super) fn label_retpoline_safe(&mut self) {
        let rela = ".rela.discard.retpoline_safe";
        self.labels(rela, ".discard.retpoline_safe", Address::Section, Self::make_safe);
    }

    pub(super) fn label_instr(&mut self) {
        let end = ".rela.discard.instr_end";
        // Without an end section the beginnings are not read either.
        if self.image.section_by_name(end).is_none() {
            return;
        }
        self.labels(end, ".discard.instr_end", Address::Section, |b, id| b.count_instr(id, -1));
        let begin = ".rela.discard.instr_begin";
        self.labels(begin, ".discard.instr_begin", Address::Section, |b, id| b.count_instr(id, 1));
    }

    pub(super) fn label_unret(&mut self) {
        if !self.rules.tables.unret_labels {
            return;
        }
        // objtool names another section in its complaint.
        self.labels(".rela.discard.validate_unret", ".discard.instr_end", Address::Section, |b, id| {
            b.declare(id, Flags::UNRET);
        });
    }

    /// `.discard.unreachable` makes the instruction before a label a dead end, `.discard.reachable` undoes it.
    pub(super) fn label_dead_ends(&mut self) {
        if self.rules.tables.unreachable_labels {
            self.dead_ends(".rela.discard.unreachable", false);
        }
        self.dead_ends(".rela.discard.reachable", true);
    }

    fn dead_ends(&mut self, rela: &str, reachable: bool) {
        let address = if self.rules.tables.dead_ends_at_labels { Address::SectionOrLabel } else { Address::Section };
        for reloc in self.relocs_named(rela) {
            let Some(at) = self.address(&reloc, rela, address) else { continue };
            let before = match self.insns.at(at) {
                Some(id) if self.rules.tables.before_label_across_sections => id.0.checked_sub(1).map(InsnId),
                Some(id) => self.insns.prev_in_section(id),
                None if at.offset == self.image.section(at.section).size => {
                    // objtool looks for an instruction that starts within the last ten bytes.
                    let last = self.insns.of_section(at.section).next_back();
                    last.filter(|&id| u64::from(self.insns.get(id).offset) + 10 >= at.offset)
                }
                None => None,
            };
            let Some(before) = before else {
                let section = self.image.section(at.section).name.clone();
                let fault = Fault::ReachableWithoutInsn { section, offset: at.offset, reachable };
                self.plain_fault(Weight::Fatal, fault, None);
                continue;
            };
            if reachable {
                self.graph.clear(before, Flags::DEAD_END);
            } else {
                self.graph.set(before, Flags::DEAD_END);
            }
        }
    }

    pub(super) fn annotate_early(&mut self) {
        self.annotations(|b, what, id| match what {
            kind::IGNORE_ALTS => b.graph.set(id, Flags::IGNORE_ALTS),
            kind::NOENDBR => b.graph.set(id, Flags::NOENDBR),
            _ => {}
        });
    }

    pub(super) fn annotate_intra_calls(&mut self) {
        self.annotations(|b, what, id| {
            if what == kind::INTRA_FUNCTION_CALL {
                b.make_intra_call(id);
            }
        });
    }

    pub(super) fn annotate_late(&mut self) {
        self.annotations(|b, what, id| match what {
            kind::NOENDBR | kind::IGNORE_ALTS | kind::INTRA_FUNCTION_CALL => {}
            kind::RETPOLINE_SAFE => b.make_safe(id),
            kind::INSTR_BEGIN => b.count_instr(id, 1),
            kind::INSTR_END => b.count_instr(id, -1),
            kind::UNRET_BEGIN => b.declare(id, Flags::UNRET),
            kind::REACHABLE => b.graph.clear(id, Flags::DEAD_END),
            kind::NOCFI => match b.graph.owner(id) {
                Some(owner) => b.symbols.mark(owner, |traits| traits.nocfi = true),
                None => b.insn_fault(Weight::Fatal, Fault::DodgyNocfi, id),
            },
            kind => b.insn_fault(Weight::Fatal, Fault::UnknownAnnotation { kind: kind as i32 }, id),
        });
    }

    /// Entry N goes with relocation number N.
    fn annotations(&mut self, act: impl Fn(&mut Self, u32, InsnId)) {
        const NAME: &str = ".discard.annotate_insn";
        let Some(id) = self.image.section_by_name(NAME) else { return };
        let section = self.image.section(id);
        if section.rela.is_none() {
            return;
        }
        let (entsize, size, relocs) = (section.entsize, section.size, &section.relocs);
        if entsize != 8 && self.options.verbose {
            self.plain_fault(Weight::Warning, Fault::DodgyEntsize { section: NAME.to_owned() }, None);
        }
        if self.rules.tables.annotation_relocs_required && size / 8 != relocs.len() as u64 {
            self.plain_fault(Weight::Fatal, Fault::AnnotateInsnMissingRelocs, None);
            return;
        }
        let Ok(bytes) = self.image.read_section(self.store, id) else { return };
        for (index, (entry, reloc)) in bytes.chunks_exact(8).zip(relocs.iter()).enumerate() {
            let what = entry.get(4..8).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
            let Some(at) = self.address(&reloc, NAME, Address::Any) else { continue };
            match self.insns.at(at) {
                Some(id) => act(self, what, id),
                None => {
                    let fault = Fault::BadAnnotateInsnEntry { index: index as u64, kind: what as i32 };
                    self.plain_fault(Weight::Fatal, fault, None);
                }
            }
        }
    }

    fn make_intra_call(&mut self, id: InsnId) {
        if self.insns.kind(id) != Kind::Call {
            self.insn_fault(Weight::Fatal, Fault::IntraCallNotCall, id);
            return;
        }
        self.set_kind(id, Kind::JumpUnconditional);
        let section = self.insns.section_of(id);
        let offset = self.encoded_target(section, id);
        match self.find(section, offset) {
            Some(target) => self.graph.branches.set(id, target.0 + 1),
            None => {
                let section = self.image.section(section).name.clone();
                self.insn_fault(Weight::Fatal, Fault::IntraCallWithoutDest { section, offset }, id);
            }
        }
    }

    fn make_safe(&mut self, id: InsnId) {
        if matches!(self.insns.kind(id), Kind::JumpDynamic | Kind::CallDynamic | Kind::Return | Kind::Nop) {
            self.graph.set(id, Flags::SAFE);
        } else {
            self.insn_fault(Weight::Fatal, Fault::RetpolineSafeNotIndirect, id);
        }
    }

    fn count_instr(&mut self, id: InsnId, by: i32) {
        self.graph.set(id, Flags::INSTR);
        *self.graph.instr.entry(id).or_default() += by;
    }
}
