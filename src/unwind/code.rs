//! The instructions that have a row, and where they lead.
//!
//! In: [`ElfImage`], [`Tables`].  Out: [`Code`].
//! Holds afterwards: instructions ascend by section and offset; what lies behind a jump into the middle of another
//! instruction is there, too; data between instructions is skipped.

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

use super::op::{self, Flow, Op, Reader};
use super::relocated::Addresses;
use super::table::Tables;
use crate::ids::{CodeLoc, SectionId, SymbolId};
use crate::image::{ET_REL, ElfImage, Reloc};

/// No row, no instruction.
pub(super) const NONE: u32 = u32::MAX;

/// Where a direct branch leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Target {
    /// Nowhere: no branch.
    None,
    /// An instruction of [`Code`].
    Insn(u32),
    /// Code that is none of these.
    Place(CodeLoc),
    /// A symbol that another object defines.
    Symbol(SymbolId),
}

/// An instruction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Insn {
    /// Its section.
    pub section: SectionId,
    /// Its offset.
    pub offset: u32,
    /// Its length.
    pub len: u8,
    /// Where it leads.
    pub flow: Flow,
    /// What it does.
    pub op: Op,
    /// Whether it is there to fill space.
    pub is_nop: bool,
    /// Where it branches to.
    pub target: Target,
    /// Its row in [`Tables::rows`].
    pub row: u32,
    /// Its description in [`Tables::fdes`].
    pub fde: u32,
    /// The instruction behind it.
    pub next: u32,
}

impl Insn {
    /// Where it stands.
    pub(super) fn loc(&self) -> CodeLoc {
        CodeLoc::new(self.section, u64::from(self.offset))
    }

    /// Whether it is `cpuid`: nothing else writes these four registers and no others.
    pub(super) fn is_cpuid(&self) -> bool {
        matches!(self.op, Op::Writes { computed: 0b1111, unknown: 0, .. })
    }

    /// The offset behind it.
    pub(super) fn end(&self) -> u32 {
        self.offset.saturating_add(u32::from(self.len))
    }
}

/// For so many instructions memory is asked for at once.
const MOST_RESERVED: usize = 1 << 16;

/// The instructions of all descriptions.
#[derive(Debug, Default)]
pub(super) struct Code {
    /// Ascending by section and offset.
    pub insns: Vec<Insn>,
    /// Places in code whose address the code itself takes.
    pub taken: Vec<CodeLoc>,
    /// Places in data that code refers to: tables start there.
    pub anchors: Vec<CodeLoc>,
    /// The same of linked files, each with the description of the code that refers to it.
    pub anchors_of: Vec<(CodeLoc, u32)>,
}

struct Reading<'a> {
    image: &'a ElfImage,
    addresses: &'a Addresses,
    reader: Reader,
    code: Code,
    /// Branches into code that may lie between instructions.
    targets: Vec<CodeLoc>,
}

impl Code {
    /// Decodes the code of all descriptions.
    pub(super) fn read(image: &ElfImage, addresses: &Addresses, tables: &Tables) -> Code {
        let mut reading =
            Reading { image, addresses, reader: Reader::default(), code: Code::default(), targets: Vec::new() };
        let mut reached = (SectionId(0), 0);
        // Four bytes and a half are an instruction's usual length.
        let bytes: usize = tables.fdes.iter().map(|fde| (fde.end - fde.start) as usize).sum();
        reading.code.insns.reserve((bytes / 4).min(MOST_RESERVED));
        for (number, fde) in (0u32..).zip(&tables.fdes) {
            // Descriptions that overlap are taken in order: the first one has the code.
            let start = if reached.0 == fde.section { fde.start.max(reached.1) } else { fde.start };
            reading.run((fde.section, start, fde.end), number, tables);
            if reached.0 != fde.section || fde.end > reached.1 {
                reached = (fde.section, fde.end);
            }
        }
        reading.middles(tables);
        let mut code = reading.code;
        code.link();
        code.taken.sort_unstable();
        code.taken.dedup();
        code.anchors.sort_unstable();
        code.anchors.dedup();
        code.anchors_of.sort_unstable();
        code.anchors_of.dedup();
        code
    }

    /// The instruction that starts at a place.
    pub(super) fn at(&self, loc: CodeLoc) -> Option<u32> {
        let found = self.insns.binary_search_by_key(&loc, Insn::loc).ok()?;
        Some(found as u32)
    }

