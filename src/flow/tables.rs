//! Finds the jump tables of `switch` statements.
//!
//! In: dynamic jumps, relocations of read-only data.  Out: alternates of dynamic jumps.
//! Reads like: `add_jump_table_alts` and `arch_find_switch_table` of the releases.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::decode::Kind;
use crate::findings::Fault;
use crate::ids::{InsnId, SectionId, SymbolId};
use crate::image::{Reloc, RelocKind};
use crate::ledger::Weight;
use crate::parallel;

use super::builder::Builder;
use super::{Alternate, AlternateKind, Flags};

/// A jump table: the section that holds it and the position of its first relocation there.
type TableStart = (SectionId, usize);

/// What the search over all functions keeps.
#[derive(Default)]
struct Search {
    /// The functions that own a dynamic jump; `None` if one is in no function.
    owners: FxHashSet<Option<SymbolId>>,
    /// By jump target: the first jump to it from before.
    back: FxHashMap<InsnId, InsnId>,
    /// Every table found so far.
    starts: FxHashSet<TableStart>,
    by_insn: FxHashMap<InsnId, TableStart>,
    /// The functions that start at an instruction which another one started at.
    first_insns: FxHashSet<InsnId>,
    /// The tables of the function at hand that were read, by what decides their entries: their numbers, and whether they
    /// have any.
    read: FxHashMap<Key, (u32, bool)>,
    /// How many instructions may still be looked at by functions that are not their owners.
    strangers: usize,
    /// How many steps back from jumps are left.
    steps: usize,
    /// How many entries of tables are left.
    entries: usize,
}

/// Where a table starts, the function that it belongs to, and where the next one starts if that matters.
type Key = (TableStart, SymbolId, Option<TableStart>);

/// In every object this many entries of jump tables are read, besides one for each instruction. What compilers write has
/// far fewer entries than instructions.
const MOST_ENTRIES: usize = 1 << 19;
/// In every object this many steps back from jumps are taken, besides [`STEPS`] for each instruction.
const MOST_STEPS: usize = 1 << 22;
const STEPS: usize = 16;

