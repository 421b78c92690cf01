//! Unwind hints: states that the code declares.
//!
//! In: `.discard.unwind_hints`.  Out: states of instructions.
//! Reads like: `read_unwind_hints` of the releases, `struct unwind_hint` in `include/linux/objtool_types.h`.

use crate::cfi::{Base, CfiState};
use crate::decode::Kind;
use crate::findings::Fault;
use crate::ids::{CodeLoc, InsnId};
use crate::image::{Reloc, STB_GLOBAL};
use crate::kernel::rules::{HintNumber, OrcNumber};
use crate::ledger::Weight;

use super::Flags;
use super::builder::Builder;

/// Size of an entry in bytes.
const SIZE: u64 = 12;

/// An entry's bytes, behind the relocated address.
struct Hint {
    sp_offset: i16,
    sp_reg: OrcNumber,
    kind: HintNumber,
    flag: u8,
}

impl Builder<'_> {
    pub(super) fn read_hints(&mut self) {
        let Some(id) = self.image.section_by_name(".discard.unwind_hints") else { return };
        let section = self.image.section(id);
        if section.rela.is_none() {
            self.plain_fault(Weight::Fatal, Fault::HintsMissingRelocs, None);
            return;
        }
        if !section.size.is_multiple_of(SIZE) {
            self.plain_fault(Weight::Fatal, Fault::HintsBadSize, None);
            return;
        }
        let Ok(bytes) = self.image.read_section(self.store, id) else { return };
        let mut working = CfiState::initial();
        for (index, raw) in bytes.chunks_exact(SIZE as usize).enumerate() {
            let index = index as u64;
            let Some(reloc) = self.image.section(id).relocs.at(index * SIZE) else {
                self.plain_fault(Weight::Fatal, Fault::HintWithoutReloc { index }, None);
                continue;
            };
            let Some(at) = self.hint_address(&reloc) else { continue };
            let Some(insn) = self.insns.at(at) else {
                self.plain_fault(Weight::Fatal, Fault::HintWithoutInsn { index }, None);
                continue;
            };
            let hint = Hint {
                sp_offset: i16::from_le_bytes([raw[4], raw[5]]),
                sp_reg: OrcNumber(raw[6]),
                kind: HintNumber(raw[7]),
                flag: raw[8],
            };
            self.apply_hint(insn, &hint, &mut working);
        }
    }

    fn hint_address(&mut self, reloc: &Reloc) -> Option<CodeLoc> {
        let symbol = self.image.symbol(reloc.symbol);
        if self.rules.hints.offset_is_addend {
            return Some(CodeLoc::new(symbol.section, reloc.addend as u64));
        }
        if self.rules.hints.symbol_and_addend {
            return Some(self.image.destination(reloc));
        }
        if self.is_section_symbol(reloc.symbol) {
            Some(CodeLoc::new(symbol.section, reloc.addend as u64))
        } else if self.symbols.traits(reloc.symbol).local_label {
            Some(CodeLoc::new(symbol.section, symbol.value))
        } else {
            self.plain_fault(Weight::Fatal, Fault::HintAtWrongSymbol, None);
            None
        }
    }

    fn apply_hint(&mut self, insn: InsnId, hint: &Hint, working: &mut CfiState) {
        let types = self.rules.layout.hints;
        self.declare(insn, Flags::HINT);
        if Some(hint.kind) == types.undefined {
            let state = CfiState { force_undefined: true, ..CfiState::initial() };
            self.graph.hints.insert(insn, state);
            return;
        }
        if hint.kind == types.save {
            self.graph.clear(insn, Flags::HINT);
            self.save(insn);
            return;
        }
        if hint.kind == types.restore {
            self.graph.set(insn, Flags::RESTORE);
            return;
        }
        if hint.kind == types.regs_partial {
            self.check_interrupt_entry(insn);
        }
        if hint.kind == types.func {
            self.graph.hints.insert(insn, CfiState::function_entry(types.call));
            return;
        }
        let kind = if Some(hint.kind) == types.entry {
            self.declare(insn, Flags::UNRET);
            types.call
        } else {
            hint.kind
        };
        // The working state lives on from hint to hint, unless the instruction already has one.
        if let Some(state) = self.graph.hints.get(&insn) {
            *working = state.clone();
        }
        let Some(base) = self.hint_base(hint.sp_reg) else {
            self.insn_fault(Weight::Fatal, Fault::HintBadRegister { register: hint.sp_reg.0 }, insn);
            return;
        };
        working.cfa.base = base;
        working.cfa.offset = i32::from(hint.sp_offset);
        working.kind = kind;
        if self.rules.hints.byte_is_end {
            working.end = hint.flag != 0;
        } else {
            working.signal = hint.flag != 0;
        }
        self.graph.hints.insert(insn, working.clone());
    }

    /// The state here is put away.
    pub(super) fn save(&mut self, insn: InsnId) {
        self.graph.set(insn, Flags::SAVE);
        self.graph.saves.push(insn);
    }

    /// An interrupt entry point must start with `endbr`; up to 6.1 it is also where the untraining check starts.
    fn check_interrupt_entry(&mut self, insn: InsnId) {
        let at = self.insns.loc(insn);
        let global = self
            .symbols
            .symbol_at(at.section, at.offset)
            .is_some_and(|symbol| self.image.symbol(symbol).binding == STB_GLOBAL);
        if !global {
            return;
        }
        if self.options.ibt && self.insns.kind(insn) != Kind::Endbr && !self.graph.has(insn, Flags::NOENDBR) {
            let fatal = self.rules.hints.entry_without_endbr_is_fatal;
            let weight = if fatal { Weight::Fatal } else { Weight::Warning };
            self.insn_fault(weight, Fault::IretHintWithoutEndbr, insn);
        }
        if self.rules.hints.partial_regs_start_unret {
            self.declare(insn, Flags::UNRET);
        }
    }

    fn hint_base(&self, register: OrcNumber) -> Option<Base> {
        let regs = self.rules.layout.orc_regs;
        Some(match register {
            OrcNumber(0) => Base::UNDEFINED,
            r if r == regs.sp => Base::SP,
            r if r == regs.bp => Base::BP,
            r if r == regs.sp_indirect => Base::SP_INDIRECT,
            r if r == regs.r10 => Base::R10,
            r if r == regs.r13 => Base::R13,
            r if r == regs.di => Base::DI,
            r if r == regs.dx => Base::DX,
            r if Some(r) == regs.ax => Base::AX,
            r if r == regs.bp_indirect && self.rules.hints.ax_and_bp_indirect => Base::BP_INDIRECT,
            _ => return None,
        })
    }
}