    /// The instruction with this number.
    pub(super) fn get(&self, insn: u32) -> Option<&Insn> {
        self.insns.get(insn as usize)
    }

    /// The numbers of the instructions in a range of a section.
    pub(super) fn range(&self, section: SectionId, start: u32, end: u32) -> std::ops::Range<u32> {
        let at = |offset: u32| {
            let loc = CodeLoc::new(section, u64::from(offset));
            self.insns.partition_point(|insn| insn.loc() < loc) as u32
        };
        at(start)..at(end)
    }

    /// Finds what each instruction's branch leads to, and what is behind it.
    fn link(&mut self) {
        let order: Vec<CodeLoc> = self.insns.iter().map(Insn::loc).collect();
        let find = |loc: CodeLoc| order.binary_search(&loc).map(|at| at as u32);
        for at in 0..self.insns.len() {
            let insn = self.insns[at];
            let behind = CodeLoc::new(insn.section, u64::from(insn.end()));
            let next = match order.get(at + 1) {
                Some(&loc) if loc == behind => at as u32 + 1,
                Some(&loc) if loc < behind => find(behind).unwrap_or(NONE),
                _ => NONE,
            };
            self.insns[at].next = next;
            if let Target::Place(loc) = insn.target
                && let Ok(found) = find(loc)
            {
                self.insns[at].target = Target::Insn(found);
            }
        }
    }
}

