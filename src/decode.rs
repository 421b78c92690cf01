//! Decodes every executable section into a table of instructions.
//!
//! In: [`ElfImage`].  Out: [`InsnTable`] and what was odd about the encodings.
//! Holds afterwards: instructions of a section are in ascending order without gaps up to the section's end, or up to the
//! first that cannot be decoded, each with its length, its kind and its stack operations.
//!
//! Verdicts hang on what objtool's decoder sees, not on what a processor does. So `encoding` takes instructions apart by
//! the tables in `opcodes`, and `effect` says what they are; where releases differ, both ask `profile`. A disassembler is
//! used for the text that people see, in `text`, and for nothing else.

mod effect;
mod encoding;
mod interning;
mod opcodes;
mod profile;
mod text;

use crate::cancel::{CancelToken, Cancelled};
use crate::cfi::StackOp;
use crate::finding::Fault;
use crate::ids::{CodeLoc, InsnId, SectionId};
use crate::image::{ElfImage, Section};
use crate::kernel::Kernel;
use crate::symbols::Symbols;
use effect::{Effect, Oddity, effect};
use encoding::Encoding;
use interning::Interner;
use profile::Profile;
pub use text::{Disassembler, text};

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
    /// Bytes that objtool imagines behind a short replacement of an alternative.
    pub(crate) fn padding(offset: u32, len: u8) -> Insn {
        Insn { offset, ops: 0, len, kind: Kind::Nop }
    }

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
    /// Where the padding instructions are that [`crate::flow`] appends behind all others.
    pub(crate) padding: Vec<Option<CodeLoc>>,
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

    /// How many instructions there are, padding included.
    pub fn len(&self) -> usize {
        self.insns.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.insns.is_empty()
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Insn> {
        self.insns.iter()
    }

    /// How many of them stand in the object; those behind are padding.
    pub fn n_real(&self) -> usize {
        self.insns.len() - self.padding.len()
    }

    /// Whether the instruction is padding that stands in no section.
    pub fn is_padding(&self, id: InsnId) -> bool {
        id.index() >= self.n_real()
    }

    /// Appends padding, which is found at no address.
    pub(crate) fn push_padding(&mut self, insn: Insn, at: Option<CodeLoc>) -> InsnId {
        self.insns.push(insn);
        self.padding.push(at);
        InsnId::from_index(self.insns.len() - 1)
    }

    /// The instruction behind this one in its section.
    pub fn next_in_section(&self, id: InsnId) -> Option<InsnId> {
        let next = id.index() + 1;
        // A section has no gaps, and the next one starts at offset 0.
        let adjacent = next < self.n_real() && self.insns[next].offset == self.insns[id.index()].end();
        adjacent.then_some(InsnId(id.0 + 1))
    }

    /// The instruction before this one in its section.
    pub fn prev_in_section(&self, id: InsnId) -> Option<InsnId> {
        let insn = self.get(id);
        (insn.offset != 0 && !self.is_padding(id)).then(|| InsnId(id.0 - 1))
    }

    /// The section of an instruction.
    pub fn section_of(&self, id: InsnId) -> SectionId {
        if self.is_padding(id) {
            return self.padding[id.index() - self.n_real()].map_or(SectionId(0), |at| at.section);
        }
        // Sections without instructions have empty ranges at the position where theirs would be.
        let index = self.ranges.partition_point(|&(_, end)| end <= id.0);
        SectionId::from_index(index)
    }

    /// Where an instruction is.
    pub fn loc(&self, id: InsnId) -> CodeLoc {
        CodeLoc::new(self.section_of(id), u64::from(self.get(id).offset))
    }
}

/// What was odd about an encoding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DecodeNote {
    /// What it is.
    pub fault: Fault,
    /// Where.
    pub at: CodeLoc,
    /// objtool gives up on the object here. orcls gives up on the section.
    pub fatal: bool,
}

