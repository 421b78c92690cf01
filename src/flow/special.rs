//! Reads the tables of code that may be patched or left at run time: alternatives, jump labels, exceptions.
//!
//! In: `.altinstructions`, `__jump_table`, `__ex_table`.  Out: alternates of instructions.
//! Reads like: `tools/objtool/special.c`, and the entries' structures in `arch/x86/include/asm`.

use crate::decode::Kind;
use crate::findings::Fault;
use crate::ids::{CodeLoc, InsnId, SectionId};
use crate::kernel::rules::{AlternateOrder, IgnoreAlternatives};
use crate::ledger::Weight;

use super::alternatives::Entry;
use super::builder::Builder;
use super::{Alternate, AlternateKind, Flags};

/// `X86_FEATURE_SMAP` (`arch/x86/include/asm/cpufeatures.h`).
const FEATURE_SMAP: u32 = 9 * 32 + 20;
/// `X86_FEATURE_POPCNT`
const FEATURE_POPCNT: u32 = 4 * 32 + 23;
/// `__ex_table` entries of old handlers have this added to the fix-up's address.
const EXTABLE_BIAS: u64 = 0x7fff_fff0;

struct Table {
    name: &'static str,
    kind: AlternateKind,
    size: u64,
    key: Option<u64>,
}

