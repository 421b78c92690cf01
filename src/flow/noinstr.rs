//! The paravirt operations' tables, for checking what noinstr code calls through them.
//!
//! In: relocations of `pv_ops` and its like; stores to it in boot code.  Out: the targets of each slot.
//! Reads like: `init_pv_ops`, `add_pv_ops` and the `c7` case of `arch_decode_instruction` of the releases.

use crate::ids::{InsnId, SymbolId};

use super::resolve::Builder;

impl Builder<'_> {
    pub(super) fn find_pv_ops(&mut self) {
        if !self.options.noinstr {
            return;
        }
        let tables = self.rules.pv_ops_tables;
        let mut first_slot = 0i64;
        for (i, name) in tables.iter().enumerate() {
            let Some(symbol) = self.symbols.by_name(self.image, name) else {
                // Up to 6.12 the other tables fill the slots of the first one.
                if i == 0 && self.rules.pv_ops_share_slots {
                    return;
                }
                continue;
            };
            self.graph.has_pv_ops = true;
            self.read_pv_table(symbol, first_slot);
            if !self.rules.pv_ops_share_slots {
                first_slot += (self.symbols.size(symbol) / 8) as i64;
            }
        }
        if self.graph.has_pv_ops {
            self.read_pv_stores();
        }
    }

    fn read_pv_table(&mut self, table: SymbolId, first_slot: i64) {
        let symbol = *self.image.symbol(table);
        let end = symbol.value.saturating_add(self.symbols.size(table));
        let mut at = symbol.value;
        while let Some(reloc) = self.image.section(symbol.section).relocs.first_in(at, end).copied() {
            let slot = first_slot + ((reloc.offset - symbol.value) / 8) as i64;
            let target = if self.is_section_symbol(reloc.symbol) {
                self.symbols.symbol_at(self.image.symbol(reloc.symbol).section, reloc.addend as u64)
            } else {
                Some(reloc.symbol)
            };
            if let Some(target) = target {
                self.add_pv_target(slot, target);
            }
            at = reloc.offset + 1;
        }
    }

    /// A slot keeps the latest target in front.
    fn add_pv_target(&mut self, slot: i64, target: SymbolId) {
        self.graph.pv_ops.entry(slot).or_default().insert(0, target);
    }

    /// `movq $function, pv_ops+N(%rip)` in boot code.
    fn read_pv_stores(&mut self) {
        for index in 0..self.insns.len() {
            let id = InsnId::from_index(index);
            let insn = self.insns.get(id);
            if insn.len != 11 {
                continue;
            }
            let section = self.image.section(self.insns.section_of(id));
            let start = u64::from(insn.offset);
            if !section.name.starts_with(".init.text") || section.code.get(start as usize + 1) != Some(&0xc7) {
                continue;
            }
            let (Some(place), Some(value)) = (section.relocs.at(start + 3), section.relocs.at(start + 7)) else {
                continue;
            };
            if !self.rules.pv_ops_tables.contains(&self.image.symbol_name(place.symbol))
                || (self.rules.pv_ops_share_slots && self.image.symbol_name(place.symbol) != "pv_ops")
            {
                continue;
            }
            let slot = place.addend.wrapping_add(8) / 8;
            let target = if self.is_section_symbol(value.symbol) {
                self.symbols.function_at(self.image.symbol(value.symbol).section, value.addend as u64)
            } else {
                Some(value.symbol)
            };
            if let Some(target) = target {
                self.add_pv_target(slot, target);
            }
        }
    }
}
