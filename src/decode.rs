//! Decodes every executable section into a table of instructions.
//!
//! In: [`ElfImage`].  Out: [`InsnTable`] and what was odd about the encodings.
//! Holds afterwards: instructions of a section are in ascending order without gaps, each with its length, its kind and
//! its stack operations.

use crate::cfi::StackOp;
use crate::ids::{CodeLoc, InsnId, SectionId};

/// What an instruction is to the analysis.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
#[allow(missing_docs, reason = "SDM mnemonics and branch kinds")]
pub enum Kind {
    Other,
    Nop,
    JumpConditional,
    JumpUnconditional,
    JumpDynamic,
    JumpDynamicConditional,
    Call,
    CallDynamic,
    Return,
    /// syscall, sysret, iret and the like in releases that do not tell them apart.
    ContextSwitch,
    Syscall,
    Sysret,
    Bug,
    Trap,
    Stac,
    Clac,
    Std,
    Cld,
    Endbr,
    LeaRip,
}

/// One instruction.
#[derive(Clone, Copy, Debug)]
pub struct Insn {
    /// Offset in the section, in bytes.
    pub offset: u32,
    /// Index into the table's list of distinct operation lists; 0 is the empty list.
    pub(crate) ops: u32,
    /// Length in bytes.
    pub len: u8,
    /// What it is.
    pub kind: Kind,
}

impl Insn {
    /// Offset of the byte behind the instruction.
    pub fn end(&self) -> u32 {
        self.offset.saturating_add(u32::from(self.len))
    }
}

/// All instructions of an object.
#[derive(Clone, Debug, Default)]
pub struct InsnTable {
    pub(crate) insns: Vec<Insn>,
    /// By section index: the first instruction and the one behind the last.
    pub(crate) ranges: Vec<(u32, u32)>,
    /// Distinct lists of stack operations; the first is empty.
    pub(crate) ops: Vec<Box<[StackOp]>>,
}

impl InsnTable {
    /// The instruction.
    pub fn get(&self, id: InsnId) -> &Insn {
        &self.insns[id.index()]
    }

    /// What the instruction does to the stack, in order.
    pub fn ops(&self, id: InsnId) -> &[StackOp] {
        &self.ops[self.get(id).ops as usize]
    }

    /// The instructions of a section, in order.
    pub fn of_section(&self, section: SectionId) -> impl DoubleEndedIterator<Item = InsnId> + use<> {
        let (start, end) = self.ranges.get(section.index()).copied().unwrap_or((0, 0));
        (start..end).map(InsnId)
    }

    /// The instruction that starts exactly at `at`.
    pub fn at(&self, at: CodeLoc) -> Option<InsnId> {
        let (start, end) = *self.ranges.get(at.section.index())?;
        let insns = self.insns.get(start as usize..end as usize)?;
        let offset = u32::try_from(at.offset).ok()?;
        let index = insns.binary_search_by_key(&offset, |insn| insn.offset).ok()?;
        Some(InsnId(start + index as u32))
    }

    /// The instruction that contains the byte at `at`.
    pub fn containing(&self, at: CodeLoc) -> Option<InsnId> {
        let (start, end) = *self.ranges.get(at.section.index())?;
        let insns = self.insns.get(start as usize..end as usize)?;
        let offset = u32::try_from(at.offset).ok()?;
        let behind = insns.partition_point(|insn| insn.offset <= offset);
        let index = behind.checked_sub(1)?;
        (offset < insns[index].end()).then_some(InsnId(start + index as u32))
    }

    /// The section of an instruction.
    pub fn section_of(&self, id: InsnId) -> SectionId {
        // Sections without instructions have empty ranges at the position where theirs would be.
        let index = self.ranges.partition_point(|&(_, end)| end <= id.0);
        SectionId::from_index(index)
    }

    /// Where an instruction is.
    pub fn loc(&self, id: InsnId) -> CodeLoc {
        CodeLoc::new(self.section_of(id), u64::from(self.get(id).offset))
    }
}
