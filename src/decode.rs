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
mod table;
mod text;

use crate::cancel::{CancelToken, Cancelled};
use crate::finding::Fault;
use crate::ids::{CodeLoc, InsnId, SectionId};
use crate::image::{ElfImage, Section};
use crate::kernel::Kernel;
use crate::symbols::Symbols;
use effect::{Effect, Oddity, effect};
use encoding::Encoding;
use interning::Interner;
use profile::Profile;
pub use table::{Insn, InsnTable};
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
    decoder.table.reserve(image.sections.iter().map(|section| section.code.len()).sum());
    decoder.table.end_section();
    for (id, section) in image.sections() {
        if section.is_code() {
            decoder.section(symbols, id, section, cancel)?;
        }
        decoder.table.end_section();
    }
    decoder.table.shrink();
    decoder.table.ops = decoder.interner.lists;
    Ok((decoder.table, decoder.notes))
}

/// The relative target of a jump or call as it is encoded, without its relocation: what is added to the offset behind
/// the instruction.
pub fn branch_immediate(section: &Section, insn: &Insn, kernel: Kernel) -> i64 {
    let code = bytes_in(section, insn);
    match *code {
        [0x70..=0x7f | 0xe0..=0xe3 | 0xeb, byte] => return i64::from(byte as i8),
        [0xe8 | 0xe9, a, b, c, d] | [0x0f, 0x80..=0x8f, a, b, c, d] => {
            return i64::from(i32::from_le_bytes([a, b, c, d]));
        }
        _ => {}
    }
    let profile = Profile::of(kernel);
    match encoding_of(code, profile) {
        Some(e) if e.is_vector => 0,
        Some(e) if e.has_immediate => i64::from(e.immediate),
        Some(e) if profile.displacement_is_target => i64::from(e.displacement),
        _ => 0,
    }
}

/// The displacement of the instruction's memory operand as it is encoded.
pub fn displacement(image: &ElfImage, insns: &InsnTable, id: InsnId, kernel: Kernel) -> Option<i64> {
    let e = encoding_of(bytes(image, insns, id), Profile::of(kernel))?;
    e.has_displacement.then_some(i64::from(e.displacement))
}

/// The bytes of an instruction.
pub fn bytes<'i>(image: &'i ElfImage, insns: &InsnTable, id: InsnId) -> &'i [u8] {
    bytes_in(image.section(insns.section_of(id)), insns.get(id))
}

fn bytes_in<'i>(section: &'i Section, insn: &Insn) -> &'i [u8] {
    section.code.get(insn.offset as usize..insn.end() as usize).unwrap_or(&[])
}

fn encoding_of(code: &[u8], profile: &Profile) -> Option<Encoding> {
    let mut encoding = Encoding::default();
    encoding.read(code, profile)?;
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
            if self.table.len().is_multiple_of(1 << 16) {
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
            self.table.push(Insn::new(offset, encoding.len, kind), ops);
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
