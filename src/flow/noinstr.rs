//! The paravirt operations' tables, for checking what noinstr code calls through them.
//!
//! In: relocations of `pv_ops` and its like; stores to it in boot code.  Out: the targets of each slot.
//! Reads like: `init_pv_ops`, `add_pv_ops` and the `c7` case of `arch_decode_instruction` of the releases.

use rustc_hash::FxHashSet;

use crate::findings::Fault;
use crate::ids::{CodeLoc, SectionId, SymbolId};
use crate::image::{Reloc, Section};
use crate::ledger::Weight;

use super::builder::Builder;

/// Slots whose functions are patched into native code, and therefore not looked at.
const PATCHED: [&str; 2] = ["_paravirt_nop", "_paravirt_ident_64"];

/// The tables, with their first slots.
pub(super) struct PvTables {
    tables: Vec<(&'static str, SymbolId, i64)>,
    slots: Slots,
}

/// The slots' number, and what was put into them.
struct Slots {
    count: i64,
    known: FxHashSet<SymbolId>,
}

impl Builder<'_> {
    /// The tables, where they are asked for, and what they hold from the start.
    pub(super) fn find_pv_ops(&mut self) -> Option<PvTables> {
        if !self.options.noinstr {
            return None;
        }
        let first = self.rules.walk.pv_ops_tables.first().and_then(|name| self.symbols.by_name(self.image, name));
        if self.options.part && first.is_none_or(|table| self.image.symbol(table).is_undefined()) {
            // The part that defines the table fills it as well, and says what is wrong with it.
            return None;
        }
        let shared = self.rules.walk.pv_ops_share_slots;
        let mut slots = Slots { count: 0, known: FxHashSet::default() };
        let mut tables = Vec::new();
        for (i, &name) in self.rules.walk.pv_ops_tables.iter().enumerate() {
            let symbol = self.symbols.by_name(self.image, name);
            // Up to 6.12 the other tables fill the slots of the first one.
            if i == 0 && shared && symbol.is_none() {
                return None;
            }
            let Some(symbol) = symbol else { continue };
            let first = if shared { 0 } else { slots.count };
            if i == 0 || !shared {
                slots.count += (self.symbols.size(symbol) / 8) as i64;
            }
            tables.push((name, symbol, first));
        }
        self.graph.has_pv_ops = slots.count != 0 || (shared && !tables.is_empty());
        if slots.count != 0 {
            for &(name, symbol, first) in &tables {
                self.read_pv_table(name, symbol, first, &mut slots);
            }
        }
        Some(PvTables { tables, slots })
    }

    fn read_pv_table(&mut self, name: &'static str, table: SymbolId, first_slot: i64, slots: &mut Slots) {
        let symbol = *self.image.symbol(table);
        let end = symbol.value.saturating_add(self.symbols.size(table));
        let mut at = symbol.value;
        while let Some(reloc) = self.image.section(symbol.section).relocs.first_in(at, end) {
            let slot = ((reloc.offset - symbol.value) / 8) as i64;
            match self.pv_target(&reloc) {
                Some(target) => self.add_pv_target(first_slot + slot, target, slots),
                // Earlier releases do not look, and are killed.
                None if !self.rules.walk.pv_function_required => {}
                None => {
                    let at = CodeLoc::new(self.image.symbol(reloc.symbol).section, reloc.addend as u64);
                    self.place_fault(Weight::Fatal, Fault::ParavirtTableUnknown { table: name, slot }, at);
                }
            }
            at = reloc.offset + 1;
        }
    }

    /// What a slot is filled with.
    fn pv_target(&self, reloc: &Reloc) -> Option<SymbolId> {
        if self.is_section_symbol(reloc.symbol) {
            self.symbols.symbol_at(self.image.symbol(reloc.symbol).section, reloc.addend as u64)
        } else {
            Some(reloc.symbol)
        }
    }

    /// A function counts for the first slot that it is put into; the latest function of a slot stands in front.
    fn add_pv_target(&mut self, slot: i64, target: SymbolId, slots: &mut Slots) {
        if slots.count == 0 && !self.graph.has_pv_ops {
            self.plain_fault(Weight::Error, Fault::ParavirtConfusion, None);
            return;
        }
        if PATCHED.contains(&self.image.symbol_name(target)) || !slots.known.insert(target) {
            return;
        }
        if slots.count == 0 {
            // The object only declares the table: these releases write outside their own memory and are killed.
            self.ledger.crash();
            return;
        }
        self.graph.pv_ops.entry(slot).or_default().insert(0, target);
    }

    /// `movq $function, pv_ops+N(%rip)` in a section of boot code.
    pub(super) fn read_pv_stores(&mut self, id: SectionId, pv_ops: &mut PvTables) {
        let image = self.image;
        let section = image.section(id);
        if !section.name.starts_with(".init.text") {
            return;
        }
        for insn in self.insns.of_section(id) {
            let insn = self.insns.get(insn);
            let opcode = section.code.get(insn.offset as usize + 1);
            if insn.len == 11 && opcode == Some(&0xc7) {
                self.read_pv_store(section, u64::from(insn.offset), pv_ops);
            }
        }
    }

    fn read_pv_store(&mut self, section: &Section, start: u64, pv_ops: &mut PvTables) {
        let (Some(place), Some(value)) = (section.relocs.at(start + 3), section.relocs.at(start + 7)) else { return };
        let name = self.image.symbol_name(place.symbol);
        let shared = self.rules.walk.pv_ops_share_slots;
        let table = pv_ops.tables.iter().find(|(table, ..)| *table == name && (!shared || name == "pv_ops"));
        let Some(&(_, _, first)) = table else { return };
        let slot = first + place.addend.wrapping_add(8) / 8;
        match self.pv_target(&value) {
            Some(target) => self.add_pv_target(slot, target, &mut pv_ops.slots),
            None => self.plain_fault(Weight::Fatal, Fault::ParavirtStoreUnknown, None),
        }
    }
}
