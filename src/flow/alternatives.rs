//! Groups the instructions of alternatives into streams that share one table of states.
//!
//! In: an `.altinstructions` entry.  Out: [`AltGroup`]s, and padding for replacements that are shorter than the original.

use crate::decode::{Insn, Kind};
use crate::findings::Fault;
use crate::ids::{CodeLoc, GroupId, InsnId};
use crate::kernel::rules::IgnoreAlternatives;
use crate::ledger::Weight;

use super::builder::Builder;
use super::{AltGroup, AlternateKind, Flags};

/// One entry, read.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub kind: AlternateKind,
    pub original: CodeLoc,
    pub original_len: u32,
    /// `None` when the replacement is empty.
    pub new: Option<CodeLoc>,
    pub new_len: u32,
    pub feature: u32,
    pub key_addend: i64,
}

impl Builder<'_> {
    /// Adds the replacement, and the original code when it is met for the first time. The replacement's first
    /// instruction, or nothing when the entry can not be understood.
    pub(super) fn add_group(&mut self, entry: &Entry, original: InsnId, new: Option<InsnId>) -> Option<InsnId> {
        let group = self.original_group(entry, original)?;
        if entry.new_len > entry.original_len {
            let fault = Fault::ReplacementTooLong { actual: entry.new_len, room: entry.original_len };
            self.insn_fault(Weight::Own, fault, original);
        }
        let id = GroupId::from_index(self.graph.groups.len());
        let nop = (entry.new_len < entry.original_len).then(|| self.padding(entry, original));
        let (first, last) = match (new, entry.new) {
            (Some(new), Some(start)) => (new, self.take_replacement(entry, original, group, id, new, start)),
            _ => (nop?, None),
        };
        if let Some(nop) = nop {
            self.graph.group_of.insert(nop, id);
            self.graph.set(nop, Flags::GROUP);
        }
        self.graph.groups.push(AltGroup {
            original: Some(group),
            first,
            last,
            nop,
            feature: entry.feature,
            start: entry.new,
            length: entry.original_len,
            slots: self.graph.groups[group.index()].slots,
            ignore: self.graph.has(first, Flags::IGNORE_ALTS),
        });
        Some(first)
    }

    fn original_group(&mut self, entry: &Entry, original: InsnId) -> Option<GroupId> {
        if let Some(id) = self.graph.group_of(original)
            && self.rules.tables.alt_group_shared
        {
            let group = self.graph.group(id);
            let last = group.last.or(group.nop)?;
            let actual = i64::from(self.insns.get(last).end()) - i64::from(self.insns.get(group.first).offset);
            if actual != i64::from(entry.original_len) {
                let fault = Fault::WeirdOverlap { actual, expected: i64::from(entry.original_len) };
                self.insn_fault(Weight::Fatal, fault, original);
                return None;
            }
            return Some(id);
        }
        let id = GroupId::from_index(self.graph.groups.len());
        let slots = self.graph.slot_tables.len() as u32;
        self.graph.slot_tables.push(entry.original_len);
        let end = entry.original.offset + u64::from(entry.original_len);
        let mut last = original;
        let mut next = Some(original);
        while let Some(insn) = next.filter(|&insn| u64::from(self.insns.get(insn).offset) < end) {
            self.graph.group_of.insert(insn, id);
            self.graph.set(insn, Flags::GROUP);
            last = insn;
            next = self.insns.next_in_section(insn);
        }
        self.graph.groups.push(AltGroup {
            original: None,
            first: original,
            last: Some(last),
            nop: None,
            feature: 0,
            start: Some(entry.original),
            length: entry.original_len,
            slots,
            ignore: self.graph.has(original, Flags::IGNORE_ALTS),
        });
        Some(id)
    }

    /// The bytes behind a short replacement, which the kernel fills with NOPs when it patches.
    fn padding(&mut self, entry: &Entry, original: InsnId) -> InsnId {
        let at = entry.new.map(|new| CodeLoc::new(new.section, new.offset + u64::from(entry.new_len)));
        let len = (entry.original_len - entry.new_len) as u8;
        let offset = at.map_or(0, |at| at.offset as u32);
        let id = self.insns.push_padding(Insn::new(offset, len, Kind::Nop), at);
        self.graph.flags.push(Flags::default());
        self.graph.owners.push(self.graph.owners.get(original));
        if self.graph.has(original, Flags::IGNORE_ALTS)
            && self.rules.tables.ignore_alternatives == IgnoreAlternatives::ByInstruction
        {
            self.graph.set(id, Flags::IGNORE);
        }
        id
    }

    /// Takes the replacement's instructions into group `id`, up to the first that can not be understood; the last of them.
    fn take_replacement(
        &mut self,
        entry: &Entry,
        original: InsnId,
        group: GroupId,
        id: GroupId,
        new: InsnId,
        start: CodeLoc,
    ) -> Option<InsnId> {
        let end = start.offset + u64::from(entry.new_len);
        let mut last = None;
        let mut next = Some(new);
        while let Some(insn) = next.filter(|&insn| u64::from(self.insns.get(insn).offset) < end) {
            last = Some(insn);
            self.adopt(insn, original, id);
            if self.rules.tables.alt_reloc_checked && !self.relocation_allowed(insn, start) {
                self.insn_fault(Weight::Fatal, Fault::SpecialRelocation, insn);
                return last;
            }
            let leads_on = self.is_static_jump(insn) && self.immediate(start.section, insn) != 0;
            if leads_on && self.encoded_target(start.section, insn) == end {
                let back = self.graph.group(group).last.and_then(|last| self.insns.next_in_section(last));
                let Some(back) = back else {
                    self.insn_fault(Weight::Fatal, Fault::SpecialJumpWithoutDest, insn);
                    return last;
                };
                self.graph.branches.set(insn, back.0 + 1);
            } else if leads_on && self.rules.branches.jumps_before_tables && self.graph.jump_target(insn).is_none() {
                self.insn_fault(Weight::Fatal, Fault::SpecialJumpWithoutDest, insn);
                return last;
            }
            next = self.insns.next_in_section(insn);
        }
        if last.is_none() {
            self.place_fault(Weight::Fatal, Fault::SpecialWithoutLastInsn, start);
        }
        last
    }

    fn adopt(&mut self, insn: InsnId, original: InsnId, id: GroupId) {
        self.graph.group_of.insert(insn, id);
        self.graph.set(insn, Flags::GROUP);
        let owner = self.graph.owners.get(original);
        if self.rules.symbols.owner_copied_to_replacements {
            self.graph.owners.set(insn, owner);
            let by_instruction = self.rules.tables.ignore_alternatives == IgnoreAlternatives::ByInstruction;
            let ignored = by_instruction && self.graph.has(original, Flags::IGNORE_ALTS);
            if ignored { self.graph.set(insn, Flags::IGNORE) } else { self.graph.clear(insn, Flags::IGNORE) }
        } else if self.function(insn).is_none() {
            self.graph.owners.set(insn, owner);
        }
    }

    /// Up to 6.1 the kernel only relocates a jump or call at the start of a replacement.
    fn relocation_allowed(&self, insn: InsnId, start: CodeLoc) -> bool {
        let branch = matches!(
            self.insns.kind(insn),
            Kind::Call
                | Kind::JumpConditional
                | Kind::JumpUnconditional
                | Kind::JumpDynamic
                | Kind::JumpDynamicConditional
        );
        self.reloc(insn).is_none() || (self.insns.loc(insn) == start && branch)
    }
}