impl Reading<'_> {
    /// Decodes the code of a description from its start to its end.
    fn run(&mut self, (section, start, end): (SectionId, u32, u32), fde: u32, tables: &Tables) {
        let code = &self.image.section(section).code;
        let Some(bytes) = code.get(..(end as usize).min(code.len())) else { return };
        let description = tables.fdes.get(fde as usize);
        let mut row = description.map_or(NONE, |fde| fde.rows.start);
        let last_row = description.map_or(NONE, |fde| fde.rows.end);
        let mut decoder = Decoder::with_ip(64, bytes, 0, DecoderOptions::NONE);
        let mut relocs = self.image.section(section).relocs.cursor_from(u64::from(start));
        let (mut at, mut insn) = (start as usize, Instruction::default());
        while at < bytes.len() {
            if decoder.set_position(at).is_err() {
                break;
            }
            decoder.set_ip(at as u64);
            decoder.decode_out(&mut insn);
            if insn.is_invalid() {
                at += 1;
                continue;
            }
            while row < last_row && tables.rows.get(row as usize).is_some_and(|row| row.end as usize <= at) {
                row += 1;
            }
            let in_row = row < last_row && tables.rows.get(row as usize).is_some_and(|row| row.start as usize <= at);
            let reloc = relocs.first_in(at as u64 + 1, (at + insn.len()) as u64);
            self.take(&insn, section, reloc, fde, if in_row { row } else { NONE });
            at += insn.len();
        }
    }

    /// Decodes what branches into the middle of instructions lead to: over a prefix, mostly.
    fn middles(&mut self, tables: &Tables) {
        let mut order: Vec<CodeLoc> = self.code.insns.iter().map(Insn::loc).collect();
        let mut targets = std::mem::take(&mut self.targets);
        let mut added = false;
        targets.sort_unstable();
        targets.dedup();
        for target in targets {
            let Err(at) = order.binary_search(&target) else { continue };
            let Some(before) = at.checked_sub(1).and_then(|at| self.code.insns.get(at)).copied() else { continue };
            if before.section != target.section || u64::from(before.end()) <= target.offset {
                continue;
            }
            let Some(fde) = tables.fdes.get(before.fde as usize) else { continue };
            let code = &self.image.section(target.section).code;
            let Some(bytes) = code.get(..(fde.end as usize).min(code.len())) else { continue };
            let mut decoder = Decoder::with_ip(64, bytes, 0, DecoderOptions::NONE);
            let mut offset = target.offset;
            // At most to where the usual instructions are met again.
            while order.binary_search(&CodeLoc::new(target.section, offset)).is_err() {
                if decoder.set_position(offset as usize).is_err() {
                    break;
                }
                decoder.set_ip(offset);
                let insn = decoder.decode();
                if insn.is_invalid() {
                    break;
                }
                let row = tables
                    .rows_of(fde)
                    .iter()
                    .position(|row| u64::from(row.start) <= offset && offset < u64::from(row.end));
                let row = row.map_or(NONE, |row| fde.rows.start + row as u32);
                let reloc = self.image.section(target.section).relocs.first_in(offset + 1, insn.next_ip());
                self.take(&insn, target.section, reloc, before.fde, row);
                added = true;
                offset += insn.len() as u64;
            }
        }
        if added {
            self.code.insns.sort_by_key(Insn::loc);
            self.code.insns.dedup_by_key(|insn| insn.loc());
            order.clear();
        }
    }

    fn take(&mut self, insn: &Instruction, section: SectionId, reloc: Option<Reloc>, fde: u32, row: u32) {
        let flow = op::flow(insn);
        let direct = matches!(flow, Flow::Jump | Flow::JumpIf { .. } | Flow::Call);
        let target = if direct { self.target(insn, section, reloc) } else { Target::None };
        if let (Target::Place(loc), true) = (target, flow != Flow::Call) {
            self.targets.push(loc);
        }
        if !direct {
            self.note_addresses(insn, section, reloc, fde);
        }
        self.code.insns.push(Insn {
            section,
            offset: insn.ip() as u32,
            len: insn.len() as u8,
            flow,
            op: self.reader.op(insn),
            is_nop: insn.mnemonic() == Mnemonic::Nop,
            target,
            row,
            fde,
            next: NONE,
        });
    }

    fn target(&self, insn: &Instruction, section: SectionId, reloc: Option<Reloc>) -> Target {
        if !matches!(insn.op0_kind(), OpKind::NearBranch64 | OpKind::NearBranch32 | OpKind::NearBranch16) {
            return Target::None;
        }
        match reloc {
            None => placed(self.image, self.addresses, section, insn.near_branch_target())
                .map_or(Target::None, Target::Place),
            Some(reloc) if self.image.symbol(reloc.symbol).is_undefined() => Target::Symbol(reloc.symbol),
            Some(reloc) => {
                // Relative to the end of the instruction, which the field ends.
                let at = self.image.destination(&reloc);
                let behind = insn.next_ip().wrapping_sub(reloc.offset);
                Target::Place(CodeLoc::new(at.section, at.offset.wrapping_add(behind)))
            }
        }
    }

    /// What an instruction other than a branch refers to.
    fn note_addresses(&mut self, insn: &Instruction, section: SectionId, reloc: Option<Reloc>, fde: u32) {
        let Some(place) = referred(self.image, self.addresses, insn, section, reloc) else { return };
        let in_code = self.image.section(place.section).is_code();
        if in_code {
            self.code.taken.push(place);
        }
        // A linker may have placed tables among the code.
        match (self.image.kind == ET_REL, in_code) {
            (true, false) => self.code.anchors.push(place),
            (true, true) => {}
            (false, _) => self.code.anchors_of.push((place, fde)),
        }
    }
}

/// What an offset from the start of a section means: in a linked file it may lie in another one.
fn placed(image: &ElfImage, addresses: &Addresses, section: SectionId, offset: u64) -> Option<CodeLoc> {
    if image.kind == ET_REL {
        return Some(CodeLoc::new(section, offset));
    }
    addresses.loc(addresses.start(section).wrapping_add(offset))
}

/// What an instruction other than a branch refers to.
pub(super) fn referred(
    image: &ElfImage,
    addresses: &Addresses,
    insn: &Instruction,
    section: SectionId,
    reloc: Option<Reloc>,
) -> Option<CodeLoc> {
    match reloc {
        Some(reloc) if image.symbol(reloc.symbol).is_undefined() => None,
        Some(reloc) => {
            let at = image.destination(&reloc);
            let behind = if reloc.kind.leads_to_code() { insn.next_ip().wrapping_sub(reloc.offset) } else { 0 };
            Some(CodeLoc::new(at.section, at.offset.wrapping_add(behind)))
        }
        None if insn.is_ip_rel_memory_operand() => placed(image, addresses, section, insn.ip_rel_memory_address()),
        // A table by its address: `jmp *table(, %rax, 8)`.
        None if image.kind != ET_REL && insn.memory_index_scale() == 8 && insn.memory_base() == Register::None => {
            addresses.loc(insn.memory_displacement64())
        }
        None => None,
    }
}