/// Decodes all executable sections of `image` as the objtool of `kernel` would. The notes are in the order in which
/// objtool would say them.
pub fn decode(
    image: &ElfImage,
    symbols: &Symbols,
    kernel: Kernel,
    cancel: &CancelToken,
) -> Result<(InsnTable, Vec<DecodeNote>), Cancelled> {
    let mut decoder = Decoder::new(Profile::of(kernel));
    // Code has about 4.5 bytes per instruction.
    let n_bytes: usize = image.sections.iter().map(|section| section.code.len()).sum();
    decoder.table.insns.reserve(n_bytes / 4);
    decoder.table.ranges.push((0, 0));
    for (id, section) in image.sections() {
        let start = decoder.table.insns.len() as u32;
        if section.is_code() {
            decoder.section(symbols, id, section, cancel)?;
        }
        decoder.table.ranges.push((start, decoder.table.insns.len() as u32));
    }
    decoder.table.insns.shrink_to_fit();
    decoder.table.ops = decoder.interner.lists;
    Ok((decoder.table, decoder.notes))
}

/// The relative target of a jump or call as it is encoded, without its relocation: what is added to the offset behind
/// the instruction.
pub fn branch_immediate(image: &ElfImage, insns: &InsnTable, id: InsnId, kernel: Kernel) -> i64 {
    let profile = Profile::of(kernel);
    match encoding_of(image, insns, id, profile) {
        Some(e) if e.is_vector => 0,
        Some(e) if e.has_immediate => i64::from(e.immediate),
        Some(e) if profile.displacement_is_target => i64::from(e.displacement),
        _ => 0,
    }
}

/// The displacement of the instruction's memory operand as it is encoded.
pub fn displacement(image: &ElfImage, insns: &InsnTable, id: InsnId, kernel: Kernel) -> Option<i64> {
    let e = encoding_of(image, insns, id, Profile::of(kernel))?;
    e.has_displacement.then_some(i64::from(e.displacement))
}

/// The bytes of an instruction.
pub fn bytes<'i>(image: &'i ElfImage, insns: &InsnTable, id: InsnId) -> &'i [u8] {
    let insn = insns.get(id);
    let code = &image.section(insns.section_of(id)).code;
    code.get(insn.offset as usize..insn.end() as usize).unwrap_or(&[])
}

fn encoding_of(image: &ElfImage, insns: &InsnTable, id: InsnId, profile: &Profile) -> Option<Encoding> {
    let mut encoding = Encoding::default();
    encoding.read(bytes(image, insns, id), profile)?;
    Some(encoding)
}

/// The state of a decoding run.
struct Decoder {
    profile: &'static Profile,
    table: InsnTable,
    notes: Vec<DecodeNote>,
    interner: Interner,
}

impl Decoder {
    fn new(profile: &'static Profile) -> Self {
        Decoder { profile, table: InsnTable::default(), notes: Vec::new(), interner: Interner::new() }
    }

    fn section(
        &mut self,
        symbols: &Symbols,
        id: SectionId,
        section: &Section,
        cancel: &CancelToken,
    ) -> Result<(), Cancelled> {
        let mut offset = 0;
        while let Some(rest) = section.code.get(offset as usize..).filter(|rest| !rest.is_empty()) {
            if self.table.insns.len().is_multiple_of(1 << 16) {
                cancel.check()?;
            }
            let at = CodeLoc::new(id, u64::from(offset));
            let mut encoding = Encoding::default();
            if encoding.read(rest, self.profile).is_none() {
                let fault = Fault::Undecodable { section: id, offset: at.offset };
                self.notes.push(DecodeNote { fault, at, fatal: true });
                return Ok(());
            }
            let Effect { kind, ops, oddity } = effect(&encoding, self.profile, || {
                symbols.symbol_containing(id, at.offset).is_some_and(|symbol| symbols.is_function(symbol))
            });
            if let Some(oddity) = oddity {
                self.notes.push(DecodeNote { fault: fault(oddity, at), at, fatal: false });
            }
            let ops = self.interner.position(ops);
            self.table.insns.push(Insn { offset, ops, len: encoding.len, kind });
            offset += u32::from(encoding.len);
        }
        Ok(())
    }
}

fn fault(oddity: Oddity, at: CodeLoc) -> Fault {
    let (section, offset) = (at.section, at.offset);
    match oddity {
        Oddity::InvalidLea => Fault::InvalidLea { section, offset },
        Oddity::Enqcmd => Fault::Enqcmd { section, offset },
        Oddity::Notrack => Fault::Notrack { section, offset },
    }
}