impl Builder<'_> {
    pub(super) fn add_tables(&mut self) {
        if !self.image.sections().any(|(_, s)| self.is_rodata(&s.name)) {
            return;
        }
        let functions: Vec<SymbolId> = if self.rules.tables.table_symbols_in_symtab_order {
            self.image.symbols().map(|(id, _)| id).collect()
        } else {
            (0..self.image.sections.len())
                .flat_map(|i| self.symbols.of_section(SectionId::from_index(i)).to_vec())
                .collect()
        };
        let n = self.insns.len();
        let mut search = Search {
            owners: self.dynamic_jump_owners(),
            strangers: MOST_STEPS + n,
            steps: MOST_STEPS + STEPS * n,
            entries: MOST_ENTRIES + n,
            ..Search::default()
        };
        let eligible = parallel::numbers(functions.len(), |at| {
            let function = functions[at];
            self.symbols.is_function(function)
                && !self.image.symbol(function).is_undefined()
                && !(self.rules.tables.table_skips_aliases && self.symbols.is_alias(function))
                && self.may_have_table(function, &search)
        });
        for function in eligible.into_iter().map(|at| functions[at]) {
            self.add_function_tables(function, &mut search);
        }
    }

    fn dynamic_jump_owners(&self) -> FxHashSet<Option<SymbolId>> {
        self.graph.branches(&[Kind::JumpDynamic]).map(|id| self.function(id)).collect()
    }

    /// Most functions have no dynamic jump; their back links are of use to no search.
    fn may_have_table(&self, function: SymbolId, search: &Search) -> bool {
        let symbol = self.image.symbol(function);
        let Some(first) = self.find(symbol.section, symbol.value) else { return false };
        let owner = self.function(first);
        search.owners.contains(&owner) || search.owners.contains(&owner.and_then(|owner| self.symbols.child(owner)))
    }

    fn is_rodata(&self, name: &str) -> bool {
        (name.starts_with(".rodata") && !name.contains(".str1."))
            || (self.rules.tables.relro_is_rodata && name.starts_with(".data.rel.ro"))
    }

    fn add_function_tables(&mut self, function: SymbolId, search: &mut Search) {
        let symbol = self.image.symbol(function);
        let Some(first) = self.find(symbol.section, symbol.value) else { return };
        // A table is found for the function that a jump belongs to. Others may start there too, by the thousand.
        let owner = self.function(first);
        let cold = owner.and_then(|owner| self.symbols.child(owner));
        let belongs = |of: Option<SymbolId>| of.and_then(|of| self.symbols.parent(of)) == Some(function);
        let is_stranger = !belongs(owner) && !belongs(cold);
        if is_stranger && (search.strangers == 0 || search.first_insns.contains(&first)) {
            return;
        }
        search.first_insns.insert(first);
        let insns = self.insns_of(function);
        if is_stranger {
            search.strangers = search.strangers.saturating_sub(insns.len());
        }
        if !insns.iter().any(|&id| self.insns.kind(id) == Kind::JumpDynamic) {
            return;
        }
        for &id in &insns {
            if let Some(target) = self.graph.jump_target(id)
                && self.insns.get(target).offset > self.insns.get(id).offset
            {
                search.back.entry(target).or_insert(id);
            }
            if self.insns.kind(id) == Kind::JumpDynamic
                && let Some(table) = self.find_table(function, id, search)
            {
                search.starts.insert(table);
                search.by_insn.insert(id, table);
                self.graph.set(id, Flags::TABLE);
            }
        }
        // What a stranger would find in tables was found before it.
        if is_stranger {
            return;
        }
        search.read.clear();
        let with_table: Vec<InsnId> = insns.iter().copied().filter(|id| search.by_insn.contains_key(id)).collect();
        for (i, &id) in with_table.iter().enumerate() {
            let next = with_table.get(i + 1).and_then(|id| search.by_insn.get(id)).copied();
            self.read_jump_table(id, next, search);
        }
        if search.steps == 0 || search.entries == 0 {
            self.leave_unread(function);
        }
    }

    /// Gives up on a function: what its jumps lead to is not known.
    fn leave_unread(&mut self, function: SymbolId) {
        self.graph.unread.push(function);
        for part in [Some(function), self.symbols.child(function)].into_iter().flatten() {
            self.symbols.mark(part, |traits| traits.ignore = true);
        }
    }

    /// Searches back from the jump for an instruction that refers to a table of this function.
    fn find_table(&mut self, function: SymbolId, jump: InsnId, search: &mut Search) -> Option<TableStart> {
        let mut at = Some(jump);
        let jump_offset = self.insns.get(jump).offset;
        while let Some(id) = at {
            search.steps = search.steps.saturating_sub(1);
            if self.parent_of(id) != Some(function) || search.steps == 0 {
                return None;
            }
            if id != jump && self.insns.kind(id) == Kind::JumpDynamic {
                return None;
            }
            if self.insns.kind(id) == Kind::JumpUnconditional
                && let Some(target) = self.graph.jump_target(id)
            {
                let target = self.insns.get(target).offset;
                if target <= self.insns.get(id).offset || target > jump_offset {
                    return None;
                }
            }
            if let Some((section, first)) = self.table_at(id)
                && let Some(reloc) = self.image.section(section).relocs.get(first)
                && let Some(target) = self.find(self.image.symbol(reloc.symbol).section, self.table_target(&reloc))
                && self.parent_of(target) == Some(function)
            {
                return Some((section, first));
            }
            at =
                search.back.get(&id).copied().or_else(|| {
                    self.insns.prev_in_section(id).filter(|&prev| self.function(prev) == self.function(id))
                });
        }
        None
    }

    /// The table that an instruction's relocation points to.
    fn table_at(&mut self, id: InsnId) -> Option<TableStart> {
        let reloc = self.reloc(id)?;
        if !self.is_section_symbol(reloc.symbol) {
            return None;
        }
        let section = self.image.symbol(reloc.symbol).section;
        if !self.is_rodata(&self.image.section(section).name) {
            return None;
        }
        let mut offset = reloc.addend as u64;
        if reloc.kind == RelocKind::PC32 {
            offset = offset.wrapping_add(4);
        }
        // A table has no symbol of its own, unless it was written in C and annotated.
        if self.symbols.symbol_containing(section, offset).is_some()
            && self.image.section(section).name != self.rules.tables.c_jump_table
        {
            return None;
        }
        let first = self.image.section(section).relocs.first_index_in(offset, offset.checked_add(1)?)?;
        if reloc.kind == RelocKind::PC32 {
            // GCC may leave code behind that nothing reaches when it uses a table so.
            if self.rules.tables.table_quirk_reported && !self.graph.unreachables_ignored {
                self.insn_fault(Weight::Warning, Fault::JumpTableQuirk, id);
            }
            self.graph.unreachables_ignored = true;
        }
        Some((section, first))
    }

    fn table_target(&self, reloc: &Reloc) -> u64 {
        if self.rules.tables.table_target_has_symbol {
            self.image.symbol(reloc.symbol).value.wrapping_add_signed(reloc.addend)
        } else {
            reloc.addend as u64
        }
    }

    fn read_jump_table(&mut self, id: InsnId, next_table: Option<TableStart>, search: &mut Search) {
        let (Some(&start), Some(parent)) = (search.by_insn.get(&id), self.parent_of(id)) else { return };
        let key = (start, parent, next_table.filter(|_| !self.rules.tables.table_start_marks));
        let (table, is_one) = match search.read.get(&key) {
            Some(&known) => known,
            None => {
                let (entries, is_one) = self.jump_table(start, parent, next_table, search);
                self.graph.tables.push(entries);
                let read = (self.graph.tables.len() as u32 - 1, is_one);
                search.read.insert(key, read);
                read
            }
        };
        if !is_one {
            self.insn_fault(Weight::Fatal, Fault::NoJumpTable, id);
        }
        if self.graph.tables.get(table as usize).is_none_or(Vec::is_empty) {
            return;
        }
        if !self.graph.alternates.contains_key(&id) {
            match self.graph.table_of.insert(id, table) {
                None => self.graph.set(id, Flags::ALTERNATES),
                Some(before) if before == table => {}
                Some(before) => {
                    self.graph.table_of.remove(&id);
                    self.take_entries(id, before, search);
                    self.take_entries(id, table, search);
                }
            }
        } else {
            self.take_entries(id, table, search);
        }
    }

    /// Gives a jump that has other alternates the entries of a table as its own.
    fn take_entries(&mut self, id: InsnId, table: u32, search: &mut Search) {
        let entries = self.graph.tables.get(table as usize).cloned().unwrap_or_default();
        match search.entries.checked_sub(entries.len()) {
            Some(left) => search.entries = left,
            None => {
                search.entries = 0;
                return;
            }
        }
        entries.into_iter().for_each(|entry| self.add_alternate(id, entry));
    }

    /// The entries of a table, as far as they lead into their function, and whether objtool takes it for one: it takes the
    /// offset 0 for none.
    fn jump_table(
        &self,
        (section, first): TableStart,
        parent: SymbolId,
        next_table: Option<TableStart>,
        search: &mut Search,
    ) -> (Vec<Alternate>, bool) {
        let mut entries = Vec::new();
        let relocs = &self.image.section(section).relocs;
        let symbol = self.image.symbol(parent);
        let end = symbol.value.wrapping_add(self.symbols.size(parent));
        let mut previous = 0u64;
        for (index, reloc) in (first..).map_while(|index| Some((index, relocs.get(index)?))) {
            let ends = if self.rules.tables.table_start_marks {
                search.starts.contains(&(section, index))
            } else {
                next_table == Some((section, index))
            };
            if index != first && ends {
                break;
            }
            if previous != 0 && reloc.offset != previous + self.entry_width(&reloc) {
                break;
            }
            let target_section = self.image.symbol(reloc.symbol).section;
            let target = self.table_target(&reloc);
            if target_section == symbol.section && target == symbol.value {
                break;
            }
            let dangling =
                self.rules.tables.table_end_of_function_skipped && target_section == symbol.section && target == end;
            if !dangling {
                let Some(to) = self.find(target_section, target) else { break };
                if self.parent_of(to) != Some(parent) || search.entries == 0 {
                    break;
                }
                search.entries -= 1;
                entries.push(Alternate { to: Some(to), kind: AlternateKind::Table, skip_original: false });
            }
            previous = reloc.offset;
        }
        (entries, previous != 0)
    }

    fn entry_width(&self, reloc: &Reloc) -> u64 {
        if self.rules.tables.table_entry_width_by_type && reloc.kind.is_narrow() { 4 } else { 8 }
    }
}