impl Builder<'_> {
    pub(super) fn add_special(&mut self) {
        let tables = [
            Table {
                name: ".altinstructions",
                kind: AlternateKind::Arm,
                size: self.rules.layout.alt_entry.size,
                key: None,
            },
            Table { name: "__jump_table", kind: AlternateKind::JumpLabel, size: 16, key: Some(8) },
            Table { name: "__ex_table", kind: AlternateKind::Exception, size: 12, key: None },
        ];
        let mut entries = Vec::new();
        for table in &tables {
            self.read_table(table, &mut entries);
        }
        if self.rules.tables.alt_length_fixup {
            fix_lengths(&mut entries);
        }
        for entry in entries {
            self.add_entry(&entry);
        }
        self.graph.owners.settle();
    }

    fn read_table(&mut self, table: &Table, entries: &mut Vec<Entry>) {
        let Some(id) = self.image.section_by_name(table.name) else { return };
        let size = self.image.section(id).size;
        if !size.is_multiple_of(table.size) {
            let fault = Fault::SpecialBadSize { section: table.name, entry: table.size };
            self.plain_fault(Weight::Fatal, fault, None);
            return;
        }
        let Ok(bytes) = self.image.read_section(self.store, id) else {
            let fault = Fault::BadObject { text: format!("can't read section {}", table.name) };
            self.plain_fault(Weight::Fatal, fault, None);
            return;
        };
        for (i, raw) in bytes.chunks_exact(table.size as usize).enumerate() {
            if let Some(entry) = self.read_entry(table, id, i as u64 * table.size, raw) {
                entries.push(entry);
            }
        }
    }

    fn read_entry(&mut self, table: &Table, section: SectionId, at: u64, raw: &[u8]) -> Option<Entry> {
        let is_arm = table.kind == AlternateKind::Arm;
        let layout = self.rules.layout.alt_entry;
        let byte = |offset: u64| raw.get(offset as usize).copied().map_or(0, u32::from);
        let feature = if is_arm {
            let low = byte(8) | byte(9) << 8;
            if layout.feature_len == 4 { low | (byte(10) | byte(11) << 8) << 16 } else { low }
        } else {
            0
        };
        let original = self.field(section, at, "orig")?;
        let new_len = if is_arm { byte(layout.new_len) } else { 0 };
        let new = if !is_arm || new_len != 0 {
            let mut new = self.field(section, at + 4, "new")?;
            if new.offset >= EXTABLE_BIAS {
                new.offset -= EXTABLE_BIAS;
            }
            Some(new)
        } else {
            None
        };
        let key_addend = match table.key {
            Some(key) => match self.image.section(section).relocs.at(at + key) {
                Some(reloc) => reloc.addend,
                None => {
                    let fault = Fault::SpecialWithoutReloc { which: "key" };
                    self.place_fault(Weight::Fatal, fault, CodeLoc::new(section, at + key));
                    return None;
                }
            },
            None => 0,
        };
        let original_len = if is_arm { byte(layout.orig_len) } else { 0 };
        Some(Entry { kind: table.kind, original, original_len, new, new_len, feature, key_addend })
    }

    fn field(&mut self, section: SectionId, at: u64, which: &'static str) -> Option<CodeLoc> {
        let Some(reloc) = self.image.section(section).relocs.at(at) else {
            let fault = Fault::SpecialWithoutReloc { which };
            self.place_fault(Weight::Fatal, fault, CodeLoc::new(section, at));
            return None;
        };
        Some(self.image.destination(&reloc))
    }

    fn add_entry(&mut self, entry: &Entry) {
        let Some(original) = self.insns.at(entry.original) else {
            self.place_fault(Weight::Fatal, Fault::SpecialWithoutInsn { which: "orig" }, entry.original);
            return;
        };
        let new = match entry.new {
            Some(at) => match self.insns.at(at) {
                Some(new) => Some(new),
                None => {
                    self.place_fault(Weight::Fatal, Fault::SpecialWithoutInsn { which: "new" }, at);
                    return;
                }
            },
            None => None,
        };
        let to = match entry.kind {
            AlternateKind::Arm => {
                if entry.original_len == 0 {
                    self.insn_fault(Weight::Error, Fault::EmptyAlternative, original);
                    return;
                }
                match self.add_group(entry, original, new) {
                    Some(first) => Some(first),
                    None => return,
                }
            }
            AlternateKind::JumpLabel => match self.add_jump_label(entry, original, new) {
                Some(to) => to,
                None => return,
            },
            AlternateKind::Exception | AlternateKind::Table => new,
        };
        let mut skip_original = false;
        if entry.kind == AlternateKind::Arm
            && self.rules.tables.ignore_alternatives == IgnoreAlternatives::ByInstruction
        {
            // The low half holds the feature; 6.1 keeps the NOT flag in it, so that NOT(X) is another feature.
            let feature = entry.feature & 0xffff;
            skip_original = feature == FEATURE_POPCNT || (feature == FEATURE_SMAP && self.options.uaccess);
            if feature == FEATURE_SMAP && !self.options.uaccess {
                self.graph.set(original, Flags::IGNORE_ALTS);
            }
        }
        self.add_alternate(original, Alternate { to, kind: entry.kind, skip_original });
    }

    pub(super) fn add_alternate(&mut self, id: InsnId, alternate: Alternate) {
        self.graph.set(id, Flags::ALTERNATES);
        self.graph.alternates.entry(id).or_default().push(alternate);
    }

    /// Puts the alternates of each instruction, which are in the order of the tables that name them, into the release's.
    pub(super) fn order_alternates(&mut self) {
        match self.rules.tables.alternate_order {
            AlternateOrder::Written => return,
            AlternateOrder::Reversed => self.graph.alternates.values_mut().for_each(|list| list.reverse()),
            AlternateOrder::WrittenTablesReversed => {
                let is_table = |alternate: &Alternate| alternate.kind == AlternateKind::Table;
                for list in self.graph.alternates.values_mut().filter(|list| list.iter().any(is_table)) {
                    list.reverse();
                    let n_tables = list.iter().filter(|alternate| is_table(alternate)).count();
                    // Entries of jump tables come last to an instruction, so that they are in front, in reverse.
                    list[n_tables..].reverse();
                }
            }
        }
        self.graph.tables.iter_mut().for_each(|table| table.reverse());
    }

    /// The static branch's other state: a NOP may become a jump, a jump may become a NOP.
    fn add_jump_label(&mut self, entry: &Entry, original: InsnId, new: Option<InsnId>) -> Option<Option<InsnId>> {
        if !matches!(self.insns.kind(original), Kind::JumpUnconditional | Kind::Nop) {
            self.insn_fault(Weight::Fatal, Fault::JumpLabelInsn, original);
            return None;
        }
        if self.hacks.jump_label && entry.key_addend & 2 != 0 {
            self.patch(original, Kind::Nop);
        }
        if self.insns.kind(original) == Kind::Nop {
            return Some(new);
        }
        Some(self.insns.next_in_section(original))
    }
}

/// Nested alternatives give consecutive entries for one place with growing lengths; all get the longest.
fn fix_lengths(entries: &mut [Entry]) {
    for alike in entries.chunk_by_mut(|a, b| a.original == b.original) {
        let longest = alike.iter().map(|entry| entry.original_len).max().unwrap_or(0);
        alike.iter_mut().for_each(|entry| entry.original_len = longest);
    }
}
